//! What counts as a plain file name, and the numbered names beside one that is taken.
//!
//! Checked on both sides: by the sender so that a mistake is told early, by the receiver because nobody has to be honest.

use std::fmt;

use super::save::PART_PREFIX;
use crate::limits::FILE_NAME_MAX;
use crate::printable::is_unprintable;

/// Why a name is not a plain file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// No name at all.
    Empty,
    /// More than 255 bytes.
    TooLong,
    /// `.` or `..`.
    Dots,
    /// Holds a `/`.
    Slash,
    /// Holds a NUL, another control character, or a mark that disguises how it reads.
    Unprintable,
    /// Begins like the temporary files of a receiver.
    Reserved,
    /// Not UTF-8.
    NotText,
}

/// Checks that `name` names a file inside a directory and nothing else.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &[u8]) -> Result<&str, NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > FILE_NAME_MAX {
        return Err(NameFault::TooLong);
    }
    let name = std::str::from_utf8(name).map_err(|_| NameFault::NotText)?;
    if name == "." || name == ".." {
        return Err(NameFault::Dots);
    }
    if name.contains('/') {
        return Err(NameFault::Slash);
    }
    // A tab is harmless in chat, but in a name it is one more way to mislead.
    if name.chars().any(|c| is_unprintable(c) || c == '\t') {
        return Err(NameFault::Unprintable);
    }
    if name.starts_with(PART_PREFIX) {
        return Err(NameFault::Reserved);
    }
    Ok(name)
}

/// The name with a number before its extension, no longer than a name may be: `report (2).pdf`.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    // A leading dot does not start an extension, and what is longer than a few characters is none.
    let split = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => dot,
        _ => name.len(),
    };
    let (stem, extension) = name.split_at(split);
    let number = format!(" ({number})");
    let mut stem_len = stem.len().min(FILE_NAME_MAX - number.len() - extension.len());
    while !stem.is_char_boundary(stem_len) {
        stem_len -= 1;
    }
    format!("{}{number}{extension}", &stem[..stem_len])
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::TooLong => "the name is longer than 255 bytes",
            Self::Dots => "the name is a directory",
            Self::Slash => "the name holds a '/'",
            Self::Unprintable => "the name holds control or invisible characters",
            Self::Reserved => "the name is reserved for temporary files",
            Self::NotText => "the name is not UTF-8",
        })
    }
}

impl std::error::Error for NameFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        for name in ["a", "report.pdf", ".hidden", "...", "Grüße 世界.txt", "-rf", "a b", &"x".repeat(255)] {
            assert_eq!(check_name(name.as_bytes()), Ok(name));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let cases: [(&[u8], NameFault); 13] = [
            (b"", NameFault::Empty),
            (b".", NameFault::Dots),
            (b"..", NameFault::Dots),
            (b"../x", NameFault::Slash),
            (b"/etc/passwd", NameFault::Slash),
            (b"a/b", NameFault::Slash),
            (b"a\0b", NameFault::Unprintable),
            (b"a\nb", NameFault::Unprintable),
            (b"a\x1b[2J", NameFault::Unprintable),
            ("a\u{202e}b".as_bytes(), NameFault::Unprintable),
            (b"\xff", NameFault::NotText),
            (&[b'x'; 256], NameFault::TooLong),
            (b".landline-0123456789abcdef.part", NameFault::Reserved),
        ];
        for (name, fault) in cases {
            assert_eq!(check_name(name), Err(fault), "{}", String::from_utf8_lossy(name));
        }
        assert_eq!(check_name(&[b'x'; 4096]), Err(NameFault::TooLong));
    }

    #[test]
    fn numbers_go_before_the_extension_and_names_stay_short_enough() {
        assert_eq!(numbered("a.txt", 1), "a (1).txt");
        assert_eq!(numbered("a", 2), "a (2)");
        assert_eq!(numbered(".profile", 1), ".profile (1)");
        assert_eq!(numbered("a.tar.gz", 1), "a.tar (1).gz");
        assert_eq!(numbered("ends with a dot.", 1), "ends with a dot (1).");
        for name in ["x".repeat(255), "ü".repeat(127), format!("{}.pdf", "世".repeat(83))] {
            let numbered = numbered(&name, 9_999);
            assert!(numbered.len() <= 255 && check_name(numbered.as_bytes()).is_ok(), "{numbered}");
        }
    }
}

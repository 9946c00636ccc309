//! Why a transfer did not come about: a code for programs, a text for people.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::codes::CodeTable;
use crate::printable;

/// Why, for programs. On the wire a 16-bit number; the table is in [`wire`](super::wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The person or the settings said no.
    Declined,
    /// Not a plain file name.
    BadName,
    /// A file of that name is there already and is not to be replaced.
    Exists,
    /// What is there under that name is not a file (a symlink, a FIFO, a directory, ...).
    InTheWay,
    /// No room on the receiver's disk.
    NoSpace,
    /// Larger than the receiver can store.
    TooLarge,
    /// Another transfer of this channel is still under way.
    Busy,
    /// The receiver's disk failed.
    Storage,
    /// What arrived is not what was sent.
    Mismatch,
    /// The source changed while it was read.
    SourceChanged,
    /// The source could not be read.
    SourceUnreadable,
    /// Given up by whoever started it.
    Cancelled,
    /// A message kind that the receiver does not know.
    Unsupported,
    /// A message that the rules do not allow at this point.
    Protocol,
    /// A code of a later version.
    Other(u16),
}

const CODES: CodeTable<Code> = CodeTable(&[
    (1, Code::Declined, "declined"),
    (2, Code::BadName, "not a plain file name"),
    (3, Code::Exists, "the name is taken"),
    (4, Code::InTheWay, "something that is not a file has that name"),
    (5, Code::NoSpace, "no space left on the disk"),
    (6, Code::TooLarge, "too large"),
    (7, Code::Busy, "busy with another file"),
    (8, Code::Storage, "the disk failed"),
    (9, Code::Mismatch, "what arrived is not what was sent"),
    (10, Code::SourceChanged, "the file changed while it was read"),
    (11, Code::SourceUnreadable, "the file could not be read"),
    (12, Code::Cancelled, "cancelled"),
    (13, Code::Unsupported, "not supported"),
    (14, Code::Protocol, "the rules of the transfer were broken"),
]);

impl Code {
    /// The number on the wire.
    pub fn to_u16(self) -> u16 {
        match self {
            Self::Other(number) => number,
            known => CODES.number(known).unwrap_or(0),
        }
    }

    /// The code with this number on the wire.
    pub fn from_u16(number: u16) -> Self {
        CODES.code(number).unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.text(*self) {
            Some(text) => f.write_str(text),
            None => write!(f, "failed with code {}", self.to_u16()),
        }
    }
}

/// Why a transfer did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people; may be empty, and may come from the peer: `Display` makes it harmless.
    pub text: String,
}

impl Failure {
    /// A failure with a text for people.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A failure of the receiver's disk while it did `what`; a full disk and a file that is too large say so.
    pub(crate) fn storage(what: &str, error: Errno) -> Self {
        let code = match error {
            Errno::NOSPC | Errno::DQUOT => Code::NoSpace,
            Errno::FBIG => Code::TooLarge,
            _ => Code::Storage,
        };
        // Without the path: where a receiver keeps its files is not the sender's business.
        Self::new(code, format!("{what}: {}", io::Error::from(error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.text.is_empty() {
            write!(f, " ({})", printable(&self.text))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire_and_unknown_ones_are_kept() {
        for &(number, code, _) in CODES.0 {
            assert_eq!(code.to_u16(), number);
            assert_eq!(Code::from_u16(number), code);
        }
        assert_eq!(Code::from_u16(999).to_u16(), 999);
        assert_eq!(Code::Other(999).to_string(), "failed with code 999");
    }

    #[test]
    fn a_full_disk_says_so() {
        assert_eq!(Failure::storage("writing", Errno::NOSPC).code, Code::NoSpace);
        assert_eq!(Failure::storage("writing", Errno::DQUOT).code, Code::NoSpace);
        assert_eq!(Failure::storage("writing", Errno::IO).code, Code::Storage);
    }

    #[test]
    fn the_text_of_a_peer_cannot_steer_a_terminal() {
        let shown = Failure::new(Code::Declined, "\u{1b}[2Jno").to_string();
        assert_eq!(shown, "declined (␛[2Jno)");
    }
}

//! Why a run ended before its end: a code for programs, a text for people.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::codes::CodeTable;
use crate::printable;

/// Why, for programs. On the wire a 16-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncCode {
    /// There is no such share, or not for this peer.
    NoSuchShare,
    /// The share may be read only.
    ReadOnly,
    /// What the path within the share names cannot be opened.
    NoSuchPath,
    /// The filter's rules are none.
    BadFilter,
    /// Too many runs at a time.
    Busy,
    /// The versions have nothing in common.
    Unsupported,
    /// A message that the rules do not allow.
    Protocol,
    /// What arrived is not what was sent, or the two sides do not agree on it.
    Mismatch,
    /// No room on the target's disk.
    NoSpace,
    /// The share's quota is used up.
    Quota,
    /// The target's disk failed.
    Storage,
    /// The source could not be read at all.
    SourceUnreadable,
    /// Deletions were asked for, and the source has nothing in it.
    SourceEmpty,
    /// More of the target would go than may.
    MaxDelete,
    /// Given up by whoever started it.
    Cancelled,
    /// The link or channel ended before the run did.
    Lost,
    /// The person or the settings said no.
    Declined,
    /// A code of a later version.
    Other(u16),
}

const CODES: CodeTable<SyncCode> = CodeTable(&[
    (1, SyncCode::NoSuchShare, "no such share"),
    (2, SyncCode::ReadOnly, "the share is read-only"),
    (3, SyncCode::NoSuchPath, "no such directory in the share"),
    (4, SyncCode::BadFilter, "a rule of the filter cannot be used"),
    (5, SyncCode::Busy, "busy with other runs"),
    (6, SyncCode::Unsupported, "not supported by the other side"),
    (7, SyncCode::Protocol, "the rules of sync were broken"),
    (8, SyncCode::Mismatch, "what arrived is not what was sent"),
    (9, SyncCode::NoSpace, "no space left on the target's disk"),
    (10, SyncCode::Quota, "the quota of the share is used up"),
    (11, SyncCode::Storage, "the target's disk failed"),
    (12, SyncCode::SourceUnreadable, "the source cannot be read"),
    (13, SyncCode::SourceEmpty, "the source is empty, so nothing is deleted"),
    (14, SyncCode::MaxDelete, "too much of the target would be deleted, so nothing was"),
    (15, SyncCode::Cancelled, "cancelled"),
    (16, SyncCode::Lost, "the connection ended before the run did; run it again to go on"),
    (17, SyncCode::Declined, "declined"),
]);

impl SyncCode {
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

impl fmt::Display for SyncCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.text(*self) {
            Some(text) => f.write_str(text),
            None => write!(f, "failed with code {}", self.to_u16()),
        }
    }
}

/// Why a run ended before its end. What was in place by then stays, and the next run goes on from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncFailure {
    /// For programs.
    pub code: SyncCode,
    /// For people; may be empty, and may come from the peer: `Display` makes it harmless.
    pub text: String,
    /// Whether the peer said so.
    pub is_from_peer: bool,
}

impl SyncFailure {
    /// A failure of this side.
    pub fn new(code: SyncCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), is_from_peer: false }
    }

    /// The peer broke the rules: what it did.
    pub(crate) fn protocol(text: impl fmt::Display) -> Self {
        Self::new(SyncCode::Protocol, text.to_string())
    }

    /// The target's disk failed in a way that ends the run.
    pub(crate) fn storage(what: &str, error: &io::Error) -> Self {
        let code = if is_out_of_space(error) { SyncCode::NoSpace } else { SyncCode::Storage };
        Self::new(code, format!("{what}: {error}"))
    }
}

/// Whether going on with other files is pointless too: there is no room, or no more files can be opened. A later run goes on
/// where this one ends; a file that was skipped would be missing.
pub(crate) fn concerns_all(error: &io::Error) -> bool {
    is_out_of_space(error) || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

impl fmt::Display for SyncFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_from_peer {
            f.write_str("the other side ended the run: ")?;
        }
        write!(f, "{}", self.code)?;
        if !self.text.is_empty() {
            write!(f, " ({})", printable(&self.text))?;
        }
        Ok(())
    }
}

impl std::error::Error for SyncFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire_and_unknown_ones_are_kept() {
        for &(number, code, _) in CODES.0 {
            assert_eq!((code.to_u16(), SyncCode::from_u16(number)), (number, code));
        }
        assert_eq!(SyncCode::from_u16(999).to_u16(), 999);
    }

    #[test]
    fn the_text_of_a_peer_cannot_steer_a_terminal() {
        let failure = SyncFailure { is_from_peer: true, ..SyncFailure::new(SyncCode::Quota, "\u{1b}[2J") };
        assert_eq!(failure.to_string(), "the other side ended the run: the quota of the share is used up (␛[2J)");
    }
}

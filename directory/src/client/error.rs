//! Why the client has no answer to give, by whose fault it is.

use super::url::DirectoryUrl;
use crate::announcement::StatementError;
use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong with a request to a directory.
#[derive(Debug)]
pub enum ClientError {
    /// No answer came.
    Unreachable {
        /// Whom we asked.
        url: DirectoryUrl,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such peer.
    NotFound {
        /// Whom we asked.
        url: DirectoryUrl,
        /// Name or PeerId.
        what: String,
    },
    /// The directory does not do what it was asked.
    Refused(Refusal),
    /// The directory gave us what no honest one gives: a signature that is wrong, another peer than the one asked for,
    /// something older than we saw before. Nothing of it is used.
    Dishonest {
        /// Whom we asked.
        url: DirectoryUrl,
        /// What is wrong.
        what: String,
    },
    /// We asked for something that breaks the rules of statements; nothing was sent.
    Misuse(StatementError),
    /// The answer is not one of a directory, or not HTTP.
    Http {
        /// Whom we asked.
        url: DirectoryUrl,
        /// What is wrong.
        what: String,
    },
}

/// A directory's refusal, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The code for programs; empty where there is none. `name_taken`, `old_sequence`, `address_full`, `full`, ...
    pub code: String,
    /// The sentence for people.
    pub detail: String,
    /// When to come again, where it says so.
    pub retry_after: Option<Duration>,
    /// The sequence that it has of us, where that is the reason.
    pub sequence: Option<u64>,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Unreachable { url, source } => write!(
                f,
                "the directory {url} cannot be reached ({source}); check that it runs there and that its TCP port is open"
            ),
            ClientError::NotFound { url, what } => write!(f, "the directory {url} knows no peer {what}"),
            ClientError::Refused(refusal) => write!(f, "{refusal}"),
            ClientError::Misuse(error) => write!(f, "this cannot be announced: {error}"),
            ClientError::Dishonest { url, what } => {
                write!(f, "the directory {url} gave an answer that must not be trusted: {what}; nothing of it is used")
            }
            ClientError::Http { url, what } => {
                write!(f, "{url} does not answer as a directory does: {what}; check the URL")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the directory refused: {} (HTTP status {})", self.detail, self.status)?;
        match self.retry_after {
            Some(after) => write!(f, "; come again in {} s", after.as_secs()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Unreachable { source, .. } => Some(source),
            ClientError::Misuse(error) => Some(error),
            _ => None,
        }
    }
}

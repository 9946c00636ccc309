//! How a command fails: what failed, on what, what to do next, and the exit code.

use std::fmt;
use std::io;

use landline::{CloseReason, Goodbye, PeerFault, PeerId, Side, Timeout};
use landline_directory::ClientError;
use landline_services::printable;

/// The exit codes, as the help lists them; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed.
    Failed = 1,
    /// It was not asked rightly.
    Usage = 2,
    /// A peer or file is not there.
    NotFound = 3,
    /// Somebody is not who they should be, or one of the two does not accept the other.
    Refused = 4,
    /// It was done, but for some entries.
    Skipped = 5,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// With which code to exit.
    pub(crate) exit: Exit,
    /// What failed, and on what.
    pub(crate) what: String,
    /// What to do next, if there is something.
    pub(crate) next: Option<String>,
    /// Whoever read our output has gone: nothing more is to be said.
    pub(crate) is_broken_pipe: bool,
}

/// What the commands give.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Something failed.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None, is_broken_pipe: false }
    }

    /// The same, with what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// A system call on `what` failed.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Self::new(exit, format!("{what}: {error}"))
    }

    /// The engine does not do what it was asked.
    pub(crate) fn engine(what: impl fmt::Display, error: &landline::Error) -> Self {
        Self::new(Exit::Failed, format!("{what}: {error}"))
    }

    /// The directory has no answer.
    pub(crate) fn directory(error: &ClientError) -> Self {
        // Parts of it are the directory's own words.
        let what = printable(&error.to_string()).into_owned();
        match error {
            ClientError::NotFound { .. } => Self::new(Exit::NotFound, what)
                .next("see who is there with `landline peers`, or name the peer as PEERID@IP:PORT"),
            ClientError::Unreachable { .. } => Self::new(Exit::Failed, what)
                .next("start one with `landline directory`, or say where it is with --directory URL"),
            ClientError::Dishonest { .. } => {
                Self::new(Exit::Refused, what).next("use another directory, or name the peer as PEERID@IP:PORT")
            }
            _ => Self::new(Exit::Failed, what),
        }
    }

    /// A peer cannot be reached, or the link to it has ended.
    pub(crate) fn link(peer: &str, ourselves: PeerId, port: u16, reason: &CloseReason) -> Self {
        let failure = |exit| Self::new(exit, format!("{peer}: {reason}"));
        match reason {
            CloseReason::WrongPeer { .. } => failure(Exit::Refused).next(
                "somebody else answers at this address; nothing was sent to them. If the peer has moved, ask the directory again",
            ),
            CloseReason::Goodbye { by: Side::Peer, code: Goodbye::NotAllowed, .. } => failure(Exit::Refused)
                .next(format!("they must let you in first, on their side: landline trust YOURNAME {ourselves}")),
            CloseReason::Timeout(Timeout::Dial(_)) => {
                failure(Exit::Failed).next(format!("see that the peer is up, and open TCP port {port} in its firewall"))
            }
            CloseReason::Io { kind: io::ErrorKind::ConnectionRefused, .. } => failure(Exit::Failed)
                .next(format!("nothing listens on TCP port {port} there: start `landline listen` on the peer")),
            CloseReason::Timeout(Timeout::Handshake(_)) => {
                failure(Exit::Failed).next(format!("see what listens on TCP port {port} there, and that it is `landline listen`"))
            }
            CloseReason::Peer(
                PeerFault::NotLandline | PeerFault::UnexpectedRecord(_) | PeerFault::RecordLength(_),
            ) => {
                failure(Exit::Failed).next(format!("something else listens on TCP port {port} there; check the address"))
            }
            CloseReason::Lost => failure(Exit::Failed).next("run the same command again"),
            _ => failure(Exit::Failed),
        }
    }
}

impl From<io::Error> for Failure {
    /// A failure to write our own output.
    fn from(error: io::Error) -> Self {
        let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_broken_pipe, ..Self::new(Exit::Failed, format!("cannot write to the terminal or pipe: {error}")) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_and_what_next() {
        let failure = Failure::new(Exit::NotFound, "no such peer: bob").next("look again");
        assert_eq!(failure.to_string(), "no such peer: bob\n  next: look again");
        assert_eq!(failure.exit as u8, 3);
    }

    #[test]
    fn a_time_out_names_the_port_to_open() {
        let id = PeerId::from_bytes([1; 32]);
        let reason = CloseReason::Timeout(Timeout::Dial(std::time::Duration::from_secs(10)));
        assert!(Failure::link("bob", id, 25463, &reason).to_string().contains("open TCP port 25463"));
    }

    #[test]
    fn refused_identities_have_a_code_of_their_own() {
        let id = PeerId::from_bytes([1; 32]);
        let wrong = CloseReason::WrongPeer { expected: id, found: PeerId::from_bytes([2; 32]) };
        assert_eq!(Failure::link("bob", id, 1, &wrong).exit, Exit::Refused);
        let not_allowed = CloseReason::Goodbye { by: Side::Peer, code: Goodbye::NotAllowed, text: String::new() };
        let failure = Failure::link("bob", id, 1, &not_allowed);
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.to_string().contains(&id.to_string()), "what the other side needs is named");
    }
}

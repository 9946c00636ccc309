//! A live announcement as the store keeps it, made small: one of a hundred thousand.

use super::names::Held;
use crate::announcement::{Announcement, Name, SignedStatement};
use landline::PeerId;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A live announcement.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) peer_id: PeerId,
    pub(super) signed: SignedStatement,
    pub(super) name: Name,
    services: Services,
    pub(super) sequence: u64,
    pub(super) since: Instant,
    pub(super) expires_at: Instant,
    pub(super) source: IpAddr,
    /// Names that the peer had before and still holds, oldest first. Mostly none, and then one word.
    #[allow(clippy::box_collection, reason = "one word where there are none")]
    pub(super) former: Option<Box<Vec<Held>>>,
}

impl Entry {
    /// The entry of a peer that had no name before and comes now.
    pub(super) fn new(announcement: &Announcement, signed: SignedStatement, source: IpAddr, now: Instant) -> Entry {
        Entry {
            peer_id: announcement.peer_id,
            services: Services::of(announcement, signed.statement()),
            signed,
            name: announcement.name.clone(),
            sequence: announcement.sequence,
            since: now,
            expires_at: now,
            source,
            former: None,
        }
    }

    /// The statement as it came.
    pub(crate) fn signed(&self) -> &SignedStatement {
        &self.signed
    }

    /// The name.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// The services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        let text = match &self.services {
            Services::Within { start, len } => {
                self.signed.statement().get(usize::from(*start)..).and_then(|rest| rest.get(..usize::from(*len)))
            }
            Services::Apart(text) => Some(&**text),
        };
        text.unwrap_or_default().split(SEPARATOR).filter(|service| !service.is_empty())
    }

    /// Whether `service` is among its services.
    pub(crate) fn offers(&self, service: &str) -> bool {
        self.services().any(|other| other == service)
    }

    /// What is left of the lease.
    pub(crate) fn expires_in(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }

    /// For how long the peer has been listed without a gap. A restart of the directory is none, as far as the system's clock
    /// of instants reaches back.
    pub(crate) fn listed_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// The sequence.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn former(&self) -> &[Held] {
        self.former.as_ref().map_or(&[], |former| former)
    }

    pub(super) fn set_former(&mut self, former: Vec<Held>) {
        self.former = (!former.is_empty()).then(|| Box::new(former));
    }
}

/// How services stand beside each other in a JSON array as it is usually written. No service has such a character.
const SEPARATOR: &str = "\",\"";

/// The services of a peer with `SEPARATOR` between two.
#[derive(Clone, Debug)]
enum Services {
    /// The very text is a part of the statement.
    Within { start: u16, len: u16 },
    /// The statement writes them otherwise.
    Apart(Box<str>),
}

impl Services {
    /// It does not matter where in the statement the text stands: it says what it says.
    fn of(announcement: &Announcement, statement: &str) -> Services {
        let text = announcement.services.join(SEPARATOR);
        match (statement.find(&text).map(u16::try_from), u16::try_from(text.len())) {
            (Some(Ok(start)), Ok(len)) => Services::Within { start, len },
            _ => Services::Apart(text.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_in_the_statement_however_it_is_written() {
        let announcement = |services: &[&str]| Announcement {
            peer_id: PeerId::from_bytes([1; 32]),
            name: "alice".parse().unwrap(),
            addresses: vec!["192.0.2.7:4000".parse().unwrap()],
            services: services.iter().map(|service| (*service).to_owned()).collect(),
            sequence: 1,
            lease: Duration::from_secs(60),
        };
        let services = |services: &[&str], statement: &str| -> Vec<String> {
            let signed = SignedStatement::from_stored(statement, [0; 64]);
            let entry = Entry::new(&announcement(services), signed, IpAddr::from([192, 0, 2, 1]), Instant::now());
            entry.services().map(str::to_owned).collect()
        };
        for statement in
            [r#"{"services":["chat","files"]}"#, r#"{"services": [ "chat", "files" ]}"#, r#"["\u0063hat"]"#, ""]
        {
            assert_eq!(services(&["chat", "files"], statement), ["chat", "files"], "{statement}");
            assert_eq!(services(&["chat"], statement), ["chat"], "{statement}");
            assert_eq!(services(&[], statement), [""; 0], "{statement}");
        }
    }
}

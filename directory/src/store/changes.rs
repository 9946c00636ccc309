//! The log of changes: what a watcher has missed since a revision, in order, without a queue for each watcher.
//!
//! Each change of an announcement has the next revision. The log keeps the newest few thousand, so a watcher is a number:
//! the revision up to which it has been told. It is told the present state and not the past: a change that a later one of
//! the same peer outdates is marked so, and need not be told. The store writes, the server's `watch.rs` reads.

use crate::announcement::Name;
use landline::PeerId;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};

/// The newest changes.
///
/// Invariants: `ring` holds the changes with the revisions `revision - ring.len() + 1 ..= revision`; `latest` has exactly
/// the peers that occur in it.
#[derive(Debug)]
pub(crate) struct Changes {
    ring: VecDeque<(PeerId, Change)>,
    revision: u64,
    /// Of the newest change that is more than a renewal.
    news_revision: u64,
    latest: HashMap<PeerId, Latest>,
    count_max: usize,
}

/// What happened to a peer's announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It came, or was renewed with other content.
    Up {
        /// It was not there before.
        is_new: bool,
    },
    /// It was renewed, and only sequence and lease changed.
    Renewed,
    /// It went.
    Down {
        /// What it was called.
        name: Name,
        /// Why.
        reason: DownReason,
    },
}

/// Why an announcement went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownReason {
    /// Its lease ended.
    Expired,
    /// Its peer withdrew it.
    Withdrawn,
    /// The operator removed it.
    Removed,
}

/// A change as the log tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged<'a> {
    pub(crate) revision: u64,
    pub(crate) peer_id: PeerId,
    pub(crate) change: &'a Change,
    /// A later change tells all that this one does.
    pub(crate) is_outdated: bool,
}

/// Revisions of a peer's newest change, and of its newest that is more than a renewal (0 where the log has none).
#[derive(Clone, Copy, Debug)]
struct Latest {
    any: u64,
    news: u64,
}

impl Changes {
    /// An empty log that will keep `count_max` changes.
    pub(super) fn new(count_max: usize) -> Changes {
        Changes { ring: VecDeque::new(), revision: 0, news_revision: 0, latest: HashMap::new(), count_max }
    }

    /// Notes a change under the next revision.
    pub(super) fn push(&mut self, peer_id: PeerId, change: Change) {
        self.revision += 1;
        let latest = self.latest.entry(peer_id).or_insert(Latest { any: 0, news: 0 });
        latest.any = self.revision;
        if change != Change::Renewed {
            latest.news = self.revision;
            self.news_revision = self.revision;
        }
        self.ring.push_back((peer_id, change));
        if self.ring.len() > self.count_max {
            self.drop_oldest();
        }
    }

    /// The number of changes since the start: the revision of the newest one.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision of the newest change that is more than a renewal.
    pub(crate) fn news_revision(&self) -> u64 {
        self.news_revision
    }

    /// Whether the log still has all changes behind `revision`, which must be one that has been.
    pub(crate) fn reaches(&self, revision: u64) -> bool {
        (self.revision - self.ring.len() as u64..=self.revision).contains(&revision)
    }

    /// The changes behind `revision`, oldest first, as far as the log still has them.
    pub(crate) fn after(&self, revision: u64) -> impl Iterator<Item = Logged<'_>> {
        let oldest = self.revision - self.ring.len() as u64 + 1;
        let skip = (revision + 1).saturating_sub(oldest).min(self.ring.len() as u64);
        let changes = self.ring.range(skip as usize..).enumerate();
        changes.map(move |(index, (peer_id, change))| {
            let revision = oldest + skip + index as u64;
            let latest = self.latest.get(peer_id);
            let is_outdated = latest.is_some_and(|latest| match change {
                // Only a later word on the content makes an earlier one superfluous: a renewal repeats none of it.
                Change::Up { .. } | Change::Down { .. } => latest.news > revision,
                Change::Renewed => latest.any > revision,
            });
            Logged { revision, peer_id: *peer_id, change, is_outdated }
        })
    }

    fn drop_oldest(&mut self) {
        let revision = self.revision - self.ring.len() as u64 + 1;
        let Some((peer_id, _)) = self.ring.pop_front() else { return };
        if self.latest.get(&peer_id).is_some_and(|latest| latest.any == revision) {
            self.latest.remove(&peer_id);
        }
    }
}

impl DownReason {
    /// The word for it in a watcher's stream.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            DownReason::Expired => "expired",
            DownReason::Withdrawn => "withdrawn",
            DownReason::Removed => "removed",
        }
    }
}

/// Whether two announcements of a peer differ in nothing but sequence and lease. What this version does not know of is
/// content too.
pub(super) fn is_renewal(before: &str, after: &str) -> bool {
    if let (Some(before), Some(after)) = (around_sequence(before), around_sequence(after))
        && before == after
    {
        return true;
    }
    let content = |text: &str| {
        let mut members: Map<String, Value> = serde_json::from_str(text).ok()?;
        members.remove("sequence");
        members.remove("lease");
        Some(members)
    };
    content(before).is_some_and(|before| content(after) == Some(before))
}

/// What stands before and behind the number of a `"sequence"`: the quick way for announcements whose writer does not change
/// its ways. (The quotes of this needle would be escaped inside a JSON string. If it is one in a member of a member, then
/// equal surroundings mean equal sequences, which no renewal has.)
fn around_sequence(statement: &str) -> Option<(&str, &str)> {
    let (before, rest) = statement.split_once("\"sequence\":")?;
    Some((before, rest.trim_start_matches(|character: char| character.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: [PeerId; 3] = [PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]), PeerId::from_bytes([3; 32])];

    fn told(changes: &Changes, after: u64) -> Vec<(u64, bool)> {
        changes.after(after).map(|logged| (logged.revision, logged.is_outdated)).collect()
    }

    #[test]
    fn a_change_is_outdated_by_a_later_one_that_says_as_much() {
        let mut changes = Changes::new(10);
        changes.push(PEER[0], Change::Up { is_new: true });
        changes.push(PEER[0], Change::Renewed);
        changes.push(PEER[1], Change::Up { is_new: true });
        changes.push(PEER[0], Change::Renewed);
        assert_eq!(told(&changes, 0), [(1, false), (2, true), (3, false), (4, false)]);
        changes.push(PEER[0], Change::Up { is_new: false });
        assert_eq!(told(&changes, 1), [(2, true), (3, false), (4, true), (5, false)]);
        assert_eq!((changes.revision(), changes.news_revision()), (5, 5));
        changes.push(PEER[1], Change::Renewed);
        assert_eq!((changes.revision(), changes.news_revision()), (6, 5));
        assert_eq!(told(&changes, 6), []);
    }

    #[test]
    fn the_log_is_bounded_and_says_how_far_it_reaches() {
        let mut changes = Changes::new(4);
        assert!(changes.reaches(0) && !changes.reaches(1));
        for round in 0..1000 {
            changes.push(PEER[round % 2], Change::Renewed);
            assert!(changes.ring.len() <= 4 && changes.latest.len() <= 2);
        }
        changes.push(PEER[2], Change::Up { is_new: true });
        assert_eq!((changes.reaches(996), changes.reaches(997), changes.reaches(1001)), (false, true, true));
        assert!(!changes.reaches(1002));
        assert_eq!(told(&changes, 997), [(998, true), (999, false), (1000, false), (1001, false)]);
        for _ in 0..4 {
            changes.push(PEER[2], Change::Renewed);
        }
        assert_eq!(changes.latest.len(), 1, "who is not in the log any more is forgotten");
    }

    #[test]
    fn a_renewal_changes_sequence_and_lease_only() {
        let first = r#"{"name":"a","sequence":10,"lease":60}"#;
        for same in [
            r#"{"name":"a","sequence":123456,"lease":60}"#,
            r#"{"name":"a","sequence":11,"lease":30}"#,
            r#"{ "sequence": 11, "name": "a" }"#,
        ] {
            assert!(is_renewal(first, same), "{same}");
        }
        for other in [
            r#"{"name":"b","sequence":11,"lease":60}"#,
            r#"{"name":"a","sequence":11,"lease":60,"new":1}"#,
            r#"{"name":"a","x":{"sequence":11},"sequence":11,"lease":60}"#,
        ] {
            assert!(!is_renewal(first, other), "{other}");
        }
    }
}

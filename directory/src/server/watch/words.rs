//! The events of a watcher's stream, as text. `docs/protocol.md` has them all.
//!
//! An event that brings the client to a revision has it as its id. Those of a snapshot have none: whoever is cut off in the
//! middle of one has nothing to go on from.

use super::Filter;
use crate::announcement::unix_ms;
use crate::server::listing::push_entry;
use crate::store::{Change, Entry, Logged, Store};
use landline::PeerId;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Instant, SystemTime};

/// Events being written.
pub(super) struct Words {
    text: String,
    instance: u64,
    now: Instant,
}

impl Words {
    pub(super) fn new(instance: u64, now: Instant) -> Words {
        Words { text: String::new(), instance, now }
    }

    /// Everything told so far is void.
    pub(super) fn push_reset(&mut self) {
        self.push("reset", None, &json!({ "now_ms": unix_ms(SystemTime::now()) }));
    }

    /// A peer as it is listed.
    pub(super) fn push_up(&mut self, entry: &Entry, id: Option<u64>) {
        self.push_head("up", id);
        push_entry(&mut self.text, entry, self.now);
        self.text.push_str("\n\n");
    }

    /// All up to `id` is told.
    pub(super) fn push_ready(&mut self, id: u64, count: usize) {
        self.push("ready", Some(id), &json!({ "count": count }));
    }

    /// A sign of life, with an id that no event had.
    pub(super) fn push_beat(&mut self, id: Option<u64>) {
        self.text.push_str(": beat\n");
        if let Some(id) = id {
            self.push_id(id);
        }
        self.text.push('\n');
    }

    /// What a change makes of the state that its watcher has, in the light of what is now. Gives whether that is anything.
    ///
    /// Nobody keeps what a watcher with a filter has been shown. So each `down` goes to it, outdated or not, whatever the
    /// peer was called, and a peer that was listed before and does not fit (any more) is one that goes.
    pub(super) fn push_change(&mut self, logged: &Logged<'_>, filter: Option<&Filter>, store: &Store) -> bool {
        let Logged { revision, peer_id, change, is_outdated } = *logged;
        if is_outdated && (filter.is_none() || !matches!(change, Change::Down { .. })) {
            return false;
        }
        // One that is past its deadline will be told as gone before long.
        let entry = store.by_id(peer_id, self.now);
        let fits = |entry: &&Entry| filter.is_none_or(|filter| filter.fits(entry));
        match (change, entry) {
            (Change::Down { name, reason }, _) => {
                let body = json!({ "peer_id": id_text(peer_id), "name": name.as_str(), "reason": reason.as_str() });
                self.push("down", Some(revision), &body);
            }
            (Change::Up { .. }, Some(entry)) if fits(&entry) => self.push_up(entry, Some(revision)),
            (Change::Up { is_new: false }, Some(entry)) => {
                let name = entry.name().as_str();
                let body = json!({ "peer_id": id_text(peer_id), "name": name, "reason": "changed" });
                self.push("down", Some(revision), &body);
            }
            (Change::Renewed, Some(entry)) if fits(&entry) => {
                let body = json!({
                    "peer_id": id_text(peer_id),
                    "name": entry.name().as_str(),
                    "sequence": entry.sequence(),
                    "expires_in_ms": entry.expires_in(self.now).as_millis() as u64,
                });
                self.push("renew", Some(revision), &body);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn push(&mut self, event: &str, id: Option<u64>, body: &Value) {
        self.push_head(event, id);
        // Writing to a String does not fail. JSON as it is written here has no line ends.
        let _ = write!(self.text, "{body}\n\n");
    }

    fn push_head(&mut self, event: &str, id: Option<u64>) {
        let _ = writeln!(self.text, "event: {event}");
        if let Some(id) = id {
            self.push_id(id);
        }
        self.text.push_str("data: ");
    }

    fn push_id(&mut self, id: u64) {
        let _ = writeln!(self.text, "id: {:016x}-{id}", self.instance);
    }
}

fn id_text(peer_id: PeerId) -> String {
    peer_id.to_string()
}

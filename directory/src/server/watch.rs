//! Watching: what changes, as Server-Sent Events, to each connection that asked for it.
//!
//! A watcher is a cursor and owns no queue: while the snapshot goes out, the name that it has come to; from then on a
//! revision in the store's log of changes. Events are written when the socket has room, of the state that there is then. One
//! that falls behind the log is ended, and told all anew when it comes again.
//!
//! A snapshot is taken over many turns, so it is no state that ever was. It becomes one by the changes since the revision at
//! which it began, which follow it: whatever changed meanwhile is among them, whether the snapshot had it or not.
//! What watchers without a filter are told in one turn is put into words once (`words.rs`) and shared.

mod words;

use super::routes::{Problem, parameter};
use crate::announcement::Name;
use crate::http::{Request, Response, Version};
use crate::limits::{
    NAME_LEN_MAX, SERVICE_LEN_MAX, WATCH_BEAT, WATCH_PAGE_COUNT, WATCH_PIECE_LEN, WATCH_RENEWAL_PAUSE,
    WATCH_SCAN_COUNT_MAX, WATCH_SHARED_COUNT_MAX,
};
use crate::store::{Changes, Entry, Query, Store};
use bytes::BytesMut;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use words::Words;

/// What all watchers have in common.
///
/// Invariant: the counts of `per_address` add up to `count`; none is 0.
pub(super) struct Watchers {
    /// Tells revisions of this run of the directory from those of another.
    instance: u64,
    count: usize,
    per_address: HashMap<IpAddr, usize>,
    count_max: usize,
    per_address_max: usize,
    /// The revision that was the newest when all were last told to look.
    told: u64,
    /// Changes that are no news wait until then.
    resume_at: Option<Instant>,
    /// What has been put into words in the turn at `shared_at`.
    shared: Vec<Piece>,
    shared_at: Option<Instant>,
}

/// Events for a watcher without a filter that has been told all up to `start`.
struct Piece {
    start: u64,
    end: u64,
    /// The revision that the last event in `text` names.
    last_id: Option<u64>,
    text: String,
}

/// What a watcher wants to hear of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    name_prefix: String,
    service: Option<String>,
}

/// One watcher.
pub(super) struct Watch {
    /// `None`: everything.
    filter: Option<Box<Filter>>,
    stage: Stage,
    is_chunked: bool,
    /// The revision that the client would go on from.
    last_id: Option<u64>,
    is_beat_due: bool,
    beat_at: Instant,
}

enum Stage {
    /// The peers up to a name have gone out. Then come the changes since the snapshot began, which it has not yet where
    /// there is no revision.
    Snapshot { after: Option<Name>, since: Option<u64> },
    /// All up to the revision has gone out, and whether `ready` has.
    Changes { cursor: u64, is_ready: bool },
}

/// How far asking a watcher for more has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is output.
    Wrote,
    /// Nothing is to be told.
    UpToDate,
    /// Much was looked at and nothing found: go on in the next turn.
    Paused,
    /// The watcher has fallen behind.
    End,
}

impl Watchers {
    pub(super) fn new(instance: u64, count_max: usize, per_address_max: usize) -> Watchers {
        Watchers {
            instance,
            count: 0,
            per_address: HashMap::new(),
            count_max,
            per_address_max,
            told: 0,
            resume_at: None,
            shared: Vec::new(),
            shared_at: None,
        }
    }

    /// The head of the answer to a request to watch, or why there is none and when to come again.
    pub(super) fn answer(
        &self,
        request: &Request,
        address: IpAddr,
        retry_after: Duration,
    ) -> Result<Response, Response> {
        Filter::parse(request)?;
        let of_address = self.per_address.get(&address).copied().unwrap_or(0);
        if self.count >= self.count_max || of_address >= self.per_address_max {
            let detail = "there are as many watchers as there may be, in all or of your address; come again, or ask \
                          for /v1/peers now and then";
            return Err(Problem::TooManyWatchers.response(detail).with_retry_after(retry_after));
        }
        Ok(Response::stream("text/event-stream"))
    }

    /// Starts the stream of a request that [`answer`](Self::answer) had no objection to. `leave` has to follow.
    pub(super) fn open(&mut self, request: &Request, address: IpAddr, store: &Store, now: Instant) -> Watch {
        self.count += 1;
        *self.per_address.entry(address).or_default() += 1;
        let filter = Filter::parse(request).unwrap_or_default();
        let resumed = request.last_event_id.as_deref().and_then(|id| self.parse_id(id));
        let stage = match resumed.filter(|revision| store.changes().reaches(*revision)) {
            Some(cursor) => Stage::Changes { cursor, is_ready: false },
            None => Stage::Snapshot { after: None, since: None },
        };
        Watch {
            filter: (filter != Filter::default()).then(|| Box::new(filter)),
            stage,
            is_chunked: request.version == Version::Http11,
            last_id: None,
            is_beat_due: false,
            beat_at: now + WATCH_BEAT,
        }
    }

    /// The connection of a watcher at `address` is gone.
    pub(super) fn leave(&mut self, address: IpAddr) {
        self.count = self.count.saturating_sub(1);
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }

    /// Whether all watchers are to look now for what has changed.
    pub(super) fn take_due(&mut self, changes: &Changes, now: Instant) -> bool {
        let has_changed = self.told != changes.revision();
        let has_news = changes.news_revision() > self.told;
        let is_early = self.resume_at.is_some_and(|at| now < at);
        if !has_changed || self.count == 0 {
            (self.told, self.resume_at) = (changes.revision(), self.resume_at.filter(|_| is_early));
            return false;
        }
        if is_early && !has_news {
            return false;
        }
        self.told = changes.revision();
        self.resume_at = Some(now + WATCH_RENEWAL_PAUSE * self.count as u32);
        true
    }

    /// When [`take_due`](Self::take_due) is to be asked, whether anything happens until then or not.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.resume_at
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn parse_id(&self, id: &str) -> Option<u64> {
        let (instance, revision) = id.split_once('-')?;
        let is_ours = instance == format!("{:016x}", self.instance) && crate::http::is_digits(revision);
        is_ours.then(|| revision.parse().ok()).flatten()
    }

    /// The events behind `start` for those without a filter, put into words once a turn.
    fn share(&mut self, start: u64, store: &Store, now: Instant) -> &Piece {
        if self.shared_at != Some(now) {
            self.shared.clear();
            self.shared_at = Some(now);
        }
        let found = self.shared.iter().position(|piece| piece.start == start);
        let index = found.unwrap_or_else(|| {
            if self.shared.len() == WATCH_SHARED_COUNT_MAX {
                self.shared.remove(0);
            }
            self.shared.push(Piece::collect(start, None, self.instance, store, now));
            self.shared.len() - 1
        });
        &self.shared[index]
    }
}

impl Piece {
    fn collect(start: u64, filter: Option<&Filter>, instance: u64, store: &Store, now: Instant) -> Piece {
        let mut words = Words::new(instance, now);
        let (mut end, mut last_id) = (start, None);
        for logged in store.changes().after(start).take(WATCH_SCAN_COUNT_MAX) {
            end = logged.revision;
            if words.push_change(&logged, filter, store) {
                last_id = Some(end);
            }
            if words.text().len() >= WATCH_PIECE_LEN {
                break;
            }
        }
        Piece { start, end, last_id, text: words.into_text() }
    }
}

impl Watch {
    /// The head of the answer, with the framing of what follows.
    pub(super) fn frame(&self, head: Response) -> Response {
        if self.is_chunked { head.with_field("Transfer-Encoding", "chunked") } else { head }
    }

    /// Writes what is to be told next into the empty `output`: at most one piece of about `WATCH_PIECE_LEN`.
    pub(super) fn poll(&mut self, output: &mut BytesMut, watchers: &mut Watchers, store: &Store, now: Instant) -> Step {
        let step = loop {
            match &self.stage {
                Stage::Snapshot { .. } => {
                    if !self.poll_snapshot(output, watchers.instance, store, now) {
                        break if output.is_empty() { Step::Paused } else { Step::Wrote };
                    }
                }
                Stage::Changes { cursor, .. } if !store.changes().reaches(*cursor) => break Step::End,
                Stage::Changes { cursor, .. } if *cursor < store.changes().revision() => {
                    if !self.poll_changes(output, watchers, store, now) && output.is_empty() {
                        break Step::Paused;
                    }
                }
                Stage::Changes { .. } => {
                    self.poll_quiet(output, Words::new(watchers.instance, now), store.count());
                    if output.is_empty() {
                        return Step::UpToDate;
                    }
                }
            }
            if !output.is_empty() {
                break Step::Wrote;
            }
        };
        if step == Step::Wrote {
            self.is_beat_due = false;
            self.beat_at = now + WATCH_BEAT;
        }
        step
    }

    /// The last words, for the connection to end with.
    pub(super) fn finish(&self, output: &mut BytesMut) {
        if self.is_chunked {
            output.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// It has been quiet for long enough.
    pub(super) fn handle_beat(&mut self) {
        self.is_beat_due = true;
    }

    /// When [`handle_beat`](Self::handle_beat) is wanted, unless something is written before.
    pub(super) fn beat_at(&self) -> Instant {
        self.beat_at
    }

    /// The next peers by name. Gives whether the snapshot is complete.
    fn poll_snapshot(&mut self, output: &mut BytesMut, instance: u64, store: &Store, now: Instant) -> bool {
        let Stage::Snapshot { after, since } = &mut self.stage else { return true };
        let mut words = Words::new(instance, now);
        let since = *since.get_or_insert_with(|| {
            words.push_reset();
            store.changes().revision()
        });
        let page = store.list(&query(self.filter.as_deref(), after.clone()), now);
        let mut next = page.next;
        for (_, entry) in page.entries {
            words.push_up(entry, None);
            if words.text().len() >= WATCH_PIECE_LEN {
                next = Some(entry.name().clone());
                break;
            }
        }
        self.stage = match next {
            Some(name) => Stage::Snapshot { after: Some(name), since: Some(since) },
            None => Stage::Changes { cursor: since, is_ready: false },
        };
        self.put(words.text(), output);
        matches!(self.stage, Stage::Changes { .. })
    }

    /// The next changes. Gives whether those were all.
    fn poll_changes(&mut self, output: &mut BytesMut, watchers: &mut Watchers, store: &Store, now: Instant) -> bool {
        let Stage::Changes { cursor, is_ready } = self.stage else { return true };
        let own;
        let piece = match &self.filter {
            None => watchers.share(cursor, store, now),
            Some(filter) => {
                own = Piece::collect(cursor, Some(filter), watchers.instance, store, now);
                &own
            }
        };
        self.put(&piece.text, output);
        self.last_id = piece.last_id.or(self.last_id);
        self.stage = Stage::Changes { cursor: piece.end, is_ready };
        piece.end == store.changes().revision()
    }

    /// All that has changed is told.
    fn poll_quiet(&mut self, output: &mut BytesMut, mut words: Words, listed_count: usize) {
        let Stage::Changes { cursor, is_ready } = self.stage else { return };
        if !is_ready {
            words.push_ready(cursor, listed_count);
        } else if self.is_beat_due {
            // A filter may have let nothing through: the client still goes on from here.
            words.push_beat((self.last_id != Some(cursor)).then_some(cursor));
        } else {
            return;
        }
        self.last_id = Some(cursor);
        self.stage = Stage::Changes { cursor, is_ready: true };
        self.put(words.text(), output);
    }

    /// Frames a piece; an empty one is none, since an empty chunk ends the stream.
    fn put(&self, text: &str, output: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        if self.is_chunked {
            // Writing to a BytesMut that may grow does not fail.
            let _ = write!(output, "{:x}\r\n{text}\r\n", text.len());
        } else {
            output.extend_from_slice(text.as_bytes());
        }
    }
}

impl Filter {
    /// Reads `name` and `service`. Other parameters are skipped.
    fn parse(request: &Request) -> Result<Filter, Response> {
        // What is longer than any name fits none; nor does this, which takes less memory.
        let bounded = |value: &str, len_max| if value.len() > len_max { "/" } else { value }.to_owned();
        let name_prefix = parameter(request, "name")?.map(|name| bounded(name, NAME_LEN_MAX));
        let service = parameter(request, "service")?.map(|service| bounded(service, SERVICE_LEN_MAX));
        Ok(Filter { name_prefix: name_prefix.unwrap_or_default(), service })
    }

    fn fits(&self, entry: &Entry) -> bool {
        let is_offered = |service: &String| entry.offers(service);
        entry.name().as_str().starts_with(&self.name_prefix) && self.service.as_ref().is_none_or(is_offered)
    }
}

fn query(filter: Option<&Filter>, after: Option<Name>) -> Query {
    let name_prefix = filter.map(|filter| filter.name_prefix.clone()).unwrap_or_default();
    let service = filter.and_then(|filter| filter.service.clone());
    Query { after, name_prefix, service, count_max: WATCH_PAGE_COUNT }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

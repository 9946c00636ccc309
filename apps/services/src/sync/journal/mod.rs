//! The journal: how a run left the files of this side that were equal then. From it the next run knows which of them were
//! touched since, whatever their lengths and times say.
//!
//! A run opens it when it begins. The thread that walks this side's tree asks it about each file as it comes ([`Recall`]);
//! all threads tell it which files are equal. It is a cache: what is wrong with it ends its use and is told once
//! ([`Journal::close`]), and is no failure of the run. It knows no messages and no plans; its file is in [`store`].

mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use landline::PeerId;

use super::entry::{Memory, Stamp, TreePath, Walked};
use super::queue::lock;
use super::wire::Role;
use crate::limits::{JOURNAL_BATCH_LEN, JOURNAL_NOTE_CHARGE, JOURNAL_PATH_MAX};
use store::{Fault, Known, Note, Record, Store};

/// The journal of one run, shared by its threads.
pub(crate) struct Journal {
    state: Mutex<State>,
    /// It can be read.
    is_used: AtomicBool,
}

/// `pending_len <= JOURNAL_BATCH_LEN` but for the last note.
#[derive(Default)]
struct State {
    path: PathBuf,
    /// `None` in a dry run, which only reads, and where there is no journal any more.
    store: Option<Store>,
    /// What it knew when the run began, until a walk takes that.
    known: Option<Known>,
    pending: Vec<Note>,
    pending_len: usize,
    trouble: Option<String>,
}

/// What the journal knew when the run began, read along a walk.
pub(crate) struct Recall<'a> {
    journal: &'a Journal,
    known: Option<Known>,
    /// The next file that it knows.
    next: Option<Record>,
    key: Vec<u8>,
}

/// What a run without a journal does.
const INSTEAD: &str = "and this run goes by size and time alone";

/// The name of the file for the journal of a pair of trees: `local`, which is absolute and free of links, and a directory
/// of a peer. `role` is that of this side.
pub fn journal_name(local: &Path, role: Role, peer: PeerId, share: &str, path: &TreePath) -> String {
    let role = if role == Role::Push { b"push" } else { b"pull" };
    let mut hasher = blake3::Hasher::new();
    for part in [local.as_os_str().as_encoded_bytes(), role, peer.as_bytes(), share.as_bytes(), path.as_bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    format!("{}{}", &hasher.finalize().to_hex()[..store::NAME_DIGIT_COUNT], store::NAME_SUFFIX)
}

impl Journal {
    /// None: files of equal size and time are equal.
    pub(crate) fn none() -> Self {
        Self { state: Mutex::default(), is_used: AtomicBool::new(false) }
    }

    /// Opens the one at `path`, or makes it. A dry run only reads, and makes nothing.
    pub(crate) fn open(path: &Path, is_dry_run: bool) -> Self {
        let shown = path.display();
        let mut state = State { path: path.to_owned(), ..State::default() };
        match store::open(path, is_dry_run) {
            Ok(opened) => {
                (state.store, state.known) = (opened.store, opened.known);
                if opened.was_damaged {
                    state.trouble = Some(format!("the journal {shown} was damaged: it begins anew, {INSTEAD}"));
                }
            }
            Err(fault) => state.trouble = Some(format!("the journal {shown} is not used, {INSTEAD}: {fault}")),
        }
        let is_used = AtomicBool::new(state.store.is_some() || state.known.is_some());
        Self { state: Mutex::new(state), is_used }
    }

    /// Whether there is one.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// What it knows, for the walk of this side's tree.
    pub(crate) fn recall(&self) -> Recall<'_> {
        let known = lock(&self.state).known.take();
        let mut recall = Recall { journal: self, known, next: None, key: Vec::new() };
        recall.fetch();
        recall
    }

    /// A file is equal, as it is now.
    pub(crate) fn remember(&self, path: &TreePath, stamp: Stamp) {
        if path.as_bytes().len() <= JOURNAL_PATH_MAX {
            self.note(|| Note::Is(key(path), stamp));
        }
    }

    /// This run changed a file, but not its content: if it was equal before, it still is.
    pub(crate) fn follow(&self, path: &TreePath, before: Stamp, after: Stamp) {
        if before != after {
            self.note(|| Note::Became(key(path), before, after));
        }
    }

    /// Writes what is left to be written. Gives what was wrong with the journal, for people.
    pub(crate) fn close(&self) -> Option<String> {
        let mut state = lock(&self.state);
        self.write(&mut state);
        if let Some(Err(fault)) = state.store.take().map(Store::close) {
            state.note_trouble(&fault);
        }
        self.is_used.store(false, Ordering::Relaxed);
        state.trouble.take()
    }

    /// Notes something. Whoever fills a batch writes it: a few milliseconds in thousands of files.
    fn note(&self, note: impl FnOnce() -> Note) {
        if !self.is_used() {
            return;
        }
        let mut state = lock(&self.state);
        if state.store.is_none() {
            return;
        }
        let note = note();
        state.pending_len += note.key().len() + JOURNAL_NOTE_CHARGE;
        state.pending.push(note);
        if state.pending_len >= JOURNAL_BATCH_LEN {
            self.write(&mut state);
        }
    }

    fn write(&self, state: &mut State) {
        state.pending_len = 0;
        if let Some(store) = &state.store
            && !state.pending.is_empty()
            && let Err(fault) = store.write(&mut state.pending)
        {
            self.fail(state, &fault);
        }
    }

    /// It is not used any more.
    fn fail(&self, state: &mut State, fault: &Fault) {
        state.note_trouble(fault);
        state.pending = Vec::new();
        if let Some(Err(fault)) = state.store.take().map(Store::close) {
            tracing::debug!(%fault, "the journal was not closed properly");
        }
        self.is_used.store(false, Ordering::Relaxed);
    }
}

impl State {
    fn note_trouble(&mut self, fault: &Fault) {
        let shown = self.path.display();
        self.trouble.get_or_insert_with(|| {
            format!("the journal {shown} is not kept, which the next run does without: {fault}")
        });
    }
}

impl Recall<'_> {
    /// Says of a file what the journal knows. Entries come in the order of a walk; what it knows of files that the walk
    /// does not meet is forgotten.
    pub(crate) fn look(&mut self, walked: &mut Walked) {
        if !self.journal.is_used() {
            return;
        }
        write_key(&walked.path, &mut self.key);
        while self.next.as_ref().is_some_and(|(next, _)| *next < self.key) {
            self.forget_next();
        }
        let is_known = self.next.as_ref().is_some_and(|(next, _)| *next == self.key);
        let stamp = walked.stamp().filter(|_| !walked.is_excluded);
        walked.memory = match (stamp, &self.next) {
            (Some(stamp), Some((_, known))) if is_known && store::encode(&stamp) == *known => Memory::Same,
            // Without content there is nothing that could be another.
            (Some(stamp), _) if is_known && stamp.len > 0 => Memory::Changed,
            (Some(_), _) => Memory::New,
            (None, _) => Memory::None,
        };
        match (is_known, stamp.is_some() || walked.is_excluded) {
            (true, true) => self.fetch(),
            (true, false) => self.forget_next(),
            (false, _) => {}
        }
    }

    /// The walk has met everything.
    pub(crate) fn finish(&mut self) {
        while self.next.is_some() {
            self.forget_next();
        }
    }

    fn forget_next(&mut self) {
        if let Some((key, _)) = self.next.take() {
            self.journal.note(|| Note::Gone(key));
        }
        self.fetch();
    }

    fn fetch(&mut self) {
        self.next = match self.known.as_mut().map(store::next) {
            Some(Ok(next)) => next,
            Some(Err(fault)) => {
                self.known = None;
                self.journal.fail(&mut lock(&self.journal.state), &fault);
                None
            }
            None => None,
        };
    }
}

/// Keys are ordered as a walk is: what separates components comes before every other byte, and no path holds a NUL.
fn write_key(path: &TreePath, key: &mut Vec<u8>) {
    key.clear();
    key.extend(path.as_bytes().iter().map(|byte| if *byte == b'/' { 0 } else { *byte }));
}

fn key(path: &TreePath) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.as_bytes().len());
    write_key(path, &mut key);
    key
}

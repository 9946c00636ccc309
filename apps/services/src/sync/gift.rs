//! Gifts: a push of files and directories that the other side did not ask for, into its save directory.
//!
//! `open` begins one, the target takes it by the rules here. It is put together in a hidden directory, as any run puts a
//! tree together, and only at the end each thing in it gets its name in the save directory: beside what is there, or, for
//! files, as the receiver's settings say. So a cut run leaves nothing in view, and the next one of the same things goes on.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use landline::{Identity, PeerId};
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::entry::{Kind, Metadata, TreePath};
use super::failure::{SyncCode, SyncFailure};
use super::open::{Request, SyncOptions};
use super::tree::{PartKey, Root, Stage, check_given_name};
use super::wire::Role;
use super::wire::hello::GIFT_FLAGS;
use super::wire::reports::Saved;
use crate::files::{Existing, SaveDirectory};
use crate::printable::is_unprintable;

/// Precedes what the label of a gift is taken of.
const LABEL_DOMAIN: &[u8] = b"landline/1 gift\0";

/// Where a node takes gifts, and what becomes of names that are taken.
#[derive(Debug)]
pub struct Gifts {
    save: Arc<SaveDirectory>,
    existing: Existing,
}

/// A gift on its way in.
#[derive(Debug)]
pub(crate) struct Incoming {
    gifts: Arc<Gifts>,
    stage: Stage,
    /// Something was not asked for because there is no room for it: the disk is not full yet.
    is_turned_down: AtomicBool,
}

impl Request {
    /// What gives what is in `root` ([`Root::of_paths`]) to whoever is on the other side. `identity` is this node's.
    pub fn gift(root: Arc<Root>, identity: &Identity) -> Self {
        // The same for the same things, and says nothing of where they are: a signature cannot be guessed.
        let signature = identity.sign(&[LABEL_DOMAIN, &root.given_digest()].concat());
        let label = blake3::hash(&signature).to_hex();
        Self {
            role: Role::Push,
            share: String::new(),
            path: TreePath::new(&label.as_bytes()[..16]).unwrap_or_default(),
            local: root,
            journal: None,
            options: SyncOptions { flags: GIFT_FLAGS, max_delete_percent: 100, ..SyncOptions::default() },
        }
    }
}

impl Gifts {
    /// Gifts go to `save`; what becomes of names that are taken there says `existing`. Clears away what cut runs left there
    /// and nobody came back for.
    pub fn new(save: Arc<SaveDirectory>, existing: Existing) -> Arc<Self> {
        let gifts = Self { save, existing };
        gifts.sweep();
        Arc::new(gifts)
    }

    /// Begins to take the gift that `peer` calls `label`, or goes on with it.
    pub(crate) fn take(self: &Arc<Self>, peer: &PeerId, label: &TreePath) -> Result<Incoming, SyncFailure> {
        let key = PartKey::new(label, 0, &Metadata::default(), peer.as_bytes());
        let stage = self.root().and_then(|root| Stage::open(root, key)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => SyncFailure::new(SyncCode::Busy, "the same is being sent already"),
            _ => SyncFailure::storage("opening a place for it", &error),
        })?;
        Ok(Incoming { gifts: self.clone(), stage, is_turned_down: AtomicBool::new(false) })
    }

    fn root(&self) -> io::Result<Arc<Root>> {
        Ok(Arc::new(self.save.fd().try_clone_to_owned()?.into()))
    }

    fn sweep(&self) {
        if let Err(error) = self.root().and_then(|root| Stage::sweep(&root, SystemTime::now())) {
            tracing::warn!(%error, "unfinished gifts could not be cleared away");
        }
    }
}

impl Incoming {
    /// Where it is put together.
    pub(crate) fn root(&self) -> &Arc<Root> {
        self.stage.root()
    }

    /// Looks whether so much more fits the disk.
    pub(crate) fn check_room(&self, len: u64) -> Result<(), SyncFailure> {
        match self.gifts.save.free_len() {
            Ok(free) if free < len => {
                self.is_turned_down.store(true, Ordering::Relaxed);
                Err(SyncFailure::new(SyncCode::NoSpace, format!("{len} bytes are needed, {free} are free")))
            }
            _ => Ok(()),
        }
    }

    /// Why something that is given by itself is not taken; a name that may not be is an error.
    pub(crate) fn refusal(&self, path: &TreePath, kind: &Kind) -> Result<Option<String>, SyncFailure> {
        let is_directory = match kind {
            Kind::Directory => true,
            Kind::File { .. } | Kind::HardLink { .. } | Kind::Unreadable => false,
            Kind::Symlink { .. } | Kind::Special => return Ok(Some("only files and directories are taken".to_owned())),
        };
        let name = check_given_name(path.as_bytes(), is_directory)
            .map_err(|fault| SyncFailure::protocol(format!("{path}: {fault}")))?;
        let is_free = self.gifts.save.check_free(name, is_directory, self.gifts.existing);
        Ok(is_free.err().map(|failure| failure.to_string()))
    }

    /// Gives something that was given by itself its name; `None` if it never came. An error says why it has none.
    pub(crate) fn place(&self, path: &TreePath) -> Result<Option<Saved>, String> {
        let text = |error: io::Error| error.to_string();
        let stage = self.root().directory(&TreePath::root()).map_err(text)?;
        let stat = match rustix::fs::statat(&stage, path.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(text(error.into())),
        };
        let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
        let len = u64::try_from(stat.st_size).ok().filter(|_| is_file);
        let name = String::from_utf8_lossy(path.as_bytes());
        let placed = self.gifts.save.take_in(stage.as_fd(), path.as_bytes(), &name, self.gifts.existing);
        placed.map(|name| Some(Saved { path: path.clone(), name, len })).map_err(|failure| failure.to_string())
    }

    /// Has the names on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.gifts.save.sync()
    }

    /// Clears away what others left long ago.
    pub(crate) fn sweep(&self) {
        self.gifts.sweep();
    }

    /// The disk is full, if nothing was turned down before it was: what is put together goes. A disk that is full of what
    /// cannot be seen is worse than sending it again.
    pub(crate) fn make_room(&self) {
        if !self.is_turned_down.load(Ordering::Relaxed) {
            self.discard();
        }
    }

    /// What is put together, and has no name yet, goes.
    pub(crate) fn discard(&self) {
        if let Err(error) = self.stage.remove() {
            tracing::warn!(%error, "what was left of a gift could not be removed");
        }
    }
}

/// The attributes that a file, directory or link of a gift has, whatever they are at its source: its time, and for the
/// receiver only.
pub(crate) fn limited(kind: &Kind, metadata: &Metadata) -> Metadata {
    let mode = match kind {
        Kind::Directory => 0o700,
        Kind::Symlink { .. } => 0o777,
        _ => 0o600,
    };
    let (mtime_secs, mtime_nanos) = (metadata.mtime_secs, metadata.mtime_nanos);
    Metadata { mode, mtime_secs, mtime_nanos, uid: u32::MAX, gid: u32::MAX, xattrs: Vec::new() }
}

/// Whether a name would mislead whoever looks at it. What is no text is shown as such, and so does not.
pub(crate) fn is_misleading(name: &[u8]) -> bool {
    name.utf8_chunks().any(|chunk| chunk.valid().chars().any(|c| is_unprintable(c) || c == '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_are_taken_and_those_that_mislead_are_not() {
        for fine in [&b"a"[..], b".hidden", b"\xff\xfe", "Grüße 世界".as_bytes(), b"-rf", b"a b"] {
            assert!(!is_misleading(fine), "{}", fine.escape_ascii());
        }
        for misleading in [&b"a\nb"[..], b"\xff\x1b[2J", "a\u{202e}fdp.exe".as_bytes(), b"\t"] {
            assert!(is_misleading(misleading), "{}", misleading.escape_ascii());
        }
    }
}

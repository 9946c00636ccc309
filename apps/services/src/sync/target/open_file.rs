//! A file whose content is coming in: checked piece by piece, written to its temporary file, placed at the end.

use std::io;

use crate::sync::content::hash_zeros;
use crate::sync::entry::Stamp;
use crate::sync::failure::{SyncCode, SyncFailure, concerns_all};
use crate::sync::plan::SkipReason;
use crate::sync::progress::{Counters, timed};
use crate::sync::tree::{DirectoryCache, Part, PartKey};
use crate::sync::wire::pieces::Ending;

use super::lane::Wanted;
use crate::limits::{GROWTH_LEN_MAX, RESUME_LEN_MIN};

/// A file on order of which the first piece has come. Unless it was given up, `received_len` bytes are in `hasher`, and, if
/// it is not only compared, below that length of `part`; `received_len <= len_max(wanted.len)`.
pub(super) struct OpenFile {
    pub(super) wanted: Wanted,
    pub(super) base: Base,
    received_len: u64,
    hasher: blake3::Hasher,
}

/// Where its content goes.
pub(super) enum Base {
    /// Nowhere yet: it is compared with what is in place, which was this when it was hashed.
    InPlace(Stamp),
    /// Into a temporary file.
    Part(Part),
    /// Nowhere any more, and why.
    GivenUp(SkipReason),
}

impl Base {
    /// The temporary file, if there is one.
    pub(super) fn into_part(self) -> Option<Part> {
        if let Self::Part(part) = self { Some(part) } else { None }
    }
}

/// What is there of a file before anything is sent.
pub(super) struct Prefix {
    pub(super) base: Base,
    pub(super) len: u64,
    pub(super) hasher: blake3::Hasher,
}

impl OpenFile {
    /// Goes on with what there is.
    pub(super) fn resume(wanted: Wanted, prefix: Prefix) -> Self {
        let Prefix { base, len, hasher } = prefix;
        Self { wanted, base, received_len: len, hasher }
    }

    /// Begins with nothing.
    pub(super) fn begin(wanted: Wanted, cache: &mut DirectoryCache, source: &[u8]) -> Result<Self, SyncFailure> {
        let part = create(&wanted, cache, source);
        let base = settle_base(part, &wanted)?;
        Ok(Self { wanted, base, received_len: 0, hasher: blake3::Hasher::new() })
    }

    /// Looks at where content goes before it is taken, and gives the file up if there is no room for it: what is in place
    /// is not written to, and what has become far longer than it was listed would have no bound. Whether it is wanted.
    pub(super) fn admit(&mut self, offset: u64, len: u64) -> Result<bool, SyncFailure> {
        let end = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok());
        let end = end.filter(|_| offset == self.received_len);
        let end = end.ok_or_else(|| SyncFailure::protocol("content came with gaps or twice"))?;
        if matches!(self.base, Base::InPlace(_)) || end > len_max(self.wanted.len) {
            self.give_up(SkipReason::Changing);
        }
        let is_wanted = matches!(self.base, Base::Part(_));
        if !is_wanted {
            self.received_len = end;
        }
        Ok(is_wanted)
    }

    /// Takes bytes that were admitted.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], counters: &Counters) -> Result<(), SyncFailure> {
        let Base::Part(part) = &self.base else { return Ok(()) };
        timed(&counters.target_hash_ns, || {
            self.hasher.update(bytes);
        });
        self.received_len += bytes.len() as u64;
        let Err(error) = timed(&counters.target_disk_ns, || part.write_at(offset, bytes)) else { return Ok(()) };
        if concerns_all(&error) {
            return Err(SyncFailure::storage(&self.wanted.path.to_string(), &error));
        }
        self.give_up(SkipReason::Refused(error.to_string()));
        Ok(())
    }

    /// Takes a hole that was admitted; false if the run was stopped meanwhile.
    pub(super) fn skip(&mut self, len: u64, may_go_on: impl Fn() -> bool) -> bool {
        self.received_len += len;
        hash_zeros(&mut self.hasher, len, may_go_on)
    }

    /// Begins again.
    pub(super) fn restart(&mut self, cache: &mut DirectoryCache, source: &[u8]) -> Result<(), SyncFailure> {
        self.received_len = 0;
        self.hasher = blake3::Hasher::new();
        let result = match &self.base {
            Base::Part(part) => part.set_len(0).map(|()| None),
            Base::InPlace(_) => create(&self.wanted, cache, source).map(Some),
            Base::GivenUp(_) => return Ok(()),
        };
        match result {
            Ok(None) => {}
            Ok(Some(part)) => self.base = Base::Part(part),
            Err(error) => self.base = settle_base(Err(error), &self.wanted)?,
        }
        Ok(())
    }

    /// Checks what the source says of the whole against what came; what was given up was not looked at.
    pub(super) fn check_end(&self, ending: &Ending) -> Result<(), SyncFailure> {
        if matches!(self.base, Base::GivenUp(_)) {
            return Ok(());
        }
        let has_len = ending.len == self.received_len;
        if has_len && self.hasher.finalize() == ending.hash {
            return Ok(());
        }
        let what = if has_len { "its hash is another" } else { "its length is another" };
        Err(SyncFailure::new(SyncCode::Mismatch, format!("{}: {what} than the source says", self.wanted.path)))
    }

    /// The run ended before the file did: what is worth it is left for the next one.
    pub(super) fn leave(self) {
        if let Base::Part(part) = self.base
            && self.received_len >= RESUME_LEN_MIN
        {
            part.keep();
        }
    }

    /// What there is of it goes; what still comes is not looked at.
    fn give_up(&mut self, reason: SkipReason) {
        if !matches!(self.base, Base::GivenUp(_)) {
            self.base = Base::GivenUp(reason);
        }
    }
}

/// How long a file may turn out to be that was listed with this length: it may have grown since.
fn len_max(listed_len: u64) -> u64 {
    listed_len.saturating_mul(2).saturating_add(GROWTH_LEN_MAX)
}

/// The temporary file for this version of a file.
pub(super) fn key(wanted: &Wanted, source: &[u8]) -> PartKey {
    PartKey::new(&wanted.path, wanted.len, &wanted.metadata, source)
}

fn create(wanted: &Wanted, cache: &mut DirectoryCache, source: &[u8]) -> io::Result<Part> {
    let (parent, _) = cache.parent(&wanted.path)?;
    Part::create(&parent, key(wanted, source))
}

fn settle_base(part: io::Result<Part>, wanted: &Wanted) -> Result<Base, SyncFailure> {
    match part {
        Ok(part) => Ok(Base::Part(part)),
        Err(error) if concerns_all(&error) => Err(SyncFailure::storage(&wanted.path.to_string(), &error)),
        Err(error) => Ok(Base::GivenUp(SkipReason::Refused(refusal(&error)))),
    }
}

/// What went wrong, for people.
pub(super) fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "another run is writing it".to_owned(),
        _ => error.to_string(),
    }
}

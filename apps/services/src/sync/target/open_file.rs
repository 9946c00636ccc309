//! A file whose content is coming in: checked piece by piece, written to its temporary file, placed at the end.

use std::io;

use crate::sync::content::hash_zeros;
use crate::sync::failure::{SyncFailure, is_out_of_space};
use crate::sync::plan::SkipReason;
use crate::sync::progress::{Counters, timed};
use crate::sync::tree::{DirectoryCache, Part, PartKey};
use crate::sync::wire::pieces::Ending;

use super::lane::Wanted;
use crate::limits::RESUME_LEN_MIN;

/// A file on order of which the first piece has come. `received_len` bytes are in `hasher`, and, unless it was given up or
/// is only compared, below that length of `part`.
pub(super) struct OpenFile {
    pub(super) wanted: Wanted,
    pub(super) base: Base,
    received_len: u64,
    hasher: blake3::Hasher,
}

/// Where its content goes.
pub(super) enum Base {
    /// Nowhere yet: it is compared with what is in place, which is this long.
    InPlace,
    /// Into a temporary file.
    Part(Part),
    /// Nowhere any more, and why.
    GivenUp(SkipReason),
}

/// What is there of a file before anything is sent.
pub(super) struct Prefix {
    pub(super) part: Option<Part>,
    pub(super) len: u64,
    pub(super) hasher: blake3::Hasher,
}

impl OpenFile {
    /// Goes on with what there is.
    pub(super) fn resume(wanted: Wanted, prefix: Prefix) -> Self {
        let Prefix { part, len, hasher } = prefix;
        let base = part.map_or(Base::InPlace, Base::Part);
        Self { wanted, base, received_len: len, hasher }
    }

    /// Begins with nothing.
    pub(super) fn begin(wanted: Wanted, cache: &mut DirectoryCache, source: &[u8]) -> Result<Self, SyncFailure> {
        let part = create(&wanted, cache, source);
        let base = settle_base(part, &wanted)?;
        Ok(Self { wanted, base, received_len: 0, hasher: blake3::Hasher::new() })
    }

    /// Takes bytes.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], counters: &Counters) -> Result<(), SyncFailure> {
        self.check(offset, bytes.len() as u64)?;
        timed(&counters.target_hash_ns, || {
            self.hasher.update(bytes);
        });
        self.received_len += bytes.len() as u64;
        let written = match &self.base {
            Base::Part(part) => timed(&counters.target_disk_ns, || part.write_at(offset, bytes)),
            // It has grown at the source since it was listed, and what is in place is not to be written to.
            Base::InPlace => {
                self.base = Base::GivenUp(SkipReason::Changing);
                return Ok(());
            }
            Base::GivenUp(_) => return Ok(()),
        };
        let Err(error) = written else { return Ok(()) };
        if is_out_of_space(&error) {
            return Err(SyncFailure::storage(&self.wanted.path.to_string(), &error));
        }
        self.base = Base::GivenUp(SkipReason::Refused(error.to_string()));
        Ok(())
    }

    /// Takes a hole; false if the run was stopped meanwhile.
    pub(super) fn skip(&mut self, offset: u64, len: u64, may_go_on: impl Fn() -> bool) -> Result<bool, SyncFailure> {
        self.check(offset, len)?;
        if matches!(self.base, Base::InPlace) {
            self.base = Base::GivenUp(SkipReason::Changing);
        }
        self.received_len += len;
        Ok(hash_zeros(&mut self.hasher, len, may_go_on))
    }

    /// Begins again.
    pub(super) fn restart(&mut self, cache: &mut DirectoryCache, source: &[u8]) -> Result<(), SyncFailure> {
        self.received_len = 0;
        self.hasher = blake3::Hasher::new();
        let result = match &self.base {
            Base::Part(part) => part.set_len(0).map(|()| None),
            Base::InPlace => create(&self.wanted, cache, source).map(Some),
            Base::GivenUp(_) => return Ok(()),
        };
        match result {
            Ok(None) => {}
            Ok(Some(part)) => self.base = Base::Part(part),
            Err(error) => self.base = settle_base(Err(error), &self.wanted)?,
        }
        Ok(())
    }

    /// Checks what the source says of the whole against what came.
    pub(super) fn check_end(&self, ending: &Ending) -> Result<(), SyncFailure> {
        let has_len = ending.len == self.received_len;
        if has_len && self.hasher.finalize() == ending.hash {
            return Ok(());
        }
        use crate::sync::failure::SyncCode::Mismatch;
        let what = if has_len { "its hash is another" } else { "its length is another" };
        Err(SyncFailure::new(Mismatch, format!("{}: {what} than the source says", self.wanted.path)))
    }

    /// The run ended before the file did: what is worth it is left for the next one.
    pub(super) fn leave(self) {
        if let Base::Part(part) = self.base
            && self.received_len >= RESUME_LEN_MIN
        {
            part.keep();
        }
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), SyncFailure> {
        let is_next = offset == self.received_len && i64::try_from(offset.saturating_add(len)).is_ok();
        if is_next { Ok(()) } else { Err(SyncFailure::protocol("content came with gaps or twice")) }
    }
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
        Err(error) if is_out_of_space(&error) => Err(SyncFailure::storage(&wanted.path.to_string(), &error)),
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

//! The entries of a LIST message.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | what: 1 file, 2 directory, 3 symbolic link, 4 hard link, 5 special, 6 unreadable, 7 excluded; bit `0x80`: a file that hard links may follow to; bit `0x40`: a file whose content is to be compared |
//! | 2 | so many first bytes of the path are those of the entry before in this message; 0 in its first |
//! | 2 + n | the rest of the path |
//! | file: 8 | length |
//! | symbolic link: 2 + n | what it says |
//! | hard link: 2 + n | the path listed first of the names of its file |
//! | unreadable: 2 + n | why, for people |
//! | 1 to 4: 2 | mode |
//! | 8, 4 | time of the last change: seconds since 1970 (signed), nanoseconds |
//! | 4, 4 | owner, group |
//! | 1 | count of extended attributes; for each: |
//! | 2 + n, 2 + n | name, value; ordered by name |
//!
//! Entries come in the order of a walk, each in a directory that was listed before; the first is the root itself.

use bytes::BufMut;

use super::{Fields, Malformed, put_counted};
use crate::limits::{FAILURE_TEXT_MAX, TREE_PATH_MAX, XATTRS_LEN_MAX};
use crate::sync::entry::{Entry, Kind, Metadata, TreePath};
use crate::sync::plan::Offered;

const FILE: u8 = 1;
const DIRECTORY: u8 = 2;
const SYMLINK: u8 = 3;
const HARD_LINK: u8 = 4;
const SPECIAL: u8 = 5;
const UNREADABLE: u8 = 6;
const EXCLUDED: u8 = 7;
const HAS_NAMES: u8 = 0x80;
const IS_DOUBTFUL: u8 = 0x40;
/// Bytes of the name of an extended attribute (`XATTR_NAME_MAX`).
const XATTR_NAME_MAX: usize = 255;
/// Extended attributes of one entry: their count has 8 bits.
pub(crate) const XATTR_COUNT_MAX: usize = 255;

/// Appends an entry; `before` is the path of the one before it in this message. One with more extended attributes than can
/// be counted cannot be listed: the caller checks that.
pub(crate) fn put_entry(message: &mut impl BufMut, offered: &Offered, before: Option<&TreePath>) {
    let entry = &offered.entry;
    let what = match &entry.kind {
        _ if offered.is_excluded => EXCLUDED,
        Kind::File { .. } => {
            FILE | if offered.has_names { HAS_NAMES } else { 0 } | if offered.is_doubtful { IS_DOUBTFUL } else { 0 }
        }
        Kind::Directory => DIRECTORY,
        Kind::Symlink { .. } => SYMLINK,
        Kind::HardLink { .. } => HARD_LINK,
        Kind::Special => SPECIAL,
        Kind::Unreadable => UNREADABLE,
    };
    message.put_u8(what);
    let path = entry.path.as_bytes();
    let shared_len =
        before.map_or(0, |before| before.as_bytes().iter().zip(path).take_while(|(one, other)| one == other).count());
    message.put_u16(u16::try_from(shared_len).unwrap_or(0));
    put_counted(message, &path[shared_len..], TREE_PATH_MAX);
    match &entry.kind {
        _ if offered.is_excluded => return,
        Kind::File { len } => message.put_u64(*len),
        Kind::Symlink { target } => put_counted(message, target, TREE_PATH_MAX),
        Kind::HardLink { to } => put_counted(message, to.as_bytes(), TREE_PATH_MAX),
        Kind::Unreadable => {
            let reason = offered.reason.as_deref().unwrap_or_default();
            return put_counted(message, reason.as_bytes(), FAILURE_TEXT_MAX);
        }
        Kind::Special => return,
        Kind::Directory => {}
    }
    put_metadata(message, &entry.metadata);
}

/// Reads the entries of one LIST message, numbered from where the last one ended.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    fields: Fields<'a>,
    path: Vec<u8>,
    next_index: u64,
}

impl<'a> Entries<'a> {
    /// Of the body of a message whose first entry has this number.
    pub(crate) fn new(body: &'a [u8], first_index: u64) -> Self {
        Self { fields: Fields(body), path: Vec::new(), next_index: first_index }
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Offered>, Malformed> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        let (bits, what) = split_what(self.fields.u8()?)?;
        let path = self.path()?;
        let mut reason = None;
        let kind = match what {
            FILE => Kind::File { len: self.fields.u64()? },
            DIRECTORY => Kind::Directory,
            SYMLINK => Kind::Symlink { target: self.target()? },
            HARD_LINK => {
                Kind::HardLink { to: TreePath::new(self.fields.counted(TREE_PATH_MAX)?).map_err(|_| Malformed)? }
            }
            SPECIAL => Kind::Special,
            UNREADABLE => {
                reason = Some(self.fields.text(FAILURE_TEXT_MAX)?.to_owned());
                Kind::Unreadable
            }
            EXCLUDED => Kind::Special,
            _ => return Err(Malformed),
        };
        let metadata = if what <= HARD_LINK { self.metadata()? } else { Metadata::default() };
        // No source reads these, and no target could set them.
        if what == SYMLINK && !metadata.xattrs.is_empty() {
            return Err(Malformed);
        }
        let index = self.next_index;
        self.next_index += 1;
        let entry = Entry { path, kind, metadata };
        let (has_names, is_doubtful) = (bits & HAS_NAMES != 0, bits & IS_DOUBTFUL != 0);
        Ok(Some(Offered { index, entry, has_names, is_doubtful, is_excluded: what == EXCLUDED, reason }))
    }

    fn path(&mut self) -> Result<TreePath, Malformed> {
        let shared_len = usize::from(self.fields.u16()?);
        let rest = self.fields.counted(TREE_PATH_MAX)?;
        if shared_len > self.path.len() {
            return Err(Malformed);
        }
        self.path.truncate(shared_len);
        self.path.extend_from_slice(rest);
        TreePath::new(&self.path).map_err(|_| Malformed)
    }

    /// What a link says: never empty, and without a NUL, as the system wants it.
    fn target(&mut self) -> Result<Box<[u8]>, Malformed> {
        let target = self.fields.counted(TREE_PATH_MAX)?;
        if target.is_empty() || target.contains(&0) { Err(Malformed) } else { Ok(target.into()) }
    }

    fn metadata(&mut self) -> Result<Metadata, Malformed> {
        let fields = &mut self.fields;
        let mode = fields.u16()?;
        let (mtime_secs, mtime_nanos) = (fields.i64()?, fields.u32()?);
        let (uid, gid) = (fields.u32()?, fields.u32()?);
        if mode > 0o7777 || mtime_nanos >= 1_000_000_000 {
            return Err(Malformed);
        }
        let count = usize::from(fields.u8()?);
        let mut metadata = Metadata { mode, mtime_secs, mtime_nanos, uid, gid, xattrs: Vec::with_capacity(count) };
        let (xattrs, mut len) = (&mut metadata.xattrs, 0);
        for _ in 0..count {
            let name = fields.counted(XATTR_NAME_MAX)?;
            let value = fields.counted(XATTRS_LEN_MAX)?;
            len += name.len() + value.len();
            let is_ordered = xattrs.last().is_none_or(|(last, _)| **last < *name);
            if name.is_empty() || name.contains(&0) || !is_ordered || len > XATTRS_LEN_MAX {
                return Err(Malformed);
            }
            xattrs.push((name.into(), value.into()));
        }
        Ok(metadata)
    }
}

/// The bits, which only files have, and what it is.
fn split_what(byte: u8) -> Result<(u8, u8), Malformed> {
    let (bits, what) = (byte & (HAS_NAMES | IS_DOUBTFUL), byte & !(HAS_NAMES | IS_DOUBTFUL));
    if bits != 0 && what != FILE { Err(Malformed) } else { Ok((bits, what)) }
}

fn put_metadata(message: &mut impl BufMut, metadata: &Metadata) {
    message.put_u16(metadata.mode);
    message.put_i64(metadata.mtime_secs);
    message.put_u32(metadata.mtime_nanos);
    message.put_u32(metadata.uid);
    message.put_u32(metadata.gid);
    message.put_u8(u8::try_from(metadata.xattrs.len()).unwrap_or(u8::MAX));
    for (name, value) in metadata.xattrs.iter().take(XATTR_COUNT_MAX) {
        put_counted(message, name, XATTR_NAME_MAX);
        put_counted(message, value, XATTRS_LEN_MAX);
    }
}

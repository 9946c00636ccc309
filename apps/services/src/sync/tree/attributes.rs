//! Attributes of entries: read for the walk, put on what was written.
//!
//! Kept are the lower 12 bits of the mode, the time of change, owner and group, and of the extended attributes those of
//! users, POSIX ACL and file capabilities; what else there is (labels of security modules, `trusted.`) belongs to the
//! machine, and the other side has no say in it. What cannot be set is no error but a [`Warnings`].

use std::ffi::CStr;
use std::fmt;
use std::io::Write;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::root::Directory;
use crate::limits::XATTRS_LEN_MAX;
use crate::sync::entry::{CAPABILITY_XATTR, Metadata, Xattr};

/// What could not be set on an entry that is in place otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    /// Owner or group: only root may give files away.
    pub owner: bool,
    /// Set-user-ID or set-group-ID of a file, left out because its owner or group could not be set: they would lend the
    /// rights of somebody else.
    pub special_bits: bool,
    /// These or capabilities, left out because the other side may not lend the rights of this one.
    pub privileges: bool,
    /// The mode.
    pub mode: bool,
    /// The time of the last change.
    pub times: bool,
    /// Some of the extended attributes.
    pub xattrs: bool,
}

impl Warnings {
    /// Whether all was set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl BitOr for Warnings {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            owner: self.owner | other.owner,
            special_bits: self.special_bits | other.special_bits,
            privileges: self.privileges | other.privileges,
            mode: self.mode | other.mode,
            times: self.times | other.times,
            xattrs: self.xattrs | other.xattrs,
        }
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.owner, "owner"),
            (self.special_bits, "set-ID bits"),
            (self.privileges, "set-ID bits and capabilities, which a push does not bring"),
            (self.mode, "mode"),
            (self.times, "time"),
            (self.xattrs, "extended attributes"),
        ];
        let set: Vec<&str> = all.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
        write!(f, "not set: {}", set.join(", "))
    }
}

/// Extended attributes as [`Metadata`] has them.
pub(super) type Xattrs = Vec<Xattr>;

/// Bytes of a list of names, and of a value, that Linux gives at most (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_BUFFER_LEN: usize = 64 * 1024;

/// Reads extended attributes; keeps its buffers from one entry to the next.
#[derive(Debug)]
pub(super) struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
    path: Vec<u8>,
    has_proc: bool,
}

/// Where to read them from.
#[derive(Clone, Copy)]
enum Place<'a> {
    Descriptor(BorrowedFd<'a>),
    Path(&'a CStr),
}

impl XattrReader {
    pub(super) fn new() -> Self {
        let has_proc = rustix::fs::access("/proc/self/fd", rustix::fs::Access::EXEC_OK).is_ok();
        Self { list: Vec::new(), value: Vec::new(), path: Vec::new(), has_proc }
    }

    /// Those of an open file or directory; `None` where the file system has none at all.
    pub(super) fn of_descriptor(&mut self, fd: BorrowedFd<'_>) -> Result<Option<Xattrs>, Errno> {
        match read(Place::Descriptor(fd), &mut self.list, &mut self.value) {
            Err(Errno::NOTSUP | Errno::NOSYS) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Those of the regular file `name` in `directory`.
    ///
    /// The system has no call for that which takes a descriptor and a name (before Linux 6.13), and opening each file
    /// would need the right to read it. `/proc/self/fd/N` leads to exactly the directory that is held open, whatever
    /// became of its path, and the name behind it is one component that is not followed: still nothing outside.
    pub(super) fn of_name(&mut self, directory: &Directory, name: &[u8]) -> Result<Xattrs, Errno> {
        let result = if self.has_proc {
            self.path.clear();
            let written = write!(self.path, "/proc/self/fd/{}/", directory.as_fd().as_raw_fd());
            debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
            self.path.extend_from_slice(name);
            self.path.push(0);
            let path = CStr::from_bytes_with_nul(&self.path).map_err(|_| Errno::INVAL)?;
            read(Place::Path(path), &mut self.list, &mut self.value)
        } else {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let fd = directory.open(name, flags, Mode::empty())?;
            read(Place::Descriptor(fd.as_fd()), &mut self.list, &mut self.value)
        };
        match result {
            Err(Errno::NOTSUP | Errno::NOSYS) => Ok(Xattrs::new()),
            result => result,
        }
    }
}

fn read(place: Place<'_>, list: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<Xattrs, Errno> {
    if !list_names(place, list)? {
        return Ok(Xattrs::new());
    }
    let mut xattrs = Xattrs::new();
    let mut total_len = 0;
    for name in list.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        value.clear();
        value.reserve(XATTR_BUFFER_LEN);
        let result = match place {
            Place::Descriptor(fd) => rustix::fs::fgetxattr(fd, name, spare_capacity(value)),
            Place::Path(path) => rustix::fs::lgetxattr(path, name, spare_capacity(value)),
        };
        match result {
            Ok(_) => {}
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error),
        }
        total_len += name.len() + value.len();
        if total_len > XATTRS_LEN_MAX {
            return Err(Errno::TOOBIG);
        }
        xattrs.push((name.into(), value.as_slice().into()));
    }
    xattrs.sort_unstable();
    Ok(xattrs)
}

/// Reads the names into `list`, each ended by a NUL; false if there are none. Tries with little room first, because the
/// system takes and clears as much memory as it is given room for, and nearly all entries have no names or few.
fn list_names(place: Place<'_>, list: &mut Vec<u8>) -> Result<bool, Errno> {
    let mut few = [0; 256];
    let listed = match place {
        Place::Descriptor(fd) => rustix::fs::flistxattr(fd, &mut few[..]),
        Place::Path(path) => rustix::fs::llistxattr(path, &mut few[..]),
    };
    list.clear();
    match listed {
        Ok(len) => list.extend_from_slice(&few[..len]),
        Err(Errno::RANGE) => {
            list.reserve(XATTR_BUFFER_LEN);
            match place {
                Place::Descriptor(fd) => rustix::fs::flistxattr(fd, spare_capacity(list))?,
                Place::Path(path) => rustix::fs::llistxattr(path, spare_capacity(list))?,
            };
        }
        Err(error) => return Err(error),
    }
    Ok(!list.is_empty())
}

fn is_kept(name: &[u8]) -> bool {
    name.strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty())
        || matches!(name, CAPABILITY_XATTR | b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// Makes the attributes of an open file or directory, which are `now`, those of `metadata`.
///
/// The order matters: a new owner takes set-ID bits and capabilities away, an ACL changes the mode, all of them change
/// times. A file stays closed to others until its owner is right, if it was.
pub(super) fn put(fd: BorrowedFd<'_>, metadata: &Metadata, now: &Stat) -> Warnings {
    let mut warnings = Warnings::default();
    let owner = put_owner(fd, metadata, now);
    warnings.owner = !owner.is_set;
    let mut mode = u32::from(metadata.mode & 0o7777);
    let is_file = rustix::fs::FileType::from_raw_mode(now.st_mode).is_file();
    if is_file && mode & 0o6000 != 0 && !owner.is_set {
        mode &= 0o1777;
        warnings.special_bits = true;
    }
    let xattrs = put_xattrs(fd, &metadata.xattrs, now.st_mode);
    warnings.xattrs = !xattrs.is_set;
    if (owner.is_changed || xattrs.is_changed || now.st_mode & 0o7777 != mode)
        && rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).is_err()
    {
        warnings.mode = true;
    }
    warnings.times = rustix::fs::futimens(fd, &times(metadata)).is_err();
    warnings
}

/// How setting one thing went.
struct Set {
    is_set: bool,
    is_changed: bool,
}

fn put_owner(fd: BorrowedFd<'_>, metadata: &Metadata, now: &Stat) -> Set {
    let (uid, gid) = owner_change(metadata, now);
    if uid.is_none() && gid.is_none() {
        return Set { is_set: true, is_changed: false };
    }
    match rustix::fs::fchown(fd, uid, gid) {
        Ok(()) => Set { is_set: true, is_changed: true },
        // Who may not give a file away may still give it to a group of theirs.
        Err(_) if uid.is_some() && gid.is_some() => {
            Set { is_set: false, is_changed: rustix::fs::fchown(fd, None, gid).is_ok() }
        }
        Err(_) => Set { is_set: false, is_changed: false },
    }
}

/// Owner and group, where they are others than now.
pub(super) fn owner_change(metadata: &Metadata, now: &Stat) -> (Option<Uid>, Option<Gid>) {
    // The largest number means "leave it" to the system: that of a hostile listing is kept from being taken so.
    let is_number = |number: u32| number != u32::MAX;
    let uid = (metadata.uid != now.st_uid && is_number(metadata.uid)).then(|| Uid::from_raw(metadata.uid));
    let gid = (metadata.gid != now.st_gid && is_number(metadata.gid)).then(|| Gid::from_raw(metadata.gid));
    (uid, gid)
}

/// The time of change; that of access is left as it is.
pub(super) fn times(metadata: &Metadata) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: metadata.mtime_secs,
            tv_nsec: metadata.mtime_nanos.min(999_999_999).into(),
        },
    }
}

fn put_xattrs(fd: BorrowedFd<'_>, wanted: &[Xattr], mode: u32) -> Set {
    // A default ACL of the directory may have given some to a new file.
    let present = match read(Place::Descriptor(fd), &mut Vec::new(), &mut Vec::new()) {
        Ok(present) => present,
        Err(_) => return Set { is_set: wanted.is_empty(), is_changed: false },
    };
    if present == wanted {
        return Set { is_set: true, is_changed: false };
    }
    // The system asks for the right to write, even of the owner, even of an open file.
    if mode & 0o200 == 0 && rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777 | 0o200)).is_err() {
        return Set { is_set: false, is_changed: true };
    }
    Set { is_set: change_xattrs(fd, &present, wanted), is_changed: true }
}

fn change_xattrs(fd: BorrowedFd<'_>, present: &Xattrs, wanted: &[Xattr]) -> bool {
    let mut is_set = true;
    for (name, _) in present.iter().filter(|(name, _)| wanted.iter().all(|(other, _)| other != name)) {
        is_set &= rustix::fs::fremovexattr(fd, &name[..]).is_ok();
    }
    for (name, value) in wanted.iter().filter(|wanted| !present.contains(wanted)) {
        is_set &= is_kept(name) && rustix::fs::fsetxattr(fd, &name[..], value, XattrFlags::empty()).is_ok();
    }
    is_set
}

//! Changes to a tree that are not the content of files: directories, links, attributes, removals.
//!
//! Each takes the path of what it changes and the thread's [`DirectoryCache`], is one step that is done or not done, and
//! gives an error where the system refuses. What replaces something is made under a temporary name and renamed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{Warnings, owner_change, put, times};
use super::names::DirectoryCache;
use super::part::PartKey;
use super::root::{Directory, Root};
use super::walk::Walk;
use crate::sync::entry::{Kind, Metadata, Stamp, TreePath};
use crate::sync::filter::Filter;

/// Makes the directory at `path`, open to its owner only; its attributes are set when what is in it is. A directory that is
/// there already is left as it is.
///
/// # Errors
/// Of the system; something else of that name is one.
pub fn make_directory(cache: &mut DirectoryCache, path: &TreePath) -> io::Result<()> {
    let (parent, name) = cache.parent(path)?;
    match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
        Err(Errno::EXIST) if file_type(&parent, name)? == FileType::Directory => Ok(()),
        result => Ok(result?),
    }
}

/// Makes the symbolic link at `path`, in place of whatever is there and is no directory.
///
/// # Errors
/// Of the system; nothing has changed under `path` then.
pub fn make_symlink(
    cache: &mut DirectoryCache,
    path: &TreePath,
    target: &[u8],
    metadata: &Metadata,
) -> io::Result<Warnings> {
    let (parent, name) = cache.parent(path)?;
    let temporary = PartKey::random()?;
    rustix::fs::symlinkat(target, &parent, temporary.name())?;
    let warnings = rename_over(&parent, temporary, name, |temporary| {
        let now = rustix::fs::statat(&parent, temporary, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(put_on_link(&parent, temporary, metadata, &now))
    })?;
    Ok(warnings)
}

/// Makes `path` another name of what is at `existing`, in place of whatever is there and is no directory.
///
/// # Errors
/// Of the system; nothing has changed under `path` then.
pub fn make_hard_link(cache: &mut DirectoryCache, existing: &TreePath, path: &TreePath) -> io::Result<Warnings> {
    let (existing_parent, existing_name) = cache.parent(existing)?;
    let (parent, name) = cache.parent(path)?;
    let temporary = PartKey::random()?;
    // Without FOLLOW: a link there would get the second name itself.
    rustix::fs::linkat(&existing_parent, existing_name, &parent, temporary.name(), AtFlags::empty())?;
    let warnings = rename_over(&parent, temporary, name, |_| Ok(Warnings::default()))?;
    // Renaming between two names of one file does nothing, and so leaves the temporary one.
    match rustix::fs::unlinkat(&parent, temporary.name(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(warnings),
        Err(error) => Err(error.into()),
    }
}

/// Sets the attributes of what is at `path` (the root too) and is of this kind; content is left as it is.
///
/// # Errors
/// Of the system; something of another kind there is one.
pub fn set_metadata(
    cache: &mut DirectoryCache,
    path: &TreePath,
    kind: &Kind,
    metadata: &Metadata,
) -> io::Result<Warnings> {
    if path.is_root() {
        return put_checked(&cache.directory(path)?, FileType::Directory, metadata);
    }
    let (parent, name) = cache.parent(path)?;
    let expected = match kind {
        Kind::Directory => FileType::Directory,
        Kind::File { .. } | Kind::HardLink { .. } => FileType::RegularFile,
        Kind::Symlink { .. } => {
            let now = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            check_type(&now, FileType::Symlink)?;
            return Ok(put_on_link(&parent, name, metadata, &now));
        }
        Kind::Special | Kind::Unreadable => return Err(Errno::INVAL.into()),
    };
    put_checked(open_own(&parent, name)?, expected, metadata)
}

/// How the file at `path` is found now.
///
/// # Errors
/// Of the system; what is no regular file is one.
pub fn stamp(cache: &mut DirectoryCache, path: &TreePath) -> io::Result<Stamp> {
    let (parent, name) = cache.parent(path)?;
    let now = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    check_type(&now, FileType::RegularFile)?;
    let time = |secs: i64, nanos| (secs, u32::try_from(nanos).unwrap_or(0));
    Ok(Stamp {
        inode: now.st_ino,
        len: u64::try_from(now.st_size).unwrap_or(0),
        mtime: time(now.st_mtime, now.st_mtime_nsec),
        ctime: time(now.st_ctime, now.st_ctime_nsec),
    })
}

/// Gives the owner of the directory at `path` all rights in it, where they have taken them from themselves. For what has
/// to be changed in there; [`set_metadata`] sets the mode that it shall have.
///
/// # Errors
/// Of the system: it is somebody else's.
pub fn make_writable(cache: &mut DirectoryCache, path: &TreePath) -> io::Result<()> {
    let directory = match path.split() {
        None => cache.directory(path)?,
        Some((parent, name)) => Directory::new(open_own(&cache.directory(&parent)?, name)?),
    };
    let now = rustix::fs::fstat(&directory)?;
    check_type(&now, FileType::Directory)?;
    if now.st_mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(now.st_mode & 0o7777 | 0o700))?;
    }
    Ok(())
}

/// Removes what is at `path` and is no directory.
///
/// # Errors
/// Of the system.
pub fn remove_file(cache: &mut DirectoryCache, path: &TreePath) -> io::Result<()> {
    let (parent, name) = cache.parent(path)?;
    Ok(rustix::fs::unlinkat(&parent, name, AtFlags::empty())?)
}

/// Removes the directory at `path`, which is empty.
///
/// # Errors
/// Of the system; one that is not empty is one.
pub fn remove_directory(cache: &mut DirectoryCache, path: &TreePath) -> io::Result<()> {
    let (parent, name) = cache.parent(path)?;
    rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
    cache.forget(path);
    Ok(())
}

/// Removes the directory at `path` with all in it, for good, unfinished files of earlier runs too. What `filter`, whose
/// paths begin in it, leaves out is not removed, and neither is it then.
///
/// # Errors
/// Of the system; some of it may be gone then.
pub fn remove_tree(cache: &mut DirectoryCache, root: &Root, path: &TreePath, filter: Filter) -> io::Result<()> {
    let inside = |below: &TreePath| {
        let whole = [path.as_bytes(), b"/", below.as_bytes()].concat();
        TreePath::new(&whole).map_err(io::Error::other)
    };
    // Those on the way to where the walk is.
    let mut directories = vec![path.clone()];
    let mut walk = Walk::new(Arc::new(root.open_below(path)?), filter);
    loop {
        let walked = walk.next();
        for part in walk.take_parts() {
            remove_file(cache, &inside(&part)?)?;
        }
        let Some(walked) = walked else { break };
        if walked.path.is_root() || walked.is_excluded {
            continue;
        }
        let path = inside(&walked.path)?;
        while let Some(left) = directories.pop_if(|directory| !path.is_within(directory)) {
            remove_directory(cache, &left)?;
        }
        if walked.kind == Kind::Directory {
            directories.push(path);
        } else {
            remove_file(cache, &path)?;
        }
    }
    directories.iter().rev().try_for_each(|directory| remove_directory(cache, directory))
}

/// Opens a file or directory to change its attributes. One that its owner may not read is made readable for them first.
pub(super) fn open_own(parent: &Directory, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    match parent.open(name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {}
        result => return result,
    }
    // A descriptor that needs no right to read holds the entry, so that no other can take its place under the name.
    let held = parent.open(name, OFlags::PATH, Mode::empty())?;
    let mode = rustix::fs::fstat(&held)?.st_mode;
    let rights = match FileType::from_raw_mode(mode) {
        FileType::Directory => 0o700,
        FileType::RegularFile => 0o600,
        _ => return Err(Errno::ACCESS),
    };
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(mode & 0o7777 | rights))?;
    parent.open(name, flags, Mode::empty())
}

/// Finishes what has a temporary name and gives it its own; removes it where that fails.
fn rename_over(
    parent: &Directory,
    temporary: PartKey,
    name: &[u8],
    finish: impl FnOnce(&[u8]) -> Result<Warnings, Errno>,
) -> Result<Warnings, Errno> {
    let renamed = finish(temporary.name())
        .and_then(|warnings| rustix::fs::renameat(parent, temporary.name(), parent, name).map(|()| warnings));
    if renamed.is_err() {
        // The error that is told is the first one.
        let _ = rustix::fs::unlinkat(parent, temporary.name(), AtFlags::empty());
    }
    renamed
}

fn put_checked(fd: impl AsFd, expected: FileType, metadata: &Metadata) -> io::Result<Warnings> {
    let now = rustix::fs::fstat(&fd)?;
    check_type(&now, expected)?;
    Ok(put(fd.as_fd(), metadata, &now))
}

/// Links have an owner and a time; their mode means nothing.
fn put_on_link(parent: &Directory, name: &[u8], metadata: &Metadata, now: &Stat) -> Warnings {
    let (uid, gid) = owner_change(metadata, now);
    let has_other_owner = uid.is_some() || gid.is_some();
    let owner_fails =
        has_other_owner && rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).is_err();
    let times = rustix::fs::utimensat(parent, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW).is_err();
    Warnings { owner: owner_fails, times, ..Warnings::default() }
}

fn file_type(parent: &Directory, name: &[u8]) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

fn check_type(now: &Stat, expected: FileType) -> io::Result<()> {
    if FileType::from_raw_mode(now.st_mode) == expected {
        Ok(())
    } else {
        Err(io::Error::other("it is of another kind than it was"))
    }
}

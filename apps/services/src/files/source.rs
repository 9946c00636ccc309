//! A file to be sent: opened so that nothing but a regular file is read, and watched for changes while it is.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Advice, CWD, FileType, Mode, OFlags};

use super::name::{NameFault, check_name};
use super::save::kind_in_words;
use super::wire::Offer;

/// A regular file, open for reading. At its end it checks that it is still what it was when it was opened, and fails with
/// [`SourceChanged`] otherwise.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    offer: Offer,
    stamp: Stamp,
}

/// Why something cannot be sent.
#[derive(Debug)]
pub enum SourceFault {
    /// It cannot be opened.
    Io(io::Error),
    /// It is not a regular file; what it is instead.
    NotAFile(&'static str),
    /// Its name cannot be offered.
    Name(NameFault),
}

/// The source was changed, grown or shortened while it was read. Found inside an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceChanged;

/// What changes when somebody writes to a file: size, time of modification, time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl SourceFile {
    /// Opens the file at `path`. A symlink given by our own user is followed; what it leads to must be a regular file.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn open(path: &Path) -> Result<Self, SourceFault> {
        // NONBLOCK: opening a FIFO would wait for a writer before anybody could see that it is one.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|error| SourceFault::Io(error.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| SourceFault::Io(error.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(SourceFault::NotAFile(kind_in_words(kind)));
        }
        // Reading ahead is a hint; a file system that does not take it reads all the same.
        let _ = rustix::fs::fadvise(&fd, 0, None, Advice::Sequential);
        let file = File::from(fd);
        let name = path.file_name().unwrap_or(OsStr::new(""));
        let name = check_name(name.as_bytes()).map_err(SourceFault::Name)?.to_owned();
        let stamp = Stamp::of(&file).map_err(SourceFault::Io)?;
        let modified_ns = stamp.modified.0.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(stamp.modified.1));
        Ok(Self { file, offer: Offer { name, size: Some(stamp.size), modified_ns }, stamp })
    }

    /// What to say about it.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }
}

impl Read for SourceFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        if len == 0 && !buffer.is_empty() && Stamp::of(&self.file)? != self.stamp {
            return Err(io::Error::other(SourceChanged));
        }
        Ok(len)
    }
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotAFile(what) => write!(f, "it is {what}; only files can be sent"),
            Self::Name(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SourceFault {}

impl fmt::Display for SourceChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file changed while it was read")
    }
}

impl std::error::Error for SourceChanged {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read_all(source: &mut SourceFile) -> io::Result<usize> {
        let mut all = Vec::new();
        source.read_to_end(&mut all)
    }

    #[test]
    fn a_file_is_offered_with_name_size_and_time() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a.txt");
        std::fs::write(&path, b"hello").unwrap();
        let mut source = SourceFile::open(&path).unwrap();
        assert_eq!((source.offer().name.as_str(), source.offer().size), ("a.txt", Some(5)));
        assert!(source.offer().modified_ns.is_some_and(|ns| ns > 1_500_000_000_000_000_000));
        assert_eq!(read_all(&mut source).unwrap(), 5);
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_without_waiting() {
        let temporary = tempfile::tempdir().unwrap();
        let fifo = temporary.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(SourceFile::open(&fifo), Err(SourceFault::NotAFile("a FIFO"))));
        assert!(matches!(SourceFile::open(temporary.path()), Err(SourceFault::NotAFile("a directory"))));
        assert!(matches!(SourceFile::open(Path::new("/dev/zero")), Err(SourceFault::NotAFile("a device"))));
        let missing = SourceFile::open(&temporary.path().join("missing"));
        assert!(matches!(missing, Err(SourceFault::Io(error)) if error.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn a_change_during_reading_is_noticed_at_the_end() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("log");
        std::fs::write(&path, vec![1; 100_000]).unwrap();
        let mut source = SourceFile::open(&path).unwrap();
        source.read_exact(&mut [0; 1000]).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        let error = read_all(&mut source).unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<SourceChanged>()));
    }
}

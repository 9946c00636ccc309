//! Why a store cannot be used, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A store cannot be opened or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    Io {
        /// On what.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// Another process uses the store.
    Busy {
        /// Its directory.
        dir: PathBuf,
    },
    /// There is no store.
    Missing {
        /// Where it should be.
        dir: PathBuf,
    },
    /// The file is not a store of ours.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version has written the store.
    Newer {
        /// The file.
        path: PathBuf,
        /// The format that it says to have.
        format: u64,
    },
    /// What is stored is damaged.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where, as far as it is known.
        what: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io { path, error } => {
                write!(f, "{}: {error}", path.display())?;
                match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                        f.write_str("; it is no directory: give a folder with --store DIR")
                    }
                    io::ErrorKind::StorageFull => f.write_str("; make room, or take another place with --store DIR"),
                    _ => Ok(()),
                }
            }
            StoreError::Busy { dir } => write!(
                f,
                "another directory uses the store in {}; stop it, or take another place with --store DIR",
                dir.display()
            ),
            StoreError::Missing { dir } => {
                write!(f, "there is no store in {}; say where it is with --store DIR", dir.display())
            }
            StoreError::Foreign { path } => write!(
                f,
                "{} is not the store of a directory; move it away, or take another place with --store DIR",
                path.display()
            ),
            StoreError::Newer { path, format } => write!(
                f,
                "a newer landline has written {} (format {format}); run that version, or move the file away: the peers \
                 announce themselves again, names are free for whoever comes first",
                path.display()
            ),
            StoreError::Corrupt { path, what } => write!(
                f,
                "{} is damaged ({what}); nothing of it was taken. Move it away, or put a backup in its place: without it \
                 the peers announce themselves again, names are free for whoever comes first",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for io::Error {
    /// The store's error is inside (`io::Error::get_ref`).
    fn from(error: StoreError) -> io::Error {
        let kind = match &error {
            StoreError::Io { error, .. } => error.kind(),
            StoreError::Busy { .. } => io::ErrorKind::ResourceBusy,
            StoreError::Missing { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

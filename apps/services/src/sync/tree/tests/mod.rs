//! Tests of the tree: fixtures here, and below by what is tested.

mod attack;
mod change;
mod gift;
mod trash;
mod walk;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::sync::entry::{Kind, Metadata, TreePath, Walked};
use crate::sync::filter::{Filter, Rule};

/// The ends of a run hand these from thread to thread.
#[test]
fn what_threads_share_and_hand_over_can_be() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Root>();
    is_shared::<Directory>();
    is_shared::<Part>();
    is_send::<Walk>();
    is_send::<DirectoryCache>();
    is_send::<Trash>();
}

/// A directory that is removed at the end of the test, and its root.
struct Fixture {
    directory: tempfile::TempDir,
    root: Arc<Root>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(directory.path()).unwrap());
        Self { directory, root }
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Writes a file, and makes the directories above it.
    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// With things that their owner may not look at, nor anybody else but the superuser.
    fn closed() -> Fixture {
        let fixture = Fixture::new();
        for name in ["closed/file", "listed/directory/file", "listed/file", "open"] {
            fixture.write(name, "");
        }
        for (name, mode) in [("", 0o755), ("closed", 0), ("listed", 0o444)] {
            fs::set_permissions(fixture.at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fixture
    }

    /// So that it can be removed.
    fn open_up(&self) {
        for name in ["closed", "listed"] {
            fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    fn cache(&self) -> DirectoryCache {
        DirectoryCache::new(self.root.clone())
    }

    fn walk(&self) -> Walk {
        Walk::new(self.root.clone(), Filter::default())
    }

    fn walk_without(&self, patterns: &[&str]) -> Vec<(String, bool)> {
        let rules: Vec<Rule> =
            patterns.iter().map(|pattern| Rule { include: false, pattern: (*pattern).into() }).collect();
        let walk = Walk::new(self.root.clone(), Filter::new(&rules).unwrap());
        walk.map(|walked| (walked.path.to_string(), walked.is_excluded)).collect()
    }

    fn paths(&self) -> Vec<String> {
        self.walk().map(|walked| walked.path.to_string()).collect()
    }

    fn walked(&self, wanted: &str) -> Walked {
        self.walk().find(|walked| walked.path == path(wanted)).unwrap()
    }
}

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn mode_of(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Attributes of a file of whoever runs the test.
fn metadata(mode: u16) -> Metadata {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    Metadata { mode, mtime_secs: 981_173_106, mtime_nanos: 123_456_789, uid, gid, xattrs: Vec::new() }
}

/// Whether this process goes past permissions, which makes some tests void.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Does something on a thread that permissions hold for.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    const NOBODY: u32 = 65_534;
    std::thread::scope(|scope| {
        let work = move || {
            if is_root() {
                // Of this thread alone.
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(NOBODY)).unwrap();
            }
            work()
        };
        scope.spawn(work).join().unwrap()
    })
}

/// Whether the temporary directory takes attributes of users.
fn has_xattrs(at: &Path) -> bool {
    rustix::fs::setxattr(at, "user.landline-test", b"x", rustix::fs::XattrFlags::empty()).is_ok()
        && rustix::fs::removexattr(at, "user.landline-test").is_ok()
}

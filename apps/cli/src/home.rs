//! The home directory: this node's key, the known peers, and what has to outlive a run.
//!
//! | file | holds |
//! |---|---|
//! | `key` | the identity, readable by its owner only |
//! | `known_peers` | `NAME PEERID` a line: names that are pinned |
//! | `sequences` | `PEERID SEQUENCE` a line: the newest announcement seen of each peer |
//! | `sequence` | the newest announcement of our own |
//! | `name` | what we were last called; said in chats |
//! | `journals/` | how syncs left the files of this side, one file for each pair of folders; may be removed at any time |
//!
//! Every file is replaced as a whole, never written in place; `lock` keeps two commands from doing that at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use landline::Identity;
use landline::identity::KeyFileError;
use landline_directory::SequenceMemory;

use crate::failure::{Exit, Failure, Result};

/// The home directory of one node.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    path: PathBuf,
}

/// Held while files of the home directory are read, changed and replaced.
pub(crate) struct HomeLock {
    _file: File,
}

impl Home {
    /// The home directory that was asked for, or the default one; made if it is missing.
    pub(crate) fn open(asked: Option<&Path>) -> Result<Self> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None => default_path()?,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::io(format_args!("cannot make the home directory {}", path.display()), &error))?;
        Ok(Self { path })
    }

    /// The path of one of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory of the journals of syncs, absolute and free of links; it may not be there yet.
    pub(crate) fn journals(&self) -> io::Result<PathBuf> {
        Ok(self.path.canonicalize()?.join("journals"))
    }

    /// This node's identity; made on first use.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let path = self.file("key");
        let identity = match Identity::load(&path) {
            Err(KeyFileError::Missing { .. }) => match Identity::create(&path, random_seed()?) {
                // Another command was quicker.
                Err(KeyFileError::Exists { .. }) => Identity::load(&path),
                created => created,
            },
            loaded => loaded,
        };
        identity.map_err(|error| Failure::new(Exit::Failed, error.to_string()))
    }

    /// Keeps other commands from changing files until it is dropped.
    pub(crate) fn lock(&self) -> Result<HomeLock> {
        let path = self.file("lock");
        let locked = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let locked = locked.and_then(|file| {
            file.lock()?;
            Ok(HomeLock { _file: file })
        });
        locked.map_err(|error| Failure::io(format_args!("cannot lock {}", path.display()), &error))
    }

    /// A file's text; empty if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        match fs::read_to_string(self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot read {}: {error}", self.file(name).display()))
            }),
        }
    }

    /// Replaces a file: whoever reads it sees the old text or the new, also after a crash.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        replace(&path, text).map_err(|error| Failure::io(format_args!("cannot write {}", path.display()), &error))
    }

    /// When a file was last replaced; `None` if there is none.
    pub(crate) fn changed(&self, name: &str) -> Option<SystemTime> {
        fs::metadata(self.file(name)).and_then(|metadata| metadata.modified()).ok()
    }

    /// Who we say we are in chats: what we were last called, else the name of the user if it can be one.
    pub(crate) fn chat_name(&self) -> Option<String> {
        let called = self.read("name").unwrap_or_default();
        let called = Some(called.trim().to_owned()).filter(|name| !name.is_empty());
        let user = || std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).ok();
        called.or_else(user).filter(|name| landline_services::chat::is_name(name))
    }

    /// The newest announcements seen. What cannot be read is forgotten with a warning, not a reason to stop.
    pub(crate) fn sequences(&self) -> SequenceMemory {
        let text = self.read("sequences").unwrap_or_default();
        SequenceMemory::from_text(&text).unwrap_or_else(|line| {
            tracing::warn!(line, "the file of seen announcements is damaged; starting with an empty one");
            SequenceMemory::new()
        })
    }

    /// Keeps what was seen, if it is news, beside what other commands have kept meanwhile.
    pub(crate) fn keep_sequences(&self, memory: &mut SequenceMemory) {
        if memory.take_changed()
            && let Err(failure) = self.raise_sequences(memory)
        {
            tracing::warn!(%failure, "seen announcements are not remembered");
        }
    }

    fn raise_sequences(&self, memory: &SequenceMemory) -> Result<()> {
        let _lock = self.lock()?;
        let mut kept = self.sequences();
        kept.raise_all(memory);
        self.write("sequences", &kept.to_string())
    }
}

fn default_path() -> Result<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    from("XDG_DATA_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("landline"))
        .ok_or_else(|| {
            Failure::new(Exit::Usage, "no home directory: neither XDG_DATA_HOME nor HOME is set")
                .next("say where to keep key and known peers with --home DIR")
        })
}

/// 32 bytes that nobody can guess: the seed of an identity.
pub(crate) fn random_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(Exit::Failed, format!("the system gives no randomness for a key: {error}")))?;
    Ok(seed)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_identity_is_made_once_and_private() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(&temporary.path().join("a/b"))).unwrap();
        let first = home.identity().unwrap().peer_id();
        assert_eq!(home.identity().unwrap().peer_id(), first);
        assert_eq!(fs::metadata(home.file("key")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(temporary.path().join("a/b")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(temporary.path())).unwrap();
        assert_eq!(home.read("known_peers").unwrap(), "");
        home.write("known_peers", "one").unwrap();
        home.write("known_peers", "two").unwrap();
        assert_eq!(home.read("known_peers").unwrap(), "two");
        assert_eq!(fs::metadata(home.file("known_peers")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_two_commands_have_seen_is_kept_of_both() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(temporary.path())).unwrap();
        let [alice, bob] = [1, 2].map(|seed| Identity::from_seed([seed; 32]).peer_id());
        let (mut first, mut second) = (home.sequences(), home.sequences());
        first.raise(alice, 7);
        second.raise(alice, 6);
        second.raise(bob, 8);
        home.keep_sequences(&mut first);
        home.keep_sequences(&mut second);
        assert_eq!((home.sequences().sequence(alice), home.sequences().sequence(bob)), (Some(7), Some(8)));
    }

    #[test]
    fn seen_announcements_survive_and_damage_does_not_stop_us() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(temporary.path())).unwrap();
        let peer = Identity::from_seed([1; 32]).peer_id();
        let mut memory = home.sequences();
        memory.raise(peer, 7);
        home.keep_sequences(&mut memory);
        assert_eq!(home.sequences().sequence(peer), Some(7));
        home.write("sequences", "damaged").unwrap();
        assert_eq!(home.sequences().sequence(peer), None);
    }
}

//! Whole runs of a side that keeps a journal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "sync/node.rs"]
#[allow(dead_code, reason = "the tests use different parts")]
mod node;
#[path = "sync/pair.rs"]
#[allow(dead_code, reason = "the tests use different parts")]
mod pair;
#[path = "sync/trees.rs"]
#[allow(dead_code, reason = "the tests use different parts")]
mod trees;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use landline_services::sync::{Role, Summary, SyncFlags, SyncOptions};
use node::Ended;
use pair::{Pair, delete, flags, plain};
use tempfile::TempDir;
use trees::{assert_equal, noise, write, zoo};

/// A pair whose initiator keeps a journal, and where that is.
struct Kept {
    pair: Pair,
    role: Role,
    home: TempDir,
}

impl Kept {
    fn new(role: Role) -> Kept {
        let (mut pair, home) = (Pair::new(), TempDir::new().unwrap());
        pair.nodes.journal = Some(home.path().join("journals/of-this-pair.redb"));
        Kept { pair, role, home }
    }

    /// Of both kinds, with a tree that is in step and remembered.
    fn in_step(role: Role) -> Kept {
        let kept = Kept::new(role);
        zoo(kept.source());
        kept.makes_equal(delete());
        kept
    }

    fn source(&self) -> &Path {
        if self.role == Role::Push { self.pair.local.path() } else { self.pair.shared.path() }
    }

    fn journal(&self) -> PathBuf {
        self.home.path().join("journals/of-this-pair.redb")
    }

    /// A file of the side that keeps the journal.
    fn file(&self, name: &str) -> PathBuf {
        self.pair.local.path().join(name)
    }

    /// Runs without a word about the journal, and the trees are equal afterwards.
    fn makes_equal(&self, options: SyncOptions) -> Summary {
        let ended = self.pair.run(self.role, options);
        assert_eq!((&ended.notes[..], &ended.skipped[..]), (&[][..], &[][..]));
        assert_equal(self.pair.shared.path(), self.pair.local.path());
        ended.summary()
    }

    /// Runs, says one thing about the journal, and the trees are equal all the same.
    fn makes_equal_with_note(&self, note: &str) -> Summary {
        let ended = self.pair.run(self.role, delete());
        assert!(ended.notes.len() == 1 && ended.notes[0].contains(note), "{:?}", ended.notes);
        assert_equal(self.pair.shared.path(), self.pair.local.path());
        let summary = ended.summary();
        assert!(summary.is_exact());
        summary
    }

    /// Nothing is sent, compared or set.
    fn is_quiet(&self) {
        let totals = self.makes_equal(delete()).totals;
        assert_eq!((totals.stored_len, totals.file_count, totals.metadata_count), (0, 0, 0));
        assert_eq!(totals.unchanged_count, totals.entry_count);
    }
}

/// Other bytes, the same length, the same time.
fn forge(path: &Path) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn dry() -> SyncOptions {
    flags(SyncFlags { dry_run: true, delete: true, ..SyncFlags::default() })
}

#[test]
fn content_that_changed_behind_size_and_time_is_found() {
    for role in [Role::Push, Role::Pull] {
        let kept = Kept::in_step(role);
        kept.is_quiet();
        for name in ["many/7", "large", "exactly-one-message"] {
            forge(&kept.file(name));
        }
        // Another file in its place: only the inode and its times tell.
        fs::rename(kept.file("many/7"), kept.file("aside")).unwrap();
        fs::copy(kept.file("aside"), kept.file("many/7")).unwrap();
        let time = fs::metadata(kept.file("aside")).unwrap().modified().unwrap();
        File::options().write(true).open(kept.file("many/7")).unwrap().set_modified(time).unwrap();
        fs::remove_file(kept.file("aside")).unwrap();

        let journal = fs::read(kept.journal()).unwrap();
        let dry = kept.pair.run(role, dry());
        assert_eq!(dry.notes, [""; 0]);
        assert!(fs::read(kept.journal()).unwrap() == journal, "a dry run writes nothing");
        let found = kept.makes_equal(delete()).totals;
        assert_eq!((found.file_count, dry.summary().totals.file_count), (3, 3), "{role:?}");
        kept.is_quiet();
    }
}

#[test]
fn without_a_journal_it_is_not_found() {
    let pair = Pair::new();
    zoo(pair.local.path());
    pair.makes_equal(Role::Push, delete());
    forge(&pair.local.path().join("large"));
    assert_eq!(pair.done(Role::Push, delete()).totals.file_count, 0);
}

#[test]
fn new_permissions_have_content_compared_once_and_nothing_sent() {
    for role in [Role::Push, Role::Pull] {
        let kept = Kept::in_step(role);
        for name in ["large", "many/7", "empty-file"] {
            fs::set_permissions(kept.file(name), Permissions::from_mode(0o600)).unwrap();
        }
        let totals = kept.makes_equal(delete()).totals;
        assert_eq!((totals.sent_len, totals.file_count, totals.metadata_count), (0, 0, 3), "{role:?}");
        assert_eq!(totals.stored_len, 3_000_006, "both were compared");
        kept.is_quiet();
    }
}

#[test]
fn permissions_that_a_pull_sets_are_no_reason_to_compare() {
    let kept = Kept::in_step(Role::Pull);
    fs::set_permissions(kept.source().join("large"), Permissions::from_mode(0o600)).unwrap();
    let totals = kept.makes_equal(delete()).totals;
    assert_eq!((totals.stored_len, totals.metadata_count), (0, 1));
    kept.is_quiet();
    fs::hard_link(kept.source().join("many/7"), kept.source().join("many/7-too")).unwrap();
    let totals = kept.makes_equal(delete()).totals;
    assert_eq!((totals.stored_len, totals.link_count), (0, 1));
    kept.is_quiet();
}

#[test]
fn all_ways_to_be_in_step_are_remembered() {
    for role in [Role::Push, Role::Pull] {
        for (checksum, durable) in [(false, false), (true, false), (false, true)] {
            let kept = Kept::new(role);
            zoo(kept.source());
            kept.makes_equal(flags(SyncFlags { checksum, durable, ..SyncFlags::default() }));
            forge(&kept.file("large"));
            assert_eq!(kept.makes_equal(delete()).totals.file_count, 1);
            fs::remove_file(kept.journal()).unwrap();
            // Found equal by size and time, or by content.
            kept.makes_equal(flags(SyncFlags { checksum, ..SyncFlags::default() }));
            forge(&kept.file("many/7"));
            let totals = kept.makes_equal(delete()).totals;
            assert_eq!((totals.file_count, totals.stored_len), (1, 6));
        }
    }
}

#[test]
fn a_lost_journal_costs_nothing_and_changes_nothing() {
    for role in [Role::Push, Role::Pull] {
        let kept = Kept::in_step(role);
        forge(&kept.file("large"));
        fs::remove_file(kept.journal()).unwrap();
        let ended = kept.pair.run(role, delete());
        assert_eq!(ended.notes, [""; 0]);
        let totals = ended.summary().totals;
        assert_eq!((totals.stored_len, totals.unchanged_count), (0, totals.entry_count));
    }
}

#[test]
fn a_damaged_journal_is_told_of_once_and_begins_anew() {
    for role in [Role::Push, Role::Pull] {
        let kept = Kept::in_step(role);
        let whole = fs::read(kept.journal()).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 3..whole.len() / 2].iter_mut().for_each(|byte| *byte ^= 0x55);
        for bytes in [b"no database at all".to_vec(), whole[..whole.len() / 2].to_vec(), noise(100_000), flipped] {
            fs::write(kept.journal(), bytes).unwrap();
            let dry = kept.pair.run(role, dry());
            assert!(dry.notes.len() <= 1, "{:?}", dry.notes);
            dry.summary();
            let totals = kept.makes_equal_with_note("was damaged").totals;
            assert_eq!(totals.stored_len, 0);
            kept.is_quiet();
            forge(&kept.file("large"));
            assert_eq!(kept.makes_equal(delete()).totals.file_count, 1);
        }
    }
}

#[test]
fn a_journal_that_another_run_uses_is_left_to_it() {
    let kept = Kept::new(Role::Push);
    write(kept.source(), "small", b"small");
    kept.makes_equal(plain());
    write(kept.source(), "large", &noise(10_000_000));
    let slow = SyncOptions { rate_max: Some(20_000_000), ..plain() };
    let first = kept.pair.nodes.begin(Role::Push, "docs", "", kept.pair.local.path(), slow);
    let deadline = std::time::Instant::now() + node::DEADLINE;
    while first.handle.progress().content_len == 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    let second = kept.pair.run(Role::Push, dry());
    assert!(matches!(&second.notes[..], [note] if note.contains("another run uses it")), "{:?}", second.notes);
    second.summary();
    let first = Ended::of(&first.events);
    assert_eq!(first.notes, [""; 0]);
    first.summary();
    kept.is_quiet();
}

#[test]
fn a_journal_that_cannot_be_had_is_told_of_and_the_run_goes_on() {
    let mut kept = Kept::new(Role::Push);
    zoo(kept.source());
    write(kept.home.path(), "file", b"");
    kept.pair.nodes.journal = Some(kept.home.path().join("file/journal.redb"));
    kept.makes_equal_with_note("is not used");

    kept.pair.nodes.journal = Some(kept.journal());
    fs::create_dir_all(kept.journal().parent().unwrap()).unwrap();
    let later = redb::Database::create(kept.journal()).unwrap();
    let transaction = later.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("landline journal 2")).unwrap();
    transaction.commit().unwrap();
    drop(later);
    for _ in 0..2 {
        kept.makes_equal_with_note("another version of landline wrote it");
    }
}

#[test]
fn a_file_that_could_not_be_compared_is_doubted_until_it_is() {
    let kept = Kept::in_step(Role::Push);
    forge(&kept.file("large"));
    // A rule of the target's own keeps it away from the file for one run.
    write(kept.pair.shared.path(), ".landlineignore", b"/large\n");
    let skipped = kept.pair.run(Role::Push, plain());
    assert_eq!(skipped.skipped.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), ["large", "zz-large-too"]);
    skipped.summary();
    fs::remove_file(kept.pair.shared.path().join(".landlineignore")).unwrap();
    assert_eq!(kept.makes_equal(delete()).totals.file_count, 1);
}

#[test]
fn what_is_not_met_any_more_is_forgotten() {
    for role in [Role::Push, Role::Pull] {
        let kept = Kept::in_step(role);
        let make = |root: &Path| {
            write(root, "many/7", b"file 7");
            for name in ["many/7", "many"] {
                File::open(root.join(name)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }
        };
        fs::remove_dir_all(kept.source().join("many")).unwrap();
        kept.makes_equal(delete());
        // A pull met them once more before it deleted them.
        kept.is_quiet();
        // Files of the old name, made by somebody else on both sides: known, they would be other files.
        make(kept.pair.local.path());
        make(kept.pair.shared.path());
        assert_eq!(kept.makes_equal(delete()).totals.stored_len, 0);
        kept.is_quiet();
    }
}

//! The journal by itself: what it knows, in which order, and what it makes of files that are none.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Journal, key, store};
use crate::sync::entry::{FileIdentity, Kind, Memory, Metadata, Stamp, TreePath, Walked};

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn walked(path: TreePath, inode: u64) -> Walked {
    Walked {
        path,
        kind: Kind::File { len: 5 },
        metadata: Metadata::default(),
        identity: Some(FileIdentity { device: 1, inode, link_count: 1, ctime: (8, 9) }),
        is_excluded: false,
        reason: None,
        memory: Memory::None,
    }
}

fn stamp(inode: u64) -> Stamp {
    walked(TreePath::root(), inode).stamp().unwrap()
}

fn place(directory: &TempDir) -> PathBuf {
    directory.path().join("journal.redb")
}

fn open(directory: &TempDir) -> Journal {
    Journal::open(&place(directory), false)
}

/// Walks over these files; gives what the journal says of each.
fn look(journal: &Journal, files: impl IntoIterator<Item = (TreePath, u64)>) -> Vec<Memory> {
    let mut recall = journal.recall();
    let memory = |(path, inode)| {
        let mut walked = walked(path, inode);
        recall.look(&mut walked);
        walked.memory
    };
    let all = files.into_iter().map(memory).collect();
    recall.finish();
    all
}

/// Paths of a few components that differ where order is decided.
fn paths() -> impl Strategy<Value = TreePath> {
    let component = prop::collection::vec(prop::sample::select(&b"!-0a\x01\xff"[..]), 1..4);
    prop::collection::vec(component, 1..4).prop_map(|components| TreePath::new(&components.join(&b'/')).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_ordered_as_a_walk_is(one in paths(), other in paths()) {
        prop_assert_eq!(one.cmp(&other), key(&one).cmp(&key(&other)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_file_is_known_as_it_was_left_and_what_is_gone_is_forgotten(
        before in prop::collection::btree_map(paths(), 0..3u64, 0..60),
        after in prop::collection::btree_map(paths(), 0..3u64, 0..60),
    ) {
        let directory = TempDir::new().unwrap();
        let journal = open(&directory);
        before.iter().for_each(|(path, inode)| journal.remember(path, stamp(*inode)));
        prop_assert_eq!(journal.close(), None);

        let journal = open(&directory);
        let found = look(&journal, after.clone());
        prop_assert_eq!(journal.close(), None);
        let expected = |(path, inode): (&TreePath, &u64)| match before.get(path) {
            None => Memory::New,
            Some(known) if known == inode => Memory::Same,
            Some(_) => Memory::Changed,
        };
        prop_assert_eq!(found, after.iter().map(expected).collect::<Vec<_>>());

        // Only what was met is known still, and as it was before.
        let journal = open(&directory);
        let kept: BTreeMap<TreePath, u64> = before.clone().into_iter().filter(|(path, _)| after.contains_key(path)).collect();
        let expected = |path: &TreePath| if kept.contains_key(path) { Memory::Same } else { Memory::New };
        prop_assert_eq!(look(&journal, before.clone()), before.keys().map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn no_damage_ends_more_than_the_use_of_the_journal(at in any::<prop::sample::Index>(), bytes in any::<[u8; 8]>(), cut in any::<bool>()) {
        let directory = TempDir::new().unwrap();
        let files = || (0..200u64).map(|number| (path(&format!("{number:03}")), number));
        let journal = open(&directory);
        files().for_each(|(path, inode)| journal.remember(&path, stamp(inode)));
        journal.close();
        let mut whole = fs::read(place(&directory)).unwrap();
        let at = at.index(whole.len() - 8);
        if cut { whole.truncate(at) } else { whole[at..at + 8].copy_from_slice(&bytes) }
        fs::write(place(&directory), whole).unwrap();
        let reading = Journal::open(&place(&directory), true);
        look(&reading, files());
        reading.close();
        let journal = open(&directory);
        let was_damaged = journal.is_used() && look(&journal, files()).contains(&Memory::New);
        let trouble = journal.close();
        prop_assert_eq!(trouble.is_some(), was_damaged, "{:?}", trouble);
    }
}

#[test]
fn a_change_that_the_run_made_itself_is_followed_only_from_what_was_equal() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    for (name, known) in [("a", 1), ("b", 5)] {
        journal.remember(&path(name), stamp(known));
    }
    ["a", "b", "c"].iter().for_each(|name| journal.follow(&path(name), stamp(1), stamp(2)));
    assert_eq!(journal.close(), None);
    let journal = open(&directory);
    let found = look(&journal, ["a", "b", "c"].map(|name| (path(name), 2)));
    assert_eq!(found, [Memory::Same, Memory::Changed, Memory::New]);
}

#[test]
fn what_is_no_file_any_more_is_forgotten_and_what_is_left_out_is_kept() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    ["a", "b"].iter().for_each(|name| journal.remember(&path(name), stamp(1)));
    journal.close();
    let journal = open(&directory);
    let mut recall = journal.recall();
    let mut directory_now = Walked { kind: Kind::Directory, ..walked(path("a"), 1) };
    let mut left_out = Walked { is_excluded: true, ..walked(path("b"), 1) };
    recall.look(&mut directory_now);
    recall.look(&mut left_out);
    recall.finish();
    drop(recall);
    assert_eq!((directory_now.memory, left_out.memory), (Memory::None, Memory::None));
    journal.close();
    let journal = open(&directory);
    assert_eq!(look(&journal, [(path("a"), 1), (path("b"), 1)]), [Memory::New, Memory::Same]);
}

#[test]
fn paths_that_would_fill_a_disk_are_not_remembered() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    let directories = format!("{}/", "d".repeat(127)).repeat(crate::limits::JOURNAL_PATH_MAX / 128 - 1);
    let paths = [128, 129].map(|len| path(&format!("{directories}{}", "n".repeat(len))));
    paths.iter().for_each(|path| journal.remember(path, stamp(1)));
    journal.close();
    assert_eq!(look(&open(&directory), paths.map(|path| (path, 1))), [Memory::Same, Memory::New]);
}

#[test]
fn a_dry_run_makes_no_journal() {
    let directory = TempDir::new().unwrap();
    let journal = Journal::open(&place(&directory), true);
    journal.remember(&path("a"), stamp(1));
    assert_eq!((journal.is_used(), journal.close()), (false, None));
    assert!(!place(&directory).exists());
}

#[test]
fn journals_of_pairs_that_are_not_synced_any_more_go() {
    let directory = TempDir::new().unwrap();
    let old = std::time::SystemTime::now() - crate::limits::JOURNAL_AGE_MAX - std::time::Duration::from_secs(60);
    let names = ["0123456789abcdef0123456789abcdef.redb", "other.redb", "key"];
    for name in names {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        file.set_modified(old).unwrap();
    }
    open(&directory).close();
    assert_eq!(names.map(|name| directory.path().join(name).exists()), [false, true, true]);
}

#[test]
fn millions_of_notes_are_written_as_they_come() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    for number in 0..50_000u64 {
        journal.remember(&path(&format!("{number:08}/file")), stamp(number));
        assert!(super::lock(&journal.state).pending_len < crate::limits::JOURNAL_BATCH_LEN);
    }
    assert_eq!(journal.close(), None);
    let journal = open(&directory);
    let found = look(&journal, (0..50_000u64).map(|number| (path(&format!("{number:08}/file")), number)));
    assert!(found.iter().all(|memory| *memory == Memory::Same));
}

#[test]
fn the_name_tells_pairs_apart() {
    use crate::sync::Role;
    use std::path::Path;
    let [alice, bob] = [1, 2].map(|seed| landline::Identity::from_seed([seed; 32]).peer_id());
    let names = [
        super::journal_name(Path::new("/a"), Role::Push, alice, "docs", &path("x")),
        super::journal_name(Path::new("/b"), Role::Push, alice, "docs", &path("x")),
        super::journal_name(Path::new("/a"), Role::Pull, alice, "docs", &path("x")),
        super::journal_name(Path::new("/a"), Role::Push, bob, "docs", &path("x")),
        super::journal_name(Path::new("/a"), Role::Push, alice, "doc", &path("sx")),
        super::journal_name(Path::new("/a"), Role::Push, alice, "docs", &TreePath::root()),
    ];
    let different: std::collections::HashSet<_> = names.iter().collect();
    assert!(different.len() == names.len() && names.iter().all(|name| store::is_name(name)));
}

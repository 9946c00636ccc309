//! Whole runs of sync between two engines on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "sync/node.rs"]
#[allow(dead_code, reason = "the two tests use different parts")]
mod node;
#[path = "sync/pair.rs"]
#[allow(dead_code, reason = "the two tests use different parts")]
mod pair;
#[path = "sync/trees.rs"]
#[allow(dead_code, reason = "the two tests use different parts")]
mod trees;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use landline_services::sync::plan::SkipReason;
use landline_services::sync::{Change, ChangeKind, Receipt, Role, SyncCode, SyncFlags, SyncOptions};
use node::Ended;
use pair::{Pair, delete, flags, plain};
use trees::{assert_equal, manifest, write, zoo};

#[test]
fn a_zoo_is_pushed_and_a_second_run_sends_nothing() {
    let pair = Pair::new();
    zoo(pair.local.path());
    let first = pair.makes_equal(Role::Push, delete());
    assert!(first.totals.file_count > 500 && first.totals.skipped_count == 0, "{:?}", first.totals);
    first.receipt.verify().unwrap();
    let second = pair.makes_equal(Role::Push, delete());
    let totals = second.totals;
    assert_eq!((totals.file_count, totals.sent_len, totals.deleted_count, totals.link_count), (0, 0, 0, 0));
    assert_eq!((totals.metadata_count, totals.unchanged_count), (0, totals.entry_count));
    assert_eq!(Receipt::from_text(&second.receipt.to_text()), Ok(second.receipt));
}

#[test]
fn a_zoo_is_pulled_and_both_sides_have_the_same_receipt() {
    let pair = Pair::new();
    zoo(pair.shared.path());
    let ended = pair.run(Role::Pull, delete());
    let theirs = pair.nodes.responded();
    let ours = ended.summary();
    assert_eq!(theirs.summary().receipt, ours.receipt);
    assert_eq!(ours.receipt.target, pair.nodes.initiator_id());
    assert_equal(pair.local.path(), pair.shared.path());
}

#[test]
fn contents_are_compared_where_that_is_asked_for() {
    let pair = Pair::new();
    zoo(pair.local.path());
    pair.makes_equal(Role::Push, delete());
    // The same length, the same time, and other bytes.
    for name in ["many/7", "large"] {
        let path = pair.shared.path().join(name);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let blind = pair.done(Role::Push, delete());
    assert_eq!(blind.totals.file_count, 0);
    let checksum = || flags(SyncFlags { delete: true, checksum: true, ..SyncFlags::default() });
    let dry = pair.run(Role::Push, flags(SyncFlags { dry_run: true, ..checksum().flags }));
    let seen = pair.makes_equal(Role::Push, checksum());
    assert_eq!((seen.totals.file_count, dry.summary().totals.file_count), (2, 2));
    let again = pair.makes_equal(Role::Push, checksum());
    assert_eq!((again.totals.file_count, again.totals.sent_len), (0, 0));
    assert!(again.totals.stored_len > 2_000_000, "the receipt is about all content: {:?}", again.totals);
}

#[test]
fn a_dry_run_changes_nothing_and_tells_exactly_what_a_run_does() {
    for role in [Role::Push, Role::Pull] {
        let pair = Pair::new();
        let (source, target) = match role {
            Role::Push => (pair.local.path(), pair.shared.path()),
            Role::Pull => (pair.shared.path(), pair.local.path()),
        };
        zoo(source);
        write(target, "only/here/a", b"1");
        write(target, "only/b", b"2");
        write(target, "many", b"a file where a directory comes");
        fs::create_dir_all(target.join("large/inside")).unwrap();
        write(target, "small", b"other");
        let before = manifest(target);
        let dry = pair.run(role, flags(SyncFlags { delete: true, dry_run: true, ..SyncFlags::default() }));
        assert!(manifest(target) == before);
        let real = pair.run(role, flags(SyncFlags { delete: true, itemize: true, ..SyncFlags::default() }));
        assert_equal(target, source);
        let sorted = |changes: &[Change]| {
            let mut all: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&dry.changes), sorted(&real.changes));
        assert!(real.changes.len() > 500);
        let gone = Change {
            path: landline_services::sync::entry::TreePath::new(b"only").unwrap(),
            what: ChangeKind::Delete { count: 4 },
        };
        assert!(real.changes.contains(&gone));
        let (dry, real) = (dry.summary(), real.summary());
        let without_content = |mut totals: landline_services::sync::Totals| {
            (totals.sent_len, totals.stored_len) = (0, 0);
            totals
        };
        assert_eq!(without_content(dry.totals), without_content(real.totals));
        assert!(!dry.is_exact() && real.is_exact());
    }
}

#[test]
fn deletions_go_to_the_trash_and_can_be_taken_back() {
    let pair = Pair::new();
    write(pair.local.path(), "kept", b"1");
    write(pair.shared.path(), "gone/deep/file", b"precious");
    let summary = pair.makes_equal(Role::Push, delete());
    assert_eq!(summary.totals.deleted_count, 3);
    let trash = pair.shared.path().join(".landline-trash");
    let run = fs::read_dir(&trash).unwrap().next().unwrap().unwrap().path();
    fs::rename(run.join("gone"), pair.shared.path().join("gone")).unwrap();
    assert_eq!(fs::read(pair.shared.path().join("gone/deep/file")).unwrap(), b"precious");
    let for_good = flags(SyncFlags { delete: true, no_trash: true, ..SyncFlags::default() });
    fs::remove_dir_all(&trash).unwrap();
    pair.makes_equal(Role::Push, for_good);
    assert!(!trash.exists());
}

#[test]
fn too_many_deletions_or_an_empty_source_stop_the_run_before_any() {
    let pair = Pair::new();
    for name in ["a", "b", "c", "d"] {
        write(pair.shared.path(), name, b"1");
    }
    let empty = pair.run(Role::Push, delete());
    assert_eq!(empty.failure().code, SyncCode::SourceEmpty);
    write(pair.local.path(), "a", b"1");
    let half = SyncOptions { max_delete_percent: 50, ..delete() };
    let failure = pair.run(Role::Push, half.clone()).failure();
    assert_eq!((failure.code, failure.is_from_peer), (SyncCode::MaxDelete, true));
    assert_eq!(manifest(pair.shared.path()).len(), 5, "nothing has gone");
    write(pair.local.path(), "b", b"1");
    pair.makes_equal(Role::Push, half);
}

#[test]
fn without_delete_nothing_of_the_targets_own_goes() {
    let pair = Pair::new();
    write(pair.local.path(), "new", b"1");
    write(pair.shared.path(), "own/file", b"2");
    fs::create_dir(pair.shared.path().join("clash")).unwrap();
    write(pair.local.path(), "clash", b"a file where the target has a directory");
    let ended = pair.run(Role::Push, plain());
    assert_eq!(ended.skipped, [("clash".to_owned(), SkipReason::DirectoryInTheWay)]);
    assert!(!ended.summary().is_exact());
    assert!(pair.shared.path().join("own/file").exists() && pair.shared.path().join("new").exists());
}

#[test]
fn what_rules_leave_out_is_neither_sent_nor_deleted() {
    use landline_services::sync::filter::Rule;
    let pair = Pair::new();
    write(pair.local.path(), "a.o", b"source's");
    write(pair.local.path(), "a.c", b"1");
    write(pair.local.path(), "build/.landlineignore", b"*.tmp\n");
    write(pair.local.path(), "build/x.tmp", b"source's");
    write(pair.shared.path(), "b.o", b"target's");
    write(pair.shared.path(), "build/y.tmp", b"target's: its own rules come only with this run");
    let rules = vec![Rule { include: false, pattern: "*.o".into() }];
    pair.done(Role::Push, SyncOptions { rules, ..delete() });
    let has = |name: &str| pair.shared.path().join(name).exists();
    assert!(has("a.c") && has("b.o") && has("build/.landlineignore"));
    assert!(!has("a.o") && !has("build/x.tmp"));
}

#[test]
fn shares_are_for_whom_they_are_for() {
    let readable = Pair::with(|_| {});
    write(readable.local.path(), "a", b"1");
    assert_eq!(readable.run(Role::Push, plain()).failure().code, SyncCode::ReadOnly);
    readable.done(Role::Pull, plain());
    let others = Pair::with(|share| share.allowed = Some(Default::default()));
    assert_eq!(others.run(Role::Pull, plain()).failure().code, SyncCode::NoSuchShare);
    let none = readable.nodes.run(Role::Pull, "nothing", "", readable.local.path(), plain());
    assert_eq!(none.failure().code, SyncCode::NoSuchShare);
    let long = readable.nodes.run(Role::Pull, &"d".repeat(65), "", readable.local.path(), plain());
    let failure = long.failure();
    assert_eq!((failure.code, failure.is_from_peer), (SyncCode::NoSuchShare, false));
    let none = readable.nodes.run(Role::Pull, "docs", "no/such", readable.local.path(), plain());
    assert_eq!(none.failure().code, SyncCode::NoSuchPath);
    std::fs::create_dir_all(readable.shared.path().join(".landline-trash/run")).unwrap();
    let trash = readable.nodes.run(Role::Pull, "docs", ".landline-trash/run", readable.local.path(), plain());
    assert_eq!(trash.failure().code, SyncCode::NoSuchPath);
}

#[test]
fn a_quota_ends_a_push_and_what_is_there_is_whole() {
    let pair = Pair::with(|share| {
        share.is_writable = true;
        share.quota = Some(1_000_000);
    });
    write(pair.local.path(), "a", &[1; 400_000]);
    write(pair.local.path(), "b", &[2; 400_000]);
    write(pair.local.path(), "c", &[3; 400_000]);
    assert_eq!(pair.run(Role::Push, plain()).failure().code, SyncCode::Quota);
    let there: Vec<u64> = manifest(pair.shared.path()).iter().filter_map(|line| line.file_len).collect();
    assert!(there.iter().all(|len| *len == 400_000) && there.len() < 3, "{there:?}");
}

#[test]
fn a_push_brings_no_file_that_acts_with_the_rights_of_whoever_shares() {
    for (checksum, durable) in [(false, false), (true, false), (false, true)] {
        let pair = Pair::new();
        for (name, mode) in [("empty", 0o4755), ("program", 0o6711), ("sticky", 0o1755)] {
            write(pair.local.path(), name, name.strip_prefix("empty").map_or(b"#!", |_| b""));
            fs::set_permissions(pair.local.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(pair.local.path().join("directory")).unwrap();
        fs::set_permissions(pair.local.path().join("directory"), fs::Permissions::from_mode(0o2755)).unwrap();
        let options = || flags(SyncFlags { checksum, durable, ..SyncFlags::default() });
        let mode = |name: &str| fs::metadata(pair.shared.path().join(name)).unwrap().mode() & 0o7777;
        let has_warned = |ended: &Ended| {
            let names: Vec<&str> = ended.skipped.iter().map(|(name, _)| &name[..]).collect();
            assert!(ended.skipped.iter().all(|(_, reason)| matches!(reason, SkipReason::Attributes(_))));
            names == ["empty", "program"] || names == ["program", "empty"]
        };
        assert!(has_warned(&pair.run(Role::Push, options())));
        assert_eq!(["empty", "program", "sticky", "directory"].map(mode), [0o755, 0o711, 0o1755, 0o2755]);
        let again = pair.run(Role::Push, options());
        assert_eq!(again.skipped, []);
        let totals = again.summary().totals;
        assert_eq!((totals.metadata_count, totals.file_count), (0, 0));
        for name in ["empty", "program"] {
            fs::set_permissions(pair.local.path().join(name), fs::Permissions::from_mode(0o6700)).unwrap();
        }
        assert!(has_warned(&pair.run(Role::Push, options())));
        assert_eq!(["empty", "program"].map(mode), [0o700, 0o700]);
    }
}

#[test]
fn who_pulls_gets_the_bits_of_the_source_that_they_chose() {
    let pair = Pair::new();
    write(pair.shared.path(), "program", b"#!");
    fs::set_permissions(pair.shared.path().join("program"), fs::Permissions::from_mode(0o6755)).unwrap();
    pair.makes_equal(Role::Pull, plain());
    let again = pair.makes_equal(Role::Pull, plain());
    assert_eq!(again.totals.metadata_count, 0);
}

#[test]
fn durable_runs_end_the_same() {
    let pair = Pair::new();
    zoo(pair.local.path());
    pair.makes_equal(Role::Push, flags(SyncFlags { durable: true, ..SyncFlags::default() }));
}

#[test]
fn special_files_are_reported_and_not_copied() {
    let pair = Pair::new();
    write(pair.local.path(), "a", b"1");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pair.local.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let ended = pair.run(Role::Push, delete());
    assert_eq!(ended.skipped, [("pipe".to_owned(), SkipReason::Special)]);
    assert_eq!(ended.summary().totals.skipped_count, 1);
    assert!(!pair.shared.path().join("pipe").exists());
}

#[test]
fn a_directory_in_a_share_is_made_by_a_push_and_only_it_is_written() {
    let pair = Pair::new();
    write(pair.local.path(), "a", b"1");
    write(pair.shared.path(), "other", b"2");
    pair.nodes.run(Role::Push, "docs", "deep/er", pair.local.path(), delete()).summary();
    assert!(pair.shared.path().join("deep/er/a").exists() && pair.shared.path().join("other").exists());
}

#[test]
fn a_rate_is_kept_to() {
    let pair = Pair::new();
    write(pair.local.path(), "a", &[1; 400_000]);
    let slow = SyncOptions { rate_max: Some(1_000_000), ..plain() };
    let summary = pair.makes_equal(Role::Push, slow);
    assert!(summary.elapsed.as_millis() > 250, "{:?}", summary.elapsed);
}

#[test]
fn many_files_and_large_ones_go_together() {
    let pair = Pair::new();
    trees::many(pair.local.path(), 100, 100, 1000);
    write(pair.local.path(), "aaa-large", &trees::noise(20_000_000));
    write(pair.local.path(), "zzz-large", &trees::noise(20_000_000));
    let summary = pair.makes_equal(Role::Push, plain());
    assert_eq!((summary.totals.file_count, summary.totals.directory_count), (10_002, 100));
}

#[test]
fn an_unreadable_directory_among_rules_for_directories_is_reported() {
    use landline_services::sync::filter::Rule;
    let pair = Pair::new();
    write(pair.local.path(), "bad/.landlineignore", b"[never closed\n");
    fs::create_dir(pair.local.path().join("good")).unwrap();
    let rule = |include, pattern: &str| Rule { include, pattern: pattern.into() };
    let ended = pair.run(Role::Push, SyncOptions { rules: vec![rule(false, "*"), rule(true, "*/")], ..delete() });
    assert!(matches!(&ended.skipped[..], [(name, SkipReason::SourceUnreadable(_))] if name == "bad"), "{ended:?}");
    ended.summary();
    assert!(pair.shared.path().join("good").exists());
}

#[test]
fn a_good_run_leaves_the_unfinished_files_of_others() {
    let pair = Pair::new();
    write(pair.local.path(), "a", b"1");
    let part = ".landline-sync-0123456789abcdef.part";
    write(pair.shared.path(), part, b"of another source");
    pair.done(Role::Push, delete());
    assert!(pair.shared.path().join(part).exists());
}

#[test]
fn a_rate_that_parks_a_run_is_raised_by_the_side_that_answers() {
    let pair = Pair::new();
    write(pair.shared.path(), "a", b"1");
    pair.makes_equal(Role::Pull, SyncOptions { rate_max: Some(1), ..plain() });
}

#[test]
fn without_a_trash_what_is_in_the_way_goes_for_good() {
    for (delete, no_trash) in [(true, true), (true, false), (false, true), (false, false)] {
        let pair = Pair::new();
        write(pair.local.path(), "directory/inside", b"1");
        write(pair.shared.path(), "directory", b"a file in the way");
        if delete {
            write(pair.local.path(), "file", b"2");
            write(pair.shared.path(), "file/deep/inside", b"a directory in the way");
        }
        pair.makes_equal(Role::Push, flags(SyncFlags { delete, no_trash, ..SyncFlags::default() }));
        assert_eq!(pair.shared.path().join(".landline-trash").exists(), !no_trash);
    }
}

#[test]
fn a_source_of_what_is_not_copied_counts_as_empty() {
    use landline_services::sync::filter::Rule;
    let pair = Pair::new();
    write(pair.local.path(), "a.o", b"1");
    write(pair.local.path(), ".landlineignore", b"x\n.landlineignore\n");
    write(pair.local.path(), "x", b"1");
    write(pair.shared.path(), "precious", b"1");
    let rules = vec![Rule { include: false, pattern: "*.o".into() }];
    let failure = pair.run(Role::Push, SyncOptions { rules, ..delete() }).failure();
    assert_eq!(failure.code, SyncCode::SourceEmpty);
    assert!(pair.shared.path().join("precious").exists());
}

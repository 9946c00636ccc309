//! What is put into the trash can be taken back, and goes when it is old.

use std::time::{Duration, SystemTime};

use super::*;
use crate::limits::{TRASH_AGE_MAX, TRASH_PRUNE_COUNT_MAX};

const RUN: &str = "20260131T235959Z-0123456789abcdef";

fn trash(fixture: &Fixture) -> Trash {
    Trash::open(fixture.root.clone(), RUN).unwrap()
}

fn in_trash(below: &str) -> String {
    format!(".landline-trash/{RUN}/{below}")
}

fn time(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

#[test]
fn names_of_runs_tell_their_time() {
    for (secs, text) in [
        (0, "19700101T000000Z-"),
        (951_782_400, "20000229T000000Z-"),
        (1_709_251_199, "20240229T235959Z-"),
        (1_769_903_999, "20260131T235959Z-"),
        (4_107_542_400, "21000301T000000Z-"),
    ] {
        let name = run_name(time(secs)).unwrap();
        assert!(name.starts_with(text), "{name}");
    }
    for wrong in ["", "..", "a/b", "20260131", "20261331T000000Z-0123456789abcdef", "20260131T235959Z-../../../../xyz"]
    {
        assert!(Trash::open(Fixture::new().root, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_and_a_directory_with_all_in_it_can_be_taken_back() {
    let fixture = Fixture::new();
    fixture.write("a/b/file", "1");
    fixture.write("c/d", "2");
    let mut trash = trash(&fixture);
    trash.put(&path("a/b/file")).unwrap();
    trash.put(&path("c")).unwrap();
    assert!(!fixture.exists("a/b/file") && !fixture.exists("c"));
    assert_eq!(fixture.read(&in_trash("a/b/file")), "1");
    assert_eq!(mode_of(fixture.at(".landline-trash")), 0o700);
    fs::rename(fixture.at(in_trash("c")), fixture.at("c")).unwrap();
    assert_eq!(fixture.read("c/d"), "2");
    assert_eq!(fixture.paths(), [".", "a", "a/b", "c", "c/d"]);
}

#[test]
fn children_first_and_their_directory_after_them_works_too() {
    let fixture = Fixture::new();
    fixture.write("a/b/file", "1");
    fixture.write("a/file", "2");
    let mut trash = trash(&fixture);
    for gone in ["a/b/file", "a/b", "a/file", "a"] {
        trash.put(&path(gone)).unwrap();
    }
    assert_eq!(fixture.paths(), ["."]);
    assert_eq!(fixture.read(&in_trash("a/b/file")), "1");
    assert_eq!(fixture.read(&in_trash("a/file")), "2");
}

#[test]
fn what_is_put_there_twice_gets_a_number() {
    let fixture = Fixture::new();
    let mut trash = trash(&fixture);
    fixture.write("f", "1");
    trash.put(&path("f")).unwrap();
    fixture.write("f/inside", "2");
    trash.put(&path("f")).unwrap();
    fixture.write("f/inside", "3");
    trash.put(&path("f/inside")).unwrap_err();
    trash.put(&path("f")).unwrap();
    assert_eq!(fixture.read(&in_trash("f")), "1");
    assert_eq!(fixture.read(&in_trash("f~1/inside")), "2");
    assert_eq!(fixture.read(&in_trash("f~2/inside")), "3");
}

#[test]
fn nothing_is_made_for_nothing() {
    let fixture = Fixture::new();
    let mut trash = trash(&fixture);
    assert_eq!(trash.put(&path("absent")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert!(trash.put(&TreePath::root()).is_err());
    assert!(!fixture.exists(".landline-trash"));
    let pruned = Trash::prune(&fixture.root, time(0), TRASH_AGE_MAX, 1).unwrap();
    assert_eq!(pruned, Pruned { removed_count: 0, is_complete: true });
}

#[test]
fn old_runs_go_and_young_ones_and_strange_ones_stay() {
    let fixture = Fixture::new();
    let now = 1_769_903_999 + TRASH_AGE_MAX.as_secs() + 1;
    let mut deep = in_trash("d");
    for _ in 0..100 {
        deep.push_str("/d");
    }
    fixture.write(&format!("{deep}/file"), "");
    fixture.write(&in_trash("file"), "");
    symlink("/", fixture.at(in_trash("link"))).unwrap();
    fs::set_permissions(fixture.at(&deep), fs::Permissions::from_mode(0o0)).unwrap();
    fixture.write(".landline-trash/20260201T000000Z-0123456789abcdef/file", "");
    fixture.write(".landline-trash/mine/file", "");
    let prune = |now, count_max| Trash::prune(&fixture.root, time(now), TRASH_AGE_MAX, count_max).unwrap();
    assert_eq!(prune(now - 1, TRASH_PRUNE_COUNT_MAX).removed_count, 0);
    assert_eq!(prune(now, 10), Pruned { removed_count: 10, is_complete: false });
    let rest = prune(now, TRASH_PRUNE_COUNT_MAX);
    assert!(rest.is_complete && rest.removed_count > 80, "{rest:?}");
    assert!(!fixture.exists(&in_trash("")));
    assert!(fixture.exists(".landline-trash/20260201T000000Z-0123456789abcdef/file"));
    assert!(fixture.exists(".landline-trash/mine/file"));
}

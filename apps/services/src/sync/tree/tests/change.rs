//! Files that are received, and the other changes.

use std::io::{ErrorKind, Read};
use std::time::{Duration, SystemTime};

use super::*;
use crate::limits::STALE_PART_AGE;

fn key(of: &str) -> PartKey {
    PartKey::new(&path(of), 10, &metadata(0o644), b"peer")
}

fn part_name(of: &str) -> String {
    String::from_utf8(key(of).name().to_vec()).unwrap()
}

fn create(fixture: &Fixture, of: &str) -> Part {
    Part::create(&fixture.root.directory(&TreePath::root()).unwrap(), key(of)).unwrap()
}

fn resume(fixture: &Fixture, of: &str) -> std::io::Result<Option<(Part, u64)>> {
    Part::resume(&fixture.root.directory(&TreePath::root()).unwrap(), key(of))
}

#[test]
fn a_part_gets_its_name_and_attributes_when_it_is_finished() {
    let fixture = Fixture::new();
    for mode in [0, 0o400, 0o600, 0o644, 0o755, 0o1777, 0o4711, 0o2755, 0o7777] {
        let part = create(&fixture, "f");
        assert_eq!(mode_of(fixture.at(part_name("f"))), 0o600);
        part.write_at(0, b"content").unwrap();
        assert_eq!(part.finish(b"f", &metadata(mode), 7).unwrap(), Warnings::default());
        assert_eq!(mode_of(fixture.at("f")), u32::from(mode));
        let walked = fixture.walked("f");
        assert_eq!((walked.kind, walked.metadata), (Kind::File { len: 7 }, metadata(mode)));
        assert_eq!(fixture.paths(), [".", "f"]);
    }
}

#[test]
fn lengths_and_holes_come_out_as_told() {
    let fixture = Fixture::new();
    let part = create(&fixture, "f");
    part.write_at(1 << 20, b"end").unwrap();
    part.finish(b"f", &metadata(0o600), 64 << 20).unwrap();
    let file = fs::metadata(fixture.at("f")).unwrap();
    assert_eq!(file.len(), 64 << 20);
    assert!(file.blocks() * 512 < 1 << 20, "{} blocks", file.blocks());
    let part = create(&fixture, "f");
    part.write_at(0, b"too long").unwrap();
    part.finish(b"f", &metadata(0o600), 3).unwrap();
    assert_eq!(fixture.read("f"), "too");
}

#[test]
fn a_part_that_is_dropped_is_gone_and_one_that_is_kept_is_found_again() {
    let fixture = Fixture::new();
    create(&fixture, "f").write_at(0, b"x").unwrap();
    assert!(!fixture.exists(&part_name("f")));
    assert!(resume(&fixture, "f").unwrap().is_none());
    let part = create(&fixture, "f");
    part.write_at(0, b"first").unwrap();
    assert_eq!(resume(&fixture, "f").unwrap_err().kind(), ErrorKind::WouldBlock);
    part.keep();
    let (part, len) = resume(&fixture, "f").unwrap().unwrap();
    assert_eq!(len, 5);
    let mut content = String::new();
    part.file().read_to_string(&mut content).unwrap();
    assert_eq!(content, "first");
    part.write_at(len, b" then").unwrap();
    part.finish(b"f", &metadata(0o600), 10).unwrap();
    assert_eq!(fixture.read("f"), "first then");
}

#[test]
fn a_part_that_is_made_anew_is_empty() {
    let fixture = Fixture::new();
    let part = create(&fixture, "f");
    part.write_at(0, b"old content").unwrap();
    let parent = fixture.root.directory(&TreePath::root()).unwrap();
    assert_eq!(Part::create(&parent, key("f")).unwrap_err().kind(), ErrorKind::WouldBlock);
    part.keep();
    let part = create(&fixture, "f");
    part.write_at(3, b"new").unwrap();
    part.finish(b"f", &metadata(0o600), 6).unwrap();
    assert_eq!(fs::read(fixture.at("f")).unwrap(), b"\0\0\0new");
}

#[test]
fn keys_differ_in_everything_that_makes_a_version() {
    let one = metadata(0o644);
    let later = Metadata { mtime_nanos: 1, ..one.clone() };
    let keys = [
        PartKey::new(&path("a"), 1, &one, b"s"),
        PartKey::new(&path("b"), 1, &one, b"s"),
        PartKey::new(&path("a"), 2, &one, b"s"),
        PartKey::new(&path("a"), 1, &later, b"s"),
        PartKey::new(&path("a"), 1, &one, b"t"),
    ];
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(keys.iter().position(|other| other == key), Some(index));
        assert!(is_reserved(&TreePath::new(key.name()).unwrap()));
    }
    let other_mode = Metadata { mode: 0, uid: 77, ..one.clone() };
    assert_eq!(PartKey::new(&path("a"), 1, &other_mode, b"s"), keys[0]);
}

#[test]
fn a_directory_is_not_replaced_by_a_file() {
    let fixture = Fixture::new();
    fixture.write("d/file", "");
    assert!(create(&fixture, "d").finish(b"d", &metadata(0o600), 0).is_err());
    assert_eq!(fixture.paths(), [".", "d", "d/file"]);
    assert!(!fixture.exists(&part_name("d")));
}

#[test]
fn attributes_are_added_changed_and_taken_away() {
    let fixture = Fixture::new();
    if !has_xattrs(fixture.directory.path()) {
        return;
    }
    let with = |pairs: &[(&str, &str)]| Metadata {
        xattrs: pairs.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect(),
        ..metadata(0o444)
    };
    let first = with(&[("user.a", "1"), ("user.b", "2")]);
    assert!(create(&fixture, "f").finish(b"f", &first, 0).unwrap().is_empty());
    assert_eq!(fixture.walked("f").metadata, first);
    let second = with(&[("user.b", "3"), ("user.c", "")]);
    let kind = Kind::File { len: 0 };
    assert!(set_metadata(&mut fixture.cache(), &path("f"), &kind, &second).unwrap().is_empty());
    assert_eq!(fixture.walked("f").metadata, second);
    let foreign = with(&[("trusted.overlay.opaque", "y"), ("security.selinux", "x"), ("user.b", "3")]);
    assert!(set_metadata(&mut fixture.cache(), &path("f"), &kind, &foreign).unwrap().xattrs);
    assert_eq!(fixture.walked("f").metadata, with(&[("user.b", "3")]));
}

#[test]
fn access_lists_of_a_directory_do_not_open_the_files_in_it() {
    let fixture = Fixture::new();
    // Version 2, then user::rwx, user:1:rwx, group::---, mask::rwx, other::---, each tag, rights, number.
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 7, 1), (4, 0, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, number) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&rights.to_le_bytes());
        list.extend_from_slice(&number.to_le_bytes());
    }
    let name = "system.posix_acl_default";
    if rustix::fs::setxattr(fixture.directory.path(), name, &list, rustix::fs::XattrFlags::empty()).is_err() {
        return;
    }
    assert!(create(&fixture, "f").finish(b"f", &metadata(0o640), 0).unwrap().is_empty());
    assert_eq!(fixture.walked("f").metadata, metadata(0o640));
    let with_list = Metadata { xattrs: vec![(b"system.posix_acl_access"[..].into(), list.into())], ..metadata(0o670) };
    let with_list = Metadata { mode: 0o770, ..with_list };
    assert!(create(&fixture, "g").finish(b"g", &with_list, 0).unwrap().is_empty());
    assert_eq!(fixture.walked("g").metadata, with_list);
}

#[test]
fn what_cannot_be_given_away_is_told_and_lends_no_rights() {
    let fixture = Fixture::new();
    let foreign = Metadata { uid: 12_345, gid: 12_345, ..metadata(0o6755) };
    let warnings = create(&fixture, "f").finish(b"f", &foreign, 0).unwrap();
    if is_root() {
        assert!(warnings.is_empty());
        assert_eq!(fixture.walked("f").metadata, foreign);
    } else {
        assert!(warnings.owner && warnings.special_bits && !warnings.mode);
        assert_eq!(mode_of(fixture.at("f")), 0o755);
    }
    let nobody = Metadata { uid: u32::MAX, gid: u32::MAX, ..metadata(0o600) };
    assert!(create(&fixture, "g").finish(b"g", &nobody, 0).unwrap().is_empty());
}

#[test]
fn directories_and_links_are_made_and_get_their_attributes() {
    let fixture = Fixture::new();
    let mut cache = fixture.cache();
    make_directory(&mut cache, &path("d")).unwrap();
    make_directory(&mut cache, &path("d")).unwrap();
    make_directory(&mut cache, &path("d/e")).unwrap();
    make_symlink(&mut cache, &path("d/link"), b"../\xff", &metadata(0o777)).unwrap();
    make_symlink(&mut cache, &path("d/link"), b"other", &metadata(0o777)).unwrap();
    set_metadata(&mut cache, &path("d/e"), &Kind::Directory, &metadata(0o1500)).unwrap();
    set_metadata(&mut cache, &path("d"), &Kind::Directory, &metadata(0o750)).unwrap();
    set_metadata(&mut cache, &TreePath::root(), &Kind::Directory, &metadata(0o711)).unwrap();
    assert_eq!(fixture.walked("d/link").kind, Kind::Symlink { target: b"other"[..].into() });
    assert_eq!(fixture.walked("d/link").metadata, metadata(0o777));
    assert_eq!(fixture.walked("d/e").metadata, metadata(0o1500));
    assert_eq!(fixture.walked("d").metadata, metadata(0o750));
    assert_eq!(fixture.walked("").metadata, metadata(0o711));
    assert_eq!(fixture.paths(), [".", "d", "d/e", "d/link"]);
    fixture.write("file", "");
    assert_eq!(make_directory(&mut cache, &path("file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(set_metadata(&mut cache, &path("file"), &Kind::Directory, &metadata(0)).is_err());
}

#[test]
fn hard_links_replace_what_is_there_and_leave_nothing_else() {
    let fixture = Fixture::new();
    fixture.write("d/a", "1");
    fixture.write("b", "2");
    let mut cache = fixture.cache();
    for _ in 0..2 {
        make_hard_link(&mut cache, &path("d/a"), &path("b")).unwrap();
        assert_eq!(fixture.walked("b").identity, fixture.walked("d/a").identity);
        assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), 2);
    }
    assert!(make_hard_link(&mut cache, &path("absent"), &path("c")).is_err());
    assert!(make_hard_link(&mut cache, &path("b"), &path("d")).is_err());
    assert_eq!(fixture.paths(), [".", "b", "d", "d/a"]);
    assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), 2);
}

#[test]
fn removals_take_what_they_are_named_for_only() {
    let fixture = Fixture::new();
    fixture.write("d/f", "");
    let mut cache = fixture.cache();
    assert!(remove_directory(&mut cache, &path("d")).is_err());
    assert!(remove_file(&mut cache, &path("d")).is_err());
    assert!(remove_directory(&mut cache, &path("d/f")).is_err());
    remove_file(&mut cache, &path("d/f")).unwrap();
    remove_directory(&mut cache, &path("d")).unwrap();
    assert!(remove_directory(&mut cache, &TreePath::root()).is_err());
    assert_eq!(fixture.paths(), ["."]);
    // A directory that was removed and made again is found again.
    make_directory(&mut cache, &path("d")).unwrap();
    make_directory(&mut cache, &path("d/e")).unwrap();
}

#[test]
fn what_its_owner_has_closed_can_be_opened_up() {
    let fixture = Fixture::new();
    fixture.write("d/f", "");
    fs::set_permissions(fixture.at("d/f"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(fixture.at("d"), fs::Permissions::from_mode(0o050)).unwrap();
    let mut cache = fixture.cache();
    make_writable(&mut cache, &path("d")).unwrap();
    assert_eq!(mode_of(fixture.at("d")), 0o750);
    set_metadata(&mut cache, &path("d/f"), &Kind::File { len: 0 }, &metadata(0o040)).unwrap();
    assert_eq!(fixture.walked("d/f").metadata, metadata(0o040));
    assert!(make_writable(&mut cache, &path("d/f")).is_err());
}

#[test]
fn a_cache_holds_more_directories_than_it_keeps() {
    let fixture = Fixture::new();
    let mut cache = fixture.cache();
    for number in 0..40 {
        fixture.write(&format!("{number}/f"), &number.to_string());
    }
    for round in 0..3 {
        for number in 0..40 {
            let number = if round == 1 { 39 - number } else { number };
            let mut content = String::new();
            cache.open_file(&path(&format!("{number}/f"))).unwrap().read_to_string(&mut content).unwrap();
            assert_eq!(content, number.to_string());
        }
    }
}

#[test]
fn stale_parts_are_swept_and_young_or_locked_ones_stay() {
    let fixture = Fixture::new();
    create(&fixture, "left").keep();
    let held = create(&fixture, "held");
    fixture.write("d/.landline-sync-00000000000000d1.part/f", "");
    let mut walk = fixture.walk();
    assert_eq!(walk.by_ref().count(), 2);
    let parts = walk.take_parts();
    assert_eq!(parts.len(), 3);
    assert_eq!(sweep(&mut fixture.cache(), parts.clone(), SystemTime::now()), 0);
    let later = SystemTime::now() + STALE_PART_AGE + Duration::from_secs(60);
    assert_eq!(sweep(&mut fixture.cache(), parts, later), 1);
    assert!(fixture.exists(&part_name("held")) && !fixture.exists(&part_name("left")));
    held.finish(b"held", &metadata(0o600), 0).unwrap();
}

#[test]
fn a_part_counts_as_old_after_its_time_and_not_before() {
    let fixture = Fixture::new();
    create(&fixture, "f").keep();
    let parent = fixture.root.directory(&TreePath::root()).unwrap();
    let is_old = |age| crate::sync::tree::part::is_old(&parent, key("f").name(), SystemTime::now() + age);
    assert!(!is_old(STALE_PART_AGE - Duration::from_secs(60)));
    assert!(is_old(STALE_PART_AGE + Duration::from_secs(60)));
}

#[test]
fn roots_below_are_made_and_opened() {
    let fixture = Fixture::new();
    let below = fixture.root.create_below(&path("a/b/c")).unwrap();
    fixture.root.create_below(&path("a/b/c")).unwrap();
    fixture.write("a/b/c/f", "1");
    assert_eq!(Walk::new(Arc::new(below), Filter::default()).count(), 2);
    assert_eq!(Walk::new(Arc::new(fixture.root.open_below(&path("a/b")).unwrap()), Filter::default()).count(), 3);
    assert_eq!(Walk::new(Arc::new(fixture.root.open_below(&TreePath::root()).unwrap()), Filter::default()).count(), 5);
    assert!(fixture.root.open_below(&path("absent")).is_err());
    assert!(fixture.root.create_below(&path("a/b/c/f")).is_err());
    assert!(Root::open(&fixture.at("a/b/c/f")).is_err());
}

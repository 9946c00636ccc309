//! What a walk gives, and in which order.

use std::ffi::OsStr;

use super::*;
use crate::limits::WALK_OPEN_COUNT_MAX;
use crate::sync::entry::Xattr;

/// The tree by the plainest means there are.
fn naive(at: &Path, below: &TreePath, found: &mut Vec<TreePath>) {
    found.push(below.clone());
    let Ok(entries) = fs::read_dir(at) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name().as_bytes()).unwrap();
        if entry.file_type().unwrap().is_dir() {
            naive(&entry.path(), &path, found);
        } else {
            found.push(path);
        }
    }
}

fn check_order(fixture: &Fixture) {
    let mut expected = Vec::new();
    naive(fixture.directory.path(), &TreePath::root(), &mut expected);
    expected.sort();
    let walked: Vec<TreePath> = fixture.walk().map(|walked| walked.path).collect();
    assert_eq!(walked, expected);
}

#[test]
fn entries_come_in_the_order_of_their_paths() {
    // Names that sort otherwise by their bytes than as components, in every mixture that a small generator makes of them.
    let names = ["a", "a!", "a-", "a.b", "a/", "b", "\u{1}", "~", "ä", "A", "0", " "];
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..30 {
        let fixture = Fixture::new();
        for _ in 0..random(60) {
            let depth = 1 + random(4);
            let path: Vec<&str> = (0..depth).map(|_| names[random(names.len())].trim_end_matches('/')).collect();
            let at = fixture.at(path.join("/"));
            let made = if random(2) == 0 { fs::create_dir_all(&at) } else { fs::write(&at, "x") };
            // A file where a directory should be, or none where the file should be in: as well.
            drop(made);
        }
        check_order(&fixture);
    }
}

#[test]
fn hostile_names_are_only_names() {
    let fixture = Fixture::new();
    let long = "x".repeat(255);
    let names: [&[u8]; 10] =
        [b"a\nb", b"\xff\xfe", b"-rf", b" ", b"  a  ", b"...", b"\x1b[2J", b"*", b"\\", long.as_bytes()];
    for name in names {
        fs::write(fixture.at(OsStr::from_bytes(name)), name).unwrap();
    }
    check_order(&fixture);
    let mut cache = fixture.cache();
    for name in names {
        let mut content = Vec::new();
        let mut file = cache.open_file(&TreePath::new(name).unwrap()).unwrap();
        std::io::Read::read_to_end(&mut file, &mut content).unwrap();
        assert_eq!(content, name);
    }
}

#[test]
fn every_kind_is_told_with_its_attributes() {
    let fixture = Fixture::new();
    fixture.write("file", "content");
    fixture.write("other", "");
    fs::hard_link(fixture.at("file"), fixture.at("second name")).unwrap();
    fs::create_dir(fixture.at("empty")).unwrap();
    symlink("no/where\u{1}", fixture.at("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.at("pipe"), rustix::fs::Mode::RWXU).unwrap();
    fs::set_permissions(fixture.at("other"), fs::Permissions::from_mode(0o4751)).unwrap();
    let file = fixture.walked("file");
    let std_file = fs::metadata(fixture.at("file")).unwrap();
    assert_eq!(file.kind, Kind::File { len: 7 });
    assert_eq!(
        (file.metadata.mtime_secs, i64::from(file.metadata.mtime_nanos)),
        (std_file.mtime(), std_file.mtime_nsec())
    );
    assert_eq!((file.metadata.uid, file.metadata.gid), (std_file.uid(), std_file.gid()));
    let identity = file.identity.unwrap();
    assert_eq!((identity.device, identity.inode, identity.link_count), (std_file.dev(), std_file.ino(), 2));
    assert_eq!((identity.ctime.0, i64::from(identity.ctime.1)), (std_file.ctime(), std_file.ctime_nsec()));
    assert_eq!(fixture.walked("second name").identity, Some(identity));
    assert_eq!(fixture.walked("other").metadata.mode, 0o4751);
    assert_eq!(fixture.walked("empty").kind, Kind::Directory);
    assert_eq!(fixture.walked("link").kind, Kind::Symlink { target: b"no/where\x01"[..].into() });
    assert_eq!(fixture.walked("link").metadata.mode, 0o777);
    assert_eq!(fixture.walked("pipe").kind, Kind::Special);
    assert_eq!(fixture.walked("").kind, Kind::Directory);
    let mut cache = fixture.cache();
    assert_eq!(cache.open_file(&path("pipe")).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    assert!(cache.open_file(&path("link")).is_err() && cache.open_file(&path("empty")).is_err());
}

#[test]
fn attributes_of_users_are_read_from_files_and_directories() {
    let fixture = Fixture::new();
    if !has_xattrs(fixture.directory.path()) {
        return;
    }
    fixture.write("directory/file", "");
    let set = |at: &str, name: &str, value: &[u8]| {
        rustix::fs::setxattr(fixture.at(at), name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("directory", "user.b", b"2");
    set("directory/file", "user.z", b"");
    set("directory/file", "user.a", &[0, 255]);
    let pairs = |at: &str| fixture.walked(at).metadata.xattrs;
    assert_eq!(pairs("directory"), [(b"user.b"[..].into(), b"2"[..].into())]);
    let of_file: [Xattr; 2] = [(b"user.a"[..].into(), [0, 255][..].into()), (b"user.z"[..].into(), b""[..].into())];
    assert_eq!(pairs("directory/file"), of_file);
}

#[test]
fn many_names_of_attributes_are_read_too() {
    let fixture = Fixture::new();
    fixture.write("file", "");
    let count = (0..20).take_while(|number| {
        let name = format!("user.a-rather-long-name-of-an-attribute-{number:02}");
        rustix::fs::setxattr(fixture.at("file"), name, b"value", rustix::fs::XattrFlags::empty()).is_ok()
    });
    let count = count.count();
    assert_eq!(fixture.walked("file").metadata.xattrs.len(), count);
}

#[test]
fn a_tree_deeper_than_what_is_held_open_is_walked_whole() {
    let fixture = Fixture::new();
    let depth = WALK_OPEN_COUNT_MAX * 2;
    let mut at = fixture.directory.path().to_path_buf();
    for _ in 0..depth {
        fs::create_dir(at.join("d")).unwrap();
        fs::write(at.join("a"), "").unwrap();
        fs::write(at.join("z"), "").unwrap();
        at.push("d");
    }
    assert_eq!(fixture.paths().len(), 1 + depth * 3);
    check_order(&fixture);
}

#[test]
fn links_in_a_circle_are_not_followed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.at("a")).unwrap();
    symlink("..", fixture.at("a/up")).unwrap();
    symlink("loop", fixture.at("a/loop")).unwrap();
    assert_eq!(fixture.paths(), [".", "a", "a/loop", "a/up"]);
}

#[test]
fn what_is_left_out_is_told_but_not_entered() {
    let fixture = Fixture::new();
    for file in ["a.o", "b", "out/x", "sub/out/y", "sub/c.o"] {
        fixture.write(file, "");
    }
    let walked = fixture.walk_without(&["*.o", "out/"]);
    let expected = [
        (".", false),
        ("a.o", true),
        ("b", false),
        ("out", true),
        ("sub", false),
        ("sub/c.o", true),
        ("sub/out", true),
    ];
    assert_eq!(walked, expected.map(|(path, is_excluded)| (path.to_owned(), is_excluded)));
}

#[test]
fn files_of_rules_count_for_what_is_beside_and_below_them() {
    let fixture = Fixture::new();
    for file in ["a/x.log", "a/keep.log", "a/b/x.log", "a/b/y.tmp", "c/x.log", "c/y.tmp", "y.tmp"] {
        fixture.write(file, "");
    }
    fixture.write(".landlineignore", "*.tmp\n# a comment\n\n");
    fixture.write("a/.landlineignore", "*.log\n!keep.log\n/b/y.tmp\n");
    fixture.write("a/b/.landlineignore", "!y.tmp\n");
    let walked = fixture.walk_without(&["c/x.log"]);
    let excluded: Vec<&str> =
        walked.iter().filter(|(_, is_excluded)| *is_excluded).map(|(path, _)| path.as_str()).collect();
    assert_eq!(excluded, ["a/b/x.log", "a/x.log", "c/x.log", "c/y.tmp", "y.tmp"]);
}

#[test]
fn a_directory_whose_rules_cannot_be_read_is_unreadable() {
    let fixture = Fixture::new();
    fixture.write("bytes/.landlineignore", "x");
    fs::write(fixture.at("bytes/.landlineignore"), b"\xff").unwrap();
    fixture.write("long/.landlineignore", &"#\n".repeat(40_000));
    fixture.write("link/file", "");
    symlink("file", fixture.at("link/.landlineignore")).unwrap();
    fixture.write("fine/.landlineignore", "a\n");
    let kinds: Vec<(String, Kind)> = fixture.walk().map(|walked| (walked.path.to_string(), walked.kind)).collect();
    let unreadable = ["bytes", "link", "long"];
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    for (path, kind) in kinds {
        assert_eq!(kind == Kind::Unreadable, unreadable.contains(&path.as_str()), "{path}");
    }
}

#[test]
fn what_sync_keeps_there_itself_is_passed_by() {
    let fixture = Fixture::new();
    let parts = ["a/.landline-sync-0123456789abcdef.part", ".landline-sync-ffffffffffffffff.part"];
    let others = [".landline-trash/run/a", "a/.landline-trash/b", ".landline-0123456789abcdef.part"];
    for file in parts.iter().chain(&others).chain(&["a/.landline-sync-mine.part", "a/.landline-x.part", "b"]) {
        fixture.write(file, "");
    }
    let mut walk = fixture.walk();
    let walked: Vec<String> = walk.by_ref().map(|walked| walked.path.to_string()).collect();
    assert_eq!(walked, [".", "a", "a/.landline-sync-mine.part", "a/.landline-x.part", "b"]);
    let mut found = walk.take_parts();
    found.sort();
    assert_eq!(found, [path(".landline-sync-ffffffffffffffff.part"), path("a/.landline-sync-0123456789abcdef.part")]);
    assert!(parts.iter().chain(&others).all(|reserved| is_reserved(&path(reserved))));
    assert!(!is_reserved(&path("a/.landline-x.part")) && !is_reserved(&path(".landlineignore")));
}

#[test]
fn what_may_not_be_read_is_told_as_unreadable() {
    let fixture = Fixture::closed();
    let walked: Vec<Walked> = as_nobody(|| fixture.walk().collect());
    let unreadable = |walked: &&Walked| walked.kind == Kind::Unreadable && walked.reason.is_some();
    let unreadable: Vec<String> = walked.iter().filter(unreadable).map(|walked| walked.path.to_string()).collect();
    // The names in `listed` can be read, and nothing else of it.
    assert_eq!(unreadable, ["closed", "listed/directory", "listed/file"]);
    assert_eq!(walked.len(), 6);
    fixture.open_up();
}

#[test]
fn what_may_not_be_read_and_is_left_out_is_only_left_out() {
    let fixture = Fixture::closed();
    let walked = as_nobody(|| fixture.walk_without(&["closed/", "listed/directory/", "file"]));
    let expected = [(".", false), ("closed", true), ("listed", false)];
    let expected = expected.into_iter().chain([("listed/directory", true), ("listed/file", true), ("open", false)]);
    assert_eq!(walked, expected.map(|(path, is_excluded)| (path.to_owned(), is_excluded)).collect::<Vec<_>>());
    fixture.open_up();
}

#[test]
fn a_path_that_would_be_too_long_is_told_at_its_directory() {
    let fixture = Fixture::new();
    let name = "n".repeat(250);
    let mut directory = fixture.root.directory(&TreePath::root()).unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&directory, &name, rustix::fs::Mode::RWXU).unwrap();
        directory = directory.directory(name.as_bytes()).unwrap();
    }
    let walked: Vec<Walked> = fixture.walk().collect();
    let (last, before) = walked.split_last().unwrap();
    assert_eq!(last.kind, Kind::Unreadable);
    assert!(before.iter().all(|walked| walked.kind == Kind::Directory));
}

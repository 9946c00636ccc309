//! Somebody swaps links in while a run goes on: nothing outside is read or written.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A tree beside which there is something to protect.
fn beside_a_secret() -> (Fixture, Fixture) {
    let secret = Fixture::new();
    secret.write("file", "secret");
    secret.write("sub/file", "secret");
    (Fixture::new(), secret)
}

#[test]
fn a_link_in_place_of_a_directory_leads_nowhere() {
    let (fixture, secret) = beside_a_secret();
    symlink(secret.directory.path(), fixture.at("d")).unwrap();
    let mut cache = fixture.cache();
    assert!(fixture.root.directory(&path("d")).is_err());
    assert!(fixture.root.open_below(&path("d/sub")).is_err());
    assert!(fixture.root.create_below(&path("d/new")).is_err());
    assert!(cache.open_file(&path("d/file")).is_err());
    assert!(make_directory(&mut cache, &path("d/new")).is_err());
    assert!(make_directory(&mut cache, &path("d")).is_err());
    assert!(make_symlink(&mut cache, &path("d/new"), b"x", &metadata(0o777)).is_err());
    assert!(make_hard_link(&mut cache, &path("d/file"), &path("stolen")).is_err());
    assert!(remove_file(&mut cache, &path("d/file")).is_err());
    assert!(set_metadata(&mut cache, &path("d"), &Kind::Directory, &metadata(0o777)).is_err());
    assert!(set_metadata(&mut cache, &path("d/file"), &Kind::File { len: 6 }, &metadata(0o777)).is_err());
    let mut trash = Trash::open(fixture.root.clone(), &run_name(std::time::SystemTime::now()).unwrap()).unwrap();
    assert!(trash.put(&path("d/file")).is_err());
    assert_eq!(fixture.walk().map(|walked| walked.kind).filter(|kind| matches!(kind, Kind::File { .. })).count(), 0);
    assert_eq!(secret.read("file"), "secret");
    assert_eq!(secret.paths(), [".", "file", "sub", "sub/file"]);
}

#[test]
fn a_link_in_place_of_a_file_is_replaced_and_not_followed() {
    let (fixture, secret) = beside_a_secret();
    symlink(secret.at("file"), fixture.at("f")).unwrap();
    let mut cache = fixture.cache();
    let (parent, name) = (cache.directory(&TreePath::root()).unwrap(), b"f");
    assert!(cache.open_file(&path("f")).is_err());
    assert!(set_metadata(&mut cache, &path("f"), &Kind::File { len: 6 }, &metadata(0o777)).is_err());
    let key = PartKey::new(&path("f"), 3, &metadata(0o644), b"peer");
    // Also under the name that the temporary file is going to have.
    symlink(secret.at("file"), fixture.at(std::str::from_utf8(key.name()).unwrap())).unwrap();
    assert!(Part::resume(&parent, key).unwrap().is_none());
    let part = Part::create(&parent, key).unwrap();
    part.write_at(0, b"new").unwrap();
    part.finish(name, &metadata(0o644), 3).unwrap();
    assert_eq!((fixture.read("f").as_str(), secret.read("file").as_str()), ("new", "secret"));
    assert!(fs::symlink_metadata(fixture.at("f")).unwrap().is_file());
}

#[test]
fn a_second_name_of_a_file_outside_is_not_written_to() {
    let fixture = Fixture::new();
    fixture.write("outside", "secret");
    let key = PartKey::new(&path("f"), 3, &metadata(0o644), b"peer");
    let parent = fixture.root.directory(&TreePath::root()).unwrap();
    fs::hard_link(fixture.at("outside"), fixture.at(std::str::from_utf8(key.name()).unwrap())).unwrap();
    assert!(Part::resume(&parent, key).unwrap().is_none());
    Part::create(&parent, key).unwrap().write_at(0, b"new").unwrap();
    assert_eq!(fixture.read("outside"), "secret");
}

#[test]
fn a_planted_trash_is_not_used() {
    let (fixture, secret) = beside_a_secret();
    fixture.write("f", "mine");
    symlink(secret.directory.path(), fixture.at(".landline-trash")).unwrap();
    let mut trash = Trash::open(fixture.root.clone(), &run_name(std::time::SystemTime::now()).unwrap()).unwrap();
    assert!(trash.put(&path("f")).is_err());
    assert_eq!(fixture.read("f"), "mine");
    assert_eq!(secret.paths(), [".", "file", "sub", "sub/file"]);
}

#[test]
fn swapping_a_directory_for_a_link_during_walks_and_writes_shows_nothing_of_outside() {
    let (fixture, secret) = beside_a_secret();
    fs::create_dir(fixture.at("real")).unwrap();
    fs::write(fixture.at("real/file"), "plain").unwrap();
    symlink(secret.directory.path(), fixture.at("link")).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for (from, to) in [("real", "d"), ("d", "real"), ("link", "d"), ("d", "link")] {
                    let _ = fs::rename(fixture.at(from), fixture.at(to));
                }
            }
        });
        for round in 0..2_000 {
            for walked in fixture.walk() {
                assert!(!walked.path.is_within(&path("d/sub")) && !walked.path.is_within(&path("link/file")));
            }
            let mut cache = fixture.cache();
            if let Ok(mut file) = cache.open_file(&path("d/file")) {
                let mut content = String::new();
                std::io::Read::read_to_string(&mut file, &mut content).unwrap();
                assert_ne!(content, "secret");
            }
            if let Ok(parent) = cache.directory(&path("d")) {
                let part = Part::create(&parent, PartKey::new(&path("d/new"), round, &metadata(0o600), b"")).unwrap();
                part.write_at(0, b"x").unwrap();
                part.finish(b"new", &metadata(0o600), 1).unwrap();
            }
            let _ = make_directory(&mut fixture.cache(), &path("d/made"));
            let _ = remove_file(&mut fixture.cache(), &path("d/new"));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(secret.paths(), [".", "file", "sub", "sub/file"]);
    assert_eq!(secret.read("file"), "secret");
}

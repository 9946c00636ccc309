//! What is given one by one as a tree, and the hidden directory that a gift is put together in.

use super::*;
use std::time::{Duration, SystemTime};

use crate::limits::STALE_PART_AGE;

fn stage(fixture: &Fixture, label: &str) -> std::io::Result<Stage> {
    Stage::open(fixture.root.clone(), PartKey::new(&path(label), 0, &Metadata::default(), b"alice"))
}

#[test]
fn what_was_given_is_walked_and_opened_under_its_own_name_wherever_it_is() {
    let fixture = Fixture::new();
    fixture.write("x/photos/a/deep", "1");
    fixture.write("y/letter", "22");
    fixture.write("secret", "333");
    symlink("letter", fixture.at("y/alias")).unwrap();
    symlink("../../secret", fixture.at("x/photos/out")).unwrap();
    let given: Vec<PathBuf> = ["x/photos", "y/alias", "y/letter"].iter().map(|name| fixture.at(name)).collect();
    let root = Arc::new(Root::of_paths(&given).unwrap());
    let walked: Vec<String> =
        Walk::new(root.clone(), Filter::whole()).map(|walked| format!("{} {:?}", walked.path, walked.kind)).collect();
    let (directory, file) = ("Directory", |len: u64| format!("File {{ len: {len} }}"));
    let link = Kind::Symlink { target: b"../../secret"[..].into() };
    let expected = [
        format!(". {directory}"),
        format!("alias {}", file(2)),
        format!("letter {}", file(2)),
        format!("photos {directory}"),
        format!("photos/a {directory}"),
        format!("photos/a/deep {}", file(1)),
        format!("photos/out {link:?}"),
    ];
    assert_eq!(walked, expected);
    let mut cache = DirectoryCache::new(root.clone());
    assert!(cache.open_file(&path("photos/a/deep")).is_ok() && cache.open_file(&path("alias")).is_ok());
    for wrong in ["photos", "photos/out", "x", "secret", "photos/a/nothing", "letter/x"] {
        assert!(cache.open_file(&path(wrong)).is_err(), "{wrong}");
    }
    assert!(make_directory(&mut cache, &path("new")).is_err(), "it can only be read");
    assert!(root.create_below(&path("new")).is_err() && root.sync_file_system().is_err());
}

#[test]
fn a_deep_tree_that_was_given_is_walked_to_its_end() {
    let fixture = Fixture::new();
    let deep = "d/".repeat(100) + "bottom";
    fixture.write(&format!("given/{deep}"), "1");
    fixture.write("given/zz", "1");
    let root = Arc::new(Root::of_paths(&[fixture.at("given")]).unwrap());
    let walked: Vec<_> = Walk::new(root, Filter::whole()).collect();
    assert!(walked.iter().all(|walked| walked.kind != Kind::Unreadable));
    assert_eq!(walked.last().unwrap().path, path("given/zz"));
}

#[test]
fn a_gift_is_put_together_by_one_run_at_a_time_and_found_again_by_its_label() {
    let fixture = Fixture::new();
    let first = stage(&fixture, "one").unwrap();
    assert_eq!(stage(&fixture, "one").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let other = stage(&fixture, "two").unwrap();
    make_directory(&mut DirectoryCache::new(first.root().clone()), &path("kept")).unwrap();
    // What a cut run leaves of a file, beside other things and alone.
    for stage in [&first, &other] {
        let directory = stage.root().directory(&TreePath::root()).unwrap();
        Part::create(&directory, PartKey::new(&path("large"), 1, &Metadata::default(), b"alice")).unwrap().keep();
    }
    assert_eq!(fixture.paths(), ["."], "nothing of it is in view");
    drop(first);
    let again = stage(&fixture, "one").unwrap();
    assert!(again.root().directory(&path("kept")).is_ok() && other.root().directory(&path("kept")).is_err());
    again.remove().unwrap();
    other.remove().unwrap();
    assert_eq!(fs::read_dir(fixture.at("")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_others_could_reach_is_closed_and_a_link_is_not_followed() {
    let fixture = Fixture::new();
    let key = PartKey::new(&path("one"), 0, &Metadata::default(), b"alice");
    let name = String::from_utf8(key.name().to_vec()).unwrap();
    fs::create_dir(fixture.at(&name)).unwrap();
    fs::set_permissions(fixture.at(&name), fs::Permissions::from_mode(0o777)).unwrap();
    drop(stage(&fixture, "one").unwrap());
    assert_eq!(mode_of(fixture.at(&name)), 0o700);
    fs::remove_dir(fixture.at(&name)).unwrap();
    fs::create_dir(fixture.at("elsewhere")).unwrap();
    symlink("elsewhere", fixture.at(&name)).unwrap();
    assert!(stage(&fixture, "one").is_err());
}

#[test]
fn what_nobody_comes_back_for_is_cleared_away_unless_it_is_worked_in() {
    let fixture = Fixture::new();
    let name = |label| {
        let stage = stage(&fixture, label).unwrap();
        make_directory(&mut DirectoryCache::new(stage.root().clone()), &path("something")).unwrap();
        stage
    };
    let (old, worked_in) = (name("old"), name("worked in"));
    drop(old);
    fixture.write(".landline-sync-0123456789abcdef.part", "a file of a sync");
    Stage::sweep(&fixture.root, SystemTime::now()).unwrap();
    assert_eq!(fs::read_dir(fixture.at("")).unwrap().count(), 3, "all are young");
    Stage::sweep(&fixture.root, SystemTime::now() + STALE_PART_AGE + Duration::from_secs(60)).unwrap();
    assert_eq!(fs::read_dir(fixture.at("")).unwrap().count(), 2);
    assert!(fixture.at(".landline-sync-0123456789abcdef.part").exists());
    drop(worked_in);
}

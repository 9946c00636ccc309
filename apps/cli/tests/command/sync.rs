//! Folders between two commands: equal at the end, as announced by a dry run, and after kills of either side.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{DEADLINE, Directory, Finished, Running, User};

/// What a tree consists of, as far as a sync keeps it in step: for each path its kind, mode, time, content.
fn manifest(root: &Path) -> BTreeMap<String, String> {
    let mut manifest = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if name == ".landline-trash" {
                continue;
            }
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_dir() {
                waiting.push(path);
                "directory".to_owned()
            } else if metadata.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).unwrap())
            } else {
                format!("file {} {}", blake3::hash(&fs::read(&path).unwrap()), metadata.nlink())
            };
            let time = (metadata.mtime(), metadata.mtime_nsec());
            manifest.insert(name, format!("{content} {:o} {time:?}", metadata.mode()));
        }
    }
    manifest
}

/// A tree with a file of `large_len` bytes, many small ones, a symbolic and a hard link.
fn make_tree(root: &Path, large_len: usize) {
    fs::create_dir_all(root.join("sub/empty")).unwrap();
    for index in 0..200 {
        fs::write(root.join(format!("sub/{index}.txt")), format!("file {index}\n").repeat(index)).unwrap();
    }
    let large: Vec<u8> = (0..large_len).map(|index| (index / 7 + index / 4099) as u8).collect();
    fs::write(root.join("large.bin"), large).unwrap();
    symlink("nowhere", root.join("sub/link")).unwrap();
    fs::hard_link(root.join("sub/7.txt"), root.join("sub/hard")).unwrap();
    fs::set_permissions(root.join("sub/9.txt"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A directory, bob who shares a folder with alice, and alice who knows him.
struct Scene {
    directory: Directory,
    alice: User,
    bob: User,
    share: TempDir,
    source: TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = Directory::start();
        let (alice, bob) = (User::new(&directory.url), User::new(&directory.url));
        bob.run(["trust", "alice", &alice.peer_id()]).succeeds();
        alice.run(["trust", "bob", &bob.peer_id()]).succeeds();
        Self { directory, alice, bob, share: TempDir::new().unwrap(), source: TempDir::new().unwrap() }
    }

    fn listen(&self, access: &str, more: &[&str]) -> Running {
        let share = format!("docs={}{access}", self.share.path().display());
        let save_to = self.bob.home().to_str().unwrap();
        let args = ["listen", "--name", "bob", "--listen", "127.0.0.1:0", "--save-to", save_to, "--share", &share];
        let mut running = self.bob.start(args.iter().chain(more));
        running.line_with("announced as bob");
        running
    }

    fn push(&self, flags: &[&str]) -> Finished {
        let source = self.source.path().to_str().unwrap();
        self.alice.run(["sync", source, "bob:docs"].iter().chain(flags))
    }

    fn assert_equal(&self) {
        assert_eq!(manifest(self.source.path()), manifest(self.share.path()));
    }
}

#[test]
fn a_folder_arrives_as_a_dry_run_said_and_then_nothing_is_left_to_do() {
    let scene = Scene::new();
    make_tree(scene.source.path(), 3_000_000);
    fs::write(scene.share.path().join("old"), b"old").unwrap();
    let mut bob = scene.listen(":rw", &[]);
    let flags = ["--delete", "--max-delete", "100", "--itemize"];
    let mut foreseen = scene.push(&[&flags[..], &["--dry-run"]].concat());
    foreseen.succeeds();
    assert!(foreseen.stdout.contains("nothing was changed") && scene.share.path().join("old").exists());
    let receipt = scene.alice.home().join("receipt.json");
    let mut done = scene.push(&[&flags[..], &["--receipt", receipt.to_str().unwrap()]].concat());
    done.succeeds();
    scene.assert_equal();
    let changes = |finished: &mut Finished| {
        let is_change = |line: &&str| !line.starts_with(' ') && line.contains("  ") && !line.contains(", ");
        let mut lines: Vec<String> = finished.stdout.lines().filter(is_change).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let foreseen = changes(&mut foreseen);
    assert!(foreseen.len() > 200, "{foreseen:?}");
    assert_eq!(foreseen, changes(&mut done));
    bob.line_with("sync with alice done");
    let verified = scene.bob.run(["verify-receipt", receipt.to_str().unwrap()]);
    assert!(verified.succeeds().stdout.contains("the receiver signed this"), "{verified:?}");
    let again = scene.push(&["--json"]);
    assert!(again.succeeds().stdout.contains("\"files\":0") && again.stdout.contains("\"in_step\":true"), "{again:?}");
    // What was deleted can be taken back.
    let run = fs::read_dir(scene.share.path().join(".landline-trash")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read(run.path().join("old")).unwrap(), b"old");
}

#[test]
fn a_folder_comes_back_from_a_share_that_may_only_be_read() {
    let scene = Scene::new();
    make_tree(scene.share.path(), 100_000);
    let _bob = scene.listen("", &[]);
    scene.push(&[]).fails(4, &["read-only", "--share NAME=DIR:rw"]);
    let target = scene.alice.home().join("restored");
    scene.alice.run(["sync", "bob:docs", target.to_str().unwrap()]).succeeds();
    assert_eq!(manifest(&target), manifest(scene.share.path()));
    let part = scene.alice.home().join("part");
    scene.alice.run(["sync", "bob:docs/sub", part.to_str().unwrap(), "--exclude", "*.txt"]).succeeds();
    assert_eq!(manifest(&part).into_keys().collect::<Vec<_>>(), ["empty", "hard", "link"]);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let scene = Scene::new();
    fs::write(scene.source.path().join("file"), vec![7; 10_000]).unwrap();
    let bob = scene.listen(":rw", &["--quota", "docs=4k"]);
    let source = scene.source.path().to_str().unwrap();
    let sync = |args: &[&str]| scene.alice.run(["sync"].iter().chain(args));
    sync(&[source, "bob:other"]).fails(3, &["no such share (other)", "next:"]);
    sync(&["bob:docs/nothing", source]).fails(3, &["no such directory in the share"]);
    sync(&[source, source]).fails(2, &["one has to be PEER:SHARE"]);
    sync(&["/nowhere/at/all", "bob:docs"]).fails(3, &["cannot open the directory"]);
    sync(&[source, "nobody:docs"]).fails(3, &["nobody"]);
    sync(&[source, "bob:docs"]).fails(1, &["quota", "next:"]);
    assert_eq!(manifest(scene.share.path()).len(), 0);
    fs::write(scene.share.path().join("precious"), b"precious").unwrap();
    // An empty source is more likely a disk that is not mounted than what somebody wants to have.
    let empty = scene.alice.home().join("empty");
    fs::create_dir(&empty).unwrap();
    sync(&[empty.to_str().unwrap(), "bob:docs", "--delete"]).fails(1, &["the source is empty", "next:"]);
    fs::write(empty.join("one"), b"").unwrap();
    sync(&[empty.to_str().unwrap(), "bob:docs", "--delete", "--max-delete", "0"]).fails(1, &["--max-delete"]);
    assert_eq!(fs::read(scene.share.path().join("precious")).unwrap(), b"precious");
    drop(bob);
    let carol = User::new(&scene.directory.url).peer_id();
    let _bob = scene.listen(":rw", &["--allow", &format!("docs={carol}")]);
    sync(&[source, "bob:docs"]).fails(3, &["no such share (docs)"]);
    let forged = scene.alice.home().join("forged.json");
    fs::write(&forged, "{}").unwrap();
    scene.alice.run(["verify-receipt", forged.to_str().unwrap()]).fails(1, &["is no receipt"]);
}

#[test]
fn what_cannot_be_copied_is_named_and_the_code_is_its_own() {
    let scene = Scene::new();
    fs::write(scene.source.path().join("file"), b"content").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.source.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let _bob = scene.listen(":rw", &[]);
    scene.push(&[]).fails(5, &["skipped: pipe:", "1 entry was not brought into step"]);
    assert_eq!(fs::read(scene.share.path().join("file")).unwrap(), b"content");
}

/// A disk of `len` bytes that nobody else sees, and its path for every process of this user. `None`, and a line that says
/// so, where none may be made.
fn small_disk(len: usize) -> Option<(OwnedFd, PathBuf)> {
    let make = || {
        let disk = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(disk.as_fd(), "size", len.to_string())?;
        rustix::mount::fsconfig_create(disk.as_fd())?;
        rustix::mount::fsmount(disk.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let made: rustix::io::Result<OwnedFd> = make();
    match made {
        Ok(disk) => {
            let path = format!("/proc/{}/fd/{}", std::process::id(), disk.as_raw_fd()).into();
            Some((disk, path))
        }
        Err(error) => {
            eprintln!("SKIPPED: no disk can be mounted here ({error}); run this test as root");
            None
        }
    }
}

/// A sync into a disk that has not enough room, and again when it has.
fn fills_up(source: &Path, disk: &Path, sync: impl Fn() -> Finished) {
    let content = |root: &Path| {
        let files = manifest(root).into_iter().filter(|(_, line)| line.starts_with("file"));
        files.map(|(name, line)| (name, line.split(' ').nth(1).unwrap().to_owned())).collect::<BTreeMap<_, _>>()
    };
    fs::write(disk.join("ballast"), vec![1; 10 << 20]).unwrap();
    sync().fails(1, &["no space left on the target's disk", "next: make room there and run it again"]);
    let whole = content(source);
    let mut there = content(disk);
    there.retain(|name, _| name != "ballast" && !name.ends_with(".part"));
    assert!(there.len() < whole.len(), "the disk is not full");
    for (name, content) in &there {
        assert_eq!(Some(content), whole.get(name), "{name} is not whole");
    }
    fs::remove_file(disk.join("ballast")).unwrap();
    sync().succeeds();
    assert_eq!(manifest(disk), manifest(source));
}

#[test]
fn a_full_disk_ends_a_sync_with_what_to_do_and_with_room_the_next_one_completes() {
    let (Some((_disk, pushed_to)), Some((_other, pulled_to))) = (small_disk(16 << 20), small_disk(16 << 20)) else {
        return;
    };
    let scene = Scene::new();
    for root in [scene.source.path(), scene.share.path()] {
        make_tree(root, 5 << 20);
        (0..100).for_each(|index| fs::write(root.join(format!("{index}.bin")), vec![7; 40_000]).unwrap());
    }
    let (source, target) = (scene.source.path().to_str().unwrap(), pulled_to.to_str().unwrap());
    let _bob = scene.listen("", &["--share", &format!("full={}:rw", pushed_to.display())]);
    fills_up(scene.source.path(), &pushed_to, || scene.alice.run(["sync", source, "bob:full"]));
    fills_up(scene.share.path(), &pulled_to, || scene.alice.run(["sync", "bob:docs", target]));
}

#[test]
fn the_journal_is_kept_at_home_and_finds_what_size_and_time_hide() {
    let scene = Scene::new();
    make_tree(scene.source.path(), 100_000);
    let _bob = scene.listen(":rw", &[]);
    scene.push(&[]).succeeds();
    let journals = scene.alice.home().join("journals");
    assert_eq!(fs::read_dir(&journals).unwrap().count(), 1);
    let path = scene.source.path().join("large.bin");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, vec![1; 100_000]).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    scene.push(&[]).succeeds();
    scene.assert_equal();
    let journal = fs::read_dir(&journals).unwrap().next().unwrap().unwrap().path();
    fs::write(journal, b"damaged").unwrap();
    let told = scene.push(&[]);
    assert!(told.succeeds().stderr.contains("note: the journal"), "{told:?}");
    assert!(!scene.push(&[]).stderr.contains("note:"));
    // Never in what is synced.
    let home = scene.alice.home().to_str().unwrap();
    fs::remove_dir_all(&journals).unwrap();
    scene.alice.run(["sync", home, "bob:docs"]).succeeds();
    assert!(!journals.exists());
}

#[test]
fn a_journal_without_room_is_told_of_and_is_no_failure() {
    let scene = Scene::new();
    make_tree(scene.source.path(), 100_000);
    let _bob = scene.listen(":rw", &[]);
    let journals = scene.alice.home().join("journals");
    for (len, is_noted) in [(8 << 10, true), (32 << 10, true), (128 << 10, false), (8 << 20, false)] {
        let Some((_disk, path)) = small_disk(len) else { return };
        symlink(path, &journals).unwrap();
        for _ in 0..3 {
            let run = scene.push(&[]);
            let notes = run.succeeds().stderr.matches("note: the journal").count();
            assert!(notes <= 1 && (notes == 1 || !is_noted), "{len}: {run:?}");
        }
        fs::remove_file(&journals).unwrap();
    }
    scene.assert_equal();
}

/// Waits until the target holds something of the large file that is not in place yet.
fn await_part(share: &Path) {
    let deadline = Instant::now() + DEADLINE;
    let has_begun = || {
        fs::read_dir(share).unwrap().any(|entry| {
            let entry = entry.unwrap();
            let is_part = entry.file_name().to_string_lossy().ends_with(".part");
            is_part && entry.metadata().is_ok_and(|metadata| metadata.len() > 1 << 20)
        })
    };
    while !has_begun() {
        assert!(Instant::now() < deadline, "the large file does not arrive");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_on_either_side_it_goes_on_inside_the_large_file() {
    const LARGE_LEN: usize = 96 << 20;
    let scene = Scene::new();
    make_tree(scene.source.path(), LARGE_LEN);
    let source = scene.source.path().to_str().unwrap();
    // Slow enough for a kill to come in the middle, whatever the machine.
    let slow = ["sync", source, "bob:docs", "--bwlimit", "40MiB"];
    let bob = scene.listen(":rw", &[]);
    let alice = scene.alice.start(slow);
    await_part(scene.share.path());
    bob.signal(Signal::KILL);
    let failed = alice.finish();
    failed.fails(1, &["run the same command again"]);
    drop(bob);
    assert!(!scene.share.path().join("large.bin").exists(), "nothing is there under its name before it is whole");
    let _bob = scene.listen(":rw", &[]);
    let alice = scene.alice.start(slow);
    await_part(scene.share.path());
    alice.signal(Signal::KILL);
    drop(alice);
    let done = scene.push(&["--json"]);
    done.succeeds();
    scene.assert_equal();
    let sent = done.stdout.lines().last().unwrap();
    let sent: u64 = sent.split("\"bytes_sent\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(sent < LARGE_LEN as u64, "{sent} bytes were sent again");
    let names = fs::read_dir(scene.share.path()).unwrap();
    assert!(names.flatten().all(|entry| !entry.file_name().to_string_lossy().ends_with(".part")), "parts are left");
}

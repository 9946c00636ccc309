//! Trees to be synced, and what can be compared between two of them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// All that is to be equal of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub path: PathBuf,
    pub what: String,
    pub file_len: Option<u64>,
    pub mode: u32,
    pub mtime: (i64, i64),
    pub owner: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path that has the same inode.
    pub first: PathBuf,
    pub is_sparse: bool,
}

/// Everything below `root`, and itself, in order; the trash aside.
pub(crate) fn manifest(root: &Path) -> Vec<Line> {
    let (mut lines, mut first) = (Vec::new(), HashMap::new());
    describe(root, Path::new(""), &mut lines, &mut first);
    lines
}

/// Both trees are equal in everything that a manifest says.
pub(crate) fn assert_equal(one: &Path, other: &Path) {
    let (one, other) = (manifest(one), manifest(other));
    for (ours, theirs) in one.iter().zip(&other) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(one.len(), other.len());
}

fn describe(root: &Path, path: &Path, lines: &mut Vec<Line>, first: &mut HashMap<u64, PathBuf>) {
    let whole = root.join(path);
    let metadata = fs::symlink_metadata(&whole).unwrap();
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        format!("file {}", blake3::hash(&fs::read(&whole).unwrap()).to_hex())
    } else if kind.is_symlink() {
        format!("symlink {:?}", fs::read_link(&whole).unwrap())
    } else if kind.is_dir() {
        "directory".into()
    } else {
        "special".into()
    };
    lines.push(Line {
        path: path.to_owned(),
        what,
        file_len: kind.is_file().then_some(metadata.len()),
        mode: metadata.mode(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        owner: (metadata.uid(), metadata.gid()),
        xattrs: if kind.is_symlink() { Vec::new() } else { xattrs(&whole) },
        first: first.entry(metadata.ino()).or_insert_with(|| path.to_owned()).clone(),
        is_sparse: kind.is_file() && metadata.blocks() * 512 < metadata.len(),
    });
    if kind.is_dir() {
        let mut names: Vec<_> = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let names = names.into_iter().filter(|name| name != ".landline-trash");
        names.for_each(|name| describe(root, &path.join(name), lines, first));
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0; 65536];
    let Ok(len) = rustix::fs::listxattr(path, &mut list[..]) else { return Vec::new() };
    let mut all = Vec::new();
    for name in list[..len].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0; 65536];
        let len = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
        all.push((name.to_vec(), value[..len].to_vec()));
    }
    all.sort();
    all
}

/// Writes a file, and the directories to it.
pub(crate) fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Bytes that nothing can guess, always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// `directory_count` directories of `file_count` files of about `len` bytes.
pub(crate) fn many(root: &Path, directory_count: usize, file_count: usize, len: usize) {
    let bytes = noise(len + file_count);
    for directory in 0..directory_count {
        let directory = root.join(format!("d{directory:04}"));
        fs::create_dir(&directory).unwrap();
        for file in 0..file_count {
            fs::write(directory.join(format!("f{file:04}")), &bytes[file..]).unwrap();
        }
    }
}

/// Every kind of entry, and hostile names.
pub(crate) fn zoo(root: &Path) {
    write(root, "empty-file", b"");
    fs::create_dir(root.join("empty-directory")).unwrap();
    write(root, "small", b"small");
    write(root, "large", &noise(3_000_000));
    write(root, "exactly-one-message", &noise(65_536));
    (0..500).for_each(|number| write(root, &format!("many/{number}"), format!("file {number}").as_bytes()));
    for name in [&b"new\nline"[..], b"-rf", b" spaces ", b"\xff\xfe", &[b'x'; 255], b"a!", b"a-b", b"a"] {
        let directory = root.join("names");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let mut deep = root.join("deep");
    for _ in 0..60 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"deep").unwrap();
    symlink("small", root.join("link")).unwrap();
    symlink("/etc/passwd", root.join("link-outside")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    fs::hard_link(root.join("small"), root.join("another-name")).unwrap();
    fs::hard_link(root.join("large"), root.join("zz-large-too")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    sparse.write_all_at(b"in the middle", 2_000_000).unwrap();
    let sparse = fs::File::create(root.join("sparse-small")).unwrap();
    sparse.set_len(100_000).unwrap();
    sparse.write_all_at(b"at the end", 99_990).unwrap();
    for mode in [0o000, 0o400, 0o644, 0o755, 0o1777] {
        let name = format!("modes/{mode:o}");
        write(root, &name, name.as_bytes());
        fs::set_permissions(root.join(&name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // Not every file system has them.
    let _ = rustix::fs::setxattr(root.join("small"), "user.colour", b"blue", rustix::fs::XattrFlags::empty());
    let _ = rustix::fs::setxattr(root.join("many"), "user.empty", b"", rustix::fs::XattrFlags::empty());
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["small", "many", "empty-directory", "modes", "names", "deep/d/d", ""] {
        fs::File::open(root.join(name)).unwrap().set_modified(old).unwrap();
    }
    let before = SystemTime::UNIX_EPOCH - Duration::new(1_000, 5);
    fs::File::options().write(true).open(root.join("empty-file")).unwrap().set_modified(before).unwrap();
    fs::set_permissions(root.join("modes"), fs::Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(root.join("empty-directory"), fs::Permissions::from_mode(0o000)).unwrap();
}

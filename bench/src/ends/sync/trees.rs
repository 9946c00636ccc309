//! Trees made from their numbers, and compared when a copy is done.

use super::place::Place;
use crate::Failure;
use crate::tree::{Before, Tree};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Bytes that are made or compared at a time.
const CHUNK_LEN: usize = 1024 * 1024;
/// Of how many files one differs where one in a hundred has changed.
const CHANGED_OF: u64 = 100;
/// Seconds after 1970 of the first file's time; the others follow.
const FIRST_TIME_SECS: u64 = 1_600_000_000;
/// How much older the time of a file is that the source has changed since.
const CHANGED_SECS: u64 = 1_000_000;

/// Makes what is to be copied, and what the target holds before.
pub(super) fn make_both(place: &Place, tree: Tree, before: Before) -> Result<(), Failure> {
    make(&place.source, tree, |_| false)?;
    match before {
        Before::Nothing => make_room(place, tree),
        Before::Everything => make(&place.target, tree, |_| false),
        Before::AllButOnePercent => make(&place.target, tree, |index| index % CHANGED_OF == 0),
    }
}

/// An empty target, but with memory that a copy was in a moment ago: a virtual machine gives back to its host what lies idle,
/// and to get it again takes longer than any copy, by chance.
fn make_room(place: &Place, tree: Tree) -> Result<(), Failure> {
    if tree.file_len_max > 0 {
        make(&place.target, tree, |_| false)?;
        fs::remove_dir_all(&place.target)?;
    }
    Ok(fs::create_dir(&place.target)?)
}

fn make(root: &Path, tree: Tree, is_old: impl Fn(u64) -> bool) -> Result<(), Failure> {
    fs::create_dir(root)?;
    for index in 0..tree.directory_count {
        fs::create_dir(root.join(Tree::directory(index)))?;
    }
    let mut chunk = vec![0; CHUNK_LEN];
    for index in 0..tree.file_count {
        let file = File::create_new(root.join(tree.path(index)))?;
        let is_old = is_old(index);
        let mut noise = Noise(index << 1 | u64::from(is_old));
        write_noise(&file, tree.file_len(index), &mut noise, &mut chunk)?;
        file.set_modified(time(FIRST_TIME_SECS + index - if is_old { CHANGED_SECS } else { 0 }))?;
    }
    // Last, because what is made in a directory changes its time.
    for index in 0..tree.directory_count {
        File::open(root.join(Tree::directory(index)))?.set_modified(time(FIRST_TIME_SECS + index))?;
    }
    Ok(File::open(root)?.set_modified(time(FIRST_TIME_SECS))?)
}

fn time(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

fn write_noise(mut file: &File, len: u64, noise: &mut Noise, chunk: &mut [u8]) -> Result<(), Failure> {
    let mut left = len;
    while left > 0 {
        let now = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        noise.fill(&mut chunk[..now]);
        file.write_all(&chunk[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// SplitMix64: bytes that nothing compresses, at the speed of memory. Secrets are made otherwise.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..word.len()]);
        }
    }
}

/// Refuses a target that is not what the source is: names, lengths, times of files and directories, and every byte.
pub(super) fn check_equal(place: &Place, tree: Tree) -> Result<(), Failure> {
    let mut chunks = [vec![0; CHUNK_LEN], vec![0; CHUNK_LEN]];
    let directories = (0..tree.directory_count).map(Tree::directory).chain([String::new()]);
    for path in directories.chain((0..tree.file_count).map(|index| tree.path(index))) {
        let [source, target] = [&place.source, &place.target].map(|root| root.join(&path));
        if !is_equal(&source, &target, &mut chunks)? {
            return Err(format!("{} is not what it was copied from", target.display()).into());
        }
    }
    let entry_count = count_entries(&place.target)?;
    if entry_count != tree.directory_count + tree.file_count {
        return Err(format!("the target holds {entry_count} entries, some of them nobody's").into());
    }
    Ok(())
}

fn is_equal(source: &Path, target: &Path, chunks: &mut [Vec<u8>; 2]) -> Result<bool, Failure> {
    let (one, other) = (fs::symlink_metadata(source)?, fs::symlink_metadata(target)?);
    let is_alike = one.file_type() == other.file_type() && one.modified()? == other.modified()?;
    if !is_alike || one.is_dir() {
        return Ok(is_alike);
    }
    if one.len() != other.len() || one.len() == 0 {
        return Ok(one.len() == other.len());
    }
    let (mut one, mut other) = (File::open(source)?, File::open(target)?);
    loop {
        let len = one.read(&mut chunks[0])?;
        other.read_exact(&mut chunks[1][..len])?;
        if len == 0 || chunks[0][..len] != chunks[1][..len] {
            return Ok(len == 0);
        }
    }
}

fn count_entries(root: &Path) -> Result<u64, Failure> {
    let mut count = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        count += 1;
        if entry.file_type()?.is_dir() {
            count += count_entries(&entry.path())?;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: Tree = Tree { directory_count: 2, file_count: 200, file_len_max: 1500 };

    fn made(before: Before) -> (tempfile::TempDir, Place) {
        let directory = tempfile::tempdir().expect("a place");
        let place = Place::beneath(directory.path());
        make_both(&place, TREE, before).expect("trees");
        (directory, place)
    }

    #[test]
    fn a_tree_made_twice_is_equal_and_a_byte_more_is_noticed() {
        let (_directory, place) = made(Before::Everything);
        check_equal(&place, TREE).expect("equal");
        fs::write(place.target.join("more"), b"").expect("written");
        File::open(&place.target).and_then(|root| root.set_modified(time(FIRST_TIME_SECS))).expect("its old time");
        assert!(check_equal(&place, TREE).is_err());
    }

    #[test]
    fn a_first_copy_begins_with_an_empty_target() {
        let (_directory, place) = made(Before::Nothing);
        assert_eq!(count_entries(&place.target).expect("readable"), 0);
        assert!(check_equal(&place, TREE).is_err());
    }

    #[test]
    fn one_in_a_hundred_differs_in_bytes_and_time_but_not_in_length() {
        let (_directory, place) = made(Before::AllButOnePercent);
        let differs = |index: &u64| {
            let [one, other] = [&place.source, &place.target].map(|root| root.join(TREE.path(*index)));
            let [one_len, other_len] = [&one, &other].map(|path| fs::metadata(path).expect("there").len());
            assert_eq!((one_len, other_len), (TREE.file_len(*index), TREE.file_len(*index)));
            !is_equal(&one, &other, &mut [vec![0; 4096], vec![0; 4096]]).expect("readable")
        };
        assert_eq!((0..TREE.file_count).filter(differs).collect::<Vec<_>>(), [0, 100]);
    }
}

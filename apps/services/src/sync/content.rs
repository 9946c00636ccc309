//! Hashing what is on a disk already, on both sides of a run.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU64;

use super::progress::timed;

/// Bytes read at a time: fits the second-level cache.
const READ_LEN: usize = 128 * 1024;
/// Zeros hashed at a time.
static ZEROS: [u8; READ_LEN] = [0; READ_LEN];

/// Hashes the first `len` bytes of a file. `None` if it has fewer, or `may_go_on` said no. Times go to disk and hash.
pub(crate) fn hash_prefix(
    file: &File,
    len: u64,
    scratch: &mut Vec<u8>,
    (disk_ns, hash_ns): (&AtomicU64, &AtomicU64),
    may_go_on: impl Fn() -> bool,
) -> io::Result<Option<blake3::Hasher>> {
    scratch.resize(READ_LEN, 0);
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < len {
        let want = usize::try_from(len - offset).unwrap_or(READ_LEN).min(READ_LEN);
        match timed(disk_ns, || file.read_at(&mut scratch[..want], offset)) {
            Ok(0) => return Ok(None),
            Ok(read_len) => {
                timed(hash_ns, || {
                    hasher.update(&scratch[..read_len]);
                });
                offset += read_len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !may_go_on() {
            return Ok(None);
        }
    }
    Ok(Some(hasher))
}

/// Hashes zeros; false if `may_go_on` said no before all were.
pub(crate) fn hash_zeros(hasher: &mut blake3::Hasher, mut len: u64, may_go_on: impl Fn() -> bool) -> bool {
    while len > 0 {
        let piece = usize::try_from(len).unwrap_or(READ_LEN).min(READ_LEN);
        hasher.update(&ZEROS[..piece]);
        len -= piece as u64;
        if !may_go_on() {
            return false;
        }
    }
    true
}

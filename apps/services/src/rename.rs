//! Giving something a name that nothing has: the one step by which what was received comes into view without replacing.
//!
//! Used for received files and gifts (`files`) and for the trash of a sync. Knows no paths, only names in open directories.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

/// Moves `from`, whatever it is, to the name `to`; [`Errno::EXIST`] if something has that name.
pub(crate) fn rename_to_free(from_in: impl AsFd, from: &[u8], to_in: impl AsFd, to: &[u8]) -> Result<(), Errno> {
    match rustix::fs::renameat_with(&from_in, from, &to_in, to, RenameFlags::NOREPLACE) {
        // Some file systems have no NOREPLACE; hard links never replace either.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        result => return result,
    }
    match rustix::fs::linkat(&from_in, from, &to_in, to, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(&from_in, from, AtFlags::empty()),
        // Directories have no second name. What could come in between is replaced only if it is an empty directory.
        Err(Errno::PERM | Errno::NOTSUP) => match rustix::fs::statat(&to_in, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::renameat(&from_in, from, &to_in, to),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_and_directories_take_a_free_name_and_never_one_that_is_taken() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = fs::File::open(temporary.path()).unwrap();
        let at = |name: &str| temporary.path().join(name);
        fs::write(at("file"), b"file").unwrap();
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("taken"), b"taken").unwrap();
        for from in ["file", "directory"] {
            let taken = rename_to_free(&directory, from.as_bytes(), &directory, b"taken");
            assert_eq!((taken, fs::read(at("taken")).unwrap()), (Err(Errno::EXIST), b"taken".to_vec()));
            rename_to_free(&directory, from.as_bytes(), &directory, format!("{from}2").as_bytes()).unwrap();
        }
        assert!(at("file2").is_file() && at("directory2").is_dir() && !at("file").exists());
    }
}

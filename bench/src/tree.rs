//! What is copied in measurements of sync: how many files of which size, and what the target holds before.
//!
//! Both are given by numbers alone. Whoever makes a tree from them (`ends/sync/trees.rs`) gets the same bytes, names and
//! times, so that every contestant copies the same although none of them hands a tree to the next.

use serde::{Deserialize, Serialize};

/// By how many bytes the lengths of files differ: those of people do, and the block of a disk is no length of a file.
const LEN_SPREAD: u64 = 1024;

/// A tree of directories that are all beneath its root and hold as many files each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Directories; with none the files are in the root.
    pub directory_count: u64,
    /// Files in all.
    pub file_count: u64,
    /// Bytes of the longest; the others are up to a kibibyte shorter.
    pub file_len_max: u64,
}

/// What the target holds when the copying begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Before {
    /// An empty directory.
    Nothing,
    /// All of it, with its times.
    Everything,
    /// All of it, but of every hundredth file other bytes, as many, with an older time.
    AllButOnePercent,
}

impl Tree {
    /// Bytes of a file.
    pub fn file_len(self, index: u64) -> u64 {
        self.file_len_max.saturating_sub(index % LEN_SPREAD)
    }

    /// Bytes of all files.
    pub fn all_len(self) -> u64 {
        (0..self.file_count).map(|index| self.file_len(index)).sum()
    }

    /// Where a file is, from the root.
    pub fn path(self, index: u64) -> String {
        match self.directory_count {
            0 => format!("f{index:07}"),
            count => format!("{}/f{index:07}", Tree::directory(index * count / self.file_count)),
        }
    }

    /// Name of a directory.
    pub fn directory(index: u64) -> String {
        format!("d{index:04}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_share_the_files_and_one_file_is_as_long_as_it_can_be() {
        let tree = Tree { directory_count: 4, file_count: 20, file_len_max: 4608 };
        assert_eq!(
            [tree.path(0), tree.path(4), tree.path(5), tree.path(19)].map(|path| path[..5].to_owned()),
            ["d0000", "d0000", "d0001", "d0003"]
        );
        assert_eq!(tree.all_len(), 20 * 4608 - 190);
        let one = Tree { directory_count: 0, file_count: 1, file_len_max: 1 << 31 };
        assert_eq!((one.all_len(), one.path(0).as_str()), (1 << 31, "f0000000"));
    }
}

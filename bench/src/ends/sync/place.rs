//! Where the files of one measurement are.

use std::path::{Path, PathBuf};

/// Paths that both ends know without being told: the directory for temporary files is the measurement's own.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The root of what is copied.
    pub(super) source: PathBuf,
    /// The root of where it is copied to.
    pub(super) target: PathBuf,
    /// Settings and keys of other people's programs.
    pub(super) settings: PathBuf,
}

impl Place {
    /// All beneath one directory.
    pub(super) fn beneath(directory: &Path) -> Place {
        let [source, target] = ["source", "target"].map(|name| directory.join(name));
        Place { source, target, settings: directory.to_owned() }
    }
}

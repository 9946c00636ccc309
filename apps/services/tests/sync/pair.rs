//! Runs between two directories of the test, and what they are asked for.

use std::sync::Arc;

use landline_services::sync::tree::Root;
use landline_services::sync::{Role, Share, Summary, SyncFlags, SyncOptions};
use tempfile::TempDir;

use super::node::{Ended, Nodes};
use super::trees::assert_equal;

pub(crate) fn flags(flags: SyncFlags) -> SyncOptions {
    SyncOptions { flags, max_delete_percent: 100, ..SyncOptions::default() }
}

pub(crate) fn plain() -> SyncOptions {
    SyncOptions::default()
}

pub(crate) fn delete() -> SyncOptions {
    flags(SyncFlags { delete: true, ..SyncFlags::default() })
}

/// Runs between two fresh directories, the first of them on the side that starts the run.
pub(crate) struct Pair {
    pub local: TempDir,
    pub shared: TempDir,
    pub nodes: Nodes,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        Pair::with(|share| share.is_writable = true)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Share)) -> Pair {
        let (local, shared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut share = Share::new("docs", Arc::new(Root::open(shared.path()).unwrap()));
        change(&mut share);
        Pair { local, shared, nodes: Nodes::new(vec![share]) }
    }

    pub(crate) fn run(&self, role: Role, options: SyncOptions) -> Ended {
        self.nodes.run(role, "docs", "", self.local.path(), options)
    }

    pub(crate) fn done(&self, role: Role, options: SyncOptions) -> Summary {
        self.run(role, options).summary()
    }

    /// Runs, and the trees are equal afterwards.
    pub(crate) fn makes_equal(&self, role: Role, options: SyncOptions) -> Summary {
        let ended = self.run(role, options);
        let summary = ended.summary();
        assert_equal(self.shared.path(), self.local.path());
        summary
    }
}

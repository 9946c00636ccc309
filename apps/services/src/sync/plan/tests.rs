//! The planner against a model of a tree: what it says is done to the model, and the model has to be the other tree then.

use std::collections::BTreeMap;
use std::iter::Peekable;

use proptest::prelude::*;

use super::{Action, Deletion, Offered, PlanFault, PlanOptions, Planner, SkipReason};
use crate::sync::entry::{Entry, FileIdentity, Kind, Memory, Metadata, Stamp, TreePath, Walked};

/// A tree: what is under each path. Files of one inode are one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    nodes: BTreeMap<TreePath, Node>,
    next_inode: u64,
    clock: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: Kind,
    metadata: Metadata,
    inode: u64,
    is_excluded: bool,
}

/// One entry of a random tree: the steps of its path, what it is, its attributes.
type Seed = (Vec<u8>, u8, u8, u8);

const NAMES: [&str; 5] = ["a", "a!", "a-b", "b", "zz"];

impl Model {
    fn new(seeds: &[Seed], is_source: bool) -> Model {
        let mut model = Model { next_inode: 1, ..Model::default() };
        model.put(TreePath::root(), Kind::Directory, 1, 0, false);
        for (steps, what, content, mode) in seeds {
            let mut path = TreePath::root();
            for (index, step) in steps.iter().enumerate() {
                path = path.join(NAMES[usize::from(*step) % NAMES.len()].as_bytes()).unwrap();
                let kind = if index + 1 < steps.len() { Kind::Directory } else { kind(*what, *content, is_source) };
                if model.nodes.get(&path).is_some_and(|node| node.kind != Kind::Directory || node.is_excluded) {
                    break;
                }
                if !model.nodes.contains_key(&path) {
                    model.put(path.clone(), kind, *content, *mode, !is_source && *what == 200);
                }
            }
        }
        model.link(seeds);
        model
    }

    fn put(&mut self, path: TreePath, kind: Kind, time: u8, mode: u8, is_excluded: bool) {
        self.next_inode += 1;
        let mode = 0o700 | u16::from(mode % 2);
        let metadata = Metadata { mode, mtime_secs: i64::from(time), ..Metadata::default() };
        self.nodes.insert(path, Node { kind, metadata, inode: self.next_inode, is_excluded });
    }

    /// Makes some of the files other names of earlier ones.
    fn link(&mut self, seeds: &[Seed]) {
        let files = |(path, node): (&TreePath, &Node)| {
            (matches!(node.kind, Kind::File { .. }) && !node.is_excluded).then(|| path.clone())
        };
        let files: Vec<TreePath> = self.nodes.iter().filter_map(files).collect();
        for ((.., mode), path) in seeds.iter().zip(&files).skip(1).filter(|((.., mode), _)| mode % 3 == 2) {
            let first = self.nodes[&files[usize::from(*mode) % files.len()]].clone();
            self.nodes.insert(path.clone(), first);
        }
    }

    fn link_count(&self, inode: u64) -> u64 {
        self.nodes.values().filter(|node| node.inode == inode).count() as u64
    }

    /// As a source lists it.
    fn listing(&self) -> Vec<Offered> {
        let mut first = BTreeMap::new();
        let list = |(index, (path, node)): (usize, (&TreePath, &Node))| {
            let has_names = matches!(node.kind, Kind::File { .. }) && self.link_count(node.inode) > 1;
            let to = first.entry(node.inode).or_insert_with(|| path.clone()).clone();
            let kind = if has_names && to != *path { Kind::HardLink { to } } else { node.kind.clone() };
            let has_names = has_names && matches!(kind, Kind::File { .. });
            let entry = Entry { path: path.clone(), kind, metadata: node.metadata.clone() };
            Offered { index: index as u64, entry, has_names, is_doubtful: false, is_excluded: false, reason: None }
        };
        self.nodes.iter().enumerate().map(list).collect()
    }

    /// As a target walks it.
    fn walk(&self) -> Vec<Walked> {
        let present = |(path, node): (&TreePath, &Node)| Walked {
            path: path.clone(),
            kind: node.kind.clone(),
            metadata: node.metadata.clone(),
            identity: Some(FileIdentity {
                device: 1,
                inode: node.inode,
                link_count: self.link_count(node.inode),
                ctime: (0, 0),
            }),
            is_excluded: node.is_excluded,
            reason: None,
            memory: Memory::None,
        };
        self.nodes.iter().map(present).collect()
    }

    /// Does what was planned, in the order in which a target does it.
    fn apply(&mut self, actions: &[Action], deletions: &[Deletion], source: &Model) {
        let is_late = |action: &&Action| matches!(action, Action::HardLink { .. } | Action::FinishDirectory { .. });
        actions.iter().filter(|action| !is_late(action)).for_each(|action| self.perform(action, source));
        let links = actions.iter().filter(|action| matches!(action, Action::HardLink { .. }));
        links.for_each(|action| self.perform(action, source));
        deletions.iter().for_each(|deletion| assert_eq!(self.remove(&deletion.path), deletion.count));
        let finishes = actions.iter().filter(|action| matches!(action, Action::FinishDirectory { .. }));
        finishes.for_each(|action| self.perform(action, source));
    }

    fn perform(&mut self, action: &Action, source: &Model) {
        match action.clone() {
            Action::MakeDirectory { path, .. } => self.make(path, Kind::Directory, Metadata::default()),
            Action::WriteFile { path, len, metadata, .. } => self.make(path, Kind::File { len }, metadata),
            Action::CheckFile { path, len, metadata, differs, .. } => {
                // The content of a model's file is its length and time.
                if source.nodes[&path].metadata.mtime_secs != self.nodes[&path].metadata.mtime_secs {
                    self.make(path, Kind::File { len }, metadata);
                } else if differs {
                    self.set_metadata(&path, metadata);
                }
            }
            Action::MakeSymlink { path, target, metadata } => self.make(path, Kind::Symlink { target }, metadata),
            Action::HardLink { path, to, .. } => {
                let first = self.nodes[&to].clone();
                self.make(path.clone(), first.kind.clone(), first.metadata.clone());
                self.nodes.insert(path, first);
            }
            Action::SetMetadata { path, metadata, .. } | Action::FinishDirectory { path, metadata, .. } => {
                self.set_metadata(&path, metadata);
            }
            Action::Replace { count, with, .. } => {
                assert_eq!(self.remove(with.path()), count);
                self.perform(&with, source);
            }
            Action::OpenUp { .. } | Action::Skip { .. } | Action::Remember { .. } => {}
        }
    }

    fn make(&mut self, path: TreePath, kind: Kind, metadata: Metadata) {
        let parent = path.split().unwrap().0;
        assert_eq!(self.nodes[&parent].kind, Kind::Directory, "{path:?} is made in a directory that is there");
        let is_in_the_way =
            |node: &Node| node.kind == Kind::Directory || node.kind == Kind::Special || node.is_excluded;
        assert!(!self.nodes.get(&path).is_some_and(is_in_the_way), "{path:?} is free, or a file");
        self.touch(&parent);
        self.next_inode += 1;
        self.nodes.insert(path, Node { kind, metadata, inode: self.next_inode, is_excluded: false });
    }

    fn remove(&mut self, path: &TreePath) -> u64 {
        self.touch(&path.split().unwrap().0);
        let inside: Vec<TreePath> = self.nodes.keys().filter(|key| key.is_within(path)).cloned().collect();
        for path in &inside {
            let node = self.nodes.remove(path).unwrap();
            assert!(!node.is_excluded, "{path:?} is excluded and goes");
        }
        inside.len() as u64
    }

    fn set_metadata(&mut self, path: &TreePath, metadata: Metadata) {
        let inode = self.nodes[path].inode;
        self.nodes.values_mut().filter(|node| node.inode == inode).for_each(|node| node.metadata = metadata.clone());
    }

    fn touch(&mut self, directory: &TreePath) {
        self.clock += 1;
        self.nodes.get_mut(directory).unwrap().metadata.mtime_secs = 1_000_000 + self.clock;
    }

    /// What can be compared between two trees: inodes by the first name that has them.
    fn shape(&self) -> Vec<(TreePath, Kind, Metadata, TreePath)> {
        let mut first = BTreeMap::new();
        let shape = |(path, node): (&TreePath, &Node)| {
            let to = first.entry(node.inode).or_insert_with(|| path.clone()).clone();
            let mut metadata = node.metadata.clone();
            if matches!(node.kind, Kind::Symlink { .. }) {
                metadata.mode = 0o777;
            }
            (path.clone(), node.kind.clone(), metadata, to)
        };
        self.nodes.iter().map(shape).collect()
    }
}

fn kind(what: u8, content: u8, is_source: bool) -> Kind {
    match what {
        0..=99 => Kind::File { len: u64::from(content % 3) },
        100..=139 => Kind::Symlink { target: [b'x', content % 2].into() },
        140..=199 => Kind::Directory,
        200 => Kind::Directory,
        201..=205 => Kind::Special,
        206..=209 if is_source => Kind::Unreadable,
        _ => Kind::Directory,
    }
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let steps = prop::collection::vec(0..5u8, 1..4);
    prop::collection::vec((steps, 0..210u8, 0..4u8, 0..12u8), 0..40)
}

/// Only what can be copied.
fn plain_seeds() -> impl Strategy<Value = Vec<Seed>> {
    let steps = prop::collection::vec(0..5u8, 1..4);
    prop::collection::vec((steps, 0..200u8, 0..4u8, 0..12u8), 0..40)
}

fn plan(source: &Model, target: &Model, options: PlanOptions) -> (Vec<Action>, Vec<Deletion>, Planner) {
    plan_listing(source.listing(), target.walk(), options)
}

fn plan_listing(
    listing: Vec<Offered>,
    walk: Vec<Walked>,
    options: PlanOptions,
) -> (Vec<Action>, Vec<Deletion>, Planner) {
    let mut planner = Planner::new(options);
    let mut walk = walk.into_iter().peekable();
    let mut actions = Vec::new();
    for offered in listing {
        planner.offer(offered, &mut walk, &mut actions).unwrap();
    }
    let deletions = planner.end(&mut walk, &mut actions);
    assert!(walk.peek().is_none() && planner.stack.is_empty() && planner.dying.is_empty());
    (actions, deletions, planner)
}

/// What the target has after a run without deletions: everything of the source, and what is only its own.
fn union_is_right(after: &Model, source: &Model, before: &Model, actions: &[Action]) {
    let skipped: Vec<&TreePath> = actions
        .iter()
        .filter_map(|action| if let Action::Skip { path, .. } = action { Some(path) } else { None })
        .collect();
    let replaced: Vec<&TreePath> = actions
        .iter()
        .filter_map(|action| if let Action::Replace { .. } = action { Some(action.path()) } else { None })
        .collect();
    let is_in = |paths: &[&TreePath], path: &TreePath| paths.iter().any(|skipped| path.is_within(skipped));
    for (path, node) in &source.nodes {
        if !is_in(&skipped, path) {
            assert_eq!(after.nodes[path].kind, node.kind, "{path:?}");
        }
    }
    for (path, node) in &before.nodes {
        if !is_in(&replaced, path) && (!source.nodes.contains_key(path) || is_in(&skipped, path)) {
            assert_eq!(after.nodes[path].kind, node.kind, "{path:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_deletions_the_target_becomes_the_source(one in plain_seeds(), other in plain_seeds()) {
        let (source, mut target) = (Model::new(&one, true), Model::new(&other, false));
        let options = PlanOptions { delete: true, ..PlanOptions::default() };
        let (actions, deletions, _) = plan(&source, &target, options);
        target.apply(&actions, &deletions, &source);
        prop_assert_eq!(target.shape(), source.shape());
        let (actions, deletions, planner) = plan(&source, &target, options);
        prop_assert_eq!((actions, deletions), (vec![], vec![]), "a second run has nothing to do");
        prop_assert_eq!(planner.unchanged_count(), source.nodes.len() as u64);
    }

    #[test]
    fn comparing_content_ends_the_same(one in plain_seeds(), other in plain_seeds()) {
        let (source, mut target) = (Model::new(&one, true), Model::new(&other, false));
        let options = PlanOptions { delete: true, checksum: true, owners: true, privileges: true };
        let (actions, deletions, _) = plan(&source, &target, options);
        target.apply(&actions, &deletions, &source);
        prop_assert_eq!(target.shape(), source.shape());
    }

    #[test]
    fn whatever_is_doubted_the_target_becomes_the_source(
        one in plain_seeds(), other in plain_seeds(), doubts in prop::collection::vec(any::<[bool; 2]>(), 120),
    ) {
        let (source, mut target) = (Model::new(&one, true), Model::new(&other, false));
        let options = PlanOptions { delete: true, ..PlanOptions::default() };
        for _ in 0..2 {
            let (mut listing, mut walk) = (source.listing(), target.walk());
            let files = listing.iter_mut().filter(|offered| matches!(offered.entry.kind, Kind::File { .. }));
            files.zip(&doubts).for_each(|(offered, doubt)| offered.is_doubtful = doubt[0]);
            let memory = |doubt: &[bool; 2]| if doubt[1] { Memory::Changed } else { Memory::Same };
            walk.iter_mut().zip(&doubts).for_each(|(present, doubt)| present.memory = memory(doubt));
            let (actions, deletions, _) = plan_listing(listing, walk, options);
            target.apply(&actions, &deletions, &source);
            prop_assert_eq!(target.shape(), source.shape());
        }
    }

    #[test]
    fn without_deletions_nothing_of_the_targets_own_goes(one in seeds(), other in seeds()) {
        let (source, before) = (Model::new(&one, true), Model::new(&other, false));
        let (actions, deletions, _) = plan(&source, &before, PlanOptions::default());
        prop_assert!(deletions.is_empty());
        let mut after = before.clone();
        after.apply(&actions, &deletions, &source);
        union_is_right(&after, &source, &before, &actions);
    }

    #[test]
    fn what_is_excluded_or_skipped_is_never_touched(one in seeds(), other in seeds()) {
        let (source, before) = (Model::new(&one, true), Model::new(&other, false));
        let options = PlanOptions { delete: true, ..PlanOptions::default() };
        let (actions, deletions, planner) = plan(&source, &before, options);
        let mut after = before.clone();
        after.apply(&actions, &deletions, &source);
        let excluded = before.nodes.iter().filter(|(_, node)| node.is_excluded);
        for (path, node) in excluded {
            prop_assert_eq!(after.nodes.get(path).map(|node| node.inode), Some(node.inode));
        }
        let seen = before.nodes.iter().filter(|(path, node)| !node.is_excluded && !path.is_root());
        prop_assert_eq!(planner.present_count() <= seen.count() as u64, true);
        // Whatever came out is stable: running again wants no new content.
        let (again, deletions, _) = plan(&source, &after, options);
        let is_quiet = |action: &Action| matches!(action, Action::Skip { .. } | Action::FinishDirectory { .. });
        prop_assert!(again.iter().all(is_quiet) && deletions.is_empty(), "{:?} {:?}", again, deletions);
    }
}

fn offered(index: u64, path: &str, kind: Kind) -> Offered {
    let entry = Entry { path: TreePath::new(path.as_bytes()).unwrap(), kind, metadata: Metadata::default() };
    Offered { index, entry, has_names: false, is_doubtful: false, is_excluded: false, reason: None }
}

fn offer_all(listing: Vec<Offered>, walk: Vec<Walked>) -> Result<Vec<Action>, PlanFault> {
    let mut planner = Planner::new(PlanOptions { delete: true, ..PlanOptions::default() });
    let mut walk: Peekable<_> = walk.into_iter().peekable();
    let mut actions = Vec::new();
    listing.into_iter().try_for_each(|offered| planner.offer(offered, &mut walk, &mut actions))?;
    planner.end(&mut walk, &mut actions);
    Ok(actions)
}

#[test]
fn a_listing_that_breaks_the_rules_is_refused() {
    let file = || Kind::File { len: 1 };
    let cases = [
        (vec![offered(0, "b", file()), offered(1, "a", file())], PlanFault::Order),
        (vec![offered(0, "a", file()), offered(1, "a", file())], PlanFault::Order),
        (vec![offered(0, "a/b", file())], PlanFault::Orphan),
        (vec![offered(0, "a", file()), offered(1, "a/b", file())], PlanFault::Orphan),
        (vec![offered(0, "a", Kind::Directory), offered(1, "a/b/c", file())], PlanFault::Orphan),
        (vec![offered(0, "a", Kind::Directory), offered(1, "b", file()), offered(2, "b/c", file())], PlanFault::Orphan),
        (vec![offered(0, "a", Kind::HardLink { to: TreePath::new(b"b").unwrap() })], PlanFault::NoSuchName),
        (
            vec![offered(0, "a", file()), offered(1, "b", Kind::HardLink { to: TreePath::new(b"a").unwrap() })],
            PlanFault::NoSuchName,
        ),
    ];
    for (listing, fault) in cases {
        assert_eq!(offer_all(listing.clone(), vec![]), Err(fault), "{listing:?}");
    }
}

#[test]
fn a_file_that_looks_equal_is_compared_only_where_a_journal_doubts_it_and_remembered_where_one_knows_nothing() {
    let path = TreePath::new(b"a").unwrap();
    for (len, is_doubtful, memory, expected) in [
        (1, false, Memory::None, ""),
        (1, false, Memory::Same, ""),
        (1, false, Memory::New, "remember"),
        (1, false, Memory::Changed, "check"),
        (1, true, Memory::None, "check"),
        (1, true, Memory::Same, "check"),
        (0, true, Memory::Changed, ""),
        // Another time: it is sent, and nothing has to be compared.
        (1, true, Memory::Changed, "write"),
    ] {
        let mut entry = offered(0, "a", Kind::File { len });
        entry.is_doubtful = is_doubtful;
        entry.entry.metadata.mtime_secs = i64::from(expected == "write");
        let identity = FileIdentity { device: 1, inode: 7, link_count: 1, ctime: (3, 4) };
        let present = Walked {
            path: path.clone(),
            kind: Kind::File { len },
            metadata: Metadata::default(),
            identity: Some(identity),
            is_excluded: false,
            reason: None,
            memory,
        };
        let stamp = Stamp { inode: 7, len, mtime: (0, 0), ctime: (3, 4) };
        let actions = offer_all(vec![entry], vec![present]).unwrap();
        let is_right = match (expected, &actions[..]) {
            ("", []) | ("check", [Action::CheckFile { .. }]) | ("write", [Action::WriteFile { .. }]) => true,
            ("remember", [Action::Remember { stamp: noted, .. }]) => *noted == stamp,
            _ => false,
        };
        assert!(is_right, "{len} {is_doubtful} {memory:?}: {actions:?}");
    }
}

#[test]
fn what_the_source_excludes_stays_at_the_target() {
    let mut excluded = offered(0, "a", Kind::Directory);
    excluded.is_excluded = true;
    let present = |path: &str, kind| Walked {
        path: TreePath::new(path.as_bytes()).unwrap(),
        kind,
        metadata: Metadata { mode: 0o700, ..Metadata::default() },
        identity: None,
        is_excluded: false,
        reason: None,
        memory: Memory::None,
    };
    let walk = vec![present("a", Kind::Directory), present("a/b", Kind::File { len: 1 })];
    assert_eq!(offer_all(vec![excluded], walk), Ok(vec![]));
    let listing = vec![offered(0, "a", Kind::Unreadable)];
    let walk = vec![present("a", Kind::Directory), present("a/b", Kind::Directory), present("a/b/c", Kind::Special)];
    let skip = Action::Skip { path: TreePath::new(b"a").unwrap(), reason: SkipReason::SourceUnreadable(String::new()) };
    assert_eq!(offer_all(listing, walk), Ok(vec![skip]));
}

#[test]
fn a_directory_to_be_deleted_goes_whole_unless_something_in_it_stays() {
    let present = |path: &str, kind, is_excluded| Walked {
        path: TreePath::new(path.as_bytes()).unwrap(),
        kind,
        metadata: Metadata::default(),
        identity: None,
        is_excluded,
        reason: None,
        memory: Memory::None,
    };
    let walk = |is_excluded| {
        let entries = [("a", Kind::Directory), ("a/b", Kind::Directory), ("a/b/c", Kind::File { len: 0 })];
        let mut walk: Vec<Walked> = entries.into_iter().map(|(path, kind)| present(path, kind, false)).collect();
        walk.push(present("a/d", Kind::File { len: 0 }, is_excluded));
        walk
    };
    for (is_excluded, expected) in [(false, vec![("a", 4)]), (true, vec![("a/b", 2)])] {
        let mut planner = Planner::new(PlanOptions { delete: true, ..PlanOptions::default() });
        let deletions = planner.end(&mut walk(is_excluded).into_iter().peekable(), &mut Vec::new());
        let found: Vec<_> = deletions.iter().map(|deletion| (deletion.path.to_string(), deletion.count)).collect();
        let expected: Vec<_> = expected.into_iter().map(|(path, count)| (path.to_owned(), count)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn deletions_are_bounded_in_bytes_and_the_rest_is_left_to_the_next_run() {
    let count = 40_000;
    let present = |number: usize| Walked {
        path: TreePath::new(format!("{number:05}/{}", "x/".repeat(500) + &"y".repeat(200)).as_bytes()).unwrap(),
        kind: Kind::File { len: 0 },
        metadata: Metadata::default(),
        identity: None,
        is_excluded: false,
        reason: None,
        memory: Memory::None,
    };
    let mut planner = Planner::new(PlanOptions { delete: true, ..PlanOptions::default() });
    let deletions = planner.end(&mut (0..count).map(present).peekable(), &mut Vec::new());
    let len: usize = deletions.iter().map(|deletion| deletion.path.as_bytes().len() + 64).sum();
    assert!(len <= crate::limits::DELETION_LEN_MAX && len > crate::limits::DELETION_LEN_MAX / 2);
    assert_eq!(deletions.len() as u64 + planner.left_count(), count as u64);
}

#[test]
fn attributes_of_the_directories_around_an_entry_are_bounded() {
    let xattrs = vec![(b"user.a"[..].into(), vec![0; 32_000].into())];
    let directory = |depth: usize| {
        let mut offered = offered(depth as u64, &vec!["d"; depth].join("/"), Kind::Directory);
        offered.entry.metadata.xattrs = xattrs.clone();
        offered
    };
    let actions = offer_all((0..200).map(directory).collect(), vec![]).unwrap();
    let skipped = actions.iter().filter(|action| matches!(action, Action::Skip { .. })).count();
    let made = actions.iter().filter(|action| matches!(action, Action::MakeDirectory { .. })).count();
    assert!(skipped == 1 && (100..150).contains(&made), "{skipped} {made}");
}

#[test]
fn an_owner_that_is_not_known_is_left_as_it_is() {
    let options = PlanOptions { owners: true, ..PlanOptions::default() };
    for (uid, expected) in [(u32::MAX, 0), (7, 1)] {
        let mut entry = offered(0, "a", Kind::File { len: 1 });
        (entry.entry.metadata.uid, entry.entry.metadata.gid) = (uid, u32::MAX);
        let present = Walked {
            path: entry.entry.path.clone(),
            kind: Kind::File { len: 1 },
            metadata: Metadata { uid: 5, gid: 5, ..Metadata::default() },
            identity: None,
            is_excluded: false,
            reason: None,
            memory: Memory::None,
        };
        let mut actions = Vec::new();
        Planner::new(options).offer(entry, &mut vec![present].into_iter().peekable(), &mut actions).unwrap();
        assert_eq!(actions.len(), expected, "{actions:?}");
    }
}

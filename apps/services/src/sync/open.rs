//! How a run begins: what is asked for, what is shared with whom, and what both sides then hold to.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use landline::{Identity, PeerId};

use super::entry::TreePath;
use super::failure::{SyncCode, SyncFailure};
use super::filter::{Filter, Rule};
use super::gift::{Gifts, Incoming};
use super::journal::Journal;
use super::queue::lock;
use super::receipt::Receipt;
use super::run::{EventSender, Shared, Trouble};
use super::tree::{Root, is_reserved};
use super::wire::{self, Hello, Message, Role, SyncFlags, Totals};
use crate::limits::{HELLO_TIMEOUT, RATE_MIN, RUNS_MAX, RUNS_PER_PEER_MAX, SHARE_NAME_MAX};

/// Who the two sides are.
#[derive(Clone, Debug)]
pub struct Parties {
    /// This node: the target signs the receipt.
    pub identity: Arc<Identity>,
    /// The other, as the link proved it.
    pub peer: PeerId,
    /// Whether the other is a peer that this node's user knows; shares without a list are for these.
    pub is_known: bool,
}

/// What the side that starts a run wants.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which side it is.
    pub role: Role,
    /// The share of the other side; none of a gift ([`Request::gift`]).
    pub share: String,
    /// The directory in it; the label of a gift.
    pub path: TreePath,
    /// The tree of this side.
    pub local: Arc<Root>,
    /// The file of this side's journal for this pair of trees ([`journal_name`](super::journal_name)), outside of the tree;
    /// made where it is missing. Without one, files of equal size and time are equal.
    pub journal: Option<PathBuf>,
    /// How.
    pub options: SyncOptions,
}

/// How a run is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncOptions {
    /// What is asked for, yes or no.
    pub flags: SyncFlags,
    /// Most of the target's entries that may be deleted, in percent.
    pub max_delete_percent: u8,
    /// Most bytes a second.
    pub rate_max: Option<u64>,
    /// What is left out, on both sides.
    pub rules: Vec<Rule>,
}

/// A directory that others may read or write.
#[derive(Debug)]
pub struct Share {
    /// What peers call it: 1 to 64 bytes.
    pub name: String,
    /// The directory.
    pub root: Arc<Root>,
    /// Whether peers may write.
    pub is_writable: bool,
    /// Who may; `None`: every peer that this node's user knows.
    pub allowed: Option<HashSet<PeerId>>,
    /// Bytes that peers may write while this process lives, in all.
    pub quota: Option<u64>,
    /// What they have written.
    pub written: AtomicU64,
}

/// What a node shares, and whether it takes gifts. At most [`RUNS_PER_PEER_MAX`] runs of each peer are answered at a time.
#[derive(Debug, Default)]
pub struct Shares {
    shares: Vec<Arc<Share>>,
    gifts: Option<Arc<Gifts>>,
    active: Mutex<BTreeMap<PeerId, usize>>,
}

/// How the run is begun.
pub(crate) enum Begin {
    Initiate(Box<Request>),
    Respond(Arc<Shares>),
}

/// What both sides hold to.
pub(crate) struct Terms {
    pub(crate) hello: Hello,
    pub(crate) run: [u8; 16],
    pub(crate) is_initiator: bool,
    pub(crate) identity: Arc<Identity>,
    pub(crate) peer: PeerId,
    pub(crate) root: Arc<Root>,
    pub(crate) filter: Filter,
    pub(crate) events: EventSender,
    /// Of this side's tree.
    pub(crate) journal: Journal,
    /// Whose quota counts.
    pub(crate) share: Option<Arc<Share>>,
    /// What is being given to this side.
    pub(crate) incoming: Option<Incoming>,
    _slot: Option<Slot>,
}

/// What a responder works in.
struct Opened {
    root: Arc<Root>,
    share: Option<Arc<Share>>,
    incoming: Option<Incoming>,
}

/// One of the runs that a peer may have at a time.
struct Slot {
    shares: Arc<Shares>,
    peer: PeerId,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { flags: SyncFlags::default(), max_delete_percent: 50, rate_max: None, rules: Vec::new() }
    }
}

impl Share {
    /// A share that peers may read, for those that this node's user knows.
    pub fn new(name: impl Into<String>, root: Arc<Root>) -> Self {
        Self { name: name.into(), root, is_writable: false, allowed: None, quota: None, written: AtomicU64::new(0) }
    }

    /// Counts what a peer is about to write.
    pub(crate) fn charge(&self, len: u64) -> Result<(), SyncFailure> {
        let Some(quota) = self.quota else { return Ok(()) };
        let plus = |written: u64| written.checked_add(len).filter(|sum| *sum <= quota);
        let charged = self.written.fetch_update(Ordering::Relaxed, Ordering::Relaxed, plus);
        charged.map(|_| ()).map_err(|_| SyncFailure::new(SyncCode::Quota, format!("{quota} bytes")))
    }

    fn is_for(&self, parties: &Parties) -> bool {
        self.allowed.as_ref().map_or(parties.is_known, |allowed| allowed.contains(&parties.peer))
    }
}

impl Shares {
    /// Shares these; the first of a name counts.
    pub fn new(shares: impl IntoIterator<Item = Share>) -> Arc<Self> {
        Self::with_gifts(shares, None)
    }

    /// Shares these, and takes gifts from everybody whose runs are answered.
    pub fn with_gifts(shares: impl IntoIterator<Item = Share>, gifts: Option<Arc<Gifts>>) -> Arc<Self> {
        Arc::new(Self { shares: shares.into_iter().map(Arc::new).collect(), gifts, active: Mutex::default() })
    }

    /// What is shared.
    pub fn iter(&self) -> impl Iterator<Item = &Share> {
        self.shares.iter().map(|share| &**share)
    }

    fn begin(self: &Arc<Self>, peer: PeerId) -> Result<Slot, SyncFailure> {
        let mut active = lock(&self.active);
        if active.values().sum::<usize>() >= RUNS_MAX {
            return Err(SyncFailure::new(SyncCode::Busy, format!("{RUNS_MAX} at a time, of all peers together")));
        }
        let count = active.entry(peer).or_default();
        if *count >= RUNS_PER_PEER_MAX {
            return Err(SyncFailure::new(SyncCode::Busy, format!("{RUNS_PER_PEER_MAX} at a time")));
        }
        *count += 1;
        Ok(Slot { shares: self.clone(), peer })
    }

    /// Opens what is asked for.
    fn open(&self, parties: &Parties, hello: &Hello) -> Result<Opened, SyncFailure> {
        if hello.is_gift() {
            let gifts = self.gifts.as_ref().ok_or_else(|| SyncFailure::new(SyncCode::NoSuchShare, "no gifts here"))?;
            let incoming = gifts.take(&parties.peer, &hello.path)?;
            return Ok(Opened { root: incoming.root().clone(), share: None, incoming: Some(incoming) });
        }
        let share = self.find(parties, hello)?;
        if is_reserved(&hello.path) {
            return Err(SyncFailure::new(SyncCode::NoSuchPath, format!("{}: it is kept for sync itself", hello.path)));
        }
        let root = open_root(&share, hello)
            .map_err(|error| SyncFailure::new(SyncCode::NoSuchPath, format!("{}: {error}", hello.path)))?;
        Ok(Opened { root: Arc::new(root), share: Some(share), incoming: None })
    }

    /// The share that is asked for, if it may be used so. Who may not use it hears what they would hear if there were none.
    fn find(&self, parties: &Parties, hello: &Hello) -> Result<Arc<Share>, SyncFailure> {
        let share = self.shares.iter().find(|share| share.name == hello.share && share.is_for(parties));
        let share = share.ok_or_else(|| SyncFailure::new(SyncCode::NoSuchShare, &hello.share))?;
        if hello.role == Role::Push && !share.is_writable {
            return Err(SyncFailure::new(SyncCode::ReadOnly, &hello.share));
        }
        Ok(share.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut active = lock(&self.shares.active);
        if let Some(count) = active.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                active.remove(&self.peer);
            }
        }
    }
}

impl Terms {
    /// Whether this side is the source.
    pub(crate) fn is_source(&self) -> bool {
        (self.hello.role == Role::Push) == self.is_initiator
    }

    /// Source and target.
    pub(crate) fn ends(&self) -> (PeerId, PeerId) {
        let (here, there) = (self.identity.peer_id(), self.peer);
        if self.is_source() { (here, there) } else { (there, here) }
    }

    /// Whether the source gives the target something that it did not ask for.
    pub(crate) fn is_gift(&self) -> bool {
        self.hello.is_gift()
    }

    /// Whether files keep their set-ID bits and capabilities here: who pulls chose the source, but a pusher would plant
    /// programs that act with the rights of whoever shares.
    pub(crate) fn keeps_privileges(&self) -> bool {
        self.is_initiator
    }

    /// What the run came to, not signed yet.
    pub(crate) fn receipt(&self, totals: Totals, time_secs: u64, blake3: [u8; 32]) -> Receipt {
        let (source, target) = self.ends();
        let Hello { share, path, flags, .. } = &self.hello;
        let (share, path, flags) = (share.clone(), path.clone(), *flags);
        Receipt { source, target, run: self.run, share, path, flags, time_secs, totals, blake3, signature: [0; 64] }
    }

    /// Counts what the peer is about to have written, where that has a bound.
    pub(crate) fn charge(&self, len: u64) -> Result<(), SyncFailure> {
        self.share.as_ref().map_or(Ok(()), |share| share.charge(len))
    }

    /// Looks whether the disk has room for so much more of a gift.
    pub(crate) fn check_room(&self, len: u64) -> Result<(), SyncFailure> {
        self.incoming.as_ref().map_or(Ok(()), |incoming| incoming.check_room(len))
    }
}

/// The first messages of a run.
pub(crate) fn agree(shared: &Shared, parties: Parties, begin: Begin, events: &EventSender) -> Result<Terms, Trouble> {
    match begin {
        Begin::Initiate(request) => initiate(shared, parties, *request, events.clone()),
        Begin::Respond(shares) => respond(shared, parties, &shares, events.clone()),
    }
}

fn initiate(shared: &Shared, parties: Parties, request: Request, events: EventSender) -> Result<Terms, Trouble> {
    let Request { role, share, path, local, journal, options } = request;
    let SyncOptions { flags, max_delete_percent, rate_max, rules } = options;
    let max_delete_percent = max_delete_percent.min(100);
    let hello = Hello { role, flags, max_delete_percent, rate_max, share, path, rules };
    if hello.share.len() > SHARE_NAME_MAX {
        return Err(SyncFailure::new(SyncCode::NoSuchShare, format!("names have 1 to {SHARE_NAME_MAX} bytes")).into());
    }
    let filter = filter(&hello)?;
    let message = hello.encode().ok_or_else(|| SyncFailure::new(SyncCode::BadFilter, "too many rules"))?;
    shared.outlet.send(message)?;
    // Answers may take as long as a person needs to allow them; the link says when nobody is there any more.
    let answer = first_message(shared, None)?.ok_or(Trouble::Stopped)?;
    let Message::Ready { run } = wire::decode(&answer)? else {
        return Err(SyncFailure::protocol("the first message was no answer").into());
    };
    let journal = journal.filter(|_| local.has_lasting_inodes());
    let journal = journal.map_or_else(Journal::none, |path| Journal::open(&path, hello.flags.dry_run));
    Ok(Terms {
        hello,
        run,
        is_initiator: true,
        identity: parties.identity,
        peer: parties.peer,
        root: local,
        filter,
        events,
        journal,
        share: None,
        incoming: None,
        _slot: None,
    })
}

fn respond(shared: &Shared, parties: Parties, shares: &Arc<Shares>, events: EventSender) -> Result<Terms, Trouble> {
    let slot = shares.begin(parties.peer)?;
    let Some(first) = first_message(shared, Some(HELLO_TIMEOUT))? else {
        return Err(SyncFailure::protocol("nothing was asked for").into());
    };
    let hello = match wire::decode(&first)? {
        Message::Hello(mut hello) => {
            hello.rate_max = hello.rate_max.map(|rate| rate.max(RATE_MIN));
            hello
        }
        Message::Unsupported => return Err(SyncFailure::new(SyncCode::Unsupported, "another version, or flags").into()),
        _ => return Err(SyncFailure::protocol("the first message asked for nothing").into()),
    };
    let filter = filter(&hello)?;
    let Opened { root, share, incoming } = shares.open(&parties, &hello)?;
    let mut run = [0; 16];
    getrandom::fill(&mut run).map_err(|error| SyncFailure::new(SyncCode::Storage, error.to_string()))?;
    shared.outlet.send(wire::encode_ready(&run))?;
    Ok(Terms {
        hello: *hello,
        run,
        is_initiator: false,
        identity: parties.identity,
        peer: parties.peer,
        root,
        filter,
        events,
        journal: Journal::none(),
        share,
        incoming,
        _slot: Some(slot),
    })
}

/// The first message alone: what comes right behind it is not for here. `None`: nothing came in time.
fn first_message(shared: &Shared, timeout: Option<Duration>) -> Result<Option<Bytes>, Trouble> {
    let message = shared.control.pop(timeout)?;
    if let Some(message) = &message {
        shared.control.release(wire::charge(message.len()));
    }
    Ok(message)
}

/// The directory that is asked for. A push makes it, unless nothing is to be changed.
fn open_root(share: &Share, hello: &Hello) -> io::Result<Root> {
    if hello.role == Role::Push && !hello.flags.dry_run {
        share.root.create_below(&hello.path)
    } else {
        share.root.open_below(&hello.path)
    }
}

/// A gift is whole: what is left out of folders that are kept in step was not left out by whoever gives them.
fn filter(hello: &Hello) -> Result<Filter, SyncFailure> {
    if hello.is_gift() {
        return Ok(Filter::whole());
    }
    Filter::new(&hello.rules).map_err(|fault| SyncFailure::new(SyncCode::BadFilter, fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_that_is_refused_leaves_a_quota_as_it_was_whatever_others_do_meanwhile() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut share = Share::new("docs", Arc::new(Root::open(directory.path()).unwrap()));
        share.quota = Some(100);
        share.charge(60).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    share.charge(u64::MAX - 50).unwrap_err();
                }
            });
            let slipped = (0..100_000).filter(|_| share.charge(41).is_ok()).count();
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(slipped, 0);
        });
        share.charge(40).unwrap();
    }
}

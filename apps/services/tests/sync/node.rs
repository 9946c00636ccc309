//! Two engines on loopback, each with a thread that feeds the runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use landline::{Channel, ChannelId, Config, Dial, Engine, Event, Events, Identity, LinkId, PeerId};
use landline_services::sync::entry::TreePath;
use landline_services::sync::plan::SkipReason;
use landline_services::sync::tree::Root;
use landline_services::sync::{
    Change, Parties, Request, Role, Run, RunHandle, SERVICE, Share, Shares, Summary, SyncEvent, SyncFailure,
    SyncOptions,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How a run ended, and what was told on the way.
#[derive(Debug)]
pub(crate) struct Ended {
    pub changes: Vec<Change>,
    pub skipped: Vec<(String, SkipReason)>,
    pub notes: Vec<String>,
    /// What of a gift was announced, and what has which name.
    pub offered: Vec<String>,
    pub saved: Vec<(String, String)>,
    /// Hashes of files that were given by themselves.
    pub sent: Vec<(String, [u8; 32])>,
    pub last: SyncEvent,
}

/// The side that starts runs and the side that shares.
pub(crate) struct Nodes {
    pub here: Node,
    pub there: Node,
    pub link: LinkId,
    /// The journal of the side that starts runs, if it has one.
    pub journal: Option<PathBuf>,
}

/// One engine.
pub(crate) struct Node {
    pub engine: Engine,
    pub identity: Arc<Identity>,
    runs: Arc<Mutex<HashMap<(LinkId, ChannelId), RunHandle>>>,
    pub responded: Receiver<Run>,
    pub links: Receiver<(LinkId, PeerId)>,
    _thread: JoinHandle<()>,
}

/// What the thread of a node works with.
struct Feed {
    engine: Engine,
    events: Events,
    identity: Arc<Identity>,
    runs: Arc<Mutex<HashMap<(LinkId, ChannelId), RunHandle>>>,
    peers: HashMap<LinkId, PeerId>,
    shares: Arc<Shares>,
    responded: Sender<Run>,
    links: Sender<(LinkId, PeerId)>,
    raw: Option<Sender<Raw>>,
}

/// What comes on channels where the test itself is the service.
#[derive(Debug)]
pub(crate) enum Raw {
    Opened(LinkId, ChannelId),
    Message(Vec<u8>),
    Ended,
}

impl Ended {
    /// Takes a run's events to its end.
    pub(crate) fn of(events: &Receiver<SyncEvent>) -> Ended {
        let (mut changes, mut skipped, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut offered, mut saved, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match events.recv_timeout(DEADLINE).expect("the run goes on") {
                SyncEvent::Changed(change) => changes.push(change),
                SyncEvent::Skipped { path, reason } => skipped.push((path.to_string(), reason)),
                SyncEvent::Note(text) => notes.push(text),
                SyncEvent::Started { .. } => {}
                SyncEvent::Offered { path, .. } => offered.push(path.to_string()),
                SyncEvent::Saved(of) => saved.push((of.path.to_string(), of.name)),
                SyncEvent::Sent { path, blake3 } => sent.push((path.to_string(), blake3)),
                last => return Ended { changes, skipped, notes, offered, saved, sent, last },
            }
        }
    }

    pub(crate) fn summary(self) -> Summary {
        match self.last {
            SyncEvent::Done(summary) => *summary,
            other => panic!("{other:?}; skipped {:?}", self.skipped),
        }
    }

    pub(crate) fn failure(self) -> SyncFailure {
        match self.last {
            SyncEvent::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

impl Nodes {
    pub(crate) fn new(shares: Vec<Share>) -> Nodes {
        Nodes::with(Shares::new(shares))
    }

    pub(crate) fn with(shares: Arc<Shares>) -> Nodes {
        let here = Node::start(1, Shares::new([]), None);
        let there = Node::start(2, shares, None);
        Nodes::join(here, there)
    }

    pub(crate) fn join(here: Node, there: Node) -> Nodes {
        let address = there.engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let dial = Dial { peer: there.engine.peer_id(), addresses: vec![address], reconnect: false };
        here.engine.dial(dial).unwrap();
        let (link, _) = here.links.recv_timeout(DEADLINE).unwrap();
        there.links.recv_timeout(DEADLINE).unwrap();
        Nodes { here, there, link, journal: None }
    }

    pub(crate) fn initiator_id(&self) -> PeerId {
        self.here.engine.peer_id()
    }

    pub(crate) fn begin(&self, role: Role, share: &str, path: &str, local: &Path, options: SyncOptions) -> Run {
        let request = Request {
            role,
            share: share.into(),
            path: TreePath::new(path.as_bytes()).unwrap(),
            local: Arc::new(Root::open(local).unwrap()),
            journal: self.journal.clone(),
            options,
        };
        self.start(request)
    }

    /// Begins to give these.
    pub(crate) fn give(&self, paths: &[PathBuf], rate_max: Option<u64>) -> Run {
        let mut request = Request::gift(Arc::new(Root::of_paths(paths).unwrap()), &self.here.identity);
        request.options.rate_max = rate_max;
        self.start(request)
    }

    fn start(&self, request: Request) -> Run {
        let parties =
            Parties { identity: self.here.identity.clone(), peer: self.there.engine.peer_id(), is_known: true };
        let mut runs = self.here.runs.lock().unwrap();
        let run = Run::initiate(&self.here.engine, self.link, parties, request).unwrap();
        runs.insert(run.handle.line(), run.handle.clone());
        run
    }

    pub(crate) fn run(&self, role: Role, share: &str, path: &str, local: &Path, options: SyncOptions) -> Ended {
        Ended::of(&self.begin(role, share, path, local, options).events)
    }

    /// The end of the last run as the other side saw it.
    pub(crate) fn responded(&self) -> Ended {
        Ended::of(&self.there.responded.recv_timeout(DEADLINE).unwrap().events)
    }
}

impl Node {
    /// With `raw` given the test answers channels itself.
    pub(crate) fn start(seed: u8, shares: Arc<Shares>, raw: Option<Sender<Raw>>) -> Node {
        let (engine, events) = Engine::start(Identity::from_seed([seed; 32]), Config::default()).unwrap();
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let runs = Arc::new(Mutex::new(HashMap::new()));
        let ((responded, responded_out), (links, links_out)) = (unbounded(), unbounded());
        let feed = Feed {
            engine: engine.clone(),
            events,
            identity: identity.clone(),
            runs: runs.clone(),
            peers: HashMap::new(),
            shares,
            responded,
            links,
            raw,
        };
        let thread = std::thread::spawn(move || feed.work());
        Node { engine, identity, runs, responded: responded_out, links: links_out, _thread: thread }
    }
}

impl Feed {
    fn work(mut self) {
        // The engine lives as long as somebody holds a handle; this thread does not count as one.
        let Feed { engine, .. } = &self;
        let engine = engine.clone();
        while let Some(event) = self.events.recv() {
            self.take(&engine, event);
        }
    }

    fn take(&mut self, engine: &Engine, event: Event) {
        let mut runs = self.runs.lock().unwrap();
        match event {
            Event::LinkUp { link, peer, .. } => {
                self.peers.insert(link, peer);
                let _ = self.links.send((link, peer));
            }
            Event::ChannelOpened { link, channel, service, .. } if service == SERVICE => {
                if let Some(raw) = &self.raw {
                    let _ = raw.send(Raw::Opened(link, channel));
                    return;
                }
                let peer = self.peers[&link];
                let parties = Parties { identity: self.identity.clone(), peer, is_known: true };
                let opened: Channel = engine.channel(link, channel).unwrap();
                let run = Run::respond(opened, parties, self.shares.clone()).unwrap();
                runs.insert((link, channel), run.handle.clone());
                let _ = self.responded.send(run);
            }
            Event::Messages(batch) => match (runs.get(&(batch.link, batch.channel)), &self.raw) {
                (Some(run), _) => batch.iter_bytes().for_each(|message| run.deliver(message)),
                (None, Some(raw)) => batch.iter().for_each(|message| {
                    let _ = raw.send(Raw::Message(message.to_vec()));
                }),
                _ => {}
            },
            Event::Writable { .. } => runs.values().for_each(RunHandle::writable),
            Event::ChannelFinished { link, channel } | Event::ChannelReset { link, channel, .. } => {
                if let Some(run) = runs.remove(&(link, channel)) {
                    run.ended();
                } else if let Some(raw) = &self.raw {
                    let _ = raw.send(Raw::Ended);
                }
            }
            Event::LinkDown { link, .. } => runs.retain(|(of, _), run| {
                if *of == link {
                    run.ended();
                }
                *of != link
            }),
            _ => {}
        }
    }
}

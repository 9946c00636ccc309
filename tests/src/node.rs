//! Reactors that a test turns itself, with a link between them on loopback.

use landline::{Bytes, ChannelId, Config, Dial, Event, Identity, LinkId, Priority, Reactor, SendError};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Longer than anything takes, unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A reactor and the link that its test is about.
pub struct Node {
    /// To be turned.
    pub reactor: Reactor,
    link: Option<LinkId>,
}

impl Node {
    /// A node whose identity is made from `seed`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(seed: u8, config: Config) -> Node {
        let reactor = Reactor::start(Identity::from_seed([seed; 32]), config).expect("a reactor");
        Node { reactor, link: None }
    }

    /// Listens on loopback.
    ///
    /// # Panics
    /// If the system does not let it.
    pub fn listen(&mut self) -> SocketAddr {
        self.reactor.listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a listener")
    }

    /// Dials `peer`.
    ///
    /// # Panics
    /// If it cannot be dialled.
    pub fn dial(&mut self, peer: landline::PeerId, address: SocketAddr) {
        let dial = Dial { peer, addresses: vec![address], reconnect: false };
        self.reactor.dial(dial).expect("a dial");
    }

    /// One turn that does not wait.
    ///
    /// # Panics
    /// If the poll fails.
    pub fn turn(&mut self) {
        self.reactor.turn(Some(Duration::ZERO)).expect("a turn");
    }

    /// The next event, if there is one. The first link is noted.
    ///
    /// # Panics
    /// If the link ends.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.reactor.poll_event()?;
        match &event {
            Event::LinkUp { link, .. } => self.link = self.link.or(Some(*link)),
            Event::LinkDown { reason, .. } => panic!("the link has ended: {reason}"),
            Event::DialFailed { reason, .. } => panic!("the dial has failed: {reason}"),
            _ => {}
        }
        Some(event)
    }

    /// Takes all events and drops them; how many messages were among them.
    pub fn take_messages(&mut self) -> usize {
        let mut count = 0;
        while let Some(event) = self.poll_event() {
            if let Event::Messages(batch) = event {
                count += batch.iter().count();
            }
        }
        count
    }

    /// The link, once it is up.
    pub fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// Opens a channel on the link.
    ///
    /// # Panics
    /// If there is no link, or it has too many channels.
    pub fn open(&mut self, priority: Priority) -> ChannelId {
        self.reactor.open_channel(self.link.expect("a link"), "test.memory/1", priority).expect("a channel")
    }

    /// Queues up to `count` messages, until the link is full; how many were queued.
    ///
    /// # Panics
    /// If the link or channel takes no more for another reason.
    pub fn fill(&mut self, channel: ChannelId, message: &Bytes, count: usize) -> usize {
        let link = self.link.expect("a link");
        let is_queued = |_: &usize| match self.reactor.send(link, channel, message.clone()) {
            Ok(()) => true,
            Err(SendError::Full(_)) => false,
            Err(error) => panic!("not sent: {error}"),
        };
        (0..count).take_while(is_queued).count()
    }
}

/// Two nodes with a link, turned in turn by one thread.
pub struct Pair {
    /// Has dialled.
    pub initiator: Node,
    /// Was dialled.
    pub responder: Node,
}

impl Pair {
    /// Two nodes, and turns until there is a link.
    ///
    /// # Panics
    /// If none comes about.
    pub fn connect(config: &Config) -> Pair {
        let mut pair = Pair { initiator: Node::start(1, config.clone()), responder: Node::start(2, config.clone()) };
        let address = pair.responder.listen();
        pair.initiator.dial(pair.responder.reactor.peer_id(), address);
        let until = Instant::now() + PATIENCE;
        while pair.initiator.link().is_none() || pair.responder.link().is_none() {
            assert!(Instant::now() < until, "no link");
            pair.turn();
            pair.initiator.take_messages();
            pair.responder.take_messages();
        }
        pair
    }

    /// Turns both once.
    pub fn turn(&mut self) {
        self.initiator.turn();
        self.responder.turn();
    }

    /// Sends `count` messages from the initiator to the responder, which takes each batch and drops it.
    ///
    /// # Panics
    /// If they do not arrive.
    pub fn send(&mut self, channel: ChannelId, message: &Bytes, count: usize) {
        let (mut sent, mut received) = (0, 0);
        let until = Instant::now() + PATIENCE;
        while received < count {
            assert!(Instant::now() < until, "{received} of {count} messages arrived");
            sent += self.initiator.fill(channel, message, count - sent);
            self.turn();
            self.initiator.take_messages();
            received += self.responder.take_messages();
        }
    }

    /// Sends one message there and back `count` times.
    ///
    /// # Panics
    /// If an answer does not come.
    pub fn echo(&mut self, channel: ChannelId, message: &Bytes, count: usize) {
        let until = Instant::now() + PATIENCE;
        for round in 0..count {
            assert_eq!(self.initiator.fill(channel, message, 1), 1);
            loop {
                assert!(Instant::now() < until, "no answer in round {round}");
                self.turn();
                while let Some(event) = self.responder.poll_event() {
                    let Event::Messages(batch) = event else { continue };
                    for message in batch.iter_bytes() {
                        self.responder.fill(batch.channel, &message, 1);
                    }
                }
                if self.initiator.take_messages() > 0 {
                    break;
                }
            }
        }
    }
}

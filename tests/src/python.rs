//! The Python peer in `interop/`, and running it beside an engine.

use landline::{Bytes, Channel, ChannelId, CloseReason, Config, Dial, Engine, Event, Events, Identity, LinkId, PeerId};
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// The interpreter, if it has what the peer needs.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("LANDLINE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let check = ["-c", "import cryptography.hazmat.primitives.ciphers.aead"];
    let status = Command::new(&python).args(check).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    // Straight to the descriptor: what the macros print is not shown for a test that passes.
    let line = format!("skipped: {} with the package `cryptography` is not here\n", python.display());
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

/// The peer at work.
pub struct Script {
    child: Child,
    lines: Receiver<String>,
}

impl Script {
    /// Starts the peer with these arguments.
    pub fn start(python: &Path, args: &[&str]) -> Script {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/scenarios.py");
        let mut command = Command::new(python);
        command.arg("-B").arg(script).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Script { child, lines }
    }

    /// Starts the peer with these scenarios towards `node`.
    pub fn dial(python: &Path, scenarios: &[&str], node: &Node) -> Script {
        let (peer, address) = (node.engine.peer_id().to_string(), node.address.expect("the node listens").to_string());
        Script::start(python, &[scenarios, &["--peer", &peer, "--address", &address]].concat())
    }

    /// Who listens where.
    pub fn listening(&mut self) -> (PeerId, SocketAddr) {
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        let ["listening", peer, address] = words[..] else { panic!("{line}") };
        (peer.parse().expect("a PeerId"), address.parse().expect("an address"))
    }

    /// What came of the scenario that is on.
    pub fn result(&mut self, scenario: &str) -> String {
        let line = self.line();
        let result = line.strip_prefix("ok ").and_then(|rest| rest.strip_prefix(scenario));
        result.unwrap_or_else(|| panic!("{scenario}: {line}")).trim_start().to_owned()
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(WAIT).expect("the peer says how it went; its words on failure are above")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An engine and what it says.
pub struct Node {
    /// The engine.
    pub engine: Engine,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    events: Receiver<Event>,
}

/// Each node of this process has an identity of its own.
static SEEDS: AtomicU8 = AtomicU8::new(100);

impl Node {
    /// A node that listens and sends back what comes on its channels.
    pub fn listening() -> Node {
        let (engine, events) = start();
        let address = engine.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let (sender, receiver) = channel();
        let echo = Echo { engine: engine.clone(), channels: HashMap::new() };
        thread::spawn(move || echo.run(&events, &sender));
        Node { engine, address: Some(address), events: receiver }
    }

    /// A node that only dials, and hands on every event.
    pub fn silent() -> Node {
        let (engine, events) = start();
        let (sender, receiver) = channel();
        thread::spawn(move || while events.recv().is_some_and(|event| sender.send(event).is_ok()) {});
        Node { engine, address: None, events: receiver }
    }

    /// Dials whom at where.
    pub fn dial(&self, (peer, address): &(PeerId, SocketAddr)) {
        self.engine.dial(Dial { peer: *peer, addresses: vec![*address], reconnect: false }).expect("one address");
    }

    /// What happens next.
    pub fn event(&self) -> Event {
        self.events.recv_timeout(WAIT).expect("an event in time")
    }

    /// The next event is a link.
    pub fn up(&self) -> LinkId {
        match self.event() {
            Event::LinkUp { link, .. } => link,
            other => panic!("{other:?}"),
        }
    }

    /// The next event is a link's end.
    pub fn down(&self) -> CloseReason {
        match self.event() {
            Event::LinkDown { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The next event is a dial's failure.
    pub fn failed(&self) -> CloseReason {
        match self.event() {
            Event::DialFailed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Whether nothing has happened.
    pub fn is_quiet(&self) -> bool {
        self.events.try_recv().is_err()
    }
}

fn start() -> (Engine, Events) {
    let seed = SEEDS.fetch_add(1, Ordering::Relaxed);
    Engine::start(Identity::from_seed([seed; 32]), Config::default()).expect("an engine")
}

/// Sends back what comes on each channel, as fast as the other side takes it; hands on what concerns links.
struct Echo {
    engine: Engine,
    channels: HashMap<(LinkId, ChannelId), Line>,
}

struct Line {
    channel: Channel,
    waiting: VecDeque<Bytes>,
    is_finished: bool,
}

impl Echo {
    fn run(mut self, events: &Events, sender: &Sender<Event>) {
        while let Some(event) = events.recv() {
            match event {
                Event::ChannelOpened { link, channel, .. } => {
                    let Ok(handle) = self.engine.channel(link, channel) else { continue };
                    let line = Line { channel: handle, waiting: VecDeque::new(), is_finished: false };
                    self.channels.insert((link, channel), line);
                }
                Event::Messages(batch) => {
                    let Some(line) = self.channels.get_mut(&(batch.link, batch.channel)) else { continue };
                    line.waiting.extend(batch.iter_bytes());
                    line.pump();
                }
                Event::Writable { .. } => self.channels.values_mut().for_each(Line::pump),
                Event::ChannelFinished { link, channel } => {
                    let Some(line) = self.channels.get_mut(&(link, channel)) else { continue };
                    line.is_finished = true;
                    line.pump();
                }
                Event::ChannelReset { link, channel, .. } => drop(self.channels.remove(&(link, channel))),
                other => {
                    if let Event::LinkDown { link, .. } = other {
                        self.channels.retain(|(of, _), _| *of != link);
                    }
                    if sender.send(other).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Line {
    fn pump(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(error) = self.channel.send(message) {
                self.waiting.push_front(error.into_message());
                return;
            }
        }
        if self.is_finished {
            // The channel is gone when its peer has reset it in the meantime.
            let _ = self.channel.finish();
        }
    }
}

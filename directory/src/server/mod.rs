//! The directory as a server: HTTP on the engine's reactor, over the store.
//!
//! [`Directory::bind`] gives a handle and a loop; whoever runs the loop is the only thread that answers; the
//! store has one that writes. [`RunningDirectory`] is both for those who want a thread of its own. What HTTP means is in
//! `connection.rs` and below.

mod connection;
mod date;
mod jitter;
mod listing;
mod metrics;
mod page;
mod rate;
mod roster;
mod routes;
mod watch;

use crate::interfaces;
use crate::limits::{
    ALLOW_QUEUE_COUNT, ANNOUNCEMENT_BURST_MAX, ANNOUNCEMENTS_PER_SECOND_MAX, CONNECTION_COUNT_MAX,
    CONNECTIONS_PER_ADDRESS_MAX, EXPIRY_BUDGET_COUNT, KEEP_ALIVE_TIMEOUT, REQUEST_TIMEOUT, REQUESTS_PER_CONNECTION_MAX,
    RESPONSE_TIMEOUT, STOP_TIMEOUT, WATCHER_COUNT_MAX,
};
use crate::store::{AllowError, AllowList, Store, StoreConfig};
use bytes::BytesMut;
use connection::{HttpConnection, HttpEnd, Patience};
use crossbeam_channel::{Receiver, Sender, bounded};
use landline::reactor::{Outbox, Protocol, Reactor, ReactorConfig, Token, Transmit, Turn, Wake};
use metrics::Limit;
use roster::Roster;
use routes::Service;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watch::Watchers;

/// What an operator decides about a directory: by what names it is reached, where it keeps what it knows, and its bounds.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// The directory of its store, made where it is missing; `None`: what it knows ends with it.
    pub store_dir: Option<PathBuf>,
    /// A file with the peers that may announce, one PeerId a line; `None`: anybody may.
    pub allow_file: Option<PathBuf>,
    /// Bounds of what is stored.
    pub store: StoreConfig,
    /// The names under which it is reached. Requests for another are refused; IP addresses and `localhost` are always
    /// taken. Without port.
    pub host_names: Vec<String>,
    /// Connections in all; the one that was quiet longest makes room for a new one.
    pub connection_count_max: usize,
    /// Connections of one address, likewise.
    pub connections_per_address_max: usize,
    /// Requests of one connection; with the answer to the last it is closed.
    pub requests_per_connection_max: usize,
    /// Announcements and withdrawals of one address in a second, over time; `u32::MAX` lifts the limit.
    pub announcements_per_second_max: u32,
    /// The same at once.
    pub announcement_burst_max: u32,
    /// Whether this host's own loopback addresses announce as often as they like.
    pub spares_loopback: bool,
    /// Watchers at a time. Never more than three quarters of the connections, in all and of one address, whatever is said
    /// here: requests keep the rest.
    pub watcher_count_max: usize,
    /// How long a request may take to arrive.
    pub request_timeout: Duration,
    /// How long an answer may take to be read.
    pub response_timeout: Duration,
    /// How long a connection may be quiet between two requests.
    pub keep_alive_timeout: Duration,
}

impl Default for DirectoryConfig {
    fn default() -> DirectoryConfig {
        DirectoryConfig {
            store_dir: None,
            allow_file: None,
            store: StoreConfig::default(),
            host_names: Vec::new(),
            connection_count_max: CONNECTION_COUNT_MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            requests_per_connection_max: REQUESTS_PER_CONNECTION_MAX,
            announcements_per_second_max: ANNOUNCEMENTS_PER_SECOND_MAX,
            announcement_burst_max: ANNOUNCEMENT_BURST_MAX,
            spares_loopback: false,
            watcher_count_max: WATCHER_COUNT_MAX,
            request_timeout: REQUEST_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            keep_alive_timeout: KEEP_ALIVE_TIMEOUT,
        }
    }
}

/// A handle to a directory: where it is, and how to stop it.
#[derive(Clone)]
pub struct Directory {
    address: SocketAddr,
    allow_file: Option<Arc<Path>>,
    allow: Sender<AllowList>,
    stop: Arc<AtomicBool>,
    wake: Arc<Wake>,
}

impl Directory {
    /// Binds `address` (port 0 takes any free one; `[::]` takes IPv4 too). It answers once the loop runs.
    ///
    /// # Errors
    /// Those of the socket calls; `AddrInUse` where the port is busy. Where the store or the list of allowed peers cannot be
    /// used, the error holds a [`StoreError`](crate::StoreError) or [`AllowError`](crate::AllowError).
    pub fn bind(address: SocketAddr, config: DirectoryConfig) -> io::Result<(Directory, DirectoryLoop)> {
        let (instance, jitter_seed) = (random()?, random()?);
        let stop = Arc::new(AtomicBool::new(false));
        let (allow, to_allow) = bounded(ALLOW_QUEUE_COUNT);
        let allow_file: Option<Arc<Path>> = config.allow_file.clone().map(Arc::from);
        let store = open_store(&config)?;
        let shared = Commands { stop: stop.clone(), allow: to_allow };
        let reactor_config = ReactorConfig {
            // Room beyond ours for those that are being closed: who goes is decided here, by who was quiet longest.
            connection_count_max: config.connection_count_max.saturating_mul(2).saturating_add(64),
            write_stall: config.response_timeout,
            outbox_len: crate::limits::OUTPUT_LEN_HIGH,
            linger: STOP_TIMEOUT,
            ..ReactorConfig::default()
        };
        let server = Server::new(&config, store, (instance, jitter_seed), shared);
        let mut reactor = Reactor::new(server, reactor_config)?;
        let address = reactor.bind_listener(address)?;
        let wake = reactor.wake();
        reactor.protocol_mut().service.store.wake_by(move || wake.wake());
        let directory = Directory { address, allow_file, allow, stop, wake: reactor.wake() };
        Ok((directory, DirectoryLoop { reactor }))
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What others paste to use it, best first: one URL for each address of this host where it listens on all.
    pub fn urls(&self) -> Vec<String> {
        if !self.address.ip().is_unspecified() {
            return vec![format!("http://{}", self.address)];
        }
        let ips = interfaces::reachable_ips(self.address.is_ipv4());
        ips.into_iter().map(|ip| format!("http://{}", SocketAddr::new(ip, self.address.port()))).collect()
    }

    /// The first of [`urls`](Self::urls).
    pub fn url(&self) -> String {
        self.urls().into_iter().next().unwrap_or_else(|| format!("http://{}", self.address))
    }

    /// Reads the list of allowed peers anew, if there is one, and gives how many are on it. Those listed that are not on it
    /// are removed. Blocks for as long as reading takes.
    ///
    /// # Errors
    /// Where it cannot be read; the list that was there before stays.
    pub fn reload(&self) -> Result<Option<usize>, AllowError> {
        let Some(path) = &self.allow_file else { return Ok(None) };
        let list = AllowList::load(path)?;
        let count = list.len();
        // Where the loop has ended there is nobody to be kept out.
        let _ = self.allow.send(list);
        self.wake.wake();
        Ok(Some(count))
    }

    /// Has the loop finish what is being answered, write what is left and return: within `STOP_TIMEOUT`, and
    /// `STORE_CLOSE_TIMEOUT` more where the disk is slow.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.wake();
    }
}

/// A directory's loop, to be run in a thread.
pub struct DirectoryLoop {
    reactor: Reactor<Server>,
}

impl DirectoryLoop {
    /// Serves until [`Directory::stop`]; what it knows is on disk then.
    ///
    /// # Errors
    /// Those of the poll; what befalls one connection ends that connection only.
    pub fn run(mut self) -> io::Result<()> {
        while !self.reactor.protocol().is_stopping() {
            self.turn(None)?;
        }
        self.reactor.close_listeners();
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.reactor.protocol().roster.len() == 0 {
                self.reactor.protocol_mut().service.store.close();
                return Ok(());
            }
            self.turn(Some(left))?;
        }
    }

    fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.reactor.turn(timeout)?;
        let stats = self.reactor.stats();
        self.reactor.protocol_mut().service.metrics.reactor = stats;
        Ok(())
    }
}

/// A directory with a thread of its own. Dropping it stops it.
pub struct RunningDirectory {
    directory: Directory,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl RunningDirectory {
    /// Binds `address` and serves.
    ///
    /// # Errors
    /// As [`Directory::bind`], and where no thread can be started.
    pub fn start(address: SocketAddr, config: DirectoryConfig) -> io::Result<RunningDirectory> {
        let (directory, directory_loop) = Directory::bind(address, config)?;
        let thread = std::thread::Builder::new().name("directory".to_owned()).spawn(move || directory_loop.run())?;
        Ok(RunningDirectory { directory, thread: Some(thread) })
    }

    /// The handle.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Stops it and waits for its end.
    ///
    /// # Errors
    /// What ended the loop before.
    pub fn stop(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.directory.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the directory's thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for RunningDirectory {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "the directory ended with an error");
        }
    }
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// HTTP as a protocol of the reactor.
struct Server {
    service: Service,
    roster: Roster,
    connection_count_max: usize,
    connections_per_address_max: usize,
    patience: Patience,
    commands: Commands,
}

/// What a [`Directory`] tells its loop.
struct Commands {
    stop: Arc<AtomicBool>,
    allow: Receiver<AllowList>,
}

/// A connection and its place in the roster.
struct Seat {
    http: HttpConnection,
    order: u64,
    /// It is held in the roster.
    is_held: bool,
}

impl Server {
    fn new(config: &DirectoryConfig, store: Store, (instance, jitter_seed): (u64, u64), commands: Commands) -> Server {
        let patience = Patience {
            request: config.request_timeout,
            response: config.response_timeout,
            keep_alive: config.keep_alive_timeout,
        };
        let share = |count: usize| (count / 4 * 3).max(1);
        let count_max = config.watcher_count_max.min(share(config.connection_count_max));
        let watchers = Watchers::new(instance, count_max, share(config.connections_per_address_max));
        Server {
            service: Service::new(store, watchers, config, jitter_seed),
            roster: Roster::default(),
            connection_count_max: config.connection_count_max,
            connections_per_address_max: config.connections_per_address_max,
            patience,
            commands,
        }
    }

    fn is_stopping(&self) -> bool {
        self.commands.stop.load(Ordering::Acquire)
    }

    /// A connection that has begun to watch makes no room for others any more.
    fn note_watcher(&mut self, seat: &mut Seat) {
        if seat.http.has_watched() && !seat.is_held {
            seat.is_held = true;
            self.roster.hold(seat.order);
        }
    }
}

impl Protocol for Server {
    type Connection = Seat;
    type CloseReason = HttpEnd;

    fn accept(&mut self, token: Token, remote: SocketAddr, turn: &mut Turn) -> Option<Seat> {
        if self.is_stopping() || self.connection_count_max == 0 {
            return None;
        }
        let address = remote.ip().to_canonical();
        let is_crowded = self.roster.count_of(address) >= self.connections_per_address_max;
        if is_crowded || self.roster.len() >= self.connection_count_max {
            let victim = self.roster.take_oldest(is_crowded.then_some(address))?;
            let limit = if is_crowded { Limit::ConnectionsPerAddress } else { Limit::Connections };
            self.service.metrics.count_limit(limit);
            turn.close(victim);
        }
        self.service.metrics.connection_count += 1;
        let http = HttpConnection::new(remote, self.patience, turn.now());
        Some(Seat { http, order: self.roster.enter(token, address), is_held: false })
    }

    fn handle_input(
        &mut self,
        token: Token,
        seat: &mut Seat,
        input: &mut BytesMut,
        turn: &mut Turn,
    ) -> Result<(), HttpEnd> {
        if seat.http.handle_input(input, &mut self.service, turn.now())? {
            seat.order = self.roster.refresh(seat.order);
            self.note_watcher(seat);
        }
        if seat.http.has_output() {
            turn.flush(token);
        }
        Ok(())
    }

    fn handle_eof(&mut self, token: Token, seat: &mut Seat, turn: &mut Turn) -> Result<(), HttpEnd> {
        seat.http.handle_eof();
        turn.flush(token);
        Ok(())
    }

    fn poll_transmit(&mut self, token: Token, seat: &mut Seat, outbox: &mut Outbox, turn: &mut Turn) -> Transmit {
        let transmit = seat.http.poll_transmit(outbox, &mut self.service, turn.now());
        self.note_watcher(seat);
        if seat.http.is_rationed() {
            turn.flush(token);
        }
        if transmit == Transmit::Finish && self.service.is_draining() {
            // Stopping does not wait for clients that keep their side open.
            self.roster.leave(seat.order);
        }
        transmit
    }

    fn deadline(&self, seat: &Seat) -> Option<Instant> {
        seat.http.deadline()
    }

    fn handle_deadline(&mut self, token: Token, seat: &mut Seat, turn: &mut Turn) -> Result<(), HttpEnd> {
        turn.flush(token);
        seat.http.handle_deadline(&mut self.service, turn.now())
    }

    fn closed(&mut self, _token: Token, seat: Seat, reason: HttpEnd, _turn: &mut Turn) {
        tracing::debug!(%reason, "connection ended");
        self.roster.leave(seat.order);
        self.service.metrics.connection_count -= 1;
        match reason {
            HttpEnd::SlowReader => self.service.metrics.count_limit(Limit::ResponseTime),
            HttpEnd::Overrun => self.service.metrics.count_limit(Limit::PipelineLen),
            HttpEnd::Idle | HttpEnd::Socket(_) => {}
        }
        if seat.http.has_watched() {
            self.service.watchers.leave(seat.http.address());
            tracing::debug!(watchers_left = self.service.watchers.count(), "a watcher has gone");
        }
    }

    fn drain_commands(&mut self, turn: &mut Turn) {
        for list in self.commands.allow.try_iter() {
            self.service.store.allow(Some(list), turn.now());
        }
        self.service.store.handle_news(turn.now());
        if self.is_stopping() && !self.service.is_draining() {
            self.service.drain();
            for token in self.roster.tokens() {
                turn.flush(token);
            }
        }
    }

    fn has_commands(&self) -> bool {
        (self.is_stopping() && !self.service.is_draining())
            || !self.commands.allow.is_empty()
            || self.service.store.has_news()
    }

    fn timer(&self) -> Option<Instant> {
        [self.service.store.timer(), self.service.watchers.due_at()].into_iter().flatten().min()
    }

    fn handle_timer(&mut self, turn: &mut Turn) {
        self.service.store.handle_timer(turn.now(), EXPIRY_BUDGET_COUNT);
    }

    /// Whatever has changed in this turn goes out to all watchers together, at the start of the next: whoever asked for
    /// something has the answer by then.
    fn turn_ended(&mut self, turn: &mut Turn) {
        if self.service.watchers.take_due(self.service.store.changes(), turn.now()) {
            for token in self.roster.held() {
                turn.flush(token);
            }
        }
    }
}

/// The store that `config` asks for, with those who may announce.
fn open_store(config: &DirectoryConfig) -> io::Result<Store> {
    let allowed = config.allow_file.as_deref().map(AllowList::load).transpose()?;
    let now = Instant::now();
    let mut store = match &config.store_dir {
        Some(dir) => Store::open(config.store, dir, now)?,
        None => Store::new(config.store),
    };
    // Nobody who is no longer allowed is shown, not even for a moment.
    store.allow(allowed, now);
    store.finish_sweep(now);
    Ok(store)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

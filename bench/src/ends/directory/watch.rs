//! Watchers of the directory: many that are told nothing, and how long it takes until all have been told of a change.
//!
//! All are read by one thread, one after the other as their bytes come, so that the times of the later ones contain the
//! reading of the earlier ones.

use super::super::responder;
use super::super::session::Session;
use super::exchange::Exchange;
use super::peers::Peers;
use crate::Failure;
use crate::meter::Meter;
use crate::statistics::curve;
use crate::work::{Assignment, Report};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long watchers rest before the memory of the directory is looked at.
const SETTLE: Duration = Duration::from_millis(500);
/// What is read of a watcher at once.
const READ_LEN: usize = 16 * 1024;
/// Events of the kernel taken at once.
const EVENT_COUNT: usize = 256;
const REQUEST: &[u8] = b"GET /v1/watch HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";
/// A snapshot is complete.
const READY: &[u8] = b"event: ready\n";

/// Keeps `watcher_count` watchers that are told nothing but the snapshot, until the directory has looked at itself.
pub(super) fn rest(assignment: &Assignment, watcher_count: usize) -> Result<Report, Failure> {
    let session = Session::begin(assignment)?;
    let meter = Meter::start();
    let watchers = Watchers::connect(responder(assignment)?.address, watcher_count)?;
    thread::sleep(SETTLE);
    let report = meter.stop();
    session.end()?;
    drop(watchers);
    Ok(report)
}

/// Announces `count` changes, each when all have been told of the one before, and gives the times from sending it until
/// each watcher has read it.
pub(super) fn follow(assignment: &Assignment, watcher_count: usize, count: u64) -> Result<Report, Failure> {
    let address = responder(assignment)?.address;
    let peers = Peers::new(1);
    let changes = (0..count).map(|turn| peers.change(turn)).collect::<Result<Vec<_>, _>>()?;
    let mut watchers = Watchers::connect(address, watcher_count)?;
    let mut announcer = Exchange::connect(address)?;
    let mut times = Vec::with_capacity(changes.len() * watcher_count);
    let session = Session::begin(assignment)?;
    let meter = Meter::start();
    for (request, mark) in &changes {
        let sent = Instant::now();
        announcer.send(request)?;
        watchers.await_all(mark.as_bytes(), |at| times.push((at - sent).as_nanos() as u64))?;
        announcer.receive()?;
    }
    let report = meter.stop();
    session.end()?;
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

struct Watchers {
    epoll: OwnedFd,
    watchers: Vec<Watcher>,
}

struct Watcher {
    stream: TcpStream,
    /// What has come since all were last told of something.
    received: Vec<u8>,
    is_told: bool,
}

impl Watchers {
    /// Connects them and waits until each has its snapshot.
    fn connect(address: SocketAddr, count: usize) -> Result<Watchers, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut watchers = Vec::with_capacity(count);
        for index in 0..count {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(REQUEST)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            watchers.push(Watcher { stream, received: Vec::new(), is_told: false });
        }
        let mut all = Watchers { epoll, watchers };
        all.await_all(READY, |_| {})?;
        Ok(all)
    }

    /// Reads until `mark` has come to each, and tells `note` when.
    fn await_all(&mut self, mark: &[u8], mut note: impl FnMut(Instant)) -> Result<(), Failure> {
        let mut events = Vec::with_capacity(EVENT_COUNT);
        let mut buffer = [0; READ_LEN];
        let mut missing = self.watchers.len();
        while missing > 0 {
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                let watcher = &mut self.watchers[event.data.u64() as usize];
                if watcher.take(&mut buffer, mark)? {
                    note(Instant::now());
                    missing -= 1;
                }
            }
        }
        self.watchers.iter_mut().for_each(|watcher| (watcher.is_told, watcher.received) = (false, Vec::new()));
        Ok(())
    }
}

impl Watcher {
    /// Reads once; whether `mark` has come now.
    fn take(&mut self, buffer: &mut [u8], mark: &[u8]) -> Result<bool, Failure> {
        let len = self.stream.read(buffer)?;
        if len == 0 {
            return Err("the directory has ended a watcher".into());
        }
        if self.is_told {
            return Ok(false);
        }
        self.received.extend_from_slice(&buffer[..len]);
        self.is_told = self.received.windows(mark.len()).any(|window| window == mark);
        Ok(self.is_told)
    }
}

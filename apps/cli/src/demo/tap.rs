//! A tap on the wire: takes a TCP connection, makes one to the real address, carries bytes both ways and keeps a copy.
//!
//! It is what somebody between the two could do, so its recording is what such a person would have.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Bytes kept in each direction; what goes through the tap is far less.
const RECORDED_LEN_MAX: usize = 16 << 20;
/// Bytes carried at a time.
const CARRY_LEN: usize = 64 << 10;

/// What went over the wire.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// From the one who dialled.
    pub(super) to_bob: Vec<u8>,
    /// To the one who dialled.
    pub(super) to_alice: Vec<u8>,
}

/// A running tap; ends when it is dropped.
pub(super) struct Tap {
    address: SocketAddr,
    recording: Arc<Mutex<Recording>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
enum Direction {
    ToBob,
    ToAlice,
}

impl Tap {
    /// Starts one before `target`, on a loopback address of its own.
    pub(super) fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let recording = Arc::new(Mutex::new(Recording::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared) = (stop.clone(), recording.clone());
        let thread = thread::Builder::new().name("tap".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if let Err(error) = stream.and_then(|stream| carry_both(stream, target, &shared)) {
                    tracing::warn!(%error, "the tap lost a connection");
                }
            }
        })?;
        Ok(Self { address, recording, stop, thread: Some(thread) })
    }

    /// Where to dial it.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has recorded so far.
    pub(super) fn recorded(&self) -> MutexGuard<'_, Recording> {
        // A panic elsewhere does not make recorded bytes wrong.
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A last connection wakes it up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries one connection until both directions have ended.
fn carry_both(dialled: TcpStream, target: SocketAddr, recording: &Mutex<Recording>) -> io::Result<()> {
    let real = TcpStream::connect(target)?;
    dialled.set_nodelay(true)?;
    real.set_nodelay(true)?;
    let (from_alice, to_alice) = (dialled.try_clone()?, dialled);
    let (from_bob, to_bob) = (real.try_clone()?, real);
    thread::scope(|scope| {
        scope.spawn(|| carry(from_bob, to_alice, Direction::ToAlice, recording));
        carry(from_alice, to_bob, Direction::ToBob, recording);
    });
    Ok(())
}

/// Carries one direction. Bytes are recorded before they go on, so that whoever has got them finds them recorded.
fn carry(mut from: TcpStream, mut to: TcpStream, direction: Direction, recording: &Mutex<Recording>) {
    let mut buffer = vec![0; CARRY_LEN];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        {
            let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
            let recorded = match direction {
                Direction::ToBob => &mut recording.to_bob,
                Direction::ToAlice => &mut recording.to_alice,
            };
            let room = RECORDED_LEN_MAX - recorded.len();
            recorded.extend_from_slice(&buffer[..len.min(room)]);
        }
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // The end of one direction is an end for its reader, as it would be without the tap.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_unchanged_and_are_recorded_both_ways() {
        let real = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tap = Tap::start(real.local_addr().unwrap()).unwrap();
        let echo = thread::spawn(move || {
            let (mut stream, _) = real.accept().unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard.reverse();
            stream.write_all(&heard).unwrap();
        });
        let mut stream = TcpStream::connect(tap.address()).unwrap();
        stream.write_all(b"abc").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"cba");
        echo.join().unwrap();
        let recorded = tap.recorded();
        assert_eq!((&recorded.to_bob[..], &recorded.to_alice[..]), (&b"abc"[..], &b"cba"[..]));
    }
}

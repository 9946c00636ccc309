//! Plain TCP: what a program without any library does, blocking, and without ever waiting in the kernel.

use super::blocking::{self, READ_LEN, answer, ask, read_messages, read_receipt, write_messages};
use super::socket::{accept, connect, listen, tune};
use super::{is_initiator, unsupported};
use crate::Failure;
use crate::meter::Meter;
use crate::payload::{Receipt, message};
use crate::work::{Assignment, Report, Stack, Work};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Bytes of a message of the load beside which round trips are measured.
const LOAD_MESSAGE_LEN: usize = 64 * 1024;

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    match (assignment.work, is_initiator(assignment)) {
        (Work::Flow { .. } | Work::Echo { .. }, true) => work(connect(assignment)?, assignment),
        (Work::Flow { .. } | Work::Echo { .. }, false) => {
            work(accept(&listen(String::new())?, assignment)?, assignment)
        }
        (Work::FanIn { link_count, message_len, count }, true) => spread(assignment, link_count, message_len, count),
        (Work::FanIn { link_count, message_len, count }, false) => gather(assignment, link_count, message_len, count),
        (Work::LoadedEcho { message_len, count }, true) => ask_loaded(assignment, message_len, count),
        (Work::LoadedEcho { message_len, count }, false) => answer_loaded(assignment, message_len, count),
        (Work::Handshake { count, .. }, true) => dial_all(assignment, count),
        (Work::Handshake { count, .. }, false) => accept_all(assignment, count),
        _ => Err(unsupported(assignment)),
    }
}

fn work(mut stream: TcpStream, assignment: &Assignment) -> Result<Report, Failure> {
    if assignment.stack == Stack::RawSpin {
        stream.set_nonblocking(true)?;
        return blocking::run(&mut Spinning(stream), assignment);
    }
    blocking::run(&mut stream, assignment)
}

/// A non-blocking stream that tries again until it can.
struct Spinning(TcpStream);

impl Read for Spinning {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        spin(|| self.0.read(buffer))
    }
}

impl Write for Spinning {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        spin(|| self.0.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn spin(mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            other => return other,
        }
    }
}

/// Sends over many connections, a thread each.
fn spread(assignment: &Assignment, link_count: usize, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut streams = (0..link_count).map(|_| connect(assignment)).collect::<Result<Vec<_>, _>>()?;
    let meter = Meter::start();
    thread::scope(|scope| {
        let threads: Vec<_> = (streams.iter().enumerate())
            .map(|(index, mut stream)| {
                scope.spawn(move || write_messages(&mut stream, message_len, share(count, link_count, index)))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a sender panicked")?)
    })?;
    let receipt = read_receipt(&mut streams[0])?;
    receipt.check(message_len, count)?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

/// Receives from many connections, a thread each.
fn gather(assignment: &Assignment, link_count: usize, message_len: usize, count: u64) -> Result<Report, Failure> {
    let listener = listen(String::new())?;
    let mut streams = (0..link_count).map(|_| accept(&listener, assignment)).collect::<Result<Vec<_>, _>>()?;
    let meter = Meter::start();
    let receipts = thread::scope(|scope| {
        let threads: Vec<_> = (streams.iter().enumerate())
            .map(|(index, mut stream)| {
                scope.spawn(move || read_messages(&mut stream, message_len, share(count, link_count, index)))
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Receipt, Failure>>| {
            thread.join().map_err(|_| Failure::from("a receiver panicked"))?
        };
        threads.into_iter().map(join).collect::<Result<Vec<Receipt>, Failure>>()
    })?;
    let receipt = receipts.iter().fold(Receipt::default(), |sum, one| Receipt {
        len: sum.len + one.len,
        fault_count: sum.fault_count + one.fault_count,
    });
    streams[0].write_all(&receipt.encode())?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

/// How many of `count` messages go over connection `index` of `link_count`. Connections are accepted in the order in
/// which they were made.
pub(super) fn share(count: u64, link_count: usize, index: usize) -> u64 {
    let (links, index) = (link_count as u64, index as u64);
    count / links + u64::from(index < count % links)
}

/// Round trips on one connection while another is full.
fn ask_loaded(assignment: &Assignment, message_len: usize, count: u64) -> Result<Report, Failure> {
    let (mut urgent, mut bulk) = (connect(assignment)?, connect(assignment)?);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let message = message(LOAD_MESSAGE_LEN);
            // A write waits in the kernel; one that fails means that the responder is gone.
            while !is_over.load(Ordering::Relaxed) {
                if bulk.write_all(&message).is_err() {
                    break;
                }
            }
        });
        let report = ask(&mut urgent, message_len, count);
        is_over.store(true, Ordering::Relaxed);
        // The responder goes when the urgent connection ends; a load that is stuck in a write ends with it.
        drop(urgent);
        report
    })
}

fn answer_loaded(assignment: &Assignment, message_len: usize, count: u64) -> Result<Report, Failure> {
    let listener = listen(String::new())?;
    let (mut urgent, mut bulk) = (accept(&listener, assignment)?, accept(&listener, assignment)?);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; READ_LEN];
            while bulk.read(&mut buffer).is_ok_and(|len| len > 0) {}
        });
        answer(&mut urgent, message_len, count)
    })
}

/// Connections set up, used for one byte each way and ended: what a handshake costs before it says anything.
fn dial_all(assignment: &Assignment, count: u64) -> Result<Report, Failure> {
    let meter = Meter::start();
    for _ in 0..count {
        let mut stream = connect(assignment)?;
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
    }
    Ok(meter.stop())
}

fn accept_all(assignment: &Assignment, count: u64) -> Result<Report, Failure> {
    let listener = listen(String::new())?;
    let meter = Meter::start();
    for _ in 0..count {
        let (mut stream, _) = listener.accept()?;
        tune(&stream, assignment)?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
    }
    Ok(meter.stop())
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        assert_eq!((0..7).map(|index| share(100, 7, index)).sum::<u64>(), 100);
        assert_eq!((share(3, 7, 2), share(3, 7, 3)), (1, 0));
    }
}

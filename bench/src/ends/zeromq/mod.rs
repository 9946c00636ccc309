//! ZeroMQ in clear and with CURVE: DEALER sockets, because they carry messages both ways without taking turns.
//!
//! Messages are handed over with `zmq_send`, which copies them, as most programs do; received ones are looked at where
//! the library has them. The high-water marks let as many bytes wait as landline's do.

#[allow(unsafe_code, reason = "a C library, loaded at run time; every block says why it is sound")]
mod library;

use super::blocking::WARM_UP_COUNT;
use super::{announce, is_initiator, responder, unsupported};
use crate::Failure;
use crate::meter::Meter;
use crate::payload::{Receipt, Tally, message};
use crate::statistics::curve;
use crate::work::{Assignment, Ready, Report, Stack, Work};
use landline::limits::{HIGH_WATER_LEN, MESSAGE_CHARGE};
use library::{Context, Library, Message, Socket};
use std::time::Instant;

/// The library's default, and the least that is set here.
const HIGH_WATER_COUNT_MIN: usize = 1000;
/// How long a socket that is closed goes on sending what it has, in milliseconds.
const LINGER_MS: i32 = 5_000;

/// Whether the library is here, and does encrypt where it must.
pub(super) fn availability(with_curve: bool) -> Result<(), String> {
    let library = Library::load()?;
    if with_curve && !library.has(c"curve") {
        return Err("this libzmq is built without CURVE".to_owned());
    }
    Ok(())
}

pub(super) fn run(assignment: &Assignment) -> Result<Report, Failure> {
    let context = Context::new(Library::load()?)?;
    let socket = context.dealer()?;
    let len = assignment.work.message_len() + MESSAGE_CHARGE as usize;
    socket.set_high_water((HIGH_WATER_LEN / len).max(HIGH_WATER_COUNT_MIN) as i32)?;
    socket.set_linger(LINGER_MS)?;
    if is_initiator(assignment) {
        connect(&socket, assignment)?
    } else {
        bind(&socket, assignment)?
    }
    match (assignment.work, is_initiator(assignment)) {
        (Work::Flow { message_len, count }, true) => send(&socket, message_len, count),
        (Work::Flow { message_len, count }, false) => receive(&socket, message_len, count),
        (Work::Echo { message_len, count }, true) => ask(&socket, message_len, count),
        (Work::Echo { message_len, count }, false) => answer(&socket, message_len, count),
        _ => Err(unsupported(assignment)),
    }
}

/// Connects, and exchanges a message so that the connection is there when time begins to count.
fn connect(socket: &Socket<'_>, assignment: &Assignment) -> Result<(), Failure> {
    let Ready { address, secret } = responder(assignment)?;
    if assignment.stack == Stack::ZeromqCurve {
        let (public, private) = Library::load()?.curve_keys()?;
        socket.be_curve_client(secret, &public, &private)?;
    }
    socket.connect(&format!("tcp://{address}"))?;
    socket.send(b"hello")?;
    socket.receive(&mut Message::new()?)?;
    tune(assignment)
}

fn bind(socket: &Socket<'_>, assignment: &Assignment) -> Result<(), Failure> {
    let mut secret = String::new();
    if assignment.stack == Stack::ZeromqCurve {
        let (public, private) = Library::load()?.curve_keys()?;
        socket.be_curve_server(&private)?;
        secret = public;
    }
    socket.bind("tcp://127.0.0.1:*")?;
    let endpoint = socket.endpoint()?;
    let address = endpoint.strip_prefix("tcp://").ok_or("libzmq has bound something else")?.parse()?;
    announce(&Ready { address, secret })?;
    socket.receive(&mut Message::new()?)?;
    tune(assignment)?;
    socket.send(b"hello")
}

/// The congestion control that all have. The library itself sees to TCP_NODELAY.
fn tune(assignment: &Assignment) -> Result<(), Failure> {
    match &assignment.congestion {
        Some(name) => library::set_congestion(name),
        None => Ok(()),
    }
}

fn send(socket: &Socket<'_>, message_len: usize, count: u64) -> Result<Report, Failure> {
    let (text, mut last) = (message(message_len), Message::new()?);
    let meter = Meter::start();
    for _ in 0..count {
        socket.send(&text)?;
    }
    let receipt = Receipt::from_message(socket.receive(&mut last)?)?;
    receipt.check(message_len, count)?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

fn receive(socket: &Socket<'_>, message_len: usize, count: u64) -> Result<Report, Failure> {
    let (mut tally, mut message) = (Tally::new(message_len), Message::new()?);
    let meter = Meter::start();
    for _ in 0..count {
        tally.add_message(socket.receive(&mut message)?);
    }
    socket.send(&tally.receipt().encode())?;
    Ok(Report { receipt: Some(tally.receipt()), ..meter.stop() })
}

fn ask(socket: &Socket<'_>, message_len: usize, count: u64) -> Result<Report, Failure> {
    let (question, mut reply) = (message(message_len), Message::new()?);
    let mut times = Vec::with_capacity(count as usize);
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        let asked = Instant::now();
        socket.send(&question)?;
        let is_right = socket.receive(&mut reply)? == question;
        if round >= WARM_UP_COUNT {
            times.push(asked.elapsed().as_nanos() as u64);
        }
        if !is_right {
            return Err("the answer is not the question".into());
        }
    }
    let report = meter.stop();
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

fn answer(socket: &Socket<'_>, message_len: usize, count: u64) -> Result<Report, Failure> {
    let mut message = Message::new()?;
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        let text = socket.receive(&mut message)?;
        if text.len() != message_len {
            return Err("a message has another length than it was sent with".into());
        }
        socket.send(text)?;
    }
    Ok(meter.stop())
}

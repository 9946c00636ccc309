//! The works over an asynchronous stream: the same as `blocking.rs`, for tokio-rustls and quinn.

use super::blocking::{FRAME_HEAD_LEN, GATHER_LEN, GATHERED_BELOW, READ_LEN, WARM_UP_COUNT, take_frames};
use super::{is_initiator, unsupported};
use crate::Failure;
use crate::meter::Meter;
use crate::payload::{RECEIPT_LEN, Receipt, Tally, message};
use crate::statistics::curve;
use crate::work::{Assignment, Report, Work};
use std::future::Future;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};

/// Runs `future` on this thread alone.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Does a flow or an echo over the two directions of a stream.
pub(super) async fn run(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    assignment: &Assignment,
) -> Result<Report, Failure> {
    match (assignment.work, is_initiator(assignment)) {
        (Work::Flow { message_len, count }, true) => send(reader, writer, message_len, count).await,
        (Work::Flow { message_len, count }, false) => receive(reader, writer, message_len, count).await,
        (Work::Echo { message_len, count }, true) => ask(reader, writer, message_len, count).await,
        (Work::Echo { message_len, count }, false) => answer(reader, writer, message_len, count).await,
        _ => Err(unsupported(assignment)),
    }
}

async fn send(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    message_len: usize,
    count: u64,
) -> Result<Report, Failure> {
    let meter = Meter::start();
    write_messages(writer, message_len, count).await?;
    let mut bytes = [0; RECEIPT_LEN];
    reader.read_exact(&mut bytes).await?;
    let receipt = Receipt::decode(bytes);
    receipt.check(message_len, count)?;
    Ok(Report { receipt: Some(receipt), ..meter.stop() })
}

async fn write_messages(writer: &mut (impl AsyncWrite + Unpin), message_len: usize, count: u64) -> Result<(), Failure> {
    let message = message(message_len);
    if message_len >= GATHERED_BELOW {
        for _ in 0..count {
            writer.write_all(&message).await?;
        }
        return Ok(writer.flush().await?);
    }
    let framed = [&(message_len as u32).to_be_bytes()[..], &message].concat();
    let mut writer = BufWriter::with_capacity(GATHER_LEN, writer);
    for _ in 0..count {
        writer.write_all(&framed).await?;
    }
    Ok(writer.flush().await?)
}

async fn receive(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    message_len: usize,
    count: u64,
) -> Result<Report, Failure> {
    let (mut tally, expected) = (Tally::new(message_len), message_len as u64 * count);
    let (mut buffer, mut kept) = (vec![0; READ_LEN], 0);
    let meter = Meter::start();
    while tally.len() < expected {
        let len = reader.read(&mut buffer[kept..]).await?;
        if len == 0 {
            return Err("the stream ended before its last message".into());
        }
        if message_len >= GATHERED_BELOW {
            tally.add_piece(&buffer[..len]);
        } else {
            kept = take_frames(&mut buffer, kept + len, &mut tally);
        }
    }
    writer.write_all(&tally.receipt().encode()).await?;
    writer.flush().await?;
    Ok(Report { receipt: Some(tally.receipt()), ..meter.stop() })
}

async fn ask(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    message_len: usize,
    count: u64,
) -> Result<Report, Failure> {
    let (question, mut reply) = (message(message_len), vec![0; message_len]);
    let mut times = Vec::with_capacity(count as usize);
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        let asked = Instant::now();
        writer.write_all(&question).await?;
        writer.flush().await?;
        reader.read_exact(&mut reply).await?;
        if round >= WARM_UP_COUNT {
            times.push(asked.elapsed().as_nanos() as u64);
        }
        if reply != question {
            return Err("the answer is not the question".into());
        }
    }
    let report = meter.stop();
    Ok(Report { curve_ns: curve(&mut times), ..report })
}

async fn answer(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    message_len: usize,
    count: u64,
) -> Result<Report, Failure> {
    let mut message = vec![0; message_len];
    let mut meter = Meter::start();
    for round in 0..WARM_UP_COUNT + count {
        if round == WARM_UP_COUNT {
            meter = Meter::start();
        }
        reader.read_exact(&mut message).await?;
        writer.write_all(&message).await?;
        writer.flush().await?;
    }
    Ok(meter.stop())
}

/// Bytes of a frame's length and the longest gathered message fit a gathered write.
const _: () = assert!(FRAME_HEAD_LEN + GATHERED_BELOW < GATHER_LEN);

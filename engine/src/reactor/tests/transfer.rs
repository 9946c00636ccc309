//! Bytes in, bytes out: order, budgets, buffers.

use super::world::{Bench, Role, State, exchange, frame, pattern, small_config};
use crate::limits::{BLOCK_COUNT_MAX, READ_BUDGET_LEN, READ_TURN_LEN, WRITE_BUDGET_LEN, WRITE_TURN_LEN};
use crate::reactor::ReactorConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_short_write_keeps_byte_order() {
    const TOTAL: usize = 2_000_000;
    let mut config = small_config();
    config.outbox_len = 10_007;
    let mut bench: Bench = Bench::with(Role::Flood(TOTAL), config);
    let (guest, _) = bench.guest();
    guest.set_nonblocking(true).unwrap();
    read_pattern(&mut bench, &guest, TOTAL, 3000);
    drop(guest);
    bench.until_gone(1);
    bench.assert_empty();
}

#[test]
fn frames_split_at_every_byte_come_back_the_same() {
    let mut bench = Bench::new(Role::Echo);
    let (mut guest, token) = bench.guest();
    let bytes = [frame(b""), frame(b"x"), frame(&[7; 300]), frame(b"last")].concat();
    for split in 1..bytes.len() {
        let read_count = bench.reactor.stats().read_count;
        guest.write_all(&bytes[..split]).unwrap();
        bench.until("the first part is read", |bench| bench.reactor.stats().read_count > read_count);
        guest.write_all(&bytes[split..]).unwrap();
        let mut back = vec![0; bytes.len()];
        let sent = bytes.len() as u64 * split as u64;
        bench.until("the echo is written", |bench| bench.reactor.stats().bytes_out >= sent);
        guest.read_exact(&mut back).unwrap();
        assert!(back == bytes, "split at {split}");
    }
    assert!(bench.is_here(token));
    drop(guest);
    bench.until_gone(1);
    bench.assert_empty();
}

#[test]
fn a_rest_that_was_copied_out_does_not_shrink_the_outbox() {
    let mut bench: Bench = Bench::with(Role::Echo, ReactorConfig { outbox_len: 8192, ..small_config() });
    let (mut guest, _) = bench.guest();
    let large = frame(&vec![3; 300_000]);
    for _ in 0..5 {
        let mut writer = guest.try_clone().unwrap();
        let bytes = large.clone();
        let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
        guest.set_nonblocking(false).unwrap();
        let reading = {
            let mut reader = guest.try_clone().unwrap();
            let len = large.len();
            std::thread::spawn(move || {
                let mut back = vec![0; len];
                reader.read_exact(&mut back).unwrap();
                back
            })
        };
        bench.until("the echo has been read", |_| reading.is_finished());
        writing.join().unwrap();
        assert!(reading.join().unwrap() == large);
        assert_eq!(exchange(&mut bench, &mut guest, &frame(b"small")), frame(b"small"));
    }
    drop(guest);
    bench.until_gone(1);
    bench.assert_empty();
}

#[test]
fn a_fire_hose_does_not_starve_its_neighbour() {
    let mut bench = Bench::new(Role::Talk);
    let (hose, hose_token) = bench.guest();
    let (mut guest, token) = bench.guest();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let stop = stop.clone();
        std::thread::spawn(move || pour(hose, &stop))
    };
    bench.until("the hose is on", |bench| bench.reactor.stats().bytes_in > 4_000_000);
    for index in 1..=50 {
        guest.write_all(&frame(&[index as u8; 100])).unwrap();
        // Loopback delivers before write(2) returns, so the next poll has the event.
        for _ in 0..2 {
            let before = bench.reactor.stats().bytes_in;
            bench.turn();
            let read_len = bench.reactor.stats().bytes_in - before;
            assert!(read_len <= (READ_BUDGET_LEN + 104) as u64, "{read_len} bytes in one turn");
        }
        assert_eq!(bench.reactor.connections[token.index()].state.received.len(), index);
        bench.reactor.connections[hose_token.index()].state.received.clear();
    }
    stop.store(true, Ordering::Relaxed);
    bench.until("the hose has ended", |bench| bench.reactor.connections[hose_token.index()].state.eof);
    writing.join().unwrap();
    drop(guest);
    for token in [hose_token, token] {
        bench.reactor.connections[token.index()].state.finish = true;
        bench.reactor.enter().1.flush(token);
    }
    bench.until_gone(2);
    bench.assert_empty();
}

#[test]
fn a_crowd_is_served_in_turns_of_bounded_length_and_nobody_is_left_out() {
    // What each begins with waits in the kernel and is more, together, than a turn reads.
    const COUNT: usize = 32;
    const FIRST_LEN: usize = 48 * 1024;
    const { assert!(COUNT * FIRST_LEN > READ_TURN_LEN as usize) };
    let bytes = frame(&(0..1 << 20).map(pattern).collect::<Vec<u8>>());
    let mut bench = Bench::new(Role::Echo);
    let mut guests: Vec<TcpStream> = (0..COUNT).map(|_| bench.guest().0).collect();
    guests.iter_mut().for_each(|guest| guest.write_all(&bytes[..FIRST_LEN]).unwrap());
    let talking: Vec<_> = guests
        .into_iter()
        .map(|guest| {
            let bytes = bytes.clone();
            std::thread::spawn(move || hear_echo(guest, &bytes, FIRST_LEN))
        })
        .collect();
    let (mut cut_count, mut before) = (0, bench.reactor.stats());
    while talking.iter().any(|talking| !talking.is_finished()) {
        bench.turn();
        let after = bench.reactor.stats();
        assert!(after.bytes_in - before.bytes_in < READ_TURN_LEN + READ_BUDGET_LEN as u64);
        // What was left over is written before the poll, what came of it behind.
        assert!(after.bytes_out - before.bytes_out < 2 * (WRITE_TURN_LEN + WRITE_BUDGET_LEN as u64));
        cut_count += usize::from(after.bytes_in - before.bytes_in >= READ_TURN_LEN);
        before = after;
    }
    assert!(cut_count > 0, "no turn had too much to read");
    for talking in talking {
        talking.join().unwrap();
    }
    bench.until_gone(COUNT);
    bench.assert_empty();
}

/// Sends the rest of `bytes`, and checks that all of them come back meanwhile.
fn hear_echo(mut guest: TcpStream, bytes: &[u8], sent_len: usize) {
    std::thread::scope(|scope| {
        let mut reader = guest.try_clone().unwrap();
        scope.spawn(move || {
            let mut back = vec![0; bytes.len()];
            reader.read_exact(&mut back).unwrap();
            assert!(back == bytes);
        });
        guest.write_all(&bytes[sent_len..]).unwrap();
    });
}

#[test]
fn idle_connections_own_no_blocks() {
    let mut bench = Bench::new(Role::Echo);
    let mut guests: Vec<(TcpStream, _)> = (0..20).map(|_| bench.guest()).collect();
    for (guest, _) in &mut guests {
        let bytes = frame(&vec![1; 100_000]);
        let mut writer = guest.try_clone().unwrap();
        let echo = bytes.clone();
        let writing = std::thread::spawn(move || writer.write_all(&echo).unwrap());
        let goal = bench.reactor.stats().bytes_out + bytes.len() as u64;
        bench.until("the echo is written", |bench| bench.reactor.stats().bytes_out >= goal);
        writing.join().unwrap();
        let mut back = vec![0; bytes.len()];
        guest.read_exact(&mut back).unwrap();
        // An incomplete frame stays, as a short tail.
        guest.write_all(&bytes[..1000]).unwrap();
        let goal = bench.reactor.stats().bytes_in + 1000;
        bench.until("the tail is read", |bench| bench.reactor.stats().bytes_in >= goal);
    }
    assert_eq!(bench.reactor.common.pool.lent_count(), 0);
    for (_, token) in &guests {
        let connection = &mut bench.reactor.connections[token.index()];
        assert_eq!((connection.outbox.room(), connection.inbox.bytes().len()), (0, 1000));
    }
    drop(guests);
    bench.until_gone(20);
    bench.assert_empty();
}

#[test]
fn an_app_that_keeps_all_payloads_makes_blocks_scarce_until_it_lets_go() {
    let mut bench = Bench::new(Role::Talk);
    let (hose, token) = bench.guest();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let stop = stop.clone();
        std::thread::spawn(move || pour(hose, &stop))
    };
    bench.until("blocks are scarce", |bench| bench.world().scarce_count > 0);
    let held = bench.reactor.connections[token.index()].state.received.len();
    assert!(held * 65_536 >= BLOCK_COUNT_MAX * 65_536, "scarce after {held} frames already");
    stop.store(true, Ordering::Relaxed);
    bench.until("the hose has ended", |bench| bench.reactor.connections[token.index()].state.eof);
    writing.join().unwrap();
    assert!(is_scarce_for_a_reader(&mut bench));
    bench.reactor.connections[token.index()].state.received.clear();
    bench.until("blocks are plenty again", |bench| bench.reactor.common.pool.held_count() < BLOCK_COUNT_MAX / 2);
    assert!(!is_scarce_for_a_reader(&mut bench));
    bench.reactor.connections[token.index()].state.finish = true;
    bench.reactor.enter().1.flush(token);
    bench.until_gone(1);
    bench.assert_empty();
}

#[test]
fn more_dials_than_a_turn_starts_are_carried_over() {
    let mut bench = Bench::new(Role::Echo);
    let count = 2 * crate::limits::DIAL_BUDGET_COUNT + 3;
    for _ in 0..count {
        let mut state = State::new(Role::Talk);
        state.queue.push_back(frame(b"hello"));
        state.finish = true;
        bench.dial(bench.address, state);
    }
    assert!(bench.reactor.turn(None).unwrap().again, "dials are left over");
    bench.until_gone(2 * count);
    let talkers = bench.world().gone.iter().filter(|gone| gone.state.role == Role::Talk);
    assert!(talkers.map(|gone| &gone.state.received).all(|received| received[..] == [frame(b"hello")]));
    bench.assert_empty();
}

/// Whether a connection that reads next finds blocks short.
fn is_scarce_for_a_reader(bench: &mut Bench) -> bool {
    let pool = &mut bench.reactor.common.pool;
    let block = pool.take_block();
    let is_scarce = pool.is_scarce();
    pool.give_block(block);
    is_scarce
}

/// Writes frames of 64 KiB until told to stop, then ends in order.
fn pour(mut hose: TcpStream, stop: &AtomicBool) {
    let bytes = frame(&vec![9; 65_536]);
    while !stop.load(Ordering::Relaxed) {
        hose.write_all(&bytes).unwrap();
    }
}

/// Reads `total` bytes of the pattern and then the end, at most `step` between two turns.
pub(super) fn read_pattern(bench: &mut Bench, mut guest: &TcpStream, total: usize, step: usize) {
    let mut buffer = vec![0; step];
    let mut seen = 0;
    let deadline = std::time::Instant::now() + super::world::PATIENCE;
    loop {
        assert!(std::time::Instant::now() < deadline, "only {seen} of {total} bytes came");
        match guest.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                for (index, byte) in buffer[..len].iter().enumerate() {
                    assert_eq!(*byte, pattern(seen + index), "at {}", seen + index);
                }
                seen += len;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        bench.reactor.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    assert_eq!(seen, total);
}

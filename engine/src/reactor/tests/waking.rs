//! Wakes from other threads, timers, and outer event loops that watch only the descriptor and the outlook.

use super::world::{Bench, PATIENCE, Role, State, frame};
use crate::reactor::Outlook;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[test]
fn a_wake_from_another_thread_ends_a_blocked_turn_and_is_never_lost() {
    const COUNT: usize = 10_000;
    let mut bench = Bench::new(Role::Echo);
    let (heard, hears) = mpsc::channel();
    let sender = publisher(&bench, COUNT, hears);
    let mut taken = 0;
    while taken < COUNT {
        let start = Instant::now();
        bench.reactor.turn(Some(PATIENCE)).unwrap();
        assert!(start.elapsed() < PATIENCE / 2, "command {taken} was slept through");
        taken = bench.world().taken;
        let _ = heard.send(taken);
    }
    sender.join().unwrap();
    bench.assert_empty();
}

#[test]
fn a_timer_of_the_protocol_ends_a_blocked_turn() {
    let mut bench = Bench::new(Role::Echo);
    let at = Instant::now() + Duration::from_millis(30);
    bench.reactor.protocol_mut().timer = Some(at);
    bench.until("the timer fires", |bench| bench.world().timer_count == 1);
    assert!(Instant::now() >= at);
    bench.assert_empty();
}

#[test]
fn an_outer_loop_misses_no_wake() {
    const COUNT: usize = 3000;
    let mut bench = Bench::new(Role::Echo);
    let (heard, hears) = mpsc::channel();
    let mut outlook = bench.reactor.turn(Some(Duration::ZERO)).unwrap();
    let sender = publisher(&bench, COUNT, hears);
    let mut taken = 0;
    while taken < COUNT {
        outlook = outer_turn(&mut bench, outlook);
        taken = bench.world().taken;
        let _ = heard.send(taken);
    }
    sender.join().unwrap();
    bench.assert_empty();
}

#[test]
fn an_outer_loop_misses_neither_carried_over_work_nor_timers() {
    const TOTAL: usize = 20_000_000;
    let mut bench = Bench::new(Role::Flood(TOTAL));
    let mut guest = std::net::TcpStream::connect(bench.address).unwrap();
    let mut writer = guest.try_clone().unwrap();
    let reading = std::thread::spawn(move || guest.read_to_end(&mut Vec::new()).unwrap());
    let bytes = frame(&vec![1; TOTAL]);
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut outlook = bench.reactor.turn(Some(Duration::ZERO)).unwrap();
    while bench.world().gone.is_empty() {
        outlook = outer_turn(&mut bench, outlook);
    }
    assert_eq!(reading.join().unwrap(), TOTAL);
    writing.join().unwrap();
    assert_eq!(bench.world().gone[0].state.received[0].len(), TOTAL + 4);

    let at = Instant::now() + Duration::from_millis(30);
    bench.reactor.protocol_mut().timer = Some(at);
    outlook.deadline = Some(at);
    while bench.world().timer_count == 0 {
        outlook = outer_turn(&mut bench, outlook);
    }
    assert!(Instant::now() >= at);
    bench.assert_empty();
}

#[test]
fn what_is_noted_between_turns_is_done_before_the_next_one_waits() {
    let mut bench = Bench::new(Role::Echo);
    let mut state = State::new(Role::Talk);
    state.finish = true;
    bench.settle();
    bench.dial(bench.address, state);
    let start = Instant::now();
    while bench.world().gone.len() < 2 {
        bench.reactor.turn(None).unwrap();
    }
    assert!(start.elapsed() < PATIENCE);
    bench.assert_empty();
}

/// Publishes commands from another thread, mostly one at a time: the next only when the last has been taken.
fn publisher(bench: &Bench, count: usize, hears: mpsc::Receiver<usize>) -> std::thread::JoinHandle<()> {
    let published: Arc<AtomicUsize> = bench.world().published.clone();
    let wake = bench.reactor.wake();
    std::thread::spawn(move || {
        for index in 1..=count {
            published.store(index, Ordering::Relaxed);
            wake.wake();
            while index % 7 != 0 && hears.recv_timeout(PATIENCE).unwrap() < index {}
        }
    })
}

/// One pass of a loop that watches the descriptor, level-triggered, and believes the outlook.
fn outer_turn(bench: &mut Bench, outlook: Outlook) -> Outlook {
    let wait = match outlook {
        Outlook { again: true, .. } => Duration::ZERO,
        Outlook { deadline: Some(at), .. } => at.saturating_duration_since(Instant::now()),
        Outlook { deadline: None, .. } => PATIENCE,
    };
    // A fresh registration reports what is there already: that is level-triggered.
    let mut outer = Poll::new().unwrap();
    let fd = bench.reactor.as_raw_fd();
    outer.registry().register(&mut SourceFd(&fd), mio::Token(0), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(1);
    outer.poll(&mut events, Some(wait)).unwrap();
    let is_known = outlook.again || outlook.deadline.is_some();
    assert!(!events.is_empty() || is_known, "nothing happened for {PATIENCE:?}");
    bench.reactor.turn(Some(Duration::ZERO)).unwrap()
}

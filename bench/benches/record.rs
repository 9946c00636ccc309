//! Sealing and opening records, through the smallest public way in: a link seals one message into a buffer, a session
//! opens it. What this takes beyond the cipher itself is nonces, headers and one frame.

mod pair;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use pair::{Pair, Stage};
use std::time::Duration;

/// A message each: too small to be worth a record, small, and a record's most.
const LENS: [usize; 4] = [64, 1024, 16 * 1024, 64 * 1024];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("record");
    for len in LENS {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            bencher.iter_custom(|count| stages(count, len).0);
        });
        group.bench_function(BenchmarkId::new("open", len), |bencher| {
            bencher.iter_custom(|count| stages(count, len).1);
        });
    }
    group.finish();
    criterion.final_summary();
}

/// Sends `count` messages, one in a record, and gives the time of all sealing and of all opening.
fn stages(count: u64, len: usize) -> (Duration, Duration) {
    let (mut pair, message) = (Pair::new(), Bytes::from(vec![7; len]));
    let (mut sealing, mut opening) = (Stage::default(), Stage::default());
    for _ in 0..count {
        pair.queue(message.clone());
        let sealed_len = sealing.run(|| pair.seal());
        pair.carry(sealed_len);
        let record = opening.run(|| pair.open());
        record.into_iter().for_each(|record| assert_eq!(pair.take(record), 1));
        pair.give_back();
    }
    (sealing.total(), opening.total())
}

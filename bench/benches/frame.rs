//! Packing small messages into records and reading them out again: what a message costs that does not travel alone.

mod pair;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use pair::{Pair, Stage};
use std::time::Duration;

/// Messages that wait together: with their frames they fit one record.
const MESSAGE_COUNT: u64 = 128;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("frame");
    for len in [0, 16, 64, 256] {
        group.throughput(Throughput::Elements(MESSAGE_COUNT));
        group.bench_function(BenchmarkId::new("pack and seal 128", len), |bencher| {
            bencher.iter_custom(|count| stages(count, len).0);
        });
        group.bench_function(BenchmarkId::new("read 128", len), |bencher| {
            bencher.iter_custom(|count| stages(count, len).1);
        });
    }
    group.finish();
    criterion.final_summary();
}

/// Sends `count` records full of messages, and gives the time of all packing (with sealing) and of all reading (without
/// opening).
fn stages(count: u64, len: usize) -> (Duration, Duration) {
    let (mut pair, message) = (Pair::new(), Bytes::from(vec![7; len]));
    let (mut packing, mut reading) = (Stage::default(), Stage::default());
    for _ in 0..count {
        for _ in 0..MESSAGE_COUNT {
            pair.queue(message.clone());
        }
        let sealed_len = packing.run(|| pair.seal());
        pair.carry(sealed_len);
        let mut taken = 0;
        while let Some(record) = pair.open() {
            taken += reading.run(|| pair.take(record));
        }
        assert_eq!(taken as u64, MESSAGE_COUNT);
        pair.give_back();
    }
    (packing.total(), reading.total())
}

//! The whole way of messages from one link to another and of their credit back, without sockets: queue, pack, seal, carry
//! (one copy, in place of the kernel's two), open, read, take.

mod pair;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use pair::Pair;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("link pair");
    for (message_count, len) in [(1, 64), (128, 64), (32, 1024), (1, 64 * 1024)] {
        let message = Bytes::from(vec![7; len]);
        let mut pair = Pair::new();
        group.throughput(Throughput::Bytes((message_count * len) as u64));
        group.bench_function(BenchmarkId::new(format!("{message_count} messages"), len), |bencher| {
            bencher.iter(|| {
                for _ in 0..message_count {
                    pair.queue(message.clone());
                }
                let sealed_len = pair.seal();
                pair.carry(sealed_len);
                assert_eq!(pair.take_all(), message_count);
                pair.give_back();
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

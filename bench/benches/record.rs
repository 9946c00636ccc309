//! Sealing and opening records, through the smallest public way in: a link seals into a buffer, a session opens it.
//! Beside the cipher alone (`gcm`), the difference is nonces, headers, frames and credit.

mod pair;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pair::Pair;
use std::hint::black_box;

fn seal_and_open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    for len in [64, 1024, 16 * 1024, 64 * 1024] {
        let message = Bytes::from(vec![7; len]);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("seal and open", len), |bencher| {
            let mut pair = Pair::new();
            bencher.iter(|| {
                pair.queue(message.clone());
                let record = pair.seal();
                black_box(pair.open(record));
            });
        });
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            let mut pair = Pair::new();
            bencher.iter_custom(|count| {
                pair.time_of(count, &message, |pair, clock| {
                    let record = clock.run(|| pair.seal());
                    pair.deliver(record);
                })
            });
        });
        group.bench_function(BenchmarkId::new("open", len), |bencher| {
            let mut pair = Pair::new();
            bencher.iter_custom(|count| {
                pair.time_of(count, &message, |pair, clock| {
                    let record = pair.seal();
                    let opened = clock.run(|| pair.open(record));
                    pair.take(opened);
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal_and_open);
criterion_main!(benches);

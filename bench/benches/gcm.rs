//! AES-256-GCM, 16 B to 64 KiB: each of our implementations that this machine has, and with the feature `rivals` those
//! of three libraries.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use landline::crypto::gcm::Implementation;
#[cfg(feature = "rivals")]
use landline_bench::gcm::{AwsLc, Graviola, Ring};
use landline_bench::gcm::{Cipher, Ours};
use std::hint::black_box;

const LENS: [usize; 7] = [16, 64, 256, 1024, 4096, 16_384, 65_536];

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn gcm(criterion: &mut Criterion) {
    for (name, bench) in [("seal", seal as fn(&mut Group<'_>)), ("seal-open", seal_open), ("copy", copy)] {
        bench(&mut criterion.benchmark_group(format!("gcm/{name}")));
    }
    let mut group = criterion.benchmark_group("gcm/key");
    for implementation in Implementation::available() {
        group.bench_function(implementation.name(), |bencher| bencher.iter(|| Ours::new(black_box(implementation))));
    }
}

/// Calls a function for each implementation there is.
macro_rules! for_each_cipher {
    ($function:ident, $group:expr) => {
        for implementation in Implementation::available() {
            $function::<Ours>($group, implementation.name(), implementation);
        }
        #[cfg(feature = "rivals")]
        {
            $function::<AwsLc>($group, "aws-lc-rs", ());
            $function::<Ring>($group, "ring", ());
            $function::<Graviola>($group, "graviola", ());
        }
    };
}

fn seal(group: &mut Group<'_>) {
    fn one<C: Cipher>(group: &mut Group<'_>, name: &str, kind: C::Kind) {
        let cipher = C::new(kind);
        for len in LENS {
            let mut text = vec![0; len];
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| cipher.seal([7; 12], black_box(&mut text)));
            });
        }
    }
    for_each_cipher!(one, group);
}

/// Both, since a text can be opened only once.
fn seal_open(group: &mut Group<'_>) {
    fn one<C: Cipher>(group: &mut Group<'_>, name: &str, kind: C::Kind) {
        let cipher = C::new(kind);
        for len in LENS {
            let mut buffer = vec![0; len + 16];
            group.throughput(Throughput::Bytes(2 * len as u64));
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| {
                    let (text, tag) = buffer.split_at_mut(len);
                    tag.copy_from_slice(&cipher.seal([7; 12], black_box(text)));
                    cipher.open([7; 12], black_box(&mut buffer))
                });
            });
        }
    }
    for_each_cipher!(one, group);
}

fn copy(group: &mut Group<'_>) {
    fn one<C: Cipher>(group: &mut Group<'_>, name: &str, kind: C::Kind) {
        let cipher = C::new(kind);
        for len in LENS {
            let (body, mut dst) = (vec![0; len - 16], vec![0; len]);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| cipher.seal_to([7; 12], &[1; 16], black_box(&body), black_box(&mut dst)));
            });
        }
    }
    for_each_cipher!(one, group);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    gcm(&mut criterion);
    criterion.final_summary();
}

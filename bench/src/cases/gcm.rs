//! The cipher by itself, in this process: ours beside each library, and our implementations where one of them has to hold
//! something by itself.

use crate::contest::{Contestant, Metric, Pair, Sample};
#[cfg(feature = "rivals")]
use crate::gcm::{AwsLc, Graviola, Ring};
use crate::gcm::{Cipher, Operation, Ours, best_time};
use crate::setup::on_cores;
use landline::crypto::gcm::Implementation;

const KIB: usize = 1024;
const OPERATIONS: [Operation; 15] = [
    Operation::Seal(64),
    Operation::Chain(64),
    Operation::Open(64),
    Operation::Copy(64),
    Operation::Seal(256),
    Operation::Seal(KIB),
    Operation::Open(KIB),
    Operation::Copy(KIB),
    Operation::Seal(16 * KIB),
    Operation::Open(16 * KIB),
    Operation::Copy(16 * KIB),
    Operation::Seal(64 * KIB),
    Operation::Open(64 * KIB),
    Operation::Copy(64 * KIB),
    Operation::KeySetUp,
];

/// There are many pairs, and what is measured here is steady: a tenth of what other cases take.
const SHARE: u32 = 10;

pub(super) fn gcm() -> Vec<Pair> {
    let best = Implementation::chosen();
    let mut pairs = Vec::new();
    for operation in OPERATIONS {
        #[cfg(feature = "rivals")]
        pairs.extend([
            pair(best, operation, "aws-lc-rs", measure::<AwsLc>((), operation)),
            pair(best, operation, "ring", measure::<Ring>((), operation)),
            pair(best, operation, "graviola", measure::<Graviola>((), operation)),
        ]);
        pairs.push(pair(best, operation, "aes + ghash", measure::<Ours>(Implementation::Portable, operation)));
    }
    pairs.push(key_set_up(best));
    let narrow = [Implementation::Narrow128, Implementation::Narrow256];
    pairs.extend(Implementation::available().filter(|ours| narrow.contains(ours)).flat_map(of_narrow));
    pairs
}

/// What the narrow ones are compared with, named: they are the best elsewhere.
fn of_narrow(ours: Implementation) -> Vec<Pair> {
    let operation = Operation::Seal(16 * KIB);
    let others = [
        #[cfg(feature = "rivals")]
        pair(ours, operation, "ring", measure::<Ring>((), operation)),
        pair(ours, operation, "aes + ghash", measure::<Ours>(Implementation::Portable, operation)),
    ];
    others.into_iter().map(|pair| Pair { detail: format!("{ours} {}", pair.detail), ..pair }).collect()
}

/// Making a key beside sealing 64 bytes with the portable one: what a key that is used once costs.
fn key_set_up(best: Implementation) -> Pair {
    let theirs = measure::<Ours>(Implementation::Portable, Operation::Seal(64));
    Pair { detail: "key set-up, rival seal 64".to_owned(), ..pair(best, Operation::KeySetUp, "aes + ghash", theirs) }
}

fn pair(ours: Implementation, operation: Operation, rival: &'static str, theirs: Contestant) -> Pair {
    let metric = if throughput_len(operation).is_some() { Metric::Throughput } else { Metric::CallTime };
    Pair { detail: operation.to_string(), rival, metric, ours: measure::<Ours>(ours, operation), theirs }
}

/// Long texts are a matter of bytes a second, short ones of nanoseconds a call.
fn throughput_len(operation: Operation) -> Option<usize> {
    match operation {
        Operation::Seal(len) | Operation::Open(len) | Operation::Copy(len) if len >= KIB => Some(len),
        _ => None,
    }
}

fn measure<C: Cipher>(kind: C::Kind, operation: Operation) -> Contestant
where
    C::Kind: Send + 'static,
{
    Contestant::Here(Box::new(move |setup| {
        let length = setup.length / SHARE;
        let value = on_cores(setup.responder_core.as_slice(), move || best_time::<C>(kind, operation, length))?;
        let value = throughput_len(operation).map_or(value * 1e9, |len| len as f64 / value / 1e9);
        Ok(Sample { value, ..Sample::default() })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Setup;
    use landline::Profile;
    use std::time::Duration;

    #[test]
    fn a_sample_is_in_its_unit() {
        let Contestant::Here(seal) = measure::<Ours>(Implementation::Portable, Operation::Seal(16 * KIB)) else {
            panic!("measured here")
        };
        let setup = Setup::new(Duration::from_millis(20), Profile::Balanced).expect("this program");
        let value = seal(&setup).expect("a core").value;
        assert!(value > 0.001 && value < 1000.0, "{value} GB/s");
    }
}

//! Two contestants in turn: A B A B, a ratio for each round.
//!
//! A contestant is warmed up once, which also tells how much work fills a measurement. Then each round measures ours and
//! theirs one after the other, so that what else happens on the machine happens to both.

use crate::Failure;
use crate::children::{Reports, measure};
use crate::setup::Setup;
use crate::statistics::{Better, P50, P99, Spread, ratio};
use crate::work::{Stack, Work};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Over and above the length of a measurement: for connecting, for slow starts, for 10,000 handshakes.
const GRACE: Duration = Duration::from_secs(60);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Bytes of messages in a second.
    Throughput,
    /// Messages in a second.
    Rate,
    /// Requests in a second.
    RequestRate,
    /// The median round trip.
    LatencyP50,
    /// The 99th percentile of round trips.
    LatencyP99,
    /// Processor time of both ends for one connection.
    HandshakeCpu,
    /// Memory for each link at the end that listens.
    LinkMemory,
    /// One call of a function.
    CallTime,
    /// From the beginning of a copy to its end.
    CopyTime,
    /// Of the end that needs more.
    PeakMemory,
}

impl Metric {
    /// What its values are in.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::Throughput => "GB/s",
            Metric::Rate => "M/s",
            Metric::RequestRate => "k/s",
            Metric::LatencyP50 => "µs p50",
            Metric::LatencyP99 => "µs p99",
            Metric::HandshakeCpu => "µs cpu",
            Metric::LinkMemory => "B",
            Metric::CallTime => "ns",
            Metric::CopyTime => "s",
            Metric::PeakMemory => "MiB",
        }
    }

    /// What processor time is in: seconds or microseconds for each of something.
    pub fn cpu_unit(self) -> &'static str {
        match self {
            Metric::Throughput | Metric::CopyTime => "s/GB",
            Metric::Rate | Metric::PeakMemory => "s/M",
            Metric::RequestRate => "µs",
            Metric::LatencyP50 | Metric::LatencyP99 => "µs/trip",
            Metric::HandshakeCpu | Metric::LinkMemory => "µs/link",
            Metric::CallTime => "ns/call",
        }
    }

    /// Which way it is better.
    pub fn better(self) -> Better {
        match self {
            Metric::Throughput | Metric::Rate | Metric::RequestRate => Better::More,
            _ => Better::Less,
        }
    }

    /// Processor time of `seconds` for `work`, in [`cpu_unit`](Metric::cpu_unit).
    fn cpu(self, seconds: f64, work: Work) -> f64 {
        match self {
            Metric::Throughput | Metric::CopyTime => seconds / gigabytes(work),
            // Seconds for a million of something are microseconds for each.
            _ => seconds / millions(work),
        }
    }

    fn value(self, reports: &Reports, work: Work) -> f64 {
        let (initiator, responder) = (&reports.initiator, &reports.responder);
        let latency = |point: usize| initiator.curve_ns.get(point).map_or(0.0, |&ns| ns as f64 / 1e3);
        match self {
            Metric::Throughput => gigabytes(work) / initiator.seconds,
            Metric::Rate => millions(work) / initiator.seconds,
            Metric::RequestRate => millions(work) * 1e3 / initiator.seconds,
            Metric::LatencyP50 => latency(P50),
            Metric::LatencyP99 => latency(P99),
            Metric::HandshakeCpu => (initiator.cpu_seconds + responder.cpu_seconds) / millions(work),
            Metric::LinkMemory => responder.links_len as f64 / work.count() as f64,
            Metric::CallTime => initiator.seconds * 1e3 / millions(work),
            Metric::CopyTime => initiator.seconds,
            Metric::PeakMemory => initiator.peak_len.max(responder.peak_len) as f64 / f64::from(1 << 20),
        }
    }
}

fn gigabytes(work: Work) -> f64 {
    work.all_len() as f64 / 1e9
}

fn millions(work: Work) -> f64 {
    work.count() as f64 / 1e6
}

/// What one measurement of one contestant gives. Pairs are initiator, responder; both 0 where there is only one process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// In the metric's unit.
    pub value: f64,
    /// Processor time of each end, in the metric's unit for that.
    pub cpu: [f64; 2],
    /// Most memory of each end, in bytes.
    pub peak_len: [u64; 2],
    /// Round trips at the points of `statistics::CURVE`, in nanoseconds.
    pub curve_ns: Vec<u64>,
}

/// Which build of this program an end is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// This one.
    Sealed,
    /// The one whose cipher does nothing.
    Null,
}

/// Measures for about as long as the setup says, in this process: for what needs no two ends.
pub type MeasureHere = Box<dyn Fn(&Setup) -> Result<Sample, Failure>>;

/// One side of a comparison.
pub enum Contestant {
    /// Two processes on loopback.
    Ends(Stack, Work, Build),
    /// A function of this program.
    Here(MeasureHere),
    /// A figure to hold, which nobody measures.
    Figure(f64),
}

impl fmt::Debug for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Ends(stack, work, build) => write!(f, "{stack:?} {work:?} {build:?}"),
            Contestant::Here(_) => f.write_str("Here"),
            Contestant::Figure(value) => write!(f, "Figure({value})"),
        }
    }
}

/// Ours beside one rival.
#[derive(Debug)]
pub struct Pair {
    /// A size, an operation, a count.
    pub detail: String,
    /// Whom we are beside.
    pub rival: &'static str,
    /// What is compared.
    pub metric: Metric,
    /// landline.
    pub ours: Contestant,
    /// The rival.
    pub theirs: Contestant,
}

/// What the rounds of one pair have given.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the case.
    pub case: &'static str,
    /// See [`Pair`].
    pub detail: String,
    /// See [`Pair`].
    pub rival: &'static str,
    /// See [`Pair`].
    pub metric: Metric,
    /// Ours, a sample for each round.
    pub ours: Vec<Sample>,
    /// Theirs, a sample for each round.
    pub theirs: Vec<Sample>,
}

impl Outcome {
    /// How many times better ours is, over the rounds: each round's two samples are of the same minute.
    pub fn ratio(&self) -> Spread {
        let better = self.metric.better();
        Spread::of(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ratio(ours.value, theirs.value, better)))
    }
}

/// The median of something over samples.
pub fn median(samples: &[Sample], what: impl Fn(&Sample) -> f64) -> f64 {
    Spread::of(samples.iter().map(what)).median
}

/// Plays `rounds` rounds.
///
/// # Errors
/// What one of the two says when it fails, with its name.
pub fn play(case: &'static str, pair: Pair, setup: &Setup, rounds: usize) -> Result<Outcome, Failure> {
    let Pair { detail, rival, metric, mut ours, mut theirs } = pair;
    let name_it = |who: &str, error: Failure| format!("{case} {detail}: {who}: {error}");
    calibrate(&mut ours, setup).map_err(|error| name_it("landline", error))?;
    calibrate(&mut theirs, setup).map_err(|error| name_it(rival, error))?;
    let mut outcome = Outcome { case, detail: detail.clone(), rival, metric, ours: Vec::new(), theirs: Vec::new() };
    for _ in 0..rounds {
        outcome.ours.push(sample(&ours, metric, setup).map_err(|error| name_it("landline", error))?);
        outcome.theirs.push(sample(&theirs, metric, setup).map_err(|error| name_it(rival, error))?);
    }
    Ok(outcome)
}

/// A short run, to warm up and to find how much work fills a measurement.
fn calibrate(contestant: &mut Contestant, setup: &Setup) -> Result<(), Failure> {
    let Contestant::Ends(stack, work, build) = contestant else { return Ok(()) };
    if work.is_of_one_size() {
        return Ok(());
    }
    let report = measure(program(setup, *build)?, setup, *stack, *work, setup.length + GRACE)?.initiator;
    let factor = setup.length.as_secs_f64() / report.seconds.max(1e-6);
    *work = work.with_count((work.count() as f64 * factor) as u64);
    Ok(())
}

fn sample(contestant: &Contestant, metric: Metric, setup: &Setup) -> Result<Sample, Failure> {
    let (stack, work, build) = match contestant {
        Contestant::Figure(value) => return Ok(Sample { value: *value, ..Sample::default() }),
        Contestant::Here(function) => return function(setup),
        Contestant::Ends(stack, work, build) => (*stack, *work, *build),
    };
    let reports = measure(program(setup, build)?, setup, stack, work, setup.length + GRACE)?;
    let Reports { initiator, responder } = &reports;
    let work = initiator.count.map_or(work, |count| work.with_count(count));
    Ok(Sample {
        value: metric.value(&reports, work),
        cpu: [metric.cpu(initiator.cpu_seconds, work), metric.cpu(responder.cpu_seconds, work)],
        peak_len: [initiator.peak_len, responder.peak_len],
        curve_ns: initiator.curve_ns.clone(),
    })
}

fn program(setup: &Setup, build: Build) -> Result<&Path, Failure> {
    match build {
        Build::Sealed => Ok(&setup.program),
        Build::Null => Ok(setup.null_program.as_deref().ok_or("the null build was not made")?),
    }
}

//! What a process uses, this one or a program that is not ours: time, processor time, memory. Linux's own figures, read
//! without `unsafe`.

use crate::work::Report;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Runs from the first message to the last answer.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu: Duration,
    whom: Whom,
}

/// Whose use is measured.
#[derive(Clone, Copy, Debug)]
enum Whom {
    /// This process.
    This,
    /// Another one.
    Other(u32),
    /// Processes that have ended and that this one, or another, had started.
    CollectedBy(Option<u32>),
}

impl Meter {
    /// Begins to measure this process.
    pub fn start() -> Meter {
        Meter::start_for(Whom::This)
    }

    /// Begins to measure another one, from outside.
    pub fn start_of(pid: u32) -> Meter {
        Meter::start_for(Whom::Other(pid))
    }

    /// Begins to measure what those use that `pid`, or this process, has started and whose end it has seen when the meter
    /// is stopped; with all that these have started themselves. To the hundredth of a second; no memory.
    pub fn start_of_collected(pid: Option<u32>) -> Meter {
        Meter::start_for(Whom::CollectedBy(pid))
    }

    fn start_for(whom: Whom) -> Meter {
        Meter { started: Instant::now(), cpu: processor_time(whom), whom }
    }

    /// What has been used since the start.
    pub fn stop(&self) -> Report {
        Report {
            seconds: self.started.elapsed().as_secs_f64(),
            // A process that has gone says nothing any more.
            cpu_seconds: processor_time(self.whom).saturating_sub(self.cpu).as_secs_f64(),
            peak_len: match self.whom {
                Whom::This => memory(None, "VmHWM:"),
                Whom::Other(pid) => memory(Some(pid), "VmHWM:"),
                Whom::CollectedBy(_) => 0,
            },
            ..Report::default()
        }
    }
}

/// Processor time in user space and kernel: of all threads of this process, of the first thread of another, of all that
/// had been started; nothing where the system does not tell.
fn processor_time(whom: Whom) -> Duration {
    match whom {
        Whom::This => {
            let time = clock_gettime(ClockId::ProcessCPUTime);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        }
        Whom::Other(pid) => {
            let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
            Duration::from_nanos(text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
        }
        Whom::CollectedBy(pid) => {
            collected(&std::fs::read_to_string(format!("/proc/{}/stat", name(pid))).unwrap_or_default())
        }
    }
}

/// The times of collected processes in a `stat` of Linux: the 16th and 17th field, of which the second is a name in brackets
/// that may hold anything. In ticks, of which a second has 100 on every platform.
fn collected(stat: &str) -> Duration {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// How a process is called in `/proc`.
fn name(pid: Option<u32>) -> String {
    pid.map_or("self".to_owned(), |pid| pid.to_string())
}

/// Memory that is this process's own, not a file's: what its links add to when there are more of them.
pub fn own_memory() -> u64 {
    memory(None, "RssAnon:")
}

/// A line of a process's status, in bytes; 0 where there is none.
fn memory(pid: Option<u32>, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", name(pid))).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_knows_what_it_uses() {
        let meter = Meter::start();
        let kept: Vec<u8> = vec![1; 8 << 20];
        assert!(own_memory() >= 8 << 20);
        assert_eq!(kept.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 8 << 20);
        let report = meter.stop();
        assert!(report.peak_len >= 8 << 20);
        assert!(report.seconds > 0.0 && report.cpu_seconds > 0.0);
    }

    #[test]
    fn the_times_of_collected_processes_stand_behind_any_name() {
        let stat = "7 (a) b 1) S 1 7 7 0 -1 4194560 1 2 3 4 500 600 12 30 20 0 1 0 0\n";
        assert_eq!(collected(stat), Duration::from_millis(420));
        assert_eq!(collected(""), Duration::ZERO);
    }
}

//! What a process can say of itself: time, processor time, memory. Linux's own figures, read without `unsafe`.

use crate::work::Report;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Runs from the first message to the last answer.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    /// Begins to measure.
    pub fn start() -> Meter {
        Meter { started: Instant::now(), cpu: processor_time() }
    }

    /// What has been used since the start.
    pub fn stop(&self) -> Report {
        Report {
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: (processor_time() - self.cpu).as_secs_f64(),
            peak_len: memory("self", "VmHWM:"),
            ..Report::default()
        }
    }
}

/// Processor time of all threads of this process, in user space and kernel.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Another process, that of a program that is not ours, from outside.
#[derive(Debug)]
pub struct OutsideMeter {
    started: Instant,
    pid: u32,
    cpu: Duration,
}

impl OutsideMeter {
    /// Begins to measure the process `pid`.
    pub fn start(pid: u32) -> OutsideMeter {
        OutsideMeter { started: Instant::now(), pid, cpu: processor_time_of(pid) }
    }

    /// What it has used since the start.
    pub fn stop(&self) -> Report {
        Report {
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: (processor_time_of(self.pid) - self.cpu).as_secs_f64(),
            peak_len: memory(&self.pid.to_string(), "VmHWM:"),
            ..Report::default()
        }
    }
}

/// Processor time of the first thread of a process; nothing where the system does not tell.
fn processor_time_of(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
}

/// Memory that is this process's own, not a file's: what its links add to when there are more of them.
pub fn own_memory() -> u64 {
    memory("self", "RssAnon:")
}

/// A line of a process's status, in bytes; 0 where there is none.
fn memory(process: &str, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
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
}

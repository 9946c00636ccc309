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
    /// Whom; `None`: this process.
    pid: Option<u32>,
}

impl Meter {
    /// Begins to measure this process.
    pub fn start() -> Meter {
        Meter { started: Instant::now(), cpu: processor_time(None), pid: None }
    }

    /// Begins to measure another one, from outside.
    pub fn start_of(pid: u32) -> Meter {
        Meter { started: Instant::now(), cpu: processor_time(Some(pid)), pid: Some(pid) }
    }

    /// What has been used since the start.
    pub fn stop(&self) -> Report {
        Report {
            seconds: self.started.elapsed().as_secs_f64(),
            // A process that has gone says nothing any more.
            cpu_seconds: processor_time(self.pid).saturating_sub(self.cpu).as_secs_f64(),
            peak_len: memory(self.pid, "VmHWM:"),
            ..Report::default()
        }
    }
}

/// Processor time in user space and kernel: of all threads of this process, of the first thread of another; nothing where
/// the system does not tell.
fn processor_time(pid: Option<u32>) -> Duration {
    let Some(pid) = pid else {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        return Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    };
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
}

/// Memory that is this process's own, not a file's: what its links add to when there are more of them.
pub fn own_memory() -> u64 {
    memory(None, "RssAnon:")
}

/// A line of a process's status, in bytes; 0 where there is none.
fn memory(pid: Option<u32>, key: &str) -> u64 {
    let process = pid.map_or("self".to_owned(), |pid| pid.to_string());
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

//! The progress of a file on one line of a terminal: share, bytes, rate, time left. Nothing where stderr is no terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use landline_services::files::Progress;

use crate::terminal;
use crate::units;

/// How often the line is drawn: smooth to the eye, cheap for the terminal.
pub(crate) const REDRAW: Duration = Duration::from_millis(100);
/// Rates are taken over at least so long, so that they do not flicker.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// A progress line. `drawn` tells whether something has to be wiped.
pub(crate) struct ProgressLine {
    name: String,
    started: Instant,
    /// Where the rate's window began: when, and at how many bytes.
    window: (Instant, u64),
    rate: f64,
    next_draw: Instant,
    drawn: bool,
}

impl ProgressLine {
    /// A line for the file `name`, made harmless already.
    pub(crate) fn new(name: &str, now: Instant) -> Self {
        let window = (now, 0);
        Self { name: name.to_owned(), started: now, window, rate: 0.0, next_draw: now + REDRAW, drawn: false }
    }

    /// Draws it anew if it is time.
    pub(crate) fn update(&mut self, progress: Progress, now: Instant) {
        if now < self.next_draw {
            return;
        }
        self.next_draw = now + REDRAW;
        self.measure(progress.done_len, now);
        if let Some(width) = terminal::stderr_width() {
            let line = self.line(progress, width);
            self.drawn = true;
            // A terminal that is gone is noticed by what follows.
            let _ = write!(io::stderr(), "\r{line}\u{1b}[K");
            let _ = io::stderr().flush();
        }
    }

    /// Wipes it.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }

    fn measure(&mut self, done_len: u64, now: Instant) {
        let (since, len) = self.window;
        let time = now - since;
        if time >= RATE_WINDOW || self.rate == 0.0 || now - self.started < RATE_WINDOW {
            self.rate = units::per_second(done_len.saturating_sub(len), time);
        }
        if time >= RATE_WINDOW {
            self.window = (now, done_len);
        }
    }

    fn line(&self, progress: Progress, width: usize) -> String {
        let mut facts = units::size(progress.done_len);
        if let Some(size) = progress.size {
            let share = progress.done_len.saturating_mul(100).checked_div(size).unwrap_or(100);
            facts = format!("{share:3}% of {}", units::size(size));
        }
        facts += &format!("  {}/s", units::size(self.rate as u64));
        if let Some(left) = self.time_left(progress) {
            facts += &format!("  {} left", units::time(left));
        }
        // On a narrow terminal the name gives way first, then the end of the facts.
        let name_width = width.saturating_sub(facts.len() + 3);
        let name: String = self.name.chars().take(name_width).collect();
        format!("{name}  {facts}").trim_start().chars().take(width.saturating_sub(1)).collect()
    }

    fn time_left(&self, progress: Progress) -> Option<Duration> {
        let left = progress.size?.checked_sub(progress.done_len)?;
        (self.rate >= 1.0).then(|| Duration::from_secs_f64((left as f64 / self.rate).min(1e9)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_every_terminal() {
        let now = Instant::now();
        let mut line = ProgressLine::new("a rather long name of a file.tar.gz", now);
        line.measure(100 << 20, now + Duration::from_secs(1));
        let progress = Progress { done_len: 100 << 20, size: Some(1 << 30) };
        let wide = line.line(progress, 100);
        assert!(
            wide.starts_with("a rather long name of a file.tar.gz    9% of 1.00 GiB  100.0 MiB/s  9.2 s left"),
            "{wide}"
        );
        for width in 20..100 {
            assert!(line.line(progress, width).chars().count() < width);
        }
    }

    #[test]
    fn an_unknown_size_has_no_time_left() {
        let line = ProgressLine::new("stream", Instant::now());
        assert_eq!(line.time_left(Progress { done_len: 5, size: None }), None);
        assert_eq!(line.line(Progress { done_len: 5, size: None }, 80), "stream  5 B  0 B/s");
    }
}

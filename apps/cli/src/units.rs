//! Sizes, rates and times as people write and read them.

use std::time::Duration;

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// A size with at most four digits: `1.5 GiB`.
pub(crate) fn size(len: u64) -> String {
    let Some((unit, shift)) = UNITS.iter().find(|(_, shift)| len >> shift > 0) else {
        return format!("{len} B");
    };
    let value = len as f64 / (1u64 << shift) as f64;
    if value < 10.0 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A rate: `1.20 GiB/s`.
pub(crate) fn rate(len: u64, time: Duration) -> String {
    format!("{}/s", size(per_second(len, time) as u64))
}

/// Bytes per second; 0 when no time has passed.
pub(crate) fn per_second(len: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { len as f64 / time.as_secs_f64() }
}

/// A time: `0.8 s`, `2:05`, `1:00:09`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// Parses bytes: a number, alone or with K, M, G, T (powers of 1024; `KiB` and so on too) or KB, MB, GB, TB (of 1000).
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a size is a number such as 1073741824, 64MiB or 2GB".to_owned())?;
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("{unit:?} is no unit of size; KiB, MiB, GiB and TiB are, and KB, MB, GB, TB")),
    };
    number.checked_mul(factor).ok_or_else(|| "that is more than a file can hold".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1 << 30, "1.00 GiB"), (50 << 40, "50.0 TiB")];
        for (len, text) in cases {
            assert_eq!(size(len), text);
        }
        assert_eq!(rate(3 << 20, Duration::from_secs(2)), "1.50 MiB/s");
        assert_eq!(rate(1, Duration::ZERO), "0 B/s");
    }

    #[test]
    fn times_read_well() {
        let cases = [(0.84, "0.8 s"), (59.9, "59.9 s"), (125.0, "2:05"), (3609.0, "1:00:09")];
        for (seconds, text) in cases {
            assert_eq!(time(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn sizes_are_parsed_with_and_without_units() {
        let cases = [("0", 0), ("10", 10), ("1GiB", 1 << 30), ("1g", 1 << 30), ("2 MB", 2_000_000), ("3k", 3072)];
        for (text, len) in cases {
            assert_eq!(parse_size(text), Ok(len), "{text}");
        }
        for text in ["", "x", "-1", "1.5", "1 XB", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}

//! JSON written straight into text. What is answered most often is put together here, without a tree of values in between;
//! everything else goes through `serde_json`, which writes the same.

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// What each byte stands for as a digit; 255 where it is none.
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([255; 256], 0);
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
/// Digits of the largest u64.
const DECIMAL_LEN_MAX: usize = 20;

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.reserve(text.len() + text.len() / 4 + 2);
    out.push('"');
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        // Bytes of longer characters are above all that is escaped, so that the cuts are between characters.
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..index]);
        start = index + 1;
        push_escape(out, byte);
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// Appends bytes in lower-case hexadecimal digits.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    out.reserve(2 * bytes.len());
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// What as many lower-case hexadecimal digits as there is room for stand for.
pub(crate) fn unhex<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    if text.len() != 2 * LEN {
        return None;
    }
    let (mut bytes, mut faults) = ([0; LEN], 0);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = [VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]];
        faults |= high | low;
        *byte = high << 4 | low;
    }
    (faults < 16).then_some(bytes)
}

/// Appends a number in decimal digits.
pub(crate) fn push_number(out: &mut String, number: u64) {
    out.push_str(Decimal::of(number).as_str());
}

/// A number in decimal digits: those from `start` on.
pub(crate) struct Decimal {
    digits: [u8; DECIMAL_LEN_MAX],
    start: usize,
}

impl Decimal {
    pub(crate) fn of(number: u64) -> Decimal {
        let (mut digits, mut start, mut rest) = ([b'0'; DECIMAL_LEN_MAX], DECIMAL_LEN_MAX, number);
        while rest > 0 || start == DECIMAL_LEN_MAX {
            start -= 1;
            digits[start] += (rest % 10) as u8;
            rest /= 10;
        }
        Decimal { digits, start }
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits are UTF-8.
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or_default()
    }
}

fn push_escape(out: &mut String, byte: u8) {
    out.push('\\');
    match byte {
        b'"' | b'\\' => out.push(char::from(byte)),
        b'\n' => out.push('n'),
        b'\r' => out.push('r'),
        b'\t' => out.push('t'),
        0x08 => out.push('b'),
        0x0c => out.push('f'),
        byte => {
            out.push_str("u00");
            push_hex(out, &[byte]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        let all: String = ('\0'..='\u{2ff}').chain(['€', '😀', '\u{2028}', '\u{ffff}']).collect();
        for sample in ["", "plain", "\"", "{\"a\":[\"b\\\\c\"]}", "é\n", &all] {
            assert_eq!(text(|out| push_string(out, sample)), serde_json::json!(sample).to_string());
        }
    }

    #[test]
    fn numbers_and_bytes_have_all_their_digits() {
        for number in [0, 7, 10, 99, 100, 18_446_744_073_709_551_615] {
            assert_eq!(text(|out| push_number(out, number)), number.to_string());
        }
        assert_eq!(text(|out| push_hex(out, &[0x00, 0x0f, 0xa5, 0xff])), "000fa5ff");
        assert_eq!(unhex("000fa5ff"), Some([0x00, 0x0f, 0xa5, 0xff]));
        for wrong in ["", "0", "000", "0g", "0A", " 0", "+1", "é"] {
            assert_eq!(unhex::<1>(wrong), None, "{wrong}");
        }
    }
}

//! Text of others, made harmless for a terminal.
//!
//! What a peer sends may hold escape sequences that repaint a terminal, or marks that turn the reading direction round so
//! that a name seems to be another. Both are replaced by something visible; everything else is left alone.

use std::borrow::Cow;

/// Gives `text` with every character that could steer a terminal, break a line or disguise what is written replaced:
/// ASCII controls by their pictures (`␛`), all others by `<U+202E>`. A tab stays. Borrows when nothing had to change.
pub fn printable(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unprintable) else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(&text[..first]);
    for character in text[first..].chars() {
        if !is_unprintable(character) {
            shown.push(character);
        } else if let Some(picture) = picture(character) {
            shown.push(picture);
        } else {
            shown.push_str(&format!("<U+{:04X}>", u32::from(character)));
        }
    }
    Cow::Owned(shown)
}

/// Whether a character must not reach a terminal as it is. A tab may.
pub(crate) fn is_unprintable(character: char) -> bool {
    match character {
        '\t' => false,
        _ if character.is_control() => true,
        // Marks that set, override or isolate the direction of writing (Unicode TR 9, "Trojan Source").
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line and paragraph separators; the invisible: zero-width space, joiners of words, fillers, tags, annotations.
        '\u{2028}' | '\u{2029}' | '\u{00ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' => true,
        '\u{206a}'..='\u{206f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{feff}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

fn picture(character: char) -> Option<char> {
    match u32::from(character) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code),
        0x7f => Some('\u{2421}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed_unchanged() {
        for text in ["", "hello", "tab\tstays", "Grüße, 世界 👩‍👩‍👧", "e\u{301}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let cases = [
            ("\u{1b}[2J", "␛[2J"),
            ("a\rb\nc", "a␍b␊c"),
            ("\u{0}\u{7}\u{7f}", "␀␇␡"),
            ("\u{9b}31m", "<U+009B>31m"),
            ("\u{202e}exe.txt", "<U+202E>exe.txt"),
            ("a\u{2028}b", "a<U+2028>b"),
            ("al\u{200b}ice", "al<U+200B>ice"),
            ("\u{e0041}", "<U+E0041>"),
        ];
        for (text, shown) in cases {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn no_control_character_survives() {
        for code in 0..=0x10ffff_u32 {
            let Some(character) = char::from_u32(code) else { continue };
            let text = character.to_string();
            let shown = printable(&text);
            assert!(shown.chars().all(|c| c == '\t' || !c.is_control()), "U+{code:04X}");
        }
    }
}

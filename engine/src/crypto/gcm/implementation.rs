//! Which implementation of the cipher: what was compiled in, what the processor can run, what the environment asks for,
//! and whether it gives the right answer.

use std::fmt;
use std::sync::OnceLock;

use super::{Key, TagMismatch};

/// The ways to compute AES-256-GCM. They give the same bytes; they differ in speed and in what they ask of the
/// processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// The crates `aes` and `ghash`, on any processor.
    Portable,
    /// x86-64 with AES-NI and PCLMULQDQ: one block an instruction.
    Narrow128,
    /// x86-64 with AVX2, VAES and VPCLMULQDQ: two blocks an instruction.
    Narrow256,
    /// x86-64 with AVX-512 (F, BW, VL, DQ), VAES and VPCLMULQDQ: four blocks an instruction.
    Wide,
}

/// The environment variable that asks for an implementation, for tests and measurement: `portable`, `narrow-128`,
/// `narrow-256`, `wide`, or `narrow` for the better of the two.
pub const OVERRIDE_VARIABLE: &str = "LANDLINE_GCM";

impl Implementation {
    /// All of them, slowest first.
    pub const ALL: [Implementation; 4] =
        [Implementation::Portable, Implementation::Narrow128, Implementation::Narrow256, Implementation::Wide];

    /// The name in statistics, reports and [`OVERRIDE_VARIABLE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Implementation::Portable => "portable",
            Implementation::Narrow128 => "narrow-128",
            Implementation::Narrow256 => "narrow-256",
            Implementation::Wide => "wide",
        }
    }

    /// Those that were compiled in and that this processor can run, slowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Implementation> {
        Implementation::ALL.into_iter().filter(|implementation| Key::with(*implementation, &[0; 32]).is_some())
    }

    /// The one that new keys use. Decided once in the life of a process: the best available one, or what
    /// [`OVERRIDE_VARIABLE`] asks for; [`Implementation::Portable`] if that one fails a known-answer test. Whatever does
    /// not go as asked is logged.
    pub fn chosen() -> Implementation {
        static CHOSEN: OnceLock<Implementation> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let wanted = std::env::var_os(OVERRIDE_VARIABLE);
            choose(wanted.as_ref().map(|wanted| wanted.to_string_lossy()).as_deref(), gives_the_known_answer)
        })
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn choose(wanted: Option<&str>, is_right: impl Fn(Implementation) -> bool) -> Implementation {
    // What stands in its place then gives no answer at all.
    if cfg!(landline_null_cipher) {
        return Implementation::Portable;
    }
    let candidate = candidate(wanted);
    if is_right(candidate) {
        return candidate;
    }
    tracing::error!(implementation = %candidate, "AES-GCM gave a wrong answer in its self-test: using the portable one");
    assert!(is_right(Implementation::Portable), "AES-GCM gives wrong answers on this machine in every implementation");
    Implementation::Portable
}

/// What the environment asks for if it can be had, else the best there is.
fn candidate(wanted: Option<&str>) -> Implementation {
    let best = Implementation::available().next_back().unwrap_or(Implementation::Portable);
    let Some(wanted) = wanted else { return best };
    let fits = |implementation: &Implementation| match wanted {
        "narrow" => matches!(implementation, Implementation::Narrow128 | Implementation::Narrow256),
        name => implementation.name() == name,
    };
    Implementation::available().rfind(fits).unwrap_or_else(|| {
        let known = Implementation::ALL.map(Implementation::name).join(", ");
        tracing::error!(
            "{OVERRIDE_VARIABLE}={wanted} cannot be had on this machine (known: {known} and narrow): using {best}"
        );
        best
    })
}

/// Seals and opens texts for every path of every kernel: ends of one vector to a batch, and whole batches before one.
fn gives_the_known_answer(implementation: Implementation) -> bool {
    let Some(key) = Key::with(implementation, &KNOWN_KEY) else { return false };
    KNOWN_TAGS.into_iter().all(|(len, tag)| gives_the_known_tag(&key, &KNOWN_TEXT[..len], tag.to_be_bytes()))
}

fn gives_the_known_tag(key: &Key, known: &[u8], tag: [u8; 16]) -> bool {
    let mut text = known.to_vec();
    let sealed_tag = key.seal_in_place(&KNOWN_NONCE, KNOWN_AAD, &mut text);
    let is_copied = known.split_first_chunk().is_none_or(|(head, body)| {
        let mut dst = vec![0; known.len()];
        key.seal_to(&KNOWN_NONCE, KNOWN_AAD, head, body, &mut dst) == tag && dst == text
    });
    let is_refused = key.open_in_place(&KNOWN_NONCE, KNOWN_AAD, &mut text.clone(), &[0; 16]) == Err(TagMismatch);
    let is_opened = key.open_in_place(&KNOWN_NONCE, KNOWN_AAD, &mut text, &tag) == Ok(()) && text == known;
    sealed_tag == tag && is_copied && is_refused && is_opened
}

const KNOWN_KEY: [u8; 32] = [0x5a; 32];
const KNOWN_NONCE: [u8; 12] = [0xa5; 12];
const KNOWN_AAD: &[u8] = b"landline";
/// Of the widest vectors two batches, five vectors and a bit.
const KNOWN_TEXT: [u8; 1351] = {
    let mut text = [0; 1351];
    let mut i = 0;
    while i < text.len() {
        text[i] = (i % 251) as u8;
        i += 1;
    }
    text
};
/// By length of text; computed with a third implementation (Python's `cryptography`).
const KNOWN_TAGS: [(usize, u128); 7] = [
    (10, 0x4b3d_14f4_fcf2_7477_9be2_9853_5a64_aa47),
    (25, 0x1b39_b6e3_9f68_87a0_6a59_9aa4_07f2_1282),
    (50, 0x64da_054f_3e72_3936_535e_bb34_00d4_420f),
    (100, 0xde04_5a55_4f79_a9d6_73cd_94ec_94df_7e42),
    (200, 0xdb5e_00d4_6167_faab_b943_450c_7a15_af6f),
    (400, 0xadf5_978b_823d_b5d4_1618_04ea_484e_62ac),
    (1351, 0x50c4_9221_fa76_4bf9_b640_b182_900a_ec8a),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn best() -> Implementation {
        Implementation::available().next_back().expect("the portable one, at least")
    }

    #[test]
    fn the_best_available_one_is_chosen() {
        assert_eq!(Implementation::available().next(), Some(Implementation::Portable));
        assert_eq!(choose(None, |_| true), best());
    }

    #[test]
    fn each_available_one_can_be_asked_for_by_name() {
        for implementation in Implementation::available() {
            assert_eq!(choose(Some(implementation.name()), |_| true), implementation);
        }
    }

    #[test]
    fn narrow_is_the_better_one_that_is_available() {
        let narrow = [Implementation::Narrow128, Implementation::Narrow256];
        let expected = Implementation::available().rfind(|implementation| narrow.contains(implementation));
        assert_eq!(choose(Some("narrow"), |_| true), expected.unwrap_or(Implementation::Portable));
    }

    #[test]
    fn an_unknown_name_leaves_the_best() {
        assert_eq!(choose(Some("quick"), |_| true), best());
    }

    #[test]
    fn a_wrong_answer_falls_back_to_portable() {
        assert_eq!(choose(None, |implementation| implementation == Implementation::Portable), Implementation::Portable);
    }

    #[test]
    #[should_panic(expected = "wrong answers on this machine in every implementation")]
    fn a_machine_that_computes_wrongly_everywhere_is_not_used() {
        choose(None, |_| false);
    }

    #[test]
    fn each_available_one_gives_the_known_answer() {
        for implementation in Implementation::available() {
            assert!(gives_the_known_answer(implementation), "{implementation}");
        }
    }

    #[test]
    fn new_keys_are_of_the_one_that_the_environment_asks_for() {
        let wanted = std::env::var(OVERRIDE_VARIABLE).ok();
        assert_eq!(Implementation::chosen(), choose(wanted.as_deref(), gives_the_known_answer));
        assert_eq!(Key::new(&[0; 32]).implementation(), Implementation::chosen());
    }
}

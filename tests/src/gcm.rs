//! One text sealed and opened by every implementation of AES-256-GCM that there is, in every shape: the engine's own, and
//! with the feature `gcm-references` those of two other libraries. Tests and the fuzz target call it.

use crate::guarded::Guarded;
use landline::crypto::gcm::{HEAD_LEN, Implementation, Key, TagMismatch};

/// The longest text and the longest associated data of a [`Case`].
pub const LEN_MAX: usize = 1 << 17;

/// What is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The key.
    pub key: [u8; 32],
    /// The nonce.
    pub nonce: [u8; 12],
    /// Associated data.
    pub aad: &'a [u8],
    /// Plaintext.
    pub text: &'a [u8],
}

/// Where buffers lie.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// So many bytes behind a page that nobody may touch.
    Behind(usize),
    /// So many bytes before one.
    Before(usize),
}

/// The buffers of a case, each between pages of its own.
#[derive(Debug)]
pub struct Rooms {
    aad: Guarded,
    src: Guarded,
    dst: Guarded,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms { aad: Guarded::new(LEN_MAX), src: Guarded::new(LEN_MAX), dst: Guarded::new(LEN_MAX) }
    }
}

impl Place {
    /// So much further from the page.
    fn shifted_by(self, more: usize) -> Place {
        match self {
            Place::Behind(shift) => Place::Behind(shift + more),
            Place::Before(shift) => Place::Before(shift + more),
        }
    }

    /// A copy of `bytes` in this place.
    fn put<'a>(self, room: &'a mut Guarded, bytes: &[u8]) -> &'a mut [u8] {
        let buffer = match self {
            Place::Behind(shift) => room.beginning(bytes.len(), shift),
            Place::Before(shift) => room.ending(bytes.len(), shift),
        };
        buffer.copy_from_slice(bytes);
        buffer
    }
}

/// Runs a case in this place by all implementations and compares what they make of it.
///
/// # Panics
/// If they do not agree.
pub fn check(case: &Case<'_>, place: Place, rooms: &mut Rooms) {
    let mut sealed = case.text.to_vec();
    let portable = Key::with(Implementation::Portable, &case.key).expect("it runs everywhere");
    let tag = portable.seal_in_place(&case.nonce, case.aad, &mut sealed);
    #[cfg(feature = "gcm-references")]
    references::check(case, &sealed, tag);
    for implementation in Implementation::available() {
        let key = Key::with(implementation, &case.key).expect("it is available");
        let of = || format!("{implementation}, {} + {} bytes, {place:?}", case.aad.len(), case.text.len());
        check_in_place(&key, case, (&sealed, tag), place, rooms).unwrap_or_else(|what| panic!("{what} by {}", of()));
        check_copy(&key, case, (&sealed, tag), place, rooms).unwrap_or_else(|what| panic!("{what} by {}", of()));
    }
}

/// The same without places, for texts of any length.
///
/// # Panics
/// If the implementations do not agree.
pub fn check_unguarded(case: &Case<'_>) {
    let sealed = Implementation::available().map(|implementation| {
        let mut buffer = case.text.to_vec();
        let key = Key::with(implementation, &case.key).expect("it is available");
        let tag = key.seal_in_place(&case.nonce, case.aad, &mut buffer);
        (implementation, buffer, tag)
    });
    let sealed: Vec<_> = sealed.collect();
    for (implementation, buffer, tag) in &sealed {
        assert!((buffer, tag) == (&sealed[0].1, &sealed[0].2), "{implementation} and {} differ", sealed[0].0);
    }
    #[cfg(feature = "gcm-references")]
    references::check(case, &sealed[0].1, sealed[0].2);
}

type Sealed<'a> = (&'a [u8], [u8; 16]);

fn check_in_place(
    key: &Key,
    case: &Case<'_>,
    (sealed, tag): Sealed<'_>,
    place: Place,
    rooms: &mut Rooms,
) -> Result<(), &'static str> {
    let aad = place.put(&mut rooms.aad, case.aad);
    let buffer = place.put(&mut rooms.dst, case.text);
    expect(key.seal_in_place(&case.nonce, aad, buffer) == tag, "another tag")?;
    expect(buffer == sealed, "another ciphertext")?;
    expect(key.open_in_place(&case.nonce, aad, buffer, &tag) == Ok(()), "not opened")?;
    expect(buffer == case.text, "another plaintext")?;
    let buffer = place.put(&mut rooms.dst, sealed);
    let mut bad = tag;
    bad[sealed.len() % 16] ^= 1 << (sealed.len() / 16 % 8);
    expect(key.open_in_place(&case.nonce, aad, buffer, &bad) == Err(TagMismatch), "opened with a bad tag")?;
    expect(buffer.iter().all(|&byte| byte == 0), "not wiped")
}

fn check_copy(
    key: &Key,
    case: &Case<'_>,
    (sealed, tag): Sealed<'_>,
    place: Place,
    rooms: &mut Rooms,
) -> Result<(), &'static str> {
    let Some((head, body)) = case.text.split_first_chunk::<HEAD_LEN>() else { return Ok(()) };
    let aad = place.put(&mut rooms.aad, case.aad);
    let src = place.shifted_by(5 * body.len() % 64).put(&mut rooms.src, body);
    let dst = place.put(&mut rooms.dst, &vec![0xee; case.text.len()]);
    expect(key.seal_to(&case.nonce, aad, head, src, dst) == tag, "another tag of a copy")?;
    expect(dst == sealed, "another copied ciphertext")?;
    expect(src == body, "a changed source")
}

fn expect(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Other people's implementations.
#[cfg(feature = "gcm-references")]
mod references {
    use super::Case;

    /// The two libraries have one interface.
    macro_rules! check_by {
        ($library:ident, $case:expr, $sealed:expr, $tag:expr) => {{
            use $library::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &$case.key).expect("a key of 32 bytes"));
            let mut buffer = $case.text.to_vec();
            let nonce = Nonce::assume_unique_for_key($case.nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from($case.aad), &mut buffer).expect("a short text");
            let lens = ($case.aad.len(), $case.text.len());
            assert!(tag.as_ref() == $tag, "{} makes another tag of {lens:?} bytes", stringify!($library));
            assert!(buffer == $sealed, "{} makes another ciphertext of {lens:?} bytes", stringify!($library));
        }};
    }

    pub(super) fn check(case: &Case<'_>, sealed: &[u8], tag: [u8; 16]) {
        check_by!(aws_lc_rs, case, sealed, tag);
        check_by!(ring, case, sealed, tag);
    }
}

//! Who a peer is: its Ed25519 public key ([`PeerId`]), the key pair behind one's own
//! ([`Identity`]), and the file that keeps the secret half.
//!
//! Used by the handshake (signs and checks static keys), the directory (signs and checks
//! announcements) and the apps (show, compare and pin peers). It does not decide whom to trust and
//! draws no random bytes: a new identity is made from a seed that the caller drew.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// Characters in the text form of 32 bytes: 256 bits at 5 bits each, rounded up.
const BASE32_LEN: usize = 52;
/// The y of the eight points of small order, little endian: 0 (order 4), 1 (order 1), -1 (order 2) and the two of order 8.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    unhex("0100000000000000000000000000000000000000000000000000000000000000"),
    unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
];
const FINGERPRINT_CONTEXT: &[u8] = b"landline/1 fingerprint\0";

const KEY_FILE_FAMILY: &[u8] = b"landline-identity-";
const KEY_FILE_PREFIX: &[u8] = b"landline-identity-1 ";
/// The prefix, the seed and a line feed.
const KEY_FILE_LEN: usize = KEY_FILE_PREFIX.len() + BASE32_LEN + 1;
/// The most that is read of a key file: enough to see that it is too long, or of a later version,
/// whatever the path was pointed at.
const KEY_FILE_READ_MAX: usize = 1024;
const _: () = assert!(KEY_FILE_LEN < KEY_FILE_READ_MAX);

/// A peer's name for good: its Ed25519 public key.
///
/// Its text form is what people and files exchange: 52 characters of lower-case base32 (RFC 4648
/// alphabet `a-z2-7`, no padding). Every PeerId has exactly one text form, and no other is parsed.
///
/// Any 32 bytes make a PeerId; whether they are a usable key shows when a signature is checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The PeerId whose public key is `bytes`, in the encoding of RFC 8032.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> PeerId {
        PeerId(bytes)
    }

    /// The public key, in the encoding of RFC 8032.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 characters of the text form: 40 bits, enough to tell peers apart in a log and
    /// far too few to trust.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }

    /// What two people read to each other to be sure that they see the same key: 8 groups of 5
    /// digits, as in `04521 60113 …`.
    ///
    /// The first 16 bytes of SHA-256 over `"landline/1 fingerprint\0"` and the key; each group is
    /// two of them, big endian, in decimal. Digits rather than letters, because they are the same in
    /// every language and hard to mishear; all 128 bits are in the text.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update(FINGERPRINT_CONTEXT).chain_update(self.0).finalize();
        let groups: Vec<String> =
            digest[..16].chunks_exact(2).map(|pair| format!("{:05}", u16::from_be_bytes([pair[0], pair[1]]))).collect();
        groups.join(" ")
    }

    /// Checks that `signature` over `message` was made by this peer. Strict: keys and signature
    /// points of small order, with which one signature can fit many messages, are refused.
    ///
    /// # Errors
    /// [`BadSignature`] if it was not, or if this PeerId is not a public key at all.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        self.key()?.verify(message, signature)
    }

    /// The key behind it, for who checks many signatures of this peer: what there is to do once is a tenth of each check.
    ///
    /// # Errors
    /// [`BadSignature`] if this PeerId is not a public key at all, or one of small order.
    pub fn key(&self) -> Result<PeerKey, BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        if key.is_weak() { Err(BadSignature) } else { Ok(PeerKey(key)) }
    }
}

/// A peer's public key, ready to check signatures.
#[derive(Clone, Debug)]
pub struct PeerKey(VerifyingKey);

impl PeerKey {
    /// Whose it is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.0.to_bytes())
    }

    /// As [`PeerId::verify`].
    ///
    /// # Errors
    /// [`BadSignature`] if the signature was not made by this peer over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        let signature = Signature::from_bytes(signature);
        // What `verify_strict` does, by less: it decodes R, which takes a seventh of the time, only to see whether its order
        // is small. Both compare R with the encoding of what it must be, so that R has no other than its canonical one.
        if is_small_order(signature.r_bytes()) {
            return Err(BadSignature);
        }
        self.0.verify(message, &signature).map_err(|_| BadSignature)
    }
}

/// Whether the canonical encoding of a point is that of one of the eight whose order divides 8. They have five y between
/// them; the topmost bit is the sign of x.
fn is_small_order(encoded: &[u8; 32]) -> bool {
    let mut y = *encoded;
    y[31] &= 0x7f;
    SMALL_ORDER_Y.contains(&y)
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = base32_encode(&self.0);
        // `pad` so that a width given by the caller lines up tables.
        f.pad(std::str::from_utf8(&text[..]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = PeerIdParseError;

    fn from_str(text: &str) -> Result<PeerId, PeerIdParseError> {
        // All at once first, which is quicker than one by one.
        let is_plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        let strange = |c: &char| !matches!(c, 'a'..='z' | '2'..='7');
        if !is_plain && let Some((index, found)) = text.chars().enumerate().find(|(_, c)| strange(c)) {
            return Err(PeerIdParseError::Character { index, found });
        }
        let found_len = text.len();
        let text = text.as_bytes().try_into().map_err(|_| PeerIdParseError::Length { found_len })?;
        let bytes = base32_decode(text).ok_or(PeerIdParseError::LastCharacter)?;
        Ok(PeerId(*bytes))
    }
}

/// This node's key pair. The secret half never leaves it but into the key file, is not shown by
/// `Debug`, and is wiped on drop.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// The identity whose Ed25519 secret key is `seed`: 32 bytes from the system's random source.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Identity {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Identity { key }
    }

    /// Reads the identity kept at `path`.
    ///
    /// # Errors
    /// [`KeyFileError::Missing`] if there is no file, [`KeyFileError::Exposed`] if others than its
    /// owner have any permission on it (Unix only), [`KeyFileError::Malformed`] if it is not exactly
    /// what [`Identity::create`] writes, [`KeyFileError::Io`] if it cannot be read.
    pub fn load(path: &Path) -> Result<Identity, KeyFileError> {
        let mut file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing { path: path.into() },
            _ => KeyFileError::io("open", path)(source),
        })?;
        // Asked of the open file, so that what is judged is what is read.
        let metadata = file.metadata().map_err(KeyFileError::io("examine", path))?;
        let malformed = |reason| KeyFileError::Malformed { path: path.into(), reason };
        if !metadata.is_file() {
            return Err(malformed("it is not a regular file"));
        }
        if let Some(mode) = exposed_mode(&metadata) {
            return Err(KeyFileError::Exposed { path: path.into(), mode });
        }
        let mut buffer = Zeroizing::new([0; KEY_FILE_READ_MAX]);
        let len = read_up_to(&mut file, &mut buffer[..]).map_err(KeyFileError::io("read", path))?;
        let seed = parse_key_file(&buffer[..len]).map_err(malformed)?;
        Ok(Identity { key: SigningKey::from_bytes(&seed) })
    }

    /// Makes the identity of `seed` and keeps it at `path`, readable by its owner only; missing
    /// directories are made the same way. A file already at `path` is never replaced: losing a key
    /// means losing the name by which others know this node.
    ///
    /// The file is complete and on disk before it appears under its name.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] if there is something at `path`, [`KeyFileError::Io`] if the file
    /// cannot be written; a file of that name is then not left behind half written.
    pub fn create(path: &Path, seed: [u8; 32]) -> Result<Identity, KeyFileError> {
        let identity = Identity::from_seed(seed);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        create_private_directory(directory).map_err(KeyFileError::io("create", directory))?;
        if path.symlink_metadata().is_ok() {
            return Err(KeyFileError::Exists { path: path.into() });
        }
        let temporary = temporary_path(path, &identity.peer_id());
        let text = key_file_text(identity.key.as_bytes());
        write_new(&temporary, &text[..]).map_err(KeyFileError::io("write", &temporary))?;
        let placed = place(&temporary, path, &text[..]);
        // A leftover would be a second copy of the secret, so failing to remove it counts.
        let removed = fs::remove_file(&temporary);
        placed?;
        removed.map_err(KeyFileError::io("remove", &temporary))?;
        sync_directory(directory).map_err(KeyFileError::io("write", directory))?;
        Ok(identity)
    }

    /// The public half.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.key.verifying_key().to_bytes())
    }

    /// The Ed25519 signature (RFC 8032) over `message`. Callers begin a message with a context of
    /// its own, such as `"landline/1 static\0"`, so that no signature can pass for another kind.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

/// Bytes of lower-case hexadecimal digits.
const fn unhex<const LEN: usize>(text: &str) -> [u8; LEN] {
    let (text, mut bytes, mut index) = (text.as_bytes(), [0; LEN], 0);
    assert!(text.len() == 2 * LEN);
    while index < 2 * LEN {
        let digit = if text[index] <= b'9' { text[index] - b'0' } else { text[index] - b'a' + 10 };
        bytes[index / 2] = bytes[index / 2] << 4 | digit;
        index += 1;
    }
    bytes
}

/// A signature does not fit the peer and the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature was not made by this peer over this message")
    }
}

impl std::error::Error for BadSignature {}

/// Why a text is not a PeerId.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerIdParseError {
    /// A character that is not one of `a-z` and `2-7`.
    Character {
        /// Its position, counted from 0.
        index: usize,
        /// The character.
        found: char,
    },
    /// Too few or too many characters.
    Length {
        /// Characters in the text.
        found_len: usize,
    },
    /// The last character stands for more bits than a key has left, so that one key would have
    /// several text forms.
    LastCharacter,
}

impl fmt::Display for PeerIdParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerIdParseError::Character { index, found } => write!(
                f,
                "character {} of the peer id is {found:?}; it is made of a-z and 2-7 only, all \
                 lower case",
                index + 1
            ),
            PeerIdParseError::Length { found_len } => write!(
                f,
                "a peer id has {BASE32_LEN} characters, this one has {found_len}; check that it was \
                 copied whole"
            ),
            PeerIdParseError::LastCharacter => {
                f.write_str("the last character of a peer id is a or q; check how it was copied")
            }
        }
    }
}

impl std::error::Error for PeerIdParseError {}

/// Why an identity could not be read from its file or kept in one. Each text says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no file at this path.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is already something at the path where a new file was to be made.
    Exists {
        /// Where the new file was to be.
        path: PathBuf,
    },
    /// Others than its owner have permissions on the file.
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not an identity key file of this version.
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it; never a part of its content.
        reason: &'static str,
    },
    /// The operating system refused.
    Io {
        /// What was attempted: a verb such as `read`.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl KeyFileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
        move |source| KeyFileError::Io { action, path: path.into(), source }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFileError::Missing { path } => write!(
                f,
                "there is no identity key at {}; create one, or give the path of the right file",
                path.display()
            ),
            KeyFileError::Exists { path } => write!(
                f,
                "{} is already there and an identity key is never replaced; use it, or move it away \
                 first",
                path.display()
            ),
            KeyFileError::Exposed { path, mode } => write!(
                f,
                "others than its owner have access to the identity key {path} (mode {mode:04o}); if \
                 nobody can have copied it, run: chmod 600 {path}",
                path = path.display()
            ),
            KeyFileError::Malformed { path, reason } => write!(
                f,
                "{} is not a usable identity key: {reason}; restore it from a backup, or move it \
                 away and create a new identity",
                path.display()
            ),
            KeyFileError::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            KeyFileError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn key_file_text(seed: &[u8; 32]) -> Zeroizing<[u8; KEY_FILE_LEN]> {
    let mut text = Zeroizing::new([b'\n'; KEY_FILE_LEN]);
    let (prefix, rest) = text.split_at_mut(KEY_FILE_PREFIX.len());
    prefix.copy_from_slice(KEY_FILE_PREFIX);
    rest[..BASE32_LEN].copy_from_slice(&base32_encode(seed)[..]);
    text
}

fn parse_key_file(text: &[u8]) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    if !text.starts_with(KEY_FILE_FAMILY) {
        return Err("it does not begin with \"landline-identity-\"");
    }
    let Some(rest) = text.strip_prefix(KEY_FILE_PREFIX) else {
        return Err("it is of a version that this landline does not know");
    };
    let Some((seed, end)) = rest.split_first_chunk() else {
        return Err("it is cut short");
    };
    if end != b"\n" {
        return Err("its one line does not end where it should");
    }
    base32_decode(seed).ok_or("its seed is not lower-case base32")
}

/// Reads until `buffer` is full or the file ends; more than fits is the parser's to refuse.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read_len) => len += read_len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Beside `path`, because only within one file system can a file be given another name. Each seed
/// has a name of its own, so that two processes which both make an identity do not meet.
fn temporary_path(path: &Path, peer_id: &PeerId) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", peer_id.short()));
    path.with_file_name(name)
}

/// Gives the finished file its name. A hard link, unlike a rename, never replaces what is there.
/// File systems without hard links get the text written under its name directly, which does not
/// replace either, but can leave a cut-off file if the machine stops at that moment.
fn place(temporary: &Path, path: &Path, text: &[u8]) -> Result<(), KeyFileError> {
    let placed = match fs::hard_link(temporary, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_new(path, text),
        other => other,
    };
    placed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
        _ => KeyFileError::io("write", path)(source),
    })
}

/// Writes a file that must not exist yet, through to the disk; removes it if that fails.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    make_private(&mut options);
    let mut file = options.open(path)?;
    file.write_all(text).and_then(|()| file.sync_all()).inspect_err(|_| {
        // The first error is the one worth telling.
        let _ = fs::remove_file(path);
    })
}

#[cfg(unix)]
fn make_private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn make_private(_options: &mut OpenOptions) {}

/// The file's permission bits, if any of them is for group or others.
#[cfg(unix)]
fn exposed_mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed_mode(_metadata: &Metadata) -> Option<u32> {
    None
}

fn create_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the new name in `directory` last; elsewhere than on Unix a directory cannot be opened so.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// 5 bits a character, most significant first; the last character holds 1 bit and 4 zeros. In a
/// wiping buffer because the same code writes secrets.
fn base32_encode(bytes: &[u8; 32]) -> Zeroizing<[u8; BASE32_LEN]> {
    let mut text = Zeroizing::new([0; BASE32_LEN]);
    for (index, character) in text.iter_mut().enumerate() {
        let (byte, shift) = (index * 5 / 8, index * 5 % 8);
        let next = bytes.get(byte + 1).copied().unwrap_or(0);
        let value = (u16::from_be_bytes([bytes[byte], next]) << shift >> 11) as u8;
        *character = if value < 26 { b'a' + value } else { b'2' + (value - 26) };
    }
    text
}

/// The inverse; `None` for other characters, and for a last character with more than its 1 bit.
fn base32_decode(text: &[u8; BASE32_LEN]) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    for (index, &character) in text.iter().enumerate() {
        let value = match character {
            b'a'..=b'z' => character - b'a',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        let (byte, shift) = (index * 5 / 8, index * 5 % 8);
        let [high, low] = (u16::from(value) << 11 >> shift).to_be_bytes();
        bytes[byte] |= high;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= low,
            None if low != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

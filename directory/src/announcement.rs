//! What a peer signs: its announcement, and the withdrawal of it.
//!
//! A *statement* is a JSON text whose exact bytes are signed and transmitted, so that nobody has to produce the same bytes
//! twice. It travels in an envelope, as a JSON string beside its signature:
//!
//! ```json
//! {"statement":"{\"peer_id\":\"...\",\"name\":\"alice\",\"addresses\":[\"192.0.2.7:4000\"],\"services\":[\"chat\"],\"sequence\":1,\"lease\":60}",
//!  "signature":"128 lower-case hexadecimal digits"}
//! ```
//!
//! The signature is Ed25519 (RFC 8032) under the key that `peer_id` names, over a domain and the bytes of the statement
//! (what the JSON string stands for, in UTF-8). The domain keeps a signature from meaning anything elsewhere:
//!
//! | statement | domain | members |
//! |---|---|---|
//! | announcement | `landline/1 announce` and a zero byte | `peer_id`, `name`, `addresses`, `services` (may be absent), `sequence`, `lease` (may be absent) |
//! | withdrawal | `landline/1 withdraw` and a zero byte | `peer_id`, `sequence`, `withdraw` (must be `true`) |
//!
//! Members that are not in the table are skipped, so that later versions may add some; one of the table given twice is
//! refused. This file knows no HTTP and no clock.

use crate::json::{push_hex, unhex};
use crate::keys::Keys;
use crate::limits::{
    ADDRESS_COUNT_MAX, LEASE_DEFAULT, NAME_LEN_MAX, NAME_LEN_MIN, SEQUENCE_MAX, SERVICE_COUNT_MAX, SERVICE_LEN_MAX,
    STATEMENT_LEN_MAX,
};
use landline::{Identity, PeerId};
use serde::{Deserialize, Serialize};
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Precedes an announcement when it is signed.
pub const ANNOUNCE_DOMAIN: &[u8] = b"landline/1 announce\0";
/// Precedes a withdrawal when it is signed.
pub const WITHDRAW_DOMAIN: &[u8] = b"landline/1 withdraw\0";

/// Where a peer is to be found, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who says so.
    pub peer_id: PeerId,
    /// What it wants to be called.
    pub name: Name,
    /// Where it listens: 1 to 32, none twice.
    pub addresses: Vec<SocketAddr>,
    /// What it offers: at most 16 service names, none twice.
    pub services: Vec<String>,
    /// Higher than in any earlier statement of this peer; see [`next_sequence`].
    pub sequence: u64,
    /// For how long it wants to be listed unless it renews; whole seconds. The directory grants 5 s to 1 h.
    pub lease: Duration,
}

/// A peer's word that its announcement no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Who says so.
    pub peer_id: PeerId,
    /// Higher than in any earlier statement of this peer.
    pub sequence: u64,
}

impl Announcement {
    /// Signs it.
    ///
    /// # Errors
    /// [`StatementError::Malformed`] where a member breaks its rule or `peer_id` is not that of `identity`.
    pub fn sign(&self, identity: &Identity) -> Result<SignedStatement, StatementError> {
        self.check()?;
        require(self.peer_id == identity.peer_id(), "peer_id is not the identity that signs")?;
        let fields = AnnouncementFields {
            peer_id: self.peer_id.to_string().into(),
            name: self.name.as_str().into(),
            addresses: self.addresses.iter().map(SocketAddr::to_string).collect(),
            services: self.services.clone(),
            sequence: self.sequence,
            lease: self.lease.as_secs(),
        };
        SignedStatement::new(identity, ANNOUNCE_DOMAIN, &fields)
    }

    fn check(&self) -> Result<(), StatementError> {
        require((1..=ADDRESS_COUNT_MAX).contains(&self.addresses.len()), "addresses must hold 1 to 32 entries")?;
        require(self.services.len() <= SERVICE_COUNT_MAX, "services may hold at most 16 entries")?;
        for (index, address) in self.addresses.iter().enumerate() {
            check_address(*address)?;
            require(!self.addresses[..index].contains(address), "addresses holds an entry twice")?;
        }
        for (index, service) in self.services.iter().enumerate() {
            require(is_service(service), "a service name must be 1 to 64 of a-z 0-9 . _ -")?;
            require(!self.services[..index].contains(service), "services holds an entry twice")?;
        }
        check_sequence(self.sequence)
    }
}

impl Withdrawal {
    /// Signs it.
    ///
    /// # Errors
    /// [`StatementError::Malformed`] where the sequence is out of range or `peer_id` is not that of `identity`.
    pub fn sign(&self, identity: &Identity) -> Result<SignedStatement, StatementError> {
        check_sequence(self.sequence)?;
        require(self.peer_id == identity.peer_id(), "peer_id is not the identity that signs")?;
        let fields = WithdrawalFields { peer_id: self.peer_id.to_string(), sequence: self.sequence, withdraw: true };
        SignedStatement::new(identity, WITHDRAW_DOMAIN, &fields)
    }
}

/// A statement and its signature, exactly as transmitted. Whether the signature is good shows when it is verified.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedStatement {
    statement: Box<str>,
    signature: [u8; 64],
}

impl SignedStatement {
    fn new(identity: &Identity, domain: &[u8], fields: &impl Serialize) -> Result<Self, StatementError> {
        let statement = serde_json::to_string(fields).map_err(|error| StatementError::malformed(&error))?;
        require(statement.len() <= STATEMENT_LEN_MAX, "the statement is longer than 4,096 bytes")?;
        let signature = identity.sign(&signed_bytes(domain, &statement));
        Ok(SignedStatement { statement: statement.into(), signature })
    }

    /// Reads an envelope. Nothing is verified yet.
    ///
    /// # Errors
    /// [`StatementError::Malformed`].
    pub fn from_json(bytes: &[u8]) -> Result<SignedStatement, StatementError> {
        let envelope: Envelope = parse_object(bytes)?;
        SignedStatement::from_parts(envelope.statement, &envelope.signature)
    }

    /// Puts together what an envelope holds.
    ///
    /// # Errors
    /// [`StatementError::Malformed`] where the statement is too long or the signature is no hexadecimal.
    pub fn from_parts(statement: String, signature: &str) -> Result<SignedStatement, StatementError> {
        require(statement.len() <= STATEMENT_LEN_MAX, "the statement is longer than 4,096 bytes")?;
        let signature = unhex(signature)
            .ok_or(StatementError::Malformed("signature is not 128 lower-case hexadecimal digits".to_owned()))?;
        Ok(SignedStatement { statement: statement.into(), signature })
    }

    /// One that the store kept.
    pub(crate) fn from_stored(statement: &str, signature: [u8; 64]) -> SignedStatement {
        SignedStatement { statement: statement.into(), signature }
    }

    /// The envelope.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "statement": &*self.statement, "signature": self.signature_hex() }).to_string()
    }

    /// The bytes that were signed, but for the domain.
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// The signature.
    pub(crate) fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The signature as an envelope has it.
    pub fn signature_hex(&self) -> String {
        let mut text = String::new();
        push_hex(&mut text, &self.signature);
        text
    }

    /// Reads an announcement and verifies that its peer signed it.
    ///
    /// # Errors
    /// Where it is none, breaks a rule, or is signed by another or for another purpose.
    pub fn verify_announcement(&self) -> Result<Announcement, StatementError> {
        let announcement = self.parse_announcement()?;
        self.verify(announcement.peer_id, ANNOUNCE_DOMAIN)?;
        Ok(announcement)
    }

    /// The same with keys that may be decoded already.
    pub(crate) fn verify_announcement_by(&self, keys: &mut Keys) -> Result<Announcement, StatementError> {
        let announcement = self.parse_announcement()?;
        let bytes = signed_bytes(ANNOUNCE_DOMAIN, &self.statement);
        let key = keys.key(announcement.peer_id);
        key.and_then(|key| key.verify(&bytes, &self.signature)).map_err(|_| StatementError::BadSignature)?;
        Ok(announcement)
    }

    /// Reads an announcement that has been verified before.
    pub(crate) fn parse_announcement(&self) -> Result<Announcement, StatementError> {
        let fields: AnnouncementFields<'_> = parse_object(self.statement.as_bytes())?;
        let announcement = Announcement {
            peer_id: parse_peer_id(&fields.peer_id)?,
            name: fields.name.parse().map_err(|error| StatementError::malformed(&error))?,
            addresses: fields.addresses.iter().map(|text| parse_address(text)).collect::<Result<_, _>>()?,
            services: fields.services,
            sequence: fields.sequence,
            lease: Duration::from_secs(fields.lease),
        };
        announcement.check()?;
        Ok(announcement)
    }

    /// Reads a withdrawal and verifies that its peer signed it.
    ///
    /// # Errors
    /// Where it is none, breaks a rule, or is signed by another or for another purpose.
    pub fn verify_withdrawal(&self) -> Result<Withdrawal, StatementError> {
        let fields: WithdrawalFields = parse_object(self.statement.as_bytes())?;
        require(fields.withdraw, "withdraw must be true")?;
        check_sequence(fields.sequence)?;
        let peer_id = parse_peer_id(&fields.peer_id)?;
        self.verify(peer_id, WITHDRAW_DOMAIN)?;
        Ok(Withdrawal { peer_id, sequence: fields.sequence })
    }

    fn verify(&self, peer_id: PeerId, domain: &[u8]) -> Result<(), StatementError> {
        let bytes = signed_bytes(domain, &self.statement);
        peer_id.verify(&bytes, &self.signature).map_err(|_| StatementError::BadSignature)
    }
}

impl fmt::Debug for SignedStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedStatement").field("statement", &self.statement).finish_non_exhaustive()
    }
}

/// A peer's name: 2 to 63 of `a-z 0-9 . _ -`, at least one of them a letter or digit (`..` means something else in a path).
/// Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name sorts as its text does, so maps by name can be searched by text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        let fits = (NAME_LEN_MIN..=NAME_LEN_MAX).contains(&text.len())
            && text.bytes().all(is_name_byte)
            && text.bytes().any(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Name(text.into())) } else { Err(NameError) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name must be 2 to 63 of a-z 0-9 . _ - with at least one letter or digit")
    }
}

impl std::error::Error for NameError {}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementError {
    /// It is not of the form that it should have; the text says where.
    Malformed(String),
    /// The peer that it names did not sign it, or not for this purpose.
    BadSignature,
}

impl StatementError {
    fn malformed(error: &dyn fmt::Display) -> StatementError {
        StatementError::Malformed(error.to_string())
    }
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatementError::Malformed(what) => write!(f, "the statement is malformed: {what}"),
            StatementError::BadSignature => f.write_str("the statement is not signed by the peer that it names"),
        }
    }
}

impl std::error::Error for StatementError {}

/// The sequence for a peer's next statement: above the last one, and above those of a life before that nobody remembers,
/// as long as the wall clock did not go backwards.
pub fn next_sequence(last: u64, wall_clock: SystemTime) -> u64 {
    unix_ms(wall_clock).max(last.saturating_add(1)).clamp(1, SEQUENCE_MAX)
}

/// Milliseconds since 1970; 0 before.
pub(crate) fn unix_ms(wall_clock: SystemTime) -> u64 {
    wall_clock.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Whether `text` may be a service name: 1 to 64 of `a-z 0-9 . _ -`.
pub fn is_service(text: &str) -> bool {
    (1..=SERVICE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_name_byte)
}

pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
}

#[derive(Deserialize)]
struct Envelope {
    statement: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct AnnouncementFields<'a> {
    #[serde(borrow)]
    peer_id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    addresses: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    sequence: u64,
    #[serde(default = "default_lease")]
    lease: u64,
}

#[derive(Serialize, Deserialize)]
struct WithdrawalFields {
    peer_id: String,
    sequence: u64,
    withdraw: bool,
}

fn default_lease() -> u64 {
    LEASE_DEFAULT.as_secs()
}

/// Reads a JSON object. serde would take an array for it too, its members known by their places.
fn parse_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StatementError> {
    let first = bytes.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    require(first == Some(&b'{'), "it must be a JSON object")?;
    serde_json::from_slice(bytes).map_err(|error| StatementError::malformed(&error))
}

fn signed_bytes(domain: &[u8], statement: &str) -> Vec<u8> {
    [domain, statement.as_bytes()].concat()
}

fn require(holds: bool, rule: &str) -> Result<(), StatementError> {
    if holds { Ok(()) } else { Err(StatementError::Malformed(rule.to_owned())) }
}

fn check_sequence(sequence: u64) -> Result<(), StatementError> {
    require((1..=SEQUENCE_MAX).contains(&sequence), "sequence must be 1 to 9007199254740991")
}

fn parse_peer_id(text: &str) -> Result<PeerId, StatementError> {
    text.parse().map_err(|error| StatementError::Malformed(format!("peer_id: {error}")))
}

fn parse_address(text: &str) -> Result<SocketAddr, StatementError> {
    text.parse()
        .map_err(|_| StatementError::Malformed("an address must be IP:PORT, an IPv6 address in brackets".to_owned()))
}

/// An address that somebody else can dial.
fn check_address(address: SocketAddr) -> Result<(), StatementError> {
    let (is_mapped, has_scope) = match address {
        SocketAddr::V4(_) => (false, false),
        SocketAddr::V6(v6) => (v6.ip().to_ipv4_mapped().is_some(), v6.scope_id() != 0 || v6.flowinfo() != 0),
    };
    let is_broadcast = matches!(address.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    require(address.port() != 0, "the port of an address must not be 0")?;
    require(!is_mapped, "an IPv4 address must be written as one, not inside IPv6")?;
    require(!has_scope, "an address must not have a scope, which means nothing elsewhere")?;
    let is_one_host = !address.ip().is_unspecified() && !address.ip().is_multicast() && !is_broadcast;
    require(is_one_host, "an address must be of one host: not unspecified, multicast or broadcast")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

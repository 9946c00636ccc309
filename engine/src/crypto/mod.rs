//! The symmetric cipher. The engine knows exactly one, AES-256-GCM, and everything above this
//! module reaches it through [`gcm::Key`]. Hashes, signatures and key agreement come straight from
//! their crates, where they are used.
//!
//! Nothing here knows about nonce order, records or epochs: the layers above decide which nonce a
//! text gets and for how long a key may be used.

pub mod gcm;

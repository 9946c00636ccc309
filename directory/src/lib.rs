//! The landline directory: who is where on a LAN.
//!
//! A peer signs an [`Announcement`] of its name and addresses and hands it to a directory for the time of a lease; others
//! look it up by name or PeerId and then talk to it without the directory. The directory can withhold and can lie about who
//! holds a name at first contact; it cannot forge what a PeerId signed.
//!
//! | to | use |
//! |---|---|
//! | run a directory | [`Directory::bind`], or [`RunningDirectory`] with a thread of its own |
//! | ask one | [`Client`], with a [`SequenceMemory`] that outlives the program |
//! | stay announced | [`Announcer`] |
//! | learn who comes and goes | [`Client::watch`] |
//! | sign and verify | [`Announcement`], [`Withdrawal`], [`SignedStatement`] |
//! | parse HTTP strictly, without sockets | [`http`] |
//!
//! ```
//! use landline::Identity;
//! use landline_directory::{Announcement, Client, DirectoryConfig, RunningDirectory, SequenceMemory};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let running = RunningDirectory::start("127.0.0.1:0".parse()?, DirectoryConfig::default())?;
//! let client = Client::new(&running.directory().url())?;
//!
//! let identity = Identity::from_seed([1; 32]);
//! let announcement = Announcement {
//!     peer_id: identity.peer_id(),
//!     name: "alice".parse()?,
//!     addresses: vec!["127.0.0.1:4000".parse()?],
//!     services: vec!["chat".to_owned()],
//!     sequence: landline_directory::next_sequence(0, std::time::SystemTime::now()),
//!     lease: std::time::Duration::from_secs(60),
//! };
//! client.announce(identity.peer_id(), &announcement.sign(&identity)?)?;
//!
//! let found = client.lookup_name(&"alice".parse()?, &mut SequenceMemory::new())?;
//! assert_eq!(found.announcement, announcement);
//! # Ok(())
//! # }
//! ```

mod announcement;
mod client;
pub mod http;
mod interfaces;
mod json;
mod keys;
pub mod limits;
mod server;
mod store;

pub use announcement::{
    ANNOUNCE_DOMAIN, Announcement, Name, NameError, SignedStatement, StatementError, WITHDRAW_DOMAIN, Withdrawal,
    is_service, next_sequence,
};
pub use client::{
    Addresses, Announcer, AnnouncerEvent, AnnouncerPlan, Client, ClientError, DirectoryUrl, DownReason, Granted,
    Listed, PeerList, Refusal, SequenceMemory, UrlError, Watch, WatchEvent, WatchFilter,
};
pub use interfaces::interface_ips;
pub use server::{Directory, DirectoryConfig, DirectoryLoop, RunningDirectory};
pub use store::{AllowError, Released, StoreConfig, StoreError, release_name};

/// Counts what tests ask about.
#[cfg(test)]
#[global_allocator]
static HEAP: landline_tests::heap::Heap = landline_tests::heap::Heap;

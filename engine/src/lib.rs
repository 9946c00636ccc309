//! landline: private wires between the programs of a LAN.
//!
//! Two peers that know each other's [`PeerId`] and address talk straight to each other over TCP; every byte is sealed
//! with AES-256-GCM, keys come from a Noise XX handshake, and both sides prove their identity. A link carries many
//! channels, each with a priority and credit of its own, so that a chat line overtakes a file and a slow reader slows
//! only its own sender.
//!
//! Three ways in:
//!
//! 1. [`Session`] and [`Link`]: bytes in, bytes out, events out. Bring your own sockets, loop and clock.
//! 2. [`Reactor`]: run [`turn`](Reactor::turn) in your own thread or inside another event loop (it has a pollable
//!    descriptor). No thread, no queue, no lock between you and the socket.
//! 3. [`Engine`]: one or several reactors on threads of their own ([`Config::reactor_count`]) behind a handle that is `Clone`
//!    and `Send`, with bounded queues.
//!
//! ```no_run
//! use landline::{Config, Engine, Event, Identity};
//!
//! # fn main() -> Result<(), landline::Error> {
//! let (engine, events) = Engine::start(Identity::from_seed([7; 32]), Config::default())?;
//! println!("listening on {}", engine.listen("[::]:0".parse().expect("an address"))?);
//! while let Some(event) = events.recv() {
//!     if let Event::Messages(batch) = event {
//!         batch.iter().for_each(|message| println!("{} bytes", message.len()));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(not(feature = "gcm-kernels"), forbid(unsafe_code))]

pub mod config;
pub mod crypto;
pub mod engine;
pub mod error;
pub mod event;
pub mod frame;
pub mod handshake;
pub mod identity;
pub mod limits;
pub mod link;
pub mod links;
pub mod reactor;
pub mod record;
pub mod session;
pub mod stats;

pub use bytes::Bytes;
pub use config::{Config, Profile};
pub use engine::{BatchError, Channel, Engine, Events};
pub use error::{CloseReason, Error, Goodbye, Misuse, PeerFault, SendError, Side, Timeout};
pub use event::{Batch, DialId, Event, LinkId, Undelivered};
pub use frame::{ChannelId, Priority};
pub use handshake::{Local, Peer, Role};
pub use identity::{BadSignature, Identity, PeerId, PeerKey};
pub use link::Link;
pub use links::{Dial, Links};
pub use session::{Input, Session};
pub use stats::{LinkStats, Stats};

/// A reactor whose protocol is landline's links: the way in for programs that drive the I/O loop themselves.
pub type Reactor<S = mio::net::TcpStream> = reactor::Reactor<Links, S>;

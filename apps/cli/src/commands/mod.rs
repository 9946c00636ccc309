//! One file per subcommand.

pub(crate) mod chat;
pub(crate) mod directory;
pub(crate) mod id;
pub(crate) mod listen;
pub(crate) mod peers;
pub(crate) mod send;
pub(crate) mod sync;
pub(crate) mod trust;

//! The file system beneath a root.

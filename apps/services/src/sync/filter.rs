//! Which entries are left out.

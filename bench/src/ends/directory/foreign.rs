//! Other people's programs as parts of a measurement: found, started, and never left behind.
//!
//! They are started by util-linux's `setpriv`, which has the kernel end them when the process that started them ends,
//! whatever ends that.

use crate::Failure;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The program that starts the others.
pub(super) const KEEPER: &str = "setpriv";
/// Where servers are, beside what the search path names.
const SYSTEM_PLACE: &str = "/usr/sbin";

/// A running program; dropping it ends it.
pub(super) struct Foreign(pub(super) Child);

impl Foreign {
    /// Starts `name`. What it prints can be read, what it says of errors goes where ours goes.
    pub(super) fn start<I: AsRef<OsStr>>(
        name: &str,
        arguments: impl IntoIterator<Item = I>,
    ) -> Result<Foreign, Failure> {
        let child = Command::new(find(KEEPER)?)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(find(name)?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        Ok(Foreign(child))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the program is.
///
/// # Errors
/// That it is not here, for people.
pub(super) fn find(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from(SYSTEM_PLACE)]);
    let found = places.map(|place| place.join(name)).find(|program| program.is_file());
    found.ok_or_else(|| format!("there is no `{name}` here (Debian: nginx-light, wrk, util-linux)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_here_is_named() {
        assert!(find("no-such-program").expect_err("not here").contains("`no-such-program`"));
    }
}

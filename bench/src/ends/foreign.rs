//! Other people's programs as parts of a measurement: found, started, and never left behind.
//!
//! They are started by util-linux's `setpriv`, which has the kernel end them when the process that started them ends,
//! whatever ends that.

use crate::Failure;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The program that starts the others.
const KEEPER: &str = "setpriv";
/// Where servers are, beside what the search path names.
const SYSTEM_PLACE: &str = "/usr/sbin";
/// In which package of Debian each program is.
const PACKAGES: [(&str, &str); 7] = [
    (KEEPER, "util-linux"),
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("rsync", "rsync"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
];
/// How long a server may take to come up.
const START: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(10);

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

    /// Waits until it ends.
    ///
    /// # Errors
    /// That it failed; why, it has said itself on standard error.
    pub(super) fn finish(mut self, name: &str) -> Result<(), Failure> {
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}").into()) }
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
    found.ok_or_else(|| {
        let package = PACKAGES.iter().find(|(program, _)| *program == name).map_or(name, |(_, package)| package);
        format!("there is no `{name}` here (Debian: {package})")
    })
}

/// Whether all of these are here, and what starts them.
///
/// # Errors
/// Which one is not, for people.
pub(super) fn find_all(names: &[&str]) -> Result<(), String> {
    [KEEPER].iter().chain(names).try_for_each(|name| find(name).map(|_| ()))
}

/// A port that was free a moment ago: other people's servers cannot be asked which one they have taken.
pub(super) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until `name` listens.
pub(super) fn await_listener(name: &str, address: SocketAddr) -> Result<(), Failure> {
    let until = Instant::now() + START;
    while let Err(error) = TcpStream::connect(address) {
        if Instant::now() > until {
            return Err(format!("{name} does not listen at {address}: {error}").into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_here_is_named() {
        assert!(find("no-such-program").expect_err("not here").contains("`no-such-program`"));
    }
}

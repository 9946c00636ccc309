//! rsync over ssh, as people use it: an sshd of the measurement's own with keys made for it, and the ciphers that client
//! and server agree on by themselves.

use super::super::foreign::{Foreign, await_listener, find, free_address};
use super::super::responder;
use super::place::Place;
use super::rsync;
use crate::Failure;
use crate::tree::Tree;
use crate::work::{Assignment, Report};
use rustix::process::geteuid;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const SERVER: &str = "sshd";
const CLIENT: &str = "ssh";
const KEY_MAKER: &str = "ssh-keygen";
/// All that it needs beside rsync.
pub(super) const PROGRAMS: [&str; 3] = [SERVER, CLIENT, KEY_MAKER];

/// Files in the place for settings.
const HOST_KEY: &str = "host-key";
const USER_KEY: &str = "user-key";
/// sshd started by root wants this to be there, empty; Debian's service makes it too.
const EMPTY_ROOT: &str = "/run/sshd";

/// Runs sshd until the session ends.
pub(super) fn serve(place: &Place) -> Result<Report, Failure> {
    let address = free_address()?;
    make_key(&place.settings.join(HOST_KEY))?;
    make_key(&place.settings.join(USER_KEY))?;
    if geteuid().is_root() {
        fs::create_dir_all(EMPTY_ROOT)?;
    }
    let file = place.settings.join("sshd.conf");
    fs::write(&file, configuration(&place.settings, address))?;
    let server = Foreign::start(SERVER, ["-D".as_ref(), "-e".as_ref(), "-f".as_ref(), file.as_os_str()])?;
    await_listener(SERVER, address)?;
    rsync::attend(address, &server)
}

/// Pushes over ssh.
pub(super) fn push(assignment: &Assignment, place: &Place, tree: Tree) -> Result<Report, Failure> {
    let address = responder(assignment)?.address;
    let client = format!("--rsh={}", client(&place.settings, address)?);
    rsync::time_client(assignment, place, tree, &[client, format!("{}:{}/", address.ip(), place.target.display())])
}

fn make_key(path: &Path) -> Result<(), Failure> {
    let before = ["-q", "-t", "ed25519", "-N", "", "-f"].map(AsRef::as_ref);
    Foreign::start(KEY_MAKER, before.into_iter().chain([path.as_os_str()]))?.finish(KEY_MAKER)
}

/// Whoever has the key may come, nobody else. Where the files are everybody may write, as in all places for temporary
/// files, and sshd would not have that. Its complaint about a look whether it listens is nobody's concern.
fn configuration(settings: &Path, address: SocketAddr) -> String {
    let (settings, ip, port) = (settings.display(), address.ip(), address.port());
    format!(
        "ListenAddress {ip}\nPort {port}\nHostKey {settings}/{HOST_KEY}\n\
         AuthorizedKeysFile {settings}/{USER_KEY}.pub\nStrictModes no\nPidFile none\nUsePAM no\nUseDNS no\n\
         AuthenticationMethods publickey\nPermitRootLogin prohibit-password\nLogLevel FATAL\n"
    )
}

/// The command that rsync starts; it goes by nobody's own settings.
fn client(settings: &Path, address: SocketAddr) -> Result<String, Failure> {
    Ok(format!(
        "{} -F none -p {} -i {}/{USER_KEY} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        find(CLIENT)?.display(),
        address.port(),
        settings.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_was_made_opens() {
        let text = configuration(Path::new("/p"), ([127, 0, 0, 1], 22).into());
        assert!(text.contains("ListenAddress 127.0.0.1\nPort 22\nHostKey /p/host-key\n"), "{text}");
        assert!(text.contains("AuthorizedKeysFile /p/user-key.pub\n"), "{text}");
        assert!(text.contains("AuthenticationMethods publickey\n"), "{text}");
    }
}

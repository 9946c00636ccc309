//! rsync's daemon with one module, and rsync as its client: `rsync -a`, in clear.

use super::super::foreign::{Foreign, await_listener, free_address};
use super::super::{responder, session};
use super::place::Place;
use crate::Failure;
use crate::meter::Meter;
use crate::tree::Tree;
use crate::work::{Assignment, Report};
use rustix::process::{getegid, geteuid};
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// The program.
pub(super) const PROGRAM: &str = "rsync";

/// What the target is called over the wire.
const MODULE: &str = "target";
/// Between two looks whether a server's processes have ended.
const LOOK: Duration = Duration::from_millis(1);

/// Runs the daemon until the session ends.
pub(super) fn serve(place: &Place) -> Result<Report, Failure> {
    let (address, file) = (free_address()?, place.settings.join("rsyncd.conf"));
    fs::write(&file, configuration(place, address))?;
    let option = format!("--config={}", file.display());
    let daemon = Foreign::start(PROGRAM, ["--daemon", "--no-detach", &option])?;
    await_listener(PROGRAM, address)?;
    attend(address, &daemon)
}

/// Attends to the session of a server that has a process for each connection and collects them when they end.
pub(super) fn attend(address: SocketAddr, server: &Foreign) -> Result<Report, Failure> {
    let pid = server.0.id();
    // That of the look whether it listens.
    await_children(pid);
    session::attend(
        address,
        || Meter::start_of_collected(Some(pid)),
        |meter| {
            await_children(pid);
            meter.stop()
        },
    )
}

/// Waits until a server has no child any more. The parent's deadline ends a wait that is too long.
fn await_children(pid: u32) {
    let path = format!("/proc/{pid}/task/{pid}/children");
    while fs::read_to_string(&path).is_ok_and(|children| !children.trim().is_empty()) {
        thread::sleep(LOOK);
    }
}

/// Pushes to the daemon.
pub(super) fn push(assignment: &Assignment, place: &Place, tree: Tree) -> Result<Report, Failure> {
    let url = format!("rsync://{}/{MODULE}/", responder(assignment)?.address);
    time_client(assignment, place, tree, &[url])
}

/// Runs the client and takes its time, from its start to its end. `last` are the arguments behind the source.
pub(super) fn time_client(
    assignment: &Assignment,
    place: &Place,
    tree: Tree,
    last: &[String],
) -> Result<Report, Failure> {
    let session = session::Session::begin(assignment)?;
    let source = format!("{}/", place.source.display());
    // There is nothing to find differences to where there is one large file and no copy of it: this spares the search.
    let whole = (tree.file_count == 1).then(|| "--whole-file".to_owned());
    let arguments = ["-a".to_owned()].into_iter().chain(whole).chain([source]).chain(last.iter().cloned());
    let meter = Meter::start_of_collected(None);
    Foreign::start(PROGRAM, arguments)?.finish(PROGRAM)?;
    let report = meter.stop();
    session.end()?;
    Ok(report)
}

/// One module that may be written, without a root directory of its own, which would need privileges; without looking
/// names up, which could take longer than the copy.
fn configuration(place: &Place, address: SocketAddr) -> String {
    let (settings, ip, port) = (place.settings.display(), address.ip(), address.port());
    format!(
        "port = {port}\naddress = {ip}\nlog file = {settings}/rsyncd.log\nreverse lookup = no\nuse chroot = no\n{}\
         [{MODULE}]\npath = {}\nread only = no\n",
        identity(),
        place.target.display()
    )
}

/// Without that, root's daemon becomes nobody, who may not write here.
fn identity() -> String {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() { format!("uid = {}\ngid = {}\n", user.as_raw(), group.as_raw()) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_module_is_the_target_and_may_be_written() {
        let text = configuration(&Place::beneath(Path::new("/p")), ([127, 0, 0, 1], 873).into());
        assert!(text.contains("port = 873\naddress = 127.0.0.1\n") && text.contains("use chroot = no\n"), "{text}");
        assert!(text.ends_with("[target]\npath = /p/target\nread only = no\n"), "{text}");
    }
}

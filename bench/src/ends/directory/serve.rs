//! Our directory, in this process, with the bounds lifted that would tell one loud host from many.

use super::super::session;
use super::announce::send_all;
use super::peers::Peers;
use crate::Failure;
use crate::meter::{Meter, own_memory};
use crate::work::Report;
use landline_directory::{DirectoryConfig, RunningDirectory, StoreConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// More than any measurement has.
const PLENTY: usize = 1_000_000;
/// Longer than any measurement takes.
const LONG: Duration = Duration::from_secs(3600);

/// Serves with `peer_count` peers announced.
pub(super) fn serve(peer_count: usize) -> Result<Report, Failure> {
    attend(start(config(), peer_count)?)
}

/// Serves with a store on disk, in the directory for temporary files: where that is in memory (tmpfs), a disk costs nothing.
pub(super) fn serve_durably() -> Result<Report, Failure> {
    let place = tempfile::tempdir()?;
    attend(start(DirectoryConfig { store_dir: Some(place.path().join("store")), ..config() }, 0)?)
}

fn attend(running: RunningDirectory) -> Result<Report, Failure> {
    let report = session::attend(
        running.directory().address(),
        || (Meter::start(), own_memory()),
        |(meter, before)| Report { links_len: own_memory().saturating_sub(before), ..meter.stop() },
    )?;
    running.stop()?;
    Ok(report)
}

/// A directory in which so many peers are announced.
pub(super) fn start(config: DirectoryConfig, peer_count: usize) -> Result<RunningDirectory, Failure> {
    let running = RunningDirectory::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), config)?;
    let peers = Peers::new(peer_count);
    let requests = (0..peer_count as u64).map(|turn| peers.request(turn)).collect::<Result<Vec<_>, _>>()?;
    send_all(running.directory().address(), &requests)?;
    Ok(running)
}

/// With the bounds lifted.
pub(super) fn config() -> DirectoryConfig {
    let store = StoreConfig { announcements_per_address_max: PLENTY, ..StoreConfig::default() };
    DirectoryConfig {
        store,
        connection_count_max: PLENTY,
        connections_per_address_max: PLENTY,
        requests_per_connection_max: usize::MAX,
        announcements_per_second_max: u32::MAX,
        announcement_burst_max: u32::MAX,
        watcher_count_max: PLENTY,
        keep_alive_timeout: LONG,
        ..DirectoryConfig::default()
    }
}

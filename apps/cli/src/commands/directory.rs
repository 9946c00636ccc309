//! `landline directory`: where peers find each other; and `landline directory release`, which frees a name there.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landline_directory::limits::RELEASE_TIMEOUT;
use landline_directory::{
    AllowError, Directory, DirectoryConfig, Name, Released, RunningDirectory, StoreConfig, StoreError, release_name,
};

use crate::args::{self, Common, DirectoryCommand, Serve};
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::signals::{self, Signal};

/// Runs one, or does what is to be done to one.
pub(crate) fn run(common: &Common, args: &args::Directory) -> Result<()> {
    match &args.command {
        Some(DirectoryCommand::Release { name, store }) => release(&store_dir(common, store.as_deref())?, name),
        None => serve(common, &args.serve),
    }
}

/// Serves until it is asked to end.
fn serve(common: &Common, args: &Serve) -> Result<()> {
    let signals = signals::watch_for_service()?;
    let running = RunningDirectory::start(args.listen, config(common, args)?).map_err(|error| unable(args, &error))?;
    let directory = running.directory();
    announce(directory)?;
    // An error here would mean that nobody watches for signals any more, which ends the process as well.
    while signals.recv() == Ok(Signal::Reload) && args.allow.is_some() {
        reload(directory);
    }
    running.stop().map_err(|error| Failure::io("the directory ended with an error", &error))
}

fn announce(directory: &Directory) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "directory on {}; others use it with", directory.address())?;
    for url in directory.urls() {
        writeln!(stdout, "  export LANDLINE_DIRECTORY={url}")?;
    }
    Ok(stdout.flush()?)
}

fn config(common: &Common, args: &Serve) -> Result<DirectoryConfig> {
    let store_dir = if args.ephemeral { None } else { Some(store_dir(common, args.store.as_deref())?) };
    let store = StoreConfig {
        announcement_count_max: args.max_peers,
        names_kept: Duration::from_secs(u64::from(args.names_kept) * 24 * 3600),
        ..StoreConfig::default()
    };
    Ok(DirectoryConfig {
        store_dir,
        store,
        allow_file: args.allow.clone(),
        host_names: args.hosts.clone(),
        connection_count_max: args.max_connections,
        connections_per_address_max: args.max_connections_per_address,
        ..DirectoryConfig::default()
    })
}

fn store_dir(common: &Common, asked: Option<&Path>) -> Result<PathBuf> {
    match asked {
        Some(dir) => Ok(dir.to_owned()),
        None => Ok(Home::open(common.home.as_deref())?.file("directory")),
    }
}

fn reload(directory: &Directory) {
    match directory.reload() {
        Ok(count) => tracing::info!(count, "the list of allowed peers was read again"),
        Err(error) => tracing::error!(%error, "the list that was read before stays in force"),
    }
}

/// Why it does not start: the store, the list of allowed peers, or the port.
fn unable(args: &Serve, error: &std::io::Error) -> Failure {
    match error.get_ref() {
        // These say themselves what to do.
        Some(inner) if inner.is::<StoreError>() || inner.is::<AllowError>() => {
            Failure::new(Exit::Failed, format!("cannot start the directory: {inner}"))
        }
        _ => busy(args.listen, error),
    }
}

/// Frees a name.
fn release(dir: &Path, name: &Name) -> Result<()> {
    let released = release_name(dir, name, RELEASE_TIMEOUT);
    let mut stdout = std::io::stdout().lock();
    match released {
        Ok(Released::From(owner)) => Ok(writeln!(stdout, "{name} is free; it was held by {owner}")?),
        Ok(Released::Nobody) => Err(Failure::new(Exit::NotFound, format!("nobody holds the name {name}"))),
        Ok(Released::NoAnswer) => Err(Failure::new(
            Exit::Failed,
            format!("a process uses the store in {}; no answer came within {RELEASE_TIMEOUT:?}", dir.display()),
        )
        .next("see whether that is a directory that runs and can write its store, then try again")),
        Err(error @ StoreError::Missing { .. }) => Err(Failure::new(Exit::NotFound, error.to_string())),
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
    }
}

/// A port that cannot be had; a busy one says what to do.
pub(crate) fn busy(listen: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("cannot listen on {listen}: {error}"));
    match error.kind() {
        ErrorKind::AddrInUse => failure.next(format!(
            "another program has TCP port {}: stop it, or take another port with --listen (port 0 takes any free one)",
            listen.port()
        )),
        ErrorKind::PermissionDenied => failure.next("take a port above 1023 with --listen"),
        ErrorKind::AddrNotAvailable => {
            failure.next("that address is not this host's; take one that is, or [::] for all")
        }
        _ => failure,
    }
}

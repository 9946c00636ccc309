//! The `landline` command: parses, calls the crates that do the work, prints.

mod args;
mod commands;
mod demo;
mod failure;
mod home;
mod known;
mod node;
mod peer;
mod progress;
mod signals;
mod terminal;
mod units;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use args::{Args, Command, Common};
use failure::{Failure, Result};

fn main() -> ExitCode {
    // Wrong usage ends here, with code 2.
    let args = Args::read();
    start_logging(&args.common);
    raise_open_files();
    let outcome = run(&args);
    terminal::restore();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn run(args: &Args) -> Result<()> {
    let common = &args.common;
    match &args.command {
        Command::Id { json } => commands::id::run(common, *json),
        Command::Directory(directory) => commands::directory::run(common, directory),
        Command::Listen(listen) => commands::listen::run(common, listen),
        Command::Peers { json, watch: true } => commands::peers::watch(common, *json),
        Command::Peers { json, watch: false } => commands::peers::run(common, *json),
        Command::Chat { peers, accept_new } => commands::chat::run(common, peers, *accept_new),
        Command::Send { paths, peer, accept_new, bwlimit } => {
            commands::send::run(common, paths, peer, *accept_new, *bwlimit)
        }
        Command::Sync(sync) => commands::sync::run(common, sync),
        Command::VerifyReceipt { file } => commands::sync::verify_receipt(common, file),
        Command::Trust { name, peer_id } => commands::trust::trust(common, name, *peer_id),
        Command::Forget { name } => commands::trust::forget(common, name),
        Command::Demo { size, json } => demo::run(*size, *json),
    }
}

/// As many open files as the system lets this process have: many peers, and what they send, are more than the usual 1,024.
fn raise_open_files() {
    let limits = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn report(failure: &Failure) -> ExitCode {
    // Whoever closed our pipe has seen enough; that is what `head` does.
    if failure.is_broken_pipe {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(std::io::stderr(), "landline: {failure}");
    ExitCode::from(failure.exit as u8)
}

fn start_logging(common: &Common) {
    let default = match common.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("LANDLINE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .with_target(false)
        .init();
}

//! The command line, as typed: what may be said, not what it means.

mod sync;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use landline::PeerId;
use landline_directory::Name;
use landline_directory::http::Host;
use landline_directory::limits::{ANNOUNCEMENT_COUNT_MAX, CONNECTION_COUNT_MAX, CONNECTIONS_PER_ADDRESS_MAX};
use landline_services::files::Existing;

use crate::commands::listen::sharing::{AllowArg, QuotaArg, ShareArg};
use crate::units;

pub(crate) use sync::Sync;

/// Port of a directory: IANA has assigned nothing between 25010 and 25470, and Linux takes no outgoing ports there.
pub(crate) const DIRECTORY_PORT: u16 = 25263;
/// Port of a peer that listens; from the same free range.
pub(crate) const PEER_PORT: u16 = 25463;

/// Private wires between the programs of a LAN: chat, files and folders, straight from peer to peer, every byte sealed.
#[derive(Debug, Parser)]
#[command(name = "landline", version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
A PEER is a name in the directory, or PEERID@IP:PORT.
Exit codes: 0 done, 1 failed, 2 usage, 3 peer or file not found, 4 identity refused,
5 done but for what was skipped.

See all of it at work, with nothing to set up: landline demo";

impl Args {
    /// The command line; wrong usage ends the process with code 2.
    pub(crate) fn read() -> Self {
        let matches = Self::command().get_matches();
        Self::from_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::from_arg_matches(matches)?;
        if let (Command::Sync(sync), Some((_, matches))) = (&mut args.command, matches.subcommand()) {
            sync.note_order(matches);
        }
        Ok(args)
    }
}

/// What every subcommand takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where the key and the known peers are kept [default: landline in the user's data directory]
    #[arg(long, global = true, env = "LANDLINE_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Who knows where peers are [default: http://127.0.0.1:25263]
    #[arg(long, global = true, env = "LANDLINE_DIRECTORY", value_name = "URL")]
    pub(crate) directory: Option<String>,
    /// Log more to stderr; twice for everything (LANDLINE_LOG takes filters)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show who you are: PeerId, and a fingerprint to compare
    Id {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Run a directory, where peers find each other
    Directory(Directory),
    /// Be reachable: show chat and answer, take files and directories, share folders
    Listen(Listen),
    /// Show who is there
    Peers {
        /// Print one JSON array; with --watch one JSON object a line
        #[arg(long)]
        json: bool,
        /// Go on showing who comes and goes, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Chat: what you type goes to all PEERs, their lines are shown as they come
    Chat {
        /// Whom to chat with
        #[arg(required = true, value_name = "PEER")]
        peers: Vec<String>,
        /// Trust a name at first contact without asking
        #[arg(long)]
        accept_new: bool,
    },
    /// Send files and directories; ends with what the other side confirmed
    Send {
        /// The files and directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Who gets them
        #[arg(value_name = "PEER")]
        peer: String,
        /// Trust a name at first contact without asking
        #[arg(long)]
        accept_new: bool,
        /// Send at most so much a second, as in 10MiB
        #[arg(long, value_name = "RATE", value_parser = sync::rate)]
        bwlimit: Option<u64>,
    },
    /// Make a folder equal to another, one way: from here to PEER:SHARE, or back
    Sync(Sync),
    /// Check a receipt that `sync --receipt` wrote
    VerifyReceipt {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Pin a name to a PeerId
    Trust {
        /// The name
        name: Name,
        /// The PeerId, as their `landline id` shows it
        #[arg(value_name = "PEERID")]
        peer_id: PeerId,
    },
    /// Unpin a name
    Forget {
        /// The name
        name: Name,
    },
    /// See it all in one process on loopback, with nothing to set up
    Demo {
        /// Size of the file sent straight: bytes, or with a suffix as in 64MiB
        #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = units::parse_size)]
        size: u64,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// What `directory` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = DIRECTORY_HELP)]
pub(crate) struct Directory {
    #[command(subcommand)]
    pub(crate) command: Option<DirectoryCommand>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

const DIRECTORY_HELP: &str = "\
SIGHUP has the file of --allow read again; without --allow it ends the directory, as SIGINT and SIGTERM do.";

/// What can be done to a directory beside running it.
#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Free a name for whoever announces it next, whether a directory runs or not
    Release {
        /// The name
        name: Name,
        /// Where the directory keeps what it knows [default: `directory` in the home directory]
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
}

/// How a directory is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "[::]:25263")]
    pub(crate) listen: SocketAddr,
    /// Where to keep what it knows over restarts [default: `directory` in the home directory]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub(crate) store: Option<PathBuf>,
    /// Keep nothing: names are free and peers announce themselves again after a restart
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Let only the peers in FILE announce: one PeerId a line, # for comments
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
    /// A name that this directory is reached under, beside its addresses; may be given several times
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    pub(crate) hosts: Vec<String>,
    /// Peers that are listed at a time
    #[arg(long, value_name = "COUNT", default_value_t = ANNOUNCEMENT_COUNT_MAX)]
    pub(crate) max_peers: usize,
    /// Connections at a time
    #[arg(long, value_name = "COUNT", default_value_t = CONNECTION_COUNT_MAX, value_parser = connection_count)]
    pub(crate) max_connections: usize,
    /// Connections of one address at a time
    #[arg(long, value_name = "COUNT", default_value_t = CONNECTIONS_PER_ADDRESS_MAX, value_parser = connection_count)]
    pub(crate) max_connections_per_address: usize,
    /// For how long a name is kept for its peer after it has gone; 0: not at all
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16))]
    pub(crate) names_kept: u16,
}

/// What `listen` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    /// What to be called in the directory
    #[arg(long)]
    pub(crate) name: Name,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "[::]:25463")]
    pub(crate) listen: SocketAddr,
    /// Where others are told to dial, if not at the addresses of this host's interfaces
    #[arg(long, value_name = "ADDR")]
    pub(crate) announce: Vec<SocketAddr>,
    /// Where received files and directories go
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) save_to: PathBuf,
    /// Whom to let in: anybody, pinned peers, or ask about the others [default: ask on a terminal, else known]
    #[arg(long, value_enum)]
    pub(crate) accept: Option<Accept>,
    /// What to do when something of that name is there already
    #[arg(long, value_enum, default_value = "rename")]
    pub(crate) existing: ExistingArg,
    /// Let known peers sync DIR, as NAME: read it, or with :rw write it too; may be given several times
    #[arg(long = "share", value_name = "NAME=DIR[:ro|:rw]", value_parser = ShareArg::parse)]
    pub(crate) shares: Vec<ShareArg>,
    /// Share NAME only with these: names that are pinned here, or PeerIds
    #[arg(long = "allow", value_name = "NAME=PEER,...", value_parser = AllowArg::parse)]
    pub(crate) allow: Vec<AllowArg>,
    /// Take at most so many bytes for the share NAME from all peers together, as long as this runs
    #[arg(long = "quota", value_name = "NAME=SIZE", value_parser = QuotaArg::parse)]
    pub(crate) quotas: Vec<QuotaArg>,
}

/// Whom `listen` lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accept {
    /// Anybody
    Any,
    /// Known peers
    Known,
    /// Known peers, and others after a question
    Ask,
}

/// What to do when a file of that name is there already.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExistingArg {
    /// Keep both
    Rename,
    /// Refuse the new one
    Refuse,
    /// Replace the old one
    Overwrite,
}

impl From<ExistingArg> for Existing {
    fn from(arg: ExistingArg) -> Self {
        match arg {
            ExistingArg::Rename => Self::Rename,
            ExistingArg::Refuse => Self::Refuse,
            ExistingArg::Overwrite => Self::Overwrite,
        }
    }
}

/// A name for `--host`, as a request's field Host has it, but for the port.
fn host(text: &str) -> Result<String, &'static str> {
    match Host::parse(text) {
        Some(Host::Name(_) | Host::Literal) if !text.contains(':') || text.starts_with('[') && text.ends_with(']') => {
            Ok(text.to_owned())
        }
        _ => Err("give the name alone, without scheme and port"),
    }
}

/// A bound of connections: three quarters of them may be watchers, and one at least is for everything else.
fn connection_count(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(count) if count >= CONNECTION_COUNT_MIN => Ok(count),
        _ => Err("a number of connections from 4 on"),
    }
}

const CONNECTION_COUNT_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_defaults_name_the_fixed_ports() {
        let Command::Directory(args) = Args::parse_from(["landline", "directory"]).command else { panic!() };
        assert_eq!(args.serve.listen.port(), DIRECTORY_PORT);
        assert_eq!(u64::from(args.serve.names_kept) * 86_400, landline_directory::limits::NAMES_KEPT.as_secs());
        let Command::Listen(args) = Args::parse_from(["landline", "listen", "--name", "bob"]).command else { panic!() };
        assert_eq!(args.listen.port(), PEER_PORT);
        assert!(args.accept.is_none());
    }

    #[test]
    fn a_directory_is_run_or_has_a_name_freed() {
        let parse = |args: &[&str]| Args::try_parse_from([&["landline", "directory"], args].concat());
        let Command::Directory(args) = parse(&["release", "bob", "--store", "x"]).unwrap().command else { panic!() };
        let Some(DirectoryCommand::Release { name, store }) = args.command else { panic!() };
        assert_eq!((name.as_str(), store), ("bob", Some(PathBuf::from("x"))));
        assert!(parse(&["--host", "dir.example", "--host", "[::1]", "--max-connections", "4"]).is_ok());
        for wrong in [
            &["--store", "x", "--ephemeral"][..],
            &["--ephemeral", "release", "bob"],
            &["release", "../bob"],
            &["release", ".."],
            &["release"],
            &["--names-kept", "-1"],
            &["--host", "dir:25263"],
            &["--host", "http://dir"],
            &["--host", "a b"],
            &["--max-connections", "3"],
            &["--max-connections-per-address", "0"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_last_of_several_is_the_peer() {
        let args = Args::parse_from(["landline", "send", "a", "b", "bob", "--home", "x"]);
        let Command::Send { paths, peer, .. } = args.command else { panic!() };
        assert_eq!((paths, peer.as_str()), (vec![PathBuf::from("a"), PathBuf::from("b")], "bob"));
        assert!(Args::try_parse_from(["landline", "send", "bob"]).is_err());
        assert!(Args::try_parse_from(["landline", "trust", "bob", "not-an-id"]).is_err());
    }
}

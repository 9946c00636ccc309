//! What `landline sync` takes.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgMatches;
use landline_services::sync::filter::Rule;

use crate::units;

/// What `sync` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = SYNC_HELP)]
pub(crate) struct Sync {
    /// What to copy: a directory, or PEER:SHARE[/PATH]
    #[arg(value_name = "SRC")]
    pub(crate) source: OsString,
    /// What to make equal to it: PEER:SHARE[/PATH], or a directory
    #[arg(value_name = "DST")]
    pub(crate) target: OsString,
    /// Delete what SRC has not; it goes to .landline-trash for 30 days
    #[arg(long)]
    pub(crate) delete: bool,
    /// Change nothing, and say what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out what matches, as in a .gitignore; the last match of --exclude and --include counts
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Take in what --exclude or a .landlineignore leaves out
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Compare content, and not only size and time
    #[arg(long)]
    pub(crate) checksum: bool,
    /// Send at most so much a second, as in 10MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) bwlimit: Option<u64>,
    /// Have everything on the disk before it counts as there
    #[arg(long)]
    pub(crate) durable: bool,
    /// Stop where --delete would take more of DST than this
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) max_delete: u8,
    /// Delete for good
    #[arg(long)]
    pub(crate) no_trash: bool,
    /// Print each change
    #[arg(long)]
    pub(crate) itemize: bool,
    /// Print JSON objects, one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the receipt, signed by whoever received
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Trust a name at first contact without asking
    #[arg(long)]
    pub(crate) accept_new: bool,
    /// The patterns in the order in which they were given.
    #[arg(skip)]
    pub(crate) rules: Vec<Rule>,
}

const SYNC_HELP: &str = "\
Exit code 0: the trees agree. 5: something was skipped, and named.
The peer shares a directory with: landline listen --name NAME --share SHARE=DIR[:rw]";

impl Sync {
    /// Puts the patterns in their order, which only the matches know: the last one that fits counts.
    pub(super) fn note_order(&mut self, matches: &ArgMatches) {
        let mut rules: Vec<(usize, Rule)> = Vec::new();
        for (id, include, patterns) in [("exclude", false, &self.exclude), ("include", true, &self.include)] {
            let places = matches.indices_of(id).into_iter().flatten();
            rules.extend(places.zip(patterns.iter().map(|pattern| Rule { include, pattern: pattern.clone() })));
        }
        rules.sort_by_key(|(place, _)| *place);
        self.rules = rules.into_iter().map(|(_, rule)| rule).collect();
    }
}

/// Bytes a second, at least one.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    match units::parse_size(text.strip_suffix("/s").unwrap_or(text))? {
        0 => Err("a rate of nothing would never end".to_owned()),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Command};
    use clap::CommandFactory;

    #[test]
    fn patterns_keep_their_order_whatever_their_kind() {
        let line = ["landline", "sync", "--exclude", "*.o", "a", "--include", "b.o", "bob:docs", "--exclude", "c"];
        let matches = Args::command().try_get_matches_from(line).unwrap();
        let Command::Sync(sync) = Args::from_matches(&matches).unwrap().command else { panic!() };
        let rules: Vec<_> = sync.rules.iter().map(|rule| (rule.include, rule.pattern.as_str())).collect();
        assert_eq!(rules, [(false, "*.o"), (true, "b.o"), (false, "c")]);
    }

    #[test]
    fn wrong_numbers_are_refused() {
        for wrong in [["--max-delete", "101"], ["--bwlimit", "0"], ["--bwlimit", "fast"]] {
            let line = [&["landline", "sync", "a", "bob:docs"][..], &wrong].concat();
            assert!(Args::command().try_get_matches_from(line).is_err(), "{wrong:?}");
        }
    }
}

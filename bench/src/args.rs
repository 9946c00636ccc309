//! The command line of `compare`.

use crate::cases::{CASES, Case};
use clap::Parser;
use landline::Profile;
use std::path::PathBuf;
use std::time::Duration;

/// Measures landline beside what a user would pick instead, in turn, on this machine.
///
/// Each end of a connection is a process of its own on a core of its own; both stacks of a comparison get the same TCP
/// options. A ratio above 1 means that landline is better, whatever the unit. docs/performance.md says what each case means.
#[derive(Debug, Parser)]
#[command(name = "compare", version, after_help = case_list(), max_term_width = 100)]
pub struct Args {
    /// Cases to play; all when none is named
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Rounds of each comparison
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Length of one measurement in seconds
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Settings of landline's nodes: balanced, latency, bulk or many-idle
    #[arg(long, default_value = "balanced", value_parser = parse_profile)]
    pub profile: Profile,
    /// Only beside this rival (may be given several times)
    #[arg(long = "rival", value_name = "NAME")]
    pub rivals: Vec<String>,
    /// Only rows whose detail has this in it (may be given several times)
    #[arg(long = "row", value_name = "TEXT")]
    pub rows: Vec<String>,
    /// Fail when a ratio is below what is promised of it
    #[arg(long)]
    pub hold: bool,
    /// Print one JSON object a line: first the machine, then each comparison
    #[arg(long)]
    pub json: bool,
    /// Write a page with plots as well
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Be one end of a measurement: how this program starts itself
    #[arg(long, hide = true, exclusive = true, value_name = "ASSIGNMENT")]
    pub end: Option<String>,
}

impl Args {
    /// The cases that were named, in the order of the list; all when none was.
    ///
    /// # Errors
    /// A name that is no case, with those that are.
    pub fn chosen(&self) -> Result<Vec<&'static Case>, String> {
        if let Some(stray) = self.cases.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
            let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            return Err(format!("there is no case `{stray}`; the cases are: {}", names.join(", ")));
        }
        Ok(CASES
            .iter()
            .filter(|case| self.cases.is_empty() || self.cases.iter().any(|name| case.name == name))
            .collect())
    }

    /// Whether the comparison with `rival` in the row `detail` is wanted.
    pub fn wants(&self, rival: &str, detail: &str) -> bool {
        let is_rival = self.rivals.is_empty() || self.rivals.iter().any(|wanted| wanted == rival);
        is_rival && (self.rows.is_empty() || self.rows.iter().any(|wanted| detail.contains(wanted)))
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.01..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("a measurement takes 0.01 to 60 seconds".to_owned())
    }
}

fn parse_profile(text: &str) -> Result<Profile, String> {
    let named = Profile::ALL.into_iter().find(|profile| profile.name() == text);
    named.ok_or_else(|| format!("the profiles are: {}", Profile::ALL.map(Profile::name).join(", ")))
}

fn case_list() -> String {
    let lines: Vec<String> = CASES.iter().map(|case| format!("  {:<12} {}", case.name, case.about)).collect();
    format!("Cases:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["compare"].iter().chain(words))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn cases_are_chosen_by_name_and_kept_in_order() {
        let args = parse(&["rtt", "bulk", "--rounds", "3", "--json"]).expect("valid");
        let names: Vec<&str> = args.chosen().expect("both exist").iter().map(|case| case.name).collect();
        assert_eq!((names, args.rounds, args.json), (vec!["bulk", "rtt"], 3, true));
        assert_eq!(parse(&[]).expect("valid").chosen().expect("all").len(), CASES.len());
    }

    #[test]
    fn an_unknown_case_is_refused_with_the_list() {
        let error = parse(&["bulk", "speed"]).expect("parsed").chosen().expect_err("no such case");
        assert!(error.contains("`speed`") && error.contains("rate-64"), "{error}");
    }

    #[test]
    fn numbers_have_bounds() {
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["--profile", "quick"]).is_err());
        assert_eq!(parse(&["--profile", "bulk"]).expect("valid").profile, Profile::Bulk);
        assert!(parse(&["--seconds", "0"]).is_err());
        assert!(parse(&["--seconds", "NaN"]).is_err());
        assert_eq!(parse(&["--seconds", "0.25"]).expect("valid").seconds, Duration::from_millis(250));
    }

    #[test]
    fn rivals_are_filtered_by_name() {
        let args = parse(&["--rival", "raw"]).expect("valid");
        assert!(args.wants("raw", "64 KiB") && !args.wants("rustls", "64 KiB"));
        assert!(parse(&[]).expect("valid").wants("anybody", "anything"));
        let args = parse(&["sync", "--row", "2 GiB,"]).expect("valid");
        assert!(args.wants("rsync", "2 GiB, first copy") && !args.wants("rsync", "20,000 files, first copy"));
    }
}

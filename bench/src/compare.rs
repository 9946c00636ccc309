//! A run: the cases that were asked for, a line as each comparison is done.

use crate::Failure;
use crate::args::Args;
use crate::cases::{Case, holds};
use crate::contest::{Build, Contestant, Outcome, Pair, play};
use crate::machine::Machine;
use crate::output::{case_heading, machine_line, outcome_line, outcome_rows};
use crate::setup::Setup;
use crate::work::Stack;
use crate::{ends, null, output};
use clap::Parser;
use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

/// The program: exit code 0 when all was measured, 1 when something failed, 2 for a wrong command line.
pub fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(assignment) = &args.end {
        return match ends::run(assignment) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        };
    }
    let cases = match args.chosen() {
        Ok(cases) => cases,
        Err(error) => return fail(&error.into(), 2),
    };
    match Run::start(&args).and_then(|run| run.play(&cases)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &Failure, code: u8) -> ExitCode {
    eprintln!("compare: {error}");
    ExitCode::from(code)
}

struct Run<'a> {
    args: &'a Args,
    setup: Setup,
    machine: Machine,
    /// Rivals of which it has been said that they are left out.
    left_out: BTreeSet<&'static str>,
    outcomes: Vec<Outcome>,
    is_whole: bool,
}

impl<'a> Run<'a> {
    fn start(args: &'a Args) -> Result<Run<'a>, Failure> {
        let setup = Setup::new(args.seconds, args.profile)?;
        let machine = Machine::look(&setup);
        if args.json {
            println!("{}", machine_line(&machine));
        } else {
            let Machine {
                machine, kernel, commit, rustc, gcm, congestion_control, buffers, profile, tree_place, ..
            } = &machine;
            println!("{machine}; {kernel}\ncommit {commit}; {rustc}; AES-GCM: {gcm}");
            println!("TCP: {congestion_control}, no delay, buffers {buffers}; the same for both sides");
            println!("landline's profile: {profile}; trees of files in {tree_place}");
            println!("{} rounds of {:?}; a ratio above 1: landline is better", args.rounds, args.seconds);
        }
        Ok(Run { args, setup, machine, left_out: BTreeSet::new(), outcomes: Vec::new(), is_whole: true })
    }

    /// Plays all; whether every comparison succeeded.
    fn play(mut self, cases: &[&'static Case]) -> Result<bool, Failure> {
        for case in cases {
            if !self.args.json {
                println!("{}", case_heading(case));
            }
            for pair in (case.pairs)() {
                self.play_pair(case, pair);
            }
            if self.args.hold {
                self.look_at_promises(case);
            }
        }
        if let Some(path) = &self.args.html {
            fs::write(path, output::page(&self.machine, &self.outcomes))
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        Ok(self.is_whole)
    }

    /// One comparison; when it fails, the others still have their turn.
    fn play_pair(&mut self, case: &Case, pair: Pair) {
        if !self.args.wants(pair.rival, &pair.detail) || self.is_left_out(&pair) {
            return;
        }
        if let Err(error) = self.build_null(&pair) {
            return self.note_failure(&error);
        }
        match play(case.name, pair, &self.setup, self.args.rounds as usize) {
            Ok(outcome) => {
                println!("{}", if self.args.json { outcome_line(&outcome) } else { outcome_rows(&outcome) });
                self.outcomes.push(outcome);
            }
            Err(error) => self.note_failure(&error),
        }
    }

    /// A ratio below what is promised fails the run, and so does a promise that nothing was measured for.
    fn look_at_promises(&mut self, case: &Case) {
        for (detail, rival, hold) in holds(case.name).filter(|row| self.args.wants(row.1, row.0)) {
            let is_it =
                |outcome: &&Outcome| (outcome.case, &*outcome.detail, outcome.rival) == (case.name, detail, rival);
            let failure = match self.outcomes.iter().find(is_it).map(|outcome| outcome.ratio().median) {
                Some(ratio) if ratio >= hold => continue,
                Some(ratio) => format!("{ratio:.2} is below the promised {hold:.2}"),
                None => format!("{hold:.2} is promised and was not measured"),
            };
            self.note_failure(&format!("{}, {rival}, {detail}: {failure}", case.name).into());
        }
    }

    fn note_failure(&mut self, error: &Failure) {
        eprintln!("compare: {error}");
        self.is_whole = false;
    }

    /// Whether the rival is not to be had here. The first time, says why.
    fn is_left_out(&mut self, pair: &Pair) -> bool {
        let Contestant::Ends(stack, ..) = pair.theirs else { return false };
        let Err(reason) = ends::availability(stack) else { return false };
        if self.left_out.insert(Stack::name(stack)) {
            eprintln!("  {} is left out: {reason}", stack.name());
        }
        true
    }

    /// Builds with the null cipher when the pair needs that, once.
    fn build_null(&mut self, pair: &Pair) -> Result<(), Failure> {
        if matches!(pair.ours, Contestant::Ends(_, _, Build::Null)) && self.setup.null_program.is_none() {
            self.setup.null_program = Some(null::build(&self.setup.program)?);
        }
        Ok(())
    }
}

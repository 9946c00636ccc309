//! wrk, which asks for one peer after the other over connections that stay, for whole seconds.

use super::super::foreign::Foreign;
use super::super::responder;
use super::super::session::Session;
use super::announce::CONNECTION_COUNT;
use crate::Failure;
use crate::statistics::CURVE;
use crate::work::{Assignment, Report};
use serde::Deserialize;
use std::fs;
use std::io::Read;

/// The program.
pub(super) const PROGRAM: &str = "wrk";
/// What precedes our line among those that it prints.
const MARK: &str = "landline ";

/// What the script says when all is over. Times are in microseconds.
#[derive(Deserialize)]
struct Summary {
    seconds: f64,
    cpu_seconds: f64,
    request_count: u64,
    fault_count: u64,
    curve: Vec<f64>,
}

pub(super) fn ask(assignment: &Assignment, peer_count: usize) -> Result<Report, Failure> {
    let place = tempfile::tempdir()?;
    let script = place.path().join("look-up.lua");
    fs::write(&script, include_str!("look_up.lua"))?;
    let seconds = assignment.length.as_secs_f64().ceil().max(1.0) as u64;
    let url = format!("http://{}/", responder(assignment)?.address);
    let mut arguments: Vec<String> =
        ["-t", "1", "-c", &CONNECTION_COUNT.to_string(), "-d", &format!("{seconds}s"), "-s"].map(str::to_owned).into();
    arguments.extend([script.display().to_string(), url, "--".to_owned(), peer_count.to_string()]);
    let session = Session::begin(assignment)?;
    let said = run(&arguments)?;
    session.end()?;
    let line = said.lines().find_map(|line| line.strip_prefix(MARK)).ok_or_else(|| format!("wrk says: {said}"))?;
    let summary: Summary = serde_json::from_str(line)?;
    if summary.curve.len() != CURVE.len() {
        return Err("wrk's script and `statistics::CURVE` differ in their percentiles".into());
    }
    if summary.fault_count > 0 {
        return Err(format!("{} requests have failed: {said}", summary.fault_count).into());
    }
    Ok(Report {
        seconds: summary.seconds,
        cpu_seconds: summary.cpu_seconds,
        count: Some(summary.request_count),
        curve_ns: summary.curve.iter().map(|time| (time * 1e3) as u64).collect(),
        ..Report::default()
    })
}

fn run(arguments: &[String]) -> Result<String, Failure> {
    let mut wrk = Foreign::start(PROGRAM, arguments)?;
    let mut said = String::new();
    wrk.0.stdout.take().ok_or("wrk has no output")?.read_to_string(&mut said)?;
    Ok(said)
}

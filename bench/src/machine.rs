//! Where and with what a run was made: the first line of `--json`, the foot of a page.

use crate::setup::Setup;
use landline::crypto::gcm::Implementation;
use serde::Serialize;
use std::process::Command;

/// All that a reader needs to judge the figures, or to repeat them.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processor, and how many of its cores there are.
    pub machine: String,
    /// Name and release of the kernel.
    pub kernel: String,
    /// Of this repository; with `+` when files were changed.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// Profile, features and `RUSTFLAGS`.
    pub flags: String,
    /// TCP congestion control of every stack that has TCP; the cases `directory` and `sync` leave it to the system.
    pub congestion_control: String,
    /// Which implementation of AES-GCM the engine has chosen.
    pub gcm: &'static str,
    /// Where trees of files are made.
    pub tree_place: String,
    /// Socket buffers.
    pub buffers: &'static str,
    /// The settings of landline's nodes.
    pub profile: &'static str,
}

impl Machine {
    /// This one. What cannot be found out is `unknown`.
    pub fn look(setup: &Setup) -> Machine {
        let proc = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        let cpuinfo = proc("cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let system = or_unknown(proc("sys/net/ipv4/tcp_congestion_control"));
        Machine {
            machine: format!("{}, {cores} cores", model.map_or("unknown processor", |(_, name)| name.trim())),
            kernel: format!("Linux {}", or_unknown(proc("sys/kernel/osrelease"))),
            commit: commit(),
            rustc: or_unknown(output("rustc", &["--version"])),
            flags: flags(),
            congestion_control: match &setup.congestion {
                Some(name) if *name != system => format!("{name}; {system} in the case directory and for rsync"),
                _ => system,
            },
            gcm: Implementation::chosen().name(),
            tree_place: setup.tree_place.display().to_string(),
            buffers: "left to the kernel",
            profile: setup.profile.name(),
        }
    }
}

fn commit() -> String {
    let git = |words: &[&str]| output("git", &[&["-C", env!("CARGO_MANIFEST_DIR")], words].concat());
    let mark = if git(&["status", "--porcelain", "--untracked-files=no"]).trim().is_empty() { "" } else { "+" };
    or_unknown(git(&["rev-parse", "--short=12", "HEAD"])) + mark
}

fn flags() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let rivals = if cfg!(feature = "rivals") { ", rivals" } else { "" };
    let flags = option_env!("RUSTFLAGS").map_or(String::new(), |flags| format!(", RUSTFLAGS={flags}"));
    format!("{profile}{rivals}{flags}")
}

fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn or_unknown(text: String) -> String {
    if text.trim().is_empty() { "unknown".to_owned() } else { text.trim().to_owned() }
}

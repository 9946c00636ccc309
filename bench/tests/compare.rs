//! The program as its users run it: quick, on loopback, and without a word about how fast anything is.

use landline::Profile;
use landline_bench::children::measure;
use landline_bench::ends;
use landline_bench::setup::Setup;
use landline_bench::tree::{Before, Tree};
use landline_bench::work::{Stack, Work};
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;

fn compare(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare")).args(words).output().expect("the program starts")
}

#[test]
fn a_tiny_run_prints_the_machine_and_a_comparison_each_and_writes_the_page() {
    let page = std::env::temp_dir().join(format!("landline-bench-{}.html", std::process::id()));
    let page_name = page.to_str().expect("a path in UTF-8");
    let run = compare(&["rtt", "--rival", "raw", "--rounds", "1", "--seconds", "0.02", "--json", "--html", page_name]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [machine, outcome] = &lines[..] else { panic!("two lines, not {text}") };
    for key in ["machine", "kernel", "commit", "rustc", "flags", "congestion_control", "gcm"] {
        assert!(machine[key].is_string(), "{key}");
    }
    assert_eq!((outcome["case"].as_str(), outcome["rival"].as_str()), (Some("rtt"), Some("raw")));
    assert_eq!((outcome["unit"].as_str(), outcome["rounds"].as_u64()), (Some("µs p50"), Some(1)));
    let html = std::fs::read_to_string(&page).expect("the page is there");
    std::fs::remove_file(&page).expect("and can go");
    assert!(html.contains("<polyline"));
}

#[test]
fn a_tiny_flow_arrives_whole() {
    let run = compare(&["bulk", "--rival", "raw", "--rounds", "1", "--seconds", "0.02"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    assert!(
        text.contains("raw, 64 KiB")
            && text.lines().skip_while(|line| !line.is_empty()).all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn a_tiny_load_of_announcements_is_taken() {
    let run = compare(&["directory", "--rival", "verify_strict", "--rounds", "1", "--seconds", "0.02"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stdout).contains("verify_strict, announce"));
}

#[test]
fn a_small_tree_is_copied_by_each_that_is_here() {
    let setup = Setup::new(Duration::from_millis(20), Profile::Balanced).expect("a machine");
    let setup = Setup { program: env!("CARGO_BIN_EXE_compare").into(), ..setup };
    let tree = Tree { directory_count: 2, file_count: 200, file_len_max: 100_000 };
    for stack in [Stack::Sync, Stack::Rsync, Stack::RsyncSsh] {
        if let Err(reason) = ends::availability(stack) {
            eprintln!("{} is not tried: {reason}", stack.name());
            continue;
        }
        for before in [Before::Nothing, Before::Everything, Before::AllButOnePercent] {
            let work = Work::Copy { tree, before };
            measure(&setup.program, &setup, stack, work, Duration::from_secs(60))
                .unwrap_or_else(|error| panic!("{}, {before:?}: {error}", stack.name()));
        }
    }
}

#[test]
fn a_rival_that_is_not_installed_is_left_out_with_a_word() {
    let words = ["directory", "--rival", "nginx", "--rounds", "1"];
    let run = Command::new(env!("CARGO_BIN_EXE_compare")).args(words).env("PATH", "").output().expect("it starts");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && said.contains("nginx is left out: there is no `"), "{said}");
}

#[test]
fn an_unknown_case_is_refused_with_the_list() {
    let run = compare(&["speed"]);
    assert_eq!(run.status.code(), Some(2));
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("`speed`") && said.contains("bulk, bulk-1m"), "{said}");
}

#[test]
fn an_end_that_is_told_nonsense_says_so() {
    let run = compare(&["--end", "{}"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(!run.stderr.is_empty());
}

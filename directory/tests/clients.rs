//! Programs that know nothing of landline talk to the directory as they talk to any server. Each test says that it is
//! skipped where its program is not installed.
#![allow(clippy::unwrap_used)]

mod wire;

use landline_directory::DirectoryConfig;
use std::process::{Command, Output};
use wire::{announcement, put, start};

/// Runs a program; `None`, with a line that says so, where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn curl_announces_waits_for_leave_to_send_and_reads_two_answers_on_one_connection() {
    let running = start(DirectoryConfig::default());
    let url = running.directory().url();
    let (identity, announcement) = announcement(1, "alice", 1);
    let body = announcement.sign(&identity).unwrap().to_json();
    let path = format!("{url}/v1/announcements/{}", identity.peer_id());
    let kind = "Content-Type: application/json";
    let put = ["-sS", "-i", "--max-time", "20", "-T", "-", "-H", kind, "-H", "Expect: 100-continue", &path];
    // With a body from standard input curl sends it in chunks.
    let script = format!("printf %s '{body}' | curl {}", put.map(|word| format!("'{word}'")).join(" "));
    if run("curl", &["--version"]).is_none() {
        return;
    }
    let announced = text(&run("sh", &["-c", &script]).unwrap());
    assert!(announced.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"), "{announced}");
    let twice = [format!("{url}/v1/peers/alice"), format!("{url}/healthz")];
    let format = "%{http_code} %{num_connects}\n";
    let both = run(
        "curl",
        &["-sS", "--max-time", "20", "-o", "/dev/null", "-o", "/dev/null", "-w", format, &twice[0], &twice[1]],
    );
    assert_eq!(text(&both.unwrap()), "200 1\n200 0\n", "the second needs no connection of its own");
    assert!(text(&run("curl", &["-sS", "-I", &twice[0]]).unwrap()).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn python_keeps_its_connection_over_get_head_and_errors() {
    let running = start(DirectoryConfig::default());
    put(&running, 1, "alice", 1);
    let script = r#"
import http.client, json, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=20)
def ask(method, path, body=None, headers={}):
    c.request(method, path, body, headers)
    r = c.getresponse()
    return r, r.read()
r, body = ask("GET", "/v1/peers/alice")
assert r.status == 200 and '"name":"alice"' in json.loads(body)["statement"], body
socket = c.sock
tag = r.headers["ETag"]
r, body = ask("GET", "/v1/peers/alice", headers={"If-None-Match": tag})
assert (r.status, body) == (304, b""), (r.status, body)
r, body = ask("HEAD", "/v1/peers")
assert (r.status, body) == (200, b"") and int(r.headers["Content-Length"]) > 0
r, body = ask("GET", "/v1/peers/nobody")
assert r.status == 404 and r.headers["Content-Type"] == "application/problem+json"
r, body = ask("PUT", "/v1/announcements/x", iter([b"{", b"}"]), {"Content-Type": "application/json"})
assert r.status == 400, r.status
assert c.sock is socket, "one connection for all of it"
print("done")
"#;
    let address = running.directory().address().to_string();
    if let Some(output) = run("python3", &["-c", script, &address]) {
        assert_eq!(text(&output), "done\n");
    }
}

#[test]
fn wrk_meets_no_error() {
    let running = start(DirectoryConfig::default());
    put(&running, 1, "alice", 1);
    let url = format!("{}/v1/peers/alice", running.directory().url());
    if let Some(output) = run("wrk", &["-t1", "-c8", "-d1s", &url]) {
        let report = text(&output);
        assert!(
            report.contains("requests in") && !report.contains("Non-2xx") && !report.contains("Socket errors"),
            "{report}"
        );
    }
}

#[test]
fn systemd_takes_the_unit_and_finds_little_to_reproach() {
    let unit = include_str!("../../docs/landline-directory.service");
    if run("systemd-analyze", &["--version"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landline-directory.service");
    // What is started need not be installed here.
    std::fs::write(&path, unit.replace("/usr/local/bin/landline", "/bin/true")).unwrap();
    let path = path.to_str().unwrap();
    let verified = run("systemd-analyze", &["verify", "--man=no", path]).unwrap();
    let judged = run("systemd-analyze", &["security", "--offline=true", "--threshold=20", path]).unwrap();
    let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours = complaints.lines().any(|line| line.contains("landline-directory"));
    assert!(!ours, "{complaints}");
    let verdict = String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success() || verdict.contains("not supported"), "{verdict}");
}

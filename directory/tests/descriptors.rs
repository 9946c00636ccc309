//! Out of descriptors: accepting rests without spinning, those who are connected are served, and it goes on by itself.
//!
//! The directory runs in a process of its own, this very program started again, because the limit is one of processes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod wire;

use landline_directory::DirectoryConfig;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wire::PATIENCE;

const CHILD: &str = "LANDLINE_TEST_DESCRIPTORS";

/// Not a test: the process that has too few descriptors.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let running = wire::start(DirectoryConfig::default());
    println!("listening on {}", running.directory().address());
    // Until the test ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct Directory {
    process: Child,
    address: SocketAddr,
}

impl Directory {
    fn start(descriptor_count: usize) -> Directory {
        let program = std::env::current_exe().unwrap();
        let script = format!("ulimit -n {descriptor_count}; exec \"$0\" --exact child --nocapture --test-threads=1");
        let mut process = Command::new("sh")
            .args(["-c", &script])
            .arg(program)
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address =
            lines.filter_map(|line| Some(line.split_once("listening on ")?.1.parse().unwrap())).next().unwrap();
        Directory { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Processor time used so far.
    fn used(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux that we know.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One exchange; `None` where no answer comes within `patience`.
fn ask(stream: &mut TcpStream, path: &str, patience: Duration) -> Option<String> {
    stream.set_read_timeout(Some(patience)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let len = stream.read(&mut buffer).ok().filter(|len| *len > 0)?;
        seen.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("Content-Length: ").unwrap().1.split("\r\n").next().unwrap();
            if let Some(body) = body.get(..length.parse().unwrap()) {
                return Some(body.to_owned());
            }
        }
    }
}

#[test]
fn accepting_rests_without_spinning_and_goes_on_when_descriptors_are_free() {
    let directory = Directory::start(40);
    let mut first = directory.connect();
    assert_eq!(ask(&mut first, "/healthz", PATIENCE).as_deref(), Some("ok\n"));
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| directory.connect()).collect();
    // The last is in the kernel's queue: nobody has a descriptor for it.
    assert_eq!(ask(crowd.last_mut().unwrap(), "/healthz", Duration::from_millis(300)), None);

    let (before, began) = (directory.used(), Instant::now());
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(ask(&mut first, "/healthz", PATIENCE).as_deref(), Some("ok\n"), "who is connected is served");
        std::thread::sleep(Duration::from_millis(50));
    }
    let used = directory.used() - before;
    assert!(used < began.elapsed() / 4, "it spins: {used:?}");
    let metrics = ask(&mut first, "/metrics", PATIENCE).unwrap();
    let pauses = metrics.lines().find_map(|line| line.strip_prefix("landline_directory_accept_pauses_total ")).unwrap();
    assert!(pauses.parse::<u64>().unwrap() > 0);

    crowd.drain(..50);
    let body = ask(crowd.last_mut().unwrap(), "/healthz", PATIENCE);
    assert_eq!(body.as_deref(), Some("ok\n"), "it goes on when descriptors are free");
}

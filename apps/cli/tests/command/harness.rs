//! Running the command: homes of their own, processes that are ended with the test, lines that are waited for.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far above what anything here takes, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Somebody who uses the command: a home directory and a directory URL.
pub(crate) struct User {
    home: TempDir,
    directory: String,
}

/// What a finished run has given.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run that goes on.
pub(crate) struct Running {
    pid: Pid,
    lines: Receiver<(Stream, String)>,
    status: Receiver<ExitStatus>,
    stdin: Option<ChildStdin>,
    /// All lines so far.
    seen: Vec<(Stream, String)>,
    /// Those that nobody has waited for yet.
    waiting: Vec<(Stream, String)>,
    has_ended: bool,
}

/// Which of the two a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A command with nothing of the environment of whoever runs the tests.
pub(crate) fn landline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landline"));
    for variable in ["LANDLINE_HOME", "LANDLINE_DIRECTORY", "LANDLINE_LOG", "XDG_DATA_HOME", "NO_COLOR", "LOGNAME"] {
        command.env_remove(variable);
    }
    command.env("USER", "alice");
    command
}

impl User {
    pub(crate) fn new(directory: &str) -> Self {
        Self { home: TempDir::new().unwrap(), directory: directory.to_owned() }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command of this user.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = landline();
        command.arg("--home").arg(self.home()).args(["--directory", &self.directory]).args(args);
        command
    }

    /// Runs a command to its end, without input.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        finish(self.command(args), b"")
    }

    /// Runs a command to its end, with input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Finished {
        finish(self.command(args), input)
    }

    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        Running::start(self.command(args))
    }

    /// The PeerId, by the user's own command.
    pub(crate) fn peer_id(&self) -> String {
        let finished = self.run(["id", "--json"]);
        let object: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        object["peer_id"].as_str().unwrap().to_owned()
    }
}

impl Finished {
    /// Checks the exit code and that stderr says each of `words`.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in {self:?}");
        }
    }

    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        read_lines(Stream::Stdout, child.stdout.take().unwrap(), sender.clone());
        read_lines(Stream::Stderr, child.stderr.take().unwrap(), sender);
        let stdin = child.stdin.take();
        let pid = Pid::from_child(&child);
        let (ended, status) = channel();
        thread::spawn(move || ended.send(child.wait().unwrap()));
        Self { pid, lines, status, stdin, seen: Vec::new(), waiting: Vec::new(), has_ended: false }
    }

    /// Waits for a line that contains `words`; gives it.
    pub(crate) fn line_with(&mut self, words: &str) -> String {
        self.line_where(words, |_, line| line.contains(words))
    }

    /// Waits for a line on stdout.
    pub(crate) fn stdout_line(&mut self, line: &str) {
        self.line_where(line, |stream, found| stream == Stream::Stdout && found == line);
    }

    /// Lines of the other stream stay: which of the two is read first is chance. So do later lines of the same one.
    fn line_where(&mut self, what: &str, is_it: impl Fn(Stream, &str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut looked_at = 0;
        loop {
            if let Some(index) =
                (looked_at..self.waiting.len()).find(|at| is_it(self.waiting[*at].0, &self.waiting[*at].1))
            {
                let later = self.waiting.split_off(index + 1);
                let Some((stream, line)) = self.waiting.pop() else { unreachable!("it was found") };
                self.waiting.retain(|(from, _)| *from != stream);
                self.waiting.extend(later);
                return line;
            }
            looked_at = self.waiting.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("waited for {what:?} and saw {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            self.waiting.push(line);
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Takes its input over, so that waiting for its end does not close it.
    pub(crate) fn hold_input(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Closes its input and waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        let status = self.status.recv_timeout(DEADLINE);
        let status = status.unwrap_or_else(|_| panic!("it did not end; it said {:#?}", self.seen));
        self.has_ended = true;
        let rest: Vec<_> = self.lines.iter().collect();
        self.seen.extend(rest);
        let text = |stream| {
            let lines = self.seen.iter().filter(|(from, _)| *from == stream);
            lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        Finished { code: status.code(), stdout: text(Stream::Stdout), stderr: text(Stream::Stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended && self.status.try_recv().is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
            let _ = self.status.recv_timeout(DEADLINE);
        }
    }
}

/// Runs any command to its end.
pub(crate) fn finish(command: Command, input: &[u8]) -> Finished {
    let mut running = Running::start(command);
    let mut stdin = running.stdin.take().unwrap();
    let input = input.to_vec();
    // Whoever does not read all of it has its reasons.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let finished = running.finish();
    writer.join().unwrap();
    finished
}

fn read_lines(stream: Stream, from: impl Read + Send + 'static, sender: Sender<(Stream, String)>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            if sender.send((stream, text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// A directory that runs.
pub(crate) struct Directory {
    pub(crate) url: String,
    pub(crate) running: Running,
}

impl Directory {
    pub(crate) fn start() -> Self {
        Self::start_with(["--ephemeral"])
    }

    /// One with these arguments, on a port of its own.
    pub(crate) fn start_with<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::start_at("127.0.0.1:0", args)
    }

    pub(crate) fn start_at<S: AsRef<OsStr>>(address: &str, args: impl IntoIterator<Item = S>) -> Self {
        let mut command = landline();
        command.args(["directory", "--listen", address]).args(args);
        let mut running = Running::start(command);
        let line = running.line_with("export LANDLINE_DIRECTORY=");
        let (_, url) = line.split_once('=').unwrap();
        Self { url: url.to_owned(), running }
    }
}

/// A peer that listens and is announced.
pub(crate) struct Listener {
    pub(crate) user: User,
    pub(crate) running: Running,
    pub(crate) save_to: PathBuf,
    /// `PEERID@IP:PORT`.
    pub(crate) exact: String,
    _files: Option<TempDir>,
}

impl Listener {
    /// Bob, who lets everybody in.
    pub(crate) fn start(directory: &Directory) -> Self {
        Self::start_with(directory, &["--accept", "any"])
    }

    pub(crate) fn start_with(directory: &Directory, args: &[&str]) -> Self {
        let files = TempDir::new().unwrap();
        let user = User::new(&directory.url);
        let listener = Self::start_as(user, files.path(), args);
        Self { _files: Some(files), ..listener }
    }

    /// Bob as `user`, with his files in `save_to`.
    pub(crate) fn start_as(user: User, save_to: &Path, args: &[&str]) -> Self {
        let mut command = user.command(["listen", "--name", "bob", "--listen", "127.0.0.1:0", "--save-to"]);
        command.arg(save_to).args(args);
        let mut running = Running::start(command);
        let exact = reached_as(&mut running);
        running.line_with("announced as bob");
        Self { user, running, save_to: save_to.to_owned(), exact, _files: None }
    }

    pub(crate) fn address(&self) -> &str {
        self.exact.split_once('@').unwrap().1
    }

    /// What is in the save directory.
    pub(crate) fn saved(&self) -> Vec<String> {
        names(&self.save_to)
    }
}

/// Where a listener says that it is reached.
pub(crate) fn reached_as(running: &mut Running) -> String {
    let line = running.line_with("reached as");
    line.split_whitespace().last().unwrap().to_owned()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

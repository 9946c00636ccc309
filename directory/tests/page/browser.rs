//! A browser for tests: headless Chromium behind its driver, by the W3C WebDriver protocol over a plain socket.
//!
//! Debian's packages `chromium` and `chromium-driver` have what it needs. Where they are absent a test says so and is
//! skipped, unless `LANDLINE_REQUIRE_BROWSER` is set. One browser at a time: it wants a whole core.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Far more than anything here takes, so that a hang shows as a failure.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const FLAGS: [&str; 10] = [
    "--headless",
    // Containers have no user namespaces, and what is visited is ours.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-crash-reporter",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// The key Tab, as WebDriver has it.
pub(crate) const TAB: &str = "\u{e004}";
/// The key Enter.
pub(crate) const ENTER: &str = "\u{e007}";

static TURN: Mutex<()> = Mutex::new(());

/// A browser with one page and a profile of its own, both gone when it is dropped.
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    /// What it would leave in the system's temporary directory.
    scratch: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one, if there is one.
    pub(crate) fn start() -> Option<Browser> {
        Browser::start_with(&json!({}))
    }

    /// Starts one that lets no page run scripts. Those of the test run.
    pub(crate) fn start_without_scripts() -> Option<Browser> {
        Browser::start_with(&json!({ "profile.managed_default_content_settings.javascript": 2 }))
    }

    fn start_with(preferences: &Value) -> Option<Browser> {
        let is_here = |program: &str| {
            let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        let missing = ["chromium", "chromedriver"].into_iter().find(|program| !is_here(program));
        if let Some(program) = missing {
            let line = format!("{program} is not here; Debian has it in the packages chromium and chromium-driver");
            assert!(std::env::var_os("LANDLINE_REQUIRE_BROWSER").is_none(), "{line}");
            // Straight to the descriptor: what the macros print is not shown for a test that passes.
            let _ = std::io::stderr().write_all(format!("skipped: {line}\n").as_bytes());
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        // The port that it finds free for IPv6 may be taken for IPv4: then it ends.
        let (driver, port) = (0..5).find_map(|_| start_driver(&scratch)).unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut browser = Browser { driver, address, session: String::new(), scratch, _turn: turn };
        let options = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": FLAGS, "prefs": preferences },
        });
        let session = browser.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": options } }));
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    /// Goes to `url`.
    pub(crate) fn visit(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs the body of a function in the page and gives what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until the expression is true in the page.
    pub(crate) fn wait_until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({expression})")) != Value::Bool(true) {
            let page = || self.run("return document.body.innerText");
            assert!(Instant::now() < deadline, "never came true: {expression}\n{}", page());
            std::thread::sleep(PAUSE);
        }
    }

    /// Types keys, one after the other, into whatever has the focus.
    pub(crate) fn press(&self, keys: &str) {
        let strokes = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// Asks the browser what WebDriver has no word for, by its own protocol.
    pub(crate) fn command(&self, command: &str, params: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// Gives the page so many pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the console has said since it was last asked: errors of scripts, refused by policy, not found.
    pub(crate) fn console(&self) -> Vec<String> {
        let lines = self.post("se/log", &json!({ "type": "browser" }));
        lines.as_array().unwrap().iter().map(|line| line["message"].to_string()).collect()
    }

    fn post(&self, resource: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{resource}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.try_ask(method, path, body).unwrap();
        assert!(value["error"].is_null(), "{path}: {value}");
        value
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.to_string();
        let host = &self.address;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut len = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    len = value.trim().parse().map_err(std::io::Error::other)?;
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; len];
        reader.read_exact(&mut answer)?;
        Ok(serde_json::from_slice::<Value>(&answer)?["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser and removes its profile; a driver that is killed without would leave both behind.
        let ended = self.try_ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
        let is_ended = ended.is_ok_and(|value| value.is_null());
        assert!(is_ended || std::thread::panicking(), "the browser was left behind");
    }
}

/// The driver, and the port that it has taken.
fn start_driver(scratch: &Path) -> Option<(Child, u16)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").env("TMPDIR", scratch).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port =
        lines.find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
    // Somebody has to read what it says later.
    std::thread::spawn(move || lines.for_each(drop));
    match port {
        Some(port) => Some((driver, port)),
        None => {
            driver.wait().unwrap();
            None
        }
    }
}

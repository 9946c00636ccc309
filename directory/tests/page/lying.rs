//! A directory that lies: its page is that of a real one, what it says of peers and of itself is the test's own.
//!
//! No real directory lists a peer whose name is markup, and none counts exactly what a test wants to see, so only this one
//! shows what the page would make of it.

use landline_directory::RunningDirectory;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Serves until the test's process ends.
pub(crate) struct LyingDirectory {
    address: SocketAddr,
}

/// What it says.
struct Lies {
    events: String,
    metrics: Vec<String>,
    asked_count: AtomicUsize,
}

impl LyingDirectory {
    /// Passes everything on to `real` but `/v1/watch`, which is answered with `events`, and `/metrics`, which is answered with
    /// the first of `metrics`, then the second, and so on, the last for ever; by `real` where there is none.
    pub(crate) fn start(real: &RunningDirectory, events: String, metrics: Vec<String>) -> LyingDirectory {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let real = real.directory().address();
        let lies = Arc::new(Lies { events, metrics, asked_count: AtomicUsize::new(0) });
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let lies = lies.clone();
                // A browser that goes away in between is no failure.
                std::thread::spawn(move || serve(stream, real, &lies));
            }
        });
        LyingDirectory { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn serve(mut stream: TcpStream, real: SocketAddr, lies: &Lies) -> std::io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(char::from(byte[0]));
    }
    if head.starts_with("GET /v1/watch") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
        stream.write_all(lies.events.as_bytes())?;
        // Until the browser closes it.
        stream.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    if !lies.metrics.is_empty() && head.starts_with("GET /metrics") {
        let turn = lies.asked_count.fetch_add(1, Ordering::Relaxed);
        let text = lies.metrics.get(turn).or(lies.metrics.last()).map_or("", String::as_str);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")?;
        return stream.write_all(text.as_bytes());
    }
    let mut upstream = TcpStream::connect(real)?;
    let target = head.split(' ').nth(1).unwrap_or("/");
    upstream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {real}\r\nConnection: close\r\n\r\n").as_bytes())?;
    std::io::copy(&mut upstream, &mut stream)?;
    Ok(())
}

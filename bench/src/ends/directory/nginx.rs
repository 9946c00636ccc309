//! nginx with one worker that answers everything with the same text: the quickest that HTTP gets in a server that people
//! use. The text is one of the directory's own answers, and the header fields are those of the directory.

use super::exchange::Exchange;
use super::foreign::Foreign;
use super::{peers, serve, session};
use crate::Failure;
use crate::meter::OutsideMeter;
use crate::work::Report;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The program.
pub(super) const PROGRAM: &str = "nginx";

/// How long it may take to come up.
const START: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// Runs it until the session ends.
pub(super) fn serve() -> Result<Report, Failure> {
    let answer = directory_answer()?;
    let place = tempfile::tempdir()?;
    let address = free_address()?;
    let file = place.path().join("nginx.conf");
    fs::write(&file, configuration(place.path(), address, &answer))?;
    let directory = place.path().as_os_str();
    let nginx = Foreign::start(
        PROGRAM,
        ["-e".as_ref(), "stderr".as_ref(), "-p".as_ref(), directory, "-c".as_ref(), file.as_os_str()],
    )?;
    await_listener(address)?;
    let pid = nginx.0.id();
    session::attend(address, || OutsideMeter::start(pid), |meter| meter.stop())
}

/// What the directory answers when a peer is looked up.
fn directory_answer() -> Result<String, Failure> {
    let (running, address) = serve::start(1)?;
    let mut exchange = Exchange::connect(address)?;
    exchange.send(format!("GET /v1/peers/{} HTTP/1.1\r\nHost: a\r\n\r\n", peers::name(0)).as_bytes())?;
    let body = String::from_utf8(exchange.receive()?)?;
    running.stop()?;
    Ok(body)
}

/// A port that was free a moment ago: nginx cannot be asked which one it has taken.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn await_listener(address: SocketAddr) -> Result<(), Failure> {
    let until = Instant::now() + START;
    while let Err(error) = TcpStream::connect(address) {
        if Instant::now() > until {
            return Err(format!("nginx does not listen at {address}: {error}").into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// One process without privileges that writes to nowhere but `place`.
fn configuration(place: &Path, address: SocketAddr, answer: &str) -> String {
    let answer = answer.replace('\\', "\\\\").replace('\'', "\\'");
    let place = place.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {place}/pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\ndefault_type application/json;\nserver_tokens off;\n\
         keepalive_requests 1000000000;\nkeepalive_timeout 3600;\n\
         client_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\nfastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi;\nscgi_temp_path {place}/scgi;\n\
         server {{\nlisten {address};\nlocation / {{\n\
         add_header Cache-Control no-store;\nadd_header X-Content-Type-Options nosniff;\n\
         return 200 '{answer}';\n}}\n}}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_its_quotes() {
        let text = configuration(Path::new("/p"), ([127, 0, 0, 1], 80).into(), r#"{"a":"\"b\""}"#);
        assert!(text.contains(r#"return 200 '{"a":"\\"b\\""}';"#), "{text}");
    }
}

//! The page for people, in a real browser, in front of a real directory.
#![allow(clippy::unwrap_used)]

mod access;
mod browser;
mod lies;
mod live;
mod lying;

use browser::Browser;
use landline::Identity;
use landline_directory::{Announcement, Client, DirectoryConfig, RunningDirectory};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

const IS_LIVE: &str = "document.getElementById('stream').dataset.state === 'live'";

fn start_at(address: &str) -> RunningDirectory {
    RunningDirectory::start(address.parse().unwrap(), DirectoryConfig::default()).unwrap()
}

fn start() -> RunningDirectory {
    start_at("127.0.0.1:0")
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// A peer's announcement, as its node would send it.
fn peer(seed: u8, name: &str, services: &[&str]) -> Announcement {
    Announcement {
        peer_id: identity(seed).peer_id(),
        name: name.parse().unwrap(),
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], 4000 + u16::from(seed)))],
        services: services.iter().map(|&service| service.to_owned()).collect(),
        sequence: 1,
        lease: Duration::from_secs(60),
    }
}

fn announce(running: &RunningDirectory, seed: u8, announcement: &Announcement) {
    let client = Client::new(&running.directory().url()).unwrap();
    client.announce(announcement.peer_id, &announcement.sign(&identity(seed)).unwrap()).unwrap();
}

/// The page of `running`, once its stream is live. The browser would lose the mark by a reload.
fn open(browser: &Browser, url: &str) {
    browser.visit(url);
    browser.wait_until(IS_LIVE);
    browser.run("window.mark = 1");
}

fn assert_same_page_without_complaints(browser: &Browser) {
    assert_eq!(browser.run("return window.mark"), 1, "the page was loaded again");
    assert_eq!(browser.console(), Vec::<String>::new());
}

fn names(browser: &Browser) -> Value {
    browser.run("return [...document.querySelectorAll('#rows .name')].map((name) => name.textContent)")
}

fn row_with(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('#rows tr')].find((row) => row.querySelector('.name').textContent === '{name}')"
    )
}

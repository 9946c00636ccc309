//! `landline demo`: a directory and two peers in this process, on loopback, and a tap that records what is between them.
//!
//! Nothing here is assumed: messages are counted where they are said and where they are heard, files are hashed again from
//! the disk, and plaintext is searched for in what the tap recorded.

mod party;
mod place;
mod report;
mod tap;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use landline::{Identity, LinkId};
use landline_directory::{
    Announcement, Client, DirectoryConfig, Name, RunningDirectory, SequenceMemory, next_sequence,
};
use landline_services::files::{SaveDirectory, SourceFile};

use crate::failure::{Exit, Failure, Result};
use crate::home::random_seed;
use crate::peer::Target;
use crate::signals;

use party::{ALICE_LINES, Party, Served};
use place::{Place, hash_file, write_source, write_text};
use report::{Report, Teller};
use tap::Tap;

/// Size of the first file, which goes through the tap: enough records to search in, little enough to keep in memory.
const FIRST_FILE_LEN: u64 = 256 * 1024;
/// How long the announcements of the demo hold: longer than it takes to look them up.
const LEASE: Duration = Duration::from_secs(60);

/// Runs the demo; fails unless everything matched.
pub(crate) fn run(size: u64, as_json: bool) -> Result<()> {
    let signals = signals::watch()?;
    let teller = Teller::new(as_json);
    let place = Place::choose(size.saturating_mul(2).saturating_add(2 * FIRST_FILE_LEN))?;
    let mut stage = Stage::build(&place, &signals)?;
    teller.introduce(&stage.directory_url(), &stage.alice.peer_id(), &stage.bob_id.peer_id(), &place);
    let outcome = play(&mut stage, &place, size, &teller);
    // Whatever has happened: bob ends, and what he counted is part of the report.
    let served = stage.strike();
    let report = outcome?.complete(served?);
    teller.conclude(&report)?;
    if report.all_matched() {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, format!("the demo did not hold: {}", report.mismatches().join(", "))))
    }
}

/// The scenes, one after the other.
fn play(stage: &mut Stage, place: &Place, size: u64, teller: &Teller) -> Result<Report> {
    let mut report = Report { directory_url: stage.directory_url(), stored_in: place.shown(), ..Report::default() };
    let tapped = stage.meet(stage.tap.address())?;
    teller.met(stage.tap.address());
    stage.chat(tapped, &mut report)?;
    teller.chatted(&report);
    stage.send_first(tapped, place, &mut report)?;
    report.search(&stage.tap.recorded());
    teller.searched(&report);
    stage.alice.part(tapped)?;
    let source = write_source(&place.path("source"), size, &stage.signals)?;
    let straight = stage.meet(stage.bob_address)?;
    teller.met_again(stage.bob_address);
    stage.send_straight(straight, place, &source, &mut report)?;
    stage.alice.part(straight)?;
    Ok(report)
}

/// Who and what takes part.
struct Stage {
    directory: RunningDirectory,
    client: Client,
    alice: Party,
    bob_id: Identity,
    bob_address: SocketAddr,
    bob: JoinHandle<Result<Served>>,
    stop_bob: Sender<()>,
    tap: Tap,
    sequence: u64,
    signals: Receiver<()>,
}

impl Stage {
    fn build(place: &Place, signals: &Receiver<()>) -> Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let directory = RunningDirectory::start(loopback, DirectoryConfig::default())
            .map_err(|error| Failure::io("cannot start a directory on loopback", &error))?;
        let client =
            Client::new(&directory.directory().url()).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let alice = Party::new(Identity::from_seed(random_seed()?), signals.clone())?;
        let bob_seed = random_seed()?;
        // Bob's events have no signals: he goes on until alice is done or has given up.
        let mut bob = Party::new(Identity::from_seed(bob_seed), crossbeam_channel::never())?;
        let bob_address = bob.listen(loopback)?;
        let saving = SaveDirectory::open(&place.path("received"))
            .map_err(|error| Failure::io("cannot open the demo's save directory", &error))?;
        let tap = Tap::start(bob_address).map_err(|error| Failure::io("cannot start the tap", &error))?;
        let (stop_bob, stopped) = bounded(1);
        let bob = std::thread::Builder::new()
            .name("bob".to_owned())
            .spawn(move || bob.serve(saving, &stopped))
            .map_err(|error| Failure::io("cannot start bob's thread", &error))?;
        let bob_id = Identity::from_seed(bob_seed);
        let signals = signals.clone();
        Ok(Self { directory, client, alice, bob_id, bob_address, bob, stop_bob, tap, sequence: 0, signals })
    }

    fn directory_url(&self) -> String {
        self.directory.directory().url()
    }

    /// Bob announces `address`; alice looks him up by name and dials what she finds.
    fn meet(&mut self, address: SocketAddr) -> Result<LinkId> {
        let failed = |error| Failure::directory(&error);
        let name: Name = "bob".parse().map_err(|error| Failure::new(Exit::Failed, format!("{error}")))?;
        self.sequence = next_sequence(self.sequence, SystemTime::now());
        let announcement = Announcement {
            peer_id: self.bob_id.peer_id(),
            name: name.clone(),
            addresses: vec![address],
            services: vec!["chat".to_owned(), "files".to_owned()],
            sequence: self.sequence,
            lease: LEASE,
        };
        let signed = announcement.sign(&self.bob_id).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        self.client.announce(self.bob_id.peer_id(), &signed).map_err(failed)?;
        let found = self.client.lookup_name(&name, &mut SequenceMemory::new()).map_err(failed)?.announcement;
        let target =
            Target { shown: found.name.to_string(), peer: found.peer_id, addresses: found.addresses, to_pin: None };
        self.alice.reach(&target)
    }

    /// Says alice's lines one by one and waits for bob's answer to each.
    fn chat(&mut self, link: LinkId, report: &mut Report) -> Result<()> {
        let line = self.alice.open_chat(link)?;
        for text in ALICE_LINES {
            let before = self.tap.recorded().to_bob.len();
            self.alice.say(line, text)?;
            let answer = self.alice.hear()?;
            if report.sample.is_empty() {
                report.sample = self.tap.recorded().to_bob[before..].to_vec();
                report.sample.truncate(report::SAMPLE_LEN);
            }
            report.heard_by_alice.push(answer);
        }
        report.said_by_alice = ALICE_LINES.len() as u64;
        Ok(())
    }

    fn send_first(&mut self, link: LinkId, place: &Place, report: &mut Report) -> Result<()> {
        let path = place.path("letter.txt");
        report.first_file = write_text(&path, FIRST_FILE_LEN)?;
        let confirmed = self.alice.send(link, open(&path)?)?;
        let stored = hash_file(&place.path("received").join(&confirmed.name), &self.signals)?;
        let sent = *blake3::hash(&report.first_file).as_bytes();
        report.first_matched = stored == (sent, report.first_file.len() as u64) && confirmed.hash == sent;
        Ok(())
    }

    fn send_straight(
        &mut self,
        link: LinkId,
        place: &Place,
        source: &([u8; 32], u64),
        report: &mut Report,
    ) -> Result<()> {
        let file = open(&place.path("source"))?;
        let started = Instant::now();
        let confirmed = self.alice.send(link, file)?;
        report.time = started.elapsed();
        let stored = hash_file(&place.path("received").join(&confirmed.name), &self.signals)?;
        report.file_len = stored.1;
        report.hash = stored.0;
        report.straight_matched = stored == *source && (confirmed.hash, confirmed.len) == *source;
        Ok(())
    }

    /// Ends everything, in order; gives what bob has counted.
    fn strike(self) -> Result<Served> {
        drop(self.alice);
        drop(self.stop_bob);
        let served = self.bob.join().map_err(|_| Failure::new(Exit::Failed, "bob's thread has panicked"))?;
        drop(self.tap);
        self.directory.stop().map_err(|error| Failure::io("the directory ended with an error", &error))?;
        served
    }
}

fn open(path: &Path) -> Result<SourceFile> {
    SourceFile::open(path)
        .map_err(|fault| Failure::new(Exit::Failed, format!("cannot send {}: {fault}", path.display())))
}

//! Keeps a peer announced, from a thread of its own, until it is stopped.
//!
//! It announces, renews at a third of the lease, tries again with back-off while the directory is away (and thereby returns
//! after the directory's restart), and withdraws at the end. What happens is told through a channel of events.

use super::{Client, ClientError, Granted};
use crate::announcement::{Announcement, Name, Withdrawal, next_sequence};
use crate::interfaces::interface_ips;
use crate::limits::{
    ADDRESS_COUNT_MAX, ANNOUNCE_PAUSE_MAX, ANNOUNCE_PAUSE_MIN, LEASE_MAX, LEASE_MIN, SEQUENCE_ADOPT_MAX,
};
use landline::Identity;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Events that wait to be taken; further ones are dropped, since the next renewal tells the same again.
const EVENT_COUNT_MAX: usize = 64;

/// What is announced.
#[derive(Clone, Debug)]
pub struct AnnouncerPlan {
    /// The peer's name.
    pub name: Name,
    /// Where it listens.
    pub addresses: Addresses,
    /// What it offers.
    pub services: Vec<String>,
    /// The lease to ask for.
    pub lease: Duration,
    /// The highest sequence that this identity has used, as far as stored; 0 for none.
    pub last_sequence: u64,
}

/// Which addresses are announced.
#[derive(Clone, Debug)]
pub enum Addresses {
    /// Always these.
    Fixed(Vec<SocketAddr>),
    /// Those of this host's interfaces, looked up at each renewal, with this port; loopback ones only to a directory on
    /// loopback.
    Interfaces {
        /// Where the peer listens.
        port: u16,
    },
}

/// What the announcer has to tell.
#[derive(Debug)]
pub enum AnnouncerEvent {
    /// This sequence is about to be used: store it, so that the next run goes above it.
    Sequence(u64),
    /// The directory lists the peer.
    Announced(Granted),
    /// It does not, for now; the next try follows.
    Failed {
        /// Why.
        error: ClientError,
        /// When the next try is.
        retry_in: Duration,
    },
    /// The announcement is withdrawn, or the directory did not take the withdrawal. The last event.
    Withdrawn(Result<(), ClientError>),
}

/// A running announcer. Dropping it withdraws the announcement and waits for that: no longer than two requests may take.
pub struct Announcer {
    stop: Option<Sender<()>>,
    last_sequence: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Announcer {
    /// Starts to announce. Also gives the events; they may be left alone.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(
        client: Client,
        identity: Identity,
        plan: AnnouncerPlan,
    ) -> std::io::Result<(Announcer, Receiver<AnnouncerEvent>)> {
        let (stop, stopped) = channel();
        let (events, receiver) = sync_channel(EVENT_COUNT_MAX);
        let last_sequence = Arc::new(AtomicU64::new(plan.last_sequence));
        let worker = Worker { last_sequence: last_sequence.clone(), client, identity, plan, stopped, events };
        let thread = std::thread::Builder::new().name("announcer".to_owned()).spawn(move || worker.run())?;
        Ok((Announcer { stop: Some(stop), last_sequence, thread: Some(thread) }, receiver))
    }

    /// Withdraws the announcement and ends. Gives the highest sequence used, to be stored for the next run.
    pub fn stop(self) -> u64 {
        let last_sequence = self.last_sequence.clone();
        drop(self);
        last_sequence.load(Ordering::Acquire)
    }

    /// The highest sequence used so far.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Acquire)
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the announcer's thread panicked");
        }
    }
}

struct Worker {
    client: Client,
    identity: Identity,
    plan: AnnouncerPlan,
    /// Written by the worker only.
    last_sequence: Arc<AtomicU64>,
    /// Disconnects when the announcer is to end.
    stopped: Receiver<()>,
    events: SyncSender<AnnouncerEvent>,
}

impl Worker {
    fn run(mut self) {
        let mut failure_count = 0;
        let mut is_listed = false;
        loop {
            let pause = match self.announce() {
                Ok(granted) => {
                    failure_count = 0;
                    is_listed = true;
                    self.tell(AnnouncerEvent::Announced(granted));
                    renewal_pause(&granted, self.plan.lease)
                }
                Err(error) => {
                    let retry_in = retry_pause(&error, failure_count);
                    failure_count += 1;
                    tracing::debug!(%error, ?retry_in, "not announced");
                    self.tell(AnnouncerEvent::Failed { error, retry_in });
                    retry_in
                }
            };
            if self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        if is_listed {
            let result = self.withdraw();
            self.tell(AnnouncerEvent::Withdrawn(result));
        }
    }

    fn announce(&mut self) -> Result<Granted, ClientError> {
        let peer_id = self.identity.peer_id();
        let announcement = Announcement {
            peer_id,
            name: self.plan.name.clone(),
            addresses: self.addresses(),
            services: self.plan.services.clone(),
            sequence: self.take_sequence(),
            lease: self.plan.lease,
        };
        let signed = announcement.sign(&self.identity).map_err(ClientError::Misuse)?;
        let result = self.client.announce(peer_id, &signed);
        self.adopt_sequence(&result);
        result
    }

    fn withdraw(&mut self) -> Result<(), ClientError> {
        let peer_id = self.identity.peer_id();
        let withdrawal = Withdrawal { peer_id, sequence: self.take_sequence() };
        let signed = withdrawal.sign(&self.identity).map_err(ClientError::Misuse)?;
        match self.client.withdraw(peer_id, &signed) {
            // The lease ended, or the directory was started anew: what was wanted is so.
            Err(ClientError::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    fn take_sequence(&mut self) -> u64 {
        let sequence = next_sequence(self.last_sequence.load(Ordering::Acquire), SystemTime::now());
        self.last_sequence.store(sequence, Ordering::Release);
        self.tell(AnnouncerEvent::Sequence(sequence));
        sequence
    }

    /// A life before this one may have used higher sequences that nobody stored: the directory says so.
    fn adopt_sequence(&mut self, result: &Result<Granted, ClientError>) {
        if let Err(ClientError::Refused(refusal)) = result
            && let Some(stored) = refusal.sequence.filter(|stored| *stored < SEQUENCE_ADOPT_MAX)
        {
            self.last_sequence.fetch_max(stored, Ordering::AcqRel);
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match &self.plan.addresses {
            Addresses::Fixed(addresses) => addresses.iter().copied().take(ADDRESS_COUNT_MAX).collect(),
            Addresses::Interfaces { port } => {
                let ips = interface_ips(self.client.url().is_loopback());
                ips.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect()
            }
        }
    }

    fn tell(&self, event: AnnouncerEvent) {
        // Nobody listens, or not quickly enough: announcing goes on all the same.
        let _ = self.events.try_send(event);
    }
}

/// When the directory says, within reason: a lying one must not make us rush or sleep. No lease is longer than the one that
/// was asked for, whatever it says.
fn renewal_pause(granted: &Granted, asked: Duration) -> Duration {
    let third = granted.expires_in.min(asked.clamp(LEASE_MIN, LEASE_MAX)) / 3;
    granted.renew_after.clamp(third / 2, third + third / 2).max(LEASE_MIN / 10)
}

/// Exponential back-off with full jitter, behind the time that the directory asks for, as far as that is within our own
/// longest pause.
pub(super) fn retry_pause(error: &ClientError, failure_count: u32) -> Duration {
    let longest = ANNOUNCE_PAUSE_MIN.saturating_mul(1 << failure_count.min(16)).min(ANNOUNCE_PAUSE_MAX);
    let asked = match error {
        ClientError::Refused(refusal) => refusal.retry_after.unwrap_or_default().min(ANNOUNCE_PAUSE_MAX),
        _ => Duration::ZERO,
    };
    asked + longest.mul_f64(random_share()).max(ANNOUNCE_PAUSE_MIN / 5)
}

/// 0 to 1. Without randomness from the system the pauses are merely less spread.
fn random_share() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_can_neither_rush_nor_put_off_the_renewal() {
        let lease = Duration::from_secs(60);
        let pause = |expires_in, renew_after| renewal_pause(&Granted { is_new: true, expires_in, renew_after }, lease);
        assert_eq!(pause(lease, Duration::from_secs(21)), Duration::from_secs(21));
        assert_eq!(pause(lease, Duration::ZERO), Duration::from_secs(10));
        assert_eq!(pause(lease, Duration::MAX), Duration::from_secs(30));
        assert_eq!(pause(Duration::MAX, Duration::MAX), Duration::from_secs(30), "a lease that nobody asked for");
        assert_eq!(pause(Duration::ZERO, Duration::ZERO), LEASE_MIN / 10);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let url = match "http://a".parse() {
            Ok(url) => url,
            Err(error) => panic!("{error}"),
        };
        let error = ClientError::Http { url, what: String::new() };
        for failure_count in 0..40 {
            let pause = retry_pause(&error, failure_count);
            assert!((ANNOUNCE_PAUSE_MIN / 5..=ANNOUNCE_PAUSE_MAX).contains(&pause), "{pause:?}");
        }
    }
}

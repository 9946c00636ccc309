//! What an embedder may set, with defaults from `limits.rs`, checked before anything starts.

use crate::error::Misuse;
use crate::handshake::Grants;
use crate::identity::PeerId;
use crate::limits::*;
use crate::link::LinkTuning;
use crate::reactor::ReactorConfig;
use std::collections::HashSet;
use std::time::Duration;

/// Settings of a node. `Config::default()` suits a program on a LAN.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest message sent or taken, in bytes.
    pub message_len_max: usize,
    /// Undelivered bytes that each channel's sender may have outstanding here.
    pub channel_window_len: usize,
    /// Queued bytes of a link above which `send` hands messages back.
    pub high_water_len: usize,
    /// Queued bytes below which `Writable` follows.
    pub low_water_len: usize,
    /// A PING goes out after this silence.
    pub keepalive: Duration,
    /// A peer silent for so long is dead.
    pub dead_after: Duration,
    /// From a TCP connection to an authenticated peer, absolute.
    pub handshake_timeout: Duration,
    /// From dialling an address to a TCP connection.
    pub dial_timeout: Duration,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// First pause before redialling; doubled each time up to `redial_pause_max`, full jitter.
    pub redial_pause_min: Duration,
    /// Longest pause before redialling.
    pub redial_pause_max: Duration,
    /// Connections whose peer is not identified yet, in all, on each reactor; when full, the oldest goes.
    pub half_open_count_max: usize,
    /// The same for one IP address, on each reactor.
    pub half_open_per_address_max: usize,
    /// Links at a time on each reactor; more are refused with `Busy`.
    pub link_count_max: usize,
    /// Who may have a link with this node; `None` lets everybody.
    pub allowed_peers: Option<HashSet<PeerId>>,
    /// How many reactors an `Engine` runs, each on a thread of its own. A link lives on one of them: that which accepted it,
    /// or that to which its dial fell. What is counted is counted on each, without asking the others: a node with several
    /// may have so many times the strangers, links, dials and connections that the bounds here name. A `Reactor` that the
    /// program turns itself is one, whatever stands here.
    pub reactor_count: usize,
    /// Bounds and socket options of each reactor.
    pub reactor: ReactorConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            message_len_max: MESSAGE_LEN_MAX,
            channel_window_len: CHANNEL_WINDOW_LEN,
            high_water_len: HIGH_WATER_LEN,
            low_water_len: LOW_WATER_LEN,
            keepalive: KEEPALIVE,
            dead_after: DEAD_AFTER,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            dial_timeout: DIAL_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
            redial_pause_min: REDIAL_PAUSE_MIN,
            redial_pause_max: REDIAL_PAUSE_MAX,
            half_open_count_max: HALF_OPEN_COUNT_MAX,
            half_open_per_address_max: HALF_OPEN_PER_ADDRESS_MAX,
            link_count_max: LINK_COUNT_MAX,
            allowed_peers: None,
            reactor_count: 1,
            reactor: ReactorConfig::default(),
        }
    }
}

/// What a node is for. Sets spinning, batches, buffers and congestion control together; each field can still be set by itself
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The defaults: quick and thrifty, no core spent on waiting.
    Balanced,
    /// Round trips: the reactor spins before it sleeps, and little is sealed or queued ahead of an urgent message.
    Latency,
    /// Throughput of few links: deep queues and windows, fewer and larger writes.
    Bulk,
    /// Very many links that are quiet most of the time: small buffers and windows, PINGs half as often.
    ManyIdle,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 4] = [Profile::Balanced, Profile::Latency, Profile::Bulk, Profile::ManyIdle];

    /// The name on command lines and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Balanced => "balanced",
            Profile::Latency => "latency",
            Profile::Bulk => "bulk",
            Profile::ManyIdle => "many-idle",
        }
    }
}

impl Config {
    /// The settings for a purpose.
    pub fn for_profile(profile: Profile) -> Config {
        const MESSAGE_COST: usize = RECORD_PAYLOAD_MAX + MESSAGE_CHARGE as usize;
        let mut config = Config::default();
        let Config { reactor, .. } = &mut config;
        match profile {
            Profile::Balanced => {}
            Profile::Latency => {
                reactor.spin = LATENCY_SPIN;
                reactor.outbox_len = BLOCK_LEN / 2;
                reactor.socket.congestion = Some(LAN_CONGESTION.to_owned());
                config.channel_window_len = 8 * MESSAGE_COST;
            }
            Profile::Bulk => {
                reactor.socket.notsent_lowat_len = Some(BULK_NOTSENT_LOWAT_LEN);
                reactor.socket.buffer_len = Some(BULK_BUFFER_LEN);
                reactor.socket.congestion = Some(LAN_CONGESTION.to_owned());
                config.channel_window_len = 64 * MESSAGE_COST;
                config.high_water_len = 4 * HIGH_WATER_LEN;
                config.low_water_len = 4 * LOW_WATER_LEN;
            }
            Profile::ManyIdle => {
                reactor.outbox_len = BLOCK_LEN / 2;
                reactor.socket.buffer_len = Some(MANY_IDLE_BUFFER_LEN);
                config.channel_window_len = 2 * MESSAGE_COST;
                config.high_water_len = HIGH_WATER_LEN / 8;
                config.low_water_len = LOW_WATER_LEN / 8;
                config.keepalive = 2 * KEEPALIVE;
            }
        }
        config
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// `Misuse::Config` with what is wrong.
    pub fn check(&self) -> Result<(), Misuse> {
        let rules = [
            (self.message_len_max <= MESSAGE_LEN_CEILING, "message_len_max is above 1 GiB"),
            (
                self.channel_window_len >= RECORD_PAYLOAD_MAX + 2 * MESSAGE_CHARGE as usize,
                "channel_window_len is too small",
            ),
            (self.channel_window_len <= MESSAGE_LEN_CEILING, "channel_window_len is above 1 GiB"),
            (self.low_water_len < self.high_water_len, "low_water_len is not below high_water_len"),
            (self.low_water_len > 0, "low_water_len is 0"),
            (self.keepalive > Duration::ZERO, "keepalive is 0"),
            (self.handshake_timeout > Duration::ZERO, "handshake_timeout is 0"),
            (self.dial_timeout > Duration::ZERO, "dial_timeout is 0"),
            (
                self.reactor.connection_count_max > self.half_open_count_max,
                "reactor.connection_count_max leaves no room beside half_open_count_max",
            ),
            (self.dead_after > self.keepalive, "dead_after is not above keepalive"),
            (self.half_open_count_max > 0 && self.half_open_per_address_max > 0, "no half-open connection is allowed"),
            (self.link_count_max > 0, "link_count_max is 0"),
            ((1..=REACTOR_COUNT_MAX).contains(&self.reactor_count), "reactor_count is not between 1 and 64"),
            (self.redial_pause_min > Duration::ZERO, "redial_pause_min is 0"),
            (self.redial_pause_min <= self.redial_pause_max, "redial_pause_min is above redial_pause_max"),
            (self.reactor.outbox_len >= RECORD_LEN_MAX, "reactor.outbox_len is smaller than a record"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(Misuse::Config(broken)),
            None => Ok(()),
        }
    }

    /// What this node grants each peer from the start: the whole link's window covers two largest messages, so that one
    /// can arrive while another waits to be taken.
    pub fn grants(&self) -> Grants {
        let message_len_max = self.message_len_max as u32;
        let largest = u64::from(message_len_max) + MESSAGE_CHARGE;
        Grants {
            message_len_max,
            channel_credit: self.channel_window_len as u64,
            link_credit: 2 * largest + (LINK_WINDOW_SLACK_LEN.max(self.channel_window_len)) as u64,
        }
    }

    /// The marks and times of each link.
    pub fn tuning(&self) -> LinkTuning {
        LinkTuning {
            high_water_len: self.high_water_len,
            low_water_len: self.low_water_len,
            unacknowledged_len_max: 2 * self.message_len_max + LINK_WINDOW_SLACK_LEN,
            keepalive: self.keepalive,
            dead_after: self.dead_after,
            credit_delay: CREDIT_DELAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn every_profile_holds_together_and_differs_from_the_others() {
        let profiles = Profile::ALL;
        let all = profiles.map(|profile| format!("{:?}", Config::for_profile(profile)));
        for (index, profile) in profiles.into_iter().enumerate() {
            assert_eq!(Config::for_profile(profile).check(), Ok(()), "{profile:?}");
            assert!(!all[..index].contains(&all[index]), "{profile:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_reason() {
        let broken = Config { low_water_len: HIGH_WATER_LEN, ..Config::default() };
        assert_eq!(broken.check(), Err(Misuse::Config("low_water_len is not below high_water_len")));
        let broken = Config { message_len_max: MESSAGE_LEN_CEILING + 1, ..Config::default() };
        assert!(broken.check().is_err());
        for reactor_count in [0, REACTOR_COUNT_MAX + 1] {
            let broken = Config { reactor_count, ..Config::default() };
            assert_eq!(broken.check(), Err(Misuse::Config("reactor_count is not between 1 and 64")));
        }
    }
}

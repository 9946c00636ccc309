//! Round trips on an urgent channel of the link over which a copy goes, or would go.

use super::super::blocking::WARM_UP_COUNT;
use super::super::inline::SERVICE;
use crate::Failure;
use crate::payload::message;
use bytes::Bytes;
use landline::{Batch, Channel, ChannelId, Engine, LinkId, Priority};
use std::time::Instant;

/// One question after the other. `times` are those behind the warm-up, in nanoseconds.
pub(super) struct Trips {
    channel: Channel,
    question: Bytes,
    asked: Instant,
    count: u64,
    pub(super) times: Vec<u64>,
}

impl Trips {
    /// Opens the channel and asks for the first time.
    pub(super) fn begin(engine: &Engine, link: LinkId, message_len: usize) -> Result<Trips, Failure> {
        let channel = engine.open_channel(link, SERVICE, Priority::Urgent)?;
        let mut trips = Trips {
            channel,
            question: Bytes::from(message(message_len)),
            asked: Instant::now(),
            count: 0,
            times: Vec::new(),
        };
        trips.ask()?;
        Ok(trips)
    }

    /// The channel that they are on.
    pub(super) fn channel(&self) -> ChannelId {
        self.channel.id()
    }

    fn ask(&mut self) -> Result<(), Failure> {
        self.asked = Instant::now();
        self.channel.send(self.question.clone()).map_err(|error| format!("the question did not go: {error}").into())
    }

    /// Takes the answer and asks again.
    pub(super) fn take(&mut self, batch: &Batch) -> Result<(), Failure> {
        let time = self.asked.elapsed().as_nanos() as u64;
        if !batch.iter().eq([&self.question[..]]) {
            return Err("the answer is not the question".into());
        }
        if self.count >= WARM_UP_COUNT {
            self.times.push(time);
        }
        self.count += 1;
        self.ask()
    }
}

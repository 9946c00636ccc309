//! Staying announced while listening, and what there is to tell about it.

use std::thread;

use crossbeam_channel::{Receiver, bounded};
use landline_directory::limits::LEASE_DEFAULT;
use landline_directory::{Addresses, Announcer, AnnouncerEvent, AnnouncerPlan, Client, ClientError, Name};
use landline_services::printable;

use crate::failure::{Failure, Result};
use crate::home::Home;

/// Lines about the announcement that may wait to be shown; they come seconds apart.
const LINE_COUNT_MAX: usize = 16;

/// A running announcer, and what it has to tell.
pub(super) struct Announcing {
    announcer: Announcer,
    /// Lines to be shown.
    pub(super) lines: Receiver<String>,
}

impl Announcing {
    /// Announces `name` at the directory that `client` asks, from now until [`Announcing::stop`].
    pub(super) fn start(client: Client, home: &Home, name: &Name, addresses: Addresses) -> Result<Self> {
        let failed = |error| Failure::io("cannot start to announce", &error);
        let plan = AnnouncerPlan {
            name: name.clone(),
            addresses,
            services: vec!["chat".to_owned(), "files".to_owned(), "sync".to_owned()],
            lease: LEASE_DEFAULT,
            last_sequence: home.read("sequence").unwrap_or_default().trim().parse().unwrap_or(0),
        };
        let url = client.url().to_string();
        let (announcer, events) = Announcer::start(client, home.identity()?, plan).map_err(failed)?;
        let (sender, lines) = bounded(LINE_COUNT_MAX);
        let mut teller = Teller { home: home.clone(), name: name.clone(), url, is_listed: None };
        thread::Builder::new()
            .name("announced".to_owned())
            .spawn(move || {
                for event in events {
                    if let Some(line) = teller.tell(event) {
                        // Nobody looks any more: the sequences are kept all the same.
                        let _ = sender.try_send(line);
                    }
                }
            })
            .map_err(failed)?;
        Ok(Self { announcer, lines })
    }

    /// Withdraws the announcement.
    pub(super) fn stop(self) {
        self.announcer.stop();
    }
}

/// Turns events into lines, one for each change and not for each try. `is_listed` is what was told last.
struct Teller {
    home: Home,
    name: Name,
    url: String,
    is_listed: Option<bool>,
}

impl Teller {
    fn tell(&mut self, event: AnnouncerEvent) -> Option<String> {
        match event {
            AnnouncerEvent::Sequence(sequence) => {
                if let Err(failure) = self.home.write("sequence", &sequence.to_string()) {
                    tracing::warn!(%failure, "the sequence of our announcement is not remembered");
                }
                None
            }
            AnnouncerEvent::Announced(_) => (self.is_listed.replace(true) != Some(true)).then(|| {
                // From now on chats may say this name: nobody else has it.
                if let Err(failure) = self.home.write("name", self.name.as_str()) {
                    tracing::warn!(%failure, "the name is not remembered for chats");
                }
                format!("announced as {} in the directory {}", self.name, self.url)
            }),
            AnnouncerEvent::Failed { error, .. } => (self.is_listed.replace(false) != Some(false)).then(|| {
                let is_taken = matches!(&error, ClientError::Refused(refusal) if refusal.status == 409);
                let next = if is_taken { "\n  next: listen with another --name" } else { "" };
                let error = error.to_string();
                format!("not announced, trying again: {}{next}", printable(&error))
            }),
            AnnouncerEvent::Withdrawn(_) => None,
        }
    }
}

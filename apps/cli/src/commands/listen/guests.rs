//! Who has a link with us: how they are shown, and whether they have been let in.

use std::collections::{BTreeMap, VecDeque};

use landline::{LinkId, PeerId};
use landline_services::Notice;

use crate::known::KnownPeers;

/// What a guest may say before somebody has answered whether to let it in; the rest is dropped.
const HELD_COUNT_MAX: usize = 64;

/// A peer that has dialled us.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) peer: PeerId,
    /// Who it says it is.
    pub(super) claim: Option<String>,
    pub(super) admission: Admission,
}

/// Whether a guest has been let in.
#[derive(Debug)]
pub(super) enum Admission {
    /// It has.
    In,
    /// Nobody has said so yet; what it has done so far waits. Asked once it wants something.
    Waiting { held: VecDeque<Notice>, is_asked: bool },
    /// It has not.
    Out,
}

/// All guests by link, and the questions about them in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct Guests {
    guests: BTreeMap<LinkId, Guest>,
    questions: VecDeque<LinkId>,
}

impl Guests {
    /// A peer has dialled us.
    pub(super) fn arrive(&mut self, link: LinkId, peer: PeerId, is_let_in: bool) {
        let admission = match is_let_in {
            true => Admission::In,
            false => Admission::Waiting { held: VecDeque::new(), is_asked: false },
        };
        self.guests.insert(link, Guest { peer, claim: None, admission });
    }

    /// A link has ended.
    pub(super) fn leave(&mut self, link: LinkId) -> Option<Guest> {
        self.questions.retain(|asked| *asked != link);
        self.guests.remove(&link)
    }

    /// The guest on a link.
    pub(super) fn get(&self, link: LinkId) -> Option<&Guest> {
        self.guests.get(&link)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Guest> {
        self.guests.get_mut(&link)
    }

    /// All links.
    pub(super) fn links(&self) -> Vec<LinkId> {
        self.guests.keys().copied().collect()
    }

    /// Whether there is a question to be answered.
    pub(super) fn has_question(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Keeps what a waiting guest has done for later. True if the person is to be asked now: once for each guest, as soon
    /// as it wants something.
    pub(super) fn hold(&mut self, notice: Notice) -> bool {
        let link = notice.line().link;
        let Some(Guest { admission: Admission::Waiting { held, is_asked }, .. }) = self.guests.get_mut(&link) else {
            return false;
        };
        // The name alone comes right before what it wants; asking then saves a question without a name.
        let wants_something = !matches!(notice, Notice::ChatOpened(_));
        if held.len() < HELD_COUNT_MAX {
            held.push_back(notice);
        }
        let ask = wants_something && !std::mem::replace(is_asked, *is_asked || wants_something);
        if ask {
            self.questions.push_back(link);
        }
        ask
    }

    /// Answers the oldest question; gives the link, and what had waited.
    pub(super) fn answer(&mut self, let_in: bool) -> Option<(LinkId, VecDeque<Notice>)> {
        let link = self.questions.pop_front()?;
        let guest = self.guests.get_mut(&link)?;
        let admission = if let_in { Admission::In } else { Admission::Out };
        match std::mem::replace(&mut guest.admission, admission) {
            Admission::Waiting { held, .. } => Some((link, held)),
            _ => None,
        }
    }

    /// How the guest on a link is shown.
    pub(super) fn shown(&self, link: LinkId, known: &KnownPeers) -> String {
        match self.guests.get(&link) {
            Some(guest) => known.shown(guest.peer, guest.claim.as_deref()),
            None => "somebody".to_owned(),
        }
    }
}

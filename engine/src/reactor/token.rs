//! The name of a connection: its slot in the slab and a count that tells it from the slot's former tenants.
//!
//! mio hands the same number back with each readiness event. An event of a tenant that is gone carries an old generation
//! and finds nobody.

/// Names one connection of one reactor. The generation counts connections and starts over after 2^32 of them, long after
/// anybody still holds the name of a former tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    index: u32,
    generation: u32,
}

const _: () = assert!(usize::BITS >= 64, "a mio token carries slab index and generation in one usize");

/// The waker's token; no slab is that large.
pub(super) const WAKE: mio::Token = mio::Token(usize::MAX);

/// Indices from here up name listeners.
const LISTENER_BASE: usize = u32::MAX as usize - crate::limits::LISTENER_COUNT_MAX;

impl Token {
    pub(super) fn new(index: usize, generation: u32) -> Token {
        debug_assert!(index < LISTENER_BASE);
        Token { index: index as u32, generation }
    }

    /// Some connection or other, for tests of what only compares tokens.
    #[cfg(test)]
    pub(crate) fn for_tests(number: usize) -> Token {
        Token::new(number, 1)
    }

    pub(super) fn listener(index: usize) -> mio::Token {
        mio::Token(LISTENER_BASE + index)
    }

    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> mio::Token {
        mio::Token((token.generation as usize) << 32 | token.index as usize)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Whom a readiness event is for.
pub(super) enum Target {
    Wake,
    Listener(usize),
    Connection(Token),
}

impl From<mio::Token> for Target {
    fn from(token: mio::Token) -> Target {
        if token == WAKE {
            return Target::Wake;
        }
        let index = token.0 & u32::MAX as usize;
        if index >= LISTENER_BASE {
            return Target::Listener(index - LISTENER_BASE);
        }
        Target::Connection(Token::new(index, (token.0 >> 32) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_trip_through_mio() {
        let token = Token::new(77, u32::MAX - 1);
        match Target::from(mio::Token::from(token)) {
            Target::Connection(back) => assert_eq!(back, token),
            _ => panic!("a connection's token came back as something else"),
        }
        assert!(matches!(Target::from(WAKE), Target::Wake));
        assert!(matches!(Target::from(Token::listener(3)), Target::Listener(3)));
    }
}

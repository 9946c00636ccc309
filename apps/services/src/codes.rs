//! Codes of failures: a number on the wire, a text for people.

/// What a service's codes are; none of them and no number twice. Codes that are not in it keep their number elsewhere.
pub(crate) struct CodeTable<C: 'static>(pub(crate) &'static [(u16, C, &'static str)]);

impl<C: Copy + PartialEq> CodeTable<C> {
    /// The number of a code.
    pub(crate) fn number(&self, code: C) -> Option<u16> {
        self.0.iter().find(|(_, known, _)| *known == code).map(|(number, ..)| *number)
    }

    /// The code with a number.
    pub(crate) fn code(&self, number: u16) -> Option<C> {
        self.0.iter().find(|(known, ..)| *known == number).map(|(_, code, _)| *code)
    }

    /// What a code says.
    pub(crate) fn text(&self, code: C) -> Option<&'static str> {
        self.0.iter().find(|(_, known, _)| *known == code).map(|(.., text)| *text)
    }
}

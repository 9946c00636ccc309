//! Who may be meant by a request, and from which site it may come.
//!
//! A page of a stranger's, open in a browser on this network, can send requests here. Under a name of the stranger's that
//! points to this host (DNS rebinding) it could even read the answers, so names have to be given by the operator; an IP
//! address and `localhost` cannot be rebound. What changes something is refused when it comes from another site, and no
//! answer has a field Access-Control-Allow-Origin, so that browsers keep all answers from other sites.

use super::problem::Problem;
use crate::http::{Host, Method, Origin, Request, Response, canonical_name};

/// The names that the operator gave.
#[derive(Default)]
pub(super) struct Guard {
    names: Vec<String>,
}

impl Guard {
    pub(super) fn new(names: &[String]) -> Guard {
        Guard { names: names.iter().map(|name| canonical_name(name)).collect() }
    }

    /// Refuses what a browser was brought to send.
    pub(super) fn check(&self, request: &Request) -> Result<(), Response> {
        if let Host::Name(name) = &request.host
            && !self.names.iter().any(|known| **known == **name)
        {
            return Err(Problem::WrongHost.response(
                "this directory does not know the name that you reach it by: use its IP address, or have its operator \
                 start it with --host NAME",
            ));
        }
        if request.origin == Origin::Other && !matches!(request.method, Method::Get | Method::Head) {
            return Err(Problem::CrossOrigin.response("a page of another site may not change anything here"));
        }
        Ok(())
    }
}

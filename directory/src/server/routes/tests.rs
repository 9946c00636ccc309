use super::table::ANY_STATUSES;
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn the_openapi_document_names_every_operation_and_status_and_no_other() {
    let document = document();
    let mut described = 0;
    for row in OPERATIONS.iter().filter(|row| row.operation != Operation::None) {
        let operation = &document["paths"][row.path][row.method.to_lowercase()];
        let responses = operation["responses"].as_object();
        let responses = responses.unwrap_or_else(|| panic!("{} {} is not described", row.method, row.path));
        let written: BTreeSet<u16> = responses.keys().map(|status| status.parse().unwrap()).collect();
        let answered: BTreeSet<u16> = row.statuses.iter().chain(&ANY_STATUSES).copied().collect();
        assert_eq!(written, answered, "{} {}", row.method, row.path);
        described += 1;
    }
    let written: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(written, described, "the document has operations that there are not");
}

#[test]
fn every_reference_in_the_openapi_document_leads_somewhere() {
    let document = document();
    let mut count = 0;
    for (at, _) in OPENAPI.match_indices("\"$ref\": \"#") {
        let pointer = OPENAPI[at + 9..].split('"').next().unwrap();
        assert!(document.pointer(&pointer[1..]).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn every_problem_stands_in_the_openapi_document_and_in_the_protocol() {
    let protocol = include_str!("../../../../docs/protocol.md");
    let document = document();
    let codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
    for problem in Problem::ALL {
        let (status, code) = problem.status_and_code();
        assert!(codes.iter().any(|other| other == code), "{code} is not in openapi.json");
        let described = document["components"]["responses"][status.to_string()]["description"].as_str();
        assert!(status == 405 || described.unwrap().contains(code), "{code} is not in the description of {status}");
        assert!(protocol.contains(&format!("| {status} | `{code}` |")), "{code} is not in docs/protocol.md");
    }
    assert_eq!(codes.len(), Problem::ALL.len() + 1, "and bad_request");
}

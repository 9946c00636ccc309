//! The layer rule, checked: a file of the engine imports only from modules below its own, and what is below the reactor
//! knows no sockets, threads, clock or ambient randomness.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the bottom up. A file of one may name those before it, and its own.
const LAYERS: [&str; 16] = [
    "limits",
    "crypto",
    "identity",
    "error",
    "handshake",
    "frame",
    "record",
    "session",
    "event",
    "link",
    "reactor",
    "config",
    "stats",
    "links",
    "engine",
    "lib",
];

/// What nothing below the reactor may name. Addresses are data; `identity` keeps its key in a file.
const OUTER: [&str; 8] = [
    "mio::",
    "Instant::now",
    "SystemTime",
    "std::thread",
    "crossbeam_channel",
    "getrandom",
    "TcpStream",
    "TcpListener",
];

/// The production sources, with their module and without their test modules.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "tests" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).expect("a readable source");
                let text = text.split("#[cfg(test)]\nmod tests").next().expect("the part before").to_owned();
                let inner = path.strip_prefix(&root).expect("below the root");
                let first = inner.components().next().expect("a component").as_os_str().to_string_lossy().into_owned();
                found.push((path, first.trim_end_matches(".rs").to_owned(), text));
            }
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// The modules that a source names by `crate::`, comments aside.
fn imports(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut named = Vec::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            named.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    named
}

#[test]
fn no_file_imports_from_above() {
    let sources = sources();
    assert!(sources.len() > 30, "the sources were not found");
    let mut edges = 0;
    for (path, module, text) in &sources {
        let own = layer(module).unwrap_or_else(|| panic!("{} is in no layer", path.display()));
        for import in imports(text) {
            let target = layer(&import).unwrap_or_else(|| panic!("{}: crate::{import} is no module", path.display()));
            assert!(target <= own, "{} imports from above: crate::{import}", path.display());
            edges += 1;
        }
    }
    assert!(edges > 100, "the imports were not found");
}

#[test]
fn below_the_reactor_there_are_no_sockets_threads_clock_or_randomness() {
    let reactor = layer("reactor").expect("it is there");
    for (path, module, text) in sources() {
        if layer(&module).is_some_and(|layer| layer < reactor) {
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for outer in OUTER {
                assert!(!code.contains(outer), "{} names {outer}", path.display());
            }
        }
    }
}

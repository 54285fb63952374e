//! What the layers promise, held by reading the sources: arrows go one way, the pure parts touch
//! nothing outside, unsafe code has one place, and files stay readable.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module at the top of `src`, and which others it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("time", &[]),
    ("text", &["limits"]),
    ("chat", &["limits", "time"]),
    ("dialect", &["chat", "limits", "text"]),
    ("hub", &["chat", "limits", "time"]),
    ("uring", &[]),
    ("engine", &["chat", "dialect", "hub", "limits", "time", "uring"]),
    ("failure", &[]),
    ("handover", &["limits"]),
    ("upgrade", &["failure", "handover", "limits"]),
    ("log", &["limits"]),
    ("args", &["chat", "dialect", "limits"]),
    ("motd", &["failure", "limits", "text"]),
    ("config", &["args", "chat", "engine", "failure", "limits", "motd"]),
    ("listener", &["args", "engine", "failure", "limits"]),
    (
        "control",
        &[
            "chat", "config", "dialect", "engine", "failure", "handover", "hub", "limits",
            "listener", "log", "time", "uring",
        ],
    ),
    ("main", &["args", "config", "control", "failure", "log", "upgrade"]),
];

/// Words that have no place in the pure parts: the network, files, clocks, chance, threads.
const IMPURE: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::fs",
    "std::os",
    "std::thread",
    "std::env",
    "Instant",
    "SystemTime",
    "println!",
    "Mutex",
    "Atomic",
];

const LINE_WIDTH_MAX: usize = 100;
/// Above this a file is no longer one noun.
const FILE_LINES_MAX: usize = 700;

struct Source {
    path: PathBuf,
    /// All of it.
    text: String,
}

impl Source {
    /// What is compiled into the product: tests stand last in a file, or in a file of their own.
    fn product(&self) -> &str {
        let is_tests = self.path.file_name().is_some_and(|name| name == "tests.rs")
            || self.path.components().any(|part| part.as_os_str() == "tests");
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        if is_tests { "" } else { &self.text[..end] }
    }

    /// The module at the top of `src` that it belongs to.
    fn module(&self) -> String {
        let mut parts = self.path.strip_prefix(root().join("src")).expect("below src").iter();
        let first = parts.next().expect("a name").to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut folders = vec![root().join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("a file of the project").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                sources.push(Source { path, text });
            }
        }
    }
    assert!(!sources.is_empty(), "nothing found in {folder}");
    sources
}

fn fail_if_any(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// The modules that a text names as `crate::x` or `chatd::x`.
fn named_modules(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("crate::").skip(1).chain(text.split("chatd::").skip(1));
    after.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or(""))
}

#[test]
fn arrows_go_one_way() {
    let mut found = Vec::new();
    for source in sources("src") {
        let module = source.module();
        if ["lib", "bin"].contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            found.push(format!("{}: no arrows are known for it", source.path.display()));
            continue;
        };
        for named in named_modules(source.product()) {
            let known = named.is_empty() || named == module || allowed.contains(&named);
            if !known {
                found.push(format!("{} uses {named}", source.path.display()));
            }
        }
    }
    fail_if_any("arrows that go the wrong way", &found);
}

#[test]
fn the_core_is_pure() {
    let mut found = Vec::new();
    for source in sources("src") {
        if !["chat", "dialect", "text"].contains(&source.module().as_str()) {
            continue;
        }
        for word in IMPURE.iter().filter(|word| source.product().contains(**word)) {
            found.push(format!("{}: {word}", source.path.display()));
        }
    }
    fail_if_any("impure words in the core", &found);
}

#[test]
fn unsafe_code_has_one_place() {
    let mut found = Vec::new();
    for source in sources("src") {
        let keyword = ["unsafe {", "unsafe fn", "unsafe impl"];
        if source.module() != "uring" && keyword.iter().any(|word| source.text.contains(word)) {
            found.push(source.path.display().to_string());
        }
    }
    fail_if_any("unsafe code outside src/uring", &found);
}

#[test]
fn files_are_readable() {
    let mut found = Vec::new();
    for source in
        ["src", "load-test", "tests", "fuzz/fuzz_targets", "fuzz/src"].into_iter().flat_map(sources)
    {
        let path = source.path.display();
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{path}: {lines} lines"));
        }
        for (number, line) in source.text.lines().enumerate() {
            // The formatter leaves long strings alone.
            if line.chars().count() > LINE_WIDTH_MAX && !line.contains('"') {
                found.push(format!("{path}:{}: wider than {LINE_WIDTH_MAX}", number + 1));
            }
        }
        for leftover in [["TO", "DO"], ["FIX", "ME"], ["dbg", "!("], ["todo", "!("]] {
            if source.text.contains(&leftover.concat()) {
                found.push(format!("{path}: a leftover {}", leftover.concat()));
            }
        }
    }
    fail_if_any("files to tidy", &found);
}

#[test]
fn the_reader_of_arrows_sees_them() {
    let text = "use crate::engine::Worker;\nfn f(x: chatd::uring::Ring) {}";
    assert_eq!(named_modules(text).collect::<Vec<_>>(), ["engine", "uring"]);
}

//! The inputs that fuzzing found worth keeping, through the same checks.

use std::fs;
use std::path::Path;

/// Public for the fuzz targets.
#[allow(unreachable_pub)]
#[path = "../fuzz/src/checks.rs"]
mod checks;

fn each_input(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        check(&fs::read(entry.expect("a file of the project").path()).expect("its bytes"));
        count += 1;
    }
    assert!(count > 0, "no corpus for {target}");
}

#[test]
fn telnet() {
    each_input("telnet", checks::telnet);
}

#[test]
fn rich() {
    each_input("rich", checks::rich);
}

#[test]
fn session() {
    each_input("session", checks::session);
}

#[test]
fn rid() {
    each_input("rid", checks::rid);
}

#[test]
fn p2p() {
    each_input("p2p", checks::p2p);
}

#[test]
fn commands() {
    each_input("commands", checks::commands);
}

#[test]
fn gate() {
    each_input("gate", checks::gate);
}

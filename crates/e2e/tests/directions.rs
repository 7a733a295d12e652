//! The rules of the house that the compiler does not hold: which room may depend on which, that
//! pure rooms touch nothing of the world, and that no file grows past a review.

#[path = "directions/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use source::{rust_files, touches};

/// A room and the rooms it may depend on, lowest floor first. A room that is not here has no place
/// in the house yet: give it one, with the reason in `ARCHITECTURE.md`.
const ROOMS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("spec", &["units"]),
    ("identity", &["units"]),
    ("measure", &["units"]),
    ("topology", &["units"]),
    ("ledger", &["units"]),
    ("schedule", &["units", "topology"]),
    ("market", &["units"]),
    (
        "exchange",
        &["units", "spec", "identity", "measure", "topology", "ledger", "schedule", "market"],
    ),
    ("custody", &["units"]),
    ("wire", &["units", "measure"]),
    ("store", &["units"]),
    ("engines", &["units"]),
    ("agent", &["units", "spec", "identity", "measure", "custody", "wire", "engines"]),
    (
        "server",
        &[
            "units", "spec", "identity", "measure", "topology", "ledger", "schedule", "market",
            "exchange", "wire", "store",
        ],
    ),
    (
        "simulate",
        &[
            "units", "spec", "identity", "measure", "topology", "ledger", "schedule", "market",
            "exchange", "custody",
        ],
    ),
    (
        "cli",
        &["units", "spec", "measure", "wire", "store", "engines", "agent", "server", "simulate"],
    ),
    // They use the program from outside, as anybody does.
    ("examples", &[]),
    ("benches", &[]),
    // For tests only, of whichever room.
    ("testbed", &[]),
    ("e2e", &[]),
];

/// Rooms that decide: no clock, no chance, no I/O, no threads.
const PURE: &[&str] = &[
    "units", "spec", "identity", "measure", "topology", "ledger", "schedule", "market", "exchange",
    "custody", "simulate",
];

/// Libraries that bring the world in; a pure room must not even name them in its manifest.
const WORLDLY: &[&str] = &[
    "tokio",
    "tokio-util",
    "futures-util",
    "axum",
    "hyper",
    "reqwest",
    "rusqlite",
    "tokio-postgres",
    "deadpool-postgres",
    "rustix",
    "libc",
    "sysinfo",
    "tempfile",
];

/// A review's worth of lines.
const LINES_MAX: usize = 800;

/// A package of the workspace, as `cargo metadata` tells of it.
struct Package {
    room: String,
    folder: PathBuf,
    /// Other rooms, by what for: normal and build, or tests.
    builds_on: BTreeSet<String>,
    tests_with: BTreeSet<String>,
    /// Libraries of others, tests not counted.
    libraries: BTreeSet<String>,
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/e2e lies two folders below the root").to_owned()
}

fn room_of(package: &str) -> Option<String> {
    package.strip_prefix("dayan-").map(str::to_owned)
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo is what runs this test");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).expect("cargo speaks JSON");
    let listed = told["packages"].as_array().expect("a list of packages");
    listed.iter().map(package).collect()
}

fn package(told: &Value) -> Package {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let name = text(&told["name"]);
    let manifest = PathBuf::from(text(&told["manifest_path"]));
    let mut package = Package {
        room: room_of(&name).unwrap_or_else(|| panic!("`{name}` is not called dayan-…")),
        folder: manifest.parent().expect("a manifest lies in a folder").to_owned(),
        builds_on: BTreeSet::new(),
        tests_with: BTreeSet::new(),
        libraries: BTreeSet::new(),
    };
    for dependency in told["dependencies"].as_array().expect("a list of dependencies") {
        let name = text(&dependency["name"]);
        let for_tests = dependency["kind"].as_str() == Some("dev");
        match room_of(&name) {
            Some(room) if for_tests => drop(package.tests_with.insert(room)),
            Some(room) => drop(package.builds_on.insert(room)),
            None if for_tests => {}
            None => drop(package.libraries.insert(name)),
        }
    }
    package
}

fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    ROOMS.iter().map(|(room, below)| (*room, below.iter().copied().collect())).collect()
}

#[test]
fn every_room_has_its_place_and_depends_downwards_only() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for package in packages() {
        let room = package.room.as_str();
        let Some(below) = allowed.get(room) else {
            wrong.push(format!("`{room}` has no place in the table"));
            continue;
        };
        let inside = package.folder.file_name().and_then(|name| name.to_str());
        if inside != Some(room) {
            wrong.push(format!("`dayan-{room}` lies in {}", package.folder.display()));
        }
        for other in package.builds_on.iter().filter(|other| !below.contains(other.as_str())) {
            wrong.push(format!("`{room}` must not depend on `{other}`"));
        }
        // What only tests use may lie beside a pure room, but not above it.
        for other in &package.tests_with {
            if PURE.contains(&room) && !PURE.contains(&other.as_str()) {
                wrong.push(format!("`{room}` is pure and tests with `{other}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

/// What a running exchange keeps to itself: keys, tokens, books. `make demo` makes all of them in
/// the repository's folder.
#[test]
fn nothing_secret_is_kept_in_the_repository() {
    const SECRETS: [&str; 4] = ["key", "token", "db", "pem"];
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else {
        eprintln!("SKIPPED: this is no git checkout");
        return;
    };
    let files: Vec<PathBuf> = listed
        .stdout
        .split(|byte| *byte == 0)
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .collect();
    assert!(files.contains(&PathBuf::from("Cargo.toml")), "the list is the repository's");
    let secret = |file: &&PathBuf| {
        file.extension().and_then(|ending| ending.to_str()).is_some_and(|e| SECRETS.contains(&e))
    };
    let found: Vec<_> = files.iter().filter(secret).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_table_itself_goes_downwards_and_names_real_rooms() {
    let real: BTreeSet<String> = packages().into_iter().map(|package| package.room).collect();
    for (at, (room, below)) in ROOMS.iter().enumerate() {
        assert!(real.contains(*room), "`{room}` is in the table and not in the workspace");
        for other in *below {
            let lower = ROOMS.iter().position(|(name, _)| name == other);
            assert!(lower.is_some_and(|lower| lower < at), "`{other}` is not below `{room}`");
            let pure = |room: &str| PURE.contains(&room);
            assert!(!pure(room) || pure(other), "`{room}` is pure and `{other}` is not");
        }
    }
}

#[test]
fn pure_rooms_name_nothing_of_the_world() {
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| PURE.contains(&package.room.as_str())) {
        for library in package.libraries.iter().filter(|name| WORLDLY.contains(&name.as_str())) {
            wrong.push(format!("`{}` is pure and depends on `{library}`", package.room));
        }
        for file in rust_files(&package.folder.join("src")) {
            let text = std::fs::read_to_string(&file).expect("the file was just listed");
            for (line, word) in touches(&text) {
                wrong.push(format!("{}:{line} names {word}", shown(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

#[test]
fn no_file_is_longer_than_a_review() {
    let mut wrong = Vec::new();
    for package in packages() {
        for file in rust_files(&package.folder.join("src")) {
            let text = std::fs::read_to_string(&file).expect("the file was just listed");
            let lines = text.lines().count();
            if lines > LINES_MAX {
                wrong.push(format!("{} has {lines} lines, of {LINES_MAX} at most", shown(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

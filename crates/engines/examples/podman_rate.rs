//! Containers a second through the engine, beside podman's own command line and a bare start through
//! its interface, on one podman in one run.
//!
//! ```text
//! LAB=/tmp/lab tools/podman-lab.sh start
//! cargo build --release -p dayan-engines --bins --example podman_rate
//! LAB=/tmp/lab target/release/examples/podman_rate [COUNT]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use dayan_engines::{
    BootClock, ContainerConfig, Engine, Image, Isolation, Launch, LeaseEnd, Limits, Outcome,
    Program, Workdir, container,
};
use dayan_units::{AttemptId, JobId, Span};

const IMAGE: &str = "localhost/dayan-test:1";

fn main() {
    let count: u32 =
        std::env::args().nth(1).map_or(100, |count| count.parse().expect("a number of tasks"));
    let lab = PathBuf::from(std::env::var_os("LAB").expect("LAB is the folder of the lab"));
    let clock = BootClock::of_this_machine().expect("a boot clock");
    let rate = |what: &str, began: dayan_engines::BootTime| {
        let seconds = clock.now().since(began).secs_f64();
        println!(
            "{what:<44} {count} in {seconds:.2} s, {:.1} a second",
            f64::from(count) / seconds
        );
    };

    let began = clock.now();
    by_command(count, 1);
    rate("podman run, one after the other", began);
    let began = clock.now();
    by_command(count, 4);
    rate("podman run, four at once", began);

    let dir = tempfile::tempdir().expect("a folder");
    let mut engine = engine(dir.path(), &lab);
    let began = clock.now();
    by_engine(&mut *engine, count);
    rate("through the engine", began);
}

/// By podman's command line, so many at once.
fn by_command(count: u32, at_once: u32) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/podman-lab.sh");
    let line = format!(
        "seq {count} | xargs -P {at_once} -I{{}} {} run run --rm --network none --ulimit nofile=1024 \
         --ulimit nproc=1024 --memory 64m {IMAGE} true",
        script.display()
    );
    let done = Command::new("sh").arg("-c").arg(line).status().expect("there is a shell");
    assert!(done.success(), "podman runs them");
}

fn engine(dir: &Path, lab: &Path) -> Box<dyn Engine> {
    let mut keeper = std::env::current_exe().expect("this program");
    keeper.pop();
    keeper.pop();
    let config = ContainerConfig {
        dir: dir.join("agent"),
        keeper: vec![keeper.join("dayan-keeper-test").into()],
        options: ["--idle", "1s"].map(OsString::from).to_vec(),
        whose: dayan_engines::Containers::Podman,
        socket: Some(lab.join("podman.sock")),
    };
    Box::new(container::open(config).expect("the engine opens"))
}

fn by_engine(engine: &mut dyn Engine, count: u32) {
    let (boot, now) = engine.boot_now();
    let launch = |task| Launch {
        attempt: AttemptId { job: JobId::from_bits(1), task, attempt: 1 },
        program: Program::Shell("true".to_owned()),
        env: BTreeMap::new(),
        workdir: Workdir::Fresh,
        limits: Limits { memory: dayan_units::Bytes(64 << 20), ..Limits::default() },
        lease_end: LeaseEnd { boot, at: now.plus(Span::from_secs(3_600)) },
        isolation: Isolation::None,
        node: String::new(),
        cards: Vec::new(),
        accelerators: 0,
        gang: None,
        image: Some(Image { name: IMAGE.to_owned(), ..Image::default() }),
        mounts: Vec::new(),
        steps: Vec::new(),
        org: None,
        site_words: std::collections::BTreeMap::new(),
        node_features: std::collections::BTreeSet::new(),
    };
    for answer in engine.start((0..count).map(launch).collect()) {
        answer.expect("started");
    }
    let mut ended = BTreeSet::new();
    while ended.len() < count as usize {
        for seen in engine.observe(Span::from_secs(60)).expect("the keeper answers") {
            if let Some(end) = seen.end() {
                assert_eq!(end.outcome, Outcome::Exited(0), "{}", seen.attempt);
                ended.insert(seen.attempt);
            }
        }
    }
}

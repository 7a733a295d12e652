//! Whose tasks and their files are, where users are mapped or have no rights, and what groups they are in.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use dayan_engines::conformance::{self, Bed};
use dayan_engines::{
    ContainerConfig, Containers, Enforcement, Engine, Image, Launch, Outcome, container,
};

use super::lab::{Lab, Users};
use super::trials::Trial;

/// A group that nobody is in.
const GROUP: u32 = 4_242;

/// A device that its group may use and others may not. It goes when it is dropped.
struct Device(PathBuf);

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where devices are: elsewhere a container may have a file system that knows none.
fn device(name: &str) -> Result<Device, String> {
    let at = PathBuf::from(format!("/dev/dayan-test-{}-{name}", std::process::id()));
    let made = Command::new("mknod").arg(&at).args(["c", "1", "3"]).output().expect("it is there");
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    let device = Device(at);
    let at = &device.0;
    std::os::unix::fs::chown(at, None, Some(GROUP)).expect("given");
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o660)).expect("set");
    Ok(device)
}

fn uses_a_device_of_a_group(runs: Containers) {
    let Some(lab) = Lab::start_one(runs) else { return };
    let device = match device(lab.name()) {
        Ok(device) => device,
        Err(why) => {
            println!("SKIPPED: no device can be made here ({why})");
            return;
        }
    };
    let mut trial = Trial::new(&lab, "agent");
    let path = device.0.to_string_lossy().into_owned();
    let line = format!("id -G; [ $(id -u) != 0 ] && echo x > {path}");
    let with = |devices: Vec<String>, launch: Launch| {
        let image = launch.image.clone().map(|image| Image { devices, ..image });
        Launch { image, ..launch }
    };
    let (plain, launch) = (trial.launch(&line), trial.launch(&line));
    let (plain, launch) = (with(Vec::new(), plain), with(vec![path], launch));
    let attempts = [launch.attempt, plain.attempt];
    for answer in trial.engine.start(vec![launch, plain]) {
        answer.expect("started");
    }
    let ended = trial.end(attempts[0]);
    let said = String::from_utf8_lossy(&trial.output(attempts[0])).into_owned();
    assert_eq!(ended, Outcome::Exited(0), "{said}");
    assert!(said.split_whitespace().any(|group| group == GROUP.to_string()), "{said}");
    // Who has not leased it has neither the device nor the group.
    assert_ne!(trial.end(attempts[1]), Outcome::Exited(0));
    let said = String::from_utf8_lossy(&trial.output(attempts[1])).into_owned();
    assert!(!said.contains(&GROUP.to_string()), "{said}");
}

#[test]
fn podman_gives_a_task_its_devices_group() {
    uses_a_device_of_a_group(Containers::Podman);
}

#[test]
fn docker_gives_a_task_its_devices_group() {
    uses_a_device_of_a_group(Containers::Docker);
}

#[test]
fn where_docker_maps_users_a_task_has_its_folder_and_is_nobodys_root() {
    let Some(lab) = Lab::start_with(Containers::Docker, Users::Mapped) else { return };
    let mut trial = Trial::new(&lab, "agent");
    let launch = trial.launch("echo made > /work/made; cat /work/given; id -u");
    let attempt = launch.attempt;
    let folder = trial.engine.workdir(attempt).expect("a folder");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("given"), "given\n").expect("written");
    for answer in trial.engine.start(vec![launch]) {
        answer.expect("started");
    }
    let ended = trial.end(attempt);
    let said = String::from_utf8_lossy(&trial.output(attempt)).into_owned();
    assert_eq!(ended, Outcome::Exited(0), "{said}");
    let inside: u32 =
        said.strip_prefix("given\n").and_then(|id| id.trim().parse().ok()).expect("a number");
    let about = std::fs::metadata(folder.join("made")).expect("made");
    assert!(inside >= 1_000, "{inside}");
    assert_eq!(about.uid(), Users::FIRST + inside, "of docker's own range");
}

/// An engine by the socket of a service without rights.
struct Own {
    dir: PathBuf,
    socket: PathBuf,
}

impl Own {
    fn config(&self) -> ContainerConfig {
        ContainerConfig {
            dir: self.dir.clone(),
            keeper: vec![env!("CARGO_BIN_EXE_dayan-keeper-test").into()],
            options: ["--idle", "2s"].map(std::ffi::OsString::from).to_vec(),
            whose: Containers::Podman,
            socket: Some(self.socket.clone()),
        }
    }
}

impl Bed for Own {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(container::open(self.config()).expect("opens"))
    }
    fn image(&self) -> Option<Image> {
        Some(Image { name: "localhost/dayan-test:1".to_owned(), ..Image::default() })
    }
    fn folder_inside(&self) -> Option<PathBuf> {
        Some(PathBuf::from(container::FOLDER))
    }
    fn outside_variables(&self) -> &[&str] {
        container::OUTSIDE_VARIABLES
    }
    fn array_size(&self) -> u32 {
        4
    }
}

/// Where the lab is, for the same test as an ordinary user.
const LAB: &str = "DAYAN_TEST_ROOTLESS_LAB";
/// What an ordinary user is promised by a podman of its own, beside what needs nothing of it.
const CASES: [&str; 14] = [
    "a task runs and ends",
    "an exit code is reported",
    "the working folder is fresh",
    "staged inputs are seen, outputs stay",
    "a wall time limit ends a task",
    "stopping asks first",
    "stopping kills after the grace",
    "orphans end with their task",
    "steps run one after the other",
    "parts of the folder are seen elsewhere",
    "the root cannot be written, /tmp can",
    "a container has no rights of root's",
    "a container's user is not root, and what it writes is that user's",
    "a later step's missing program is its own",
];

#[test]
fn an_ordinary_users_podman_runs_tasks_and_says_what_it_does_not_hold() {
    if let Some(lab) = std::env::var_os(LAB).map(PathBuf::from) {
        return as_an_ordinary_user(&lab);
    }
    let Some(lab) = Lab::start_with(Containers::Podman, Users::Without) else { return };
    // Of root by that socket: refused, with the reason.
    let own = Own { dir: lab.folder("agent"), socket: lab.socket() };
    let why = container::open(own.config()).err().expect("it is not root's").to_string();
    assert!(why.contains("without rights as user 65534"), "{why}");
    let program = std::env::current_exe().expect("this one");
    let folder = lab.folder("own");
    std::fs::create_dir(&folder).expect("made");
    std::os::unix::fs::chown(&folder, Some(65_534), Some(65_534)).expect("given");
    let mut inner = Command::new("setpriv");
    inner.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
    inner.args(["--exact", "--nocapture"]);
    inner.arg("owners::an_ordinary_users_podman_runs_tasks_and_says_what_it_does_not_hold");
    inner.env(LAB, folder.parent().expect("it lies in one")).env("TMPDIR", &folder);
    inner.env_remove("DAYAN_CASE");
    let Ok(said) = inner.output() else {
        println!("SKIPPED: no setpriv here");
        return;
    };
    let words = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    if words.contains("Permission denied") && words.contains("setpriv: failed to execute") {
        println!("SKIPPED: an ordinary user cannot reach the test's program ({words})");
        return;
    }
    println!("{words}");
    assert!(said.status.success(), "{words}");
    assert!(words.contains("1 passed"), "it ran: {words}");
}

fn as_an_ordinary_user(lab: &Path) {
    let mut own = Own { dir: lab.join("own/agent"), socket: lab.join("lab/podman.sock") };
    let engine = own.open();
    let features = engine.describe().features;
    drop(engine);
    let v1 = Path::new("/sys/fs/cgroup/memory").exists();
    if v1 {
        // Podman claims in docker's words that it holds all of them.
        let all = [features.cpu_limit, features.memory_limit, features.pids_limit];
        assert_eq!(all, [Enforcement::Absent; 3], "{features:?}");
        assert!(features.confinement.contains("cgroups v1"), "{features:?}");
    }
    let report = conformance::run_some(&mut own, |name| CASES.contains(&name));
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(report.passed() == CASES.len(), "not all of it was run:\n{report}");
}

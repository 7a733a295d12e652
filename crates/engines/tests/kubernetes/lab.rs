//! A cluster for one test: a real control plane where its programs are at hand, else a small fake,
//! with our twin of a kubelet as its one node.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fake::Fake;
use crate::twin::{Room, Twin};

/// Where a test's cluster is.
pub struct Lab {
    dir: tempfile::TempDir,
    plane: Plane,
    twin: Option<Twin>,
}

/// Who answers as the API server.
enum Plane {
    /// Kubernetes itself, by `tools/kube-lab.sh`.
    Real { port: u16 },
    /// A fake of ours.
    Fake(Fake),
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/kube-lab.sh")
}

/// Where the programs of a real control plane are, by the ecosystem's convention.
pub fn assets() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?);
    let all = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    all.iter().all(|name| folder.join(name).exists()).then_some(folder)
}

/// Neighbouring ports that nobody uses now, below those that the system gives to outgoing
/// connections: one of those would be taken meanwhile.
fn ports(count: u16) -> u16 {
    const FIRST: u16 = 10_000;
    const LAST: u16 = 20_000;
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let salt = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), count);
    let from = FIRST + u16::try_from(salt % u64::from(LAST - FIRST)).expect("it is cut to fit");
    let all = (from..LAST).chain(FIRST..from).step_by(usize::from(count));
    all.into_iter().find(|first| (*first..first + count).all(free)).expect("some ports are free")
}

/// Waits up to half a minute for something; none if it does not come.
pub fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = dayan_engines::BootClock::of_this_machine().expect("a clock");
    let end = clock.now().plus(dayan_units::Span::from_secs(30));
    while clock.now() < end {
        if let Some(found) = is() {
            return Some(found);
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    println!("not within half a minute: {what}");
    None
}

impl Lab {
    /// A real one, or says that it cannot be had here and returns none.
    pub fn real() -> Option<Self> {
        if assets().is_none() {
            println!("SKIPPED: no Kubernetes here (KUBEBUILDER_ASSETS names no control plane)");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("kube").tempdir().expect("a folder");
        let lab = Self { dir, plane: Plane::Real { port: ports(5) }, twin: None };
        check(&lab.command(&["start"]).output().expect("there is a shell"));
        Some(lab.furnished())
    }

    /// A fake one.
    pub fn fake() -> Self {
        let dir = tempfile::Builder::new().prefix("kube").tempdir().expect("a folder");
        let fake = Fake::start(dir.path());
        Self { dir, plane: Plane::Fake(fake), twin: None }.furnished()
    }

    /// A real one where its programs are at hand, else a fake.
    pub fn any() -> Self {
        if assets().is_some() { Self::real().expect("they are at hand") } else { Self::fake() }
    }

    /// With a namespace and a node.
    fn furnished(mut self) -> Self {
        self.twin = Some(Twin::start(
            "twin-1",
            &self.config("admin"),
            &self.dir.path().join("twin"),
            &Room::default(),
        ));
        self.make_namespace("dayan");
        self
    }

    /// Further nodes.
    pub fn add_node(&self, name: &str, room: &Room) -> Twin {
        Twin::start(name, &self.config("admin"), &self.dir.path().join(name), room)
    }

    pub fn make_namespace(&self, name: &str) {
        crate::ask::make_namespace(&self.config("admin"), name);
    }

    /// A folder that the agent and all nodes see.
    pub fn volume(&self) -> PathBuf {
        let folder = self.folder("volume");
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(script());
        command.args(words).env("LAB", self.root());
        // The twin speaks WebSocket only; without this a server would change over to the protocol of
        // kubelets of old.
        let straight = "--feature-gates=TranslateStreamCloseWebsocketRequests=false";
        command.env("APISERVER_EXTRA", straight);
        if let Plane::Real { port } = &self.plane {
            command.env("PORT", port.to_string()).env("ETCD_PORT", (port + 3).to_string());
        }
        command
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("lab")
    }

    /// How a user reaches it: `admin`, `agent`, `plain`.
    pub fn config(&self, user: &str) -> PathBuf {
        match &self.plane {
            Plane::Real { .. } => self.root().join(format!("{user}.kubeconfig")),
            Plane::Fake(fake) => fake.config(),
        }
    }

    /// A folder of the test's.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The node.
    pub fn twin(&self) -> &Twin {
        self.twin.as_ref().expect("it is furnished")
    }

    /// Ends the API server as by `kill -9`.
    pub fn kill_server(&self) {
        match &self.plane {
            Plane::Real { .. } => {
                check(&self.command(&["kill", "apiserver"]).output().expect("there is a shell"));
            }
            Plane::Fake(fake) => fake.kill(),
        }
    }

    /// Starts it again; what was watched by an older version is not known any more.
    pub fn revive_server(&self) {
        match &self.plane {
            Plane::Real { .. } => {
                check(&self.command(&["revive", "apiserver"]).output().expect("there is a shell"));
            }
            Plane::Fake(fake) => fake.revive(),
        }
    }
}

fn check(said: &Output) {
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.twin = None;
        if let Plane::Real { .. } = &self.plane {
            let _ = self.command(&["stop"]).output();
        }
    }
}

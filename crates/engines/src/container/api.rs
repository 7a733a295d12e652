//! The questions that podman or docker are asked, over their socket.
//!
//! Invariant: a failure says whether the engine refused ([`Trouble::Refused`]: asking again changes
//! nothing) or could not be asked ([`Trouble::Away`]: what was asked may have been done or not).
//! Never waits for a container through the interface: podman's answer to that question keeps a
//! processor busy for as long as the container runs.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, CreateImageOptions, KillContainerOptions,
    ListContainersOptions, LogsOptions, RemoveContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use dayan_units::{Span, Time};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};

use super::libpod;
use super::specification::{self, Specification};
use crate::{Login, Signal, StartFailure};

/// How long an answer may take. Podman holds a container's lock while it starts or removes one; on
/// a machine that starts hundreds at once that is seconds.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// How long an image may take to come: tens of gigabytes at a hundred megabytes a second.
const PULL_WITHIN: Duration = Duration::from_mins(30);

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It was asked and said no.
    #[error("{words}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// In its own words.
        words: String,
    },
    /// It could not be asked, or did not say the end of its answer.
    #[error("the container service does not answer: {0}")]
    Away(String),
}

impl Trouble {
    /// Is there no such thing?
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
    /// Is there one of that name already?
    pub(super) fn is_taken(&self) -> bool {
        match self {
            Self::Refused { status, words } => *status == 409 || words.contains("already in use"),
            Self::Away(_) => false,
        }
    }
    /// Has the service no init to give?
    pub(super) fn lacks_init(&self) -> bool {
        matches!(self, Self::Refused { words, .. } if words.contains("init binary")
            || words.contains("docker-init") || words.contains("container-init"))
    }
    /// Why a container was not started, from the words that runtimes have for it. `program` is what the runtime
    /// itself starts; none where that is an init, which tells of the program in its own words. What is missing,
    /// or not ours, is the program only where the words name it: runtimes miss files of their own, too, and
    /// those of who is killed in the middle of a start.
    pub(super) fn as_failure(&self, program: Option<&str>) -> StartFailure {
        let words = self.to_string();
        let says = |some: &[&str]| some.iter().any(|word| words.contains(word));
        let of_name = |c: char| !(c.is_whitespace() || "`\"':,".contains(c));
        let mut named = words.split(|c| !of_name(c));
        let program = program.filter(|program| {
            // As crun calls what it is to execute.
            named.any(|name| name == *program) || words.contains("open executable")
        });
        if says(&["is not a directory", ": not a directory"]) {
            // A mount or a working folder where the image has a file, or a file where it has a folder.
            StartFailure::Asked(words)
        } else if says(&["working directory", "chdir", "cwd"]) {
            StartFailure::Workdir(words)
        } else if says(&["cannot allocate memory", "too many open files", "no space left"]) {
            StartFailure::NoRoom(words)
        } else {
            program
                .map_or(StartFailure::Other(words.clone()), |program| of_program(&words, program))
        }
    }
}

/// Why a program could not be executed, from words that are about it.
pub(super) fn of_program(words: &str, program: &str) -> StartFailure {
    let small = words.to_lowercase();
    let says = |some: &[&str]| some.iter().any(|word| small.contains(word));
    if says(&["no such file", "not found"]) {
        StartFailure::NoSuchProgram(program.to_owned())
    } else if says(&["permission denied", "exec format error", "not permitted"]) {
        StartFailure::NotExecutable(program.to_owned())
    } else {
        StartFailure::Other(words.to_owned())
    }
}

impl From<bollard::errors::Error> for Trouble {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, words: message }
            }
            Error::DockerStreamError { error } => Self::Refused { status: 500, words: error },
            other => Self::Away(other.to_string()),
        }
    }
}

/// Where a container stands, as far as it matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// Was it started, ever?
    pub started: bool,
    /// Does it run?
    pub running: bool,
    /// Its status as it ended.
    pub exit_code: i64,
    /// Did the kernel kill in it for want of memory?
    pub oom: bool,
    /// Its first process, in the service's view; 0 for none.
    pub pid: i32,
    /// How long it ran, by the service's own times, once it has ended.
    pub lasted: Option<Span>,
    /// Its full id.
    pub id: String,
}

impl Standing {
    fn of(found: ContainerInspectResponse) -> Self {
        use bollard::models::ContainerStateStatusEnum as Status;
        let state = found.state.unwrap_or_default();
        let running = state.running.unwrap_or(false)
            || matches!(state.status, Some(Status::RUNNING | Status::PAUSED | Status::STOPPING));
        // The year of one that was never started is 1, or there is none.
        let dated = state.started_at.as_ref().is_some_and(|at| !at.starts_with("0001-"));
        let time = |text: Option<String>| text.and_then(|text| text.parse::<Time>().ok());
        let times = time(state.started_at).zip(time(state.finished_at));
        let lasted = times.map(|(started, finished)| finished.since(started));
        Self {
            started: running || dated,
            running,
            exit_code: state.exit_code.unwrap_or(0),
            oom: state.oom_killed.unwrap_or(false),
            lasted: lasted.filter(|_| dated && !running),
            pid: state.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0),
            id: found.id.unwrap_or_default(),
        }
    }
}

/// What the service says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct About {
    /// In words: `podman 4.3.1`.
    pub words: String,
    pub docker: bool,
    /// Does it run without rights of its own, in a namespace of users?
    pub rootless: bool,
    /// Who root of all its containers is on this machine, where docker maps users (`userns-remap`).
    #[serde(default)]
    pub remapped: Option<(u32, u32)>,
    /// Whose its process is, by its socket: user and group.
    #[serde(default)]
    pub runs_as: Option<(u32, u32)>,
    /// Why it holds no limits, where that is known.
    #[serde(default)]
    pub holds_none: Option<String>,
    /// Does it make cgroups itself, rather than ask systemd for them?
    pub cgroupfs: bool,
    /// Does it hold limits of processor, memory and processes?
    pub limits: [bool; 3],
    /// Does it know names of the Container Device Interface? Docker does since 25, where it is told to.
    #[serde(default)]
    pub cdi: bool,
}

/// A container's output as it comes: for standard error or not, and the bytes.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Trouble>> + Send>>;

/// The service.
#[derive(Clone)]
pub(super) struct Service {
    socket: PathBuf,
}

impl Service {
    pub(super) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Connections are made anew for every question, so that nothing of a dead service lingers.
    fn docker(&self, within: Duration) -> Result<Docker, Trouble> {
        let version: &ClientVersion = API_DEFAULT_VERSION;
        let docker = Docker::connect_with_unix(
            &self.socket.to_string_lossy(),
            within.as_secs(),
            // Only a name: the library asks without a version, and every service answers in its own.
            &ClientVersion { major_version: 1, minor_version: 41.min(version.minor_version) },
        );
        Ok(docker?)
    }

    /// What it is.
    pub(super) async fn about(&self) -> Result<About, Trouble> {
        let docker = self.docker(ANSWER_WITHIN)?;
        let version = docker.version().await?;
        let info = docker.info().await?;
        let parts = version.components.unwrap_or_default();
        let is_podman = parts.iter().any(|part| part.name.contains("Podman"));
        let name = if is_podman { "podman" } else { "docker" };
        let security = info.security_options.unwrap_or_default();
        // A service that does not say has them: only those without rights may lack some.
        let mut limits =
            [info.cpu_cfs_quota, info.memory_limit, info.pids_limit].map(|has| has.unwrap_or(true));
        let mut rootless = security.iter().any(|option| option.contains("rootless"));
        let mut cgroups = info.cgroup_version.map(|version| format!("v{version}"));
        let own = if is_podman { libpod::about(&self.socket).await } else { None };
        if let Some(host) = own {
            rootless = host.security.rootless;
            if rootless {
                limits = host.limits();
            }
            cgroups = Some(host.cgroup_version);
        }
        let maps = security.iter().any(|option| option == "name=userns");
        let root = info.docker_root_dir.filter(|_| maps && !is_podman);
        let holds_none = (rootless && limits.contains(&false)).then(|| match cgroups.as_deref() {
            Some("v1") => "a service without rights holds no limits by cgroups v1".to_owned(),
            _ => "its user was given no controllers for them (systemd: Delegate=cpu cpuset io memory \
                  pids for user@.service)"
                .to_owned(),
        });
        Ok(About {
            limits,
            words: format!("{name} {}", version.version.unwrap_or_default()),
            docker: !is_podman,
            rootless,
            remapped: root.as_deref().and_then(mapped_root),
            runs_as: self.peer().await.map(|(user, _)| user),
            holds_none,
            cgroupfs: info.cgroup_driver.is_some_and(|driver| driver.to_string() == "cgroupfs"),
            cdi: is_podman || info.cdi_spec_dirs.is_some_and(|folders| !folders.is_empty()),
        })
    }

    /// Whose the process at the socket is, and its number; 0 where it is not seen from here.
    pub(super) async fn peer(&self) -> Option<((u32, u32), i32)> {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.ok()?;
        let peer = stream.peer_cred().ok()?;
        Some(((peer.uid(), peer.gid()), peer.pid().unwrap_or(0)))
    }

    /// Is the image there?
    pub(super) async fn has_image(&self, name: &str) -> Result<bool, Trouble> {
        match self.docker(ANSWER_WITHIN)?.inspect_image(name).await.map_err(Trouble::from) {
            Ok(_) => Ok(true),
            Err(trouble) if trouble.is_missing() => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Fetches an image from its registry.
    pub(super) async fn pull(&self, name: &str, login: Option<&Login>) -> Result<(), Trouble> {
        let options = CreateImageOptions {
            from_image: Some(name.to_owned()),
            ..CreateImageOptions::default()
        };
        let login = login.map(|login| DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.clone()),
            serveraddress: Some(registry_of(name).to_owned()),
            ..DockerCredentials::default()
        });
        let docker = self.docker(PULL_WITHIN)?;
        let mut progress = docker.create_image(Some(options), None, login);
        let all = async {
            while let Some(step) = progress.next().await {
                let step = step?;
                if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
                    return Err(Trouble::Refused { status: 500, words: error });
                }
            }
            Ok(())
        };
        match tokio::time::timeout(PULL_WITHIN, all).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Trouble::Away(format!("{name} has not come in half an hour"))),
        }
    }

    /// Makes a container; does not start it.
    pub(super) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<(), Trouble> {
        if specification::is_needed(&body) {
            return libpod::create(&self.socket, &Specification::of(name, body)).await;
        }
        let options =
            CreateContainerOptions { name: Some(name.to_owned()), platform: String::new() };
        let docker = self.docker(ANSWER_WITHIN)?;
        docker.create_container(Some(options), body).await?;
        Ok(())
    }

    /// Starts a container that was never started.
    pub(super) async fn start(&self, name: &str) -> Result<(), Trouble> {
        let docker = self.docker(ANSWER_WITHIN)?;
        Ok(docker.start_container(name, None).await?)
    }

    /// Where it stands; none: there is no such container.
    pub(super) async fn standing(&self, name: &str) -> Result<Option<Standing>, Trouble> {
        let docker = self.docker(ANSWER_WITHIN)?;
        match docker.inspect_container(name, None).await.map_err(Trouble::from) {
            Ok(found) => Ok(Some(Standing::of(found))),
            Err(trouble) if trouble.is_missing() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Sends a signal to its first process.
    pub(super) async fn signal(&self, name: &str, signal: Signal) -> Result<(), Trouble> {
        let options = KillContainerOptions { signal: signal.0.to_string() };
        Ok(self.docker(ANSWER_WITHIN)?.kill_container(name, Some(options)).await?)
    }

    /// Removes it, running or not. One that is gone is as good.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        let docker = self.docker(ANSWER_WITHIN)?;
        match docker.remove_container(name, Some(options)).await.map_err(Trouble::from) {
            Err(trouble) if !trouble.is_missing() => Err(trouble),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What it writes from now on.
    pub(super) async fn attach(&self, name: &str) -> Result<Output, Trouble> {
        let options = AttachContainerOptions {
            stream: true,
            stdout: true,
            stderr: true,
            ..AttachContainerOptions::default()
        };
        let docker = self.docker(ANSWER_WITHIN)?;
        let attached = docker.attach_container(name, Some(options)).await?;
        Ok(Box::pin(attached.output.map(|piece| piece.map_err(Trouble::from))))
    }

    /// What it has written, and with `follow` goes on to write.
    pub(super) fn written(&self, name: &str, follow: Follow) -> Result<Output, Trouble> {
        let options = LogsOptions {
            follow: follow == Follow::On,
            stdout: true,
            stderr: true,
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        let docker = self.docker(ANSWER_WITHIN)?;
        let output = docker.logs(name, Some(options)).map(|piece| piece.map_err(Trouble::from));
        Ok(Box::pin(output))
    }

    /// The names of all containers with this label.
    pub(super) async fn named(&self, label: &str, value: &str) -> Result<Vec<String>, Trouble> {
        let filters = [("label".to_owned(), vec![format!("{label}={value}")])].into();
        let options =
            ListContainersOptions { all: true, limit: None, size: false, filters: Some(filters) };
        let found = self.docker(ANSWER_WITHIN)?.list_containers(Some(options)).await?;
        let names = found.into_iter().filter_map(|one| one.names?.into_iter().next());
        Ok(names.map(|name| name.trim_start_matches('/').to_owned()).collect())
    }
}

/// Who root is, by the folder that docker has where it maps users: it is called after them (`…/300000.300000`).
fn mapped_root(folder: &str) -> Option<(u32, u32)> {
    let (uid, gid) = folder.trim_end_matches('/').rsplit('/').next()?.split_once('.')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// To the end of what is there, or for as long as it runs?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Follow {
    On,
    Off,
}

/// The registry in an image's name: what stands before the first slash if it looks like a host.
pub(crate) fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_read_from_names() {
        let check = |image, expect| assert_eq!(registry_of(image), expect, "{image}");
        check("blender:4", "docker.io");
        check("library/blender:4", "docker.io");
        check("registry.local/blender:4", "registry.local");
        check("localhost/a", "localhost");
        check("10.0.0.1:5000/a/b@sha256:00", "10.0.0.1:5000");
    }

    #[test]
    fn a_mapped_root_is_read_from_dockers_folder() {
        assert_eq!(mapped_root("/var/lib/docker/300000.300001"), Some((300_000, 300_001)));
        assert_eq!(mapped_root("/var/lib/docker"), None);
        assert_eq!(mapped_root("/var/lib/docker.d"), None);
    }

    #[test]
    fn the_runtimes_words_say_why_a_program_does_not_start() {
        let check = |words: &str, program: Option<&str>, expect: StartFailure| {
            let trouble = Trouble::Refused { status: 500, words: words.to_owned() };
            assert_eq!(trouble.as_failure(program), expect);
        };
        let missing = StartFailure::NoSuchProgram("p".to_owned());
        let not = StartFailure::NotExecutable("/work/s".to_owned());
        let in_path = "crun: executable file `p` not found in $PATH: No such file or directory";
        check(in_path, Some("p"), missing.clone());
        check("runc: exec: \"p\": stat p: no such file or directory: unknown", Some("p"), missing);
        check(
            "crun: open executable: Permission denied: OCI permission denied",
            Some("/work/s"),
            not.clone(),
        );
        check("runc: exec /work/s: exec format error", Some("/work/s"), not);
        let full = "crun: fork: cannot allocate memory";
        check(full, Some("p"), StartFailure::NoRoom(full.to_owned()));
        // Not about the program, or not about what the runtime starts.
        for (others, program) in [
            ("unheard of", Some("p")),
            (in_path, None),
            (
                "crun: open `/proc/7/ns/p`: No such file or directory: OCI runtime attempted to invoke a command \
              that was not found",
                Some("p"),
            ),
            (
                "crun: open `/usr/share/x`: No such file or directory: OCI runtime attempted to invoke a command \
              that was not found",
                Some("sh"),
            ),
            (
                "runc: exec: \"nvidia-container-runtime-hook\": executable file not found in $PATH",
                Some("p"),
            ),
            (
                "crun: mount `proc` to `proc`: Operation not permitted: OCI permission denied",
                Some("/bin/sh"),
            ),
        ] {
            check(others, program, StartFailure::Other(others.to_owned()));
        }
    }

    #[test]
    fn an_inits_words_are_about_the_program() {
        let check = |words: &str, expect: StartFailure| assert_eq!(of_program(words, "/P"), expect);
        let missing = StartFailure::NoSuchProgram("/P".to_owned());
        check(
            "ERROR (catatonit:2): failed to exec pid1: No such file or directory",
            missing.clone(),
        );
        check("[FATAL tini (7)] exec /P failed: No such file or directory", missing);
        let not = StartFailure::NotExecutable("/P".to_owned());
        check("ERROR (catatonit:2): failed to exec pid1: Exec format error", not.clone());
        check("ERROR (catatonit:2): failed to exec pid1: Permission denied", not);
        check("x", StartFailure::Other("x".to_owned()));
    }
}

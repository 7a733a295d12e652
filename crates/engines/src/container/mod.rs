//! Containers of podman or docker, by the socket of their interface.
//!
//! The engine is the keeper's client, as for processes; its keeper starts containers instead. It
//! holds limits, leases, logs and counters of what podman runs. A container has a parent of its own
//! (podman's conmon, docker's shim), so it outlives the keeper, the agent and podman's service;
//! whoever comes next finds it by its name and goes on where the last one was.
//!
//! - [`recipe`]: from a launch to what podman is asked for. Pure.
//! - [`api`]: the questions that are asked, and which failures mean "ask again".
//! - [`libpod`]: questions to podman in its own words, and [`specification`]: a container in those.
//! - [`cgroup`]: what a container used, and a hold on its first process that needs no service.
//! - [`bell`]: hearing of kills for want of memory where the count goes with the container.
//! - [`holding`]: one attempt as it is held, when what is due, and the notes about it on disk.
//! - [`presence`]: whether docker was there all the time.
//! - [`output`]: what a container writes, once, whoever dies meanwhile.
//! - [`owner`]: whose a container's processes are.
//! - [`bringing`]: from a launch to a running container.
//! - [`tending`]: from there to its end.
//! - [`steps`]: from the end of one container of an attempt to the next.
//! - [`house`]: all of them, and the agent on the other side of the socket.
//! - [`keeper`]: the process around it, and the one that starts it anew when it dies.
//!
//! Invariants: a container's name is made of its attempt, so two of one attempt cannot be; it is
//! started only while it was never started before; it is reported ended only when podman says so.
//! Nothing here knows the exchange, or asks podman for anything but the containers of this agent.

mod api;
mod bell;
mod bringing;
mod cgroup;
mod entering;
mod holding;
mod house;
pub(crate) mod keeper;
mod libpod;
mod output;
mod owner;
mod presence;
mod recipe;
mod specification;
mod steps;
mod tending;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::Containers;
use crate::{Enforcement, Engine, EngineKind, Fault, ProcessConfig, ProcessEngine};

pub(crate) use entering::entrance;
pub use recipe::{FOLDER, OUTSIDE_VARIABLES};

/// Where and with what containers are kept.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// The folder for tasks, logs and notes; made if missing.
    pub dir: PathBuf,
    /// The program that runs [`keeper::run`](crate::keeper::run), with the words before its
    /// options: `[dayan, "keeper"]`.
    pub keeper: Vec<OsString>,
    /// Further options for it, such as `--idle 60s`.
    pub options: Vec<OsString>,
    /// Whose they are.
    pub whose: Containers,
    /// The socket of podman or docker; none: [`socket`] finds it.
    pub socket: Option<PathBuf>,
}

/// Where podman's or docker's socket is: `CONTAINER_HOST` or `DOCKER_HOST` where set, else the
/// first that is there of podman's for this user, podman's for root, docker's. Docker's alone, where
/// it is to be docker: of this user, else of root.
pub fn socket(whose: Containers) -> Option<PathBuf> {
    let names = match whose {
        Containers::Podman => &["CONTAINER_HOST", "DOCKER_HOST"][..],
        Containers::Docker => &["DOCKER_HOST"],
    };
    let said = names.iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        value.strip_prefix("unix://").map(PathBuf::from)
    });
    let own = rustix::process::geteuid();
    let of_user = |name: &str| {
        let path = PathBuf::from(format!("/run/user/{}/{name}", own.as_raw()));
        (!own.is_root()).then_some(path)
    };
    let mut known = Vec::new();
    match whose {
        Containers::Podman => {
            known.extend(of_user("podman/podman.sock"));
            known.push("/run/podman/podman.sock".into());
        }
        Containers::Docker => known.extend(of_user("docker.sock")),
    }
    known.push("/var/run/docker.sock".into());
    said.or_else(|| known.into_iter().find(|path| path.exists()))
}

/// Opens the engine: finds the keeper of the folder or starts one.
pub fn open(config: ContainerConfig) -> Result<ProcessEngine, Fault> {
    let (name, kind) = match config.whose {
        Containers::Podman => ("podman", EngineKind::Podman),
        Containers::Docker => ("docker", EngineKind::Docker),
    };
    let socket = config.socket.or_else(|| socket(config.whose)).ok_or_else(|| {
        Fault::Unreachable(format!(
            "no socket of {name} is here; start it (`systemctl enable --now {name}.socket`) or name \
             it with --container-socket"
        ))
    })?;
    // A keeper that was here before has containers to care for, whether the service is there or not.
    if !keeper::was_here(&config.dir)
        && let Err(error) = std::os::unix::net::UnixStream::connect(&socket)
    {
        return Err(Fault::Unreachable(format!(
            "{} is no socket that podman or docker answers at ({error}); start the service (`systemctl \
             enable --now {name}.socket`), or name another with --container-socket",
            socket.display()
        )));
    }
    let mut options = vec!["--containers".into(), socket.into()];
    options.extend(config.options);
    let config = ProcessConfig { dir: config.dir, keeper: config.keeper, options };
    let engine = ProcessEngine::open_as(config, kind)?;
    let features = engine.describe().features;
    let limits = [features.cpu_limit, features.memory_limit, features.pids_limit];
    if limits.contains(&Enforcement::Absent) {
        tracing::warn!(
            containers = features.confinement,
            "not every limit of a task is held here; what is not held is not sold as held"
        );
    }
    Ok(engine)
}

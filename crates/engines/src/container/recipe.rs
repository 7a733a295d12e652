//! From a launch to what podman is asked for.
//!
//! Invariants: a container gets no more than its launch says: no capabilities, no new privileges, a
//! root file system that cannot be written, of the machine's folders the attempt's own and no
//! other, no network unless asked for. Pure: looks at nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig,
    ResourcesUlimits,
};
use dayan_units::AttemptId;

use super::owner::Owner;
use crate::command::{self, FENCE_VARIABLE};
use crate::{ImageNetwork, Launch, Mount, Program, Step, Workdir};

/// Where a task finds its folder.
pub const FOLDER: &str = "/work";

/// Variables that podman, docker or their images set beside those of the launch.
pub const OUTSIDE_VARIABLES: &[&str] = &["HOSTNAME", "TERM", "container"];

/// The label that says whose agent's a container is.
pub(super) const LABEL_AGENT: &str = "dayan.agent";
/// The label that says which attempt it runs.
pub(super) const LABEL_ATTEMPT: &str = "dayan.attempt";

/// What podman itself keeps of the output, for when its service dies while we listen: as much as
/// eight streams of the usual limit.
const KEPT_BY_SERVICE: &str = "64m";

/// How the task's folder is mounted: to be written, and, where SELinux guards containers, labelled as
/// this container's own.
const MOUNT: &str = "rw,Z";

/// The same for a part of it that is seen elsewhere: the files are one container's after the other.
const MOUNT_PART: &str = "rw,z";

/// What is known of the engine that the container is for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Kitchen {
    /// This agent's name.
    pub agent: String,
    /// Does the service run without rights of its own? Then users are mapped.
    pub rootless: bool,
    /// Is it docker, which takes device names where podman takes paths?
    pub docker: bool,
    /// Does it know names of the Container Device Interface?
    pub cdi: bool,
    /// Below which cgroup the container is put; none: where the service puts it.
    pub cgroup: Option<String>,
    /// Who a task is, and whose the files of its folder are.
    pub owner: Owner,
    /// Does the service have an init, which passes signals on and reaps?
    pub init: bool,
}

/// Who holds a container's number of processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Processes {
    /// Its cgroup. The limit of its user (`RLIMIT_NPROC`) would count those of all containers of that
    /// user, so it is as far away as the service may have it: what this user itself may have; none
    /// for no limit.
    ByCgroup { user_most: Option<u64> },
    /// Nobody but the limit of its user: better than none.
    ByUser,
}

/// What the container of an attempt is called, or of a step of it. Nobody else is called so: the
/// claim that can be made once.
pub(super) fn name(agent: &str, attempt: AttemptId, step: u32) -> String {
    let AttemptId { job, task, attempt } = attempt;
    let whole = format!("{agent}.{job}.{task}.{attempt}");
    if step == 0 { whole } else { format!("{whole}.s{step}") }
}

/// How many containers a launch has.
pub(super) fn count(launch: &Launch) -> u32 {
    u32::try_from(launch.steps.len()).unwrap_or(u32::MAX).max(1)
}

/// The devices that a container has.
pub(super) fn devices_of(launch: &Launch, step: u32) -> &[String] {
    let step = launch.steps.get(step as usize).map(|step| &step.image);
    step.or(launch.image.as_ref()).map_or(&[], |image| &image.devices)
}

/// The arguments that are executed in a container.
pub(super) fn argv(launch: &Launch, step: u32) -> Result<Vec<String>, String> {
    match launch.steps.get(step as usize) {
        None => command::arguments(&launch.program),
        Some(step) => {
            let argv = command::arguments(&Program::Argv(step.argv.clone()))?;
            Ok(redirected(step, argv))
        }
    }
}

/// The program behind a shell that opens the files for it, where there are some: so nothing of them
/// goes through anybody's hands.
fn redirected(step: &Step, argv: Vec<String>) -> Vec<String> {
    let files = [("<", &step.stdin), (">", &step.stdout), ("2>", &step.stderr)];
    let given = files.iter().filter_map(|(sign, file)| Some((sign, file.as_ref()?)));
    let opened: Vec<String> =
        given.map(|(sign, file)| format!("{sign}'{}'", file.replace('\'', r"'\''"))).collect();
    if opened.is_empty() {
        return argv;
    }
    let mut words = ["/bin/sh", "-c"].map(str::to_owned).to_vec();
    words.extend([format!("exec \"$@\" {}", opened.join(" ")), "sh".to_owned()]);
    words.extend(argv);
    words
}

/// Where in the attempt's folder a file lies that a container sees at this path, if it lies there.
pub(super) fn behind(mounts: &[Mount], path: &str) -> Option<PathBuf> {
    let below = |at: &str| -> Option<PathBuf> {
        let rest = path.strip_prefix(at)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').into())
    };
    // The innermost one counts.
    let found = mounts.iter().filter_map(|mount| Some((mount, below(&mount.at)?)));
    match found.max_by_key(|(mount, _)| mount.at.len()) {
        Some((mount, rest)) => Some(mount.from.join(rest)),
        None => below(FOLDER),
    }
}

/// The path inside of a path outside; what is not in the attempt's folder is the image's own.
fn inside(path: &Path, folder: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => FOLDER.to_owned(),
        Ok(rest) => format!("{FOLDER}/{}", rest.display()),
        Err(_) => path.display().to_string(),
    }
}

/// The environment. Values that are paths into the attempt's folder become those inside.
fn environment(given: &BTreeMap<String, String>, folder: &Path, fence: &str) -> Vec<String> {
    let outside = folder.to_string_lossy();
    let translated = |value: &String| match value.strip_prefix(outside.as_ref()) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{FOLDER}{rest}"),
        Some(_) | None => value.clone(),
    };
    let mut env: Vec<String> = given
        .iter()
        .filter(|(name, _)| *name != FENCE_VARIABLE)
        .map(|(name, value)| format!("{name}={}", translated(value)))
        .collect();
    for name in ["HOME", "TMPDIR"] {
        if !given.contains_key(name) {
            env.push(format!("{name}={FOLDER}"));
        }
    }
    env.push(format!("{FENCE_VARIABLE}={fence}"));
    env
}

/// Devices as podman's paths or as names of the Container Device Interface.
fn devices(host: &mut HostConfig, wanted: &[String], kitchen: &Kitchen) {
    let (paths, names): (Vec<&String>, Vec<&String>) =
        wanted.iter().partition(|device| device.starts_with('/'));
    let mut mappings: Vec<DeviceMapping> = paths
        .into_iter()
        .map(|path| DeviceMapping {
            path_on_host: Some(path.clone()),
            path_in_container: Some(path.clone()),
            cgroup_permissions: Some("rwm".to_owned()),
        })
        .collect();
    if !kitchen.docker {
        // Podman has the name where docker has a path, in its own words.
        mappings.extend(names.into_iter().map(|name| DeviceMapping {
            path_on_host: Some(name.clone()),
            ..DeviceMapping::default()
        }));
    } else if !names.is_empty() {
        host.device_requests = Some(vec![device_request(&names, kitchen.cdi)]);
    }
    if !mappings.is_empty() {
        host.devices = Some(mappings);
    }
}

/// Docker's word for devices by name. One that does not know such names has NVIDIA's own runtime, which takes
/// the cards' numbers, or says that it has none.
fn device_request(names: &[&String], cdi: bool) -> DeviceRequest {
    if cdi {
        return DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(names.iter().map(|name| (*name).clone()).collect()),
            ..DeviceRequest::default()
        };
    }
    let cards = names.iter().map(|name| name.rsplit('=').next().unwrap_or_default().to_owned());
    DeviceRequest {
        device_ids: Some(cards.collect()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

/// The groups of its devices, by number. Without rights of its own podman knows none of this machine's: a task
/// keeps those that its user has, which crun alone can.
fn group_add(groups: &[u32], kitchen: &Kitchen) -> Option<Vec<String>> {
    match groups {
        [] => None,
        _ if kitchen.rootless => Some(vec!["keep-groups".to_owned()]),
        _ => Some(groups.iter().map(u32::to_string).collect()),
    }
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The attempt's folder, and the parts of it that are seen elsewhere.
fn binds(launch: &Launch, folder: &Path) -> Vec<String> {
    let parts = launch
        .mounts
        .iter()
        .map(|mount| format!("{}:{}:{MOUNT_PART}", folder.join(&mount.from).display(), mount.at));
    // What several containers see carries a label for all of them.
    let own = if launch.steps.len() > 1 || !launch.mounts.is_empty() { MOUNT_PART } else { MOUNT };
    std::iter::once(format!("{}:{FOLDER}:{own}", folder.display())).chain(parts).collect()
}

/// What podman is asked to make for a launch, or a step of it. `folder` is the attempt's own,
/// `fence` what marks its processes, `groups` are those of this machine that its devices need.
pub(super) fn recipe(
    launch: &Launch,
    number: u32,
    folder: &Path,
    fence: &str,
    kitchen: &Kitchen,
    processes: Processes,
    groups: &[u32],
) -> Result<ContainerCreateBody, String> {
    let step = launch.steps.get(number as usize);
    let image = step.map(|step| &step.image).or(launch.image.as_ref());
    let image = image.ok_or("no image is named")?;
    let argv = argv(launch, number)?;
    let mut env = launch.env.clone();
    env.extend(step.into_iter().flat_map(|step| step.env.clone()));
    if argv.iter().chain(env.values()).any(|word| word.contains('\0')) {
        return Err("a zero byte in the command or its environment".to_owned());
    }
    let limits = &launch.limits;
    let memory = clamped(limits.memory.0);
    let ulimit = |name: &str, most: u64| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(clamped(most)),
        hard: Some(clamped(most)),
    };
    let (uid, gid) = kitchen.owner.inside;
    // Said in so many words: what podman would set itself may be more than it may.
    let mut ulimits = vec![ulimit("nofile", limits.open_files), ulimit("core", 0)];
    match processes {
        // Docker leaves it as it is.
        Processes::ByCgroup { .. } if kitchen.docker => {}
        Processes::ByCgroup { user_most } => ulimits.push(ResourcesUlimits {
            name: Some("nproc".to_owned()),
            soft: Some(user_most.map_or(-1, clamped)),
            hard: Some(user_most.map_or(-1, clamped)),
        }),
        Processes::ByUser => ulimits.push(ulimit("nproc", u64::from(limits.pids).max(1_024))),
    }
    let mut host = HostConfig {
        network_mode: Some(
            match image.network {
                ImageNetwork::None => "none",
                ImageNetwork::Bridge => "bridge",
                ImageNetwork::Host => "host",
            }
            .to_owned(),
        ),
        binds: Some(binds(launch, folder)),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        init: kitchen.init.then_some(true),
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(clamped(limits.cpu.0).saturating_mul(1_000_000)),
        pids_limit: Some(i64::from(limits.pids)),
        cpuset_cpus: (!limits.cpu_set.is_empty())
            .then(|| limits.cpu_set.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        // In memory, and counted as the task's.
        tmpfs: (!launch.mounts.iter().any(|mount| mount.at == "/tmp")).then(|| {
            // Docker leaves it as open as the image's own is, podman knows no owner of it.
            let whose =
                if kitchen.docker { format!(",uid={uid},gid={gid}") } else { String::new() };
            let options = format!("rw,exec,nosuid,nodev,mode=1777,size={}{whose}", memory / 2);
            HashMap::from([("/tmp".to_owned(), options)])
        }),
        shm_size: Some((memory / 2).max(1 << 20)),
        ulimits: Some(ulimits),
        log_config: Some(HostConfigLogConfig {
            // Docker's file of JSON has no place for bytes that are no text; podman's has.
            typ: Some(if kitchen.docker { "local" } else { "json-file" }.to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), KEPT_BY_SERVICE.to_owned())])),
        }),
        cgroup_parent: kitchen.cgroup.clone(),
        userns_mode: kitchen.rootless.then(|| "keep-id".to_owned()),
        ..HostConfig::default()
    };
    devices(&mut host, &image.devices, kitchen);
    host.group_add = group_add(groups, kitchen);
    let workdir = match (step, &launch.workdir) {
        (Some(step), _) => step.workdir.clone(),
        (None, Workdir::Fresh) => Some(FOLDER.to_owned()),
        (None, Workdir::At(path)) => Some(inside(path, folder)),
    };
    Ok(ContainerCreateBody {
        image: Some(image.name.clone()),
        cmd: Some(argv),
        // The image's own entry point would take the command for its arguments.
        entrypoint: Some(Vec::new()),
        env: Some(environment(&env, folder, fence)),
        working_dir: workdir,
        user: Some(format!("{uid}:{gid}")),
        labels: Some(HashMap::from([
            (LABEL_AGENT.to_owned(), kitchen.agent.clone()),
            (LABEL_ATTEMPT.to_owned(), launch.attempt.to_string()),
        ])),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: Processes = Processes::ByCgroup { user_most: Some(4_000) };
    use crate::{BootId, BootTime, Image, Isolation, LeaseEnd, Limits};
    use dayan_units::{Bytes, JobId};

    fn launch() -> Launch {
        Launch {
            attempt: AttemptId { job: JobId::from_bits(1), task: 2, attempt: 3 },
            program: Program::Shell("echo hi".to_owned()),
            env: BTreeMap::from([
                ("DAYAN_HOSTFILE".to_owned(), "/data/a/.hosts".to_owned()),
                ("OTHER".to_owned(), "/data/ab".to_owned()),
            ]),
            workdir: Workdir::At("/data/a/sub".into()),
            limits: Limits { memory: Bytes(1 << 20), ..Limits::default() },
            lease_end: LeaseEnd { boot: BootId(1), at: BootTime::NEVER },
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: std::collections::BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
            image: Some(Image {
                name: "registry/a:1".to_owned(),
                devices: vec!["nvidia.com/gpu=0".to_owned(), "/dev/kfd".to_owned()],
                ..Image::default()
            }),
        }
    }

    #[test]
    fn a_container_gets_what_its_launch_says_and_no_more() {
        let kitchen = Kitchen {
            agent: "dayan-1".to_owned(),
            owner: Owner { inside: (1_000, 100), outside: (1_000, 100) },
            rootless: true,
            ..Kitchen::default()
        };
        let made = recipe(&launch(), 0, Path::new("/data/a"), "f", &kitchen, COUNTED, &[])
            .expect("a recipe");
        assert_eq!(made.working_dir.as_deref(), Some("/work/sub"));
        assert_eq!(made.user.as_deref(), Some("1000:100"));
        let env = made.env.expect("one");
        for line in ["DAYAN_HOSTFILE=/work/.hosts", "OTHER=/data/ab", "HOME=/work", "DAYAN_FENCE=f"]
        {
            assert!(env.iter().any(|given| given == line), "{line} in {env:?}");
        }
        assert_eq!(made.cmd.expect("one"), ["/bin/sh", "-c", "echo hi"]);
        let host = made.host_config.expect("one");
        assert_eq!(host.binds.expect("one"), ["/data/a:/work:rw,Z"]);
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), None));
        assert_eq!(host.cap_drop.expect("all"), ["ALL"]);
        assert_eq!(host.userns_mode.as_deref(), Some("keep-id"));
        assert_eq!((host.memory, host.memory_swap), (Some(1 << 20), Some(1 << 20)));
    }

    #[test]
    fn a_step_gets_its_own_and_sees_parts_of_the_folder() {
        let mount = |from: &str, at: &str| Mount { from: from.into(), at: at.to_owned() };
        let step = Step {
            image: Image { name: "b:2".to_owned(), ..Image::default() },
            argv: vec!["sort".to_owned(), "-".to_owned()],
            env: BTreeMap::from([("OTHER".to_owned(), "mine".to_owned())]),
            stdin: Some("/data/in".to_owned()),
            stdout: Some("/tmp/it's".to_owned()),
            ..Step::default()
        };
        let launch = Launch {
            mounts: vec![mount(".m/0", "/data"), mount(".m/1", "/tmp")],
            steps: vec![Step::default(), step],
            ..launch()
        };
        let made = |number| {
            recipe(&launch, number, Path::new("/data/a"), "f", &Kitchen::default(), COUNTED, &[])
        };
        assert!(made(0).is_err(), "a step without a command");
        let made = made(1).expect("a recipe");
        assert_eq!((made.image.as_deref(), made.working_dir), (Some("b:2"), None));
        let expect =
            ["/bin/sh", "-c", "exec \"$@\" <'/data/in' >'/tmp/it'\\''s'", "sh", "sort", "-"];
        assert_eq!(made.cmd.expect("one"), expect);
        assert!(made.env.expect("some").contains(&"OTHER=mine".to_owned()));
        let host = made.host_config.expect("one");
        let binds = ["/data/a:/work:rw,z", "/data/a/.m/0:/data:rw,z", "/data/a/.m/1:/tmp:rw,z"];
        assert_eq!(host.binds.expect("some"), binds);
        assert_eq!(host.tmpfs, None, "a mount takes its place");
        assert_eq!(count(&launch), 2);
        let attempt = launch.attempt;
        assert_eq!(name("a", attempt, 1), format!("{}.s1", name("a", attempt, 0)));
    }

    #[test]
    fn a_path_inside_is_found_in_the_folder() {
        let mount = |from: &str, at: &str| Mount { from: from.into(), at: at.to_owned() };
        let mounts = [mount(".m/0", "/data"), mount(".m/1", "/data/deep")];
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(behind(&mounts, path), expect.map(PathBuf::from), "{path}");
        };
        check("/data/a/b", Some(".m/0/a/b"));
        check("/data/deep/b", Some(".m/1/b"));
        check("/data", Some(".m/0"));
        check("/database", None);
        check("/work/a", Some("a"));
        check("/tmp/a", None);
    }

    #[test]
    fn containers_of_one_user_do_not_share_a_limit_of_processes() {
        let nproc = |docker, processes| {
            let kitchen = Kitchen { docker, ..Kitchen::default() };
            let made = recipe(&launch(), 0, Path::new("/data/a"), "f", &kitchen, processes, &[]);
            let host = made.expect("a recipe").host_config.expect("one");
            assert_eq!(host.pids_limit, Some(i64::from(launch().limits.pids)));
            let tmp = host.tmpfs.expect("one")["/tmp"].clone();
            assert_eq!(tmp.ends_with(",uid=0,gid=0"), docker, "{tmp}");
            let all = host.ulimits.expect("some");
            let found = all.into_iter().find(|one| one.name.as_deref() == Some("nproc"));
            found.map(|one| (one.soft, one.hard))
        };
        let counted = |user_most| Processes::ByCgroup { user_most };
        assert_eq!(nproc(true, counted(Some(4_000))), None);
        assert_eq!(nproc(false, counted(Some(4_000))), Some((Some(4_000), Some(4_000))));
        assert_eq!(nproc(false, counted(None)), Some((Some(-1), Some(-1))));
        let pids = i64::from(launch().limits.pids);
        for docker in [true, false] {
            assert_eq!(nproc(docker, Processes::ByUser), Some((Some(pids), Some(pids))));
        }
    }

    #[test]
    fn devices_are_named_as_each_engine_wants_them() {
        let made = |docker, cdi| {
            let kitchen = Kitchen { docker, cdi, ..Kitchen::default() };
            let made = recipe(&launch(), 0, Path::new("/data/a"), "f", &kitchen, COUNTED, &[])
                .expect("a recipe");
            made.host_config.expect("one")
        };
        let podman = made(false, true);
        let paths: Vec<_> =
            podman.devices.expect("two").into_iter().filter_map(|d| d.path_on_host).collect();
        assert_eq!(paths, ["/dev/kfd", "nvidia.com/gpu=0"]);
        assert_eq!(podman.device_requests, None);
        let asked = |cdi| {
            let docker = made(true, cdi);
            assert_eq!(docker.devices.expect("one").len(), 1);
            let request = docker.device_requests.expect("one").remove(0);
            (request.driver, request.device_ids.expect("one"), request.capabilities)
        };
        let by_name = vec!["nvidia.com/gpu=0".to_owned()];
        assert_eq!(asked(true), (Some("cdi".to_owned()), by_name, None));
        let gpu = Some(vec![vec!["gpu".to_owned()]]);
        assert_eq!(asked(false), (None, vec!["0".to_owned()], gpu));
    }

    #[test]
    fn groups_of_devices_are_added_by_number_or_kept() {
        let made = |rootless, groups: &[u32]| {
            let kitchen = Kitchen { rootless, ..Kitchen::default() };
            let folder = Path::new("/data/a");
            let made = recipe(&launch(), 0, folder, "f", &kitchen, COUNTED, groups);
            made.expect("a recipe").host_config.expect("one").group_add
        };
        assert_eq!(made(false, &[]), None);
        assert_eq!(made(false, &[44, 4_242]), Some(vec!["44".to_owned(), "4242".to_owned()]));
        assert_eq!(made(true, &[44]), Some(vec!["keep-groups".to_owned()]));
    }

    #[test]
    fn what_cannot_be_said_to_podman_is_refused() {
        let check = |change: &dyn Fn(&mut Launch)| {
            let mut launch = launch();
            change(&mut launch);
            let folder = Path::new("/data/a");
            assert!(recipe(&launch, 0, folder, "f", &Kitchen::default(), COUNTED, &[]).is_err());
        };
        check(&|launch| launch.image = None);
        check(&|launch| launch.program = Program::Argv(Vec::new()));
        check(&|launch| launch.program = Program::Argv(vec!["a\0b".to_owned()]));
    }
}

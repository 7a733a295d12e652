//! A container in podman's own words (its `SpecGenerator`), for what docker's do not carry.
//!
//! Podman before 5 has no word of docker's for devices by name (Container Device Interface), so a container
//! with such is asked for in these. Made of what docker would be asked for, so that both get the same. Pure.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{ContainerCreateBody, HostConfig};
use serde::Serialize;

/// In so many parts of a second a share of processors is counted: what podman takes for docker's.
const CPU_PERIOD_MICROS: i64 = 100_000;
const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// What podman has where it is asked in docker's words.
const UMASK: &str = "0000";
/// Folders of memory that one with a read-only root has where it is asked in docker's words, and how: podman
/// 4.3 gives them to those that its program asks for, and to no others.
const WRITABLE: [&str; 2] = ["/run", "/var/tmp"];
const WRITABLE_HOW: &str = "rw,rprivate,nosuid,nodev,tmpcopyup";

/// A container by podman's names; what is not said is as podman has it by default.
#[derive(PartialEq, Debug, Default, Serialize)]
pub(super) struct Specification {
    name: String,
    image: Option<String>,
    command: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    work_dir: Option<String>,
    user: Option<String>,
    labels: Option<HashMap<String, String>>,
    netns: Option<Namespace>,
    userns: Option<Namespace>,
    mounts: Vec<Mount>,
    devices: Vec<Device>,
    groups: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    no_new_privileges: bool,
    read_only_filesystem: bool,
    read_write_tmpfs: bool,
    umask: &'static str,
    stop_timeout: u32,
    init: bool,
    resource_limits: Limits,
    r_limits: Vec<RLimit>,
    shm_size: Option<i64>,
    log_configuration: Option<Log>,
    cgroup_parent: Option<String>,
}

#[derive(PartialEq, Debug, Serialize)]
struct Namespace {
    nsmode: String,
}

#[derive(PartialEq, Debug, Serialize)]
struct Mount {
    destination: String,
    r#type: &'static str,
    source: String,
    options: Vec<String>,
}

#[derive(PartialEq, Debug, Serialize)]
struct Device {
    path: String,
}

#[derive(PartialEq, Debug, Default, Serialize)]
struct Limits {
    memory: Memory,
    cpu: Cpu,
    pids: Pids,
}

#[derive(PartialEq, Debug, Default, Serialize)]
struct Memory {
    limit: Option<i64>,
    swap: Option<i64>,
}

#[derive(PartialEq, Debug, Default, Serialize)]
struct Cpu {
    period: i64,
    quota: Option<i64>,
    cpus: Option<String>,
}

#[derive(PartialEq, Debug, Default, Serialize)]
struct Pids {
    limit: Option<i64>,
}

#[derive(PartialEq, Debug, Serialize)]
struct RLimit {
    r#type: String,
    soft: u64,
    hard: u64,
}

#[derive(PartialEq, Debug, Serialize)]
struct Log {
    driver: Option<String>,
    size: Option<i64>,
}

/// Does a container want what docker's words do not carry?
pub(super) fn is_needed(body: &ContainerCreateBody) -> bool {
    let devices = body.host_config.iter().flat_map(|host| host.devices.iter().flatten());
    devices.into_iter().any(|device| device.path_in_container.is_none())
}

impl Specification {
    /// Of what docker would be asked for by that name.
    pub(super) fn of(name: &str, body: ContainerCreateBody) -> Self {
        let host = body.host_config.unwrap_or_default();
        let env = body.env.unwrap_or_default();
        let named = |line: String| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let security = host.security_opt.iter().flatten();
        Self {
            name: name.to_owned(),
            image: body.image,
            command: body.cmd,
            entrypoint: body.entrypoint,
            env: env.into_iter().filter_map(named).collect(),
            work_dir: body.working_dir,
            user: body.user,
            labels: body.labels,
            netns: host.network_mode.clone().map(|nsmode| Namespace { nsmode }),
            userns: host.userns_mode.clone().map(|nsmode| Namespace { nsmode }),
            mounts: mounts(&host),
            devices: host.devices.iter().flatten().filter_map(device).collect(),
            no_new_privileges: security.clone().any(|option| option == "no-new-privileges"),
            read_only_filesystem: host.readonly_rootfs.unwrap_or(false),
            read_write_tmpfs: true,
            umask: UMASK,
            stop_timeout: 0,
            init: host.init.unwrap_or(false),
            resource_limits: limits(&host),
            r_limits: r_limits(&host),
            shm_size: host.shm_size,
            log_configuration: host.log_config.map(|log| Log {
                driver: log.typ,
                size: log.config.and_then(|words| size(words.get("max-size")?)),
            }),
            groups: host.group_add,
            cap_drop: host.cap_drop,
            cgroup_parent: host.cgroup_parent,
        }
    }
}

/// A name as it is; a file with where it is inside and what may be done with it.
fn device(device: &bollard::models::DeviceMapping) -> Option<Device> {
    let host = device.path_on_host.as_deref()?;
    let path = match (&device.path_in_container, &device.cgroup_permissions) {
        (Some(inside), Some(may)) => format!("{host}:{inside}:{may}"),
        (Some(inside), None) => format!("{host}:{inside}"),
        (None, _) => host.to_owned(),
    };
    Some(Device { path })
}

/// A size as docker has it for its logs, in bytes: `64m`.
fn size(words: &str) -> Option<i64> {
    let (number, unit) = words.split_at(words.len().checked_sub(1)?);
    let factor = match unit {
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        _ => return words.parse().ok(),
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

fn mounts(host: &HostConfig) -> Vec<Mount> {
    let words = |options: &str| options.split(',').map(str::to_owned).collect();
    let bind = |bind: &String| {
        // Where it is and how stand at the end; the path before may have any letters.
        let mut parts = bind.rsplitn(3, ':');
        let (options, destination, source) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Mount {
            destination: destination.to_owned(),
            r#type: "bind",
            source: source.to_owned(),
            options: words(options),
        })
    };
    let tmpfs = |(at, options): (&str, &str)| Mount {
        destination: at.to_owned(),
        r#type: "tmpfs",
        source: "tmpfs".to_owned(),
        options: words(options),
    };
    let asked = host.tmpfs.iter().flatten().map(|(at, options)| (at.as_str(), options.as_str()));
    let is_shut = host.readonly_rootfs == Some(true);
    let writable = WRITABLE.iter().filter(|_| is_shut).map(|at| (*at, WRITABLE_HOW));
    let binds = host.binds.iter().flatten().filter_map(bind);
    let mut mounts: Vec<Mount> = binds.collect();
    for (at, how) in asked.chain(writable) {
        // A part of the task's folder may be seen there.
        if mounts.iter().all(|mount| mount.destination != at) {
            mounts.push(tmpfs((at, how)));
        }
    }
    mounts
}

fn limits(host: &HostConfig) -> Limits {
    let per_period = MICROS_PER_SECOND / CPU_PERIOD_MICROS * NANOS_PER_MICRO;
    Limits {
        memory: Memory { limit: host.memory, swap: host.memory_swap },
        cpu: Cpu {
            period: CPU_PERIOD_MICROS,
            quota: host.nano_cpus.map(|nanos| nanos / per_period),
            cpus: host.cpuset_cpus.clone(),
        },
        pids: Pids { limit: host.pids_limit },
    }
}

fn r_limits(host: &HostConfig) -> Vec<RLimit> {
    // None, which docker writes as -1, is the largest number there is.
    let most = |limit: Option<i64>| limit.and_then(|it| u64::try_from(it).ok()).unwrap_or(u64::MAX);
    let limit = |limit: &bollard::models::ResourcesUlimits| RLimit {
        r#type: limit.name.clone().unwrap_or_default(),
        soft: most(limit.soft),
        hard: most(limit.hard),
    };
    host.ulimits.iter().flatten().map(limit).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::{DeviceMapping, HostConfigLogConfig, ResourcesUlimits};

    use super::*;

    fn file() -> DeviceMapping {
        DeviceMapping {
            path_on_host: Some("/dev/kfd".to_owned()),
            path_in_container: Some("/dev/kfd".to_owned()),
            cgroup_permissions: Some("rwm".to_owned()),
        }
    }

    #[test]
    fn podmans_own_words_are_needed_for_names_of_devices() {
        let check = |devices: Option<Vec<DeviceMapping>>, needed: bool| {
            let host_config = Some(HostConfig { devices, ..HostConfig::default() });
            let body = ContainerCreateBody { host_config, ..ContainerCreateBody::default() };
            assert_eq!(is_needed(&body), needed);
        };
        let name = DeviceMapping { path_on_host: Some("a/b=0".to_owned()), ..<_>::default() };
        check(None, false);
        check(Some(vec![file()]), false);
        check(Some(vec![file(), name]), true);
    }

    #[test]
    fn sizes_are_in_dockers_words() {
        let check = |words, expect| assert_eq!(size(words), expect, "{words}");
        check("64m", Some(64_000_000));
        check("1k", Some(1_000));
        check("2g", Some(2_000_000_000));
        check("512", Some(512));
        check("m", None);
        check("", None);
        check("9x", None);
    }

    #[test]
    fn what_docker_would_be_asked_for_is_said_in_podmans_words() {
        let ulimit = |name: &str, most| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(most),
            hard: Some(most),
        };
        let name = DeviceMapping { path_on_host: Some("a/b=0".to_owned()), ..<_>::default() };
        let host = HostConfig {
            binds: Some(vec!["/data/a:b:/work:rw,Z".to_owned()]),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "rw,size=5".to_owned())])),
            devices: Some(vec![file(), name]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            nano_cpus: Some(1_500_000_000),
            memory: Some(7),
            memory_swap: Some(7),
            pids_limit: Some(9),
            ulimits: Some(vec![ulimit("nofile", 64), ulimit("nproc", -1)]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([("max-size".to_owned(), "64m".to_owned())])),
            }),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            env: Some(vec!["A=b=c".to_owned(), "E=".to_owned()]),
            entrypoint: Some(Vec::new()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let said = serde_json::to_value(Specification::of("n", body)).expect("plain");
        let expect = serde_json::json!({
            "mounts": [
                { "destination": "/work", "type": "bind", "source": "/data/a:b", "options": ["rw", "Z"] },
                { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["rw", "size=5"] },
            ],
            "devices": [{ "path": "/dev/kfd:/dev/kfd:rwm" }, { "path": "a/b=0" }],
            "env": { "A": "b=c", "E": "" },
            "entrypoint": [],
            "no_new_privileges": true,
            "resource_limits": {
                "cpu": { "period": 100_000, "quota": 150_000, "cpus": null },
                "memory": { "limit": 7, "swap": 7 },
                "pids": { "limit": 9 },
            },
            "r_limits": [
                { "type": "nofile", "soft": 64, "hard": 64 },
                { "type": "nproc", "soft": u64::MAX, "hard": u64::MAX },
            ],
            "log_configuration": { "driver": "json-file", "size": 64_000_000 },
            "netns": { "nsmode": "none" },
        });
        for (name, value) in expect.as_object().expect("one") {
            assert_eq!(&said[name], value, "{name}");
        }
    }
}

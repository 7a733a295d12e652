//! What the cluster is: its nodes, its partitions, its limits, as its own commands show them to an
//! ordinary user. Read leniently: a field that is missing is not known, a field that is new is
//! passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dayan_units::{Bytes, MilliAccel, MilliCpu, Resources};
use serde::{Deserialize, Serialize};

use super::access::{Access, Bounds, Charge, Enforced};
use super::gate::{Gate, Known, Who};
use super::request::SiteWords;
use super::rights::{self, Question};
use super::together::{Answers, Seen};
use super::way::{Picture, Way, Words};
use crate::{Enforcement, Fault};

/// One MiB: Slurm's unit of memory and disk.
const MIB: u64 = 1 << 20;
/// What the agent puts into one array at most: files of one batch stay small, and the site's
/// scheduler sees no longer arrays than people submit.
const ARRAY_MAX: usize = 1_000;

/// A node as it is offered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name in Slurm.
    pub name: String,
    /// What jobs can have of it.
    pub total: Resources,
    /// The type of its accelerators, as the site calls it.
    pub accelerator: Option<String>,
    /// The same as `--gres` takes it after the name; none where the site's have no types.
    #[serde(default)]
    pub gres_type: Option<String>,
    /// What the site says it has (`ActiveFeatures`), which `--constraint` takes.
    #[serde(default)]
    pub features: BTreeSet<String>,
    /// Does it take jobs: neither down nor drained nor reserved?
    pub up: bool,
    /// What jobs have of it now, ours and others'.
    #[serde(default)]
    pub taken: Resources,
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Is it the one that jobs go to which name none?
    pub is_default: bool,
    /// Does it take jobs?
    pub up: bool,
    /// How long jobs may take, in minutes; none: as long as they like.
    pub minutes_max: Option<i64>,
    /// Who may use it.
    #[serde(default)]
    pub gate: Gate,
    /// Its own QoS, whose limits all of its jobs have.
    #[serde(default)]
    pub own_qos: Option<String>,
    /// Why it takes no jobs of this user's, though it is up; none where it does.
    #[serde(default)]
    pub closed: Option<String>,
}

/// What a cluster is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Survey {
    /// Slurm's version.
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The partition that jobs of this agent go to.
    pub partition: Partition,
    /// All of the cluster, of which jobs may name another one.
    #[serde(default)]
    pub partitions: Vec<Partition>,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// The elements an array may have; 1 where there are no arrays.
    pub array_max: usize,
    /// Is memory held by cgroups?
    pub memory: bool,
    /// Are processors held by cgroups?
    pub cpus: bool,
    /// Does the site keep accounts?
    pub accounting: bool,
    /// Does the site hide jobs from who does not own them?
    #[serde(default)]
    pub hides_jobs: bool,
    /// What the site enforces of its accounting.
    #[serde(default)]
    pub enforced: Enforced,
    /// What its accounting lets this user do, where that is known.
    #[serde(default)]
    pub access: Option<Access>,
    /// Who submits.
    #[serde(default)]
    pub who: Who,
}

impl Survey {
    /// How memory is held: by Slurm where it uses cgroups, else by the wrapper's looking.
    pub(crate) const fn memory_limit(&self) -> Enforcement {
        if self.memory { Enforcement::Enforced } else { Enforcement::Watched }
    }
    /// How processors are held.
    pub(crate) const fn cpu_limit(&self) -> Enforcement {
        if self.cpus { Enforcement::Enforced } else { Enforcement::Absent }
    }

    /// From what the cluster says of itself.
    pub(super) fn of(picture: &Picture, site: &SiteWords) -> Result<Self, Fault> {
        Self::read(picture, site).map_err(Fault::Unsupported)
    }

    /// Looks at what the site's accounting lets this user do, where there is one and it was not looked
    /// at lately, and judges the partitions by it; `folder` keeps what was seen.
    pub(super) fn see_access(
        &mut self,
        way: &Way,
        site: &SiteWords,
        (answers, seen): (&Answers, &mut Seen),
        folder: &Path,
    ) {
        let Self { accounting, enforced, .. } = *self;
        let asks = Accounting { cluster: self.cluster.clone(), kept: accounting, enforced };
        self.access = asks.access(way, answers, seen, folder);
        let mut partitions = std::mem::take(&mut self.partitions);
        let who = rights::who(way, &partitions);
        judge(&mut partitions, &who, site, self.access.as_ref());
        self.on_partitions(who, partitions);
        let closed = self.partition.closed.is_some();
        for node in self.nodes.iter_mut().filter(|_| closed) {
            node.up = false;
        }
    }

    /// Takes what may change while the cluster is in use to be as it was seen since.
    pub(super) fn renew(&mut self, seen: Self) {
        self.on_partitions(seen.who, seen.partitions);
        (self.nodes, self.enforced, self.access) = (seen.nodes, seen.enforced, seen.access);
    }

    fn on_partitions(&mut self, who: Who, partitions: Vec<Partition>) {
        (self.who, self.partitions) = (who, partitions);
        if let Some(own) = self.partitions.iter().find(|one| one.name == self.partition.name) {
            self.partition = own.clone();
        }
    }

    /// The accounts and QoS that jobs in the offered partition may have, where that is known.
    pub fn access_here(&self) -> Option<Access> {
        let (access, site) = (self.access.as_ref()?, SiteWords::default());
        Some(Known { who: &self.who, site: &site, access }.within(&self.partition))
    }

    /// What a job is charged to and asks for, by its own words or by the site's.
    fn charge<'a>(
        &'a self,
        site: &'a SiteWords,
        words: &'a BTreeMap<String, String>,
    ) -> Charge<'a> {
        let said = |name: &str, of_site: &'a Option<String>| {
            words.get(name).or(of_site.as_ref()).map(String::as_str)
        };
        let partition = self.going_to(words);
        Charge {
            account: said("account", &site.account),
            qos: said("qos", &site.qos),
            partition: said("partition", &None).unwrap_or(&partition.name),
            partition_qos: partition.own_qos.as_deref(),
        }
    }

    /// The partition that a job goes to which says this; the offered one where that is not known.
    fn going_to(&self, words: &BTreeMap<String, String>) -> &Partition {
        let named = words.get("partition");
        let found = named.and_then(|name| self.partitions.iter().find(|one| one.name == *name));
        found.unwrap_or(&self.partition)
    }

    /// Would the site take a job that says this, by its accounting and its partitions' lists? `Err` says
    /// what it would take.
    pub(super) fn check(
        &self,
        site: &SiteWords,
        words: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let charge = self.charge(site, words);
        let nobody = Access::default();
        let access = self.access.as_ref().unwrap_or(&nobody);
        access.check(charge)?;
        let partition = self.going_to(words);
        // One that nobody has seen, or one of several: Slurm knows.
        if words.get("partition").is_some_and(|name| *name != partition.name) {
            return Ok(());
        }
        Known { who: &self.who, site, access }.check(partition, charge, words)
    }

    /// The limits that hold for a job that says this: its time is the shorter of what the partition
    /// and what the accounting allows.
    pub fn bounds(&self, site: &SiteWords, words: &BTreeMap<String, String>) -> Bounds {
        let access = self.access.as_ref();
        let bounds = access.map(|access| access.bounds(self.charge(site, words)));
        let bounds = bounds.unwrap_or_default();
        let of_partition = self.going_to(words).minutes_max;
        let most = [bounds.minutes_max, of_partition].into_iter().flatten().min();
        Bounds { minutes_max: most, ..bounds }
    }

    fn read(picture: &Picture, site: &SiteWords) -> Result<Self, String> {
        let mut all = partitions(picture);
        let who = Who { root: rustix::process::geteuid().is_root(), groups: None };
        judge(&mut all, &who, site, None);
        let chosen = match &site.partition {
            Some(name) => all.iter().find(|partition| partition.name == *name),
            None => all.iter().find(|partition| partition.is_default),
        };
        let Some(partition) = chosen.cloned() else {
            let names: Vec<&str> = all.iter().map(|partition| partition.name.as_str()).collect();
            let names = names.join(", ");
            return Err(match &site.partition {
                Some(name) => format!(
                    "slurm.partition: there is no partition `{name}`; name another by --slurm-partition; \
                     there are: {names}"
                ),
                None => format!(
                    "slurm.partition: no partition is the default one; name one by --slurm-partition; \
                     there are: {names}"
                ),
            });
        };
        let setting = |name: &str| picture.config.get(name).map(String::as_str).unwrap_or_default();
        let Accounting { cluster, kept: accounting, enforced } = Accounting::of(picture);
        let confines = setting("TaskPlugin").contains("cgroup");
        let array_max: usize = setting("MaxArraySize").parse().unwrap_or(1);
        let up = partition.up;
        let nodes = picture.nodes.iter().filter_map(|words| node(words, &partition.name, site));
        Ok(Self {
            version: setting("SLURM_VERSION").to_owned(),
            cluster,
            nodes: nodes.map(|node| Node { up: node.up && up, ..node }).collect(),
            partition,
            partitions: all,
            array_max: array_max.clamp(1, ARRAY_MAX),
            memory: confines && setting("ConstrainRAMSpace") == "yes",
            cpus: confines && setting("ConstrainCores") == "yes",
            accounting,
            enforced,
            access: None,
            who,
            hides_jobs: setting("PrivateData").split(',').any(|what| what.trim() == "jobs"),
        })
    }
}

/// What a cluster says of its accounting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Accounting {
    /// The cluster's name in it.
    pub cluster: String,
    pub kept: bool,
    pub enforced: Enforced,
}

impl Accounting {
    pub(super) fn of(picture: &Picture) -> Self {
        let setting = |name: &str| picture.config.get(name).map(String::as_str);
        // Who does not say what is enforced (the REST daemon) has Slurm refuse accounts and QoS; limits are
        // taken to hold, because a job beyond them would wait and nobody would know why.
        let unsaid = Enforced { limits: true, ..Enforced::default() };
        Self {
            cluster: setting("ClusterName").unwrap_or_default().to_owned(),
            kept: setting("AccountingStorageType").is_some_and(|kind| kind.contains("slurmdbd")),
            enforced: setting("AccountingStorageEnforce").map_or(unsaid, Enforced::read),
        }
    }

    /// What it lets this user do, where there is one; `folder` keeps the answer.
    pub(super) fn access(
        &self,
        way: &Way,
        answers: &Answers,
        seen: &mut Seen,
        folder: &Path,
    ) -> Option<Access> {
        let question = Question { way, answers, seen, cluster: &self.cluster };
        self.kept.then(|| rights::known(question, self.enforced, folder)).flatten()
    }
}

/// All that there are.
pub(super) fn partitions(picture: &Picture) -> Vec<Partition> {
    picture.partitions.iter().filter_map(Partition::read).collect()
}

/// Says of each whether it takes any jobs of this user's with the words of the site.
pub(super) fn judge(all: &mut [Partition], who: &Who, site: &SiteWords, access: Option<&Access>) {
    let nobody = Access::default();
    let known = Known { who, site, access: access.unwrap_or(&nobody) };
    for partition in all {
        partition.closed = known.closed(partition);
    }
}

impl Partition {
    /// From the words of `scontrol show partition`; whether it is closed is to be judged.
    pub(super) fn read(words: &Words) -> Option<Self> {
        let word = |name: &str| words.get(name).map(String::as_str).unwrap_or_default();
        Some(Self {
            name: words.get("PartitionName")?.clone(),
            is_default: word("Default") == "YES",
            up: word("State") == "UP",
            minutes_max: words.get("MaxTime").and_then(|text| minutes(text)),
            gate: Gate::read(words),
            own_qos: words.get("QoS").filter(|name| *name != "N/A" && !name.is_empty()).cloned(),
            closed: None,
        })
    }
}

/// Reads `1-02:30:00`, `02:30:00`, `30:00`; none for `UNLIMITED` and what is not understood.
pub(crate) fn minutes(text: &str) -> Option<i64> {
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (days.parse::<i64>().ok()?, clock),
        None => (0, text),
    };
    let parts: Vec<i64> = clock.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let minutes = match parts[..] {
        [hours, minutes, _] => hours * 60 + minutes,
        [minutes, _] => minutes,
        _ => return None,
    };
    Some(days * 24 * 60 + minutes)
}

/// States, or parts of them, in which a node takes no new jobs.
const NOT_UP: [&str; 11] = [
    "DOWN",
    "DRAIN",
    "FAIL",
    "MAINT",
    "REBOOT",
    "POWERING_DOWN",
    "NOT_RESPONDING",
    "UNKNOWN",
    "RESERVED",
    "FUTURE",
    "BLOCKED",
];

fn node(words: &Words, partition: &str, site: &SiteWords) -> Option<Node> {
    if !words.get("Partitions")?.split(',').any(|name| name == partition) {
        return None;
    }
    let count = |name: &str| words.get(name).and_then(|text| text.parse::<u64>().ok());
    // What the system keeps for itself is no job's.
    let cpus = count("CPUEfctv").or_else(|| count("CPUTot"))?;
    let memory = count("RealMemory")?.saturating_sub(count("MemSpecLimit").unwrap_or(0));
    let wanted = site.gres.as_deref().unwrap_or("gpu");
    let (accelerator, cards) = words.get("Gres").map_or((None, 0), |text| gres(text, wanted));
    let name = wanted.split(':').next().unwrap_or(wanted);
    let gres_type = accelerator.clone().filter(|kind| kind != name);
    let features = words.get("ActiveFeatures").map_or("", String::as_str).split(',');
    let is_one = |word: &&str| !word.is_empty() && *word != "(null)";
    let state = words.get("State").map_or("UNKNOWN", String::as_str);
    let up = !state.contains('*') && NOT_UP.iter().all(|word| !state.contains(word));
    Some(Node {
        name: words.get("NodeName")?.clone(),
        total: Resources {
            cpu: MilliCpu(cpus.saturating_mul(1_000)),
            memory: Bytes(memory.saturating_mul(MIB)),
            disk: Bytes(count("TmpDisk").unwrap_or(0).saturating_mul(MIB)),
            accel: MilliAccel(cards * 1_000),
        },
        accelerator,
        gres_type,
        features: features.filter(is_one).map(str::to_owned).collect(),
        up,
        taken: Resources {
            cpu: MilliCpu(count("CPUAlloc").unwrap_or(0).saturating_mul(1_000)),
            memory: Bytes(count("AllocMem").unwrap_or(0).saturating_mul(MIB)),
            disk: Bytes::ZERO,
            accel: MilliAccel(
                tres(words.get("AllocTRES").map_or("", String::as_str), wanted) * 1_000,
            ),
        },
    })
}

/// How many of a generic resource a sum holds: `cpu=3,mem=48M,gres/gpu=2`. By its name alone: the
/// type is only there where the site accounts for it.
fn tres(text: &str, wanted: &str) -> u64 {
    let name = wanted.split(':').next().unwrap_or(wanted);
    text.split(',')
        .filter_map(|entry| entry.split_once('='))
        .find(|(key, _)| key.strip_prefix("gres/") == Some(name))
        .and_then(|(_, count)| count.parse().ok())
        .unwrap_or(0)
}

/// Reads `gpu:a100:4(S:0-1),npu:8` for `gpu`, `gpu:a100` or `npu`: the type and how many.
pub(crate) fn gres(text: &str, wanted: &str) -> (Option<String>, u64) {
    let (name, kind) = match wanted.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (wanted, None),
    };
    let (mut found, mut total) = (None, 0u64);
    for entry in text.split(',') {
        let entry = entry.split('(').next().unwrap_or_default();
        let parts: Vec<&str> = entry.split(':').collect();
        let (of, kind_of, count) = match parts[..] {
            [of] => (of, None, "1"),
            [of, count] if count.parse::<u64>().is_ok() => (of, None, count),
            [of, kind] => (of, Some(kind), "1"),
            [of, kind, count] => (of, Some(kind), count),
            _ => continue,
        };
        // A node with two types is offered as one that has the first of them.
        let fits = of == name && kind.is_none_or(|kind| kind_of == Some(kind));
        let same = found
            .as_ref()
            .is_none_or(|known: &String| Some(known.as_str()) == kind_of.or(Some(of)));
        if fits && same {
            total += count.parse::<u64>().unwrap_or(0);
            found = Some(kind_of.unwrap_or(of).to_owned());
        }
    }
    (found.filter(|_| total > 0), total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::commands::read_picture;

    const CONFIG: &str = "Configuration data as of 2026-01-01T00:00:00\n\
        AccountingStorageType   = accounting_storage/slurmdbd\nClusterName             = lab\n\
        MaxArraySize            = 20001\nPrivateData             = accounts,jobs\nSLURM_VERSION           = 22.05.8\n\
        TaskPlugin              = task/cgroup,task/affinity\n\nCgroup Support Configuration:\n\
        ConstrainCores          = yes\nConstrainRAMSpace       = no\n";
    const PARTITIONS: &str = "PartitionName=main AllowAccounts=ALL AllowQos=a,b Default=YES QoS=tight \
        MaxTime=1-00:00:00 State=UP TRES=cpu=64\n\
        PartitionName=big Default=NO MaxTime=UNLIMITED QoS=N/A ReqResv=YES State=DOWN NewWord=x\n";
    const NODES: &str = "NodeName=n1 CPUAlloc=3 CPUEfctv=14 CPUTot=16 ActiveFeatures=avx512,ib Gres=gpu:a100:4(S:0),npu:8 \
        AllocMem=48 AllocTRES=cpu=3,mem=48M,gres/gpu=2 RealMemory=16384 State=MIXED MemSpecLimit=384 TmpDisk=10 Partitions=main,big OS=Linux 6 #1\n\
        NodeName=n2 CPUTot=8 Gres=(null) RealMemory=4096 State=IDLE+DRAIN ActiveFeatures=(null) Partitions=main\n\
        NodeName=n3 CPUTot=8 RealMemory=4096 State=IDLE* Partitions=main\n\
        NodeName=n4 CPUTot=8 RealMemory=4096 State=IDLE Partitions=other\nnonsense\n";

    #[test]
    fn a_cluster_is_read() {
        let picture = read_picture(CONFIG, PARTITIONS, NODES);
        let site = SiteWords::default();
        let survey = Survey::read(&picture, &site).expect("it has a default");
        assert_eq!((survey.version.as_str(), survey.cluster.as_str()), ("22.05.8", "lab"));
        assert_eq!(survey.array_max, ARRAY_MAX);
        assert_eq!((survey.memory, survey.cpus, survey.accounting), (false, true, true));
        assert_eq!(survey.partition.minutes_max, Some(1_440));
        assert_eq!(survey.partition.gate.qos.to_string(), "a,b");
        assert_eq!(
            (survey.partition.own_qos.as_deref(), survey.partitions.len()),
            (Some("tight"), 2)
        );
        let big = BTreeMap::from([("partition".to_owned(), "big".to_owned())]);
        assert_eq!(survey.bounds(&site, &big).minutes_max, None, "that one has no limit");
        let closed = survey.partitions[1].closed.as_deref();
        assert!(closed.is_some_and(|why| why.contains("ReqResv")), "{closed:?}");
        let names: Vec<_> = survey.nodes.iter().map(|n| (n.name.as_str(), n.up)).collect();
        assert_eq!(names, [("n1", true), ("n2", false), ("n3", false)]);
        let first = &survey.nodes[0];
        assert_eq!(first.total.cpu, MilliCpu(14_000));
        assert_eq!(first.total.memory, Bytes(16_000 << 20));
        assert_eq!((first.accelerator.as_deref(), first.total.accel.0), (Some("a100"), 4_000));
        assert_eq!(first.gres_type.as_deref(), Some("a100"));
        assert!(first.features.iter().eq(["avx512", "ib"]), "{:?}", first.features);
        assert!(survey.nodes[1].features.is_empty());
        let taken = &first.taken;
        assert_eq!((taken.cpu.0, taken.memory.0, taken.accel.0), (3_000, 48 << 20, 2_000));
        assert_eq!(survey.nodes[1].taken, Resources::ZERO);
        assert!(survey.hides_jobs);

        let site = SiteWords { partition: Some("big".to_owned()), ..SiteWords::default() };
        let survey = Survey::read(&picture, &site).expect("it is there");
        assert_eq!(survey.nodes.len(), 1);
        assert!(!survey.nodes[0].up, "its partition is down");
        let site = SiteWords { partition: Some("x".to_owned()), ..SiteWords::default() };
        let said = Survey::read(&picture, &site).expect_err("there is none");
        assert!(said.starts_with("slurm.partition: there is no partition `x`"), "{said}");
        assert!(said.contains("--slurm-partition") && said.ends_with(": main, big"), "{said}");
    }

    #[test]
    fn accelerators_are_counted_by_name_and_type() {
        let check = |text, wanted, expect: (Option<&str>, u64)| {
            let (kind, count) = gres(text, wanted);
            assert_eq!((kind.as_deref(), count), expect, "{text} {wanted}");
        };
        check("gpu:a100:4(S:0-1),npu:8", "gpu", (Some("a100"), 4));
        check("gpu:a100:4(S:0-1),npu:8", "npu", (Some("npu"), 8));
        check("gpu:a100:4,gpu:v100:2", "gpu", (Some("a100"), 4));
        check("gpu:a100:4,gpu:v100:2", "gpu:v100", (Some("v100"), 2));
        check("gpu:2", "gpu", (Some("gpu"), 2));
        check("(null)", "gpu", (None, 0));
        check("shard:8", "gpu", (None, 0));
    }

    #[test]
    fn times_are_read() {
        let check = |text, expect| assert_eq!(minutes(text), expect, "{text}");
        check("1-02:30:00", Some(1_590));
        check("02:30:00", Some(150));
        check("30:00", Some(30));
        check("UNLIMITED", None);
        check("", None);
    }
}

//! From what a launch asks for to what `sbatch` is told. Pure.
//!
//! Launches that ask for the same become elements of one array, whatever they run: what an element
//! runs stands in the batch's files, not in Slurm. So Slurm's job holds no command, no environment
//! and no secret of anybody's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dayan_units::Span;
use serde::{Deserialize, Serialize};

use super::choosing::Kind;
use super::layout::BatchId;
use crate::Launch;

/// Slurm counts time limits in minutes. So much more than the task's own limit is asked for: the
/// wrapper holds that one to the millisecond, and then needs its moment to end and to write.
pub(crate) const TIME_MARGIN: Span = Span::from_secs(60);
/// For so long after its start a wrapper whose task has ended takes the next: long enough that tasks of
/// seconds do not cost a start by Slurm each, short enough that the site's scheduler soon has its say
/// again. It is asked for, too, so that the last one taken has all its time.
pub(crate) const TAKES_WITHIN: Span = Span::from_secs(60);
const MINUTE_MICROS: i64 = 60_000_000;
const MIB: u64 = 1 << 20;

/// Names of our jobs begin so.
const NAME: &str = "dayan";

/// Words of the site that go into every submission as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteWords {
    /// `--partition`; none: the site's default one.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// `--constraint`.
    pub constraint: Option<String>,
    /// The name of the accelerators in `--gres`, with or without a type: `gpu`, `gpu:a100`, `npu`.
    pub gres: Option<String>,
    /// Where slurmrestd is, `http://host:port` or `unix:///path`; none: the commands are used.
    pub rest: Option<String>,
    /// The file of the token that slurmrestd is shown; none: `scontrol token` is asked for one.
    pub token_file: Option<PathBuf>,
    /// Further options of `sbatch`, each whole: `--exclusive=user`.
    pub extra: Vec<String>,
    /// How much of the cluster's size in short tasks may wait in Slurm's queue before anything has
    /// ended, in percent; none: as much as the cluster is large.
    pub ahead: Option<u32>,
    /// Which options of `sbatch` a job may give for itself in `backend.slurm`: some of [`JOB_WORDS`].
    pub allow: BTreeSet<String>,
}

/// Options of `sbatch` that a site may let jobs give: those that say where and in what order a job
/// runs. None that names a file, a user, a program or what the exchange has sold is among them.
pub const JOB_WORDS: [&str; 22] = [
    "account",
    "constraint",
    "contiguous",
    "distribution",
    "exclude",
    "exclusive",
    "hint",
    "licenses",
    "mem-bind",
    "mincpus",
    "nice",
    "nodelist",
    "partition",
    "prefer",
    "qos",
    "reservation",
    "sockets-per-node",
    "switches",
    "threads-per-core",
    "tmp",
    "use-min-nodes",
    "wckey",
];

/// Those that take a list of nodes, or a file of one where there is a `/` in it.
const NODE_LISTS: [&str; 2] = ["exclude", "nodelist"];

/// The one that the features of nodes go into.
const CONSTRAINT: &str = "constraint";
/// Those that need no value, and what a job file says for them instead.
const FLAGS: [&str; 3] = ["contiguous", "exclusive", "use-min-nodes"];
const YES: &str = "true";

/// The name of the pool's feature that says that a job may give this option.
pub fn feature_of(word: &str) -> String {
    format!("slurm_options.{word}")
}

/// What one element asks of Slurm.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Whole processors: Slurm gives no part of one.
    pub cpus: u64,
    pub memory_mib: u64,
    /// The time limit in minutes; none asks for the partition's own.
    pub minutes: Option<i64>,
    pub accelerators: u32,
    /// On which of the nodes.
    #[serde(default)]
    pub kind: Kind,
    /// The processes that `srun` is to start, where the job says how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Processes>,
    /// What the job says for itself, by the names of `sbatch`'s options.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
}

/// What Slurm calls tasks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Processes {
    /// On all nodes together.
    pub all: u64,
    /// On one node at most.
    pub per_node: u64,
}

impl Processes {
    /// As the task itself is told, in its environment. Not where it would not come out: a process
    /// has a core at least.
    fn of(launch: &Launch, cpus: u64) -> Option<Self> {
        let number = |name: &str| launch.env.get(name)?.parse::<u64>().ok();
        let all = number("DAYAN_TASKS")?;
        let per_node = number("DAYAN_TASKS_PER_NODE")?;
        let nodes = launch.gang.map_or(1, |gang| u64::from(gang.nodes));
        // Members that run each their own command are Slurm's tasks themselves.
        let alone = launch.gang.is_none_or(|gang| gang.members == 1);
        let fits = all >= nodes && per_node >= 1 && per_node <= cpus && per_node * nodes >= all;
        (alone && fits).then_some(Self { all, per_node })
    }
}

impl Request {
    /// The first word of a job's that would name a file where Slurm also takes a list of nodes: `sbatch` would open
    /// it as the agent's user.
    pub(crate) fn names_a_file(launch: &Launch) -> Option<&str> {
        let words = launch.site_words.iter();
        let file = |word: &str, value: &str| NODE_LISTS.contains(&word) && value.contains('/');
        words
            .map(|(word, value)| (word.as_str(), value))
            .find(|(word, value)| file(word, value))
            .map(|(word, _)| word)
    }

    /// The first word of a job's that the site does not let it say.
    pub(crate) fn not_allowed<'a>(launch: &'a Launch, site: &SiteWords) -> Option<&'a str> {
        let may = |word: &str| JOB_WORDS.contains(&word) && site.allow.contains(word);
        launch.site_words.keys().map(String::as_str).find(|word| !may(word))
    }

    /// What a launch asks for, of such nodes, in a partition whose jobs may take so long.
    pub(crate) fn of(
        launch: &Launch,
        kind: Kind,
        minutes_max: Option<i64>,
    ) -> Result<Self, String> {
        let limits = &launch.limits;
        let wall = limits.wall.micros();
        let minutes = (limits.wall < Span::MAX).then(|| {
            let with_margin = wall.saturating_add(TIME_MARGIN.plus(TAKES_WITHIN).micros());
            with_margin.div_euclid(MINUTE_MICROS).saturating_add(1)
        });
        let minutes = match (minutes, minutes_max) {
            (Some(_), Some(most)) if wall > most.saturating_mul(MINUTE_MICROS) => {
                return Err(format!(
                    "jobs end after {most} minutes here, by the partition's limit or the accounting's; \
                     ask for a shorter time"
                ));
            }
            (Some(minutes), Some(most)) => Some(minutes.min(most)),
            (minutes, _) => minutes,
        };
        let cpus = limits.cpu.0.div_ceil(1_000).max(1);
        Ok(Self {
            cpus,
            memory_mib: limits.memory.0.div_ceil(MIB).max(1),
            minutes,
            accelerators: launch.accelerators,
            kind,
            processes: Processes::of(launch, cpus),
            words: launch.site_words.clone(),
        })
    }
}

/// A submission: the options of `sbatch` and the script it reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Submission {
    pub options: Vec<String>,
    pub script: String,
}

/// What a batch's jobs are called: its identity in Slurm, by which they are found again.
pub(crate) fn job_name(instance: &str, batch: BatchId) -> String {
    format!("{NAME}.{instance}.{}", batch.text())
}

/// The batch of a job with this name, if it is one of this agent's.
pub(crate) fn batch_of(instance: &str, job_name: &str) -> Option<BatchId> {
    let rest = job_name.strip_prefix(NAME)?.strip_prefix('.')?;
    BatchId::parse(rest.strip_prefix(instance)?.strip_prefix('.')?)
}

/// Quotes a word for `/bin/sh`.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What a batch is in Slurm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// An array of independent elements, or a plain job where there is one.
    Array,
    /// One job of so many nodes: the elements are its processes, one on each node.
    Gang { nodes: u32 },
}

/// A batch that is to be submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'a> {
    /// Whose and which it is.
    pub instance: &'a str,
    pub batch: BatchId,
    pub shape: Shape,
    pub elements: usize,
    pub request: &'a Request,
    /// For people who look at the queue.
    pub comment: &'a str,
    /// The wrapper's words.
    pub command: &'a [String],
    pub folder: &'a Path,
}

/// How many tasks of Slurm's, and what each has. Where nobody says, it is one on each node with all that
/// the node gives.
fn tasks(request: &Request, nodes: u32) -> Vec<String> {
    let all = request.processes.map_or(u64::from(nodes), |processes| processes.all);
    let per_node = request.processes.map_or(1, |processes| processes.per_node);
    let each = request.cpus / per_node;
    let mut options = vec![format!("--ntasks={all}"), format!("--cpus-per-task={each}")];
    let nodes = u64::from(nodes);
    let even = all == nodes * per_node;
    if nodes > 1 && even {
        options.push(format!("--ntasks-per-node={per_node}"));
    }
    // All that was leased of each node, also where its tasks do not use all of it up.
    if !even || each * per_node < request.cpus {
        options.push(format!("--mincpus={}", request.cpus));
    }
    options
}

/// How a batch is submitted.
pub(crate) fn submission(ordered: Ordered<'_>, site: &SiteWords) -> Submission {
    let Ordered { instance, batch, shape, elements, request, comment, command, folder } = ordered;
    let nodes = match shape {
        Shape::Array => 1,
        Shape::Gang { nodes } => nodes,
    };
    let name = job_name(instance, batch);
    let mut options = vec![
        "--parsable".to_owned(),
        format!("--job-name={name}"),
        format!("--comment={comment}"),
        // Who runs an element again runs nothing; so it is not asked for.
        "--no-requeue".to_owned(),
        "--open-mode=append".to_owned(),
        "--output=/dev/null".to_owned(),
        "--error=/dev/null".to_owned(),
        "--input=/dev/null".to_owned(),
        format!("--chdir={}", folder.display()),
        format!("--nodes={nodes}"),
        format!("--mem={}M", request.memory_mib),
    ];
    options.extend(tasks(request, nodes));
    match shape {
        Shape::Array if elements > 1 => options.push(format!("--array=0-{}", elements - 1)),
        Shape::Array | Shape::Gang { .. } => {}
    }
    options.extend(request.minutes.map(|minutes| format!("--time={minutes}")));
    if request.accelerators > 0 {
        let name = site.gres.as_deref().unwrap_or("gpu");
        let name = match &request.kind.cards {
            Some(kind) if !name.contains(':') => format!("{name}:{kind}"),
            Some(_) | None => name.to_owned(),
        };
        options.push(format!("--gres={name}:{}", request.accelerators));
    }
    if !request.kind.nodes.is_empty() {
        options.push(format!("--nodelist={}", request.kind.nodes.join(",")));
    }
    let words = [("partition", &site.partition), ("account", &site.account), ("qos", &site.qos)];
    // What the job says of it counts instead of the site's word, and what it asks of nodes in any case.
    let said = request.words.get(CONSTRAINT).or(site.constraint.as_ref());
    options.extend(
        request
            .kind
            .constraint(said.map(String::as_str))
            .map(|all| format!("--{CONSTRAINT}={all}")),
    );
    options.extend(
        words.into_iter().filter_map(|(name, word)| Some(format!("--{name}={}", word.as_ref()?))),
    );
    options.extend(site.extra.iter().cloned());
    // Last, so that what the job says counts where both say something.
    let others = request.words.iter().filter(|(name, _)| *name != CONSTRAINT);
    options.extend(others.map(|(name, value)| match value.as_str() {
        "" => format!("--{name}"),
        // A job file has no key without a value.
        YES if FLAGS.contains(&name.as_str()) => format!("--{name}"),
        value => format!("--{name}={value}"),
    }));
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let words = words.join(" ");
    let script = match shape {
        // A member that ends does not end the others; the exchange says what becomes of them. Since
        // 22.05 `srun` has to be told again how many processors each of them has.
        Shape::Gang { .. } if elements > 1 => format!(
            "#!/bin/sh\nexec srun --mpi=none --ntasks={elements} --ntasks-per-node=1 \
             --cpus-per-task={} --kill-on-bad-exit=0 --input=none {words}\n",
            request.cpus
        ),
        Shape::Array | Shape::Gang { .. } => format!("#!/bin/sh\nexec {words}\n"),
    };
    Submission { options, script }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, BootTime, GangSeat, Isolation, LeaseEnd, Limits, Program, Workdir};
    use dayan_units::{AttemptId, Bytes, JobId, MilliCpu};

    fn launch(limits: Limits) -> Launch {
        Launch {
            attempt: AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 },
            program: Program::Shell("true".to_owned()),
            env: std::collections::BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits,
            lease_end: LeaseEnd { boot: BootId(0), at: BootTime::NEVER },
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 2,
            gang: None,
            image: None,
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        }
    }

    #[test]
    fn what_slurm_cannot_divide_is_rounded_up() {
        let check = |cpu, memory, wall: Span, most, expect: Result<(u64, u64, Option<i64>), ()>| {
            let limits =
                Limits { cpu: MilliCpu(cpu), memory: Bytes(memory), wall, ..Limits::default() };
            let got = Request::of(&launch(limits), Kind::default(), most);
            let got = got.map(|r| (r.cpus, r.memory_mib, r.minutes)).map_err(|_| ());
            assert_eq!(got, expect, "{cpu} {memory} {wall}");
        };
        let hour = Span::from_secs(3_600);
        check(1, 1, hour, None, Ok((1, 1, Some(63))));
        check(1_000, 1 << 20, hour, Some(60), Ok((1, 1, Some(60))));
        check(1_001, (1 << 20) + 1, Span::from_millis(300), None, Ok((2, 2, Some(3))));
        check(64_000, 1 << 40, Span::MAX, Some(60), Ok((64, 1 << 20, None)));
        check(1_000, 1 << 20, hour, Some(59), Err(()));
    }

    #[test]
    fn a_job_says_only_what_the_site_lets_it() {
        let check = |allow: &[&str], said: &[&str], expect: Option<&str>| {
            let allow = allow.iter().map(|word| (*word).to_owned()).collect();
            let site = SiteWords { allow, ..SiteWords::default() };
            let site_words = said.iter().map(|word| ((*word).to_owned(), "x".to_owned())).collect();
            let launch = Launch { site_words, ..launch(Limits::default()) };
            assert_eq!(
                Request::not_allowed(&launch, &site),
                expect,
                "{allow:?} {said:?}",
                allow = site.allow
            );
        };
        check(&[], &[], None);
        check(&["qos"], &["qos"], None);
        check(&["qos"], &["account", "qos"], Some("account"));
        let named = |word: &str, value: &str| {
            let site_words = [(word.to_owned(), value.to_owned())].into();
            let launch = Launch { site_words, ..launch(Limits::default()) };
            Request::names_a_file(&launch).map(str::to_owned)
        };
        assert_eq!(named("nodelist", "n[1-4]"), None);
        assert_eq!(named("nodelist", "/etc/passwd").as_deref(), Some("nodelist"));
        assert_eq!(named("exclude", "./fifo").as_deref(), Some("exclude"));
        // What would write files or become somebody else is nobody's to allow.
        check(&["output", "uid"], &["output"], Some("output"));
        assert!(JOB_WORDS.is_sorted());
    }

    #[test]
    fn slurm_is_asked_for_as_many_tasks_as_the_job_starts() {
        let check = |nodes: u32, cpus: u64, told: Option<(u64, u64)>, expect: &str| {
            let told = told.map(|(all, per)| [("TASKS", all), ("TASKS_PER_NODE", per)]);
            let env = told.into_iter().flatten();
            let env = env.map(|(name, value)| (format!("DAYAN_{name}"), value.to_string()));
            let gang = GangSeat { launch: 0, nodes, members: 1, rank: 0 };
            let made = Launch {
                env: env.collect(),
                gang: (nodes > 1).then_some(gang),
                ..launch(Limits { cpu: MilliCpu(cpus * 1_000), ..Limits::default() })
            };
            let request = Request::of(&made, Kind::default(), None).expect("no limit");
            assert_eq!(tasks(&request, nodes).join(" "), expect, "{nodes} {cpus} {told:?}");
        };
        check(1, 8, None, "--ntasks=1 --cpus-per-task=8");
        check(2, 8, None, "--ntasks=2 --cpus-per-task=8 --ntasks-per-node=1");
        check(2, 8, Some((8, 4)), "--ntasks=8 --cpus-per-task=2 --ntasks-per-node=4");
        check(2, 2, Some((3, 2)), "--ntasks=3 --cpus-per-task=1 --mincpus=2");
        check(1, 8, Some((4, 4)), "--ntasks=4 --cpus-per-task=2");
        check(1, 8, Some((3, 3)), "--ntasks=3 --cpus-per-task=2 --mincpus=8");
        // More processes than cores: as if nothing had been said.
        check(1, 2, Some((4, 4)), "--ntasks=1 --cpus-per-task=2");
    }

    #[test]
    fn a_submission_says_all_of_it_and_nothing_of_what_runs() {
        let words = [("qos", "high"), ("exclusive", "true"), ("nice", "true")];
        let words = words.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let kind = Kind {
            cards: Some("a100".to_owned()),
            nodes: vec!["n1".to_owned(), "n3".to_owned()],
            features: vec!["avx512".to_owned()],
        };
        let request = Request {
            cpus: 4,
            memory_mib: 512,
            minutes: Some(10),
            accelerators: 2,
            kind,
            processes: None,
            words,
        };
        let site = SiteWords {
            partition: Some("gpu".to_owned()),
            gres: Some("gpu:a100".to_owned()),
            constraint: Some("ib".to_owned()),
            extra: vec!["--exclusive=user".to_owned()],
            ..SiteWords::default()
        };
        let command = ["/d/it's".to_owned(), "slurm-task".to_owned()];
        let batch = BatchId(0xab);
        let array = Ordered {
            instance: "i",
            batch,
            shape: Shape::Array,
            elements: 3,
            request: &request,
            comment: "c",
            command: &command,
            folder: Path::new("/d"),
        };
        let made = submission(array, &site);
        for option in [
            "--array=0-2",
            "--cpus-per-task=4",
            "--mem=512M",
            "--time=10",
            "--gres=gpu:a100:2",
            "--nodelist=n1,n3",
            "--constraint=ib&avx512",
            "--partition=gpu",
            "--exclusive=user",
            "--qos=high",
            "--exclusive",
            "--nice=true",
            "--no-requeue",
            "--job-name=dayan.i.ab",
        ] {
            assert!(made.options.iter().any(|o| o == option), "{option}: {:?}", made.options);
        }
        let untyped = SiteWords { gres: None, ..site.clone() };
        let typed = submission(array, &untyped).options;
        assert!(typed.iter().any(|option| option == "--gres=gpu:a100:2"), "{typed:?}");
        let plain = Request { kind: Kind::default(), ..request.clone() };
        let plain = submission(Ordered { request: &plain, ..array }, &untyped).options;
        assert!(plain.iter().any(|option| option == "--gres=gpu:2"), "{plain:?}");
        assert_eq!(made.script, "#!/bin/sh\nexec '/d/it'\\''s' 'slurm-task'\n");
        let gang = Ordered { shape: Shape::Gang { nodes: 3 }, ..array };
        let made = submission(gang, &site);
        assert!(made.options.iter().any(|option| option == "--nodes=3"), "{:?}", made.options);
        assert!(made.options.iter().all(|option| !option.starts_with("--array")));
        assert!(made.script.contains("srun --mpi=none --ntasks=3"), "{}", made.script);
        let head = Ordered { elements: 1, ..gang };
        assert!(!submission(head, &site).script.contains("srun"), "one runs, on the first node");
        assert_eq!(batch_of("i", &job_name("i", batch)), Some(batch));
        for other in ["dayan.j.ab", "x", "dayan.i", "dayan.i.zz", "dayan.i.ab.c"] {
            assert_eq!(batch_of("i", other), None, "{other}");
        }
    }
}

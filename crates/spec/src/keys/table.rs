//! The keys, section by section. This is the only place where they are listed.

use super::{
    ABSOLUTE, ACCELERATOR, ARRAY_RANGE, BYTES, CITY, COMMAND, CONTACT, CONTRACT, CPUS, CRON,
    DEPENDENCY, FLOPS, HTTP_PATH, IMAGE, KeyDef, LICENSE, LOCATION, MONEY, MOUNT_POINT, NAME,
    NODE_FEATURE, Need, PATH, PROJECT, PROVIDER, REGION, RETRY_CAUSE, SECRET, SHA256, SITE, SPAN,
    Section, Shape, TIME, TIMEZONE, UNIT_PRICE, WORD,
};
use crate::limits::{
    ALTERNATIVES_MAX, ENV_VARS_MAX, FILES_MAX, GANG_MAX, LIST_MAX, PROCESSES_MAX, REPLICAS_MAX,
    RETRY_MAX, STEPS_MAX, TASKS_MAX, WORDS_MAX,
};
use crate::model::{
    BudgetPeriod, CatchUp, DeadlineKind, DelayClass, JobKind, Launch, MarketMode, NotifyWhen,
    OnBreach, OnLimit, OutputWhen, Overlap, Preference, Priority, Resume, Same, Signal, Trust,
};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident = $path:literal, $about:literal; $($key:literal, $need:expr, $shape:expr, $text:literal;)*) => {
        $(#[$doc])*
        pub(crate) static $name: Section = Section {
            name: $path,
            doc: $about,
            keys: &[$(KeyDef { name: $key, need: $need, shape: $shape, doc: $text }),*],
        };
    };
}

use Need::{Default, Optional, Required};
use Shape::{Choice, List, OneOrMany, Scalar, Section as Under, TextMap, TrueFalse, Whole};

section! { JOB = "", "The whole job file.";
    "version", Required, Whole { min: 1, max: 1 }, "The version of this format.";
    "name", Required, Scalar(&NAME), "What people call the job. Need not be unique.";
    "type", Required, Choice(JobKind::WORDS), "`batch` ends by itself, `service` answers requests until it is cancelled.";
    "project", Required, Scalar(&PROJECT), "Organisation and project that pay.";
    "priority", Default("normal"), Choice(Priority::WORDS), "The order of the jobs that wait, before age and shares, across all projects and organisations; the exchange's operator may say which organisations may write `high` (`dayan org priority`).";
    "array", Optional, Under(&ARRAY), "Many tasks that differ by a number.";
    "gang", Optional, Under(&GANG), "Many nodes that start together or not at all.";
    "image", Optional, Scalar(&IMAGE), "The container image. Left out: the host's own programs.";
    "resources", Default("one core, 1GB, 1h"), Under(&RESOURCES), "What one task, or each member of the gang, needs.";
    "inputs", Optional, List { of: &Under(&INPUT), max: LIST_MAX }, "Data that is there before the command starts.";
    "outputs", Optional, List { of: &Under(&OUTPUT), max: LIST_MAX }, "Data that is published after the command.";
    "files", Optional, TextMap { names: "^(?!(.*/)?\\.\\.(/|$))[^/]", max: FILES_MAX }, "Small files that the job file itself holds: what is in each, by its path in the task's folder.";
    "mounts", Optional, List { of: &Under(&MOUNT), max: LIST_MAX }, "Parts of the task's folder that are seen at other places inside its containers. Needs `image` or `steps`.";
    "run", Optional, Scalar(&COMMAND), "The command, run by `sh -c` in the task's working folder. Needed where there are no `steps`.";
    "steps", Optional, List { of: &Under(&STEP), max: STEPS_MAX }, "What runs instead of `run`: a command in a container of its own each, one after the other, in one attempt with one time limit and one bill.";
    "launch", Default("each"), Choice(Launch::WORDS), "On which nodes of a gang the command starts: on `each`, or once on the `head`.";
    "env", Optional, TextMap { names: "^(?!DAYAN_)[A-Za-z_][A-Za-z0-9_]*$", max: ENV_VARS_MAX }, "Environment variables. Names that begin with `DAYAN_` are the exchange's.";
    "licenses", Optional, List { of: &Scalar(&LICENSE), max: LIST_MAX }, "Licences that each task holds while it runs, with a count: `dayan license ls`.";
    "secrets", Optional, TextMap { names: "^(?!DAYAN_)[A-Za-z_][A-Za-z0-9_]*$", max: ENV_VARS_MAX }, "Environment variables whose values are secrets of the project, each by the secret's name: `dayan secret set`.";
    "workdir", Optional, Scalar(&PATH), "Where the command starts, inside the task's folder.";
    "retry", Default("three times after `node_failure`, `preempted`, `site_lost`"), Under(&RETRY), "When a task is tried again.";
    "checkpoint", Optional, Under(&CHECKPOINT), "How a task saves its state.";
    "time_signal", Optional, Under(&TIME_SIGNAL), "A signal some time before a task's limit, to those of its processes that catch it.";
    "on_lost_link", Default("30m for batch, 30s for a service"), Under(&ON_LOST_LINK), "What happens while the exchange does not hear from the job's site.";
    "service", Optional, Under(&SERVICE), "What a service offers. Needed with `type: service`, refused with `batch`.";
    "network", Optional, Under(&NETWORK), "What is asked of the network.";
    "placement", Optional, Under(&PLACEMENT), "Where the job may run.";
    "market", Default("on_demand"), Under(&MARKET), "How capacity is bought, and for how much.";
    "schedule", Optional, Under(&SCHEDULE), "Runs the job again and again.";
    "begin", Optional, Scalar(&TIME), "No task starts before this moment. With a hard deadline it is an advance booking: the time is kept.";
    "deadline", Optional, Under(&DEADLINE), "By when the job should have ended.";
    "prefer", Default("the exchange's policy"), List { of: &Choice(Preference::WORDS), max: Preference::WORDS.len() }, "What matters among the places that are allowed, the most important first.";
    "depends_on", Optional, List { of: &Scalar(&DEPENDENCY), max: LIST_MAX }, "Jobs that come first, by id or name. `JOB:EVENT` waits for `started`, `succeeded` (the default), `failed`, `ended`, or `each`: each task for the task of the same number to have succeeded.";
    "notify", Optional, List { of: &Under(&NOTIFY), max: LIST_MAX }, "Who is told of what.";
    "backend", Optional, Under(&BACKEND), "Options for one kind of engine.";
    "strict", Default("false"), TrueFalse, "Keep the order of arrival: no task starts before what the same project submitted earlier as strict. Without it short and narrow jobs may pass, within bounds.";
}

section! { ARRAY = "array", "Many tasks that differ by a number.";
    "range", Required, Scalar(&ARRAY_RANGE), "First and last element, and after a colon the step.";
    "chunk", Default("1"), Whole { min: 1, max: TASKS_MAX }, "Elements to a task.";
    "max_parallel", Default("as many as fit"), Whole { min: 1, max: TASKS_MAX }, "Tasks that may run at one time.";
}
section! { GANG = "gang", "Nodes that start together or not at all.";
    "nodes", Required, Whole { min: 1, max: GANG_MAX }, "How many.";
    "same", Optional, List { of: &Choice(Same::WORDS), max: Same::WORDS.len() }, "What all of them must share: one `site`, one fast `fabric`, one `leaf` of it.";
    "near", Optional, Choice(Same::WORDS), "What they share where it can be had, beyond `same`: one `fabric`, or as few levels of it as can be, from a `leaf` up.";
    "min", Default("nodes"), Whole { min: 1, max: GANG_MAX }, "Start with so few where more cannot be had.";
}
section! { RESOURCES = "resources", "What one task, or each member of the gang, needs. A range such as `32..64` or `128GB..` names the least that must be there and the most that is of use.";
    "cpus", Default("1"), Scalar(&CPUS), "Processor cores.";
    "memory", Default("1GB"), Scalar(&BYTES), "Memory. A task that uses more is ended with `oom`.";
    "disk", Optional, Scalar(&BYTES), "Local disk for the working folder.";
    "accelerators", Optional, OneOrMany { of: &Scalar(&ACCELERATOR), max: ALTERNATIVES_MAX }, "Cards as `MODEL:COUNT`; `any-nvidia` stands for any card of a maker and `any` for any card. A count below one is a share of one card. In a list the first that can be had is taken.";
    "fp64", Optional, Scalar(&FLOPS), "Measured double-precision speed of each card, or of the node where no cards are asked for.";
    "fp32", Optional, Scalar(&FLOPS), "The same for single precision.";
    "tf32", Optional, Scalar(&FLOPS), "The same for TF32.";
    "fp16", Optional, Scalar(&FLOPS), "The same for half precision.";
    "bf16", Optional, Scalar(&FLOPS), "The same for BF16.";
    "fp8", Optional, Scalar(&FLOPS), "The same for FP8.";
    "int8", Optional, Scalar(&FLOPS), "The same for 8-bit integers; `TOPS` may be written for `TFLOPS`.";
    "time", Default("1h; for a service 366 days"), Scalar(&SPAN), "The longest an attempt may run.";
    "processes", Default("1; for a gang one on each node"), Whole { min: 1, max: PROCESSES_MAX }, "How many processes `srun` or `mpirun` starts, in all of a gang: `DAYAN_TASKS` and the host file say so, and a Slurm cluster is asked for so many tasks. Cores are what `cpus` says.";
}
section! { INPUT = "inputs[]", "Data that is there before the command starts.";
    "from", Required, Scalar(&LOCATION), "Where it comes from. `dayan://organisation/project/path`: the exchange's data store. `./path`: beside the job file; `dayan submit` uploads it. `s3://`, `http://`, `https://`: there. `data://`, or without a scheme: the folder that the pool's agent was given with `--publish-root`. `file:///`: a folder of the pool. An address that ends with `/` is a folder; `*`, `?`, `[ab]` and `**` are patterns, except on the web.";
    "to", Required, Scalar(&PATH), "Where it is put, inside the working folder. What a pattern finds is put below it.";
    "sha256", Optional, Scalar(&SHA256), "What a single file must be. A file that is not is refused, and one that a site has already is not fetched.";
    "secret", Optional, Scalar(&SECRET), "The project's secret that opens the address: for `s3://` a JSON object, for the web a bearer token.";
    "size", Optional, Scalar(&BYTES), "How much it is, for the choice of a place. Known of the data store by itself.";
    "at", Optional, Scalar(&CITY), "The city where it lies, for the choice of a place. Known of the data store by itself.";
}
section! { OUTPUT = "outputs[]", "Data that is published after the command.";
    "from", Required, Scalar(&PATH), "What is published, inside the working folder. A path that ends with `/` is a folder; `*`, `?`, `[ab]` and `**` are patterns.";
    "to", Required, Scalar(&LOCATION), "Where it goes: a file's name, or a folder with `/` at its end.";
    "when", Default("task_end"), Choice(OutputWhen::WORDS), "`task_end`: after the task has succeeded. `file_closed`: each file is sent as soon as the program closes it, and published with the others.";
    "secret", Optional, Scalar(&SECRET), "The project's secret that opens the address.";
}
section! { MOUNT = "mounts[]", "A part of the task's folder, seen at another place inside its containers.";
    "from", Required, Scalar(&PATH), "A folder inside the task's, made where it is missing; or a file that an input or `files` puts there.";
    "at", Required, Scalar(&MOUNT_POINT), "Where it is seen. Of the machine's own folders none can be named.";
}
section! { STEP = "steps[]", "A command in a container of its own.";
    "image", Required, Scalar(&IMAGE), "The container image.";
    "command", Required, List { of: &Scalar(&WORD), max: WORDS_MAX }, "The program and its arguments, as they are: no shell reads them.";
    "workdir", Default("the image's own"), Scalar(&ABSOLUTE), "Where it starts, inside the container.";
    "env", Optional, TextMap { names: "^(?!DAYAN_)[A-Za-z_][A-Za-z0-9_]*$", max: ENV_VARS_MAX }, "Variables beside the job's, which they hide.";
    "stdin", Optional, Scalar(&ABSOLUTE), "The file inside the container that it reads as its standard input. For this and the next two the image's `/bin/sh` is used.";
    "stdout", Optional, Scalar(&ABSOLUTE), "The file inside the container that its standard output goes to. The log then has the beginning of it.";
    "stderr", Optional, Scalar(&ABSOLUTE), "The same of its standard error.";
    "ignore_error", Default("false"), TrueFalse, "Begin the next step although this one has failed.";
}
section! { RETRY = "retry", "When a task is tried again.";
    "max", Default("3"), Whole { min: 0, max: RETRY_MAX }, "Attempts after the first.";
    "when", Default("[node_failure, preempted, site_lost]"), List { of: &Scalar(&RETRY_CAUSE), max: LIST_MAX }, "After which ends: `node_failure`, `preempted`, `site_lost`, `oom`, or an exit status like `exit:75`.";
    "resume", Default("start"), Choice(Resume::WORDS), "Where the next attempt begins: at the `start`, or at the newest `checkpoint`.";
}
section! { CHECKPOINT = "checkpoint", "How a task saves its state.";
    "path", Required, Scalar(&PATH), "The folder with the state, inside the working folder.";
    "every", Optional, Scalar(&SPAN), "How often the task is asked to save. Left out: only before it is stopped.";
    "signal", Default("SIGUSR1"), Choice(Signal::WORDS), "The signal that asks.";
    "grace", Default("1m"), Scalar(&SPAN), "How long saving may take.";
}
section! { TIME_SIGNAL = "time_signal", "A signal some time before a task's limit, to those of its processes that catch it.";
    "signal", Default("SIGUSR1"), Choice(Signal::WORDS), "The signal.";
    "before", Default("1m"), Scalar(&SPAN), "So long before `resources.time` is over; of a task whose time is shorter, when it starts.";
}
section! { ON_LOST_LINK = "on_lost_link", "What happens while the exchange does not hear from the job's site.";
    "keep", Required, Scalar(&SPAN), "So long the task goes on and is not started elsewhere; `0s` is the length of its lease.";
}
section! { SERVICE = "service", "What a service offers.";
    "port", Required, Whole { min: 1, max: 65_535 }, "The port the command listens on.";
    "health", Optional, Scalar(&HTTP_PATH), "The path that answers 200 when a replica is ready.";
    "replicas", Default("one"), Under(&REPLICAS), "How many copies.";
}
section! { REPLICAS = "service.replicas", "How many copies of a service.";
    "min", Default("1"), Whole { min: 1, max: REPLICAS_MAX }, "At least.";
    "max", Default("as `min`"), Whole { min: 1, max: REPLICAS_MAX }, "At most.";
    "target", Optional, Under(&TARGET), "What decides between the two.";
}
section! { TARGET = "service.replicas.target", "What the number of copies is steered by.";
    "p95", Required, Scalar(&SPAN), "95 of 100 answers take at most this long.";
}
section! { NETWORK = "network", "What is asked of the network.";
    "delay", Required, Under(&DELAY), "A bound on one-way delay.";
}
section! { DELAY = "network.delay", "A bound on one-way delay.";
    "class", Required, Choice(DelayClass::WORDS), "`T1` is 3 ms, `T2` 10 ms, `T3` 20 ms, one way, where the operator has not set other bounds.";
    "from", Required, OneOrMany { of: &Scalar(&CITY), max: LIST_MAX }, "From where. Each of the places must be inside the class.";
    "percentile", Default("99"), Whole { min: 1, max: 99 }, "Which percentile of the delay is judged.";
    "on_breach", Default("warn"), Choice(OnBreach::WORDS), "When a running task leaves the class: `warn`, or `move` it.";
}
section! { PLACEMENT = "placement", "Where the job may run. A list that is left out does not restrict.";
    "regions", Optional, List { of: &Scalar(&REGION), max: LIST_MAX }, "Provinces, national hubs or clusters, of which the site must be in one.";
    "domestic", Default("false"), TrueFalse, "Only hardware of domestic makers.";
    "providers", Optional, Under(&PROVIDERS), "Which providers may run it.";
    "trust", Default("listed"), Choice(Trust::WORDS), "How much must be known of the hardware: `listed` by its provider, `verified` by a challenge, `measured`.";
    "sites", Optional, List { of: &Scalar(&SITE), max: LIST_MAX }, "Sites by id or name, of which it must be one.";
    "features", Optional, List { of: &Scalar(&NODE_FEATURE), max: LIST_MAX }, "What each node must have, by the names that pools show: `avx512f`, `nvlink`.";
}
section! { PROVIDERS = "placement.providers", "Which providers may run the job, by name or id.";
    "allow", Optional, List { of: &Scalar(&PROVIDER), max: LIST_MAX }, "Only these.";
    "deny", Optional, List { of: &Scalar(&PROVIDER), max: LIST_MAX }, "Not these.";
}
section! { MARKET = "market", "How capacity is bought, and for how much.";
    "mode", Default("on_demand"), Choice(MarketMode::WORDS), "`on_demand` at the listed price, `spot` for less and with notice, `reserved` under a contract.";
    "max_price", Optional, Scalar(&MONEY), "The most the whole job may cost.";
    "max_unit_price", Optional, Scalar(&UNIT_PRICE), "The most one task may cost in an hour.";
    "budget", Optional, Under(&BUDGET), "A limit on what the job spends in a period.";
    "contract", Optional, Scalar(&CONTRACT), "The contract, with mode `reserved`.";
    "fallback", Optional, Choice(MarketMode::WORDS), "The mode to use when the first has nothing: with `spot`, where no spot is sold, while there is no room where it is.";
}
section! { BUDGET = "market.budget", "A limit on what the job spends in a period.";
    "amount", Required, Scalar(&MONEY), "How much.";
    "per", Default("job"), Choice(BudgetPeriod::WORDS), "In which period.";
    "on_limit", Default("stop"), Choice(OnLimit::WORDS), "`stop`: running tasks get notice and end. `warn`: they go on.";
}
section! { SCHEDULE = "schedule", "Runs the job again and again.";
    "cron", Required, Scalar(&CRON), "Minute, hour, day of month, month, day of week.";
    "timezone", Default("UTC"), Scalar(&TIMEZONE), "The zone in which the fields are read.";
    "overlap", Default("forbid"), Choice(Overlap::WORDS), "When a run is due while one still runs: `forbid` it, `allow` both, or `replace` the old one.";
    "catch_up", Default("latest"), Choice(CatchUp::WORDS), "Runs that were due while the exchange was away: `none` is made up for, the `latest`, or `all`, oldest first.";
    "catch_up_within", Optional, Scalar(&SPAN), "Only what was due so long ago is made up for.";
}
section! { DEADLINE = "deadline", "By when the job should have ended. One of `finish_within` and `finish_by`.";
    "finish_within", Optional, Scalar(&SPAN), "So long after submission, after `begin`, or after the due time of a scheduled run.";
    "finish_by", Optional, Scalar(&TIME), "At this moment.";
    "kind", Default("soft"), Choice(DeadlineKind::WORDS), "`soft`: the bill says whether it was met. `hard`: the job is refused when it cannot be promised.";
}
section! { NOTIFY = "notify[]", "Who is told of what.";
    "to", Required, Scalar(&CONTACT), "An address: `https://…` or `mailto:…`.";
    "when", Default("[succeeded, failed]"), List { of: &Choice(NotifyWhen::WORDS), max: NotifyWhen::WORDS.len() }, "Of what.";
}
section! { BACKEND = "backend", "Options that one kind of engine understands and the others do not see.";
    "slurm", Optional, TextMap { names: r"\S", max: LIST_MAX }, "Options of `sbatch` without the dashes, such as `partition` and `qos`; under `extra` several of them as they are written there, `--nice=10 --exclusive`.";
}

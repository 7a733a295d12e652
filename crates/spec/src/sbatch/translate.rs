//! From options to keys of the job file. Each value is read here; what the keys then mean is
//! checked where every job file is.
//!
//! Invariant: a value that cannot be kept is reported with its option and its place. Must not know
//! where options came from, but for their place.

use super::Around;
use super::given::{AllGiven, Given};
use super::launch::{Launch, interpreter};
use super::pattern::{PatternError, Target, target};
use super::reads::{is_shell, reads};
use super::table::{Fate, SITE_WORDS, harmless};
use super::tree::{Keys, bare, list, text};
use super::value::{self, Elements, Limit};
use crate::code::Code;
use crate::limits::NAME_CHARS_MAX;
use crate::model::{License, ProjectPath, ResourceAsk, quote, stays_inside};
use crate::report::Report;
use crate::tree::At;
use dayan_units::Span;

/// So far from now a held job begins at the earliest: whoever submits it pauses it meanwhile, and
/// an exchange answers within seconds even when it starts again.
const HOLD_LEAD: Span = Span::from_secs(60);
/// Of the whole file: what nobody has written.
const NOWHERE: At = At { start: 0, end: 0 };
/// A partition of this name is none: any pool will do.
const ANY: &str = "any";

/// Something that was said and has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The option, as it was written.
    pub option: String,
    /// Its line in the script; none: it is of the command or the environment.
    pub line: Option<u32>,
    /// Why, in English.
    pub why: String,
}

/// Names of things that only a Slurm cluster has.
const NAMES_OF_SLURM: [&str; 4] = ["partition", "qos", "constraint", "reservation"];

/// Options on their way to keys.
pub(super) struct Translation<'a, 's> {
    pub(super) given: &'a AllGiven,
    pub(super) around: &'a Around<'a>,
    pub(super) report: &'a Report<'s>,
    /// Where the script ends in the text that is reported on.
    pub(super) script_end: usize,
    pub(super) keys: Keys,
    pub(super) notes: Vec<Note>,
    /// Is it to wait for all of its name?
    pub(super) singleton: bool,
    pub(super) launch: Launch<'a>,
}

/// Where a task starts that is to start elsewhere.
const FOLDER_OF_ITS_OWN: &str = "a task starts in a folder of its own, on the machines of others; name what it reads under `#DAYAN inputs:`";

/// What `npu` means where nothing says of which kind.
const NPUS: &str = "any-huawei";

/// What `--dependency` cannot name.
const WHOLE_JOBS: &str = "a job waits for whole jobs, and not for a time after them";

/// Whose share a number of cards is.
#[derive(Clone, Copy)]
enum Share {
    Job,
    Node,
}

/// How many nodes, and what one of them has.
struct Shape {
    nodes: u32,
    per_node: u32,
    cpus: u32,
}

impl Translation<'_, '_> {
    pub(super) fn all(&mut self) {
        let to_slurm = self.is_for_slurm();
        for given in self.given.in_order() {
            match given.known.fate {
                Fate::Taken => {}
                Fate::Noted(_) | Fate::Refused(_)
                    if to_slurm && SITE_WORDS.contains(&given.known.name) => {}
                Fate::Noted(why) => self.note(given, why),
                // `-w "$NODES"` where nothing is in it asks for nothing.
                Fate::Refused(_) if given.is_empty() => {}
                Fate::Refused(why) => match harmless(given.known.name, &given.value) {
                    Some(why) => self.note(given, why),
                    None => self.refuse(given, why),
                },
            }
        }
        self.keys.set("version", bare(&1, NOWHERE));
        self.keys.set("type", text("batch", NOWHERE));
        self.name();
        self.project();
        self.array();
        let shape = self.shape();
        let cards = self.cards(&shape);
        self.memory(&shape, cards);
        self.time();
        self.site_words();
        self.environment();
        self.streams();
        self.moments();
        self.others();
    }

    fn note(&mut self, given: &Given, why: impl Into<String>) {
        let inside = given.at.start < self.script_end;
        let line = inside.then(|| self.report.line_number(given.at.start));
        self.notes.push(Note { option: given.shown.clone(), line, why: why.into() });
    }
    fn refuse(&self, given: &Given, why: &str) {
        let args = [("option", given.shown.clone()), ("why", why.to_owned())];
        self.report.add(Code::SbatchNotOffered, given.at, "", &args);
    }
    fn bad(&self, given: &Given, example: &str) {
        let args = [
            ("option", given.shown.clone()),
            ("value", quote(&given.value)),
            ("example", example.to_owned()),
        ];
        self.report.add(Code::SbatchBadValue, given.at, "", &args);
    }
    /// The value of an option as it is read; what it is not is reported.
    fn read<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
        example: &str,
    ) -> Option<(T, At)> {
        let given = self.given.get(name)?;
        let value = read(given.value.trim());
        if value.is_none() {
            self.bad(given, example);
        }
        Some((value?, given.at))
    }

    /// A job's name has fewer letters here; the script sees its own.
    fn name(&mut self) {
        let given = self.given.get("job-name");
        let name = given.map_or(self.around.name, |given| given.value.as_str());
        let at = given.map_or(NOWHERE, |given| given.at);
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        let plain: String =
            name.chars().map(|c| if allowed(c) { c } else { '_' }).take(NAME_CHARS_MAX).collect();
        let plain = plain.trim_start_matches(|c: char| !c.is_alphanumeric());
        let plain = if plain.is_empty() { "sbatch" } else { plain };
        if let Some(given) = given
            && plain != name
        {
            self.note(
                given,
                format!("the job is called `{plain}` here; the script sees its own name"),
            );
        }
        self.keys.set("name", text(plain, at));
        let seen = if name.is_empty() { plain } else { name };
        let seen: String = seen.chars().filter(|c| !c.is_control()).collect();
        self.keys.set("env.SLURM_JOB_NAME", text(seen, at));
    }

    /// An account is a project, or the last part of one of the own organisation.
    fn project(&mut self) {
        let given = self.given.get("account").filter(|given| !given.is_empty());
        let (project, at) = match (given, self.around.organisation) {
            (Some(given), _) if given.value.parse::<ProjectPath>().is_ok() => {
                (given.value.clone(), given.at)
            }
            (Some(given), Some(organisation)) if !given.value.contains('/') => {
                (format!("{organisation}/{}", given.value), given.at)
            }
            (Some(given), _) => return self.bad(given, "studio-a/film-3"),
            (None, _) => match self.around.project {
                Some(project) => (project.to_owned(), NOWHERE),
                None => return,
            },
        };
        self.launch.known.push(("SLURM_JOB_ACCOUNT", project.clone()));
        self.keys.set("project", text(project, at));
    }

    fn array(&mut self) {
        let Some((array, at)) = self.read("array", value::array, "1-10:2%4") else { return };
        let (first, last, step, count) = match array.elements {
            Elements::Range(first, last, step) => {
                self.keys.set("array.range", text(format!("{first}-{last}:{step}"), at));
                (first, last, step, u64::from((last - first) / step) + 1)
            }
            Elements::List(all) => {
                let (first, last) = (all[0], all[all.len() - 1]);
                let count = all.len();
                self.keys.set("array.range", text(format!("0-{}", count - 1), at));
                let written: Vec<String> = all.iter().map(u32::to_string).collect();
                self.keys
                    .set(&format!("env.{}", super::LIST_VARIABLE), text(written.join(","), at));
                self.launch.listed = true;
                (first, last, 1, count as u64)
            }
        };
        self.launch.array = Some([first.into(), last.into(), step.into(), count]);
        if let Some(most) = array.max_parallel {
            self.keys.set("array.max_parallel", bare(&most, at));
        }
    }

    /// Nodes, tasks and cores. Without nodes all tasks are on one; Slurm might spread them, and a
    /// script that would take that says how many nodes it wants.
    fn shape(&mut self) -> Shape {
        let nodes = self.read("nodes", value::nodes, "2");
        let tasks = self.read("ntasks", value::count, "4");
        let per_node = self.read("ntasks-per-node", value::count, "4");
        let per_task = self.read("cpus-per-task", value::count, "4");
        let per_card = self.read("ntasks-per-gpu", value::count, "2");
        if let (Some(((least, Some(_)), _)), Some(given)) = (&nodes, self.given.get("nodes")) {
            let why = format!("a gang has one size; {least} nodes are taken");
            self.note(given, why);
        }
        let asked = nodes.map(|((least, _), _)| least);
        let mut count = tasks.map(|(count, _)| count);
        let mut per = per_node.map(|(count, _)| count);
        if let (None, Some((each, _))) = (count, per_card) {
            match self.cards_given() {
                Some((Share::Job, cards)) => count = Some(each.saturating_mul(cards)),
                Some((Share::Node, cards)) => per = Some(each.saturating_mul(cards)),
                None => {}
            }
        }
        let nodes = match (asked, count, per) {
            // Fewer tasks than nodes leave nodes without work.
            (Some(nodes), Some(tasks), _) => nodes.min(tasks),
            (Some(nodes), None, _) => nodes,
            (None, Some(tasks), Some(per)) => tasks.div_ceil(per),
            (None, _, _) => 1,
        };
        let per = per.or(count.map(|tasks| tasks.div_ceil(nodes))).unwrap_or(1);
        let cores = per_task.map_or(1, |(cores, _)| cores);
        let cpus = per.saturating_mul(cores);
        let at = self.last_place(&["nodes", "ntasks", "ntasks-per-node", "cpus-per-task"]);
        self.keys.set("resources.cpus", text(cpus.to_string(), at));
        let known = &mut self.launch.known;
        let all = count.unwrap_or_else(|| nodes.saturating_mul(per));
        known.push(("SLURM_NTASKS", all.to_string()));
        known.push(("SLURM_NPROCS", all.to_string()));
        known.push(("SLURM_JOB_NUM_NODES", nodes.to_string()));
        known.push(("SLURM_NNODES", nodes.to_string()));
        known.push(("SLURM_TASKS_PER_NODE", value::per_node(all, nodes)));
        if per_node.is_some() {
            known.push(("SLURM_NTASKS_PER_NODE", per.to_string()));
        }
        if let Some((each, _)) = per_card {
            known.push(("SLURM_NTASKS_PER_GPU", each.to_string()));
        }
        if per_task.is_some() {
            known.push(("SLURM_CPUS_PER_TASK", cores.to_string()));
        }
        // One on each node is what a job file has that does not say.
        if all != nodes {
            self.keys.set("resources.processes", bare(&all, at));
        }
        if nodes > 1 {
            self.keys.set("gang.nodes", bare(&nodes, at));
            // Slurm runs a script once, on the first node.
            self.keys.set("launch", text("head", at));
        }
        Shape { nodes, per_node: per, cpus }
    }

    /// How many cards, and whose share that is, where it can be read.
    fn cards_given(&self) -> Option<(Share, u32)> {
        let given = self.given.last_of(&["gres", "gpus", "gpus-per-node"])?;
        let (share, cards) = match given.known.name {
            "gres" => (Share::Node, gres(&given.value).ok()?.map(|(_, cards)| cards)),
            "gpus" => (Share::Job, value::cards(given.value.trim())),
            _ => (Share::Node, value::cards(given.value.trim())),
        };
        Some((share, cards?.count))
    }

    /// As many cards as its tasks need by `--ntasks-per-gpu`, where nothing else says how many.
    fn cards_by_tasks(&mut self, shape: &Shape) -> u32 {
        let Some((each, at)) = self.read("ntasks-per-gpu", value::count, "2") else { return 0 };
        let Some((tasks, _)) = self.read("ntasks", value::count, "4") else {
            if let Some(given) = self.given.get("ntasks-per-gpu").cloned() {
                self.refuse(
                    &given,
                    "say how many cards, by `--gpus`, or how many tasks, by `--ntasks`",
                );
            }
            return 0;
        };
        let count = tasks.div_ceil(each).div_ceil(shape.nodes);
        self.set_cards(&["any"], count, shape, at);
        count
    }

    fn set_cards(&mut self, kinds: &[&str], count: u32, shape: &Shape, at: At) {
        let asked = kinds.iter().map(|kind| text(format!("{kind}:{count}"), at)).collect();
        let asked = list(asked, at);
        self.keys.set("resources.accelerators", asked);
        self.launch.known.push(("SLURM_GPUS_ON_NODE", count.to_string()));
        let all = count.saturating_mul(shape.nodes);
        self.launch.known.push(("SLURM_GPUS", all.to_string()));
    }

    fn last_place(&self, names: &[&'static str]) -> At {
        self.given.last_of(names).map_or(NOWHERE, |given| given.at)
    }

    /// Cards of one node.
    fn cards(&mut self, shape: &Shape) -> u32 {
        let names = ["gres", "gpus", "gpus-per-node", "gpus-per-task"];
        let Some(given) = self.given.last_of(&names) else { return self.cards_by_tasks(shape) };
        let (given, at) = (given.clone(), given.at);
        let (maker, cards) = match given.known.name {
            "gres" if given.is_empty() => return 0,
            "gres" => match gres(&given.value) {
                Ok(None) => return 0,
                Ok(Some(found)) => found,
                Err(GresError::Form) => {
                    self.bad(&given, "gpu:a100:2");
                    return 0;
                }
                Err(GresError::Other) => {
                    self.refuse(&given, "only `gpu` and `npu` are counted, of one kind for a job");
                    return 0;
                }
            },
            _ if given.is_empty() || is_zero(&given.value) => return 0,
            _ => match value::cards(given.value.trim()) {
                Some(cards) => ("any", cards),
                None => {
                    self.bad(&given, "a100:2");
                    return 0;
                }
            },
        };
        let count = match given.known.name {
            "gpus" if !cards.count.is_multiple_of(shape.nodes) => {
                let why =
                    format!("{} cards cannot be shared by {} nodes", cards.count, shape.nodes);
                self.refuse(&given, &why);
                return 0;
            }
            "gpus" => cards.count / shape.nodes,
            "gpus-per-task" => {
                self.launch.known.push(("SLURM_GPUS_PER_TASK", cards.count.to_string()));
                cards.count.saturating_mul(shape.per_node)
            }
            _ => cards.count,
        };
        let kind = cards.kind.as_deref().unwrap_or(maker);
        // A cluster that counts them without a type shows them by that word.
        let plain: &[&str] = if kind == NPUS { &[NPUS, "npu"] } else { &[kind] };
        self.set_cards(plain, count, shape, at);
        if let Some((per, at)) = self.read("cpus-per-gpu", value::count, "8")
            && !self.given.has("cpus-per-task")
        {
            let cpus = per.saturating_mul(count);
            self.keys.set("resources.cpus", text(cpus.to_string(), at));
        }
        count
    }

    /// Memory and local disk of one node.
    fn memory(&mut self, shape: &Shape, cards: u32) {
        match self.given.last_of(&["mem", "mem-per-cpu", "mem-per-gpu"]).cloned() {
            Some(given) => match value::kibibytes(given.value.trim()) {
                None => self.bad(&given, "4G"),
                Some(0) => self.refuse(&given, "say how much memory, not all that a machine has"),
                Some(each) => {
                    let (times, name) = match given.known.name {
                        "mem-per-cpu" => (shape.cpus, Some("SLURM_MEM_PER_CPU")),
                        "mem-per-gpu" => (cards.max(1), Some("SLURM_MEM_PER_GPU")),
                        _ => (1, Some("SLURM_MEM_PER_NODE")),
                    };
                    let all = each.saturating_mul(times.into());
                    self.keys.set("resources.memory", text(format!("{all}KiB"), given.at));
                    if let Some(name) = name {
                        self.launch.known.push((name, (each / 1_024).to_string()));
                    }
                }
            },
            // As much for a core as a job file has that does not say.
            None => {
                let bytes = ResourceAsk::DEFAULT_MEMORY.0.saturating_mul(shape.cpus.into());
                self.keys.set("resources.memory", text(format!("{bytes}B"), NOWHERE));
            }
        }
        let disk = |text: &str| value::kibibytes(text).filter(|size| *size > 0);
        if let Some((size, at)) = self.read("tmp", disk, "20G") {
            self.keys.set("resources.disk", text(format!("{size}KiB"), at));
        }
    }

    fn time(&mut self) {
        let Some(given) = self.given.get("time").cloned() else { return };
        match value::limit(given.value.trim()) {
            Some(Limit::Seconds(seconds)) => {
                self.keys.set("resources.time", text(format!("{seconds}s"), given.at));
            }
            Some(Limit::None) => {
                self.refuse(&given, "no task runs without a limit; say how long, at most 366 days");
            }
            None => self.bad(&given, "1-12:00:00"),
        }
    }

    /// Does the script name something that only a pool that is a Slurm cluster has?
    fn is_for_slurm(&self) -> bool {
        NAMES_OF_SLURM.iter().any(|name| {
            self.given.get(name).is_some_and(|given| {
                let word = given.value.trim();
                !word.is_empty() && !word.eq_ignore_ascii_case(ANY)
            })
        })
    }

    /// Words of one site's Slurm: only pools of that kind understand them.
    fn site_words(&mut self) {
        if self.is_for_slurm() {
            for name in SITE_WORDS {
                if let Some(given) = self.given.get(name).filter(|given| !given.is_empty()).cloned()
                {
                    // One that is a word alone is said to be so.
                    let value = match given.value.trim() {
                        "" => "true",
                        value => value,
                    };
                    let value = text(value, given.at);
                    self.keys.set(&format!("backend.slurm.{name}"), value);
                }
            }
        }
        for name in NAMES_OF_SLURM {
            let Some(given) = self.given.get(name).filter(|given| !given.is_empty()).cloned()
            else {
                continue;
            };
            if !given.value.eq_ignore_ascii_case(ANY) {
                self.keys.set(&format!("backend.slurm.{name}"), text(given.value.trim(), given.at));
                if name == "qos" {
                    self.launch.known.push(("SLURM_JOB_QOS", given.value.trim().to_owned()));
                }
            }
        }
    }

    /// The environment of the submitting machine stays there: it may hold secrets, and its paths
    /// mean nothing elsewhere. What is named travels.
    fn environment(&mut self) {
        let Some(given) = self.given.get("export").cloned() else { return self.left_behind() };
        for part in given.value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, value)) => self.keys.set(&variable(name), text(value, given.at)),
                None if part.eq_ignore_ascii_case("all") => {
                    self.note(&given, "the environment is not copied to other machines; name what the script needs, like `--export=NAME`");
                }
                None if ["none", "nil"].contains(&part.to_ascii_lowercase().as_str()) => {}
                // What is not set is not exported, as with Slurm.
                None => {
                    if let Some(value) = (self.around.variable)(part) {
                        self.keys.set(&variable(part), text(value, given.at));
                    }
                }
            }
        }
    }

    /// With Slurm everything that is set where one submits comes along. What a script seems to count on,
    /// and is set here, is said.
    fn left_behind(&mut self) {
        let script = self.launch.script;
        let shell =
            interpreter(script).is_some_and(|(program, argument)| is_shell(program, argument));
        let is_set = |name: &&str| (self.around.variable)(name).is_some();
        let names: Vec<&str> = reads(script).into_iter().filter(is_set).collect();
        if shell && !names.is_empty() {
            let names = names.join(",");
            let why = format!(
                "the environment is not copied to other machines, and the script reads `{names}`, set here; \
                 `--export={names}` takes it along, `--export=NONE` says that it need not come"
            );
            self.notes.push(Note { option: "--export".to_owned(), line: None, why });
        }
    }

    fn streams(&mut self) {
        self.launch.output = self.stream("output");
        self.launch.error = self.stream("error");
        // The same name for both is one file, as if only the output had been named.
        let file = |target: &Option<Target>| matches!(target, Some(Target::File(_)));
        if file(&self.launch.output) && self.launch.output == self.launch.error {
            self.launch.error = None;
        }
    }

    fn stream(&mut self, name: &'static str) -> Option<Target> {
        let given = self.given.get(name).cloned()?;
        match target(&given.value, self.around.user) {
            Ok(found) => Some(found),
            Err(PatternError::Outside) => {
                self.note(&given, "a task writes into its own folder only; the exchange keeps what it says: `dayan logs JOB`");
                None
            }
            Err(PatternError::Letter(_) | PatternError::Empty) => {
                self.bad(&given, "logs/%x-%j.out");
                None
            }
        }
    }

    fn moments(&mut self) {
        let around = self.around;
        let moment = |text: &str| value::moment(text, around.now, around.utc_offset_s);
        let begin = self.read("begin", moment, "now+1hour");
        let held = self.given.get("hold").map(|given| (around.now.plus(HOLD_LEAD), given.at));
        let begin = match (begin, held) {
            (Some(begin), Some(held)) => Some(if begin.0 > held.0 { begin } else { held }),
            (begin, held) => begin.or(held),
        };
        if let Some((begin, at)) = begin.filter(|(begin, _)| *begin > around.now) {
            self.keys.set("begin", text(begin.to_string(), at));
        }
        if let Some((by, at)) = self.read("deadline", moment, "2026-11-30T18:00") {
            self.keys.set("deadline.finish_by", text(by.to_string(), at));
            // Slurm ends a job that cannot meet its deadline; here it is refused at once.
            self.keys.set("deadline.kind", text("hard", at));
        }
    }

    fn others(&mut self) {
        if let Some(given) = self.given.last_of(&["requeue", "no-requeue"])
            && given.known.name == "no-requeue"
        {
            // Nor after a preemption, which counts as no failure.
            self.keys.set("retry.max", bare(&0, given.at));
            let own = ["node_failure", "site_lost"].map(|cause| text(cause, given.at));
            self.keys.set("retry.when", list(own.into(), given.at));
        }
        if let Some(given) = self.given.get("comment") {
            let comment: String = given.value.chars().filter(|c| !c.is_control()).collect();
            self.keys.set("env.SLURM_JOB_COMMENT", text(comment, given.at));
        }
        if let Some(given) = self.given.get("licenses").filter(|given| !given.is_empty()).cloned() {
            let words = given.value.split(',').map(str::trim);
            let all: Option<Vec<_>> = words
                .map(|word| word.parse::<License>().ok().map(|it| text(it.to_string(), given.at)))
                .collect();
            match all {
                Some(all) => self.keys.set("licenses", list(all, given.at)),
                None => self.bad(&given, "ansys:2"),
            }
        }
        if let Some(given) = self.given.get("chdir").cloned() {
            let folder = given.value.trim_end_matches('/');
            if given.value.starts_with('/') || !stays_inside(folder) {
                self.note(&given, FOLDER_OF_ITS_OWN);
            } else if !folder.is_empty() && folder != "." {
                self.keys.set("workdir", text(folder, given.at));
            }
        }
        self.time_signal();
        if let Some(given) = self.given.get("dependency").cloned() {
            self.dependencies(&given);
        }
    }

    fn time_signal(&mut self) {
        let Some(given) = self.given.get("signal").filter(|given| !given.is_empty()).cloned()
        else {
            return;
        };
        let Some(asked) = value::signal(given.value.trim()) else {
            return self.bad(&given, "B:USR1@120");
        };
        let Some(signal) = asked.signal else {
            return self.refuse(
                &given,
                "a task is told by USR1, USR2, INT, HUP or TERM that its time is nearly up",
            );
        };
        self.keys.set("time_signal.signal", text(signal.as_str(), given.at));
        self.keys.set("time_signal.before", text(format!("{}s", asked.before_s), given.at));
    }

    fn dependencies(&mut self, given: &Given) {
        // As Slurm has it: `--dependency="$AFTER"` in the first of a chain.
        if given.is_empty() || given.value.trim() == "0" {
            return;
        }
        let mut all = Vec::new();
        for part in given.value.split(',') {
            let (kind, jobs) = part.split_once(':').unwrap_or((part, ""));
            let event = match kind.trim() {
                "after" => "started",
                "afterok" => "succeeded",
                "afternotok" => "failed",
                "afterany" => "ended",
                "aftercorr" => "each",
                // Which jobs that are is known to the exchange.
                "singleton" if jobs.is_empty() => {
                    self.singleton = true;
                    continue;
                }
                "singleton" | "expand" | "afterburstbuffer" => {
                    return self.refuse(
                        given,
                        "a job waits for `after`, `afterok`, `afternotok`, `afterany`, `aftercorr` and \
                         `singleton`",
                    );
                }
                _ => return self.bad(given, "afterok:123:124"),
            };
            if jobs.contains('?') {
                return self.refuse(given, "a job waits for all that is named, not for one of it");
            }
            if jobs.contains('+') || jobs.contains('_') && !jobs.contains("job_") {
                return self.refuse(given, WHOLE_JOBS);
            }
            for job in jobs.split(':') {
                if job.trim().is_empty() {
                    return self.bad(given, "afterok:123:124");
                }
                let number = job.trim().parse();
                if number.is_ok_and(|number| super::array_and_element(number).is_some()) {
                    return self.refuse(given, WHOLE_JOBS);
                }
                all.push(text(format!("{}:{event}", job.trim()), given.at));
            }
        }
        if !all.is_empty() {
            self.keys.set("depends_on", list(all, given.at));
        }
    }
}

/// The path of a variable; a dot would make two keys of its name.
fn variable(name: &str) -> String {
    format!("env.{}", name.trim().replace('.', "_"))
}

enum GresError {
    Form,
    Other,
}

/// Is it none of something: `0`, `gpu:0`, `gpu:a100:0`?
fn is_zero(text: &str) -> bool {
    text.trim().rsplit(':').next().is_some_and(|count| count == "0")
}

/// The cards among generic resources: `gpu:2`, `gpu:a100:2`, `npu:8`, `gres/gpu:1`, `none`.
fn gres(text: &str) -> Result<Option<(&'static str, value::Cards)>, GresError> {
    let mut found = None;
    for part in text.split(',').map(str::trim) {
        if part.eq_ignore_ascii_case("none") || is_zero(part) {
            continue;
        }
        let part =
            part.strip_prefix("gres/").or_else(|| part.strip_prefix("gres:")).unwrap_or(part);
        let (name, rest) = part.split_once(':').unwrap_or((part, "1"));
        let maker = match name {
            "gpu" => "any",
            "npu" => NPUS,
            "" => return Err(GresError::Form),
            _ => return Err(GresError::Other),
        };
        if found.is_some() {
            return Err(GresError::Other);
        }
        found = Some((maker, value::cards(rest).ok_or(GresError::Form)?));
    }
    Ok(found)
}

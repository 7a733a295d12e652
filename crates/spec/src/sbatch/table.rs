//! The options of `sbatch`: which there are, whether they take a value, and what becomes of each.
//! This is the only place where they are listed; the guide's table is compared with it by a test.
//!
//! Invariant: an option is taken, named as without effect, or refused with a reason, never dropped
//! silently. Must not know how a value is read.

/// Does it take a value?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// Only with `=`.
    MaybeValue,
}

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It becomes a key of the job file, or something the command does.
    Taken,
    /// It has no effect here, which is said, and why.
    Noted(&'static str),
    /// The script is refused, and why.
    Refused(&'static str),
}

/// One option.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) takes: Takes,
    pub(super) fate: Fate,
    /// The variable of the environment that stands for it, as Slurm names it.
    pub(super) variable: Option<&'static str>,
}

use Fate::{Noted, Refused, Taken};
use Takes::{MaybeValue, Nothing, Value};

macro_rules! options {
    ($($name:literal $(- $short:literal)?, $takes:expr, $fate:expr $(, $variable:literal)?;)*) => {
        pub(super) static OPTIONS: &[Known] = &[$(Known {
            name: $name,
            short: options!(@maybe $($short)?),
            takes: $takes,
            fate: $fate,
            variable: options!(@maybe $($variable)?),
        }),*];
    };
    (@maybe) => { None };
    (@maybe $value:literal) => { Some($value) };
}

const TUNING: Fate = Noted("it tunes how a Slurm node runs a step");
const NODES_OF_OTHERS: Fate =
    Refused("the exchange chooses machines; name places under `#DAYAN placement:`");
const NODES_OF_SITE: Fate = Refused(
    "the exchange chooses machines; name places under `#DAYAN placement:`, or a pool that is a Slurm cluster by `--partition`",
);
const TOPOLOGY: Fate = Refused("cores are counted, not sockets and threads; ask for cores");
const TOPOLOGY_OF_SITE: Fate = Refused(
    "cores are counted, not sockets and threads; ask for cores, or name a pool that is a Slurm cluster by `--partition`",
);

/// What asks for whole cores: where it says so, and why it changes nothing outside of a Slurm cluster.
const WHOLE_CORES: [&str; 2] = ["threads-per-core", "ntasks-per-core"];
const ONE_THREAD: &str = "cores are what a machine counts as its processors, be they threads of one core or not; a pool that is a Slurm cluster, named by `--partition`, is told by `--threads-per-core`";

/// Why an option with this value has no effect, though it is refused with others.
pub(super) fn harmless(name: &str, value: &str) -> Option<&'static str> {
    let one_thread = WHOLE_CORES.contains(&name) && value.trim() == "1";
    let any_socket = name == "extra-node-info" && value.trim() == "*:*:1";
    match (name, value) {
        ("input", "/dev/null") => Some("a task reads nothing anyway"),
        _ => (one_thread || any_socket).then_some(ONE_THREAD),
    }
}

/// Why a word of one cluster may be left out where its pools do not let jobs say it: it is said to other
/// pools without effect. None where it has to count.
pub fn may_be_left_out(name: &str, value: &str) -> Option<&'static str> {
    let known = OPTIONS.iter().find(|option| option.name == name)?;
    match known.fate {
        Fate::Noted(why) if SITE_WORDS.contains(&name) => Some(why),
        Fate::Refused(_) if SITE_WORDS.contains(&name) => harmless(name, value),
        Fate::Taken | Fate::Noted(_) | Fate::Refused(_) => None,
    }
}

/// Names of options that Slurm has had before, or has as well.
const ALSO: [(&str, &str); 3] =
    [("tasks-per-node", "ntasks-per-node"), ("share", "oversubscribe"), ("workdir", "chdir")];

/// Options that only a Slurm cluster understands: they go to it as `backend.slurm` where the script is
/// for such a pool anyway, and have their fate where it is not.
pub const SITE_WORDS: [&str; 9] = [
    "contiguous",
    "exclude",
    "exclusive",
    "mincpus",
    "nodelist",
    "prefer",
    "sockets-per-node",
    "switches",
    "threads-per-core",
];

options! {
    "time"-'t', Value, Taken, "SBATCH_TIMELIMIT";
    "job-name"-'J', Value, Taken, "SBATCH_JOB_NAME";
    "array"-'a', Value, Taken, "SBATCH_ARRAY_INX";
    "nodes"-'N', Value, Taken;
    "ntasks"-'n', Value, Taken;
    "ntasks-per-node", Value, Taken;
    "cpus-per-task"-'c', Value, Taken;
    "mem", Value, Taken, "SBATCH_MEM_PER_NODE";
    "mem-per-cpu", Value, Taken, "SBATCH_MEM_PER_CPU";
    "mem-per-gpu", Value, Taken, "SBATCH_MEM_PER_GPU";
    "tmp", Value, Taken;
    "gres", Value, Taken, "SBATCH_GRES";
    "gpus"-'G', Value, Taken, "SBATCH_GPUS";
    "gpus-per-node", Value, Taken, "SBATCH_GPUS_PER_NODE";
    "gpus-per-task", Value, Taken, "SBATCH_GPUS_PER_TASK";
    "cpus-per-gpu", Value, Taken, "SBATCH_CPUS_PER_GPU";
    "ntasks-per-gpu", Value, Taken;
    "partition"-'p', Value, Taken, "SBATCH_PARTITION";
    "qos"-'q', Value, Taken, "SBATCH_QOS";
    "constraint"-'C', Value, Taken, "SBATCH_CONSTRAINT";
    "reservation", Value, Taken, "SBATCH_RESERVATION";
    "account"-'A', Value, Taken, "SBATCH_ACCOUNT";
    "output"-'o', Value, Taken, "SBATCH_OUTPUT";
    "error"-'e', Value, Taken, "SBATCH_ERROR";
    "dependency"-'d', Value, Taken;
    "export", Value, Taken, "SBATCH_EXPORT";
    "chdir"-'D', Value, Taken;
    "begin"-'b', Value, Taken;
    "deadline", Value, Taken;
    "comment", Value, Taken;
    "requeue", Nothing, Taken, "SBATCH_REQUEUE";
    "no-requeue", Nothing, Taken, "SBATCH_NO_REQUEUE";
    "hold"-'H', Nothing, Taken;
    "wait"-'W', Nothing, Taken, "SBATCH_WAIT";
    "parsable", Nothing, Taken;
    "quiet"-'Q', Nothing, Taken;
    "test-only", Nothing, Taken;
    "wrap", Value, Taken;

    "mail-type", Value, Noted("no mail is sent; ask with `dayan show` or wait with `--wait`");
    "mail-user", Value, Noted("no mail is sent; ask with `dayan show` or wait with `--wait`");
    "exclusive", MaybeValue, Noted("no machine is kept for one job alone; it has the cores, memory and cards it asks for to itself"), "SBATCH_EXCLUSIVE";
    "oversubscribe"-'s', Nothing, Noted("cores are never lent twice");
    "overcommit"-'O', Nothing, Noted("cores are never lent twice"), "SBATCH_OVERCOMMIT";
    "verbose"-'v', Nothing, Noted("there is nothing more to say"), "SBATCH_DEBUG";
    "open-mode", Value, Noted("each attempt writes into a folder of its own"), "SBATCH_OPEN_MODE";
    "nice", MaybeValue, Noted("write `#DAYAN priority: low`");
    "get-user-env", MaybeValue, Noted("a task has the environment of the machine it runs on"), "SBATCH_GET_USER_ENV";
    "no-kill"-'k', MaybeValue, Noted("a gang runs on all of its nodes or starts again"), "SBATCH_NO_KILL";
    "kill-on-invalid-dep", Value, Noted("a job that waits for what cannot happen goes on waiting, and `dayan explain` says so");
    "spread-job", Nothing, Noted("the exchange chooses machines"), "SBATCH_SPREAD_JOB";
    "use-min-nodes", Nothing, Noted("the least number of nodes is always taken"), "SBATCH_USE_MIN_NODES";
    "contiguous", Nothing, Noted("write `#DAYAN gang: {same: [site]}`");
    "wait-all-nodes", Value, Noted("a gang starts on all of its nodes or not at all"), "SBATCH_WAIT_ALL_NODES";
    "ignore-pbs", Nothing, Noted("lines for other programs are never read"), "SBATCH_IGNORE_PBS";
    "reboot", Nothing, Noted("machines of others are not started again");
    "time-min", Value, Noted("the time that was asked for is the time that is had");
    "priority", Value, Noted("write `#DAYAN priority: high`");
    "wckey", Value, Noted("nothing is counted by it; what pays is the project"), "SBATCH_WCKEY";
    "switches", Value, Noted("write `#DAYAN gang: {same: [fabric]}`"), "SBATCH_REQ_SWITCH";
    "acctg-freq", Value, TUNING, "SBATCH_ACCTG_FREQ";
    "cpu-freq", Value, TUNING, "SBATCH_CPU_FREQ_REQ";
    "delay-boot", Value, TUNING, "SBATCH_DELAY_BOOT";
    "distribution"-'m', Value, TUNING, "SBATCH_DISTRIBUTION";
    "gpu-bind", Value, TUNING, "SBATCH_GPU_BIND";
    "gpu-freq", Value, TUNING, "SBATCH_GPU_FREQ";
    "gres-flags", Value, TUNING, "SBATCH_GRES_FLAGS";
    "hint", Value, Noted("it tunes how a Slurm node runs a step; where it is to change what is given, write `#DAYAN backend: {slurm: {hint: nomultithread}}`"), "SBATCH_HINT";
    "mem-bind", Value, TUNING, "SBATCH_MEM_BIND";
    "network", Value, TUNING, "SBATCH_NETWORK";
    "power", Value, TUNING, "SBATCH_POWER";
    "profile", Value, TUNING, "SBATCH_PROFILE";
    "propagate", MaybeValue, TUNING;
    "ntasks-per-socket", Value, Noted("sockets are not counted; as many tasks run on a machine all the same");

    "nodelist"-'w', Value, NODES_OF_SITE;
    "nodefile"-'F', Value, NODES_OF_OTHERS;
    "exclude"-'x', Value, NODES_OF_SITE;
    "batch", Value, NODES_OF_OTHERS;
    "prefer", Value, NODES_OF_SITE;
    "clusters"-'M', Value, Refused("one exchange is asked; set DAYAN_URL to ask another"), "SBATCH_CLUSTERS";
    "cluster-constraint", Value, Refused("one exchange is asked; set DAYAN_URL to ask another"), "SBATCH_CLUSTER_CONSTRAINT";
    "licenses"-'L', Value, Taken, "SBATCH_LICENSES";
    "signal", Value, Taken, "SBATCH_SIGNAL";
    "input"-'i', Value, Refused("a task has no input of the submitting machine; redirect inside the script, and name the file under `#DAYAN inputs:`");
    "export-file", Value, Refused("name each variable with `--export=NAME=VALUE`");
    "uid", Value, Refused("who submits is said by the token");
    "gid", Value, Refused("who submits is said by the token");
    "mcs-label", Value, Refused("who may see a job is said by its project");
    "bb", Value, Refused("there are no burst buffers; name data under `#DAYAN inputs:`"), "SBATCH_BURST_BUFFER";
    "bbf", Value, Refused("there are no burst buffers; name data under `#DAYAN inputs:`");
    "container", Value, Refused("write `#DAYAN image: NAME`"), "SBATCH_CONTAINER";
    "gpus-per-socket", Value, TOPOLOGY, "SBATCH_GPUS_PER_SOCKET";
    "ntasks-per-core", Value, TOPOLOGY;
    "cores-per-socket", Value, TOPOLOGY;
    "sockets-per-node", Value, TOPOLOGY_OF_SITE;
    "threads-per-core", Value, TOPOLOGY_OF_SITE, "SBATCH_THREADS_PER_CORE";
    "extra-node-info"-'B', Value, TOPOLOGY;
    "core-spec"-'S', Value, TOPOLOGY, "SBATCH_CORE_SPEC";
    "thread-spec", Value, TOPOLOGY, "SBATCH_THREAD_SPEC";
    "mincpus", Value, TOPOLOGY_OF_SITE;
}

/// An option by its whole name, or by a beginning that only one has.
pub(super) fn by_name(name: &str) -> Result<&'static Known, Vec<&'static str>> {
    let name = ALSO.iter().find(|(also, _)| *also == name).map_or(name, |(_, known)| known);
    if let Some(exact) = OPTIONS.iter().find(|option| option.name == name) {
        return Ok(exact);
    }
    let begun: Vec<&Known> =
        OPTIONS.iter().filter(|option| !name.is_empty() && option.name.starts_with(name)).collect();
    let also = ALSO.iter().filter(|(also, _)| !name.is_empty() && also.starts_with(name));
    let also: Vec<&str> = also.map(|(_, known)| *known).collect();
    match (&begun[..], &also[..]) {
        ([only], []) => Ok(only),
        ([], [only]) => by_name(only),
        _ => Err(begun.iter().map(|option| option.name).collect()),
    }
}

pub(super) fn by_letter(letter: char) -> Option<&'static Known> {
    OPTIONS.iter().find(|option| option.short == Some(letter))
}

/// The variables of the environment that stand for options.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().filter_map(|option| option.variable)
}

/// Every option with its letter and what becomes of it, for the guide.
pub fn options() -> impl Iterator<Item = (&'static str, Option<char>, Fate)> {
    OPTIONS.iter().map(|option| (option.name, option.short, option.fate))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_letters_and_variables_are_each_of_one_option() {
        let names: BTreeSet<_> = OPTIONS.iter().map(|o| o.name).collect();
        assert_eq!(names.len(), OPTIONS.len());
        let letters: Vec<_> = OPTIONS.iter().filter_map(|o| o.short).collect();
        assert_eq!(letters.iter().collect::<BTreeSet<_>>().len(), letters.len());
        let variables: Vec<_> = OPTIONS.iter().filter_map(|o| o.variable).collect();
        assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    }

    #[test]
    fn names_may_be_cut_short_where_one_is_meant() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(by_name(text).ok().map(|o| o.name), expect, "{text}");
        };
        check("time", Some("time"));
        check("part", Some("partition"));
        check("mem", Some("mem"));
        check("ntasks-per", None);
        check("nosuch", None);
        check("tasks-per-node", Some("ntasks-per-node"));
        check("share", Some("oversubscribe"));
        check("tasks", Some("ntasks-per-node"));
        check("s", None);
        check("", None);
        assert_eq!(by_letter('N').map(|o| o.name), Some("nodes"));
        assert!(by_letter('Z').is_none());
    }
}

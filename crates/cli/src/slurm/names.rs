//! The fields of `squeue -O` that have a name and no letter in Slurm. Scripts ask for many at once and fail on
//! one that is refused: every name of Slurm's is known, and one of which nothing is kept here is `N/A`, as
//! Slurm shows what a job has no value of. Must not know formats or command lines.

use jiff::Timestamp;

use super::again::CLUSTER;
use super::squeue::Around;
use super::view::{Line, Part, clock, eligible, submitted};

/// What stands where there is no value.
const NONE: &str = "N/A";

/// The letter of the first field: nobody types one of these.
const FIRST: u32 = 0xe000;

/// Names in small letters, and what their heads are.
const FIELDS: &[(&str, &str)] = &[
    ("accruetime", "ACCRUE_TIME"),
    ("admin_comment", "ADMIN_COMMENT"),
    ("allocnodes", "ALLOC_NODES"),
    ("allocsid", "ALLOC_SID"),
    ("associd", "ASSOC_ID"),
    ("batchflag", "BATCH_FLAG"),
    ("boardspernode", "BOARDS_PER_NODE"),
    ("burstbuffer", "BURST_BUFFER"),
    ("burstbufferstate", "BURST_BUFFER_STATE"),
    ("cluster", "CLUSTER"),
    ("clusterfeature", "CLUSTER_FEATURES"),
    ("container", "CONTAINER"),
    ("cpufreq", "CPU_FREQ"),
    ("cpus-per-task", "CPUS_PER_TASK"),
    ("cpuspertask", "CPUS_PER_TASK"),
    ("cpus-per-tres", "CPUS_PER_TRES"),
    ("deadline", "DEADLINE"),
    ("delayboot", "DELAY_BOOT"),
    ("derivedec", "DERIVED_EC"),
    ("eligibletime", "ELIGIBLE_TIME"),
    ("exit_code", "EXIT_CODE"),
    ("hetjobid", "HET_JOB_ID"),
    ("hetjobidset", "HET_JOB_ID_SET"),
    ("hetjoboffset", "HET_JOB_OFFSET"),
    ("lastschedeval", "LAST_SCHED_EVAL"),
    ("maxcpus", "MAX_CPUS"),
    ("maxnodes", "MAX_NODES"),
    ("mcslabel", "MCSLABEL"),
    ("mem-per-tres", "MEM_PER_TRES"),
    ("mintime", "TIME_MIN"),
    ("network", "NETWORK"),
    ("ntperboard", "NTASKS_PER_BOARD"),
    ("ntpercore", "NTASKS_PER_CORE"),
    ("ntpernode", "NTASKS_PER_NODE"),
    ("ntpersocket", "NTASKS_PER_SOCKET"),
    ("numtasks", "TASKS"),
    ("origin", "ORIGIN"),
    ("originraw", "ORIGIN_RAW"),
    ("packjobid", "HET_JOB_ID"),
    ("packjobidset", "HET_JOB_ID_SET"),
    ("packjoboffset", "HET_JOB_OFFSET"),
    ("pendingtime", "PENDING_TIME"),
    ("preempttime", "PREEMPT_TIME"),
    ("prefer", "PREFER"),
    ("profile", "PROFILE"),
    ("reboot", "REBOOT"),
    ("reqswitch", "REQ_SWITCH"),
    ("requeue", "REQUEUE"),
    ("resizetime", "RESIZE_TIME"),
    ("restartcnt", "RESTART_COUNT"),
    ("resvport", "RESERVED_PORTS"),
    ("resvports", "RESERVED_PORTS"),
    ("selectjobinfo", "SELECT_JOBINFO"),
    ("siblingsactive", "ACTIVE_SIBLINGS"),
    ("siblingsactiveraw", "ACTIVE_SIBLINGS_RAW"),
    ("siblingsviable", "VIABLE_SIBLINGS"),
    // As Slurm spells it.
    ("siblingsviableraw", "VIALBLE_SIBLINGS_RAW"),
    ("sperboard", "SOCKETS_PER_BOARD"),
    ("stderr", "STDERR"),
    ("stdin", "STDIN"),
    ("stdout", "STDOUT"),
    ("system_comment", "SYSTEM_COMMENT"),
    ("tres", "TRES_ALLOC"),
    ("tres-alloc", "TRES_ALLOC"),
    ("tres-bind", "TRES_BIND"),
    ("tres-freq", "TRES_FREQ"),
    ("tres-per-job", "TRES_PER_JOB"),
    ("tres-per-socket", "TRES_PER_SOCKET"),
    ("tres-per-step", "TRES_PER_STEP"),
    ("tres-per-task", "TRES_PER_TASK"),
    ("wait4switch", "WAIT4SWITCH"),
];

/// The letter that stands for a name.
pub(super) fn letter(name: &str) -> Option<char> {
    let at = FIELDS.iter().position(|(known, _)| *known == name)?;
    char::from_u32(FIRST + u32::try_from(at).ok()?)
}

/// The head of a field; empty where there is none of that letter.
pub(super) fn head(letter: char) -> &'static str {
    let at = u32::from(letter).checked_sub(FIRST).and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| FIELDS.get(at)).map_or("", |(_, head)| *head)
}

/// A field of a line.
pub(super) fn cell(line: &Line<'_>, letter: char, around: &Around) -> String {
    let spec = line.job.spec.as_ref();
    let at = |moment: Option<Timestamp>| clock(moment, &around.zone, NONE);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let (code, signal) = line.exit();
    let nodes = line.job.nodes().max(1);
    // Without a word about it one process starts on each node.
    let processes = spec.and_then(|spec| spec.resources.processes);
    let per_node = processes.unwrap_or(nodes).div_ceil(nodes).max(1);
    match head(letter) {
        "" => String::new(),
        // It has an age from when on it may start.
        "ACCRUE_TIME" => at(eligible(line.job).filter(|at| *at <= around.now)),
        // There are no others.
        "BATCH_FLAG" => "1".to_owned(),
        "CLUSTER" => CLUSTER.to_owned(),
        "CONTAINER" => or_none(spec.and_then(|spec| spec.image.clone())),
        "CPUS_PER_TASK" => {
            (line.cpus() / u64::from(nodes) / u64::from(per_node)).max(1).to_string()
        }
        "DEADLINE" => at(line.job.told.deadline.as_ref().and_then(|text| text.parse().ok())),
        "DERIVED_EC" => format!("{code}:0"),
        "ELIGIBLE_TIME" => at(eligible(line.job)),
        "EXIT_CODE" => format!("{code}:{signal}"),
        "MAX_CPUS" => line.cpus().to_string(),
        "MAX_NODES" => nodes.to_string(),
        "NTASKS_PER_NODE" => or_none(processes.map(|_| per_node.to_string())),
        "TASKS" => processes.unwrap_or(nodes).to_string(),
        "PENDING_TIME" => {
            let until = line.started().or_else(|| line.ended()).unwrap_or(around.now).as_second();
            let waited = submitted(line.job).map(|came| (until - came.as_second()).max(0));
            or_none(waited.map(|seconds| seconds.to_string()))
        }
        "PREFER" => or_none(line.slurm_option("prefer").map(str::to_owned)),
        "REBOOT" => "0".to_owned(),
        "REQ_SWITCH" => or_none(line.slurm_option("switches").map(str::to_owned)),
        "REQUEUE" => or_none(spec.map(|spec| u32::from(spec.retry.max > 0).to_string())),
        "RESTART_COUNT" => restarts(line).to_string(),
        // A script has no other.
        "STDIN" => "/dev/null".to_owned(),
        "TRES_ALLOC" => {
            let memory = line.memory_mib().saturating_mul(nodes.into());
            line.tres(&format!("{memory}M"))
        }
        "TRES_PER_JOB" => or_none(line.all_cards()),
        _ => NONE.to_owned(),
    }
}

/// How often it was begun again: what waits has begun as often as it has attempts.
fn restarts(line: &Line<'_>) -> u32 {
    let is_own = |task: u32| match &line.part {
        Part::Whole => true,
        Part::Element(_, own) => task == *own,
        Part::Untried(elements) => {
            line.job.element(task).is_some_and(|element| elements.contains(&element))
        }
    };
    let own = line.job.told.attempts.iter().filter(|attempt| is_own(attempt.task));
    let tries = own.map(|attempt| attempt.attempt).max().unwrap_or(0);
    tries.saturating_sub(u32::from(!line.attempts.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::slurm::pools::Pools;
    use crate::slurm::tests_support::{attempt, job, told};
    use crate::slurm::view::Job;

    fn shown(job: &Job, name: &str) -> Vec<String> {
        let around = Around {
            pools: Pools::default(),
            now: "2026-11-28T01:02:13Z".parse().expect("a time"),
            zone: TimeZone::UTC,
            starts: BTreeMap::new(),
            steps: false,
        };
        let letter = letter(name).unwrap_or_else(|| panic!("{name}"));
        job.lines().iter().map(|line| cell(line, letter, &around)).collect()
    }

    #[test]
    fn every_name_has_a_letter_of_its_own_a_head_and_a_text() {
        let one = job("running", "", &[attempt(0, 1, "running", "")], &[]);
        for (name, named) in FIELDS {
            let letter = letter(name).expect("a letter");
            assert_eq!(head(letter), *named, "{name}");
            assert_eq!(*name, name.to_ascii_lowercase());
            assert_ne!(shown(&one, name), [""], "{name}");
        }
        assert_eq!((letter("nosuch"), head('i'), head('\u{e0ff}')), (None, "", ""));
    }

    #[test]
    fn what_is_known_is_shown_and_the_rest_is_not_available() {
        let more =
            "gang: {nodes: 2}\nimage: blender:4\nretry: {max: 0}\nbegin: 2026-11-28T00:00:05Z\n";
        let mut gang = told("running", more, &[attempt(0, 2, "running", "")], &[]);
        gang.deadline = Some("2026-11-29T00:00:00Z".to_owned());
        let spec = &mut gang.spec["resources"];
        spec["processes"] = 4.into();
        spec["accelerators"] = serde_json::json!([{ "kind": "a100", "count": 2_000 }]);
        let gang = Job::new(gang);
        assert!(gang.spec.is_some());
        let check = |name: &str, expect: &str| assert_eq!(shown(&gang, name), [expect], "{name}");
        check("accruetime", "2026-11-28T00:00:05");
        check("eligibletime", "2026-11-28T00:00:05");
        check("batchflag", "1");
        check("cluster", "dayan");
        check("container", "blender:4");
        check("cpus-per-task", "2");
        check("deadline", "2026-11-29T00:00:00");
        check("exit_code", "0:0");
        check("maxcpus", "8");
        check("maxnodes", "2");
        check("ntpernode", "2");
        check("numtasks", "4");
        // From its submission to its beginning.
        check("pendingtime", "10");
        check("requeue", "0");
        check("restartcnt", "1");
        check("stdin", "/dev/null");
        check("stdout", "N/A");
        check("network", "N/A");
        check("tres-alloc", "billing=8,cpu=8,mem=4096M,node=2,gres/gpu:a100=4");
        check("tres-per-job", "gres:gpu:a100:4");
        check("tres-per-task", "N/A");
    }

    #[test]
    fn what_waits_again_was_restarted() {
        let tries = [attempt(0, 1, "lost", "x"), attempt(0, 2, "lost", "x")];
        let waits = job("queued", "begin: 2026-11-30T00:00:00Z\n", &tries, &[[0, 0]]);
        assert_eq!(shown(&waits, "restartcnt"), ["2"]);
        // It waits since it was submitted; its age does not count yet.
        assert_eq!(shown(&waits, "pendingtime"), ["3733"]);
        assert_eq!(shown(&waits, "accruetime"), ["N/A"]);
        assert_eq!(shown(&waits, "ntpernode"), ["N/A"]);
        assert_eq!(shown(&waits, "numtasks"), ["1"]);
        let ended = job("failed", "", &[attempt(0, 1, "failed", "signal 9")], &[]);
        assert_eq!(shown(&ended, "exit_code"), ["0:9"]);
        assert_eq!(shown(&ended, "derivedec"), ["0:0"]);
        assert_eq!(shown(&ended, "requeue"), ["1"]);
    }
}

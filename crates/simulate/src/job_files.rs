//! Job files, drawn: single tasks, arrays and gangs, with and without retries, short and long leases,
//! limits of their own, inputs that lie in the data store, outputs, and licences.

use dayan_schedule::DataAt;
use dayan_units::Bytes;

use crate::random::Random;
use crate::scenario::Scenario;

/// What a job may be tried again for.
const RETRIES: [&str; 4] = [
    "",
    "retry: {max: 3, when: [node_failure, site_lost, exit:75]}",
    "retry: {max: 1, when: [site_lost]}",
    "retry: {max: 2, when: [node_failure, site_lost, preempted, oom, exit:1, exit:75]}",
];

/// The licence that everybody may ask for; each organisation has one of its own, `ORG/own`.
pub(crate) const COMMON_LICENSE: &str = "solver";

/// Files of inputs that are about, by their number.
const FILES: u64 = 6;

/// The inputs of a job, drawn: their line in its file, and what lies in the data store of them.
pub(crate) fn inputs(random: &mut Random) -> (String, Vec<DataAt>) {
    let first = random.below(FILES);
    let mut files = vec![first];
    if random.in_permille(300) {
        files.push((first + 1 + random.below(FILES - 1)) % FILES);
    }
    let from = files.iter().map(|file| format!("{{from: file-{file}, to: in/}}"));
    let line = format!("inputs: [{}]\n", from.collect::<Vec<_>>().join(", "));
    let data = files.iter().map(|file| DataAt {
        place: "Guiyang".to_owned(),
        bytes: Bytes(1_000_000_000),
        // Far from each other, as digests are.
        key: Some((file + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    });
    (line, data.collect())
}

/// What makes a file a schedule: often due in a world that is busy for a quarter of an hour.
pub(crate) fn schedule(random: &mut Random) -> String {
    let every = random.pick(&["*/2", "*/5", "*/7"]);
    let overlap = random.pick(&["forbid", "allow", "replace"]);
    let catch_up = random.pick(&["none", "latest", "all"]);
    format!("schedule: {{cron: '{every} * * * *', overlap: {overlap}, catch_up: {catch_up}}}\n")
}

/// One job file of an organisation.
pub(crate) fn job_file(random: &mut Random, org: &str, number: u32, scenario: &Scenario) -> String {
    let project = random.pick(&["a", "b", "b"]);
    let least = random.between(1, 3);
    let cpus = if random.in_permille(250) {
        format!("{least}..{}", least + random.between(1, 3))
    } else {
        least.to_string()
    };
    let time = random.pick(&["20s", "90s", "3m", "6m", "10m", "15m"]);
    let shape = match random.below(10) {
        0..3 => String::new(),
        3..8 => {
            let last = random.between(1, i64::from(scenario.tasks_max));
            let most = random.pick(&["", ", max_parallel: 2"]);
            format!("array: {{range: 1-{last}{most}}}")
        }
        _ => {
            let nodes = random.between(2, 3);
            let min = random.pick(&["", "", ", min: 1", ", min: 2"]);
            format!("gang: {{nodes: {nodes}{min}}}")
        }
    };
    let retry = (*random.pick(&RETRIES)).to_owned();
    let keep = match *random.pick(&["", "0s", "4s", "20s", "30s", "30s", "90s", "5m"]) {
        "" => String::new(),
        keep => format!("on_lost_link: {{keep: {keep}}}"),
    };
    let mut market = Vec::new();
    if random.in_permille(120) {
        let (units, cents) = (random.below(2), random.between(10, 99));
        market.push(format!("max_price: {units}.{cents} CNY"));
    }
    // Gangs are not sold spot.
    if random.in_permille(400) && !shape.starts_with("gang") {
        let fallback = random.pick(&["", "", ", fallback: on_demand"]);
        market.push(format!("mode: spot{fallback}"));
    }
    let market = match &market[..] {
        [] => String::new(),
        keys => format!("market: {{{}}}", keys.join(", ")),
    };
    let outputs = if random.in_permille(300) {
        "outputs: [{from: out/, to: results/}]".to_owned()
    } else {
        String::new()
    };
    let deadline = match random.below(10) {
        0 | 1 => {
            let within = random.pick(&["16m", "20m", "40m", "2h"]);
            // Nothing is promised to what may be taken back.
            let kind = if market.contains("spot") { "soft" } else { "hard" };
            format!("deadline: {{finish_within: {within}, kind: {kind}}}")
        }
        2 | 3 => {
            let within = random.pick(&["2m", "8m", "20m"]);
            format!("deadline: {{finish_within: {within}, kind: soft}}")
        }
        _ => String::new(),
    };
    let prefer = if random.in_permille(300) {
        format!("prefer: [{}]", random.pick(&["carbon", "price, carbon", "price"]))
    } else {
        String::new()
    };
    // What is promised cannot wait for one.
    let licenses = if random.in_permille(200) && !deadline.contains("hard") {
        let own = format!("{org}/own");
        let name = if random.in_permille(600) { COMMON_LICENSE } else { own.as_str() };
        format!("licenses: [\"{name}:{}\"]", random.between(1, 2))
    } else {
        String::new()
    };
    let lines = [
        "version: 1".to_owned(),
        format!("name: j{number}"),
        "type: batch".to_owned(),
        format!("project: {org}/{project}"),
        format!("resources: {{cpus: {cpus}, memory: 1GB, time: {time}}}"),
        "run: ./work".to_owned(),
        shape,
        retry,
        keep,
        market,
        outputs,
        deadline,
        prefer,
        licenses,
    ];
    lines.into_iter().filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

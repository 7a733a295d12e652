//! A submission in the words of the REST daemon. Pure.
//!
//! The options of `sbatch` are what a submission is made of, whichever way it goes; here each that the
//! interface has a word for becomes that word. Invariant: an option that it has none for refuses the
//! submission by name, and is never left out silently.

use serde_json::{Map, Value, json};

use crate::slurm::request::Submission;

/// A version of the interface: `v0.0.N`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dialect(pub(super) u32);

impl Dialect {
    /// From Slurm 23.02 on the interface was described anew: numbers with their flags, lists, and other
    /// names for some things.
    const fn is_new(self) -> bool {
        self.0 >= 39
    }
    /// What generic resources are called in front of their names.
    const fn gres_prefix(self) -> &'static str {
        if self.0 >= 40 { "gres/" } else { "gres:" }
    }
    fn number(self, value: i64) -> Value {
        if self.is_new() {
            json!({ "set": true, "infinite": false, "number": value })
        } else {
            json!(value)
        }
    }
}

/// Variables of the agent's that a job is given, as `sbatch` gives them: what its shell and `srun` in it
/// need. Never what the agent proves itself with.
const GIVEN: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "SLURM_CONF", "LD_LIBRARY_PATH", "TZ"];
/// Where programs are, should the agent not know.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The environment of every job.
pub(super) fn environment() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = GIVEN
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    if all.iter().all(|(name, _)| name != "PATH") {
        all.push(("PATH".to_owned(), PATH.to_owned()));
    }
    all
}

/// What becomes of an option.
enum Word {
    /// It says nothing that the daemon needs to hear.
    Nothing,
    /// This.
    Is(&'static str, Value),
    /// There is no word for it in this version.
    Unknown,
}

/// The body of a submission; `Err` names what cannot be said.
pub(super) fn job(
    submission: &Submission,
    dialect: Dialect,
    environment: &[(String, String)],
) -> Result<Value, String> {
    let mut job = Map::new();
    let mut variables: Vec<(String, String)> = environment.to_vec();
    for option in &submission.options {
        let (name, value) = option.split_once('=').unwrap_or((option.as_str(), ""));
        let name = name.trim_start_matches("--");
        if name == "export" {
            // `ALL` and `NONE` speak of an environment that is not here.
            let pairs = value.split(',').filter_map(|word| word.split_once('='));
            variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            continue;
        }
        match word(name, value, dialect) {
            Word::Nothing => {}
            Word::Is(name, value) => {
                job.insert(name.to_owned(), value);
            }
            Word::Unknown => {
                return Err(format!(
                    "slurm.rest_option: slurmrestd v0.0.{} has no word for --{name}={value}; leave it out, \
                     or let the agent use Slurm's commands (without --slurm-rest)",
                    dialect.0
                ));
            }
        }
    }
    let environment = if dialect.is_new() {
        variables.iter().map(|(name, value)| json!(format!("{name}={value}"))).collect()
    } else {
        Value::Object(variables.into_iter().map(|(name, value)| (name, json!(value))).collect())
    };
    job.insert("environment".to_owned(), environment);
    let mut body = json!({ "script": submission.script, "job": job });
    if dialect.is_new() {
        // Newer versions take it inside, and the newest nowhere else.
        body["job"]["script"] = json!(submission.script);
    }
    Ok(body)
}

fn word(name: &str, value: &str, dialect: Dialect) -> Word {
    let new = dialect.is_new();
    let text = || json!(value);
    let whole = |name: &'static str| match value.parse::<i64>() {
        Ok(number) => Word::Is(name, json!(number)),
        Err(_) => Word::Unknown,
    };
    let number = |name: &'static str, text: &str| match text.parse::<i64>() {
        Ok(number) => Word::Is(name, dialect.number(number)),
        Err(_) => Word::Unknown,
    };
    match name {
        // It prints nothing, and everything is written to where nothing is kept.
        "parsable" | "open-mode" => Word::Nothing,
        "job-name" => Word::Is("name", text()),
        "comment" => Word::Is("comment", text()),
        // The older interface hears `requeue: false` and does not heed it.
        "no-requeue" if new => Word::Is("requeue", json!(false)),
        "no-requeue" => Word::Is("no_requeue", json!(true)),
        "requeue" => Word::Is("requeue", json!(true)),
        "output" if dialect.0 == 36 => Word::Is("standard_out", text()),
        "output" => Word::Is("standard_output", text()),
        "error" => Word::Is("standard_error", text()),
        "input" if dialect.0 == 36 => Word::Is("standard_in", text()),
        "input" => Word::Is("standard_input", text()),
        "chdir" => Word::Is("current_working_directory", text()),
        "nodes" if new => Word::Is("nodes", text()),
        "nodes" => whole("nodes"),
        "ntasks" => whole("tasks"),
        "ntasks-per-node" => whole("tasks_per_node"),
        "cpus-per-task" => whole("cpus_per_task"),
        "mem" => number("memory_per_node", value.trim_end_matches('M')),
        "time" => number("time_limit", value),
        "array" => Word::Is("array", text()),
        "gres" if new => {
            Word::Is("tres_per_node", json!(format!("{}{value}", dialect.gres_prefix())))
        }
        "gres" => Word::Is("gres", text()),
        "partition" => Word::Is("partition", text()),
        "account" => Word::Is("account", text()),
        "qos" => Word::Is("qos", text()),
        "constraint" => Word::Is("constraints", text()),
        "prefer" if dialect.0 >= 38 => Word::Is("prefer", text()),
        "reservation" => Word::Is("reservation", text()),
        "licenses" => Word::Is("licenses", text()),
        "wckey" => Word::Is("wckey", text()),
        "nice" => whole("nice"),
        "hold" => Word::Is("hold", json!(true)),
        "distribution" => Word::Is("distribution", text()),
        "threads-per-core" => whole("threads_per_core"),
        "sockets-per-node" => whole("sockets_per_node"),
        "mincpus" => whole("minimum_cpus_per_node"),
        "exclusive" => {
            let how = if value.is_empty() { "exclusive" } else { value };
            // Newer ones are told with whom nodes are shared: with nobody.
            let with = if how == "exclusive" { "none" } else { how };
            if new { Word::Is("shared", json!([with])) } else { Word::Is("exclusive", json!(how)) }
        }
        "nodelist" if new => Word::Is("required_nodes", json!([value])),
        "nodelist" => Word::Is("nodelist", text()),
        "exclude" if new => Word::Is("excluded_nodes", json!([value])),
        "switches" if new => number("required_switches", value),
        "contiguous" if new => Word::Is("contiguous", json!(true)),
        "tmp" if new => whole("temporary_disk_per_node"),
        _ => Word::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(options: &[&str], version: u32) -> Result<Value, String> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let submission = Submission { options, script: "#!/bin/sh\n".to_owned() };
        job(&submission, Dialect(version), &[("PATH".to_owned(), "/bin".to_owned())])
    }

    #[test]
    fn each_version_hears_its_own_words() {
        let options = [
            "--parsable",
            "--job-name=dayan.i.1",
            "--no-requeue",
            "--output=/dev/null",
            "--nodes=2",
            "--mem=64M",
            "--time=5",
            "--gres=gpu:a100:2",
            "--array=0-9",
            "--exclusive",
            "--export=ALL,A=b",
        ];
        let old = said(&options, 38).expect("it has words for all of them");
        assert_eq!(old["script"], "#!/bin/sh\n");
        let expect = json!({
            "name": "dayan.i.1", "no_requeue": true, "standard_output": "/dev/null", "nodes": 2,
            "memory_per_node": 64, "time_limit": 5, "gres": "gpu:a100:2", "array": "0-9",
            "exclusive": "exclusive", "environment": { "PATH": "/bin", "A": "b" },
        });
        assert_eq!(old["job"], expect);
        let oldest = said(&["--output=/x"], 36).expect("it has a word");
        assert_eq!(oldest["job"]["standard_out"], "/x");
        let new = said(&options, 41).expect("it has words for all of them");
        let five = json!({ "set": true, "infinite": false, "number": 5 });
        let expect = [
            ("requeue", json!(false)),
            ("nodes", json!("2")),
            ("time_limit", five),
            ("tres_per_node", json!("gres/gpu:a100:2")),
            ("shared", json!(["none"])),
            ("environment", json!(["PATH=/bin", "A=b"])),
            ("script", json!("#!/bin/sh\n")),
        ];
        for (name, value) in expect {
            assert_eq!(new["job"][name], value, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused_by_name() {
        for (option, version) in [
            ("--switches=2", 38),
            ("--exclude=n1", 38),
            ("--newfangled=x", 41),
            ("--nice=low", 38),
            ("--mem=x", 41),
        ] {
            let why = said(&[option], version).expect_err(option);
            assert!(why.contains("slurm.rest_option") && why.contains(option), "{why}");
        }
        assert_eq!(
            said(&["--switches=2"], 41).expect("newer ones do")["job"]["required_switches"]["number"],
            2
        );
    }
}

//! Slurm asked by its commands: what they are told, and what their answers mean.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{Answer, Asker};
use super::layout::Index;
use super::load::{self, Line};
use super::request::Submission;
use super::status::{self, Account, QueueLine};
use super::way::{Jobs, NO_ANSWER, Picture, Submitted, Words};
use crate::Fault;

fn texts<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Numbers of jobs, as the commands take them.
fn list(jobs: &Jobs) -> String {
    jobs.keys().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Elements of one array as one word, `7_[1-4,9]`: each word costs the controller a request.
fn together(targets: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    let mut arrays: BTreeMap<&str, BTreeSet<Index>> = BTreeMap::new();
    for target in targets {
        let element = target.split_once('_');
        match element.and_then(|(job, index)| Some((job, index.parse().ok()?))) {
            Some((job, index)) => drop(arrays.entry(job).or_default().insert(index)),
            None => words.push(target.clone()),
        }
    }
    for (job, indices) in arrays {
        let mut runs: Vec<(Index, Index)> = Vec::new();
        for index in indices {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                Some(_) | None => runs.push((index, index)),
            }
        }
        let run = |(from, to): &(Index, Index)| {
            if from == to { from.to_string() } else { format!("{from}-{to}") }
        };
        let parts: Vec<String> = runs.iter().map(run).collect();
        words.push(format!("{job}_[{}]", parts.join(",")));
    }
    words
}

impl Asker {
    pub(super) fn submit(&self, submission: &Submission) -> Submitted {
        submitted(self.ask("sbatch", &submission.options, &submission.script))
    }

    pub(super) fn cancel(&self, targets: &[String]) -> Result<(), String> {
        // The controller is told and asked nothing before.
        let mut words = texts(["--quiet", "--ctld"]);
        words.extend(together(targets));
        let answer = self.ask("scancel", &words, "")?;
        // What is not there any more needs no cancelling.
        let fine = answer.status == Some(0) || is_unknown_job(&answer);
        if fine { Ok(()) } else { Err(answer.complaint()) }
    }

    pub(super) fn queue(&self) -> Result<Vec<QueueLine>, String> {
        let user = rustix::process::geteuid().as_raw().to_string();
        self.squeue(&texts(["--noheader", "--user", &user, "--format", status::QUEUE_FORMAT]))
    }

    /// Ended ones too, as long as the controller remembers them.
    pub(super) fn lines_of(&self, jobs: &Jobs) -> Result<Vec<QueueLine>, String> {
        let mut words = texts(["--noheader", "--array", "--states", "all", "--format"]);
        words.extend([status::QUEUE_FORMAT.to_owned(), "--jobs".to_owned(), list(jobs)]);
        self.squeue(&words)
    }

    fn squeue(&self, words: &[String]) -> Result<Vec<QueueLine>, String> {
        let answer = self.ask("squeue", words, "")?;
        if answer.status == Some(0) {
            Ok(status::queue(&answer.out))
        } else if is_unknown_job(&answer) {
            Ok(Vec::new())
        } else {
            Err(answer.complaint())
        }
    }

    pub(super) fn accounts(&self, jobs: &Jobs) -> Result<BTreeMap<(u32, Index), Account>, String> {
        let numbers = list(jobs);
        let words = texts([
            "--noheader",
            "--parsable2",
            "--units=K",
            // What the site has started again counts with what ran of it before.
            "--duplicates",
            "--format",
            status::ACCOUNT_FORMAT,
            "--jobs",
            &numbers,
        ]);
        let answer = self.ask("sacct", &words, "")?;
        if answer.status == Some(0) {
            Ok(status::accounts(&answer.out, jobs))
        } else {
            Err(answer.complaint())
        }
    }

    /// Three questions, of which each costs the controller one answer.
    pub(super) fn picture(&self) -> Result<Picture, Fault> {
        let show = |what: &[&str]| {
            let words: Vec<String> = what.iter().map(|word| (*word).to_owned()).collect();
            let answer = self.ask("scontrol", &words, "").map_err(Fault::Unreachable)?;
            if answer.status == Some(0) {
                Ok(answer.out)
            } else {
                let what = what.join(" ");
                Err(Fault::Unreachable(format!("scontrol {what}: {}", answer.complaint())))
            }
        };
        let config = show(&["show", "config"])?;
        let partitions = show(&["--oneliner", "show", "partition"])?;
        let nodes = show(&["--oneliner", "show", "node"])?;
        Ok(read_picture(&config, &partitions, &nodes))
    }

    pub(super) fn all_jobs(&self) -> Result<Vec<Line>, String> {
        let words = texts(["--noheader", "--format", load::FORMAT]);
        let answer = self.ask("squeue", &words, "")?;
        if answer.status == Some(0) {
            Ok(answer.out.lines().filter_map(Line::parse).collect())
        } else {
            Err(answer.complaint())
        }
    }
}

/// From what `scontrol` writes.
pub(super) fn read_picture(config: &str, partitions: &str, nodes: &str) -> Picture {
    let settings = config.lines().filter_map(|line| line.split_once('='));
    let settings = settings.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    Picture {
        config: settings.collect(),
        partitions: partitions.lines().map(partition_words).collect(),
        nodes: nodes.lines().map(words).collect(),
    }
}

/// `Name=Value` words of one of `scontrol`'s lines. A value with spaces is cut at the first one.
fn words(line: &str) -> Words {
    let words = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The same of a partition, whose values may have spaces: `AllowGroups=domain users,hpc`.
pub(super) fn partition_words(line: &str) -> Words {
    let mut words = Words::new();
    let mut last: Option<String> = None;
    for word in line.split_ascii_whitespace() {
        if let Some((name, value)) = word.split_once('=') {
            words.insert(name.to_owned(), value.to_owned());
            last = Some(name.to_owned());
        } else if let Some(value) = last.as_ref().and_then(|name| words.get_mut(name)) {
            value.push(' ');
            value.push_str(word);
        }
    }
    words
}

fn is_unknown_job(answer: &Answer) -> bool {
    answer.err.contains("Invalid job id") || answer.err.contains("already completing or completed")
}

/// What `sbatch` says when too many jobs of the user's are there already: later it takes it.
const NOT_NOW: [&str; 1] = ["MaxSubmitJob"];

/// What a submission's answer means.
fn submitted(answer: Result<Answer, String>) -> Submitted {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return Submitted::Unsure(why),
    };
    // `--parsable` writes `JOB` or `JOB;CLUSTER`.
    let job =
        answer.out.lines().last().and_then(|line| line.split(';').next()?.trim().parse().ok());
    if let (Some(0), Some(job)) = (answer.status, job) {
        return Submitted::Job(job);
    }
    let refused = answer.status.is_some_and(|status| status != 0)
        && answer.err.contains("sbatch: error:")
        && NO_ANSWER.iter().chain(&NOT_NOW).all(|words| !answer.err.contains(words));
    let complaint = answer.complaint();
    if refused { Submitted::Refused(complaint) } else { Submitted::Unsure(complaint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_array_are_cancelled_together() {
        let targets = ["7_4", "9", "8_0", "7_1", "7_2", "7_3", "7_9", "7_4"].map(str::to_owned);
        assert_eq!(together(&targets), ["9", "7_[1-4,9]", "8_[0]"]);
        assert_eq!(together(&[]), Vec::<String>::new());
    }

    #[test]
    fn only_a_clear_no_is_a_refusal() {
        let check = |status, out: &str, err: &str, expect: fn(&Submitted) -> bool| {
            let answer = Answer { status, out: out.to_owned(), err: err.to_owned() };
            let got = submitted(Ok(answer));
            assert!(expect(&got), "{got:?} of {out:?} {err:?}");
        };
        let unsure = |got: &Submitted| matches!(got, Submitted::Unsure(_));
        let refused = |got: &Submitted| matches!(got, Submitted::Refused(_));
        check(Some(0), "77\n", "", |got| *got == Submitted::Job(77));
        check(Some(0), "77;lab\n", "sbatch: warning\n", |got| *got == Submitted::Job(77));
        check(Some(0), "", "", unsure);
        check(None, "", "", unsure);
        check(Some(1), "", "sbatch: error: invalid partition specified: x\n", refused);
        let no_node = "sbatch: error: Batch job submission failed: Requested node configuration is \
                       not available\n";
        check(Some(1), "", no_node, refused);
        let many = "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: \
                    Job violates accounting/QOS policy (job submit limit, …)\n";
        check(Some(1), "", many, unsure);
        let timeout = "sbatch: error: Batch job submission failed: Socket timed out on send/recv \
                       operation\n";
        check(Some(1), "", timeout, unsure);
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller \
                    (connect failure)\n";
        check(Some(1), "", away, unsure);
        assert!(unsure(&submitted(Err("no answer within 1m".to_owned()))));
    }
}

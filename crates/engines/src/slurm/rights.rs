//! Asks the site's accounting what this user may do, by `sacctmgr` or its REST daemon. Rarely: people
//! change it, by hand.
//!
//! Invariant: what is not understood, or not told to this user, is no limit and no account.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use super::access::{Access, Account, Enforced, Group, Limits, Qos};
use super::ask::Asker;
use super::gate::{Names, Who};
use super::survey::{Partition, minutes};
use super::together::{self, Answers};
use super::way::Way;
use crate::wall_now;

/// The last answer, for the agent's next start.
const ACCESS_FILE: &str = "access.json";
/// How old an answer may grow: whoever is given an account waits that long at most, and the database
/// hears four questions in it.
const OLD_AFTER: Span = Span::from_secs(900);
/// So many accounts are above one another at most; a longer chain is a circle.
const DEPTH_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
struct Kept {
    asked_at: Time,
    access: Access,
}

fn read_kept(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// What is asked, and by what it is known again.
pub(super) struct Question<'a> {
    pub way: &'a Way,
    pub answers: &'a Answers,
    pub seen: &'a mut together::Seen,
    /// The cluster that is meant; the database may have several.
    pub cluster: &'a str,
}

/// As it was last heard, if that is not long ago, or as it is now; none where nobody says. `folder` keeps
/// the answer.
pub(super) fn known(question: Question<'_>, enforced: Enforced, folder: &Path) -> Option<Access> {
    let path = folder.join(ACCESS_FILE);
    let kept = read_kept(&path);
    let now = wall_now();
    if let Some(kept) = &kept
        && now.since(kept.asked_at) < OLD_AFTER
        && kept.asked_at <= now
    {
        return Some(Access { enforced, ..kept.access.clone() });
    }
    let Question { way, answers, seen, cluster } = question;
    match answers.access(way, seen, cluster) {
        Ok(access) => {
            let kept = Kept { asked_at: now, access };
            let text = serde_json::to_vec(&kept).expect("text and numbers become JSON");
            // Only so that it is not asked again so soon.
            let _ = fs::write(path, text);
            Some(Access { enforced, ..kept.access })
        }
        Err(why) => {
            tracing::warn!(why, "cannot see accounts and QoS; all are taken to be allowed");
            kept.map(|kept| Access { enforced, ..kept.access })
        }
    }
}

/// Who submits: whether it is root, and, where a partition asks for them, its groups.
pub(super) fn who(way: &Way, partitions: &[Partition]) -> Who {
    let asked = partitions.iter().any(|partition| partition.gate.groups != Names::All);
    let user = way.user();
    let root = match user {
        Some(ref user) => user == "root",
        None => rustix::process::geteuid().is_root(),
    };
    if !asked || root {
        return Who { root, groups: None };
    }
    let groups = way.groups(user.as_deref());
    if let Err(why) = &groups {
        tracing::warn!(why, "cannot see this user's groups; partitions are taken to be open to it");
    }
    Who { root, groups: groups.ok() }
}

const OWN_FIELDS: &str = "format=Account,Partition,QOS,DefaultQOS,MaxWall,MaxJobs,MaxSubmitJobs,\
                          GrpTRES,GrpJobs,GrpSubmitJobs";
const TREE_FIELDS: &str = "format=Account,ParentName,GrpTRES,GrpJobs,GrpSubmitJobs";
const QOS_FIELDS: &str =
    "format=Name,MaxWall,MaxJobsPU,MaxSubmitPU,MaxTRESPU,GrpTRES,GrpJobs,GrpSubmit";

impl Asker {
    /// The groups of a user, of the one who runs this unless told, as the user database has them: so does
    /// the controller see them.
    pub(super) fn groups(&self, user: Option<&str>) -> Result<BTreeSet<String>, String> {
        let system = Self { commands: None, ..self.clone() };
        let ask = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let answer = system.ask("id", &words, "")?;
            if answer.status == Some(0) { Ok(answer.out) } else { Err(answer.complaint()) }
        };
        let user = match user {
            Some(user) => user.to_owned(),
            None => ask(&["-un"])?.trim().to_owned(),
        };
        // Ended by zeros, because names of groups may have spaces.
        let names = ask(&["-Gnz", &user])?;
        Ok(names
            .split('\0')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// Four questions to the database.
    pub(super) fn access(&self, cluster: &str) -> Result<Access, String> {
        let whoami = Self { commands: None, ..self.clone() }.ask("id", &["-un".to_owned()], "")?;
        let user = format!("user={}", whoami.out.trim());
        let cluster = format!("cluster={cluster}");
        let show = |words: &[&str]| {
            let words: Vec<String> =
                ["-nP", "show"].iter().chain(words).map(|word| (*word).to_owned()).collect();
            let answer = self.ask("sacctmgr", &words, "")?;
            if answer.status == Some(0) { Ok(answer.out) } else { Err(answer.complaint()) }
        };
        let own = show(&["assoc", "where", &user, &cluster, OWN_FIELDS])?;
        // Of nobody: the accounts themselves.
        let tree = show(&["assoc", "where", "user=", &cluster, TREE_FIELDS])?;
        let who = show(&["user", "where", &user, "format=DefaultAccount"])?;
        let qos = show(&["qos", QOS_FIELDS])?;
        Ok(read(&own, &tree, &who, &qos))
    }
}

fn named(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The processors of a sum of resources: `cpu=64,gres/gpu=8`.
fn cpus(text: &str) -> Option<u64> {
    text.split(',').find_map(|word| word.strip_prefix("cpu=")?.parse().ok())
}

fn group(cpu: &str, jobs: &str, submit: &str) -> Group {
    Group { jobs: jobs.parse().ok(), submit: submit.parse().ok(), cpus: cpus(cpu) }
}

/// An account's own limits of all jobs in it, and the account above it.
pub(super) type Tree = BTreeMap<String, (Option<String>, Group)>;

/// The limits of an account and of all above it, and which those are.
pub(super) fn in_tree(tree: &Tree, account: &str) -> (Group, Vec<String>) {
    let (mut all, mut names) = (Group::default(), Vec::new());
    let mut at = Some(account);
    while let Some((above, limits)) = at.and_then(|name| tree.get(name)) {
        all = all.and(limits);
        names.extend(above.clone());
        at = above.as_deref().filter(|_| names.len() < DEPTH_MAX);
    }
    (all, names)
}

fn read(own: &str, tree: &str, who: &str, qos: &str) -> Access {
    let fields = |line: &str| -> Vec<String> { line.split('|').map(str::to_owned).collect() };
    let tree: Tree = tree
        .lines()
        .filter_map(|line| {
            let fields = fields(line);
            let [name, above, cpu, jobs, submit] = &fields[..] else { return None };
            Some((named(name)?, (named(above), group(cpu, jobs, submit))))
        })
        .collect();
    let account = |line: &str| {
        let fields = fields(line);
        let [name, partition, qos, default_qos, wall, max_jobs, max_submit, cpu, jobs, submit] =
            &fields[..]
        else {
            return None;
        };
        let name = named(name)?;
        let (of_all, above) = in_tree(&tree, &name);
        let limits = Limits {
            minutes: minutes(wall),
            jobs: max_jobs.parse().ok(),
            submit: max_submit.parse().ok(),
            cpus: None,
            group: group(cpu, jobs, submit).and(&of_all),
        };
        let qos: BTreeSet<String> = qos.split(',').filter_map(named).collect();
        let (partition, default_qos) = (named(partition), named(default_qos));
        Some(Account { name, partition, above, qos, default_qos, limits })
    };
    let quality = |line: &str| {
        let fields = fields(line);
        let [name, wall, max_jobs, max_submit, of_user, cpu, jobs, submit] = &fields[..] else {
            return None;
        };
        let limits = Limits {
            minutes: minutes(wall),
            jobs: max_jobs.parse().ok(),
            submit: max_submit.parse().ok(),
            cpus: cpus(of_user),
            group: group(cpu, jobs, submit),
        };
        Some(Qos { name: named(name)?, limits })
    };
    Access {
        enforced: Enforced::default(),
        default_account: who.lines().find_map(named),
        accounts: own.lines().filter_map(account).collect(),
        qos: qos.lines().filter_map(quality).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_the_limits_of_those_above_them() {
        // As Slurm 22.05 writes them.
        let own = "leaf||fast,normal|normal|1-00:00:00||9|cpu=40,gres/gpu=2|23|\n\
                   big|large|normal|||||||\nnonsense\nroot||normal|||||||\n";
        let tree = "nonsense\nroot||||\ntop|root|cpu=6||20\nmid|top||7|\nleaf|mid|cpu=8||\n\
                    round|around|cpu=3||\naround|round|cpu=4||\n";
        let qos = "normal|||||||\nfast|00:10:00|2|5|cpu=3,mem=4G|cpu=8|11|\n";
        let access = read(own, tree, "leaf\n", qos);
        let names: Vec<&str> = access.accounts.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["leaf", "big", "root"]);
        assert_eq!(access.default_account.as_deref(), Some("leaf"));
        assert_eq!(access.accounts[1].partition.as_deref(), Some("large"));
        let leaf = &access.accounts[0].limits;
        let expect = Group { jobs: Some(7), submit: Some(20), cpus: Some(6) };
        assert_eq!((leaf.minutes, leaf.submit, &leaf.group), (Some(1_440), Some(9), &expect));
        let bounds = leaf.bounds();
        assert_eq!((bounds.jobs_max, bounds.submit_max), (Some(7), Some(9)));
        assert_eq!(access.accounts[2].limits, Limits::default());
        assert_eq!(access.accounts[0].above, ["mid", "top", "root"]);
        let fast = &access.qos[1].limits;
        assert_eq!((fast.cpus, fast.group.cpus, fast.group.jobs), (Some(3), Some(8), Some(11)));
        // A circle, which no database should have, ends.
        let round = read("round|||||||||\n", tree, "", "");
        assert_eq!(round.accounts[0].limits.group.cpus, Some(3));
    }
}

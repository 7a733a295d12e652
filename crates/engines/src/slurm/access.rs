//! What the site's accounting lets this user do: the accounts it may charge, the QoS it may ask for, and
//! the limits that hold for its jobs. Pure; who asks is in `rights`.
//!
//! Limits are put together as Slurm does it (its manual's "Resource Limits"): of one kind the partition's QoS
//! counts before the job's, and a QoS before the account and those above it, all of which hold together. Of
//! limits of different kinds that come to the same the tightest is what is planned on.
//!
//! Invariant: where that is not known, everything is taken to be allowed; Slurm has the last word.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What is enforced of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Enforced {
    /// Accounts that are not the user's are refused.
    pub accounts: bool,
    /// QoS that are not the user's are refused.
    pub qos: bool,
    /// Limits hold.
    pub limits: bool,
}

impl Enforced {
    /// From `AccountingStorageEnforce`: each word brings those that it needs.
    pub(crate) fn read(words: &str) -> Self {
        let words: BTreeSet<String> = words.split(',').map(|w| w.trim().to_lowercase()).collect();
        let has = |some: &[&str]| some.iter().any(|word| words.contains(*word));
        Self {
            accounts: has(&["associations", "limits", "qos", "safe", "wckeys", "all"]),
            qos: has(&["qos", "all"]),
            limits: has(&["limits", "safe", "all"]),
        }
    }
}

/// Limits of an account or of a QoS, each kind for itself; none where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How long a job may take, in minutes (`MaxWall`).
    pub minutes: Option<i64>,
    /// How many jobs of the user's may run at once (`MaxJobs`).
    pub jobs: Option<u64>,
    /// How many may be there at once, elements of arrays counted each (`MaxSubmit`).
    pub submit: Option<u64>,
    /// How many processors the user's jobs may have together (`MaxTRESPU`).
    pub cpus: Option<u64>,
    /// The same of all jobs that it is for, whoever's: `GrpJobs`, `GrpSubmit`, `GrpTRES`.
    pub group: Group,
}

/// Limits of all jobs that a QoS or an account is for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Running at once.
    pub jobs: Option<u64>,
    /// There at once.
    pub submit: Option<u64>,
    /// Processors together.
    pub cpus: Option<u64>,
}

fn least<T: Ord>(some: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    some.into_iter().flatten().min()
}

impl Group {
    /// Both hold.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            jobs: least([self.jobs, other.jobs]),
            submit: least([self.submit, other.submit]),
            cpus: least([self.cpus, other.cpus]),
        }
    }
}

impl Limits {
    /// These, and where they say nothing of a kind, `other`'s.
    fn or(&self, other: &Self) -> Self {
        Self {
            minutes: self.minutes.or(other.minutes),
            jobs: self.jobs.or(other.jobs),
            submit: self.submit.or(other.submit),
            cpus: self.cpus.or(other.cpus),
            group: Group {
                jobs: self.group.jobs.or(other.group.jobs),
                submit: self.group.submit.or(other.group.submit),
                cpus: self.group.cpus.or(other.group.cpus),
            },
        }
    }

    /// What they come to.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            minutes_max: self.minutes,
            jobs_max: least([self.jobs, self.group.jobs]),
            submit_max: least([self.submit, self.group.submit]),
            cpus_max: least([self.cpus, self.group.cpus]),
        }
    }
}

/// What a job, and all of this user's together, may have at most; none where there is no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// How long a job may take, in minutes.
    pub minutes_max: Option<i64>,
    /// How many jobs may run at once.
    pub jobs_max: Option<u64>,
    /// How many jobs may be there at once, elements of arrays counted each.
    pub submit_max: Option<u64>,
    /// How many processors all of its jobs may have together.
    pub cpus_max: Option<u64>,
}

impl Bounds {
    /// For people: `(MaxWall=10m cpu=6)`; nothing where there are none.
    fn words(&self) -> String {
        let said = [
            ("MaxWall", self.minutes_max.map(|minutes| format!("{minutes}m"))),
            ("MaxJobs", self.jobs_max.map(|jobs| jobs.to_string())),
            ("MaxSubmit", self.submit_max.map(|jobs| jobs.to_string())),
            ("cpu", self.cpus_max.map(|cpus| cpus.to_string())),
        ];
        let said: Vec<String> = said
            .into_iter()
            .filter_map(|(word, value)| Some(format!("{word}={}", value?)))
            .collect();
        if said.is_empty() { String::new() } else { format!("({})", said.join(" ")) }
    }
}

/// An account that the user may charge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// The partition it is for; none: all of them.
    pub partition: Option<String>,
    /// The accounts above it, from the nearest on.
    #[serde(default)]
    pub above: Vec<String>,
    /// The QoS that may be asked for with it.
    pub qos: BTreeSet<String>,
    /// The one that jobs have which ask for none.
    pub default_qos: Option<String>,
    /// The user's limits in it, and those that it and the accounts above it have together.
    #[serde(default)]
    pub limits: Limits,
}

/// What jobs have that ask for no QoS and whose account has no default one, where it has this.
const USUAL_QOS: &str = "normal";

impl Account {
    /// The QoS of jobs that ask for none, as Slurm chooses it; none where nobody can tell.
    pub(super) fn usual_qos(&self) -> Option<&str> {
        let all = || self.qos.iter().map(String::as_str);
        let only = all().next().filter(|_| self.qos.len() == 1);
        let usual = || all().find(|name| *name == USUAL_QOS);
        self.default_qos.as_deref().or(only).or_else(usual)
    }
}

/// A QoS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Qos {
    /// Its name.
    pub name: String,
    /// Its limits.
    #[serde(default)]
    pub limits: Limits,
}

/// What the user may do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// What of it is enforced.
    pub enforced: Enforced,
    /// The account of jobs that name none.
    pub default_account: Option<String>,
    /// The accounts it may charge.
    pub accounts: Vec<Account>,
    /// All QoS of the site.
    pub qos: Vec<Qos>,
}

/// What a job says, or the site for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Charge<'a> {
    pub account: Option<&'a str>,
    pub qos: Option<&'a str>,
    pub partition: &'a str,
    /// The partition's own QoS.
    pub partition_qos: Option<&'a str>,
}

impl Access {
    /// The account that a job would be charged to.
    pub(super) fn account(&self, charge: Charge<'_>) -> Option<&Account> {
        let name = charge.account.or(self.default_account.as_deref())?;
        let fits = |account: &&Account| {
            let there = account.partition.as_deref().is_none_or(|of| of == charge.partition);
            there && account.name.eq_ignore_ascii_case(name)
        };
        self.accounts.iter().find(fits)
    }

    /// Will Slurm take a job with these? `Err` says what it would take instead.
    pub(crate) fn check(&self, charge: Charge<'_>) -> Result<(), String> {
        let list = |names: &BTreeSet<&str>| {
            let names: Vec<&str> = names.iter().copied().collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let account = self.account(charge);
        if let (true, Some(name), None) = (self.enforced.accounts, charge.account, account) {
            let all = self.accounts.iter().map(|account| account.name.as_str()).collect();
            return Err(format!(
                "slurm.account: the site does not let this pool charge the account `{name}` in \
                 {}; it may charge: {}",
                charge.partition,
                list(&all)
            ));
        }
        if let (true, Some(name), Some(account)) = (self.enforced.qos, charge.qos, account)
            && !account.qos.iter().any(|qos| qos.eq_ignore_ascii_case(name))
        {
            let all = account.qos.iter().map(String::as_str).collect();
            return Err(format!(
                "slurm.qos: the account `{}` has no QoS `{name}` here; it has: {}",
                account.name,
                list(&all)
            ));
        }
        Ok(())
    }

    /// The name of the account that a job is charged to: the one it says or, where that is not the user's and
    /// nobody minds, the user's own; none where nobody can tell.
    pub(super) fn charged<'a>(&'a self, charge: Charge<'a>) -> Option<&'a str> {
        let own = self.account(charge).map(|account| account.name.as_str());
        let minds = self.enforced.accounts || self.accounts.is_empty();
        let said = charge.account.filter(|_| minds);
        own.or(said).or(self.default_account.as_deref())
    }

    /// The accounts above one, where it is the user's.
    pub(super) fn above(&self, name: &str) -> Option<&[String]> {
        let named = |account: &&Account| account.name.eq_ignore_ascii_case(name);
        Some(&self.accounts.iter().find(named)?.above)
    }

    /// The limits that hold for a job with these.
    pub(crate) fn bounds(&self, charge: Charge<'_>) -> Bounds {
        if !self.enforced.limits {
            return Bounds::default();
        }
        let account = self.account(charge);
        let name = charge.qos.or_else(|| account?.default_qos.as_deref());
        let none = Limits::default();
        let of = |name: Option<&str>| {
            let named = |qos: &&Qos| name.is_some_and(|name| qos.name.eq_ignore_ascii_case(name));
            self.qos.iter().find(named).map_or(&none, |qos| &qos.limits)
        };
        let of_account = account.map_or(&none, |account| &account.limits);
        of(charge.partition_qos).or(of(name)).or(of_account).bounds()
    }

    /// For people: the accounts and the QoS with their limits.
    pub fn lines(&self) -> [(&'static str, String); 2] {
        let accounts: BTreeSet<String> = self
            .accounts
            .iter()
            .map(|account| format!("{}{}", account.name, account.limits.bounds().words()))
            .collect();
        let accounts: Vec<String> = accounts.into_iter().collect();
        let mine: BTreeSet<&String> =
            self.accounts.iter().flat_map(|account| &account.qos).collect();
        let qos: Vec<String> = mine
            .into_iter()
            .map(|name| {
                let limits = self.qos.iter().find(|qos| qos.name == *name);
                let bounds = limits.map(|qos| qos.limits.bounds()).unwrap_or_default();
                format!("{name}{}", bounds.words())
            })
            .collect();
        [("slurm.own_accounts", accounts.join(",")), ("slurm.own_qos", qos.join(","))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(enforce: &str) -> Access {
        let group = |cpus| Group { cpus, ..Group::default() };
        let account = |name: &str, qos: &[&str], limits| Account {
            name: name.to_owned(),
            partition: (name == "big").then(|| "large".to_owned()),
            above: Vec::new(),
            qos: qos.iter().map(|name| (*name).to_owned()).collect(),
            default_qos: (!qos.is_empty()).then(|| "normal".to_owned()),
            limits,
        };
        let lab = Limits {
            minutes: Some(1_440),
            submit: Some(9),
            group: group(Some(40)),
            ..Limits::default()
        };
        let qos = |name: &str, limits| Qos { name: name.to_owned(), limits };
        let fast = Limits {
            minutes: Some(10),
            jobs: Some(2),
            submit: Some(5),
            cpus: Some(3),
            group: group(Some(8)),
        };
        let short = Limits { minutes: Some(30), group: group(Some(2)), ..Limits::default() };
        Access {
            enforced: Enforced::read(enforce),
            default_account: Some("lab".to_owned()),
            accounts: vec![
                account("lab", &["fast", "normal"], lab),
                account("big", &["normal"], Limits::default()),
                account("root", &["normal"], Limits::default()),
            ],
            qos: vec![qos("normal", Limits::default()), qos("fast", fast), qos("short", short)],
        }
    }

    fn charge<'a>(account: Option<&'a str>, qos: Option<&'a str>) -> Charge<'a> {
        Charge { account, qos, partition: "main", partition_qos: None }
    }

    #[test]
    fn what_the_site_would_refuse_is_refused_with_what_it_takes() {
        let check = |enforce, account, qos, expect: Option<&str>| {
            let got = access(enforce).check(charge(account, qos)).err();
            let fits = match (&got, expect) {
                (None, None) => true,
                (Some(why), Some(words)) => why.contains(words),
                (Some(_), None) | (None, Some(_)) => false,
            };
            assert!(fits, "{enforce} {account:?} {qos:?}: {got:?}");
        };
        let all = "associations,limits,qos";
        check(all, None, None, None);
        check(all, Some("LAB"), Some("fast"), None);
        check(all, None, Some("fast"), None);
        check(all, Some("other"), None, Some("it may charge: big, lab, root"));
        check(all, Some("big"), None, Some("slurm.account"));
        check(all, None, Some("urgent"), Some("it has: fast, normal"));
        check(all, Some("root"), Some("fast"), Some("slurm.qos"));
        check("associations", None, Some("urgent"), None);
        check("none", Some("other"), Some("urgent"), None);
    }

    #[test]
    fn a_qos_counts_before_its_account_and_nothing_that_is_not_enforced() {
        let check = |enforce, account, qos, expect: (Option<i64>, Option<u64>, Option<u64>)| {
            let got = access(enforce).bounds(charge(account, qos));
            let got = (got.minutes_max, got.submit_max, got.cpus_max);
            assert_eq!(got, expect, "{enforce} {account:?} {qos:?}");
        };
        let day = Some(1_440);
        check("limits", None, None, (day, Some(9), Some(40)));
        check("safe", None, Some("fast"), (Some(10), Some(5), Some(3)));
        check("limits", Some("root"), None, (None, None, None));
        check("limits", Some("root"), Some("fast"), (Some(10), Some(5), Some(3)));
        check("associations", None, Some("fast"), (None, None, None));
    }

    #[test]
    fn a_partitions_qos_counts_before_all_and_kinds_of_limits_for_themselves() {
        let check = |qos, expect: (Option<i64>, Option<u64>, Option<u64>)| {
            let charge = Charge { partition_qos: Some("SHORT"), ..charge(None, qos) };
            let got = access("limits").bounds(charge);
            assert_eq!((got.minutes_max, got.submit_max, got.cpus_max), expect, "{qos:?}");
        };
        check(None, (Some(30), Some(9), Some(2)));
        // The job's QoS lets the user have three, the partition's all of its jobs two.
        check(Some("fast"), (Some(30), Some(5), Some(2)));
    }

    #[test]
    fn people_are_told_in_two_lines() {
        let [accounts, qos] = access("").lines();
        assert_eq!(
            accounts,
            ("slurm.own_accounts", "big,lab(MaxWall=1440m MaxSubmit=9 cpu=40),root".to_owned())
        );
        let expect = "fast(MaxWall=10m MaxJobs=2 MaxSubmit=5 cpu=3),normal";
        assert_eq!(qos, ("slurm.own_qos", expect.to_owned()));
    }
}

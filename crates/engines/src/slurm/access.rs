//! What the site's accounting lets this user do: the accounts it may charge, the QoS it may ask for, and
//! their limits, as `sacctmgr` shows them. Asked rarely: people change it, by hand.
//!
//! Invariant: where that is not known, everything is taken to be allowed; Slurm has the last word.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use super::ask::Asker;
use super::survey::minutes;
use super::way::Way;
use crate::wall_now;

/// The last answer, for the agent's next start and for its engine.
const ACCESS_FILE: &str = "access.json";
/// How old an answer may grow: whoever is given an account waits that long at most, and the database
/// hears three questions in it.
const OLD_AFTER: Span = Span::from_secs(900);

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

/// Limits of an account or of a QoS; none where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
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
    /// These, and where they say nothing, `other`'s.
    fn or(&self, other: &Self) -> Self {
        Self {
            minutes_max: self.minutes_max.or(other.minutes_max),
            jobs_max: self.jobs_max.or(other.jobs_max),
            submit_max: self.submit_max.or(other.submit_max),
            cpus_max: self.cpus_max.or(other.cpus_max),
        }
    }
}

/// An account that the user may charge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// The partition it is for; none: all of them.
    pub partition: Option<String>,
    /// The QoS that may be asked for with it.
    pub qos: BTreeSet<String>,
    /// The one that jobs have which ask for none.
    pub default_qos: Option<String>,
    /// Its own limits.
    pub bounds: Bounds,
}

/// A QoS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Qos {
    /// Its name.
    pub name: String,
    /// Its limits. They count before those of the account.
    pub bounds: Bounds,
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

#[derive(Serialize, Deserialize)]
struct Kept {
    asked_at: Time,
    access: Access,
}

/// What a job says, or the site for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Charge<'a> {
    pub account: Option<&'a str>,
    pub qos: Option<&'a str>,
    pub partition: &'a str,
}

/// As it was last heard, whenever that was.
pub(super) fn kept(folder: &Path) -> Option<Access> {
    Some(read_kept(&folder.join(ACCESS_FILE))?.access)
}

fn read_kept(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// As it was last heard, if that is not long ago, or as it is now; none where nobody says.
pub(super) fn known(way: &Way, enforced: Enforced, folder: &Path) -> Option<Access> {
    let path = folder.join(ACCESS_FILE);
    let kept = read_kept(&path);
    let now = wall_now();
    if let Some(kept) = &kept
        && now.since(kept.asked_at) < OLD_AFTER
        && kept.asked_at <= now
    {
        return Some(Access { enforced, ..kept.access.clone() });
    }
    match way {
        Way::Commands(asker) => match take(asker) {
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
        },
        // The daemon does not say what the site enforces.
        #[cfg(feature = "slurm-rest")]
        Way::Rest(_) => None,
    }
}

const ACCOUNT_FIELDS: &str =
    "format=Account,Partition,QOS,DefaultQOS,MaxWall,MaxJobs,MaxSubmitJobs,GrpTRES";
const QOS_FIELDS: &str = "format=Name,MaxWall,MaxJobsPU,MaxSubmitPU,GrpTRES,MaxTRESPU";

/// Three questions to the database.
fn take(asker: &Asker) -> Result<Access, String> {
    let whoami = Asker { commands: None, ..asker.clone() }.ask("id", &["-un".to_owned()], "")?;
    let user = format!("user={}", whoami.out.trim());
    let show = |words: &[&str]| {
        let words: Vec<String> =
            ["-nP", "show"].iter().chain(words).map(|word| (*word).to_owned()).collect();
        let answer = asker.ask("sacctmgr", &words, "")?;
        if answer.status == Some(0) { Ok(answer.out) } else { Err(answer.complaint()) }
    };
    let accounts = show(&["assoc", "where", &user, ACCOUNT_FIELDS])?;
    let who = show(&["user", "where", &user, "format=DefaultAccount"])?;
    let qos = show(&["qos", QOS_FIELDS])?;
    Ok(read(&accounts, &who, &qos))
}

fn named(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The processors of a sum of resources: `cpu=64,gres/gpu=8`.
fn cpus(text: &str) -> Option<u64> {
    text.split(',').find_map(|word| word.strip_prefix("cpu=")?.parse().ok())
}

fn read(accounts: &str, who: &str, qos: &str) -> Access {
    let account = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let [name, partition, qos, default_qos, wall, jobs, submit, sum] = fields[..] else {
            return None;
        };
        let bounds = Bounds {
            minutes_max: minutes(wall),
            jobs_max: jobs.parse().ok(),
            submit_max: submit.parse().ok(),
            cpus_max: cpus(sum),
        };
        Some(Account {
            name: named(name)?,
            partition: named(partition),
            qos: qos.split(',').filter_map(named).collect(),
            default_qos: named(default_qos),
            bounds,
        })
    };
    let quality = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let [name, wall, jobs, submit, sum, of_user] = fields[..] else { return None };
        let cpus_max = [cpus(sum), cpus(of_user)].into_iter().flatten().min();
        let bounds = Bounds {
            minutes_max: minutes(wall),
            jobs_max: jobs.parse().ok(),
            submit_max: submit.parse().ok(),
            cpus_max,
        };
        Some(Qos { name: named(name)?, bounds })
    };
    Access {
        enforced: Enforced::default(),
        default_account: who.lines().find_map(named),
        accounts: accounts.lines().filter_map(account).collect(),
        qos: qos.lines().filter_map(quality).collect(),
    }
}

impl Access {
    /// The account that a job would be charged to.
    fn account(&self, charge: Charge<'_>) -> Option<&Account> {
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

    /// The limits that hold for a job with these.
    pub(crate) fn bounds(&self, charge: Charge<'_>) -> Bounds {
        if !self.enforced.limits {
            return Bounds::default();
        }
        let account = self.account(charge);
        let name = charge.qos.or_else(|| account?.default_qos.as_deref());
        let qos =
            name.and_then(|name| self.qos.iter().find(|qos| qos.name.eq_ignore_ascii_case(name)));
        let (none, of_account) = (Bounds::default(), account.map(|account| &account.bounds));
        qos.map_or(&none, |qos| &qos.bounds).or(of_account.unwrap_or(&none))
    }

    /// For people: the accounts, and the QoS with their limits.
    pub fn lines(&self) -> [(&'static str, String); 2] {
        let accounts: BTreeSet<&str> =
            self.accounts.iter().map(|account| account.name.as_str()).collect();
        let accounts: Vec<&str> = accounts.into_iter().collect();
        let mine: BTreeSet<&String> =
            self.accounts.iter().flat_map(|account| &account.qos).collect();
        let qos: Vec<String> = mine
            .into_iter()
            .map(|name| {
                let bounds = self.qos.iter().find(|qos| qos.name == *name);
                let bounds = bounds.map(|qos| qos.bounds.clone()).unwrap_or_default();
                let said = [
                    ("MaxWall", bounds.minutes_max.map(|minutes| format!("{minutes}m"))),
                    ("MaxJobs", bounds.jobs_max.map(|jobs| jobs.to_string())),
                    ("MaxSubmit", bounds.submit_max.map(|jobs| jobs.to_string())),
                    ("cpu", bounds.cpus_max.map(|cpus| cpus.to_string())),
                ];
                let said: Vec<String> = said
                    .into_iter()
                    .filter_map(|(word, value)| Some(format!("{word}={}", value?)))
                    .collect();
                if said.is_empty() { name.clone() } else { format!("{name}({})", said.join(" ")) }
            })
            .collect();
        [("slurm.own_accounts", accounts.join(",")), ("slurm.own_qos", qos.join(","))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Slurm 22.05 writes them.
    fn access(enforce: &str) -> Access {
        let accounts = "lab||fast,normal|normal|1-00:00:00||9|cpu=40,gres/gpu=2\n\
                        big|large|normal|||||\nnonsense\nroot||normal|||||\n";
        let qos = "normal|||||\nfast|00:10:00|2|5|cpu=8|cpu=3,mem=4G\n";
        Access { enforced: Enforced::read(enforce), ..read(accounts, "lab\n", qos) }
    }

    fn charge<'a>(account: Option<&'a str>, qos: Option<&'a str>) -> Charge<'a> {
        Charge { account, qos, partition: "main" }
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
    fn people_are_told_in_two_lines() {
        let [accounts, qos] = access("").lines();
        assert_eq!(accounts, ("slurm.own_accounts", "big,lab,root".to_owned()));
        let expect = "fast(MaxWall=10m MaxJobs=2 MaxSubmit=5 cpu=3),normal";
        assert_eq!(qos, ("slurm.own_qos", expect.to_owned()));
    }
}

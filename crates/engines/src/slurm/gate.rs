//! Who may use a partition, as its site has set it up: lists of accounts, QoS and groups, jobs of root alone,
//! jobs with a reservation alone. Pure.
//!
//! What Slurm does not take by these it refuses at submission, or, unless the site says `EnforcePartLimits`,
//! leaves waiting for ever; so what can be known before is said before. It looks at them whatever is enforced
//! of its accounting. Invariant: what is not known closes nothing; Slurm has the
//! last word. Must not know who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::access::{Access, Charge};
use super::request::SiteWords;
use super::survey::Partition;
use super::way::Words;

/// Some of all names there are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(BTreeSet<String>),
    /// All but these.
    AllBut(BTreeSet<String>),
}

fn listed(text: &str) -> BTreeSet<String> {
    let all =
        ["", "ALL", "(null)", "N/A"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    let names = text.split(',').map(str::trim).filter(|name| !all && !name.is_empty());
    names.map(str::to_owned).collect()
}

fn has(names: &BTreeSet<String>, name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

impl Names {
    /// From what is allowed and what is denied, in Slurm's words. Where something is allowed, Slurm does not
    /// look at what is denied.
    pub(crate) fn read(allowed: &str, denied: &str) -> Self {
        match (listed(allowed), listed(denied)) {
            (only, _) if !only.is_empty() => Self::Only(only),
            (_, but) if !but.is_empty() => Self::AllBut(but),
            _ => Self::All,
        }
    }

    fn takes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => has(names, name),
            Self::AllBut(names) => !has(names, name),
        }
    }

    /// An account is allowed with one above it, because newer versions read the list so; where an older one
    /// does not, it is Slurm that says no.
    fn takes_account(&self, name: &str, access: &Access) -> bool {
        let above = || access.above(name).into_iter().flatten();
        match self {
            Self::Only(names) => has(names, name) || above().any(|one| has(names, one)),
            Self::All | Self::AllBut(_) => self.takes(name),
        }
    }

    /// For people: `it is for the accounts a, b (AllowAccounts)`.
    fn words(&self, what: &str, allow: &str, deny: &str) -> String {
        let names = |names: &BTreeSet<String>| joined(names.iter().map(String::as_str));
        match self {
            Self::All => format!("it is for all {what}"),
            Self::Only(only) => format!("it is for the {what} {} ({allow})", names(only)),
            Self::AllBut(but) => format!("it is for all {what} but {} ({deny})", names(but)),
        }
    }
    fn of_accounts(&self) -> String {
        self.words("accounts", "AllowAccounts", "DenyAccounts")
    }
    fn of_qos(&self) -> String {
        self.words("QoS", "AllowQos", "DenyQos")
    }
}

/// As Slurm's own words, on one line.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &BTreeSet<String>| {
            names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::All => f.write_str("ALL"),
            Self::Only(names) => f.write_str(&list(names)),
            Self::AllBut(names) => write!(f, "ALL but {}", list(names)),
        }
    }
}

/// Who may use a partition.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    /// Jobs that are charged to these accounts.
    pub accounts: Names,
    /// Jobs that have these QoS.
    pub qos: Names,
    /// Users in one of these groups.
    pub groups: Names,
    /// Nobody but root.
    pub root_only: bool,
    /// Jobs with a reservation.
    pub reserved: bool,
}

impl Gate {
    /// From the words of `scontrol show partition`.
    pub(super) fn read(words: &Words) -> Self {
        let word = |name: &str| words.get(name).map(String::as_str).unwrap_or_default();
        Self {
            accounts: Names::read(word("AllowAccounts"), word("DenyAccounts")),
            qos: Names::read(word("AllowQos"), word("DenyQos")),
            groups: Names::read(word("AllowGroups"), ""),
            root_only: word("RootOnly") == "YES",
            reserved: word("ReqResv") == "YES",
        }
    }
}

/// Who submits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Who {
    /// Root is asked neither for its groups nor by `RootOnly`; for accounts and QoS it is (22.05 does so,
    /// whatever its manual says).
    pub root: bool,
    /// The groups it is in; none where that was not asked or nobody knows.
    pub groups: Option<BTreeSet<String>>,
}

/// What is known of who submits, and what the site's words are.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub who: &'a Who,
    pub site: &'a SiteWords,
    pub access: &'a Access,
}

impl Known<'_> {
    fn lets_say(&self, word: &str) -> bool {
        self.site.allow.contains(word)
    }
    fn reserves(&self) -> bool {
        self.site.extra.iter().any(|option| option.starts_with("--reservation"))
    }

    /// Why a partition takes none of this user's jobs, whatever they may say; none where it takes some, or
    /// nobody can tell.
    pub(super) fn closed(&self, partition: &Partition) -> Option<String> {
        self.barred(&partition.gate)
            .or_else(|| {
                let reserved = partition.gate.reserved && !self.reserves();
                (reserved && !self.lets_say("reservation")).then(|| {
                    "its jobs need a reservation (ReqResv): --slurm-extra=--reservation=NAME"
                        .to_owned()
                })
            })
            .or_else(|| self.uncharged(partition))
    }

    /// What no word of a job changes.
    fn barred(&self, gate: &Gate) -> Option<String> {
        if self.who.root {
            return None;
        }
        if gate.root_only {
            return Some("it is for jobs that root submits (RootOnly)".to_owned());
        }
        let own = self.who.groups.as_ref()?;
        let open =
            matches!(gate.groups, Names::All) || own.iter().any(|one| gate.groups.takes(one));
        (!open).then(|| {
            format!(
                "{}, and this user is in {}",
                gate.groups.words("groups", "AllowGroups", ""),
                joined(own.iter().map(String::as_str))
            )
        })
    }

    /// Is there no account, or no QoS, that jobs have or may say and that it takes?
    fn uncharged(&self, partition: &Partition) -> Option<String> {
        let (gate, access) = (&partition.gate, self.access);
        let of_all = || access.accounts.iter().map(|account| account.name.as_str());
        let usual = access.charged(Charge {
            account: self.site.account.as_deref(),
            partition: &partition.name,
            ..Charge::default()
        });
        let said: BTreeSet<&str> =
            of_all().filter(|_| self.lets_say("account")).chain(usual).collect();
        let takes = |name: &&str| gate.accounts.takes_account(name, access);
        if !said.is_empty() && !said.iter().any(takes) {
            let other = of_all().find(takes);
            return Some(format!(
                "{}, and jobs are charged to {}{}",
                gate.accounts.of_accounts(),
                joined(said),
                other.map(|name| format!("; --slurm-account {name} would do")).unwrap_or_default()
            ));
        }
        let charge =
            |name| Charge { account: Some(name), partition: &partition.name, ..Charge::default() };
        let accounts = said.into_iter().filter(takes);
        let accounts: Vec<_> = accounts.filter_map(|name| access.account(charge(name))).collect();
        let of_accounts = || accounts.iter().flat_map(|account| &account.qos).map(String::as_str);
        let usual: Vec<&str> = match self.site.qos.as_deref() {
            Some(qos) => vec![qos],
            // Where one account's is not known, it may be any.
            None => accounts.iter().map(|one| one.usual_qos()).collect::<Option<_>>()?,
        };
        let said: BTreeSet<&str> =
            of_accounts().filter(|_| self.lets_say("qos")).chain(usual).collect();
        let takes = |name: &&str| gate.qos.takes(name);
        if said.is_empty() || said.iter().any(takes) {
            return None;
        }
        let other = of_accounts().find(takes);
        Some(format!(
            "{}, and jobs have {}{}",
            gate.qos.of_qos(),
            joined(said),
            other.map(|name| format!("; --slurm-qos {name} would do")).unwrap_or_default()
        ))
    }

    /// Would a partition take a job that says this? `Err` says why not, and what it takes.
    pub(super) fn check(
        &self,
        partition: &Partition,
        charge: Charge<'_>,
        words: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let (gate, access, name) = (&partition.gate, self.access, &partition.name);
        if let Some(why) = self.barred(gate) {
            return Err(format!("slurm.partition: {name}: {why}"));
        }
        if gate.reserved && !self.reserves() && !words.contains_key("reservation") {
            return Err(format!(
                "slurm.partition: {name}: its jobs need a reservation (ReqResv); name one in \
                 backend.slurm.reservation, where the pool lets jobs say it"
            ));
        }
        let of = |some: Vec<&str>, whose: &str| {
            let some: BTreeSet<&str> = some.into_iter().collect();
            if some.is_empty() {
                format!("{whose} has none of these")
            } else {
                format!("{whose} has of these: {}", joined(some))
            }
        };
        if let Some(charged) = access.charged(charge)
            && !gate.accounts.takes_account(charged, access)
        {
            let all = access.accounts.iter().map(|account| account.name.as_str());
            let takes = all.filter(|name| gate.accounts.takes_account(name, access)).collect();
            return Err(format!(
                "slurm.account: {name}: {}, and the job is charged to `{charged}`; {}",
                gate.accounts.of_accounts(),
                of(takes, "the pool")
            ));
        }
        let account = access.account(Charge { account: access.charged(charge), ..charge });
        let qos = charge.qos.or_else(|| account?.usual_qos());
        if let Some(qos) = qos.filter(|qos| !gate.qos.takes(qos)) {
            let all = account.into_iter().flat_map(|account| &account.qos).map(String::as_str);
            return Err(format!(
                "slurm.qos: {name}: {}, and the job has `{qos}`; {}",
                gate.qos.of_qos(),
                of(all.filter(|name| gate.qos.takes(name)).collect(), "its account")
            ));
        }
        Ok(())
    }

    /// The accounts and QoS that jobs in a partition may have.
    pub(super) fn within(&self, partition: &Partition) -> Access {
        let gate = &partition.gate;
        let here = |of: &Option<String>| of.as_ref().is_none_or(|of| *of == partition.name);
        let mut access = self.access.clone();
        access.accounts.retain(|account| {
            here(&account.partition) && gate.accounts.takes_account(&account.name, self.access)
        });
        for account in &mut access.accounts {
            account.qos.retain(|qos| gate.qos.takes(qos));
        }
        access
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::access::{Account, Limits};
    use crate::slurm::commands::partition_words;

    fn partition(line: &str) -> Partition {
        Partition::read(&partition_words(line)).expect("it has a name")
    }

    fn access() -> Access {
        let account = |name: &str, above: &[&str], qos: &[&str], usual: Option<&str>| Account {
            name: name.to_owned(),
            partition: None,
            above: above.iter().map(|one| (*one).to_owned()).collect(),
            qos: qos.iter().map(|one| (*one).to_owned()).collect(),
            default_qos: usual.map(str::to_owned),
            limits: Limits::default(),
        };
        Access {
            default_account: Some("lab".to_owned()),
            accounts: vec![
                account("lab", &["dept", "root"], &["fast", "normal"], Some("normal")),
                account("extra", &["root"], &["long"], None),
            ],
            ..Access::default()
        }
    }

    fn site(account: Option<&str>, qos: Option<&str>, allow: &[&str]) -> SiteWords {
        SiteWords {
            account: account.map(str::to_owned),
            qos: qos.map(str::to_owned),
            allow: allow.iter().map(|word| (*word).to_owned()).collect(),
            ..SiteWords::default()
        }
    }

    fn user(groups: &[&str]) -> Who {
        let groups = groups.iter().map(|name| (*name).to_owned()).collect();
        Who { root: false, groups: Some(groups) }
    }

    #[test]
    fn lists_are_read_as_slurm_reads_them() {
        let check = |line: &str, accounts: &str, qos: &str, groups: &str| {
            let gate = partition(&format!("PartitionName=p {line}")).gate;
            let got = [&gate.accounts, &gate.qos, &gate.groups].map(ToString::to_string);
            assert_eq!(got, [accounts, qos, groups], "{line}");
        };
        check("AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL", "ALL", "ALL", "ALL");
        check("AllowGroups=ALL DenyAccounts=b,a AllowQos=x,y", "ALL but a,b", "x,y", "ALL");
        check("AllowAccounts=a DenyAccounts=a DenyQos=low", "a", "ALL but low", "ALL");
        // Groups of a directory service have spaces in their names.
        check(
            "AllowGroups=domain users,hpc AllowAccounts=(null)",
            "ALL",
            "ALL",
            "domain users,hpc",
        );
        check("", "ALL", "ALL", "ALL");
    }

    #[test]
    fn a_partition_that_nobody_here_may_use_is_closed_with_the_reason() {
        let (access, nobody) = (access(), Access::default());
        let check = |line: &str, who: &Who, site: &SiteWords, expect: Option<&str>| {
            let partition = partition(&format!("PartitionName=p State=UP {line}"));
            let got = Known { who, site, access: &access }.closed(&partition);
            match (&got, expect) {
                (None, None) => {}
                (Some(why), Some(words)) if why.contains(words) => {}
                _ => panic!("{line}: {got:?}, not {expect:?}"),
            }
        };
        let (me, root) = (user(&["users", "hpc"]), Who { root: true, groups: None });
        let usual = site(None, None, &[]);
        check("AllowAccounts=lab AllowQos=normal AllowGroups=hpc,x", &me, &usual, None);
        check("RootOnly=YES", &me, &usual, Some("RootOnly"));
        check("RootOnly=YES", &root, &usual, None);
        check("ReqResv=YES", &me, &usual, Some("--reservation=NAME"));
        check("ReqResv=YES", &me, &site(None, None, &["reservation"]), None);
        check("AllowGroups=chem,phys", &me, &usual, Some("and this user is in hpc, users"));
        check("AllowGroups=chem,phys", &root, &usual, None);
        check("AllowGroups=chem", &Who::default(), &usual, None);
        let accounts = "accounts extra, other (AllowAccounts), and jobs are charged to lab; \
                        --slurm-account extra would do";
        check("AllowAccounts=extra,other", &me, &usual, Some(accounts));
        check("AllowAccounts=extra,other", &root, &usual, Some(accounts));
        check("AllowAccounts=extra,other", &me, &site(Some("extra"), None, &[]), None);
        check("AllowAccounts=extra,other", &me, &site(None, None, &["account"]), None);
        check("AllowAccounts=other", &me, &site(None, None, &["account"]), Some("extra, lab"));
        check("AllowAccounts=DEPT", &me, &usual, None);
        check("DenyAccounts=lab", &me, &usual, Some("all accounts but lab (DenyAccounts)"));
        check("DenyAccounts=dept", &me, &usual, None);
        let qos = "QoS fast (AllowQos), and jobs have normal; --slurm-qos fast would do";
        check("AllowQos=fast", &me, &usual, Some(qos));
        check("AllowQos=fast", &root, &usual, Some(qos));
        check("AllowQos=fast", &me, &site(None, Some("fast"), &[]), None);
        check("AllowQos=fast", &me, &site(None, None, &["qos"]), None);
        check("AllowQos=urgent", &me, &site(None, None, &["qos"]), Some("fast, normal"));
        check("DenyQos=normal", &me, &usual, Some("all QoS but normal (DenyQos)"));
        // The only one of an account is what its jobs have.
        check("DenyQos=long", &me, &site(Some("extra"), None, &[]), Some("DenyQos"));
        // Who knows of no accounts knows of nothing that closes.
        let partition = partition("PartitionName=p AllowAccounts=a AllowQos=b");
        let closed = Known { who: &me, site: &usual, access: &nobody }.closed(&partition);
        assert_eq!(closed, None);
    }

    #[test]
    fn a_job_hears_what_its_partition_takes_before_slurm_is_asked() {
        let access = access();
        let check = |line: &str, words: &[(&str, &str)], expect: Option<&str>| {
            let partition = partition(&format!("PartitionName=gpu {line}"));
            let (who, site) = (user(&["users"]), site(None, None, &["account", "qos"]));
            let known = Known { who: &who, site: &site, access: &access };
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let words: BTreeMap<String, String> = words.iter().map(owned).collect();
            let charge = Charge {
                account: words.get("account").map(String::as_str),
                qos: words.get("qos").map(String::as_str),
                partition: "gpu",
                partition_qos: None,
            };
            let got = known.check(&partition, charge, &words).err();
            match (&got, expect) {
                (None, None) => {}
                (Some(why), Some(words)) if why.contains(words) => {}
                _ => panic!("{line}: {got:?}, not {expect:?}"),
            }
        };
        check("", &[("account", "extra"), ("qos", "long")], None);
        let accounts = "slurm.account: gpu: it is for the accounts extra (AllowAccounts), and the job is \
                        charged to `lab`; the pool has of these: extra";
        check("AllowAccounts=extra", &[], Some(accounts));
        check("AllowAccounts=extra", &[("account", "extra")], None);
        check("DenyAccounts=extra,lab", &[], Some("the pool has none of these"));
        let qos = "slurm.qos: gpu: it is for all QoS but normal (DenyQos), and the job has `normal`; its \
                   account has of these: fast";
        check("DenyQos=normal", &[], Some(qos));
        check("DenyQos=normal", &[("qos", "fast")], None);
        check("AllowQos=normal", &[("qos", "fast")], Some("its account has of these: normal"));
        check("AllowGroups=chem", &[], Some("slurm.partition: gpu: it is for the groups chem"));
        check("RootOnly=YES", &[], Some("slurm.partition: gpu"));
        check("ReqResv=YES", &[], Some("backend.slurm.reservation"));
        check("ReqResv=YES", &[("reservation", "week")], None);
    }

    #[test]
    fn only_what_the_partition_takes_is_shown_of_accounts_and_qos() {
        let access = access();
        let (who, site) = (user(&[]), site(None, None, &[]));
        let known = Known { who: &who, site: &site, access: &access };
        let shown = |line: &str| {
            let partition = partition(&format!("PartitionName=p {line}"));
            known.within(&partition).lines().map(|(_, value)| value)
        };
        assert_eq!(shown(""), ["extra,lab", "fast,long,normal"]);
        assert_eq!(shown("AllowAccounts=lab DenyQos=normal"), ["lab", "fast"]);
        assert_eq!(shown("AllowAccounts=x"), ["", ""]);
    }
}

//! Quotas: what an organisation or a project may hold at most at once; and licences, of which so many
//! are in use at most at once, whoever holds them. Within it everybody takes what others leave; fair
//! shares say who comes first.
//!
//! Under a quota the queue keeps its order: a job that waits for others of the same quota to end is
//! not overtaken by later ones of it, but for those that end before it can start, or that fit beside
//! it. So a big job of a project is not starved by the small ones of the same project.
//!
//! Invariant: what an account holds is the sum of the leases that name it, tentative ones included.
//! Knows nothing of nodes or queues.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dayan_units::{Bytes, MilliAccel, MilliCpu, OrgId, ProjectId, Resources, Time};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::estate::{Lease, LeaseIx};
use crate::slots::Slots;

/// Whose quota it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaOf {
    /// An organisation's, over all of its projects.
    Org(OrgId),
    /// A project's.
    Project(ProjectId),
}

/// The most that may be held at once; of what is left out, any amount.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Quota {
    /// Of all leases together, in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<MilliCpu>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// In thousandths of a card, whatever the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accel: Option<MilliAccel>,
}

impl Quota {
    /// Does it limit anything?
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
    /// May so much be held?
    pub fn admits(&self, held: &Resources) -> bool {
        self.cpu.is_none_or(|most| held.cpu <= most)
            && self.memory.is_none_or(|most| held.memory <= most)
            && self.accel.is_none_or(|most| held.accel <= most)
    }
    /// What may be held beside this, at most.
    fn beside(&self, held: &Resources) -> Resources {
        let left = |most: Option<u64>, held: u64| most.map_or(u64::MAX, |m| m.saturating_sub(held));
        Resources {
            cpu: MilliCpu(left(self.cpu.map(|most| most.0), held.cpu.0)),
            memory: Bytes(left(self.memory.map(|most| most.0), held.memory.0)),
            disk: Bytes(u64::MAX),
            accel: MilliAccel(left(self.accel.map(|most| most.0), held.accel.0)),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.cpu.map(|most| format!("{most} cpus")),
            self.memory.map(|most| most.to_string()),
            self.accel.map(|most| format!("{most} accelerators")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "any amount" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Who answers for a lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Payer {
    /// Which project.
    pub project: ProjectId,
    /// Whose.
    pub org: OrgId,
}

pub(crate) type AccountIx = u32;

/// The accounts that a lease counts against: its project's and its organisation's, and those of the
/// licences it takes, with how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Payers {
    quotas: [AccountIx; 2],
    licenses: Option<Arc<[(AccountIx, u32)]>>,
}

impl Payers {
    /// All of them.
    pub fn accounts(&self) -> impl Iterator<Item = AccountIx> {
        let licenses = self.licenses.iter().flat_map(|licenses| licenses.iter());
        self.quotas.into_iter().chain(licenses.map(|(ix, _)| *ix))
    }
    /// What counts against one of them: of so many tasks with these resources each.
    fn part(&self, ix: AccountIx, each: &Resources, tasks: u64) -> Resources {
        let of_license = self.licenses.iter().flat_map(|all| all.iter()).find(|(of, _)| *of == ix);
        let each = of_license.map_or(*each, |(_, count)| licenses(u64::from(*count)));
        each.checked_mul(tasks).unwrap_or(Resources {
            cpu: MilliCpu(u64::MAX),
            memory: Bytes(u64::MAX),
            disk: Bytes(u64::MAX),
            accel: MilliAccel(u64::MAX),
        })
    }
}

/// So many licences: an account of licences counts them where others count cores.
const fn licenses(count: u64) -> Resources {
    Resources { cpu: MilliCpu(count), ..Resources::ZERO }
}

/// What a task of a class takes at most, and how many start at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub each: Resources,
    pub tasks: u64,
}

/// Whose account it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum AccountOf {
    Quota(QuotaOf),
    License(Arc<str>),
}

#[derive(Clone, Debug)]
struct Account {
    of: AccountOf,
    quota: Option<Quota>,
    held: Resources,
    /// Its leases by when they end at the latest; kept only under a quota.
    ends: BTreeSet<(Time, LeaseIx)>,
}

/// What all hold, and may.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    all: Vec<Account>,
    ids: FxHashMap<AccountOf, AccountIx>,
    /// The projects that count against an account.
    projects: BTreeMap<AccountIx, BTreeSet<ProjectId>>,
    /// Under a quota, and hold less, or for a shorter or longer time, or may hold another amount.
    moved: BTreeSet<AccountIx>,
    /// Under a quota, and hold more.
    grown: BTreeSet<AccountIx>,
}

/// What must be kept free for the first job that waits for its quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// By then enough leases have ended for it.
    until: Time,
    /// So much may be held beside it from then on.
    spare: Resources,
}

impl Guard {
    /// When that is.
    pub fn until(&self) -> Time {
        self.until
    }
    /// May this be held until then?
    fn admits(&self, more: &Resources, until: Time) -> bool {
        until <= self.until || more.fits_in(&self.spare)
    }
    /// It is.
    fn take(&mut self, more: &Resources, until: Time) {
        if until > self.until {
            self.spare = self.spare.checked_sub(more).expect("it was admitted");
        }
    }
}

impl Guard {
    /// May a job have it until then, beside the one that waits for this account?
    pub fn spares(&self, (ix, payers): (AccountIx, &Payers), want: Want, until: Time) -> bool {
        self.admits(&payers.part(ix, &want.each, want.tasks), until)
    }
    /// It has it.
    pub fn spare(&mut self, (ix, payers): (AccountIx, &Payers), want: Want, until: Time) {
        self.take(&payers.part(ix, &want.each, want.tasks), until);
    }
}

impl Lease {
    /// What of it counts against an account.
    fn part(&self, ix: AccountIx) -> Resources {
        self.payers.part(ix, &self.resources, 1)
    }
}

impl Accounts {
    fn ix(&mut self, of: AccountOf) -> AccountIx {
        if let Some(&ix) = self.ids.get(&of) {
            return ix;
        }
        let ix = AccountIx::try_from(self.all.len()).expect("accounts are few");
        let (held, ends) = (Resources::ZERO, BTreeSet::new());
        self.all.push(Account { of: of.clone(), quota: None, held, ends });
        self.ids.insert(of, ix);
        ix
    }
    /// Against which accounts tasks count that take these licences.
    pub fn payers(&mut self, payer: Payer, licenses: &BTreeMap<String, u32>) -> Payers {
        let quotas = self.quotas(payer);
        if licenses.is_empty() {
            return Payers { quotas, licenses: None };
        }
        let all = licenses.iter().map(|(name, count)| {
            let ix = self.ix(AccountOf::License(Arc::from(name.as_str())));
            self.projects.entry(ix).or_default().insert(payer.project);
            (ix, *count)
        });
        let licenses = Some(all.collect());
        Payers { quotas, licenses }
    }
    fn quotas(&mut self, payer: Payer) -> [AccountIx; 2] {
        let project = AccountOf::Quota(QuotaOf::Project(payer.project));
        let org = AccountOf::Quota(QuotaOf::Org(payer.org));
        if let Some(&ix) = self.ids.get(&project)
            && let Some(&org) = self.ids.get(&org)
            && self.projects(org).contains(&payer.project)
        {
            return [ix, org];
        }
        let quotas = [self.ix(project), self.ix(org)];
        for ix in quotas {
            self.projects.entry(ix).or_default().insert(payer.project);
        }
        quotas
    }
    /// The projects that count against it.
    pub fn projects(&self, ix: AccountIx) -> &BTreeSet<ProjectId> {
        static NONE: BTreeSet<ProjectId> = BTreeSet::new();
        self.projects.get(&ix).unwrap_or(&NONE)
    }
    pub fn of(&self, ix: AccountIx) -> &AccountOf {
        &self.all[ix as usize].of
    }
    pub fn quota(&self, ix: AccountIx) -> Option<(&Quota, &Resources)> {
        let account = &self.all[ix as usize];
        account.quota.as_ref().map(|quota| (quota, &account.held))
    }

    /// So many of a licence there are at most; none: as many as anybody wants.
    pub fn set_license(&mut self, name: &str, count: Option<u64>, leases: &Slots<Lease>) {
        let quota = Quota { cpu: count.map(MilliCpu), ..Quota::default() };
        self.set(AccountOf::License(Arc::from(name)), &quota, leases);
    }

    pub fn set(&mut self, of: AccountOf, quota: &Quota, leases: &Slots<Lease>) {
        let ix = self.ix(of);
        let account = &mut self.all[ix as usize];
        account.ends.clear();
        account.quota = (!quota.is_unlimited()).then_some(*quota);
        if account.quota.is_some() {
            let own = leases.iter().filter(|(_, lease)| lease.payers.accounts().any(|of| of == ix));
            account.ends.extend(own.map(|(lease_ix, lease)| (lease.end.latest, lease_ix)));
        }
        // Whoever waited may go on, whoever found no room may be over it now.
        self.moved.insert(ix);
        self.grown.insert(ix);
    }

    pub fn book(&mut self, lease: &Lease, lease_ix: LeaseIx) {
        for ix in lease.payers.accounts() {
            let account = &mut self.all[ix as usize];
            let held = account.held.checked_add(&lease.part(ix));
            account.held = held.expect("each lease was cut from a node; far below 64 bits");
            if account.quota.is_some() {
                account.ends.insert((lease.end.latest, lease_ix));
                self.grown.insert(ix);
            }
        }
    }

    pub fn free(&mut self, lease: &Lease, lease_ix: LeaseIx) {
        for ix in lease.payers.accounts() {
            let account = &mut self.all[ix as usize];
            let held = account.held.checked_sub(&lease.part(ix));
            account.held = held.expect("it was booked");
            if account.quota.is_some() {
                account.ends.remove(&(lease.end.latest, lease_ix));
                self.moved.insert(ix);
            }
        }
    }

    /// A lease ends at another moment than `before`.
    pub fn ends(&mut self, lease: &Lease, lease_ix: LeaseIx, before: Time) {
        for ix in lease.payers.accounts() {
            let account = &mut self.all[ix as usize];
            if account.quota.is_some() {
                account.ends.remove(&(before, lease_ix));
                account.ends.insert((lease.end.latest, lease_ix));
                self.moved.insert(ix);
            }
        }
    }

    /// The first account whose quota has no room for so much more.
    pub fn refuses(&self, payers: &Payers, want: Want) -> Option<AccountIx> {
        payers.accounts().find(|&ix| {
            let account = &self.all[ix as usize];
            let more = payers.part(ix, &want.each, want.tasks);
            account.quota.is_some_and(|quota| {
                !account.held.checked_add(&more).is_some_and(|held| quota.admits(&held))
            })
        })
    }

    /// What must be kept for a job that wants so much more and waits for its quota; none where it
    /// could not have it even alone.
    pub fn guard(
        &self,
        ix: AccountIx,
        (payers, want): (&Payers, Want),
        now: Time,
        leases: &Slots<Lease>,
    ) -> Option<Guard> {
        let account = &self.all[ix as usize];
        let want = payers.part(ix, &want.each, want.tasks);
        let quota = account.quota.filter(|quota| quota.admits(&want))?;
        let mut held = account.held.checked_add(&want)?;
        let mut ends = account.ends.iter().peekable();
        let mut until = now;
        while !quota.admits(&held) {
            let (end, lease) = ends.next()?;
            held = held.checked_sub(&leases[*lease].part(ix)).expect("a part of the sum");
            until = until.max(*end);
        }
        // What ends at the same moment has ended by then too.
        while let Some((_, lease)) = ends.next_if(|(end, _)| *end <= until) {
            held = held.checked_sub(&leases[*lease].part(ix)).expect("a part of the sum");
        }
        Some(Guard { until, spare: quota.beside(&held) })
    }

    pub fn take_moved(&mut self) -> BTreeSet<AccountIx> {
        std::mem::take(&mut self.moved)
    }
    pub fn take_grown(&mut self) -> BTreeSet<AccountIx> {
        std::mem::take(&mut self.grown)
    }
    pub fn has_grown(&self, ix: AccountIx) -> bool {
        self.grown.contains(&ix)
    }

    /// Recomputes all sums; the message names the first difference.
    pub fn check(&self, leases: &Slots<Lease>) -> Result<(), String> {
        for (ix, account) in (0u32..).zip(&self.all) {
            let own = leases.iter().filter(|(_, lease)| lease.payers.accounts().any(|of| of == ix));
            let (mut held, mut ends) = (Resources::ZERO, BTreeSet::new());
            for (lease_ix, lease) in own {
                held = held.checked_add(&lease.part(ix)).ok_or("a sum beyond 64 bits")?;
                ends.insert((lease.end.latest, lease_ix));
            }
            if held != account.held {
                return Err(format!("{:?} holds {held}, not {}", account.of, account.held));
            }
            if account.quota.is_some() && ends != account.ends {
                return Err(format!("{:?} has leases with other ends", account.of));
            }
        }
        Ok(())
    }
}

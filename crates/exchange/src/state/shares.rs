//! Who had how much: what the leases of each project took, the more recent counting for more. It
//! decides, among equals, who stands before whom; never whether something runs.
//!
//! What was taken halves in a day. Resources are compared by the largest part of all there is that
//! was taken of any of them (the dominant share, Ghodsi et al., NSDI 2011), so an hour of all cards
//! counts as an hour of all processors. Invariant: all in integers and from the times of events, so
//! that a replay gives the same.

use std::collections::BTreeMap;

use dayan_schedule::order::BEHIND_MAX;
use dayan_units::{OrgId, ProjectId, Resources, Span, Time};
use serde::{Deserialize, Serialize};

/// An hour: what was taken is made less at the end of each.
const STEP_MS: i64 = 3_600_000;
/// What remains after an hour, of 65,536: the 24th root of a half.
const REMAINS: u128 = 63_670;
/// Use is compared in milliseconds of all there is. This much, shared out by weight, is added to
/// what everybody had: below an hour of everything a difference says little.
const SMOOTHING_MS: u128 = 3_600_000;
/// A thousandth of a millisecond of everything, so that small projects are told apart.
const SCALE: u128 = 1_000;
/// A project is put behind in steps of this, so that the queue is not reordered for nothing.
const STEP: Span = Span::from_secs(900);
/// The weight of an organisation or project that nobody gave another.
pub const WEIGHT: u32 = 1;
/// The largest weight: a thousand times the usual.
pub const WEIGHT_MAX: u32 = 1_000;

/// Thousandths of processors, megabytes of memory, thousandths of cards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Amount {
    cpu: u64,
    memory: u64,
    cards: u64,
}

impl Amount {
    fn of(resources: &Resources) -> Self {
        Self {
            cpu: resources.cpu.0,
            memory: resources.memory.0 / 1_000_000,
            cards: resources.accel.0,
        }
    }
    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu: with(self.cpu, other.cpu),
            memory: with(self.memory, other.memory),
            cards: with(self.cards, other.cards),
        }
    }
    fn map(self, with: impl Fn(u64) -> u64) -> Self {
        self.zip(self, |value, _| with(value))
    }
    /// The largest part of `all`, by which this is multiplied with milliseconds already.
    fn dominant(self, all: Self) -> u128 {
        let part = |used: u64, all: u64| {
            (u128::from(used) * SCALE).checked_div(u128::from(all)).unwrap_or(0)
        };
        part(self.cpu, all.cpu).max(part(self.memory, all.memory)).max(part(self.cards, all.cards))
    }
}

/// What one project had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Share {
    org: OrgId,
    /// Jobs that have not ended.
    open: u64,
    /// Up to when use is counted, in milliseconds.
    at: i64,
    /// What its leases take now.
    held: Resources,
    /// What they took, by milliseconds, less what time made of it.
    used: Amount,
}

impl Share {
    fn new(org: OrgId, at: Time) -> Self {
        Self { org, open: 0, at: millis(at), held: Resources::ZERO, used: Amount::default() }
    }

    /// Counts up to a moment. A clock that went back counts nothing.
    fn count(&mut self, now: Time) {
        let now = millis(now);
        while self.at.div_euclid(STEP_MS) < now.div_euclid(STEP_MS) {
            if self.held == Resources::ZERO && self.used == Amount::default() {
                self.at = now;
                return;
            }
            self.take((self.at.div_euclid(STEP_MS) + 1) * STEP_MS);
            self.used = self.used.map(|used| {
                u64::try_from((u128::from(used) * REMAINS) >> 16).expect("less than it was")
            });
        }
        self.take(now);
    }

    fn take(&mut self, until: i64) {
        let Ok(millis) = u64::try_from(until - self.at) else { return };
        self.at = until;
        self.used = self.used.zip(Amount::of(&self.held), |used, held| {
            used.saturating_add(held.saturating_mul(millis))
        });
    }
}

fn millis(at: Time) -> i64 {
    at.micros() / 1_000
}

/// What each project had.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shares {
    projects: BTreeMap<ProjectId, Share>,
}

/// How a project that wants something now stands to the others that do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whose project it is.
    pub org: OrgId,
    /// What the organisation had of all that those had who want something now, in permille.
    pub org_had: u32,
    /// What of it is meant for the organisation, in permille.
    pub org_share: u32,
    /// What the project had of what its organisation had, in permille.
    pub had: u32,
    /// What of it is meant for the project, in permille.
    pub share: u32,
    /// How much later than they are due its jobs stand.
    pub behind: Span,
}

/// One of several that share: its weight and what it had, of everything in thousandths of ms.
#[derive(Clone, Copy)]
struct Part {
    weight: u128,
    had: u128,
}

/// Of several that share: the sum of all.
#[derive(Clone, Copy, Default)]
struct Whole {
    weight: u128,
    had: u128,
}

impl Whole {
    fn add(&mut self, part: Part) {
        self.weight += part.weight;
        self.had += part.had;
    }

    /// Its share by what it had, at most one, as a fraction: one for who had no more than its share.
    fn share_by_had(self, part: Part) -> (u128, u128) {
        let smoothing = SMOOTHING_MS * SCALE;
        let share = part.weight * (self.had + smoothing);
        let had = self.weight * part.had + part.weight * smoothing;
        (share.min(had), had)
    }

    fn permille(part: u128, whole: u128) -> u32 {
        let permille = (part * 1_000).checked_div(whole).unwrap_or(0);
        u32::try_from(permille).expect("a part is at most the whole")
    }
}

impl Shares {
    fn of(&mut self, project: ProjectId, org: OrgId, at: Time) -> &mut Share {
        self.projects.entry(project).or_insert_with(|| Share::new(org, at))
    }

    /// A job has come, or goes on after it had ended.
    pub(crate) fn job_opened(&mut self, project: ProjectId, org: OrgId, at: Time) {
        self.of(project, org, at).open += 1;
    }

    /// A job has ended.
    pub(crate) fn job_ended(&mut self, project: ProjectId, org: OrgId, at: Time) {
        let share = self.of(project, org, at);
        share.open = share.open.saturating_sub(1);
    }

    /// A lease was given.
    pub(crate) fn lease(&mut self, project: ProjectId, org: OrgId, taken: &Resources, at: Time) {
        let share = self.of(project, org, at);
        share.count(at);
        share.held = share.held.checked_add(taken).expect("what nodes have is far below 64 bits");
    }

    /// A lease has ended.
    pub(crate) fn release(&mut self, project: ProjectId, org: OrgId, taken: &Resources, at: Time) {
        let share = self.of(project, org, at);
        share.count(at);
        share.held = share.held.checked_sub(taken).expect("it was leased before");
    }

    /// What the leases of a project take now.
    pub fn held_by(&self, project: ProjectId) -> Resources {
        self.projects.get(&project).map_or(Resources::ZERO, |share| share.held)
    }

    /// What those of all projects of an organisation take now.
    pub fn held_by_org(&self, org: OrgId) -> Resources {
        let own = self.projects.values().filter(|share| share.org == org);
        own.fold(Resources::ZERO, |sum, share| {
            sum.checked_add(&share.held).expect("what nodes have is far below 64 bits")
        })
    }

    /// How those stand that have a job which has not ended; `all` is what there is, `weights` those
    /// of an organisation and of a project.
    pub fn standings(
        &self,
        all: &Resources,
        weights: impl Fn(OrgId, ProjectId) -> (u32, u32),
        now: Time,
    ) -> BTreeMap<ProjectId, Standing> {
        let all = Amount::of(all);
        let mut whole = Whole::default();
        let mut orgs: BTreeMap<OrgId, (Part, Whole, Amount)> = BTreeMap::new();
        let mut parts: Vec<(ProjectId, (OrgId, Part))> = Vec::with_capacity(self.projects.len());
        for (&project, share) in self.projects.iter().filter(|(_, share)| share.open > 0) {
            let mut share = *share;
            share.count(now);
            let (org_weight, weight) = weights(share.org, project);
            let part = Part { weight: u128::from(weight), had: share.used.dominant(all) };
            parts.push((project, (share.org, part)));
            let first = Part { weight: u128::from(org_weight), had: 0 };
            let org = orgs.entry(share.org);
            let (_, all, used) = org.or_insert((first, Whole::default(), Amount::default()));
            all.add(part);
            *used = used.zip(share.used, u64::saturating_add);
        }
        for (part, _, used) in orgs.values_mut() {
            part.had = used.dominant(all);
            whole.add(*part);
        }
        let standing = |(org, part): (OrgId, Part)| {
            let (of_org, projects, _) = orgs[&org];
            let (org_share, org_had) = whole.share_by_had(of_org);
            let (share, had) = projects.share_by_had(part);
            // A fraction of a fraction: in steps of a ten-thousandth there is room for it.
            let kept = (org_share * 10_000 / org_had) * (share * 10_000 / had);
            let lost = 100_000_000 - i64::try_from(kept).expect("at most one, and one is 1e8");
            let behind = i128::from(BEHIND_MAX.micros()) * i128::from(lost) / 100_000_000;
            let behind = i64::try_from(behind).expect("at most the bound");
            Standing {
                org,
                org_had: Whole::permille(of_org.had, whole.had),
                org_share: Whole::permille(of_org.weight, whole.weight),
                had: Whole::permille(part.had, projects.had),
                share: Whole::permille(part.weight, projects.weight),
                behind: Span::from_micros(behind - behind % STEP.micros()),
            }
        };
        parts.into_iter().map(|(project, part)| (project, standing(part))).collect()
    }
}

#[cfg(test)]
mod tests {
    use dayan_units::{Bytes, MilliAccel, MilliCpu};
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;

    fn at(secs: i64) -> Time {
        Time::EPOCH.plus(Span::from_secs(1_700_000_000 / HOUR * HOUR + secs))
    }

    fn take(cores: u64, cards: u64) -> Resources {
        Resources {
            cpu: MilliCpu(cores * 1_000),
            memory: Bytes(1_000_000),
            disk: Bytes::ZERO,
            accel: MilliAccel(cards * 1_000),
        }
    }

    fn id(n: u128) -> (ProjectId, OrgId) {
        (ProjectId::from_bits(n), OrgId::from_bits(n / 10))
    }

    /// A hundred cores, ten cards, memory enough.
    fn all() -> Resources {
        Resources { memory: Bytes(1_000_000_000_000), ..take(100, 10) }
    }

    /// Each project waits, and had so many cores and cards from the first hour to the second.
    fn having(projects: &[(u128, u64, u64)]) -> Shares {
        let mut shares = Shares::default();
        for &(n, cores, cards) in projects {
            let (project, org) = id(n);
            shares.job_opened(project, org, at(0));
            shares.lease(project, org, &take(cores, cards), at(0));
            shares.release(project, org, &take(cores, cards), at(10 * HOUR));
        }
        shares
    }

    fn behind(shares: &Shares, n: u128, now: Time) -> Span {
        shares.standings(&all(), |_, _| (1, 1), now)[&id(n).0].behind
    }

    #[test]
    fn who_had_more_than_its_share_stands_behind_who_had_less_and_alone_nobody_does() {
        let shares = having(&[(10, 90, 0), (20, 10, 0)]);
        assert!(behind(&shares, 10, at(10 * HOUR)) > Span::from_secs(8 * HOUR));
        assert_eq!(behind(&shares, 20, at(10 * HOUR)), Span::ZERO);
        assert_eq!(behind(&having(&[(10, 100, 0)]), 10, at(10 * HOUR)), Span::ZERO);
        // Who wants nothing has no share and takes none.
        let mut left = having(&[(10, 90, 0), (20, 10, 0)]);
        left.job_ended(id(20).0, id(20).1, at(10 * HOUR));
        assert_eq!(behind(&left, 10, at(10 * HOUR)), Span::ZERO);
    }

    #[test]
    fn a_day_takes_half_of_it_away_and_a_month_all() {
        let mut shares = having(&[(10, 90, 0), (20, 10, 0)]);
        let used = |shares: &mut Shares, now| {
            let share = shares.projects.get_mut(&id(10).0).expect("it had some");
            share.count(now);
            share.used.cpu
        };
        let before = used(&mut shares, at(10 * HOUR));
        let after = used(&mut shares, at(34 * HOUR));
        assert!(before.abs_diff(2 * after) * 1_000 < before, "{before} {after}");
        assert_eq!(behind(&shares, 10, at(40 * 24 * HOUR)), Span::ZERO);
    }

    #[test]
    fn cards_count_as_the_part_of_all_cards_that_they_are() {
        // A tenth of the processors and half of the cards; half of the processors.
        let shares = having(&[(10, 10, 5), (20, 50, 0)]);
        let standings = shares.standings(&all(), |_, _| (1, 1), at(10 * HOUR));
        let (one, other) = (standings[&id(10).0], standings[&id(20).0]);
        assert_eq!((one.org_had, other.org_had), (500, 500));
        assert_eq!((one.behind, other.behind), (Span::ZERO, Span::ZERO));
    }

    #[test]
    fn a_weight_is_a_larger_share_and_a_project_answers_for_itself_within_its_organisation() {
        let shares = having(&[(10, 75, 0), (20, 25, 0)]);
        let three = |org, _| if org == id(10).1 { (3, 1) } else { (1, 1) };
        let standings = shares.standings(&all(), three, at(10 * HOUR));
        assert_eq!(standings[&id(10).0].behind, Span::ZERO);
        assert_eq!(standings[&id(10).0].org_share, 750);
        // Two projects of one organisation, one of which took all.
        let shares = having(&[(10, 90, 0), (11, 0, 0), (20, 10, 0)]);
        let now = at(10 * HOUR);
        assert!(behind(&shares, 10, now) > behind(&shares, 11, now));
        assert!(behind(&shares, 11, now) > behind(&shares, 20, now));
    }

    proptest! {
        #[test]
        fn nobody_is_behind_more_than_the_bound_and_somebody_not_at_all(
            projects in proptest::collection::btree_map(0_u128..50, (0_u64..1_000, 0_u64..50), 1..20),
            weights in proptest::collection::vec(1_u32..=WEIGHT_MAX, 50),
            later in 0_i64..1_000,
        ) {
            let projects: Vec<_> = projects.into_iter().map(|(n, (c, g))| (n, c, g)).collect();
            let shares = having(&projects);
            let weight = |bits: u128| weights[usize::try_from(bits).unwrap() % 50];
            let weights = |org: OrgId, project: ProjectId| (weight(org.bits()), weight(project.bits()));
            let standings = shares.standings(&all(), weights, at((10 + later) * HOUR));
            prop_assert_eq!(standings.len(), projects.len());
            prop_assert!(standings.values().all(|s| s.behind <= BEHIND_MAX && s.behind >= Span::ZERO));
            prop_assert!(standings.values().any(|s| s.behind == Span::ZERO));
        }
    }
}

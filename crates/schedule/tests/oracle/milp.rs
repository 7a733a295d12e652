//! The exact oracle of one round: a mixed-integer program over how many tasks of each job sit on
//! each node, and how its cards are shared, solved to the end by branch and bound.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::Resources;
use good_lp::{
    Constraint, Expression, ProblemVariables, ResolutionError, Solution, SolutionStatus,
    SolverModel, Variable, WithMipGap, WithTimeLimit, constraint, microlp, variable,
};

use crate::instance::Instance;
use crate::plain::{Spot, need, spots, together};

/// A count in the solver's numbers: all are far below 2⁵³, where every integer is one.
fn float(count: u64) -> f64 {
    count as f64
}

/// About one instance in a thousand is too hard for the solver: it is left out, and counted.
pub const SECONDS_MAX: f64 = 5.0;

/// The most of Σ value × tasks placed over all placements that the rules allow, where each job
/// gets no fewer tasks than `least` says. Gives how many tasks each job then has; none where the
/// solver did not come to an end in time.
pub fn best(instance: &Instance, value: &[u32], least: &[u32]) -> Option<Vec<u32>> {
    let spots = spots(instance);
    let sizes = sizes(instance, &spots);
    let mut vars = ProblemVariables::new();
    let mut rows: Vec<Constraint> = Vec::new();
    let mut nodes: Vec<Node> =
        spots.iter().map(|spot| Node::new(spot, &sizes, &mut vars)).collect();
    let mut counts: Vec<Expression> = Vec::new();
    for (job, least) in instance.jobs.iter().zip(least) {
        let tasks = job.tasks.len();
        let most = if job.gang.is_some() { 1 } else { tasks };
        let mut count = Expression::from(0.0);
        let mut groups: BTreeMap<String, (Variable, Expression)> = BTreeMap::new();
        for (at, spot) in spots.iter().enumerate() {
            let Some(need) = need(job, spot) else { continue };
            let most = nodes[at].most(&need, most);
            let here = vars.add(variable().integer().min(0.0).max(float(most)));
            count += here;
            if let Some(gang) = job.gang {
                let group = groups
                    .entry(together(gang.same, spot.pool))
                    .or_insert_with(|| (vars.add(variable().binary()), Expression::from(0.0)));
                group.1 += here;
            }
            nodes[at].take(here, &need);
        }
        if let Some(gang) = job.gang {
            let size = f64::from(gang.size);
            let mut chosen = Expression::from(0.0);
            for (group, members) in groups.into_values() {
                chosen += group;
                rows.push(constraint!(members == size * group));
            }
            rows.push(constraint!(chosen <= 1.0));
        }
        rows.push(constraint!(count.clone() <= float(tasks)));
        if *least > 0 {
            rows.push(constraint!(count.clone() >= f64::from(*least)));
        }
        counts.push(count);
    }
    for node in nodes {
        node.close(&mut rows);
    }
    let terms = counts.iter().zip(value).map(|(count, value)| count.clone() * f64::from(*value));
    let goal: Expression = terms.sum();
    // Values are whole, so what is proven to within less than one is proven.
    let all =
        instance.jobs.iter().zip(value).map(|(job, value)| job.tasks.len() * u64::from(*value));
    #[expect(clippy::cast_possible_truncation, reason = "a small number")]
    let gap = (0.9 / float(all.sum::<u64>().max(1))) as f32;
    let problem = vars.maximise(goal).using(microlp).with_time_limit(SECONDS_MAX);
    let mut problem = problem.with_mip_gap(gap).expect("it is above zero");
    for row in rows {
        problem.add_constraint(row);
    }
    let solution = match problem.solve() {
        Ok(solution) => solution,
        Err(ResolutionError::Other(_)) => return None,
        Err(error) => panic!("placing nothing, or what the planner placed, is allowed: {error}"),
    };
    match solution.status() {
        SolutionStatus::Optimal | SolutionStatus::GapLimit => {}
        SolutionStatus::TimeLimit => return None,
    }
    let count = |count: &Expression| whole(solution.eval(count.clone()));
    Some(counts.iter().map(count).collect())
}

/// What branch and bound leaves of a whole number.
fn whole(value: f64) -> u32 {
    let rounded = value.round();
    assert!((value - rounded).abs() < 1e-4 && rounded >= 0.0, "{value} is not whole");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seen to be small")]
    let count = rounded as u32;
    count
}

/// So much of something for each of so many.
type Item = (Variable, u64);

/// What may sit on a node: processors, memory and whole cards, and the parts of cards.
struct Node {
    has: [u64; 3],
    taken: [Vec<Item>; 3],
    /// For each size of a part: places for it on shared cards, and tasks that take one.
    parts: Vec<(u64, Expression, Expression)>,
}

impl Node {
    /// Cards are alike, so what counts is only how many are shared in which way. That is the
    /// formulation of cutting stock (Gilmore and Gomory, 1961): with a variable for each card the
    /// solver would go through all orders of the cards.
    fn new(spot: &Spot<'_>, sizes: &[u64], vars: &mut ProblemVariables) -> Self {
        let total = &spot.node.total;
        let mut parts: Vec<(u64, Expression, Expression)> =
            sizes.iter().map(|size| (*size, 0.0.into(), 0.0.into())).collect();
        let mut shared = Vec::new();
        for pattern in patterns(sizes).into_iter().filter(|_| spot.cards() > 0) {
            let cards = vars.add(variable().integer().min(0.0).max(float(spot.cards())));
            for ((_, places, _), count) in parts.iter_mut().zip(pattern) {
                *places += float(count) * cards;
            }
            // A card that is shared is none of the whole ones.
            shared.push((cards, 1));
        }
        let has = [total.cpu.0, total.memory.0, spot.cards()];
        Self { has, taken: [Vec::new(), Vec::new(), shared], parts }
    }

    /// The most tasks like this on the node alone.
    fn most(&self, need: &Resources, tasks: u64) -> u64 {
        let fit = |has: u64, need: u64| has.checked_div(need).unwrap_or(tasks);
        let cards = fit(self.has[2] * 1_000, need.accel.0);
        tasks.min(fit(self.has[0], need.cpu.0)).min(fit(self.has[1], need.memory.0)).min(cards)
    }

    fn take(&mut self, here: Variable, need: &Resources) {
        let (whole, part) = (need.accel.0 / 1_000, need.accel.0 % 1_000);
        self.taken[0].push((here, need.cpu.0));
        self.taken[1].push((here, need.memory.0));
        self.taken[2].push((here, whole));
        for (_, _, takers) in self.parts.iter_mut().filter(|(size, ..)| *size == part) {
            *takers += here;
        }
    }

    fn close(self, rows: &mut Vec<Constraint>) {
        for (items, has) in self.taken.iter().zip(self.has) {
            within(items, has, rows);
        }
        rows.extend(
            self.parts.into_iter().map(|(_, places, takers)| constraint!(takers <= places)),
        );
    }
}

/// The sizes of parts that anybody may ask for, the largest first.
fn sizes(instance: &Instance, spots: &[Spot<'_>]) -> Vec<u64> {
    let all = instance.jobs.iter().flat_map(|job| spots.iter().filter_map(|spot| need(job, spot)));
    let parts: BTreeSet<u64> = all.map(|need| need.accel.0 % 1_000).collect();
    parts.into_iter().filter(|part| *part > 0).rev().collect()
}

/// Every way to share one card so that nothing more finds room: how many of each size.
fn patterns(sizes: &[u64]) -> Vec<Vec<u64>> {
    fn go_on(sizes: &[u64], left: u64, so_far: &mut Vec<u64>, found: &mut Vec<Vec<u64>>) {
        let Some(size) = sizes.get(so_far.len()) else {
            if sizes.iter().all(|size| *size > left) && so_far.iter().any(|count| *count > 0) {
                found.push(so_far.clone());
            }
            return;
        };
        for count in 0..=left / size {
            so_far.push(count);
            go_on(sizes, left - count * size, so_far, found);
            so_far.pop();
        }
    }
    let mut found = Vec::new();
    go_on(sizes, 1_000, &mut Vec::new(), &mut found);
    found
}

/// The items take no more than there is. Beside that what follows from it for whole numbers: of what
/// is larger than a half there is one, of what is larger than a third there are two, and so on. It
/// takes no solution away, and most of the branching.
fn within(items: &[Item], has: u64, rows: &mut Vec<Constraint>) {
    let asking = || items.iter().filter(|item| item.1 > 0);
    if asking().count() == 0 {
        return;
    }
    let terms = asking().map(|(var, need)| float(*need) / float(has.max(1)) * *var);
    rows.push(constraint!(terms.sum::<Expression>() <= if has > 0 { 1.0 } else { 0.0 }));
    for parts in 2..=4 {
        let count = |need: u64| parts * need / (has + 1);
        let terms = asking().filter(|item| count(item.1) > 0);
        let terms: Vec<Expression> = terms.map(|(var, need)| float(count(*need)) * *var).collect();
        if terms.len() > 1 {
            rows.push(constraint!(terms.into_iter().sum::<Expression>() <= float(parts - 1)));
        }
    }
}

#[cfg(test)]
mod by_hand {
    use super::*;

    #[test]
    fn the_oracle_is_as_computed_by_hand() {
        let check = |cores: &[u64], asks: &[(u64, u64, u32)], least: &[u32], expect: u32| {
            let instance = Instance::by_hand(cores, asks);
            let served = best(&instance, &vec![1; asks.len()], least).expect("it is solved");
            assert_eq!(served.iter().sum::<u32>(), expect, "{asks:?}");
        };
        // Eight cores and eight: 5 + 3 twice, but not where the first takes 6.
        check(&[8, 8], &[(5, 0, 2), (3, 0, 2)], &[0, 0], 4);
        check(&[8, 8], &[(6, 0, 2), (3, 0, 2)], &[2, 0], 2);
        check(&[8, 8], &[(6, 0, 2), (3, 0, 4)], &[0, 0], 4);
        // Two cards a node: halves share one, 700 and 500 do not, 1,500 leaves a half.
        check(&[9], &[(1, 500, 4)], &[0], 4);
        check(&[9], &[(1, 700, 1), (1, 500, 2)], &[0, 0], 3);
        check(&[9], &[(1, 700, 2), (1, 500, 2)], &[2, 0], 2);
        check(&[9], &[(1, 1_500, 1), (1, 500, 2)], &[1, 0], 2);
        check(&[9], &[(1, 2_000, 1), (1, 250, 4)], &[0, 0], 4);
    }
}

//! A whole schedule: everything arrives at once, limits are what jobs take, and the planner runs
//! event by event with its eight reservations until all has ended. Beside it the exact best by a
//! time-indexed program: the least makespan, and the least mean slowdown of starts (wait over
//! length, the weights by which the order of the queue is made).

use std::collections::BTreeMap;

use dayan_schedule::{Change, JobAsk, LeaseEnd, Policy, Work};
use dayan_units::{JobId, Span, Time};
use good_lp::{
    Constraint, Expression, ProblemVariables, ResolutionError, Solution, SolutionStatus,
    SolverModel, Variable, WithTimeLimit, constraint, microlp, variable,
};

use crate::draws::{first, instances};
use crate::instance::{Instance, NOW, SLOT};
use crate::milp::SECONDS_MAX;
use crate::plain::{Spot, check, need, spots, together};
use crate::spread::Spread;

fn slots(span: Span) -> usize {
    usize::try_from(span.micros() / SLOT.micros()).expect("small")
}

/// Jobs that some empty node or set of nodes can serve.
fn possible(mut instance: Instance) -> Instance {
    let fits = |job: &JobAsk| !options(job, &spots(&instance)).is_empty();
    let jobs = instance.jobs.iter().filter(|job| fits(job)).cloned().collect();
    instance.jobs = jobs;
    instance
}

/// The sets of nodes that a job could run on.
fn options(job: &JobAsk, spots: &[Spot<'_>]) -> Vec<Vec<usize>> {
    let fit: Vec<usize> = (0..spots.len()).filter(|at| need(job, &spots[*at]).is_some()).collect();
    let Some(gang) = job.gang else { return fit.into_iter().map(|at| vec![at]).collect() };
    assert_eq!(gang.size, 2, "as these instances are drawn");
    let one_group = |a: usize, b: usize| {
        together(gang.same, spots[a].pool) == together(gang.same, spots[b].pool)
    };
    let pairs = fit.iter().flat_map(|a| fit.iter().map(move |b| (*a, *b)));
    let pairs = pairs.filter(|(a, b)| a < b && one_group(*a, *b));
    pairs.map(|(a, b)| vec![a, b]).collect()
}

/// When each job starts, in slots, in the order of the instance's jobs.
fn by_planner(instance: &Instance) -> Vec<usize> {
    let mut planner = instance.planner(Policy::default());
    let mut starts: BTreeMap<JobId, Time> = BTreeMap::new();
    let mut running = Vec::new();
    let mut now = NOW;
    loop {
        let plan = planner.plan(now, Work::UNBOUNDED);
        for (task, seat) in plan.seats() {
            let job = instance.jobs.iter().find(|job| job.job == task.job).expect("queued");
            let end = now.plus(job.ask.time);
            let attempt = task.attempt(1);
            planner.observe(&Change::LeasePlaced {
                licenses: std::collections::BTreeMap::new(),
                payer: dayan_schedule::Payer {
                    project: dayan_units::ProjectId::from_bits(1),
                    org: dayan_units::OrgId::from_bits(1),
                },
                attempt,
                pool: seat.pool,
                node: seat.node.clone(),
                resources: seat.resources,
                cards: seat.cards,
                end: LeaseEnd { expected: end, latest: end },
                tenure: dayan_schedule::Tenure::Kept,
            });
            starts.insert(task.job, now);
            running.push((end, attempt, seat.clone()));
        }
        // All that runs now is one plan that must hold by itself.
        let mut together = plan;
        together.placements = of(instance, &running);
        check(instance, &together).unwrap_or_else(|why| panic!("{why}: {instance:?}"));
        let Some(next) = running.iter().map(|(end, ..)| *end).min() else { break };
        now = next;
        let (ended, still): (Vec<_>, Vec<_>) = running.into_iter().partition(|run| run.0 == now);
        running = still;
        for (_, attempt, _) in ended {
            planner.observe(&Change::LeaseEnded { attempt });
        }
    }
    let start = |job: &JobAsk| {
        let start = starts.get(&job.job).unwrap_or_else(|| panic!("{:?} starves", job.job));
        slots(start.since(NOW))
    };
    instance.jobs.iter().map(start).collect()
}

/// What runs, as placements.
fn of(
    instance: &Instance,
    running: &[(Time, dayan_units::AttemptId, dayan_schedule::Seat)],
) -> Vec<dayan_schedule::Placement> {
    let of_job = |job: &JobAsk| {
        let own = running.iter().filter(|run| run.1.job == job.job);
        dayan_schedule::Placement {
            job: job.job,
            project: job.project,
            atomicity: dayan_schedule::Atomicity::Each,
            seats: own.map(|run| run.2.clone()).collect(),
        }
    };
    let all = instance.jobs.iter().map(of_job);
    all.filter(|placement| !placement.seats.is_empty()).collect()
}

#[derive(Clone, Copy)]
enum Goal {
    Makespan,
    Slowdown,
}

fn makespan(instance: &Instance, starts: &[usize]) -> usize {
    let ends = instance.jobs.iter().zip(starts).map(|(job, start)| start + slots(job.ask.time));
    ends.max().unwrap_or(0)
}

fn slowdown(instance: &Instance, starts: &[usize]) -> f64 {
    let each = instance.jobs.iter().zip(starts);
    let sum: f64 = each.map(|(job, start)| 1.0 + *start as f64 / slots(job.ask.time) as f64).sum();
    sum / instance.jobs.len().max(1) as f64
}

/// The best schedule that ends within the horizon; none where the solver does not end in time.
fn exact(instance: &Instance, goal: Goal, horizon: usize) -> Option<Vec<usize>> {
    let spots = spots(instance);
    let mut vars = ProblemVariables::new();
    let mut rows: Vec<Constraint> = Vec::new();
    // Of each node and slot: processors, memory, cards.
    let mut taken: Vec<[Expression; 3]> =
        (0..spots.len() * horizon).map(|_| [0.0, 0.0, 0.0].map(Expression::from)).collect();
    let end = vars.add(variable().min(0.0).max(horizon as f64));
    let mut begins: Vec<Vec<(usize, Variable)>> = Vec::new();
    let mut slowdown = Expression::from(0.0);
    for job in &instance.jobs {
        let length = slots(job.ask.time);
        let (mut once, mut ends) = (Expression::from(0.0), Expression::from(0.0));
        let mut begin = Vec::new();
        for nodes in options(job, &spots) {
            for start in 0..=horizon.saturating_sub(length) {
                let here = vars.add(variable().binary());
                once += here;
                ends += (start + length) as f64 * here;
                slowdown += (start as f64 / length as f64) * here;
                begin.push((start, here));
                for &node in &nodes {
                    let need = need(job, &spots[node]).expect("one of its options");
                    for slot in &mut taken[node * horizon + start..node * horizon + start + length]
                    {
                        slot[0] += need.cpu.0 as f64 / 1e3 * here;
                        slot[1] += need.memory.0 as f64 / 1e9 * here;
                        slot[2] += need.accel.0 as f64 / 1e3 * here;
                    }
                }
            }
        }
        rows.push(constraint!(once == 1.0));
        rows.push(constraint!(ends <= end));
        begins.push(begin);
    }
    for (at, [cpu, memory, cards]) in taken.into_iter().enumerate() {
        let has = &spots[at / horizon].node.total;
        rows.push(constraint!(cpu <= has.cpu.0 as f64 / 1e3));
        rows.push(constraint!(memory <= has.memory.0 as f64 / 1e9));
        rows.push(constraint!(cards <= has.accel.0 as f64 / 1e3));
    }
    let goal = match goal {
        Goal::Makespan => Expression::from(end),
        Goal::Slowdown => slowdown,
    };
    let mut problem = vars.minimise(goal).using(microlp).with_time_limit(SECONDS_MAX);
    for row in rows {
        problem.add_constraint(row);
    }
    let solution = match problem.solve() {
        Ok(solution) => solution,
        Err(ResolutionError::Other(_)) => return None,
        Err(error) => panic!("the planner's own schedule is one: {error}"),
    };
    match solution.status() {
        SolutionStatus::Optimal => {}
        SolutionStatus::GapLimit | SolutionStatus::TimeLimit => return None,
    }
    let start = |begin: &Vec<(usize, Variable)>| {
        let chosen = begin.iter().find(|(_, here)| solution.value(*here) > 0.5);
        chosen.expect("it starts once").0
    };
    Some(begins.iter().map(start).collect())
}

#[test]
fn a_schedule_with_reservations_is_near_the_exact_best() {
    let (mut long, mut slow) = (Spread::default(), Spread::default());
    let (count, mut unsolved) = (instances(200) / 5, 0);
    for seed in first()..first() + count {
        let instance = possible(Instance::for_time(seed));
        if instance.jobs.len() < 2 {
            continue;
        }
        let ours = by_planner(&instance);
        let length = makespan(&instance, &ours);
        // A schedule with less slowdown may end later than ours.
        let horizon = length + 2;
        let shortest = exact(&instance, Goal::Makespan, length);
        let Some((shortest, gentlest)) = shortest.zip(exact(&instance, Goal::Slowdown, horizon))
        else {
            unsolved += 1;
            continue;
        };
        let best = makespan(&instance, &shortest);
        long.add((length as f64 / best.max(1) as f64 - 1.0) * 100.0);
        let least = slowdown(&instance, &gentlest);
        slow.add((slowdown(&instance, &ours) / least - 1.0) * 100.0);
    }
    println!("makespan over the least:      {long}");
    println!("mean slowdown over the least: {slow}");
    println!("not solved in time, left out: {unsolved}");
    assert!(unsolved * 20 <= count, "{unsolved} are not solved");
    // About twice what other seeds gave: a change for the worse is seen, other draws are not.
    assert!(count < 40 || long.mean() < 25.0, "{long}");
    assert!(count < 40 || slow.mean() < 12.0, "{slow}");
}

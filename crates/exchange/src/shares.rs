//! How the projects stand to each other that want something now: what each had beside what is meant
//! for it, and how far behind its jobs stand for it. What they had is counted in the state; here are
//! the weights and what there is to share.

use std::collections::BTreeMap;

use dayan_identity::Status;
use dayan_units::{ProjectId, Resources, Span, Time};

use crate::state::{Standing, State, WEIGHT};

/// How often the planner is told how projects stand: what they had halves in a day, and a step is a
/// quarter of an hour.
pub const SHARES_EVERY: Span = Span::from_secs(60);

/// How those projects stand that want something now.
pub fn standings(state: &State, now: Time) -> BTreeMap<ProjectId, Standing> {
    let active = state.supply.pools.values().filter(|pool| pool.status == Status::Active);
    let nodes = active.flat_map(|pool| &pool.shown.nodes);
    // More than can be counted is not less than there is.
    let add = |sum: Resources, total| sum.checked_add(total).unwrap_or(sum);
    let all = nodes.map(|node| &node.total).fold(Resources::ZERO, add);
    let access = &state.access;
    let weights = |org, project| {
        let org = access.orgs.get(&org).map_or(WEIGHT, |org| org.weight);
        (org, access.projects.get(&project).map_or(WEIGHT, |project| project.weight))
    };
    state.work.shares.standings(&all, weights, now)
}

/// The projects whose jobs stand behind the moments they are due, and how much.
pub fn behind(state: &State, now: Time) -> BTreeMap<ProjectId, Span> {
    let standings = standings(state, now).into_iter();
    standings
        .filter(|(_, standing)| standing.behind > Span::ZERO)
        .map(|(project, standing)| (project, standing.behind))
        .collect()
}

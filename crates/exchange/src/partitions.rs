//! Partitions of Slurm by what jobs call them: which pools a job may go to that names some.
//!
//! A pool is one partition, called by its own name, whatever its engine, or by Slurm's. Where its provider lets
//! jobs say `partition`, it reaches the cluster's others as well; that counts only for those that no pool is.
//! Must not know how a pool is chosen among those.

use std::collections::{BTreeMap, BTreeSet};

use dayan_identity::Status;
use dayan_spec::JobSpec;

use crate::changes::slurm_word;
use crate::state::{Pool, State};

/// The key of `backend.slurm` that this is about.
pub const PARTITION: &str = "partition";
/// The lines of an inventory: its partition, and all that its cluster has.
const OWN: &str = "slurm.partition";
const ALL: &str = "slurm.partitions";

/// What a job asks for that names a partition, and a pool shows that serves it: people read it where a
/// pool refuses.
fn word(name: &str) -> String {
    format!("partition `{name}`")
}

/// The names of a list as Slurm takes it.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// What a job names; none: it does not say.
fn asked(spec: &JobSpec) -> Option<BTreeSet<&str>> {
    let names: BTreeSet<&str> = listed(spec.backend.slurm.get(PARTITION)?).collect();
    (!names.is_empty()).then_some(names)
}

/// What a pool is called as a partition.
pub fn names(pool: &Pool) -> BTreeSet<&str> {
    let own = pool.shown.inventory.get(OWN).map(String::as_str);
    [Some(pool.name.as_str()), own].into_iter().flatten().collect()
}

/// Other partitions that its jobs may name.
fn reached(pool: &Pool) -> BTreeSet<&str> {
    if !pool.shown.features.contains(&slurm_word(PARTITION)) {
        return BTreeSet::new();
    }
    pool.shown.inventory.get(ALL).map(|all| listed(all).collect()).unwrap_or_default()
}

fn active(state: &State) -> impl Iterator<Item = &Pool> {
    state.supply.pools.values().filter(|pool| pool.status == Status::Active)
}

/// Those of them that no pool is.
fn served_beside<'a>(state: &'a State, pool: &'a Pool) -> BTreeSet<&'a str> {
    let mut reached = reached(pool);
    if !reached.is_empty() {
        for name in active(state).flat_map(names) {
            reached.remove(name);
        }
    }
    reached
}

/// What a pool shows the planner.
pub(crate) fn shown(state: &State, pool: &Pool) -> BTreeSet<String> {
    names(pool).into_iter().chain(served_beside(state, pool)).map(word).collect()
}

/// Pools that show something else when others come, go or are called otherwise.
pub(crate) fn reaching(state: &State) -> impl Iterator<Item = &Pool> {
    active(state).filter(|pool| !reached(pool).is_empty())
}

/// What a pool must show one of; empty: any will do.
pub(crate) fn asks(spec: &JobSpec) -> BTreeSet<String> {
    asked(spec).into_iter().flatten().map(word).collect()
}

/// Says what there is where nobody has any of what a job names.
pub(crate) fn missing(state: &State, spec: &JobSpec) -> Option<String> {
    let asked = asked(spec)?;
    let of = |pool| -> BTreeSet<&str> { names(pool).into_iter().chain(reached(pool)).collect() };
    let all: BTreeSet<&str> = active(state).flat_map(of).collect();
    if !all.is_disjoint(&asked) {
        return None;
    }
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let there = if all.is_empty() {
        "no pool takes work now".to_owned()
    } else {
        format!("there are: {}", list(all))
    };
    Some(format!("no pool is called by partition `{}`; {there}", list(asked)))
}

/// What a job says to the Slurm of the pool that it has gone to. The pool is its partition: that is
/// its agent's to say, whatever the job calls it.
pub fn words(state: &State, pool: &Pool, spec: &JobSpec) -> BTreeMap<String, String> {
    let mut words = spec.backend.slurm.clone();
    let Some(asked) = asked(spec) else { return words };
    if names(pool).is_disjoint(&asked) {
        // Of several, those that the cluster has and no pool is; or was, when it was placed here.
        let beside = served_beside(state, pool);
        let reached = if beside.is_disjoint(&asked) { reached(pool) } else { beside };
        let there: Vec<&str> = asked.into_iter().filter(|name| reached.contains(name)).collect();
        if !there.is_empty() {
            words.insert(PARTITION.to_owned(), there.join(","));
        }
    } else {
        words.remove(PARTITION);
    }
    words
}

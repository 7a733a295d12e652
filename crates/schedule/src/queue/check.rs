//! The queue checks itself: lines, heads and registrations are counted again.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::ProjectId;

use super::{ClassIx, Demand, Standing};
use crate::line::{Heads, Line};

impl Demand {
    /// Recomputes lines, heads and registrations; the message names the first difference.
    pub fn check(&self) -> Result<(), String> {
        let mut lines: BTreeMap<(ClassIx, ProjectId), Line> = BTreeMap::new();
        let mut users: BTreeMap<ClassIx, u32> = BTreeMap::new();
        let mut strict = 0;
        for (ix, job) in self.jobs.iter() {
            *users.entry(job.class).or_default() += 1;
            let ready = self.is_ready(job);
            let waits = job.strict && !job.pending.is_empty();
            let line = self.strict.get(&job.project);
            if waits != line.is_some_and(|line| line.contains(&(job.key.submitted_at, job.key.job)))
            {
                return Err(format!("{} is strict and waits: {waits}", job.key.job));
            }
            strict += usize::from(waits);
            if ready != job.in_line {
                return Err(format!("{} is ready: {ready}, in line: {}", job.key.job, job.in_line));
            }
            if ready {
                lines.entry((job.class, job.project)).or_default().insert((job.key, ix));
            }
        }
        if strict != self.strict.values().map(BTreeSet::len).sum::<usize>() {
            return Err("a strict job that does not wait keeps others waiting".to_owned());
        }
        let mut registered = 0;
        for (ix, class) in self.classes.iter() {
            if users.get(&ix).copied().unwrap_or(0) != class.jobs {
                return Err(format!("class {ix} counts {} jobs", class.jobs));
            }
            let mut heads = Heads::default();
            let mut len = 0;
            for (&(_, project), line) in
                lines.range((ix, ProjectId::from_bits(0))..=(ix, ProjectId::from_bits(u128::MAX)))
            {
                len += 1;
                if class.lines.get(&project) != Some(line) {
                    return Err(format!("the line of {project} in class {ix} differs"));
                }
                let first = line.first().ok_or("an empty line was kept")?;
                if self.is_open(ix, project) {
                    heads.insert((first.0.behind(self.behind_of(project)), first.1));
                }
            }
            if len != class.lines.len() || heads != class.heads {
                return Err(format!("class {ix} has other lines or heads"));
            }
            if class.registered != heads.first().map(|head| head.0) {
                return Err(format!("class {ix} is registered under another head"));
            }
            if let Some(head) = class.registered {
                registered += 1;
                let set = match class.standing {
                    Standing::Active => &self.active,
                    Standing::NoRoom => &self.no_room,
                    Standing::Infeasible => &self.infeasible,
                };
                if !set.contains(&(head, ix)) {
                    return Err(format!("class {ix} is not in its set"));
                }
            }
        }
        if registered != self.active.len() + self.no_room.len() + self.infeasible.len() {
            return Err("a set holds a class that does not wait".to_owned());
        }
        self.check_lifted()?;
        self.check_capped()
    }
}

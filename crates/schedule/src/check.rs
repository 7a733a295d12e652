//! The planner checks itself: every index is recomputed from scratch and compared. In tests after
//! every step, live on demand.

use std::collections::BTreeMap;

use dayan_units::Time;

use crate::judge::{Choice, Judge};
use crate::later::When;
use crate::order::Keeps;
use crate::planner::Planner;
use crate::queue::{Class, Standing};
use crate::score::Order;
use crate::short::Floor;

impl Planner {
    /// Recomputes every index from scratch and compares; the message names the first difference.
    pub fn consistency_check(&self) -> Result<(), String> {
        self.estate.check()?;
        self.estate.check_calendar()?;
        self.demand.check()?;
        self.check_running()?;
        self.check_classes()
    }

    fn check_running(&self) -> Result<(), String> {
        let mut running = BTreeMap::new();
        for (ix, lease) in self.estate.leases.iter() {
            let (job, known) = match lease.holder {
                crate::estate::Holder::Attempt(attempt) => {
                    (attempt.job, self.estate.attempts.get(&attempt))
                }
                crate::estate::Holder::Seat(task) => (task.job, self.seats.get(&task)),
                crate::estate::Holder::Others => {
                    if self.estate.pools[lease.pool as usize].others.contains(&ix) {
                        continue;
                    }
                    return Err("a part that others hold is not among those of its pool".to_owned());
                }
            };
            if known != Some(&ix) {
                return Err(format!("a lease of {job} is not found under its holder"));
            }
            *running.entry(job).or_insert(0u32) += 1;
        }
        if running == self.demand.all_running() {
            Ok(())
        } else {
            Err("other counts of running tasks".to_owned())
        }
    }

    fn check_classes(&self) -> Result<(), String> {
        let Some(judged_at) = self.judged_at else { return Ok(()) };
        if !self.estate.dirty.is_empty() {
            // Verdicts are mended at the start of the next round; until then there is nothing to
            // compare them with.
            return Ok(());
        }
        for (ix, class) in self.demand.classes.iter() {
            if class.stale || class.registered.is_none() {
                continue;
            }
            let order = Order::of(&class.key.prefer, &self.policy);
            // Without the short ways that most asks allow.
            let judge = self.judge(class.wish(), &order, judged_at);
            let judge = Judge { plain: None, ..judge };
            let fresh = self.verdict(&judge);
            let place = |choice: &Choice, needs: &[crate::fit_tree::Need]| {
                let need = needs[usize::from(choice.need)];
                (choice.bay, choice.offer, choice.alternative, need)
            };
            let kept: Vec<_> = class.choices.iter().map(|c| place(c, &class.needs)).collect();
            let made: Vec<_> = fresh.choices.iter().map(|c| place(c, &fresh.needs)).collect();
            if kept != made || fresh.refused != class.refused || fresh.counts != class.counts {
                return Err(format!("class {ix} remembers another verdict"));
            }
            if (class.standing == Standing::Infeasible) != class.choices.is_empty() {
                return Err(format!("class {ix} is wrongly held for infeasible"));
            }
            self.check_closed(ix, class)?;
        }
        Ok(())
    }

    /// Where a class thinks there is no room, there is none but what was touched since.
    fn check_closed(&self, ix: u32, class: &Class) -> Result<(), String> {
        let mut open = 0;
        let when = When::now(self.planned_at.unwrap_or(Time::EPOCH), class.ask.time);
        for (at, choice) in class.choices.iter().enumerate() {
            if !class.closed.contains(choice.bay) {
                open += 1;
                if at < class.cursor {
                    return Err(format!("class {ix} has passed an open choice"));
                }
                continue;
            }
            let need = &class.needs[usize::from(choice.need)];
            let bay = &self.estate.bays[choice.bay];
            let (mut from, mut work) = (0, 0);
            while let Some(node) = bay.first_fit(need, when, from, &mut work) {
                let at = crate::estate::NodeAt { bay: choice.bay, node };
                let told = self.estate.touched.contains(&at) || self.owed.contains_key(&at);
                if class.key.gang.is_none() && !told && !self.is_kept(ix, class, choice) {
                    return Err(format!(
                        "class {ix} overlooks room on {}",
                        self.estate.node(at).name
                    ));
                }
                from = node as usize + 1;
            }
        }
        if class.standing == Standing::NoRoom && open > 0 {
            return Err(format!("class {ix} stands aside with {open} open choices"));
        }
        Ok(())
    }

    /// Is there too little room beside what the class leaves, or is it to look again because that may
    /// have changed?
    fn is_kept(&self, ix: u32, class: &Class, choice: &Choice) -> bool {
        let now = self.planned_at.unwrap_or(Time::EPOCH);
        let Some(head) = class.registered.filter(|_| class.key.keeps > Keeps::NOTHING) else {
            return false;
        };
        let pool = self.estate.pool_of(choice.bay);
        let mut touched = self.estate.touched.iter().chain(self.owed.keys());
        let need = &class.needs[usize::from(choice.need)].resources;
        let floor = Floor::of(&self.estate, [pool], &mut 0);
        let leaves = self.demand.leaves(ix, head, now);
        leaves.is_some_and(|leaves| !leaves.are_left(&floor, need, 1))
            || touched.any(|at| self.estate.pool_of(at.bay) == pool)
            || self.demand.undue.contains(&(head.due, ix))
    }
}

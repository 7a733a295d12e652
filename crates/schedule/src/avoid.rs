//! Pools that a job keeps off for a while, after it failed or was refused there: it wishes otherwise
//! than its likes then, so it changes its class, and changes it back when the time is over.
//! Must not know why it keeps off.

use dayan_units::Time;

use crate::change::Avoid;
use crate::queue::{Demand, Job, JobIx};

impl Demand {
    pub(crate) fn drop_timers(&mut self, job: &Job) {
        let avoid = &self.classes[job.class].key.avoid;
        if let Some(first) = avoid.iter().map(|avoid| avoid.until).min() {
            self.timers.remove(&(first, job.key.job));
        }
    }

    /// Keeps a job out of pools for a while.
    pub(crate) fn avoid(&mut self, ix: JobIx, more: &[Avoid]) {
        if more.is_empty() {
            return;
        }
        let mut avoid = self.classes[self.jobs[ix].class].key.avoid.clone();
        for new in more {
            match avoid.iter_mut().find(|old| old.pool == new.pool) {
                Some(old) => old.until = old.until.max(new.until),
                None => avoid.push(*new),
            }
        }
        avoid.sort_by_key(|avoid| avoid.pool);
        self.rejoin(ix, avoid);
    }

    /// Ends the back-offs that are over.
    pub(crate) fn end_avoids(&mut self, now: Time) {
        while let Some(&(until, job)) = self.timers.first()
            && until <= now
        {
            let ix = self.job_ids[&job];
            let mut avoid = self.classes[self.jobs[ix].class].key.avoid.clone();
            avoid.retain(|avoid| avoid.until > now);
            self.rejoin(ix, avoid);
        }
    }

    fn rejoin(&mut self, ix: JobIx, avoid: Vec<Avoid>) {
        self.leave_line(ix);
        let job = self.jobs[ix].clone();
        self.drop_timers(&job);
        let (mut key, ask) =
            ((*self.classes[job.class].key).clone(), self.classes[job.class].ask.clone());
        if let Some(first) = avoid.iter().map(|avoid| avoid.until).min() {
            self.timers.insert((first, job.key.job));
        }
        key.avoid = avoid;
        let class = self.join_class(key, &ask);
        self.leave_class(job.class);
        self.jobs[ix].class = class;
        self.relink(ix);
    }
}

//! Schedules: submitted, paused, resumed, taken back, and fired. What fires becomes a job like any
//! other, or is left out with a reason that its owner sees; either way the schedule goes on.

use dayan_spec::{CatchUp, Overlap};
use dayan_units::{ScheduleId, Span, Time};

use super::{Ask, Decision, Made};
use crate::authorize::{Action, Resource, authorize, authorized};
use crate::calendar::Calendar;
use crate::command::{Actor, Firing, Submit, Tell};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::{
    Gate, MAKE_UP_MAX, Project, RUNS_ALIVE_MAX, Run, SCHEDULES_MAX, Schedule, SpecKey,
};

/// A run that is made later was missed: the exchange was away. Cron counts in minutes, so that
/// never two runs of a line are on time at once.
const ON_TIME: Span = Span::from_secs(60);

impl Ask<'_> {
    /// A job file that says when it runs.
    pub(super) fn make_schedule(
        &self,
        submit: &Submit,
        rule: &dayan_spec::Schedule,
        project: &Project,
    ) -> Result<Decision, Refusal> {
        let spec = submit.spec.as_ref();
        if submit.quote.is_some() {
            return Err(Refusal::invalid(
                "quote.schedule",
                "a firm quote is for one job, and a schedule makes many",
                "submit the schedule without the quote; its runs pay what is listed then",
            ));
        }
        // Whether there is money is asked when a run is due: it may come in until then.
        self.check_priority(spec, project.org)?;
        self.check_offered(spec)?;
        self.check_places(spec)?;
        self.check_kept(spec)?;
        self.check_currency(spec)?;
        let work = &self.state.work;
        let own = |schedule: &&Schedule| schedule.org == project.org && schedule.ended.is_none();
        let own = || work.schedules.all.values().filter(own);
        if own().count() >= SCHEDULES_MAX {
            return Err(Refusal::conflict(
                "schedule.limit",
                format!("your organisation has {SCHEDULES_MAX} schedules"),
                "cancel one that is not needed any more",
            ));
        }
        let named = |schedule: &&Schedule| work.specs[&schedule.spec()].spec.name == spec.name;
        let twin = own().filter(|schedule| schedule.project == project.id).find(named);
        if let Some(twin) = twin {
            return Err(Refusal::conflict(
                "schedule.exists",
                format!("`{}` has a schedule `{}` already: {}", project.path, spec.name, twin.id),
                "cancel that one first, or give this one another name: both would run",
            ));
        }
        let next = Calendar::new(rule)?.after(self.now).ok_or_else(|| {
            Refusal::invalid(
                "schedule.never",
                format!("no day is ever named by `{}`", rule.cron),
                "correct the day of month or the month",
            )
        })?;
        let id = ScheduleId::from_bits(self.ids.bits());
        let mut events = Vec::with_capacity(2);
        events.extend(self.spec_stored(SpecKey::of(&submit.digest), &submit.spec));
        events.push(Event::ScheduleMade {
            schedule: id,
            project: project.id,
            org: project.org,
            digest: submit.digest,
            next,
            key: submit.idempotency.clone(),
        });
        Ok(Decision { events, effects: Vec::new(), made: Made::Schedule(id, Some(next)) })
    }

    /// The schedule, if the actor may do this to it.
    fn schedule(&self, id: ScheduleId, action: Action) -> Result<&Schedule, Refusal> {
        let found = self.state.work.schedules.all.get(&id);
        let unknown = || {
            Refusal::not_found(
                "schedule.unknown",
                format!("there is no schedule {id}"),
                "list them with `dayan ps --schedules`",
            )
        };
        authorized(self.actor, Resource::Job, action, found, |found| found.org, unknown)
    }

    pub(super) fn tell_schedule(&self, id: ScheduleId, tell: Tell) -> Result<Decision, Refusal> {
        let action = match tell {
            Tell::Pause | Tell::Resume => Action::Update,
            Tell::Cancel => Action::Delete,
        };
        let schedule = self.schedule(id, action)?;
        match (tell, schedule.ended, schedule.gate) {
            (Tell::Cancel, Some(_), _)
            | (Tell::Pause, None, Gate::Paused)
            | (Tell::Resume, None, Gate::Open) => Ok(Decision::nothing()),
            (Tell::Pause | Tell::Resume, Some(_), _) => Err(Refusal::conflict(
                "schedule.ended",
                format!("{id} was cancelled"),
                "submit its file again",
            )),
            (Tell::Cancel, None, _) => Ok(Decision::one(Event::ScheduleEnded { schedule: id })),
            (Tell::Pause, None, Gate::Open) => {
                Ok(Decision::one(Event::SchedulePaused { schedule: id }))
            }
            // What was due meanwhile was left out by wish.
            (Tell::Resume, None, Gate::Paused) => {
                let next = Calendar::new(self.state.work.rule_of(schedule))?.after(self.now);
                Ok(Decision::one(Event::ScheduleResumed { schedule: id, next }))
            }
        }
    }

    /// A run is due. A run that was decided before, or that is not due, is nothing: what fires
    /// twice makes one job.
    pub(super) fn fire(&self, firing: &Firing) -> Result<Decision, Refusal> {
        let run = firing.run;
        if *self.actor != Actor::System {
            authorize(self.actor, Resource::Exchange, Action::Update, None)?;
        }
        let work = &self.state.work;
        let found = work.schedules.all.get(&run.schedule);
        let Some(schedule) = found.filter(|of| of.is_open() && run.due <= self.now) else {
            return Ok(Decision::nothing());
        };
        let rule = work.rule_of(schedule);
        if schedule.to_make_up(rule.overlap) == Some(run.due) {
            return Ok(self.make(schedule, rule, firing));
        }
        if schedule.next != Some(run.due) {
            return Ok(Decision::nothing());
        }
        let calendar = match Calendar::new(rule) {
            Ok(calendar) => calendar,
            // Its zone has left the table: nobody knows any more when it is due.
            Err(refusal) => {
                let mut decision = self.skip(schedule, run, &refusal);
                decision
                    .events
                    .push(Event::ScheduleAdvanced { schedule: run.schedule, next: None });
                return Ok(decision);
            }
        };
        let Due { now, make_up, left_out } =
            self.sort_out(&calendar, rule, run.due, MAKE_UP_MAX - schedule.missed.len());
        let mut decision = Decision::default();
        if left_out.is_some() || !make_up.is_empty() {
            decision.events.push(Event::RunsMissed {
                schedule: run.schedule,
                org: schedule.org,
                left_out,
                make_up,
            });
        }
        let next = calendar.after(self.now);
        decision.events.push(Event::ScheduleAdvanced { schedule: run.schedule, next });
        if let Some(due) = now {
            let made = Firing { run: Run { due, ..run }, ..firing.clone() };
            let Decision { events, effects, made } = self.make(schedule, rule, &made);
            decision.events.extend(events);
            decision.effects.extend(effects);
            decision.made = made;
        }
        Ok(decision)
    }

    /// What to do with all that was due from a moment until now.
    /// At most `room` of it is made up for later.
    fn sort_out(
        &self,
        calendar: &Calendar,
        rule: &dayan_spec::Schedule,
        from: Time,
        room: usize,
    ) -> Due {
        // One more than is ever made up for: with it the last that is left out is known.
        let mut all = calendar.newest(from, self.now, MAKE_UP_MAX + 1);
        // A newer table of zones may not know the moment any more that an older one promised.
        if all.is_empty() {
            all.push(from);
        }
        let fresh = |at: &Time| self.now.since(*at) < ON_TIME;
        let wanted = |at: &Time| {
            let within = |span| self.now.since(*at) <= span;
            fresh(at) || rule.catch_up_within.is_none_or(within)
        };
        let kept = match (rule.catch_up, all.iter().all(fresh)) {
            (_, true) => all.len(),
            (CatchUp::None, false) => all.iter().filter(|at| fresh(at)).count(),
            (CatchUp::Latest, false) => all.last().filter(|at| wanted(at)).iter().count(),
            (CatchUp::All, false) => all.iter().filter(|at| wanted(at)).count().min(room),
        };
        let kept = all.split_off(all.len() - kept);
        let left_out = all.last().map(|last| (from, *last));
        match rule.catch_up {
            CatchUp::All if !kept.iter().all(fresh) => Due { now: None, make_up: kept, left_out },
            CatchUp::All | CatchUp::None | CatchUp::Latest => {
                Due { now: kept.last().copied(), make_up: Vec::new(), left_out }
            }
        }
    }

    /// Makes the run's job, or leaves it out.
    fn make(
        &self,
        schedule: &Schedule,
        rule: &dayan_spec::Schedule,
        Firing { run, admission }: &Firing,
    ) -> Decision {
        let run = *run;
        if let Some((job, due)) = schedule.alive.last_key_value() {
            let refusal = match rule.overlap {
                Overlap::Forbid => Some(Refusal::conflict(
                    "schedule.overlap",
                    format!("{job}, due at {due}, has not ended"),
                    "write `overlap: allow` or `replace`, or let it be due less often",
                )),
                Overlap::Allow | Overlap::Replace => {
                    (schedule.alive.len() >= RUNS_ALIVE_MAX).then(|| {
                        Refusal::conflict(
                            "schedule.too_many",
                            format!("{RUNS_ALIVE_MAX} of its runs have not ended"),
                            "let it be due less often",
                        )
                    })
                }
            };
            if let Some(refusal) = refusal {
                return self.skip(schedule, run, &refusal);
            }
        }
        let stored = &self.state.work.specs[&schedule.spec()];
        let submit = Submit {
            spec: stored.spec.clone(),
            digest: schedule.digest,
            quote: None,
            idempotency: None,
            admission: admission.clone(),
            // What will be in the data store when its tasks start is not known yet.
            data: Vec::new(),
        };
        let project = &self.state.access.projects[&schedule.project];
        let made = match self.accept(&submit, project, Some(run)) {
            Ok(made) => made,
            Err(refusal) => return self.skip(schedule, run, &refusal),
        };
        let mut decision = Decision::default();
        if rule.overlap == Overlap::Replace {
            for job in schedule.alive.keys() {
                // It lives, and the exchange may: there is nothing to refuse.
                let Ok(old) = self.cancel(*job, None) else { continue };
                decision.events.extend(old.events);
                decision.effects.extend(old.effects);
            }
        }
        decision.events.extend(made.events);
        decision.effects.extend(made.effects);
        decision.made = made.made;
        decision
    }

    fn skip(&self, schedule: &Schedule, run: Run, refusal: &Refusal) -> Decision {
        Decision::one(Event::RunSkipped {
            schedule: run.schedule,
            org: schedule.org,
            due: run.due,
            code: refusal.code.clone().into_owned(),
            message: refusal.message.clone(),
        })
    }
}

/// What is done with the runs that are due.
struct Due {
    /// Is made at once.
    now: Option<Time>,
    /// Are made one after the other, oldest first.
    make_up: Vec<Time>,
    /// Are not made: the first and the last of them.
    left_out: Option<(Time, Time)>,
}

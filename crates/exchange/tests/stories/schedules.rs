//! Schedules: what fires when, what is left out and why, and that nothing fires twice.

use dayan_exchange::{
    Came, Command, Event, Firing, JobEnd, Made, PastRun, RUNS_REMEMBERED, Run, Schedule, State,
    Tell, changes, due, liveness::Liveness, planning::Planning,
};
use dayan_identity::Nonce;
use dayan_units::{JobId, Micro, ScheduleId, Span, Time};

use super::story::{Story, exits, first, seconds};

/// Every hour at twenty past.
const HOURLY: &str = "{cron: '20 * * * *'}";

fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

/// An hour and minute of the day on which stories begin.
fn at(clock: &str) -> Time {
    time(&format!("2026-11-23T{clock}:00Z"))
}

impl Story {
    fn schedules(&mut self, rule: &str, more: &str) -> ScheduleId {
        let submit = self.submission(&format!("schedule: {rule}\n{more}"), None);
        match self.does(submit) {
            Made::Schedule(schedule, Some(_)) => schedule,
            other => panic!("{other:?}"),
        }
    }

    fn schedule(&self, id: ScheduleId) -> &Schedule {
        &self.state.work.schedules.all[&id]
    }

    fn last(&self, id: ScheduleId) -> &PastRun {
        self.schedule(id).runs.back().expect("one is behind")
    }

    /// What the timers would do at this time, and again until nothing is due.
    fn fires(&mut self, now: Time) {
        self.now = now;
        for _ in 0..200 {
            let runs: Vec<Run> = self.state.work.runs_due(now).collect();
            if runs.is_empty() {
                return;
            }
            for run in runs {
                let mut command = Command::fire(run);
                if let (Command::Fire(firing), Some(seek)) =
                    (&mut command, due::to_admit(&self.state, &Command::fire(run), now))
                {
                    let mut planning = Planning::default();
                    planning.observe(&changes::everything(&self.state, now));
                    firing.admission = planning.admit(&seek.ask, &seek.spec, seek.start, now);
                }
                self.does(command);
            }
        }
        panic!("it never comes to an end");
    }

    /// The jobs of a schedule that live, by when they were due.
    fn alive(&self, id: ScheduleId) -> Vec<Time> {
        self.schedule(id).alive.values().copied().collect()
    }

    fn job_due(&self, id: ScheduleId, due: Time) -> JobId {
        let jobs = self.state.work.jobs.values();
        let run = Some(Run { schedule: id, due });
        jobs.filter(|job| job.run == run).map(|job| job.id).next().expect("it was made")
    }

    fn runs_well(&mut self, job: JobId) {
        self.places(job, &[0]);
        self.ends(first(job, 0), exits(0));
        assert_eq!(self.ended(job), Some(JobEnd::Succeeded));
    }

    /// The journal gives the state, and so does what a snapshot holds.
    pub fn is_replayed(&self) {
        let mut replayed = State::default();
        for entry in &self.entries {
            let text = serde_json::to_string(entry).expect("events are plain data");
            replayed.evolve(&serde_json::from_str(&text).expect("as it was written"));
        }
        assert_eq!(replayed, self.state);
        let snapshot = serde_json::to_string(&self.state).expect("a state is plain data");
        assert_eq!(serde_json::from_str::<State>(&snapshot).expect("as written"), self.state);
    }
}

#[test]
fn a_schedule_makes_a_job_each_time_it_is_due() {
    let mut story = Story::new();
    let deadline = "deadline: {finish_within: 30m, kind: hard}\n";
    let id = story.schedules(HOURLY, deadline);
    assert_eq!(story.schedule(id).next, Some(at("04:20")));
    assert!(story.state.work.jobs.is_empty(), "it is no job itself");
    story.fires(at("04:19"));
    assert!(story.schedule(id).runs.is_empty());
    // The timers look twice a second.
    story.fires(at("04:20").plus(seconds(1)));
    let job = story.job_due(id, at("04:20"));
    let record = &story.state.work.jobs[&job];
    assert_eq!(story.state.work.name_of(record), "j@2026-11-23T04:20Z");
    assert_eq!(
        record.deadline,
        Some(at("04:50")),
        "from when it was due, not from when it was made"
    );
    assert_eq!(story.schedule(id).next, Some(at("05:20")));
    story.runs_well(job);
    assert_eq!(story.alive(id), []);
    let came = Came::Made { job, ended: Some((story.now, JobEnd::Succeeded)) };
    assert_eq!(story.last(id), &PastRun { due: at("04:20"), came });
    story.fires(at("05:20"));
    assert_ne!(story.job_due(id, at("05:20")), job);
    story.is_replayed();
}

#[test]
fn what_fires_twice_makes_one_job() {
    let mut story = Story::new();
    let id = story.schedules("{cron: '20 * * * *', overlap: allow}", "");
    let run = Run { schedule: id, due: at("04:20") };
    // Nobody can be early, either.
    story.does(Command::fire(run));
    assert!(story.state.work.jobs.is_empty());
    story.now = at("04:20");
    let made = story.does(Command::fire(run));
    let Made::Job(job) = made else { panic!("{made:?}") };
    let before = story.state.clone();
    assert_eq!(story.does(Command::fire(run)), Made::Nothing);
    assert_eq!(story.does(Command::fire(Run { due: at("04:19"), ..run })), Made::Nothing);
    assert_eq!(story.state, before);
    // Before a crash that lost the commit it would have made the same job.
    let mut other = Story::new();
    let twin = other.schedules("{cron: '20 * * * *', overlap: allow}", "");
    assert_eq!(twin, id);
    other.now = at("04:20").plus(seconds(3));
    other.requests += 77 << 64;
    assert_eq!(other.does(Command::fire(run)), Made::Job(job));
}

#[test]
fn a_run_that_is_due_while_one_lives_is_left_out_kept_beside_or_put_in_its_place() {
    let overlapping = |overlap: &str| {
        let mut story = Story::new();
        let id = story.schedules(&format!("{{cron: '20 * * * *', overlap: {overlap}}}"), "");
        story.fires(at("04:20"));
        let old = story.job_due(id, at("04:20"));
        story.places(old, &[0]);
        story.says(first(old, 0), dayan_exchange::Seen::Running, None);
        story.fires(at("05:20"));
        story.is_replayed();
        (story, id, old)
    };
    let (mut story, id, old) = overlapping("forbid");
    assert_eq!(story.alive(id), [at("04:20")]);
    let Came::Skipped { code, message } = &story.last(id).came else { panic!("it overlaps") };
    assert_eq!(code, "schedule.overlap");
    assert_eq!(message, &format!("{old}, due at 2026-11-23T04:20:00Z, has not ended"));
    // The schedule goes on.
    story.ends(first(old, 0), exits(0));
    story.fires(at("06:20"));
    assert_eq!(story.alive(id), [at("06:20")]);

    let (story, id, _) = overlapping("allow");
    assert_eq!(story.alive(id), [at("04:20"), at("05:20")]);

    let (mut story, id, old) = overlapping("replace");
    let stop = story.state.work.leases[&first(old, 0)].stop;
    assert_eq!(stop, Some(dayan_exchange::StopReason::Cancelled));
    assert_eq!(story.alive(id), [at("04:20"), at("05:20")], "it lives until it has stopped");
    story.ends(first(old, 0), dayan_exchange::Outcome::Stopped);
    assert_eq!(story.ended(old), Some(JobEnd::Cancelled));
    assert_eq!(story.alive(id), [at("05:20")]);
    // One that only waits is gone at once.
    story.fires(at("06:20"));
    assert_eq!(story.alive(id), [at("06:20")]);
}

#[test]
fn runs_that_were_missed_are_made_up_for_as_the_file_says() {
    // From 04:00 until 09:00 nobody was there: 04:20 to 08:20 are missed.
    let away = |catch_up: &str| {
        let mut story = Story::new();
        let id = story.schedules(&format!("{{cron: '20 * * * *', {catch_up}}}"), "");
        story.fires(at("09:00"));
        assert_eq!(story.schedule(id).next, Some(at("09:20")), "{catch_up}");
        story.is_replayed();
        (story, id)
    };
    let missed = |story: &Story, id| match story.schedule(id).runs.front() {
        Some(PastRun { due, came: Came::Missed { until } }) => Some((*due, *until)),
        _ => None,
    };

    let (story, id) = away("catch_up: none");
    assert_eq!(missed(&story, id), Some((at("04:20"), at("08:20"))));
    assert!(story.state.work.jobs.is_empty());

    let (story, id) = away("catch_up: latest");
    assert_eq!(missed(&story, id), Some((at("04:20"), at("07:20"))));
    assert_eq!(story.alive(id), [at("08:20")]);
    // Not told, it is the latest.
    let (story, id) = away("overlap: forbid");
    assert_eq!(story.alive(id), [at("08:20")]);

    let (story, id) = away("catch_up: latest, catch_up_within: 30m");
    assert_eq!(missed(&story, id), Some((at("04:20"), at("08:20"))));
    assert!(story.state.work.jobs.is_empty());

    // All of them, one after the other.
    let (mut story, id) = away("catch_up: all, catch_up_within: 3h");
    assert_eq!(missed(&story, id), Some((at("04:20"), at("05:20"))));
    for (due, left) in [("06:20", 2), ("07:20", 1), ("08:20", 0)] {
        story.fires(story.now);
        assert_eq!(story.alive(id), [at(due)]);
        assert_eq!(story.schedule(id).missed.len(), left);
        story.runs_well(story.job_due(id, at(due)));
    }
    story.is_replayed();
    // Where they may overlap, at once.
    let (story, id) = away("catch_up: all, overlap: allow");
    assert_eq!(story.alive(id).len(), 5);
}

#[test]
fn a_short_absence_is_none_and_a_long_one_has_an_end() {
    // Half a minute late: on time.
    let mut story = Story::new();
    let id = story.schedules("{cron: '20 * * * *', catch_up: none}", "");
    story.fires(at("04:20").plus(seconds(30)));
    assert_eq!(story.alive(id), [at("04:20")]);
    // A year of minutes: a hundred are made up for, and that does not take longer than one.
    let mut story = Story::new();
    let rule = "{cron: '* * * * *', catch_up: all}";
    let id = story.schedules(rule, "");
    let late = story.now.plus(Span::from_secs(366 * 86_400 + 30));
    story.now = late;
    let runs: Vec<Run> = story.state.work.runs_due(late).collect();
    assert_eq!(runs.len(), 1);
    story.does(Command::fire(runs[0]));
    let schedule = story.schedule(id);
    assert_eq!(schedule.missed.len(), dayan_exchange::MAKE_UP_MAX);
    assert_eq!(schedule.missed.back(), Some(&late.minus(seconds(30))));
    let left_out = schedule.runs.front().expect("most of them");
    assert_eq!(left_out.due, at("04:01"));
    assert_eq!(left_out.came, Came::Missed { until: late.minus(seconds(30 + 100 * 60)) });
    story.is_replayed();
}

#[test]
fn without_money_a_run_is_left_out_with_the_reason_and_the_schedule_goes_on() {
    let mut story = Story::new();
    let id = story.schedules(HOURLY, "");
    let project = story.state.access.project_by_path("buyer/a").expect("created").id;
    let limit = |per_day| {
        let budget = dayan_market::BudgetLimits { per_day, ..Default::default() };
        Command::SetBudget { project, budget }
    };
    story.does(limit(Some(Micro(1))));
    story.fires(at("04:20"));
    let Came::Skipped { code, .. } = &story.last(id).came else { panic!("nobody pays") };
    assert_eq!(code, "market.budget_day");
    let told = story.events.iter().any(|event| {
        matches!(event, Event::RunSkipped { due, code, .. }
            if *due == at("04:20") && code == "market.budget_day")
    });
    assert!(told, "an event says so");
    story.does(limit(None));
    story.fires(at("05:20"));
    assert_eq!(story.alive(id), [at("05:20")]);
}

#[test]
fn a_run_that_can_no_longer_meet_its_hard_deadline_is_left_out() {
    let mut story = Story::new();
    // Ten minutes of work within half an hour: twenty minutes late is too late, twelve is not.
    let id = story.schedules(HOURLY, "deadline: {finish_within: 30m, kind: hard}\n");
    story.fires(at("04:41"));
    let Came::Skipped { code, .. } = &story.last(id).came else { panic!("it is too late") };
    assert_eq!(code, "deadline.hopeless");
    story.fires(at("05:32"));
    assert_eq!(story.alive(id), [at("05:20")]);
}

#[test]
fn paused_it_makes_nothing_and_what_was_due_meanwhile_is_not_made_up_for() {
    let mut story = Story::new();
    let id = story.schedules(HOURLY, "");
    let tell = |tell| Command::TellSchedule { schedule: id, tell };
    story.does(tell(Tell::Pause));
    story.does(tell(Tell::Pause));
    story.fires(at("06:30"));
    assert!(story.schedule(id).runs.is_empty());
    story.does(tell(Tell::Resume));
    story.fires(at("06:31"));
    assert!(story.schedule(id).runs.is_empty());
    story.fires(at("07:20"));
    assert_eq!(story.alive(id), [at("07:20")]);
    story.is_replayed();
}

#[test]
fn taken_back_it_ends_what_it_made_goes_on_and_it_leaves_memory() {
    let mut story = Story::new();
    let id = story.schedules(HOURLY, "");
    story.fires(at("04:20"));
    let job = story.job_due(id, at("04:20"));
    let tell = |tell| Command::TellSchedule { schedule: id, tell };
    story.does(tell(Tell::Cancel));
    story.does(tell(Tell::Cancel));
    let refused = story.asks(tell(Tell::Resume)).expect_err("it has ended");
    assert_eq!(refused.code, "schedule.ended");
    story.fires(at("05:20"));
    assert_eq!(story.alive(id), [at("04:20")]);
    // Its job may outlive it.
    story.passes(seconds(3_600));
    let liveness = Liveness::new(story.now);
    let nonce = || Nonce([0; 32]);
    let commands = due::due(&story.state, &liveness, story.now, Span::MAX, nonce);
    let retire = commands.into_iter().find(|command| matches!(command, Command::Retire { .. }));
    story.does(retire.expect("it is due"));
    assert!(story.state.work.schedules.is_empty());
    story.runs_well(job);
    story.is_replayed();
}

#[test]
fn only_so_many_runs_are_remembered() {
    let mut story = Story::new();
    let id = story.schedules(HOURLY, "");
    for hour in 4..20 {
        story.fires(at(&format!("{hour:02}:20")));
        if let Some(due) = story.alive(id).first().copied() {
            story.runs_well(story.job_due(id, due));
        }
    }
    assert_eq!(story.schedule(id).runs.len(), RUNS_REMEMBERED);
    assert_eq!(story.last(id).due, at("19:20"));
    let forget = Command::Retire { before: Time::NEVER, jobs_max: 100 };
    story.does(forget);
    assert!(story.state.work.jobs.is_empty());
    assert_eq!(story.state.work.specs.len(), 1, "the schedule holds its file");
    story.is_replayed();
}

#[test]
fn what_a_schedule_cannot_be_is_refused_when_it_is_submitted() {
    let check = |rule: &str, expect: &str| {
        let mut story = Story::new();
        let submit = story.submission(&format!("schedule: {rule}\n"), None);
        let refused = story.asks(submit).expect_err(rule);
        assert_eq!(refused.code, expect, "{refused:?}");
    };
    check("{cron: '0 0 31 2 *'}", "schedule.never");
    check("{cron: '0 0 * * *', timezone: Mars/Olympus}", "schedule.timezone");
    // Twice the same would run everything twice.
    let mut story = Story::new();
    let id = story.schedules(HOURLY, "");
    let again = story.submission("schedule: {cron: '30 * * * *'}\n", None);
    assert_eq!(story.asks(again.clone()).expect_err("a twin").code, "schedule.exists");
    story.does(Command::TellSchedule { schedule: id, tell: Tell::Cancel });
    story.does(again);
}

#[test]
fn a_repeated_submission_is_the_same_schedule() {
    let mut story = Story::new();
    let keyed = |story: &Story, rule: &str| {
        let Command::Submit(mut submit) = story.submission(rule, None) else { panic!("one") };
        submit.idempotency = Some("nightly".to_owned());
        Command::Submit(submit)
    };
    let submit = keyed(&story, "schedule: {cron: '20 * * * *'}\n");
    let made = story.does(submit.clone());
    let before = story.state.clone();
    assert_eq!(story.does(submit), made);
    assert_eq!(story.state, before);
    for other in ["schedule: {cron: '21 * * * *'}\n", ""] {
        let Command::Submit(mut submit) = keyed(&story, other) else { panic!("one") };
        submit.digest = dayan_exchange::Digest([9; 32]);
        let refused = story.asks(Command::Submit(submit)).expect_err("used");
        assert_eq!(refused.code, "submit.key_used");
    }
}

#[test]
fn the_hard_deadline_of_a_run_is_promised_when_it_is_due_or_the_run_is_left_out() {
    let mut story = Story::new();
    let hard = "deadline: {finish_within: 30m, kind: hard}\n";
    let id = story.schedules("{cron: '20 * * * *', overlap: allow}", hard);
    let run = |clock| Run { schedule: id, due: at(clock) };
    // Nobody asked the planner: it is not made, and the schedule goes on.
    story.now = at("04:20");
    story.does(Command::fire(run("04:20")));
    let PastRun { came, .. } = story.last(id).clone();
    assert!(
        matches!(&came, Came::Skipped { code, .. } if code == "deadline.not_sought"),
        "{came:?}"
    );
    assert_eq!(story.schedule(id).next, Some(at("05:20")));
    // As the timers do it, a moment late: the deadline counts from when it was due.
    story.now = at("05:20").plus(seconds(5));
    let due = Command::fire(run("05:20"));
    let seek = due::to_admit(&story.state, &due, story.now).expect("its deadline is hard");
    assert_eq!(seek.start, at("05:20"));
    let mut planning = Planning::default();
    planning.observe(&changes::everything(&story.state, story.now));
    let admission = planning.admit(&seek.ask, &seek.spec, seek.start, story.now);
    let firing = Firing { run: run("05:20"), admission };
    let Made::Job(job) = story.does(Command::Fire(Box::new(firing))) else { panic!("a job") };
    let made: Vec<_> = story.state.work.promises.of_job(job).collect();
    assert_eq!((made.len(), made[0].from), (1, story.now));
    assert!(made[0].until <= at("05:50"));
    story.is_replayed();
    // Of those missed it is the newest that is sought for.
    let late = due::to_admit(&story.state, &Command::fire(run("06:20")), at("08:30"));
    assert_eq!(late.expect("its deadline is hard").start, at("08:20"));
}

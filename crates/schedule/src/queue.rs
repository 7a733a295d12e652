//! The demand: jobs in queue order, grouped so that a round looks at groups, not at jobs.
//!
//! Jobs whose wishes are equal form a *class*: they share one verdict on every pool and one
//! knowledge of where there is no room. In a class each project has a *line*, ordered by
//! [`JobKey`]; the first of all open lines is the class's head. Before lines are compared, the first
//! of each is moved back by what its project is behind: that is the same for a whole line, so the
//! order in a line never changes. Classes that wait are registered under their head's key in exactly
//! one of three sets, by their standing.
//!
//! Invariant: a job is in its line exactly when it is ready (a task waits and may start, money
//! apart); a class is registered exactly when an open line of it is not empty. Knows nothing of
//! nodes.

mod check;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use dayan_units::{JobId, Micro, OrgId, ProjectId, Span, Time};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::ask::{Ask, GangAsk, JobAsk, Pin};
use crate::capped::Capped;
use crate::change::Avoid;
use crate::estate::PoolIx;
use crate::fit_tree::Need;
use crate::judge::{Choice, Wish};
use crate::line::{Heads, Line};
use crate::order::{BEHIND_MAX, Keeps, ShortJobs, ShortWork, due_at, due_now};
use crate::policy::Preference;
use crate::quota::Payers;
use crate::reason::ReasonCode;
use crate::slots::{BitSet, Slots};
use crate::tasks::Tasks;
use crate::urgent::Soft;

pub(crate) type ClassIx = u32;
pub(crate) type JobIx = u32;
type AskIx = u32;

/// Classes without jobs are kept for the next job of their kind, as judging all pools afresh is the
/// dearest step there is: at 12 bytes a choice and 1,000 pools this many take 100 MB.
const IDLE_CLASSES_MAX: usize = 8_192;

/// A job's place in the queue: higher priority first, then by the moment it is due, then age, then
/// id. It does not change while the job waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct JobKey {
    pub priority: Reverse<i32>,
    pub due: Time,
    pub submitted_at: Time,
    pub job: JobId,
}

impl JobKey {
    /// A place behind every job.
    pub const LAST: Self = Self {
        priority: Reverse(i32::MIN),
        due: Time::NEVER,
        submitted_at: Time::NEVER,
        job: JobId::from_bits(u128::MAX),
    };
    /// Where a job stands by itself, as long as its deadline can be met.
    pub fn of(ask: &JobAsk) -> Self {
        Self {
            priority: Reverse(ask.priority),
            due: Soft::of(ask).map_or_else(|| due_at(ask), Soft::due),
            submitted_at: ask.submitted_at,
            job: ask.job,
        }
    }
    /// Where it stands when it is looked at now.
    pub fn at(ask: &JobAsk, now: Time) -> Self {
        Self { due: due_now(ask, now), ..Self::of(ask) }
    }
    /// The place of a job whose project is so much behind.
    pub fn behind(self, behind: Span) -> Self {
        Self { due: self.due.plus(behind), ..self }
    }
}

/// What makes two jobs equal in wishes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ClassKey {
    ask: AskIx,
    org: OrgId,
    buyer_class: Arc<str>,
    pub gang: Option<GangAsk>,
    pin: Option<Pin>,
    max_unit_price: Option<Micro>,
    max_task_price: Option<Micro>,
    pub prefer: Vec<Preference>,
    pub avoid: Vec<Avoid>,
    /// How much room its jobs leave while they are not due.
    pub keeps: Keeps,
}

/// In which set a class that waits is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It may find room: to be tried.
    Active,
    /// It found none, and nothing has changed for it since.
    NoRoom,
    /// No pool would take it, even empty.
    Infeasible,
}

#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub key: Arc<ClassKey>,
    pub ask: Arc<Ask>,
    /// The time limit of a task, as the ask says.
    pub limit: Span,
    /// Must the verdict on all pools be made again?
    pub stale: bool,
    /// Which of the times that timed verdicts were made it was made at.
    pub judged: u64,
    pub needs: SmallVec<[Need; 1]>,
    /// The places that would do, the best first.
    pub choices: Arc<[Choice]>,
    /// The reason of each pool that would not, by pool.
    pub refused: Vec<(PoolIx, ReasonCode)>,
    pub counts: BTreeMap<ReasonCode, u32>,
    /// For a gang: choices (by index) that are close enough together, best first.
    pub domains: Vec<Vec<u32>>,
    /// Bays where no unmasked node has room for it.
    pub closed: BitSet,
    /// All choices before this one are closed.
    pub cursor: usize,
    jobs: u32,
    pub lines: FxHashMap<ProjectId, Line>,
    heads: Heads,
    pub standing: Standing,
    pub registered: Option<JobKey>,
}

impl Class {
    pub fn wish(&self) -> Wish<'_> {
        Wish {
            ask: &self.ask,
            org: self.key.org,
            buyer_class: &self.key.buyer_class,
            gang: self.key.gang,
            pin: self.key.pin,
            max_unit_price: self.key.max_unit_price,
            max_task_price: self.key.max_task_price,
            avoid: &self.key.avoid,
        }
    }
    /// Do its verdicts depend on the moment?
    pub fn is_timed(&self) -> bool {
        self.ask.delay.is_some() || !self.ask.data.is_empty()
    }
    /// The job to look at next.
    pub fn head(&self) -> Option<JobIx> {
        self.heads.first().map(|(_, job)| *job)
    }
    /// A part of each cache line that a placement reads of it.
    pub fn far(&self) -> u64 {
        let need = self.needs.first().map_or(0, |need| need.resources.cpu.0);
        let sizes = self.refused.len() + self.domains.len() + self.lines.len() + self.choices.len();
        let stands = u64::from(self.registered.is_some()) + u64::from(self.jobs);
        need + sizes as u64 + stands + self.cursor as u64 + u64::from(self.closed.is_empty())
    }
    pub fn reopen(&mut self) {
        self.closed.clear();
        self.cursor = 0;
    }
}

/// The most one task may cost where the job as a whole has a cap.
pub(crate) fn task_price_cap(ask: &JobAsk) -> Option<Micro> {
    let cap = ask.max_price?;
    let tasks = i64::try_from(ask.tasks_total.max(1)).unwrap_or(i64::MAX);
    Some(Micro(cap.0.div_euclid(tasks)))
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub key: JobKey,
    pub class: ClassIx,
    pub project: ProjectId,
    pub payers: Payers,
    pub pending: Tasks,
    pub max_parallel: Option<u32>,
    pub gang: Option<GangAsk>,
    pub expected: Option<Span>,
    /// How many leases and tentative seats it holds.
    pub running: u32,
    strict: bool,
    /// Nothing of it starts before.
    begin: Option<Time>,
    in_line: bool,
    /// What its soft deadline does to its place.
    pub soft: Option<Soft>,
}

impl Job {
    /// A part of each cache line that a placement reads of it.
    pub fn far(&self) -> u64 {
        let flags = u64::from(self.in_line) + u64::from(self.expected.is_some());
        let counts = u64::from(self.running) + u64::from(self.max_parallel.unwrap_or(0));
        let account = self.payers.accounts().next().map_or(0, u64::from);
        let gang = self.gang.map_or(0, |gang| u64::from(gang.size));
        flags + counts + account + gang + self.pending.len() + u64::from(self.soft.is_some())
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    asks: FxHashMap<Arc<Ask>, (AskIx, u32)>,
    next_ask: AskIx,
    pub classes: Slots<Class>,
    class_ids: FxHashMap<Arc<ClassKey>, ClassIx>,
    /// How often verdicts that depend on the moment had to be made again.
    timed: u64,
    idle: VecDeque<ClassIx>,
    pub jobs: Slots<Job>,
    pub job_ids: FxHashMap<JobId, JobIx>,
    /// Leases and tentative seats of jobs that are not among these.
    pub running: FxHashMap<JobId, u32>,
    /// Strict jobs that wait, by project, in their order of arrival.
    strict: FxHashMap<ProjectId, BTreeSet<(Time, JobId)>>,
    pub blocked_projects: BTreeMap<ProjectId, String>,
    /// Lines that wait for their quota.
    pub capped: Capped,
    /// How much later than they are due the jobs of a project stand; none, where not at all.
    behind: FxHashMap<ProjectId, Span>,
    project_classes: FxHashMap<ProjectId, BTreeSet<ClassIx>>,
    pub active: BTreeSet<(JobKey, ClassIx)>,
    pub no_room: BTreeSet<(JobKey, ClassIx)>,
    pub infeasible: BTreeSet<(JobKey, ClassIx)>,
    /// When jobs begin that may not begin yet.
    begins: BTreeSet<(Time, JobId)>,
    /// The same by job.
    asleep: FxHashMap<JobId, Time>,
    /// When jobs must start that a soft deadline lifts.
    pub lifted: BTreeSet<(Time, JobId)>,
    /// When the first back-off of a job ends.
    pub timers: BTreeSet<(Time, JobId)>,
    /// Buyer classes by name, so that a million jobs share one text.
    buyer_classes: BTreeSet<Arc<str>>,
    /// What is short and came lately.
    pub short_jobs: ShortJobs,
    /// The widest of it, for which room is left.
    pub short: ShortWork,
    /// When the first jobs of classes that leave room are due; some of it long past.
    pub undue: BTreeSet<(Time, ClassIx)>,
}

impl Demand {
    pub fn asks_len(&self) -> usize {
        self.asks.len()
    }

    /// A job joins the queue, or joins it again in another form.
    pub fn queue(&mut self, ask: &JobAsk, payers: Payers) {
        self.remove(ask.job);
        let key = ClassKey {
            ask: self.intern_ask(&ask.ask),
            org: ask.org,
            buyer_class: self.intern_text(&ask.buyer_class),
            gang: ask.gang,
            pin: ask.quote,
            max_unit_price: ask.max_unit_price,
            max_task_price: task_price_cap(ask),
            prefer: ask.prefer.clone(),
            avoid: Vec::new(),
            keeps: ask.keeps(),
        };
        let class = self.join_class(key, &ask.ask);
        let job = Job {
            key: JobKey::of(ask),
            class,
            project: ask.project,
            payers,
            pending: ask.tasks.clone(),
            max_parallel: ask.max_parallel,
            gang: ask.gang,
            expected: ask.expected,
            running: self.take_running(ask.job),
            strict: ask.strict,
            begin: ask.begin,
            in_line: false,
            soft: Soft::of(ask),
        };
        let ix = self.jobs.add(job);
        self.job_ids.insert(ask.job, ix);
        self.sleep(ask.job, ask.begin);
        self.lift(ask.job, Soft::of(ask));
        self.relink(ix);
    }

    /// Nothing of a job starts before its beginning, nor before the hour it waits for.
    pub fn hold(&mut self, ix: JobIx, until: Option<Time>) {
        let job = &self.jobs[ix];
        let id = job.key.job;
        if until.is_some() || self.asleep.contains_key(&id) {
            self.sleep(id, job.begin.max(until));
            self.link(ix);
        }
    }

    fn sleep(&mut self, job: JobId, until: Option<Time>) {
        if let Some(before) = self.asleep.remove(&job) {
            self.begins.remove(&(before, job));
        }
        if let Some(until) = until {
            self.begins.insert((until, job));
            self.asleep.insert(job, until);
        }
    }

    pub fn remove(&mut self, job: JobId) {
        let Some(ix) = self.job_ids.remove(&job) else { return };
        self.line_up(ix, false);
        self.leave_line(ix);
        self.sleep(job, None);
        let job = self.jobs.take(ix);
        self.leave_running(&job);
        self.unlift(job.key.job, job.soft);
        self.drop_timers(&job);
        self.leave_class(job.class);
    }

    fn intern_text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.buyer_classes.get(text) {
            return known.clone();
        }
        let text: Arc<str> = Arc::from(text);
        self.buyer_classes.insert(text.clone());
        text
    }

    fn intern_ask(&mut self, ask: &Arc<Ask>) -> AskIx {
        if let Some(&(ix, _)) = self.asks.get(ask) {
            return ix;
        }
        let ix = self.next_ask;
        self.next_ask += 1;
        self.asks.insert(ask.clone(), (ix, 0));
        ix
    }

    pub fn join_class(&mut self, key: ClassKey, ask: &Arc<Ask>) -> ClassIx {
        if let Some(&ix) = self.class_ids.get(&key) {
            self.classes[ix].jobs += 1;
            return ix;
        }
        let (known, users) = match self.asks.get_key_value(ask) {
            Some((known, &(ix, users))) => (known.clone(), (ix, users)),
            None => (ask.clone(), (key.ask, 0)),
        };
        self.asks.insert(known.clone(), (users.0, users.1 + 1));
        let key = Arc::new(key);
        let class = Class {
            key: Arc::clone(&key),
            limit: known.time,
            ask: known,
            stale: true,
            judged: 0,
            needs: SmallVec::new(),
            choices: Arc::default(),
            refused: Vec::new(),
            counts: BTreeMap::new(),
            domains: Vec::new(),
            closed: BitSet::default(),
            cursor: 0,
            jobs: 1,
            lines: FxHashMap::default(),
            heads: Heads::default(),
            standing: Standing::Active,
            registered: None,
        };
        let ix = self.classes.add(class);
        self.class_ids.insert(key, ix);
        ix
    }

    pub fn leave_class(&mut self, ix: ClassIx) {
        let class = &mut self.classes[ix];
        class.jobs -= 1;
        if class.jobs > 0 {
            return;
        }
        // A back-off is hardly ever wished for twice.
        if !class.key.avoid.is_empty() {
            self.drop_class(ix);
            return;
        }
        self.idle.push_back(ix);
        while self.idle.len() > IDLE_CLASSES_MAX {
            let oldest = self.idle.pop_front().expect("longer than the bound");
            if self.classes.get(oldest).is_some_and(|class| class.jobs == 0) {
                self.drop_class(oldest);
            }
        }
    }

    fn drop_class(&mut self, ix: ClassIx) {
        let class = self.classes.take(ix);
        self.class_ids.remove(&class.key);
        let users = self.asks.get_mut(&class.ask).expect("held while a class uses it");
        users.1 -= 1;
        if users.1 == 0 {
            self.asks.remove(&class.ask);
        }
    }

    /// Puts the job into its line or takes it out, as its tasks and limits say now.
    pub fn relink(&mut self, ix: JobIx) {
        self.line_up(ix, !self.jobs[ix].pending.is_empty());
        self.link(ix);
    }

    /// Keeps the strict jobs of a project in their order of arrival: the first that waits is ready.
    fn line_up(&mut self, ix: JobIx, waits: bool) {
        let job = &self.jobs[ix];
        if !job.strict {
            return;
        }
        let (project, place) = (job.project, (job.key.submitted_at, job.key.job));
        let line = self.strict.entry(project).or_default();
        let before = line.first().copied();
        if waits {
            line.insert(place);
        } else {
            line.remove(&place);
        }
        let after = line.first().copied();
        if after.is_none() {
            self.strict.remove(&project);
        }
        if before != after {
            let others = [before, after].into_iter().flatten().filter(|other| *other != place);
            for (_, other) in others.collect::<SmallVec<[_; 2]>>() {
                self.link(self.job_ids[&other]);
            }
        }
    }

    /// The strict job of its project that it waits for.
    pub fn behind(&self, job: &Job) -> Option<JobId> {
        if !job.strict {
            return None;
        }
        let first = self.strict.get(&job.project)?.first()?.1;
        (first != job.key.job).then_some(first)
    }

    /// May a task of it be placed, room and money apart?
    fn is_ready(&self, job: &Job) -> bool {
        if self.sleeps_until(job).is_some() || self.behind(job).is_some() {
            return false;
        }
        match job.gang {
            Some(gang) => job.pending.len() >= u64::from(gang.size.max(1)),
            None => {
                !job.pending.is_empty() && job.max_parallel.is_none_or(|most| job.running < most)
            }
        }
    }

    /// Jobs whose moment has come may be placed.
    pub fn wake(&mut self, now: Time) {
        self.lose_deadlines(now);
        self.see_short(now);
        self.come_due(now);
        while let Some(&(begin, job)) = self.begins.first().filter(|(begin, _)| *begin <= now) {
            self.begins.remove(&(begin, job));
            self.asleep.remove(&job);
            self.link(self.job_ids[&job]);
        }
    }
    /// When the job begins, if that is not yet.
    pub fn sleeps_until(&self, job: &Job) -> Option<Time> {
        if self.asleep.is_empty() { None } else { self.asleep.get(&job.key.job).copied() }
    }

    /// May a task of it be placed, room apart?
    pub fn may_start(&self, ix: JobIx) -> bool {
        let job = &self.jobs[ix];
        self.is_ready(job) && !self.blocked_projects.contains_key(&job.project)
    }
    /// How many more of its tasks may run than do.
    pub fn may_run_more(&self, ix: JobIx) -> u64 {
        let job = &self.jobs[ix];
        job.max_parallel.map_or(u64::MAX, |most| u64::from(most.saturating_sub(job.running)))
    }

    pub fn link(&mut self, ix: JobIx) {
        let job = &self.jobs[ix];
        match (self.is_ready(job), job.in_line) {
            (true, false) => self.enter_line(ix),
            (false, true) => self.leave_line(ix),
            (true, true) | (false, false) => {}
        }
    }

    fn enter_line(&mut self, ix: JobIx) {
        let job = &mut self.jobs[ix];
        job.in_line = true;
        let (key, class_ix, project) = (job.key, job.class, job.project);
        let open = self.is_open(class_ix, project);
        let behind = self.behind_of(project);
        let class = &mut self.classes[class_ix];
        let line = class.lines.entry(project).or_default();
        let first = line.first().copied();
        let before = first.map(|first| first.0);
        line.insert((key, ix));
        if line.len() == 1 {
            self.project_classes.entry(project).or_default().insert(class_ix);
        }
        if !open && before.is_none_or(|before| key < before) {
            self.line_changed(class_ix, project);
            return;
        }
        if open && before.is_none_or(|before| key < before) {
            if let Some((before, first)) = first {
                class.heads.remove((before.behind(behind), first));
            }
            class.heads.insert((key.behind(behind), ix));
            self.register(class_ix);
        }
    }

    pub fn leave_line(&mut self, ix: JobIx) {
        let job = &mut self.jobs[ix];
        if !std::mem::take(&mut job.in_line) {
            return;
        }
        let (key, class_ix, project) = (job.key, job.class, job.project);
        let behind = self.behind_of(project);
        let class = &mut self.classes[class_ix];
        let line = class.lines.get_mut(&project).expect("the job stands in its line");
        let was_first = line.first() == Some(&(key, ix));
        line.remove(&(key, ix));
        let next = line.first().copied();
        if next.is_none() {
            class.lines.remove(&project);
            if class.lines.is_empty() {
                // A class that nobody waits in keeps no room for lines.
                class.lines = FxHashMap::default();
            }
            if let Some(classes) = self.project_classes.get_mut(&project) {
                classes.remove(&class_ix);
                if classes.is_empty() {
                    self.project_classes.remove(&project);
                }
            }
        }
        if class.heads.remove((key.behind(behind), ix)) {
            if let Some((next, ix)) = next {
                class.heads.insert((next.behind(behind), ix));
            }
            self.register(class_ix);
        } else if was_first {
            self.line_changed(class_ix, project);
        }
    }

    /// May the first of the line be its class's head?
    pub fn is_open(&self, class: ClassIx, project: ProjectId) -> bool {
        !self.blocked_projects.contains_key(&project) && self.capped.under(class, project).is_none()
    }
    /// The first of the line, which stands there, is no head any more.
    pub fn close_line(&mut self, class: ClassIx, project: ProjectId, place: JobKey) {
        let class_mut = &mut self.classes[class];
        if let Some(&(_, first)) = class_mut.lines.get(&project).and_then(Line::first) {
            class_mut.heads.remove((place, first));
        }
        self.register(class);
    }
    /// It is one again, unless something else keeps it from being one.
    pub fn open_line(&mut self, class: ClassIx, project: ProjectId, place: JobKey) {
        let is_open = self.is_open(class, project);
        let class_mut = &mut self.classes[class];
        let first = class_mut.lines.get(&project).and_then(Line::first);
        if let Some(&(_, first)) = first.filter(|_| is_open) {
            class_mut.heads.insert((place, first));
            self.register(class);
        }
    }

    /// How much later than they are due a project's jobs stand.
    pub fn behind_of(&self, project: ProjectId) -> Span {
        self.behind.get(&project).copied().unwrap_or(Span::ZERO)
    }

    /// A job's place among all: behind where its project is.
    pub fn place_of(&self, job: &Job) -> JobKey {
        job.key.behind(self.behind_of(job.project))
    }

    /// Moves a project's jobs so much behind the moments they are due.
    pub fn set_behind(&mut self, project: ProjectId, behind: Span) {
        let behind = behind.clamp(Span::ZERO, BEHIND_MAX);
        let before = self.behind_of(project);
        if behind == before {
            return;
        }
        if behind == Span::ZERO {
            self.behind.remove(&project);
        } else {
            self.behind.insert(project, behind);
        }
        if !self.blocked_projects.contains_key(&project) {
            self.move_heads(project, Some(before), Some(behind));
        }
    }

    fn set_of(&mut self, standing: Standing) -> &mut BTreeSet<(JobKey, ClassIx)> {
        match standing {
            Standing::Active => &mut self.active,
            Standing::NoRoom => &mut self.no_room,
            Standing::Infeasible => &mut self.infeasible,
        }
    }

    /// Registers a class under its present head.
    fn register(&mut self, ix: ClassIx) {
        if self.classes[ix].registered.is_none() {
            self.notice_time(ix);
        }
        let class = &mut self.classes[ix];
        let head = class.heads.first().map(|head| head.0);
        let (before, standing) = (class.registered, class.standing);
        if before == head {
            return;
        }
        class.registered = head;
        let mut standing_now = standing;
        if before.is_none() {
            // While it did not wait, nobody told it about room that came free.
            class.reopen();
            let none_would_do = !class.stale && class.choices.is_empty();
            standing_now = if none_would_do { Standing::Infeasible } else { Standing::Active };
            class.standing = standing_now;
        }
        // A head that moved forward may have passed the point up to which classes have been told of
        // room: it asks for itself.
        if standing == Standing::NoRoom && before.is_some() && head < before && head.is_some() {
            class.standing = Standing::Active;
            standing_now = Standing::Active;
        }
        if let Some(before) = before {
            self.set_of(standing).remove(&(before, ix));
        }
        if let Some(head) = head {
            self.set_of(standing_now).insert((head, ix));
        }
        self.note_due(ix, head);
    }

    /// Verdicts that depend on the moment do not hold any more. The classes that wait are returned, to
    /// be judged again; the others are when they wait again: most never do.
    pub fn time_passed(&mut self) -> Vec<ClassIx> {
        self.timed += 1;
        let registered = self.active.iter().chain(&self.no_room).chain(&self.infeasible);
        let registered = registered.map(|(_, class)| *class);
        let mut waiting: Vec<ClassIx> = registered.chain(self.capped.classes()).collect();
        waiting.retain(|ix| self.classes[*ix].is_timed());
        waiting.sort_unstable();
        waiting.dedup();
        waiting
    }

    /// A class is stale where its verdict depends on the moment and was made for another.
    pub fn notice_time(&mut self, ix: ClassIx) {
        let timed = self.timed;
        let class = &mut self.classes[ix];
        class.stale |= class.is_timed() && class.judged != timed;
    }

    /// The verdict of a class was made now.
    pub fn judged(&mut self, ix: ClassIx) {
        let class = &mut self.classes[ix];
        (class.stale, class.judged) = (false, self.timed);
    }

    /// Moves a class to another set.
    pub fn stand(&mut self, ix: ClassIx, standing: Standing) {
        let class = &mut self.classes[ix];
        let before = std::mem::replace(&mut class.standing, standing);
        if let Some(head) = class.registered
            && before != standing
        {
            self.set_of(before).remove(&(head, ix));
            self.set_of(standing).insert((head, ix));
        }
    }

    pub fn block_project(&mut self, project: ProjectId, reason: &str) {
        let behind = self.behind_of(project);
        let before = self.blocked_projects.insert(project, reason.to_owned());
        if before.is_none() {
            self.move_heads(project, Some(behind), None);
        }
    }

    pub fn unblock_project(&mut self, project: ProjectId) {
        if self.blocked_projects.remove(&project).is_some() {
            let behind = self.behind_of(project);
            self.move_heads(project, None, Some(behind));
        }
    }

    /// Registers the first of each of a project's lines so much behind instead of as before; none,
    /// where it is not registered at all.
    fn move_heads(&mut self, project: ProjectId, before: Option<Span>, after: Option<Span>) {
        for ix in self.classes_of(project) {
            self.line_changed(ix, project);
            let class = &mut self.classes[ix];
            let first = class.lines.get(&project).and_then(|line| line.first());
            let Some(&(key, first)) = first else { continue };
            if let Some(before) = before {
                class.heads.remove((key.behind(before), first));
            }
            if let Some(after) = after {
                class.heads.insert((key.behind(after), first));
            }
            self.register(ix);
        }
    }

    pub fn classes_of(&self, project: ProjectId) -> Vec<ClassIx> {
        self.project_classes
            .get(&project)
            .map_or_else(Vec::new, |classes| classes.iter().copied().collect())
    }
}

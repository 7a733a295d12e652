//! When to sync, and what to say besides the news of attempts.
//!
//! At most two syncs are under way: one that the exchange holds back until it has something to
//! say (*waiting*), and one that carries what must be said at once (*telling*). The exchange
//! answers the older when a newer comes. While there is always something to tell, one telling sync
//! follows the other and nothing else is asked. A failure is followed by a pause; what was said in
//! a sync that failed is said again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use dayan_custody::Counters;
use dayan_engines::{BootClock, SiteCount};
use dayan_measure::Measurement;
use dayan_units::{AttemptId, BootTime, Span};
use dayan_wire::{ChallengeAnswer, PoolLoad, SignedUsage, SyncAnswer, SyncRequest};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::identity::Key;
use crate::inventory::Picture;
use crate::link::{Link, LinkFault};
use crate::staging::Holdings;
use crate::words::{self, Custody, News};

/// For how long the exchange may hold an answer back. Shorter than the minute after which proxies
/// and firewalls forget a silent connection.
const WAIT_MAX: Span = Span::from_secs(20);
/// A lease must not end while an answer is held back: at most this part of the shortest one.
const WAITS_PER_LEASE: i64 = 4;
/// News that come within this time travel together: a thousandth of a second is nothing to a task
/// that was worth leasing, and many ends fall into it on a busy machine.
const GATHER: Span = Span::from_millis(1);
/// The same on a cluster that places by itself: it has more to do already, and each sync of one end costs
/// both sides as much as one of twenty.
const GATHER_BY_POOL: Span = Span::from_millis(50);
/// Reports in one sync: about 400 KB of text, a few milliseconds of work for both sides. The
/// next sync carries the rest.
const REPORTS_MAX: usize = 1_000;
/// The pause before waiting again after an answer that came at once and said nothing new: a
/// challenge that is being answered, or a sync that overtook it.
const IDLE_PAUSE: Span = Span::from_millis(10);
/// The pause after the exchange refused the agent: an operator has to do something about it.
const REFUSED_PAUSE: Span = Span::from_secs(10);
/// Attempts in one sync whose sites' counts are told: the exchange looks each of them up, some hundredths of
/// a second for all. The next sync carries the rest.
const COUNTED_MAX: usize = 500;
/// Measurements that wait to be sent. The kernels make a few dozen.
const MEASURED_MAX: usize = 256;

/// Which of the two syncs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    Waiting,
    Telling,
}

/// A sync that came to its end.
pub(crate) struct Synced {
    pub(crate) which: Which,
    pub(crate) sent_at: BootTime,
    pub(crate) told: News,
    extras: Extras,
    pub(crate) result: Result<SyncAnswer, LinkFault>,
}

/// What a sync said besides the news of attempts.
#[derive(Clone, Default)]
struct Extras {
    shown: Option<()>,
    measured: usize,
    /// The attempts whose sites' counts it told.
    counted: Vec<AttemptId>,
}

/// How the exchange last took us.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    Unknown,
    Good,
    Bad(LinkFault),
}

/// Keeps the syncs under way.
pub(crate) struct Syncs {
    link: Arc<Link>,
    token: Arc<str>,
    key: Key,
    clock: BootClock,
    done: mpsc::Sender<Synced>,
    waiting: Option<()>,
    telling: Option<()>,
    /// Since when there is something urgent.
    urgent_since: Option<BootTime>,
    not_before: BootTime,
    /// The same for waiting only.
    wait_not_before: BootTime,
    backoff: Backoff,
    standing: Standing,
    picture: Picture,
    /// Is the picture to be sent?
    show: Option<()>,
    /// What others do in the pool, where it was not told yet.
    load: Option<PoolLoad>,
    answer: Option<ChallengeAnswer>,
    measured: VecDeque<Measurement>,
    /// What the site's accounting counted.
    counts: Vec<SiteCount>,
    /// What the site's cache holds now.
    holdings: Holdings,
    /// By what number that is known which was told last, as far as it was heard.
    told_holdings: Option<u64>,
    /// What was told of the use of running attempts.
    told_running: Vec<(AttemptId, Counters)>,
    /// Where attempts run whose node their engine has chosen.
    nodes: BTreeMap<AttemptId, String>,
}

impl Syncs {
    pub(crate) fn new(
        link: Arc<Link>,
        token: &str,
        key: Key,
        clock: BootClock,
        done: mpsc::Sender<Synced>,
        picture: Picture,
        holdings: Holdings,
    ) -> Self {
        Self {
            link,
            token: token.into(),
            key,
            clock,
            done,
            waiting: None,
            telling: None,
            urgent_since: None,
            not_before: BootTime(i64::MIN),
            wait_not_before: BootTime(i64::MIN),
            backoff: Backoff::new(),
            standing: Standing::Unknown,
            load: picture.load.clone(),
            picture,
            show: Some(()),
            answer: None,
            measured: VecDeque::new(),
            counts: Vec::new(),
            holdings,
            told_holdings: None,
            told_running: Vec::new(),
            nodes: BTreeMap::new(),
        }
    }

    pub(crate) fn link(&self) -> (Arc<Link>, Arc<str>) {
        (Arc::clone(&self.link), Arc::clone(&self.token))
    }
    /// What was told of the use of running attempts since this was asked last.
    pub(crate) fn take_told_running(&mut self) -> Vec<(AttemptId, Counters)> {
        std::mem::take(&mut self.told_running)
    }
    /// Where an attempt runs: said with the next news of it.
    pub(crate) fn on_node(&mut self, attempt: AttemptId, node: &str) {
        self.nodes.insert(attempt, node.to_owned());
    }
    pub(crate) const fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The exchange asks for the picture, or it has changed.
    pub(crate) fn show(&mut self, picture: Option<Picture>) {
        if let Some(picture) = picture {
            self.picture = picture;
        }
        self.show = Some(());
    }
    /// Says what others do in the pool.
    pub(crate) fn say_load(&mut self, load: Option<PoolLoad>) {
        self.load = load.or(self.load.take());
    }
    /// Says the answer to a challenge.
    pub(crate) fn say_answer(&mut self, answer: Option<ChallengeAnswer>) {
        self.answer = answer.or(self.answer.take());
    }
    /// Says what was measured.
    pub(crate) fn say_measured(&mut self, measured: Vec<Measurement>) {
        let key = self.key.public();
        self.measured.extend(measured.into_iter().map(|value| {
            let signature = self.key.sign(value.material().as_bytes());
            let signature = Some(dayan_measure::Signature { key: key.clone(), signature });
            Measurement { signature, ..value }
        }));
        self.measured.truncate(MEASURED_MAX);
    }

    /// Says what the site's accounting counted.
    pub(crate) fn say_counts(&mut self, counts: Vec<SiteCount>) {
        self.counts.extend(counts);
    }

    /// Sends what is due; when to look again, if nothing else happens.
    pub(crate) fn pump(&mut self, custody: &mut Custody, now: BootTime) -> Option<BootTime> {
        if now < self.not_before {
            return Some(self.not_before);
        }
        let has_extras = self.show.is_some()
            || self.load.is_some()
            || self.answer.is_some()
            || !self.counts.is_empty()
            || !self.measured.is_empty();
        let urgent = custody.is_urgent();
        if !urgent {
            self.urgent_since = None;
        }
        if self.telling.is_some() {
            return None;
        }
        if urgent && !has_extras && !custody.is_sync_due(now) {
            let since = *self.urgent_since.get_or_insert(now);
            let by_pool = self.picture.shown.placing == "by_pool";
            let ready = since.plus(if by_pool { GATHER_BY_POOL } else { GATHER });
            if now < ready {
                return Some(ready);
            }
        }
        if urgent || has_extras || custody.is_sync_due(now) {
            self.urgent_since = None;
            self.telling = Some(());
            self.send(Which::Telling, custody, now, Span::ZERO);
        } else if self.waiting.is_none() && now < self.wait_not_before {
            return Some(self.wait_not_before);
        } else if self.waiting.is_none() {
            let keep = custody.keep_min().unwrap_or(Span::MAX);
            let wait = WAIT_MAX.min(Span::from_micros(keep.micros() / WAITS_PER_LEASE));
            self.waiting = Some(());
            self.send(Which::Waiting, custody, now, wait);
        }
        None
    }

    fn send(&mut self, which: Which, custody: &mut Custody, now: BootTime, wait: Span) {
        let told = custody.news(now, REPORTS_MAX);
        // Those of attempts that are forgotten go when they are as many as those that are not.
        if self.nodes.len() > custody.kept().len().saturating_mul(2) {
            self.nodes.retain(|attempt, _| custody.kept().contains_key(attempt));
        }
        let measured: Vec<Measurement> = self.measured.iter().cloned().collect();
        let (mut counted, mut site_counts) = (Vec::new(), Vec::new());
        for count in &self.counts {
            if counted.len() >= COUNTED_MAX {
                break;
            }
            counted.extend(&count.attempts);
            site_counts.push(words::site_counted(count));
        }
        let extras = Extras { shown: self.show.take(), measured: measured.len(), counted };
        let running = told.usage.iter().filter(|record| {
            custody.kept().get(&record.attempt).is_some_and(|kept| kept.step.may_run())
        });
        self.told_running.extend(running.map(|record| (record.attempt, record.counters)));
        // It goes along with what is sent anyway: a plan that is some seconds behind is no worse.
        let holds = (self.holdings)(self.told_holdings).map(|(number, holds)| {
            self.told_holdings = Some(number);
            holds
        });
        let request = SyncRequest {
            known: told.revision,
            wait_ms: u32::try_from(wait.millis_floor()).unwrap_or(0),
            shown_digest: self.picture.digest.clone(),
            shown: extras.shown.map(|()| self.picture.shown.clone()),
            // Where that is lost the next look says it again.
            load: self.load.take(),
            reports: words::reports(&told, &self.nodes),
            usage: self.signed(&told),
            answer: self.answer.take(),
            holds,
            site_counts,
            measured,
        };
        let (link, token) = self.link();
        let (clock, done) = (self.clock, self.done.clone());
        tokio::spawn(async move {
            // Read right before it leaves: the lease is counted from here.
            let sent_at = words::from_engine(clock.now());
            let result = link.sync(&token, &request).await;
            // The agent has ended meanwhile: nobody to tell.
            let _ = done.send(Synced { which, sent_at, told, extras, result }).await;
        });
    }

    fn signed(&self, told: &News) -> Option<SignedUsage> {
        if told.usage.is_empty() {
            return None;
        }
        let records: Vec<_> = told.usage.iter().map(words::usage).collect();
        let records = serde_json::to_string(&records).expect("numbers become JSON");
        let signature = self.key.sign(&SignedUsage::material(&records));
        Some(SignedUsage { records, signature })
    }

    /// Takes note of a sync's end: what it said is settled or to be said again. Gives the attempts whose
    /// site's counts the exchange has now.
    pub(crate) fn ended(&mut self, synced: &Synced, now: BootTime) -> Vec<AttemptId> {
        match synced.which {
            Which::Waiting => self.waiting = None,
            Which::Telling => self.telling = None,
        }
        match &synced.result {
            Ok(answer) => {
                if answer.want_holds {
                    self.told_holdings = None;
                }
                let nothing = answer.revision == synced.told.revision
                    && answer.forget.is_empty()
                    && answer.logs.is_empty()
                    && answer.execs.is_empty();
                if nothing && synced.which == Which::Waiting {
                    self.wait_not_before = synced.sent_at.plus(IDLE_PAUSE);
                }
                self.measured.drain(..synced.extras.measured.min(self.measured.len()));
                let told: BTreeSet<&AttemptId> = synced.extras.counted.iter().collect();
                self.counts.retain(|one| !one.attempts.iter().any(|of| told.contains(of)));
                self.backoff.reset();
                self.not_before = BootTime(i64::MIN);
                self.stand(Standing::Good);
                synced.extras.counted.clone()
            }
            Err(fault) => {
                self.told_holdings = None;
                self.show = self.show.or(synced.extras.shown);
                let pause = match fault {
                    LinkFault::Refused(_) => REFUSED_PAUSE,
                    LinkFault::Rejected(_) => {
                        // It may be what we said on the side, to an exchange that is older; attempts are
                        // more important. Counts are told again by the next process of this agent.
                        self.measured.clear();
                        self.counts.clear();
                        self.backoff.next()
                    }
                    LinkFault::Away(_) | LinkFault::Garbage(_) => self.backoff.next(),
                };
                self.not_before = self.not_before.max(now.plus(pause));
                self.stand(Standing::Bad(fault.clone()));
                Vec::new()
            }
        }
    }

    /// Tells people once when it changes, not at every try.
    fn stand(&mut self, standing: Standing) {
        let same = matches!(
            (&self.standing, &standing),
            (Standing::Good, Standing::Good)
                | (Standing::Bad(LinkFault::Away(_)), Standing::Bad(LinkFault::Away(_)))
        ) || self.standing == standing;
        if same {
            return;
        }
        match &standing {
            Standing::Good => tracing::info!("in touch with the exchange"),
            Standing::Bad(LinkFault::Away(why)) => tracing::warn!(
                why,
                "the exchange cannot be reached; tasks go on while their leases last"
            ),
            Standing::Bad(LinkFault::Refused(why)) => tracing::error!(
                why,
                "the exchange refuses this agent; ask its operator. Tasks end with their leases"
            ),
            Standing::Bad(LinkFault::Rejected(why)) => {
                tracing::error!(why, "the exchange does not take what this agent says");
            }
            Standing::Bad(LinkFault::Garbage(why)) => {
                tracing::error!(why, "the exchange's answer makes no sense");
            }
            Standing::Unknown => {}
        }
        self.standing = standing;
    }
}

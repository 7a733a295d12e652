//! The same things in the words of the engine, of custody and of the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_custody as custody;
use dayan_engines as engines;
use dayan_units::{AttemptId, BootTime, Span};
use dayan_wire as wire;

/// The lease of an attempt that is found without its order: it is stopped, whatever it is.
const STRAY_KEEP: Span = Span::from_secs(30);

/// Custody as this agent has it.
pub(crate) type Custody = custody::Custody<Arc<wire::LeaseOrder>, wire::Outcome>;
/// Its actions.
pub(crate) type Action = custody::Action<Arc<wire::LeaseOrder>>;
/// Its news.
pub(crate) type News = custody::News<wire::Outcome>;

pub(crate) const fn to_engine(time: BootTime) -> engines::BootTime {
    engines::BootTime::from_micros(time.0)
}
pub(crate) const fn from_engine(time: engines::BootTime) -> BootTime {
    BootTime(time.micros())
}

pub(crate) fn counters(usage: &engines::Counters) -> custody::Counters {
    custody::Counters {
        wall_us: usage.wall.micros(),
        cpu_us: usage.cpu().micros(),
        memory_peak: usage.memory_peak.0,
        read_bytes: usage.read.0,
        write_bytes: usage.written.0,
        energy_uj: usage.energy_microjoule,
    }
}

pub(crate) fn outcome(outcome: &engines::Outcome) -> wire::Outcome {
    match outcome {
        engines::Outcome::Exited(code) => wire::Outcome::Exited { code: *code },
        engines::Outcome::Signalled(signal) => wire::Outcome::Signalled { signal: *signal },
        engines::Outcome::OutOfMemory => wire::Outcome::OutOfMemory,
        engines::Outcome::TimeLimit => wire::Outcome::TimeLimit,
        engines::Outcome::LeaseEnded => wire::Outcome::LeaseEnded,
        engines::Outcome::Stopped => wire::Outcome::Stopped,
        engines::Outcome::KeeperDied => wire::Outcome::NodeFailure,
        engines::Outcome::Preempted => wire::Outcome::Preempted,
        engines::Outcome::StartFailed(failure) => {
            let blame = if failure.is_the_jobs() { wire::Blame::Job } else { wire::Blame::Site };
            let reason = failure.to_string();
            wire::Outcome::StartFailed { reason, blame, for_good: false, status: failure.status() }
        }
    }
}

/// The same of a task that runs in an image: a program that is not in it is not in it at another pool.
pub(crate) fn outcome_in_image(outcome: wire::Outcome) -> wire::Outcome {
    match outcome {
        wire::Outcome::StartFailed { reason, blame, status: status @ Some(_), .. } => {
            wire::Outcome::StartFailed { reason, blame, for_good: true, status }
        }
        other => other,
    }
}

/// A signal's number on this machine, by its name in a job file.
pub(crate) fn signal(name: &str) -> Option<engines::Signal> {
    use dayan_spec::Signal as Word;
    let words = [
        (Word::Usr1, engines::Signal::USR1),
        (Word::Usr2, engines::Signal::USR2),
        (Word::Int, engines::Signal::INT),
        (Word::Hup, engines::Signal::HUP),
        (Word::Term, engines::Signal::TERM),
    ];
    words.into_iter().find(|(word, _)| word.as_str() == name).map(|(_, number)| number)
}

/// How an attempt ends that the engine did not take.
pub(crate) fn not_started(fault: &engines::StartFault) -> wire::Outcome {
    match fault {
        engines::StartFault::AlreadyLaunched(_) => wire::Outcome::NodeFailure,
        engines::StartFault::LeaseOver(_) => wire::Outcome::LeaseEnded,
        engines::StartFault::Unsupported(_) | engines::StartFault::Invalid(_) => {
            refused(fault, wire::Blame::Job)
        }
        engines::StartFault::Lacking(_) | engines::StartFault::Unreachable(_) => {
            refused(fault, wire::Blame::Site)
        }
    }
}

/// What the engine says no to is what the job asks for, unless it is the agent's own settings; another pool
/// may have it.
fn refused(fault: &engines::StartFault, blame: wire::Blame) -> wire::Outcome {
    wire::Outcome::StartFailed { reason: fault.to_string(), blame, for_good: false, status: None }
}

pub(crate) fn order(order: wire::LeaseOrder) -> custody::Order<Arc<wire::LeaseOrder>> {
    custody::Order {
        attempt: order.attempt,
        keep: Span::from_micros(order.keep_us),
        stop: order.stop,
        publish: order.publish,
        payload: Arc::new(order),
    }
}

pub(crate) fn answer(answer: &mut wire::SyncAnswer) -> custody::Answer<Arc<wire::LeaseOrder>> {
    custody::Answer {
        revision: answer.revision,
        orders: std::mem::take(&mut answer.orders).into_iter().map(order).collect(),
        forget: std::mem::take(&mut answer.forget),
    }
}

/// `nodes`: where those run whose node their engine has chosen.
pub(crate) fn reports(
    news: &News,
    nodes: &BTreeMap<AttemptId, String>,
) -> Vec<wire::AttemptReport> {
    let report = |(attempt, seen): &(_, custody::Seen<wire::Outcome>)| wire::AttemptReport {
        attempt: *attempt,
        seen: match seen {
            custody::Seen::Staging => wire::Seen::Staging,
            custody::Seen::Running => wire::Seen::Running,
            custody::Seen::Publishing => wire::Seen::Publishing,
            custody::Seen::Lingering => wire::Seen::Lingering,
            custody::Seen::Ended(outcome) => wire::Seen::Ended { outcome: outcome.clone() },
        },
        node: nodes.get(attempt).cloned(),
    };
    news.reports.iter().map(report).collect()
}

pub(crate) fn usage(record: &custody::UsageRecord) -> wire::UsageRecord {
    let custody::Counters { wall_us, cpu_us, memory_peak, read_bytes, write_bytes, energy_uj } =
        record.counters;
    wire::UsageRecord {
        attempt: record.attempt,
        seq: record.seq,
        counters: wire::Counters {
            wall_us,
            cpu_us,
            memory_peak,
            read_bytes,
            write_bytes,
            energy_uj,
        },
    }
}

/// What the site's accounting counted.
pub(crate) fn site_counted(count: &engines::SiteCount) -> wire::SiteCounted {
    wire::SiteCounted {
        attempts: count.attempts.clone(),
        count: wire::SiteCount {
            job: count.job.clone(),
            elapsed_us: count.elapsed.micros(),
            cpu_us: count.cpu.map(Span::micros),
            memory_peak: count.memory.map(|bytes| bytes.0),
        },
    }
}

/// An order for what is found without one.
pub(crate) fn stray(attempt: AttemptId) -> custody::Order<Arc<wire::LeaseOrder>> {
    let stray = wire::LeaseOrder {
        attempt,
        node: String::new(),
        resources: dayan_units::Resources::ZERO,
        cards: Vec::new(),
        keep_us: STRAY_KEEP.micros(),
        time_limit_us: 0,
        stop: true,
        publish: false,
        name: String::new(),
        org: None,
        image: None,
        run: String::new(),
        env: std::collections::BTreeMap::new(),
        steps: Vec::new(),
        site_words: std::collections::BTreeMap::new(),
        node_features: std::collections::BTreeSet::new(),
        mounts: Vec::new(),
        files: std::collections::BTreeMap::new(),
        secrets: std::collections::BTreeMap::new(),
        workdir: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        save_within_us: None,
        checkpoint: None,
        time_signal: None,
        gang: None,
    };
    order(stray)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_an_image_is_not_in_it_elsewhere() {
        let failed = |status, for_good| wire::Outcome::StartFailed {
            reason: "there is no program".to_owned(),
            blame: wire::Blame::Job,
            for_good,
            status,
        };
        assert_eq!(outcome_in_image(failed(Some(127), false)), failed(Some(127), true));
        // What kept it from starting may be this machine's.
        assert_eq!(outcome_in_image(failed(None, false)), failed(None, false));
        let ended = wire::Outcome::Exited { code: 127 };
        assert_eq!(outcome_in_image(ended.clone()), ended);
    }
}

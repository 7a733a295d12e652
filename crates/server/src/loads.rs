//! What others do in pools that are not the exchange's alone, as their agents last said. It is true for
//! a minute or two, so it is not journalled: an exchange that starts is told again.
//!
//! Invariant: what was said longer ago than [`BELIEVED_FOR`](dayan_exchange::planning::OTHERS_FOR) is
//! not shown. An agent is not ours: what it says is bounded here. Knows nothing of engines.

use std::collections::BTreeMap;
use std::sync::Mutex;

use dayan_exchange::QUEUE_NODE;
use dayan_exchange::planning::{Beside, OTHERS_FOR};
use dayan_schedule::{HeldByOthers, LeaseEnd, NodeName};
use dayan_units::{PoolId, Resources, Span, Time};
use dayan_wire::PoolLoad;

/// Parts that others hold in one pool: each of a few hundred machines in some dozen parts. Beyond
/// that an agent adds up.
const PARTS_MAX: usize = 16_384;
/// What is said of the last difference of the site's accounting: a line or two.
const WORDS_MAX: usize = 200;
/// How long others are taken to hold what nobody knows the end of, in every look anew: a working day.
const UNKNOWN_FOR: Span = Span::from_secs(8 * 3_600);
/// An end later than this is as good as none.
const ENDS_MAX: Span = Span::from_secs(366 * 24 * 3_600);

/// What was said of each pool, and when.
#[derive(Debug, Default)]
pub struct Loads(Mutex<BTreeMap<PoolId, (Time, PoolLoad)>>);

impl Loads {
    /// An agent has looked. What its pool is to the planner now.
    pub fn note(&self, pool: PoolId, mut load: PoolLoad, now: Time) -> Beside {
        load.held.truncate(PARTS_MAX);
        if let Some(last) = load.accounts.as_mut().and_then(|accounts| accounts.last.as_mut()) {
            *last = last.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        }
        load.held.retain(|part| part.node != QUEUE_NODE && part.resources != Resources::ZERO);
        let held = load.held.iter().map(|part| HeldByOthers {
            node: NodeName::new(&part.node),
            resources: part.resources,
            end: end(part.ends_in_s, now),
        });
        let beside = Beside { held: held.collect(), starts_in: load.forecast_s.map(bounded) };
        self.0.lock().expect("no thread panics holding it").insert(pool, (now, load));
        beside
    }

    /// What is believed of a pool, and since when.
    pub fn of(&self, pool: PoolId, now: Time) -> Option<(Time, PoolLoad)> {
        let all = self.0.lock().expect("no thread panics holding it");
        let (at, load) = all.get(&pool)?;
        (now.since(*at) <= OTHERS_FOR).then(|| (*at, load.clone()))
    }
}

/// When a part is given back: at its limit, and until nobody knows better as likely sooner as not.
fn end(ends_in_s: Option<u64>, now: Time) -> LeaseEnd {
    let most = match ends_in_s {
        None => UNKNOWN_FOR,
        Some(secs) => bounded(secs),
    };
    let latest = now.plus(most);
    LeaseEnd { expected: latest, latest }
}

fn bounded(secs: u64) -> Span {
    Span::from_secs(i64::try_from(secs).unwrap_or(i64::MAX).min(ENDS_MAX.secs_ceil()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::MilliCpu;
    use dayan_wire::{AccountsCompared, HeldPart};

    #[test]
    fn what_was_said_is_bounded_and_grows_old() {
        let part = |node: &str, cpu, ends_in_s| HeldPart {
            node: node.to_owned(),
            resources: Resources { cpu: MilliCpu(cpu), ..Resources::ZERO },
            ends_in_s,
        };
        let held = vec![
            part("n1", 4_000, Some(60)),
            part("n1", 0, Some(60)),
            part(QUEUE_NODE, 1_000, None),
            part("n2", 1_000, None),
            part("n3", 1_000, Some(u64::MAX)),
        ];
        let forecast_s = Some(90);
        let last = Some(format!("a\nb{}", "c".repeat(WORDS_MAX)));
        let accounts = Some(AccountsCompared { compared: 9, differed: 1, last });
        let load =
            PoolLoad { held, others_waiting: 7, forecast_s, accounts, ..PoolLoad::default() };
        let (loads, pool, now) = (Loads::default(), PoolId::from_bits(3), Time::from_micros(9));
        let told = loads.note(pool, load, now);
        let ends: Vec<(&str, Span)> =
            told.held.iter().map(|part| (part.node.as_str(), part.end.latest.since(now))).collect();
        assert_eq!(ends, [("n1", Span::from_secs(60)), ("n2", UNKNOWN_FOR), ("n3", ENDS_MAX)]);
        assert_eq!(told.starts_in, Some(Span::from_secs(90)));
        let (at, load) = loads.of(pool, now.plus(OTHERS_FOR)).expect("just believed");
        assert_eq!((at, load.others_waiting, load.held.len()), (now, 7, 3));
        let last = load.accounts.and_then(|accounts| accounts.last).expect("it was said");
        assert!(last.starts_with("abc") && last.len() == WORDS_MAX, "{last}");
        assert_eq!(loads.of(pool, now.plus(OTHERS_FOR).plus(Span::from_micros(1))), None);
        assert_eq!(loads.of(PoolId::from_bits(4), now), None);
    }
}

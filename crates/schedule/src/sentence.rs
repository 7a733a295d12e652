//! The sentence for each code of a refusal, with the values of the pool and of the job that it is
//! about. Made for people who ask, one pool at a time; decides nothing.

use std::collections::BTreeSet;

use dayan_units::{Micro, Span, Time};

use crate::ask::{GangAsk, Mode};
use crate::estate::{Pool, PoolIx};
use crate::judge::Judge;
use crate::reason::{Reason, ReasonCode};

/// What a pool goes by that people who wait for it have not asked for by this word, and what a pool
/// without it is like.
pub const EXPLAINED: [(&str, &str); 2] = [
    (
        "staging",
        "it shares no folder of its own for `data://` and `file://`; its provider names folders with \
         `dayan agent --publish-root`",
    ),
    ("jobs_without_image", "it runs images, and the job names none"),
];

impl Judge<'_> {
    /// The sentence for a code, with the values of that pool.
    pub fn reason(&self, ix: PoolIx, code: ReasonCode) -> Reason {
        let pool = &self.estate.pools[ix as usize];
        let ask = self.wish.ask;
        let Some(view) = &pool.view else {
            return Reason { code, message: "it does not take work now".to_owned() };
        };
        let list = |items: &mut dyn Iterator<Item = &String>| {
            items.map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let message = match code {
            ReasonCode::ProjectBlocked => "the project cannot pay".to_owned(),
            ReasonCode::ProjectQuota => "its project holds as much as it may".to_owned(),
            ReasonCode::OrgQuota => "its organisation holds as much as it may".to_owned(),
            ReasonCode::JobLicense => "the licences it needs are in use".to_owned(),
            ReasonCode::JobHour => "it waits for a better hour".to_owned(),
            ReasonCode::JobBegin => "its moment to begin has not come".to_owned(),
            ReasonCode::JobMaxParallel => {
                "as many of its tasks run at once as the job allows".to_owned()
            }
            ReasonCode::JobStrict => "an earlier strict job of the project waits".to_owned(),
            ReasonCode::PoolNotQuoted => {
                let quoted = self.wish.pin.map_or_else(String::new, |pin| pin.pool.to_string());
                format!("the job is bound to its quote for {quoted}")
            }
            ReasonCode::PoolDenied => {
                if view.rules.deny.contains(&self.wish.org)
                    || !(view.rules.allow.is_empty() || view.rules.allow.contains(&self.wish.org))
                {
                    format!("the provider does not serve {}", self.wish.org)
                } else {
                    format!("the job excludes {}", view.provider)
                }
            }
            ReasonCode::PoolAvoided => {
                let until = self.wish.avoid.iter().filter(|avoid| avoid.pool == view.pool);
                let until = until.map(|avoid| avoid.until).max().unwrap_or(Time::EPOCH);
                format!("an attempt failed or was refused here; not before {until}")
            }
            ReasonCode::PoolTrust => {
                let (has, asked) = (view.trust.name(), ask.trust.name());
                format!("it is {has}, and the job asks for at least {asked}")
            }
            ReasonCode::PoolRegion if !ask.sites.is_empty() => {
                format!("in {}, which is none of the sites that are asked for", view.place)
            }
            ReasonCode::PoolRegion => {
                let is = list(&mut view.regions.iter());
                format!("in {is}, asked is {}", list(&mut ask.regions.iter()))
            }
            ReasonCode::PoolResidence => "not domestic".to_owned(),
            ReasonCode::PoolFeature => {
                let pool_lacks = ask.pool_features.difference(&view.features);
                let node_lacks = ask.node_features.iter();
                // A word that a pool and its nodes go by is said once.
                let lacking: BTreeSet<&String> = pool_lacks.chain(node_lacks).collect();
                let lacks = list(&mut lacking.into_iter());
                let one_of = &ask.pool_one_of;
                if !one_of.is_empty() && one_of.is_disjoint(&view.features) {
                    format!("is none of {}", list(&mut one_of.iter()))
                } else if lacks.is_empty() {
                    "no fabric, or no leaf of one, is named for a gang that asks for it".to_owned()
                } else {
                    let lacking = |word: &str| {
                        ask.pool_features.contains(word) && !view.features.contains(word)
                    };
                    let why = EXPLAINED.iter().filter(|(word, _)| lacking(word));
                    let why: Vec<&str> = why.map(|(_, why)| *why).collect();
                    let colon = if why.is_empty() { "" } else { ": " };
                    format!("lacks {lacks}{colon}{}", why.join("; "))
                }
            }
            ReasonCode::PoolDelay => {
                let (class, bound) = ask
                    .delay
                    .as_ref()
                    .map_or(("", Span::ZERO), |delay| (delay.class.as_str(), delay.bound));
                match self.worst_delay(view) {
                    Some(worst) => format!(
                        "one-way delay {:.1} ms, {class} allows {:.1} ms",
                        worst.micros() as f64 / 1e3,
                        bound.micros() as f64 / 1e3
                    ),
                    None => format!("the delay to {} is not known, {class} is asked", view.place),
                }
            }
            ReasonCode::PoolAccelerator => {
                let asked: Vec<&str> = ask.accelerators.iter().map(|a| a.label.as_str()).collect();
                let has = self.accelerators(pool);
                format!("asked is {}, here {}", asked.join(" or "), has)
            }
            ReasonCode::PoolCapability => {
                let floors: Vec<String> =
                    ask.capability.iter().map(|(name, floor)| format!("{name} {floor}")).collect();
                format!("does not show {}", floors.join(", "))
            }
            ReasonCode::PoolNoNodeFits => match self.wish.gang {
                Some(gang) => match gang.at_least() {
                    least if least < gang.size => format!(
                        "no {least} nodes here, the `min` of {}, hold {} each",
                        gang.size, ask.resources
                    ),
                    size => format!("no {size} nodes here hold {} each", ask.resources),
                },
                None => format!("no node holds {}, even empty", ask.resources),
            },
            ReasonCode::PoolOffer if pool.offers.iter().all(|offer| offer.closed) => {
                "its provider has not offered it at any price yet".to_owned()
            }
            ReasonCode::PoolOffer
                if ask.mode == Mode::Spot
                    && pool.offers.iter().all(|offer| offer.spot_permille.is_none()) =>
            {
                "no open offer sells spot here".to_owned()
            }
            ReasonCode::PoolOffer => {
                let cards = !ask.accelerators.is_empty() || ask.resources.accel.0 > 0;
                let longest = pool.offers.iter().filter_map(|offer| offer.time_max).max();
                match longest.filter(|longest| *longest < ask.time) {
                    Some(longest) => format!("a task may run for {longest} there, not {}", ask.time),
                    None if cards && pool.offers.iter().all(|o| o.accelerator.is_none()) => {
                        "no open offer has a price for cards".to_owned()
                    }
                    None => "no open offer covers the job".to_owned(),
                }
            }
            ReasonCode::PoolPrice => {
                let cap = |cap: Option<Micro>, per: &str| {
                    cap.map_or_else(String::new, |cap| format!(" {cap} {per}"))
                };
                format!(
                    "every offer is over the cap of{}{}",
                    cap(self.wish.max_unit_price, "an hour"),
                    cap(self.wish.max_task_price, "a task")
                )
            }
            ReasonCode::PoolDown => match self.wish.gang.map(GangAsk::at_least) {
                Some(least) if least > 1 => {
                    format!("fewer than {least} nodes that could take it are up")
                }
                Some(_) | None => "every node that could take it is down".to_owned(),
            },
            ReasonCode::PoolBusy => "it fits, but others are there now".to_owned(),
            ReasonCode::PoolPromised => {
                "it fits now, but not until its limit: what has room is promised for later, or closes"
                    .to_owned()
            }
            ReasonCode::PoolKept => {
                "it fits now, but is sure to run for long and not due yet: room is kept for short work"
                    .to_owned()
            }
            ReasonCode::PoolReserved => {
                "it fits now, but would delay a job that waits before it".to_owned()
            }
        };
        Reason { code, message }
    }

    fn accelerators(&self, pool: &Pool) -> String {
        let models = pool.bays.iter().map(|bay| {
            self.estate.bays[*bay].make.accelerator.as_deref().unwrap_or("none").to_owned()
        });
        let models: BTreeSet<String> = models.collect();
        models.into_iter().collect::<Vec<_>>().join(", ")
    }
}

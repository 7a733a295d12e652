//! Offers: a pool's capacity at a price, and for whom and what it is meant.
//!
//! Invariant: an offer that [`Offer::check`] lets in can be rated. An offer does not know how much
//! of its capacity is free: that is the planner's business.

use std::collections::BTreeMap;
use std::fmt;

use dayan_units::{Micro, OfferId, PERMILLE_ONE, PoolId, ProviderId, Rate, Resources, Span, Time};
use serde::{Deserialize, Serialize};

use crate::period::ZoneOffset;
use crate::tariff::{Tariff, scaled};

/// What a buyer is to the seller; the price depends on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuyerClass {
    /// The seller's own house.
    Internal,
    /// Under a standing agreement.
    Partner,
    /// Everyone else.
    External,
}

impl BuyerClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Internal, Self::Partner, Self::External];

    /// The share of the list price that is usual for the class: 60 %, 80 % and 100 %.
    pub const fn usual_permille(self) -> u32 {
        match self {
            Self::Internal => 600,
            Self::Partner => 800,
            Self::External => PERMILLE_ONE,
        }
    }
    /// Its name, as in job files and on bills.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Partner => "partner",
            Self::External => "external",
        }
    }
}
impl fmt::Display for BuyerClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the buyer may rely on.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum OfferMode {
    /// Runs to its end or its time limit.
    #[default]
    OnDemand,
    /// Cheaper, and may be taken back with notice.
    Spot,
}

impl OfferMode {
    /// Is it what everybody gets who says nothing?
    pub const fn is_on_demand(&self) -> bool {
        matches!(self, Self::OnDemand)
    }
}

/// Whether an offer takes new work. Running work is not touched by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferStatus {
    /// It does.
    Open,
    /// Not for now.
    Paused,
    /// Never again.
    Withdrawn,
}

/// A pool's capacity at a price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Its name.
    pub id: OfferId,
    /// Whose capacity.
    pub pool: PoolId,
    /// Who is paid.
    pub provider: ProviderId,
    /// What the buyer may rely on.
    pub mode: OfferMode,
    /// The catalogue's name of the accelerator model; `None` where none is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// The list price.
    pub rate: Rate,
    /// What an hour of the day costs of it; `None` where all cost the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tariff: Option<Tariff>,
    /// The least time billed for an attempt that ran.
    pub minimum: Span,
    /// The least a task must ask for.
    pub task_min: Resources,
    /// The most a task may ask for.
    pub task_max: Resources,
    /// Which classes are served, and at how many permille of the list price.
    pub classes: BTreeMap<BuyerClass, u32>,
    /// What spot work pays, in permille of what its class pays; `None` where no spot is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot_permille: Option<u32>,
    /// Takes work from then on.
    pub valid_from: Time,
    /// Takes work until just before then; [`Time::NEVER`] for without end.
    pub valid_until: Time,
    /// Whether it takes new work.
    pub status: OfferStatus,
}

/// The dearest class: ten times the list price. More is a slip of the pen.
const CLASS_PERMILLE_MAX: u32 = 10 * PERMILLE_ONE;
/// A minimum over a day would sell days; those are reserved capacity, not on-demand use.
const MINIMUM_MAX: Span = Span::from_secs(86_400);

/// Why an offer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferDefect {
    /// A negative price.
    #[error("a price of the offer is negative")]
    NegativePrice,
    /// Cards are sold without naming the model, or priced without being sold, or a model is named
    /// and no card can be had.
    #[error("the accelerator model, the card price and the card limit do not go together")]
    Accelerator,
    /// A negative minimum or one over a day.
    #[error("the least billed time must be between none and a day")]
    Minimum,
    /// What a task must ask for is more than it may.
    #[error("the least resources of a task exceed the most")]
    Bounds,
    /// No class is served.
    #[error("the offer serves no class of buyers")]
    NoClass,
    /// A class pays more than ten times the list price.
    #[error("a class pays more than ten times the list price")]
    ClassPrice,
    /// Spot work pays nothing, or more than other work.
    #[error("spot work pays nothing, or more than work that is not taken back")]
    SpotPrice,
    /// An hour costs more than ten times the list price.
    #[error("an hour of the day costs more than ten times the list price")]
    Tariff,
    /// It ends before it begins.
    #[error("the offer ends before it begins")]
    Validity,
}

impl OfferDefect {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NegativePrice => "market.offer_negative_price",
            Self::Accelerator => "market.offer_accelerator",
            Self::Minimum => "market.offer_minimum",
            Self::Bounds => "market.offer_bounds",
            Self::NoClass => "market.offer_no_class",
            Self::ClassPrice => "market.offer_class_price",
            Self::SpotPrice => "market.offer_spot_price",
            Self::Tariff => "market.offer_tariff",
            Self::Validity => "market.offer_validity",
        }
    }
    /// What to do next.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NegativePrice => "give prices of zero or more",
            Self::Accelerator => {
                "a price of cards goes with the model of the cards (`--card-hour 8 --accelerator A100`); without \
                 cards leave out both"
            }
            Self::Minimum => "give a least billed time such as `60s`",
            Self::Bounds => "make the least resources fit in the most",
            Self::NoClass => "name at least one class, such as `external: 1000`",
            Self::ClassPrice => {
                "give classes in permille of the list price: 1000 is the list price"
            }
            Self::SpotPrice => "give the share that spot work pays, from 1 to 1000 permille",
            Self::Tariff => "give hours in permille of the list price: 1000 is the list price",
            Self::Validity => "give an end that is after the beginning",
        }
    }
}

/// Why an offer does not take a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefusal {
    /// It takes no work for now.
    #[error("the offer is paused")]
    Paused,
    /// It was withdrawn.
    #[error("the offer was withdrawn")]
    Withdrawn,
    /// Its time has not come.
    #[error("the offer starts at {0}")]
    NotYet(Time),
    /// Its time is over.
    #[error("the offer ended at {0}")]
    Over(Time),
    /// The buyer's class is not served.
    #[error("the offer does not serve {0} buyers")]
    Class(BuyerClass),
    /// Spot is asked for and none is sold.
    #[error("the offer sells no spot")]
    NoSpot,
    /// Accelerators are asked for and none are sold.
    #[error("the offer has no accelerators")]
    NoAccelerator,
    /// Another model is sold.
    #[error("the offer has {has}, not {wanted}")]
    OtherAccelerator {
        /// What is sold.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// The task asks for less than the offer sells.
    #[error("the offer is for tasks of at least {0}")]
    TooSmall(Resources),
    /// The task asks for more than the offer sells.
    #[error("the offer is for tasks of at most {0}")]
    TooLarge(Resources),
}

impl OfferRefusal {
    /// The stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Paused => "market.offer_paused",
            Self::Withdrawn => "market.offer_withdrawn",
            Self::NotYet(_) => "market.offer_not_yet",
            Self::Over(_) => "market.offer_over",
            Self::Class(_) => "market.offer_class",
            Self::NoSpot => "market.offer_no_spot",
            Self::NoAccelerator => "market.offer_no_accelerator",
            Self::OtherAccelerator { .. } => "market.offer_other_accelerator",
            Self::TooSmall(_) => "market.offer_too_small",
            Self::TooLarge(_) => "market.offer_too_large",
        }
    }
    /// What to do next.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Paused | Self::NotYet(_) => "wait, or let other pools be considered",
            Self::Withdrawn | Self::Over(_) => "let other pools be considered",
            Self::Class(_) => "ask the provider for an agreement, or let other pools be considered",
            Self::NoSpot => "write `mode: on_demand`, or let other pools be considered",
            Self::NoAccelerator => "leave out the accelerators, or let other pools be considered",
            Self::OtherAccelerator { .. } => "add the model to the job's list of accelerators",
            Self::TooSmall(_) => "ask for more, or put several steps into one task",
            Self::TooLarge(_) => "ask for less, or split the task",
        }
    }
}

impl Offer {
    /// May it be let in? The first defect found.
    pub fn check(&self) -> Result<(), OfferDefect> {
        let rate = &self.rate;
        if [rate.core_hour, rate.gb_hour, rate.card_hour].iter().any(|price| *price < Micro::ZERO) {
            return Err(OfferDefect::NegativePrice);
        }
        let sells_cards = self.task_max.accel.0 > 0;
        let priced = rate.card_hour > Micro::ZERO;
        if self.accelerator.is_some() != sells_cards || (priced && !sells_cards) {
            return Err(OfferDefect::Accelerator);
        }
        if self.minimum < Span::ZERO || self.minimum > MINIMUM_MAX {
            return Err(OfferDefect::Minimum);
        }
        if !self.task_min.fits_in(&self.task_max) {
            return Err(OfferDefect::Bounds);
        }
        if self.classes.is_empty() {
            return Err(OfferDefect::NoClass);
        }
        if self.classes.values().any(|permille| *permille > CLASS_PERMILLE_MAX) {
            return Err(OfferDefect::ClassPrice);
        }
        if self.spot_permille.is_some_and(|spot| spot == 0 || spot > PERMILLE_ONE) {
            return Err(OfferDefect::SpotPrice);
        }
        if self.tariff.is_some_and(|tariff| !tariff.is_valid()) {
            return Err(OfferDefect::Tariff);
        }
        if self.valid_from >= self.valid_until {
            return Err(OfferDefect::Validity);
        }
        Ok(())
    }

    /// The list price of the hour that a moment lies in.
    pub fn rate_at(&self, at: Time, zone: ZoneOffset) -> Rate {
        self.tariff.map_or(self.rate, |tariff| scaled(self.rate, tariff.permille_at(at, zone)))
    }
    /// The list price by the hour of the day, from midnight on, where that differs.
    pub fn hourly_rates(&self) -> Option<[Rate; 24]> {
        let tariff = self.tariff?;
        Some(tariff.0.map(|permille| scaled(self.rate, permille)))
    }
    /// The list price of its cheapest hour.
    pub fn least_rate(&self) -> Rate {
        self.tariff.map_or(self.rate, |tariff| scaled(self.rate, tariff.least()))
    }

    /// Does it take a task of that size, for that buyer, now? `accelerator` is the model the task
    /// insists on; a task that asks for cards and names none takes any.
    pub fn admits(
        &self,
        resources: &Resources,
        accelerator: Option<&str>,
        class: BuyerClass,
        now: Time,
    ) -> Result<(), OfferRefusal> {
        match self.status {
            OfferStatus::Open => {}
            OfferStatus::Paused => return Err(OfferRefusal::Paused),
            OfferStatus::Withdrawn => return Err(OfferRefusal::Withdrawn),
        }
        if now < self.valid_from {
            return Err(OfferRefusal::NotYet(self.valid_from));
        }
        if now >= self.valid_until {
            return Err(OfferRefusal::Over(self.valid_until));
        }
        if !self.classes.contains_key(&class) {
            return Err(OfferRefusal::Class(class));
        }
        if resources.accel.0 > 0 {
            match (&self.accelerator, accelerator) {
                (None, _) => return Err(OfferRefusal::NoAccelerator),
                (Some(has), Some(wanted)) if has != wanted => {
                    return Err(OfferRefusal::OtherAccelerator {
                        has: has.clone(),
                        wanted: wanted.to_owned(),
                    });
                }
                (Some(_), _) => {}
            }
        }
        if !self.task_min.fits_in(resources) {
            return Err(OfferRefusal::TooSmall(self.task_min));
        }
        if !resources.fits_in(&self.task_max) {
            return Err(OfferRefusal::TooLarge(self.task_max));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use dayan_units::{Bytes, MilliAccel, MilliCpu};

    use super::*;

    pub(crate) fn resources(cpu: u64, memory_gb: u64, accel: u64) -> Resources {
        Resources {
            cpu: MilliCpu(cpu),
            memory: Bytes(memory_gb * 1_000_000_000),
            accel: MilliAccel(accel),
            ..Resources::ZERO
        }
    }

    pub(crate) fn offer() -> Offer {
        Offer {
            id: OfferId::from_bits(1),
            pool: PoolId::from_bits(2),
            provider: ProviderId::from_bits(3),
            mode: OfferMode::OnDemand,
            accelerator: Some("H100".to_owned()),
            rate: Rate {
                core_hour: Micro(100_000),
                gb_hour: Micro(10_000),
                card_hour: Micro(8_000_000),
            },
            minimum: Span::from_secs(60),
            task_min: resources(1_000, 0, 0),
            task_max: resources(96_000, 1_000, 8_000),
            classes: BuyerClass::ALL.map(|class| (class, class.usual_permille())).into(),
            spot_permille: None,
            tariff: None,
            valid_from: Time::from_micros(100),
            valid_until: Time::from_micros(200),
            status: OfferStatus::Open,
        }
    }

    #[test]
    fn an_offer_says_why_not() {
        let check = |change: fn(&mut Offer), asked, model, now, expect: Result<(), &str>| {
            let mut offer = offer();
            change(&mut offer);
            let answer = offer.admits(&asked, model, BuyerClass::External, Time::from_micros(now));
            assert_eq!(answer.map_err(|refusal| refusal.code()), expect);
        };
        let task = resources(4_000, 8, 0);
        let gpu = resources(4_000, 8, 1_000);
        check(|_| {}, task, None, 100, Ok(()));
        check(|_| {}, gpu, None, 199, Ok(()));
        check(|_| {}, gpu, Some("H100"), 150, Ok(()));
        check(|_| {}, task, Some("L20"), 150, Ok(()));
        check(|_| {}, gpu, Some("L20"), 150, Err("market.offer_other_accelerator"));
        check(|o| o.accelerator = None, gpu, None, 150, Err("market.offer_no_accelerator"));
        check(|_| {}, task, None, 99, Err("market.offer_not_yet"));
        check(|_| {}, task, None, 200, Err("market.offer_over"));
        check(|o| o.status = OfferStatus::Paused, task, None, 150, Err("market.offer_paused"));
        check(|o| o.status = OfferStatus::Withdrawn, task, None, 99, Err("market.offer_withdrawn"));
        check(
            |o| _ = o.classes.remove(&BuyerClass::External),
            task,
            None,
            150,
            Err("market.offer_class"),
        );
        check(|_| {}, resources(500, 8, 0), None, 150, Err("market.offer_too_small"));
        check(|_| {}, resources(4_000, 1_001, 0), None, 150, Err("market.offer_too_large"));
    }

    #[test]
    fn a_defective_offer_is_not_let_in() {
        let check = |change: fn(&mut Offer), expect| {
            let mut offer = offer();
            change(&mut offer);
            assert_eq!(offer.check(), expect);
        };
        check(|_| {}, Ok(()));
        check(|o| o.rate.gb_hour = Micro(-1), Err(OfferDefect::NegativePrice));
        check(|o| o.accelerator = None, Err(OfferDefect::Accelerator));
        check(|o| o.task_max.accel = MilliAccel(0), Err(OfferDefect::Accelerator));
        check(|o| o.minimum = Span::from_secs(-1), Err(OfferDefect::Minimum));
        check(|o| o.task_min = resources(97_000, 0, 0), Err(OfferDefect::Bounds));
        check(|o| o.classes.clear(), Err(OfferDefect::NoClass));
        check(|o| _ = o.classes.insert(BuyerClass::Partner, 10_001), Err(OfferDefect::ClassPrice));
        check(|o| o.spot_permille = Some(1_000), Ok(()));
        check(|o| o.tariff = Some(Tariff([10_000; 24])), Ok(()));
        check(|o| o.tariff = Some(Tariff([10_001; 24])), Err(OfferDefect::Tariff));
        check(|o| o.spot_permille = Some(0), Err(OfferDefect::SpotPrice));
        check(|o| o.spot_permille = Some(1_001), Err(OfferDefect::SpotPrice));
        check(|o| o.valid_until = o.valid_from, Err(OfferDefect::Validity));
    }
}

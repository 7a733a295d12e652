//! From time and resources to money: terms, rated lines, and what a window still has to capture.
//!
//! Invariant: a line's amount is one product of all its factors, rounded once, half to even; it
//! never falls when time is added, and never exceeds the cap. What is captured is always the
//! line's amount so far less what was captured before, so that any sequence of windows adds up to
//! the line. Rating does not know who measured the time.

use dayan_units::{Micro, PERMILLE_ONE, Rate, Resources, Span, div_half_even, permille_of_floor};
use serde::{Deserialize, Serialize};

use crate::offer::{BuyerClass, Offer, OfferMode, OfferRefusal};
use crate::quote::QuoteLine;

/// What was agreed for an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// The list price.
    pub rate: Rate,
    /// The share of it that the buyer pays.
    pub permille: u32,
    /// The least time billed, if the attempt ran at all.
    pub minimum: Span,
    /// What the attempt costs at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Micro>,
}

/// Why something cannot be rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatingRefusal {
    /// Time ran backwards: a fault of whoever measured it.
    #[error("a length of time to be billed is negative")]
    NegativeTime,
    /// The amount would be over the range of money.
    #[error("the amount is larger than can be kept")]
    TooMuch,
}

impl RatingRefusal {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NegativeTime => "market.rating_negative_time",
            Self::TooMuch => "market.rating_too_much",
        }
    }
    /// What to do next.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NegativeTime => "look at the usage records of the attempt",
            Self::TooMuch => "ask for less time, fewer resources or fewer tasks",
        }
    }
}

/// Why there is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceRefusal {
    /// The offer has none for the buyer.
    #[error(transparent)]
    Offer(#[from] OfferRefusal),
    /// It cannot be computed.
    #[error(transparent)]
    Rating(#[from] RatingRefusal),
}

impl PriceRefusal {
    /// The stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Offer(refusal) => refusal.code(),
            Self::Rating(refusal) => refusal.code(),
        }
    }
    /// What to do next.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Offer(refusal) => refusal.advice(),
            Self::Rating(refusal) => refusal.advice(),
        }
    }
}

impl Terms {
    /// The listed price for a class of buyers, and for what they may rely on, at list prices `rate`
    /// (those of an hour of the offer).
    pub fn listed(
        offer: &Offer,
        rate: Rate,
        class: BuyerClass,
        mode: OfferMode,
    ) -> Result<Self, OfferRefusal> {
        let of_class = *offer.classes.get(&class).ok_or(OfferRefusal::Class(class))?;
        let permille = match mode {
            OfferMode::OnDemand => of_class,
            OfferMode::Spot => {
                permille_of_floor(offer.spot_permille.ok_or(OfferRefusal::NoSpot)?, of_class)
            }
        };
        Ok(Self { rate, permille, minimum: offer.minimum, cap: None })
    }

    /// The quoted price, for a task for which `billed` was billed under the quote before (by
    /// attempts that ended through no fault of the task).
    pub fn quoted(line: &QuoteLine, billed: Micro) -> Self {
        let cap = line.price_each.saturating_sub(billed).max(Micro::ZERO);
        Self { rate: line.rate, permille: line.permille, minimum: line.minimum, cap: Some(cap) }
    }

    /// The time billed for that much valid time: at least the minimum, but none for none, since
    /// what never ran is not billed.
    pub fn billed_span(&self, valid: Span) -> Span {
        if valid == Span::ZERO { Span::ZERO } else { valid.max(self.minimum) }
    }

    /// What `resources` cost for that much valid time.
    pub fn price(&self, resources: &Resources, valid: Span) -> Result<Micro, RatingRefusal> {
        Ok(rate_usage(self, resources, valid)?.amount)
    }
}

/// What a task of that size and length would cost at the list price.
pub fn estimate(
    offer: &Offer,
    resources: &Resources,
    span: Span,
    class: BuyerClass,
) -> Result<Micro, PriceRefusal> {
    Ok(Terms::listed(offer, offer.rate, class, OfferMode::OnDemand)?.price(resources, span)?)
}

/// How much was used, in millionths, rounded half to even. For the reader of a bill; the amount is
/// not computed from these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Quantity {
    /// Millionths of a core-second.
    pub core_seconds_micro: u64,
    /// Millionths of a GB-second (10⁹ bytes).
    pub gb_seconds_micro: u64,
    /// Millionths of a card-second.
    pub card_seconds_micro: u64,
}

impl Quantity {
    fn of(resources: &Resources, span: Span) -> Result<Self, RatingRefusal> {
        let times = |amount: u64, base: i128| {
            // 64 bits by 63 bits: within 128.
            let product = i128::from(amount) * i128::from(span.micros());
            u64::try_from(div_half_even(product, base)).map_err(|_| RatingRefusal::TooMuch)
        };
        Ok(Self {
            core_seconds_micro: times(resources.cpu.0, 1_000)?,
            gb_seconds_micro: times(resources.memory.0, 1_000_000_000)?,
            card_seconds_micro: times(resources.accel.0, 1_000)?,
        })
    }
}

/// A line of a bill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RatedLine {
    /// What was used in the valid time.
    pub quantity: Quantity,
    /// The time for which the attempt was valid and ran.
    pub valid_span: Span,
    /// The time that is billed.
    pub billed_span: Span,
    /// What the billed time costs at the list price.
    pub list: Micro,
    /// What it costs under the terms, before the cap.
    pub uncapped: Micro,
    /// What is billed.
    pub amount: Micro,
}

/// Rates an attempt that was valid and ran for `valid` in total.
pub fn rate_usage(
    terms: &Terms,
    resources: &Resources,
    valid: Span,
) -> Result<RatedLine, RatingRefusal> {
    if valid < Span::ZERO {
        return Err(RatingRefusal::NegativeTime);
    }
    let billed_span = terms.billed_span(valid);
    let cost =
        |permille| terms.rate.cost(resources, billed_span, permille).ok_or(RatingRefusal::TooMuch);
    let uncapped = cost(terms.permille)?;
    Ok(RatedLine {
        quantity: Quantity::of(resources, valid)?,
        valid_span: valid,
        billed_span,
        list: cost(PERMILLE_ONE)?,
        uncapped,
        amount: terms.cap.map_or(uncapped, |cap| uncapped.min(cap)),
    })
}

/// What is to be moved so that the captures of an attempt come to what it costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing: they do.
    Nothing,
    /// This much more is to be captured.
    Capture(Micro),
    /// This much was captured too much, because the time turned out to be shorter; it is to be
    /// paid back.
    Refund(Micro),
}

/// Compares what an attempt costs so far with what was captured for it so far.
pub fn due(
    terms: &Terms,
    resources: &Resources,
    valid_total: Span,
    captured: Micro,
) -> Result<Due, RatingRefusal> {
    let amount = terms.price(resources, valid_total)?;
    let rest = amount.checked_sub(captured).ok_or(RatingRefusal::TooMuch)?;
    Ok(match rest.0 {
        0 => Due::Nothing,
        1.. => Due::Capture(rest),
        ..0 => Due::Refund(Micro(-rest.0)),
    })
}

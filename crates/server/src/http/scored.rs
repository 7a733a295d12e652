//! What places are compared by, as `plan` shows it: the order of measures, and each candidate's score
//! in it with units. Must not know how a score is made.

use dayan_schedule::{Candidate, Candidates, JobAsk, Measured, Preference};
use dayan_units::{Currency, Micro, Span};
use dayan_wire as wire;

/// A measure as the job file and the API write it.
const fn name(by: Preference) -> &'static str {
    match by {
        Preference::Price => "price",
        Preference::Start => "start",
        Preference::Deadline => "deadline",
        Preference::Delay => "delay",
        Preference::Carbon => "carbon",
        Preference::Reliability => "reliability",
    }
}

/// Is this spot work that may also go on demand?
fn falls_back(ask: &JobAsk) -> bool {
    ask.ask.falls_back
}

/// More than one alternative: which a place has is a part of its score.
fn has_alternatives(ask: &JobAsk) -> bool {
    ask.ask.accelerators.len() > 1
}

/// The order in which places are compared, from the first on.
pub(super) fn order(ask: &JobAsk, found: &Candidates) -> Vec<wire::PlanOrder> {
    let own = |by: &Preference| ask.prefer.contains(by);
    let of = |by: &str, unit: &str, from: &str| wire::PlanOrder {
        by: by.to_owned(),
        unit: unit.to_owned(),
        from: from.to_owned(),
    };
    let mut order = vec![of("room", "tasks that fit now", "always")];
    if falls_back(ask) {
        order.push(of("mode", "spot before on_demand", "always"));
    }
    if has_alternatives(ask) {
        order.push(of("accelerator", "alternative, from 1 on", "job"));
    }
    order.extend(found.order.iter().map(|by| {
        let from = if own(by) { "job" } else { "default" };
        of(name(*by), unit(*by), from)
    }));
    order.push(of("idle_cards", "cards idle beside it", "always"));
    order
}

const fn unit(by: Preference) -> &'static str {
    match by {
        Preference::Price => "a task at its time limit",
        Preference::Start | Preference::Deadline => "s until its data is there",
        Preference::Delay => "ms one way",
        Preference::Carbon => "g/kWh",
        Preference::Reliability => "of attempts end as they should",
    }
}

/// The score of a candidate, in the order of [`order`] without the first, which `tasks` tells.
pub(super) fn score(ask: &JobAsk, candidate: &Candidate, currency: Currency) -> Vec<wire::Score> {
    let of = |by: &str, value: Option<String>, unit: &str| wire::Score {
        by: by.to_owned(),
        value,
        unit: unit.to_owned(),
    };
    let scored = &candidate.score;
    let mut score = Vec::new();
    if falls_back(ask) {
        let mode = if scored.falls_back { "on_demand" } else { "spot" };
        score.push(of("mode", Some(mode.to_owned()), ""));
    }
    if has_alternatives(ask) {
        let nth = u32::from(scored.alternative) + 1;
        score.push(of("accelerator", Some(nth.to_string()), ""));
    }
    score.extend(scored.measures.iter().map(|Measured { by, value }| {
        let (value, unit) = match by {
            Preference::Price => (value.map(|v| Micro(v).decimal()), currency.to_string()),
            Preference::Start | Preference::Deadline => {
                (value.map(|v| decimal(Span::from_micros(v).secs_f64())), "s".to_owned())
            }
            Preference::Delay => {
                (value.map(|v| decimal(Span::from_micros(v).secs_f64() * 1e3)), "ms".to_owned())
            }
            Preference::Carbon => (value.map(|v| decimal(v as f64 / 1e3)), "g/kWh".to_owned()),
            Preference::Reliability => {
                (value.map(|v| decimal((1_000 - v) as f64 / 1e3)), String::new())
            }
        };
        of(name(*by), value, &unit)
    }));
    let idle = if scored.idles_cards { "yes" } else { "no" };
    score.push(of("idle_cards", Some(idle.to_owned()), ""));
    score
}

/// Thousandths are as fine as anything here is known.
fn decimal(value: f64) -> String {
    format!("{value:.3}")
}

/// What the job calls the accelerators that it would have there.
pub(super) fn accelerator(ask: &JobAsk, candidate: &Candidate) -> Option<String> {
    let choice = ask.ask.accelerators.get(usize::from(candidate.score.alternative))?;
    let cards = choice.cards.0;
    let count = if cards.is_multiple_of(1_000) {
        (cards / 1_000).to_string()
    } else {
        format!("{}", cards as f64 / 1e3)
    };
    Some(format!("{}:{count}", choice.label))
}

//! What one task (or each member of a gang) asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use dayan_units::{Bytes, FlopRate, MilliAccel, MilliCpu, Range, Resources, Span};
use serde::{Deserialize, Serialize};

use super::choice::Precision;
use super::name::{NameError, quote, serde_through_text};

/// What one task asks for. `min` of a range must be there; more than `max` is of no use to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResourceAsk {
    /// Processor cores.
    pub cpus: Range<MilliCpu>,
    /// Memory.
    pub memory: Range<Bytes>,
    /// Local disk for the working folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Range<Bytes>>,
    /// Cards, the first choice first; empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<AcceleratorAsk>,
    /// Speed that each card must have been measured at; of the whole node where no cards are asked
    /// for. Operations a second.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub speed: BTreeMap<Precision, Range<FlopRate>>,
    /// The longest an attempt may run.
    pub time: Span,
    /// How many processes `srun` or `mpirun` starts in a task, or in all of a gang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
}

/// So many cards of a kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AcceleratorAsk {
    /// Which.
    pub kind: AcceleratorKind,
    /// How many, in thousandths of a card: less than one is a share of one card.
    pub count: MilliAccel,
}

/// Which cards will do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AcceleratorKind {
    /// Any card (`any`).
    Any,
    /// Any card of a maker (`any-nvidia`), lower case.
    AnyOf(String),
    /// A model, or an alias of one in the device catalogue, as written.
    Model(String),
}
serde_through_text!(AcceleratorKind);

impl ResourceAsk {
    /// Cores of a task that does not say: one, what a program that knows nothing of threads uses.
    pub const DEFAULT_CPUS: MilliCpu = MilliCpu(1_000);
    /// Memory of a task that does not say. Hosts are sold with 2 to 8 GB a core: with 1 GB a
    /// forgotten key never leaves cores idle for want of memory nor costs more than the core
    /// itself, and a program that needs more fails at once with `oom` instead of slowly.
    pub const DEFAULT_MEMORY: Bytes = Bytes(1_000_000_000);
    /// Time limit of a batch task that does not say: long enough for most tasks, short enough that
    /// one that hangs is noticed the same day.
    pub const DEFAULT_TIME: Span = Span::from_secs(3_600);

    /// The least that must be there with the given choice of cards.
    pub fn least(&self, cards: Option<&AcceleratorAsk>) -> Resources {
        Resources {
            cpu: self.cpus.min,
            memory: self.memory.min,
            disk: self.disk.map_or(Bytes::ZERO, |disk| disk.min),
            accel: cards.map_or(MilliAccel::ZERO, |cards| cards.count),
        }
    }
    /// The most cores that are of use to it: the top of the range, the bottom where it has none.
    /// Memory is granted from the bottom up, as a task runs out of it.
    pub fn most_cpus(&self) -> MilliCpu {
        self.cpus.max.map_or(self.cpus.min, |most| most.max(self.cpus.min))
    }
    /// Each alternative with the least it needs, the first choice first; one without cards where
    /// none are asked for.
    pub fn alternatives(&self) -> impl Iterator<Item = (Option<&AcceleratorAsk>, Resources)> {
        let none = self.accelerators.is_empty().then_some(None);
        none.into_iter()
            .chain(self.accelerators.iter().map(Some))
            .map(|cards| (cards, self.least(cards)))
    }
}

/// Letters of a model's name, as makers write them.
fn is_model(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'))
}

impl FromStr for AcceleratorKind {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if !is_model(text) {
            return Err(NameError::Accelerator(quote(text)));
        }
        match text.strip_prefix("any-") {
            Some(maker) if !maker.is_empty() => Ok(Self::AnyOf(maker.to_ascii_lowercase())),
            Some(_) => Err(NameError::Accelerator(quote(text))),
            None if text == "any" => Ok(Self::Any),
            None => Ok(Self::Model(text.to_owned())),
        }
    }
}
impl fmt::Display for AcceleratorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::AnyOf(maker) => write!(f, "any-{maker}"),
            Self::Model(model) => f.write_str(model),
        }
    }
}

impl FromStr for AcceleratorAsk {
    type Err = NameError;
    /// `H100:8`, `H100:0.25`, `any-nvidia:1`; a kind alone is one card. A share of cards is only
    /// of one card: nothing can hand out one and a half.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Accelerator(quote(text));
        let (kind, count) = text.split_once(':').unwrap_or((text, "1"));
        let kind = kind.parse().map_err(|_| refused())?;
        let count: MilliAccel = count.parse().map_err(|_| refused())?;
        if count.0 == 0 || (count.0 > 1_000 && !count.0.is_multiple_of(1_000)) {
            return Err(refused());
        }
        Ok(Self { kind, count })
    }
}
impl fmt::Display for AcceleratorAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accelerators() {
        let check = |text: &str, expect: Option<(&str, u64)>| {
            let parsed = text.parse::<AcceleratorAsk>().ok();
            let got = parsed.map(|ask| (ask.kind.to_string(), ask.count.0));
            assert_eq!(got, expect.map(|(kind, count)| (kind.to_owned(), count)), "{text}");
        };
        check("H100:8", Some(("H100", 8_000)));
        check("H100:0.25", Some(("H100", 250)));
        check("any-nvidia:1", Some(("any-nvidia", 1_000)));
        check("any-NVIDIA", Some(("any-nvidia", 1_000)));
        check("any:2", Some(("any", 2_000)));
        check("Ascend910B", Some(("Ascend910B", 1_000)));
        for bad in
            ["", ":1", "H100:", "H100:0", "H100:-1", "H100:1.5", "H100:8:8", "any-:1", "H 100:1"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn alternatives_keep_their_order() {
        let ask = |accelerators: &[&str]| ResourceAsk {
            cpus: Range::exactly(MilliCpu(2_000)),
            memory: Range { min: Bytes(5), max: None },
            disk: None,
            accelerators: accelerators.iter().map(|a| a.parse().expect("valid")).collect(),
            speed: BTreeMap::new(),
            time: ResourceAsk::DEFAULT_TIME,
            processes: None,
        };
        let none = ask(&[]);
        assert_eq!(none.alternatives().map(|(_, r)| r.accel.0).collect::<Vec<_>>(), [0]);
        let two = ask(&["H100:8", "L20:1"]);
        assert_eq!(two.alternatives().map(|(_, r)| r.accel.0).collect::<Vec<_>>(), [8_000, 1_000]);
    }
}

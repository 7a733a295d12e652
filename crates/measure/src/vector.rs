//! Benchmark vectors: per attribute the nominal and the measured value, with method, date,
//! validity, and whether the machine was shared while it ran.
//!
//! Invariant: an attribute stands or falls alone. Its newest measurement counts until its validity
//! ends or it is voided; what arrives late, twice or out of order changes nothing.

use std::collections::BTreeMap;

use dayan_units::{FlopRate, Span, Time};
use serde::{Deserialize, Serialize};

use crate::attribute::{Attribute, Component};
use crate::precision::Precision;

/// How a value was obtained.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Method {
    /// Name of the benchmark.
    pub name: String,
    /// Its version; values of different versions are not compared.
    pub version: String,
}

/// Did others use the machine while it was measured? A value from a shared machine is a lower
/// bound.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Others ran too.
    Shared,
    /// Nothing else ran.
    Exclusive,
}

/// One measured value with everything that is needed to judge it. The unit is the attribute's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    pub attribute: Attribute,
    /// What the maker states, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nominal: Option<u64>,
    /// What was found.
    pub measured: u64,
    /// By which benchmark.
    pub method: Method,
    /// When.
    pub at: Time,
    /// For how long after that it stands.
    pub valid_for: Span,
    /// Alone or beside others.
    pub sharing: Sharing,
    /// Who stands for it, where somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Who stands for a value, so that it can be checked again by anybody who has the key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Signature {
    /// The public key, in hex.
    pub key: String,
    /// Ed25519 over [`Measurement::material`], in hex.
    pub signature: String,
}

/// Why a measured value is not believed without a second look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Doubt {
    /// Better than the maker states by more than turbo clocks explain.
    #[error("{attribute}: measured {measured} {}, over the nominal {nominal}", .attribute.unit())]
    OverNominal {
        /// Of which attribute.
        attribute: Attribute,
        /// What the maker states.
        nominal: u64,
        /// What is claimed.
        measured: u64,
    },
    /// Nothing at all was measured.
    #[error("{0}: measured nothing")]
    Zero(Attribute),
}

impl Doubt {
    /// Stable code for the operator's findings.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OverNominal { .. } => "measure.over_nominal",
            Self::Zero(_) => "measure.zero",
        }
    }
}

/// Base clocks are stated, turbo clocks are reached: processors run up to half over the former.
/// Accelerators state their boost clock; the same limit catches a claim of the next model up.
const OVER_NOMINAL_PERCENT_MAX: u128 = 150;

impl Measurement {
    /// The moment it ceases to stand.
    pub const fn expires(&self) -> Time {
        self.at.plus(self.valid_for)
    }

    /// Is there a reason not to believe it? Capacities are counted by the machine and may be zero.
    pub fn doubt(&self) -> Option<Doubt> {
        let Self { attribute, measured, .. } = *self;
        let is_count = match attribute.unit() {
            crate::Unit::Count | crate::Unit::Byte => true,
            crate::Unit::KiloHertz
            | crate::Unit::FlopPerSecond
            | crate::Unit::BytePerSecond
            | crate::Unit::BitPerSecond
            | crate::Unit::Picosecond
            | crate::Unit::Microsecond
            | crate::Unit::MilliWatt => false,
        };
        if measured == 0 && !is_count {
            return Some(Doubt::Zero(attribute));
        }
        let nominal = self.nominal?;
        let over = u128::from(measured) * 100 > u128::from(nominal) * OVER_NOMINAL_PERCENT_MAX;
        (over && !attribute.less_is_better()).then_some(Doubt::OverNominal {
            attribute,
            nominal,
            measured,
        })
    }

    /// What is signed: a heading, then every field on a line of its own, times in microseconds. No
    /// name may hold a line break, so no two measurements have the same material.
    pub fn material(&self) -> String {
        let Self { attribute, nominal, measured, method, at, valid_for, sharing, signature: _ } =
            self;
        let nominal = nominal.map_or_else(|| "-".to_owned(), |nominal| nominal.to_string());
        let sharing = match sharing {
            Sharing::Shared => "shared",
            Sharing::Exclusive => "exclusive",
        };
        let Method { name, version } = method;
        let (at, valid_for) = (at.micros(), valid_for.micros());
        format!(
            "dayan measurement 1\n{attribute}\n{nominal}\n{measured}\n{name}\n{version}\n{at}\n\
             {valid_for}\n{sharing}\n"
        )
    }

    /// Newest first; of two of one instant the one that claims less stays, whichever came first.
    fn precedence(
        &self,
    ) -> (Time, std::cmp::Reverse<u64>, &Method, Span, Sharing, Option<&Signature>, Option<u64>)
    {
        let claim =
            if self.attribute.less_is_better() { u64::MAX - self.measured } else { self.measured };
        (
            self.at,
            std::cmp::Reverse(claim),
            &self.method,
            self.valid_for,
            self.sharing,
            self.signature.as_ref(),
            self.nominal,
        )
    }
}

/// What is on record for one attribute.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Slot {
    /// The newest measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Measurement>,
    /// Measurements up to this moment do not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided_at: Option<Time>,
}

/// How an attribute stands at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing<'a> {
    /// Measured and within its validity.
    Valid(&'a Measurement),
    /// Its validity has ended; to be measured again.
    Expired(&'a Measurement),
    /// What it describes has changed since; to be measured again.
    Voided(&'a Measurement),
    /// Never measured.
    Unmeasured,
}

/// A machine's measured attributes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeasuredVector {
    slots: BTreeMap<Attribute, Slot>,
}

impl MeasuredVector {
    /// Takes in a measurement unless a newer one is on record.
    pub fn record(&mut self, measurement: Measurement) {
        let slot = self.slots.entry(measurement.attribute).or_default();
        let is_newer =
            slot.newest.as_ref().is_none_or(|old| old.precedence() < measurement.precedence());
        if is_newer {
            slot.newest = Some(measurement);
        }
    }

    /// Voids one attribute: what was measured up to `at` does not count. Others stay as they are.
    pub fn void(&mut self, attribute: Attribute, at: Time) {
        let slot = self.slots.entry(attribute).or_default();
        slot.voided_at = slot.voided_at.max(Some(at));
    }

    /// Voids all attributes of one part of the machine, such as after a card was replaced.
    pub fn void_component(&mut self, component: Component, at: Time) {
        for attribute in Attribute::ALL.iter().filter(|a| a.component() == component) {
            if self.slots.contains_key(attribute) {
                self.void(*attribute, at);
            }
        }
    }

    /// How the attribute stands at `now`.
    pub fn standing(&self, attribute: Attribute, now: Time) -> Standing<'_> {
        let Some(slot) = self.slots.get(&attribute) else { return Standing::Unmeasured };
        let Some(newest) = &slot.newest else { return Standing::Unmeasured };
        if slot.voided_at.is_some_and(|voided| newest.at <= voided) {
            Standing::Voided(newest)
        } else if now < newest.expires() {
            Standing::Valid(newest)
        } else {
            Standing::Expired(newest)
        }
    }

    /// The measured value, if it stands at `now`.
    pub fn measured(&self, attribute: Attribute, now: Time) -> Option<u64> {
        match self.standing(attribute, now) {
            Standing::Valid(measurement) => Some(measurement.measured),
            Standing::Expired(_) | Standing::Voided(_) | Standing::Unmeasured => None,
        }
    }

    /// Attributes on record that do not stand at `now` and are to be measured again.
    pub fn due(&self, now: Time) -> Vec<Attribute> {
        let stands = |attribute: &Attribute| match self.standing(*attribute, now) {
            Standing::Valid(_) => true,
            Standing::Expired(_) | Standing::Voided(_) | Standing::Unmeasured => false,
        };
        self.slots.keys().filter(|attribute| !stands(attribute)).copied().collect()
    }

    /// Everything on record, in the order of the attributes.
    pub fn slots(&self) -> impl Iterator<Item = (Attribute, &Slot)> {
        self.slots.iter().map(|(attribute, slot)| (*attribute, slot))
    }
}

/// The measured dense rate of one card at that precision, for asks such as `fp16: 600 TFLOPS..`.
/// Nominal values never count.
pub fn capability(vector: &MeasuredVector, precision: Precision, now: Time) -> Option<FlopRate> {
    vector.measured(Attribute::accelerator_rate(precision), now).map(FlopRate)
}

/// The measured rate of all cores together; processors are only measured in FP64 and FP32.
pub fn cpu_capability(
    vector: &MeasuredVector,
    precision: Precision,
    now: Time,
) -> Option<FlopRate> {
    let attribute = match precision {
        Precision::Fp64 => Attribute::CpuDgemmAll,
        Precision::Fp32 => Attribute::CpuSgemmAll,
        Precision::Tf32 | Precision::Fp16 | Precision::Bf16 | Precision::Fp8 | Precision::Int8 => {
            return None;
        }
    };
    vector.measured(attribute, now).map(FlopRate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: i64) -> Time {
        Time::EPOCH.plus(Span::from_secs(secs))
    }

    fn measurement(attribute: Attribute, measured: u64, at_secs: i64) -> Measurement {
        Measurement {
            attribute,
            nominal: None,
            measured,
            method: Method { name: "dayan.gemm".into(), version: "1".into() },
            at: at(at_secs),
            valid_for: Span::from_secs(100),
            sharing: Sharing::Exclusive,
            signature: None,
        }
    }

    #[test]
    fn a_capability_is_what_was_measured_and_still_stands() {
        let mut vector = MeasuredVector::default();
        let rate = 800_000_000_000_000;
        let mut claim = measurement(Attribute::AccelFp16, rate, 10);
        claim.nominal = Some(989_400_000_000_000);
        vector.record(claim);
        let check = |vector: &MeasuredVector, precision, secs, expect| {
            assert_eq!(capability(vector, precision, at(secs)), expect, "{precision} {secs}");
        };
        check(&vector, Precision::Fp16, 50, Some(FlopRate(rate)));
        check(&vector, Precision::Fp16, 110, None);
        check(&vector, Precision::Bf16, 50, None);
        vector.void(Attribute::AccelFp16, at(20));
        check(&vector, Precision::Fp16, 50, None);
        vector.record(measurement(Attribute::AccelFp16, rate, 21));
        check(&vector, Precision::Fp16, 50, Some(FlopRate(rate)));
        assert_eq!(cpu_capability(&vector, Precision::Fp64, at(50)), None);
        vector.record(measurement(Attribute::CpuDgemmAll, 5, 21));
        assert_eq!(cpu_capability(&vector, Precision::Fp64, at(50)), Some(FlopRate(5)));
        assert_eq!(cpu_capability(&vector, Precision::Fp16, at(50)), None);
    }

    #[test]
    fn voiding_touches_nothing_else() {
        let mut vector = MeasuredVector::default();
        for attribute in Attribute::ALL {
            vector.record(measurement(*attribute, 7, 0));
        }
        vector.void(Attribute::DiskWrite, at(1));
        assert_eq!(vector.due(at(2)), [Attribute::DiskWrite]);
        vector.void_component(Component::Accelerator, at(1));
        let due = vector.due(at(2));
        assert!(
            due.iter()
                .all(|a| a.component() == Component::Accelerator || *a == Attribute::DiskWrite)
        );
        assert!(due.contains(&Attribute::AccelInt8));
    }

    #[test]
    fn every_field_is_signed() {
        let plain = measurement(Attribute::AccelFp16, 7, 3);
        assert_eq!(
            plain.material(),
            "dayan measurement 1\naccel.fp16\n-\n7\ndayan.gemm\n1\n3000000\n100000000\n\
             exclusive\n"
        );
        let mut others = vec![plain.clone(); 8];
        others[0].attribute = Attribute::AccelBf16;
        others[1].nominal = Some(0);
        others[2].measured = 8;
        others[3].method.name.push('x');
        others[4].method.version.push('0');
        others[5].at = at(4);
        others[6].valid_for = Span::from_secs(101);
        others[7].sharing = Sharing::Shared;
        for other in others {
            assert_ne!(other.material(), plain.material(), "{other:?}");
        }
    }

    #[test]
    fn doubtful_claims_are_named() {
        let check = |attribute, nominal, measured, expect: Option<&str>| {
            let mut claim = measurement(attribute, measured, 0);
            claim.nominal = nominal;
            assert_eq!(claim.doubt().map(|doubt| doubt.code()), expect, "{attribute} {measured}");
        };
        check(Attribute::AccelFp16, Some(100), 90, None);
        check(Attribute::AccelFp16, Some(100), 150, None);
        check(Attribute::AccelFp16, Some(100), 151, Some("measure.over_nominal"));
        check(Attribute::AccelFp16, None, u64::MAX, None);
        check(Attribute::AccelFp16, None, 0, Some("measure.zero"));
        check(Attribute::AccelCount, None, 0, None);
        check(Attribute::MemoryLatency, Some(100), 500, None);
    }

    /// Of two values of one instant the smaller counts: for none of these is less better.
    const KINDS: [Attribute; 3] =
        [Attribute::CpuDgemmAll, Attribute::MemoryTriadAll, Attribute::AccelFp16];

    #[derive(Clone, Debug)]
    enum Step {
        Record(usize, u64, i64),
        Void(usize, i64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..3, 0u64..4, 0i64..6).prop_map(|(a, v, t)| Step::Record(a, v, t)),
            (0usize..3, 0i64..6).prop_map(|(a, t)| Step::Void(a, t)),
        ]
    }

    fn build(steps: &[Step]) -> MeasuredVector {
        let mut vector = MeasuredVector::default();
        for step in steps {
            match *step {
                Step::Record(a, value, t) => {
                    vector.record(measurement(KINDS[a], value, t));
                }
                Step::Void(a, t) => vector.void(KINDS[a], at(t)),
            }
        }
        vector
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(
            steps in prop::collection::vec(any_step(), 0..20).prop_shuffle(),
        ) {
            let vector = build(&steps);
            let mut other: Vec<_> = steps.iter().rev().cloned().collect();
            other.extend(steps.iter().cloned());
            prop_assert_eq!(&vector, &build(&other));
            let text = serde_json::to_string(&vector).expect("text");
            prop_assert_eq!(&serde_json::from_str::<MeasuredVector>(&text).expect("vector"), &vector);
        }

        #[test]
        fn the_newest_measurement_after_the_last_voiding_counts(
            steps in prop::collection::vec(any_step(), 0..20), now in 0i64..120,
        ) {
            let vector = build(&steps);
            for (a, kind) in KINDS.into_iter().enumerate() {
                let voided = steps.iter().filter_map(|step| match step {
                    Step::Void(of, t) if *of == a => Some(*t),
                    _ => None,
                }).max().unwrap_or(-1);
                let newest = steps.iter().filter_map(|step| match step {
                    Step::Record(of, value, t) if *of == a => Some((*t, std::cmp::Reverse(*value))),
                    _ => None,
                }).max();
                let expect = newest
                    .filter(|(t, _)| *t > voided && now < t + 100)
                    .map(|(_, value)| value.0);
                prop_assert_eq!(vector.measured(kind, at(now)), expect);
            }
        }
    }
}

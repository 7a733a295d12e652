//! The record behind a name: owner, status, attributes, and per attribute who attested it, how,
//! when and for how long.
//!
//! Invariant: an attestation belongs to the value it was made for. When an attribute changes, its
//! own attestation falls and no other.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{ExchangeId, OrgId, Span, Time};
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::status::{IllegalTransition, Status};

/// A numbering scheme other than ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AliasScheme {
    /// The national compute-resource code, as its registry issued it.
    CnNational,
    /// A Handle, `prefix/suffix`.
    Handle,
    /// An object identifier.
    Oid,
    /// The provider's own name for it.
    Provider,
}

/// What the same resource is called elsewhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// By which scheme.
    pub scheme: AliasScheme,
    /// The name there, as it is written there.
    pub value: String,
}

/// What an attestation found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The attribute is as stated.
    Confirmed,
    /// It is not.
    Refuted,
}

/// That somebody checked one attribute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attestation {
    /// How it was checked, with the version of the method: `inventory-challenge/1`.
    pub method: String,
    /// What was found.
    pub finding: Finding,
    /// When.
    pub at: Time,
    /// For how long after that it holds.
    pub valid_for: Span,
    /// Who checked: the id of a key or an organisation.
    pub attestor: String,
    /// The value that was checked.
    pub value: String,
}

/// How an attribute stands at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttestationStanding<'a> {
    /// Confirmed, and within its validity.
    Confirmed(&'a Attestation),
    /// Found to be untrue, whatever its age.
    Refuted(&'a Attestation),
    /// Confirmed once; to be checked again.
    Expired(&'a Attestation),
    /// Nobody checked the present value.
    Unattested,
}

/// An attribute that is not what it was.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct VoidedAttribute {
    /// Which.
    pub name: String,
    /// Its value before.
    pub was: String,
    /// Its value now; none if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
}

/// What changed between two inventories. A new attribute voids nothing: nothing was attested
/// about it.
pub fn compare(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<VoidedAttribute> {
    old.iter()
        .filter(|(name, was)| new.get(*name) != Some(*was))
        .map(|(name, was)| VoidedAttribute {
            name: name.clone(),
            was: was.clone(),
            is: new.get(name).cloned(),
        })
        .collect()
}

/// What is on record for a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The name.
    pub name: Name,
    /// What it is called elsewhere.
    #[serde(default)]
    pub aliases: BTreeSet<Alias>,
    /// The organisation that answers for it.
    pub owner: OrgId,
    /// The exchange that issued it and is asked about it.
    pub issuer: ExchangeId,
    /// Where it is in its life.
    pub status: Status,
    /// What is stated about it, by GLUE 2.0 names or those of the inventory.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// The newest attestation per attribute.
    #[serde(default)]
    pub attestations: BTreeMap<String, Attestation>,
    /// From when it resolves.
    pub valid_from: Time,
    /// Until when it resolves unless renewed; [`Time::NEVER`] for always.
    pub valid_until: Time,
    /// For how long others may keep an answer about it.
    pub ttl: Span,
    /// Where its agent or service is reached, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The issuer's signature over the record, in its written form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl Record {
    /// Moves it on in its life.
    pub fn become_next(&mut self, to: Status) -> Result<(), IllegalTransition> {
        self.status = self.status.become_next(to)?;
        Ok(())
    }

    /// Takes in an attestation unless a newer one of the same attribute is on record. Of two of
    /// one instant a refutation stays.
    pub fn attest(&mut self, attribute: &str, attestation: Attestation) {
        let precedence = |a: &Attestation| {
            (a.at, a.finding, a.valid_for, a.method.clone(), a.attestor.clone(), a.value.clone())
        };
        let is_newer = self
            .attestations
            .get(attribute)
            .is_none_or(|old| precedence(old) < precedence(&attestation));
        if is_newer {
            self.attestations.insert(attribute.to_owned(), attestation);
        }
    }

    /// Takes over what the agent now reports. Attestations of changed attributes fall, and the
    /// signature with them; the others stay. Returns what changed.
    pub fn take_inventory(&mut self, new: BTreeMap<String, String>) -> Vec<VoidedAttribute> {
        let voided = compare(&self.attributes, &new);
        for attribute in &voided {
            self.attestations.remove(&attribute.name);
        }
        if self.attributes != new {
            self.signature = None;
        }
        self.attributes = new;
        voided
    }

    /// How an attribute stands at `now`.
    pub fn standing(&self, attribute: &str, now: Time) -> AttestationStanding<'_> {
        let Some(attestation) = self.attestations.get(attribute) else {
            return AttestationStanding::Unattested;
        };
        if self.attributes.get(attribute) != Some(&attestation.value) {
            return AttestationStanding::Unattested;
        }
        match attestation.finding {
            Finding::Refuted => AttestationStanding::Refuted(attestation),
            Finding::Confirmed if now < attestation.at.plus(attestation.valid_for) => {
                AttestationStanding::Confirmed(attestation)
            }
            Finding::Confirmed => AttestationStanding::Expired(attestation),
        }
    }

    /// Attributes to be checked (again) by `now`, in the order of their names.
    pub fn due(&self, now: Time) -> Vec<&str> {
        let is_due = |name: &&String| match self.standing(name, now) {
            AttestationStanding::Confirmed(_) | AttestationStanding::Refuted(_) => false,
            AttestationStanding::Expired(_) | AttestationStanding::Unattested => true,
        };
        self.attributes.keys().filter(is_due).map(String::as_str).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::name::tests::name;
    use proptest::prelude::*;

    pub(crate) fn at(secs: i64) -> Time {
        Time::EPOCH.plus(Span::from_secs(secs))
    }

    pub(crate) fn record(owner: &str, site: &str, pool: &str, tail: u16) -> Record {
        Record {
            name: name(owner, site, pool, tail),
            aliases: BTreeSet::new(),
            owner: OrgId::from_bits(1),
            issuer: ExchangeId::from_bits(2),
            status: Status::Active,
            attributes: BTreeMap::new(),
            attestations: BTreeMap::new(),
            valid_from: at(0),
            valid_until: Time::NEVER,
            ttl: Span::from_secs(300),
            endpoint: None,
            signature: None,
        }
    }

    fn attestation(value: &str, at_secs: i64, finding: Finding) -> Attestation {
        Attestation {
            method: "inventory-challenge/1".into(),
            finding,
            at: at(at_secs),
            valid_for: Span::from_secs(100),
            attestor: "key-1".into(),
            value: value.into(),
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_changed_attribute_voids_only_itself() {
        let mut record = record("acme", "a", "b", 0);
        record.take_inventory(map(&[("cpu.cores", "64"), ("accel.model", "H100")]));
        record.signature = Some("signed".into());
        record.attest("cpu.cores", attestation("64", 0, Finding::Confirmed));
        record.attest("accel.model", attestation("H100", 0, Finding::Confirmed));
        assert!(record.due(at(50)).is_empty());
        assert!(record.take_inventory(record.attributes.clone()).is_empty());
        assert!(record.signature.is_some());

        let voided = record.take_inventory(map(&[
            ("cpu.cores", "64"),
            ("accel.model", "H20"),
            ("disk.bytes", "1"),
        ]));
        assert_eq!(
            voided,
            [VoidedAttribute {
                name: "accel.model".into(),
                was: "H100".into(),
                is: Some("H20".into())
            }]
        );
        assert!(matches!(record.standing("cpu.cores", at(50)), AttestationStanding::Confirmed(_)));
        assert_eq!(record.standing("accel.model", at(50)), AttestationStanding::Unattested);
        assert_eq!(record.due(at(50)), ["accel.model", "disk.bytes"]);
        assert!(record.signature.is_none());
    }

    #[test]
    fn an_attestation_expires_and_a_refutation_stays() {
        let mut record = record("acme", "a", "b", 0);
        record.take_inventory(map(&[("cpu.cores", "64")]));
        record.attest("cpu.cores", attestation("64", 0, Finding::Confirmed));
        assert!(matches!(record.standing("cpu.cores", at(99)), AttestationStanding::Confirmed(_)));
        assert!(matches!(record.standing("cpu.cores", at(100)), AttestationStanding::Expired(_)));
        record.attest("cpu.cores", attestation("64", 0, Finding::Refuted));
        record.attest("cpu.cores", attestation("64", -5, Finding::Confirmed));
        assert!(matches!(record.standing("cpu.cores", at(500)), AttestationStanding::Refuted(_)));
        // An attestation of another value says nothing of this one.
        record.attest("cpu.cores", attestation("32", 10, Finding::Confirmed));
        assert_eq!(record.standing("cpu.cores", at(20)), AttestationStanding::Unattested);
    }

    proptest! {
        #[test]
        fn exactly_the_changed_attributes_are_voided(
            old in prop::collection::btree_map("[a-d]", "[xy]", 0..4),
            new in prop::collection::btree_map("[a-d]", "[xy]", 0..4),
        ) {
            let mut record = record("acme", "a", "b", 0);
            record.take_inventory(old.clone());
            for (name, value) in &old {
                record.attest(name, attestation(value, 0, Finding::Confirmed));
            }
            let voided = record.take_inventory(new.clone());
            for (name, value) in &old {
                let kept = new.get(name) == Some(value);
                prop_assert_eq!(voided.iter().any(|v| v.name == *name), !kept);
                let standing = record.standing(name, at(1));
                prop_assert_eq!(matches!(standing, AttestationStanding::Confirmed(_)), kept);
            }
            prop_assert!(voided.iter().all(|v| old.get(&v.name) == Some(&v.was)));
        }
    }
}

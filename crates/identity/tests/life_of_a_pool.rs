//! A pool's name from application to retirement, through the public interface only.

use std::collections::{BTreeMap, BTreeSet};

use dayan_identity::{
    Adm6, Answer, Attestation, AttestationStanding, Challenge, Class, Directory, Finding, Name,
    Nonce, Record, Serial, Status, Verdict,
};
use dayan_units::{ExchangeId, OrgId, Span, Time};

/// Stands in for the caller's hash: any function of the bytes will do here.
fn digest(material: &[u8]) -> Vec<u8> {
    material.iter().rev().copied().collect()
}

#[test]
fn from_application_to_retirement() {
    let made: Time = "2026-03-01T08:00:00Z".parse().expect("a time");
    let name = Name {
        adm: Adm6::of_place("guian").expect("on the map"),
        owner: "91520100MA6DAYAN02".parse().expect("a credit code"),
        site: "guian-a".parse().expect("a label"),
        pool: "gpu-1".parse().expect("a label"),
        class: Class::Ai,
        serial: Serial::new(made, 7).expect("in range"),
    };
    assert_eq!(name.serial.made_at(), made);
    let mut directory = Directory::default();
    let record = Record {
        name: name.clone(),
        aliases: BTreeSet::new(),
        owner: OrgId::from_bits(1),
        issuer: ExchangeId::from_bits(2),
        status: Status::Applied,
        attributes: BTreeMap::from([("accel.model".into(), "H100".into())]),
        attestations: BTreeMap::new(),
        valid_from: made,
        valid_until: Time::NEVER,
        ttl: Span::from_secs(300),
        endpoint: Some("https://pool.example".into()),
        signature: None,
    };
    directory.insert(record).expect("new");
    let step = |directory: &mut Directory, to| {
        let mut record = directory.get(&name).expect("on record").clone();
        record.become_next(to).expect("legal");
        directory.replace(record).expect("known");
        directory.resolve(&name, made)
    };
    assert!(matches!(directory.resolve(&name, made), Answer::NotFound { .. }));

    // The agent proves its inventory; the attestation holds for that attribute.
    let challenge =
        Challenge { nonce: Nonce([9; 32]), at: made, answer_within: Span::from_secs(30) };
    let (on_record, shown) = ("accel.model=H100\n", "accel.model=H100\n");
    let verdict = challenge.judge(
        &digest(&challenge.material(on_record)),
        &digest(&challenge.material(shown)),
        made.plus(Span::from_secs(1)),
    );
    assert_eq!(verdict, Verdict::Unchanged);
    let mut record = directory.get(&name).expect("on record").clone();
    record.attest(
        "accel.model",
        Attestation {
            method: "inventory-challenge/1".into(),
            finding: Finding::Confirmed,
            at: made,
            valid_for: Span::from_secs(86_400),
            attestor: "key".into(),
            value: "H100".into(),
        },
    );
    let standing = record.standing("accel.model", made);
    assert!(matches!(standing, AttestationStanding::Confirmed(_)));
    directory.replace(record).expect("known");

    assert!(matches!(step(&mut directory, Status::Verified), Answer::NotFound { .. }));
    assert!(step(&mut directory, Status::Active).is_usable());
    assert!(matches!(step(&mut directory, Status::Suspended), Answer::Suspended { .. }));
    assert!(step(&mut directory, Status::Active).is_usable());
    let retired = step(&mut directory, Status::Retired);
    assert!(matches!(&retired, Answer::Retired { record, .. } if record.endpoint.is_none()));
    let mut record = directory.get(&name).expect("still on record").clone();
    assert!(record.become_next(Status::Active).is_err());
}

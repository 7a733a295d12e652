//! Providers, pools, offers and the network as they are printed.

use std::collections::BTreeMap;

use dayan_wire::{NetCell, Node};

use super::*;
use crate::tests::{Fake, Says, both, dayan, sample};

const ID: &str = "01h455vb4pex5vsknk084sn02q";

fn a_provider(name: &str, status: &str) -> Provider {
    Provider {
        id: format!("prov_{ID}"),
        name: name.to_owned(),
        org: "guian".to_owned(),
        status: status.to_owned(),
        earned: "1024.50".to_owned(),
        currency: "CNY".to_owned(),
        pools: 2,
    }
}

fn a_pool(name: &str, provider: &str, body: &str) -> Pool {
    let node = |name: &str, up| Node {
        name: name.to_owned(),
        cpus: "16".to_owned(),
        memory: 64_000_000_000,
        accelerators: if up { "8" } else { "0" }.to_owned(),
        accelerator: up.then(|| "H100".to_owned()),
        up,
        features: ["avx2".to_owned(), "x86_64".to_owned()].into(),
        leaf: Some("spine1/leaf3".to_owned()),
        islands: Vec::new(),
        cpus_used: "2.5".to_owned(),
        cpus_others: None,
    };
    Pool {
        id: format!("pool_{body}"),
        crn: "crn.guian.g1.7k".to_owned(),
        name: name.to_owned(),
        provider: provider.to_owned(),
        site: "Gui'an".to_owned(),
        status: "active".to_owned(),
        engine: "process".to_owned(),
        fence: "keeper".to_owned(),
        isolation: Some("bubblewrap".to_owned()),
        cluster: [("slurm.own_qos".to_owned(), "fast(MaxWall=10m),normal".to_owned())].into(),
        fabric: Some("ib0".to_owned()),
        nodes: vec![node("n1", true), node("n2", false)],
        heard_at: Some("2026-11-23T12:00:00Z".to_owned()),
        verified_at: None,
        standard: vec![dayan_wire::StandardUnits {
            unit: "core-h".to_owned(),
            per_hour: "12.50".to_owned(),
            formula: 1,
            method: "dayan.gemm 1".to_owned(),
        }],
        closures: vec![dayan_wire::Closure {
            nodes: vec!["n2".to_owned()],
            from: Some("2026-11-24T00:00:00Z".to_owned()),
            until: "2026-11-24T04:00:00Z".to_owned(),
        }],
        reliability: Some(dayan_wire::Reliability { permille: 987, attempts: 412, failed: 5 }),
        queue_ahead: Some(64),
        others: Some(dayan_wire::OthersLoad {
            cpus: "12".to_owned(),
            memory: 34_000_000_000,
            accelerators: "2".to_owned(),
            waiting: 5,
            ours_waiting: 7,
            forecast_at: Some("2026-11-23T13:00:00Z".to_owned()),
            accounts: Some(dayan_wire::AccountsCompared {
                compared: 120,
                differed: 2,
                last: Some("cpu of job_1/3.1 (77_3): 100 s, Slurm 90 s".to_owned()),
            }),
            seen_at: "2026-11-23T12:00:00Z".to_owned(),
        }),
    }
}

fn an_attribute() -> Attribute {
    Attribute {
        name: "cpu.fp64".to_owned(),
        unit: "FLOPS".to_owned(),
        nominal: None,
        measured: Some(123_456_789_000),
        method: Some("gemm/1".to_owned()),
        at: Some("2026-11-23T12:00:00Z".to_owned()),
        sharing: Some("shared".to_owned()),
        standing: "valid".to_owned(),
        key: Some("5f".repeat(32)),
        signature: Some("a1".repeat(64)),
        signed: Some("dayan measurement 1\n".to_owned()),
    }
}

#[test]
fn supply_as_people_see_it() {
    insta::assert_snapshot!(
        "providers",
        both(&vec![a_provider("guian-dc", "active"), a_provider("sz", "applied")])
    );
    insta::assert_snapshot!("pools", both(&vec![a_pool("guian-1", "guian-dc", ID)]));
    let shown =
        ShownPool { pool: a_pool("guian-1", "guian-dc", ID), measured: vec![an_attribute()] };
    insta::assert_snapshot!("pool", both(&shown));
    insta::assert_snapshot!("pool_json", sample(&shown));
}

#[test]
fn names_and_delays_as_people_see_them() {
    let record = Record {
        crn: "crn.guian.g1.7k".to_owned(),
        aliases: vec!["guian-1".to_owned()],
        owner: "guian-dc".to_owned(),
        issuer: "dayan".to_owned(),
        answer: "found".to_owned(),
        status: "active".to_owned(),
        valid_from: "2026-11-01T00:00:00Z".to_owned(),
        ttl: 300,
        attributes: BTreeMap::from([
            ("cpu.model".to_owned(), "a processor".to_owned()),
            ("disk.0".to_owned(), "a new disk".to_owned()),
        ]),
        attestations: vec![dayan_wire::Attested {
            attribute: "disk.0".to_owned(),
            standing: "unattested".to_owned(),
            method: None,
            at: None,
            valid_until: None,
            attestor: None,
        }],
        measured: vec![an_attribute()],
        verified_at: Some("2026-11-23T12:00:00Z".to_owned()),
    };
    insta::assert_snapshot!("record", both(&record));
    let matrix = NetMatrix {
        places: vec!["Guiyang".to_owned(), "Shenzhen".to_owned()],
        cells: vec![NetCell {
            from: "Guiyang".to_owned(),
            to: "Shenzhen".to_owned(),
            one_way_ms: 9.456,
            basis: "modelled".to_owned(),
            layer: "backbone".to_owned(),
            as_of: Some("2024-03-03T00:00:00Z".to_owned()),
            class: Some("T2".to_owned()),
        }],
    };
    insta::assert_snapshot!("matrix", both(&matrix));
}

#[tokio::test]
async fn a_providers_slug_becomes_its_id() {
    let fake = Fake::start(|came, _| match came.line.as_str() {
        line if line.starts_with("GET") => Says::json(
            200,
            &json!({ "items": [a_provider("guian-dc", "applied"), Provider { id: "prov_x".to_owned(), ..a_provider("sz", "active") }] }),
        ),
        line if line.ends_with("/invitations") => {
            Says::json(201, &json!({ "token": "dyj1.S.-", "expires_at": "2026-11-23T13:00:00Z" }))
        }
        _ => Says::bytes(204, b""),
    })
    .await;
    let ran = dayan(fake.environment(), &["provider", "activate", "sz"]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (Exit::Ok, "sz is now active.\n"));
    assert_eq!(fake.lines()[1], "POST /v1/providers/prov_x/status");
    assert_eq!(fake.came()[1].body, r#"{"status":"active"}"#);

    let ran = dayan(fake.environment(), &["provider", "retire", "sz"]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (Exit::Ok, "sz is now retired.\n"));
    assert_eq!(fake.came()[3].body, r#"{"status":"retired"}"#);

    let line = ["provider", "invite", "sz", "--expires", "2h"];
    let ran = dayan(fake.environment(), &line).await;
    assert_eq!(ran.stdout, "dyj1.S.-\n");
    assert!(ran.stderr.contains(&fake.url), "{}", ran.stderr);
    assert_eq!(fake.came()[5].body, r#"{"expires_in":7200}"#);

    let ran = dayan(fake.environment(), &["provider", "verify", "nobody"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert_eq!(ran.stderr, "error: there is no provider `nobody` that you can see\n");
}

#[tokio::test]
async fn one_place_alone_has_no_delays_and_that_is_said() {
    let fake = Fake::start(|_, _| {
        let matrix = NetMatrix { places: vec!["Guiyang".to_owned()], cells: Vec::new() };
        Says::json(200, &serde_json::to_value(matrix).expect("JSON"))
    })
    .await;
    let ran = dayan(fake.environment(), &["net", "matrix", "Guiyang"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Ok, ""));
    assert_eq!(ran.stderr, "Delays are between places: name two at least.\n");
    let ran = dayan(fake.environment(), &["net", "matrix", "Guiyang", "-o", "json"]).await;
    assert!(ran.stdout.contains("Guiyang") && ran.stderr.is_empty(), "{ran:?}");
}

#[tokio::test]
async fn a_pool_is_told_apart_by_its_provider() {
    let fake = Fake::start(|came, _| match came.line.as_str() {
        line if line.starts_with("GET") => Says::json(
            200,
            &json!({ "items": [a_pool("main", "guian-dc", "a"), a_pool("main", "sz", "b")] }),
        ),
        _ => Says::bytes(204, b""),
    })
    .await;
    let ran = dayan(fake.environment(), &["pool", "suspend", "main"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.stderr.contains("pool_a, pool_b"), "{}", ran.stderr);
    let ran = dayan(fake.environment(), &["pool", "suspend", "sz/main"]).await;
    assert_eq!(ran.exit, Exit::Ok);
    assert_eq!(fake.lines()[2], "POST /v1/pools/pool_b/status");
}

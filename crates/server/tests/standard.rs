//! Capacity in standard units: worked out from what was measured, told with formula and method, and
//! gone when what was measured no longer stands.

mod support;

use serde_json::{Value, json};
use support::{Exchange, FakeAgent};

/// A machine of four cores.
fn machine(model: &str) -> Value {
    json!({
        "engine": "process", "fence": "keeper", "placing": "by_node", "features": [],
        "nodes": [{ "name": "n1", "up": true,
                    "total": { "cpu": 4_000, "memory": 8_000_000_000u64 } }],
        "inventory": { "cpu.model": model, "cpu.threads": "4" },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_measured_pool_is_told_in_standard_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::proven(&exchange, &setup.join_token).await;
    let path = format!("/v1/pools/{}", agent.pool);
    let pool = exchange.get(&exchange.operator, &path).await;
    assert_eq!(pool["standard"], Value::Null, "nothing was measured: {pool}");
    // Four cores at the rate of the reference core each, measured an hour before.
    let hour = 3_600_000_000i64;
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_micros();
    let measured = agent.sign_measured(json!({
        "attribute": "cpu.dgemm.all", "measured": 128_000_000_000u64,
        "method": { "name": "dayan.gemm", "version": "1" },
        "at": i64::try_from(now).expect("this century") - hour, "valid_for": 24 * hour,
        "sharing": "exclusive",
    }));
    agent.sync(json!({ "shown": machine("A"), "measured": [measured.clone()] })).await;
    let pool = exchange.get(&exchange.operator, &path).await;
    let expected = json!([{ "unit": "core-h", "per_hour": "4.00", "formula": 1,
                            "method": "dayan.gemm 1" }]);
    assert_eq!(pool["standard"], expected, "{pool}");
    let rows = exchange.get(&exchange.operator, &format!("{path}/measured")).await;
    assert_eq!(rows[0]["signature"], measured["signature"]["signature"], "{rows}");
    agent.sync(json!({ "shown": machine("B") })).await;
    let pool = exchange.get(&exchange.operator, &path).await;
    assert_eq!(pool["standard"], Value::Null, "another processor, not measured yet: {pool}");
    exchange.stop().await;
}

//! Bytes to and fro between an agent and the exchange: they are the agent's alone, and have a limit.

mod support;

use support::{Ask, Exchange, FakeAgent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_probes_the_way_within_a_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::join(&exchange, &setup.join_token).await;
    // Its challenge is over: nothing else happens by itself.
    agent.prove(&exchange).await;
    let before = exchange.picture().await;

    let path = |bytes: &str| format!("/v1/agent/probe?bytes={bytes}");
    for bytes in [0, 1, 1_000_000, 8 << 20] {
        let url = format!("{}{}", exchange.url, path(&bytes.to_string()));
        let answer = support::client().get(url).bearer_auth(&agent.token).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.bytes().await.expect("all of it").len(), bytes);
        let ask = Ask::post(&agent.token, "/v1/agent/probe", vec![7; bytes]);
        let (status, _, counted) = exchange.answer(ask).await;
        assert_eq!((status, counted), (200, bytes.to_string()));
    }
    let long = ((8 << 20) + 1).to_string();
    for bytes in [long.as_str(), "18446744073709551615"] {
        let path = path(bytes);
        let ask = Ask::get(&agent.token, &path);
        exchange.refused(ask, 413, "probe.too_large").await;
    }
    let ask = Ask::post(&agent.token, "/v1/agent/probe", vec![7; (8 << 20) + 1]);
    exchange.refused(ask, 413, "probe.too_large").await;
    for bytes in ["-1", "x", "1e3"] {
        let (path, token) = (path(bytes), &agent.token);
        exchange.refused(Ask::get(token, &path), 422, "request.query").await;
    }
    for token in ["", &setup.member, &exchange.operator] {
        exchange.refused(Ask::get(token, "/v1/agent/probe?bytes=1"), 401, "auth.token").await;
        let ask = Ask::post(token, "/v1/agent/probe", "x");
        exchange.refused(ask, 401, "auth.token").await;
    }
    assert_eq!(exchange.picture().await, before, "a probe leaves no trace");
    exchange.stop().await;
}

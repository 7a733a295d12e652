//! Against an exchange that says what it is told to, over real sockets.

use std::sync::Arc;

use serde_json::json;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::parse_url;
use crate::tests::{Fake, Says};

fn client(url: &str, fingerprint: Option<[u8; 32]>) -> Client {
    install_provider();
    let url = parse_url(url).expect("an address");
    let target = Target { url, token: Some("secret".to_owned()), fingerprint };
    Client::new(target, Lang::En).expect("a client")
}

fn problem(status: u16) -> Says {
    Says::json(
        status,
        &json!({ "type": "urn:dayan:problem:x.y", "status": 200, "code": "x.y", "title": "no",
            "advice": "do", "details": [], "request": "" }),
    )
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_until_it_is_answered() {
    let fake = Fake::start(|_, before| match before {
        0 => problem(503).with("retry-after", "0"),
        1 => Says::bytes(502, b"<html>bad gateway</html>").with("retry-after", "0"),
        _ => Says::json(200, &json!({ "items": [], "next": null })),
    })
    .await;
    let rows = client(&fake.url, None).offers().await.expect("the third answer");
    assert_eq!(rows, []);
    assert_eq!(fake.lines().len(), 3);
}

/// The server has waited for the site as long as that may take.
#[tokio::test]
async fn a_silent_site_is_not_asked_for_again() {
    let said = json!({ "type": "urn:dayan:problem:logs.site_silent", "status": 503,
        "code": "logs.site_silent", "title": "no", "advice": "do", "details": [], "request": "" });
    let fake = Fake::start(move |_, _| Says::json(503, &said)).await;
    let failure = client(&fake.url, None).offers().await.expect_err("503");
    assert_eq!(failure.exit(), crate::exit::Exit::Unreachable);
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn what_may_not_be_repeated_is_sent_once() {
    let fake = Fake::start(|_, _| problem(503)).await;
    let new = dayan_wire::NewOrg {
        name: "a".to_owned(),
        class: "external".to_owned(),
        credit: "0".to_owned(),
    };
    let failure = client(&fake.url, None).create_org(&new).await.expect_err("503");
    assert_eq!(failure.exit(), crate::exit::Exit::Unreachable);
    assert_eq!(fake.lines(), ["POST /v1/orgs"]);
}

#[tokio::test]
async fn a_submission_is_repeated_with_its_key() {
    let fake = Fake::start(|_, before| match before {
        0 => problem(503).with("retry-after", "0"),
        _ => Says::json(201, &json!({ "job": "job_0" })),
    })
    .await;
    let submitted = client(&fake.url, None).submit("{}".to_owned(), None, "k 1").await;
    assert_eq!(submitted.expect("the second answer").job.as_deref(), Some("job_0"));
    assert_eq!(fake.lines(), ["POST /v1/jobs?key=k+1", "POST /v1/jobs?key=k+1"]);
    assert_eq!(fake.came()[0].headers["content-type"], "application/json");
}

#[tokio::test]
async fn refusals_are_not_repeated_and_the_status_line_counts() {
    let fake = Fake::start(|_, _| problem(403)).await;
    let failure = client(&fake.url, None).orgs().await.expect_err("403");
    let Failure::Refused(problem) = failure else { panic!("{failure:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (403, "x.y"));
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn another_program_on_the_port_is_told_apart() {
    let fake = Fake::start(|_, _| Says::bytes(404, b"<h1>It\nworks!</h1>")).await;
    let failure = client(&fake.url, None).orgs().await.expect_err("404");
    assert!(matches!(&failure, Failure::NotAnExchange { why, .. } if why.contains("It works!")));
    let fake = Fake::start(|_, _| Says::bytes(200, b"hello")).await;
    let failure = client(&fake.url, None).whoami().await.expect_err("no JSON");
    assert!(matches!(failure, Failure::NotAnExchange { .. }));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let failure = client(&url, None).health().await.expect_err("closed");
    assert!(matches!(&failure, Failure::Unreachable { why, .. } if why.contains("refused")));
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_token_away() {
    let other = Fake::start(|_, _| Says::json(200, &json!({}))).await;
    let to = format!("{}/v1/orgs", other.url);
    let fake = Fake::start(move |_, _| Says::bytes(307, b"").with("location", &to)).await;
    assert!(client(&fake.url, None).orgs().await.is_err());
    assert!(other.lines().is_empty());
}

#[tokio::test]
async fn lists_are_read_to_their_end_and_circles_left() {
    let row = |n: u32| json!({ "id": format!("fnd_{n}"), "agent": "a", "code": "c", "at": "t", "message": "m" });
    let fake = Fake::start(move |came, _| {
        let next = if came.line.contains("after=one") { "one" } else { "zero" };
        let next = if came.line.contains("after=zero") { "one" } else { next };
        Says::json(200, &json!({ "items": [row(1), row(2)], "next": next }))
    })
    .await;
    let client = client(&fake.url, None);
    let rows = client.findings(5).await.expect("rows");
    assert_eq!(rows.len(), 5);
    let rows = client.findings(100).await.expect("rows");
    assert_eq!(rows.len(), 6, "the third page points to itself");
    assert_eq!(
        fake.lines()[..3],
        [
            "GET /v1/findings?limit=5",
            "GET /v1/findings?limit=3&after=zero",
            "GET /v1/findings?limit=1&after=one"
        ]
    );
}

#[tokio::test]
async fn a_users_text_stays_in_its_place_in_the_path() {
    let fake = Fake::start(|_, _| problem(404)).await;
    let _ = client(&fake.url, None).resolve("../tokens?x=1#y z/算力").await;
    let lines = fake.lines();
    assert_eq!(lines, ["GET /v1/resolve/..%2Ftokens%3Fx=1%23y%20z%2F%E7%AE%97%E5%8A%9B"]);
}

#[tokio::test]
async fn the_token_and_the_language_go_with_every_request() {
    let fake = Fake::start(|_, _| problem(404)).await;
    let _ = client(&fake.url, None).orgs().await;
    let headers = &fake.came()[0].headers;
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["accept-language"], "en");
}

/// A server with a certificate of its own making, which answers one request after another.
async fn tls_server() -> (String, [u8; 32]) {
    install_provider();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .expect("a key");
    let fingerprint = Fingerprint::of(&certificate).0;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new("[]".to_owned()))
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
        }
    });
    (format!("https://localhost:{port}"), fingerprint)
}

#[tokio::test]
async fn the_pinned_certificate_is_accepted() {
    let (url, fingerprint) = tls_server().await;
    let rows = client(&url, Some(fingerprint)).orgs().await.expect("trusted");
    assert_eq!(rows, []);
}

#[tokio::test]
async fn another_certificate_is_refused_and_shown() {
    let (url, fingerprint) = tls_server().await;
    let failure = client(&url, Some([7; 32])).orgs().await.expect_err("not the pinned one");
    let said = failure.render(Lang::En);
    assert!(said.contains(&hex::encode(fingerprint)), "{said}");
    assert!(said.contains("--fingerprint"), "{said}");
}

#[tokio::test]
async fn without_a_pin_an_authority_must_vouch() {
    let (url, _) = tls_server().await;
    let failure = client(&url, None).orgs().await.expect_err("self-made");
    let said = failure.render(Lang::En);
    assert!(said.contains("no authority vouches"), "{said}");
}

#[test]
fn only_this_machine_is_loopback() {
    let check = |url: &str, expect| {
        assert_eq!(is_loopback(&parse_url(url).expect("an address")), expect, "{url}");
    };
    check("http://localhost:1", true);
    check("http://127.0.0.9", true);
    check("http://[::1]:80", true);
    check("http://10.0.0.1", false);
    check("http://localhost.example", false);
}

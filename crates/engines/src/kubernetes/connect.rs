//! The way to the API server: who asks, and what a failed question means.

use dayan_units::{Span, Time};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};

use super::Site;
use crate::{Fault, wall_now};

/// How long a connection may take to stand.
const CONNECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// A client for the cluster. Asks nothing yet.
pub(crate) async fn client(site: &Site) -> Result<Client, Fault> {
    // One provider of cryptography in the process; it may be set already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options =
        KubeConfigOptions { context: site.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match (&site.kubeconfig, &site.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path);
            let file = file.map_err(|error| unreachable(&error, "reading the kubeconfig"))?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|error| unreachable(&error, "reading the kubeconfig"))?
        }
        (None, Some(_)) => Config::from_kubeconfig(&options)
            .await
            .map_err(|error| unreachable(&error, "reading the kubeconfig"))?,
        (None, None) => Config::infer()
            .await
            .map_err(|error| unreachable(&error, "finding the API server; give --kubeconfig"))?,
    };
    config.connect_timeout = Some(CONNECT_WITHIN);
    Client::try_from(config).map_err(|error| unreachable(&error, "making a client"))
}

fn unreachable(error: &dyn std::error::Error, doing: &str) -> Fault {
    Fault::Unreachable(format!("{doing}: {}", chain(error)))
}

/// An error with what is behind it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// What a failed request means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// There is no such object.
    Missing,
    /// Somebody has the name already.
    Taken,
    /// It will not be done, in these words: asking again does not help.
    Refused(String),
    /// It may have been done or not: ask again.
    Unsure(String),
}

/// Reads an error. `what` says what was to be done, for people.
pub(crate) fn read(error: &Error, what: &str) -> Answer {
    let Error::Api(status) = error else {
        return Answer::Unsure(format!("{what}: {}", chain(error)));
    };
    let said = &status.message;
    match status.code {
        404 => Answer::Missing,
        409 if status.reason == "AlreadyExists" => Answer::Taken,
        401 => Answer::Refused(format!(
            "engine.kubernetes.credentials: {what}: the API server does not know who asks ({said}); \
             renew the kubeconfig or the service account's token"
        )),
        403 if is_quota(said) => Answer::Refused(format!(
            "engine.kubernetes.quota: {what}: the namespace's quota leaves no room for it: {said}"
        )),
        403 => Answer::Refused(format!(
            "engine.kubernetes.rbac: {what}: not allowed: {said}; bind the agent's account to the \
             role of docs/guides/kubernetes.md in that namespace"
        )),
        400 | 405 | 406 | 413 | 415 | 422 => {
            Answer::Refused(format!("engine.kubernetes.invalid: {what}: {said}"))
        }
        // 409 for a conflict of versions, 410 for one too old, 429 and everything of the server's
        // own.
        code => Answer::Unsure(format!("{what}: {code} {said}")),
    }
}

/// Do these words speak of a quota?
pub(crate) fn is_quota(words: &str) -> bool {
    words.contains("exceeded quota") || words.contains("failed quota")
}

/// May who asks run commands in pods? None where nobody says.
pub(crate) async fn may_exec(client: &Client, namespace: Option<&str>) -> Option<bool> {
    let attributes = serde_json::json!({
        "namespace": namespace?, "verb": "create", "resource": "pods", "subresource": "exec",
    });
    may(client, &attributes).await
}

/// May who asks do that, by the attributes of a `SelfSubjectAccessReview`? None where nobody says.
pub(crate) async fn may(client: &Client, attributes: &serde_json::Value) -> Option<bool> {
    let review = serde_json::json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .ok()?;
    let answer: serde_json::Value = client.request(request).await.ok()?;
    answer["status"]["allowed"].as_bool()
}

/// How far the API server's clock is ahead of this machine's: by the date that it puts on an
/// answer, to the second. None where it says none.
pub(crate) async fn ahead(client: &Client) -> Result<Option<Span>, Error> {
    let request = http::Request::get("/version").body(kube::client::Body::empty());
    let request = request.map_err(kube::Error::HttpError)?;
    let before = wall_now();
    let answer = client.send(request).await?;
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(read_date).map(|date| date.since(before)))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
fn read_date(text: &str) -> Option<Time> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Time::from_micros(zoned.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn answers_are_told_apart() {
        let check = |code, reason: &str, said: &str, expect: fn(&Answer) -> bool| {
            let status = Status::failure(said, reason).with_code(code);
            let got = read(&Error::Api(Box::new(status)), "making a job");
            assert!(expect(&got), "{code} {said}: {got:?}");
        };
        check(404, "NotFound", "", |got| *got == Answer::Missing);
        check(409, "AlreadyExists", "", |got| *got == Answer::Taken);
        check(409, "Conflict", "", |got| matches!(got, Answer::Unsure(_)));
        check(504, "Timeout", "Too large resource version", |got| matches!(got, Answer::Unsure(_)));
        check(410, "Expired", "", |got| matches!(got, Answer::Unsure(_)));
        let words = |got: &Answer, word: &str| matches!(got, Answer::Refused(said) if said.starts_with(word));
        assert!(words(&refused(403, "exceeded quota: q"), "engine.kubernetes.quota"));
        assert!(words(&refused(403, "cannot create"), "engine.kubernetes.rbac"));
        assert!(words(&refused(401, "Unauthorized"), "engine.kubernetes.credentials"));
        assert!(words(&refused(422, "invalid"), "engine.kubernetes.invalid"));
    }

    fn refused(code: u16, said: &str) -> Answer {
        read(&Error::Api(Box::new(Status::failure(said, "").with_code(code))), "x")
    }

    #[test]
    fn dates_are_read() {
        let at = read_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        assert_eq!(at, Time::from_micros(784_111_777_000_000));
        assert_eq!(read_date("yesterday"), None);
    }
}

//! Who asks, in the two ways that TES clients know; and how they are told what is wrong.
//!
//! Invariant: the same tokens give the same rights as everywhere else. With basic authentication the
//! token is the password; the user's name may be the path of the project that pays, and is
//! otherwise passed over.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::extract::Caller;
use crate::app::{Shared, digest};
use crate::problem::Failure;
use crate::tes::Wrong;
use crate::tes::document::TesError;

/// A user, by its token.
#[derive(Clone, Debug)]
pub struct TesCaller {
    /// Who it is.
    pub caller: Caller,
    /// The project that it named as the user of basic authentication.
    pub project: Option<String>,
}

/// What a client said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    token: String,
    project: Option<String>,
}

fn said(header: &str) -> Option<Said> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Said { token: rest.trim().to_owned(), project: None });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, token) = pair.split_once(':')?;
    let project = user.contains('/').then(|| user.to_owned());
    Some(Said { token: token.to_owned(), project })
}

impl FromRequestParts<Shared> for TesCaller {
    type Rejection = TesFailure;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, TesFailure> {
        let refused = |title: &str| {
            TesFailure::from(Failure::new(
                StatusCode::UNAUTHORIZED,
                "auth.token",
                title,
                "send a live token as `Authorization: Bearer TOKEN`, or as the password of basic \
                 authentication",
            ))
        };
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let said = header.and_then(said).ok_or_else(|| refused("there is no token"))?;
        let known = app.secrets.user(&digest(&said.token), app.now());
        let known = known.ok_or_else(|| refused("the token is not known, or has ended"))?;
        Ok(Self { caller: Caller(known), project: said.project })
    }
}

/// A failure as TES clients read it.
#[derive(Debug)]
pub struct TesFailure {
    failure: Failure,
    /// Which methods the path knows, where it does not know the one that was used.
    allow: Option<&'static str>,
}

impl TesFailure {
    /// The path does not know the method.
    pub fn not_allowed(allow: &'static str) -> Self {
        let failure = Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "request.method",
            "this path does not know the method",
            "get /ga4gh/tes/v1/tasks/ID, or post to /ga4gh/tes/v1/tasks/ID:cancel",
        );
        Self { failure, allow: Some(allow) }
    }
}

impl From<Failure> for TesFailure {
    fn from(failure: Failure) -> Self {
        Self { failure, allow: None }
    }
}

impl From<Wrong> for TesFailure {
    fn from(wrong: Wrong) -> Self {
        Failure::invalid(wrong.code, wrong.title, &wrong.advice).into()
    }
}

impl IntoResponse for TesFailure {
    fn into_response(self) -> Response {
        let Self { failure, allow } = self;
        let problem = *failure.0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // The standard's clients know what a bad request is.
        let status = if status == StatusCode::UNPROCESSABLE_ENTITY {
            StatusCode::BAD_REQUEST
        } else {
            status
        };
        let details = problem.details.into_iter().map(|detail| detail.message);
        let said = std::iter::once(problem.title).chain(details).chain([problem.advice]);
        let msg = once_each(said);
        let body = TesError { status_code: status.as_u16(), msg, code: problem.code };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            headers.append(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"tes\", charset=\"UTF-8\""),
            );
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// One sentence of many parts, none of which says what stands there already.
fn once_each(parts: impl Iterator<Item = String>) -> String {
    let mut said: Vec<String> = Vec::new();
    for part in parts {
        if !part.is_empty() && !said.iter().any(|before| before.contains(&part)) {
            said.push(part);
        }
    }
    said.join("; ")
}

/// The failures that any call may answer with.
pub struct TesProblems;

impl utoipa::IntoResponses for TesProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let known = [
            ("400", "The request, or the task, makes no sense."),
            ("401", "There is no live token."),
            ("402", "There is not enough money for it."),
            ("403", "The token's role may not do it."),
            ("404", "There is no such task."),
            ("409", "It does not go with how things stand."),
            ("413", "The body is too large."),
            ("503", "The exchange cannot answer now; send it again."),
        ];
        let response = |text: &str| {
            let content =
                ContentBuilder::new().schema(Some(Ref::from_schema_name("TesError"))).build();
            RefOr::T(
                ResponseBuilder::new()
                    .description(text)
                    .content("application/json", content)
                    .build(),
            )
        };
        known.into_iter().map(|(status, text)| (status.to_owned(), response(text))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_in_two_ways() {
        let check = |header: &str, expect: Option<(&str, Option<&str>)>| {
            let expect = expect.map(|(token, project)| Said {
                token: token.to_owned(),
                project: project.map(str::to_owned),
            });
            assert_eq!(said(header), expect, "{header}");
        };
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        check("Bearer abc", Some(("abc", None)));
        check("bearer  abc", Some(("abc", None)));
        check(&basic("lin:abc"), Some(("abc", None)));
        check(&basic("lab/wf:a:b"), Some(("a:b", Some("lab/wf"))));
        check(&basic("nothing"), None);
        check("Basic ???", None);
        check("Digest abc", None);
        check("abc", None);
    }

    #[test]
    fn what_makes_no_sense_is_a_bad_request() {
        let check = |status: StatusCode, expect: u16| {
            let response =
                TesFailure::from(Failure::new(status, "a.b", "title", "advice")).into_response();
            assert_eq!(response.status().as_u16(), expect);
            assert_eq!(response.headers()["content-type"], "application/json");
            let asks = response.headers().get_all("www-authenticate").iter().count();
            assert_eq!(asks, if expect == 401 { 2 } else { 0 });
        };
        check(StatusCode::UNPROCESSABLE_ENTITY, 400);
        check(StatusCode::NOT_FOUND, 404);
        check(StatusCode::FORBIDDEN, 403);
        check(StatusCode::UNAUTHORIZED, 401);
        check(StatusCode::PAYMENT_REQUIRED, 402);
    }

    #[test]
    fn nothing_is_said_twice() {
        let check = |parts: &[&str], expect: &str| {
            assert_eq!(once_each(parts.iter().map(|part| (*part).to_owned())), expect);
        };
        check(&["title", "detail", "advice"], "title; detail; advice");
        check(&["title; start again", "", "start again"], "title; start again");
        check(&["a title", "a detail", "a detail"], "a title; a detail");
    }
}

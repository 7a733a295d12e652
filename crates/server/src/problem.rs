//! Refusals and faults at the edge: problem+json with the status that goes with the kind.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use dayan_exchange::{Refusal, RefusalKind};
use dayan_store::{Cause, Fault};
use dayan_wire::{Problem, ProblemDetail};

use crate::writer::Unavailable;

/// Why a request was not done.
#[derive(Debug)]
pub struct Failure(pub Box<Problem>);

impl Failure {
    /// A problem of the edge's own.
    pub fn new(status: StatusCode, code: &str, title: impl Into<String>, advice: &str) -> Self {
        Self(Box::new(Problem {
            // A name, not an address: there is no page for each code, and a link has to lead
            // somewhere.
            kind: format!("urn:dayan:problem:{code}"),
            status: status.as_u16(),
            code: code.to_owned(),
            title: title.into(),
            advice: advice.to_owned(),
            details: Vec::new(),
            request: String::new(),
        }))
    }
    /// Something named in the path is not there.
    pub fn not_found(what: &str, name: &str) -> Self {
        let shown: String = name.chars().take(80).collect();
        let advice = match what {
            "job" => "list what there is with `dayan ps`, or check the name",
            "project" => {
                "see what there is with `dayan project ls`, or create it with `dayan project create ORG/PROJECT`"
            }
            "pool" => "list what there is with `dayan pools`, or check the name",
            "invoice" => "list what there is with `dayan invoice ls`, or check the id",
            _ => "list what there is, or check the name",
        };
        Self::new(
            StatusCode::NOT_FOUND,
            &format!("{what}.unknown"),
            format!("there is no {what} `{shown}`"),
            advice,
        )
    }
    /// What was sent as `after` was not handed out by this list.
    pub fn bad_cursor(error: impl std::fmt::Display) -> Self {
        Self::invalid("request.cursor", error.to_string(), "start again without `after`")
    }
    /// A value of the request is malformed.
    pub fn invalid(code: &str, title: impl Into<String>, advice: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, advice)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&*self.0)).into_response();
        let json = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let bearer = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Unaffordable => StatusCode::PAYMENT_REQUIRED,
        };
        let mut failure = Self::new(status, &refusal.code, refusal.message, &refusal.advice);
        failure.0.details = refusal
            .details
            .into_iter()
            .map(|detail| ProblemDetail {
                subject: detail.subject,
                code: detail.code,
                message: detail.message,
                line: None,
                column: None,
                help: String::new(),
            })
            .collect();
        failure
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        let code = match unavailable {
            Unavailable::Store(_) => "server.store",
            Unavailable::Busy => "server.busy",
            Unavailable::Stopping => "server.stopping",
        };
        let advice = "send the same request again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, unavailable.to_string(), advice)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        if let Fault::Read { source: Cause::Cursor(error), .. } = &fault {
            return Self::bad_cursor(error);
        }
        tracing::error!(code = fault.code(), error = %crate::writer::chain(&fault), "a read failed");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server.store",
            "the store does not answer",
            "send the same request again in a moment",
        )
    }
}

impl From<dayan_spec::SpecErrors> for Failure {
    fn from(errors: dayan_spec::SpecErrors) -> Self {
        let first = errors.errors.first().map_or_else(String::new, dayan_spec::SpecError::message);
        let mut failure = Self::invalid(
            "spec.invalid",
            match errors.errors.len() {
                1 => format!("the job file has an error: {first}"),
                count => format!("the job file has {count} errors, the first: {first}"),
            },
            "correct the lines named below",
        );
        failure.0.details = errors
            .errors
            .iter()
            .map(|error| ProblemDetail {
                subject: error.path.clone(),
                code: error.code.as_str().to_owned(),
                message: error.message(),
                line: Some(error.line),
                column: Some(error.column),
                help: error.help().unwrap_or_default(),
            })
            .collect();
        failure
    }
}

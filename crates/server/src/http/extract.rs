//! What handlers take from a request: who asks, bodies, queries, ids in paths. Each refusal is a
//! problem document like every other.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use dayan_exchange::{Action, Actor, Grant, Resource, grant, who_may};
use dayan_units::OrgId;
use serde::de::DeserializeOwned;

use crate::app::{Shared, digest};
use crate::problem::Failure;
use crate::views::{KnownAgent, KnownUser};

/// Job files are at most 64 KiB; batches of them, and syncs with thousands of reports, fit in this.
pub const BODY_MAX: usize = 16 << 20;

fn bearer(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn unauthorized(title: &str) -> Failure {
    Failure::new(
        StatusCode::UNAUTHORIZED,
        "auth.token",
        title,
        "send `Authorization: Bearer TOKEN` with a live token; `dayan login` keeps one for you",
    )
}

/// A user, by its token.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub KnownUser);

impl Caller {
    /// As the one behind a command.
    pub const fn actor(&self) -> Actor {
        Actor::User { user: self.0.user, org: self.0.org, role: self.0.role }
    }
    /// Its organisation, where its right reaches no further; none: everything. Refused where it
    /// has no such right.
    pub fn scope(&self, resource: Resource, action: Action) -> Result<Option<OrgId>, Failure> {
        match grant(self.0.role, resource, action) {
            Grant::All => Ok(None),
            Grant::Own => Ok(Some(self.0.org)),
            Grant::No => {
                let role = self.0.role.name();
                Err(Failure::new(
                    StatusCode::FORBIDDEN,
                    "auth.role",
                    format!("role `{role}` may not {action:?} {resource:?}").to_lowercase(),
                    &who_may(resource, action),
                ))
            }
        }
    }
    /// May it do this to what belongs to `owner`? What others own is told as not there.
    pub fn may(
        &self,
        resource: Resource,
        action: Action,
        owner: OrgId,
        what: &str,
        name: &str,
    ) -> Result<(), Failure> {
        match self.scope(resource, action)? {
            None => Ok(()),
            Some(own) if own == owner => Ok(()),
            Some(_) => Err(Failure::not_found(what, name)),
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let secret = bearer(parts).ok_or_else(|| unauthorized("there is no token"))?;
        let known = app.secrets.user(&digest(secret), app.now());
        known.map(Caller).ok_or_else(|| unauthorized("the token is not known, or has ended"))
    }
}

/// An agent, by its token.
#[derive(Clone, Copy, Debug)]
pub struct CallingAgent(pub KnownAgent);

impl FromRequestParts<Shared> for CallingAgent {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let secret = bearer(parts).ok_or_else(|| unauthorized("there is no token"))?;
        let known = app.secrets.agent(&digest(secret));
        known.map(CallingAgent).ok_or_else(|| unauthorized("no agent has this token"))
    }
}

/// A body of JSON.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Shared> for Body<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        let Text(bytes) = Text::from_request(request, app).await?;
        let bytes = if bytes.is_empty() { "{}" } else { &bytes };
        serde_json::from_str(bytes).map(Self).map_err(|error| {
            Failure::invalid("request.body", error.to_string(), "send JSON as the API describes it")
        })
    }
}

/// A body of text, whatever its declared type.
#[derive(Debug)]
pub struct Text(pub String);

impl FromRequest<Shared> for Text {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        let Raw(bytes) = Raw::from_request(request, app).await?;
        String::from_utf8(bytes.into()).map(Self).map_err(|_| {
            Failure::invalid("request.encoding", "the body is not UTF-8", "send text as UTF-8")
        })
    }
}

/// A body of bytes.
#[derive(Debug)]
pub struct Raw(pub axum::body::Bytes);

impl FromRequest<Shared> for Raw {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        axum::body::Bytes::from_request(request, app).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Failure::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "request.too_large",
                    format!("the body is over {} MiB", BODY_MAX >> 20),
                    "send less at once",
                )
            } else {
                Failure::new(
                    StatusCode::BAD_REQUEST,
                    "request.cut",
                    "the body did not arrive whole",
                    "send it again",
                )
            }
        })
    }
}

/// What stands in the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Path<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        path.map(|path| Self(path.0)).map_err(|rejection| {
            let code = "request.path";
            Failure::new(rejection.status(), code, rejection.body_text(), "see /v1/docs")
        })
    }
}

/// A query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Params<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        let refused = |title| Failure::invalid("request.query", title, "see the API's description");
        // PostgreSQL holds no such text, so that nothing can be found by it.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(refused("the query holds a NUL".to_owned()));
        }
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|error| refused(error.body_text()))
    }
}

/// An id from a path.
pub fn id<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::not_found(what, text))
}

/// Which page of a list.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many rows, at most 1,000; 100 unless told.
    #[serde(default)]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

impl PageQuery {
    /// For the store.
    pub fn paging(&self) -> Result<dayan_store::Paging, Failure> {
        let after = match &self.after {
            None => None,
            Some(text) => Some(text.parse().map_err(Failure::bad_cursor)?),
        };
        Ok(dayan_store::Paging {
            limit: self.limit.unwrap_or(dayan_store::PAGE_ROWS_DEFAULT),
            after,
        })
    }
}

/// A page as the API writes it.
pub fn page<R, T>(page: dayan_store::Page<R>, of: impl FnMut(R) -> T) -> dayan_wire::Page<T> {
    dayan_wire::Page {
        items: page.rows.into_iter().map(of).collect(),
        next: page.next.map(|cursor| cursor.to_string()),
    }
}

/// A list that is never long, as a page.
pub fn whole<T>(items: Vec<T>) -> dayan_wire::Page<T> {
    dayan_wire::Page { items, next: None }
}

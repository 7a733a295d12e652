//! The public API over HTTP. Handlers translate: a request into a command or a question, the
//! outcome into wire types. They decide nothing.

mod access;
mod admission;
mod agent;
mod agent_data;
mod attempts;
mod data;
mod data_check;
mod events;
mod exec;
mod extract;
mod grids;
mod jobs;
mod licenses;
mod linger;
mod logs;
mod market;
mod money;
mod ops;
mod probe;
mod quotas;
mod schedules;
mod scored;
mod secrets;
mod supply;
mod tes;
mod tes_auth;
mod tes_facts;
mod workflow;

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;
use crate::problem::Failure;

pub use money::Names;

/// The problems any call may answer with.
struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let known = [
            ("400", "The request is malformed."),
            ("401", "There is no live token."),
            ("402", "There is not enough money for it."),
            ("403", "The token's role may not do it."),
            ("404", "What it names is not there."),
            ("409", "It does not go with how things stand."),
            ("413", "The body is too large."),
            ("422", "What it asks for makes no sense."),
            ("503", "The exchange cannot answer now; send it again."),
        ];
        let response = |text: &str| {
            let content = utoipa::openapi::ContentBuilder::new()
                .schema(Some(utoipa::openapi::Ref::from_schema_name("Problem")))
                .build();
            RefOr::T(
                ResponseBuilder::new()
                    .description(text)
                    .content("application/problem+json", content)
                    .build(),
            )
        };
        known.into_iter().map(|(status, text)| (status.to_owned(), response(text))).collect()
    }
}

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = utoipa::openapi::security::HttpBuilder::new()
            .scheme(utoipa::openapi::security::HttpAuthScheme::Bearer)
            .build();
        let components = openapi.components.get_or_insert_with(Default::default);
        components
            .add_security_scheme("token", utoipa::openapi::security::SecurityScheme::Http(bearer));
        // Of the interface for TES only.
        let basic = utoipa::openapi::security::HttpBuilder::new()
            .scheme(utoipa::openapi::security::HttpAuthScheme::Basic)
            .build();
        components
            .add_security_scheme("basic", utoipa::openapi::security::SecurityScheme::Http(basic));
    }
}

/// A job file as the description has it: by its own schema, so that a client knows every key.
struct JobFile;

impl PartialSchema for JobFile {
    fn schema() -> RefOr<Schema> {
        let mut schema = dayan_spec::json_schema();
        let object = schema.as_object_mut().expect("a schema is an object");
        // They name a document; here it is a part of one.
        object.remove("$schema");
        object.remove("$id");
        // The types of the library that writes the description lose some of its words, such as
        // rules for several types at once; what it takes for an extension it writes as it is.
        let whole = Extensions::from_iter([("allOf", serde_json::Value::from(vec![schema]))]);
        let example = serde_json::json!({
            "version": 1, "name": "hello", "type": "batch", "project": "lab/demo",
            "resources": { "cpus": 1, "memory": "100MB", "time": "10m" }, "run": "echo hello",
        });
        let builder = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        builder.examples([example]).extensions(Some(whole)).into()
    }
}

impl ToSchema for JobFile {}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Dayan",
        description = "The public API of a Dayan exchange. Money is a decimal string with its \
                       currency beside it, times are RFC 3339, durations are seconds unless the \
                       name carries a unit, ids carry a prefix.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(
        dayan_wire::Problem,
        dayan_wire::ProblemDetail,
        crate::tes::document::TesError
    )),
    modifiers(&Security),
    security(("token" = []))
)]
struct ApiDoc;

fn api() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(ops::health))
        .routes(routes!(ops::whoami))
        .routes(routes!(ops::backup))
        .routes(routes!(ops::findings))
        .routes(routes!(events::events))
        .routes(routes!(access::list_orgs, access::create_org))
        .routes(routes!(access::deposit))
        .routes(routes!(access::list_users, access::create_user))
        .routes(routes!(access::list_tokens, access::issue_token))
        .routes(routes!(access::set_role))
        .routes(routes!(access::remove_user))
        .routes(routes!(access::revoke_token))
        .routes(routes!(access::list_projects, access::create_project))
        .routes(routes!(access::set_budget))
        .routes(routes!(access::shares))
        .routes(routes!(access::set_org_weight))
        .routes(routes!(access::set_org_priority))
        .routes(routes!(access::set_project_weight))
        .routes(routes!(grids::carbon, grids::set_carbon))
        .routes(routes!(grids::set_pue))
        .routes(routes!(licenses::licenses, licenses::set_license))
        .routes(routes!(quotas::quotas))
        .routes(routes!(quotas::set_org_quota))
        .routes(routes!(quotas::set_project_quota))
        .routes(routes!(supply::list_providers, supply::apply))
        .routes(routes!(supply::set_provider_status))
        .routes(routes!(supply::invite))
        .routes(routes!(supply::list_pools))
        .routes(routes!(supply::show_pool))
        .routes(routes!(supply::measured))
        .routes(routes!(supply::set_pool_status))
        .routes(routes!(supply::set_closures))
        .routes(routes!(supply::challenge))
        .routes(routes!(supply::resolve))
        .routes(routes!(supply::net_matrix))
        .routes(routes!(market::list_offers, market::create_offer))
        .routes(routes!(market::retire_offer))
        .routes(routes!(market::plan))
        .routes(routes!(market::quote))
        .routes(routes!(market::show_quote))
        .routes(routes!(jobs::list, jobs::submit))
        .routes(routes!(jobs::submit_batch))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::attempts))
        .routes(routes!(jobs::explain))
        .routes(routes!(jobs::estimates))
        .routes(routes!(jobs::lines))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::pause))
        .routes(routes!(jobs::resume))
        .routes(routes!(schedules::list_schedules))
        .routes(routes!(schedules::show_schedule))
        .routes(routes!(schedules::cancel_schedule))
        .routes(routes!(schedules::pause_schedule))
        .routes(routes!(schedules::resume_schedule))
        .routes(routes!(logs::read))
        .routes(routes!(data::list, data::name, data::remove))
        .routes(routes!(data::kept))
        .routes(routes!(data::begin, data::append))
        .routes(routes!(data::content))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::remove))
        .routes(routes!(money::usage))
        .routes(routes!(money::invoices))
        .routes(routes!(money::invoice))
        .routes(routes!(money::accounts))
        .routes(routes!(money::ledger_check))
        .routes(routes!(money::audit_verify))
        .routes(routes!(agent::join))
        .routes(routes!(agent::sync))
        .routes(routes!(logs::answer))
        .routes(routes!(logs::kept))
        .routes(routes!(exec::client))
        .routes(routes!(exec::agent))
        .routes(routes!(agent_data::inputs))
        .routes(routes!(agent_data::content))
        .routes(routes!(agent_data::begin, agent_data::append))
        .routes(routes!(agent_data::publish))
        .routes(routes!(agent_data::checkpoint, agent_data::save))
        .routes(routes!(agent_data::secrets))
        .routes(routes!(agent_data::copying))
        .routes(routes!(probe::take, probe::give))
        .routes(routes!(tes::service_info))
        .routes(routes!(tes::list, tes::create))
        .routes(routes!(tes::show, tes::cancel))
}

/// The description of the API, as it is served and committed.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = api().split_for_parts().1;
    tes::describe(&mut document);
    document
}

/// Paths whose clients read failures as TES writes them.
const TES_PATHS: &str = "/ga4gh/";

/// A failure in the words of those who ask for such a path.
fn told(path: &str, failure: Failure) -> axum::response::Response {
    if path.starts_with(TES_PATHS) {
        tes_auth::TesFailure::from(failure).into_response()
    } else {
        failure.into_response()
    }
}

async fn not_found(uri: Uri) -> axum::response::Response {
    let failure = Failure::new(
        StatusCode::NOT_FOUND,
        "request.path",
        "there is nothing at this path",
        "see /v1/docs for what there is",
    );
    told(uri.path(), failure)
}

async fn not_allowed(uri: Uri) -> axum::response::Response {
    let failure = Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "request.method",
        "this path does not know the method",
        "see /v1/docs for what there is",
    );
    told(uri.path(), failure)
}

/// Everything the server answers.
pub fn router(app: Shared) -> Router {
    let (router, mut document) = api().split_for_parts();
    tes::describe(&mut document);
    let page = axum::body::Bytes::from(crate::reference::page(&document));
    let html = [
        (axum::http::header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The page runs nothing and loads nothing; a browser holds it to that.
        (
            axum::http::header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    let document = document.to_pretty_json().expect("the description is plain data");
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    router
        .route(
            dayan_wire::OPENAPI,
            axum::routing::get(move || async move { (json, document).into_response() }),
        )
        // A browser is shown what there is to read.
        .route("/", axum::routing::get(|| async { Redirect::to("/v1/docs") }))
        // Clients of TES 1.0 ask for it there.
        .route("/ga4gh/tes/v1/tasks/service-info", axum::routing::get(tes::service_info))
        .route("/v1/docs", axum::routing::get(move || async move { (html, page).into_response() }))
        .route(dayan_wire::METRICS, axum::routing::get(ops::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(axum::middleware::from_fn(linger::heard_out))
        .layer(axum::middleware::from_fn_with_state(app.clone(), counted))
        .layer(DefaultBodyLimit::max(extract::BODY_MAX))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                Failure::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "server.bug",
                    "the server met a bug in itself",
                    "report it with what you sent",
                )
                .into_response()
            },
        ))
        .with_state(app)
}

/// Paths whose answers are held back on purpose: their time says nothing.
const HELD_BACK: [&str; 2] = ["/v1/agent/sync", "/v1/events"];

/// Counts answers and how long they took.
async fn counted(
    axum::extract::State(app): axum::extract::State<Shared>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let timed = !HELD_BACK.contains(&request.uri().path());
    let begin = crate::clock::boot_micros();
    let response = next.run(request).await;
    let status = match response.status().as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    app.metrics.answers.get_or_create(&[("status", status)]).inc();
    if timed {
        let micros = crate::clock::boot_micros() - begin;
        app.metrics.answer_seconds.observe(micros as f64 / 1e6);
    }
    response
}

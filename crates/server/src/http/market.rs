//! Offers, plans and quotes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::{
    Action, Admission, At, Command, Made, NewOffer, Pool, Refusal, Resource, State as Exchange,
    changes,
};
use dayan_identity::Status;
use dayan_market::{
    BuyerClass, Offer, OfferMode, Quote, QuoteItem, QuoteTerms, SpecDigest, Tariff, Terms,
};
use dayan_schedule::{Candidate, Candidates, JobAsk};
use dayan_spec::JobSpec;
use dayan_units::{
    Micro, PERMILLE_ONE, PoolId, ProjectId, QuoteId, Rate, RequestId, Resources, Span,
};
use dayan_wire as wire;
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};

use super::access::{Created, amount, buyer_class, created, unexpected};
use super::admission::{promise, seek};
use super::extract::{Body, Caller, Path, Text, id, whole};
use super::jobs::submit_command;
use super::{JobFile, Problems, scored};
use crate::app::Shared;
use crate::problem::Failure;
use crate::random::random_bytes;
use crate::writer::Live;

/// Offers at the prices you would pay.
#[utoipa::path(get, path = "/v1/offers", responses((status = 200, body = wire::Page<wire::Offer>), Problems))]
pub async fn list_offers(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Offer>>, Failure> {
    caller.scope(Resource::Offer, Action::Read)?;
    let org = caller.0.org;
    // Whose list prices the caller sees: those it may change, or all of them when it audits.
    let lists = caller.scope(Resource::Offer, Action::Update);
    let lists = lists.or_else(|_| caller.scope(Resource::Ledger, Action::Read)).ok();
    let list = app.writer.ask(move |live| {
        let class = live.state.access.orgs.get(&org).map_or(BuyerClass::External, |org| org.class);
        let sees = |offer: &Offer| {
            let owner = live.state.supply.providers.get(&offer.provider).map(|own| own.org);
            lists.is_some_and(|scope| scope.is_none_or(|own| Some(own) == owner))
        };
        let offers = live.state.supply.offers.values();
        offers.filter_map(|offer| offer_of(live, offer, class, sees(offer))).collect()
    });
    Ok(Json(whole(list.await?)))
}

/// An offer at the prices of a class; none where the class is not offered it, except to who sees
/// what it lists.
fn offer_of(live: &Live, offer: &Offer, class: BuyerClass, lists: bool) -> Option<wire::Offer> {
    let supply = &live.state.supply;
    let pool = supply.pools.get(&offer.pool)?;
    let own = offer.classes.get(&class).copied().or_else(|| lists.then_some(PERMILLE_ONE))?;
    let permille = u64::from(own);
    let rate = offer.rate_at(live.now, live.state.settings.zone);
    let listed = lists.then(|| wire::ListPrice {
        core_hour: offer.rate.core_hour.decimal(),
        gb_hour: offer.rate.gb_hour.decimal(),
        card_hour: offer.rate.card_hour.decimal(),
        classes: offer.classes.iter().map(|(class, of)| (class.name().to_owned(), *of)).collect(),
    });
    let price = |list: Micro| {
        list.mul_div_half_even(permille, u64::from(PERMILLE_ONE)).unwrap_or(list).decimal()
    };
    Some(wire::Offer {
        id: offer.id.to_string(),
        pool: offer.pool.to_string(),
        pool_name: pool.name.clone(),
        provider: supply.providers.get(&offer.provider)?.name.clone(),
        site: supply.place_of(pool).to_owned(),
        core_hour: price(rate.core_hour),
        gb_hour: price(rate.gb_hour),
        card_hour: price(rate.card_hour),
        currency: live.state.settings.currency.to_string(),
        accelerator: offer.accelerator.clone(),
        hours: offer.tariff.map(|tariff| tariff.0),
        minimum: offer.minimum.secs_ceil(),
        spot: offer.spot_permille,
        listed,
    })
}

/// Lists capacity at a price.
#[utoipa::path(post, path = "/v1/offers", request_body = wire::NewOffer,
    responses((status = 201, body = Created), Problems))]
pub async fn create_offer(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewOffer>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let price = |text: &Option<String>| text.as_deref().map_or(Ok(Micro::ZERO), amount);
    let mut classes = std::collections::BTreeMap::new();
    for (name, permille) in &new.classes {
        classes.insert(buyer_class(name)?, *permille);
    }
    if classes.is_empty() {
        classes = BuyerClass::ALL.into_iter().map(|c| (c, c.usual_permille())).collect();
    }
    let offer = NewOffer {
        pool: id("pool", &new.pool)?,
        rate: Rate {
            core_hour: amount(&new.core_hour)?,
            gb_hour: price(&new.gb_hour)?,
            card_hour: price(&new.card_hour)?,
        },
        tariff: new.hours.map(Tariff),
        minimum: Span::from_secs(new.minimum.into()),
        accelerator: new.accelerator.as_deref().map(|m| dayan_measure::canonical(m).to_owned()),
        min: None,
        max: None,
        classes,
        spot_permille: new.spot,
        valid_until: new.expires_in.map(|secs| app.now().plus(Span::from_secs(secs.into()))),
    };
    match app.command(caller.actor(), Command::ListOffer(Box::new(offer))).await? {
        Made::Offer(id) => Ok(created(&id)),
        _ => Err(unexpected()),
    }
}

/// Takes an offer back; what is leased keeps its price.
#[utoipa::path(delete, path = "/v1/offers/{id}", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn retire_offer(
    State(app): State<Shared>,
    caller: Caller,
    Path(offer): Path<String>,
) -> Result<StatusCode, Failure> {
    let offer = id("offer", &offer)?;
    app.command(caller.actor(), Command::RetireOffer { offer }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a job could go, for whom it would be.
pub(super) struct Question {
    pub ask: JobAsk,
    project: ProjectId,
    class: BuyerClass,
}

/// A job file as the planner would see it; none where nobody has its project. Under a quote it goes
/// where that was given.
pub(super) async fn question(
    app: &Shared,
    spec: &JobSpec,
    quote: Option<QuoteId>,
) -> Result<Option<Question>, Failure> {
    let owned = spec.clone();
    let data = super::data_check::inputs(app, spec).await?;
    let asked = app.writer.ask(move |live| {
        let access = &live.state.access;
        let mut paths = owned.project.and_ancestors();
        let project = paths.find_map(|path| access.project_by_path(path))?;
        let class = access.orgs.get(&project.org)?.class;
        let mut ask = changes::ask_for(&live.state, &owned, class, &data);
        ask.project = project.id;
        ask.org = project.org;
        ask.submitted_at = live.now;
        ask.quote = quote.and_then(|quote| changes::pin(&live.state, quote));
        Some(Question { ask, project: project.id, class })
    });
    Ok(asked.await?)
}

async fn candidates(
    app: &Shared,
    caller: &Caller,
    spec: &JobSpec,
) -> Result<(Question, Candidates), Failure> {
    let unknown = || Failure::not_found("project", spec.project.as_str());
    let question = question(app, spec, None).await?.ok_or_else(unknown)?;
    let org = question.ask.org;
    caller.may(Resource::Quote, Action::Read, org, "project", spec.project.as_str())?;
    let ask = question.ask.clone();
    let found = app.planner.ask(move |planner, now| planner.candidates(&ask, now)).await?;
    Ok((question, found))
}

/// Where a job could go, at what price and when; and why other pools do not take it.
#[utoipa::path(post, path = "/v1/plan",
    request_body(content((JobFile = "application/yaml"), (JobFile = "application/json")), description = "A job file."),
    responses((status = 200, body = wire::PlanAnswer), Problems))]
pub async fn plan(
    State(app): State<Shared>,
    caller: Caller,
    Text(text): Text,
) -> Result<Json<wire::PlanAnswer>, Failure> {
    let spec = dayan_spec::parse(&text)?;
    let file = dayan_spec::as_json(&text);
    let warnings = dayan_spec::warnings(&spec).into_iter().map(|warning| wire::Waiting {
        code: warning.code.to_owned(),
        message: warning.message,
        lasting: false,
    });
    let warnings = warnings.collect();
    let (question, found) = candidates(&app, &caller, &spec).await?;
    let (limit, tasks) = (spec.time_limit(), spec.task_count());
    let admission = seek(&app, &spec, None).await?;
    let (promise, found_places) = (promise(&admission), admission.clone());
    let promise_price = match &admission {
        Admission::Found(made) => {
            let (ask, made) = (question.ask.clone(), made.clone());
            app.planner.ask(move |planner, now| planner.price_of(&ask, &made, now)).await?
        }
        Admission::NotSought | Admission::Refused(_) => None,
    };
    let next = super::schedules::next_times(&spec, app.now());
    let submit = At {
        command: submit_command(spec, None, None, admission, Vec::new()),
        now: app.now(),
        actor: caller.actor(),
        // Nothing is committed: no id that it makes is ever seen.
        request: RequestId::from_bits(0),
    };
    let answer = app.writer.ask(move |live| {
        let submission = dayan_exchange::decide(&live.state, &submit).err();
        let supply = &live.state.supply;
        let pool_name =
            |pool| supply.pools.get(&pool).map_or_else(String::new, |pool| pool.name.clone());
        let ms = |span: Span| span.secs_f64() * 1e3;
        let candidates = found.candidates.iter().map(|candidate| {
            let pool = supply.pools.get(&candidate.pool);
            let provider = supply.providers.get(&candidate.provider);
            // Room now is room now; a wait is stretched by what waits turned out to be.
            let start = if candidate.tasks > 0 {
                candidate.start
            } else {
                live.state.work.estimates.shown(candidate.start)
            };
            wire::Candidate {
                pool: candidate.pool.to_string(),
                pool_name: pool_name(candidate.pool),
                provider: provider.map_or_else(String::new, |provider| provider.name.clone()),
                site: pool.map_or("", |pool| supply.place_of(pool)).to_owned(),
                tasks: candidate.tasks,
                price: candidate.price.decimal(),
                price_per_task_hour: candidate.unit_price.decimal(),
                currency: live.state.settings.currency.to_string(),
                start_p50_s: start.p50.secs_f64(),
                start_p90_s: start.p90.secs_f64(),
                transfer_s: candidate.transfer.map(Span::secs_f64),
                transfer_bytes: candidate.transfer.map(|_| candidate.missing.0),
                delay_ms: candidate.delay.map(ms),
                carbon_g: pool.and_then(|pool| carbon_g(candidate, pool, limit, tasks)),
                accelerator: scored::accelerator(&question.ask, candidate),
                score: scored::score(&question.ask, candidate, live.state.settings.currency),
            }
        });
        let refused = found.refused.iter().map(|refused| wire::RefusedPool {
            pool: refused.pool.to_string(),
            pool_name: pool_name(refused.pool),
            reasons: refused
                .reasons
                .iter()
                .map(|reason| wire::Waiting {
                    code: reason.code.as_str().to_owned(),
                    message: reason.message.clone(),
                    lasting: reason.code.is_lasting(),
                })
                .collect(),
        });
        let idle = idle_pools(live).map(|(pool, reason)| wire::RefusedPool {
            pool: pool.id.to_string(),
            pool_name: pool.name.clone(),
            reasons: vec![reason],
        });
        let price = promise_price.filter(|_| submission.is_none());
        wire::PlanAnswer {
            candidates: candidates.collect(),
            refused: refused.chain(idle).collect(),
            promise: promise.filter(|_| submission.is_none()),
            promise_carbon_g: carbon_promised(live, limit, &found_places)
                .filter(|_| submission.is_none()),
            promise_price: price.map(Micro::decimal),
            promise_currency: price.map(|_| live.state.settings.currency.to_string()),
            order: scored::order(&question.ask, &found),
            warnings,
            at: Some(live.now.to_string()),
            revision: Some(live.seq),
            file,
            submission: submission.map(|refusal| *Failure::from(refusal).0),
            next,
        }
    });
    Ok(Json(answer.await?))
}

/// Grams of CO₂ of all tasks at their time limit there, by what such cores and cards are likely to
/// draw; none where the grid is not known.
fn carbon_g(candidate: &Candidate, pool: &Pool, limit: Span, tasks: u32) -> Option<f64> {
    let each = nanograms(&candidate.resources, pool, limit, candidate.carbon_milligrams_per_kwh?);
    Some(grams(each.saturating_mul(tasks.into())))
}

/// The same of places that were found for later, each by its own hours.
fn carbon_promised(live: &Live, limit: Span, admission: &Admission) -> Option<f64> {
    let Admission::Found(made) = admission else { return None };
    let mut sum = 0_u128;
    for seat in made {
        let pool = live.state.supply.pools.get(&seat.pool)?;
        let carbon = dayan_exchange::grids::carbon_of(&live.state, pool, live.now)?;
        let milligrams = u64::try_from(carbon.milligrams_per_kwh(seat.from, limit)).ok()?;
        sum = sum.saturating_add(nanograms(&seat.resources, pool, limit, milligrams));
    }
    Some(grams(sum))
}

fn nanograms(taken: &Resources, pool: &Pool, limit: Span, milligrams_per_kwh: u64) -> u128 {
    let model = pool.shown.nodes.iter().find_map(|node| node.accelerator.as_deref());
    let drawn = dayan_measure::draw_milliwatts(taken.cpu, taken.accel, model);
    // Thousandths of a watt-hour are millionths of a kilowatt-hour.
    u128::from(dayan_measure::milliwatt_hours(drawn, limit)) * u128::from(milligrams_per_kwh)
}

fn grams(nanograms: u128) -> f64 {
    (nanograms / 1_000_000) as f64 / 1e3
}

/// Pools that the planner does not see, because they do not take work now, and why.
fn idle_pools(live: &Live) -> impl Iterator<Item = (&Pool, wire::Waiting)> {
    let reason = |status| match status {
        Status::Applied => Some("it has not shown its inventory to the exchange yet"),
        Status::Verified => Some("it is verified, and not active yet"),
        Status::Suspended => Some("it is suspended, by its provider or by the operator"),
        Status::Active | Status::Retired => None,
    };
    live.state.supply.pools.values().filter_map(move |pool| {
        let message = reason(pool.status)?.to_owned();
        let code = "pool.not_active".to_owned();
        Some((pool, wire::Waiting { code, message, lasting: false }))
    })
}

/// The same, by reason.
pub(super) fn idle_reasons(live: &Live) -> Vec<wire::Reason> {
    let mut reasons: Vec<wire::Reason> = Vec::new();
    if live.state.supply.pools.is_empty() {
        let message = "no pool has joined this exchange yet: an operator invites a provider (`dayan \
                       provider invite`), its machine joins (`dayan agent --join TOKEN`), and its \
                       pool is offered at a price (`dayan offer create`)";
        reasons.push(wire::Reason {
            code: "pool.none".to_owned(),
            message: message.to_owned(),
            pools: 0,
        });
    }
    for (_, wire::Waiting { code, message, .. }) in idle_pools(live) {
        match reasons.iter_mut().find(|known| known.message == message) {
            Some(known) => known.pools += 1,
            None => reasons.push(wire::Reason { code, message, pools: 1 }),
        }
    }
    reasons
}

/// A firm, signed price with an expiry: submit the same file with its id.
#[utoipa::path(post, path = "/v1/quotes",
    request_body(content((JobFile = "application/yaml"), (JobFile = "application/json")), description = "A job file."),
    responses((status = 201, body = wire::Quote), Problems))]
pub async fn quote(
    State(app): State<Shared>,
    caller: Caller,
    Text(text): Text,
) -> Result<(StatusCode, Json<wire::Quote>), Failure> {
    let spec = dayan_spec::parse(&text)?;
    if spec.schedule.is_some() {
        return Err(Failure::invalid(
            "quote.schedule",
            "a firm quote is for one job, and a schedule makes many",
            "see today's prices with `dayan plan`; its runs pay what is listed then",
        ));
    }
    let (question, found) = candidates(&app, &caller, &spec).await?;
    // A quote binds to one pool: it must do by itself.
    let Some(best) = found.candidates.iter().find(|candidate| candidate.alone) else {
        let mut failure = Failure::invalid(
            "quote.no_pool",
            "no pool takes this job",
            "see why with `dayan plan`",
        );
        failure.0.details = found
            .refused
            .iter()
            .flat_map(|refused| refused.reasons.iter().map(move |reason| (refused.pool, reason)))
            .map(|(pool, reason)| wire::ProblemDetail {
                subject: pool.to_string(),
                code: reason.code.as_str().to_owned(),
                message: reason.message.clone(),
                line: None,
                column: None,
                help: String::new(),
            })
            .collect();
        return Err(failure);
    };
    let canonical = serde_json::to_vec(&spec).expect("a job file is plain data");
    let spec_digest = SpecDigest(Sha256::digest(&canonical).into());
    let (offer, pool, resources) = (best.offer, best.pool, best.resources);
    let (limit, tasks) = (spec.time_limit(), spec.task_count());
    let quote_id = QuoteId::from_bits(u128::from_be_bytes(random_bytes::<16>()));
    let class = question.class;
    let drafted = app.writer.ask(move |live| {
        let listed = live.state.supply.offers.get(&offer)?;
        let rate = listed.rate_at(live.now, live.state.settings.zone);
        let mode = dayan_exchange::mode_at(&spec, Some(listed));
        let terms = Terms::listed(listed, rate, class, mode).ok()?;
        let head = QuoteTerms {
            id: quote_id,
            project: question.project,
            spec_digest,
            currency: live.state.settings.currency,
            issued_at: live.now,
            expires_at: live.now.plus(live.state.settings.quote_valid),
        };
        let pool_name = name_of(&live.state, pool);
        let item = QuoteItem { pool, offer, terms, mode, resources, time_limit: limit, tasks };
        Some((Quote::issue(head, &[item]).ok()?, pool_name))
    });
    let (quote, pool_name) = drafted.await?.ok_or_else(|| {
        Failure::from(Refusal::conflict("quote.moved", "the offer changed meanwhile", "ask again"))
    })?;
    let signature = hex::encode(app.signing.sign(&quote.canonical_bytes()).to_bytes());
    let command =
        Command::IssueQuote { quote: Box::new(quote.clone()), signature: signature.clone() };
    app.command(caller.actor(), command).await?;
    let named = |_| pool_name.clone();
    Ok((StatusCode::CREATED, Json(quote_of(&quote, &signature, named))))
}

/// What a pool is called at its site; nothing, where it is not known any more.
fn name_of(state: &Exchange, pool: PoolId) -> String {
    state.supply.pools.get(&pool).map_or_else(String::new, |pool| pool.name.clone())
}

fn quote_of(quote: &Quote, signature: &str, named: impl Fn(PoolId) -> String) -> wire::Quote {
    wire::Quote {
        quote: quote.id.to_string(),
        lines: quote
            .lines
            .iter()
            .map(|line| wire::QuoteLine {
                pool: line.pool.to_string(),
                pool_name: named(line.pool),
                tasks: line.tasks,
                price: line.price.decimal(),
                mode: line.mode.map(|mode| match mode {
                    OfferMode::OnDemand => "on_demand".to_owned(),
                    OfferMode::Spot => "spot".to_owned(),
                }),
            })
            .collect(),
        total: quote.total.decimal(),
        currency: quote.currency.to_string(),
        expires_at: quote.expires_at.to_string(),
        signature: signature.to_owned(),
    }
}

/// A quote that is in force or in use.
#[utoipa::path(get, path = "/v1/quotes/{id}", params(("id" = String, Path)),
    responses((status = 200, body = wire::Quote), Problems))]
pub async fn show_quote(
    State(app): State<Shared>,
    caller: Caller,
    Path(quote): Path<String>,
) -> Result<Json<wire::Quote>, Failure> {
    let wanted: QuoteId = id("quote", &quote)?;
    let found = app.writer.ask(move |live| {
        let given = live.state.work.quotes.get(&wanted)?;
        let org = live.state.access.projects.get(&given.quote.project)?.org;
        let named = |pool| name_of(&live.state, pool);
        Some((quote_of(&given.quote, &given.signature, named), org))
    });
    let (found, org) = found.await?.ok_or_else(|| Failure::not_found("quote", &quote))?;
    caller.may(Resource::Quote, Action::Read, org, "quote", &quote)?;
    Ok(Json(found))
}

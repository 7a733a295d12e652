//! Providers and what they bring: standing, invitations, agents, pools, proof, offers.

use std::collections::BTreeSet;

use dayan_identity::{Adm6, Challenge, Class, Label, Name, Nonce, Owner, Serial, Status, Verdict};
use dayan_market::{Offer, OfferMode, OfferStatus};
use dayan_measure::{Component, Measurement};
use dayan_topology::PlaceId;
use dayan_units::{AgentId, OfferId, PoolId, ProviderId, Resources, SiteId, Span, Time};
use sha2::{Digest as _, Sha256};

use super::access::check_slug;
use super::findings::Finding;
use super::shown::{check_measured, check_shown};
use super::{Ask, Decision, Made};
use crate::authorize::{Action, Resource, authorize};
use crate::command::{Actor, Join, NewOffer, PoolNews};
use crate::event::Event;
use crate::ids::accounts;
use crate::refusal::Refusal;
use crate::state::{Agent, Digest, JoinToken, Pool, Provider, Shown, Site, StopReason};

/// A challenge is answered at the agent's next sync or two; a minute covers a slow probe of the
/// hardware.
const ANSWER_WITHIN: Span = Span::from_secs(60);

/// Pools that one invitation lets in beside the first: clusters have a handful of partitions, the largest
/// sites dozens.
const POOLS_MORE_MAX: u32 = 63;

/// By how much a machine's clock may be ahead of ours when it says when it was measured.
const CLOCK_AHEAD: Span = Span::from_secs(300);

impl Ask<'_> {
    fn provider(&self, id: ProviderId) -> Result<&Provider, Refusal> {
        self.state.supply.providers.get(&id).ok_or_else(|| {
            Refusal::not_found(
                "provider.unknown",
                format!("there is no provider {id}"),
                "list them with `dayan provider ls`",
            )
        })
    }

    fn pool(&self, id: PoolId) -> Result<(&Pool, &Provider), Refusal> {
        let pool = self.state.supply.pools.get(&id).ok_or_else(|| {
            Refusal::not_found(
                "pool.unknown",
                format!("there is no pool {id}"),
                "list them with `dayan pools`",
            )
        })?;
        Ok((pool, &self.state.supply.providers[&pool.provider]))
    }

    pub(super) fn apply_provider(
        &self,
        org: &str,
        name: &str,
        credit_code: Option<&str>,
    ) -> Result<Decision, Refusal> {
        let org = self.org_named(org, Resource::Provider, Action::Create)?.id;
        check_slug("a provider", name)?;
        if self.state.supply.provider_names.contains_key(name) {
            return Err(Refusal::conflict(
                "provider.exists",
                format!("there is a provider `{name}` already"),
                "choose another name",
            ));
        }
        let owner = match credit_code {
            None => short_owner(name),
            Some(code) => Owner::Credit(code.parse().map_err(|error| {
                Refusal::invalid(
                    "provider.credit_code",
                    format!("{error}"),
                    "give the 18 characters of the unified social credit code",
                )
            })?),
        };
        let id = ProviderId::from_bits(self.ids.bits());
        let provider = Provider {
            id,
            org,
            name: name.to_owned(),
            owner: owner.to_string(),
            status: Status::Applied,
            account: accounts::provider(id),
            applied_at: self.now,
        };
        Ok(Decision::making(Event::ProviderApplied { provider }, Made::Provider(id)))
    }

    pub(super) fn set_provider_status(
        &self,
        provider: ProviderId,
        to: Status,
    ) -> Result<Decision, Refusal> {
        let record = self.provider(provider)?;
        authorize(self.actor, Resource::Provider, Action::Update, Some(record.org))?;
        check_transition("provider", record.status, to)?;
        if record.status == to {
            return Ok(Decision::nothing());
        }
        let mut decision = Decision::one(Event::ProviderStatusChanged { provider, status: to });
        let pools = self.state.supply.pools.values().filter(|pool| pool.provider == provider);
        for pool in pools {
            match to {
                Status::Suspended | Status::Retired if pool.status.become_next(to).is_ok() => {
                    decision.events.push(Event::PoolStatusChanged { pool: pool.id, status: to });
                    self.withdraw(pool.id, to, &mut decision);
                }
                // What was suspended with it comes back with it.
                Status::Active if matches!(pool.status, Status::Verified | Status::Suspended) => {
                    let status = Status::Active;
                    decision.events.push(Event::PoolStatusChanged { pool: pool.id, status });
                }
                Status::Applied
                | Status::Verified
                | Status::Active
                | Status::Suspended
                | Status::Retired => {}
            }
        }
        Ok(decision)
    }

    /// Running leases of a pool that goes are asked to stop; their tasks run elsewhere. Results that
    /// outlive their room are kept for a pool that comes back: nothing of them runs. One that does not
    /// come back sells nothing any more.
    fn withdraw(&self, pool: PoolId, to: Status, decision: &mut Decision) {
        if to == Status::Retired {
            let offers = self.state.supply.offers.values().filter(|offer| offer.pool == pool);
            decision.events.extend(offers.map(|offer| Event::OfferRetired { offer: offer.id }));
        }
        let comes_back = to != Status::Retired;
        for lease in self.state.work.leases.values() {
            let lingers = comes_back && lease.room_free;
            if lease.pool == pool && lease.stop.is_none() && !lingers {
                let reason = StopReason::PoolWithdrawn;
                decision.events.push(Event::StopAsked { attempt: lease.attempt, reason });
                decision.wake(lease.agent);
            }
        }
    }

    pub(super) fn invite(
        &self,
        provider: ProviderId,
        digest: Digest,
        expires_at: Time,
    ) -> Result<Decision, Refusal> {
        let record = self.provider(provider)?;
        authorize(self.actor, Resource::Invitation, Action::Create, Some(record.org))?;
        if matches!(record.status, Status::Suspended | Status::Retired) {
            return Err(Refusal::conflict(
                "provider.not_active",
                format!("provider `{}` is {}", record.name, record.status),
                "ask the operator of the exchange",
            ));
        }
        let token = JoinToken { provider, expires_at, left: None };
        Ok(Decision::one(Event::Invited { digest, token }))
    }

    pub(super) fn join(&self, join: &Join) -> Result<Decision, Refusal> {
        let supply = &self.state.supply;
        if let Some(known) = supply.agent_tokens.get(&join.token) {
            return self.join_again(&supply.agents[known], join);
        }
        let invitation = supply.join_tokens.get(&join.invitation);
        let invitation =
            invitation.filter(|token| token.expires_at > self.now).ok_or_else(|| {
                Refusal::forbidden(
                    "join.token",
                    "this join token is not known, was used, or has expired",
                    "make a new one with `dayan provider invite`",
                )
            })?;
        let more = match &invitation.left {
            None => join.more,
            // Nobody else gets in by what is left, and nobody gets more than was said at first.
            Some(left) if left.key == join.public_key => left.count - 1,
            Some(_) => {
                return Err(Refusal::forbidden(
                    "join.token",
                    "this join token was used by another agent, whose other pools may still join by it",
                    "make a new one with `dayan provider invite`",
                ));
            }
        };
        if more > POOLS_MORE_MAX {
            return Err(Refusal::invalid(
                "join.pools",
                format!("{} pools by one join token are too many", u64::from(more) + 1),
                "bring at most 64 with one, and the others with another of `dayan provider invite`",
            ));
        }
        check_shown(&join.shown)?;
        let place = PlaceId::find(&join.place).map_err(|unknown| {
            Refusal::invalid(
                "join.site",
                unknown.to_string(),
                "give the city of the data centre with `--site`",
            )
        })?;
        let provider = &supply.providers[&invitation.provider];
        let agent = AgentId::from_bits(self.ids.bits());
        let pool = PoolId::from_bits(self.ids.bits());
        let name = self.free_pool_name(provider.id, &join.pool)?;
        let place_name = place.place().name;
        let mut events = Vec::with_capacity(2);
        let known = supply
            .sites
            .values()
            .find(|site| site.provider == provider.id && site.place == place_name)
            .map(|site| site.id);
        let site = known.unwrap_or_else(|| SiteId::from_bits(self.ids.bits()));
        if known.is_none() {
            events.push(Event::SiteOpened {
                site: Site { id: site, provider: provider.id, place: place_name.to_owned() },
            });
        }
        events.push(Event::AgentJoined {
            agent,
            provider: provider.id,
            pool,
            site,
            crn: compute_name(provider, place, &name, &join.shown, pool, self.now)?,
            name,
            public_key: join.public_key,
            token: join.token,
            invitation: join.invitation,
            more,
            shown: Box::new(join.shown.clone()),
        });
        Ok(Decision { events, effects: Vec::new(), made: Made::Agent(agent, pool) })
    }

    /// The answer to this join was lost: it has happened, and the invitation may be used up by it. Who asks
    /// holds the key and knows the token, and hears what it was told.
    fn join_again(&self, agent: &Agent, join: &Join) -> Result<Decision, Refusal> {
        if agent.public_key != join.public_key {
            return Err(Refusal::forbidden(
                "join.own_token",
                "the token that this agent brings is another agent's",
                "let the agent draw its own: join in an empty folder",
            ));
        }
        let pool = &self.state.supply.pools[&agent.pool];
        if pool.status == Status::Retired {
            return Err(Refusal::conflict(
                "join.retired",
                format!("the pool `{}` that this agent joined with is retired", pool.name),
                "join in an empty folder, with a token of `dayan provider invite`: that is a new pool",
            ));
        }
        Ok(Decision { made: Made::Agent(agent.id, agent.pool), ..Decision::default() })
    }

    /// The asked name, or with a number behind it where it is taken.
    fn free_pool_name(&self, provider: ProviderId, asked: &str) -> Result<String, Refusal> {
        check_slug("a pool", asked)?;
        let taken = |name: &str| {
            let pools = self.state.supply.pools.values();
            pools.filter(|pool| pool.provider == provider).any(|pool| pool.name == name)
        };
        let numbered = (2..).map(|number| format!("{asked}-{number}"));
        let free = std::iter::once(asked.to_owned()).chain(numbered).find(|name| !taken(name));
        Ok(free.expect("there are more numbers than pools"))
    }

    pub(super) fn set_pool_status(&self, pool: PoolId, to: Status) -> Result<Decision, Refusal> {
        let (record, provider) = self.pool(pool)?;
        authorize(self.actor, Resource::Pool, Action::Update, Some(provider.org))?;
        check_transition("pool", record.status, to)?;
        if record.status == to {
            return Ok(Decision::nothing());
        }
        let by_operator = matches!(
            self.actor,
            Actor::System | Actor::User { role: crate::state::Role::Operator, .. }
        );
        if matches!(to, Status::Verified) && !by_operator {
            return Err(Refusal::forbidden(
                "pool.verify",
                "a pool is verified by the exchange, not by its provider",
                "wait for the challenge, or ask the operator",
            ));
        }
        let mut decision = Decision::one(Event::PoolStatusChanged { pool, status: to });
        if matches!(to, Status::Suspended | Status::Retired) {
            self.withdraw(pool, to, &mut decision);
        }
        Ok(decision)
    }

    pub(super) fn pool_news(&self, news: &PoolNews) -> Result<Decision, Refusal> {
        let agent = self.state.supply.agents.get(&news.agent).ok_or_else(|| {
            Refusal::forbidden("agent.unknown", "this agent is not known", "join again")
        })?;
        let pool = &self.state.supply.pools[&agent.pool];
        check_measured(&news.measured)?;
        let mut decision = Decision::default();
        let shown = match &news.shown {
            Some(shown) if *shown != pool.shown || pool.doubted_at.is_some() => {
                check_shown(shown)?;
                let voided = voided(&pool.shown, shown);
                decision.events.push(Event::PoolShown {
                    pool: pool.id,
                    shown: Box::new(shown.clone()),
                    voided,
                });
                shown
            }
            Some(_) | None => &pool.shown,
        };
        if let Some((nonce, digest)) = &news.answer {
            self.judge_answer(pool, shown, nonce, digest, &mut decision);
        }
        let values = self.believed(news.agent, &news.measured, &mut decision);
        if !values.is_empty() {
            decision.events.push(Event::Measured { pool: pool.id, values });
        }
        Ok(decision)
    }

    /// The measured values that can be so; the operator hears of the others.
    fn believed(
        &self,
        agent: AgentId,
        values: &[Measurement],
        decision: &mut Decision,
    ) -> Vec<Measurement> {
        let latest = self.now.plus(CLOCK_AHEAD);
        let mut believed = Vec::with_capacity(values.len());
        for value in values {
            let doubt = if value.at > latest {
                let message =
                    format!("{} was measured at {}, which is not yet", value.attribute, value.at);
                Some(("measure.future", message))
            } else {
                value.doubt().map(|doubt| (doubt.code(), doubt.to_string()))
            };
            match doubt {
                None => believed.push(value.clone()),
                Some((code, message)) => {
                    self.find(agent, Finding { code, attempt: None, message }, decision);
                }
            }
        }
        believed
    }

    fn judge_answer(
        &self,
        pool: &Pool,
        shown: &Shown,
        nonce: &Nonce,
        digest: &Digest,
        decision: &mut Decision,
    ) {
        let Some(open) = pool.challenge.as_ref().filter(|open| open.nonce == *nonce) else {
            return;
        };
        let expected = challenge_digest(open, shown);
        let (code, message) = match open.judge(&expected.0, &digest.0, self.now) {
            Verdict::Unchanged => {
                decision.events.push(Event::ChallengeMet { pool: pool.id });
                self.promote(pool, decision);
                return;
            }
            Verdict::Changed => ("pool.challenge_failed", "for another inventory than it shows"),
            Verdict::Late => ("pool.challenge_late", "too late"),
        };
        let message = format!("{} answered a challenge {message}", pool.crn);
        self.find(pool.agent, Finding { code, attempt: None, message }, decision);
        decision.events.push(Event::ChallengeFailed { pool: pool.id });
    }

    /// A proven pool moves as far as its provider's standing lets it.
    fn promote(&self, pool: &Pool, decision: &mut Decision) {
        let mut to = Vec::new();
        if pool.status == Status::Applied {
            to.push(Status::Verified);
        }
        let provider = &self.state.supply.providers[&pool.provider];
        if provider.status == Status::Active
            && matches!(pool.status, Status::Applied | Status::Verified)
        {
            to.push(Status::Active);
        }
        decision.events.extend(
            to.into_iter().map(|status| Event::PoolStatusChanged { pool: pool.id, status }),
        );
    }

    pub(super) fn challenge(&self, pool: PoolId, nonce: Nonce) -> Result<Decision, Refusal> {
        let (record, _) = self.pool(pool)?;
        let open = record.challenge.as_ref();
        if open.is_some_and(|open| self.now <= open.at.plus(open.answer_within)) {
            return Ok(Decision::nothing());
        }
        let agent = record.agent;
        let challenge = Challenge { nonce, at: self.now, answer_within: ANSWER_WITHIN };
        let mut decision = Decision::one(Event::Challenged { pool, challenge });
        decision.wake(agent);
        Ok(decision)
    }

    pub(super) fn list_offer(&self, new: &NewOffer) -> Result<Decision, Refusal> {
        let (pool, provider) = self.pool(new.pool)?;
        authorize(self.actor, Resource::Offer, Action::Create, Some(provider.org))?;
        let whole = Resources {
            cpu: dayan_units::MilliCpu(u64::MAX),
            memory: dayan_units::Bytes(u64::MAX),
            disk: dayan_units::Bytes(u64::MAX),
            accel: dayan_units::MilliAccel(if new.accelerator.is_some() { u64::MAX } else { 0 }),
        };
        let id = OfferId::from_bits(self.ids.bits());
        let offer = Offer {
            id,
            pool: pool.id,
            provider: provider.id,
            mode: OfferMode::OnDemand,
            accelerator: new.accelerator.clone(),
            rate: new.rate,
            tariff: new.tariff,
            minimum: new.minimum,
            task_min: new.min.unwrap_or(Resources::ZERO),
            task_max: new.max.unwrap_or(whole),
            classes: new.classes.clone(),
            spot_permille: new.spot_permille,
            valid_from: self.now,
            valid_until: new.valid_until.unwrap_or(Time::NEVER),
            status: OfferStatus::Open,
        };
        offer.check().map_err(|defect| {
            Refusal::invalid(defect.code(), defect.to_string(), defect.advice())
        })?;
        Ok(Decision::making(Event::OfferListed { offer: Box::new(offer) }, Made::Offer(id)))
    }

    pub(super) fn retire_offer(&self, offer: OfferId) -> Result<Decision, Refusal> {
        let found = self.state.supply.offers.get(&offer).ok_or_else(|| {
            Refusal::not_found(
                "offer.unknown",
                format!("there is no listed offer {offer}"),
                "list them with `dayan offers`",
            )
        })?;
        let org = self.state.supply.providers.get(&found.provider).map(|provider| provider.org);
        authorize(self.actor, Resource::Offer, Action::Delete, org)?;
        Ok(Decision::one(Event::OfferRetired { offer }))
    }
}

fn check_transition(what: &'static str, from: Status, to: Status) -> Result<(), Refusal> {
    if from == to || from.become_next(to).is_ok() {
        return Ok(());
    }
    Err(Refusal::conflict(
        "status.transition",
        format!("a {what} that is {from} cannot become {to}"),
        "it goes applied, verified, active; suspended and back; retired is the end",
    ))
}

/// The parts of the machine that the change of the inventory is about.
fn voided(old: &Shown, new: &Shown) -> Vec<Component> {
    let keys: BTreeSet<&String> = old.inventory.keys().chain(new.inventory.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.inventory.get(*key) != new.inventory.get(*key));
    let parts: BTreeSet<Component> =
        changed.filter_map(|key| Component::of_inventory(key)).collect();
    parts.into_iter().collect()
}

/// What answers a challenge: SHA-256 over its material for the inventory's lines.
pub fn challenge_digest(challenge: &Challenge, shown: &Shown) -> Digest {
    let lines: Vec<String> =
        shown.inventory.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Digest(Sha256::digest(challenge.material(&lines.join("\n"))).into())
}

/// The short owner name that stands in compute-resource names where there is no credit code: the
/// provider's slug without its punctuation.
fn short_owner(provider: &str) -> Owner {
    const LEN_MAX: usize = 17;
    let plain: String = provider.chars().filter(char::is_ascii_alphanumeric).collect();
    let lettered = format!("p{plain}x");
    let text = if plain.starts_with(|c: char| c.is_ascii_alphabetic()) && plain.len() >= 2 {
        plain
    } else {
        lettered
    };
    Owner::Short(text.chars().take(LEN_MAX).collect())
}

/// A slug as a label of a name: other punctuation becomes a hyphen.
fn label(text: &str) -> Label {
    const LEN_MAX: usize = 32;
    let plain: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(LEN_MAX)
        .collect();
    plain.trim_matches('-').parse().unwrap_or_else(|_| "x".parse().expect("a letter is a label"))
}

fn compute_name(
    provider: &Provider,
    place: PlaceId,
    pool: &str,
    shown: &Shown,
    id: PoolId,
    now: Time,
) -> Result<Name, Refusal> {
    let accelerated = shown.nodes.iter().any(|node| node.accelerator.is_some());
    let slug = &place.place().slug;
    let missing = || {
        Refusal::invalid(
            "join.site",
            format!("no administrative code is known for {}", place.place().name),
            "give another city with `--site`",
        )
    };
    let tail = u16::try_from(id.bits() & 0xffff).expect("16 bits");
    Ok(Name {
        adm: Adm6::of_place(slug).ok_or_else(missing)?,
        owner: provider.owner.parse().unwrap_or_else(|_| short_owner(&provider.name)),
        site: label(slug),
        pool: label(pool),
        class: if accelerated { Class::Ai } else { Class::Gen },
        serial: Serial::new(now, tail).ok_or_else(missing)?,
    })
}

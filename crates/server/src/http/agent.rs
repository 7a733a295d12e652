//! Agents: joining, and the one idempotent call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::changes::data_key;
use dayan_exchange::{
    Actor, AttemptNews, Blame, Command, Counters, Digest, Evidence, Fence, Join, Lease, Made, Node,
    Outcome, Placing, PoolNews, Seen, Shown, SignedUsage, SiteCount, SiteCounted, StopReason,
    UsageRecord, orders,
};
use dayan_spec::{JobSpec, Launch, OutputWhen, Resume, TaskContext, task_env};
use dayan_units::{AgentId, AttemptId, PoolId, Span, Time};
use dayan_wire as wire;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::Problems;
use super::access::unexpected;
use super::extract::{Body, CallingAgent};
use crate::app::{Shared, digest};
use crate::problem::Failure;
use crate::random::secret;
use crate::writer::Live;

/// How long the checkpoint of a task may take to be sent whose pool goes away: 100 GB at 3 Gbit/s.
const SENT_WITHIN: Span = Span::from_secs(300);
/// The longest an answer is held back: below the idle limit of common proxies.
const WAIT_MAX: Duration = Duration::from_secs(25);

fn hex32(what: &str, text: &str) -> Result<[u8; 32], Failure> {
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        Failure::invalid(
            "agent.hex",
            format!("{what} is not 64 hexadecimal digits"),
            "send what the protocol says",
        )
    })?;
    Ok(bytes)
}

fn signature_holds(key: &[u8; 32], material: &[u8], signature: &str) -> bool {
    let mut bytes = [0u8; 64];
    if hex::decode_to_slice(signature, &mut bytes).is_err() {
        return false;
    }
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(material, &Signature::from_bytes(&bytes)).is_ok())
}

fn shown(pool: &wire::PoolShown) -> Result<Shown, Failure> {
    let unknown = |what: &str, got: &str| {
        let got: String = got.chars().take(40).collect();
        Failure::invalid("pool.shown", format!("`{got}` is no {what}"), "update the agent")
    };
    Ok(Shown {
        engine: pool.engine.clone(),
        fence: match pool.fence.as_str() {
            "keeper" => Fence::Keeper,
            "wrapper" => Fence::Wrapper,
            "cluster" => Fence::Cluster,
            "none" => Fence::None,
            other => return Err(unknown("fence", other)),
        },
        placing: match pool.placing.as_str() {
            "by_node" => Placing::ByNode,
            "by_pool" => Placing::ByPool,
            other => return Err(unknown("placing", other)),
        },
        features: pool.features.clone(),
        fabric: pool.fabric.clone(),
        nodes: pool
            .nodes
            .iter()
            .map(|node| Node {
                name: node.name.clone(),
                total: node.total,
                accelerator: node
                    .accelerator
                    .as_deref()
                    .map(|m| dayan_measure::canonical(m).to_owned()),
                features: node.features.clone(),
                leaf: node.leaf.clone(),
                islands: node.islands.clone(),
                up: node.up,
            })
            .collect(),
        queue: pool.queue.map(|queue| dayan_exchange::Queue {
            unit: queue.unit,
            places: queue.places,
            time_max: Span::from_micros(queue.time_max_us),
        }),
        inventory: pool.inventory.clone(),
    })
}

/// What tokens of agents begin with.
const TOKEN_KIND: &str = "dya";

/// A token that the agent has drawn: as long and as plain as one of ours, so that nobody syncs with a word
/// that can be guessed.
fn own_token(token: String) -> Result<String, Failure> {
    let digits = token.strip_prefix(TOKEN_KIND).and_then(|rest| rest.strip_prefix('_'));
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(is_hex)) {
        return Ok(token);
    }
    Err(Failure::invalid(
        "join.own_token",
        "the token that the agent brings is not `dya_` and 64 hexadecimal digits",
        "draw it from 32 random bytes, or leave it out and take the one that is answered",
    ))
}

/// An agent takes its invitation and becomes a pool of its provider. The same join sent again, with the
/// token that the agent has drawn, is answered as the first one was.
#[utoipa::path(post, path = "/v1/agent/join", request_body = wire::JoinRequest, security(()),
    responses((status = 201, body = wire::JoinAnswer), Problems))]
pub async fn join(
    State(app): State<Shared>,
    Body(request): Body<wire::JoinRequest>,
) -> Result<(StatusCode, Json<wire::JoinAnswer>), Failure> {
    let key = hex32("the public key", &request.public_key)?;
    let material = [b"dayan join 1\n", request.secret.as_bytes()].concat();
    if !signature_holds(&key, &material, &request.proof) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "join.proof",
            "the proof was not signed with the key that was sent",
            "let the agent make its own key",
        ));
    }
    let token = request.token.map_or_else(|| Ok(secret(TOKEN_KIND)), own_token)?;
    let command = Command::Join(Box::new(Join {
        invitation: digest(&request.secret),
        public_key: Digest(key),
        token: digest(&token),
        place: request.site,
        pool: request.pool,
        more: request.more,
        shown: shown(&request.shown)?,
    }));
    let answer = app.writer.commands_then(Actor::System, vec![command], |live, mut done| {
        let made = done.pop().expect("one command, one outcome")?;
        let Made::Agent(agent, pool) = made else { return Ok(None) };
        let named = &live.state.supply.pools[&pool];
        Ok(Some(wire::JoinAnswer {
            agent: agent.to_string(),
            pool: pool.to_string(),
            pool_name: named.name.clone(),
            crn: named.crn.to_string(),
            token,
            exchange: live.state.name.clone(),
        }))
    });
    let joined: Result<_, dayan_exchange::Refusal> = answer.await?;
    Ok((StatusCode::CREATED, Json(joined?.ok_or_else(unexpected)?)))
}

fn outcome(outcome: wire::Outcome) -> Outcome {
    match outcome {
        wire::Outcome::Exited { code } => Outcome::Exited { code },
        wire::Outcome::Signalled { signal } => Outcome::Signalled { signal },
        wire::Outcome::OutOfMemory => Outcome::OutOfMemory,
        wire::Outcome::TimeLimit => Outcome::TimeLimit,
        wire::Outcome::LeaseEnded => Outcome::LeaseEnded,
        wire::Outcome::Stopped => Outcome::Stopped,
        wire::Outcome::NodeFailure => Outcome::NodeFailure,
        wire::Outcome::Preempted => Outcome::Preempted,
        wire::Outcome::StartFailed { reason, blame: by, for_good, status } => {
            Outcome::StartFailed { reason: clip(&reason), blame: blame(by), for_good, status }
        }
        wire::Outcome::PublishFailed { reason, blame: by } => {
            Outcome::PublishFailed { reason: clip(&reason), blame: blame(by) }
        }
    }
}

const fn blame(by: wire::Blame) -> Blame {
    match by {
        wire::Blame::Site => Blame::Site,
        wire::Blame::Job => Blame::Job,
    }
}

/// What a machine says of a failure goes into the journal and to a person's terminal: one line, not
/// a book, and nothing that a terminal obeys.
pub(super) fn clip(reason: &str) -> String {
    /// Four lines of a terminal.
    const CHARS_MAX: usize = 300;
    let shown = |char: char| if char.is_control() { ' ' } else { char };
    reason.chars().take(CHARS_MAX).map(shown).collect()
}

/// Why a signed text is not read.
enum Unread {
    Signature,
    Malformed,
    Padded,
}

impl Unread {
    const fn finding(&self) -> (&'static str, &'static str) {
        match self {
            Self::Signature => ("usage.signature", "its usage was not signed with its key"),
            Self::Malformed => ("usage.malformed", "what it signed as usage is no list of records"),
            Self::Padded => ("usage.padded", "what it signed as usage is mostly not usage"),
        }
    }
}

/// A record as the agent writes it has up to 340 bytes: seven numbers of 20 digits, their names and
/// the id of the attempt. The text is kept for good, so it may not be longer than what it says.
const RECORD_BYTES_MAX: usize = 512;

/// The records a signed text holds, if the agent's signature is on it.
fn verify_usage(
    key: &Digest,
    signed: &wire::SignedUsage,
) -> Result<(Vec<wire::UsageRecord>, Evidence), Unread> {
    let material = wire::SignedUsage::material(&signed.records);
    if !signature_holds(&key.0, &material, &signed.signature) {
        return Err(Unread::Signature);
    }
    let records: Vec<wire::UsageRecord> =
        serde_json::from_str(&signed.records).map_err(|_| Unread::Malformed)?;
    if signed.records.len() > RECORD_BYTES_MAX * (records.len() + 1) {
        return Err(Unread::Padded);
    }
    let digest = Digest(Sha256::digest(&material).into());
    Ok((records, Evidence { digest }))
}

/// Does this agent stand for the value? What it does not sign is not believed.
fn is_signed(key: &Digest, value: &dayan_measure::Measurement) -> bool {
    value.signature.as_ref().is_some_and(|signed| {
        signed.key == hex::encode(key.0)
            && signature_holds(&key.0, value.material().as_bytes(), &signed.signature)
    })
}

/// What an agent says of its attempts, in its order. Several records of one attempt are judged one
/// after the other; how far the attempt is comes with the last of them.
struct News {
    agent: AgentId,
    said: Vec<AttemptNews>,
    last: BTreeMap<AttemptId, usize>,
}

impl News {
    fn fresh(&mut self, attempt: AttemptId) -> &mut AttemptNews {
        let at = self.said.len();
        self.last.insert(attempt, at);
        let agent = self.agent;
        self.said.push(AttemptNews {
            agent,
            attempt,
            seen: None,
            usage: None,
            evidence: None,
            node: None,
        });
        &mut self.said[at]
    }
    fn last_of(&mut self, attempt: AttemptId) -> &mut AttemptNews {
        match self.last.get(&attempt) {
            Some(at) => &mut self.said[*at],
            None => self.fresh(attempt),
        }
    }
}

/// The commands one sync comes to, each decided after the one before.
fn commands(
    agent: AgentId,
    key: &Digest,
    request: wire::SyncRequest,
) -> Result<Vec<Command>, Failure> {
    let mut commands = Vec::new();
    let answer = match &request.answer {
        None => None,
        Some(answer) => {
            let nonce = dayan_identity::Nonce(hex32("the nonce", &answer.nonce)?);
            Some((nonce, Digest(hex32("the digest", &answer.digest)?)))
        }
    };
    let (measured, unsigned): (Vec<_>, Vec<_>) =
        request.measured.into_iter().partition(|value| is_signed(key, value));
    if let Some(first) = unsigned.first() {
        // One finding for all of them: they come from one machine and one cause.
        let message = format!(
            "{} measured values were not signed with its key, {} first",
            unsigned.len(),
            first.attribute
        );
        commands.push(Command::Report { agent, code: "measure.signature", message });
    }
    if request.shown.is_some() || answer.is_some() || !measured.is_empty() {
        let shown = request.shown.as_ref().map(shown).transpose()?;
        commands.push(Command::PoolNews(Box::new(PoolNews { agent, shown, measured, answer })));
    }
    let mut news = News { agent, said: Vec::new(), last: BTreeMap::new() };
    if let Some(signed) = &request.usage {
        match verify_usage(key, signed) {
            Ok((records, evidence)) => {
                let records: Vec<UsageRecord> = records.into_iter().map(usage).collect();
                for record in &records {
                    let entry = news.fresh(record.attempt);
                    entry.evidence = Some(evidence);
                    entry.usage = Some(*record);
                }
                commands.push(Command::SignedUsage(Box::new(SignedUsage {
                    agent,
                    records,
                    text: signed.records.clone(),
                    signature: signed.signature.clone(),
                })));
            }
            Err(bad) => {
                let (code, message) = bad.finding();
                commands.push(Command::Report { agent, code, message: message.to_owned() });
            }
        }
    }
    for report in request.reports {
        let said = news.last_of(report.attempt);
        said.node = report.node;
        said.seen = Some(match report.seen {
            wire::Seen::Staging => Seen::Staging,
            wire::Seen::Running => Seen::Running,
            wire::Seen::Publishing => Seen::Publishing,
            wire::Seen::Lingering => Seen::Lingering,
            wire::Seen::Ended { outcome: ended } => Seen::Ended { outcome: outcome(ended) },
        });
    }
    commands.extend(news.said.into_iter().map(|news| Command::AttemptNews(Box::new(news))));
    Ok(commands)
}

fn usage(record: wire::UsageRecord) -> UsageRecord {
    let c = record.counters;
    UsageRecord {
        attempt: record.attempt,
        seq: record.seq,
        counters: Counters {
            wall_us: c.wall_us,
            cpu_us: c.cpu_us,
            memory_peak: c.memory_peak,
            read_bytes: c.read_bytes,
            write_bytes: c.write_bytes,
            energy_uj: c.energy_uj,
        },
    }
}

/// What the writer's thread hands out for one order; the rest is made outside of it.
struct Raw {
    lease: Lease,
    spec: Arc<JobSpec>,
    deadline: Option<Time>,
    scheduled_at: Option<Time>,
    org: Option<String>,
    pool: String,
    site_words: BTreeMap<String, String>,
    now: Time,
}

struct Gathered {
    pool: Option<PoolId>,
    revision: u64,
    orders: Vec<Raw>,
    forget: Vec<AttemptId>,
    challenge: Option<String>,
    want_shown: bool,
}

fn gather(live: &Live, agent: AgentId, known: u64, named: Vec<AttemptId>, shown: &str) -> Gathered {
    let state = &live.state;
    let record = state.supply.agents.get(&agent);
    let pool = record.and_then(|agent| state.supply.pools.get(&agent.pool));
    let (revision, found) = orders::since(state, agent, known);
    let orders = found
        .into_iter()
        .map(|order| Raw {
            lease: order.lease.clone(),
            spec: order.stored.spec.clone(),
            deadline: order.job.deadline,
            scheduled_at: order.job.run.map(|run| run.due),
            org: state.access.orgs.get(&order.job.org).map(|org| org.name.clone()),
            pool: pool.map(|pool| pool.name.clone()).unwrap_or_default(),
            site_words: match pool {
                Some(pool) => dayan_exchange::partitions::words(state, pool, &order.stored.spec),
                None => order.stored.spec.backend.slurm.clone(),
            },
            now: live.now,
        })
        .collect();
    let challenge =
        pool.and_then(|pool| pool.challenge.as_ref()).map(|open| open.nonce.to_string());
    // An agent tells its picture when it starts and when it changes. It is asked for where it does
    // not know what it told, or told a state that is gone (a restored backup).
    // After a wrong answer to a challenge it is asked for it again, to see line by line what changed.
    let doubted = pool.is_some_and(|pool| pool.doubted_at.is_some());
    let want_shown = shown.is_empty() || known > revision || doubted;
    Gathered {
        pool: pool.map(|pool| pool.id),
        revision,
        orders,
        forget: orders::unknown(state, agent, named),
        challenge,
        want_shown,
    }
}

fn order(raw: Raw) -> wire::LeaseOrder {
    let Raw { lease, spec, deadline, scheduled_at, org, pool, site_words, now } = raw;
    let rank = |gang: &dayan_exchange::GangLaunch| {
        // A gang's tasks are its ranks.
        lease.attempt.task.min(u32::try_from(gang.nodes.len()).unwrap_or(1).saturating_sub(1))
    };
    let gang = lease.gang.as_ref().map(|gang| {
        let rank = rank(gang);
        wire::Gang {
            rank,
            nodes: gang.nodes.as_ref().clone(),
            slot: gang.slot,
            runs: spec.launch == Launch::Each || rank == 0,
        }
    });
    let nodelist =
        gang.as_ref().map_or_else(|| vec![lease.node.clone()], |gang| gang.nodes.clone());
    let context = TaskContext {
        job: lease.attempt.job,
        task: lease.attempt.task,
        attempt: lease.attempt.attempt,
        node_rank: gang.as_ref().map_or(0, |gang| gang.rank),
        pool,
        head: nodelist.first().cloned().unwrap_or_default(),
        nodelist,
        cpus: lease.resources.cpu,
        memory: lease.resources.memory,
        deadline,
        scheduled_at,
        hostfile: None,
    };
    let save_within_us = save_within(&lease, &spec, now).map(Span::micros);
    wire::LeaseOrder {
        attempt: lease.attempt,
        env: task_env(&spec, &context).into_iter().collect(),
        node: lease.node,
        resources: lease.resources,
        cards: lease.cards.numbers().collect(),
        keep_us: lease.keep.micros(),
        time_limit_us: lease.time_limit.micros(),
        stop: lease.stop.is_some(),
        save_within_us,
        publish: matches!(lease.phase, dayan_exchange::Phase::Publishing { .. }),
        name: spec.name.clone(),
        org,
        image: spec
            .image
            .as_ref()
            .map(|name| wire::ImageOrder { name: name.clone(), project: spec.project.to_string() }),
        run: spec.run.clone(),
        steps: spec.steps.iter().map(|step| step_order(&spec, step)).collect(),
        mounts: spec
            .mounts
            .iter()
            .map(|mount| wire::MountOrder { from: mount.from.clone(), at: mount.at.clone() })
            .collect(),
        files: spec.files.clone(),
        secrets: spec.secrets.clone(),
        workdir: spec.workdir.clone(),
        inputs: spec
            .inputs
            .iter()
            .map(|input| wire::OutputOrder {
                from: input.from.to_string(),
                to: input.to.clone(),
                sha256: input.sha256.clone(),
                secret: input.secret.clone(),
                file_closed: false,
            })
            .collect(),
        outputs: spec
            .outputs
            .iter()
            .map(|output| wire::OutputOrder {
                from: output.from.clone(),
                to: output.to.to_string(),
                sha256: None,
                secret: output.secret.clone(),
                file_closed: output.when == OutputWhen::FileClosed,
            })
            .collect(),
        time_signal: spec.time_signal.map(|told| wire::TimeSignalOrder {
            signal: told.signal.as_str().to_owned(),
            before_us: told.before.micros(),
        }),
        checkpoint: spec.checkpoint.as_ref().map(|checkpoint| wire::CheckpointOrder {
            path: checkpoint.path.clone(),
            every_us: checkpoint.every.map(Span::micros),
            signal: checkpoint.signal.as_str().to_owned(),
            grace_us: checkpoint.grace.micros(),
            resume: spec.retry.resume == Resume::Checkpoint,
            exits: spec.retry.when.iter().filter_map(|cause| cause.exit_status()).collect(),
        }),
        gang,
        site_words,
        node_features: spec.placement.features.iter().cloned().collect(),
    }
}

fn step_order(spec: &dayan_spec::JobSpec, step: &dayan_spec::Step) -> wire::StepOrder {
    wire::StepOrder {
        image: wire::ImageOrder { name: step.image.clone(), project: spec.project.to_string() },
        command: step.command.clone(),
        workdir: step.workdir.clone(),
        env: step.env.clone(),
        stdin: step.stdin.clone(),
        stdout: step.stdout.clone(),
        stderr: step.stderr.clone(),
        ignore_error: step.ignore_error,
    }
}

/// How long a task that is to stop has to save its state first. What is taken back for another job
/// has what is left of its notice, what a pool goes away under has its own grace and the time to send
/// what it saved; a task that nobody wants any more, or that nobody pays for, has none.
fn save_within(lease: &Lease, spec: &JobSpec, now: Time) -> Option<Span> {
    let checkpoint = spec.checkpoint.as_ref()?;
    match lease.stop? {
        StopReason::Preempted { ends_by, .. } => Some(ends_by.since(now).max(Span::ZERO)),
        StopReason::PoolWithdrawn => Some(checkpoint.grace.plus(SENT_WITHIN)),
        StopReason::Cancelled
        | StopReason::Unfunded
        | StopReason::GangBroken
        | StopReason::GangLost => None,
    }
}

/// Files of a cache that an agent may name.
const HOLDS_MAX: usize = 1_000;

/// Tells the planner what the cache of an agent's site holds. Nothing rests on it but where work goes.
async fn take_holds(app: &Shared, agent: AgentId, holds: &BTreeSet<String>) -> Result<(), Failure> {
    let pool = app.writer.ask(move |live| live.state.supply.agents.get(&agent).map(|a| a.pool));
    let Some(pool) = pool.await? else { return Ok(()) };
    let files = holds.iter().take(HOLDS_MAX).filter_map(|file| data_key(file)).collect();
    app.planner.holds(pool, files);
    app.holders.lock().expect("nobody panics while holding it").insert(agent);
    Ok(())
}

/// Jobs of a site's in one sync at most: about 200 KB of text.
const SITE_COUNTS_MAX: usize = 500;

/// What the site's accounting counted, of attempts that nothing was told of yet, and where each of them ran.
async fn site_counted(
    app: &Shared,
    agent: AgentId,
    told: Vec<wire::SiteCounted>,
) -> Result<Vec<Command>, Failure> {
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let counts = app.read(move |reader| {
        let mut counts = Vec::new();
        for told in told.into_iter().take(SITE_COUNTS_MAX) {
            let known = reader.site_counted(&told.attempts)?;
            let mut attempts = Vec::new();
            for attempt in told.attempts.iter().filter(|attempt| !known.contains(attempt)) {
                attempts.extend(reader.attempt(*attempt)?.map(|row| (*attempt, row.pool)));
            }
            if !attempts.is_empty() {
                counts.push((attempts, told.attempts.len() as u64, told.count));
            }
        }
        Ok(counts)
    });
    let command = |(attempts, of, count): (_, _, wire::SiteCount)| {
        let count = SiteCount {
            job: clip(&count.job),
            elapsed: Span::from_micros(count.elapsed_us),
            cpu: count.cpu_us.map(Span::from_micros),
            memory_peak: count.memory_peak,
        };
        Command::SiteCounted(Box::new(SiteCounted { agent, attempts, of, count }))
    };
    Ok(counts.await?.into_iter().map(command).collect())
}

/// The agent says what it observes; the answer says what it should hold. Repeating it changes
/// nothing.
#[utoipa::path(post, path = "/v1/agent/sync", request_body = wire::SyncRequest,
    responses((status = 200, body = wire::SyncAnswer), Problems))]
pub async fn sync(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Body(mut request): Body<wire::SyncRequest>,
) -> Result<Json<wire::SyncAnswer>, Failure> {
    let agent = known.agent;
    let actor = Actor::Agent { agent };
    let wait = Duration::from_millis(request.wait_ms.into()).min(WAIT_MAX);
    let revision = request.known;
    let shown_digest = request.shown_digest.clone();
    let named: Vec<AttemptId> = request.reports.iter().map(|report| report.attempt).collect();
    app.metrics.syncs.inc();
    if let Some(holds) = &request.holds {
        take_holds(&app, agent, holds).await?;
    }
    let load = request.load.take();
    let counted = site_counted(&app, agent, std::mem::take(&mut request.site_counts)).await?;
    let mut commands = commands(agent, &known.public_key, request)?;
    commands.extend(counted);
    let brought_news = !commands.is_empty();
    let mut wakes = app.hub.watch(agent);
    wakes.borrow_and_update();
    if brought_news {
        // A newer call supersedes one that is still held back.
        app.hub.wake(agent);
        wakes.borrow_and_update();
    }
    let (names, digest) = (named.clone(), shown_digest.clone());
    let mut gathered = app
        .writer
        .commands_then(actor, commands, move |live, done| {
            for refusal in done.iter().filter_map(|done| done.as_ref().err()) {
                tracing::warn!(%agent, code = %refusal.code, "{refusal}");
            }
            gather(live, agent, revision, names, &digest)
        })
        .await?;
    if let (Some(load), Some(pool)) = (load, gathered.pool) {
        app.planner.others(pool, app.loads.note(pool, load, app.now()));
    }
    if revision == 0 && gathered.revision > 0 {
        app.hub.ask_again(agent);
    }
    let mut logs = app.hub.take_asks(agent);
    let mut execs = app.hub.take_execs(agent);
    let nothing = |gathered: &Gathered| {
        gathered.revision == revision
            && gathered.forget.is_empty()
            && gathered.challenge.is_none()
            && !gathered.want_shown
    };
    if !wait.is_zero() && logs.is_empty() && execs.is_empty() && nothing(&gathered) {
        // Whether it was woken or the time is over, it looks once more.
        drop(tokio::time::timeout(wait, wakes.changed()).await);
        gathered = app
            .writer
            .commands_then(actor, Vec::new(), move |live, _| {
                gather(live, agent, revision, named, &shown_digest)
            })
            .await?;
        logs = app.hub.take_asks(agent);
        execs = app.hub.take_execs(agent);
    }
    Ok(Json(wire::SyncAnswer {
        revision: gathered.revision,
        orders: gathered.orders.into_iter().map(order).collect(),
        forget: gathered.forget,
        challenge: gathered.challenge,
        logs,
        execs,
        want_shown: gathered.want_shown,
        want_holds: !app.holders.lock().expect("nobody panics while holding it").contains(&agent),
        usage_every_ms: app.usage_every_ms,
    }))
}

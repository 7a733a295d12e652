//! `dayan demo`: everything on this machine. An exchange, the agents of three providers, four
//! consumers with money, their real jobs, and at the end the bills and the books.
//!
//! It does by the public API and the ordinary commands what people would do by hand, so what it
//! shows is what there is. The data folder stays: `dayan serve --data DIR/exchange` opens it again.

mod agents;
mod folder;
mod report;
mod watch;
mod work;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use dayan_server::{ServeConfig, Serving, TlsMode};
use tokio::sync::oneshot;

use self::folder::Folder;
use super::daemon;
use super::serve::usual_settings;
use super::session::Session;
use crate::client::{Client, JobFilter, Order};
use crate::config::{Target, parse_url};
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// How long the whole may take; on two cores it takes about two minutes.
const WITHIN: Duration = Duration::from_mins(10);
/// How long tasks are waited for that were called off.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(200);
/// More than a demo has.
const JOBS_MAX: usize = 100;
/// How often running attempts tell their use: often, because the demo is short.
const USAGE_EVERY: Duration = Duration::from_secs(2);

/// Shows everything on this machine: an exchange, agents, organisations, real jobs, bills
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// End with the last job, instead of staying to be looked at
    #[arg(long)]
    exit_when_done: bool,
    /// Where everything is kept, the pictures too; a new folder here unless told
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    log: daemon::Log,
}

/// Runs it.
pub async fn run(args: &Demo, session: &Session) -> Result<Exit, Failure> {
    let programs = folder::programs()?;
    let folder = Folder::new(args.data.as_deref())?;
    args.log.begin_quietly();
    let mut told = Box::pin(daemon::told_to_stop()?);
    let exchange = Exchange::start(&folder).await?;
    let said = Said::with(Word::DemoStarts, "url", &exchange.url);
    session.out.say(&said.and("dir", folder.shown()));

    let outcome = {
        let mut show = std::pin::pin!(show(&exchange, &folder, &programs, session));
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(WITHIN, &mut show) => Some(outcome.unwrap_or_else(|_| {
                let said = Said::with(Word::DemoTooSlow, "s", WITHIN.as_secs().to_string());
                Err(Failure::local(said, folder.shown()))
            })),
            () = &mut told => None,
        };
        if !matches!(outcome, Some(Ok(_))) {
            // While the agents are still there: tasks outlive them.
            call_off(&exchange, session).await;
        }
        outcome
    };
    let (agents, exit) = match outcome {
        Some(Ok(done)) => done,
        Some(Err(failure)) => {
            exchange.stop().await;
            return Err(failure);
        }
        None => {
            exchange.stop().await;
            session.out.say(&Said::plain(Word::Stopped));
            return Ok(Exit::Failed);
        }
    };
    if !args.exit_when_done {
        session.out.say(
            &Said::with(Word::DemoStays, "url", &exchange.url)
                .and("token", exchange.operator_token.display().to_string()),
        );
        told.await;
    }
    agents.stop().await;
    exchange.stop().await;
    session.out.say(&Said::with(Word::DemoAgain, "dir", folder.exchange().display().to_string()));
    Ok(exit)
}

/// Cancels all jobs and waits until nothing of them runs. What cannot be done is left to the leases.
async fn call_off(exchange: &Exchange, session: &Session) {
    let Ok(secret) = exchange.operator_secret() else { return };
    let Ok(operator) = exchange.client(&secret, session) else { return };
    let over = async {
        loop {
            let jobs = operator.jobs(&JobFilter::default(), JOBS_MAX).await?;
            let going =
                jobs.iter().filter(|job| matches!(&*job.state, "queued" | "running" | "paused"));
            let mut left = 0;
            for job in going {
                operator.order(&job.id, Order::Cancel, None).await?;
                left += 1;
            }
            if left == 0 {
                return Ok::<_, Failure>(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(ENDED_WITHIN, over).await;
}

/// From an empty exchange to the table at the end.
async fn show(
    exchange: &Exchange,
    folder: &Folder,
    programs: &folder::Programs,
    session: &Session,
) -> Result<(agents::Agents, Exit), Failure> {
    let began = tokio::time::Instant::now();
    let operator = exchange.client(&exchange.operator_secret()?, session)?;
    let world = world::found(&operator, exchange, session).await?;
    session.out.say(&Said::plain(Word::DemoAgentsJoin));
    let agents = agents::start(&operator, &world, exchange, folder, session).await?;
    session.out.say(&Said::plain(Word::DemoWorkBegins));
    let jobs = work::run(&world, &agents, programs, session).await?;
    let report = report::make(&operator, &world, &jobs, folder, began.elapsed()).await?;
    session.out.show(&report)?;
    let exit = if report.is_good() { Exit::Ok } else { Exit::Failed };
    Ok((agents, exit))
}

/// The exchange of the demo, served by a task of this process.
pub struct Exchange {
    url: String,
    operator_token: PathBuf,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), dayan_server::ServeFault>>,
}

impl Exchange {
    async fn start(folder: &Folder) -> Result<Self, Failure> {
        let config = ServeConfig {
            data: folder.exchange(),
            database_url: None,
            // This machine only, on a port that is free.
            listen: ([127, 0, 0, 1], 0).into(),
            tls: TlsMode::Off,
            name: "demo".to_owned(),
            settings: usual_settings(),
            usage_every: USAGE_EVERY,
            links: None,
            logs: dayan_server::LogLimits::DEFAULT,
            data_store: None,
            data_place: None,
            data_per_project: dayan_server::PROJECT_BYTES_DEFAULT,
        };
        let (tell, ready) = oneshot::channel::<Serving>();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut ended = tokio::spawn(dayan_server::serve(
            config,
            move |serving| drop(tell.send(serving.clone())),
            // A dropped sender stops it too: it does not outlive the demo.
            async move { drop(stopped.await) },
        ));
        let fault = |why: String| Failure::local(Said::plain(Word::Serving), why);
        let serving = tokio::select! {
            serving = ready => serving.map_err(|error| fault(error.to_string()))?,
            early = &mut ended => return Err(fault(match early {
                Ok(Ok(())) => "it stopped before it answered".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            })),
        };
        Ok(Self { url: serving.url, operator_token: serving.operator_token, stop, ended })
    }

    fn operator_secret(&self) -> Result<String, Failure> {
        let path = &self.operator_token;
        let said = || Said::with(Word::ReadingFile, "file", path.display().to_string());
        let text = std::fs::read_to_string(path).map_err(|e| Failure::local(said(), e))?;
        Ok(text.trim().to_owned())
    }

    /// A connection with a token.
    fn client(&self, token: &str, session: &Session) -> Result<Client, Failure> {
        let url = parse_url(&self.url)?;
        let target = Target { url, token: Some(token.to_owned()), fingerprint: None };
        Client::new(target, session.out.view.lang)
    }

    async fn stop(self) {
        drop(self.stop);
        // How it ended changes nothing any more: what was acknowledged is committed.
        drop(self.ended.await);
    }
}

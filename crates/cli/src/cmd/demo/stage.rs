//! The stage: the processes, the organisations, the money, the prices.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dayan_units::{Bytes, MilliCpu};
use dayan_wire as wire;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::session::Session;
use super::jobs::{CONSUMERS, Consumer, SITES, Site};
use crate::client::Client;
use crate::config::Target;
use crate::exit::{Failure, Said};
use crate::words::Word;

/// How long a process of ours may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);
/// How long one may take to end when it is told to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at something that is about to happen.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everything the play needs.
pub struct Stage {
    /// Where the exchange answers.
    pub url: String,
    /// The operator's token is in this file.
    pub operator_token: PathBuf,
    /// Where outputs are published.
    pub pictures: PathBuf,
    /// The machine's cores, shared among the sites.
    pub cores: MilliCpu,
    /// As the operator.
    pub operator: Client,
    /// As each consumer, in their order.
    pub consumers: Vec<Client>,
    children: Vec<Child>,
}

fn fault(doing: Word, why: impl std::fmt::Display) -> Failure {
    Failure::local(Said::plain(doing), why.to_string())
}

fn client(url: &str, token: &str, session: &Session) -> Result<Client, Failure> {
    let url = url.parse().map_err(|why| fault(Word::DemoStarting, why))?;
    let target = Target { url, token: Some(token.to_owned()), fingerprint: None };
    Client::new(target, session.out.view.lang)
}

impl Stage {
    /// Builds it: a running exchange with three active sites and four consumers with money.
    pub async fn build(data: &Path, listen: SocketAddr, session: &Session) -> Result<Self, Failure> {
        let data = std::path::absolute(data).map_err(|why| fault(Word::DemoStarting, why))?;
        std::fs::create_dir_all(&data).map_err(|why| fault(Word::DemoStarting, why))?;
        session.out.say(&Said::with(Word::DemoBegins, "data", data.display().to_string()));
        let mut children = Vec::new();
        let url = start_exchange(&data, listen, &mut children).await?;
        let operator_token = data.join("exchange").join("operator.token");
        let token = std::fs::read_to_string(&operator_token)
            .map_err(|why| fault(Word::DemoStarting, why))?;
        let operator = client(&url, token.trim(), session)?;
        let pictures = data.join("pictures");
        let cores = usable_cores();
        let mut stage = Self {
            url,
            operator_token,
            pictures,
            cores,
            operator,
            consumers: Vec::new(),
            children,
        };
        for consumer in &CONSUMERS {
            let client = stage.admit(consumer, session).await?;
            stage.consumers.push(client);
        }
        for site in &SITES {
            stage.open(site, &data).await?;
        }
        for site in &SITES {
            stage.list(site).await?;
        }
        session.out.say(&Said::with(Word::DemoReady, "url", &stage.url));
        Ok(stage)
    }

    /// A consumer with money, a project and someone who submits.
    async fn admit(&self, consumer: &Consumer, session: &Session) -> Result<Client, Failure> {
        let known = self.operator.orgs().await?;
        if !known.iter().any(|org| org.name == consumer.org) {
            let org = wire::NewOrg {
                name: consumer.org.to_owned(),
                class: "external".to_owned(),
                credit: "0".to_owned(),
            };
            self.operator.create_org(&org).await?;
            let deposit = wire::Deposit {
                amount: consumer.money.to_owned(),
                reference: format!("demo {}", consumer.org),
            };
            self.operator.deposit(consumer.org, &deposit).await?;
            let budget = wire::BudgetLimits {
                per_day: Some("100.00".to_owned()),
                ..wire::BudgetLimits::default()
            };
            let project = wire::NewProject { path: consumer.project.to_owned(), budget };
            self.operator.create_project(&project).await?;
            let user = wire::NewUser {
                org: consumer.org.to_owned(),
                name: "submitter".to_owned(),
                role: "member".to_owned(),
            };
            self.operator.create_user(&user).await?;
        }
        let users = self.operator.users(Some(consumer.org)).await?;
        let user = users.first().ok_or_else(|| fault(Word::DemoStarting, "a user is missing"))?;
        let token = wire::NewToken {
            user: user.id.clone(),
            label: "demo".to_owned(),
            expires_in: None,
        };
        let issued = self.operator.issue_token(&token).await?;
        client(&self.url, &issued.secret, session)
    }

    /// A provider's site: its agent joins as any provider's would.
    async fn open(&mut self, site: &Site, data: &Path) -> Result<(), Failure> {
        let folder = data.join(site.provider);
        let joined = folder.join("agent.json").exists();
        let mut join = None;
        if !joined {
            let org = wire::NewOrg {
                name: site.provider.to_owned(),
                class: "partner".to_owned(),
                credit: "0".to_owned(),
            };
            self.operator.create_org(&org).await?;
            let provider = wire::NewProvider {
                org: site.provider.to_owned(),
                name: site.provider.to_owned(),
                credit_code: None,
            };
            let provider = self.operator.apply_provider(&provider).await?;
            for status in ["verified", "active"] {
                self.operator.set_provider_status(&provider.id, status).await?;
            }
            join = Some(self.operator.invite(&provider.id, &wire::NewInvitation::default()).await?.token);
        }
        let share = |whole: u64| whole * site.share_permille / 1_000;
        let cpus = MilliCpu(share(self.cores.0));
        let memory = Bytes(share(usable_memory()));
        let mut command = program(&folder.with_extension("log"))?;
        command.args(["agent", "--engine", "process", "--url", &self.url]);
        command.args(["--site", site.city, "--pool", "main", "--node", site.provider]);
        command.args(["--cpus", &cpus.to_string(), "--memory", &format!("{}B", memory.0)]);
        command.arg("--data").arg(&folder).arg("--publish-root").arg(&self.pictures);
        command.args(["--measure", "off"]);
        if let Some(token) = join {
            command.env("DAYAN_JOIN", token);
        }
        let child = command.spawn().map_err(|why| fault(Word::DemoStarting, why))?;
        self.children.push(child);
        Ok(())
    }

    /// Waits until the site's pool has proven itself, and lists its price.
    async fn list(&self, site: &Site) -> Result<(), Failure> {
        let waited = tokio::time::timeout(BEGIN_WITHIN, async {
            loop {
                let pools = self.operator.pools().await?;
                let active = |pool: &&wire::Pool| {
                    pool.provider == site.provider && pool.status == "active" && pool.heard_at.is_some()
                };
                if let Some(pool) = pools.iter().find(active) {
                    return Ok::<_, Failure>(pool.id.clone());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        let pool = waited.await.map_err(|_| fault(Word::DemoStarting, "a site does not join"))??;
        let offers = self.operator.offers().await?;
        if offers.iter().any(|offer| offer.pool == pool) {
            return Ok(());
        }
        let offer = wire::NewOffer {
            pool,
            core_hour: site.core_hour.to_owned(),
            gb_hour: Some(site.gb_hour.to_owned()),
            card_hour: None,
            accelerator: None,
            minimum: 1,
            classes: std::collections::BTreeMap::new(),
            expires_in: None,
        };
        self.operator.create_offer(&offer).await?;
        Ok(())
    }

    /// Ends every process, agents first.
    pub async fn stop(&mut self) {
        while let Some(mut child) = self.children.pop() {
            if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                drop(rustix::process::kill_process(pid, rustix::process::Signal::TERM));
            }
            if tokio::time::timeout(END_WITHIN, child.wait()).await.is_err() {
                drop(child.kill().await);
            }
        }
    }
}

/// This program, its words going to a file, with the example workloads beside it in its PATH.
fn program(log: &Path) -> Result<Command, Failure> {
    let started = |why: std::io::Error| fault(Word::DemoStarting, why);
    let program = std::env::current_exe().map_err(started)?;
    let mut path = program.parent().map(std::ffi::OsString::from).unwrap_or_default();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let log = std::fs::File::create(log).map_err(started)?;
    let mut command = Command::new(program);
    command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log).kill_on_drop(true);
    for name in ["DAYAN_URL", "DAYAN_TOKEN", "DAYAN_DATABASE_URL"] {
        command.env_remove(name);
    }
    Ok(command)
}

async fn start_exchange(
    data: &Path,
    listen: SocketAddr,
    children: &mut Vec<Child>,
) -> Result<String, Failure> {
    let mut command = program(&data.join("exchange.log"))?;
    command.args(["serve", "-o", "json", "--name", "guizhou-demo", "--usage-every", "5s"]);
    command.arg("--data").arg(data.join("exchange"));
    command.args(["--listen", &listen.to_string()]);
    command.stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|why| fault(Word::DemoStarting, why))?;
    let stdout = child.stdout.take().expect("it is piped");
    children.push(child);
    let mut reader = BufReader::new(stdout);
    let mut told = String::new();
    let read = async {
        // The announcement is one JSON object, on one line or several.
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).await? == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            told.push_str(&line);
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&told) {
                return Ok(value["url"].as_str().map(str::to_owned));
            }
        }
    };
    let url = tokio::time::timeout(BEGIN_WITHIN, read).await;
    url.ok()
        .and_then(Result::ok)
        .flatten()
        .ok_or_else(|| fault(Word::DemoStarting, "the exchange does not start; see exchange.log"))
}

fn usable_cores() -> MilliCpu {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    MilliCpu(cores as u64 * 1_000)
}

/// Half of the machine's memory: the other half is for whoever sits at it.
fn usable_memory() -> u64 {
    const UNKNOWN: u64 = 4_000_000_000;
    let info = rustix::system::sysinfo();
    let total = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    if total == 0 { UNKNOWN } else { total / 2 }
}

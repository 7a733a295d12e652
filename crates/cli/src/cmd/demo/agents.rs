//! The agents of the demo's providers: real ones, each a process with a folder of its own, each
//! offering its share of this machine so that nothing is sold twice.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use dayan_units::{Bytes, MilliCpu};
use dayan_wire::{NewInvitation, NewOffer, Pool};
use tokio::process::{Child, Command};

use super::Exchange;
use super::folder::Folder;
use super::world::{Seller, World};
use crate::client::Client;
use crate::cmd::session::Session;
use crate::cmd::supply::shown_cores;
use crate::exit::{Failure, Said};
use crate::words::Word;

/// How often we look whether an agent has joined and proven its inventory.
const LOOK: Duration = Duration::from_millis(200);
/// How long joining and the first proof may take on a busy machine.
const JOINED_WITHIN: Duration = Duration::from_mins(1);
/// How long an agent that was told to stop is waited for before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Each agent offers a part of the memory that is free, all together three quarters of it: the
/// rest is for the exchange and the machine.
const MEMORY_SHARE: u64 = 4;
/// What an agent offers at least: one of the demo's tasks for each of its smallest slots.
const MEMORY_MIN: Bytes = Bytes(2_000_000_000);

/// The running agents.
pub struct Agents {
    children: Vec<(Seller, Child)>,
    /// Cores of the smallest share.
    pub least: MilliCpu,
}

/// Starts an agent for each seller, waits until all may take work, and lists their prices.
pub async fn start(
    operator: &Client,
    world: &World,
    exchange: &Exchange,
    folder: &Folder,
    session: &Session,
) -> Result<Agents, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::local(Said::plain(Word::StartingUp), error))?;
    let mut children = Vec::new();
    for (seller, provider) in &world.sellers {
        let invitation = operator.invite(provider, &NewInvitation::default()).await?;
        let mut command = Command::new(&program);
        command
            .args(["agent", "--url", &exchange.url, "--engine", "process", "--measure", "quick"])
            .args(["--site", seller.site, "--pool", seller.pool, "--node", seller.pool])
            .args(["--cpus", &cores(seller).to_string(), "--nodes", &seller.nodes.to_string()])
            .args(["--memory", &format!("{}B", memory().0)])
            .arg("--data")
            .arg(folder.agent(seller.pool))
            .arg("--publish-root")
            .arg(folder.results())
            .env("DAYAN_JOIN", &invitation.token);
        children.push((*seller, spawn(command, folder, seller)?));
    }
    let mut agents = Agents { children, least: least() };
    let pools = agents.joined(operator, folder).await?;
    for pool in &pools {
        list(operator, pool).await?;
        session.out.say(
            &Said::with(Word::DemoPool, "pool", &pool.name)
                .and("site", &pool.site)
                .and("cpus", shown_cores(pool).to_string()),
        );
    }
    Ok(agents)
}

fn spawn(mut command: Command, folder: &Folder, seller: &Seller) -> Result<Child, Failure> {
    let path = folder.agent_log(seller.pool);
    let doing = || Said::with(Word::WritingFile, "file", path.display().to_string());
    let failed = |error: std::io::Error| Failure::local(doing(), error);
    std::fs::create_dir_all(folder.agent(seller.pool)).map_err(failed)?;
    let log = File::create(&path).map_err(failed)?;
    let also = log.try_clone().map_err(failed)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(also))
        // The keyboard's interrupt is for us; we tell the agents in our own order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::local(Said::plain(Word::StartingUp), error))
}

/// A seller's share of this machine.
fn cores(seller: &Seller) -> MilliCpu {
    MilliCpu(machine().0 * seller.share_permille / 1_000)
}

fn machine() -> MilliCpu {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    MilliCpu(cores as u64 * 1_000)
}

fn least() -> MilliCpu {
    super::world::SELLERS.iter().map(cores).min().unwrap_or(MilliCpu::ZERO)
}

/// A share of the memory that is free now.
fn memory() -> Bytes {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .unwrap_or(0);
    Bytes((free * 1_024 / MEMORY_SHARE).max(MEMORY_MIN.0))
}

async fn list(operator: &Client, pool: &Pool) -> Result<(), Failure> {
    let Some(seller) = super::world::SELLERS.iter().find(|seller| seller.pool == pool.name) else {
        return Ok(());
    };
    let offer = NewOffer {
        pool: pool.id.clone(),
        core_hour: seller.core_hour.to_owned(),
        gb_hour: Some(seller.gb_hour.to_owned()),
        card_hour: None,
        accelerator: None,
        hours: None,
        minimum: 0,
        classes: std::collections::BTreeMap::new(),
        spot: None,
        expires_in: None,
    };
    operator.create_offer(&offer).await.map(drop)
}

impl Agents {
    /// Waits until the pools of all agents may take work.
    async fn joined(&mut self, operator: &Client, folder: &Folder) -> Result<Vec<Pool>, Failure> {
        let began = tokio::time::Instant::now();
        loop {
            let pools = operator.pools().await?;
            let active = pools.iter().filter(|pool| pool.status == "active").count();
            if active >= self.children.len() {
                return Ok(pools);
            }
            for (seller, child) in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(agent_failed(folder, seller, &status.to_string()));
                }
            }
            if began.elapsed() > JOINED_WITHIN {
                let late = self.children.iter().find(|(seller, _)| {
                    !pools.iter().any(|pool| pool.name == seller.pool && pool.status == "active")
                });
                let seller = late.map_or(&super::world::SELLERS[0], |(seller, _)| seller);
                return Err(agent_failed(folder, seller, "it has not joined in time"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells them to stop, and waits for it.
    pub async fn stop(self) {
        for (_, child) in &self.children {
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
                // One that is gone already needs no signal.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for (_, mut child) in self.children {
            let _ = tokio::time::timeout(STOP_WITHIN, child.wait()).await;
        }
    }
}

fn agent_failed(folder: &Folder, seller: &Seller, why: &str) -> Failure {
    let log = folder.agent_log(seller.pool).display().to_string();
    Failure::local(Said::with(Word::DemoAgentFailed, "pool", seller.pool).and("log", log), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::demo::world::SELLERS;

    #[test]
    fn no_core_is_offered_twice() {
        let all: u64 = SELLERS.iter().map(|seller| seller.share_permille).sum();
        assert_eq!(all, 1_000);
        let sum: u64 = SELLERS.iter().map(|seller| cores(seller).0).sum();
        assert!(sum <= machine().0);
        assert!(least().0 > 0);
    }
}

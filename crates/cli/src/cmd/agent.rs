//! `dayan agent`: offers this machine to an exchange and runs what it is given.

use std::path::PathBuf;

use dayan_agent::{AgentConfig, AgentFault, EngineChoice, IsolationChoice, Measuring};
use dayan_engines::SimulatedEngine;
use dayan_units::{Bytes, MilliCpu, Resources};
use dayan_wire::ShownNode;

use super::daemon;
use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// Simulated nodes of one agent: what one is built to stand for.
const SIMULATED_NODES_MAX: i64 = 10_000;
/// A simulated node that nobody describes.
const SIMULATED_CPUS: MilliCpu = MilliCpu(64_000);
/// A simulated node that nobody describes.
const SIMULATED_MEMORY: Bytes = Bytes(256_000_000_000);

/// Offers this machine to an exchange and runs what it is given
#[derive(Debug, clap::Args)]
pub struct Agent {
    /// The exchange's address
    #[arg(long, env = "DAYAN_URL")]
    url: String,
    /// A join token from `dayan provider invite`; not needed once joined
    #[arg(long, value_name = "TOKEN", env = "DAYAN_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// What runs the tasks; `simulated` executes nothing and is for trying out an exchange
    #[arg(long, default_value = "process", value_parser = ["process", "simulated"])]
    engine: String,
    /// The city of the data centre, needed to join
    #[arg(long, value_name = "CITY")]
    site: Option<String>,
    /// The pool's name at the site; the node's name unless told
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// This machine's name in the pool; its host name unless told
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Offer at most so many cores
    #[arg(long, value_name = "N")]
    cpus: Option<MilliCpu>,
    /// Offer at most so much memory, such as 64GB
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Shows this machine as so many equal nodes that share --cpus and --memory, so that a gang can run
    /// on one; with the simulated
    /// engine: how many nodes it stands for, --cpus and --memory being of each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=SIMULATED_NODES_MAX))]
    nodes: u32,
    /// Where it keeps its key, its token, its tasks and their logs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where outputs are published and inputs found; without it the pool does not copy data
    #[arg(long, value_name = "DIR")]
    publish_root: Option<PathBuf>,
    /// A further folder that inputs may be taken from
    #[arg(long = "input-root", value_name = "DIR")]
    input_roots: Vec<PathBuf>,
    /// Whether it measures the machine after joining
    #[arg(long, default_value = "quick", value_parser = ["quick", "off"])]
    measure: String,
    /// Keeps tasks apart from the machine by namespaces; `best` does so where bubblewrap works
    #[arg(long, default_value = "none", value_parser = ["none", "bubblewrap", "best"])]
    isolation: String,
    #[command(flatten)]
    log: daemon::Log,
}

impl Agent {
    fn engine(&self) -> Result<EngineChoice, Failure> {
        if self.engine == "simulated" {
            let nodes = (1..=self.nodes).map(|number| self.simulated_node(number)).collect();
            let open: dayan_agent::OpenEngine =
                Box::new(|| SimulatedEngine::new().map(|engine| Box::new(engine) as _));
            return Ok(EngineChoice::Given { open, nodes });
        }
        EngineChoice::process()
            .map_err(|error| Failure::local(Said::plain(Word::StartingUp), error))
    }

    fn simulated_node(&self, number: u32) -> ShownNode {
        let base = self.node.as_deref().unwrap_or("simulated");
        ShownNode {
            name: format!("{base}-{number}"),
            total: Resources {
                cpu: self.cpus.unwrap_or(SIMULATED_CPUS),
                memory: self.memory.unwrap_or(SIMULATED_MEMORY),
                ..Resources::ZERO
            },
            accelerator: None,
            up: true,
        }
    }

    fn config(&self, session: &Session) -> Result<AgentConfig, Failure> {
        let data = daemon::data_dir(self.data.as_ref(), "agent", session)?;
        Ok(AgentConfig {
            join: self.join.clone(),
            site: self.site.clone(),
            pool: self.pool.clone(),
            node: self.node.clone(),
            cpus: self.cpus,
            memory: self.memory,
            parts: std::num::NonZeroU32::new(self.nodes).unwrap_or(std::num::NonZeroU32::MIN),
            publish_root: self.publish_root.clone(),
            input_roots: self.input_roots.clone(),
            isolation: match self.isolation.as_str() {
                "bubblewrap" => IsolationChoice::Bubblewrap,
                "best" => IsolationChoice::Best,
                _ => IsolationChoice::None,
            },
            measure: if self.measure == "off" { Measuring::Off } else { Measuring::Quick },
            ..AgentConfig::new(self.url.clone(), data, self.engine()?)
        })
    }
}

/// Runs it.
pub async fn run(args: &Agent, session: &Session) -> Result<Exit, Failure> {
    let config = args.config(session)?;
    args.log.begin();
    let stop = daemon::told_to_stop()?;
    session.out.say(
        &Said::with(Word::AgentStarts, "url", &config.url)
            .and("data", config.data.display().to_string()),
    );
    dayan_agent::run(config, stop).await.map_err(ended)?;
    session.out.say(&Said::plain(Word::AgentStopped));
    Ok(Exit::Ok)
}

/// An agent's fault has a code and says what to do; it only needs an exit code.
fn ended(fault: AgentFault) -> Failure {
    let exit = match &fault {
        AgentFault::NotJoined
        | AgentFault::JoinToken
        | AgentFault::Url(_)
        | AgentFault::Isolation(_) => Exit::Usage,
        AgentFault::JoinRefused(_) => Exit::Refused,
        AgentFault::Unreachable(_) => Exit::Unreachable,
        AgentFault::Data { .. }
        | AgentFault::Busy(_)
        | AgentFault::State { .. }
        | AgentFault::Engine(_)
        | AgentFault::Broken(_) => Exit::Failed,
    };
    Failure::Told { text: format!("{:#}", anyhow::Error::from(fault)), exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_end_has_a_code() {
        let check = |fault, expect| assert_eq!(ended(fault).exit(), expect);
        check(AgentFault::NotJoined, Exit::Usage);
        check(AgentFault::JoinRefused("used".to_owned()), Exit::Refused);
        check(AgentFault::Unreachable("no route".to_owned()), Exit::Unreachable);
        check(AgentFault::Busy(PathBuf::from("/x")), Exit::Failed);
    }
}

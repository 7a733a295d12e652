//! A real exchange in a process of its own, set up through its API.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::load::Connection;

/// How long anything of ours may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_mins(1);

/// An exchange that runs.
pub struct Exchange {
    program: PathBuf,
    folder: PathBuf,
    server: Child,
    agents: Vec<Child>,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// The operator's token.
    pub operator: String,
}

impl Exchange {
    /// Starts one in a folder, new or old.
    pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("exchange");
        let log = std::fs::File::create(folder.join("server.log"))?;
        let mut server = Command::new(program)
            .args([
                "serve",
                "-o",
                "json",
                "--listen",
                "127.0.0.1:0",
                "--usage-every",
                "10s",
                "--data",
            ])
            .arg(&data)
            .env_remove("DAYAN_DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut lines = BufReader::new(server.stdout.take().context("piped")?);
        let mut text = String::new();
        let url = tokio::time::timeout(BEGIN_WITHIN, async {
            loop {
                if lines.read_line(&mut text).await? == 0 {
                    bail!("the server ended; see {}", folder.join("server.log").display());
                }
                if let Ok(value) = serde_json::from_str::<Value>(&text) {
                    return Ok(value["url"].as_str().unwrap_or_default().to_owned());
                }
            }
        })
        .await??;
        let address = url.strip_prefix("http://").context("plain HTTP")?.to_owned();
        let operator = std::fs::read_to_string(data.join("operator.token"))?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            server,
            agents: Vec::new(),
            address,
            operator: operator.trim().to_owned(),
        })
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.id().unwrap_or(0)
    }

    /// A connection with the operator's token.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.address, &self.operator).await
    }

    /// A consumer with money and a project; gives back a member's token.
    pub async fn consumer(&self, project: &str) -> anyhow::Result<String> {
        let mut api = self.connect().await?;
        let (org, _) = project.split_once('/').context("a path")?;
        api.post("/v1/orgs", &json!({ "name": org })).await?;
        let money = json!({ "amount": "1000000.00 CNY", "reference": "bench" });
        api.post(&format!("/v1/orgs/{org}/deposits"), &money).await?;
        api.post("/v1/projects", &json!({ "path": project })).await?;
        let user = json!({ "org": org, "name": "m", "role": "member" });
        let user = api.post("/v1/users", &user).await?;
        let token = api.post("/v1/tokens", &json!({ "user": user["id"] })).await?;
        Ok(token["secret"].as_str().context("a secret")?.to_owned())
    }

    /// An active provider without machines; gives back its id.
    pub async fn founded_provider(&self, name: &str) -> anyhow::Result<String> {
        let mut api = self.connect().await?;
        api.post("/v1/orgs", &json!({ "name": name })).await?;
        let provider = api.post("/v1/providers", &json!({ "org": name, "name": name })).await?;
        let id = provider["id"].as_str().context("an id")?.to_owned();
        for status in ["verified", "active"] {
            let path = format!("/v1/providers/{id}/status");
            api.post(&path, &json!({ "status": status })).await?;
        }
        Ok(id)
    }

    /// A join token of that provider.
    pub async fn invite(&self, api: &mut Connection, provider: &str) -> anyhow::Result<String> {
        let path = format!("/v1/providers/{provider}/invitations");
        let invitation = api.post(&path, &json!({})).await?;
        Ok(invitation["token"].as_str().context("a token")?.to_owned())
    }

    /// A provider with one agent, started with these options, active, with a listed price.
    pub async fn provider(&mut self, name: &str, options: &[&str]) -> anyhow::Result<()> {
        let provider = self.founded_provider(name).await?;
        let mut api = self.connect().await?;
        let token = self.invite(&mut api, &provider).await?;
        let log = std::fs::File::create(self.folder.join(format!("agent-{name}.log")))?;
        let agent = Command::new(&self.program)
            .args(["agent", "--site", "Guiyang", "--measure", "off", "--pool", name])
            .args(options)
            .arg("--data")
            .arg(self.folder.join(format!("agent-{name}")))
            .env("DAYAN_URL", format!("http://{}", self.address))
            .env("DAYAN_JOIN", token)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.agents.push(agent);
        let pool = tokio::time::timeout(BEGIN_WITHIN, async {
            loop {
                let pools = api.get("/v1/pools").await?;
                let pools = pools["items"].as_array().cloned().unwrap_or_default();
                let mine = |pool: &&Value| pool["provider"] == name && pool["status"] == "active";
                if let Some(pool) = pools.iter().find(mine) {
                    return anyhow::Ok(pool["id"].as_str().unwrap_or_default().to_owned());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await??;
        let offer = json!({ "pool": pool, "core_hour": "0.10", "gb_hour": "0.01", "minimum": 1 });
        api.post("/v1/offers", &offer).await?;
        Ok(())
    }

    /// The process ids of the agents.
    pub fn agent_pids(&self) -> Vec<u32> {
        self.agents.iter().filter_map(Child::id).collect()
    }

    /// Ends it as an operator would.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for mut child in self.agents.drain(..).chain([self.server]) {
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).context("it runs")?;
            let pid = rustix::process::Pid::from_raw(pid).context("a pid")?;
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            let ended = tokio::time::timeout(BEGIN_WITHIN, child.wait()).await??;
            ensure!(ended.success(), "it ended with {ended}");
        }
        Ok(())
    }
}

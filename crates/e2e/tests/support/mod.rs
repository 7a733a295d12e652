//! The real program as processes: an exchange, an agent, and the command line as the client.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before the test gives up on it. Loaded machines are slow; a test
/// that waits on a condition loses nothing by patience.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The program under test, as `make test` builds it.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let program = folder.join("dayan");
    assert!(program.exists(), "{} is not built: cargo build --bins", program.display());
    program
}

/// Looks again and again until there is an answer.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        if let Some(answer) = look() {
            return answer;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    panic!("waited {PATIENCE:?} for {what}");
}

/// An exchange and an agent in a folder of their own.
pub struct Stage {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
    agent: Option<Child>,
    operator: String,
    /// A member of the consumer `lab`.
    pub member: String,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn kill(child: &mut Child) {
    child.kill().expect("it runs");
    child.wait().expect("it ended");
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in [&mut self.agent, &mut self.server].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What the keeper still runs ends with its leases; these are short.
    }
}

impl Stage {
    /// A running exchange with a consumer that has money and a provider's pool with a price.
    pub fn build(cpus: &str) -> Self {
        let mut stage = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            server: None,
            agent: None,
            operator: String::new(),
            member: String::new(),
        };
        stage.start_server();
        let token = stage.path("exchange/operator.token");
        stage.operator = until("an answer to the operator", || {
            let token = std::fs::read_to_string(&token).ok()?.trim().to_owned();
            stage.run(&token, &["whoami"]).status.success().then_some(token)
        });
        for args in [
            "org create lab",
            "project create lab/demo",
            "user create m --org lab --role member",
            "org create dc",
            "provider apply dc --org dc",
            "provider verify dc",
            "provider activate dc",
        ] {
            stage.operate(&args.split(' ').collect::<Vec<_>>());
        }
        stage.operate(&["org", "deposit", "lab", "1000.00 CNY", "--reference", "wire 1"]);
        let token = stage.operate(&["token", "issue", "lab/m"]);
        token["secret"].as_str().expect("a secret").clone_into(&mut stage.member);
        let invitation = stage.operate(&["provider", "invite", "dc"]);
        let join = invitation["token"].as_str().expect("a token").to_owned();
        stage.start_agent(cpus, Some(&join));
        let pool = until("an active pool", || {
            let pools = stage.operate(&["pools"]);
            let pool = pools.as_array()?.iter().find(|pool| pool["status"] == "active")?;
            Some(pool["id"].as_str()?.to_owned())
        });
        stage.operate(&["offer", "create", &pool, "--core-hour", "0.36", "--minimum", "1s"]);
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&self, log: &str, args: &[&str], join: Option<&str>) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path(log));
        let mut command = Command::new(program());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log"));
        command.env("HOME", self.folder.path()).env("DAYAN_URL", self.url());
        if let Some(join) = join {
            command.env("DAYAN_JOIN", join);
        }
        command.spawn().expect("it starts")
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn start_server(&mut self) {
        let data = self.path("exchange");
        let listen = format!("127.0.0.1:{}", self.port);
        let data = data.to_str().expect("UTF-8");
        let args = ["serve", "--listen", &listen, "--data", data, "--usage-every", "1s"];
        self.server = Some(self.spawn("server.log", &args, None));
        until("the server", || std::net::TcpStream::connect(&listen).ok());
    }

    pub fn start_agent(&mut self, cpus: &str, join: Option<&str>) {
        let data = self.path("agent");
        let data = data.to_str().expect("UTF-8");
        let args = [
            "agent",
            "--engine",
            "process",
            "--site",
            "Guiyang",
            "--pool",
            "main",
            "--measure",
            "off",
            "--cpus",
            cpus,
            "--data",
            data,
        ];
        self.agent = Some(self.spawn("agent.log", &args, join));
    }

    /// kill -9.
    pub fn kill_server(&mut self) {
        kill(self.server.as_mut().expect("it runs"));
    }

    /// kill -9; its keeper and its tasks go on.
    pub fn kill_agent(&mut self) {
        kill(self.agent.as_mut().expect("it runs"));
    }

    fn run(&self, token: &str, args: &[&str]) -> Output {
        Command::new(program())
            .args(args)
            .args(["-o", "json"])
            .env("HOME", self.folder.path())
            .env("DAYAN_URL", self.url())
            .env("DAYAN_TOKEN", token)
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    }

    /// A command that must succeed, with its JSON.
    pub fn command(&self, token: &str, args: &[&str]) -> Value {
        let output = self.run(token, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {} {said}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    pub fn operate(&self, args: &[&str]) -> Value {
        self.command(&self.operator, args)
    }

    /// A job, submitted again under the same key until it is acknowledged, whatever happens to the
    /// server meanwhile.
    pub fn submit(&self, run: &str, key: &str) -> String {
        let file = self.path(&format!("{key}.yaml"));
        let text = format!(
            "version: 1\nname: {key}\ntype: batch\nproject: lab/demo\n\
             resources: {{cpus: 0.1, memory: 50MB, time: 1m}}\nrun: {run}\n"
        );
        std::fs::write(&file, text).expect("a file");
        let file = file.to_str().expect("UTF-8");
        until("an acknowledgement", || {
            let output = self.run(&self.member, &["submit", file, "--key", key]);
            let value: Value = serde_json::from_slice(&output.stdout).ok()?;
            Some(value["job"].as_str()?.to_owned())
        })
    }

    /// The job once it has ended.
    pub fn ended(&self, job: &str) -> Value {
        until("the end of a job", || {
            let output = self.run(&self.member, &["show", job]);
            let value: Value = serde_json::from_slice(&output.stdout).ok()?;
            let state = value["state"].as_str()?;
            matches!(state, "succeeded" | "failed" | "cancelled").then_some(value)
        })
    }

    /// The books balance and follow from the transfers; the journal is whole and gives the state.
    pub fn assert_sound(&self) {
        let books = self.operate(&["ledger", "check"]);
        assert_eq!(books["balanced"], true, "{books}");
        let journal = self.operate(&["audit", "verify"]);
        assert_eq!(journal["intact"], true, "{journal}");
        assert_eq!(journal["replay_equal"], true, "{journal}");
    }
}

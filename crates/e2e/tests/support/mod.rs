//! The real program as processes: an exchange, an agent, and the command line as the client.
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod counter;
pub mod host;
pub mod link;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before the test gives up on it. Loaded machines are slow; a test
/// that waits on a condition loses nothing by patience.
pub const PATIENCE: Duration = Duration::from_mins(4);
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
    let end = since_boot() + PATIENCE;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(since_boot() < end, "waited {PATIENCE:?} for {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Waits until so much time is over: only where time itself is what is tested.
pub fn pass(time: Duration) {
    let end = since_boot() + time;
    until("the time to pass", || (since_boot() >= end).then_some(()));
}

fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).expect("after boot")
}

/// How a server is started.
#[derive(Default)]
pub struct Serve {
    /// Where the books are, other than in the data folder.
    pub database: Option<String>,
    /// What the server's process is wrapped in: a shell's command line, before `exec dayan serve`.
    pub shell: Option<String>,
    /// The same for agents.
    pub agent_shell: Option<String>,
    /// Further words on its command line.
    pub words: Vec<String>,
    /// What its environment has besides, and that of the agents.
    pub env: Vec<(String, String)>,
}

/// A command line with a token.
#[derive(Clone)]
pub struct Client {
    folder: PathBuf,
    url: String,
    token: String,
}

impl Client {
    fn run(&self, args: &[&str]) -> Output {
        Command::new(program())
            .args(args)
            .args(["-o", "json"])
            .env("HOME", &self.folder)
            .env("DAYAN_URL", &self.url)
            .env("DAYAN_TOKEN", &self.token)
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    }

    /// A small job, submitted again under the same key until it is acknowledged, whatever happens
    /// to the server meanwhile.
    pub fn submit(&self, run: &str, key: &str) -> String {
        self.submit_with(run, key, "")
    }

    fn submit_with(&self, run: &str, key: &str, more: &str) -> String {
        let file = self.write(run, key, more);
        until("an acknowledgement", || self.send(&file, key).ok())
    }

    fn write(&self, run: &str, key: &str, more: &str) -> String {
        let file = self.folder.join(format!("{key}.yaml"));
        let text = format!(
            "version: 1\nname: {key}\ntype: batch\nproject: lab/demo\n\
             resources: {{cpus: 0.01, memory: 4MB, time: 10m}}\n{more}run: {run}\n"
        );
        std::fs::write(&file, text).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    }

    /// The same, once: the job, or what the command line says instead.
    pub fn try_submit(&self, run: &str, key: &str) -> Result<String, String> {
        self.send(&self.write(run, key, ""), key)
    }

    fn send(&self, file: &str, key: &str) -> Result<String, String> {
        let output = self.run(&["submit", file, "--key", key]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let job = value["job"].as_str().map(str::to_owned);
        job.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// An exchange and its agents in a folder of their own.
pub struct Stage {
    folder: tempfile::TempDir,
    port: u16,
    serve: Serve,
    server: Option<Child>,
    agents: BTreeMap<String, Child>,
    operator: String,
    /// A member of the consumer `lab`.
    pub member: String,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// No file of the process may grow beyond so many bytes: to it, the disk is full. A write beyond must be
/// an error to the program, not a signal: `trap '' XFSZ` before it.
pub fn limit_files(pid: i32, bytes: Option<u64>) {
    let pid = rustix::process::Pid::from_raw(pid);
    let limit = rustix::process::Rlimit { current: bytes, maximum: None };
    let kind = rustix::process::Resource::Fsize;
    rustix::process::prlimit(pid, kind, limit).expect("a limit of our own child");
}

/// The program, behind a shell's command line where there is one.
fn wrapped(shell: Option<&String>) -> Command {
    let Some(shell) = shell else { return Command::new(program()) };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")]).arg(program());
    command
}

fn kill(child: &mut Child) {
    child.kill().expect("it runs");
    child.wait().expect("it ended");
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.agents.values_mut().chain(self.server.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Keepers outlive their agents by design.
        for pid in host::below(self.folder.path()) {
            host::signal(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Stage {
    /// A running exchange with a consumer that has money and a provider's pool with a price.
    pub fn build(cpus: &str) -> Self {
        let mut stage = Self::empty(Serve::default());
        stage.add_agent("main", cpus, None);
        stage
    }

    /// A running exchange with a consumer that has money and a provider without machines.
    pub fn empty(serve: Serve) -> Self {
        let mut stage = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            serve,
            server: None,
            agents: BTreeMap::new(),
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
        stage
    }

    /// A pool of that name with a price, and its agent; `url` is where it finds the exchange.
    pub fn add_agent(&mut self, name: &str, cpus: &str, url: Option<&str>) {
        let join = self.invited();
        self.spawn_agent(name, &["--engine", "process", "--cpus", cpus], Some(&join), url);
        self.price(name);
    }

    /// A pool of that name with a price, and its agent with these words on its command line.
    pub fn add_pool(&mut self, name: &str, words: &[&str]) {
        let join = self.invited();
        let words = [&["--engine", "process"], words].concat();
        self.spawn_agent(name, &words, Some(&join), None);
        self.price(name);
    }

    /// A pool of that name whose tasks may be taken back for half the price.
    pub fn add_spot_pool(&mut self, name: &str, words: &[&str]) {
        let join = self.invited();
        let words = [&["--engine", "process"], words].concat();
        self.spawn_agent(name, &words, Some(&join), None);
        self.price_with(name, &["--spot", "500"]);
    }

    /// Starts any agent again; it remembers what it offers.
    pub fn start_again(&mut self, name: &str) {
        self.spawn_agent(name, &[], None, None);
    }

    /// A pool of that name with a price, and its agent, which submits to the cluster that the
    /// environment names.
    pub fn add_cluster(&mut self, name: &str, words: &[&str]) {
        self.add_engine("slurm", name, words);
    }

    /// The same of a cluster that becomes these pools.
    pub fn add_cluster_of(&mut self, name: &str, words: &[&str], pools: &[&str]) {
        let join = self.invited();
        let words = [&["--engine", "slurm"], words].concat();
        self.spawn_agent(name, &words, Some(&join), None);
        for pool in pools {
            self.price(pool);
        }
    }

    /// Invites an agent with an engine of its own, waits for its pool, and lists it.
    pub fn add_engine(&mut self, engine: &str, name: &str, words: &[&str]) {
        let join = self.invited();
        let words = [&["--engine", engine], words].concat();
        self.spawn_agent(name, &words, Some(&join), None);
        self.price(name);
    }

    /// Starts a cluster's agent again; it remembers what it offers.
    pub fn start_cluster(&mut self, name: &str) {
        self.spawn_agent(name, &[], None, None);
    }

    /// Starts an agent again that is to offer something else besides.
    pub fn start_agent_with(&mut self, name: &str, words: &[&str]) {
        self.spawn_agent(name, words, None, None);
    }

    fn invited(&self) -> String {
        let invitation = self.operate(&["provider", "invite", "dc"]);
        invitation["token"].as_str().expect("a token").to_owned()
    }

    /// Waits for a pool of that name, and lists it.
    fn price(&self, name: &str) {
        self.price_with(name, &[]);
    }

    fn price_with(&self, name: &str, words: &[&str]) {
        let pool = until("an active pool", || {
            let pools = self.operate(&["pools"]);
            let mut pools = pools.as_array()?.iter();
            let pool = pools.find(|pool| {
                let crn = pool["crn"].as_str().unwrap_or_default();
                pool["status"] == "active" && crn.contains(name)
            })?;
            Some(pool["id"].as_str()?.to_owned())
        });
        let offer = ["offer", "create", &pool, "--core-hour", "0.36", "--minimum", "1s"];
        self.operate(&[&offer[..], words].concat());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&self, log: &str, mut command: Command) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path(log));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log"));
        command.env("HOME", self.folder.path());
        command.spawn().expect("it starts")
    }

    /// Where the exchange answers.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn start_server(&mut self) {
        self.server = Some(self.spawn_server(&self.address()));
        until("the server", || std::net::TcpStream::connect(self.address()).ok());
    }

    /// A second server for the same books at another address; gives back the first, which still
    /// answers at the old one.
    pub fn start_successor(&mut self) -> Child {
        let address = format!("127.0.0.1:{}", free_port());
        let second = self.spawn_server(&address);
        until("the second server", || std::net::TcpStream::connect(&address).ok());
        self.server.replace(second).expect("a first")
    }

    fn spawn_server(&self, address: &str) -> Child {
        let mut command = wrapped(self.serve.shell.as_ref());
        command.args(["serve", "--listen", address, "--usage-every", "1s", "--data"]);
        command.arg(self.path("exchange"));
        command.args(&self.serve.words);
        if let Some(url) = &self.serve.database {
            command.args(["--database-url", url]);
        }
        command.envs(self.serve.env.iter().map(|(name, value)| (name, value)));
        self.spawn("server.log", command)
    }

    /// Starts an agent again that has joined before.
    pub fn start_agent(&mut self, name: &str, cpus: &str) {
        self.spawn_agent(name, &["--engine", "process", "--cpus", cpus], None, None);
    }

    fn spawn_agent(&mut self, name: &str, words: &[&str], join: Option<&str>, url: Option<&str>) {
        let mut command = wrapped(self.serve.agent_shell.as_ref());
        command.args(["agent", "--site", "Guiyang", "--measure", "off", "--pool", name]);
        command.args(words).arg("--data").arg(self.agent_folder(name));
        command.env("DAYAN_URL", url.map_or_else(|| self.url(), str::to_owned));
        command.envs(self.serve.env.iter().map(|(name, value)| (name, value)));
        if let Some(join) = join {
            command.env("DAYAN_JOIN", join);
        }
        let child = self.spawn(&format!("{name}.log"), command);
        self.agents.insert(name.to_owned(), child);
    }

    pub fn agent_folder(&self, name: &str) -> PathBuf {
        self.path(&format!("agent-{name}"))
    }

    /// The server's process.
    pub fn server_pid(&self) -> i32 {
        i32::try_from(self.server.as_ref().expect("it runs").id()).expect("a pid")
    }

    /// An agent's process.
    pub fn agent_pid(&self, name: &str) -> i32 {
        i32::try_from(self.agents[name].id()).expect("a pid")
    }

    /// The agent, its keeper and its tasks.
    pub fn site(&self, name: &str) -> Vec<i32> {
        host::below(&self.agent_folder(name))
    }

    /// The keeper of an agent.
    pub fn keeper(&self, name: &str) -> i32 {
        let site = host::below(&self.agent_folder(name)).into_iter();
        let mut keepers = site.filter(|pid| host::words(*pid).iter().any(|word| word == "keeper"));
        keepers.next().expect("a keeper runs")
    }

    /// kill -9.
    pub fn kill_server(&mut self) {
        kill(self.server.as_mut().expect("it runs"));
    }

    /// kill -9; its keeper and its tasks go on.
    pub fn kill_agent(&mut self, name: &str) {
        kill(self.agents.get_mut(name).expect("it runs"));
    }

    /// What a member's command line needs, for a thread of its own.
    pub fn client(&self) -> Client {
        Client {
            folder: self.folder.path().to_owned(),
            url: self.url(),
            token: self.member.clone(),
        }
    }

    /// What a member's command says and how it ends; with something on its standard input.
    pub fn member_run(&self, args: &[&str], input: &str) -> Output {
        use std::io::Write as _;
        let mut child = Command::new(program())
            .args(args)
            .args(["-o", "json"])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("DAYAN_URL", self.url())
            .env("DAYAN_TOKEN", &self.member)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
        child.wait_with_output().expect("it ended")
    }

    fn run(&self, token: &str, args: &[&str]) -> Output {
        Client { token: token.to_owned(), ..self.client() }.run(args)
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

    /// A small job, submitted again under the same key until it is acknowledged, whatever happens
    /// to the server meanwhile.
    pub fn submit(&self, run: &str, key: &str) -> String {
        self.submit_with(run, key, "")
    }

    /// The same with more lines in its file.
    pub fn submit_with(&self, run: &str, key: &str, more: &str) -> String {
        self.client().submit_with(run, key, more)
    }

    /// What the exchange says of a job; none while it does not answer.
    pub fn show(&self, job: &str) -> Option<Value> {
        let output = self.run(&self.member, &["show", job]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The job's one task ended well at its first try, was paid for once, and holds no money.
    pub fn assert_ran_once(&self, job: &str) -> Value {
        let shown = self.ended(job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
        assert_eq!(shown["money"]["held"], "0.00", "{shown}");
        assert_eq!(self.billed_attempts(job), [1], "{shown}");
        shown
    }

    /// Waits until as many attempts of a job run.
    pub fn running(&self, job: &str, count: usize) -> Value {
        until("running tasks", || {
            let shown = self.show(job)?;
            let attempts = shown["attempts"].as_array()?.iter();
            let running = attempts.filter(|attempt| attempt["state"] == "running").count();
            (running >= count).then_some(shown)
        })
    }

    /// The job once it has ended.
    pub fn ended(&self, job: &str) -> Value {
        until("the end of a job", || {
            let output = self.run(&self.member, &["show", job]);
            let value: Value = serde_json::from_slice(&output.stdout).ok()?;
            let state = value["state"].as_str()?;
            matches!(state, "succeeded" | "failed" | "cancelled" | "unfunded").then_some(value)
        })
    }

    /// A command beside the first task of a job, by the consumer.
    pub fn exec(&self, job: &str, input: &[u8], command: &[&str]) -> Output {
        self.exec_as(&self.member, job, input, command)
    }

    /// The same by whoever has the token.
    pub fn exec_as(&self, token: &str, job: &str, input: &[u8], command: &[&str]) -> Output {
        let mut child = Command::new(program())
            .args(["exec", job])
            .args(command)
            .env("HOME", self.folder.path())
            .env("DAYAN_URL", self.url())
            .env("DAYAN_TOKEN", token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
        // A command that does not read closes its end early.
        let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        feed.join().expect("fed");
        output
    }

    /// What a job or one of its tasks wrote; none: it cannot be read.
    pub fn logs(&self, task: &str) -> Option<String> {
        let output = Command::new(program())
            .args(["logs", task])
            .env("HOME", self.folder.path())
            .env("DAYAN_URL", self.url())
            .env("DAYAN_TOKEN", &self.member)
            .output()
            .expect("it runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Which attempts of a job's one task are on the consumer's bill, each as often as it is.
    pub fn billed_attempts(&self, job: &str) -> Vec<u32> {
        let lines = self.bill_lines();
        let of_job = lines.iter().filter(|line| line["job"] == job);
        let number = |line: &Value| {
            let attempt = line["attempt"].as_str().expect("an attempt");
            attempt.rsplit('.').next().expect("a number").parse().expect("a number")
        };
        of_job.map(number).collect()
    }

    /// How many lines each job has on the consumer's bill.
    pub fn billed(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in self.bill_lines() {
            *counts.entry(line["job"].as_str().expect("a job").to_owned()).or_default() += 1;
        }
        counts
    }

    fn bill_lines(&self) -> Vec<Value> {
        let invoices = self.command(&self.member, &["invoice", "ls"]);
        let mut lines = Vec::new();
        for invoice in invoices.as_array().expect("a list") {
            let id = invoice["id"].as_str().expect("an id");
            let invoice = self.command(&self.member, &["invoice", "get", id]);
            lines.extend(invoice["lines"].as_array().expect("lines").iter().cloned());
        }
        lines
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

/// A folder of that name somewhere below.
pub fn find(below: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(below).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if !path.is_dir() || path.is_symlink() {
            None
        } else if path.ends_with(name) {
            Some(path)
        } else {
            find(&path, name)
        }
    })
}

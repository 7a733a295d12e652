//! Jobs for the tests of this room.

use dayan_wire as wire;

use super::view::Job;

/// The job of all of them.
pub const ID: &str = "job_01kb3v8f00ny00000000000001";
/// Keys of jobs of other shapes.
pub const ARRAY: &str = "array: {range: 1-5, max_parallel: 2}\n";
pub const LISTED: &str = "array: {range: 0-2}\nenv: {SLURM_ARRAY_LIST: '3,7,8'}\n";
pub const GANG: &str = "gang: {nodes: 2}\n";

pub fn attempt(task: u32, attempt: u32, state: &str, reason: &str) -> wire::Attempt {
    let ended = !["leased", "staging", "running", "publishing"].contains(&state);
    let code = reason.strip_prefix("exit code ").and_then(|code| code.parse().ok());
    wire::Attempt {
        task,
        attempt,
        pool: "pool_01h455vb4pex5vsknk084sn02q".to_owned(),
        node: "node-1".to_owned(),
        state: state.to_owned(),
        exit_code: if state == "succeeded" { Some(0) } else { code },
        started_at: (state != "leased").then(|| "2026-11-28T00:00:10Z".to_owned()),
        ended_at: ended.then(|| "2026-11-28T00:01:15Z".to_owned()),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        used: ended.then_some(wire::Counters {
            wall_us: 65_000_000,
            cpu_us: 128_250_000,
            memory_peak: 512 << 20,
            read_bytes: 10 << 20,
            write_bytes: 20,
            energy_uj: None,
        }),
        site_count: None,
        site_count_of: None,
        copying: None,
    }
}

/// A job as the exchange tells it: its state, more keys of its file, its attempts, what is queued.
pub fn told(state: &str, more: &str, attempts: &[wire::Attempt], queued: &[[u32; 2]]) -> wire::Job {
    let text = format!(
        "version: 1\nname: shot-120\ntype: batch\nproject: studio-a/film-3\n\
         resources: {{cpus: 4, memory: 2GiB, time: 1h}}\nrun: ./x\n{more}"
    );
    let spec = dayan_spec::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let ended = ["succeeded", "failed", "cancelled"].contains(&state);
    wire::Job {
        summary: wire::JobSummary {
            id: ID.to_owned(),
            name: "shot-120".to_owned(),
            project: "studio-a/film-3".to_owned(),
            user: Some("li".to_owned()),
            state: state.to_owned(),
            submitted_at: "2026-11-28T00:00:00Z".to_owned(),
            ended_at: ended.then(|| "2026-11-28T00:01:15Z".to_owned()),
            tasks: wire::TaskCounts::default(),
            money: wire::JobMoney {
                currency: "CNY".to_owned(),
                held: "0.00".to_owned(),
                spent: "1.25".to_owned(),
            },
            waiting: Vec::new(),
        },
        attempts: attempts.to_vec(),
        queued: queued.to_vec(),
        cancelled: Vec::new(),
        quote: None,
        deadline: None,
        deadline_met: None,
        workflow: Vec::new(),
        promise: None,
        checkpoints: Vec::new(),
        raised: Vec::new(),
        schedule: None,
        scheduled_at: None,
        spec: serde_json::to_value(&spec).expect("plain data"),
    }
}

/// The same, read.
pub fn job(state: &str, more: &str, attempts: &[wire::Attempt], queued: &[[u32; 2]]) -> Job {
    Job::new(told(state, more, attempts, queued))
}

/// What an exchange with this job answers to what all the commands ask; none for other paths.
pub fn answer(path: &str, array: &wire::Job) -> Option<crate::tests::Says> {
    let says = |body: &serde_json::Value| Some(crate::tests::Says::json(200, body));
    match path {
        "/v1/jobs" => says(&serde_json::json!([array.summary])),
        "/v1/pools" => says(&serde_json::json!([])),
        "/v1/whoami" => says(&serde_json::json!({
            "exchange": "x", "user": "usr_1", "name": "li", "org": "studio-a", "role": "member",
            "rights": {},
        })),
        path if path.ends_with(ID) => says(&serde_json::to_value(array).expect("plain")),
        _ => None,
    }
}

/// How a command ended and what it wrote.
#[derive(Debug)]
pub struct Ran {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

/// Runs one of Slurm's commands against an exchange.
pub async fn slurm(tool: super::Tool, fake: &crate::tests::Fake, line: &[&str]) -> Ran {
    crate::client::install_provider();
    let words: Vec<String> =
        std::iter::once(tool.name()).chain(line.iter().copied()).map(str::to_owned).collect();
    let (session, stdout, stderr) = crate::tests::session(fake.environment());
    let code = super::run(tool, &words, &session).await;
    Ran { code, stdout: stdout.text(), stderr: stderr.text() }
}

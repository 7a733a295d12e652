//! Slurm asked by its REST daemon, with a token.
//!
//! Versions are probed: the daemon says which it offers, and of those the newest that is known here is
//! spoken. Answers are read leniently ([`lenient`]), because each version writes numbers and states
//! another way; what is not understood is no answer. Invariant: only a clear no of Slurm's own is a
//! refusal. A daemon that is away, fails, refuses the token or talks nonsense says nothing about jobs.

mod cancelling;
mod cluster;
mod lenient;
mod reading;
mod rights;
mod saying;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayan_units::Span;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::ask::Asker;
use super::layout::Index;
use super::load::Line;
use super::request::Submission;
use super::status::{Account, QueueLine};
use super::way::{Jobs, Picture, Submitted};
use crate::{BootClock, Fault};

use saying::Dialect;
use tokens::Tokens;

/// Jobs whose accounts are asked for in one question: an address of a few hundred letters.
const ACCOUNTS_AT_ONCE: usize = 50;
/// Versions of the interface that are known: the oldest of Slurm 20.11, the newest of 26.05.
const VERSIONS: std::ops::RangeInclusive<u32> = 36..=45;
/// What an answer may have at most. The daemon tells all that it knows of every job, 2 to 5 kB each: so
/// much is 100,000 of them.
const ANSWER_BYTES_MAX: usize = 384 << 20;
/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What the daemon offers.
#[derive(Clone, Debug)]
struct Offered {
    dialect: Dialect,
    /// The paths of that version, as the daemon writes them.
    paths: BTreeSet<String>,
    /// Those of the accounting's.
    accounts: BTreeSet<String>,
    /// Are many jobs cancelled in one request?
    kills_many: bool,
}

/// The daemon, and how to reach it.
#[derive(Clone)]
pub(crate) struct Rest {
    inner: Arc<Inner>,
    within: Span,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("base", &self.inner.base).finish_non_exhaustive()
    }
}

struct Inner {
    base: String,
    client: Client,
    tokens: Tokens,
    /// Known once it has answered.
    offered: Mutex<Option<Arc<Offered>>>,
    /// None only while this is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    /// Not waited for: whoever drops it may be in a runtime of its own.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer with its status, whatever it says.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

impl Reply {
    /// Its body as what it is to be, whatever the status; `Err` where it is something else.
    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let began = String::from_utf8_lossy(&self.body[..self.body.len().min(120)]);
            let began = began.trim().to_owned();
            format!("slurmrestd answers {} and no JSON of its own ({error}): {began}", self.status)
        })
    }
}

/// The words that tell who wants to know what is asked.
#[derive(Deserialize)]
struct OpenApi {
    paths: BTreeMap<String, Value>,
}

impl Offered {
    /// Of the newest version that is known.
    fn of(all: &BTreeMap<String, Value>) -> Option<Self> {
        let version = VERSIONS.rev().find(|version| {
            let submits = format!("/slurm/v0.0.{version}/job/submit");
            all.keys().any(|path| path.trim_end_matches('/') == submits)
        })?;
        let under = |what: &str| {
            let root = format!("/{what}/v0.0.{version}/");
            all.keys().filter(|path| path.starts_with(&root)).cloned().collect()
        };
        let dialect = Dialect(version);
        let jobs = format!("/slurm/v0.0.{version}/jobs");
        let kills_many = all
            .iter()
            .filter(|(path, _)| path.trim_end_matches('/') == jobs)
            .any(|(_, methods)| methods.get("delete").is_some());
        let (paths, accounts) = (under("slurm"), under("slurmdb"));
        Some(Self { dialect, paths, accounts, kills_many })
    }

    /// The path of something, as the daemon writes it: newer ones end some with a slash.
    fn path(&self, accounts: bool, what: &str) -> Option<String> {
        let (root, all) =
            if accounts { ("slurmdb", &self.accounts) } else { ("slurm", &self.paths) };
        let plain = format!("/{root}/v0.0.{}/{what}", self.dialect.0);
        [plain.clone(), format!("{plain}/")].into_iter().find(|path| all.contains(path))
    }
}

impl Rest {
    /// To the daemon at `address`. Asks nothing yet.
    pub(super) fn to(
        address: &str,
        token_file: Option<PathBuf>,
        asker: Asker,
    ) -> Result<Self, Fault> {
        let bad = |why: String| Fault::Unreachable(format!("slurm.rest_address: {address}: {why}"));
        // Something of ours or of a library may have installed one already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let (builder, base) = if let Some(path) = address.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(bad("a socket is named by unix:// and its whole path".to_owned()));
            }
            // The name of the host is for nobody to look up.
            (builder.unix_socket(PathBuf::from(path)), "http://slurmrestd".to_owned())
        } else if address.starts_with("http://") || address.starts_with("https://") {
            (builder, address.trim_end_matches('/').to_owned())
        } else {
            return Err(bad("it begins with http://, https:// or unix:///".to_owned()));
        };
        // Plain connections need no authorities, which a machine may not have.
        let builder =
            if base.starts_with("http://") { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|error| bad(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Fault::io("starting a runtime for slurmrestd"))?;
        let within = asker.within;
        let tokens = Tokens::from(token_file, asker);
        let (offered, runtime) = (Mutex::new(None), Some(runtime));
        Ok(Self { inner: Arc::new(Inner { base, client, tokens, offered, runtime }), within })
    }

    /// Whom the daemon is told that the jobs are of.
    pub(super) fn user(&self) -> Option<String> {
        Some(self.inner.tokens.get().ok()??.user)
    }

    /// The daemon has no word for groups: this machine is asked.
    pub(super) fn groups(&self, user: Option<&str>) -> Result<BTreeSet<String>, String> {
        let clock = BootClock::of_this_machine().map_err(|error| error.to_string())?;
        Asker { clock, commands: None, within: self.within }.groups(user)
    }

    pub(super) fn sooner(&self, within: Span) -> Self {
        Self { inner: Arc::clone(&self.inner), within: self.within.min(within) }
    }

    /// Asks; `Err` where there is no answer.
    fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply, String> {
        let token = self.inner.tokens.get()?;
        let url = format!("{}{path}", self.inner.base);
        let limit = Duration::from_micros(u64::try_from(self.within.micros()).unwrap_or(0));
        let mut request = self.inner.client.request(method, url).timeout(limit);
        if let Some(token) = &token {
            request = request
                .header("X-SLURM-USER-NAME", &token.user)
                .header("X-SLURM-USER-TOKEN", &token.text);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let answer = async {
            let mut response = request.send().await.map_err(describe)?;
            let status = response.status();
            let mut body = Vec::new();
            while let Some(part) = response.chunk().await.map_err(describe)? {
                if body.len() + part.len() > ANSWER_BYTES_MAX {
                    return Err("slurmrestd's answer is longer than anybody's queue".to_owned());
                }
                body.extend_from_slice(&part);
            }
            Ok(Reply { status, body })
        };
        let runtime = self.inner.runtime.as_ref().expect("it is there until the last drop");
        let reply = runtime.block_on(answer)?;
        if reply.status == StatusCode::UNAUTHORIZED {
            self.inner.tokens.forget();
            return Err("slurm.rest_token: slurmrestd does not take the token; look at \
                        --slurm-token-file, or whether `scontrol token` works here"
                .to_owned());
        }
        Ok(reply)
    }

    /// What it offers; asked once, and again after it did not know a path.
    fn offered(&self) -> Result<Arc<Offered>, String> {
        let lock = || self.inner.offered.lock().expect("no thread panics holding it");
        if let Some(known) = lock().clone() {
            return Ok(known);
        }
        let reply = self.call(Method::GET, "/openapi/v3", None)?;
        let all: OpenApi = reply.read()?;
        let Some(offered) = Offered::of(&all.paths) else {
            return Err(format!(
                "slurm.rest_version: this slurmrestd offers none of the versions v0.0.{} to v0.0.{}",
                VERSIONS.start(),
                VERSIONS.end()
            ));
        };
        let offered = Arc::new(offered);
        *lock() = Some(Arc::clone(&offered));
        Ok(offered)
    }

    /// Asks for one of the things it has.
    fn get(&self, accounts: bool, what: &str, query: &str) -> Result<Reply, String> {
        let offered = self.offered()?;
        let path = offered.path(accounts, what).ok_or_else(|| {
            format!("slurmrestd v0.0.{} does not tell of {what}", offered.dialect.0)
        })?;
        let reply = self.call(Method::GET, &format!("{path}{query}"), None)?;
        if reply.status == StatusCode::NOT_FOUND {
            // Restarted, and another version since.
            *self.inner.offered.lock().expect("no thread panics holding it") = None;
        }
        Ok(reply)
    }

    pub(super) fn submit(&self, submission: &Submission) -> Submitted {
        let offered = match self.offered() {
            Ok(offered) => offered,
            // Nothing was sent; but the queue is looked at first all the same.
            Err(why) => return Submitted::Unsure(why),
        };
        let body = match saying::job(submission, offered.dialect, &saying::environment()) {
            Ok(body) => body,
            Err(why) => return Submitted::Refused(why),
        };
        let Some(path) = offered.path(false, "job/submit") else {
            return Submitted::Unsure("slurmrestd takes no jobs".to_owned());
        };
        let reply = self.call(Method::POST, &path, Some(body.to_string().into_bytes()));
        match reply {
            Ok(reply) => match reply.read() {
                Ok(answer) => reading::submitted(reply.status.is_success(), answer),
                Err(why) => Submitted::Unsure(why),
            },
            Err(why) => Submitted::Unsure(why),
        }
    }

    fn jobs(&self) -> Result<Vec<reading::Job>, String> {
        self.get(false, "jobs", "")?.read::<reading::Jobs>()?.jobs()
    }

    pub(super) fn queue(&self) -> Result<Vec<QueueLine>, String> {
        // The daemon tells of everybody's, and names can be chosen by anybody.
        let (user, name) = (rustix::process::geteuid().as_raw(), self.user());
        let ours = |job: &&reading::Job| job.is_of(user, name.as_deref());
        Ok(self.jobs()?.iter().filter(ours).filter_map(reading::Job::line).collect())
    }

    /// Anybody's: a number may be another user's by now.
    pub(super) fn lines_of(&self, jobs: &Jobs) -> Result<Vec<QueueLine>, String> {
        let mut lines: Vec<QueueLine> =
            self.jobs()?.iter().filter_map(reading::Job::line).collect();
        lines.retain(|line| jobs.contains_key(&line.job));
        Ok(lines)
    }

    pub(super) fn all_jobs(&self) -> Result<Vec<Line>, String> {
        let now = crate::wall_now();
        Ok(self.jobs()?.iter().filter_map(|job| job.load_line(now)).collect())
    }

    pub(super) fn accounts(&self, jobs: &Jobs) -> Result<BTreeMap<(u32, Index), Account>, String> {
        let ids: Vec<String> = jobs.keys().map(u32::to_string).collect();
        let mut all = BTreeMap::new();
        for some in ids.chunks(ACCOUNTS_AT_ONCE) {
            // A comma as it is is no part of a value to the daemon, which then refuses the question.
            let reply = self.get(true, "jobs", &format!("?step={}", some.join("%2C")))?;
            all.append(&mut reply.read::<reading::AccountJobs>()?.accounts(jobs)?);
        }
        Ok(all)
    }

    /// The partitions, the nodes, and what can be known of the rest: the daemon does not tell how the
    /// site is set up.
    pub(super) fn picture(&self) -> Result<Picture, Fault> {
        let unreachable = |why: String| {
            Fault::Unreachable(format!(
                "slurm.rest: slurmrestd at {}: {why} (of a token that is not good some versions say no \
                 more than that)",
                self.inner.base
            ))
        };
        let partitions = self.get(false, "partitions", "").map_err(unreachable)?;
        let partitions: cluster::Partitions = partitions.read().map_err(unreachable)?;
        let nodes = self.get(false, "nodes", "").map_err(unreachable)?;
        let nodes: cluster::Nodes = nodes.read().map_err(unreachable)?;
        // A site without accounts answers with an error, or not at all. How the accounting itself does
        // (`diag`) is told to its operators alone.
        let accounting = self.get(true, "clusters", "").and_then(|reply| {
            let said: reading::Said = reply.read()?;
            let well = reply.status.is_success() && said.trouble().is_none();
            if well { reply.read::<cluster::Clusters>() } else { Err(said.words()) }
        });
        cluster::picture(partitions, nodes, accounting.ok().as_ref()).map_err(unreachable)
    }
}

/// What went wrong, with its causes: the outermost words alone say little.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn describe(error: reqwest::Error) -> String {
    use std::error::Error as _;
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        cause = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_is_known_is_spoken() {
        let check = |paths: &[&str], expect: Option<(u32, Option<&str>)>| {
            let all = paths.iter().map(|path| ((*path).to_owned(), Value::Null)).collect();
            let got = Offered::of(&all);
            let got = got.map(|offered| (offered.dialect.0, offered.path(false, "jobs")));
            let expect = expect.map(|(version, path)| (version, path.map(str::to_owned)));
            assert_eq!(got, expect, "{paths:?}");
        };
        let old = "/slurm/v0.0.37/job/submit";
        check(
            &[old, "/slurm/v0.0.38/job/submit", "/slurm/v0.0.38/jobs"],
            Some((38, Some("/slurm/v0.0.38/jobs"))),
        );
        check(&[old, "/slurm/v0.0.99/job/submit"], Some((37, None)));
        let new = ["/slurm/v0.0.41/job/submit", "/slurm/v0.0.41/jobs/"];
        check(&new, Some((41, Some("/slurm/v0.0.41/jobs/"))));
        check(&["/slurm/v0.0.35/job/submit"], None);
        check(&[], None);
    }

    #[test]
    fn addresses_are_checked() {
        let clock = crate::BootClock::of_this_machine().expect("a boot id");
        let asker = Asker { clock, commands: None, within: Span::from_secs(1) };
        for good in ["http://127.0.0.1:1", "https://slurm.example:6820/", "unix:///run/x"] {
            Rest::to(good, None, asker.clone()).expect(good);
        }
        for bad in ["", "slurm.example", "unix://run/x", "ftp://x"] {
            let fault = Rest::to(bad, None, asker.clone()).expect_err(bad);
            assert!(fault.to_string().contains("slurm.rest_address"), "{fault}");
        }
    }
}

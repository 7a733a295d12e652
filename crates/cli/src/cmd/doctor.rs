//! `dayan doctor`: what on this machine, on the way and at the exchange would keep things from
//! working; each finding with what to do.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Serialize;
use serde_json::Value;

use super::session::Session;
use crate::client::{Answer, Client, is_loopback};
use crate::config::Target;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::{Lang, Word};

/// Leases are renewed on each side's own clock, so a skew breaks no lease; past this, times in
/// tables and logs mislead people.
const SKEW_WARN_S: f64 = 2.0;
/// Past this, certificates and expiries of quotes and tokens are judged wrongly.
const SKEW_FAIL_S: f64 = 60.0;
/// A store needs room for its journal, and an agent for the working folders of tasks.
const DISK_WARN_BYTES: u64 = 5_000_000_000;
/// Less than one store's write-ahead log and one snapshot.
const DISK_FAIL_BYTES: u64 = 500_000_000;
/// A keeper holds about three files for each task; a thousand tasks and their sockets.
const FILES_WARN: u64 = 4_096;

/// Checks this machine, the way to the exchange and the token, and says what to do
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The folder an exchange or agent of this machine keeps its data in
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Good.
    Ok,
    /// It works, but not as well as it could.
    Warn,
    /// It will not work.
    Fail,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[expect(clippy::struct_field_names, reason = "scripts see these names")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What; stable.
    pub check: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; none: nothing.
    pub advice: Option<String>,
}

/// All of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Checks {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

struct Examiner {
    lang: Lang,
    checks: Vec<Check>,
}

impl Examiner {
    fn ok(&mut self, check: &'static str, seen: impl Into<String>) {
        self.checks.push(Check { check, verdict: Verdict::Ok, seen: seen.into(), advice: None });
    }
    fn bad(&mut self, check: &'static str, verdict: Verdict, seen: impl Into<String>, todo: &Said) {
        let advice = Some(todo.text(self.lang));
        self.checks.push(Check { check, verdict, seen: seen.into(), advice });
    }
    /// Whatever is judged by a threshold.
    fn judge(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        seen: impl Into<String>,
        todo: &Said,
    ) {
        match verdict {
            Verdict::Ok => self.ok(check, seen),
            Verdict::Warn | Verdict::Fail => self.bad(check, verdict, seen, todo),
        }
    }
}

/// Runs it.
pub async fn run(args: &Doctor, session: &Session) -> Result<Exit, Failure> {
    let mut examiner = Examiner { lang: session.out.view.lang, checks: Vec::new() };
    match session.target() {
        Ok(target) => exchange(&mut examiner, target).await,
        Err(failure) => {
            let seen = failure.render(examiner.lang);
            let seen = seen.lines().next().unwrap_or_default().to_owned();
            examiner.bad("url", Verdict::Warn, seen, &Said::plain(Word::DoctorLogin));
        }
    }
    disk(&mut examiner, &args.data);
    files(&mut examiner);
    control_groups(&mut examiner, Path::new("/sys/fs/cgroup"));
    let checks = Checks { checks: examiner.checks };
    session.out.show(&checks)?;
    let failed = checks.checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

async fn exchange(examiner: &mut Examiner, target: Target) {
    trust(examiner, &target);
    let has_token = target.token.is_some();
    let client = match Client::new(target, examiner.lang) {
        Ok(client) => client,
        Err(failure) => return unreachable(examiner, &failure),
    };
    let before = crate::clock::now();
    match client.health().await {
        Ok(answer) => {
            examiner.ok("url", client.target().url.as_str());
            let after = crate::clock::now();
            skew(examiner, &answer, before, after);
        }
        Err(failure) => return unreachable(examiner, &failure),
    }
    if !has_token {
        return examiner.bad("token", Verdict::Warn, "-", &Said::plain(Word::DoctorLogin));
    }
    match client.whoami().await {
        Ok(who) => examiner.ok("token", format!("{}/{} ({})", who.org, who.name, who.role)),
        Err(failure) => {
            let seen = failure.render(examiner.lang);
            let seen = seen.lines().next().unwrap_or_default().to_owned();
            examiner.bad("token", Verdict::Fail, seen, &Said::plain(Word::DoctorToken));
        }
    }
}

fn unreachable(examiner: &mut Examiner, failure: &Failure) {
    let seen = failure.render(examiner.lang);
    let seen = seen.lines().next().unwrap_or_default().to_owned();
    examiner.bad("url", Verdict::Fail, seen, &Said::plain(Word::DoctorReach));
}

fn trust(examiner: &mut Examiner, target: &Target) {
    match (target.url.scheme(), target.fingerprint) {
        ("https", Some(_)) => examiner.ok("certificate", examiner.lang.word(Word::Pinned)),
        ("https", None) => examiner.ok("certificate", examiner.lang.word(Word::ByAuthority)),
        _ if is_loopback(&target.url) => {
            examiner.ok("certificate", examiner.lang.word(Word::ThisMachine));
        }
        _ => examiner.bad("certificate", Verdict::Warn, "http", &Said::plain(Word::DoctorTls)),
    }
}

/// How far apart the clocks are: the server's `Date` has whole seconds, and the answer took a
/// moment, so both are taken off what is called a difference.
fn skew(examiner: &mut Examiner, answer: &Answer, before: Timestamp, after: Timestamp) {
    let date = answer.headers.get("date").and_then(|value| value.to_str().ok());
    let Some(server) = date.and_then(|date| rfc2822::parse(date).ok()) else {
        return examiner.bad("clock", Verdict::Warn, "-", &Said::plain(Word::DoctorNoDate));
    };
    let (verdict, seen) = clocks(server.timestamp(), before, after);
    examiner.judge("clock", verdict, seen, &Said::plain(Word::DoctorClock));
}

fn clocks(server: Timestamp, before: Timestamp, after: Timestamp) -> (Verdict, String) {
    let early = before.duration_since(server).as_secs_f64() - 1.0;
    let late = server.duration_since(after).as_secs_f64();
    let apart = early.max(late).max(0.0);
    let verdict = match apart {
        apart if apart > SKEW_FAIL_S => Verdict::Fail,
        apart if apart > SKEW_WARN_S => Verdict::Warn,
        _ => Verdict::Ok,
    };
    (verdict, format!("≤ {:.0} s", apart.ceil() + 1.0))
}

fn disk(examiner: &mut Examiner, dir: &Path) {
    // The folder may not be made yet: its nearest parent lies on the same disk.
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let verdict = match free {
                free if free < DISK_FAIL_BYTES => Verdict::Fail,
                free if free < DISK_WARN_BYTES => Verdict::Warn,
                _ => Verdict::Ok,
            };
            let seen = format!("{} ({})", dayan_units::Bytes(free), there.display());
            examiner.judge("disk", verdict, seen, &Said::plain(Word::DoctorDisk));
        }
        Err(error) => {
            let seen = format!("{}: {error}", there.display());
            examiner.bad("disk", Verdict::Fail, seen, &Said::plain(Word::DoctorDisk));
        }
    }
}

fn files(examiner: &mut Examiner) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "∞".to_owned(), |n| n.to_string());
    let seen = format!("{} / {}", shown(limit.current), shown(limit.maximum));
    let enough = limit.current.is_none_or(|files| files >= FILES_WARN);
    let verdict = if enough { Verdict::Ok } else { Verdict::Warn };
    examiner.judge("open_files", verdict, seen, &Said::plain(Word::DoctorFiles));
}

fn control_groups(examiner: &mut Examiner, root: &Path) {
    let v2 = std::fs::read_to_string(root.join("cgroup.controllers"));
    let advice = Said::plain(Word::DoctorCgroups);
    match v2 {
        Ok(controllers) => {
            let missing: Vec<&str> = ["cpu", "memory", "pids"]
                .into_iter()
                .filter(|name| !controllers.split_whitespace().any(|have| have == *name))
                .collect();
            let verdict = if missing.is_empty() { Verdict::Ok } else { Verdict::Warn };
            let seen = if missing.is_empty() {
                "v2".to_owned()
            } else {
                format!("v2 − {}", missing.join(", "))
            };
            examiner.judge("cgroups", verdict, seen, &advice);
        }
        Err(_) if root.join("memory").is_dir() => examiner.ok("cgroups", "v1"),
        Err(_) => examiner.bad("cgroups", Verdict::Warn, "-", &advice),
    }
}

impl Show for Checks {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::new(view, &[Word::Check, Word::State, Word::Seen, Word::WhatToDo]);
        for check in &self.checks {
            grid.row([
                Cell::text(check.check),
                Cell::state(check.verdict.name()),
                Cell::text(&check.seen),
                Cell::text(check.advice.as_deref().unwrap_or("")),
            ]);
        }
        grid.finish()
    }

    fn data(&self) -> Value {
        serde_json::to_value(self).expect("text keys")
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;

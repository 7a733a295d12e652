//! The commands of Slurm, for people and scripts that know them: links named `sbatch`, `squeue`,
//! `scancel`, `sinfo` and `sacct` to this program answer as those do, in Slurm's columns, words and
//! exit codes. Always in English: scripts read it.
//!
//! Invariant: a number that is printed here is understood here. Must not know how a job file is read.

mod again;
mod ask;
mod fields;
mod format;
mod names;
mod pools;
mod sacct;
mod sbatch;
mod scancel;
mod sinfo;
mod squeue;
pub mod submit;
#[cfg(test)]
mod tests_support;
mod view;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use dayan_spec::Outside;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use ask::one_element;

use crate::client::Client;
use crate::cmd::session::Session;
use crate::exit::{Failure, one_line};

/// Jobs that one answer is made of at most.
const LISTED_MAX: usize = 2_000;

/// Which of Slurm's commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// Submits.
    Sbatch,
    /// Lists the queue.
    Squeue,
    /// Takes back.
    Scancel,
    /// Shows pools.
    Sinfo,
    /// Shows what was.
    Sacct,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Sbatch, Self::Squeue, Self::Scancel, Self::Sinfo, Self::Sacct];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sbatch => "sbatch",
            Self::Squeue => "squeue",
            Self::Scancel => "scancel",
            Self::Sinfo => "sinfo",
            Self::Sacct => "sacct",
        }
    }
    /// By the name this program was called with.
    pub fn of_program(program: &OsStr) -> Option<Self> {
        let name = Path::new(program).file_name()?;
        Self::ALL.into_iter().find(|tool| name == tool.name())
    }
    /// What Slurm says before an answer of its controller could be read.
    const fn no_answer(self) -> &'static str {
        match self {
            Self::Sbatch => "sbatch: error: Batch job submission failed",
            Self::Squeue => "slurm_load_jobs error",
            Self::Scancel => "scancel: error",
            Self::Sinfo => "slurm_load_partitions",
            Self::Sacct => "sacct: error",
        }
    }
}

/// Why a command could not be done, in Slurm's words.
#[derive(Debug)]
pub struct Refused {
    lines: Vec<String>,
    kind: Kind,
    code: u8,
}

/// What most errors end with.
const ERROR: u8 = 1;
/// What `sbatch` ends with when an option is wrong.
const WRONG_OPTION: u8 = 255;

#[derive(Debug)]
enum Kind {
    /// Lines that come after `TOOL: error: `.
    Said,
    /// Lines as they are.
    Bare,
    /// Something that every command of the program can meet with.
    Failed(Failure),
}

impl Refused {
    /// After the command's name.
    pub fn said(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], kind: Kind::Said, code: ERROR }
    }
    /// As it is.
    pub fn bare(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], kind: Kind::Bare, code: ERROR }
    }
    /// With a line more.
    #[must_use]
    pub fn and(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
    /// With another exit code.
    #[must_use]
    const fn ending(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
    /// What is printed; nothing where whoever read has gone.
    fn text(&self, tool: Tool) -> String {
        let named = |line: &str| format!("{}: error: {}\n", tool.name(), one_line(line));
        let bare = |line: &String| format!("{}\n", one_line(line));
        match &self.kind {
            Kind::Said => self.lines.iter().map(|line| named(line)).collect(),
            Kind::Bare => self.lines.iter().map(bare).collect(),
            Kind::Failed(Failure::JobFile { file, errors }) => {
                let each = errors.errors.iter().map(|error| {
                    let help = error.help().map_or_else(String::new, |help| format!("; {help}"));
                    let (line, code) = (error.line, error.code);
                    let message = match (code, error.arg("word")) {
                        (dayan_spec::Code::SbatchStrayWord, Some(word)) => {
                            format!("Invalid directive found in batch script: {word}")
                        }
                        _ => error.message(),
                    };
                    let place = match error.outside {
                        None => format!("{file}:{line}"),
                        Some(Outside::CommandLine) => "on the command line".to_owned(),
                        Some(Outside::Environment) => "in the environment".to_owned(),
                    };
                    named(&format!("{place}: {message}{help} [{code}]"))
                });
                each.collect()
            }
            Kind::Failed(failure) => {
                let first = failed(tool, failure);
                let rest = failure.render(crate::words::Lang::En);
                let rest = rest.lines().map(plain_line).filter(|line| !line.is_empty());
                // What Slurm's line ends with need not be said twice.
                let said = |line: &String| {
                    let text = line.split(" [").next().unwrap_or(line);
                    first.as_ref().is_some_and(|first| first.trim_end().ends_with(text))
                };
                let rest: String =
                    rest.filter(|line| !said(line)).map(|line| named(&line)).collect();
                first.unwrap_or_default() + &rest
            }
        }
    }
}

/// A line of a failure without what makes it one of ours: `error[CODE]: TEXT` is `TEXT [CODE]`, and
/// advice has no sign before it.
fn plain_line(line: &str) -> String {
    let line = line.trim_start();
    let line = line.strip_prefix("= ").or_else(|| line.strip_prefix("error: ")).unwrap_or(line);
    let coded = line.strip_prefix("error[").and_then(|rest| rest.split_once("]: "));
    coded.map_or_else(|| line.to_owned(), |(code, text)| format!("{text} [{code}]"))
}

/// Slurm's own line for a failure, where it has one.
fn failed(tool: Tool, failure: &Failure) -> Option<String> {
    let away = "Unable to contact slurm controller (connect failure)";
    match failure {
        Failure::Unreachable { .. } | Failure::NotAnExchange { .. } => {
            Some(format!("{}: {away}\n", tool.no_answer()))
        }
        Failure::Refused(problem) if problem.status >= 500 => {
            Some(format!("{}: {away}\n", tool.no_answer()))
        }
        Failure::Refused(problem) => {
            let why = match problem.status {
                404 if problem.code == "project.unknown" => {
                    "Invalid account or account/partition combination specified"
                }
                401 => "Invalid authentication credential",
                403 => "Access/permission denied",
                404 => "Invalid job id specified",
                _ => return Some(format!("{}: {}\n", tool.no_answer(), one_line(&problem.title))),
            };
            Some(format!("{}: {why}\n", tool.no_answer()))
        }
        Failure::Usage(_)
        | Failure::JobFile { .. }
        | Failure::Local { .. }
        | Failure::Told { .. }
        | Failure::ReaderGone => None,
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        // Wrong options in a script are wrong options.
        let code = if matches!(failure, Failure::JobFile { .. }) { WRONG_OPTION } else { ERROR };
        Self { lines: Vec::new(), kind: Kind::Failed(failure), code }
    }
}

/// Runs a command with its words, the first of which is its name. Gives its exit code.
pub async fn run(tool: Tool, words: &[String], session: &Session) -> u8 {
    let asked = words.get(1).map(String::as_str);
    if matches!(asked, Some("-V" | "--version")) {
        let line = format!("slurm 22.05 (dayan {})\n", env!("CARGO_PKG_VERSION"));
        return session.out.raw(line.as_bytes()).map_or(1, |()| 0);
    }
    let outcome = match tool {
        Tool::Sbatch => sbatch::run(&words[1..], session).await,
        Tool::Squeue => {
            with(tool, words, |args| async move { squeue::run(&args, session).await }).await
        }
        Tool::Scancel => {
            with(tool, words, |args| async move { scancel::run(&args, session).await }).await
        }
        Tool::Sinfo => {
            with(tool, words, |args| async move { sinfo::run(&args, session).await }).await
        }
        Tool::Sacct => {
            with(tool, words, |args| async move { sacct::run(&args, session).await }).await
        }
    };
    match outcome {
        Ok(code) => code,
        Err(Refused { kind: Kind::Failed(Failure::ReaderGone), .. }) => 0,
        Err(refused) => {
            session.out.say_raw(&refused.text(tool));
            refused.code
        }
    }
}

/// Reads a command line and runs with it. What is wrong with it is said as Slurm says it.
async fn with<A, F>(tool: Tool, words: &[String], run: impl FnOnce(A) -> F) -> Result<u8, Refused>
where
    A: clap::Parser,
    F: Future<Output = Result<u8, Refused>>,
{
    if words.iter().skip(1).any(|word| word == "--help" || word == "--usage") {
        let help = A::command().render_long_help().to_string();
        // Whoever asked for help and reads it through a pipe may be gone.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), help.as_bytes());
        return Ok(0);
    }
    let parsed = A::command().try_get_matches_from(words);
    match parsed.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(args) => run(args).await,
        Err(error) => Err(wrong_call(tool, &error)),
    }
}

fn wrong_call(tool: Tool, error: &clap::Error) -> Refused {
    use clap::error::{ContextKind, ErrorKind};
    let name = tool.name();
    let option = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let first = match error.kind() {
        ErrorKind::UnknownArgument if option.starts_with("--") => {
            format!("{name}: unrecognized option '{option}'")
        }
        ErrorKind::UnknownArgument if option.starts_with('-') => {
            format!("{name}: invalid option -- '{}'", option.trim_start_matches('-'))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!("{name}: {line}")
        }
    };
    Refused::bare(first).and(format!("Try \"{name} --help\" for more information"))
}

/// The parts of lists that were given, commas between them.
fn listed(given: &[String]) -> Vec<String> {
    let parts = given.iter().flat_map(|list| list.split(','));
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The names of users that were asked for.
async fn users(client: &Client, me: bool, given: &[String]) -> Result<BTreeSet<String>, Failure> {
    let mut names: BTreeSet<String> = listed(given).into_iter().collect();
    // `-u $USER` is how people ask for their own; the exchange knows them by another name.
    let own = std::env::var("USER").ok();
    let mine = own.is_some_and(|own| names.contains(&own));
    if me || mine {
        names.insert(client.whoami().await?.name);
    }
    Ok(names)
}

/// Seconds since 1970.
fn unix(at: Timestamp) -> i64 {
    at.as_second()
}

/// What every answer in JSON begins with.
fn meta(tool: Tool) -> Value {
    json!({
        "plugin": { "type": "dayan", "name": tool.name() },
        "Slurm": { "version": { "major": 22, "minor": 5, "micro": 0 }, "release": "22.05" },
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn commands_are_known_by_their_links() {
        let of = |name: &str| Tool::of_program(OsStr::new(name));
        assert_eq!(of("/usr/local/bin/squeue"), Some(Tool::Squeue));
        assert_eq!(of("sbatch"), Some(Tool::Sbatch));
        assert_eq!(of("dayan"), None);
        assert_eq!(of("/opt/sbatch/dayan"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn command_lines_are_right() {
        squeue::Squeue::command().debug_assert();
        scancel::Scancel::command().debug_assert();
        sinfo::Sinfo::command().debug_assert();
        sacct::Sacct::command().debug_assert();
    }

    #[test]
    fn failures_are_said_as_slurm_says_them() {
        let url = "http://x".to_owned();
        let failure = Failure::Unreachable { url, why: "refused".to_owned(), advice: None };
        let text = Refused::from(failure).text(Tool::Sbatch);
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(
                "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
            )
        );
        assert!(lines.all(|line| line.starts_with("sbatch: error: ")), "{text}");
        let problem = |status, code: &str, title: &str| dayan_wire::Problem {
            kind: "urn:x".to_owned(),
            status,
            code: code.to_owned(),
            title: title.to_owned(),
            advice: "do so".to_owned(),
            details: Vec::new(),
            request: String::new(),
        };
        let check = |problem, expect: &str| {
            let failure = Failure::Refused(Box::new(problem));
            assert_eq!(Refused::from(failure).text(Tool::Squeue), expect);
        };
        check(
            problem(401, "auth.token", "the token has ended"),
            "slurm_load_jobs error: Invalid authentication credential\n\
             squeue: error: the token has ended [auth.token]\nsqueue: error: help: do so\n",
        );
        check(
            problem(409, "x.y", "too much"),
            "slurm_load_jobs error: too much\nsqueue: error: help: do so\n",
        );
        let text = Refused::said("No\njob").and("more").text(Tool::Scancel);
        assert_eq!(text, "scancel: error: No job\nscancel: error: more\n");
    }
}

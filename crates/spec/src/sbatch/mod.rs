//! Scripts with `#SBATCH` lines as job files: options become keys, lines of `#DAYAN` are keys, and
//! the script is what a task runs, as it is.
//!
//! Invariant: a script becomes the same tree as a job file and passes the same rules, and errors
//! point into the script; no option is dropped without a word. What is around the script (time,
//! names, the environment) is handed in. Must not know prices, states, nor who asks.

mod given;
mod launch;
mod lines;
mod pattern;
mod reads;
mod table;
mod translate;
mod tree;
mod value;

use dayan_units::Time;

pub use table::{Fate, SITE_WORDS, may_be_left_out, options};
pub use translate::Note;
pub(crate) use tree::file_of;
pub use value::past;

use crate::check::check;
use crate::code::Code;
use crate::decode::decode;
use crate::error::SpecErrors;
use crate::limits::FILE_BYTES_MAX;
use crate::model::JobSpec;
use crate::report::Report;
use crate::tree::{At, Bounds, Node, Value, read_yaml};
use given::AllGiven;
use launch::{Launch, interpreter};
use lines::Word;
use translate::Translation;

/// What parts the lines of one kind of task from those of another, in Slurm's scripts for both.
const PARTS: [&str; 2] = ["hetjob", "packjob"];

/// The variable in which a job carries the elements of an array that has no common step.
pub const LIST_VARIABLE: &str = "SLURM_ARRAY_LIST";

/// Bits of an element's own number in the number that it goes by alone.
const ELEMENT_BITS: u32 = 12;

/// The first number that is an element's, not a job's: jobs' numbers stay below 2⁵³ until 2094, and
/// shifted by [`ELEMENT_BITS`] they have been above this since 2025.
const FIRST_OF_ELEMENTS: u64 = 1 << 56;

/// An element of an array as a number by itself, as Slurm has it, because scripts count with it. None
/// where it would not fit: elements from 4,096 on.
pub const fn element_number(array: u64, element: u32) -> Option<u64> {
    let number = array.checked_mul(1 << ELEMENT_BITS);
    match number {
        Some(number) if element >> ELEMENT_BITS == 0 && number >= FIRST_OF_ELEMENTS => {
            Some(number | element as u64)
        }
        _ => None,
    }
}

/// The array and the element that a number names; none where it is a job's.
pub fn array_and_element(number: u64) -> Option<(u64, u32)> {
    let element = u32::try_from(number & ((1 << ELEMENT_BITS) - 1)).ok()?;
    (number >= FIRST_OF_ELEMENTS).then_some((number >> ELEMENT_BITS, element))
}

/// What is not in the script.
pub struct Around<'a> {
    /// Now.
    pub now: Time,
    /// How far the submitter's clock is ahead of UTC, in seconds.
    pub utc_offset_s: i32,
    /// Options of the command line: they replace those of the environment and of the script.
    pub options: &'a [String],
    /// Words behind the script: its arguments.
    pub arguments: &'a [String],
    /// What the job is called that does not say: the name of the script's file.
    pub name: &'a str,
    /// Who submits, for `%u`.
    pub user: &'a str,
    /// The organisation in which an account without one is looked for.
    pub organisation: Option<&'a str>,
    /// What pays for a script that does not say.
    pub project: Option<&'a str>,
    /// A variable of the submitter's environment, for `SBATCH_*` and `--export=NAME`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What the command, not the job, is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Asked {
    /// Submit and pause: `--hold`.
    pub hold: bool,
    /// Wait for the end: `--wait`.
    pub wait: bool,
    /// Print the number alone: `--parsable`.
    pub parsable: bool,
    /// Print errors only: `--quiet`.
    pub quiet: bool,
    /// Say when it would start, submit nothing: `--test-only`.
    pub test_only: bool,
    /// Start after all earlier jobs of its name and user: `--dependency=singleton`.
    pub singleton: bool,
}

/// A script, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The job.
    pub job: JobSpec,
    /// The job file, in JSON: what is sent.
    pub file: serde_json::Value,
    /// What was said and has no effect.
    pub notes: Vec<Note>,
    /// What the command is asked to do.
    pub asked: Asked,
}

/// The words of a command line of `sbatch`, parted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CommandLine {
    /// Options and their values.
    pub options: Vec<String>,
    /// The command of `--wrap`.
    pub wrap: Option<String>,
    /// The script's file.
    pub script: Option<String>,
    /// What the script is called with.
    pub arguments: Vec<String>,
}

/// Does a text begin as a script and carry lines for this reader?
pub fn is_script(text: &str) -> bool {
    lines::is_script(text)
}

/// Parts the words of a command line, without its first.
pub fn command_line(words: &[String]) -> Result<CommandLine, SpecErrors> {
    let mut source = String::new();
    let places = appended(&mut source, "sbatch", words);
    let report = Report::new(&source);
    let (given, rest) = given::options(&places, &report);
    let taken = words.len() - rest.len();
    let wrap = given.iter().rfind(|option| option.known.name == "wrap");
    let wrap = wrap.map(|option| option.value.clone());
    if !report.is_clean() {
        return Err(report.into_errors());
    }
    let options = words[..taken].iter().filter(|word| *word != "--").cloned().collect();
    let mut rest = rest.iter().map(|word| word.text.clone());
    let script = if wrap.is_some() { None } else { rest.next() };
    Ok(CommandLine { options, wrap, script, arguments: rest.collect() })
}

/// The script that `--wrap` stands for.
pub fn wrapped(command: &str) -> String {
    format!("#!/bin/sh\n# This script was written by sbatch --wrap.\n\n{command}\n")
}

/// Words behind a text, each with its place; they make a line of their own.
fn appended(source: &mut String, first: &str, words: &[String]) -> Vec<Word> {
    source.push_str(first);
    let place = |word: &String| {
        source.push(' ');
        let start = source.len();
        source.push_str(&launch::quoted(word).replace(['\n', '\r'], " "));
        Word { text: word.clone(), at: At { start, end: source.len() } }
    };
    words.iter().map(place).collect()
}

/// Reads a script.
pub fn read(script: &str, around: &Around<'_>) -> Result<Batch, SpecErrors> {
    // Options from outside stand behind the script in the text that errors point into.
    let mut source = script.strip_prefix('\u{feff}').unwrap_or(script).to_owned();
    let script_end = source.len();
    if script_end > FILE_BYTES_MAX {
        let report = Report::new(&source);
        let args = [("bytes", script_end.to_string()), ("max", FILE_BYTES_MAX.to_string())];
        report.add(Code::FileTooLarge, At { start: 0, end: 0 }, "", &args);
        return Err(report.into_errors());
    }
    let mut outside = Vec::new();
    for known in table::variables() {
        if let Some(value) = (around.variable)(known) {
            source.push('\n');
            let word = appended(&mut source, known, &[value]);
            outside.extend(word.into_iter().map(|word| (known, word)));
        }
    }
    source.push('\n');
    let line = appended(&mut source, "sbatch", around.options);
    let report = Report::new(&source);
    let script = &source[..script_end];
    let lines = |text: &str| u32::try_from(text.matches('\n').count() + 1).unwrap_or(u32::MAX);
    let (own, last) = (lines(script), lines(&source));

    let head = lines::head(script);
    first_line(script, &report);
    let mut given = AllGiven::default();
    for at in &head.slurm {
        let words = lines::words(&report, *at);
        let (options, rest) = given::options(&words, &report);
        given.add(options);
        let of_parts = |word: &&lines::Word| PARTS.contains(&word.text.as_str());
        if let Some(word) = rest.first().filter(of_parts) {
            let why = "all tasks of a job are equal; submit one for each part, and join them by `#DAYAN depends_on`";
            let args = [("option", word.text.clone()), ("why", why.to_owned())];
            report.add(Code::SbatchNotOffered, word.at, "", &args);
        } else if let Some(word) = rest.first() {
            let args = [("word", crate::model::quote(&word.text))];
            report.add(Code::SbatchStrayWord, word.at, "", &args);
        }
    }
    for (name, word) in &outside {
        given.add(given::of_variable(name, &word.text, word.at).into_iter().collect());
    }
    given.add(given::options(&line, &report).0);

    let launch = Launch { script, arguments: around.arguments, ..Launch::default() };
    let mut translation = Translation {
        given: &given,
        around,
        report: &report,
        script_end,
        keys: tree::Keys::default(),
        notes: Vec::new(),
        singleton: false,
        launch,
    };
    translation.all();
    let Translation { mut keys, notes, singleton, launch, .. } = translation;
    let first = At { start: 0, end: script.lines().next().unwrap_or("").len() };
    if let Some(run) = launch::text(&launch) {
        keys.set("run", tree::text(run, first));
    }
    // What is wrong with an account has been said, and what is no script need not pay.
    let said = given.get("account").is_some_and(|account| !account.is_empty());
    let told = said || interpreter(script).is_none();
    let root = with_lines(keys.finish(first), &head, &report, script_end).filter(|root| {
        let paid = root.has("project") || !matches!(root.value, Value::Map(_));
        if !paid && !told {
            report.add(Code::SbatchNoProject, At { start: 0, end: 0 }, "project", &[]);
        }
        paid
    });
    let job = root.and_then(|root| {
        let job = decode(&root, &report)?;
        check(&job, &root, &report);
        if job.array.is_some_and(|array| array.chunk > 1) {
            report.add(Code::SbatchChunk, root.find("array.chunk"), "array.chunk", &[]);
        }
        Some((job, tree::file_of(&root)))
    });
    let asked = Asked {
        hold: given.has("hold"),
        wait: given.has("wait"),
        parsable: given.has("parsable"),
        quiet: given.has("quiet"),
        test_only: given.has("test-only"),
        singleton,
    };
    match job {
        Some((job, file)) if report.is_clean() => Ok(Batch { job, file, notes, asked }),
        Some(_) | None => Err(report.into_errors().beyond(own, last)),
    }
}

/// It must name an interpreter, and its lines must end as those of a script do.
fn first_line(script: &str, report: &Report<'_>) {
    let first = script.lines().next().unwrap_or("");
    let at = At { start: 0, end: first.len() };
    if interpreter(script).is_none() {
        report.add(Code::SbatchNoInterpreter, at, "", &[]);
    } else if script.contains("\r\n") {
        report.add(Code::SbatchDosLines, at, "", &[]);
    }
}

/// The keys of the options with those of the script's lines.
fn with_lines(
    options: Node,
    head: &lines::Head,
    report: &Report<'_>,
    script_end: usize,
) -> Option<Node> {
    let root = if head.ours.is_empty() {
        options
    } else {
        // It has the lines of the script, so its places are those of the script.
        let written = report.read(read_yaml(&lines::yaml(report, head), Bounds::JOB_FILE))?;
        if let Value::Map(entries) = &written.value
            && let Some(run) = entries.iter().find(|entry| entry.key.text == "run")
        {
            report.add(Code::SbatchRun, run.key.at, "run", &[]);
            return None;
        }
        tree::merged(options, written, script_end)
    };
    // Without an interpreter there is no command, and that has been said.
    (root.has("run") || !matches!(root.value, Value::Map(_))).then_some(root)
}

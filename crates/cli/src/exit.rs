//! How a command ends: the exit codes scripts rely on, and the one place where a failure becomes
//! words.
//!
//! Invariant: a failure is printed once, to standard error, and says what to do next; its code
//! depends on its kind and on nothing else. Must not know how a request was made.

use std::fmt::Write as _;

use dayan_spec::SpecErrors;
use dayan_wire::{Problem, ProblemDetail};

use crate::words::{Args, Lang, Word};

/// What the process ends with. Numbers never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Ok,
    /// It was done and the outcome is bad: a job failed, books do not balance, a check failed,
    /// or this machine got in the way (a full disk).
    Failed,
    /// The command line, the configuration or the job file is wrong; nothing was asked.
    Usage,
    /// No answer, or the exchange could not give one now. Asking again later may help.
    Unreachable,
    /// The exchange refused. Asking the same again will not help.
    Refused,
    /// What a command ended with that was run beside a task: `dayan exec` is in its place.
    OfCommand(u8),
}

impl Exit {
    /// The documented number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::OfCommand(code) => code,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not be done.
#[derive(Debug)]
pub enum Failure {
    /// Wrongly called or configured.
    Usage(Said),
    /// A job file that is wrong before anybody was asked.
    JobFile {
        /// Its name, as given.
        file: String,
        /// What is wrong with it.
        errors: SpecErrors,
    },
    /// Nobody answered.
    Unreachable {
        /// Whom we asked.
        url: String,
        /// What happened, from the outside in.
        why: String,
        /// What to do about it.
        advice: Option<Said>,
    },
    /// An answer that is no answer of an exchange.
    NotAnExchange {
        /// Whom we asked.
        url: String,
        /// What came instead.
        why: String,
    },
    /// The exchange said no, or (5xx) that it cannot now.
    Refused(Box<Problem>),
    /// This machine: a file, a disk, the terminal.
    Local {
        /// What was being done.
        doing: Said,
        /// Why it failed.
        why: String,
    },
    /// Another room of ours said it in words that need nothing more.
    Told {
        /// Its stable dotted code, where it has one.
        code: Option<&'static str>,
        /// What it said: what happened and what to do.
        text: String,
        /// What the process ends with.
        exit: Exit,
    },
    /// Whoever read our output has gone (`dayan ps | head`); nothing to say, nobody to say it to.
    ReaderGone,
}

/// A message and what fills it.
#[derive(Clone, Debug)]
pub struct Said(pub Word, pub Vec<(&'static str, String)>);

impl Said {
    /// A message that needs nothing filled in.
    pub fn plain(word: Word) -> Self {
        Self(word, Vec::new())
    }
    /// A message with one value.
    pub fn with(word: Word, name: &'static str, value: impl Into<String>) -> Self {
        Self(word, vec![(name, value.into())])
    }
    /// With one value more.
    #[must_use]
    pub fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.1.push((name, value.into()));
        self
    }
    /// In a language.
    pub fn text(&self, lang: Lang) -> String {
        let args: Vec<(&str, &str)> = self.1.iter().map(|(n, v)| (*n, v.as_str())).collect();
        lang.fill(self.0, &args as Args<'_>)
    }
}

impl Failure {
    /// A wrong call.
    pub fn usage(said: Said) -> Self {
        Self::Usage(said)
    }
    /// What this machine could not do.
    pub fn local(doing: Said, why: impl std::fmt::Display) -> Self {
        Self::Local { doing, why: why.to_string() }
    }
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::JobFile { .. } => Exit::Usage,
            Self::Unreachable { .. } | Self::NotAnExchange { .. } => Exit::Unreachable,
            Self::Refused(problem) if problem.status >= 500 => Exit::Unreachable,
            Self::Refused(_) => Exit::Refused,
            Self::Local { .. } => Exit::Failed,
            Self::Told { exit, .. } => *exit,
            Self::ReaderGone => Exit::Ok,
        }
    }
    /// In words, with a newline at the end; empty where nothing is to be said.
    pub fn render(&self, lang: Lang) -> String {
        let error = lang.word(Word::Error);
        match self {
            Self::Usage(said) => format!("{error}: {}\n", said.text(lang)),
            Self::JobFile { file, errors } => crate::words::spec::render(lang, file, errors),
            Self::Unreachable { url, why, advice } => {
                let said = Said::with(Word::Unreachable, "url", url).and("why", why).text(lang);
                let advice = advice
                    .as_ref()
                    .map_or_else(|| lang.word(Word::UnreachableHelp).to_owned(), |a| a.text(lang));
                format!("{error}: {said}\n  = {}: {advice}\n", lang.word(Word::Help))
            }
            Self::NotAnExchange { url, why } => {
                let said = Said::with(Word::NotAnExchange, "url", url).and("why", why);
                format!("{error}: {}\n", said.text(lang))
            }
            Self::Refused(problem) => refusal(problem, lang),
            Self::Local { doing, why } => format!("{error}: {}: {why}\n", doing.text(lang)),
            Self::Told { code: Some(code), text, .. } => format!("{error}[{code}]: {text}\n"),
            Self::Told { code: None, text, .. } => format!("{error}: {text}\n"),
            Self::ReaderGone => String::new(),
        }
    }
}

fn refusal(problem: &Problem, lang: Lang) -> String {
    let mut out =
        format!("{}[{}]: {}\n", lang.word(Word::Error), problem.code, one_line(&problem.title));
    for detail in &problem.details {
        refusal_detail(&mut out, detail, lang);
    }
    // Writing to a text cannot fail.
    if !problem.advice.is_empty() {
        let _ = writeln!(out, "  = {}: {}", lang.word(Word::Help), one_line(&problem.advice));
    }
    if !problem.request.is_empty() {
        let _ = writeln!(out, "  = {}: {}", lang.word(Word::Request), one_line(&problem.request));
    }
    out
}

fn refusal_detail(out: &mut String, detail: &ProblemDetail, lang: Lang) {
    let place = match (detail.line, detail.column) {
        (Some(line), Some(column)) => format!(" ({line}:{column})"),
        (Some(line), None) => format!(" ({line})"),
        (None, _) => String::new(),
    };
    let subject = one_line(&detail.subject);
    let _ = writeln!(out, "  {subject}{place}: {} [{}]", one_line(&detail.message), detail.code);
    if !detail.help.is_empty() {
        let _ = writeln!(out, "    {}: {}", lang.word(Word::Help), one_line(&detail.help));
    }
}

/// What others wrote, without control characters: it must not move the cursor of our terminal.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Failure {
        Failure::Refused(Box::new(Problem {
            kind: "urn:dayan:problem:budget.exceeded".to_owned(),
            status,
            code: "budget.exceeded".to_owned(),
            title: "the job could cost 60.00 CNY; 12.50 CNY of the day are left".to_owned(),
            advice: "raise the budget with `dayan budget set`".to_owned(),
            details: vec![ProblemDetail {
                subject: "market.max_price".to_owned(),
                code: "budget.day".to_owned(),
                message: "over the day's limit\u{1b}[31m".to_owned(),
                line: Some(7),
                column: Some(3),
                help: "write a lower price".to_owned(),
            }],
            request: "req_00000000000000000000000001".to_owned(),
        }))
    }

    #[test]
    fn refusals_say_code_details_advice_and_request_once() {
        insta::assert_snapshot!(problem(409).render(Lang::En));
        insta::assert_snapshot!(problem(409).render(Lang::Zh));
    }

    #[test]
    fn codes_follow_from_the_kind() {
        let check = |failure: Failure, expect: u8| assert_eq!(failure.exit().code(), expect);
        check(Failure::usage(Said::plain(Word::NoAddress)), 2);
        check(problem(403), 4);
        check(problem(503), 3);
        let why = "refused".to_owned();
        check(Failure::Unreachable { url: "http://x".to_owned(), why, advice: None }, 3);
        check(Failure::local(Said::plain(Word::StartingUp), "broken"), 1);
        check(Failure::ReaderGone, 0);
    }
}

//! What every command is handed: where to write, whom to ask, and how names become ids.

use std::path::Path;

use dayan_units::{AttemptId, JobId, Micro, Money, MoneyError, Span, TaskId, parse_span};
use dayan_wire::{PlanAnswer, Submitted};

use crate::client::{Client, JobFilter};
use crate::config::{Environment, Target};
use crate::exit::{Failure, Said};
use crate::input::read_text;
use crate::output::Out;
use crate::slurm::submit;
use crate::words::Word;

/// Numbers of jobs are no shorter: the first second of 2025 has seven digits, a day later there are
/// twelve.
const NUMBER_DIGITS_MIN: usize = 12;
/// How many jobs of one name are told apart in a message.
const SAME_NAME_SHOWN: usize = 5;
/// States of jobs that have not ended.
const NOT_ENDED: &str = "paused,queued,running";

/// May progress be drawn?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Standard error is a terminal.
    Drawn,
    /// It is not.
    Hidden,
}

/// What a command is handed.
#[derive(Debug)]
pub struct Session {
    /// Where to write.
    pub out: Out,
    /// What the environment says.
    pub environment: Environment,
    /// May progress be drawn?
    pub progress: Progress,
}

impl Session {
    /// Whom to ask.
    pub fn target(&self) -> Result<Target, Failure> {
        Target::resolve(&self.environment)
    }
    /// A connection to it.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(self.target()?, self.out.view.lang)
    }
}

/// A job file, as text, checked before anybody is asked; or a script for Slurm, made into one. `-`
/// is standard input.
pub async fn job_file(path: &Path, session: &Session) -> Result<JobText, Failure> {
    let file = path.display().to_string();
    let text = read_text(path)?;
    if submit::is_script(path, &text) {
        return of_script(&text, &file, session).await;
    }
    if text.starts_with("#!") {
        return Err(Failure::usage(Said::with(Word::ScriptNotRead, "file", file)));
    }
    match dayan_spec::parse(&text) {
        Ok(spec) => {
            let repeats = spec.schedule.is_some();
            Ok(JobText { text, repeats, wait: false, hold: false, script: false })
        }
        Err(errors) => Err(Failure::JobFile { file, errors }),
    }
}

/// A job file that is ready to be sent.
#[derive(Debug)]
pub struct JobText {
    /// YAML or JSON.
    pub text: String,
    /// Does it have a schedule?
    pub repeats: bool,
    /// Does the script ask to wait for its end?
    pub wait: bool,
    /// Does the script ask to be held?
    pub hold: bool,
    /// Was it a script?
    pub script: bool,
}

impl JobText {
    /// Submits it, with its local inputs in place.
    pub async fn submit(
        &self,
        (client, session): (&Client, &Session),
        text: String,
        quote: Option<&str>,
        key: &str,
    ) -> Result<Submitted, Failure> {
        if self.script {
            submit::submitted(client, text, quote, key, left_out(session)).await
        } else {
            client.submit(text, quote, key).await
        }
    }

    /// Asks where it could go.
    pub async fn plan(
        &self,
        (client, session): (&Client, &Session),
        text: String,
    ) -> Result<PlanAnswer, Failure> {
        if self.script {
            submit::planned(client, text, left_out(session)).await
        } else {
            client.plan(text).await
        }
    }
}

/// How it is told that an option of a script is left out.
fn left_out(session: &Session) -> impl Fn(&str, &str) {
    |option, why| {
        session.out.say(&Said::with(Word::LeftOut, "option", option).and("why", why));
    }
}

async fn of_script(text: &str, file: &str, session: &Session) -> Result<JobText, Failure> {
    let client = session.client()?;
    let script = submit::Script { text, file, options: &[], arguments: &[] };
    let mut batch = script.read(&client).await?;
    for note in &batch.notes {
        let line = note.line.map_or_else(|| "-".to_owned(), |line| line.to_string());
        let said = Said::with(Word::WithoutEffect, "option", &note.option).and("file", file);
        session.out.say(&said.and("line", line).and("why", &note.why));
    }
    submit::with_ids(&client, &mut batch).await?;
    Ok(JobText {
        text: batch.file.to_string(),
        repeats: batch.job.schedule.is_some(),
        wait: batch.asked.wait,
        hold: batch.asked.hold,
        script: true,
    })
}

/// `JOB`, `JOB/TASK` or `JOB/TASK.ATTEMPT`; JOB is an id or a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobPath {
    /// The job, as given.
    pub job: String,
    /// The task's number.
    pub task: Option<u32>,
    /// The attempt's number.
    pub attempt: Option<u32>,
}

impl JobPath {
    /// From what a person typed.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(AttemptId { job, task, attempt }) = text.parse() {
            return Ok(Self { job: job.to_string(), task: Some(task), attempt: Some(attempt) });
        }
        if let Ok(TaskId { job, task }) = text.parse() {
            return Ok(Self { job: job.to_string(), task: Some(task), attempt: None });
        }
        let bad = || Failure::usage(Said::with(Word::BadJob, "text", text));
        let (job, rest) = match text.split_once('/') {
            Some((job, rest)) => (job, Some(rest)),
            None => (text, None),
        };
        if job.is_empty() {
            return Err(bad());
        }
        let number = |part: &str| part.parse::<u32>().map_err(|_| bad());
        let (task, attempt) = match rest.map(|rest| rest.split_once('.').unwrap_or((rest, ""))) {
            None => (None, None),
            Some((task, "")) => (Some(number(task)?), None),
            Some((task, attempt)) => (Some(number(task)?), Some(number(attempt)?)),
        };
        Ok(Self { job: job.to_owned(), task, attempt })
    }

    /// The job to be looked at. A name stands for the newest job that has it, and that is said.
    pub async fn newest_id(&self, client: &Client, session: &Session) -> Result<String, Failure> {
        if self.job.starts_with("job_") {
            return self.job_id(client).await;
        }
        if let Some(id) = self.by_number(client).await? {
            return Ok(id);
        }
        let filter = JobFilter { name: Some(self.job.clone()), ..JobFilter::default() };
        let found = client.jobs(&filter, SAME_NAME_SHOWN + 1).await?;
        let Some(newest) = found.first() else {
            return Err(unknown(Word::KindJob, &self.job, client.lang()));
        };
        if found.len() > 1 {
            let more = if found.len() > SAME_NAME_SHOWN { "+" } else { "" };
            let count = format!("{}{more}", found.len().min(SAME_NAME_SHOWN));
            let said = Said::with(Word::NewestOf, "name", &self.job).and("count", count);
            session.out.say(&said.and("job", &newest.id));
        }
        Ok(newest.id.clone())
    }

    /// The job with that number, as `sbatch` prints it; none where it is no such number, so that a
    /// name of digits still is one.
    async fn by_number(&self, client: &Client) -> Result<Option<String>, Failure> {
        let digits = self.job.bytes().all(|b| b.is_ascii_digit());
        let number =
            self.job.parse().ok().filter(|_| digits && self.job.len() >= NUMBER_DIGITS_MIN);
        let Some(number) = number else { return Ok(None) };
        let filter = JobFilter { number: Some(number), ..JobFilter::default() };
        let found = client.jobs(&filter, SAME_NAME_SHOWN).await?;
        match &found[..] {
            [only] => Ok(Some(only.id.clone())),
            [..] => Ok(None),
        }
    }

    /// The job to be stopped, held back or let go on. A name stands for the one job of those that have
    /// it that has not ended; where all have, for the one that has it.
    pub async fn live_id(&self, client: &Client) -> Result<String, Failure> {
        if !self.job.starts_with("job_") && self.by_number(client).await?.is_none() {
            let (name, state) = (Some(self.job.clone()), Some(NOT_ENDED.to_owned()));
            let filter = JobFilter { state, name, ..JobFilter::default() };
            let found = client.jobs(&filter, SAME_NAME_SHOWN + 1).await?;
            if !found.is_empty() {
                return self.one_of(&found);
            }
        }
        self.job_id(client).await
    }

    /// The job to be changed. A name stands for the one job that has it.
    pub async fn job_id(&self, client: &Client) -> Result<String, Failure> {
        if self.job.parse::<JobId>().is_ok() {
            return Ok(self.job.clone());
        }
        if self.job.starts_with("job_") {
            return Err(Failure::usage(Said::with(Word::BadJob, "text", &self.job)));
        }
        if let Some(id) = self.by_number(client).await? {
            return Ok(id);
        }
        let filter = JobFilter { name: Some(self.job.clone()), ..JobFilter::default() };
        let found = client.jobs(&filter, SAME_NAME_SHOWN + 1).await?;
        if found.is_empty() {
            return Err(unknown(Word::KindJob, &self.job, client.lang()));
        }
        self.one_of(&found)
    }

    fn one_of(&self, found: &[dayan_wire::JobSummary]) -> Result<String, Failure> {
        let ids: Vec<&str> = found.iter().map(|job| job.id.as_str()).collect();
        match ids[..] {
            [only] => Ok(only.to_owned()),
            [..] => {
                let shown = ids[..ids.len().min(SAME_NAME_SHOWN)].join(", ");
                let said = Said::with(Word::AmbiguousJob, "name", &self.job).and("ids", shown);
                Err(Failure::usage(said))
            }
        }
    }
}

fn unknown(kind: Word, name: &str, lang: crate::words::Lang) -> Failure {
    Failure::usage(Said::with(Word::Unknown, "kind", lang.word(kind)).and("name", name))
}

/// The one row that a person means by an id, a slug or another name of it.
pub fn pick<'r, T>(
    rows: &'r [T],
    kind: Word,
    name: &str,
    lang: crate::words::Lang,
    names: impl Fn(&T) -> Vec<&str>,
) -> Result<&'r T, Failure> {
    let mut meant = rows.iter().filter(|row| names(row).contains(&name));
    match (meant.next(), meant.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err(unknown(kind, name, lang)),
        (Some(first), Some(second)) => {
            let id = |row| names(row).first().copied().unwrap_or_default().to_owned();
            let shown = format!("{}, {}", id(first), id(second));
            let said = Said::with(Word::Ambiguous, "kind", lang.word(kind));
            Err(Failure::usage(said.and("name", name).and("ids", shown)))
        }
    }
}

/// A provider's id, from its id or slug.
pub async fn provider_id(client: &Client, name: &str) -> Result<String, Failure> {
    let rows = client.providers().await?;
    let row = pick(&rows, Word::KindProvider, name, client.lang(), |p| vec![&p.id, &p.name])?;
    Ok(row.id.clone())
}

/// A pool's id, from its id, its compute-resource name, its name, or `provider/name`.
pub async fn pool_id(client: &Client, name: &str) -> Result<String, Failure> {
    let rows = client.pools().await?;
    if let Some((provider, pool)) = name.split_once('/') {
        let own: Vec<_> = rows.into_iter().filter(|p| p.provider == provider).collect();
        let row = pick(&own, Word::KindPool, pool, client.lang(), |p| vec![&p.id, &p.name])?;
        return Ok(row.id.clone());
    }
    let row = pick(&rows, Word::KindPool, name, client.lang(), |p| vec![&p.id, &p.name, &p.crn])?;
    Ok(row.id.clone())
}

/// A user's id, from its id, its name, or `organisation/name`.
pub async fn user_id(client: &Client, name: &str) -> Result<String, Failure> {
    let (org, name) = name.split_once('/').map_or((None, name), |(org, name)| (Some(org), name));
    let rows = client.users(org).await?;
    let row = pick(&rows, Word::KindUser, name, client.lang(), |u| vec![&u.id, &u.name])?;
    Ok(row.id.clone())
}

/// An organisation's slug, from its slug or id.
pub async fn org_slug(client: &Client, name: &str) -> Result<String, Failure> {
    if !name.starts_with("org_") {
        return Ok(name.to_owned());
    }
    let rows = client.orgs().await?;
    let row = pick(&rows, Word::KindOrg, name, client.lang(), |org| vec![&org.id, &org.name])?;
    Ok(row.name.clone())
}

/// A positive span such as `30d` in whole seconds, for clap.
pub fn seconds_arg(text: &str) -> Result<u32, String> {
    let span: Span = parse_span(text).map_err(|error| error.to_string())?;
    match u32::try_from(span.secs_ceil()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        Ok(_) | Err(_) => Err("write a time between 1s and 49000d, such as `1h`".to_owned()),
    }
}

/// A span such as `60s` in whole seconds, none allowed, for clap.
pub fn seconds_or_none_arg(text: &str) -> Result<u32, String> {
    if matches!(text, "0" | "0s") { Ok(0) } else { seconds_arg(text) }
}

/// An amount that is not negative, `60`, `60.00` or `60.00 CNY`, as the decimal the API takes.
pub fn amount_arg(text: &str) -> Result<String, String> {
    let micro = match text.parse::<Money>() {
        Ok(money) => money.micro,
        Err(_) => Micro::parse_decimal(text.trim()).map_err(|error| error.to_string())?,
    };
    not_negative(micro)?;
    Ok(micro.decimal())
}

/// An amount with its currency that is not negative, for clap; without one it is in CNY.
pub fn money_arg(text: &str) -> Result<String, String> {
    let with_currency =
        if text.trim().contains(' ') { text.trim().to_owned() } else { format!("{text} CNY") };
    let money: Money = with_currency.parse().map_err(|error: MoneyError| error.to_string())?;
    not_negative(money.micro)?;
    Ok(String::from(money))
}

fn not_negative(amount: Micro) -> Result<(), String> {
    if amount.0 < 0 { Err("an amount here cannot be negative".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "job_01h455vb4pex5vsknk084sn02q";

    #[test]
    fn jobs_tasks_and_attempts_are_read() {
        let check = |text: &str, job: &str, task, attempt| {
            let expect = JobPath { job: job.to_owned(), task, attempt };
            assert_eq!(JobPath::parse(text).expect(text), expect);
        };
        check(JOB, JOB, None, None);
        check(&format!("{JOB}/7"), JOB, Some(7), None);
        check(&format!("{JOB}/7.2"), JOB, Some(7), Some(2));
        check("shot-120", "shot-120", None, None);
        check("shot-1.20/3", "shot-1.20", Some(3), None);
        check("shot-120/3.1", "shot-120", Some(3), Some(1));
        for bad in ["", "/1", "a/b", "a/1.b", "a/1/2", "a/-1", "a/99999999999"] {
            assert!(JobPath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_stands_for_one_row_or_is_asked_back() {
        let rows = [("id_1", "a"), ("id_2", "b"), ("id_3", "b")];
        let lang = crate::words::Lang::En;
        let check = |name: &str| {
            pick(&rows, Word::KindPool, name, lang, |row| vec![row.0, row.1])
                .map(|row| row.0)
                .map_err(|failure| failure.render(lang))
        };
        assert_eq!(check("a"), Ok("id_1"));
        assert_eq!(check("id_3"), Ok("id_3"));
        assert!(check("b").expect_err("two").contains("id_2, id_3"));
        assert!(check("c").expect_err("none").contains("`c`"));
    }

    #[test]
    fn spans_and_amounts_of_the_command_line() {
        assert_eq!(seconds_arg("1h"), Ok(3_600));
        assert_eq!(seconds_arg("30d"), Ok(2_592_000));
        assert!(seconds_arg("0s").is_err());
        assert!(seconds_arg("soon").is_err());
        assert_eq!(seconds_or_none_arg("0"), Ok(0));
        assert_eq!(amount_arg("60"), Ok("60.00".to_owned()));
        assert_eq!(amount_arg("0.12 CNY"), Ok("0.12".to_owned()));
        assert!(amount_arg("-1").is_err());
        assert_eq!(money_arg("500"), Ok("500.00 CNY".to_owned()));
        assert_eq!(money_arg("5 USD"), Ok("5.00 USD".to_owned()));
        assert!(money_arg("lots").is_err());
        assert!(money_arg("-5 CNY").is_err() && money_arg("-5").is_err());
    }

    #[tokio::test]
    async fn a_broken_job_file_is_a_wrong_call() {
        let (session, _, _) = crate::tests::session(Environment::default());
        let job_file = async |path: &Path| super::job_file(path, &session).await;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("job.yaml");
        assert!(matches!(job_file(&path).await, Err(Failure::Usage(Said(Word::CannotRead, _)))));
        std::fs::write(&path, "version: 1\nname: x\n").expect("written");
        assert!(matches!(job_file(&path).await, Err(Failure::JobFile { .. })));
        std::fs::write(&path, "#!/bin/sh\necho\n").expect("written");
        assert!(matches!(job_file(&path).await, Err(Failure::Usage(Said(Word::ScriptNotRead, _)))));
        std::fs::write(&path, [0xff, 0xfe]).expect("written");
        assert!(matches!(job_file(&path).await, Err(Failure::Usage(Said(Word::CannotRead, _)))));
    }
}

/// What tests of other commands need of this one.
#[cfg(test)]
pub mod tests_support {
    /// A job file without a fault.
    pub const JOB_FILE: &str = "\
version: 1
name: hello
type: batch
project: studio-a/film-3
resources: {cpus: 1, memory: 1GB, time: 10m}
run: echo hello
market: {mode: on_demand}
";
}

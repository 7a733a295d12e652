//! Scripts on their way to the exchange, for `sbatch` and for `dayan submit` alike: what is around a
//! script is gathered, the script is read, jobs it waits for are looked up.

use std::path::Path;

use dayan_spec::sbatch::{self, Around, Batch};
use dayan_spec::{Code, SpecErrors};
use dayan_units::Time;
use dayan_wire::{PlanAnswer, Problem, Submitted};
use serde_json::{Value, json};

use super::ask::Target;
use crate::client::{Client, JobFilter};
use crate::exit::{Failure, Said};
use crate::words::Word;

/// The project that pays for a script that does not say.
const PROJECT_VARIABLE: &str = "DAYAN_PROJECT";
/// Jobs of one name that are looked through for those that have not ended, newest first.
const NAMESAKES_MAX: usize = 2_000;
/// Ends of names of files that are scripts.
const EXTENSIONS: [&str; 3] = ["sbatch", "slurm", "sh"];

/// A script with what was said on the command line.
#[derive(Debug)]
pub struct Script<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its file's name, or what stands for it.
    pub file: &'a str,
    /// Options.
    pub options: &'a [String],
    /// Arguments.
    pub arguments: &'a [String],
}

/// Is it a script for Slurm, rather than a job file?
pub fn is_script(path: &Path, text: &str) -> bool {
    let named = path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known));
    sbatch::is_script(text) || named && text.starts_with("#!")
}

/// What pays where the script does not say, as far as it is known.
#[derive(Debug, Default)]
struct Payer {
    organisation: Option<String>,
    project: Option<String>,
}

impl Script<'_> {
    /// Reads it. Who pays is asked of the exchange only where the script leaves it open.
    pub async fn read(&self, client: &Client) -> Result<Batch, Failure> {
        let project = std::env::var(PROJECT_VARIABLE).ok().filter(|project| !project.is_empty());
        let payer = Payer { organisation: None, project };
        match self.attempt(&payer) {
            Err(errors) if asks_who_pays(&errors) => {
                let payer = own(client, payer).await?;
                self.attempt(&payer).map_err(|errors| self.wrong(errors))
            }
            outcome => outcome.map_err(|errors| self.wrong(errors)),
        }
    }

    fn wrong(&self, errors: SpecErrors) -> Failure {
        Failure::JobFile { file: self.file.to_owned(), errors }
    }

    fn attempt(&self, payer: &Payer) -> Result<Batch, SpecErrors> {
        let now = crate::clock::now();
        let zone = jiff::tz::TimeZone::system();
        let user = std::env::var("USER").unwrap_or_else(|_| "user".to_owned());
        let name = Path::new(self.file).file_name().and_then(|name| name.to_str());
        let around = Around {
            now: Time::from_micros(now.as_microsecond()),
            utc_offset_s: zone.to_offset(now).seconds(),
            options: self.options,
            arguments: self.arguments,
            name: name.unwrap_or("sbatch"),
            user: &user,
            organisation: payer.organisation.as_deref(),
            project: payer.project.as_deref(),
            variable: &|name| std::env::var(name).ok(),
        };
        sbatch::read(self.text, &around)
    }
}

/// Would it help to know the caller's organisation?
fn asks_who_pays(errors: &SpecErrors) -> bool {
    errors.errors.iter().any(|error| match error.code {
        Code::SbatchNoProject => true,
        Code::SbatchBadValue => {
            matches!(error.arg("option"), Some("-A" | "--account" | "SBATCH_ACCOUNT"))
        }
        _ => false,
    })
}

/// The caller's organisation, and its project where it has one only.
async fn own(client: &Client, known: Payer) -> Result<Payer, Failure> {
    let organisation = client.whoami().await?.org;
    let project = match known.project {
        Some(project) => Some(project),
        None => {
            // Who may not list projects has to say.
            let all = client.projects().await.unwrap_or_default();
            let mut mine = all
                .into_iter()
                .map(|project| project.path)
                .filter(|path| path.split('/').next() == Some(organisation.as_str()));
            mine.next().filter(|_| mine.next().is_none())
        }
    };
    Ok(Payer { organisation: Some(organisation), project })
}

/// An option that is left out, and why it may be.
type LeftOut = (String, &'static str);

/// Submits a script's job; `told` of each option that is left out because no pool takes it.
pub async fn submitted(
    client: &Client,
    file: String,
    quote: Option<&str>,
    key: &str,
    told: impl Fn(&str, &str),
) -> Result<Submitted, Failure> {
    match client.submit(file.clone(), quote, key).await {
        Err(Failure::Refused(problem)) => match lighter(&problem, &file) {
            Some((file, left_out)) => {
                for (option, why) in &left_out {
                    told(option, why);
                }
                client.submit(file, quote, key).await
            }
            None => Err(Failure::Refused(problem)),
        },
        answered => answered,
    }
}

/// Where it could go, asked in the same way.
pub async fn planned(
    client: &Client,
    file: String,
    told: impl Fn(&str, &str),
) -> Result<PlanAnswer, Failure> {
    let answer = client.plan(file.clone()).await?;
    match answer.submission.as_ref().and_then(|problem| lighter(problem, &file)) {
        Some((file, left_out)) => {
            for (option, why) in &left_out {
                told(option, why);
            }
            client.plan(file).await
        }
        None => Ok(answer),
    }
}

/// A script whose words of one cluster no pool takes, without those that would have no effect on other pools
/// either: its file, and why each of them is left out. None where something else is wrong.
fn lighter(problem: &Problem, file: &str) -> Option<(String, Vec<LeftOut>)> {
    let mut file: Value = serde_json::from_str(file).ok()?;
    let words = file.get_mut("backend")?.get_mut("slurm")?.as_object_mut()?;
    let mut left_out = Vec::new();
    for detail in &problem.details {
        let word = detail.subject.strip_prefix("backend.slurm.")?;
        if detail.code != "spec.slurm_word" {
            return None;
        }
        let value = words.remove(word)?;
        let why = sbatch::may_be_left_out(word, value.as_str().unwrap_or_default())?;
        left_out.push((format!("--{word}"), why));
    }
    (!left_out.is_empty()).then(|| (file.to_string(), left_out))
}

/// Jobs it waits for by their ids: scripts know them by number, or all that are called as it is.
pub async fn with_ids(client: &Client, batch: &mut Batch) -> Result<(), Failure> {
    by_number(client, &mut batch.file).await?;
    if batch.asked.singleton {
        let payer = batch.job.project.organisation();
        let earlier = of_its_name(client, &batch.job.name, payer).await?;
        add_earlier(&mut batch.file, earlier);
    }
    Ok(())
}

/// The first of its name waits for nobody.
fn add_earlier(file: &mut Value, earlier: Vec<Value>) {
    if earlier.is_empty() {
        return;
    }
    let waits = file.as_object_mut().map(|file| file.entry("depends_on"));
    if let Some(Value::Array(all)) = waits.map(|waits| waits.or_insert_with(|| json!([]))) {
        all.extend(earlier);
    }
}

/// The ends of the caller's jobs with that name that have not ended, of the organisation that pays.
async fn of_its_name(client: &Client, name: &str, payer: &str) -> Result<Vec<Value>, Failure> {
    let user = client.whoami().await?.name;
    let filter = JobFilter { name: Some(name.to_owned()), ..JobFilter::default() };
    let rows = client.jobs(&filter, NAMESAKES_MAX).await?;
    let own = |row: &dayan_wire::JobSummary| {
        row.ended_at.is_none()
            && row.user.as_ref() == Some(&user)
            && row.project.split('/').next() == Some(payer)
    };
    Ok(rows.iter().filter(|row| own(row)).map(|row| json!(format!("{}:ended", row.id))).collect())
}

async fn by_number(client: &Client, file: &mut Value) -> Result<(), Failure> {
    let Some(all) = file.get_mut("depends_on").and_then(Value::as_array_mut) else { return Ok(()) };
    for one in all {
        let Some((job, event)) = one.as_str().and_then(|text| text.split_once(':')) else {
            continue;
        };
        if job.is_empty() || !job.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let ids = match Target::parse(job) {
            Some(target) => target.ids(client).await?,
            None => Vec::new(),
        };
        match &ids[..] {
            [id] => *one = Value::String(format!("{id}:{event}")),
            [..] => {
                let kind = crate::words::Lang::En.word(Word::KindJob);
                let said = Said::with(Word::Unknown, "kind", kind).and("name", job);
                return Err(Failure::usage(said));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dayan_wire::ProblemDetail;

    use super::*;

    fn refused(details: &[(&str, &str)]) -> Problem {
        let detail = |(code, subject): &(&str, &str)| ProblemDetail {
            subject: (*subject).to_owned(),
            code: (*code).to_owned(),
            message: String::new(),
            line: None,
            column: None,
            help: String::new(),
        };
        Problem {
            kind: String::new(),
            status: 422,
            code: "job.not_offered".to_owned(),
            title: String::new(),
            advice: String::new(),
            details: details.iter().map(detail).collect(),
            request: String::new(),
        }
    }

    #[test]
    fn words_that_no_pool_takes_are_left_out_where_they_need_not_count() {
        let word = |word| ("spec.slurm_word", word);
        let (exclusive, threads) =
            (word("backend.slurm.exclusive"), word("backend.slurm.threads-per-core"));
        let file = |threads: &str| {
            let words =
                json!({ "partition": "gpu", "exclusive": "true", "threads-per-core": threads });
            json!({ "name": "x", "backend": { "slurm": words } }).to_string()
        };
        let (lighter_file, left_out) =
            lighter(&refused(&[exclusive, threads]), &file("1")).expect("both may");
        let lighter_file: Value = serde_json::from_str(&lighter_file).expect("JSON");
        assert_eq!(lighter_file["backend"]["slurm"], json!({ "partition": "gpu" }));
        assert_eq!(left_out[0].0, "--exclusive");
        // Two threads, a list of nodes, and whatever else is wrong, have to count.
        assert_eq!(lighter(&refused(&[exclusive, threads]), &file("2")), None);
        assert_eq!(lighter(&refused(&[word("backend.slurm.nodelist")]), &file("1")), None);
        let partition = ("spec.slurm_partition", "backend.slurm.partition");
        assert_eq!(lighter(&refused(&[exclusive, partition]), &file("1")), None);
    }
}

//! Cancelling by the REST daemon: many in one request where its version has one for that, else one by
//! one.
//!
//! Invariant: what is not there any more is cancelled; of the rest any failure is told, so that it is tried
//! again.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Rest;
use super::lenient::{Number, Text};
use super::reading::{Complaint, Said, is_gone};

/// What became of each.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct Killed {
    status: Option<Vec<One>>,
    errors: Vec<Complaint>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct One {
    error: Why,
    job_id: Number,
    step_id: Text,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct Why {
    code: Number,
    string: Text,
    message: Text,
}

impl Killed {
    /// The first that was not cancelled and is still there; `Err` where the answer says nothing of any.
    fn trouble(&self) -> Result<Option<String>, String> {
        let said = Said { errors: self.errors.clone() };
        let Some(all) = &self.status else {
            // Where all of them are gone some versions have no list.
            let gone = !said.errors.is_empty() && said.errors.iter().all(Complaint::is_gone);
            return if gone { Ok(None) } else { Err(said.words()) };
        };
        let failed = |one: &&One| one.error.code.0.is_some_and(|code| code != 0 && !is_gone(code));
        Ok(all.iter().find(failed).map(|one| {
            let which = if one.step_id.0.is_empty() {
                one.job_id.0.unwrap_or(0).to_string()
            } else {
                one.step_id.0.clone()
            };
            let why = [&one.error.message.0, &one.error.string.0];
            let why = why.into_iter().find(|text| !text.is_empty());
            format!("{which}: {}", why.map_or("no, and not why", String::as_str))
        }))
    }
}

impl Rest {
    pub(in crate::slurm) fn cancel(&self, targets: &[String]) -> Result<(), String> {
        let offered = self.offered()?;
        // The path without the method is of versions that only tell of jobs.
        let many = offered.kills_many.then(|| offered.path(false, "jobs")).flatten();
        match many {
            Some(path) if targets.len() > 1 => self.cancel_together(&path, targets),
            Some(_) | None => self.cancel_each(offered.dialect.0, targets),
        }
    }

    fn cancel_together(&self, path: &str, targets: &[String]) -> Result<(), String> {
        let body = json!({ "jobs": targets, "signal": "SIGKILL" }).to_string().into_bytes();
        let reply = self.call(Method::DELETE, path, Some(body))?;
        let killed: Killed = reply.read()?;
        killed.trouble()?.map_or(Ok(()), Err)
    }

    fn cancel_each(&self, version: u32, targets: &[String]) -> Result<(), String> {
        let mut failed = None;
        for target in targets {
            let path = format!("/slurm/v0.0.{version}/job/{target}");
            let reply = self.call(Method::DELETE, &path, None)?;
            let said: Result<Said, String> = reply.read();
            let complaint = match said {
                Ok(said) if reply.status.is_success() => said.trouble(),
                // What is not there any more needs no cancelling.
                Ok(said) if said.errors.iter().any(Complaint::is_gone) => None,
                Ok(said) => Some(said.words()),
                Err(why) => Some(why),
            };
            failed = failed.or(complaint);
        }
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_is_gone_is_cancelled_and_what_is_not_is_told() {
        let check = |answer: Value, expect: Result<Option<&str>, &str>| {
            let killed: Killed = serde_json::from_value(answer.clone()).expect("read");
            let got = killed.trouble();
            let got = got.as_ref().map(Option::as_deref).map_err(String::as_str);
            assert_eq!(got, expect, "{answer}");
        };
        let one = |id: &str, code: i64, string: &str| {
            json!({"error": {"string": string, "code": code, "message": ""}, "step_id": id,
                   "job_id": {"set": true, "infinite": false, "number": 7}})
        };
        let fine = one("7_1", 0, "No error");
        let gone = one("7_2", 2021, "Job/step already completing or completed");
        let unknown = one("7_3", 2017, "Invalid job id specified");
        let denied = one("7_4", 2002, "Access/permission denied");
        check(json!({"status": [], "errors": []}), Ok(None));
        check(json!({"status": [fine, gone, unknown]}), Ok(None));
        check(
            json!({"status": [fine, denied], "errors": [{"error_number": 2002}]}),
            Ok(Some("7_4: Access/permission denied")),
        );
        check(json!({"errors": [{"error_number": 2017, "error": "Invalid job id"}]}), Ok(None));
        check(json!({"errors": [{"error_number": 1, "error": "away"}]}), Err("away"));
        check(json!({}), Err("slurmrestd says no and not why"));
    }
}

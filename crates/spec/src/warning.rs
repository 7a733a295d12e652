//! What a job file says that is allowed, and that its owner may not have meant. Must not know prices,
//! pools or queues.

use crate::model::{DeadlineKind, Finish, JobSpec};

/// Something that is not wrong, and is worth a look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// Stable and dotted.
    pub code: &'static str,
    /// A sentence with the values.
    pub message: String,
}

/// All of them.
pub fn warnings(spec: &JobSpec) -> Vec<Warning> {
    short_deadline(spec).into_iter().collect()
}

/// A soft deadline that the limit does not fit in counts only for who is expected to run for less.
fn short_deadline(spec: &JobSpec) -> Option<Warning> {
    let deadline = spec.deadline.as_ref().filter(|by| by.kind == DeadlineKind::Soft)?;
    let limit = spec.time_limit();
    let within = match deadline.finish {
        Finish::Within(within) => Some(within).filter(|within| *within < limit)?,
        Finish::By(_) => return None,
    };
    let message = format!(
        "its soft deadline of {within} is shorter than `resources.time`, {limit}: it counts only if it \
         is expected to run for less"
    );
    Some(Warning { code: "deadline.shorter_than_time", message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_deadline_that_is_shorter_than_the_limit_is_worth_a_look() {
        let check = |deadline: &str, expect: &[&str]| {
            let text = format!(
                "version: 1\nname: x\ntype: batch\nproject: lab/a\nrun: x\n\
                 resources: {{cpus: 1, memory: 1GB, time: 2h}}\ndeadline: {{{deadline}}}\n"
            );
            let spec = crate::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
            let codes: Vec<&str> = warnings(&spec).iter().map(|warning| warning.code).collect();
            assert_eq!(codes, expect, "{deadline}");
        };
        check("finish_within: 1h, kind: soft", &["deadline.shorter_than_time"]);
        check("finish_within: 3h, kind: soft", &[]);
        check("finish_by: 2030-01-01T00:00:00Z, kind: hard", &[]);
    }
}

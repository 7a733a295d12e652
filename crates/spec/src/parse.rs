//! From a text to a job, or to everything that is wrong with it.

use crate::check::check;
use crate::code::Code;
use crate::decode::decode;
use crate::error::SpecErrors;
use crate::limits::FILE_BYTES_MAX;
use crate::model::JobSpec;
use crate::report::Report;
use crate::tree::{At, Bounds, Node, Stopped, read_json, read_yaml};

/// Reads a job file in YAML.
pub fn parse_yaml(text: &str) -> Result<JobSpec, SpecErrors> {
    read(text, read_yaml)
}

/// Reads a job file in JSON: the same keys and values as in YAML, not the canonical form.
pub fn parse_json(text: &str) -> Result<JobSpec, SpecErrors> {
    read(text, read_json)
}

/// Reads a job file in JSON when it begins with `{`, else in YAML. A YAML file that begins so is
/// one line of flow style, which nobody writes by hand.
pub fn parse(text: &str) -> Result<JobSpec, SpecErrors> {
    if without_mark(text).trim_start().starts_with('{') {
        parse_json(text)
    } else {
        parse_yaml(text)
    }
}

/// The same job file in JSON, as it could have been written; none where the text is none.
pub fn as_json(text: &str) -> Option<serde_json::Value> {
    parse(text).ok()?;
    tree_of(text).as_ref().map(crate::sbatch::file_of)
}

/// The tree of a text that is a job file.
pub(crate) fn tree_of(text: &str) -> Option<Node> {
    let text = without_mark(text);
    let read = if text.trim_start().starts_with('{') { read_json } else { read_yaml };
    read(text, Bounds::JOB_FILE).ok()
}

/// Editors on some systems begin a file with a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn read(
    text: &str,
    tree: fn(&str, Bounds) -> Result<Node, Stopped>,
) -> Result<JobSpec, SpecErrors> {
    let report = Report::new(without_mark(text));
    if text.len() > FILE_BYTES_MAX {
        let args = [("bytes", text.len().to_string()), ("max", FILE_BYTES_MAX.to_string())];
        report.add(Code::FileTooLarge, At { start: 0, end: 0 }, "", &args);
        return Err(report.into_errors());
    }
    let root = report.read(tree(report.source(), Bounds::JOB_FILE));
    let job = root.and_then(|root| {
        let job = decode(&root, &report)?;
        check(&job, &root, &report);
        Some(job)
    });
    match job {
        Some(job) if report.is_clean() => Ok(job),
        Some(_) | None => Err(report.into_errors()),
    }
}

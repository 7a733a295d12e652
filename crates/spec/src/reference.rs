//! The reference page of the job file, made from the table of keys and from the limits.

use std::fmt::Write as _;

use crate::code::Code;
use crate::keys::{KeyDef, Need, Section, Shape, sections};
use crate::limits;

/// `docs/reference/jobfile.md`, whole.
pub fn reference_page() -> String {
    let mut page = String::from(HEAD);
    let all = sections();
    for (at, section) in all.iter().enumerate() {
        // A section that stands under two keys is described once.
        if !all[..at].iter().any(|before| before.name == section.name) {
            write_section(&mut page, section);
        }
    }
    write_limits(&mut page);
    write_codes(&mut page);
    page
}

const HEAD: &str = "\
<!-- Made from the table of keys in crates/spec. `DAYAN_WRITE_DOCS=1 cargo test -p dayan-spec` writes it anew. -->
# Reference: the job file

A job file is one YAML document, or the same keys and values as JSON. Every key is checked: one that
is not listed here is an error. `dayan plan FILE` shows what a file would do without submitting it.
A guide with examples is in [job-files.md](../guides/job-files.md); the same table as JSON Schema for
editors is [jobfile.schema.json](jobfile.schema.json).

**Units** stand in the value: spans `6h`, `1h30m`, `1500ms` (us, ms, s, m, h, d, w); bytes `128GB`
(10⁹) or `128GiB` (2³⁰); money `60.00 CNY`; prices `9.50 CNY/hour`; speed `600 TFLOPS`. A number
without its unit is an error. **Ranges**: `16` is exactly that much, `32..64` at least and at most,
`128GB..` at least. **YAML**: `yes`, `no`, `on`, `off` are texts here, never true or false; anchors,
aliases and type tags are not read.
";

fn write_section(page: &mut String, section: &Section) {
    let title = if section.name.is_empty() { "The file" } else { section.name };
    let code = if section.name.is_empty() { "" } else { "`" };
    let _ = write!(page, "\n## {code}{title}{code}\n{}\n\n", section.doc);
    page.push_str("| key | value | default | |\n|---|---|---|---|\n");
    for key in section.keys {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            key.name,
            value(&key.shape),
            need(key),
            key.doc
        );
    }
}

fn need(key: &KeyDef) -> String {
    match key.need {
        Need::Required => "**required**".to_owned(),
        Need::Optional => String::new(),
        Need::Default(default) => default.to_owned(),
    }
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(kind) => format!("{}: `{}`", kind.title, kind.example),
        Shape::Whole { min, max } if min == max => format!("`{min}`"),
        Shape::Whole { min, max } => format!("whole number, {min} to {max}"),
        Shape::TrueFalse => "`true` or `false`".to_owned(),
        Shape::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Shape::List { of, .. } => format!("list of: {}", value(of)),
        Shape::OneOrMany { of, .. } => format!("one or a list of: {}", value(of)),
        Shape::Section(section) => {
            let anchor: String =
                section.name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
            format!("[keys](#{anchor})")
        }
        Shape::TextMap { .. } => "names with texts".to_owned(),
    }
}

fn write_limits(page: &mut String) {
    page.push_str("\n## Limits\n| what | at most |\n|---|---|\n");
    let rows: [(&str, String); 14] = [
        ("bytes of a file", limits::FILE_BYTES_MAX.to_string()),
        ("lists and maps inside one another", limits::DEPTH_MAX.to_string()),
        ("keys and values of a file", limits::NODES_MAX.to_string()),
        ("tasks of a job", limits::TASKS_MAX.to_string()),
        ("nodes of a gang", limits::GANG_MAX.to_string()),
        ("attempts after the first", limits::RETRY_MAX.to_string()),
        ("characters of `run`", limits::RUN_CHARS_MAX.to_string()),
        ("variables in `env`", limits::ENV_VARS_MAX.to_string()),
        ("bytes of `env`, names and values", limits::ENV_BYTES_MAX.to_string()),
        ("entries of a list", limits::LIST_MAX.to_string()),
        ("alternatives in `accelerators`", limits::ALTERNATIVES_MAX.to_string()),
        ("cores of a task", limits::CPU_MAX.to_string()),
        ("memory or disk of a task", limits::BYTES_MAX.to_string()),
        ("any span", limits::SPAN_MAX.to_string()),
    ];
    for (what, most) in rows {
        let _ = writeln!(page, "| {what} | {most} |");
    }
}

fn write_codes(page: &mut String) {
    page.push_str(
        "\n## Errors\nCodes do not change; texts may.\n\n| code | message |\n|---|---|\n",
    );
    for code in Code::ALL {
        let message = code.message().replace("{{", "{").replace("}}", "}").replace('|', "\\|");
        let _ = writeln!(page, "| `{code}` | {message} |");
    }
}

//! The JSON Schema of the job file, made from the table of keys. It says what can be said key by
//! key; rules between keys and arithmetic are the parser's. Invariant: what the parser takes, the
//! schema takes; a test holds it for every file we have.

use serde_json::{Map, Value, json};

use crate::keys::{JOB, KeyDef, Need, NumberToo, Scalar, Section, Shape, WORD};

/// The JSON Schema (draft 2020-12) of a job file, in YAML or JSON.
pub fn json_schema() -> Value {
    let mut schema = section(&JOB);
    let head = [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("$id", "urn:dayan:schema:jobfile:1"),
        ("title", "Dayan job file, version 1"),
    ];
    for (key, value) in head {
        schema.insert(key.to_owned(), json!(value));
    }
    Value::Object(schema)
}

fn section(section: &Section) -> Map<String, Value> {
    let properties: Map<String, Value> =
        section.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| matches!(key.need, Need::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = object([
        ("type", json!("object")),
        ("description", json!(section.doc)),
        ("additionalProperties", json!(false)),
        ("properties", Value::Object(properties)),
    ]);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(key: &KeyDef) -> Value {
    let mut schema = shape(&key.shape);
    let text = match key.need {
        Need::Default(default) => format!("{} Default: {default}.", key.doc),
        Need::Required | Need::Optional => key.doc.to_owned(),
    };
    schema.insert("description".to_owned(), json!(text));
    Value::Object(schema)
}

fn shape(shape: &Shape) -> Map<String, Value> {
    match shape {
        Shape::Scalar(kind) => scalar(kind),
        Shape::Whole { min, max } => {
            object([("type", json!("integer")), ("minimum", json!(min)), ("maximum", json!(max))])
        }
        Shape::TrueFalse => object([("type", json!("boolean"))]),
        Shape::Choice(words) => object([("enum", json!(words))]),
        Shape::List { of, max } => list(of, *max),
        Shape::OneOrMany { of, max } => {
            object([("anyOf", json!([self::shape(of), list(of, *max)]))])
        }
        Shape::Section(below) => section(below),
        Shape::TextMap { names, max } => object([
            ("type", json!("object")),
            ("maxProperties", json!(max)),
            ("propertyNames", json!({ "pattern": names })),
            // Numbers and `true` are taken as the text they are written with.
            ("additionalProperties", json!({ "type": ["string", "number", "boolean"] })),
        ]),
    }
}

fn list(of: &Shape, max: usize) -> Map<String, Value> {
    let mut schema = object([
        ("type", json!("array")),
        ("minItems", json!(1)),
        ("maxItems", json!(max)),
        ("items", Value::Object(shape(of))),
    ]);
    // The words of a command may come again.
    let words = matches!(of, Shape::Scalar(scalar) if scalar.title == WORD.title);
    if of.section().is_none() && !words {
        schema.insert("uniqueItems".to_owned(), json!(true));
    }
    schema
}

fn scalar(kind: &Scalar) -> Map<String, Value> {
    let mut schema = object([
        ("type", json!("string")),
        ("pattern", json!(kind.pattern)),
        ("maxLength", json!(kind.chars_max)),
        ("examples", json!([kind.example])),
    ]);
    let or_number = json!(["string", "number"]);
    match kind.number_too {
        NumberToo::No => {}
        // A name such as `120` is a number to YAML and a text to us.
        NumberToo::Label => {
            schema.insert("type".to_owned(), or_number);
        }
        NumberToo::Amount => {
            schema.insert("type".to_owned(), or_number);
            schema.insert("exclusiveMinimum".to_owned(), json!(0));
        }
    }
    schema
}

fn object<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;

    use jsonschema::Validator;
    use proptest::prelude::*;

    use super::*;
    use crate::parse::{parse_json, parse_yaml};
    use crate::tree::{Bounds, Node, read_yaml};

    static VALIDATOR: LazyLock<Validator> =
        LazyLock::new(|| jsonschema::draft202012::new(&json_schema()).expect("the schema is one"));
    fn here() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }
    fn yaml_files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(folder)
            .expect("the folder is in the repository")
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
            .map(|path| {
                let name = path.file_stem().expect("named").to_string_lossy().into_owned();
                (name, fs::read_to_string(path).expect("readable"))
            })
            .collect();
        files.sort();
        files
    }

    /// As an editor reads the file: YAML 1.2 with its core types.
    fn as_json(node: &Node) -> Value {
        match &node.value {
            crate::tree::Value::Nothing => Value::Null,
            crate::tree::Value::Quoted(text) => json!(text),
            crate::tree::Value::Bare(text) => match text.as_str() {
                "true" => json!(true),
                "false" => json!(false),
                number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    serde_json::from_str(number).unwrap_or_else(|_| json!(number))
                }
                text => json!(text),
            },
            crate::tree::Value::List(items) => items.iter().map(as_json).collect(),
            crate::tree::Value::Map(entries) => {
                entries.iter().map(|e| (e.key.text.clone(), as_json(&e.value))).collect()
            }
        }
    }
    fn yaml_as_json(text: &str) -> Option<Value> {
        read_yaml(text, Bounds::JOB_FILE).ok().map(|root| as_json(&root))
    }

    #[test]
    fn valid_files_pass_in_both_forms() {
        for (name, text) in yaml_files(&here().join("tests/files")) {
            let job = parse_yaml(&text).unwrap_or_else(|errors| panic!("{errors}"));
            let json = yaml_as_json(&text).expect("a tree");
            let faults: Vec<_> = VALIDATOR.iter_errors(&json).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{name}: {faults:?}");
            // The same keys and values as JSON are the body of the API.
            assert_eq!(parse_json(&json.to_string()).expect("the same job"), job, "{name}");
        }
    }

    /// Every way to take one key out of a tree.
    fn without_one_key(node: &Value) -> Vec<Value> {
        let mut less = Vec::new();
        if let Value::Object(map) = node {
            for (key, below) in map {
                let mut without = map.clone();
                without.remove(key);
                less.push(Value::Object(without));
                for changed in without_one_key(below) {
                    let mut with = map.clone();
                    with.insert(key.clone(), changed);
                    less.push(Value::Object(with));
                }
            }
        }
        if let Value::Array(items) = node {
            for (at, item) in items.iter().enumerate() {
                for changed in without_one_key(item) {
                    let mut with = items.clone();
                    with[at] = changed;
                    less.push(Value::Array(with));
                }
            }
        }
        less
    }
    fn key_paths(node: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match node {
            Value::Object(map) => {
                for (key, below) in map {
                    paths.insert(format!("{path}/{key}"));
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    key_paths(below, &path, paths);
                }
            }
            Value::Array(items) => {
                for item in items {
                    key_paths(item, &format!("{path}[]"), paths);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// A key of the table that the decoder does not read would be silently ignored: each key of
    /// the table is in some file with another value than its default, and taking it out of that
    /// file changes the job.
    #[test]
    fn every_key_of_the_table_is_read() {
        let mut seen = BTreeSet::new();
        for name in ["every_key", "every_array_key", "every_service_key", "every_step_key"] {
            let path = here().join(format!("tests/files/{name}.yaml"));
            let text = fs::read_to_string(path).expect("the file is in the repository");
            let whole = parse_yaml(&text).unwrap_or_else(|errors| panic!("{errors}"));
            let json = yaml_as_json(&text).expect("a tree");
            key_paths(&json, "", &mut seen);
            for less in without_one_key(&json) {
                assert_ne!(parse_json(&less.to_string()).ok().as_ref(), Some(&whole), "{less}");
            }
        }
        for section in crate::keys::sections() {
            for key in section.keys {
                let path = format!("{}/{}", section.name, key.name);
                assert!(seen.contains(&path), "no file has `{path}`");
            }
        }
    }

    /// Broken in a way that takes arithmetic, a rule between keys or the text itself to see.
    const SEMANTIC_ONLY: &[&str] = &[
        "allowed_and_denied",
        "array_and_gang",
        "backwards_array",
        "boolean_env_name",
        "contract_unused",
        "cpus_too_fine",
        "cpus_too_many",
        "deadline_no_end",
        "deadline_too_short",
        "deadline_two_ends",
        "duplicate_key",
        "env_too_large",
        "fallback_same",
        "finish_by_on_schedule",
        "gang_min_too_large",
        "head_without_gang",
        "huge_array",
        "input_bad_pattern",
        "money_two_currencies",
        "money_zero",
        "mounts_twice",
        "mounts_without_image",
        "nothing_to_run",
        "range_backwards",
        "reserved_without_contract",
        "resume_without_checkpoint",
        "resume_without_retry",
        "secret_in_address",
        "service_in_batch",
        "service_with_array",
        "service_without_section",
        "slurm_extra_bad",
        "steps_with_run",
        "time_too_long",
        "time_zero",
        "too_large",
        "workdir_control",
    ];

    #[test]
    fn broken_files_fail_or_are_known_to_pass() {
        let passing: Vec<String> = yaml_files(&here().join("tests/files/broken"))
            .into_iter()
            .filter(|(_, text)| yaml_as_json(text).is_some_and(|json| VALIDATOR.is_valid(&json)))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(passing, SEMANTIC_ONLY);
    }

    /// The pattern names the events of other jobs one by one.
    #[test]
    fn every_event_of_another_job_may_be_waited_for() {
        for after in crate::model::After::WORDS {
            let text = format!(
                "version: 1\nname: x\ntype: batch\nproject: lab/a\nrun: x\ndepends_on: [\"y:{after}\"]\n"
            );
            let json = yaml_as_json(&text).expect("a tree");
            let faults: Vec<_> = VALIDATOR.iter_errors(&json).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{text}: {faults:?}");
        }
    }

    fn check_current(path: &str, made: &str) {
        let path = here().join("../..").join(path);
        if std::env::var_os("DAYAN_WRITE_DOCS").is_some() {
            fs::write(&path, made).expect("writable");
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == made, "{} is old: DAYAN_WRITE_DOCS=1 writes it anew", path.display());
    }

    #[test]
    fn the_published_files_are_current() {
        let schema = serde_json::to_string_pretty(&json_schema()).expect("it can be written");
        check_current("docs/reference/jobfile.schema.json", &(schema + "\n"));
        check_current("docs/reference/jobfile.md", &crate::reference_page());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Any choice of keys from the valid files: whatever the parser takes passes the schema
        /// and reads to the same job from JSON.
        #[test]
        fn what_the_parser_takes_the_schema_takes(choice in prop::collection::vec(0usize..8, 40)) {
            let mut files = yaml_files(&here().join("tests/files"));
            // Every key of the others stands on a line of its own.
            files.retain(|(name, _)| !name.starts_with("every"));
            let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for line in files.iter().flat_map(|(_, text)| text.lines()) {
                if let Some((key, _)) = line.split_once(':') {
                    lines.entry(key).or_default().push(line);
                }
            }
            let needed = ["version", "name", "type", "project", "run"];
            let chosen: Vec<&str> = lines
                .iter()
                .zip(choice)
                .filter_map(|((key, lines), choice)| {
                    let choice = if needed.contains(key) { choice % lines.len() } else { choice };
                    lines.get(choice).copied()
                })
                .collect();
            let mixed = chosen.join("\n");
            let json = yaml_as_json(&mixed).expect("a tree");
            let faults: Vec<_> = VALIDATOR.iter_errors(&json).map(|e| e.to_string()).collect();
            prop_assert!(faults.is_empty(), "{mixed}\n{faults:?}");
            let (yaml, json) = (parse_yaml(&mixed), parse_json(&json.to_string()));
            match (yaml, json) {
                (Ok(yaml), Ok(json)) => prop_assert_eq!(yaml, json),
                (Err(yaml), Err(json)) => {
                    let codes = |e: &crate::SpecErrors| {
                        let mut codes: Vec<_> = e.errors.iter().map(|e| e.code).collect();
                        codes.sort_unstable();
                        codes
                    };
                    prop_assert_eq!(codes(&yaml), codes(&json));
                }
                (yaml, json) => prop_assert!(false, "{mixed}\n{yaml:?}\n{json:?}"),
            }
        }
    }
}

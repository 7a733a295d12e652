//! What a person sees for each broken file, as snapshots, and that the schema sees it too.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use dayan_spec::sbatch::{self, Around};
use dayan_spec::{Code, SpecErrors, parse_json, parse_yaml};
use dayan_units::Time;

fn broken_files() -> BTreeMap<String, String> {
    files_of("broken")
}
fn files_of(folder: &str) -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(folder);
    fs::read_dir(folder)
        .expect("the folder is in the repository")
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("readable"))
        })
        .collect()
}

#[test]
fn every_broken_file_says_what_is_wrong() {
    let files = broken_files();
    assert!(files.len() >= 40, "only {}", files.len());
    for (name, text) in files {
        let errors = parse_yaml(&text).expect_err(&name);
        assert!(!errors.errors.is_empty(), "{name}");
        for error in &errors.errors {
            let message = format!("{}{}", error.message(), error.help().unwrap_or_default());
            assert!(!message.contains(['\n', '\r']), "{name}: {message}");
        }
        insta::assert_snapshot!(name.as_str(), errors.render(&format!("{name}.yaml")));
    }
}

fn script_errors(name: &str, text: &str) -> SpecErrors {
    let around = Around {
        now: Time::EPOCH,
        utc_offset_s: 0,
        options: &[],
        arguments: &[],
        name,
        user: "li",
        organisation: None,
        project: None,
        variable: &|_| None,
    };
    sbatch::read(text, &around).expect_err(name)
}

#[test]
fn every_broken_script_says_what_is_wrong() {
    let files = files_of("broken_sbatch");
    assert!(files.len() >= 20, "only {}", files.len());
    for (name, text) in files {
        let errors = script_errors(&name, &text);
        for error in &errors.errors {
            let message = format!("{}{}", error.message(), error.help().unwrap_or_default());
            assert!(!message.contains(['\n', '\r']), "{name}: {message}");
        }
        let shown = errors.render(&format!("{name}.sbatch"));
        insta::assert_snapshot!(format!("sbatch_{name}"), shown);
    }
}

/// A code that no file shows is a message nobody has read.
#[test]
fn every_code_is_shown_by_some_file() {
    let json = ["{", r#"{"env": {"A": "\ud800"}}"#];
    let seen: Vec<Code> = broken_files()
        .values()
        .map(|text| parse_yaml(text).expect_err("broken"))
        .chain(files_of("broken_sbatch").iter().map(|(name, text)| script_errors(name, text)))
        .chain(json.iter().map(|text| parse_json(text).expect_err("broken")))
        .flat_map(|errors| errors.errors.into_iter().map(|error| error.code))
        .collect();
    let unseen: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(unseen.is_empty(), "no broken file shows {unseen:?}");
}

#[test]
fn json_errors_point_as_well() {
    let text = "{\n  \"version\": 1,\n  \"name\": \"shot-120\", \"nmae\": 1,\n  \"type\": \"batch\",\n  \"project\": \"a/b\", \"run\": [1],\n  \"env\": {\"A\": null, \"A\": \"1\"}\n}\n";
    insta::assert_snapshot!(parse_json(text).expect_err("broken").render("body.json"));
    let errors = parse_json("{\"version\": 1,\n \"name\" \"x\"}").expect_err("broken");
    insta::assert_snapshot!(errors.render("body.json"));
}

/// The API shows errors as data: code and arguments beside the English text.
#[test]
fn errors_are_data() {
    let errors = parse_yaml("version: 1\nname: x\ntype: batch\nproject: a/b\nruns: y\n");
    insta::assert_json_snapshot!(errors.expect_err("broken"));
}

//! What the guide shows is read.

use dayan_spec::parse_yaml;
use dayan_spec::sbatch::{Fate, options};

#[test]
fn the_blocks_of_the_guide_are_read() {
    let path = |name: &str| format!("{}/../../docs/guides/{name}", env!("CARGO_MANIFEST_DIR"));
    let read = |name| std::fs::read_to_string(path(name)).expect("the guide is in the repository");
    let guide = ["job-files.md", "data.md"].map(read).concat();
    let blocks: Vec<&str> =
        guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 7, "{}", blocks.len());
    for block in blocks {
        // A block that shows only some keys is completed with those that every file needs.
        let given = |key: &str| block.lines().any(|line| line.starts_with(key));
        let needed = ["version: 1", "name: x", "type: batch", "project: a/b", "run: ./x"]
            .iter()
            .filter(|line| !given(line.split(' ').next().expect("a key")))
            // What runs in steps has no command.
            .filter(|line| !(line.starts_with("run:") && given("steps:")));
        let text = needed.fold(block.to_owned(), |text, line| text + line + "\n");
        if let Err(errors) = parse_yaml(&text) {
            panic!("{}", errors.render("docs/guides"));
        }
    }
}

/// The guide to Slurm's words has each option, with what becomes of it.
#[test]
fn the_guide_says_what_becomes_of_each_option() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/slurm-words.md");
    let guide = std::fs::read_to_string(path).expect("the guide is in the repository");
    let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| `--")).collect();
    assert_eq!(rows.len(), options().count());
    for (row, (name, letter, fate)) in rows.iter().zip(sorted()) {
        let letter = letter.map_or_else(String::new, |letter| format!(", `-{letter}`"));
        let begin = format!("| `--{name}`{letter} | ");
        let rest = row.strip_prefix(&begin).unwrap_or_else(|| panic!("{begin}: {row}"));
        match fate {
            Fate::Taken => assert!(rest.len() > 10, "{row}"),
            Fate::Noted(why) | Fate::Refused(why) => assert_eq!(rest, format!("{why} |")),
        }
    }
}

/// What is taken, then what has no effect, then what is refused.
fn sorted() -> Vec<(&'static str, Option<char>, Fate)> {
    let mut all: Vec<_> = options().collect();
    all.sort_by_key(|(_, _, fate)| match fate {
        Fate::Taken => 0,
        Fate::Noted(_) => 1,
        Fate::Refused(_) => 2,
    });
    all
}

/// The script that the guide shows is read.
#[test]
fn the_script_of_the_guide_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/slurm-words.md");
    let guide = std::fs::read_to_string(path).expect("the guide is in the repository");
    let script = guide.split("```\n").find(|block| block.starts_with("#!")).expect("a script");
    let around = dayan_spec::sbatch::Around {
        now: dayan_units::Time::EPOCH,
        utc_offset_s: 0,
        options: &[],
        arguments: &[],
        name: "job.sbatch",
        user: "li",
        organisation: None,
        project: None,
        variable: &|_| None,
    };
    let batch = dayan_spec::sbatch::read(script, &around);
    let job = batch.unwrap_or_else(|errors| panic!("{}", errors.render("guide"))).job;
    assert_eq!((job.name.as_str(), job.inputs.len(), job.outputs.len()), ("shot-120", 1, 1));
    assert_eq!(job.array.map(|array| array.task_count()), Some(240));
}

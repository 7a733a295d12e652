//! What the guide shows is read.

use dayan_spec::parse_yaml;

#[test]
fn the_blocks_of_the_guide_are_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/job-files.md");
    let guide = std::fs::read_to_string(path).expect("the guide is in the repository");
    let blocks: Vec<&str> =
        guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 7, "{}", blocks.len());
    for block in blocks {
        // A block that shows only some keys is completed with those that every file needs.
        let given = |key: &str| block.lines().any(|line| line.starts_with(key));
        let needed = ["version: 1", "name: x", "type: batch", "project: a/b", "run: ./x"]
            .iter()
            .filter(|line| !given(line.split(' ').next().expect("a key")));
        let text = needed.fold(block.to_owned(), |text, line| text + line + "\n");
        if let Err(errors) = parse_yaml(&text) {
            panic!("{}", errors.render("docs/guides/job-files.md"));
        }
    }
}

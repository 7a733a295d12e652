//! Other addresses in the place of some inputs' own, in the text of a job file as it is written:
//! whoever submits a file that names files beside it uploads those and names them anew.

use crate::parse::{parse, tree_of};
use crate::tree::{At, Node, Value};

/// The text with the addresses of inputs replaced where `anew` has another; the rest is as it was.
/// A text that is no job file comes back as it is.
pub fn with_inputs(text: &str, anew: &dyn Fn(&str) -> Option<String>) -> String {
    let Some(root) = parse(text).ok().and_then(|_| tree_of(text)) else { return text.to_owned() };
    let mut changes: Vec<(At, String)> = Vec::new();
    for input in items(&root, "inputs") {
        let from = entry(input, "from");
        if let Some(Node { at, value: Value::Bare(address) | Value::Quoted(address) }) = from
            && let Some(address) = anew(address)
        {
            // A text of JSON is one of YAML as well.
            let quoted = serde_json::to_string(&address).expect("a text becomes JSON");
            changes.push((*at, quoted));
        }
    }
    let mut text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    changes.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    for (at, address) in changes {
        text.replace_range(at.start..at.end, &address);
    }
    text
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
}

fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    match entry(node, key).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        Some(Value::Nothing | Value::Bare(_) | Value::Quoted(_) | Value::Map(_)) | None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_another_address_is_written_anew() {
        let head = "version: 1\nname: x # mine\ntype: batch\nproject: a/b\nrun: ./x\n";
        let check = |inputs: &str, expect: &str| {
            let anew =
                |from: &str| from.strip_prefix("./").map(|path| format!("dayan://a/b/{path}"));
            let text = with_inputs(&format!("{head}{inputs}"), &anew);
            assert_eq!(text, format!("{head}{expect}"));
            assert!(parse(&text).is_ok(), "{text}");
        };
        check("inputs: [{from: ./s, to: s}]", "inputs: [{from: \"dayan://a/b/s\", to: s}]");
        check(
            "inputs: [{from: './a b/*', to: s}, {from: in/, to: i}]",
            "inputs: [{from: \"dayan://a/b/a b/*\", to: s}, {from: in/, to: i}]",
        );
        check(
            "inputs:\n  - from: ./s # it\n    to: s\n  - to: t\n    from: ./t\n",
            "inputs:\n  - from: \"dayan://a/b/s\" # it\n    to: s\n  - to: t\n    from: \"dayan://a/b/t\"\n",
        );
        check("", "");
        let json = "{\"version\":1,\"name\":\"x\",\"type\":\"batch\",\"project\":\"a/b\",\"run\":\"x\",\
                    \"inputs\":[{\"from\":\"./s\",\"to\":\"s\"}]}";
        let anew = |_: &str| Some("dayan://a/b/s".to_owned());
        assert_eq!(with_inputs(json, &anew), json.replace("./s", "dayan://a/b/s"));
        assert_eq!(with_inputs("inputs: [", &anew), "inputs: [");
    }
}

//! What is wrong with a job file, as a compiler shows it, in the reader's language. The English
//! texts are the parser's own; the Chinese ones stand here, filled with the same values.

use std::fmt::Write as _;

use dayan_spec::{Outside, SpecError, SpecErrors};

use super::Lang;
use super::spec_zh::{helps, message};

/// All errors of a file.
pub fn render(lang: Lang, file: &str, errors: &SpecErrors) -> String {
    match lang {
        Lang::En => errors.render(file),
        Lang::Zh => {
            let mut out: Vec<String> =
                errors.errors.iter().map(|error| chinese(error, file)).collect();
            if errors.omitted > 0 {
                out.push(format!("另有 {} 处错误\n", errors.omitted));
            }
            out.join("\n")
        }
    }
}

/// The parser draws place, line and caret; the first line and the help are ours.
fn chinese(error: &SpecError, file: &str) -> String {
    let drawn = match error.outside {
        None => error.render(file),
        Some(Outside::CommandLine) => {
            error.render(file).replacen("on the command line", "命令行", 1)
        }
        Some(Outside::Environment) => {
            error.render(file).replacen("in the environment", "环境变量", 1)
        }
    };
    let mut out = format!("错误[{}]: {}\n", error.code, said(error, message(error.code)));
    let help = error.help().map(|help| format!("= help: {help}"));
    for line in drawn.lines().skip(1) {
        let is_help = help.as_ref().is_some_and(|help| line.trim_start() == help);
        if is_help {
            let gutter = &line[..line.len() - line.trim_start().len()];
            let _ = writeln!(out, "{gutter}= 办法: {}", advice(error));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn said(error: &SpecError, template: &str) -> String {
    filled(error, template).unwrap_or_else(|| template.to_owned())
}

/// The parser's values are the same in every language, but for the list of units, whose end is
/// English.
fn filled(error: &SpecError, template: &str) -> Option<String> {
    let text = error.fill(template)?;
    match error.fill("{units}") {
        Some(units) => Some(text.replace(&units, &units.replace(" and ", ", "))),
        None => Some(text),
    }
}

/// The first advice whose values are all there, as in English.
fn advice(error: &SpecError) -> String {
    helps(error.code).iter().find_map(|template| filled(error, template)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dayan_spec::Code;

    use super::*;

    /// The names of values in a template; a doubled brace is a brace.
    fn values(template: &str) -> BTreeSet<String> {
        let bare = template.replace("{{", "").replace("}}", "");
        let parts = bare.split('{').skip(1);
        parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn every_code_says_the_same_in_both_languages() {
        for code in Code::ALL {
            assert_eq!(values(message(*code)), values(code.message()), "{code}");
            let (zh, en) = (helps(*code), code.help());
            assert_eq!(zh.len(), en.len(), "{code}");
            for (zh, en) in zh.iter().zip(en) {
                assert_eq!(values(zh), values(en), "{code}: {en}");
            }
        }
    }

    #[test]
    fn a_broken_file_in_chinese() {
        let text = "version: 1\nname: x\ntipe: batch\nresources: {memory: 1GX}\n";
        let errors = dayan_spec::parse(text).expect_err("broken");
        let shown = render(Lang::Zh, "job.yaml", &errors);
        assert!(!shown.contains("error[") && !shown.contains("= help"), "{shown}");
        assert!(!shown.contains(" and "), "{shown}");
        insta::assert_snapshot!(shown);
    }
}

//! The lines of a script that are read, and their words with their places. Invariant: only lines
//! before the first command count, as with Slurm, and a place is a byte of the text that was read.
//! Must not know which options there are.

use crate::code::Code;
use crate::report::Report;
use crate::tree::At;

/// What begins a line with Slurm's options.
const SLURM: &str = "#SBATCH";
/// What begins a line with keys of the job file.
const OURS: &str = "#DAYAN";

/// A word and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: At,
}

/// What stands before the first command.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The rest of each line of Slurm's.
    pub(super) slurm: Vec<At>,
    /// The rest of each line of ours, the space after the mark left out.
    pub(super) ours: Vec<At>,
}

/// The lines with options or keys: those before the first that is neither empty nor a comment.
pub(super) fn head(script: &str) -> Head {
    let mut head = Head::default();
    let mut start = 0;
    for line in script.split_inclusive('\n') {
        let text = line.trim_end_matches('\n');
        let rest = |mark: &str| {
            let rest = text.strip_prefix(mark)?;
            // `#SBATCHES` is a comment.
            (rest.is_empty() || rest.starts_with([' ', '\t']))
                .then_some(At { start: start + mark.len(), end: start + text.len() })
        };
        if let Some(at) = rest(SLURM) {
            head.slurm.push(at);
        } else if let Some(at) = rest(OURS) {
            let end = at.end;
            head.ours.push(At { start: (at.start + 1).min(end), end });
        } else if !text.trim().is_empty() && !text.trim_start().starts_with('#') {
            break;
        }
        start += line.len();
    }
    head
}

/// Does it look like a script that this reader is for?
pub(super) fn is_script(text: &str) -> bool {
    let head = head(text);
    text.starts_with("#!") && !(head.slurm.is_empty() && head.ours.is_empty())
}

/// The words of a line: spaces part them, quotes and backslashes keep them together, an unquoted
/// `#` begins a comment.
pub(super) fn words(report: &Report<'_>, line: At) -> Vec<Word> {
    let text = &report.source()[line.start..line.end];
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut chars = text.char_indices();
    while let Some((offset, c)) = chars.next() {
        let at = line.start + offset;
        let mut add = |c: char, end: usize| {
            let word = word
                .get_or_insert_with(|| Word { text: String::new(), at: At { start: at, end: at } });
            word.text.push(c);
            word.at.end = end;
        };
        match (quote, c) {
            (Some((open, _)), _) if open == c => {
                quote = None;
                if let Some(word) = &mut word {
                    word.at.end = at + 1;
                }
            }
            (None | Some(('"', _)), '\\') => {
                if let Some((next, escaped)) = chars.next() {
                    add(escaped, line.start + next + escaped.len_utf8());
                }
            }
            (Some(_), _) => add(c, at + c.len_utf8()),
            (None, '"' | '\'') => {
                quote = Some((c, at));
                // A pair of quotes with nothing in it is a word as well.
                word.get_or_insert_with(|| Word {
                    text: String::new(),
                    at: At { start: at, end: at + 1 },
                });
            }
            (None, '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => add(c, at + c.len_utf8()),
        }
    }
    if let Some((_, start)) = quote {
        report.add(Code::SbatchOpenQuote, At { start, end: line.end }, "", &[]);
    }
    words.extend(word);
    words
}

/// The script up to the last of our lines with everything else blanked: YAML whose places are the
/// script's, so that what is missing at its end is missing there.
pub(super) fn yaml(report: &Report<'_>, head: &Head) -> String {
    let source = report.source();
    let mut text = String::with_capacity(source.len());
    let mut done = 0;
    let blank = |part: &str| -> String {
        part.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
    };
    for line in &head.ours {
        text.push_str(&blank(&source[done..line.start]));
        text.push_str(&source[line.start..line.end]);
        done = line.end;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        let report = Report::new(line);
        let words = words(&report, At { start: 0, end: line.len() });
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn lines_are_split_as_a_shell_would() {
        let check = |line: &str, expect: &[&str]| assert_eq!(texts(line), expect, "{line}");
        check("", &[]);
        check("  -N 2\t--time=1:00 ", &["-N", "2", "--time=1:00"]);
        check("--job-name=\"a b\" -o 'x y'", &["--job-name=a b", "-o", "x y"]);
        check("--comment=a\\ b \"c \\\" d\" '\\'", &["--comment=a b", "c \" d", "\\"]);
        check("-n 4 # four of them", &["-n", "4"]);
        check("--comment='#1'", &["--comment=#1"]);
        check("-J ''", &["-J", ""]);
        check("中\\文 é", &["中文", "é"]);
        check("a\\", &["a"]);
    }

    #[test]
    fn words_know_their_place() {
        let line = "-o \"é b\" x";
        let report = Report::new(line);
        let words = words(&report, At { start: 0, end: line.len() });
        let places: Vec<&str> = words.iter().map(|w| &line[w.at.start..w.at.end]).collect();
        assert_eq!(places, ["-o", "\"é b\"", "x"]);
    }

    #[test]
    fn only_lines_before_the_first_command_are_read() {
        let script = "#!/bin/sh\n#SBATCH -n 1\n  # text\n\n  \n#SBATCH\t-N 2\n##SBATCH -n 9\n#SBATCHX\n#DAYAN project: a/b\necho\n#SBATCH -n 3\n";
        let found = head(script);
        let text = |all: &[At]| -> Vec<String> {
            all.iter().map(|at| script[at.start..at.end].to_owned()).collect()
        };
        assert_eq!(text(&found.slurm), [" -n 1", "\t-N 2"]);
        assert_eq!(text(&found.ours), ["project: a/b"]);
        assert!(is_script(script));
        assert!(!is_script("#!/bin/sh\necho\n#SBATCH -n 1\n"));
        assert!(!is_script("#SBATCH -n 1\n"));
    }

    #[test]
    fn yaml_keeps_every_place() {
        let script = "#!/bin/sh\n#DAYAN a:\n# é\n#DAYAN   b: é\necho é\n";
        let report = Report::new(script);
        let yaml = yaml(&report, &head(script));
        assert_eq!(Some(yaml.len()), script.find("\necho"));
        assert_eq!(yaml.trim(), "a:\n    \n         b: é");
        assert_eq!(yaml.find("b: é"), script.find("b: é"));
    }
}

//! Command lines for the four programs: long options only, `--name value` or `--name=value`.
//!
//! Invariant: a wrong argument is a [`UsageError`] that names the argument and ends the program
//! with exit code 2; it is never a panic. This module must not know what any option means.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::process::ExitCode;
use std::str::FromStr;

/// One option of a program.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Name without the dashes.
    pub name: &'static str,
    /// What the value is called in the help text; empty for a switch that takes none.
    pub value: &'static str,
    /// One line of help, with unit, bounds and default.
    pub help: &'static str,
}

/// What a program says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Name of the program.
    pub program: &'static str,
    /// What it does, in a few sentences.
    pub about: &'static str,
    /// Words that may stand on the line without dashes, as help text; empty if none may.
    pub words: &'static str,
    /// Its options in the order of the help text.
    pub options: &'static [Opt],
    /// Environment variables it reads: name and meaning.
    pub environment: &'static [(&'static str, &'static str)],
}

/// The user asked for something the program cannot mean. Ends with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The options that were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    values: BTreeMap<&'static str, String>,
    words: Vec<String>,
}

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Print the help text and end.
    Help(String),
    /// Do the work.
    Work(Given),
}

impl Usage {
    /// Reads the arguments after the program's name.
    pub fn read(&self, argv: impl IntoIterator<Item = String>) -> Result<Asked, UsageError> {
        let mut given = Given::default();
        let mut argv = argv.into_iter();
        while let Some(arg) = argv.next() {
            if arg == "--help" || arg == "-h" {
                return Ok(Asked::Help(self.help()));
            }
            let Some(body) = arg.strip_prefix("--") else {
                if self.words.is_empty() || arg.starts_with('-') {
                    return Err(UsageError(format!("unexpected argument {arg:?}; see --help")));
                }
                given.words.push(arg);
                continue;
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let Some(opt) = self.options.iter().find(|o| o.name == name) else {
                return Err(UsageError(format!("unknown option --{name}; see --help")));
            };
            let value = match (opt.value.is_empty(), inline) {
                (true, None) => String::new(),
                (true, Some(_)) => {
                    return Err(UsageError(format!("--{name} takes no value")));
                }
                (false, Some(value)) => value,
                (false, None) => argv
                    .next()
                    .ok_or_else(|| UsageError(format!("--{name} needs a value ({})", opt.value)))?,
            };
            if given.values.insert(opt.name, value).is_some() {
                return Err(UsageError(format!("--{name} is given twice")));
            }
        }
        Ok(Asked::Work(given))
    }

    /// The text of `--help`.
    pub fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage: {} [OPTIONS]", self.about, self.program);
        if !self.words.is_empty() {
            let _ = write!(text, " {}", self.words);
        }
        text.push_str("\n\nOptions:\n");
        for o in self.options {
            let left = if o.value.is_empty() {
                format!("--{}", o.name)
            } else {
                format!("--{} {}", o.name, o.value)
            };
            let _ = writeln!(text, "  {left:<26} {}", o.help);
        }
        let _ = writeln!(text, "  {:<26} this text", "--help");
        if !self.environment.is_empty() {
            text.push_str("\nEnvironment (an option on the line wins):\n");
            for (name, meaning) in self.environment {
                let _ = writeln!(text, "  {name:<26} {meaning}");
            }
        }
        text.push_str("\nExit codes: 0 done, 1 failed, 2 wrong arguments.\n");
        text
    }
}

impl Given {
    /// Whether the option or switch was given.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of an option, if given.
    pub fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, UsageError> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    UsageError(format!("--{name}: {text:?} is not a value it can take"))
                })
            })
            .transpose()
    }

    /// The value of a numeric option within bounds, or its default.
    pub fn number<T>(&self, name: &str, default: T, least: T, most: T) -> Result<T, UsageError>
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let value = self.value(name)?.unwrap_or(default);
        // Written so that a NaN, which compares with nothing, is refused too.
        if value >= least && value <= most {
            Ok(value)
        } else {
            Err(UsageError(format!("--{name}: {value} is outside {least}..{most}")))
        }
    }

    /// Width and height as `WxH`, each within bounds.
    pub fn size(
        &self,
        name: &str,
        default: (usize, usize),
        least: usize,
        most: usize,
    ) -> Result<(usize, usize), UsageError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let wrong =
            || UsageError(format!("--{name}: {text:?} is not WxH with sides in {least}..{most}"));
        let (w, h) = text.split_once(['x', 'X']).ok_or_else(wrong)?;
        let w: usize = w.parse().map_err(|_| wrong())?;
        let h: usize = h.parse().map_err(|_| wrong())?;
        let fits = least..=most;
        if fits.contains(&w) && fits.contains(&h) { Ok((w, h)) } else { Err(wrong()) }
    }

    /// The words without dashes.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

/// Runs a program: help to stdout, errors to stderr, exit code 0, 1 or 2.
pub fn main_with(usage: &Usage, work: impl FnOnce(&Given) -> anyhow::Result<()>) -> ExitCode {
    let given = match usage.read(std::env::args().skip(1)) {
        Ok(Asked::Help(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Work(given)) => given,
        Err(error) => {
            eprintln!("{}: {error}", usage.program);
            return ExitCode::from(2);
        }
    };
    match work(&given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", usage.program);
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        program: "p",
        about: "About.",
        words: "",
        options: &[
            Opt { name: "size", value: "WxH", help: "size" },
            Opt { name: "n", value: "N", help: "number" },
            Opt { name: "quick", value: "", help: "switch" },
        ],
        environment: &[],
    };

    fn read(line: &str) -> Result<Given, UsageError> {
        match USAGE.read(line.split_whitespace().map(str::to_owned))? {
            Asked::Work(given) => Ok(given),
            Asked::Help(_) => Err(UsageError("help".into())),
        }
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let given = read("--size 3x4 --n=7 --quick").unwrap();
        assert_eq!(given.size("size", (1, 1), 1, 10).unwrap(), (3, 4));
        assert_eq!(given.number("n", 1, 0, 9).unwrap(), 7);
        assert!(given.has("quick"));
    }

    #[test]
    fn wrong_lines_are_refused_by_name() {
        for (line, part) in [
            ("--what 1", "--what"),
            ("--n", "needs a value"),
            ("--n 1 --n 2", "twice"),
            ("--quick=1", "no value"),
            ("stray", "stray"),
            ("-x", "-x"),
        ] {
            let error = read(line).unwrap_err().0;
            assert!(error.contains(part), "{line}: {error}");
        }
        for (line, part) in [("--n x", "--n"), ("--n 99", "outside")] {
            let error = read(line).unwrap().number("n", 1, 0, 9).unwrap_err().0;
            assert!(error.contains(part), "{line}: {error}");
        }
        assert!(read("--n NaN").unwrap().number("n", 1.0, 0.0, 9.0).is_err());
        for line in ["--size 3", "--size 0x4", "--size 3x99", "--size axb"] {
            assert!(read(line).unwrap().size("size", (1, 1), 1, 10).is_err(), "{line}");
        }
    }

    #[test]
    fn help_names_every_option() {
        let help = USAGE.help();
        for o in USAGE.options {
            assert!(help.contains(o.name));
        }
    }
}

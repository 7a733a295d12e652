//! The table of keys of the job file. The parser, the JSON Schema and the reference page all read
//! it, so that none of them can know a key the others do not.
//!
//! Invariant: every key the decoder reads is in its section here, and the other way round: a test
//! takes each key out of a file and sees that another job is read. Must not know how values become types.

mod scalar;
mod table;

pub(crate) use scalar::{
    ABSOLUTE, ACCELERATOR, ARRAY_RANGE, BYTES, CITY, COMMAND, CONTACT, CONTRACT, CPUS, CRON,
    DEPENDENCY, FLOPS, HTTP_PATH, IMAGE, LICENSE, LOCATION, MONEY, MOUNT_POINT, NAME, NODE_FEATURE,
    NumberToo, PATH, PROJECT, PROVIDER, REGION, RETRY_CAUSE, SECRET, SHA256, SITE, SPAN, Scalar,
    TIME, TIMEZONE, UNIT_PRICE, WORD,
};
pub(crate) use table::*;

/// Keys that belong together: the whole file, or what stands under one key.
pub(crate) struct Section {
    /// Its path; empty for the whole file.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) doc: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) keys: &'static [KeyDef],
}

/// One key.
pub(crate) struct KeyDef {
    pub(crate) name: &'static str,
    pub(crate) need: Need,
    pub(crate) shape: Shape,
    /// One or two sentences.
    pub(crate) doc: &'static str,
}

pub(crate) enum Need {
    Required,
    /// Without it there is nothing of the kind.
    Optional,
    /// What it is when it is left out.
    Default(&'static str),
}

pub(crate) enum Shape {
    Scalar(&'static Scalar),
    Whole {
        min: u32,
        max: u32,
    },
    TrueFalse,
    Choice(&'static [&'static str]),
    List {
        of: &'static Shape,
        max: usize,
    },
    /// One value, or a list of them in the order of preference.
    OneOrMany {
        of: &'static Shape,
        max: usize,
    },
    Section(&'static Section),
    /// Free names with texts.
    TextMap {
        names: &'static str,
        max: usize,
    },
}

impl Section {
    pub(crate) fn key(&self, name: &str) -> Option<&'static KeyDef> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Shape {
    /// The section under it, also inside a list.
    pub(crate) fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Section(section) => Some(section),
            Self::List { of, .. } | Self::OneOrMany { of, .. } => of.section(),
            Self::Scalar(_)
            | Self::Whole { .. }
            | Self::TrueFalse
            | Self::Choice(_)
            | Self::TextMap { .. } => None,
        }
    }
    /// A correct value, for help.
    pub(crate) fn example(&self) -> Option<String> {
        match self {
            Self::Scalar(scalar) => Some(scalar.example.to_owned()),
            Self::Whole { min, .. } => Some(min.to_string()),
            Self::TrueFalse => Some("true".to_owned()),
            Self::Choice(words) => Some(words[0].to_owned()),
            Self::OneOrMany { of, .. } => of.example(),
            Self::List { of, .. } => of.example().map(|example| format!("[{example}]")),
            Self::Section(section) => {
                let required = section.keys.iter().filter(|key| matches!(key.need, Need::Required));
                let parts: Option<Vec<_>> = required
                    .map(|key| Some(format!("{}: {}", key.name, key.shape.example()?)))
                    .collect();
                parts
                    .filter(|parts| !parts.is_empty())
                    .map(|parts| format!("{{{}}}", parts.join(", ")))
            }
            Self::TextMap { .. } => None,
        }
    }
}

/// Every section with its keys, the whole file first, each section before those under it.
pub(crate) fn sections() -> Vec<&'static Section> {
    fn visit(section: &'static Section, all: &mut Vec<&'static Section>) {
        all.push(section);
        for key in section.keys {
            if let Some(below) = key.shape.section() {
                visit(below, all);
            }
        }
    }
    let mut all = Vec::new();
    visit(&JOB, &mut all);
    all
}

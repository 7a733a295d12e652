//! Where answers go: data to standard output in the form asked for, words to standard error.
//!
//! Invariant: standard output carries data only, so that it can be piped; a table is never wider
//! than the terminal. Must not know where the data came from.

mod grid;
mod view;
mod yaml;

use std::io::{self, Write};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use crate::exit::{Failure, Said, one_line};
use crate::words::Word;

pub use grid::{Cell, Grid};
pub use view::{Colour, View, money, or_dash, seconds};

/// The form of what goes to standard output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
    /// For scripts and people.
    Yaml,
}

/// Something that can be shown to people, and through serde to scripts.
pub trait Show: Serialize {
    /// For people; lines end with a newline, nothing at all for nothing.
    fn table(&self, view: &View) -> String;
    /// For scripts: keys that are documented are there even when they have no value.
    fn data(&self) -> Value {
        serde_json::to_value(self).expect("wire types have text keys and finite numbers")
    }
}

/// The two streams and how to write to them.
pub struct Out {
    /// What is asked for.
    pub format: Format,
    /// For whom.
    pub view: View,
    data: Mutex<Box<dyn Write + Send>>,
    words: Mutex<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Out {
    /// To these streams.
    pub fn new(
        format: Format,
        view: View,
        data: Box<dyn Write + Send>,
        words: Box<dyn Write + Send>,
    ) -> Self {
        Self { format, view, data: Mutex::new(data), words: Mutex::new(words) }
    }

    /// Shows an answer.
    pub fn show(&self, answer: &(impl Show + ?Sized)) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let table = answer.table(&self.view);
                if table.is_empty() {
                    self.say(&Said::plain(Word::NothingHere));
                }
                self.raw(table.as_bytes())
            }
            Format::Json => {
                let mut text = serde_json::to_string_pretty(&answer.data())
                    .expect("a value is always written");
                text.push('\n');
                self.raw(text.as_bytes())
            }
            Format::Yaml => self.raw(yaml::write(&answer.data()).as_bytes()),
        }
    }

    /// Shows data for scripts, or says a sentence to people: for what was done and has no table.
    pub fn done(&self, data: &Value, said: &Said) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.say(said),
            Format::Json => self.raw(format!("{data:#}\n").as_bytes())?,
            Format::Yaml => self.raw(yaml::write(data).as_bytes())?,
        }
        Ok(())
    }

    /// Shows one value that scripts and people take as it is (an id, a secret), with what to do
    /// with it on standard error.
    pub fn value(&self, name: &str, data: &Value, said: Option<&Said>) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                if let Some(said) = said {
                    self.say(said);
                }
                let text = data.get(name).and_then(Value::as_str).unwrap_or_default();
                self.raw(format!("{}\n", one_line(text)).as_bytes())
            }
            Format::Json => self.raw(format!("{data:#}\n").as_bytes()),
            Format::Yaml => self.raw(yaml::write(data).as_bytes()),
        }
    }

    /// Bytes to standard output as they are.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut data = self.data.lock().expect("nobody panics while writing");
        match data.write_all(bytes).and_then(|()| data.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
            Err(error) => Err(Failure::local(Said::plain(Word::WritingOutput), error)),
        }
    }

    /// A sentence to standard error. Nobody is left to be told when that fails.
    pub fn say(&self, said: &Said) {
        self.say_raw(&format!("{}\n", said.text(self.view.lang)));
    }

    /// Bytes to standard error as they are.
    pub fn raw_error(&self, bytes: &[u8]) {
        let mut words = self.words.lock().expect("nobody panics while writing");
        // Nobody is left to be told when that fails.
        let _ = words.write_all(bytes).and_then(|()| words.flush());
    }

    /// Text to standard error as it is.
    pub fn say_raw(&self, text: &str) {
        let mut words = self.words.lock().expect("nobody panics while writing");
        let _ = words.write_all(text.as_bytes()).and_then(|()| words.flush());
    }
}

//! The last things that happened, in words, for whoever looks into a world that failed. Kept only
//! where it is asked for: words cost more than the events they describe.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Display;
use std::rc::Rc;

use dayan_units::Time;

/// A shared list of the last lines; it outlives a world that panics.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Option<Rc<RefCell<VecDeque<String>>>>,
}

/// The last hundred or so events are what led to a failure; more is not read.
const LINES_MAX: usize = 160;

impl Trace {
    /// Keeps nothing.
    pub fn off() -> Self {
        Self::default()
    }
    /// Keeps the last lines.
    pub fn on() -> Self {
        Self { lines: Some(Rc::default()) }
    }
    /// What was kept, oldest first.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.as_ref().map(|lines| lines.borrow().iter().cloned().collect());
        lines.unwrap_or_default()
    }

    pub(crate) fn say<T: Display>(&self, at: Time, words: impl FnOnce() -> T) {
        if let Some(lines) = &self.lines {
            let mut lines = lines.borrow_mut();
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{at} {}", words()));
        }
    }
}

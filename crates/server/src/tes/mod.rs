//! GA4GH's Task Execution Service, version 1.1, over jobs.
//!
//! - [`document`]: what a task is on the wire.
//! - [`places`]: which parts of a task's folder its containers see where.
//! - [`addresses`]: where data comes from and goes to.
//! - [`translate`]: from a task to a job.
//! - [`told`]: from what is known of a job back to a task, as far as a view shows it.
//!
//! All of it is pure: it asks nobody and knows no HTTP. Invariant: what a task asks for is done or
//! refused with a reason, and never passed over silently; only what the standard itself calls a hint
//! may be without effect.

pub mod addresses;
pub mod document;
pub mod places;
pub mod told;
pub mod translate;

/// Why a task is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// A stable dotted code.
    pub code: &'static str,
    /// What is wrong.
    pub title: String,
    /// What to do.
    pub advice: String,
}

impl Wrong {
    pub(crate) fn new(
        code: &'static str,
        title: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { code, title: title.into(), advice: advice.into() }
    }
}

/// A text of a task in a message: as much as fits a line.
pub(crate) fn shown(text: &str) -> String {
    /// A line of a terminal.
    const SHOWN_CHARS_MAX: usize = 80;
    let mut short: String =
        text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        short.push('…');
    }
    short
}

//! How far a simulation is: a bar on standard error, where that is a terminal. Whoever simulates
//! calls back with the part that is done; the bar knows nothing of what is simulated.

use indicatif::{ProgressBar, ProgressStyle};

use super::super::session::{Progress, Session};

/// Parts of the bar; finer is not seen.
const PARTS: u64 = 1_000;

/// A bar that is drawn, or not.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(session: &Session) -> Self {
        Self(match session.progress {
            Progress::Drawn => {
                let style = ProgressStyle::with_template("{bar:30} {percent} % {elapsed} {eta}")
                    .expect("the template is fixed");
                ProgressBar::new(PARTS).with_style(style)
            }
            Progress::Hidden => ProgressBar::hidden(),
        })
    }

    /// So much is done, from 0 to 1.
    pub(super) fn at(&self, part: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the parts of the bar"
        )]
        let parts = (part.clamp(0.0, 1.0) * PARTS as f64) as u64;
        self.0.set_position(parts);
    }
}

impl Drop for Bar {
    /// What comes next on the terminal stands where the bar was.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

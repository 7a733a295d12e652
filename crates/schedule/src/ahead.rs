//! Reads what the next heads of the queue need before their turns come. One after the other, each would
//! wait for memory a dozen times, as what one job needs says where the next part lies; of many at once,
//! step by step, the processor fetches all while it waits for the first.
//!
//! Invariant: nothing is changed, and no decision follows from what is read.

use smallvec::SmallVec;

use crate::line::Line;
use crate::queue::{Class, ClassIx, Demand, JobIx};

/// Heads read at once: a processor has a dozen or two of reads from memory under way.
pub(crate) const AT_ONCE: usize = 16;

impl Demand {
    /// Reads what the next active heads need. Where it is in the caches already, that is a few reads.
    pub fn read_ahead(&self) {
        let next: SmallVec<[ClassIx; AT_ONCE]> =
            self.active.iter().take(AT_ONCE).map(|(_, class)| *class).collect();
        let classes: SmallVec<[&Class; AT_ONCE]> =
            next.iter().map(|class| &self.classes[*class]).collect();
        read(classes.iter().map(|class| class.far()));
        let heads: SmallVec<[JobIx; AT_ONCE]> =
            classes.iter().filter_map(|class| class.head()).collect();
        read(heads.iter().map(|head| self.jobs[*head].far()));
        read(classes.iter().zip(&heads).map(|(class, head)| {
            let choice = class.choices.get(class.cursor).map_or(0, |choice| choice.bay);
            let line = class.lines.get(&self.jobs[*head].project).map_or(0, Line::len);
            u64::from(class.closed.contains(choice)) + line as u64
        }));
    }
}

/// Makes sure that the reads are made.
fn read(values: impl Iterator<Item = u64>) {
    std::hint::black_box(values.fold(0, u64::wrapping_add));
}

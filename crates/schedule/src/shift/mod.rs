//! When flexible work runs: equal slots of time with a cost and a limit each, and jobs that may wait
//! within a window. [`decide`] chooses the slots of all jobs together, so that the sum of the costs
//! is least and no slot holds more than it may.
//!
//! Jobs that may be interrupted and are equally wide are decided exactly (`parts`), and so is
//! whatever fits where each job would like to run. The rest is a search (`together`), guided by
//! prices of the room in each slot; these prices also prove how far from the best it can be
//! (`prices`).
//!
//! Invariant: no slot holds more than its room, no job leaves its window, a job that was promised a
//! place does not lose its room to another; work is bounded by a count; the same arguments give the
//! same answer. It must not know what time a slot is, where prices come from, or what runs in it.

mod board;
mod cost;
mod parts;
mod place;
mod prices;
mod together;

use std::ops::Range;

use smallvec::SmallVec;

pub use cost::{Cost, Objective, Tariff};

use crate::policy::Work;
use board::Board;
use place::Tally;

/// Stretches of slots, in order, none touching the next.
pub type Runs = SmallVec<[Range<u32>; 2]>;

/// How much may run in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Whatever comes.
    Unlimited,
    /// So many units of width.
    Units(u32),
}

/// Whether a job may stop and go on later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// It runs through.
    Whole,
    /// It may run in as many parts as it has slots.
    Parts,
}

/// A job that may wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flexible {
    /// The first slot that it may use.
    pub earliest: u32,
    /// The slot at whose beginning it must have ended.
    pub latest: u32,
    /// How many slots it runs.
    pub slots: u32,
    /// How much of the room of a slot it takes while it runs, one or more.
    pub width: u32,
    /// Whether it may be interrupted.
    pub manner: Manner,
    /// Where it was promised to run, if it was; promises must fit beside each other. It may run
    /// elsewhere afterwards, but not end up without room.
    pub promised: Runs,
}

/// The slots that are decided about: what each costs, and how much may run in it.
#[derive(Clone, Debug)]
pub struct Slots {
    tally: Tally,
    room: Vec<i64>,
}

/// Room without a limit: more than any sum of 32-bit widths that memory holds.
const BOUNDLESS: i64 = i64::MAX / 4;

impl Slots {
    /// From costs for a unit of width, and limits.
    pub fn new(slots: impl IntoIterator<Item = (Cost, Room)>) -> Self {
        let units = |room| match room {
            Room::Unlimited => BOUNDLESS,
            Room::Units(units) => i64::from(units),
        };
        let (costs, room) = slots.into_iter().map(|(cost, room)| (cost, units(room))).unzip();
        Self { tally: Tally::new(costs), room }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.room.len()).unwrap_or(u32::MAX)
    }

    /// What a job pays where it runs.
    pub fn cost(&self, runs: &[Range<u32>], width: u32) -> Cost {
        runs.iter().map(|run| self.tally.over(run)).sum::<Cost>().times(width)
    }
}

/// Where a job runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seat {
    /// Its slots.
    pub runs: Runs,
    /// How many of its slots found no room. A job that runs through has all or none.
    pub short: u32,
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// One for each job, in the order of the jobs.
    pub seats: Vec<Seat>,
    /// Of all that found room.
    pub cost: Cost,
    /// No choice that finds room for everything has a lower first cost; none where something found
    /// no room. Equal to the cost: nothing can be better.
    pub bound: Option<i128>,
    /// What it took, in elementary steps.
    pub work: Work,
}

/// Chooses the slots of all jobs.
pub fn decide(slots: &Slots, jobs: &[Flexible], work: Work) -> Decision {
    let mut board = Board::new(slots, jobs, work);
    // The cost itself, unless something lower is proved.
    let lower = if board.seat_each_alone() || exactly(&mut board) {
        None
    } else {
        together::search(&mut board)
    };
    let seats = board.seats();
    let cost: Cost =
        seats.iter().zip(jobs).map(|(seat, job)| slots.cost(&seat.runs, job.width)).sum();
    let short = seats.iter().any(|seat| seat.short > 0);
    let bound = (!short).then(|| lower.unwrap_or(cost.first));
    Decision { seats, cost, bound, work: board.work_done() }
}

/// Decides jobs that may all be interrupted and are equally wide. False, and nobody is seated, where
/// they are others, where the work runs out, and where there is not room for all and somebody would
/// lose a promised place.
fn exactly(board: &mut Board<'_>) -> bool {
    let Some(first) = board.jobs.first() else { return true };
    let width = first.width;
    let alike = |job: &Flexible| match job.manner {
        Manner::Whole => false,
        Manner::Parts => job.width == width,
    };
    let all: Vec<usize> = (0..board.jobs.len()).collect();
    if !board.jobs.iter().all(alike) || !parts::fill(board, &all, width) {
        return false;
    }
    let kept = board.worth().broken == 0;
    if !kept {
        for job in all {
            board.lift(job);
        }
    }
    kept
}

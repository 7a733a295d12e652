//! Jobs that run through, or are of several widths, under limits: a search.
//!
//! First a choice that breaks no promise. Then prices of room are found, and now and then all jobs
//! choose anew under them, those that can wait least first; one that finds no room pushes others
//! aside, a bounded number of times. The best of these choices is improved: job by job to a cheaper
//! place that is free, or to one that another can be moved away from. At last the jobs that may be
//! interrupted are decided exactly beside the others.
//!
//! Invariant: the choice in hand is never replaced by a worse one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::board::{Board, Worth};
use super::parts::fill;
use super::place::{Tally, runs_of, slack, starts, window};
use super::prices::{Prices, by_need};
use super::{Manner, Runs};

/// Rounds of prices: beyond them the bound hardly rises.
const ROUNDS_MAX: u32 = 400;
/// All jobs choose anew every so many rounds.
const ROUNDS_TO_CHOICE: u32 = 20;
/// As long as not all have found room, more often.
const ROUNDS_TO_ROOM: u32 = 5;
/// Of the work, prices take at most one half.
const PRICES_SHARE: u64 = 2;
/// How often a job that found no room pushes others aside before it gives up.
const PUSHES_MAX: u32 = 48;
/// How often one job is pushed aside in that.
const PUSHED_MAX: u32 = 3;
/// How many cheaper places a job looks at, and how many in the way of each.
const PLACES_MAX: usize = 6;
const IN_THE_WAY_MAX: usize = 24;
/// How often all jobs are gone through; most improvements come at once.
const PASSES_MAX: u32 = 12;

/// Seats as much as it can, and says what bound the prices prove.
pub(super) fn search(board: &mut Board<'_>) -> Option<i128> {
    let own = board.slots.tally.clone();
    // Who found no room chooses earlier the next time.
    let mut missed = vec![0u32; board.jobs.len()];
    let mut order = by_need(board.jobs, &missed);
    first(board, &order, &own);
    improve(board, &order, &own);
    let mut best = Best { worth: board.worth(), seats: board.all_seats() };
    let mut prices = Prices::new(board);
    for round in 1..=ROUNDS_MAX {
        let known = (best.worth.short == 0).then_some(best.worth.cost.first);
        prices.round(board, known);
        // Settled prices change no more, but the order in which jobs choose does.
        let done = prices.settled() && best.worth.short == 0;
        let last = done || round == ROUNDS_MAX || board.over(PRICES_SHARE);
        let rounds = if best.worth.short == 0 { ROUNDS_TO_CHOICE } else { ROUNDS_TO_ROOM };
        if last || round % rounds == 0 {
            board.set(vec![Runs::new(); board.jobs.len()]);
            for &job in &order {
                seat(board, job, &prices.tally);
            }
            improve(board, &order, &own);
            best.take(board);
            for (job, missed) in missed.iter_mut().enumerate() {
                *missed += u32::from(board.short(job) > 0);
            }
            order = by_need(board.jobs, &missed);
        }
        let proved = best.worth.short == 0 && prices.bound() >= Some(best.worth.cost.first);
        if last || proved {
            break;
        }
    }
    board.set(best.seats);
    refill(board);
    prices.bound()
}

/// Decides those that may be interrupted anew, exactly, beside the others as they are; those of one
/// width after those of another.
fn refill(board: &mut Board<'_>) {
    let mut alike: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (number, job) in board.jobs.iter().enumerate() {
        match job.manner {
            Manner::Whole => {}
            Manner::Parts => alike.entry(job.width).or_default().push(number),
        }
    }
    for (width, members) in alike {
        let before = Best { worth: board.worth(), seats: board.all_seats() };
        for &job in &members {
            board.lift(job);
        }
        if !fill(board, &members, width) || board.worth() > before.worth {
            board.set(before.seats);
        }
    }
}

/// The best choice so far.
struct Best {
    worth: Worth,
    seats: Vec<Runs>,
}

impl Best {
    fn take(&mut self, board: &Board<'_>) {
        let worth = board.worth();
        if worth < self.worth {
            *self = Self { worth, seats: board.all_seats() };
        }
    }
}

/// Promises first, the others where there is room.
fn first(board: &mut Board<'_>, order: &[usize], own: &Tally) {
    for &job in order {
        let promised = board.jobs[job].promised.clone();
        if !promised.is_empty() && board.fits(job, &promised) {
            board.put(job, promised);
        }
    }
    for &job in order {
        if board.seat(job).is_empty() {
            seat(board, job, own);
        }
    }
}

/// Gives a job the cheapest free place, or makes room for it.
fn seat(board: &mut Board<'_>, job: usize, tally: &Tally) {
    match board.cheapest(job, tally) {
        Some((_, runs)) => board.put(job, runs),
        None => push_in(board, job, tally),
    }
}

/// Puts a job where least is in the way, and those that were there elsewhere. All of them find
/// room, or nothing has changed.
fn push_in(board: &mut Board<'_>, job: usize, tally: &Tally) {
    let before = board.all_seats();
    let mut pushed: BTreeMap<usize, u32> = BTreeMap::new();
    let mut homeless = vec![job];
    for _ in 0..PUSHES_MAX {
        let Some(next) = homeless.pop() else { return };
        if let Some((_, runs)) = board.cheapest(next, tally) {
            board.put(next, runs);
            continue;
        }
        homeless.push(next);
        let Some(runs) = least_crowded(board, next) else { break };
        let mut others = in_the_way(board, next, &runs, board.jobs.len());
        others.sort_by_key(|other| {
            let times = pushed.get(other).copied().unwrap_or(0);
            (times, Reverse(slack(&board.jobs[*other])), *other)
        });
        let mut aside = Vec::new();
        for other in others {
            // Only who stands in the way of what is still too full is pushed.
            if !matters(board, next, &runs, other) {
                continue;
            }
            let times = pushed.entry(other).or_default();
            *times += 1;
            if *times <= PUSHED_MAX && other != job {
                board.lift(other);
                aside.push(other);
            }
        }
        if !board.fits(next, &runs) {
            break;
        }
        homeless.pop();
        board.put(next, runs);
        homeless.extend(aside);
    }
    if !homeless.is_empty() {
        board.set(before);
    }
}

/// The place where least is missing, none if there is no such place even in an empty room.
fn least_crowded(board: &mut Board<'_>, job: usize) -> Option<Runs> {
    let of = &board.jobs[job];
    let width = i64::from(of.width);
    let span = window(of, board.slots.len());
    board.count((span.end - span.start) as usize * 2);
    let missing = |slot: u32| (width - board.free()[slot as usize]).max(0);
    match of.manner {
        Manner::Whole => {
            let mut sums = vec![0i64];
            for slot in span.clone() {
                sums.push(sums[sums.len() - 1] + missing(slot));
            }
            let lack = |run: &std::ops::Range<u32>| {
                sums[(run.end - span.start) as usize] - sums[(run.start - span.start) as usize]
            };
            starts(of, &span, &board.slots.room)
                .min_by_key(|run| (lack(run), board.slots.tally.over(run), run.start))
                .map(|run| Runs::from_iter([run]))
        }
        Manner::Parts => {
            let usable = |slot: &u32| board.slots.room[*slot as usize] >= width;
            let mut all: Vec<u32> = span.clone().filter(usable).collect();
            let costs = board.slots.tally.each();
            all.sort_by_key(|slot| (missing(*slot), costs[*slot as usize], *slot));
            let wanted = of.slots as usize;
            (all.len() >= wanted).then(|| {
                all.truncate(wanted);
                all.sort_unstable();
                runs_of(&all)
            })
        }
    }
}

/// Others that run in these slots, at most so many.
fn in_the_way(board: &mut Board<'_>, job: usize, runs: &Runs, most: usize) -> Vec<usize> {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Vec::new() };
    let span = first.start..last.end;
    let touches = |other: &usize| {
        let seat = board.seat(*other);
        *other != job && seat.iter().any(|run| run.start < span.end && span.start < run.end)
    };
    let found: Vec<usize> = (0..board.jobs.len()).filter(touches).collect();
    let mut found: Vec<usize> =
        found.into_iter().filter(|other| matters(board, job, runs, *other)).collect();
    found.truncate(most);
    board.count(board.jobs.len());
    found
}

/// Whether another job runs in one of these slots that is too full for this one.
fn matters(board: &Board<'_>, job: usize, runs: &Runs, other: usize) -> bool {
    let width = i64::from(board.jobs[job].width);
    let full = |slot: u32| board.free()[slot as usize] < width;
    board.seat(other).iter().any(|theirs| {
        runs.iter().any(|ours| {
            let (start, end) = (ours.start.max(theirs.start), ours.end.min(theirs.end));
            (start..end).any(full)
        })
    })
}

/// Moves jobs to cheaper places until none is found.
fn improve(board: &mut Board<'_>, order: &[usize], own: &Tally) {
    for _ in 0..PASSES_MAX {
        let mut better = false;
        for &job in order.iter().rev() {
            if board.spent() {
                return;
            }
            better |= settle(board, job, own) || exchange(board, job, own);
        }
        if !better {
            return;
        }
    }
}

/// A job goes to the cheapest free place.
fn settle(board: &mut Board<'_>, job: usize, own: &Tally) -> bool {
    let before = board.cost_of(job);
    let old = board.lift(job);
    match board.cheapest(job, own) {
        Some((cost, runs)) if old.is_empty() || cost.times(board.jobs[job].width) < before => {
            board.put(job, runs);
            true
        }
        Some(_) | None => {
            board.put(job, old);
            false
        }
    }
}

/// A job goes to a cheaper place that one other makes free, where that costs the other less than
/// it saves.
fn exchange(board: &mut Board<'_>, job: usize, own: &Tally) -> bool {
    if board.jobs[job].manner != Manner::Whole || board.seat(job).is_empty() {
        return false;
    }
    let width = board.jobs[job].width;
    let mine = board.cost_of(job);
    let old = board.lift(job);
    let span = window(&board.jobs[job], board.slots.len());
    board.count((span.end - span.start) as usize);
    let mut places: Vec<_> = starts(&board.jobs[job], &span, &board.slots.room)
        .map(|run| (own.over(&run).times(width), run))
        .filter(|(cost, _)| *cost < mine)
        .collect();
    places.sort_by_key(|(cost, run)| (*cost, run.start));
    for (cost, run) in places.into_iter().take(PLACES_MAX) {
        let runs = Runs::from_iter([run]);
        for other in in_the_way(board, job, &runs, IN_THE_WAY_MAX) {
            let theirs = board.cost_of(other);
            let seat = board.lift(other);
            if board.fits(job, &runs) {
                board.put(job, runs.clone());
                if let Some((dearer, place)) = board.cheapest(other, own)
                    && cost + dearer.times(board.jobs[other].width) < mine + theirs
                {
                    board.put(other, place);
                    return true;
                }
                board.lift(job);
            }
            board.put(other, seat);
        }
    }
    board.put(job, old);
    false
}

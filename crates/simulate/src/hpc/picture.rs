//! A replay as a picture: use of the machine over time, how long jobs waited, and which job ran
//! when, one order beside the others.
//!
//! A log has no names of processors, and no order chooses them: where a job stands in the last
//! chart, from below, is the drawing's choice alone. Made from the starts of the jobs, only where a
//! picture is asked for; a report carries nothing for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::protocol::{HpcJob, Window, Workload};
use crate::plot::{
    Area, Axis, Chart, FreeRuns, Marks, Point, Reach, Series, Sheet, Size, Tone, Unit, cdf, rising,
};

/// One order's replay.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// The order's name.
    pub name: &'a str,
    /// When each job of each window started.
    pub starts: &'a [Vec<i64>],
}

/// What is written in the picture, in the reader's language.
#[derive(Clone, Debug)]
pub struct HpcWords {
    /// Above all.
    pub title: String,
    /// Below it.
    pub note: String,
    /// Where there is nothing to draw.
    pub nothing: String,
    /// Of the chart of use over time.
    pub utilisation: String,
    /// Of the chart of waits.
    pub waits: String,
    /// Of the chart of jobs over time, after the order's name.
    pub jobs: String,
    /// The axis of time.
    pub time: String,
    /// The axis of use.
    pub used: String,
    /// The axis of waits.
    pub wait: String,
    /// The axis of shares.
    pub share: String,
    /// The axis of processors.
    pub processors: String,
    /// Waited less than each of [`WAITS`], and longer than all.
    pub waited: [String; Tone::DEGREES],
}

/// What tells waits apart: a minute, an hour, eight hours, a day.
pub const WAITS: [i64; Tone::DEGREES - 1] = [60, 3_600, 8 * 3_600, 86_400];

/// Means over so many parts of the whole time are drawn: about two pixels each.
const PARTS: usize = 240;
/// Of a long log so much is drawn job by job: more would not be seen.
const SHOWN_S: i64 = 2 * 86_400;
/// Where that may begin: any of these steps.
const STEP_S: i64 = 6 * 3_600;

/// Draws the first window, and the waits of all: the first replay as what it is about.
pub fn picture(workload: &Workload, replays: &[Replayed<'_>], words: &HpcWords) -> Sheet {
    let machine = workload.machine;
    let first = workload.windows.first();
    let ran: Vec<Ran<'_>> = replays.iter().filter_map(|replay| Ran::new(first?, replay)).collect();
    let whole = ran.iter().fold(None, |whole, ran| around(whole, ran.reach()));
    // One of several windows is short, and drawn whole.
    let shown = match workload.windows.len() {
        0 | 1 => whole.zip(ran.first()).map(|(whole, own)| busiest(own, whole)),
        _ => whole,
    };
    let mut charts = vec![use_chart(machine, &ran, whole, words), waits(workload, replays, words)];
    let size = if ran.len() > 1 { Size::Half } else { Size::Full };
    charts.extend(ran.iter().filter_map(|ran| Some(jobs(machine, ran, shown?, size, words))));
    Sheet {
        title: words.title.clone(),
        note: words.note.clone(),
        nothing: words.nothing.clone(),
        charts,
    }
}

/// The jobs of a window with their starts.
struct Ran<'a> {
    name: &'a str,
    jobs: &'a [HpcJob],
    starts: &'a [i64],
}

impl<'a> Ran<'a> {
    fn new(window: &'a Window, replay: &Replayed<'a>) -> Option<Self> {
        let starts = replay.starts.first()?;
        Some(Self { name: replay.name, jobs: &window.jobs, starts })
    }

    fn each(&self) -> impl Iterator<Item = (&HpcJob, i64)> {
        self.jobs.iter().zip(self.starts.iter().copied())
    }

    /// From the first submission to the last end.
    fn reach(&self) -> Option<(i64, i64)> {
        let from = self.jobs.iter().map(|job| job.submit).min()?;
        Some((from, self.each().map(|(job, start)| start + job.run).max()?))
    }
}

fn around(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

fn tone(nth: usize) -> Tone {
    nth.checked_sub(1).map_or(Tone::Own, Tone::Beside)
}

fn use_chart(machine: i64, ran: &[Ran<'_>], whole: Option<(i64, i64)>, words: &HpcWords) -> Chart {
    let series = ran.iter().enumerate().map(|(nth, ran)| Series {
        name: ran.name.to_owned(),
        tone: tone(nth),
        marks: Marks::Steps(
            whole.map(|whole| utilisation(machine, ran, whole)).unwrap_or_default(),
        ),
    });
    Chart {
        title: words.utilisation.clone(),
        x: Axis::new(words.time.clone(), Unit::Seconds),
        y: Axis::new(words.used.clone(), Unit::Percent).reaching(Reach::Between(0.0, 100.0)),
        series: series.collect(),
        size: Size::Half,
    }
}

/// The mean use of each part of the time, in per cent, from the beginning.
fn utilisation(machine: i64, ran: &Ran<'_>, (from, to): (i64, i64)) -> Vec<Point> {
    let part = (to - from) as f64 / PARTS as f64;
    if part <= 0.0 || machine <= 0 {
        return Vec::new();
    }
    let mut work = vec![0.0; PARTS];
    for (job, start) in ran.each() {
        let (begin, end) = ((start - from) as f64 / part, (start + job.run - from) as f64 / part);
        for (nth, work) in work.iter_mut().enumerate() {
            let here = end.min((nth + 1) as f64) - begin.max(nth as f64);
            *work += here.max(0.0) * job.width as f64;
        }
    }
    let point = |nth: usize| {
        let share = work[nth.min(PARTS - 1)] / machine as f64 * 100.0;
        (nth as f64 * part, share)
    };
    (0..=PARTS).map(point).collect()
}

fn waits(workload: &Workload, replays: &[Replayed<'_>], words: &HpcWords) -> Chart {
    let waits = |replay: &Replayed<'_>| -> Vec<f64> {
        let windows = workload.windows.iter().zip(replay.starts);
        let each = windows.flat_map(|(window, starts)| window.jobs.iter().zip(starts));
        each.map(|(job, start)| (start - job.submit) as f64).collect()
    };
    let series = replays.iter().enumerate().map(|(nth, replay)| {
        let points = rising(cdf(&waits(replay)));
        Series { name: replay.name.to_owned(), tone: tone(nth), marks: Marks::Steps(points) }
    });
    Chart {
        title: words.waits.clone(),
        x: Axis::new(words.wait.clone(), Unit::Seconds).log(1.0),
        y: Axis::new(words.share.clone(), Unit::Percent).reaching(Reach::Between(0.0, 100.0)),
        series: series.collect(),
        size: Size::Half,
    }
}

/// The part of the time in which most work waited under this order; the whole where that is short.
fn busiest(ran: &Ran<'_>, (from, to): (i64, i64)) -> (i64, i64) {
    let span = SHOWN_S;
    // Twice as much is still told apart.
    if to - from <= 2 * span {
        return (from, to);
    }
    let steps = usize::try_from((to - from).div_euclid(STEP_S) + 1).expect("a log has an end");
    let mut waiting = vec![0.0; steps];
    let step_of = |at: i64| usize::try_from((at - from).div_euclid(STEP_S)).unwrap_or(0);
    for (job, start) in ran.each() {
        let (first, last) = (step_of(job.submit), step_of(start).min(steps - 1));
        let mut begin = from + (job.submit - from).div_euclid(STEP_S) * STEP_S;
        for waiting in &mut waiting[first..=last] {
            let here = (start.min(begin + STEP_S) - job.submit.max(begin)).max(0);
            *waiting += here as f64 * job.width as f64;
            begin += STEP_S;
        }
    }
    let long = usize::try_from(span / STEP_S).expect("a few");
    let sums = waiting.windows(long).map(|steps| steps.iter().sum::<f64>());
    let most = sums.enumerate().fold((0, f64::MIN), |best, (nth, sum)| {
        // The first of equals.
        if sum > best.1 { (nth, sum) } else { best }
    });
    let begin = from + i64::try_from(most.0).expect("as many as there are") * STEP_S;
    (begin, begin + span)
}

fn jobs(
    machine: i64,
    ran: &Ran<'_>,
    (from, to): (i64, i64),
    size: Size,
    words: &HpcWords,
) -> Chart {
    let mut by_wait: [Vec<Area>; Tone::DEGREES] = Default::default();
    let zero = ran.reach().map_or(0, |reach| reach.0);
    for seat in seats(machine, ran, (from, to)) {
        let (job, start) = (&ran.jobs[seat.job], ran.starts[seat.job]);
        let degree = WAITS.iter().take_while(|wait| start - job.submit >= **wait).count();
        let (begin, end) = (start.max(from), (start + job.run).min(to));
        let boxes = seat.runs.iter().map(|(low, high)| Area {
            x: ((begin - zero) as f64, (end - zero) as f64),
            y: (*low as f64, *high as f64),
        });
        by_wait[degree].extend(boxes);
    }
    let series = by_wait.into_iter().enumerate().map(|(degree, areas)| Series {
        name: words.waited[degree].clone(),
        tone: Tone::Degree(degree),
        marks: Marks::Boxes(areas),
    });
    let reach = Reach::Between((from - zero) as f64, (to - zero) as f64);
    Chart {
        title: format!("{}: {}", ran.name, words.jobs),
        x: Axis::new(words.time.clone(), Unit::Seconds).reaching(reach),
        y: Axis::new(words.processors.clone(), Unit::Number)
            .reaching(Reach::Between(0.0, machine as f64)),
        series: series.collect(),
        size,
    }
}

/// Where a job is drawn.
struct Seat {
    job: usize,
    /// Runs of processors, from one up to but not including another.
    runs: Vec<(i64, i64)>,
}

/// Gives each job that runs in this time processors: the narrowest free run that holds it, else the
/// lowest free ones.
fn seats(machine: i64, ran: &Ran<'_>, (from, to): (i64, i64)) -> Vec<Seat> {
    let here = ran.each().enumerate();
    let here = here.filter(|(_, (job, start))| *start < to && start + job.run > from);
    let mut order: Vec<(i64, usize)> = here.map(|(nth, (_, start))| (start, nth)).collect();
    order.sort_unstable();
    let mut free = FreeRuns::new(machine);
    let mut ends: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut seats: Vec<Seat> = Vec::new();
    for (start, nth) in order {
        while let Some(Reverse((end, seat))) = ends.peek().copied()
            && end <= start
        {
            ends.pop();
            free.give_back(&seats[seat].runs);
        }
        let job = &ran.jobs[nth];
        ends.push(Reverse((start + job.run, seats.len())));
        seats.push(Seat { job: nth, runs: free.take(job.width) });
    }
    seats
}

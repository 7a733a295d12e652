//! A market as a picture: cards at work over time, how long jobs waited, what each policy paid for
//! how much patience, and which task ran when in the fullest pool.
//!
//! Invariant: what is drawn is of the same run as the report; the dots of cost against delay are the
//! report's figures. All words come from the caller.

use super::course::{Course, PARTS, PoolCourse};
use super::report::MarketReport;
use crate::hpc::WAITS;
use crate::plot::{
    Area, Axis, Chart, Marks, Point, Reach, Series, Sheet, Size, Tone, Unit, cdf, rising,
};

/// What is written in the picture, in the reader's language.
#[derive(Clone, Debug)]
pub struct MarketWords {
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
    /// Of the chart of cost against delay.
    pub against_delay: String,
    /// Of the chart of one pool's tasks over time.
    pub tasks: String,
    /// The axis of time.
    pub time: String,
    /// The axis of use.
    pub used: String,
    /// The axis of waits.
    pub wait: String,
    /// The axis of shares.
    pub share: String,
    /// The axis of mean waits.
    pub mean_wait: String,
    /// The axis of what is paid over the bound.
    pub over_bound: String,
    /// The axis of a pool's cards or cores.
    pub rows: String,
    /// Waited less than each of [`WAITS`], and longer than all.
    pub waited: [String; Tone::DEGREES],
}

/// Draws it: the exchange as what it is about.
pub fn picture(report: &MarketReport, course: &Course, words: &MarketWords) -> Sheet {
    Sheet {
        title: words.title.clone(),
        note: words.note.clone(),
        nothing: words.nothing.clone(),
        charts: vec![
            utilisation(course, words),
            waits(course, words),
            against_delay(report, words),
            tasks(course.pool.as_ref(), words),
        ],
    }
}

fn tone(nth: usize) -> Tone {
    nth.checked_sub(1).map_or(Tone::Own, Tone::Beside)
}

fn utilisation(course: &Course, words: &MarketWords) -> Chart {
    let part = course.length_s / PARTS as f64;
    let point = |(nth, used): (usize, &f64)| (nth as f64 * part, used * 100.0);
    let steps = |used: &[f64]| -> Vec<Point> {
        // The last part lasts to the end.
        let end = used.last().map(|last| (course.length_s, last * 100.0));
        used.iter().enumerate().map(point).chain(end).collect()
    };
    let series = course.policies.iter().enumerate().map(|(nth, policy)| Series {
        name: policy.policy.to_owned(),
        tone: tone(nth),
        marks: Marks::Steps(steps(&policy.used)),
    });
    Chart {
        title: words.utilisation.clone(),
        x: Axis::new(words.time.clone(), Unit::Seconds),
        y: Axis::new(words.used.clone(), Unit::Percent).reaching(Reach::Between(0.0, 100.0)),
        series: series.collect(),
        size: Size::Full,
    }
}

fn waits(course: &Course, words: &MarketWords) -> Chart {
    let series = course.policies.iter().enumerate().map(|(nth, policy)| Series {
        name: policy.policy.to_owned(),
        tone: tone(nth),
        marks: Marks::Steps(rising(cdf(&policy.waits_s))),
    });
    Chart {
        title: words.waits.clone(),
        x: Axis::new(words.wait.clone(), Unit::Seconds).log(1.0),
        y: Axis::new(words.share.clone(), Unit::Percent).reaching(Reach::Between(0.0, 100.0)),
        series: series.collect(),
        size: Size::Half,
    }
}

fn against_delay(report: &MarketReport, words: &MarketWords) -> Chart {
    let series = report.policies.iter().enumerate().map(|(nth, policy)| Series {
        name: policy.policy.to_owned(),
        tone: tone(nth),
        marks: Marks::Dots(vec![(policy.mean_wait_s, policy.over_bound_pct)]),
    });
    Chart {
        title: words.against_delay.clone(),
        x: Axis::new(words.mean_wait.clone(), Unit::Seconds).reaching(Reach::FromZero),
        y: Axis::new(words.over_bound.clone(), Unit::Percent).reaching(Reach::FromZero),
        series: series.collect(),
        size: Size::Half,
    }
}

fn tasks(pool: Option<&PoolCourse>, words: &MarketWords) -> Chart {
    let mut by_wait: [Vec<Area>; Tone::DEGREES] = Default::default();
    for bar in pool.iter().flat_map(|pool| &pool.tasks) {
        let degree = WAITS.iter().take_while(|wait| bar.waited_s >= **wait).count();
        by_wait[degree].push(Area { x: bar.time_s, y: bar.rows });
    }
    let series = by_wait.into_iter().enumerate().map(|(degree, areas)| Series {
        name: words.waited[degree].clone(),
        tone: Tone::Degree(degree),
        marks: Marks::Boxes(areas),
    });
    let reach = |pool: &PoolCourse| Reach::Between(pool.reach_s.0, pool.reach_s.1);
    let rows = |pool: &PoolCourse| Reach::Between(0.0, pool.rows);
    Chart {
        title: words.tasks.clone(),
        x: Axis::new(words.time.clone(), Unit::Seconds).reaching(pool.map_or(Reach::Data, reach)),
        y: Axis::new(words.rows.clone(), Unit::Number).reaching(pool.map_or(Reach::Data, rows)),
        series: series.collect(),
        size: Size::Full,
    }
}

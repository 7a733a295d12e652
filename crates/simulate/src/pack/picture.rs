//! Packing as a picture: how much of the cards is at work as more and more is asked for, one policy
//! beside the others, and the last part of it magnified, because there they part.

use super::run::Curve;
use crate::plot::{Axis, Chart, Marks, Point, Reach, Series, Sheet, Size, Tone, Unit};

/// What is written in the picture, in the reader's language.
#[derive(Clone, Debug)]
pub struct PackWords {
    /// Above all.
    pub title: String,
    /// Below it.
    pub note: String,
    /// Where there is nothing to draw.
    pub nothing: String,
    /// Of the chart of everything.
    pub whole: String,
    /// Of the chart of the last part.
    pub end: String,
    /// The axis of what arrived.
    pub arrived: String,
    /// The axis of what is at work.
    pub at_work: String,
    /// The name of the bound.
    pub bound: String,
}

/// From here on, in per cent of all cards asked for, cards run out and policies part.
const END_FROM: f64 = 85.0;

/// Draws the curves: the first one as what it is about. Each with its name.
pub fn picture(curves: &[(&str, &Curve)], words: &PackWords) -> Sheet {
    let bound = curves.first().and_then(|(_, curve)| curve.bound.as_ref());
    let series = |from: f64| -> Vec<Series> {
        let late = |points: &[Point]| {
            let late = points.iter().copied().filter(|point| point.0 >= from);
            Marks::Line(late.collect())
        };
        let policies = curves.iter().enumerate().map(|(nth, (name, curve))| Series {
            name: (*name).to_owned(),
            tone: nth.checked_sub(1).map_or(Tone::Own, Tone::Beside),
            marks: late(&curve.at_work),
        });
        let bound = bound.map(|points| Series {
            name: words.bound.clone(),
            tone: Tone::Limit,
            marks: late(points),
        });
        policies.chain(bound).collect()
    };
    let chart = |title: &str, from: f64, reach: Reach| Chart {
        title: title.to_owned(),
        x: Axis::new(words.arrived.clone(), Unit::Percent),
        y: Axis::new(words.at_work.clone(), Unit::Percent).reaching(reach),
        series: series(from),
        size: Size::Half,
    };
    Sheet {
        title: words.title.clone(),
        note: words.note.clone(),
        nothing: words.nothing.clone(),
        charts: vec![
            chart(&words.whole, 0.0, Reach::FromZero),
            chart(&words.end, END_FROM, Reach::Data),
        ],
    }
}

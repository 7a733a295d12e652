//! Shifted work as a picture: when jobs run over the day, beside how dirty the grid is then, and what
//! each job saved for the time that it was put off.

use super::series::DAY;
use crate::plot::{Axis, Chart, Marks, Point, Reach, Series, Sheet, Size, Tone, Unit};

/// A day of half-hours.
const SLOTS: usize = DAY as usize;
/// Jobs drawn by themselves: of more, every so manieth. A dot covers its neighbours beyond that.
const DOTS_MAX: usize = 2_000;

/// What a run came to, by the half-hour and by the job.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Course {
    /// How many jobs run in each half-hour, from the first one on.
    pub shifted: Vec<u32>,
    /// The same where none is shifted.
    pub unshifted: Vec<u32>,
    /// Milligrams for a kilowatt-hour in each.
    pub carbon: Vec<i64>,
    /// Of each job: by how many half-hours its end was put off, and what it emits of what it would.
    pub jobs: Vec<(u32, f64)>,
}

/// What is written in the picture, in the reader's language.
#[derive(Clone, Debug)]
pub struct CarbonWords {
    /// Above all.
    pub title: String,
    /// Below it.
    pub note: String,
    /// Where there is nothing to draw.
    pub nothing: String,
    /// Of the chart of jobs by the hour of the day.
    pub by_hour: String,
    /// Of the chart of the grid by the hour of the day.
    pub grid: String,
    /// Of the chart of what was saved against delay.
    pub against_delay: String,
    /// The axis of hours.
    pub hour: String,
    /// The axis of jobs.
    pub at_once: String,
    /// The axis of carbon.
    pub grams: String,
    /// The axis of delays.
    pub delay: String,
    /// The axis of what was saved.
    pub saved: String,
    /// The name of what was shifted.
    pub shifted: String,
    /// The name of what was not.
    pub unshifted: String,
}

/// The mean of each half-hour of the day, as steps over hours.
fn by_hour(values: impl Iterator<Item = f64>) -> Vec<Point> {
    let (mut sums, mut counts) = ([0.0; SLOTS], [0_u32; SLOTS]);
    for (at, value) in values.enumerate() {
        sums[at % SLOTS] += value;
        counts[at % SLOTS] += 1;
    }
    let mean = |slot: usize| sums[slot] / f64::from(counts[slot].max(1));
    let hour = |slot: usize| slot as f64 * 24.0 / SLOTS as f64;
    (0..=SLOTS).map(|slot| (hour(slot), mean(slot % SLOTS))).collect()
}

/// Draws it.
pub fn picture(course: &Course, words: &CarbonWords) -> Sheet {
    let load = |of: &[u32]| Marks::Steps(by_hour(of.iter().map(|jobs| f64::from(*jobs))));
    let grams = course.carbon.iter().map(|mg| *mg as f64 / 1e3);
    let every = course.jobs.len().div_ceil(DOTS_MAX).max(1);
    let dots = course
        .jobs
        .iter()
        .step_by(every)
        .map(|(slots, left)| (f64::from(*slots) * 24.0 / SLOTS as f64, (1.0 - left) * 100.0));
    let series = |name: &str, tone, marks| Series { name: name.to_owned(), tone, marks };
    let hours = || Axis::new(words.hour.clone(), Unit::Number).reaching(Reach::Between(0.0, 24.0));
    Sheet {
        title: words.title.clone(),
        note: words.note.clone(),
        nothing: words.nothing.clone(),
        charts: vec![
            Chart {
                title: words.by_hour.clone(),
                x: hours(),
                y: Axis::new(words.at_once.clone(), Unit::Number).reaching(Reach::FromZero),
                series: vec![
                    series(&words.shifted, Tone::Own, load(&course.shifted)),
                    series(&words.unshifted, Tone::Beside(0), load(&course.unshifted)),
                ],
                size: Size::Half,
            },
            Chart {
                title: words.grid.clone(),
                x: hours(),
                y: Axis::new(words.grams.clone(), Unit::Number).reaching(Reach::FromZero),
                series: vec![series(&words.grid, Tone::Limit, Marks::Steps(by_hour(grams)))],
                size: Size::Half,
            },
            Chart {
                title: words.against_delay.clone(),
                x: Axis::new(words.delay.clone(), Unit::Number).reaching(Reach::FromZero),
                y: Axis::new(words.saved.clone(), Unit::Percent).reaching(Reach::FromZero),
                series: vec![series(&words.shifted, Tone::Own, Marks::Dots(dots.collect()))],
                size: Size::Full,
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_hour_of_the_day_is_the_mean_of_all_days() {
        let days: Vec<f64> = (0..96).map(|slot| if slot == 3 { 4.0 } else { 0.0 }).collect();
        let points = by_hour(days.into_iter());
        assert_eq!(points.len(), 49);
        assert_eq!((points[3], points[4]), ((1.5, 2.0), (2.0, 0.0)));
        assert_eq!(points[48], (24.0, 0.0));
    }
}

//! From values to places along an axis, and which values are written beside it.
//!
//! Invariant: a place lies between the two ends that the axis was given, whatever the value; ticks
//! are inside, in order, and no more than were asked for.

use super::{Axis, Reach, Scale, Unit};

/// An axis with its reach settled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ruler {
    low: f64,
    high: f64,
    scale: Scale,
    unit: Unit,
}

/// A value that is written beside an axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Tick {
    /// Which.
    pub value: f64,
    /// How it is written.
    pub label: String,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

/// No figure of ours is near it.
const VALUE_MAX: f64 = 1e300;

/// Steps of clocks and calendars, in seconds, from which on there are only days.
const CLOCK_STEPS: [f64; 18] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
];

/// Marks on an axis of seconds by powers.
const CLOCK_POWERS: [f64; 11] = [
    1.0,
    10.0,
    MINUTE,
    10.0 * MINUTE,
    HOUR,
    6.0 * HOUR,
    DAY,
    10.0 * DAY,
    100.0 * DAY,
    1_000.0 * DAY,
    10_000.0 * DAY,
];

impl Ruler {
    /// Over these values.
    pub fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        match axis.reach {
            Reach::Data => {}
            Reach::FromZero => (low, high) = (low.min(0.0), high.max(0.0)),
            Reach::Between(from, to) => (low, high) = (from.min(to), from.max(to)),
        }
        if !(low.is_finite() && high.is_finite()) {
            (low, high) = (0.0, 1.0);
        }
        // Beyond these a distance is no longer a number.
        (low, high) = (low.max(-VALUE_MAX), high.min(VALUE_MAX));
        match axis.scale {
            Scale::Log { least } => {
                let least = if least > 0.0 { least.min(VALUE_MAX / 10.0) } else { 1.0 };
                // A decade is the least that powers can be read on.
                (low, high) = (least, high.max(least * 10.0));
            }
            Scale::Even if high <= low => {
                let around = 0.5_f64.max(low.abs() * 0.01);
                (low, high) = (low - around, low + around);
            }
            Scale::Even => {}
        }
        Self { low, high, scale: axis.scale, unit: axis.unit }
    }

    /// The same, to the next ticks, so that no mark lies on the edge.
    #[must_use]
    pub fn rounded(mut self, axis: &Axis, ticks_max: usize) -> Self {
        if axis.scale == Scale::Even && !matches!(axis.reach, Reach::Between(..)) {
            let step = self.step(ticks_max);
            self.low = (self.low / step + 1e-9).floor() * step;
            self.high = (self.high / step - 1e-9).ceil() * step;
        }
        self
    }

    /// Where a value lies, from 0 to 1.
    pub fn part(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Even => (value - self.low) / (self.high - self.low),
            Scale::Log { .. } => {
                (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
            }
        };
        part.clamp(0.0, 1.0)
    }

    /// Is any of it within?
    pub fn meets(&self, from: f64, to: f64) -> bool {
        to >= self.low && from <= self.high
    }

    /// What is written beside it.
    pub fn ticks(&self, ticks_max: usize) -> Vec<Tick> {
        let values = match self.scale {
            Scale::Even => self.even(ticks_max),
            Scale::Log { .. } => self.powers(ticks_max),
        };
        let step = self.step(ticks_max);
        let tick = |value: f64| {
            let label = match (self.unit, self.scale) {
                (Unit::Seconds, Scale::Even) => clock(value, step),
                (Unit::Seconds, Scale::Log { .. }) => clock(value, value),
                (Unit::Percent, _) => format!("{} %", plain(value, step)),
                (Unit::Number, Scale::Even) => plain(value, step),
                (Unit::Number, Scale::Log { .. }) => plain(value, value),
            };
            // What is less stands there too.
            let floor = matches!(self.scale, Scale::Log { .. }) && value <= self.low;
            Tick { value, label: if floor { format!("≤ {label}") } else { label } }
        };
        values.into_iter().map(tick).collect()
    }

    fn step(&self, ticks_max: usize) -> f64 {
        let least = (self.high - self.low) / ticks_max.max(1) as f64;
        match self.unit {
            Unit::Number | Unit::Percent => round_step(least),
            Unit::Seconds => {
                let of_clock = CLOCK_STEPS.into_iter().find(|step| *step >= least);
                match of_clock {
                    Some(step) if least > 0.5 => step,
                    Some(_) => round_step(least),
                    None => round_step(least / DAY) * DAY,
                }
            }
        }
    }

    fn even(&self, ticks_max: usize) -> Vec<f64> {
        let step = self.step(ticks_max);
        let first = (self.low / step - 1e-9).ceil();
        let at = |nth: usize| (first + nth as f64) * step;
        let inside = |value: &f64| *value <= self.high + step * 1e-9;
        // One more than fit between: both ends may have one.
        (0..=ticks_max).map(at).take_while(inside).collect()
    }

    fn powers(&self, ticks_max: usize) -> Vec<f64> {
        let all: Vec<f64> = match self.unit {
            Unit::Seconds if self.low >= 1.0 => CLOCK_POWERS.to_vec(),
            Unit::Seconds | Unit::Number | Unit::Percent => {
                let first = self.low.log10().round();
                // More decades than any figure of ours spans.
                (0..24).map(|nth| 10_f64.powf(first + f64::from(nth))).collect()
            }
        };
        let inside = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
        // Marks are not equally far apart: one too near to the last one is left out.
        let near = 0.9 / ticks_max.max(1) as f64;
        let mut last = f64::NEG_INFINITY;
        let apart = |value: &f64| {
            let part = self.part(*value);
            let apart = part - last >= near;
            last = if apart { part } else { last };
            apart
        };
        all.into_iter().filter(inside).filter(apart).collect()
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    if !(least.is_finite() && least > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let fits = |factor: &f64| factor * power >= least * (1.0 - 1e-9);
    factors.into_iter().find(fits).unwrap_or(10.0) * power
}

/// A number with as many digits as the step needs, thousands apart.
fn plain(value: f64, step: f64) -> String {
    let digits = (0..6_u32).find(|digits| {
        let scaled = step * 10_f64.powi(i32::try_from(*digits).expect("a few"));
        (scaled - scaled.round()).abs() < scaled.abs() * 1e-6
    });
    let digits = usize::try_from(digits.unwrap_or(6)).expect("a few");
    let value = if value.abs() < step.abs() * 1e-6 { 0.0 } else { value };
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("−", rest));
    let mut out = String::from(sign);
    for (nth, digit) in whole.chars().enumerate() {
        if nth > 0 && (whole.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Seconds in the unit that the step is in.
fn clock(value: f64, step: f64) -> String {
    let (unit, name) = match step {
        step if step >= DAY => (DAY, "d"),
        step if step >= HOUR => (HOUR, "h"),
        step if step >= MINUTE => (MINUTE, "min"),
        _ => (1.0, "s"),
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    if name == "h" && value >= 2.0 * DAY {
        // Far from the beginning nobody counts in hours.
        let (days, rest) = ((value / DAY).floor(), value.rem_euclid(DAY));
        let days = format!("{} d", plain(days, 1.0));
        return if rest < 1.0 { days } else { format!("{days} {}", clock(rest, step)) };
    }
    format!("{} {name}", plain(value / unit, step / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], most: usize) -> Vec<String> {
        let ruler = Ruler::new(axis, values.iter().copied()).rounded(axis, most);
        ruler.ticks(most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_read_as_people_write_them() {
        let number = Axis::new("", Unit::Number);
        assert_eq!(labels(&number, &[0.0, 1_180.0], 4), ["0", "500", "1,000", "1,500"]);
        assert_eq!(labels(&number, &[-0.2, 0.3], 5), ["−0.2", "−0.1", "0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&number, &[7.0, 7.0], 2), ["6.5", "7.0", "7.5"]);
        let percent = Axis::new("", Unit::Percent).reaching(Reach::Between(0.0, 100.0));
        assert_eq!(labels(&percent, &[], 5), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        let time = Axis::new("", Unit::Seconds);
        assert_eq!(labels(&time, &[0.0, 9_000.0], 3), ["0", "1 h", "2 h", "3 h"]);
        assert_eq!(
            labels(&time, &[0.0, 700.0 * DAY], 4),
            ["0", "200 d", "400 d", "600 d", "800 d"]
        );
        let late = time.clone().reaching(Reach::Between(4.0 * DAY, 5.0 * DAY));
        assert_eq!(labels(&late, &[], 2), ["4 d", "4 d 12 h", "5 d"]);
        let wait = Axis::new("", Unit::Seconds).log(1.0);
        assert_eq!(
            labels(&wait, &[0.0, 9e5], 12),
            ["≤ 1 s", "10 s", "1 min", "10 min", "1 h", "6 h", "1 d", "10 d"]
        );
        assert_eq!(labels(&Axis::new("", Unit::Number).log(0.1), &[50.0], 9), ["≤ 0.1", "1", "10"]);
    }

    #[test]
    fn every_value_has_a_place_inside() {
        for axis in [Axis::new("", Unit::Number), Axis::new("", Unit::Seconds).log(1.0)] {
            let ruler = Ruler::new(&axis, [3.0, 40.0].into_iter());
            for value in [-1e300, 0.0, 3.0, 17.0, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
                assert!((0.0..=1.0).contains(&ruler.part(value)), "{value} on {axis:?}");
            }
        }
    }
}

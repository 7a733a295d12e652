//! How many processors are free, from now on, as far as is known.
//!
//! Invariant: never negative, never above the machine; after the last known end all is free.

/// Free processors over time, as steps.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// From this moment, so many are free, until the next step; in order of time.
    steps: Vec<(i64, i64)>,
}

impl Timeline {
    /// From what is free now and what comes free when. Ends before `now` count as ends right
    /// after it: what should have ended and has not may end at any moment.
    pub fn new(now: i64, free: i64, ends: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut ends: Vec<(i64, i64)> =
            ends.into_iter().map(|(at, width)| (at.max(now + 1), width)).collect();
        ends.sort_unstable();
        let mut steps = vec![(now, free)];
        for (at, width) in ends {
            let last = steps.last_mut().expect("it begins with one");
            if last.0 == at {
                last.1 += width;
            } else {
                let free = last.1 + width;
                steps.push((at, free));
            }
        }
        Self { steps }
    }

    /// Free at a moment.
    pub fn free_at(&self, at: i64) -> i64 {
        let next = self.steps.partition_point(|(from, _)| *from <= at);
        if next == 0 { 0 } else { self.steps[next - 1].1 }
    }

    /// The earliest start, not before the timeline's, of a job that takes `width` for `length`.
    /// None if so many are never free.
    pub fn earliest(&self, width: i64, length: i64) -> Option<i64> {
        let mut start = None;
        for (at, free) in &self.steps {
            match start {
                Some(from) if *at >= from + length => return start,
                Some(_) if *free >= width => {}
                _ if *free >= width => start = Some(*at),
                _ => start = None,
            }
        }
        start
    }

    /// Takes `width` from `start` for `length`.
    pub fn take(&mut self, start: i64, length: i64, width: i64) {
        if length <= 0 {
            return;
        }
        let from = self.cut(start);
        let to = self.cut(start + length);
        for step in &mut self.steps[from..to] {
            step.1 -= width;
        }
    }

    /// The index of the step that begins at a moment, made if there is none.
    fn cut(&mut self, at: i64) -> usize {
        let next = self.steps.partition_point(|(from, _)| *from < at);
        if self.steps.get(next).is_some_and(|(from, _)| *from == at) {
            return next;
        }
        let free = if next == 0 { 0 } else { self.steps[next - 1].1 };
        self.steps.insert(next, (at, free));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_needs_room_for_the_whole_length() {
        // Two free now, five at 100, all ten at 200.
        let mut timeline = Timeline::new(0, 2, [(200, 5), (100, 3)]);
        assert_eq!(timeline.earliest(2, 1_000), Some(0));
        assert_eq!(timeline.earliest(5, 1), Some(100));
        assert_eq!(timeline.earliest(11, 1), None);
        timeline.take(100, 50, 4);
        assert_eq!([0, 99, 100, 149, 150, 200].map(|at| timeline.free_at(at)), [2, 2, 1, 1, 5, 10]);
        // Up to 100 there is room for two, from 150 again.
        assert_eq!(timeline.earliest(2, 100), Some(0));
        assert_eq!(timeline.earliest(2, 101), Some(150));
    }

    #[test]
    fn what_should_have_ended_may_end_at_any_moment() {
        let timeline = Timeline::new(50, 0, [(10, 4)]);
        assert_eq!((timeline.free_at(50), timeline.free_at(51)), (0, 4));
    }
}

//! Rows of a chart of boxes that nothing stands on yet: who takes rows for a while gives them back.
//!
//! Invariant: runs of free rows are in order, do not touch, and hold no row that is taken.

/// Free rows, as runs from one row up to but not including another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FreeRuns(Vec<(i64, i64)>);

impl FreeRuns {
    /// So many rows, from 0.
    pub fn new(rows: i64) -> Self {
        Self(if rows > 0 { vec![(0, rows)] } else { Vec::new() })
    }

    /// So many rows: the narrowest free run that holds them, else the lowest free ones, and fewer
    /// where there are no more.
    pub fn take(&mut self, rows: i64) -> Vec<(i64, i64)> {
        let free = &mut self.0;
        let holds = free.iter().enumerate().filter(|(_, (low, high))| high - low >= rows);
        if let Some((at, (low, high))) =
            holds.min_by_key(|(_, (low, high))| high - low).map(|(at, run)| (at, *run))
        {
            if low + rows == high {
                free.remove(at);
            } else {
                free[at].0 = low + rows;
            }
            return vec![(low, low + rows)];
        }
        let (mut runs, mut left) = (Vec::new(), rows);
        while left > 0
            && let Some((low, high)) = free.first().copied()
        {
            let part = left.min(high - low);
            runs.push((low, low + part));
            left -= part;
            if low + part == high {
                free.remove(0);
            } else {
                free[0].0 = low + part;
            }
        }
        runs
    }

    /// These are free again.
    pub fn give_back(&mut self, runs: &[(i64, i64)]) {
        self.0.extend_from_slice(runs);
        self.0.sort_unstable();
        self.0.dedup_by(|later, earlier| {
            let joined = earlier.1 == later.0;
            if joined {
                earlier.1 = later.1;
            }
            joined
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_where_they_fit_best_and_join_again() {
        let mut free = FreeRuns::new(10);
        let (low, middle, high) = (free.take(4), free.take(2), free.take(3));
        assert_eq!((&*low, &*middle, &*high), (&[(0, 4)][..], &[(4, 6)][..], &[(6, 9)][..]));
        free.give_back(&middle);
        assert_eq!(free.take(1), [(9, 10)], "the narrowest that holds it");
        free.give_back(&low);
        assert_eq!(free.take(7), [(0, 6)], "no more are left");
        assert_eq!(free.take(1), []);
        free.give_back(&[(9, 10), (0, 6), (6, 9)]);
        assert_eq!(free, FreeRuns::new(10));
    }
}

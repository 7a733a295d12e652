//! How far the copying for attempts is, as agents tell it. Kept in memory only: it is for people
//! who look now.

use std::collections::HashMap;
use std::sync::Mutex;

use dayan_units::AttemptId;
use dayan_wire::Copying;

/// What was told of an attempt is believed so long: agents tell every two seconds while they copy.
const BELIEVED_MICROS: i64 = 30 * 1_000_000;
/// Attempts that are remembered: what is under way at a region's agents at once.
const ATTEMPTS_MAX: usize = 20_000;
/// Of what keeps it from going on, so many letters are kept: a line on a screen.
const TROUBLE_CHARS_MAX: usize = 300;

/// What was told.
#[derive(Debug, Default)]
pub struct CopyingDesk(Mutex<HashMap<AttemptId, (Copying, i64)>>);

impl CopyingDesk {
    /// Takes in what an agent tells, at `now` µs of a clock that does not jump.
    pub fn tell(&self, told: impl Iterator<Item = (AttemptId, Copying)>, now: i64) {
        let mut desk = self.0.lock().expect("nobody panics while holding it");
        desk.retain(|_, (_, at)| now - *at < BELIEVED_MICROS);
        for (attempt, mut how) in told {
            how.trouble = how.trouble.map(|why| {
                why.chars().filter(|c| !c.is_control()).take(TROUBLE_CHARS_MAX).collect()
            });
            if desk.len() < ATTEMPTS_MAX || desk.contains_key(&attempt) {
                desk.insert(attempt, (how, now));
            }
        }
    }

    /// How far an attempt's copying is, if it was told not long ago.
    pub fn of(&self, attempt: AttemptId, now: i64) -> Option<Copying> {
        let desk = self.0.lock().expect("nobody panics while holding it");
        let (how, at) = desk.get(&attempt)?;
        (now - at < BELIEVED_MICROS).then(|| how.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    #[test]
    fn what_is_old_is_not_told() {
        let desk = CopyingDesk::default();
        let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
        let trouble = Some(format!("a\n{}", "b".repeat(1_000)));
        let how = Copying { done: 1, total: 2, trouble };
        desk.tell([(attempt, how.clone())].into_iter(), 0);
        let trouble = Some(format!("a{}", "b".repeat(TROUBLE_CHARS_MAX - 1)));
        let how = Copying { trouble, ..how };
        assert_eq!(desk.of(attempt, BELIEVED_MICROS - 1), Some(how));
        assert_eq!(desk.of(attempt, BELIEVED_MICROS), None);
        desk.tell(std::iter::empty(), BELIEVED_MICROS);
        assert_eq!(desk.of(attempt, 0), None, "forgotten");
    }
}

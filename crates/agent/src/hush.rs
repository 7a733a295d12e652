//! Says the same trouble once, and then only now and then: what is tried several times in a second would fill a
//! log in a night, on a disk that may be full already.

use std::collections::BTreeMap;

use dayan_engines::BootTime;
use dayan_units::Span;

/// The same is said again after this time.
const SAY_AGAIN: Span = Span::from_secs(60);
/// Different troubles remembered. Each has words of this program's, so there are few.
const REMEMBERED_MAX: usize = 64;

/// What was said when.
#[derive(Debug, Default)]
pub(crate) struct Hush {
    said: BTreeMap<String, Said>,
}

#[derive(Debug)]
struct Said {
    at: BootTime,
    /// How often it came since, unsaid.
    unsaid: u64,
}

impl Hush {
    /// Is it to be said now? Then how often it came meanwhile and was not.
    pub(crate) fn says(&mut self, trouble: &str, now: BootTime) -> Option<u64> {
        if let Some(said) = self.said.get_mut(trouble) {
            if now.since(said.at) < SAY_AGAIN {
                said.unsaid += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.unsaid));
        }
        if self.said.len() >= REMEMBERED_MAX {
            self.said.retain(|_, said| now.since(said.at) < SAY_AGAIN);
        }
        if self.said.len() < REMEMBERED_MAX {
            self.said.insert(trouble.to_owned(), Said { at: now, unsaid: 0 });
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_another_at_once() {
        let mut hush = Hush::default();
        let at = |seconds: i64| BootTime::from_micros(seconds * 1_000_000);
        assert_eq!(hush.says("full", at(0)), Some(0));
        for second in 1..60 {
            assert_eq!(hush.says("full", at(second)), None);
        }
        assert_eq!(hush.says("away", at(59)), Some(0));
        assert_eq!(hush.says("full", at(60)), Some(59));
        assert_eq!(hush.says("full", at(61)), None);
        for other in 0..1_000 {
            assert_eq!(hush.says(&other.to_string(), at(62)), Some(0), "never kept to itself");
        }
        assert!(hush.said.len() <= REMEMBERED_MAX);
    }
}

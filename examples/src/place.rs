//! Where a program stands: which array elements are its own, which rank of a gang it is.
//!
//! Dayan says it in environment variables; a person says it with flags. Invariant: a malformed
//! variable is a named error and never silently a default. This module must not know what the
//! elements are.

use crate::args::{Given, UsageError};

/// More ranks than any example can use; a larger number is a mistake in the environment.
const RANKS_MAX: usize = 4096;
/// More elements in one task than any example can finish.
const ELEMENTS_MAX: u64 = 1_000_000;

/// A program's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// First element of the array that is this task's, inclusive; `None` outside an array.
    pub first: Option<u64>,
    /// Last element, inclusive.
    pub last: Option<u64>,
    /// Distance between elements, at least 1.
    pub step: u64,
    /// Ranks in the gang, at least 1.
    pub nodes: usize,
    /// This program's rank, below `nodes`.
    pub rank: usize,
    /// Host of rank 0.
    pub head: String,
    /// Port the gang may use on the head's host, if one was set aside.
    pub port: Option<u16>,
    /// File in which rank 0 says where it listens, if ranks share a folder instead of a port.
    pub rendezvous: Option<String>,
    /// What tells this gang from every other one: the job's id, or empty outside Dayan.
    pub gang: String,
    /// Whole cores this task may use, at least 1.
    pub threads: usize,
}

impl Place {
    /// Reads the place from variables, as `std::env::var(name).ok()` gives them.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Place, UsageError> {
        let var = |name: &str| var(name).filter(|text| !text.trim().is_empty());
        let whole = |name: &str| -> Result<Option<u64>, UsageError> {
            var(name)
                .map(|text| {
                    text.trim()
                        .parse()
                        .map_err(|_| UsageError(format!("{name}: {text:?} is not a whole number")))
                })
                .transpose()
        };
        let nodes = whole("DAYAN_NODES")?.unwrap_or(1) as usize;
        let rank = whole("DAYAN_NODE_RANK")?.unwrap_or(0) as usize;
        check_rank(rank, nodes)?;
        let port = whole("DAYAN_PORT")?
            .map(|port| {
                u16::try_from(port)
                    .map_err(|_| UsageError(format!("DAYAN_PORT: {port} is no port")))
            })
            .transpose()?;
        // Cores may come as a fraction ("1.5"); a program can only start whole threads.
        let threads = match var("DAYAN_CPUS") {
            None => 1,
            Some(text) => match text.trim().parse::<f64>() {
                Ok(cpus) if cpus.is_finite() && cpus >= 0.0 => (cpus as usize).clamp(1, 1024),
                _ => return Err(UsageError(format!("DAYAN_CPUS: {text:?} is no number of cores"))),
            },
        };
        let head = var("DAYAN_HEAD")
            .or_else(|| {
                var("DAYAN_NODELIST")
                    .and_then(|list| list.split([',', ' ']).next().map(str::to_owned))
            })
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok(Place {
            first: whole("DAYAN_ARRAY_FIRST")?,
            last: whole("DAYAN_ARRAY_LAST")?,
            step: whole("DAYAN_ARRAY_STEP")?.unwrap_or(1).max(1),
            nodes,
            rank,
            head,
            port,
            rendezvous: var("DAYAN_RENDEZVOUS"),
            gang: var("DAYAN_JOB").unwrap_or_default(),
            threads,
        })
    }

    /// Reads the place of this process.
    pub fn of_this_process() -> Result<Place, UsageError> {
        Place::read(|name| std::env::var(name).ok())
    }

    /// Number of threads: `--threads`, or what the environment allows.
    pub fn threads(&self, given: &Given) -> Result<usize, UsageError> {
        given.number("threads", self.threads, 1, 1024)
    }

    /// The elements to work on: the option (as `A-B`, `A-B:STEP` or `A`) wins over the array
    /// variables, which win over the default range.
    pub fn elements(
        &self,
        given: &Given,
        option: &str,
        default: (u64, u64),
    ) -> Result<Vec<u64>, UsageError> {
        let (first, last, step) = match given.text(option) {
            Some(text) => range(text).ok_or_else(|| {
                UsageError(format!("--{option}: {text:?} is not A-B or A-B:STEP"))
            })?,
            None => match (self.first, self.last) {
                (Some(first), last) => (first, last.unwrap_or(first), self.step),
                (None, Some(_)) => {
                    return Err(UsageError(
                        "DAYAN_ARRAY_LAST is set but DAYAN_ARRAY_FIRST is not".to_owned(),
                    ));
                }
                (None, None) => (default.0, default.1, 1),
            },
        };
        if last < first || (last - first) / step >= ELEMENTS_MAX {
            return Err(UsageError(format!(
                "elements {first}-{last}:{step}: empty, or more than {ELEMENTS_MAX}"
            )));
        }
        Ok((0..=(last - first) / step).map(|i| first + i * step).collect())
    }
}

/// Refuses a rank outside its gang.
pub fn check_rank(rank: usize, nodes: usize) -> Result<(), UsageError> {
    if nodes == 0 || nodes > RANKS_MAX {
        return Err(UsageError(format!("a gang of {nodes} ranks: must be 1..{RANKS_MAX}")));
    }
    if rank >= nodes {
        return Err(UsageError(format!("rank {rank} of a gang of {nodes}: ranks count from 0")));
    }
    Ok(())
}

fn range(text: &str) -> Option<(u64, u64, u64)> {
    let (span, step) = match text.split_once(':') {
        Some((span, step)) => (span, step.parse().ok().filter(|step| *step > 0)?),
        None => (text, 1),
    };
    let (first, last) = span.split_once('-').unwrap_or((span, span));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(vars: &[(&str, &str)]) -> Result<Place, UsageError> {
        Place::read(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_is_one_rank_on_this_machine() {
        let place = place(&[]).unwrap();
        assert_eq!((place.nodes, place.rank, place.threads), (1, 0, 1));
        assert_eq!(place.head, "127.0.0.1");
        assert_eq!(place.elements(&Given::default(), "frames", (1, 3)).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn array_variables_give_the_elements() {
        let place = place(&[
            ("DAYAN_ARRAY_FIRST", "5"),
            ("DAYAN_ARRAY_LAST", "9"),
            ("DAYAN_ARRAY_STEP", "2"),
        ])
        .unwrap();
        assert_eq!(place.elements(&Given::default(), "frames", (1, 3)).unwrap(), [5, 7, 9]);
    }

    #[test]
    fn cores_are_rounded_down_to_at_least_one() {
        for (text, expect) in [("0.5", 1), ("1", 1), ("1.9", 1), ("4", 4)] {
            assert_eq!(place(&[("DAYAN_CPUS", text)]).unwrap().threads, expect);
        }
    }

    #[test]
    fn malformed_variables_are_named() {
        for (name, value) in [
            ("DAYAN_NODES", "many"),
            ("DAYAN_NODES", "0"),
            ("DAYAN_NODE_RANK", "1"),
            ("DAYAN_ARRAY_FIRST", "-1"),
            ("DAYAN_CPUS", "NaN"),
            ("DAYAN_PORT", "70000"),
        ] {
            assert!(place(&[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn ranges_are_strict() {
        assert_eq!(range("1-48"), Some((1, 48, 1)));
        assert_eq!(range("7"), Some((7, 7, 1)));
        assert_eq!(range("1-9:4"), Some((1, 9, 4)));
        for wrong in ["", "a", "1-", "1-2:0", "-3"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}

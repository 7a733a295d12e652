//! The host file: the nodes of a task, and how many processes `mpirun` starts on each.
//!
//! Must not know what the nodes are called on each engine, nor who writes the file.

use std::collections::BTreeMap;

/// How many processes start on each of a gang's nodes, or of a task on its own: as many in all as the job says,
/// else one on each node of a gang, and one for each core of a task on its own.
pub fn slots(env: &BTreeMap<String, String>, gang: Option<usize>) -> Vec<usize> {
    let number = |name: &str| env.get(name).and_then(|text| text.parse::<usize>().ok());
    // It stands there only where the job has said how many.
    let said = number("DAYAN_TASKS")
        .filter(|_| gang.is_some() || env.contains_key("DAYAN_TASKS_PER_NODE"));
    match gang {
        Some(nodes) => spread(said.unwrap_or(nodes), nodes.max(1)),
        None => vec![said.or(number("DAYAN_CPUS")).unwrap_or(1).max(1)],
    }
}

/// So many processes over so many nodes, the first with one more where it does not come out even.
fn spread(processes: usize, nodes: usize) -> Vec<usize> {
    let (each, more) = (processes / nodes, processes % nodes);
    (0..nodes).map(|at| (each + usize::from(at < more)).max(1)).collect()
}

/// The file's content: a line for each node, with the slots of all that are called the same.
pub fn lines<'a>(nodes: impl IntoIterator<Item = (&'a str, usize)>) -> String {
    let mut lines: Vec<(&str, usize)> = Vec::new();
    for (name, slots) in nodes {
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += slots,
            None => lines.push((name, slots)),
        }
    }
    let lines: Vec<String> =
        lines.iter().map(|(name, slots)| format!("{name} slots={slots}\n")).collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_those_that_the_job_says_or_one_for_each_core() {
        let check = |env: &[(&str, &str)], gang, expect: &[usize]| {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(slots(&env.collect(), gang), expect);
        };
        check(&[("DAYAN_TASKS", "3")], Some(2), &[2, 1]);
        check(&[("DAYAN_TASKS", "8")], Some(2), &[4, 4]);
        check(&[("DAYAN_TASKS", "1")], Some(2), &[1, 1]);
        check(&[], Some(3), &[1, 1, 1]);
        let alone = [("DAYAN_TASKS", "1"), ("DAYAN_CPUS", "6")];
        check(&alone, None, &[6]);
        check(&[alone[0], alone[1], ("DAYAN_TASKS_PER_NODE", "1")], None, &[1]);
        check(&[("DAYAN_TASKS", "4"), alone[1], ("DAYAN_TASKS_PER_NODE", "4")], None, &[4]);
        check(&[], None, &[1]);
    }

    #[test]
    fn members_on_one_node_share_a_line() {
        assert_eq!(lines([("a", 2), ("b", 1), ("a", 1)]), "a slots=3\nb slots=1\n");
    }
}

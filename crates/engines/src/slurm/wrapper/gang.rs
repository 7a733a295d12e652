//! What a member of a gang is told of the others: Slurm chose the nodes, and says which.

use std::fs;

use crate::Launch;

/// The nodes of a job at most: above the largest cluster there is, and short enough to be named.
const NODES_MAX: usize = 16_384;

/// Puts the gang's nodes in place of those that the exchange had in mind: into the environment, and
/// into the host file where there is one.
pub(super) fn tell_of_nodes(launch: &mut Launch) {
    let Some(nodes) = std::env::var("SLURM_JOB_NODELIST").ok().and_then(|list| expand(&list))
    else {
        return;
    };
    let Some(head) = nodes.first() else { return };
    if launch.gang.is_some_and(|gang| gang.members == 1) {
        // What the head starts on the other nodes, it starts by Slurm: `srun` and `mpirun` find
        // their job by these.
        let slurms = std::env::vars().filter(|(name, _)| name.starts_with("SLURM"));
        for (name, value) in slurms {
            launch.env.entry(name).or_insert(value);
        }
    }
    launch.env.insert("DAYAN_HEAD".to_owned(), head.clone());
    launch.env.insert("DAYAN_NODELIST".to_owned(), nodes.join(","));
    if let Some(path) = launch.env.get("DAYAN_HOSTFILE") {
        let tasks = launch.env.get("DAYAN_TASKS").and_then(|text| text.parse::<usize>().ok());
        let slots = tasks.unwrap_or(nodes.len()).div_ceil(nodes.len()).max(1);
        let lines: Vec<String> =
            nodes.iter().map(|node| format!("{node} slots={slots}\n")).collect();
        // Without it the program says what it misses.
        let _ = fs::write(path, lines.concat());
    }
}

/// Reads `n[1-3,07],gpu5`: names with one list of numbers each; none for what is not understood.
fn expand(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let end = rest.find([',', '[']).unwrap_or(rest.len());
        let (prefix, after) = rest.split_at(end);
        rest = match after.strip_prefix('[') {
            None => {
                names.push(prefix.to_owned());
                after
            }
            Some(inside) => {
                let (numbers, after) = inside.split_once(']')?;
                let end = after.find(',').unwrap_or(after.len());
                let (suffix, after) = after.split_at(end);
                if suffix.contains('[') {
                    return None;
                }
                for range in numbers.split(',') {
                    let (from, to) = range.split_once('-').unwrap_or((range, range));
                    let width = from.len();
                    for number in from.parse::<usize>().ok()?..=to.parse().ok()? {
                        names.push(format!("{prefix}{number:0width$}{suffix}"));
                        if names.len() > NODES_MAX {
                            return None;
                        }
                    }
                }
                after
            }
        };
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_nodes_are_read() {
        let check = |list: &str, expect: Option<&str>| {
            assert_eq!(expand(list).map(|names| names.join(" ")).as_deref(), expect, "{list}");
        };
        check("n1", Some("n1"));
        check("n[1-3,7],gpu5", Some("n1 n2 n3 n7 gpu5"));
        check("r1n[08-11]-ib,x", Some("r1n08-ib r1n09-ib r1n10-ib r1n11-ib x"));
        check("", Some(""));
        for bad in ["n[1-", "n[a-b]", "r[1-2]n[1-2]", "n[1-99999999]"] {
            check(bad, None);
        }
    }
}

//! Lists of nodes as Slurm writes them. Pure.

/// The nodes of a job at most: above the largest cluster there is, and short enough to be named.
const NODES_MAX: usize = 16_384;

/// Reads `n[1-3,07],gpu5`: names with one list of numbers each; none for what is not understood.
pub(crate) fn expand(list: &str) -> Option<Vec<String>> {
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

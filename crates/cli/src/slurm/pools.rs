//! Pools as partitions: each has its own name, by which it is shown, and that of its cluster's Slurm, by
//! which it is found as well.

/// All pools that can be seen.
#[derive(Clone, Debug, Default)]
pub struct Pools(Vec<One>);

#[derive(Clone, Debug)]
struct One {
    id: String,
    name: String,
    /// What Slurm calls it, where it is a partition of a cluster.
    partition: Option<String>,
}

/// The line of a pool's cluster that says which partition it is.
const PARTITION: &str = "slurm.partition";

/// Is a pool one of those that are asked for?
pub fn is_called(pool: &dayan_wire::Pool, wanted: &[String]) -> bool {
    let partition = pool.cluster.get(PARTITION);
    wanted.iter().any(|word| *word == pool.name || Some(word) == partition)
}

impl Pools {
    /// As the exchange lists them.
    pub fn of(pools: Vec<dayan_wire::Pool>) -> Self {
        let one = |mut pool: dayan_wire::Pool| One {
            id: pool.id,
            name: pool.name,
            partition: pool.cluster.remove(PARTITION),
        };
        Self(pools.into_iter().map(one).collect())
    }

    /// The name of one.
    pub fn name(&self, id: &str) -> Option<&str> {
        self.0.iter().find(|pool| pool.id == id).map(|pool| pool.name.as_str())
    }

    /// What is asked for by words of Slurm's, as it is shown once it runs: the pool's name where only one
    /// is called so.
    pub fn shown(&self, asked: &str) -> String {
        let one = |word: &str| {
            let mut called = self.0.iter().filter(|pool| pool.partition.as_deref() == Some(word));
            let is_pool = self.0.iter().any(|pool| pool.name == word);
            match (is_pool, called.next(), called.next()) {
                (false, Some(only), None) => only.name.clone(),
                (true, _, _) | (false, None, _) | (false, Some(_), Some(_)) => word.to_owned(),
            }
        };
        asked.split(',').map(|word| one(word.trim())).collect::<Vec<_>>().join(",")
    }

    /// Is what is shown one of those that are wanted, by either name?
    pub fn is_one(&self, shown: &str, wanted: &[String]) -> bool {
        shown.split(',').any(|name| {
            let pool = self.0.iter().find(|pool| pool.name == name);
            let partition = pool.and_then(|pool| pool.partition.as_ref());
            wanted.iter().any(|word| word == name || Some(word) == partition)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_go_by_both_names() {
        let one = |id: &str, name: &str, partition: Option<&str>| One {
            id: id.to_owned(),
            name: name.to_owned(),
            partition: partition.map(str::to_owned),
        };
        let pools = Pools(vec![
            one("1", "lab-main", Some("main")),
            one("2", "lab-gpu", Some("gpu")),
            one("3", "other-gpu", Some("gpu")),
            one("4", "plain", None),
        ]);
        let check = |asked: &str, shown: &str, wanted: &[&str]| {
            assert_eq!(pools.shown(asked), shown, "{asked}");
            let found: Vec<&str> = ["main", "lab-main", "gpu", "lab-gpu", "plain"]
                .into_iter()
                .filter(|word| pools.is_one(shown, &[(*word).to_owned()]))
                .collect();
            assert_eq!(found, wanted, "{asked}");
        };
        check("main", "lab-main", &["main", "lab-main"]);
        check("lab-main", "lab-main", &["main", "lab-main"]);
        check("main, gpu", "lab-main,gpu", &["main", "lab-main", "gpu"]);
        check("lab-gpu", "lab-gpu", &["gpu", "lab-gpu"]);
        check("plain", "plain", &["plain"]);
        assert_eq!(pools.name("4"), Some("plain"));
    }
}

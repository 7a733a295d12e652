//! What the REST daemon tells of the cluster, in the words of `scontrol`: so it is read by who reads
//! those. Pure.

use serde::Deserialize;

use super::lenient::{Flags, Number, Text};
use super::reading::{Complaint, listed};
use crate::slurm::way::{Picture, Words};

/// What the daemon says of itself and of Slurm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(alias = "Slurm")]
    slurm: Release,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Release {
    release: Text,
    cluster: Text,
}

/// All partitions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the interface's own names")]
pub(super) struct Partitions {
    meta: Meta,
    partitions: Option<Vec<Partition>>,
    errors: Vec<Complaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the interface's own names")]
struct Partition {
    name: Text,
    flags: Flags,
    state: Flags,
    max_time_limit: Number,
    allowed_accounts: Text,
    denied_accounts: Text,
    allowed_qos: Text,
    denied_qos: Text,
    allowed_groups: Text,
    // The same from 23.02 on.
    partition: Stands,
    maximums: Maximums,
    accounts: Allowed,
    groups: Allowed,
    qos: Qos,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Stands {
    state: Flags,
    flags: Flags,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Maximums {
    time: Number,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the interface's own names")]
struct Allowed {
    allowed: Text,
    #[serde(alias = "denied")]
    deny: Text,
    /// The partition's own, where these are QoS.
    assigned: Text,
}

/// Older versions have the name of the partition's own QoS here.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Qos {
    Allowed(Allowed),
    Own(Text),
}

impl Default for Qos {
    fn default() -> Self {
        Self::Own(Text::default())
    }
}

impl Partition {
    /// As `scontrol show partition` says it.
    fn words(&self) -> Words {
        let either = |old: &Text, new: &str| match old.0.as_str() {
            "" => new.to_owned(),
            old => old.to_owned(),
        };
        let or_all = |old: &Text, new: &str| match either(old, new) {
            none if none.is_empty() => "ALL".to_owned(),
            some => some,
        };
        let minutes = self.max_time_limit.0.or(self.maximums.time.0).filter(|most| *most >= 0);
        let time = minutes.map_or("UNLIMITED".to_owned(), |minutes| {
            format!("{}:{:02}:00", minutes / 60, minutes % 60)
        });
        let up = self.state.has("UP") || self.partition.state.has("UP");
        let has = |flag: &str| self.flags.has(flag) || self.partition.flags.has(flag);
        let yes = |said: bool| if said { "YES" } else { "NO" }.to_owned();
        let (qos, no_qos, own) = match &self.qos {
            Qos::Allowed(Allowed { allowed, deny, assigned }) => {
                (allowed.0.as_str(), deny.0.as_str(), assigned)
            }
            Qos::Own(own) => ("", "", own),
        };
        [
            ("PartitionName", self.name.0.clone()),
            ("Default", yes(has("default"))),
            ("RootOnly", yes(has("root_only"))),
            ("ReqResv", yes(has("req_resv") || has("reservation_required"))),
            ("State", if up { "UP" } else { "DOWN" }.to_owned()),
            ("MaxTime", time),
            ("AllowAccounts", or_all(&self.allowed_accounts, &self.accounts.allowed.0)),
            ("DenyAccounts", either(&self.denied_accounts, &self.accounts.deny.0)),
            ("AllowQos", or_all(&self.allowed_qos, qos)),
            ("DenyQos", either(&self.denied_qos, no_qos)),
            ("AllowGroups", or_all(&self.allowed_groups, &self.groups.allowed.0)),
            ("QoS", own.0.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// All nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Nodes {
    nodes: Option<Vec<Node>>,
    errors: Vec<Complaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    name: Text,
    cluster_name: Text,
    partitions: Text,
    cpus: Number,
    effective_cpus: Number,
    real_memory: Number,
    specialized_memory: Number,
    temporary_disk: Number,
    gres: Text,
    active_features: Text,
    state: Flags,
    state_flags: Flags,
    alloc_cpus: Number,
    alloc_memory: Number,
    tres_used: Text,
}

impl Node {
    /// As `scontrol show node` says it.
    fn words(&self) -> Words {
        let state: Vec<String> = self
            .state
            .0
            .iter()
            .chain(&self.state_flags.0)
            .map(|word| word.to_ascii_uppercase())
            .collect();
        let number = |number: Number| number.0.map(|number| number.to_string());
        let text = |text: &Text| Some(text.0.clone()).filter(|text| !text.is_empty());
        [
            ("NodeName", text(&self.name)),
            ("Partitions", text(&self.partitions)),
            ("CPUTot", number(self.cpus)),
            ("CPUEfctv", number(self.effective_cpus)),
            ("RealMemory", number(self.real_memory)),
            ("MemSpecLimit", number(self.specialized_memory)),
            ("TmpDisk", number(self.temporary_disk)),
            ("Gres", text(&self.gres)),
            ("ActiveFeatures", text(&self.active_features)),
            ("State", Some(state.join("+")).filter(|state| !state.is_empty())),
            ("CPUAlloc", number(self.alloc_cpus)),
            ("AllocMem", number(self.alloc_memory)),
            ("AllocTRES", text(&self.tres_used)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

/// The clusters that the accounting is of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Clusters {
    clusters: Vec<Cluster>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Cluster {
    name: Text,
}

impl Clusters {
    /// The one that there is; of several nobody knows which this is.
    fn only(&self) -> Option<&str> {
        match &self.clusters[..] {
            [only] => Some(&only.name.0),
            [..] => None,
        }
    }
}

/// What an array may have where nobody says so: Slurm's own default.
const ARRAY_SIZE: &str = "1001";

/// What the cluster is, as `scontrol` would say it. How the site is set up is not told: so memory counts
/// as watched, not held.
pub(super) fn picture(
    partitions: Partitions,
    nodes: Nodes,
    accounting: Option<&Clusters>,
) -> Result<Picture, String> {
    let Partitions { meta, partitions, errors } = partitions;
    let partitions = listed(partitions, errors, "partitions")?;
    let nodes = listed(nodes.nodes, nodes.errors, "nodes")?;
    let cluster = nodes.iter().map(|node| &node.cluster_name.0).find(|name| !name.is_empty());
    let cluster = cluster.unwrap_or(&meta.slurm.cluster.0);
    let only = accounting.and_then(Clusters::only).unwrap_or_default();
    let cluster = if cluster.is_empty() { only.to_owned() } else { cluster.clone() };
    let storage = match accounting {
        Some(_) => "accounting_storage/slurmdbd",
        None => "accounting_storage/none",
    };
    let config = [
        ("SLURM_VERSION", meta.slurm.release.0),
        ("ClusterName", cluster),
        ("MaxArraySize", ARRAY_SIZE.to_owned()),
        ("AccountingStorageType", storage.to_owned()),
    ];
    Ok(Picture {
        config: config.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        partitions: partitions.iter().map(Partition::words).collect(),
        nodes: nodes.iter().map(Node::words).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::gate::Gate;
    use serde_json::{Value, json};

    fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("read")
    }

    #[test]
    fn an_answer_without_a_list_is_none() {
        assert!(picture(Partitions::default(), Nodes::default(), None).is_err());
    }

    #[test]
    fn who_may_use_a_partition_is_told_by_all_versions() {
        let old = json!({"partitions": [
            {"name": "a", "flags": ["ROOT_ONLY"], "allowed_accounts": "", "denied_accounts": "lab,x",
             "allowed_qos": "", "denied_qos": "low", "allowed_groups": "chem"},
            {"name": "b", "flags": [], "allowed_accounts": "lab", "allowed_qos": "high"}]});
        let new = json!({"partitions": [
            {"name": "a", "partition": {"flags": ["ROOT_ONLY"]}, "accounts": {"allowed": "", "deny": "lab,x"},
             "qos": {"allowed": "", "deny": "low", "assigned": ""}, "groups": {"allowed": "chem"}},
            {"name": "b", "accounts": {"allowed": "lab", "deny": ""}, "groups": {"allowed": ""},
             "qos": {"allowed": "high", "deny": "", "assigned": ""}}]});
        for said in [old, new] {
            let nodes = of(json!({"nodes": []}));
            let picture = picture(of(said), nodes, None).expect("both are there");
            let gates = [0, 1].map(|at| Gate::read(&picture.partitions[at]));
            let lists =
                |gate: &Gate| [&gate.accounts, &gate.qos, &gate.groups].map(ToString::to_string);
            assert_eq!(lists(&gates[0]), ["ALL but lab,x", "ALL but low", "chem"]);
            assert_eq!(lists(&gates[1]), ["lab", "high", "ALL"]);
            assert_eq!(gates.map(|gate| gate.root_only), [true, false]);
        }
    }

    #[test]
    fn clusters_of_all_versions_are_the_same_picture() {
        let old = (
            json!({"meta": {"Slurm": {"release": "22.05.8"}}, "errors": [], "partitions": [
                {"name": "main", "flags": ["default"], "state": "UP", "max_time_limit": 90,
                 "allowed_accounts": "", "allowed_qos": "high", "qos": "tight"}]}),
            json!({"errors": [], "nodes": [
                {"name": "n1", "partitions": ["main"], "cpus": 8, "real_memory": 64, "gres": "gpu:4",
                 "state": "mixed", "state_flags": ["drain"], "temporary_disk": 0, "alloc_cpus": 2,
                 "alloc_memory": 16, "tres_used": "cpu=2,gres/gpu=1"}]}),
        );
        let number = |n: u32| json!({"set": true, "infinite": false, "number": n});
        let new = (
            json!({"meta": {"slurm": {"release": "22.05.8"}}, "partitions": [
                {"name": "main", "partition": {"state": ["UP"], "flags": ["DEFAULT"]},
                 "maximums": {"time": number(90)}, "accounts": {"allowed": "", "deny": ""},
                 "qos": {"allowed": "high", "deny": "", "assigned": "tight"}}]}),
            json!({"nodes": [
                {"name": "n1", "partitions": ["main"], "cpus": 8, "real_memory": 64, "gres": "gpu:4",
                 "state": ["MIXED", "DRAIN"], "temporary_disk": 0, "alloc_cpus": 2, "alloc_memory": 16,
                 "tres_used": "cpu=2,gres/gpu=1"}]}),
        );
        let read = |(partitions, nodes): (Value, Value)| {
            let clusters = of(json!({"clusters": [{"name": "lab", "nodes": "n1"}]}));
            picture(of(partitions), of(nodes), Some(&clusters)).expect("both are there")
        };
        let (old, new) = (read(old), read(new));
        assert_eq!(old, new);
        assert_eq!(old.config["SLURM_VERSION"], "22.05.8");
        assert_eq!(
            old.config["ClusterName"], "lab",
            "older versions have it in the accounting alone"
        );
        let word = |words: &Words, name: &str| words.get(name).cloned().unwrap_or_default();
        assert_eq!(word(&old.partitions[0], "MaxTime"), "1:30:00");
        assert_eq!(word(&old.partitions[0], "AllowAccounts"), "ALL");
        assert_eq!(word(&old.partitions[0], "AllowQos"), "high");
        assert_eq!(word(&old.partitions[0], "QoS"), "tight");
        assert_eq!(word(&old.nodes[0], "State"), "MIXED+DRAIN");
        assert_eq!(word(&old.nodes[0], "AllocTRES"), "cpu=2,gres/gpu=1");
    }
}

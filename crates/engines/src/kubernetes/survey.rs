//! What a cluster is: its nodes, what they can give, what others already use of it, and what
//! quotas leave. Pure but for what is handed in; read leniently.
//!
//! Invariant: never more is shown than a pod of ours could have: what a node can give less what
//! pods of others have asked for, and all nodes together no more than the namespace's quota.

use std::collections::BTreeMap;

use dayan_units::{Bytes, MilliAccel, MilliCpu, Resources};
use k8s_openapi::api::core::v1::{self as core, Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Site;
use super::names::LABEL_AGENT;
use super::quantity::{milli_floor, whole_floor};

/// Resources that are accelerators, where the operator names none: NVIDIA, Huawei Ascend, AMD,
/// Cambricon, Hygon, Moore Threads, MetaX, Enflame, Iluvatar, Intel, as their device plugins call
/// them.
const KNOWN_ACCELERATORS: [&str; 14] = [
    "nvidia.com/gpu",
    "huawei.com/Ascend910",
    "huawei.com/Ascend310P",
    "huawei.com/Ascend310",
    "huawei.com/npu",
    "amd.com/gpu",
    "cambricon.com/mlu",
    "hygon.com/dcu",
    "mthreads.com/gpu",
    "metax-tech.com/gpu",
    "enflame.com/gcu",
    "iluvatar.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
];

/// Labels by which nodes name the model of their accelerators, of the vendors' own tools.
const MODEL_LABELS: [&str; 4] = [
    "nvidia.com/gpu.product",
    "node.kubernetes.io/npu.chip.name",
    "accelerator",
    "amd.com/gpu.product-name",
];

/// Taints that a node bears while it is not to be used, whoever asks.
const NOT_UP_TAINTS: [&str; 5] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/out-of-service",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/shutdown",
];

/// In steps of so much what is left is shown, rounded down: a small pod of somebody that comes and
/// goes is no news to the exchange.
const CPU_STEP: u64 = 100;
const MEMORY_STEP: u64 = 64 << 20;

const fn step_floor(amount: u64, step: u64) -> u64 {
    amount / step * step
}

/// A node as it is offered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// What pods of ours can have of it.
    pub total: Resources,
    /// The model of its accelerators.
    pub accelerator: Option<String>,
    /// Does it take pods of ours: ready, not cordoned, no taint that they do not bear?
    pub up: bool,
}

/// What a quota of a namespace says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// At most so much processor for all pods of the namespace.
    pub cpu: Option<MilliCpu>,
    /// At most so much memory.
    pub memory: Option<Bytes>,
    /// At most so many of each further resource, by its name.
    pub others: BTreeMap<String, u64>,
    /// At most so many pods.
    pub pods: Option<u64>,
}

/// What a cluster is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Its nodes, by name.
    pub nodes: Vec<Node>,
    /// The API server's version.
    pub version: String,
    /// The resource that is offered as accelerators.
    pub accelerator: Option<String>,
    /// In words: which namespace, and whether what others use is seen.
    pub about: BTreeMap<String, String>,
}

fn amount<'a>(of: &'a BTreeMap<String, Quantity>, name: &str) -> Option<&'a str> {
    of.get(name).map(|quantity| quantity.0.as_str())
}

/// Reads a quota: limits and requests are one for pods whose requests are their limits.
pub(crate) fn quota(of: &ResourceQuota) -> Quota {
    let hard = of.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    // A quota for some pods only (best-effort ones, a priority class) says nothing of ours that
    // is sure; the cluster says it when it comes to that.
    let scoped = of.spec.as_ref().is_some_and(|spec| {
        spec.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty())
            || spec.scope_selector.is_some()
    });
    if scoped {
        return Quota::default();
    }
    let least = |names: &[&str], read: fn(&str) -> Option<u64>| {
        names.iter().filter_map(|name| read(amount(&hard, name)?)).min()
    };
    let others = hard
        .iter()
        .filter_map(|(name, quantity)| {
            let resource = name.strip_prefix("requests.").filter(|name| name.contains('/'))?;
            Some((resource.to_owned(), whole_floor(&quantity.0)?))
        })
        .collect();
    Quota {
        name: of.metadata.name.clone().unwrap_or_default(),
        cpu: least(&["cpu", "requests.cpu", "limits.cpu"], milli_floor).map(MilliCpu),
        memory: least(&["memory", "requests.memory", "limits.memory"], whole_floor).map(Bytes),
        others,
        pods: least(&["pods", "count/pods"], whole_floor),
    }
}

/// Why a pod that asks for this could never be in the namespace, if so.
pub(crate) fn beyond(
    quotas: &[Quota],
    cpu: MilliCpu,
    memory: Bytes,
    accelerators: Option<(&str, u64)>,
    pods: u64,
) -> Option<String> {
    let times = |one: u64| one.saturating_mul(pods);
    quotas.iter().find_map(|quota| {
        let too_much = |what: &str,
                        asked: u64,
                        hard: Option<u64>,
                        shown: &dyn Fn(u64) -> String| {
            let hard = hard.filter(|hard| asked > *hard)?;
            Some(format!(
                "engine.kubernetes.quota: it asks for {} {what} and the namespace's quota `{}` has \
                 {}; ask for less, or have the quota raised",
                shown(asked),
                quota.name,
                shown(hard),
            ))
        };
        let plain = |count: u64| count.to_string();
        let cores = |milli: u64| MilliCpu(milli).to_string();
        let bytes = |count: u64| Bytes(count).to_string();
        too_much("of processor", times(cpu.0), quota.cpu.map(|cpu| cpu.0), &cores)
            .or_else(|| {
                let hard = quota.memory.map(|memory| memory.0);
                too_much("of memory", times(memory.0), hard, &bytes)
            })
            .or_else(|| {
                let (name, count) = accelerators?;
                too_much(name, times(count), quota.others.get(name).copied(), &plain)
            })
            .or_else(|| too_much("pods", pods, quota.pods, &plain))
    })
}

/// The first known resource of accelerators that one of the nodes shows.
pub(crate) fn known_accelerator(nodes: &[core::Node]) -> Option<String> {
    let shows = |name: &str| {
        nodes.iter().any(|node| {
            let given = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
            given.and_then(|given| whole_floor(amount(given, name)?)).is_some_and(|count| count > 0)
        })
    };
    KNOWN_ACCELERATORS.into_iter().find(|name| shows(name)).map(str::to_owned)
}

/// What a container asks for: its requests, and where it has none its limits.
fn asked(container: &core::Container, name: &str, read: fn(&str) -> Option<u64>) -> u64 {
    let Some(resources) = &container.resources else { return 0 };
    let of = |map: &Option<BTreeMap<String, Quantity>>| read(amount(map.as_ref()?, name)?);
    of(&resources.requests).or_else(|| of(&resources.limits)).unwrap_or(0)
}

/// What a pod takes of its node: its containers together, or the largest that runs before them if
/// that is more; those that run beside all along count with them.
fn taken(pod: &Pod, accelerator: Option<&str>) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::ZERO };
    let total = |name: &str, read: fn(&str) -> Option<u64>| {
        let first = spec.init_containers.as_deref().unwrap_or_default();
        let beside = |one: &&core::Container| one.restart_policy.as_deref() == Some("Always");
        let sum: u64 = spec
            .containers
            .iter()
            .chain(first.iter().filter(beside))
            .map(|c| asked(c, name, read))
            .sum();
        let before = first.iter().map(|c| asked(c, name, read)).max().unwrap_or(0);
        let overhead = spec.overhead.as_ref().and_then(|map| read(amount(map, name)?));
        sum.max(before) + overhead.unwrap_or(0)
    };
    Resources {
        cpu: MilliCpu(total("cpu", milli_floor)),
        memory: Bytes(total("memory", whole_floor)),
        disk: Bytes(total("ephemeral-storage", whole_floor)),
        accel: MilliAccel(accelerator.map_or(0, |name| total(name, milli_floor))),
    }
}

/// The cluster as a pod of this agent sees it.
pub(crate) fn survey(
    nodes: &[core::Node],
    pods: &[Pod],
    quotas: &[Quota],
    site: &Site,
    agent: &str,
) -> Survey {
    let accelerator = site.accelerator.clone().or_else(|| known_accelerator(nodes));
    let mut used: BTreeMap<&str, Resources> = BTreeMap::new();
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let labels = pod.metadata.labels.as_ref();
        let ours = labels.and_then(|labels| labels.get(LABEL_AGENT)).is_some_and(|of| of == agent);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        // Ours are the exchange's own: it knows what it has placed.
        if let (Some(node), false) = (node, ours || matches!(phase, Some("Succeeded" | "Failed"))) {
            let more = taken(pod, accelerator.as_deref());
            let known = used.entry(node).or_insert(Resources::ZERO);
            known.cpu.0 = known.cpu.0.saturating_add(more.cpu.0);
            known.memory.0 = known.memory.0.saturating_add(more.memory.0);
            known.disk.0 = known.disk.0.saturating_add(more.disk.0);
            known.accel.0 = known.accel.0.saturating_add(more.accel.0);
        }
    }
    let mut shown: Vec<Node> = nodes
        .iter()
        .filter_map(|node| read_node(node, &used, accelerator.as_deref(), site))
        .collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    cap(&mut shown, quotas, accelerator.as_deref());
    Survey { nodes: shown, version: String::new(), accelerator, about: BTreeMap::new() }
}

fn read_node(
    node: &core::Node,
    used: &BTreeMap<&str, Resources>,
    accelerator: Option<&str>,
    site: &Site,
) -> Option<Node> {
    let name = node.metadata.name.clone()?;
    let labels = node.metadata.labels.clone().unwrap_or_default();
    if site.node_selector.iter().any(|(key, value)| labels.get(key) != Some(value)) {
        return None;
    }
    let status = node.status.clone().unwrap_or_default();
    let given = status.allocatable.unwrap_or_default();
    let used = used.get(name.as_str()).copied().unwrap_or(Resources::ZERO);
    let left = |resource: &str, read: fn(&str) -> Option<u64>, used: u64| {
        amount(&given, resource).and_then(read).unwrap_or(0).saturating_sub(used)
    };
    let accel = accelerator.map_or(0, |name| left(name, milli_floor, used.accel.0));
    let ready = status
        .conditions
        .unwrap_or_default()
        .iter()
        .any(|one| one.type_ == "Ready" && one.status == "True");
    let spec = node.spec.clone().unwrap_or_default();
    let barred = spec.taints.unwrap_or_default().iter().any(|taint| {
        let keeps_out = taint.effect != "PreferNoSchedule";
        let never = NOT_UP_TAINTS.contains(&taint.key.as_str());
        keeps_out && (never || !site.tolerations.contains(&taint.key))
    });
    let has_any = accelerator
        .and_then(|name| whole_floor(amount(&given, name)?))
        .is_some_and(|count| count > 0);
    let model = || {
        let named = MODEL_LABELS.iter().find_map(|label| labels.get(*label)).cloned();
        named.or_else(|| accelerator.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()))
    };
    Some(Node {
        total: Resources {
            cpu: MilliCpu(step_floor(left("cpu", milli_floor, used.cpu.0), CPU_STEP)),
            memory: Bytes(step_floor(left("memory", whole_floor, used.memory.0), MEMORY_STEP)),
            disk: Bytes(step_floor(
                left("ephemeral-storage", whole_floor, used.disk.0),
                MEMORY_STEP,
            )),
            // Whole ones: a device plugin gives no part of one.
            accel: MilliAccel(accel / 1_000 * 1_000),
        },
        accelerator: if has_any { model() } else { None },
        up: ready && !spec.unschedulable.unwrap_or(false) && !barred,
        name,
    })
}

/// All nodes together show no more than the quotas have: the first ones in order show theirs.
fn cap(nodes: &mut [Node], quotas: &[Quota], accelerator: Option<&str>) {
    let least =
        |of: &dyn Fn(&Quota) -> Option<u64>| quotas.iter().filter_map(of).min().unwrap_or(u64::MAX);
    let mut cpu = least(&|quota| quota.cpu.map(|cpu| cpu.0));
    let mut memory = least(&|quota| quota.memory.map(|memory| memory.0));
    let mut accel = least(&|quota| {
        let count = quota.others.get(accelerator?)?;
        Some(count.saturating_mul(1_000))
    });
    let take = |left: &mut u64, wanted: u64| {
        let given = wanted.min(*left);
        if *left < u64::MAX {
            *left -= given;
        }
        given
    };
    for node in nodes.iter_mut().filter(|node| node.up) {
        node.total.cpu.0 = take(&mut cpu, node.total.cpu.0);
        node.total.memory.0 = take(&mut memory, node.total.memory.0);
        node.total.accel.0 = take(&mut accel, node.total.accel.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, more: &Value) -> core::Node {
        let mut node = json!({
            "metadata": { "name": name, "labels": { "zone": "a" } },
            "spec": {},
            "status": {
                "allocatable": {
                    "cpu": "15500m", "memory": "60Gi", "ephemeral-storage": "100G",
                    "huawei.com/Ascend910": "8",
                },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        for (key, value) in more.as_object().expect("an object") {
            node[key] = value.clone();
        }
        serde_json::from_value(node).expect("a node")
    }

    fn pod(node: &str, agent: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "labels": { LABEL_AGENT: agent } },
            "spec": {
                "nodeName": node,
                "containers": [
                    { "name": "a", "resources": { "requests": { "cpu": "1", "memory": "1Gi" } } },
                    { "name": "b", "resources": { "limits":
                        { "cpu": "500m", "huawei.com/Ascend910": "2" } } },
                ],
                "initContainers": [
                    { "name": "i", "resources": { "requests": { "memory": "4Gi" } } },
                ],
            },
            "status": { "phase": phase },
        }))
        .expect("a pod")
    }

    #[test]
    fn nodes_show_what_others_leave() {
        let nodes = [
            node("b", &json!({})),
            node("a", &json!({ "spec": { "unschedulable": true } })),
            node("c", &json!({ "spec": { "taints": [{ "key": "gpu", "effect": "NoSchedule" }] } })),
            node("d", &json!({ "metadata": { "name": "d", "labels": { "zone": "b" } } })),
        ];
        let pods =
            [pod("b", "other", "Running"), pod("b", "me", "Running"), pod("b", "other", "Failed")];
        let site =
            Site { node_selector: [("zone".to_owned(), "a".to_owned())].into(), ..Site::default() };
        let seen = survey(&nodes, &pods, &[], &site, "me");
        let names: Vec<_> = seen.nodes.iter().map(|node| (node.name.as_str(), node.up)).collect();
        assert_eq!(names, [("a", false), ("b", true), ("c", false)]);
        let left = &seen.nodes[1];
        assert_eq!(left.total.cpu, MilliCpu(14_000));
        assert_eq!(left.total.memory, Bytes(56 << 30), "the largest that runs before counts");
        assert_eq!(left.total.accel, MilliAccel(6_000));
        assert_eq!(left.accelerator.as_deref(), Some("Ascend910"));
        let bears = Site { tolerations: vec!["gpu".to_owned()], ..site };
        assert!(survey(&nodes, &[], &[], &bears, "me").nodes[2].up);
    }

    #[test]
    fn cards_are_called_as_their_vendors_label_them() {
        let labelled = |resource: &str, label: Option<(&str, &str)>| {
            let mut labels = json!({});
            if let Some((key, value)) = label {
                labels[key] = json!(value);
            }
            let mut allocatable = json!({ "cpu": "4", "memory": "8Gi" });
            allocatable[resource] = json!("8");
            let more = json!({
                "metadata": { "name": "n", "labels": labels },
                "status": {
                    "allocatable": allocatable,
                    "conditions": [{ "type": "Ready", "status": "True" }],
                },
            });
            let seen = survey(&[node("n", &more)], &[], &[], &Site::default(), "me");
            let node = seen.nodes.into_iter().next().expect("one");
            (
                seen.accelerator.unwrap_or_default(),
                node.accelerator.unwrap_or_default(),
                node.total.accel.0,
            )
        };
        let check = |resource: &str, label, model: &str| {
            let expect = (resource.to_owned(), model.to_owned(), 8_000);
            assert_eq!(labelled(resource, label), expect, "{resource}");
        };
        let product = |value| Some(("nvidia.com/gpu.product", value));
        check("nvidia.com/gpu", product("NVIDIA-H100-80GB-HBM3"), "NVIDIA-H100-80GB-HBM3");
        check("nvidia.com/gpu", None, "gpu");
        check("huawei.com/Ascend910", None, "Ascend910");
        let chip = Some(("node.kubernetes.io/npu.chip.name", "910B3"));
        check("huawei.com/Ascend910", chip, "910B3");
        check("huawei.com/Ascend310P", None, "Ascend310P");
        check("amd.com/gpu", Some(("amd.com/gpu.product-name", "MI300X")), "MI300X");
        for resource in KNOWN_ACCELERATORS {
            assert_eq!(labelled(resource, None).2, 8_000, "{resource}");
        }
        // What is not known is offered where the operator names it.
        let odd = json!({ "status": {
            "allocatable": { "cpu": "4", "example.com/tpu": "2" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        }});
        let nodes = [node("n", &odd)];
        assert_eq!(survey(&nodes, &[], &[], &Site::default(), "me").nodes[0].total.accel.0, 0);
        let site = Site { accelerator: Some("example.com/tpu".to_owned()), ..Site::default() };
        assert_eq!(survey(&nodes, &[], &[], &site, "me").nodes[0].total.accel.0, 2_000);
    }

    #[test]
    fn quotas_bound_what_is_shown_and_what_is_taken() {
        let of = json!({
            "metadata": { "name": "q" },
            "spec": { "hard": {
                "requests.cpu": "20", "limits.cpu": "18", "memory": "70Gi",
                "requests.huawei.com/Ascend910": "4", "pods": "10",
            }},
        });
        let quota = quota(&serde_json::from_value(of).expect("a quota"));
        assert_eq!((quota.cpu, quota.pods), (Some(MilliCpu(18_000)), Some(10)));
        let nodes = [node("a", &json!({})), node("b", &json!({}))];
        let quotas = [quota];
        let seen = survey(&nodes, &[], &quotas, &Site::default(), "me");
        let shown: Vec<_> = seen
            .nodes
            .iter()
            .map(|n| (n.total.cpu.0, n.total.memory.0 >> 30, n.total.accel.0))
            .collect();
        assert_eq!(shown, [(15_500, 60, 4_000), (2_500, 10, 0)]);
        let asks = |cpu, cards, pods| {
            beyond(&quotas, MilliCpu(cpu), Bytes(1), Some(("huawei.com/Ascend910", cards)), pods)
        };
        assert_eq!(asks(18_000, 4, 1), None);
        let said = asks(19_000, 0, 1).expect("too much");
        assert!(said.contains("19") && said.contains("`q`") && said.contains("raised"), "{said}");
        assert!(asks(1_000, 5, 1).expect("too much").contains("Ascend910"));
        assert!(asks(1_000, 0, 11).expect("too many").contains("11 pods"));
    }

    #[test]
    fn a_quota_for_some_pods_only_says_nothing() {
        let of = json!({ "spec": { "hard": { "cpu": "1" }, "scopes": ["BestEffort"] } });
        assert_eq!(quota(&serde_json::from_value(of).expect("a quota")), Quota::default());
    }
}

//! What an operator says of a cluster. Known with and without the engine itself, because it is part
//! of what an agent remembers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[cfg(feature = "kubernetes")]
/// What Kubernetes takes as the name of a namespace: a DNS label (RFC 1123).
const LABEL_LENGTH_MAX: usize = 63;

/// What the operator says of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// The file that says where the API server is and who asks; none: as `kubectl` finds it, else
    /// the service account of the pod that the agent runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of it; none: its current one.
    pub context: Option<String>,
    /// In which namespaces tasks run.
    pub namespaces: Namespaces,
    /// The image of tasks that name none.
    pub image: Option<String>,
    /// The resource that accelerators are, such as `huawei.com/Ascend910`; none: the first known
    /// one that a node shows.
    pub accelerator: Option<String>,
    /// The service account of the pods; they get no token of it.
    pub service_account: Option<String>,
    /// The priority class of the pods.
    pub priority_class: Option<String>,
    /// The runtime class of the pods: `gvisor`, `kata`.
    pub runtime_class: Option<String>,
    /// Who schedules the pods; none: the cluster's usual scheduler.
    pub scheduler: Option<String>,
    /// Secrets by which images are fetched.
    pub pull_secrets: Vec<String>,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Keys of taints that the pods bear.
    pub tolerations: Vec<String>,
    /// The user and group that tasks run as; none: the image's.
    pub run_as: Option<u32>,
    /// The volume that tasks' folders lie on; none: each pod has one of its own that nobody else
    /// sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Where the agent sees that volume; none: where the nodes do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_at: Option<PathBuf>,
}

impl Site {
    /// Where the agent sees the volume of the tasks' folders, where there is one. Refused where
    /// nobody said it.
    pub fn shared(&self) -> Result<Option<PathBuf>, String> {
        match (&self.volume, &self.volume_at) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err("--kube-volume-at says where the agent sees a volume; say which \
                                    one with --kube-volume"
                    .to_owned())
            }
            (Some(_), Some(at)) => Ok(Some(at.clone())),
            (Some(Volume::Host(path)), None) => Ok(Some(path.clone())),
            (Some(Volume::Claim(name)), None) => Err(format!(
                "say where this machine sees the volume of the claim `{name}`, with --kube-volume-at"
            )),
        }
    }
}

/// A volume that the agent and every node see, as the pods name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Volume {
    /// By a PersistentVolumeClaim of that name in the pods' namespace; it is `ReadWriteMany`.
    Claim(String),
    /// A folder of the nodes, at the same place on each: of a file system that they share.
    Host(PathBuf),
}

impl FromStr for Volume {
    type Err = String;
    /// Reads `claim:NAME` or `host:/PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("claim", name)) if !name.is_empty() && !name.contains('/') => {
                Ok(Self::Claim(name.to_owned()))
            }
            Some(("host", path)) if path.starts_with('/') => Ok(Self::Host(path.into())),
            Some(_) | None => Err(format!("`{text}` is neither claim:NAME nor host:/PATH")),
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Host(path) => write!(f, "host:{}", path.display()),
        }
    }
}

impl TryFrom<String> for Volume {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Volume> for String {
    fn from(volume: Volume) -> Self {
        volume.to_string()
    }
}

/// In which namespace the tasks of an organisation run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// A namespace, or a pattern in which `{org}` stands for the organisation.
    pub pattern: String,
    /// Organisations with a namespace of their own.
    pub of: BTreeMap<String, String>,
}

#[cfg(feature = "kubernetes")]
/// Where nothing else is said.
const DEFAULT_NAMESPACE: &str = "dayan";
#[cfg(feature = "kubernetes")]
/// What stands for the organisation.
const PLACE: &str = "{org}";

#[cfg(feature = "kubernetes")]
impl Namespaces {
    /// The namespace of an organisation; refused where it would be none.
    pub(crate) fn find(&self, org: Option<&str>) -> Result<String, String> {
        let pattern = if self.pattern.is_empty() { DEFAULT_NAMESPACE } else { &self.pattern };
        let name = match (org.and_then(|org| self.of.get(org)), org) {
            (Some(own), _) => own.clone(),
            (None, Some(org)) => pattern.replace(PLACE, org),
            (None, None) if pattern.contains(PLACE) => {
                return Err(format!(
                    "the namespace is `{pattern}` and nobody said whose task it is; update the \
                     exchange, or give a namespace without {PLACE}"
                ));
            }
            (None, None) => pattern.to_owned(),
        };
        if is_label(&name) {
            Ok(name)
        } else {
            Err(format!(
                "`{name}` is no namespace; map the organisation to one with --kube-namespace-of"
            ))
        }
    }

    /// The one namespace, where all organisations share it.
    pub(crate) fn only(&self) -> Option<String> {
        let shared = !self.pattern.contains(PLACE) && self.of.is_empty();
        shared.then(|| self.find(None).ok()).flatten()
    }
}

#[cfg(feature = "kubernetes")]
fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= LABEL_LENGTH_MAX
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(all(test, feature = "kubernetes"))]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_read_and_its_place_is_known() {
        for text in ["claim:shared", "host:/srv/dayan"] {
            let volume: Volume = text.parse().expect("a volume");
            assert_eq!(volume.to_string(), text);
        }
        for bad in ["claim:", "claim:a/b", "host:srv", "nfs:/x", "shared"] {
            assert!(bad.parse::<Volume>().is_err(), "{bad}");
        }
        let site = |volume: Option<&str>, at: Option<&str>| Site {
            volume: volume.map(|text| text.parse().expect("a volume")),
            volume_at: at.map(PathBuf::from),
            ..Site::default()
        };
        assert_eq!(site(None, None).shared(), Ok(None));
        assert_eq!(site(Some("host:/a"), None).shared(), Ok(Some("/a".into())));
        assert_eq!(site(Some("host:/a"), Some("/b")).shared(), Ok(Some("/b".into())));
        assert!(site(Some("claim:c"), None).shared().expect_err("where?").contains("`c`"));
        assert!(site(None, Some("/b")).shared().is_err());
        let text = serde_json::to_string(&site(Some("claim:c"), Some("/b"))).expect("JSON");
        assert!(text.contains("\"claim:c\""), "{text}");
        assert_eq!(
            serde_json::from_str::<Site>(&text).ok(),
            Some(site(Some("claim:c"), Some("/b")))
        );
    }

    #[test]
    fn organisations_have_namespaces() {
        let plain = Namespaces::default();
        assert_eq!(plain.find(Some("x")).as_deref(), Ok("dayan"));
        assert_eq!(plain.only().as_deref(), Some("dayan"));
        let each = Namespaces {
            pattern: "dayan-{org}".to_owned(),
            of: [("acme".to_owned(), "acme-batch".to_owned())].into(),
        };
        assert_eq!(each.find(Some("blue")).as_deref(), Ok("dayan-blue"));
        assert_eq!(each.find(Some("acme")).as_deref(), Ok("acme-batch"));
        assert_eq!(each.only(), None);
        assert!(each.find(None).is_err());
        assert!(each.find(Some("Über")).expect_err("no label").contains("--kube-namespace-of"));
    }
}

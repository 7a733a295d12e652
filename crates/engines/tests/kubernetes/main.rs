//! The Kubernetes engine on a real control plane where its programs are at hand
//! (`KUBEBUILDER_ASSETS`), else on a small fake of ours; with a twin of a kubelet as the node.

mod ask;
mod compare;
mod fake;
mod lab;
mod trials;
mod twin;
mod visits;

use dayan_engines::conformance::{self, Bed};
use dayan_engines::kubernetes::{Pace, Site, Volume};
use dayan_engines::{Engine, Image, KubernetesConfig, KubernetesEngine};
use dayan_units::Span;

use lab::Lab;

const PACE: Pace = Pace {
    ask_within: Span::from_secs(30),
    try_again: Span::from_millis(500),
    image_within: Span::from_secs(2),
    gang_within: Span::from_secs(120),
    logs_within: Span::from_secs(30),
    picture_every: Span::from_secs(5),
    usage_every: Span::from_millis(500),
    word_within: Span::from_secs(120),
};

/// The program that enters pods.
const VISITOR: &str = env!("CARGO_BIN_EXE_dayan-kube-exec-test");

fn config(lab: &Lab, folder: &str) -> KubernetesConfig {
    let site = Site { kubeconfig: Some(lab.config("admin")), ..Site::default() };
    let visitor = Some(vec![VISITOR.into()]);
    KubernetesConfig { dir: lab.folder(folder), site, pace: PACE, visitor }
}

/// The same with tasks' folders on a volume that the agent sees.
fn config_with_volume(lab: &Lab, folder: &str) -> KubernetesConfig {
    let mut config = config(lab, folder);
    config.site.volume = Some(Volume::Host(lab.volume()));
    config
}

struct Cluster<'a> {
    lab: &'a Lab,
    folder: String,
    /// A node whose plug may be pulled, because nobody else is on it.
    alone_on: Option<&'a twin::Twin>,
}

impl Bed for Cluster<'_> {
    fn open(&mut self) -> Box<dyn Engine> {
        let mut config = config_with_volume(self.lab, &self.folder);
        if self.alone_on.is_some() {
            // Its node will say nothing, and is not waited for.
            config.pace.word_within = Span::from_secs(3);
            let own = ("kubernetes.io/hostname".to_owned(), LONELY.to_owned());
            config.site.node_selector = [own].into();
        }
        Box::new(KubernetesEngine::open(config).expect("opens"))
    }

    fn image(&self) -> Option<Image> {
        Some(Image { name: twin::IMAGE.to_owned(), ..Image::default() })
    }

    fn lose_node(&mut self, _: &str) -> bool {
        // It tells nothing and hears nothing; what runs there goes on.
        self.alone_on.inspect(|node| node.be_silent(true)).is_some()
    }

    fn counts_use(&self) -> bool {
        self.lab.twin().is_reached_by_proxy()
    }

    fn outside_variables(&self) -> &[&str] {
        &["TWIN_POD", "TWIN_CONTAINER", "PWD", "OLDPWD"]
    }
}

/// The node that is lost.
const LONELY: &str = "twin-lonely";

/// So many cases are run here. Those that are not: docs/guides/kubernetes.md, "What it promises".
const LEAST: usize = 74;

fn suite(lab: &Lab) {
    /// Most of a case is waiting.
    const SHARES: usize = 3;
    let only = std::env::var("DAYAN_CASE").ok();
    // A gang finds room.
    let _more =
        ["twin-2", "twin-3", "twin-4"].map(|name| lab.add_node(name, &twin::Room::default()));
    let mut report = conformance::run_in_shares(SHARES, only.as_deref(), |number| Cluster {
        lab,
        folder: format!("agent-{number}"),
        alone_on: None,
    });
    let picked = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    // On a node of its own: nobody else's is lost.
    let lonely = lab.add_node(LONELY, &twin::Room::default());
    let folder = "agent-alone".to_owned();
    let mut alone = Cluster { lab, folder, alone_on: Some(&lonely) };
    let lost = "a lost node's task ends by its lease";
    report.replace(conformance::run_some(&mut alone, |name| name == lost && picked(name)));
    lonely.be_silent(false);
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(only.is_some() || report.passed() >= LEAST, "too much was skipped:\n{report}");
}

#[test]
fn a_real_cluster_keeps_the_promises() {
    let Some(lab) = Lab::real() else { return };
    suite(&lab);
}

#[test]
fn a_fake_cluster_keeps_the_promises() {
    suite(&Lab::fake());
}

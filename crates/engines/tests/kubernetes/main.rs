//! The Kubernetes engine on a real control plane where its programs are at hand
//! (`KUBEBUILDER_ASSETS`), else on a small fake of ours; with a twin of a kubelet as the node.

mod ask;
mod compare;
mod fake;
mod lab;
mod trials;
mod twin;

use dayan_engines::conformance::{self, Bed};
use dayan_engines::kubernetes::{Pace, Site};
use std::path::PathBuf;

use dayan_engines::{Engine, Image, KubernetesConfig, KubernetesEngine};
use dayan_units::{AttemptId, Span};

use lab::Lab;

const PACE: Pace = Pace {
    ask_within: Span::from_secs(30),
    try_again: Span::from_millis(500),
    image_within: Span::from_secs(2),
    gang_within: Span::from_secs(120),
    logs_within: Span::from_secs(30),
    picture_every: Span::from_secs(5),
};

fn config(lab: &Lab, folder: &str) -> KubernetesConfig {
    let site = Site { kubeconfig: Some(lab.config("admin")), ..Site::default() };
    KubernetesConfig { dir: lab.folder(folder), site, pace: PACE }
}

struct Cluster<'a> {
    lab: &'a Lab,
    /// Nodes beside the lab's own, so that a gang finds room.
    more: &'a [twin::Twin],
    folder: String,
}

impl Bed for Cluster<'_> {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(KubernetesEngine::open(config(self.lab, &self.folder)).expect("opens"))
    }

    fn image(&self) -> Option<Image> {
        Some(Image { name: twin::IMAGE.to_owned(), ..Image::default() })
    }

    fn workdir(&self, attempt: AttemptId) -> Option<PathBuf> {
        let task = attempt.to_string();
        // It is there once its pod is: that takes its moment.
        lab::until("the task has a folder", || {
            let mut nodes = std::iter::once(self.lab.twin()).chain(self.more);
            nodes.find_map(|node| node.work_of(&task))
        })
    }

    fn outside_variables(&self) -> &[&str] {
        &["TWIN_POD", "PWD", "OLDPWD"]
    }

    fn array_size(&self) -> u32 {
        // Each pod is a dozen requests: a thousand take minutes on two cores.
        200
    }
}

fn suite(lab: &Lab) {
    /// Most of a case is waiting.
    const SHARES: usize = 3;
    let only = std::env::var("DAYAN_CASE").ok();
    let more =
        ["twin-2", "twin-3", "twin-4"].map(|name| lab.add_node(name, &twin::Room::default()));
    let report = conformance::run_in_shares(SHARES, only.as_deref(), |number| Cluster {
        lab,
        more: &more,
        folder: format!("agent-{number}"),
    });
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(only.is_some() || report.passed() >= 30, "too much was skipped:\n{report}");
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

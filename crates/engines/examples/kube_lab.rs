//! A cluster for tests of the whole program: `kube_lab real|fake`. The fake of an API server, or a
//! real control plane where `KUBEBUILDER_ASSETS` names one, with four twins of a kubelet as its nodes.
//!
//! It says where its kubeconfig and a folder are that all nodes see, each on a line of its own, and
//! then obeys what it reads: `kill` and `revive` the API server, `started` to be told how many pods were
//! started and how many different ones. It ends with its input. Knows nothing of the exchange.

#[path = "../tests/kubernetes/ask.rs"]
mod ask;
#[path = "../tests/kubernetes/fake/mod.rs"]
mod fake;
#[path = "../tests/kubernetes/lab.rs"]
#[expect(dead_code, reason = "the engine's own tests take the rest")]
mod lab;
#[path = "../tests/kubernetes/twin/mod.rs"]
#[expect(dead_code, reason = "the engine's own tests take the rest")]
mod twin;

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use lab::Lab;
use twin::Room;

fn main() {
    let kind = std::env::args().nth(1).unwrap_or_default();
    let lab = match kind.as_str() {
        "fake" => Lab::fake(),
        "real" => match Lab::real() {
            Some(lab) => lab,
            None => return,
        },
        _ => panic!("usage: kube_lab real|fake"),
    };
    let more = ["twin-2", "twin-3", "twin-4"].map(|name| lab.add_node(name, &Room::default()));
    say(&lab.config("admin").display().to_string());
    say(&lab.volume().display().to_string());
    let mut silenced = 0;
    for line in std::io::stdin().lock().lines() {
        match line.expect("text").as_str() {
            "kill" => {
                lab.kill_server();
                say("killed");
            }
            "revive" => {
                lab.revive_server();
                say("revived");
            }
            // It tells nothing and hears nothing; what runs there goes on.
            "silence" => {
                more[silenced].be_silent(true);
                say("silent");
            }
            "speech" => {
                more[silenced].be_silent(false);
                silenced = (silenced + 1) % more.len();
                say("speaks");
            }
            "started" => {
                let nodes = std::iter::once(lab.twin()).chain(&more);
                let all: Vec<String> = nodes.flat_map(twin::Twin::started).collect();
                let different: BTreeSet<&String> = all.iter().collect();
                say(&format!("{} {}", all.len(), different.len()));
            }
            other => panic!("`{other}` is not known here"),
        }
    }
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}").and_then(|()| out.flush()).expect("somebody listens");
}

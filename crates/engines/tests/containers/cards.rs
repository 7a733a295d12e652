//! Cards by the Container Device Interface: a description in the system's own folder, and who reads it.

use std::path::{Path, PathBuf};

use dayan_engines::{Containers, Image, Launch, Outcome, StartFailure};
use dayan_units::AttemptId;

use super::lab::Lab;
use super::trials::Trial;

/// A description of cards that are none: what it gives is seen all the same. It goes when it is dropped.
struct Description {
    file: PathBuf,
    kind: String,
}

impl Description {
    const FOLDER: &str = "/etc/cdi";

    /// Of cards of a kind of its own: what two files describe, nobody gets.
    fn write(name: &str) -> std::io::Result<Self> {
        let name = format!("{name}-{}", std::process::id());
        let kind = format!("dayan.test/{name}");
        let folder = Path::new(Self::FOLDER);
        std::fs::create_dir_all(folder)?;
        let file = folder.join(format!("dayan-test-{name}.json"));
        let cards = ["0", "1"].map(|card| {
            let edits = serde_json::json!({
                "env": [format!("DAYAN_TEST_CARD_{card}=given")],
                "deviceNodes": [{ "path": format!("/dev/card{card}"), "hostPath": "/dev/full" }],
            });
            serde_json::json!({ "name": card, "containerEdits": edits })
        });
        let text = serde_json::json!({ "cdiVersion": "0.3.0", "kind": &kind, "devices": cards });
        std::fs::write(&file, text.to_string())?;
        Ok(Self { file, kind })
    }

    /// One for a test; none where this user cannot describe any.
    fn of(name: &str) -> Option<Self> {
        match Self::write(name) {
            Ok(description) => Some(description),
            Err(why) => {
                println!("SKIPPED: no card can be described here ({why})");
                None
            }
        }
    }

    /// A launch with the second of them.
    fn launch(&self, trial: &mut Trial<'_>, line: &str) -> Launch {
        let launch = trial.launch(line);
        let devices = vec![format!("{}=1", self.kind)];
        let image = launch.image.clone().map(|image| Image { devices, ..image });
        Launch { image, ..launch }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // The folder stays: others may be about to write there.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// How a task with one ended, and what it said.
fn ends(lab: &Lab) -> Option<(Outcome, String)> {
    let description = Description::of(lab.name())?;
    let mut trial = Trial::new(lab, "agent");
    let launch = description.launch(&mut trial, "env | grep DAYAN_TEST_CARD; ls /dev | grep card");
    let attempt = launch.attempt;
    for answer in trial.engine.start(vec![launch]) {
        answer.expect("started");
    }
    let ended = trial.end(attempt);
    let said = String::from_utf8_lossy(&trial.output(attempt)).into_owned();
    Some((ended, said))
}

#[test]
fn podman_gives_a_task_the_card_that_is_described_and_no_other() {
    let Some(lab) = Lab::start_one(Containers::Podman) else { return };
    let Some((ended, said)) = ends(&lab) else { return };
    assert_eq!((ended, said.as_str()), (Outcome::Exited(0), "DAYAN_TEST_CARD_1=given\ncard1\n"));
}

#[test]
fn docker_gives_a_task_its_card_or_says_that_it_has_nobody_for_cards() {
    let Some(lab) = Lab::start_one(Containers::Docker) else { return };
    let Some((ended, said)) = ends(&lab) else { return };
    match ended {
        // Since docker 25, which reads descriptions.
        Outcome::Exited(0) => assert_eq!(said, "DAYAN_TEST_CARD_1=given\ncard1\n"),
        Outcome::StartFailed(StartFailure::Other(why)) => {
            assert!(why.contains("could not select device driver"), "{why}");
        }
        other => panic!("{other:?}: {said}"),
    }
}

/// What podman knows of a container, but for what is each one's own.
fn known(lab: &Lab, attempt: AttemptId) -> serde_json::Value {
    let label = format!("label=dayan.attempt={attempt}");
    let id = lab.run(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
    let text = lab.run(&["inspect", id.trim()]);
    let (own, both) = (attempt.to_string(), attempt.to_string().replace('/', "."));
    let text = text.replace(&own, "ATTEMPT").replace(&both, "ATTEMPT").replace(id.trim(), "ID");
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut known = all[0].clone();
    let without = |value: &mut serde_json::Value, names: &[&str]| {
        let fields = value.as_object_mut().expect("an object");
        for name in names {
            fields.remove(*name);
        }
    };
    without(&mut known["HostConfig"], &["Devices"]);
    without(&mut known["Config"], &["Env", "Hostname", "CreateCommand"]);
    // When it was made, and that there is no terminal, which only docker's words say.
    let notes = ["io.kubernetes.cri-o.Created", "io.kubernetes.cri-o.TTY"];
    without(&mut known["Config"]["Annotations"], &notes);
    serde_json::json!({
        "host": known["HostConfig"], "config": known["Config"], "mounts": known["Mounts"],
        "may": known["BoundingCaps"], "networks": known["NetworkSettings"]["Networks"],
    })
}

#[test]
fn a_podman_container_with_a_card_is_as_shut_as_one_without() {
    let Some(lab) = Lab::start_one(Containers::Podman) else { return };
    let Some(description) = Description::of("shut") else { return };
    let mut trial = Trial::new(&lab, "agent");
    let line = "echo > /work/up; until [ -e /work/go ]; do sleep 0.1; done";
    let (with, plain) = (description.launch(&mut trial, line), trial.launch(line));
    let attempts = [with.attempt, plain.attempt];
    for answer in trial.engine.start(vec![with, plain]) {
        answer.expect("started");
    }
    let [with, plain] = attempts.map(|attempt| {
        trial.until_file(attempt, "up");
        known(&lab, attempt)
    });
    assert_eq!(with, plain);
    for attempt in attempts {
        trial.write(attempt, "go");
        assert_eq!(trial.end(attempt), Outcome::Exited(0));
    }
}

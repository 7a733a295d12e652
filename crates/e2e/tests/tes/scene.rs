//! An exchange with a pool of containers, spoken to as TES clients do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::lab::Lab;
use super::support::{Serve, Stage, until};

/// The image of the lab: a busybox.
pub const IMAGE: &str = "localhost/dayan-test:1";

/// A stage with one pool of containers.
pub struct Scene {
    pub stage: Stage,
    /// Its podman; ends after the stage.
    pub lab: Lab,
}

impl Scene {
    /// With these words on the agent's command line; none: no podman is here.
    pub fn set(words: &[&str]) -> Option<Self> {
        let lab = Lab::start()?;
        let mut stage = Stage::empty(Serve::default());
        let socket = lab.socket().display().to_string();
        let own = ["--container-socket", &socket, "--pull", "never", "--cpus", "2"];
        stage.add_engine("podman", "boxes", &[&own, words].concat());
        Some(Self { stage, lab })
    }

    /// A request with a header of authorization; the status and the body.
    pub fn ask(&self, method: &str, path: &str, auth: &str, body: &str) -> (u16, Value) {
        let address = self.stage.address();
        let mut stream = TcpStream::connect(&address).expect("the server listens");
        let auth =
            if auth.is_empty() { String::new() } else { format!("authorization: {auth}\r\n") };
        let request = format!(
            "{method} /ga4gh/tes/v1{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{auth}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }

    /// A request of the member's that is answered well.
    pub fn get(&self, path: &str) -> Value {
        let (status, said) = self.ask("GET", path, &self.bearer(), "");
        assert_eq!(status, 200, "{path}: {said}");
        said
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.stage.member)
    }

    /// Creates a task; its id.
    pub fn create(&self, task: &Value) -> String {
        let (status, said) = self.ask("POST", "/tasks", &self.bearer(), &task.to_string());
        assert_eq!(status, 200, "{said}");
        said["id"].as_str().expect("an id").to_owned()
    }

    /// Waits for a task's end; the task in full.
    pub fn ended(&self, task: &str) -> Value {
        until("the task's end", || {
            let state = self.get(&format!("/tasks/{task}"))["state"].clone();
            let ends = ["COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"];
            ends.contains(&state.as_str().unwrap_or_default()).then_some(())
        });
        self.get(&format!("/tasks/{task}?view=FULL"))
    }

    /// What a file of the data store holds.
    pub fn data(&self, address: &str) -> String {
        let output = self.stage.member_run(&["data", "get", address, "-"], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Puts a file into the data store.
    pub fn put(&self, name: &str, text: &str, address: &str) {
        std::fs::write(self.stage.path(name), text).expect("written");
        let output = self.stage.member_run(&["data", "put", name, address], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A task of one line for a shell.
pub fn task(name: &str, line: &str) -> Value {
    json!({
        "name": name,
        "resources": {"cpu_cores": 1, "ram_gb": 0.05},
        "executors": [{"image": IMAGE, "command": ["/bin/sh", "-c", line]}],
    })
}

//! The whole house by one command: the demo runs all its jobs for real, bills them and ends by
//! itself; what it leaves can be verified, and opened again.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

fn dayan(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(support::program());
    command.args(args).env("HOME", home).env("LANG", "C.UTF-8").env_remove("DAYAN_URL");
    command.current_dir(home).stdin(Stdio::null());
    command
}

fn ran(mut command: Command) -> Output {
    let out = command.output().expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out
}

/// Millionths of the unit, from an amount as it is written.
fn micro(amount: &Value) -> u64 {
    let text = amount.as_str().expect("an amount");
    let (units, part) = text.split_once('.').expect("a point");
    format!("{units}{part:0<6}").parse().expect("an amount of no more than millionths")
}

/// The pictures in this folder and below.
fn pictures(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("results");
    let count = |path: &Path| {
        if path.is_dir() {
            return pictures(path);
        }
        let bytes = std::fs::read(path).expect("a file");
        usize::from(bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
    };
    entries.map(|entry| count(&entry.expect("a readable folder").path())).sum()
}

/// A server, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The exchange of the demo, served again: as many jobs as ran, and books that balance.
fn opened_again(home: &Path, exchange: &str, jobs: u64) {
    let serve = ["serve", "--listen", "127.0.0.1:0", "-o", "json", "--data", exchange];
    let mut server = dayan(home, &serve);
    let mut server = Server(server.stdout(Stdio::piped()).spawn().expect("it starts"));
    let stdout = server.0.stdout.take().expect("piped");
    let mut told = String::new();
    let mut lines = BufReader::new(stdout);
    let url = loop {
        assert!(lines.read_line(&mut told).expect("text") > 0, "the server ended: {told}");
        if let Ok(told) = serde_json::from_str::<Value>(&told) {
            break told["url"].as_str().expect("an address").to_owned();
        }
    };
    let token = std::fs::read_to_string(home.join(exchange).join("operator.token"));
    let token = token.expect("a token").trim().to_owned();
    let ask = |args: &[&str]| -> Value {
        let mut command = dayan(home, args);
        command.args(["-o", "json"]).env("DAYAN_URL", &url).env("DAYAN_TOKEN", &token);
        serde_json::from_slice(&ran(command).stdout).expect("JSON")
    };
    assert_eq!(ask(&["ledger", "check"])["balanced"], true);
    let listed = ask(&["ps", "--limit", "1000", "--state", "succeeded"]);
    assert_eq!(listed.as_array().map(|rows| rows.len() as u64), Some(jobs));
}

#[test]
fn the_demo_ends_by_itself_and_leaves_books_that_hold() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let demo = ["demo", "--exit-when-done", "--data", "demo", "-o", "json"];
    let out = ran(dayan(home, &demo));

    let report: Value = serde_json::from_slice(&out.stdout).expect("a report");
    let jobs = report["jobs"].as_array().expect("a list");
    let names: Vec<&str> = jobs.iter().filter_map(|job| job["name"].as_str()).collect();
    assert_eq!(names, ["film", "forecast", "tyres", "sweep"]);
    for job in jobs {
        assert!(job["tasks"].as_u64() > Some(0) && job["succeeded"] == job["tasks"], "{job}");
        assert!(micro(&job["spent"]) > 0, "{job}");
    }
    assert_eq!((&jobs[1]["deadlines"], &jobs[3]["tasks"]), (&json!(1), &json!(500)), "{report:#}");
    assert_eq!(jobs[2]["deadlines"], jobs[2]["jobs"], "each tyre has its deadline");
    assert_eq!(report["ledger"]["balanced"], true, "{report:#}");
    let earned = report["providers"].as_array().expect("a list");
    assert_eq!(earned.len(), 3, "{report:#}");
    assert!(earned.iter().all(|provider| micro(&provider["amount"]) > 0), "{report:#}");
    let sum = |rows: &[Value], key: &str| rows.iter().map(|row| micro(&row[key])).sum::<u64>();
    assert!(sum(earned, "amount") <= sum(jobs, "spent"), "nobody earns what nobody spent");

    let results = home.join("demo/results");
    assert_eq!(pictures(&results.join("film")), 48, "one for each frame");
    assert_eq!(pictures(&results.join("tyres")) as u64, jobs[2]["jobs"].as_u64().expect("a count"));
    assert!(
        pictures(&results.join("forecast")) > 0 && results.join("forecast/forecast.grid").is_file()
    );

    let exchange = "demo/exchange";
    ran(dayan(home, &["audit", "verify", "--data", exchange]));
    let submitted = jobs.iter().filter_map(|job| job["jobs"].as_u64()).sum();
    opened_again(home, exchange, submitted);
}

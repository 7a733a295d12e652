//! The real binary: wrong calls, exit codes, streams and languages, as a shell sees them.

mod support;

use std::path::Path;
use std::process::Command;

use support::{command, dayan, text};

const GOOD_JOB: &str = "\
version: 1
name: hello
type: batch
project: studio-a/film-3
resources: {cpus: 1, memory: 1GB, time: 10m}
run: echo hello
market: {mode: on_demand}
";

/// Checks that a line ends so, with nothing on standard output, and gives back what it said.
fn refused(home: &Path, line: &[&str], code: i32) -> String {
    let out = dayan(home, line);
    assert_eq!(out.status.code(), Some(code), "{line:?}: {}", text(&out.stderr));
    assert_eq!(text(&out.stdout), "", "{line:?}");
    text(&out.stderr)
}

#[test]
fn wrong_calls_end_with_two_and_say_what_is_right() {
    let home = tempfile::tempdir().expect("a folder");
    let check = |line: &[&str], says: &str| {
        let said = refused(home.path(), line, 2);
        assert!(said.contains(says), "{line:?}: {said}");
    };
    check(&["sumbit", "x"], "'submit'");
    check(&["submit"], "<FILE>");
    check(&["ps", "-o", "xml"], "table, json, yaml");
    check(&["ps", "--limit", "0"], "1..=20000");
    check(&["ps"], "dayan login URL --token T");
    check(&["pause", "job_x/1"], "names a task");
    check(&["usage", "--period", "soon"], "2026-11");
    check(&["org", "deposit", "a", "lots", "--reference", "x"], "60.00 CNY");
    check(&["org", "deposit", "a", "-5 CNY", "--reference", "x"], "cannot be negative");
    check(&["offer", "create", "p", "--core-hour", "-1"], "cannot be negative");
    check(&["budget", "set", "a/b", "--per-job", "-1 CNY"], "cannot be negative");
    check(&["provider", "invite", "p", "--expires", "0s"], "1h");
    check(&["login", "ftp://x", "--token", "t"], "not the address of an exchange");
    check(&["login", "http://x"], "a token is needed");
    check(&["login", "https://x", "--token", "t", "--fingerprint", "12"], "64 hexadecimal");
    check(&["ledger", "check", "--data", "nowhere"], "nowhere is no folder");
    check(&["submit", "nowhere.yaml"], "nowhere.yaml cannot be read");
    check(&["serve", "--tls-cert", "a.pem"], "--tls-key");
    check(
        &["agent", "--url", "http://x", "--engine", "magic"],
        "process, podman, docker, slurm, kubernetes, simulated",
    );
}

#[test]
fn a_broken_job_file_is_shown_like_a_compiler_does_and_nobody_is_asked() {
    let home = tempfile::tempdir().expect("a folder");
    let broken = GOOD_JOB.replace("project:", "projet:").replace("1GB", "1GX");
    std::fs::write(home.path().join("job.yaml"), broken).expect("written");
    // No exchange is known here: had it been asked, the message would be another.
    let said = refused(home.path(), &["submit", "job.yaml"], 2);
    insta::assert_snapshot!(said);
    let said = refused(home.path(), &["plan", "job.yaml", "--lang", "zh"], 2);
    insta::assert_snapshot!("broken_in_chinese", said);
}

#[test]
fn nobody_there_ends_with_three() {
    let home = tempfile::tempdir().expect("a folder");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    std::fs::write(home.path().join("job.yaml"), GOOD_JOB).expect("written");
    let mut line = command(home.path(), &["submit", "job.yaml", "--key", "k1"]);
    let out = line.env("DAYAN_URL", url).output().expect("the binary is there");
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.contains("no answer from") && said.contains("--key k1"), "{said}");
}

#[test]
fn help_and_version_are_data_and_end_well() {
    let home = tempfile::tempdir().expect("a folder");
    let check = |line: &[&str], says: &str| {
        let out = dayan(home.path(), line);
        assert_eq!(out.status.code(), Some(0), "{line:?}");
        assert!(text(&out.stdout).contains(says), "{line:?}: {}", text(&out.stdout));
        assert_eq!(text(&out.stderr), "", "{line:?}");
    };
    check(&["--help"], "Exit codes:");
    check(&["help", "submit"], "--quote");
    check(&["help", "exit-codes"], "the exchange refused");
    check(&["exit-codes"], "the exchange refused");
    check(&["--version"], env!("CARGO_PKG_VERSION"));
    check(&["version", "-o", "json"], "\"version\"");
    check(&["submit", "--help", "--lang", "zh"], "退出码说明结果");
    for shell in ["bash", "zsh", "fish"] {
        check(&["completions", shell], "invoice");
    }
}

#[test]
fn the_language_is_the_systems_unless_told() {
    let home = tempfile::tempdir().expect("a folder");
    let say = |lang: &str, line: &[&str]| {
        let out = command(home.path(), line).env("LANG", lang).output();
        text(&out.expect("the binary is there").stderr)
    };
    assert!(say("zh_CN.UTF-8", &["ps"]).starts_with("错误: 不知道交易所"));
    assert!(say("en_US.UTF-8", &["ps"]).starts_with("error: no exchange is known"));
    assert!(say("zh_CN.UTF-8", &["ps", "--lang", "en"]).starts_with("error: "));
    assert!(say("C", &["--lang=zh", "ps"]).starts_with("错误"));
}

#[test]
fn a_keeper_is_told_apart_before_everything_else() {
    let home = tempfile::tempdir().expect("a folder");
    let said = refused(home.path(), &["keeper"], 1);
    assert!(said.contains("keeper.usage"), "{said}");
}

#[test]
fn the_doctor_needs_no_exchange_and_says_what_it_sees() {
    let home = tempfile::tempdir().expect("a folder");
    let out = dayan(home.path(), &["doctor", "-o", "yaml"]);
    assert!(text(&out.stdout).starts_with("checks:\n  - "), "{}", text(&out.stdout));
}

#[test]
fn a_pipe_that_closes_early_is_no_failure() {
    let home = tempfile::tempdir().expect("a folder");
    let dayan = env!("CARGO_BIN_EXE_dayan");
    let line = format!("set -o pipefail; {dayan} completions bash | head -n 1 >/dev/null");
    let status = Command::new("bash").args(["-c", &line]).env("HOME", home.path()).status();
    assert_eq!(status.expect("bash is there").code(), Some(0));
}

#[test]
fn a_replay_is_drawn_in_the_language_asked_for_and_a_path_that_cannot_be_is_told_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).display().to_string();
    let job = |n: i32| format!("{n} {} -1 600 2 -1 -1 2 900 -1 1 1 1 1 1 1 -1 -1\n", n * 60);
    let log: String = (1..9).map(job).collect();
    std::fs::write(path("log.swf"), format!("; MaxProcs: 4\n{log}")).expect("written");
    let (log, picture) = (path("log.swf"), path("out.svg"));
    let sim = ["sim", "hpc", &log, "--protocol", "cleaned", "--beside", "fcfs"];
    let drawn = |more: &[&str]| {
        let out = dayan(home.path(), &[&sim[..], &["--plot", &picture], more].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        std::fs::read_to_string(&picture).expect("it is there")
    };
    let (english, chinese) = (drawn(&[]), drawn(&["--lang", "zh"]));
    assert!(english.starts_with("<svg") && english.contains("log.swf: 8 jobs on 4 processors"));
    assert!(chinese.contains("机器利用率") && !chinese.contains("Use of the machine"));
    assert_eq!(english, drawn(&[]), "the same run, the same bytes");
    // The log is not even looked for.
    let line = ["sim", "hpc", "nowhere.swf", "--protocol", "h1", "--plot", &path("no/out.svg")];
    assert!(refused(home.path(), &line, 1).contains("no/out.svg"));
    let line = ["sim", "hpc", "nowhere.swf", "--protocol", "h1", "--plot", &path("new.svg")];
    assert!(refused(home.path(), &line, 1).contains("nowhere.swf"));
    assert!(!home.path().join("new.svg").exists(), "nothing is left of a run that failed");
}

#[test]
fn simulators_read_what_people_have() {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).to_str().expect("plain text").to_owned();
    let job = |id: usize| format!("{id} {} -1 60 1 -1 -1 1 -1 -1 1 1 1 1 1 1 -1 -1\n", id * 10);
    let log: String = (1..9).map(job).collect();
    // Packed, without a name that says so, and without a header.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, log.as_bytes()).expect("in memory");
    std::fs::write(path("log"), packed.finish().expect("in memory")).expect("written");
    let (file, easy) = (path("log"), ["--protocol", "cleaned"]);
    let line = [&["sim", "hpc", &file][..], &easy].concat();
    assert!(refused(home.path(), &line, 2).contains("--processors"));
    let out = dayan(home.path(), &[&line[..], &["--processors", "4", "-o", "json"]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("\"jobs\": 8"), "{}", text(&out.stdout));
    let line = ["sim", "hpc", &file, "--protocol", "h2", "--processors", "4"];
    assert!(refused(home.path(), &line, 2).contains("8 have no limit"));
    std::fs::write(path("market.ini"), "version: 1").expect("written");
    std::fs::write(path("market.yaml"), "version: 1\ndays: x\n").expect("written");
    let told = refused(home.path(), &["sim", "market", &path("market.ini")], 2);
    assert!(told.contains(".toml, .yaml"), "{told}");
    let told = refused(home.path(), &["sim", "market", &path("market.yaml")], 2);
    assert!(told.contains("line 2, `days`"), "{told}");
    let line = ["sim", "carbon", "nowhere.csv", "--prefer", "price"];
    assert!(refused(home.path(), &line, 2).contains("--prices"));
    // Hourly, with offsets, ten days; a missing hour is filled and said.
    let rows = (0..240).filter(|hour| *hour != 7).map(|hour| {
        format!("2024-05-{:02}T{:02}:00:00+02:00;{}\n", 6 + hour / 24, hour % 24, 200 + hour % 24)
    });
    let series = format!(
        "when (time);zone;gCO2/kWh\n{}",
        rows.collect::<String>().replace("+02:00;", "+02:00;DE;")
    );
    std::fs::write(path("grid.csv"), series).expect("written");
    let line =
        ["sim", "carbon", &path("grid.csv"), "--policy", "default", "--jobs", "20", "-o", "json"];
    let out = dayan(home.path(), &line);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("2 half-hours of short gaps"), "{}", text(&out.stderr));
    let told = text(&out.stdout);
    assert!(told.contains("\"policy\": \"together\"") && told.contains("\"filled\": 2"), "{told}");
}

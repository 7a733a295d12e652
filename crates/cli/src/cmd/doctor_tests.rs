//! What the doctor finds and says.

use serde_json::json;

use super::*;
use crate::config::Environment;
use crate::tests::{Fake, Says, both, dayan};

#[test]
fn findings_as_people_see_them() {
    let check = |check, verdict, seen: &str, advice: Option<&str>| Check {
        check,
        verdict,
        seen: seen.to_owned(),
        advice: advice.map(str::to_owned),
    };
    let checks = Checks {
        checks: vec![
            check("url", Verdict::Ok, "https://exchange.example/", None),
            check(
                "clock",
                Verdict::Warn,
                "≤ 4 s",
                Some("set the clocks of both machines with NTP"),
            ),
            check("disk", Verdict::Fail, "120MB (/)", Some("make room")),
        ],
    };
    insta::assert_snapshot!(both(&checks));
}

#[test]
fn clocks_are_apart_only_by_what_the_answer_cannot_explain() {
    let at = |seconds: f64| {
        let span = jiff::SignedDuration::from_secs_f64(seconds);
        Timestamp::UNIX_EPOCH.checked_add(span).expect("in range")
    };
    let verdict = |server, before, after| clocks(at(server), at(before), at(after)).0;
    // The server's second began up to a second before the answer.
    assert_eq!(verdict(100.0, 100.9, 101.0), Verdict::Ok);
    // A slow answer may have been dated at its start or its end.
    assert_eq!(verdict(100.0, 90.0, 100.0), Verdict::Ok);
    assert_eq!(verdict(100.0, 103.5, 103.6), Verdict::Warn);
    assert_eq!(verdict(110.0, 100.0, 100.1), Verdict::Warn);
    assert_eq!(verdict(100.0, 3_700.0, 3_700.1), Verdict::Fail);
    assert_eq!(verdict(3_700.0, 100.0, 100.1), Verdict::Fail);
}

#[test]
fn control_groups_of_both_versions_are_known() {
    let verdict = |prepare: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().expect("a folder");
        prepare(dir.path());
        let mut examiner = Examiner { lang: Lang::En, checks: Vec::new() };
        control_groups(&mut examiner, dir.path());
        (examiner.checks[0].verdict, examiner.checks[0].seen.clone())
    };
    let with = |controllers: &'static str| {
        move |dir: &Path| {
            std::fs::write(dir.join("cgroup.controllers"), controllers).expect("written");
        }
    };
    assert_eq!(verdict(&with("cpuset cpu io memory pids\n")), (Verdict::Ok, "v2".to_owned()));
    let (found, seen) = verdict(&with("cpu pids\n"));
    assert_eq!((found, seen.as_str()), (Verdict::Warn, "v2 − memory"));
    let v1 = |dir: &Path| std::fs::create_dir(dir.join("memory")).expect("made");
    assert_eq!(verdict(&v1), (Verdict::Ok, "v1".to_owned()));
    assert_eq!(verdict(&|_: &Path| ()).0, Verdict::Warn);
}

fn verdicts(stdout: &str) -> Vec<(String, String)> {
    let said: Value = serde_json::from_str(stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let checks = said["checks"].as_array().expect("a list");
    checks.iter().map(|check| (text(&check["check"]), text(&check["verdict"]))).collect()
}

fn has(stdout: &str, check: &str, verdict: &str) -> bool {
    verdicts(stdout).contains(&(check.to_owned(), verdict.to_owned()))
}

#[tokio::test]
async fn a_refused_token_is_found() {
    let fake = Fake::start(|came, _| {
        if came.line.ends_with("/health") {
            return Says::json(200, &json!({ "status": "ok" }));
        }
        let problem = json!({ "type": "t", "status": 401, "code": "auth.unknown_token",
            "title": "the token is not known" });
        Says::json(401, &problem)
    })
    .await;
    let ran = dayan(fake.environment(), &["doctor", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Failed);
    assert!(has(&ran.stdout, "url", "ok"), "{}", ran.stdout);
    assert!(has(&ran.stdout, "clock", "ok"), "{}", ran.stdout);
    assert!(has(&ran.stdout, "token", "fail"), "{}", ran.stdout);
    assert!(ran.stdout.contains("auth.unknown_token"), "{}", ran.stdout);
}

#[tokio::test]
async fn without_an_exchange_the_machine_is_still_looked_at() {
    let ran = dayan(Environment::default(), &["doctor", "-o", "json"]).await;
    assert!(has(&ran.stdout, "url", "warn"), "{}", ran.stdout);
    let names: Vec<String> = verdicts(&ran.stdout).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["url", "disk", "open_files", "cgroups"]);
}

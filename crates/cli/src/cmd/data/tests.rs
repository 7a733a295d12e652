use super::*;
use crate::tests::{Fake, Says, both, dayan};

fn an_entry(path: &str, size: u64) -> DataEntry {
    DataEntry {
        address: format!("dayan://studio-a/film-3/{path}"),
        size,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        at: "2026-11-23T06:20:00Z".to_owned(),
        by: "lin".to_owned(),
        executable: false,
    }
}

#[test]
fn files_and_secrets_as_people_see_them() {
    let entries = vec![an_entry("scenes/a.blend", 48_000_000), an_entry("lut.cube", 0)];
    insta::assert_snapshot!("data", both(&entries));
    let secrets = vec![dayan_wire::Secret {
        name: "studio-s3".to_owned(),
        at: "2026-11-23T06:20:00Z".to_owned(),
        by: "lin".to_owned(),
    }];
    insta::assert_snapshot!("secrets", both(&secrets));
}

/// An exchange that has everything already.
async fn full() -> Fake {
    Fake::start(|came, _| stored(came)).await
}

/// What it says.
fn stored(came: &crate::tests::Came) -> Says {
    let words: Vec<&str> = came.line.split_whitespace().collect();
    match words[..] {
        ["POST", "/v1/data/uploads", ..] => {
            let sent: serde_json::Value = serde_json::from_str(&came.body).unwrap_or_default();
            let (upload, offset) = (sent["sha256"].clone(), sent["size"].clone());
            let state = json!({ "upload": upload, "offset": offset, "done": true });
            Says::json(200, &state)
        }
        ["PUT", "/v1/data", ..] => {
            let sent: serde_json::Value = serde_json::from_str(&came.body).unwrap_or_default();
            Says::json(
                200,
                &json!({ "address": sent["address"], "sha256": sent["sha256"], "size": 1,
                    "at": "2026-11-23T06:20:00Z", "by": "lin" }),
            )
        }
        ["POST", path, ..] if path.starts_with("/v1/jobs") => {
            Says::json(201, &json!({ "job": "job_01h455vb4pex5vsknk084sn02q" }))
        }
        _ => Says::json(404, &json!({})),
    }
}

#[tokio::test]
async fn what_is_there_is_named_and_not_sent() {
    let fake = full().await;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("deep")).expect("made");
    for path in ["b", "deep/a"] {
        std::fs::write(dir.path().join(path), path).expect("written");
    }
    let program = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path().join("b"), program).expect("set");
    let from = dir.path().to_str().expect("UTF-8");
    let line = ["data", "put", from, "dayan://lab/demo/scene/"];
    let ran = dayan(fake.environment(), &line).await;
    assert!(
        ran.stderr.contains("2 files") && ran.stderr.contains("0B were sent"),
        "{}",
        ran.stderr
    );
    let came = fake.came();
    assert!(came.iter().all(|came| !came.line.starts_with("PATCH")), "no bytes");
    let named: Vec<&str> = came
        .iter()
        .filter(|came| came.line.starts_with("PUT"))
        .map(|came| if came.body.contains("scene/b\"") { "b" } else { "deep/a" })
        .collect();
    assert_eq!(named.len(), 2, "{named:?}");
    let programs: Vec<bool> = came
        .iter()
        .filter(|came| came.line.starts_with("PUT"))
        .map(|came| came.body.contains("\"executable\":true"))
        .collect();
    let expected: Vec<bool> = named.iter().map(|name| *name == "b").collect();
    assert_eq!(programs, expected, "{came:?}");
}

/// It is started again in the middle: it takes no request for a while, at the first and at the last step.
#[tokio::test]
async fn a_server_that_is_away_for_some_seconds_is_waited_for() {
    let away = |came: &crate::tests::Came, before: usize| {
        (before < 6 || (before < 14 && came.line.starts_with("PUT")))
            .then(|| Says::bytes(502, b"<html>away</html>").with("retry-after", "0"))
    };
    let fake =
        Fake::start(move |came, before| away(came, before).unwrap_or_else(|| stored(came))).await;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("a"), "a").expect("written");
    let from = dir.path().join("a");
    let line = ["data", "put", from.to_str().expect("UTF-8"), "dayan://lab/demo/a"];
    let ran = dayan(fake.environment(), &line).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert!(fake.came().len() > 14, "{:?}", fake.lines());
}

#[tokio::test]
async fn what_leads_out_of_a_folder_or_holds_no_bytes_is_left_out_and_said() {
    let fake = full().await;
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("src");
    std::fs::create_dir_all(root.join("deep")).expect("made");
    std::fs::write(root.join("deep/a"), "a").expect("written");
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, root.join(name)).expect("made");
    };
    link("/etc/passwd", "out");
    link("/etc", "all");
    link("deep", "again");
    link("..", "deep/back");
    link("nothing", "nowhere");
    let _pipe = std::os::unix::net::UnixListener::bind(root.join("pipe")).expect("made");
    let from = root.to_str().expect("UTF-8");
    let ran = dayan(fake.environment(), &["data", "put", from, "dayan://lab/demo/src/"]).await;
    assert!(ran.stderr.contains("2 files"), "{}", ran.stderr);
    let left = ["out is left out", "all is left out", "deep/back is left out", "pipe is left out"];
    for left in left.into_iter().chain(["nowhere is left out"]) {
        assert!(ran.stderr.contains(left), "{left}: {}", ran.stderr);
    }
    let came = fake.came();
    let named = |path: &str| {
        came.iter().any(|came| came.line.starts_with("PUT") && came.body.contains(path))
    };
    assert!(named("src/deep/a\"") && named("src/again/a\""), "{came:?}");
    // A file that is named itself is meant, wherever it leads.
    std::os::unix::fs::symlink(root.join("deep/a"), dir.path().join("one")).expect("made");
    let one = dir.path().join("one");
    let one = one.to_str().expect("UTF-8");
    let ran = dayan(fake.environment(), &["data", "put", one, "dayan://lab/demo/one"]).await;
    assert!(ran.stderr.contains("1 files"), "{}", ran.stderr);
}

#[tokio::test]
async fn files_beside_a_job_file_go_along_under_names_of_their_content() {
    let fake = full().await;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("scene.blend"), "x").expect("written");
    let job = dir.path().join("job.yaml");
    let text = format!(
        "{}inputs: [{{from: ./scene.blend, to: s}}]\n",
        crate::cmd::session::tests_support::JOB_FILE
    );
    std::fs::write(&job, text).expect("written");
    let file = job.to_str().expect("UTF-8");
    let ran = dayan(fake.environment(), &["submit", file]).await;
    assert!(ran.stderr.contains("./scene.blend goes along as"), "{}", ran.stderr);
    let came = fake.came();
    let of = |begin: &str| {
        let found = came.iter().find(|came| came.line.starts_with(begin));
        found.map(|came| came.body.clone()).unwrap_or_default()
    };
    let put: serde_json::Value = serde_json::from_str(&of("PUT")).expect("JSON");
    let address = put["address"].as_str().expect("an address");
    assert!(address.starts_with("dayan://studio-a/film-3/submitted/"), "{address}");
    assert!(address.ends_with("/scene.blend"), "{address}");
    assert!(of("POST /v1/jobs").contains(&format!("from: \"{address}\"")), "{came:?}");
}

#[tokio::test]
async fn wrong_addresses_are_said_before_anybody_is_asked() {
    let fake = full().await;
    for line in [["data", "ls", "s3://b/k"], ["data", "rm", "dayan://a"]] {
        let ran = dayan(fake.environment(), &line).await;
        assert!(ran.stderr.contains("no address in the data store"), "{}", ran.stderr);
    }
    assert!(fake.came().is_empty());
}

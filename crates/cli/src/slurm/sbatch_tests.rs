//! What becomes of a script that `sbatch` is given.

use serde_json::{Value, json};

use super::*;
use crate::slurm::tests_support::{ID, attempt, job, slurm, told};
use crate::tests::{Fake, Says};

const SCRIPT: &str = "#!/bin/bash\n#SBATCH -A studio-a/film-3\n#SBATCH -n 4 -t 10\n#SBATCH --mail-type=END\necho hi\n";

/// An exchange where the job ends so.
async fn exchange(state: &'static str, reason: &'static str) -> Fake {
    Fake::start(move |came, _| {
        let path = came.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let ended = told(state, "", &[attempt(0, 1, state, reason)], &[]);
        match path.as_str() {
            "/v1/jobs" if came.line.starts_with("POST") => Says::json(201, &json!({ "job": ID })),
            "/v1/jobs" if came.line.contains("number=7") => Says::json(200, &json!([])),
            "/v1/jobs" => Says::json(200, &json!([ended.summary])),
            "/v1/whoami" => Says::json(200, &json!({ "exchange": "x", "user": "usr_1", "name": "li",
                "org": "studio-a", "role": "member", "rights": {} })),
            "/v1/projects" => Says::json(200, &json!([])),
            "/v1/plan" => Says::json(200, &json!({ "candidates": [], "refused": [{ "pool": "pool_1",
                "pool_name": "main", "provider": "dc", "reasons": [{ "code": "x", "message": "too small" }] }] })),
            path if path.ends_with("/explain") => Says::json(200, &json!({ "job": ID,
                "standing": "infeasible", "tasks_waiting": 1, "relaxations": [],
                "reasons": [{ "code": "x", "message": "too small", "pools": 1 }] })),
            path if path.ends_with("/attempts") => Says::json(200, &json!(ended.attempts)),
            "/v1/data/uploads" => {
                let sent: Value = serde_json::from_str(&came.body).expect("JSON");
                Says::json(200, &json!({ "upload": sent["sha256"], "offset": sent["size"], "done": true }))
            }
            "/v1/data" => {
                let sent: Value = serde_json::from_str(&came.body).expect("JSON");
                Says::json(200, &json!({ "address": sent["address"], "sha256": sent["sha256"],
                    "size": 2, "at": "2026-11-23T06:20:00Z", "by": "li" }))
            }
            path if path.ends_with("/pause") => Says::json(200, &json!({})),
            path if path.ends_with(ID) => Says::json(200, &serde_json::to_value(&ended).expect("plain")),
            other => panic!("{other}"),
        }
    })
    .await
}

/// A script in a folder, and its path.
fn script(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("job.sbatch");
    std::fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    (dir, path)
}

#[tokio::test]
async fn a_number_is_printed_that_scripts_hand_on() {
    let fake = exchange("succeeded", "").await;
    let (_dir, path) = script(SCRIPT);
    let n = job("queued", "", &[], &[]).number;
    let ran = slurm(Tool::Sbatch, &fake, &["--mem=2G", &path, "a b"]).await;
    assert_eq!((ran.code, ran.stdout), (0, format!("Submitted batch job {n}\n")));
    assert_eq!(
        ran.stderr,
        "sbatch: warning: --mail-type (line 4): no mail is sent; ask with `dayan show` or wait with `--wait`\n\
         sbatch: warning: no pool can take it as things are: too small\n"
    );
    let sent = fake.came().into_iter().find(|came| came.line.starts_with("POST")).expect("sent");
    let file: Value = serde_json::from_str(&sent.body).expect("JSON");
    assert_eq!(
        file["resources"],
        json!({"cpus": "4", "memory": "2097152KiB", "time": "600s", "processes": 4})
    );
    assert!(file["run"].as_str().expect("text").contains("\"$PWD/.slurm_script\" 'a b'"));
    let ran = slurm(Tool::Sbatch, &fake, &["--parsable", "-Q", &path]).await;
    assert_eq!((ran.code, ran.stdout, ran.stderr), (0, format!("{n}\n"), String::new()));
    let ran = slurm(Tool::Sbatch, &fake, &["-A", "studio-a/film-3", "--wrap", "sleep 1"]).await;
    assert_eq!((ran.code, ran.stdout), (0, format!("Submitted batch job {n}\n")));
    let ran = slurm(Tool::Sbatch, &fake, &["--help"]).await;
    assert!(ran.code == 0 && ran.stdout.starts_with("Usage: sbatch"), "{}", ran.stdout);
    let ran = slurm(Tool::Sbatch, &fake, &["-Q", &path, "--help", "-h"]).await;
    assert_eq!((ran.code, ran.stdout), (0, format!("Submitted batch job {n}\n")));
    let ran = slurm(Tool::Sbatch, &fake, &["--hold", &path]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(fake.lines().iter().any(|line| line.ends_with(&format!("/v1/jobs/{ID}/pause"))));
    // A job that is waited for goes out by its id.
    let line = [&format!("--dependency=afterok:{n}"), path.as_str()];
    let ran = slurm(Tool::Sbatch, &fake, &line).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let sent = fake.came().into_iter().rfind(|came| came.line.starts_with("POST")).expect("sent");
    let file: Value = serde_json::from_str(&sent.body).expect("JSON");
    assert_eq!(file["depends_on"], json!([format!("{ID}:succeeded")]));
}

#[tokio::test]
async fn files_beside_a_script_go_along() {
    let fake = exchange("queued", "").await;
    let text =
        SCRIPT.replace("echo hi", "#DAYAN inputs: [{from: ./in.txt, to: in.txt}]\ncat in.txt");
    let (dir, path) = script(&text);
    std::fs::write(dir.path().join("in.txt"), "hi").expect("written");
    let of_job = |came: &[crate::tests::Came]| {
        let sent = came.iter().rfind(|came| came.line.starts_with("POST /v1/jobs")).cloned();
        sent.map(|sent| serde_json::from_str::<Value>(&sent.body).expect("JSON"))
    };
    let ran = slurm(Tool::Sbatch, &fake, &["--test-only", &path]).await;
    assert!(!ran.stderr.contains("goes along"), "{}", ran.stderr);
    assert!(fake.lines().iter().all(|line| !line.contains("/v1/data")), "nothing is sent");
    let ran = slurm(Tool::Sbatch, &fake, &[&path]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let file = of_job(&fake.came()).expect("sent");
    let from = file["inputs"][0]["from"].as_str().expect("an address").to_owned();
    assert!(from.starts_with("dayan://studio-a/film-3/submitted/"), "{from}");
}

#[tokio::test]
async fn a_singleton_waits_for_the_users_jobs_of_its_name_that_have_not_ended() {
    let (_dir, path) = script(SCRIPT);
    for (state, waits) in [("running", json!([format!("{ID}:ended")])), ("succeeded", Value::Null)]
    {
        let fake = exchange(state, "").await;
        let ran = slurm(Tool::Sbatch, &fake, &["--dependency=singleton", &path]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(fake.lines().iter().any(|line| line.contains("name=job.sbatch")), "{state}");
        let sent = fake.came().into_iter().rfind(|came| came.line.starts_with("POST"));
        let file: Value = serde_json::from_str(&sent.expect("sent").body).expect("JSON");
        assert_eq!(file["depends_on"], waits, "{state}");
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_code_of_the_job() {
    let check = async |state: &'static str, reason: &'static str, code: u8| {
        let fake = exchange(state, reason).await;
        let (_dir, path) = script(SCRIPT);
        let ran = slurm(Tool::Sbatch, &fake, &["--wait", &path]).await;
        assert_eq!(ran.code, code, "{state} {reason}: {}", ran.stderr);
    };
    check("succeeded", "", 0).await;
    check("failed", "exit code 3", 3).await;
    check("failed", "signal 9", 137).await;
    check("cancelled", "", 1).await;
}

#[tokio::test]
async fn what_is_wrong_is_said_as_slurm_says_it() {
    let fake = exchange("succeeded", "").await;
    let check = async |text: &str, line: &[&str], code: u8, expect: &str| {
        let (_dir, path) = script(text);
        let line: Vec<&str> =
            line.iter().map(|w| if *w == "FILE" { path.as_str() } else { w }).collect();
        let ran = slurm(Tool::Sbatch, &fake, &line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{line:?}");
        assert!(ran.stderr.contains(expect), "{line:?}: {}", ran.stderr);
    };
    check("", &["FILE"], 1, "sbatch: error: Batch script is empty!\n").await;
    check(" \n", &["FILE"], 1, "sbatch: error: Batch script contains only whitespace!\n").await;
    check(
        "echo\n",
        &["FILE"],
        1,
        "sbatch: error: This does not look like a batch script.  The first\nsbatch: error: line must start with #! followed by the path to an interpreter.\nsbatch: error: For instance: #!/bin/sh\n",
    )
    .await;
    check("#!/bin/sh\r\n", &["FILE"], 1, "sbatch: error: Batch script contains DOS line breaks")
        .await;
    check(SCRIPT, &["nowhere.sh"], 1, "sbatch: error: Unable to open file nowhere.sh\n").await;
    check(SCRIPT, &["--frob", "FILE"], 255, "sbatch: unrecognized option '--frob'").await;
    check(
        SCRIPT,
        &["--job-n", "x", "--nodes", "2", "--mem-p", "1", "FILE"],
        255,
        "sbatch: option '--mem-p' is ambiguous; possibilities: '--mem-per-cpu' '--mem-per-gpu'\n",
    )
    .await;
    check(SCRIPT, &["-Z", "FILE"], 255, "sbatch: invalid option -- 'Z'\n").await;
    check(SCRIPT, &["--nodes"], 255, "sbatch: option '--nodes' requires an argument\n").await;
    check(
        SCRIPT,
        &["-t", "1h", "FILE"],
        255,
        ": `1h` is not a value of `-t`; write it like `1-12:00:00` [spec.sbatch_bad_value]\n",
    )
    .await;
    check(
        SCRIPT,
        &["-d", "afterok:7", "FILE"],
        1,
        "sbatch: error: Batch job submission failed: Job dependency problem\n",
    )
    .await;
    check(
        SCRIPT,
        &["--test-only", "FILE"],
        1,
        "allocation failure: Requested node configuration is not available\nmain: too small\n",
    )
    .await;
    check("#!/bin/sh\n#SBATCH -n 1\necho\n", &["FILE"], 255, "spec.sbatch_no_project").await;
    let stray = "#!/bin/sh\n#SBATCH foo\n";
    check(stray, &["FILE"], 255, ":2: Invalid directive found in batch script: foo;").await;
}

//! What `sacct` prints, beside the real one's formats.

use std::fmt::Write as _;

use super::*;
use crate::slurm::tests_support::{ARRAY, ID, attempt, job, slurm, told};
use crate::tests::{Fake, Says};

async fn exchange(job: dayan_wire::Job) -> Fake {
    Fake::start(move |came, _| {
        let path = came.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        match path.as_str() {
            "/v1/jobs" => Says::json(200, &json!([job.summary])),
            "/v1/pools" => Says::json(
                200,
                &json!([{ "id": "pool_01h455vb4pex5vsknk084sn02q", "crn": "x", "name": "main",
                    "provider": "dc", "site": "s", "status": "active", "engine": "process",
                    "fence": "keeper", "nodes": [] }]),
            ),
            "/v1/whoami" => Says::json(
                200,
                &json!({ "exchange": "x", "user": "usr_1", "name": "li",
                "org": "studio-a", "role": "member", "rights": {} }),
            ),
            path if path.ends_with(ID) => {
                Says::json(200, &serde_json::to_value(&job).expect("plain"))
            }
            other => panic!("{other}"),
        }
    })
    .await
}

#[tokio::test]
async fn the_default_forms() {
    let attempts = [
        attempt(0, 1, "lost", "its lease ran out"),
        attempt(0, 2, "succeeded", ""),
        attempt(1, 1, "failed", "exit code 3"),
        attempt(2, 1, "failed", "more memory than it asked for"),
    ];
    let array = exchange(told("running", ARRAY, &attempts, &[[3, 4]])).await;
    let n = job("queued", "", &[], &[]).number.to_string();
    let mut shown = String::new();
    for line in [
        &["-j", &n][..],
        &["-j", &n, "-X", "-n", "-P", "-o", "JobID,State,ExitCode"],
        &["-j", &n, "-p", "-b", "-X"],
        &[
            "-j",
            &format!("{n}_1"),
            "-o",
            "JobID%20,MaxRSS,TotalCPU,Elapsed,Start,End,ReqMem,AllocTRES%50",
        ],
        &[
            "-j",
            &format!("{n}_1"),
            "-D",
            "-X",
            "-n",
            "-o",
            "JobIDRaw%-25,State%12,Restarts,NodeList",
        ],
        &[
            "-S",
            "2026-11-27",
            "-n",
            "-X",
            "-P",
            "-o",
            "jobname,user,account,partition,timelimit,timelimitraw,ncpus,nnodes,cputimeraw",
            "-s",
            "F,OOM",
        ],
        &["-j", &n, "-n", "-X", "-P", "-o", "MaxRSS,ReqMem", "--units=M", "--delimiter=;"],
        &["-S", "2999-01-01"],
    ] {
        let ran = slurm(Tool::Sacct, &array, line).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line:?}");
        let _ = write!(shown, "$ sacct {}\n{}", line.join(" "), ran.stdout);
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn every_field_is_one_that_is_shown() {
    let jobs = [job(
        "succeeded",
        "env: {SLURM_JOB_COMMENT: x}\nworkdir: w\n",
        &[attempt(0, 1, "succeeded", "")],
        &[],
    )];
    let around = Around {
        pools: Pools::default(),
        now: "2026-11-28T01:02:13Z".parse().expect("a time"),
        zone: TimeZone::UTC,
        unit: Unit::Fitting,
        within: (None, None),
    };
    let rows = rows(jobs.iter().flat_map(Job::lines).collect(), false);
    assert_eq!(rows.len(), 2);
    for (name, _) in fields::KEPT {
        let shown = rows.iter().any(|row| !cell(row, name, &around).is_empty());
        assert!(shown, "{name}");
    }
    let check = |bytes: u64, unit, expect: &str| {
        let around = Around { unit, pools: Pools::default(), zone: TimeZone::UTC, ..around };
        assert_eq!(around.size(bytes), expect);
    };
    check(0, Unit::Fitting, "0");
    check(512 << 10, Unit::Fitting, "512K");
    check(512 << 20, Unit::Fitting, "512M");
    check(3 << 29, Unit::Fixed(30), "1.50G");
    check(7, Unit::Raw, "7");
    assert_eq!(cpu_span(1_250_000), "00:01.250");
    assert_eq!(cpu_span(3_723_000_000), "01:02:03");
}

#[tokio::test]
async fn scripts_read_json_and_wrong_calls_are_said() {
    let fake = exchange(told("failed", "", &[attempt(0, 1, "failed", "exit code 3")], &[])).await;
    let ran = slurm(Tool::Sacct, &fake, &["--json", "-j", ID]).await;
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let job = &value["jobs"][0];
    assert_eq!(
        (&job["state"]["current"], &job["exit_code"]["return_code"]),
        (&json!("FAILED"), &json!(3))
    );
    assert_eq!((&job["time"]["elapsed"], &job["cost"]["spent"]), (&json!(65), &json!("1.25")));
    let check = async |line: &[&str], expect: &str| {
        let ran = slurm(Tool::Sacct, &fake, line).await;
        assert_eq!(ran.code, 1, "{line:?}");
        assert!(ran.stderr.starts_with(expect), "{line:?}: {}", ran.stderr);
    };
    let n = crate::slurm::tests_support::job("queued", "", &[], &[]).number;
    let step = format!("{n}.batch");
    let ran = slurm(Tool::Sacct, &fake, &["-j", &step, "-n", "-P", "-o", "JobID"]).await;
    assert_eq!(ran.stdout, format!("{step}\n"), "{}", ran.stderr);
    check(&["-o", "JobID,Nosuch"], "sacct: error: Invalid field requested: \"Nosuch\"\n").await;
    check(&["-j", "x"], "sacct: fatal: Bad job/step specified: x\n").await;
    let all = slurm(Tool::Sacct, &fake, &["-X", "-P", "-o", "all", "-j", ID]).await;
    let heads = all.stdout.lines().next().unwrap_or_default();
    assert_eq!((all.code, heads.split('|').count()), (0, fields::names().len()), "{}", all.stderr);
    check(&["-s", "x"], "sacct: fatal: unrecognized job state value 'x'\n").await;
    check(&["-S", "long ago"], "Invalid time specification (pos=0): long ago\n").await;
    check(&["--frob"], "sacct: unrecognized option '--frob'\n").await;
    let ran = slurm(Tool::Sacct, &fake, &["-e"]).await;
    assert!(ran.stdout.starts_with("Account             AdminComment"), "{}", ran.stdout);
}

#[tokio::test]
async fn what_could_not_start_has_no_step_and_is_cancelled_where_that_was_asked_for() {
    let tries = [
        attempt(0, 1, "failed", "could not start: no such image"),
        attempt(1, 1, "failed", "could not start: no such image"),
        attempt(2, 1, "failed", "exit code 3"),
    ];
    let mut told = told("cancelled", ARRAY, &tries, &[]);
    told.cancelled = vec![[1, 4]];
    let fake = exchange(told).await;
    let n = job("queued", "", &[], &[]).number;
    let check = async |line: &[&str], expect: &str| {
        let number = n.to_string();
        let all: Vec<&str> = ["-n", "-P", "-o", "JobID,State,ExitCode", "-j", number.as_str()]
            .iter()
            .chain(line)
            .copied()
            .collect();
        let ran = slurm(Tool::Sacct, &fake, &all).await;
        assert_eq!((ran.stdout, ran.code), (expect.replace('#', &number), 0), "{line:?}");
    };
    let gone = "#_[4-5]|CANCELLED|0:0\n#_1|BOOT_FAIL|0:0\n";
    let rest = "#_2|CANCELLED|0:0\n#_3|CANCELLED|0:0\n";
    check(&["-X"], &format!("{gone}{rest}")).await;
    // The step ended as it did.
    check(&[], &format!("{gone}{rest}#_3.batch|FAILED|3:0\n")).await;
    let each = "#_2|BOOT_FAIL|0:0\n#_2|CANCELLED|0:0\n#_3|FAILED|3:0\n#_3|CANCELLED|0:0\n";
    check(&["-X", "-D"], &format!("{gone}{each}")).await;
    let ran = slurm(Tool::Sacct, &fake, &["--json", "-j", &n.to_string()]).await;
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let ids = value["jobs"].as_array().expect("jobs").iter();
    let ids: Vec<_> =
        ids.map(|job| (job["job_id"].as_u64(), job["array"]["job_id"].as_u64())).collect();
    let own = |element| sbatch::element_number(n, element);
    assert_eq!(ids, [(Some(n), Some(n)), (own(1), Some(n)), (own(2), Some(n)), (own(3), Some(n))]);
}

#[tokio::test]
async fn what_scripts_ask_for_more_seldom() {
    let more = format!("{ARRAY}backend: {{slurm: {{qos: high, constraint: 'ib&avx512'}}}}\n");
    let attempts = [attempt(0, 1, "succeeded", ""), attempt(1, 1, "running", "")];
    let fake = exchange(told("running", &more, &attempts, &[[2, 3]])).await;
    let n = job("queued", "", &[], &[]).number;
    let check = async |line: &[&str], expect: &str| {
        let all: Vec<&str> =
            ["-n", "-X", "-P", "-S", "2026-11-01"].iter().chain(line).copied().collect();
        let ran = slurm(Tool::Sacct, &fake, &all).await;
        assert_eq!(
            (ran.stdout, ran.stderr.as_str(), ran.code),
            (expect.replace('#', &n.to_string()), "", 0),
            "{line:?}"
        );
    };
    let all = "#_[3-4%2]\n#_1\n#_2\n";
    check(&["-o", "jobid", "-M", "dayan", "-L", "-v"], all).await;
    // What Slurm may keep and nobody keeps here is empty, and options may be cut short.
    check(&["--forma", "jobid,AssocID,admincomment"], "#_[3-4%2]||\n#_1||\n#_2||\n").await;
    check(&["-o", "jobid", "--array"], "#_3\n#_4\n#_1\n#_2\n").await;
    check(&["-o", "jobid", "-N", "node-1"], "#_1\n#_2\n").await;
    check(&["-o", "jobid", "-N", "node-2"], "").await;
    check(&["-o", "jobid", "-C", "avx512", "-q", "high,low"], all).await;
    check(&["-o", "jobid", "-C", "gpu"], "").await;
    check(&["-o", "jobid", "-q", "normal"], "").await;
    check(&["-o", "jobid", "-g", "studio-a"], all).await;
    check(&["-o", "jobid", "--group=other"], "").await;
    check(&["-o", "jobid", "-W", "key"], "").await;
    // It ran from 00:00:10 to 00:01:15 in UTC; the other runs still.
    let cut = ["-T", "-S", "2026-11-28T00:00:40", "-E", "2026-11-28T00:01:00"];
    let line = [&["-n", "-X", "-P", "-o", "jobid,elapsedraw", "-s", "CD,R"][..], &cut].concat();
    let ran = slurm(Tool::Sacct, &fake, &line).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let expect = [format!("{n}_1|20"), format!("{n}_2|20")];
    assert_eq!(lines, expect);
    let ran = slurm(Tool::Sacct, &fake, &["-M", "blue"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("sacct: error: No cluster 'blue' known"), "{}", ran.stderr);
}

#[test]
fn what_is_set_up_runs_and_what_waits_at_a_site_waits() {
    let check = |node: &str, expect| {
        let mut leased = attempt(0, 1, "leased", "");
        leased.node = node.to_owned();
        let jobs = [job("running", "", &[leased], &[])];
        assert_eq!(jobs[0].lines().iter().map(state).collect::<Vec<_>>(), [expect], "{node}");
    };
    check("n1", State::Running);
    check(QUEUE_NODE, State::Pending);
}

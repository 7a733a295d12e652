//! What `squeue` prints, beside the real one's formats.

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::slurm::tests_support::slurm;
use crate::slurm::tests_support::{ARRAY, GANG, ID, answer, attempt, job, told};
use crate::tests::{Fake, Says};

fn around() -> Around {
    let pool = json!({ "id": "pool_01h455vb4pex5vsknk084sn02q", "crn": "x", "name": "main",
        "provider": "dc", "site": "Guiyang", "status": "active", "engine": "process",
        "fence": "keeper", "nodes": [] });
    let pool = serde_json::from_value(pool).expect("a pool");
    Around {
        pools: Pools::of(vec![pool]),
        now: "2026-11-28T01:02:13Z".parse().expect("a time"),
        zone: TimeZone::fixed(jiff::tz::offset(8)),
        starts: BTreeMap::new(),
        steps: false,
    }
}

fn text(format: &str, jobs: &[Job]) -> String {
    let around = around();
    let lines: Vec<Line<'_>> = jobs.iter().flat_map(Job::lines).collect();
    Format::parse(format).lines(&lines, true, head, |line, letter| cell(line, letter, &around))
}

#[test]
fn the_default_forms() {
    let jobs = [
        job("running", GANG, &[attempt(0, 1, "running", ""), attempt(1, 1, "running", "")], &[]),
        job("running", ARRAY, &[attempt(0, 1, "running", "")], &[[1, 4]]),
        job("paused", "env: {SLURM_JOB_NAME: a long name}\n", &[], &[[0, 0]]),
    ];
    insta::assert_snapshot!(text(DEFAULT, &jobs) + &text(LONG, &jobs) + &text(START, &jobs));
}

#[test]
fn every_letter_has_a_head_and_a_text() {
    let more = "array: {range: 1-5}\nenv: {SLURM_JOB_COMMENT: for Monday}\ndepends_on: [a]\n\
        workdir: w\nbackend: {slurm: {partition: gpu, qos: high, constraint: ib}}\n";
    let job = job("running", more, &[attempt(0, 1, "running", "")], &[[1, 4]]);
    let around = around();
    let lines = job.lines();
    let letters = ('A'..='z').filter(|letter| !head(*letter).is_empty());
    let rows = letters.map(|letter| {
        let cells: Vec<String> = lines.iter().map(|line| cell(line, letter, &around)).collect();
        assert!(cells.iter().all(|cell| !cell.is_empty()) || "NEnx".contains(letter), "{letter}");
        format!("{letter} {:16} {}", head(letter), cells.join(" | "))
    });
    let table = rows.collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(table);
}

/// An exchange with a few jobs.
async fn exchange() -> Fake {
    Fake::start(|came, _| {
        let path = came.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let array = told("running", ARRAY, &[attempt(0, 1, "running", "")], &[[1, 4]]);
        match path.as_str() {
            "/v1/jobs" if came.line.contains("number=") && !came.line.contains("number=7") => {
                Says::json(200, &json!({ "items": [array.summary], "next": null }))
            }
            "/v1/jobs" if came.line.contains("number=7") => Says::json(200, &json!([])),
            path => answer(path, &array).unwrap_or_else(|| panic!("{path}")),
        }
    })
    .await
}

#[tokio::test]
async fn scripts_find_what_they_parse() {
    let fake = exchange().await;
    let n = job("queued", "", &[], &[]).number;
    let check = async |line: &[&str], expect: &str| {
        let ran = slurm(Tool::Squeue, &fake, line).await;
        assert_eq!(
            (ran.stdout, ran.stderr.as_str(), ran.code),
            (expect.replace('#', &n.to_string()), "", 0),
            "{line:?}"
        );
    };
    check(&["-h", "-o", "%i %T"], "#_[2-5%2] PENDING\n#_1 RUNNING\n").await;
    let own = dayan_spec::sbatch::element_number(n, 1).expect("it fits");
    check(&["-h", "-o", "%A %t", "-t", "R"], &format!("{own} R\n")).await;
    check(&["-h", "-r", "-o", "%i", "-t", "pending"], "#_2\n#_3\n#_4\n#_5\n").await;
    check(&["--noheader", "--format=%F|%K", "--me"], "#|2-5\n#|1\n").await;
    check(&["-h", "-o", "%i", "-u", "someone"], "").await;
    check(&["-h", "-o", "%i", "-u", "li", "-n", "shot-120"], "#_[2-5%2]\n#_1\n").await;
    check(&["-h", "-o", "%i", "-j", &format!("{n}_1")], "#_1\n").await;
    check(&["-h", "-o", "%i", "-j", &n.to_string(), "-t", "PD"], "#_[2-5%2]\n").await;
    check(&["-h", "--form", "%i", "--job", &n.to_string(), "--state", "PD"], "#_[2-5%2]\n").await;
    check(
        &["-h", "-O", "JobArrayID:30,State:.10", "-t", "R"],
        &format!("{:30}   RUNNING\n", format!("{n}_1")),
    )
    .await;
    check(&["-h", "-p", "other"], "").await;
    let ran = slurm(Tool::Squeue, &fake, &["--json", "-t", "R"]).await;
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let job = &value["jobs"][0];
    // An element has a number of its own there, the one that `%A` shows.
    assert_eq!((job["job_id"].as_u64(), &job["job_state"]), (Some(own), &json!("RUNNING")));
    assert_eq!((&job["array_task_id"], &job["time_limit"]), (&json!(1), &json!(60)));
    assert_eq!(job["array_job_id"].as_u64(), Some(n));
    let ran = slurm(Tool::Squeue, &fake, &["--json", "-r"]).await;
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let all = value["jobs"].as_array().expect("jobs").iter();
    let ids: std::collections::BTreeSet<_> = all.map(|job| job["job_id"].as_u64()).collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
    // What waits together has the number of the array.
    let ran = slurm(Tool::Squeue, &fake, &["--json", "-t", "PD"]).await;
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let waits = &value["jobs"][0];
    assert_eq!((waits["job_id"].as_u64(), waits["array_job_id"].as_u64()), (Some(n), Some(n)));
    assert_eq!(waits["array_task_string"], json!("2-5"));
    let about =
        ["cluster", "current_working_directory", "dependency", "batch_host", "standard_input"];
    assert_eq!(about.map(|name| &waits[name]), ["dayan", ".", "", "", "/dev/null"]);
    let counted = ["tasks", "priority", "restart_cnt", "cpus_per_task", "deadline"];
    assert_eq!(counted.map(|name| waits[name].as_u64()), [1, 2, 0, 4, 0].map(Some));
}

#[tokio::test]
async fn what_a_job_waits_for_is_said_by_number() {
    let more = format!("depends_on: [\"{ID}:ended\", \"other:each\"]\n");
    let check = async |waits: bool, expect: &str| {
        let mut one = told("queued", &more, &[], &[[0, 0]]);
        if waits {
            let (code, message) = ("job.depends".to_owned(), "it waits".to_owned());
            let lasting = false;
            one.summary.waiting.push(dayan_wire::Waiting { code, message, lasting });
        }
        let fake = Fake::start(move |came, _| {
            let path = came.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
            answer(&path, &one).unwrap_or_else(|| panic!("{path}"))
        })
        .await;
        let ran = slurm(Tool::Squeue, &fake, &["-h", "-o", "%E %r"]).await;
        let n = job("queued", "", &[], &[]).number;
        assert_eq!(ran.stdout, expect.replace('#', &n.to_string()), "{}", ran.stderr);
    };
    let open = "afterany:#(unfulfilled),aftercorr:other(unfulfilled) Dependency\n";
    check(true, open).await;
    check(false, "(null) Resources\n").await;
}

#[test]
fn every_name_that_slurm_has_is_taken() {
    // As the manual of 22.05 lists them.
    let all = "Account,AccrueTime,admin_comment,AllocNodes,AllocSID,ArrayJobID,ArrayTaskID,AssocID,\
        BatchFlag,BatchHost,BoardsPerNode,BurstBuffer,BurstBufferState,Cluster,ClusterFeature,Command,\
        Comment,Contiguous,Container,Cores,CoreSpec,CPUFreq,cpus-per-task,cpus-per-tres,Deadline,\
        DelayBoot,Dependency,DerivedEC,EligibleTime,EndTime,exit_code,Feature,GroupID,GroupName,\
        HetJobID,HetJobIDSet,HetJobOffset,JobArrayID,JobID,LastSchedEval,Licenses,MaxCPUs,MaxNodes,\
        MCSLabel,mem-per-tres,MinCpus,MinMemory,MinTime,MinTmpDisk,Name,Network,Nice,NodeList,Nodes,\
        NTPerBoard,NTPerCore,NTPerNode,NTPerSocket,NumCPUs,NumNodes,NumTasks,Origin,OriginRaw,\
        OverSubscribe,Partition,PendingTime,PreemptTime,Prefer,Priority,PriorityLong,Profile,QOS,\
        Reason,ReasonList,Reboot,ReqNodes,ReqSwitch,Requeue,Reservation,ResizeTime,RestartCnt,\
        ResvPort,SchedNodes,SCT,SelectJobInfo,SiblingsActive,SiblingsActiveRaw,SiblingsViable,\
        SiblingsViableRaw,Sockets,SPerBoard,StartTime,State,StateCompact,STDERR,STDIN,STDOUT,StepID,\
        StepName,StepState,SubmitTime,system_comment,Threads,TimeLeft,TimeLimit,TimeUsed,tres-alloc,\
        tres-bind,tres-freq,tres-per-job,tres-per-node,tres-per-socket,tres-per-step,tres-per-task,\
        UserID,UserName,Wait4Switch,WCKey,WorkDir";
    let format = Format::parse(&by_names(all).expect("all are known"));
    assert_eq!(format.columns.len(), all.split(',').count());
    assert!(format.columns.iter().all(|column| !head(column.letter).is_empty()));
}

#[test]
fn what_has_happened_is_not_waited_for() {
    let shown = |state: &str, met: [bool; 2]| {
        let more = format!("depends_on: [\"{ID}:started\", \"other:failed\"]\n");
        let mut one = told(state, &more, &[], &[[0, 0]]);
        let wait = |after: &str, met| dayan_wire::DependsOn {
            job: ID.replace("kb3v", "kb3w"),
            after: after.to_owned(),
            met,
        };
        one.workflow = vec![dayan_wire::WorkflowJob {
            id: ID.to_owned(),
            name: "shot-120".to_owned(),
            state: state.to_owned(),
            depth: 1,
            after: vec![wait("started", met[0]), wait("failed", met[1])],
        }];
        let job = Job::new(one);
        let lines = job.lines();
        cell(&lines[0], 'E', &around())
    };
    let other = ID.replace("kb3v", "kb3w").parse::<dayan_units::JobId>().expect("an id");
    let n = other.number();
    let both = format!("after:{n}(unfulfilled),afternotok:{n}(unfulfilled)");
    assert_eq!(shown("queued", [false, false]), both);
    assert_eq!(shown("queued", [true, false]), format!("afternotok:{n}(unfulfilled)"));
    assert_eq!(shown("queued", [true, true]), "(null)");
    // Also while something else holds it back.
    assert_eq!(shown("paused", [false, true]), format!("after:{n}(unfulfilled)"));
    assert_eq!(shown("running", [false, false]), "(null)");
}

#[test]
fn what_can_never_happen_is_said() {
    let other = ID.replace("kb3v", "kb3w");
    let n = other.parse::<dayan_units::JobId>().expect("an id").number();
    let shown_for = |after: &str, state: &str, why: &str| {
        let one_of = |id: &str, state: &str, after: Vec<dayan_wire::DependsOn>| {
            let (id, state) = (id.to_owned(), state.to_owned());
            dayan_wire::WorkflowJob { id, name: String::new(), state, depth: 0, after }
        };
        let mut one = told("queued", "", &[], &[[0, 0]]);
        let wait =
            dayan_wire::DependsOn { job: other.clone(), after: after.to_owned(), met: false };
        one.workflow = vec![one_of(&other, state, Vec::new()), one_of(ID, "queued", vec![wait])];
        let (code, message) = (why.to_owned(), String::new());
        one.summary.waiting = vec![dayan_wire::Waiting { code, message, lasting: false }];
        cell(&Job::new(one).lines()[0], 'E', &around())
    };
    let shown = |after: &str, state: &str| shown_for(after, state, "job.depends");
    assert_eq!(shown("succeeded", "running"), format!("afterok:{n}(unfulfilled)"));
    for state in ["failed", "cancelled"] {
        assert_eq!(shown("succeeded", state), format!("afterok:{n}(failed)"));
    }
    assert_eq!(shown("failed", "succeeded"), format!("afternotok:{n}(failed)"));
    // Its element may have happened, whatever became of the others.
    assert_eq!(shown("each", "failed"), format!("aftercorr:{n}(unfulfilled)"));
    let never = shown_for("each", "failed", "job.depends_never");
    assert_eq!(never, format!("aftercorr:{n}(failed)"));
}

#[tokio::test]
async fn wrong_calls_are_said_as_slurm_says_them() {
    let fake = exchange().await;
    let check = async |line: &[&str], expect: &str| {
        let ran = slurm(Tool::Squeue, &fake, line).await;
        assert_eq!((ran.stdout.as_str(), ran.code), ("", 1), "{line:?}");
        assert!(ran.stderr.starts_with(expect), "{line:?}: {}", ran.stderr);
    };
    check(&["-j", "7"], "slurm_load_jobs error: Invalid job id specified\n").await;
    // Of several jobs those that there are.
    let several = slurm(Tool::Squeue, &fake, &["-h", "-j", "7,8"]).await;
    assert_eq!((several.code, several.stdout.as_str(), several.stderr.as_str()), (0, "", ""));
    check(&["-j", "x"], "squeue: error: Invalid job id: x\n").await;
    check(&["-t", "sleeping"], "squeue: error: Invalid job state specified: sleeping\n").await;
    let ran = slurm(Tool::Squeue, &fake, &["-h", "-t", "R", "-o", "%t %*"]).await;
    let said = (ran.code, ran.stdout.as_str(), ran.stderr.as_str());
    let error = "squeue: error: Invalid job format specification: *\n";
    assert_eq!(said, (0, "R %*\n", error));
    check(&["--frob"], "squeue: unrecognized option '--frob'\nTry \"squeue --help\"").await;
    check(&["-7"], "squeue: invalid option -- '7'\n").await;
}

#[tokio::test]
async fn what_scripts_ask_for_more_seldom() {
    let more = format!(
        "{ARRAY}licenses: [\"ansys:2\", \"matlab:1\"]\nbackend: {{slurm: {{reservation: friday}}}}\n"
    );
    let fake = Fake::start(move |came, _| {
        let path = came.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let attempts = [attempt(0, 1, "running", ""), attempt(1, 1, "leased", "")];
        let array = told("running", &more, &attempts, &[[2, 4]]);
        answer(&path, &array).unwrap_or_else(|| panic!("{path}"))
    })
    .await;
    let n = job("queued", "", &[], &[]).number;
    let check = async |line: &[&str], expect: &str| {
        let ran = slurm(Tool::Squeue, &fake, line).await;
        assert_eq!(
            (ran.stdout, ran.stderr.as_str(), ran.code),
            (expect.replace('#', &n.to_string()), "", 0),
            "{line:?}"
        );
    };
    let all = "#_[3-5%2]\n#_2\n#_1\n";
    check(&["-h", "-o", "%i", "-P", "-v", "-M", "all", "--local"], all).await;
    check(&["-h", "-o", "%i", "-S", "-i"], "#_[3-5%2]\n#_2\n#_1\n").await;
    check(&["-h", "-o", "%i", "--sort=i", "-t", "R,CF"], "#_1\n#_2\n").await;
    check(&["-h", "-o", "%i", "-t", "running,suspended,BF"], "#_1\n").await;
    check(&["-h", "-o", "%i", "-t", "S"], "").await;
    // Two elements of a job are two lines, and not four.
    check(&["-h", "-o", "%i", "-j", &format!("{n}_1,{n}_2"), "-S", "i"], "#_1\n#_2\n").await;
    check(&["-h", "-o", "%i", "--array-unique", "-t", "PD"], "#_3\n#_4\n#_5\n").await;
    check(&["-h", "-o", "%i", "-L", "matlab", "-t", "R"], "#_1\n").await;
    check(&["-h", "-o", "%i", "-L", "none"], "").await;
    check(&["-h", "-o", "%i", "-R", "friday", "-t", "R"], "#_1\n").await;
    check(&["-h", "-o", "%i", "-R", "monday"], "").await;
    check(&["-h", "-o", "%W", "-t", "R"], "ansys:2,matlab:1\n").await;
    let all = slurm(Tool::Squeue, &fake, &["-o", "%all", "-t", "R"]).await.stdout;
    let (heads, line) = all.split_once('\n').expect("two lines");
    assert!(heads.starts_with("JOBID|EXEC_HOST|CPUS|"), "{heads}");
    assert_eq!(heads.split('|').count(), line.split('|').count(), "{all}");
    // Only what has begun has a step.
    check(&["-s", "-o", "%i %j"], "STEPID NAME\n#_1.batch batch\n").await;
    check(&["-h", &format!("--steps={n}_2")], "").await;
    check(&["-M", "dayan", "-o", "%i", "-t", "R"], "CLUSTER: dayan\nJOBID\n#_1\n").await;
    check(
        &["-h", "-O", "Licenses:24,BatchHost:.8", "-t", "R"],
        "ansys:2,matlab:1          node-1\n",
    )
    .await;
    // Names that have no letter, what stands behind a width, and a width as that of the text.
    check(
        &["-h", "-O", "tres-alloc:.40|,cpus-per-task:4,Network:,STDIN:|", "-t", "R"],
        "        billing=4,cpu=4,mem=2048M,node=1|4   N/A/dev/null|\n",
    )
    .await;
    check(
        &["-O", "EXIT_CODE:10,NumTasks:6,RestartCnt:14,GroupName:9", "-t", "R"],
        "EXIT_CODE TASKS RESTART_COUNT GROUP    \n0:0       1     0             studio-a \n",
    )
    .await;
    let ran = slurm(Tool::Squeue, &fake, &["-O", "JobID,Nosuch"]).await;
    let error = "squeue: error: Invalid job format specification: Nosuch\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (1, "", error));
    let ran = slurm(Tool::Squeue, &fake, &["-M", "blue"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("squeue: error: No cluster 'blue' known"), "{}", ran.stderr);
}

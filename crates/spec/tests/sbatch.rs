//! Scripts with `#SBATCH` lines: what each option becomes, and that the script itself runs as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use dayan_spec::sbatch::{self, Around, Asked, Batch, Fate};
use dayan_spec::{JobSpec, SpecErrors, TaskContext, parse_json, task_env};
use dayan_units::JobId;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: &str = "2026-11-28T00:30:00Z";

fn around<'a>(options: &'a [String], arguments: &'a [String]) -> Around<'a> {
    Around {
        now: NOW.parse().expect("a time"),
        utc_offset_s: 8 * 3_600,
        options,
        arguments,
        name: "job.sbatch",
        user: "li",
        organisation: Some("lab-n"),
        project: Some("lab-n/default"),
        variable: &|name| (name == "SECRET_CODE").then(|| "4 2".to_owned()),
    }
}
fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}
fn read(script: &str, options: &[&str]) -> Result<Batch, SpecErrors> {
    sbatch::read(script, &around(&words(options), &[]))
}
/// A script with these lines.
fn with(lines: &str) -> Batch {
    let script = format!("#!/bin/bash\n{lines}\n\necho hi\n");
    read(&script, &[]).unwrap_or_else(|errors| panic!("{}", errors.render("job.sbatch")))
}

/// The file without what every file has.
fn rest(batch: &Batch) -> Value {
    let mut file = batch.file.clone();
    let keys = file.as_object_mut().expect("keys");
    for common in ["version", "type", "run"] {
        assert!(keys.remove(common).is_some(), "{common}");
    }
    for (key, usual) in [("name", json!("job.sbatch")), ("project", json!("lab-n/default"))] {
        if keys[key] == usual {
            keys.remove(key);
        }
    }
    let resources = keys["resources"].as_object_mut().expect("resources");
    for (key, usual) in [("cpus", "1"), ("memory", "1000000000B")] {
        if resources[key] == usual {
            resources.remove(key);
        }
    }
    if resources.is_empty() {
        keys.remove("resources");
    }
    let env = keys["env"].as_object_mut().expect("env");
    if env["SLURM_JOB_NAME"] == "job.sbatch" {
        env.remove("SLURM_JOB_NAME");
    }
    if env.is_empty() {
        keys.remove("env");
    }
    file
}

#[test]
fn every_option_becomes_its_keys() {
    let check = |line: &str, expect: Value| {
        let batch = with(&format!("#SBATCH {line}"));
        assert_eq!(rest(&batch), expect, "{line}");
        assert_eq!(batch.notes, [], "{line}");
    };
    let names = json!({"name": "x", "env": {"SLURM_JOB_NAME": "x"}});
    for line in ["--job-name=x", "--job-name x", "-J x", "-Jx", "-J=x", "--job-n=x", "-J 'x'"] {
        check(line, names.clone());
    }
    check("-n 1", json!({}));
    check("-a 1-10", json!({"array": {"range": "1-10:1"}}));
    check("--array=1-10:2%3", json!({"array": {"range": "1-9:2", "max_parallel": 3}}));
    check("--array 1,3,5", json!({"array": {"range": "1-5:2"}}));
    check(
        "--array 1,3,8-9",
        json!({"array": {"range": "0-3"}, "env": {"SLURM_ARRAY_LIST": "1,3,8,9"}}),
    );
    check("-n 4", json!({"resources": {"cpus": "4", "memory": "4000000000B", "processes": 4}}));
    check("-c 4 --mem=8G", json!({"resources": {"cpus": "4", "memory": "8388608KiB"}}));
    check(
        "-n 2 -c 4 --mem-per-cpu=1G",
        json!({"resources": {"cpus": "8", "memory": "8388608KiB", "processes": 2}}),
    );
    check("--mem=500", json!({"resources": {"memory": "512000KiB"}}));
    let two =
        json!({"gang": {"nodes": 2}, "launch": "head", "resources": {"memory": "4194304KiB"}});
    check("-N 2 --mem=4G", two.clone());
    check("-N2 --mem=4G", two.clone());
    check("--nodes 2 --mem 4G", two);
    let eight = json!({
        "gang": {"nodes": 2}, "launch": "head",
        "resources": {"cpus": "4", "memory": "4000000000B", "processes": 8},
    });
    check("-N 2 -n 8", eight.clone());
    check("-N 2 --ntasks-per-node=4", eight.clone());
    check("-n 8 --ntasks-per-node=4", eight);
    check("-N 1", json!({}));
    check("-N 4 -n 1", json!({}));
    let gpus = json!({"resources": {"accelerators": ["any:2"]}});
    for line in ["--gres=gpu:2", "--gpus=2", "-G 2", "--gpus-per-node=2", "--gres=gres:gpu:2"] {
        check(line, gpus.clone());
    }
    check("--gres=gpu:a100:2", json!({"resources": {"accelerators": ["a100:2"]}}));
    check("--gres=npu:8", json!({"resources": {"accelerators": ["any-huawei:8", "npu:8"]}}));
    check("--gpus=h100:1", json!({"resources": {"accelerators": ["h100:1"]}}));
    for none in ["--gres=none", "--gres=gpu:0", "--gres=gpu:a100:0", "-G 0", "--gpus-per-task=0"] {
        check(none, json!({}));
    }
    check(
        "-N 2 --gpus=8 --mem=1G",
        json!({"gang": {"nodes": 2}, "launch": "head",
               "resources": {"accelerators": ["any:4"], "memory": "1048576KiB"}}),
    );
    check(
        "-n 2 --gpus-per-task=2 --mem-per-gpu=1G --cpus-per-gpu=3",
        json!({"resources":
            {"accelerators": ["any:4"], "cpus": "12", "memory": "4194304KiB", "processes": 2}}),
    );
    let by_cards = json!({"gang": {"nodes": 2}, "launch": "head", "resources":
        {"accelerators": ["any:2"], "cpus": "4", "memory": "4000000000B", "processes": 8}});
    check("-N 2 --gpus=4 --ntasks-per-gpu=2", by_cards.clone());
    check("-N 2 --gres=gpu:2 --ntasks-per-gpu=2", by_cards.clone());
    check("-N 2 -n 8 --ntasks-per-gpu=2", by_cards);
    check("--tmp=20G", json!({"resources": {"disk": "20971520KiB"}}));
    for (time, seconds) in [
        ("30", 1_800),
        ("1:30", 90),
        ("2:00:00", 7_200),
        ("1-0", 86_400),
        ("1-2:30", 95_400),
        ("1-2:30:15", 95_415),
    ] {
        check(&format!("-t {time}"), json!({"resources": {"time": format!("{seconds}s")}}));
    }
    check("-p gpu", json!({"backend": {"slurm": {"partition": "gpu"}}}));
    check("-p any", json!({}));
    check(
        "--qos=high -C 'a100&nvlink' --reservation=r1",
        json!({"backend": {"slurm":
            {"qos": "high", "constraint": "a100&nvlink", "reservation": "r1"}}}),
    );
    check("-A studio-a/film-3", json!({"project": "studio-a/film-3"}));
    check("-A physics", json!({"project": "lab-n/physics"}));
    for nothing in ["-o slurm-%j.out", "-e %x.err", "-o /dev/null", "--requeue"] {
        check(nothing, json!({}));
    }
    let never = json!({"max": 0, "when": ["node_failure", "site_lost"]});
    check("--no-requeue", json!({"retry": never}));
    check("--signal=B:USR2@120", json!({"time_signal": {"signal": "SIGUSR2", "before": "120s"}}));
    check("--signal=TERM", json!({"time_signal": {"signal": "SIGTERM", "before": "60s"}}));
    check("--comment='for Monday'", json!({"env": {"SLURM_JOB_COMMENT": "for Monday"}}));
    check(
        "--dependency=afterok:12:13,afterany:job_x,after:5,afternotok:6",
        json!({"depends_on":
            ["12:succeeded", "13:succeeded", "job_x:ended", "5:started", "6:failed"]}),
    );
    check("--export=NONE", json!({}));
    check("--export=NIL,A=1,B='x y'", json!({"env": {"A": "1", "B": "x y"}}));
    check("--export=SECRET_CODE,NOT_SET", json!({"env": {"SECRET_CODE": "4 2"}}));
    check("-D work/here/", json!({"workdir": "work/here"}));
    check("-D .", json!({}));
    check("-b now+1hour", json!({"begin": "2026-11-28T01:30:00Z"}));
    check("--begin=16:00", json!({"begin": "2026-11-28T08:00:00Z"}));
    check("--begin=now", json!({}));
    check(
        "--deadline=2026-11-30T18:00 -t 60",
        json!({"deadline": {"finish_by": "2026-11-30T10:00:00Z", "kind": "hard"},
               "resources": {"time": "3600s"}}),
    );
    // The pause comes after the submission; until then it cannot start.
    check("--hold", json!({"begin": "2026-11-28T00:31:00Z"}));
    check("--hold -b now+1hour", json!({"begin": "2026-11-28T01:30:00Z"}));
    check("-t 1 # a remark -t 2", json!({"resources": {"time": "60s"}}));
    check("-t 1 -t 2", json!({"resources": {"time": "120s"}}));
}

#[test]
fn what_has_no_effect_is_said() {
    let check = |line: &str, option: &str, why: &str| {
        let batch = with(&format!("#SBATCH {line}"));
        let [note] = &batch.notes[..] else { panic!("{line}: {:?}", batch.notes) };
        assert_eq!((note.option.as_str(), note.line), (option, Some(2)), "{line}");
        assert!(note.why.contains(why), "{}", note.why);
    };
    check("--mail-type=END", "--mail-type", "no mail");
    check("--mail-user=li@lab", "--mail-user", "no mail");
    check("--exclusive", "--exclusive", "one job alone");
    check("--exclusive=user", "--exclusive", "one job alone");
    check("--export=ALL", "--export", "not copied");
    check("-o /home/li/%j.out", "-o", "dayan logs");
    check("--chdir=/home/li/run", "--chdir", "#DAYAN inputs:");
    check("-D ../run", "-D", "a folder of its own");
    check("-N 1-4", "-N", "1 nodes");
    check("-J 'frame 12/3'", "-J", "frame_12_3");
    check("--nice", "--nice", "priority: low");
    let named = with("#SBATCH -J 'frame 12/3'");
    assert_eq!(named.job.name, "frame_12_3");
    assert_eq!(named.job.env["SLURM_JOB_NAME"], "frame 12/3");
}

#[test]
fn words_of_a_cluster_go_to_it_where_the_script_is_for_one() {
    let words = "#SBATCH --exclusive --switches=2 -w n[1-2] -x n3 --threads-per-core=1";
    let batch = with(&format!("#SBATCH -p gpu\n{words}"));
    let expect = json!({
        "partition": "gpu", "exclusive": "true", "switches": "2", "nodelist": "n[1-2]", "exclude": "n3",
        "threads-per-core": "1",
    });
    assert_eq!(batch.file["backend"]["slurm"], expect);
    assert_eq!(batch.notes.len(), 0);
    // For any pool: those without harm are named, the others refused, with what would help.
    let any = with("#SBATCH -p any\n#SBATCH --exclusive --switches=2");
    assert_eq!((any.notes.len(), any.file.get("backend")), (2, None));
    let script = "#!/bin/sh\n#SBATCH -w n1\necho\n";
    let errors = sbatch::read(script, &around(&[], &[])).expect_err("no cluster is named").errors;
    assert!(errors[0].arg("why").is_some_and(|why| why.contains("`--partition`")), "{errors:?}");
    // What no pool may let a job say stays refused.
    let script = "#!/bin/sh\n#SBATCH -p gpu --nodefile=f\necho\n";
    sbatch::read(script, &around(&[], &[])).expect_err("it names a file");
}

#[test]
fn one_thread_on_a_core_is_named_and_an_empty_value_is_none() {
    for line in ["--threads-per-core=1", "--ntasks-per-core=1", "--ntasks-per-core 1", "-B '*:*:1'"]
    {
        let batch = with(&format!("#SBATCH -c 4 {line}"));
        assert_eq!(
            rest(&batch),
            json!({"resources": {"cpus": "4", "memory": "4000000000B"}}),
            "{line}"
        );
        assert_eq!(batch.notes.len(), 1, "{line}");
        assert!(batch.notes[0].why.contains("threads of one core"), "{:?}", batch.notes);
    }
    let nothing = with("#SBATCH --input=/dev/null --tasks-per-node=2");
    assert_eq!((nothing.notes.len(), &nothing.file["resources"]["cpus"]), (1, &json!("2")));
    let cluster = with("#SBATCH -p gpu --threads-per-core=1");
    assert_eq!(cluster.file["backend"]["slurm"]["threads-per-core"], "1");
    assert_eq!(cluster.notes, []);
    for line in [
        "-C ''",
        "-C '' -p '' -q '' --reservation=''",
        "-A '' --gres='' --licenses=''",
        "--gpus=",
        "-d ''",
        "--dependency=0",
        "-w '' --exclude=''",
    ] {
        let batch = with(&format!("#SBATCH {line}"));
        assert_eq!((rest(&batch), batch.notes.len()), (json!({}), 0), "{line}");
    }
    let cluster = with("#SBATCH -p gpu -C '' -w '' --exclusive");
    let expect = json!({"partition": "gpu", "exclusive": "true"});
    assert_eq!(cluster.file["backend"]["slurm"], expect);
    // Where the environment says nothing, the script's own word does not count any more, as with Slurm.
    let env = |name: &str| (name == "SBATCH_CONSTRAINT").then(String::new);
    let script = "#!/bin/sh\n#SBATCH -C a100\necho\n";
    let batch =
        sbatch::read(script, &Around { variable: &env, ..around(&[], &[]) }).expect("valid");
    assert_eq!(batch.file.get("backend"), None);
}

/// Each option that is refused says why, and each that is noted says so, whatever its value.
#[test]
fn no_option_is_dropped_without_a_word() {
    let mut counts = [0; 3];
    for (name, _, fate) in sbatch::options() {
        let script = format!("#!/bin/sh\n#SBATCH --{name}=2\necho\n");
        let alone = format!("#!/bin/sh\n#SBATCH --{name}\necho\n");
        let read = |script: &str| sbatch::read(script, &around(&[], &[]));
        match fate {
            Fate::Taken => counts[0] += 1,
            Fate::Noted(why) => {
                counts[1] += 1;
                let batch = read(&script).or_else(|_| read(&alone)).expect(name);
                assert_eq!(batch.notes.len(), 1, "{name}");
                assert_eq!(batch.notes[0].why, why);
            }
            Fate::Refused(why) => {
                counts[2] += 1;
                let errors = read(&script).expect_err(name).errors;
                assert_eq!(errors.len(), 1, "{name}");
                assert_eq!(errors[0].arg("why"), Some(why));
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

#[test]
fn lines_of_ours_are_keys() {
    let batch = with(
        "#SBATCH -t 60\n#DAYAN market: {mode: spot, max_price: 9.00 CNY}\n#SBATCH --mem=4G\n#DAYAN resources:\n#DAYAN   time: 2h\n#DAYAN   fp16: 600 TFLOPS..\n#DAYAN env: {N: 007, A: true}\n#DAYAN strict: true\n#DAYAN retry: {max: 02}",
    );
    assert_eq!(
        rest(&batch),
        json!({
            "market": {"mode": "spot", "max_price": "9.00 CNY"},
            // What is written in words of the job file is meant for it.
            "resources": {"time": "2h", "fp16": "600 TFLOPS..", "memory": "4194304KiB"},
            "env": {"N": "007", "A": "true"},
            "strict": true,
            "retry": {"max": 2},
        })
    );
}

#[test]
fn the_command_line_replaces_the_environment_replaces_the_script() {
    let script = "#!/bin/sh\n#SBATCH -t 10 -p gpu --mem-per-cpu=1G -J a\n#DAYAN resources: {time: 2h}\n#DAYAN name: c\necho\n";
    let env = |name: &str| match name {
        "SBATCH_PARTITION" => Some("cpu".to_owned()),
        "SBATCH_TIMELIMIT" => Some("20".to_owned()),
        _ => None,
    };
    let read = |options: &[&str]| {
        let options = words(options);
        let around = Around { variable: &env, ..around(&options, &[]) };
        sbatch::read(script, &around).expect("valid").file
    };
    let file = read(&[]);
    assert_eq!(file["backend"]["slurm"]["partition"], "cpu");
    assert_eq!(file["resources"]["time"], "1200s");
    assert_eq!(file["name"], "c");
    let file = read(&["--time=30", "-p", "any", "--mem=2G", "-Jb"]);
    assert_eq!(file.get("backend"), None);
    assert_eq!(file["resources"]["time"], "1800s");
    assert_eq!(file["resources"]["memory"], "2097152KiB");
    assert_eq!(file["name"], "b");
}

#[test]
fn errors_of_the_command_line_show_it() {
    let errors = read("#!/bin/sh\necho\n", &["-J", "x y", "--time=1h"]).expect_err("bad");
    insta::assert_snapshot!(errors.render("job.sbatch"));
    // Wherever words come from, it is said: a line of the script has its number, others have none.
    let env = |name: &str| (name == "SBATCH_TIMELIMIT").then(|| "soon".to_owned());
    let options = words(&["--nodes=x"]);
    let outside = Around { variable: &env, ..around(&options, &[]) };
    let script = "#!/bin/sh\n#SBATCH --mem=much\necho\n";
    let errors = sbatch::read(script, &outside).expect_err("bad").errors;
    let places: Vec<_> = errors.iter().map(|error| (error.outside, error.line)).collect();
    use dayan_spec::Outside::{CommandLine, Environment};
    assert_eq!(places, [(None, 2), (Some(Environment), 0), (Some(CommandLine), 0)]);
}

#[test]
fn the_command_is_asked() {
    let batch = with("#SBATCH --wait --parsable\n#SBATCH -HQ --test-only -d singleton");
    let all = Asked {
        hold: true,
        wait: true,
        parsable: true,
        quiet: true,
        test_only: true,
        singleton: true,
    };
    assert_eq!(batch.asked, all);
    assert_eq!(with("").asked, Asked::default());
}

#[test]
fn command_lines_are_parted() {
    let parted = |line: &[&str]| sbatch::command_line(&words(line));
    let line = parted(&["-N", "2", "--time=5", "job.sh", "-a", "b c"]).expect("parted");
    assert_eq!(line.options, ["-N", "2", "--time=5"]);
    assert_eq!(line.script.as_deref(), Some("job.sh"));
    assert_eq!(line.arguments, ["-a", "b c"]);
    let line = parted(&["--wrap", "echo hi", "-n1"]).expect("parted");
    assert_eq!((line.wrap.as_deref(), line.script), (Some("echo hi"), None));
    let line = parted(&["-n1", "--", "job.sh"]).expect("parted");
    assert_eq!((line.options, line.script.as_deref()), (words(&["-n1"]), Some("job.sh")));
    assert_eq!(parted(&[]).expect("parted").script, None);
    let errors = parted(&["--tme=5", "job.sh"]).expect_err("unknown");
    insta::assert_snapshot!(errors.render("sbatch"));
}

/// Runs what a task would run, with what it would find in its environment.
fn run(job: &JobSpec, task: u32, folder: &Path) -> Output {
    let context = TaskContext {
        job: JobId::from_bits(1_795_824_000_000 << 80 | 5 << 68),
        task,
        attempt: 2,
        node_rank: 0,
        pool: "tower".to_owned(),
        nodelist: vec!["n1".to_owned(), "n2".to_owned()],
        head: "n1".to_owned(),
        cpus: dayan_units::MilliCpu(4_000),
        memory: dayan_units::Bytes(1),
        deadline: None,
        scheduled_at: None,
        hostfile: None,
    };
    Command::new("/bin/sh")
        .args(["-c", &job.run])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(task_env(job, &context))
        .current_dir(folder)
        .output()
        .expect("a shell is there")
}
const NUMBER: u64 = ((1_795_824_000_000 - 1_735_689_600_000) << 12) + 5;

#[test]
fn the_script_runs_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "#!/bin/bash -e\n#SBATCH -c 4 -n 2 -J 'my job' -a 10-20:5\n\
        declare -A map=([a]=1)\ncat <<'END'\n$x `y`\nEND\n\
        echo \"$1|$2|$#|$0\"\nenv | grep ^SLURM_ | grep -v '_[UG]ID=\\|_USER=\\|_HOST=' | sort\necho oops >&2\nfalse\necho not reached";
    let arguments = words(&["a b", "it's $HOME"]);
    let batch = sbatch::read(script, &around(&[], &arguments)).expect("valid");
    let out = run(&batch.job, 1, folder.path());
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(out.stderr, b"oops\n");
    let shown = String::from_utf8(out.stdout).expect("text");
    insta::assert_snapshot!(shown.replace(&*folder.path().to_string_lossy(), "FOLDER"));
    let kept = std::fs::read_to_string(folder.path().join(".slurm_script")).expect("kept");
    assert_eq!(kept, script);
}

/// What a script says of itself: variable by variable.
fn says(script: &str, task: u32) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let batch = read(script, &[]).expect("valid");
    let out = run(&batch.job, task, folder.path());
    let text = String::from_utf8(out.stdout).expect("text");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn tasks_find_slurms_variables() {
    let env = says("#!/bin/sh\n#SBATCH -a 3,4,9\nenv\n", 2);
    assert_eq!(env["SLURM_ARRAY_TASK_ID"], "9");
    assert_eq!(env["SLURM_ARRAY_JOB_ID"], NUMBER.to_string());
    // A number, because scripts count with it.
    let id: u64 = env["SLURM_JOB_ID"].parse().expect("a number");
    assert_eq!(sbatch::array_and_element(id), Some((NUMBER, 9)));
    assert_eq!(sbatch::element_number(NUMBER, 9), Some(id));
    assert_eq!(sbatch::array_and_element(NUMBER), None);
    assert_eq!(sbatch::element_number(NUMBER, 4_096), None);
    let far = says("#!/bin/sh\n#SBATCH -a 4096,9000\nenv\n", 1);
    assert_eq!(far["SLURM_JOB_ID"], format!("{NUMBER}_9000"));
    assert_eq!(
        (env["SLURM_ARRAY_TASK_MIN"].as_str(), env["SLURM_ARRAY_TASK_MAX"].as_str()),
        ("3", "9")
    );
    assert_eq!(env["SLURM_ARRAY_TASK_COUNT"], "3");
    let env = says("#!/bin/sh\n#SBATCH -N 2 -n 8 --mem=4G --gpus-per-node=1\nenv\n", 0);
    assert_eq!(env["SLURM_JOB_ID"], NUMBER.to_string());
    assert_eq!(env["SLURM_NTASKS"], "8");
    assert_eq!(env["SLURM_NNODES"], "2");
    assert_eq!(env["SLURM_TASKS_PER_NODE"], "4(x2)");
    assert_eq!((env["DAYAN_TASKS"].as_str(), env["DAYAN_TASKS_PER_NODE"].as_str()), ("8", "4"));
    let uneven = says("#!/bin/sh\n#SBATCH -N 2 -n 3\nenv\n", 0);
    assert_eq!(
        (uneven["SLURM_TASKS_PER_NODE"].as_str(), uneven["DAYAN_TASKS"].as_str()),
        ("2,1", "3")
    );
    let shared = says("#!/bin/sh\n#SBATCH -n 2 --gpus-per-task=1\nenv\n", 0);
    assert_eq!(shared["SLURM_GPUS_PER_TASK"], "1");
    assert_eq!(shared["SLURM_GPUS_ON_NODE"], "2");
    assert_eq!(env["SLURM_MEM_PER_NODE"], "4096");
    assert_eq!(env["SLURM_GPUS_ON_NODE"], "1");
    assert_eq!(env["SLURM_JOB_NODELIST"], "n1,n2");
    assert_eq!(env["SLURM_RESTART_COUNT"], "1");
    assert_eq!(env["SLURM_SUBMIT_DIR"], env["PWD"]);
    let of_the_job =
        ["ACCOUNT", "PARTITION", "QOS"].map(|name| env[&format!("SLURM_JOB_{name}")].as_str());
    assert_eq!(of_the_job, ["lab-n/default", "tower", "normal"]);
    assert_eq!((env["SLURMD_NODENAME"].as_str(), env["ENVIRONMENT"].as_str()), ("n1", "BATCH"));
    for name in ["USER", "LOGNAME", "SHELL"] {
        assert!(!env[name].is_empty(), "{name}");
    }
    for name in ["JOB_USER", "JOB_UID", "JOB_GID", "SUBMIT_HOST"] {
        assert!(!env[&format!("SLURM_{name}")].is_empty(), "{name}");
    }
    assert!(!env.contains_key("SLURM_ARRAY_TASK_ID"));
    // Inside a real Slurm job its own commands must find it.
    let env = says("#!/bin/sh\n#SBATCH -n 2 --export=SLURM_JOB_ID=77\nenv\n", 0);
    assert_eq!((env["SLURM_JOB_ID"].as_str(), env.get("SLURM_NTASKS")), ("77", None));
}

#[test]
fn interpreters_are_honoured() {
    let folder = tempfile::tempdir().expect("a folder");
    let job = read("#!/usr/bin/awk -f\nBEGIN { print 6 * 7; exit 3 }\n", &[]).expect("valid").job;
    let out = run(&job, 0, folder.path());
    assert_eq!((out.stdout.as_slice(), out.status.code()), (&b"42\n"[..], Some(3)));
    let job = read("#!/no/such/shell\necho\n", &[]).expect("valid").job;
    let out = run(&job, 0, folder.path());
    assert!(matches!(out.status.code(), Some(126 | 127)), "{out:?}");
}

#[test]
fn streams_go_to_files_as_well() {
    let script =
        |options: &str| format!("#!/bin/sh\n#SBATCH {options}\necho out\necho err >&2\nexit 5\n");
    let check = |options: &str, streams: (&str, &str), files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        let batch = read(&script(options), &[]).expect("valid");
        let out = run(&batch.job, 0, folder.path());
        assert_eq!(out.status.code(), Some(5), "{options}: {out:?}");
        let (stdout, stderr) = streams;
        assert_eq!(String::from_utf8_lossy(&out.stdout), stdout, "{options}");
        assert_eq!(String::from_utf8_lossy(&out.stderr), stderr, "{options}");
        for (name, content) in files {
            let name = name.replace("%j", &NUMBER.to_string());
            let text = std::fs::read_to_string(folder.path().join(&name)).expect(&name);
            assert_eq!(text, *content, "{options}");
        }
        let count = std::fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(count, files.len() + 1, "{options}");
    };
    check("-n 1", ("out\n", "err\n"), &[]);
    check("-o slurm-%j.out", ("out\nerr\n", ""), &[("slurm-%j.out", "out\nerr\n")]);
    check("-o a.out -e a.err", ("out\n", "err\n"), &[("a.out", "out\n"), ("a.err", "err\n")]);
    check("-o a.out -e a.out", ("out\nerr\n", ""), &[("a.out", "out\nerr\n")]);
    check("-e a.err", ("out\n", "err\n"), &[("a.err", "err\n")]);
    check("-o /dev/null", ("", ""), &[]);
    check("-o /dev/null -e a.err", ("", "err\n"), &[("a.err", "err\n")]);
    check("-o a.out -e /dev/null", ("out\n", ""), &[("a.out", "out\n")]);
    check("-e /dev/null", ("out\n", ""), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let batch = read(&script("-a 7-8 -J 'a b' -o 'logs/%x/%A_%4a.txt'"), &[]).expect("valid");
    assert_eq!(run(&batch.job, 1, folder.path()).status.code(), Some(5));
    let path = folder.path().join(format!("logs/a b/{NUMBER}_0008.txt"));
    assert_eq!(std::fs::read_to_string(path).expect("written"), "out\nerr\n");
}

#[test]
fn scripts_are_told_from_job_files() {
    assert!(sbatch::is_script("#!/bin/sh\n#SBATCH -n 1\necho\n"));
    assert!(sbatch::is_script("#!/bin/sh\n#DAYAN project: a/b\necho\n"));
    assert!(!sbatch::is_script("version: 1\n#SBATCH -n 1\n"));
    assert!(!sbatch::is_script("#!/bin/sh\necho\n#SBATCH -n 1\n"));
}

/// What is sent is what was read.
fn check_same(batch: &Batch) {
    let text = batch.file.to_string();
    let again = parse_json(&text).unwrap_or_else(|errors| panic!("{}\n{text}", errors.render("f")));
    assert_eq!(again, batch.job, "{text}");
}

fn check_any(script: &str, options: &[String]) {
    match sbatch::read(script, &around(options, &[])) {
        Ok(batch) => check_same(&batch),
        Err(errors) => {
            assert!(!errors.errors.is_empty());
            for error in &errors.errors {
                assert!(error.line >= 1 || error.outside.is_some());
                assert!(error.column >= 1);
                assert!(error.fill(error.code.message()).is_some(), "{error:?}");
                assert!(error.help().is_some() || error.code.help().is_empty(), "{error:?}");
            }
            assert!(errors.render("job.sbatch").len() < 40_000);
        }
    }
}

fn any_option() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = sbatch::options().map(|(name, _, _)| name).collect();
    let values = prop_oneof![
        Just("2".to_owned()),
        Just("1-3,9%2".to_owned()),
        Just("gpu:a100:2".to_owned()),
        Just("1-00:10:00".to_owned()),
        Just("now+1hour".to_owned()),
        Just("logs/%x_%A_%4a".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("4294967295".to_owned()),
        "[a-zA-Z0-9:,%+/=._-]{0,12}",
        "\\PC{0,8}",
    ];
    (proptest::sample::select(names), values, "[= ]").prop_map(|(n, v, s)| format!("--{n}{s}{v}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage(text in "(#!/bin/sh\n)?(#SBATCH[^\n]{0,40}\n|#DAYAN[^\n]{0,40}\n|\\PC{0,20}\n){0,6}") {
        check_any(&text, &[]);
        let _ = sbatch::is_script(&text);
    }

    #[test]
    fn any_options(lines in proptest::collection::vec(any_option(), 0..6)) {
        let lines: Vec<String> = lines.iter().map(|line| format!("#SBATCH {line}\n")).collect();
        check_any(&format!("#!/bin/sh\n{}echo\n", lines.concat()), &[]);
    }

    #[test]
    fn any_command_line(line in proptest::collection::vec("(--?[a-zA-Z-]{0,8}(=[0-9a-z:]{0,5})?|\\PC{0,6})", 0..6)) {
        if let Ok(parted) = sbatch::command_line(&line) {
            check_any("#!/bin/sh\n#DAYAN env: {A: é}\necho é\n", &parted.options);
        }
    }

    /// Whatever a script says, it reaches its interpreter as it is.
    #[test]
    fn any_script_is_kept(body in "[\\PC\n\t]{0,200}") {
        let script = format!("#!/bin/true\n{body}");
        let Ok(batch) = read(&script, &[]) else { return Ok(()) };
        let folder = tempfile::tempdir().expect("a folder");
        prop_assert!(run(&batch.job, 0, folder.path()).status.success());
        let kept = std::fs::read_to_string(folder.path().join(".slurm_script")).expect("kept");
        prop_assert_eq!(kept, script);
    }
}

#[test]
fn what_a_script_reads_of_the_submitters_environment_is_said() {
    let notes = |script: &str, options: &[&str]| -> Vec<String> {
        let batch = read(script, options).expect("valid");
        batch.notes.into_iter().map(|note| format!("{}: {}", note.option, note.why)).collect()
    };
    let script = "#!/bin/bash\necho $SECRET_CODE $OTHER\n";
    let said = notes(script, &[]);
    assert!(said.len() == 1 && said[0].contains("reads `SECRET_CODE`, set here"), "{said:?}");
    assert!(!said[0].contains("4 2"), "its value is nobody's business: {said:?}");
    assert_eq!(notes(script, &["--export=SECRET_CODE"]), [""; 0]);
    assert_eq!(notes(script, &["--export=NONE"]), [""; 0]);
    assert_eq!(notes("#!/usr/bin/python3\nprint('$SECRET_CODE')\n", &[]), [""; 0]);
}

//! A script for Slurm, submitted and watched by links with the names of Slurm's commands, on a real
//! exchange with a real agent: what scripts parse is there, and what they hand back is understood.

mod support;

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Stage, program, until};

const SCRIPT: &str = "#!/bin/bash
#SBATCH --job-name=frames
#SBATCH --array=1,3,7%2
#SBATCH --ntasks=1 --cpus-per-task=1
#SBATCH --mem=50M -t 5
#SBATCH --account=demo
#SBATCH --output=out-%A_%a.txt
#DAYAN env: {COLOUR: red}
set -eu
cd \"$SLURM_SUBMIT_DIR\"
echo \"$SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $SLURM_JOB_NAME $COLOUR $1 $#\"
until [ -e \"$2\" ]; do sleep 0.1; done
[ \"$SLURM_ARRAY_TASK_ID\" != 3 ] || exit 9
";

/// A member's shell with the links in its path.
struct Shell {
    folder: PathBuf,
    url: String,
    token: String,
}

impl Shell {
    fn new(stage: &Stage) -> Self {
        let folder = stage.path("shell");
        std::fs::create_dir(&folder).expect("a folder");
        for name in ["sbatch", "squeue", "scancel", "sinfo", "sacct", "dayan"] {
            symlink(program(), folder.join(name)).expect("a link");
        }
        let url = format!("http://{}", stage.address());
        Self { folder, url, token: stage.member.clone() }
    }

    /// A line, as a script would have it.
    fn run(&self, line: &str) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.folder.display());
        Command::new("/bin/bash")
            .args(["-c", line])
            .current_dir(&self.folder)
            .env_clear()
            .envs([("PATH", path.as_str()), ("DAYAN_URL", &self.url), ("DAYAN_TOKEN", &self.token)])
            .env("HOME", &self.folder)
            .stdin(Stdio::null())
            .output()
            .expect("bash is there")
    }

    /// What a line that ends well prints.
    fn says(&self, line: &str) -> String {
        let out = self.run(line);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{line}: {said}");
        String::from_utf8(out.stdout).expect("text").trim_end().to_owned()
    }

    fn until_says(&self, line: &str, expect: &str) {
        until(expect, || (self.says(line) == expect).then_some(()));
    }
}

#[test]
fn a_script_is_submitted_watched_and_cancelled_in_slurms_words() {
    let mut stage = Stage::build("2");
    let shell = Shell::new(&stage);
    std::fs::write(shell.folder.join("job.sbatch"), SCRIPT).expect("written");
    let go = shell.folder.join("go");
    let line = format!("sbatch job.sbatch 'a b' '{}' | awk '{{print $4}}'", go.display());
    let job = shell.says(&line);
    assert!(job.len() == 15 && job.bytes().all(|b| b.is_ascii_digit()), "{job}");

    // Two at a time run; the third waits for its turn.
    shell.until_says(
        &format!("squeue -h -j {job} -o '%i %T'"),
        &format!("{job}_[7%2] PENDING\n{job}_1 RUNNING\n{job}_3 RUNNING"),
    );
    assert_eq!(shell.says("squeue --me -h -t PD -o '%j %u %r'"), "frames m JobArrayTaskLimit");
    let heads = shell.says("squeue | head -1");
    assert_eq!(
        heads,
        "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)"
    );
    let value: Value = serde_json::from_str(&shell.says("squeue --json")).expect("JSON");
    assert_eq!(value["jobs"].as_array().map(Vec::len), Some(3));
    assert_eq!(shell.says("sinfo -h -t mix,alloc -o '%P %a %D'"), "main up 1");

    // An element is cancelled by its number; the others go on to their ends.
    shell.says(&format!("scancel {job}_7"));
    shell.until_says(&format!("squeue -h -r -j {job} -o %K"), "1\n3");
    std::fs::write(&go, "").expect("written");
    shell.until_says(&format!("squeue -h -j {job}"), "");
    assert_eq!(
        shell.says(&format!("sacct -n -X -P -j {job} -o JobID,State,ExitCode")),
        format!("{job}_[7]|CANCELLED|0:0\n{job}_1|COMPLETED|0:0\n{job}_3|FAILED|9:0")
    );
    assert_eq!(shell.says(&format!("dayan logs {job}/0")), format!("{job} 1 frames red a b 2"));

    // A server that was killed knows the number again.
    stage.kill_server();
    stage.start_server();
    let line = format!("squeue -h -r -t all -j {job} -o '%A %t' | sort");
    let found = until("an answer", || {
        let out = shell.run(&line);
        let text = String::from_utf8(out.stdout).ok()?;
        (!text.is_empty()).then_some(text)
    });
    // Each element has a number of its own, by which it is found as by both.
    let number: u64 = job.parse().expect("a number");
    let own = |element: u64| (number << 12) + element;
    assert_eq!(found, format!("{} CD\n{} F\n{} CA\n", own(1), own(3), own(7)));
    assert_eq!(
        shell.says(&format!("squeue -h -t all -j {} -o '%i %t'", own(3))),
        format!("{job}_3 F")
    );

    // A wait ends with the script's own code, and a limit is Slurm's to name.
    let out = shell.run("sbatch --wait --mem=50M -t 5 -A lab/demo --wrap 'exit 42'");
    assert_eq!(out.status.code(), Some(42), "{}", String::from_utf8_lossy(&out.stderr));
    let late = shell.says("sbatch --parsable --mem=50M -t 0:01 -A demo --wrap 'sleep 600'");
    shell.until_says(&format!("sacct -n -X -P -j {late} -o State"), "TIMEOUT");

    // A script is told before its time is up, and saves what it has.
    let script = "#!/bin/sh\n#SBATCH --mem=50M -t 1 --signal=B:USR1@57\n\
                  trap 'echo saved; exit 3' USR1\nwhile :; do sleep 0.1; done\n";
    std::fs::write(shell.folder.join("saves.sbatch"), script).expect("written");
    let told = shell.says("sbatch --parsable -A demo saves.sbatch");
    shell.until_says(&format!("sacct -n -X -P -j {told} -o State,ExitCode"), "FAILED|3:0");
    assert_eq!(shell.says(&format!("dayan logs {told}")), "saved");

    // A job that is held does not start, and is cancelled by name.
    let held = shell.says("sbatch --parsable -H -J kept --mem=50M -A demo --wrap 'echo x'");
    assert_eq!(shell.says(&format!("squeue -h -j {held} -o '%T %r'")), "PENDING JobHeldUser");
    shell.says("scancel -n kept");
    shell.until_says(&format!("sacct -n -X -P -j {held} -o State"), "CANCELLED");

    let out = shell.run("scancel 1");
    let said = "scancel: error: Kill job error on job id 1: Invalid job id specified\n";
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), said));
    stage.assert_sound();
}

#[test]
fn the_program_takes_scripts_under_its_own_name() {
    let stage = Stage::build("2");
    let shell = Shell::new(&stage);
    let script =
        "#!/usr/bin/awk -f\n#SBATCH --mem=50M -t 5 --mail-type=END\nBEGIN { print 6 * 7 }\n";
    std::fs::write(shell.folder.join("job.sbatch"), script).expect("written");
    assert!(shell.says("dayan plan job.sbatch -o json").contains("\"pool_name\": \"main\""));
    // The consumer has one project: it pays.
    let out = shell.run("dayan submit job.sbatch --wait");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && said.contains("line 2: `--mail-type` has no effect"), "{said}");
    let job = String::from_utf8(out.stdout).expect("text");
    assert_eq!(shell.says(&format!("dayan logs {job}")), "42");
    let out = shell.run("sbatch --frobnicate job.sbatch");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.starts_with("sbatch: unrecognized option '--frobnicate'"), "{said}");
    assert_eq!(out.status.code(), Some(255));
}

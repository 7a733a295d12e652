//! A command beside a running task: a step of the task's own job, by `srun --overlap`. So it runs on
//! the task's node, under the site's limits for that job, and Slurm ends it with the job at the latest.
//!
//! Invariant: whoever leaves takes the command along. `srun` that is killed leaves its step behind,
//! so a guard outlives it for a moment and cancels what is left.

use std::ffi::OsString;
use std::path::Path;

use dayan_units::AttemptId;

use super::batch::read_launch;
use super::engine::SlurmEngine;
use super::report::{Claim, read_claim};
use crate::{EnterFault, Entrance, Phase, Session, Visit, Workdir, command, wall_now};

/// Watches the process that it was started beside (which becomes `srun`), and cancels its step when
/// it is gone: job, step's name and where the commands are are its words. Steps have no number before
/// they run, so the name tells them apart.
const GUARD: &str = "while kill -0 \"$1\" 2>/dev/null; do sleep 1; done
\"$4squeue\" --noheader --steps --jobs=\"$2\" --format='%i %j' | while read -r step name; do
  [ \"$name\" != \"$3\" ] || \"$4scancel\" \"$step\"
done";
/// Starts the guard (`$1`: its text, `$2`: the job, `$3`: the step's name, `$4`: where Slurm's commands
/// are), then becomes the rest.
const BESIDE: &str = "guard=$1; job=$2; name=$3; at=$4; shift 4
setsid sh -c \"$guard\" sh $$ \"$job\" \"$name\" \"$at\" </dev/null >/dev/null 2>&1 &
exec \"$@\"";
/// What the command is on the node: a shell that becomes it, so that a program that is not there ends
/// as it would at a terminal. What the agent proves itself to Slurm with is not the command's.
const COMMAND: [&str; 4] = ["/bin/sh", "-c", "unset SLURM_JWT; exec \"$@\"", "sh"];
/// Variables that Slurm's commands need, of the agent's own.
const OF_SLURM: [&str; 2] = ["SLURM_CONF", "SLURM_JWT"];

/// Where it is to run.
struct At<'a> {
    job: u32,
    node: &'a str,
    folder: &'a Path,
    step: &'a str,
    /// The folder of Slurm's commands, with a slash behind it.
    commands: &'a str,
}

/// Where the agent finds Slurm's commands: the task's own `PATH` may lead elsewhere.
fn commands(told: Option<&Path>) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).find(|folder| folder.join("srun").is_file());
    let folder = told.map(Path::to_owned).or_else(found);
    folder.map_or_else(String::new, |folder| format!("{}/", folder.display()))
}

fn words(at: &At<'_>, visit: Visit<'_>) -> Vec<OsString> {
    let srun = format!("{}srun", at.commands);
    let job = at.job.to_string();
    let mut argv: Vec<OsString> =
        ["/bin/sh", "-c", BESIDE, "sh", GUARD, &job, at.step, at.commands]
            .map(OsString::from)
            .to_vec();
    argv.push(srun.into());
    let mut options = vec![
        format!("--jobid={job}"),
        format!("--job-name={}", at.step),
        "--overlap".to_owned(),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--nodelist={}", at.node),
        format!("--chdir={}", at.folder.display()),
        "--mpi=none".to_owned(),
        "--quiet".to_owned(),
    ];
    options.push(if visit.terminal.is_some() { "--pty" } else { "--unbuffered" }.to_owned());
    argv.extend(options.into_iter().map(OsString::from));
    argv.extend(COMMAND.map(OsString::from));
    argv.extend(visit.command.iter().map(OsString::from));
    argv
}

impl SlurmEngine {
    pub(super) fn entrance(
        &self,
        attempt: AttemptId,
        visit: Visit<'_>,
    ) -> Result<Entrance, EnterFault> {
        let held = self.book.get(attempt).ok_or(EnterFault::NotRunning)?;
        let (Phase::Running { .. }, Some(seat)) = (&held.phase, held.seat) else {
            return Err(EnterFault::NotRunning);
        };
        if self.book.batches.get(&seat.batch).is_none_or(|batch| batch.job().is_none()) {
            let why = "Slurm's controller has forgotten its job, and may have given the number to another";
            return Err(EnterFault::Failed(why.to_owned()));
        }
        let claim = read_claim(&self.layout.claim(seat.batch, seat.index));
        let Some(Claim::Wrapper { node, job: Some(job), .. }) = claim else {
            return Err(EnterFault::Failed("its claim does not say which job it is".to_owned()));
        };
        let launch = read_launch(&self.layout.launches(seat.batch), seat.index)
            .map_err(|error| EnterFault::Failed(format!("reading its launch: {error}")))?;
        let folder = match launch.workdir {
            Workdir::Fresh => self.layout.folder().work(attempt),
            Workdir::At(path) => path,
        };
        let mut env: Vec<(OsString, OsString)> =
            launch.env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let has = |env: &[(OsString, OsString)], name: &str| env.iter().any(|(n, _)| n == name);
        for (name, value) in [
            ("PATH", OsString::from(command::DEFAULT_PATH)),
            ("HOME", folder.clone().into()),
            ("TMPDIR", folder.clone().into()),
        ] {
            if !has(&env, name) {
                env.push((name.into(), value));
            }
        }
        // By the job file a task may be told of a Slurm that is not its own.
        env.retain(|(name, _)| !name.to_string_lossy().starts_with("SLURM_"));
        let own =
            OF_SLURM.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        env.extend(own);
        if let Some(kind) = visit.terminal {
            env.retain(|(name, _)| name != "TERM");
            env.push(("TERM".into(), kind.into()));
        }
        let step = format!("dayan-exec-{:x}", wall_now().micros());
        let at = At {
            job,
            node: &node,
            folder: &folder,
            step: &step,
            commands: &commands(self.config.commands.as_deref()),
        };
        Ok(Entrance { argv: words(&at, visit), env, folder: None, session: Session::Starters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_step_of_the_tasks_own_job() {
        let command = ["ls".to_owned(), "-l; rm".to_owned()];
        let at = At {
            job: 77,
            node: "n2",
            folder: Path::new("/d/work"),
            step: "dayan-exec-1",
            commands: "/opt/slurm/bin/",
        };
        let said = |terminal| {
            let visit = Visit { command: &command, terminal };
            let words = words(&at, visit).into_iter().skip(4);
            words.map(|word| word.into_string().expect("text")).collect::<Vec<_>>()
        };
        let words = said(None);
        let slurms = "/opt/slurm/bin/";
        let expect = ["77", "dayan-exec-1", slurms, "/opt/slurm/bin/srun", "--jobid=77"];
        assert_eq!(words[1..6], expect);
        for option in ["--overlap", "--nodelist=n2", "--chdir=/d/work", "--unbuffered"] {
            assert!(words.iter().any(|word| word == option), "{option}: {words:?}");
        }
        // The words of who asked are no shell's to read.
        assert_eq!(
            words[words.len() - 6..],
            ["/bin/sh", "-c", "unset SLURM_JWT; exec \"$@\"", "sh", "ls", "-l; rm"]
        );
        assert!(said(Some("xterm")).iter().any(|word| word == "--pty"));
    }
}

//! What a task, or a member of a gang, is told of its nodes: Slurm chose them, and says which. And what
//! a script for Slurm needs to start processes by `srun` in the job that it runs in.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::slurm::hostlist::expand;
use crate::{Launch, command, hosts};

/// What every script for Slurm is told, and nothing else.
const OF_SCRIPTS: &str = "SLURM_JOB_NAME";
/// What stays a script's own though Slurm says something else of the job: the array, the name and the
/// attempts of a task are the exchange's, whose job they may be elements of.
const OWN: [&str; 6] = [
    "SLURM_ARRAY_*",
    "SLURM_JOB_NAME",
    "SLURM_SUBMIT_DIR",
    "SLURM_RESTART_COUNT",
    "SLURM_JWT",
    // The job has its cards by the node; how they are shared by processes is the script's to say.
    "SLURM_GPUS_PER_TASK",
];
/// Says how to become a part of the job, for the shell of our `srun`.
const JOINS: &str = "DAYAN_SLURM_JOIN";
/// Where Slurm's configuration is.
const CONF: &str = "SLURM_CONF";
/// Slurm's own number of the job.
const JOB: &str = "DAYAN_SLURM_JOB_ID";

fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| match own.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *own,
    })
}

/// The `srun` that scripts for Slurm find first: it gives the job back its own variables in place of
/// the script's, which has a number of the exchange's, and becomes Slurm's.
pub(in crate::slurm) fn srun_text() -> String {
    format!(
        "#!/bin/sh
# Slurm's srun, in the job of Slurm's that this task runs in.
for name in $(env | sed -n 's/^\\(SLURM_[A-Za-z0-9_]*\\)=.*/\\1/p'); do
  case $name in {own}) ;; *) unset \"$name\" ;; esac
done
eval \"${{{JOINS}:-}}\"
here=$(dirname \"$0\")
IFS=:
for folder in $PATH; do
  [ \"$folder\" = \"$here\" ] || [ ! -x \"$folder/srun\" ] || exec \"$folder/srun\" \"$@\"
done
exec \"${{dayan_srun:-/usr/bin/srun}}\" \"$@\"
",
        own = OWN.join("|")
    )
}

/// Does it run for all nodes of its job?
pub(super) fn is_head(launch: &Launch) -> bool {
    launch.gang.is_some_and(|gang| gang.members == 1)
}

/// The nodes beside its own that a head has.
pub(super) fn others(launch: &Launch) -> Vec<String> {
    let list = std::env::var("SLURM_JOB_NODELIST").ok().filter(|_| is_head(launch));
    let nodes = list.and_then(|list| expand(&list)).unwrap_or_default();
    nodes.into_iter().skip(1).collect()
}

/// The file that bash reads before a script.
pub(in crate::slurm) const BASH_ENV: &str = "bash-env";

/// What is in it: the `srun` of this folder, wherever the path leads.
pub(in crate::slurm) fn bash_env(folder: &Path) -> String {
    format!("srun() {{ {} \"$@\"; }}\n", quoted(&folder.join("srun").to_string_lossy()))
}

/// Is it a script for Slurm that would not find its job? A gang's has Slurm's own variables.
pub(super) fn is_script(launch: &Launch) -> bool {
    launch.gang.is_none() && launch.env.contains_key(OF_SCRIPTS)
}

/// Gives a script for Slurm its `srun`: the folder of ours in its path, and what that needs to know.
/// `mark` is made when it is used.
pub(super) fn give_srun(launch: &mut Launch, folder: &Path, mark: &Path) {
    if !is_script(launch) {
        return;
    }
    let real = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|at| at.join("srun")).find(|at| at.is_file())
    });
    let all = std::env::vars().filter(|(name, _)| name.starts_with("SLURM_") && !is_own(name));
    launch.env.insert(JOINS.to_owned(), joins(all, mark, real));
    if let Ok(job) = std::env::var("SLURM_JOB_ID") {
        launch.env.insert(JOB.to_owned(), job);
    }
    let path = launch.env.get("PATH").map_or(command::DEFAULT_PATH, String::as_str);
    let path = format!("{}:{path}", folder.display());
    launch.env.insert("PATH".to_owned(), path);
    // A login shell (`#!/bin/bash -l`) makes its path anew, and reads this after it.
    let bash_env = folder.join(BASH_ENV).to_string_lossy().into_owned();
    launch.env.entry("BASH_ENV".to_owned()).or_insert(bash_env);
    // Where Slurm is set up elsewhere than usual, its commands are told so.
    if let Ok(conf) = std::env::var(CONF) {
        launch.env.entry(CONF.to_owned()).or_insert(conf);
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Words for a shell to evaluate.
fn joins(
    all: impl Iterator<Item = (String, String)>,
    mark: &Path,
    real: Option<PathBuf>,
) -> String {
    // Not by `:`, whose failed redirection ends a shell: what cannot be noted must not keep it from its steps.
    let mut words = format!("true > {}\n", quoted(&mark.to_string_lossy()));
    // Writing to a text cannot fail.
    for (name, value) in all {
        let _ = writeln!(words, "export {name}={}", quoted(&value));
    }
    if let Some(real) = real {
        let _ = writeln!(words, "dayan_srun={}", quoted(&real.to_string_lossy()));
    }
    words
}

/// Puts the nodes in place of those that the exchange had in mind: into the environment, and
/// into the host file where there is one.
pub(super) fn tell_of_nodes(launch: &mut Launch) {
    let Some(nodes) = std::env::var("SLURM_JOB_NODELIST").ok().and_then(|list| expand(&list))
    else {
        return;
    };
    let Some(head) = nodes.first() else { return };
    let is_head = is_head(launch);
    if is_head {
        // What the head starts on the other nodes, it starts by Slurm: `srun` and `mpirun` find
        // their job by these. What the agent proves itself to Slurm with is not the task's.
        let is_told = |name: &str| name.starts_with("SLURM") && name != "SLURM_JWT";
        let slurms = std::env::vars().filter(|(name, _)| is_told(name));
        for (name, value) in slurms {
            launch.env.entry(name).or_insert(value);
        }
        // Since 22.05 `srun` does not take it from the job. Who says how many processes there are says
        // how many cores each has, as at the site.
        if let Ok(cpus) = std::env::var("SLURM_CPUS_PER_TASK")
            && !launch.env.contains_key("DAYAN_TASKS_PER_NODE")
        {
            launch.env.entry("SRUN_CPUS_PER_TASK".to_owned()).or_insert(cpus);
        }
    }
    // A task on its own is only told where it is if it was told where it would be.
    let tells = |name: &str| launch.gang.is_some() || launch.env.contains_key(name);
    let told = [("DAYAN_HEAD", head.clone()), ("DAYAN_NODELIST", nodes.join(","))];
    let told: Vec<_> = told.into_iter().filter(|(name, _)| tells(name)).collect();
    launch.env.extend(told.into_iter().map(|(name, nodes)| (name.to_owned(), nodes)));
    if let Some(path) = launch.env.get("DAYAN_HOSTFILE") {
        let by_slurm = || counts(&std::env::var("SLURM_TASKS_PER_NODE").ok()?, nodes.len());
        let by_slurm = if is_head { by_slurm() } else { None };
        let gang = launch.gang.map(|_| nodes.len());
        let slots = by_slurm.unwrap_or_else(|| hosts::slots(&launch.env, gang));
        let lines = hosts::lines(nodes.iter().map(String::as_str).zip(slots));
        // Without it the program says what it misses.
        let _ = fs::write(path, lines);
    }
}

/// Reads `4(x2),3`: the tasks of each node; none for what is not understood.
fn counts(text: &str, nodes: usize) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for group in text.split(',') {
        let (count, times) = group.split_once("(x").unwrap_or((group, "1)"));
        let times: usize = times.strip_suffix(')')?.parse().ok()?;
        if times > nodes {
            return None;
        }
        all.extend(std::iter::repeat_n(count.parse::<usize>().ok()?, times));
    }
    (all.len() == nodes).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_nodes() {
        let check = |text: &str, nodes: usize, expect: Option<&[usize]>| {
            assert_eq!(counts(text, nodes).as_deref(), expect, "{text}");
        };
        check("4(x2)", 2, Some(&[4, 4]));
        check("2,1", 2, Some(&[2, 1]));
        check("3(x2),1", 3, Some(&[3, 3, 1]));
        check("4", 2, None);
        check("4(x99999999)", 2, None);
        check("x", 1, None);
    }

    #[test]
    fn our_srun_gives_the_job_its_own_variables_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let program = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("one")).expect("made");
            fs::write(&path, text).expect("written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(&path, mode).expect("ours");
            path
        };
        let ours = program("ours/srun", &srun_text());
        let real = program("real/srun", "#!/bin/sh\necho has \"$@\"\nenv | grep ^SLURM_ | sort\n");
        // No Slurm of this machine's is among these.
        let tools = dir.path().join("tools");
        fs::create_dir(&tools).expect("made");
        for tool in ["sh", "env", "sed", "dirname", "grep", "sort"] {
            let of_system = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(tool));
            let of_system = of_system.iter().find(|path| path.exists()).expect("a system has it");
            std::os::unix::fs::symlink(of_system, tools.join(tool)).expect("links");
        }
        let path = |folders: &[&str]| {
            let folders = folders.iter().map(|name| dir.path().join(name));
            std::env::join_paths(folders).expect("plain names")
        };
        let mark = dir.path().join("it's used");
        let all = [("SLURM_JOB_ID", "77"), ("SLURM_NTASKS", "2"), ("SLURM_X", "a 'b'; c")];
        let all = all.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
        let runs = |path: &std::ffi::OsStr, joins: &str| {
            std::process::Command::new(&ours)
                .args(["-n", "4", "a b"])
                .env_clear()
                .env("PATH", path)
                .env(JOINS, joins)
                .envs([
                    ("SLURM_JOB_ID", "246310502400005"),
                    ("SLURM_MEM_PER_NODE", "5"),
                    ("SLURM_ARRAY_TASK_ID", "7"),
                    ("SLURM_JOB_NAME", "mine"),
                ])
                .output()
                .expect("there is a shell")
        };
        let expect = "has -n 4 a b\nSLURM_ARRAY_TASK_ID=7\nSLURM_JOB_ID=77\nSLURM_JOB_NAME=mine\n\
                      SLURM_NTASKS=2\nSLURM_X=a 'b'; c\n";
        let all: Vec<_> = all.collect();
        let check = |path: &std::ffi::OsStr, joins: &str| {
            let said = runs(path, joins);
            let text = String::from_utf8_lossy(&said.stdout);
            assert_eq!(text, expect, "{}", String::from_utf8_lossy(&said.stderr));
        };
        // The one that was in the wrapper's path, or the next in the script's own.
        check(&path(&["ours", "tools"]), &joins(all.clone().into_iter(), &mark, Some(real)));
        assert!(mark.exists(), "it leaves word that it was used");
        check(&path(&["ours", "real", "tools"]), &joins(all.clone().into_iter(), &mark, None));
        // Where no word can be left it runs all the same.
        let nowhere = dir.path().join("gone/used");
        check(&path(&["ours", "real", "tools"]), &joins(all.into_iter(), &nowhere, None));
    }
}

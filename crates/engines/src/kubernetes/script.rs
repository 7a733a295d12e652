//! From a launch to the shell script that its pod runs, and what else is run in a pod. Pure.
//!
//! A batch's scripts are the keys of one Secret, and each pod sees its own alone: commands and
//! environments, which may hold secrets, stand in no job and no pod. The image must have a
//! `/bin/sh`, as `run:` lines need one anyhow.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Launch, Program, Workdir, command};

/// Where the pod finds its script.
pub(crate) const SCRIPT: &str = "/dayan/launch";
/// Where its folder is: as in containers of podman and docker.
pub(crate) const WORK: &str = "/work";

/// What a visit begins with: the words are the script, the visit's mark, the kind of its terminal, and
/// the command.
pub(crate) const ENTER: &str = "launch=$1; DAYAN_VISIT=$2; export DAYAN_VISIT
[ -z \"$3\" ] || { TERM=$3; export TERM; }
shift 3; exec /bin/sh \"$launch\" \"$@\"";

/// Sends a signal (`$2`) to every process whose environment has the mark (`$1`), or to those of them
/// only that catch it (`$3`: `caught`), by what the kernel says in `/proc`. A shell and nothing else:
/// images need have no more.
pub(crate) const MARKED: &str = "mark=$1; number=$2; how=$3
for at in /proc/[0-9]*; do
  found=; line=
  while IFS= read -r line || [ -n \"$line\" ]; do
    case $line in *\"$mark\"*) found=1 ;; esac; line=
  done 2>/dev/null < \"$at/environ\"
  [ -n \"$found\" ] || continue
  if [ \"$how\" = caught ]; then
    caught=
    while read -r key value rest; do
      [ \"$key\" != SigCgt: ] || caught=$value
    done 2>/dev/null < \"$at/status\"
    [ -n \"$caught\" ] || continue
    [ $(( 0x${caught#????????} >> (number - 1) & 1 )) = 1 ] || continue
  fi
  kill -\"$number\" \"${at#/proc/}\" 2>/dev/null
done; exit 0";

/// What a script says on standard error when the working folder cannot be entered. It is said to people:
/// a task can print the same, so that nothing follows from it.
const NO_WORKDIR: &str = "dayan: no working folder: ";
/// The status that it ends with then, as a shell's own.
const NO_WORKDIR_STATUS: i32 = 126;

/// Quotes a word for `/bin/sh`.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The path inside of one that may be in the attempt's folder.
fn inside(path: &str, folder: Option<&Path>) -> String {
    let outside = folder.map(Path::to_string_lossy);
    match outside.and_then(|outside| path.strip_prefix(outside.as_ref())) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{WORK}{rest}"),
        Some(_) | None => path.to_owned(),
    }
}

/// The script of a launch, `fence` being what marks its processes and `folder` where the attempt's own
/// lies on this machine, if it does. Told a command, it becomes that instead of the task. Refused where
/// a shell could not say it.
pub(crate) fn script(
    launch: &Launch,
    fence: &str,
    folder: Option<&Path>,
) -> Result<String, String> {
    let mut lines = beginning(launch, &launch.env, fence, folder, "\"$PWD\"")?;
    let workdir = match &launch.workdir {
        Workdir::At(path) => Workdir::At(inside(&path.to_string_lossy(), folder).into()),
        Workdir::Fresh => Workdir::Fresh,
    };
    match &workdir {
        Workdir::Fresh => {}
        // Inside of the pod's own folder.
        Workdir::At(path) if path.is_relative() => {
            lines.push(format!("mkdir -p {}", shown(path)));
            lines.push(enter(path));
        }
        Workdir::At(path) => lines.push(enter(path)),
    }
    // A visitor finds what the task finds.
    lines.push("[ $# = 0 ] || exec \"$@\"".to_owned());
    lines.push(match &launch.program {
        Program::Shell(line) => format!("exec /bin/sh -c {}", quoted(line)),
        Program::Argv(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!("exec {}", words.join(" "))
        }
    });
    whole(&lines)
}

/// What every script begins with: limits of the process, and the environment. `home` is the folder,
/// as a shell says it.
pub(super) fn beginning(
    launch: &Launch,
    env: &BTreeMap<String, String>,
    fence: &str,
    folder: Option<&Path>,
    home: &str,
) -> Result<Vec<String>, String> {
    let mut lines = vec!["umask 022".to_owned()];
    // What is not allowed to be set is the cluster's own limit then.
    lines.push(format!("ulimit -n {} 2>/dev/null", launch.limits.open_files));
    lines.push("ulimit -c 0 2>/dev/null".to_owned());
    // The cluster's own word, by which the pod found this script.
    lines.push("unset JOB_COMPLETION_INDEX".to_owned());
    lines.push(format!("export HOME={home} TMPDIR={home}"));
    lines.push(format!("export {}={}", command::FENCE_VARIABLE, quoted(fence)));
    for (name, value) in env {
        if !is_name(name) {
            return Err(format!("`{name}` is no name of a variable that a shell could set"));
        }
        lines.push(format!("export {name}={}", quoted(&inside(value, folder))));
    }
    Ok(lines)
}

/// A script of these lines. Refused where a shell could not read it.
pub(super) fn whole(lines: &[String]) -> Result<String, String> {
    let text = lines.join("\n") + "\n";
    if text.contains('\0') {
        return Err("a word of the command or its environment has a NUL in it".to_owned());
    }
    Ok(text)
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn enter(path: &Path) -> String {
    let folder = shown(path);
    format!(
        "cd {folder} 2>/dev/null || {{ printf '%s\\n' '{NO_WORKDIR}'{folder} >&2; exit \
         {NO_WORKDIR_STATUS}; }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, BootTime, Isolation, LeaseEnd, Limits};
    use dayan_units::{AttemptId, JobId};

    fn launch(program: Program) -> Launch {
        Launch {
            attempt: AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 },
            program,
            env: [("A".to_owned(), "it's".to_owned())].into(),
            workdir: Workdir::Fresh,
            limits: Limits::default(),
            lease_end: LeaseEnd { boot: BootId(1), at: BootTime::NEVER },
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: None,
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: std::collections::BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        }
    }

    fn ran(launch: &Launch) -> (i32, String, String) {
        let script = script(launch, "f", None).expect("a shell can say it");
        let dir = tempfile::tempdir().expect("a folder");
        let mut sh = std::process::Command::new("/bin/sh");
        let said = sh.args(["-c", &script]).current_dir(dir.path()).output().expect("runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (said.status.code().expect("no signal"), text(said.stdout), text(said.stderr))
    }

    #[test]
    fn a_shell_runs_it_as_it_was_meant() {
        let line = "printf %s \"$A $DAYAN_FENCE\"; [ \"$HOME\" = \"$PWD\" ]";
        let (status, out, _) = ran(&launch(Program::Shell(line.to_owned())));
        assert_eq!((status, out.as_str()), (0, "it's f"));
        let words = ["printf", "<%s>", "", " a  b ", "line\nbreak", "\"q'u\\o$te*", "算力"];
        let argv = Program::Argv(words.iter().map(|word| (*word).to_owned()).collect());
        let (status, out, _) = ran(&launch(argv));
        assert_eq!((status, out.as_str()), (0, "<>< a  b ><line\nbreak><\"q'u\\o$te*><算力>"));
    }

    #[test]
    fn folders_are_entered_or_missing() {
        let pwd = || launch(Program::Shell("pwd".to_owned()));
        let at = |path: &str| Launch { workdir: Workdir::At(path.into()), ..pwd() };
        assert_eq!(ran(&at("/usr")).1, "/usr\n");
        assert!(ran(&at("sub/folder")).1.ends_with("/sub/folder\n"));
        let (status, _, said) = ran(&at("/no/such"));
        assert_eq!((status, said), (NO_WORKDIR_STATUS, format!("{NO_WORKDIR}/no/such\n")));
    }

    #[test]
    fn what_lies_in_the_folder_is_named_as_the_pod_sees_it() {
        let mut task = launch(Program::Shell("true".to_owned()));
        let folder = Path::new("/srv/a/1.1");
        task.workdir = Workdir::At(folder.join("sub"));
        task.env.insert("CKPT".to_owned(), "/srv/a/1.1/ckpt".to_owned());
        task.env.insert("OTHER".to_owned(), "/srv/a/1.10".to_owned());
        let text = script(&task, "f", Some(folder)).expect("a shell can say it");
        assert!(text.contains("export CKPT='/work/ckpt'"), "{text}");
        assert!(text.contains("export OTHER='/srv/a/1.10'"), "{text}");
        assert!(text.contains("cd '/work/sub'"), "{text}");
    }

    #[test]
    fn a_visitor_finds_what_the_task_finds() {
        let text = script(&launch(Program::Shell("exit 9".to_owned())), "f", None).expect("said");
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("launch");
        std::fs::write(&file, text).expect("written");
        let command = ["sh", "-c", "echo $A $DAYAN_VISIT $TERM; exit 3"];
        let mut sh = std::process::Command::new("/bin/sh");
        sh.args(["-c", ENTER, "sh"]).arg(&file).args(["m", "xterm"]).args(command);
        let said = sh.output().expect("runs");
        assert_eq!(said.status.code(), Some(3));
        assert_eq!(String::from_utf8_lossy(&said.stdout), "it's m xterm\n");
    }

    #[test]
    fn a_signal_reaches_who_bears_the_mark_and_catches_it() {
        use std::io::BufRead;
        let mark = format!("TEST_MARK={}-{}", std::process::id(), "signal");
        let (name, value) = mark.split_once('=').expect("both");
        let start = |line: &str, name: &str| {
            let mut sh = std::process::Command::new("/bin/sh");
            sh.args(["-c", line]).env(name, value).stdout(std::process::Stdio::piped());
            let mut child = sh.spawn().expect("runs");
            let mut out = std::io::BufReader::new(child.stdout.take().expect("piped"));
            let mut said = String::new();
            out.read_line(&mut said).expect("it says that it is there");
            (child, out)
        };
        let trap = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.02; done";
        let (mut catches, _) = start(trap, name);
        let (mut does_not, _) = start("echo ready; while :; do sleep 0.02; done", name);
        let (mut is_not_of_it, _) = start(trap, "OTHER_MARK");
        let send = |how: &str, number: &str| {
            let mut sh = std::process::Command::new("/bin/sh");
            sh.args(["-c", MARKED, "sh", &mark, number, how]).env_remove(name);
            assert!(sh.status().expect("runs").success());
        };
        send("caught", "10");
        assert_eq!(catches.wait().expect("ended").code(), Some(5));
        assert_eq!(does_not.try_wait().expect("ours"), None, "it would have died of it");
        send("all", "9");
        does_not.wait().expect("ended");
        assert_eq!(is_not_of_it.try_wait().expect("ours"), None);
        is_not_of_it.kill().expect("ours");
        is_not_of_it.wait().expect("ended");
    }

    #[test]
    fn what_a_shell_cannot_say_is_refused() {
        let mut odd = launch(Program::Shell("true".to_owned()));
        odd.env.insert("a-b".to_owned(), String::new());
        assert!(script(&odd, "f", None).expect_err("no name").contains("a-b"));
        let nul = launch(Program::Argv(vec!["printf".to_owned(), "a\0b".to_owned()]));
        assert!(script(&nul, "f", None).is_err());
    }
}

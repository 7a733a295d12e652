//! From a launch to the shell script that its pod runs. Pure.
//!
//! A batch's scripts are the keys of one Secret, and each pod sees its own alone: commands and
//! environments, which may hold secrets, stand in no job and no pod. The image must have a
//! `/bin/sh`, as `run:` lines need one anyhow.

use std::path::Path;

use crate::{Launch, Program, Workdir, command};

/// What a script says on standard error, and the pod's status with it, when the working folder
/// cannot be entered.
pub(crate) const NO_WORKDIR: &str = "dayan: no working folder: ";
/// The status it ends with then.
pub(crate) const NO_WORKDIR_STATUS: i32 = 126;

/// Quotes a word for `/bin/sh`.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The script of a launch, `fence` being what marks its processes. Refused where a shell could not
/// say it.
pub(crate) fn script(launch: &Launch, fence: &str) -> Result<String, String> {
    let mut lines = vec!["umask 022".to_owned()];
    // What is not allowed to be set is the cluster's own limit then.
    lines.push(format!("ulimit -n {} 2>/dev/null", launch.limits.open_files));
    lines.push("ulimit -c 0 2>/dev/null".to_owned());
    // The cluster's own word, by which the pod found this script.
    lines.push("unset JOB_COMPLETION_INDEX".to_owned());
    lines.push("export HOME=\"$PWD\" TMPDIR=\"$PWD\"".to_owned());
    lines.push(format!("export {}={}", command::FENCE_VARIABLE, quoted(fence)));
    for (name, value) in &launch.env {
        if !is_name(name) {
            return Err(format!("`{name}` is no name of a variable that a shell could set"));
        }
        lines.push(format!("export {name}={}", quoted(value)));
    }
    match &launch.workdir {
        Workdir::Fresh => {}
        // Inside of the pod's own folder.
        Workdir::At(path) if path.is_relative() => {
            lines.push(format!("mkdir -p {}", folder(path)));
            lines.push(enter(path));
        }
        Workdir::At(path) => lines.push(enter(path)),
    }
    lines.push(match &launch.program {
        Program::Shell(line) => format!("exec /bin/sh -c {}", quoted(line)),
        Program::Argv(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!("exec {}", words.join(" "))
        }
    });
    let text = lines.join("\n") + "\n";
    if text.contains('\0') {
        return Err("a word of the command or its environment has a NUL in it".to_owned());
    }
    Ok(text)
}

fn folder(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn enter(path: &Path) -> String {
    let folder = folder(path);
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
        }
    }

    fn ran(launch: &Launch) -> (i32, String, String) {
        let script = script(launch, "f").expect("a shell can say it");
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
    fn what_a_shell_cannot_say_is_refused() {
        let mut odd = launch(Program::Shell("true".to_owned()));
        odd.env.insert("a-b".to_owned(), String::new());
        assert!(script(&odd, "f").expect_err("no name").contains("a-b"));
        let nul = launch(Program::Argv(vec!["printf".to_owned(), "a\0b".to_owned()]));
        assert!(script(&nul, "f").is_err());
    }
}

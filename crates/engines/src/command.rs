//! From what a launch asks for to what the kernel wants: arguments, paths to try, environment.
//!
//! Invariant: a `run:` line is executed without a shell only if a shell would do nothing but
//! split it at its spaces. Pure: looks at no file.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{Devices, Isolation, Network, Program};

/// Where programs are looked for when the launch does not say.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What reads a line.
pub(crate) const SHELL: &str = "/bin/sh";

/// The variable that marks every process of a task: which keeper, which attempt.
pub(crate) const FENCE_VARIABLE: &str = "DAYAN_FENCE";

/// Words a POSIX shell treats as its own in the first place. `true`, `false` and the like are in
/// it where the shell's and the program's behaviour can differ.
const SHELL_WORDS: &[&str] = &[
    ".", ":", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare",
    "do", "done", "echo", "elif", "else", "esac", "eval", "exec", "exit", "export", "fc", "fg",
    "fi", "for", "function", "getopts", "hash", "if", "in", "jobs", "kill", "let", "local",
    "printf", "pwd", "read", "readonly", "return", "select", "set", "shift", "source", "test",
    "then", "time", "times", "trap", "type", "typeset", "ulimit", "umask", "unalias", "unset",
    "until", "wait", "while",
];

/// The words of a line that needs no shell, `None` if it does.
fn plain_words(line: &str) -> Option<Vec<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _./:,+@%-=".contains(c);
    if !line.chars().all(plain) {
        return None;
    }
    let words: Vec<String> = line.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let first = words.first()?;
    // `NAME=value program` sets a variable.
    (!first.contains('=') && !SHELL_WORDS.contains(&first.as_str())).then_some(words)
}

/// The arguments to execute, the program's name first. Never empty.
pub(crate) fn arguments(program: &Program) -> Result<Vec<String>, String> {
    match program {
        Program::Argv(argv) if argv.first().is_none_or(String::is_empty) => {
            Err("the command is empty".to_owned())
        }
        Program::Argv(argv) => Ok(argv.clone()),
        Program::Shell(line) => Ok(plain_words(line)
            .unwrap_or_else(|| vec![SHELL.to_owned(), "-c".to_owned(), line.clone()])),
    }
}

/// Puts bubblewrap before the arguments.
///
/// The order matters: what comes later lies over what came before, so that a folder stays writable
/// inside of one that is hidden.
pub(crate) fn isolated(
    isolation: &Isolation,
    bubblewrap: &Path,
    folders: Folders<'_>,
    argv: Vec<String>,
) -> Vec<String> {
    let Isolation::Bubblewrap { network, devices, hidden } = isolation else { return argv };
    let bubblewrap = bubblewrap.to_string_lossy();
    let mut wrapped: Vec<String> = Vec::with_capacity(48 + argv.len());
    let mut add = |words: &[&str]| wrapped.extend(words.iter().map(|word| (*word).to_owned()));
    add(&[&bubblewrap, "--ro-bind", "/", "/", "--proc", "/proc", "--tmpfs", "/tmp"]);
    match devices {
        Devices::Basic => add(&["--dev", "/dev"]),
        Devices::Machine => add(&["--dev-bind", "/dev", "/dev"]),
    }
    for folder in hidden {
        add(&["--tmpfs", &folder.to_string_lossy()]);
    }
    for folder in [folders.attempt, folders.workdir] {
        let folder = folder.to_string_lossy();
        add(&["--bind", &folder, &folder]);
    }
    add(&["--chdir", &folders.workdir.to_string_lossy()]);
    add(&["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]);
    // Of no effect but for root, who would otherwise make the root writable again.
    add(&["--cap-drop", "ALL"]);
    match network {
        Network::Host => {}
        Network::None => add(&["--unshare-net"]),
    }
    add(&["--"]);
    wrapped.extend(argv);
    wrapped
}

/// Where a task may write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folders<'a> {
    /// The attempt's own.
    pub attempt: &'a Path,
    /// Where it starts: that one, or one inside of it, or one the launch names.
    pub workdir: &'a Path,
}

/// The files to try for a program, as `execvp` would, in the task's own `PATH`.
pub(crate) fn candidates(program: &str, path: &str) -> Result<Vec<CString>, NulError> {
    if program.contains('/') {
        return Ok(vec![CString::new(program)?]);
    }
    path.split(':')
        .map(|folder| match folder {
            "" => CString::new(format!("./{program}")),
            folder => CString::new(format!("{folder}/{program}")),
        })
        .collect()
}

/// The environment of a task, `NAME=value`: what the launch gives and nothing of ours but the
/// basics it leaves open and the fence.
pub(crate) fn environment(
    given: &BTreeMap<String, String>,
    workdir: &Path,
    fence: &str,
) -> Result<Vec<CString>, NulError> {
    let mut env: Vec<CString> = Vec::with_capacity(given.len() + 4);
    for (name, value) in given {
        if name != FENCE_VARIABLE {
            env.push(CString::new(format!("{name}={value}"))?);
        }
    }
    let folder = workdir.as_os_str().as_bytes();
    for (name, value) in [("PATH", DEFAULT_PATH.as_bytes()), ("HOME", folder), ("TMPDIR", folder)] {
        if !given.contains_key(name) {
            env.push(CString::new([name.as_bytes(), b"=", value].concat())?);
        }
    }
    env.push(CString::new(format!("{FENCE_VARIABLE}={fence}"))?);
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_used_exactly_where_it_means_something() {
        let check = |line: &str, expect: &[&str]| {
            assert_eq!(arguments(&Program::Shell(line.to_owned())).expect(line), expect);
        };
        check("/bin/true", &["/bin/true"]);
        check("sleep  10 ", &["sleep", "10"]);
        check("blender -b a/b.blend --x=3", &["blender", "-b", "a/b.blend", "--x=3"]);
        for shell in [
            "echo hi", "a | b", "a && b", "a; b", "A=1 b", "a $B", "a 'b c'", "a > b", "cd x",
            "a *", "a ~/b", "a #b", "exit 3", "", "  ", "a\nb", "a\tb", "程序", "a \\ b", "! a",
            "(a)",
        ] {
            check(shell, &["/bin/sh", "-c", shell]);
        }
        assert!(arguments(&Program::Argv(vec![])).is_err());
        assert!(arguments(&Program::Argv(vec![String::new()])).is_err());
    }

    #[test]
    fn the_environment_is_the_launchs_and_the_basics() {
        let given = BTreeMap::from([
            ("A".to_owned(), "b c\nd".to_owned()),
            ("HOME".to_owned(), "/h".to_owned()),
            (FENCE_VARIABLE.to_owned(), "forged".to_owned()),
        ]);
        let env = environment(&given, Path::new("/w"), "k:a").expect("no NUL");
        let text: Vec<_> = env.iter().map(|e| e.to_str().expect("text")).collect();
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(text, ["A=b c\nd", "HOME=/h", &path, "TMPDIR=/w", "DAYAN_FENCE=k:a"]);
        let bad = BTreeMap::from([("A".to_owned(), "\0".to_owned())]);
        assert!(environment(&bad, Path::new("/w"), "k").is_err());
    }

    #[test]
    fn programs_are_looked_up_as_execvp_does() {
        let check = |program: &str, path: &str, expect: &[&str]| {
            let found = candidates(program, path).expect("no NUL");
            let text: Vec<_> = found.iter().map(|c| c.to_str().expect("text")).collect();
            assert_eq!(text, expect);
        };
        check("/bin/true", "/x", &["/bin/true"]);
        check("./a", "/x", &["./a"]);
        check("a", "/x:/y", &["/x/a", "/y/a"]);
        check("a", ":/y", &["./a", "/y/a"]);
    }
}

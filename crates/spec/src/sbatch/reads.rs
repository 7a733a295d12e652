//! Which variables of the submitter's environment a shell script reads: with Slurm they come along, here
//! only what is named does, and whoever submits should hear of it.
//!
//! A guess from the text, good enough for a warning and for nothing more. Must not know options.

use std::collections::BTreeSet;

/// Interpreters whose variables are written with a dollar sign.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ksh", "zsh", "ash"];
/// Set on every machine, or by the shell itself.
const EVERYWHERE: [&str; 20] = [
    "HOME", "HOSTNAME", "HOSTTYPE", "IFS", "LANG", "LANGUAGE", "LOGNAME", "MACHTYPE", "OLDPWD",
    "OSTYPE", "PATH", "PPID", "PS1", "PWD", "RANDOM", "SHELL", "TERM", "TMPDIR", "UID", "USER",
];
/// Begins of names that belong to whoever runs the task.
const OF_THE_SITE: [&str; 6] =
    ["SLURM", "SBATCH_", "DAYAN_", "BASH", "LC_", "CUDA_VISIBLE_DEVICES"];

/// Does this program read a script as a shell does?
pub(super) fn is_shell(program: &str, argument: Option<&str>) -> bool {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let program = match last(program).as_str() {
        // `#!/usr/bin/env bash`
        "env" => last(argument.unwrap_or_default().split(' ').next().unwrap_or_default()),
        other => other.to_owned(),
    };
    SHELLS.contains(&program.as_str())
}

/// Names that the script reads and does not set itself.
pub(super) fn reads(script: &str) -> BTreeSet<&str> {
    let mut read = BTreeSet::new();
    let mut set = BTreeSet::new();
    for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
        read.extend(line.split('$').skip(1).filter_map(|rest| {
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            Some(name(rest)).filter(|name| !name.is_empty())
        }));
        let mut before = "";
        for word in line.split([' ', '\t', ';', '(', '&', '|']) {
            let name = name(word);
            let rest = &word[name.len()..];
            if rest.starts_with('=') || rest.starts_with("+=") || rest.starts_with('[') {
                set.insert(name);
            }
            if ["for", "select"].contains(&before) {
                set.insert(name);
            }
            before = word;
        }
        for (at, _) in line.match_indices("read ") {
            set.extend(line[at + "read ".len()..].split_whitespace().map(name));
        }
    }
    let of_others = |name: &str| {
        EVERYWHERE.contains(&name) || OF_THE_SITE.iter().any(|begin| name.starts_with(begin))
    };
    read.into_iter().filter(|name| !set.contains(name) && !of_others(name)).collect()
}

/// The name that a text begins with; empty where it begins with none.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins { &text[..end] } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_and_not_set() {
        let check = |script: &str, expect: &[&str]| {
            assert_eq!(reads(script).into_iter().collect::<Vec<_>>(), expect, "{script}");
        };
        check("echo $N ${M:-4} \"$HOME\" $1 $? $$", &["M", "N"]);
        check("N=4\necho $N; M=$(nproc) run $M", &[]);
        check("export N=$SLURM_NTASKS\nrun $N $OMP_NUM_THREADS", &["OMP_NUM_THREADS"]);
        check("for i in 1 2; do echo $i; done", &[]);
        check("while read -r a b; do echo $a $b; done", &[]);
        check("# $COMMENT\narr[0]=1; n+=2; echo ${arr[0]} $n", &[]);
        check("awk '{print $1, $NF}' x", &["NF"]);
    }

    #[test]
    fn what_is_a_shell() {
        for (program, argument, shell) in [
            ("/bin/bash", Some("-l"), true),
            ("/usr/bin/env", Some("bash"), true),
            ("/usr/bin/env", Some("python3"), false),
            ("/usr/bin/python3", None, false),
        ] {
            assert_eq!(is_shell(program, argument), shell, "{program} {argument:?}");
        }
    }
}

//! The text that a task runs: it sets the variables that scripts for Slurm read, puts the script
//! into a file as it is, and hands it to the interpreter of its first line.
//!
//! Invariant: the script reaches its interpreter byte for byte, and nothing in it or in a value is
//! read by the shell around it. Must not know options.

use std::fmt::Write as _;

use super::pattern::Target;

/// The file in the working folder that holds the script while it runs.
const SCRIPT_FILE: &str = ".slurm_script";

/// What a task runs, and how.
#[derive(Debug, Default)]
pub(super) struct Launch<'a> {
    pub(super) script: &'a str,
    pub(super) arguments: &'a [String],
    /// Variables of Slurm that are known when the job is submitted, set where no Slurm has set them.
    pub(super) known: Vec<(&'static str, String)>,
    /// Are the elements of the array listed, because they have no common step? Then the task's
    /// number says which of the list it is.
    pub(super) listed: bool,
    /// First, last, step and number of the elements, where there is an array.
    pub(super) array: Option<[u64; 4]>,
    pub(super) output: Option<Target>,
    pub(super) error: Option<Target>,
}

/// A text as one word of a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The interpreter of the first line and the one argument it may have, as the kernel reads them.
pub(super) fn interpreter(script: &str) -> Option<(&str, Option<&str>)> {
    let line = script.strip_prefix("#!")?.lines().next()?.trim();
    let (program, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    (!program.is_empty()).then_some((program, argument))
}

/// The text for `sh -c`. None where the script names no interpreter.
pub(super) fn text(launch: &Launch<'_>) -> Option<String> {
    let (program, argument) = interpreter(launch.script)?;
    let mut out = String::with_capacity(launch.script.len() + 2_000);
    variables(&mut out, launch);
    // Quoted, not as a here-document: dash loses bytes of lines that begin like its end mark.
    // Writing to a text cannot fail.
    let _ = writeln!(out, "printf %s {} > {SCRIPT_FILE} || exit 126", quoted(launch.script));
    // Scripts that start themselves again; the interpreter below does not need it.
    let _ = writeln!(out, "chmod 700 {SCRIPT_FILE} 2>/dev/null || :");
    let mut command = quoted(program);
    for word in argument.iter().copied() {
        let _ = write!(command, " {}", quoted(word));
    }
    let _ = write!(command, " \"$PWD/{SCRIPT_FILE}\"");
    for word in launch.arguments {
        let _ = write!(command, " {}", quoted(word));
    }
    redirected(&mut out, &command, launch);
    Some(out)
}

/// Variables of the task. Where the task runs inside a real Slurm job, those by which Slurm's own
/// commands find their job stay as they are.
fn variables(out: &mut String, launch: &Launch<'_>) {
    // An older agent does not number jobs; the id will do as a text.
    out.push_str("_n=${DAYAN_JOB_NUMBER:-$DAYAN_JOB}\n_j=$_n\n");
    if let Some([first, last, step, count]) = launch.array {
        if launch.listed {
            let list = super::LIST_VARIABLE;
            let _ = writeln!(out, "_e=$(echo \"${list}\" | cut -d, -f$((DAYAN_TASK + 1)))");
        } else {
            out.push_str("_e=$DAYAN_ARRAY_FIRST\n");
        }
        // As `element_number` has it; what is no number, or does not fit, stays a text.
        let (bits, least) = (super::ELEMENT_BITS, super::FIRST_OF_ELEMENTS >> super::ELEMENT_BITS);
        let _ = writeln!(
            out,
            "_j=${{_n}}_$_e\ncase $_n in *[!0-9]*) ;; *) if [ \"$_n\" -ge {least} ] && \
             [ \"$_e\" -lt {most} ]; then _j=$(((_n << {bits}) + _e)); fi ;; esac",
            most = 1_u32 << bits,
        );
        let _ = writeln!(
            out,
            "export SLURM_ARRAY_JOB_ID=\"$_n\" SLURM_ARRAY_TASK_ID=\"$_e\" \
             SLURM_ARRAY_TASK_MIN={first} SLURM_ARRAY_TASK_MAX={last} \
             SLURM_ARRAY_TASK_STEP={step} SLURM_ARRAY_TASK_COUNT={count}"
        );
    }
    out.push_str("if [ -z \"${SLURM_JOB_ID:-}\" ]; then\n");
    out.push_str("export SLURM_JOB_ID=\"$_j\" SLURM_JOBID=\"$_j\"\n");
    out.push_str(
        "export SLURM_JOB_NODELIST=\"$DAYAN_NODELIST\" SLURM_NODELIST=\"$DAYAN_NODELIST\" \
         SLURM_NODEID=\"$DAYAN_NODE_RANK\" SLURM_CPUS_ON_NODE=\"$DAYAN_CPUS\" \
         SLURM_JOB_CPUS_PER_NODE=\"$DAYAN_CPUS\"\n\
         _d=$(echo \"${DAYAN_NODELIST:-}\" | cut -d, -f$((${DAYAN_NODE_RANK:-0} + 1)) 2>/dev/null)\n\
         export SLURMD_NODENAME=\"${_d:-$(uname -n 2>/dev/null)}\"\n",
    );
    out.push_str(
        "export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_CLUSTER_NAME=dayan \
         SLURM_RESTART_COUNT=$((DAYAN_ATTEMPT - 1))\n",
    );
    // Whom it runs as there. A user without a name goes by its number.
    out.push_str(
        "SLURM_JOB_USER=$(id -un 2>/dev/null || id -u 2>/dev/null)\n\
         export SLURM_JOB_USER SLURM_JOB_UID=\"$(id -u 2>/dev/null)\" SLURM_JOB_GID=\"$(id -g 2>/dev/null)\" \
         SLURM_JOB_PARTITION=\"${DAYAN_POOL:-}\" SLURM_JOB_QOS=normal SLURM_SUBMIT_HOST=\"$(uname -n 2>/dev/null)\"\n",
    );
    for (name, value) in &launch.known {
        let _ = writeln!(out, "export {name}={}", quoted(value));
    }
    // Data lands in the working folder: it is what the folder of submission is elsewhere.
    out.push_str("fi\nexport SLURM_SUBMIT_DIR=\"$PWD\"\n");
    // As Slurm's own jobs have them, where the pool says nothing else.
    out.push_str(
        "USER=\"${USER:-$SLURM_JOB_USER}\"; LOGNAME=\"${LOGNAME:-$USER}\"\n\
         export USER LOGNAME SHELL=\"${SHELL:-/bin/sh}\" ENVIRONMENT=BATCH\n",
    );
}

/// The command with its streams: the exchange keeps both, and what was asked for is also written
/// into files of the working folder. Without files the shell becomes the interpreter, so that
/// signals and exit status are its own.
fn redirected(out: &mut String, command: &str, launch: &Launch<'_>) {
    let file = |target: &Option<Target>| match target {
        Some(Target::File(pattern)) => Some(pattern.clone()),
        Some(Target::Nowhere) | None => None,
    };
    let nowhere = |target: &Option<Target>| matches!(target, Some(Target::Nowhere));
    let (output, error) = (file(&launch.output), file(&launch.error));
    let closed = match (nowhere(&launch.output), nowhere(&launch.error), &launch.error) {
        (true, _, None) => " >/dev/null 2>&1",
        (true, true, _) => " >/dev/null 2>/dev/null",
        (true, false, Some(_)) => " >/dev/null",
        (false, true, _) => " 2>/dev/null",
        (false, false, _) => "",
    };
    if output.is_none() && error.is_none() {
        let _ = writeln!(out, "exec {command} </dev/null{closed}");
        return;
    }
    let mut set = |name: &str, word: &str| {
        let _ = writeln!(out, "{name}={word}\nmkdir -p \"$(dirname \"${name}\")\"");
    };
    if let Some(word) = &output {
        set("_o", word);
    }
    if let Some(word) = &error {
        set("_r", word);
    }
    // Descriptor 3 carries the status past the pipes, 4 the output of the task.
    let run = format!("{{ {command} </dev/null{closed} 3>&- 4>&-; echo $? >&3; }}");
    let piped = match (&output, &error) {
        // One file for both, as Slurm does where only the output is named.
        (Some(_), None) if launch.error.is_none() => format!("{run} 2>&1 | tee \"$_o\" >&4"),
        (Some(_), None) => format!("{run} | tee \"$_o\" >&4"),
        (None, Some(_)) => format!("{{ {run} 2>&1 >&4 | tee \"$_r\" >&2; }}"),
        (Some(_), Some(_)) => {
            format!("{{ {run} | tee \"$_o\" >&4; }} 2>&1 | tee \"$_r\" >&2")
        }
        (None, None) => run,
    };
    let _ = writeln!(out, "exec 4>&1\n_s=$( {{ {piped}; }} 3>&1 )\nexit \"${{_s:-1}}\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        let check = |text: &str, expect: &str| assert_eq!(quoted(text), expect);
        check("a/b-c.d", "a/b-c.d");
        check("", "''");
        check("a b", "'a b'");
        check("it's $HOME", r"'it'\''s $HOME'");
    }

    #[test]
    fn interpreters() {
        let check = |line: &str, expect: Option<(&str, Option<&str>)>| {
            assert_eq!(interpreter(line), expect);
        };
        check("#!/bin/bash\nx", Some(("/bin/bash", None)));
        check("#! /bin/bash -l \n", Some(("/bin/bash", Some("-l"))));
        check("#!/usr/bin/env python3 -u", Some(("/usr/bin/env", Some("python3 -u"))));
        check("#!\n", None);
        check("echo", None);
    }
}

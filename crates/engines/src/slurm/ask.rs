//! Running a command of Slurm: with a limit on how long it may take, and in an environment of our
//! own, so that no `SBATCH_*` of who started the agent slips into a submission.
//!
//! Invariant: a command whose time is up is killed and reported as unanswered, never as refused.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dayan_units::Span;
use rustix::event::{PollFd, PollFlags, poll};

use crate::waker::timespec;
use crate::{BootClock, BootTime};

/// What an answer may have at most: a queue of 100,000 jobs is about 10 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Variables that the commands need; everything else of the agent's environment stays here.
const KEPT: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SLURM_CONF",
    "SLURM_JWT",
    "SLURM_CLUSTERS",
    "LD_LIBRARY_PATH",
    "TZ",
    "KRB5CCNAME",
];

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// The last thing it complained of.
    pub(crate) fn complaint(&self) -> String {
        let mut lines = self.err.lines().map(str::trim).filter(|line| !line.is_empty());
        let said = lines.next_back().unwrap_or_default();
        match (said, self.status) {
            ("", Some(status)) => format!("it ended with {status} and said nothing"),
            ("", None) => "a signal ended it".to_owned(),
            (said, _) => said.to_owned(),
        }
    }
}

/// A command in `PATH` that is none of ours: links to this program are called as Slurm's commands are, and
/// would hand what is Slurm's to the exchange. One that is not found is looked for by its name alone.
fn of_slurm(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    first_of(std::env::split_paths(&path), name, own.as_deref())
}

fn first_of(folders: impl Iterator<Item = PathBuf>, name: &str, own: Option<&Path>) -> PathBuf {
    let is_others = |program: &PathBuf| {
        let real = std::fs::canonicalize(program).ok();
        program.is_file() && real.is_some() && real.as_deref() != own
    };
    let mut found = folders.map(|folder| folder.join(name));
    found.find(is_others).unwrap_or_else(|| PathBuf::from(name))
}

/// Where the commands are and how long they may take.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub clock: BootClock,
    /// Their folder, where they are not in `PATH`.
    pub commands: Option<PathBuf>,
    pub within: Span,
}

impl Asker {
    /// Runs one to its end. `Err` where there is no answer, with the reason: it could not be
    /// started, or took too long.
    pub(crate) fn ask(&self, name: &str, words: &[String], input: &str) -> Result<Answer, String> {
        let program = self.commands.as_ref().map_or_else(|| of_slurm(name), |dir| dir.join(name));
        let mut command = Command::new(&program);
        command.args(words).env_clear();
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // Words of ours in their answers; and index expressions in full (squeue shortens them).
        command.env("LC_ALL", "C").env("SLURM_BITSTR_LEN", "0").env("SLURM_TIME_FORMAT", "%s");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.absent(name, &program, &error))?;
        let until = self.clock.now().plus(self.within);
        let outcome = self.talk(&mut child, input, until);
        if outcome.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        let [out, err] = outcome.map_err(|why| format!("{}: {why}", self.asked(name, words)))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { status: status.code(), out: text(out), err: text(err) })
    }

    /// Why a command could not be started, and what would help.
    fn absent(&self, name: &str, program: &Path, error: &std::io::Error) -> String {
        let program = program.display();
        match (error.kind(), &self.commands) {
            (std::io::ErrorKind::NotFound, None) if name != "id" => format!(
                "slurm.commands: there is no `{program}` in PATH; install Slurm's client commands (Debian: \
                 slurm-client), put their folder into the agent's PATH, or use slurmrestd by --slurm-rest"
            ),
            _ => format!("{program}: {error}"),
        }
    }

    /// What was asked, and by which configuration: where that names no controller that answers, the
    /// command waits and says nothing.
    fn asked(&self, name: &str, words: &[String]) -> String {
        let what: Vec<&str> = words.iter().map(String::as_str).take(3).collect();
        let what = format!("{name} {}", what.join(" "));
        match std::env::var_os("SLURM_CONF") {
            None => {
                format!("`{what}` (SLURM_CONF is not set: /etc/slurm/slurm.conf or the site's own)")
            }
            Some(path) => {
                let path = Path::new(&path);
                let why = match std::fs::File::open(path) {
                    Ok(_) => String::new(),
                    Err(error) => format!(", which cannot be read: {error}"),
                };
                format!("`{what}` with SLURM_CONF={}{why}", path.display())
            }
        }
    }

    fn talk(
        &self,
        child: &mut Child,
        input: &str,
        until: BootTime,
    ) -> Result<[Vec<u8>; 2], String> {
        if let Some(mut stdin) = child.stdin.take() {
            // A script of ours is far shorter than a pipe, so this does not wait; one who does not
            // read it says so in its own words.
            let _ = stdin.write_all(input.as_bytes());
        }
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let mut said = [Vec::new(), Vec::new()];
        let mut scratch = vec![0u8; 64 << 10];
        loop {
            let open = [out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)];
            let mut fds: Vec<PollFd<'_>> = open
                .into_iter()
                .flatten()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            if fds.is_empty() {
                return Ok(said);
            }
            let left = until.since(self.clock.now());
            if left <= Span::ZERO {
                return Err(format!("no answer within {}", self.within));
            }
            if poll(&mut fds, Some(&timespec(left))).is_err() {
                continue;
            }
            let mut ready =
                fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
            read_some(&mut out, &mut ready, &mut scratch, &mut said[0])?;
            read_some(&mut err, &mut ready, &mut scratch, &mut said[1])?;
        }
    }
}

fn read_some<R: Read>(
    from: &mut Option<R>,
    ready: &mut impl Iterator<Item = bool>,
    scratch: &mut [u8],
    into: &mut Vec<u8>,
) -> Result<(), String> {
    let Some(pipe) = from else { return Ok(()) };
    if !ready.next().unwrap_or(false) {
        return Ok(());
    }
    match pipe.read(scratch) {
        Ok(0) => *from = None,
        Ok(n) if into.len() + n > ANSWER_BYTES_MAX => {
            return Err("the answer is longer than anybody's queue".to_owned());
        }
        Ok(n) => into.extend_from_slice(&scratch[..n]),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error.to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(within: Span) -> Asker {
        let clock = BootClock::of_this_machine().expect("a boot id");
        Asker { clock, commands: Some("/bin".into()), within }
    }

    fn words(line: &str) -> Vec<String> {
        ["-c", line].map(str::to_owned).to_vec()
    }

    #[test]
    fn both_streams_and_the_status_are_the_answer() {
        let ask = asker(Span::from_secs(30));
        let got = ask.ask("sh", &words("cat; echo no >&2; exit 3"), "script").expect("an answer");
        assert_eq!(
            (got.status, got.out.as_str(), got.complaint().as_str()),
            (Some(3), "script", "no")
        );
        let sbatch = asker(Span::from_secs(30)).ask("sh", &words("env | grep -c SBATCH"), "");
        assert_eq!(sbatch.expect("an answer").out, "0\n");
    }

    #[test]
    fn links_to_this_program_are_not_slurms_commands() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = |name: &str| dir.path().join(name);
        for name in ["own", "links", "slurm"] {
            std::fs::create_dir(folder(name)).expect("made");
        }
        let own = folder("own").join("program");
        std::fs::write(&own, "").expect("written");
        std::os::unix::fs::symlink(&own, folder("links").join("sbatch")).expect("linked");
        let real = folder("slurm").join("sbatch");
        std::fs::write(&real, "").expect("written");
        let own = own.canonicalize().expect("it is there");
        let folders = || ["none", "links", "slurm"].map(folder).into_iter();
        assert_eq!(first_of(folders(), "sbatch", Some(&own)), real);
        assert_eq!(first_of(folders().take(2), "sbatch", Some(&own)), Path::new("sbatch"));
        assert_eq!(first_of(folders(), "squeue", Some(&own)), Path::new("squeue"));
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let ask = asker(Span::from_millis(200));
        let fault = ask.ask("sh", &words("exec sleep 60"), "").expect_err("it takes too long");
        assert!(fault.contains("`sh -c exec sleep 60`"), "{fault}");
        assert!(
            fault.contains("SLURM_CONF") && fault.ends_with("no answer within 200ms"),
            "{fault}"
        );
        assert!(ask.ask("no-such-command", &[], "").is_err());
        let in_path = Asker { commands: None, ..ask };
        let fault = in_path.ask("no-such-command", &[], "").expect_err("it is not there");
        assert!(fault.starts_with("slurm.commands:") && fault.contains("PATH"), "{fault}");
    }
}

//! A command beside a task of a cluster, as a program of its own: its standard streams, or its
//! terminal, are those of the command in the pod. The agent starts it as it starts any command beside
//! a task, and ends it in the same way.
//!
//! Invariant: whoever leaves takes the command along. A cluster lets what was begun in a pod go on
//! when the connection is cut, so a guard outlives this program for a moment and ends what is left.
//! It knows by the closing of a pipe that the program is gone, however that came.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::termios::{OptionalActions, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::beside::{self, In, NotRun, Of, Pipes, Terminal, Where};
use super::script::{ENTER, MARKED, SCRIPT};
use super::{Site, connect};
use crate::Fault;

/// What is read at once.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces on their way: who says more waits.
const UNSENT_MAX: usize = 16;
/// What a shell says of a program that cannot be executed.
const CANNOT_RUN: u8 = 126;
/// The variable that marks the processes of a visit.
const VISIT_VARIABLE: &str = "DAYAN_VISIT";
/// What a program that ends well tells its guard.
const WELL: &[u8] = b"well";

const USAGE: &str = "usage: kube-exec [--kubeconfig FILE] [--context NAME] --namespace NAME --pod NAME \
                     --container NAME --visit MARK [--terminal KIND | --guard] [-- COMMAND...]";

/// What it was called with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Call {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// What tells the visit's processes from all others of the pod.
    pub mark: String,
    /// The kind of terminal it is at.
    pub terminal: Option<String>,
    /// Is it the guard?
    pub guard: bool,
    pub command: Vec<String>,
}

impl Call {
    /// The words that say all of this to the program.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut say = |name: &str, value: OsString| words.extend([name.into(), value]);
        if let Some(path) = &self.kubeconfig {
            say("--kubeconfig", path.into());
        }
        if let Some(context) = &self.context {
            say("--context", context.into());
        }
        say("--namespace", (&self.namespace).into());
        say("--pod", (&self.pod).into());
        say("--container", (&self.container).into());
        say("--visit", (&self.mark).into());
        if let Some(kind) = &self.terminal {
            say("--terminal", kind.into());
        }
        if self.guard {
            words.push("--guard".into());
        }
        words.push("--".into());
        words.extend(self.command.iter().map(OsString::from));
        words
    }

    fn read(mut args: impl Iterator<Item = OsString>) -> Result<Self, Fault> {
        let usage = || Fault::Unsupported(USAGE.to_owned());
        let text = |word: OsString| word.into_string().map_err(|_| usage());
        let mut call = Self::default();
        while let Some(word) = args.next() {
            let mut value = || args.next().ok_or_else(usage);
            match word.to_str() {
                Some("--kubeconfig") => call.kubeconfig = Some(value()?.into()),
                Some("--context") => call.context = Some(text(value()?)?),
                Some("--namespace") => call.namespace = text(value()?)?,
                Some("--pod") => call.pod = text(value()?)?,
                Some("--container") => call.container = text(value()?)?,
                Some("--visit") => call.mark = text(value()?)?,
                Some("--terminal") => call.terminal = Some(text(value()?)?),
                Some("--guard") => call.guard = true,
                Some("--") => {
                    call.command = args.by_ref().map(text).collect::<Result<_, _>>()?;
                }
                Some(_) | None => return Err(usage()),
            }
        }
        let needed = [&call.namespace, &call.pod, &call.container, &call.mark];
        let whole = needed.into_iter().all(|word| !word.is_empty());
        if whole { Ok(call) } else { Err(usage()) }
    }

    fn site(&self) -> Site {
        Site {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            ..Site::default()
        }
    }

    fn place(&self) -> Where<'_> {
        Where { namespace: &self.namespace, pod: &self.pod, container: &self.container }
    }

    /// What is run in the pod: the task's own script, told to become the command where it would
    /// become the task.
    fn in_pod(&self) -> Vec<String> {
        let kind = self.terminal.clone().unwrap_or_default();
        let mut words = ["/bin/sh", "-c", ENTER, "sh", SCRIPT].map(str::to_owned).to_vec();
        words.extend([self.mark.clone(), kind]);
        words.extend(self.command.iter().cloned());
        words
    }
}

/// Runs the command that the arguments name, and says with what status it ended. Call it before any
/// thread is started.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<u8, Fault> {
    let call = Call::read(args)?;
    let runtime = super::lookout::runtime()?;
    let status = if call.guard {
        if was_left()? {
            runtime.block_on(end_what_is_left(&call))?;
        }
        0
    } else {
        let mut guard = start_guard(&call)?;
        let status = runtime.block_on(visit(&call))?;
        // It may be gone already; then nobody is left to be told.
        let _ = guard.write_all(WELL);
        status
    };
    runtime.shutdown_background();
    Ok(status)
}

/// Another of this program, which waits for this one's end; out of its group, so that what ends that
/// does not end it.
fn start_guard(call: &Call) -> Result<std::process::ChildStdin, Fault> {
    let failed = |error| Fault::io("starting a guard")(error);
    let guard = Call { guard: true, terminal: None, command: Vec::new(), ..call.clone() };
    let program = std::env::current_exe().map_err(failed)?;
    let own: Vec<OsString> = std::env::args_os().skip(1).collect();
    let before = own.iter().position(|word| word.to_str().is_some_and(|w| w.starts_with("--")));
    let mut child = Command::new(program)
        .args(&own[..before.unwrap_or(0)])
        .args(guard.words())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok(child.stdin.take().expect("it is piped"))
}

/// Waits until the program is gone. Did it go without a word?
fn was_left() -> Result<bool, Fault> {
    let mut said = Vec::new();
    std::io::stdin().read_to_end(&mut said).map_err(Fault::io("waiting for the visit's end"))?;
    Ok(said != WELL)
}

async fn end_what_is_left(call: &Call) -> Result<(), Fault> {
    let client = connect::client(&call.site()).await?;
    let (output, _nobody) = mpsc::channel(UNSENT_MAX);
    let pipes = Pipes { input: None, output, terminal: Terminal::No };
    let at = call.place();
    let words = marked(&format!("{VISIT_VARIABLE}={}", call.mark), 9, All::Yes);
    match beside::run(&client, &at, &words, pipes).await {
        Ok(_) | Err(NotRun::Gone(_)) => Ok(()),
        Err(NotRun::Failed(why)) => Err(Fault::Unreachable(why)),
    }
}

/// Is a signal for all processes, or for those only that catch it?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum All {
    Yes,
    Catching,
}

/// What is run in a pod to send a signal to the processes that bear a mark in their environment.
pub(crate) fn marked(mark: &str, number: i32, all: All) -> Vec<String> {
    let how = match all {
        All::Yes => "all",
        All::Catching => "caught",
    };
    let mut words = ["/bin/sh", "-c", MARKED, "sh"].map(str::to_owned).to_vec();
    words.extend([mark.to_owned(), number.to_string(), how.to_owned()]);
    words
}

async fn visit(call: &Call) -> Result<u8, Fault> {
    let client = connect::client(&call.site()).await?;
    let (tell, input) = mpsc::channel(UNSENT_MAX);
    let (output, mut said) = mpsc::channel::<(Of, Vec<u8>)>(UNSENT_MAX);
    let terminal = if call.terminal.is_some() && isatty(std::io::stdin()) {
        follow_terminal(tell.clone());
        Terminal::Yes
    } else {
        Terminal::No
    };
    // Reads until its input ends, or the program does.
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || feed(&tell))
        .map_err(Fault::io("starting a thread"))?;
    // What is written may have to wait; nothing else waits for it.
    let saying = tokio::task::spawn_blocking(move || {
        while let Some((of, bytes)) = said.blocking_recv() {
            let written = match of {
                Of::Stdout => put(std::io::stdout(), &bytes),
                Of::Stderr => put(std::io::stderr(), &bytes),
            };
            if written.is_err() {
                return;
            }
        }
    });
    let pipes = Pipes { input: Some(input), output, terminal };
    let at = call.place();
    let ended = beside::run(&client, &at, &call.in_pod(), pipes).await;
    // All of it has been said when how it ended has; the writer ends with its last word.
    let _ = saying.await;
    match ended {
        Ok(status) => Ok(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
        Err(NotRun::Gone(why) | NotRun::Failed(why)) => {
            let _ = put(std::io::stderr(), format!("dayan: {why}\n").as_bytes());
            Ok(CANNOT_RUN)
        }
    }
}

fn put(mut to: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn feed(tell: &mpsc::Sender<In>) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut input = std::io::stdin().lock();
    loop {
        let told = match input.read(&mut piece) {
            Ok(count) if count > 0 => tell.blocking_send(In::Bytes(piece[..count].to_vec())),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => {
                let _ = tell.blocking_send(In::End);
                return;
            }
        };
        if told.is_err() {
            return;
        }
    }
}

/// The terminal in the pod does what a terminal does; this one hands keys on as they are, and says
/// how large it is.
fn follow_terminal(tell: mpsc::Sender<In>) {
    let terminal = std::io::stdin();
    if let Ok(mut how) = tcgetattr(&terminal) {
        how.make_raw();
        // Where it cannot be set the keys are seen twice, no more.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &how);
    }
    tokio::spawn(async move {
        let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
        loop {
            if let Ok(size) = tcgetwinsize(std::io::stdin())
                && tell.send(In::Size(size.ws_col, size.ws_row)).await.is_err()
            {
                return;
            }
            if changed.recv().await.is_none() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_as_it_was_said() {
        let call = Call {
            kubeconfig: Some("/k".into()),
            context: Some("c".to_owned()),
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            container: "c".to_owned(),
            mark: "m".to_owned(),
            terminal: Some("xterm".to_owned()),
            guard: false,
            command: vec!["ls".to_owned(), "--".to_owned(), "-l".to_owned()],
        };
        assert_eq!(Call::read(call.words().into_iter()).expect("whole"), call);
        let guard = Call { guard: true, terminal: None, command: Vec::new(), ..call };
        assert_eq!(Call::read(guard.words().into_iter()).expect("whole"), guard);
        let bad = ["--pod", "p", "--namespace", "n"].map(OsString::from);
        assert!(Call::read(bad.into_iter()).is_err(), "it has no mark");
    }
}

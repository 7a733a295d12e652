//! Commands that people run beside their tasks: a socket to the exchange on one side, an ordinary
//! process on the other.
//!
//! The engine says how to get in; here it is only started, heard and fed. Invariant: whoever leaves
//! takes the command along, and the command's end is the last thing that is said.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dayan_engines::{EnterFault, Entrance, Session};
use dayan_units::AttemptId;
use dayan_wire::exec::{
    ExecAsk, ExecEnd, ExecStart, MESSAGE_BYTES_MAX, STDERR, STDIN, STDOUT, TerminalSize,
};
use dayan_wire::socket::{Message, Socket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use pty_process::{OwnedWritePty, Size};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};

use crate::link::Link;
use crate::runner::{Asking, Entered};

/// How long who asked may take to say what is to be run.
const START_WITHIN: Duration = Duration::from_secs(15);
/// How long what keeps a task apart may take to be set up, and how often that is looked at: it takes
/// milliseconds, on a node that is busy some hundred of them.
const SET_UP_WITHIN: Duration = Duration::from_secs(10);
const SET_UP_LOOK: Duration = Duration::from_millis(50);
/// Messages on their way to the exchange: a command that says more waits.
const UNSENT_MAX: usize = 16;
/// Proxies forget a silent connection after a minute.
const PING_EVERY: Duration = Duration::from_secs(20);
/// What a command has said before it ended is on its way by then; who it left behind holding its
/// pipes is not waited for.
const DRAIN_WITHIN: Duration = Duration::from_millis(500);
/// Ends a line of input at a terminal, and the input where the line is empty.
const END_OF_INPUT: u8 = 4;

/// Comes for who asked, runs their command and says how it ended.
pub(crate) async fn come(ask: ExecAsk, asking: Asking, link: Arc<Link>, token: Arc<str>) {
    let socket = match link.exec(&token, ask.id).await {
        Ok(socket) => socket,
        Err(fault) => {
            tracing::debug!(%fault, attempt = %ask.attempt, "nobody waits for a command any more");
            return;
        }
    };
    let (mut out, mut input) = socket.split();
    let end = match tokio::time::timeout(START_WITHIN, started(&mut input)).await {
        // It would be the task's own program to some engines.
        Ok(Some(start)) if start.command.is_empty() => {
            Some(refused(&EnterFault::Failed("no command is named".to_owned())))
        }
        Ok(Some(start)) => {
            tracing::info!(attempt = %ask.attempt, "a command is run beside it");
            match entrance(&asking, ask.attempt, &start).await {
                Ok(Ok(entrance)) => run(&start, &entrance, &mut out, input).await,
                Ok(Err(fault)) => Some(refused(&fault)),
                // The agent ends.
                Err(_) => None,
            }
        }
        Ok(None) | Err(_) => None,
    };
    if let Some(end) = end {
        let text = serde_json::to_string(&end).expect("texts become JSON");
        // Who asked may have gone.
        let _ = out.send(Message::text(text)).await;
    }
    let _ = out.close().await;
}

/// The way to a task, which is waited for while it is set up.
async fn entrance(
    asking: &Asking,
    attempt: AttemptId,
    start: &ExecStart,
) -> Result<Entered, oneshot::error::RecvError> {
    let until = tokio::time::Instant::now() + SET_UP_WITHIN;
    loop {
        let entered = asking.enter(attempt, start.clone()).await;
        let waits = matches!(entered, Ok(Err(EnterFault::NotYet)));
        if !waits || tokio::time::Instant::now() >= until {
            return entered;
        }
        tokio::time::sleep(SET_UP_LOOK).await;
    }
}

fn refused(fault: &EnterFault) -> ExecEnd {
    ExecEnd::Refused { code: fault.code().to_owned(), message: fault.to_string() }
}

async fn started(input: &mut SplitStream<Socket>) -> Option<ExecStart> {
    loop {
        match input.next().await? {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

/// A running command: where its input goes, and whether that is a terminal.
enum Input {
    Pipe(Option<tokio::process::ChildStdin>),
    Terminal(OwnedWritePty),
}

type Outputs = Vec<(u8, Box<dyn AsyncRead + Send + Unpin>)>;

/// What was started.
struct Spawned {
    child: Child,
    input: Input,
    outputs: Outputs,
    /// The terminal whose session was made inside.
    terminal: Option<OwnedFd>,
}

fn spawn(start: &ExecStart, entrance: &Entrance) -> io::Result<Spawned> {
    let (program, words) = entrance.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    if let Some(size) = start.terminal {
        let (pty, pts) = pty_process::open().map_err(io::Error::other)?;
        pty.resize(Size::new(size.rows, size.columns)).map_err(io::Error::other)?;
        if entrance.session == Session::Inside {
            let mut command = command(program, words, entrance);
            let end = || pts.as_fd().try_clone_to_owned().map(Stdio::from);
            command.stdin(end()?).stdout(end()?).stderr(end()?);
            let terminal = Some(pty.as_fd().try_clone_to_owned()?);
            let child = command.spawn()?;
            let (output, input) = pty.into_split();
            let (input, outputs) = (Input::Terminal(input), vec![(STDOUT, Box::new(output) as _)]);
            return Ok(Spawned { child, input, outputs, terminal });
        }
        let mut command = pty_process::Command::new(program).args(words).env_clear();
        command = command.envs(entrance.env.iter().map(|(name, value)| (name, value)));
        command = command.kill_on_drop(true);
        if let Some(folder) = &entrance.folder {
            command = command.current_dir(folder);
        }
        let child = command.spawn(pts).map_err(io::Error::other)?;
        let (output, input) = pty.into_split();
        let (input, outputs) = (Input::Terminal(input), vec![(STDOUT, Box::new(output) as _)]);
        return Ok(Spawned { child, input, outputs, terminal: None });
    }
    let mut command = command(program, words, entrance);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut outputs: Outputs = Vec::new();
    outputs.extend(stdout.map(|pipe| (STDOUT, Box::new(pipe) as Box<_>)));
    outputs.extend(stderr.map(|pipe| (STDERR, Box::new(pipe) as Box<_>)));
    let input = Input::Pipe(child.stdin.take());
    Ok(Spawned { child, input, outputs, terminal: None })
}

/// The command without its streams, in a group of its own.
fn command(program: &OsString, words: &[OsString], entrance: &Entrance) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command.args(words).env_clear();
    command.envs(entrance.env.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &entrance.folder {
        command.current_dir(folder);
    }
    command.process_group(0).kill_on_drop(true);
    command
}

/// Runs the command until it ends or who asked leaves: then nobody is told.
async fn run(
    start: &ExecStart,
    entrance: &Entrance,
    out: &mut SplitSink<Socket, Message>,
    input: SplitStream<Socket>,
) -> Option<ExecEnd> {
    let Spawned { mut child, input: stdin, outputs, terminal } = match spawn(start, entrance) {
        Ok(spawned) => spawned,
        Err(error) => {
            return Some(refused(&EnterFault::Failed(format!("cannot start it: {error}"))));
        }
    };
    let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let (say, said) = mpsc::channel(UNSENT_MAX);
    let readers: Vec<_> = outputs
        .into_iter()
        .map(|(channel, pipe)| tokio::spawn(read(channel, pipe, say.clone())))
        .collect();
    drop(say);
    let ended = tokio::select! {
        ended = speak(&mut child, said, out) => ended,
        () = listen(input, stdin) => None,
    };
    if let (None, Some(terminal)) = (&ended, terminal) {
        // The session is none of the group below. Its terminal is open still, and knows it.
        let _ = tokio::task::spawn_blocking(move || end_session_at(&terminal)).await;
    }
    for reader in readers {
        reader.abort();
    }
    if ended.is_none()
        && let Some(group) = group
    {
        // Told as a shell is whose terminal is gone, and then not asked again.
        let _ = kill_process_group(group, Signal::HUP);
        let _ = kill_process_group(group, Signal::KILL);
    }
    ended
}

/// Ends the session of a terminal: told as a shell is whose terminal is gone, and then not asked again. Sessions
/// are told apart on the whole machine, and numbers of terminals are not: each container has its own.
fn end_session_at(terminal: &OwnedFd) {
    // It has none any more, or none yet: then there is nobody.
    let Ok(session) = rustix::termios::tcgetsid(terminal) else { return };
    for signal in [Signal::HUP, Signal::KILL] {
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if session_of(&stat) == Some(session)
                && let Some(pid) = Pid::from_raw(pid)
            {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// The session of a process by its `/proc/PID/stat`: the fourth word behind its name, which may have any.
fn session_of(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(')')?;
    Pid::from_raw(rest.split_ascii_whitespace().nth(3)?.parse().ok()?)
}

async fn read(channel: u8, mut pipe: impl AsyncRead + Unpin, say: mpsc::Sender<Vec<u8>>) {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    bytes[0] = channel;
    // A terminal whose last program has ended says so by an error.
    while let Ok(length @ 1..) = pipe.read(&mut bytes[1..]).await {
        if say.send(bytes[..=length].to_vec()).await.is_err() {
            return;
        }
    }
}

/// Says what the command says, and in the end how it ended; none where nobody listens.
async fn speak(
    child: &mut Child,
    mut said: mpsc::Receiver<Vec<u8>>,
    out: &mut SplitSink<Socket, Message>,
) -> Option<ExecEnd> {
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut status = None;
    let drained = tokio::time::sleep(DRAIN_WITHIN);
    let mut drained = std::pin::pin!(drained);
    loop {
        tokio::select! {
            biased;
            message = said.recv() => match message {
                Some(bytes) => out.send(Message::binary(bytes)).await.ok()?,
                None => break,
            },
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.ok()?);
                drained.as_mut().reset(tokio::time::Instant::now() + DRAIN_WITHIN);
            }
            () = &mut drained, if status.is_some() => break,
            _ = pings.tick() => out.send(Message::Ping(Vec::new().into())).await.ok()?,
        }
    }
    let status = match status {
        Some(status) => status,
        None => child.wait().await.ok()?,
    };
    Some(ExecEnd::Exited { code: code(status) })
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let signalled = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Hands on what who asked says, until they leave.
async fn listen(mut input: SplitStream<Socket>, mut stdin: Input) {
    while let Some(Ok(message)) = input.next().await {
        match message {
            Message::Binary(bytes) if bytes.first() == Some(&STDIN) => {
                feed(&mut stdin, &bytes[1..]).await;
            }
            Message::Text(text) => {
                if let (Input::Terminal(pty), Ok(size)) =
                    (&stdin, serde_json::from_str::<TerminalSize>(&text))
                {
                    let _ = pty.resize(Size::new(size.rows, size.columns));
                }
            }
            Message::Close(_) => return,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// What a command does not want to read is lost, as in any pipe.
async fn feed(stdin: &mut Input, bytes: &[u8]) {
    async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
        to.write_all(bytes).await?;
        to.flush().await
    }
    match stdin {
        Input::Terminal(pty) => {
            let bytes = if bytes.is_empty() { &[END_OF_INPUT] } else { bytes };
            let _ = write(pty, bytes).await;
        }
        Input::Pipe(pipe) => {
            let broken = match pipe {
                Some(open) if !bytes.is_empty() => write(open, bytes).await.is_err(),
                Some(_) | None => true,
            };
            if broken {
                *pipe = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_a_terminal(words: &[&str], session: Session) -> Spawned {
        let entrance = Entrance {
            argv: words.iter().map(OsString::from).collect(),
            env: vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())],
            folder: None,
            session,
        };
        let terminal = Some(TerminalSize { rows: 24, columns: 80 });
        let start = ExecStart { command: Vec::new(), terminal, kind: None };
        spawn(&start, &entrance).expect("started")
    }

    async fn said(spawned: &mut Spawned) -> String {
        let mut text = Vec::new();
        // A terminal whose last program has ended says so by an error.
        let _ = spawned.outputs[0].1.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn a_command_has_its_terminal_whoever_makes_the_session() {
        // Who has no terminal cannot open it.
        let line = "echo mine > /dev/tty; exit 7";
        let mut plain = at_a_terminal(&["/bin/sh", "-c", line], Session::Starters);
        assert_eq!(said(&mut plain).await, "mine\r\n");
        assert_eq!(plain.child.wait().await.expect("ended").code(), Some(7));
        // As nsenter does, so that it leads no group.
        let setsid = ["/bin/sh", "-c", "setsid --ctty --wait \"$@\"; exit $?", "sh"];
        let words: Vec<&str> = setsid.into_iter().chain(["/bin/sh", "-c", line]).collect();
        let mut inside = at_a_terminal(&words, Session::Inside);
        assert_eq!(said(&mut inside).await, "mine\r\n");
        assert_eq!(inside.child.wait().await.expect("ended").code(), Some(7));
    }

    #[tokio::test]
    async fn who_leaves_takes_along_what_does_not_hear_of_it() {
        let words = "setsid --ctty --wait /bin/sh -c 'trap \"\" HUP; echo up; sleep 600'; exit $?";
        let mut inside = at_a_terminal(&["/bin/sh", "-c", words], Session::Inside);
        let mut up = [0; 2];
        inside.outputs[0].1.read_exact(&mut up).await.expect("it says so");
        let terminal = inside.terminal.expect("one");
        tokio::task::spawn_blocking(move || end_session_at(&terminal)).await.expect("no panic");
        let status = inside.child.wait().await.expect("ended");
        assert_eq!(status.code(), Some(137), "{status:?}");
    }

    #[test]
    fn a_session_is_read_whatever_the_program_is_called() {
        assert_eq!(session_of("7 (a) b) S 1 7 6 34817 7 4194304"), Pid::from_raw(6));
        // A thread of the kernel's is in none.
        assert_eq!(session_of("7 (sh) S 1 7 0 0 -1 4194304"), None);
        assert_eq!(session_of(""), None);
    }
}

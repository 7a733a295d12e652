//! Commands that people run beside their tasks: a socket to the exchange on one side, an ordinary
//! process on the other.
//!
//! The engine says how to get in; here it is only started, heard and fed. Invariant: whoever leaves
//! takes the command along, and the command's end is the last thing that is said.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dayan_engines::{EnterFault, Entrance};
use dayan_wire::exec::{
    ExecAsk, ExecEnd, ExecStart, MESSAGE_BYTES_MAX, STDERR, STDIN, STDOUT, TerminalSize,
};
use dayan_wire::socket::{Message, Socket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use pty_process::{OwnedWritePty, Size};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::mpsc;

use crate::link::Link;
use crate::runner::Asking;

/// How long who asked may take to say what is to be run.
const START_WITHIN: Duration = Duration::from_secs(15);
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
            match asking.enter(ask.attempt, start.clone()).await {
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

fn spawn(start: &ExecStart, entrance: &Entrance) -> io::Result<(Child, Input, Outputs)> {
    let (program, words) = entrance.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    if let Some(size) = start.terminal {
        let (pty, pts) = pty_process::open().map_err(io::Error::other)?;
        pty.resize(Size::new(size.rows, size.columns)).map_err(io::Error::other)?;
        let mut command = pty_process::Command::new(program).args(words).env_clear();
        command = command.envs(entrance.env.iter().map(|(name, value)| (name, value)));
        command = command.kill_on_drop(true);
        if let Some(folder) = &entrance.folder {
            command = command.current_dir(folder);
        }
        let child = command.spawn(pts).map_err(io::Error::other)?;
        let (output, input) = pty.into_split();
        return Ok((child, Input::Terminal(input), vec![(STDOUT, Box::new(output))]));
    }
    let mut command = tokio::process::Command::new(program);
    command.args(words).env_clear();
    command.envs(entrance.env.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &entrance.folder {
        command.current_dir(folder);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut outputs: Outputs = Vec::new();
    outputs.extend(stdout.map(|pipe| (STDOUT, Box::new(pipe) as Box<_>)));
    outputs.extend(stderr.map(|pipe| (STDERR, Box::new(pipe) as Box<_>)));
    let input = Input::Pipe(child.stdin.take());
    Ok((child, input, outputs))
}

/// Runs the command until it ends or who asked leaves: then nobody is told.
async fn run(
    start: &ExecStart,
    entrance: &Entrance,
    out: &mut SplitSink<Socket, Message>,
    input: SplitStream<Socket>,
) -> Option<ExecEnd> {
    let (mut child, stdin, outputs) = match spawn(start, entrance) {
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

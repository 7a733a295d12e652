//! `dayan exec`: runs a command beside a running task, at a terminal where there is one.

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use dayan_wire::Problem;
use dayan_wire::exec::{
    ExecEnd, ExecStart, MESSAGE_BYTES_MAX, STDERR, STDIN, STDOUT, TerminalSize,
};
use dayan_wire::socket::{Message, Socket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::session::{JobPath, Session};
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// Proxies forget a silent connection after a minute.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Pieces of input on their way: more waits where it comes from.
const UNSENT_MAX: usize = 16;

/// Runs a command beside a running task
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// JOB or JOB/TASK; the first task unless told
    #[arg(value_name = "JOB[/TASK]")]
    job: String,
    /// No terminal for the command, even if this is one
    #[arg(short = 'T', long)]
    no_terminal: bool,
    /// The program and its words
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// Runs it.
pub async fn run(args: &Exec, session: &Session) -> Result<Exit, Failure> {
    let path = JobPath::parse(&args.job)?;
    let client = session.client()?;
    let (id, task) = match crate::slurm::one_element(&client, &args.job).await? {
        Some((id, task)) => (id, task),
        None => (path.newest_id(&client, session).await?, path.task.unwrap_or(0)),
    };
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let at_terminal = !args.no_terminal && input.is_terminal() && output.is_terminal();
    let terminal = at_terminal.then(size);
    let kind = std::env::var("TERM").ok().filter(|_| at_terminal);
    let start = ExecStart { command: args.command.clone(), terminal, kind };
    let socket = client.exec(&id, task).await?;
    let (mut out, back) = socket.split();
    let text = serde_json::to_string(&start).expect("texts become JSON");
    out.send(Message::text(text)).await.map_err(lost)?;
    let raw = if at_terminal { Some(Raw::begin()?) } else { None };
    let said = tokio::select! {
        end = hear(back, session) => end,
        () = tell(out, at_terminal) => Err(lost("no more input can be sent")),
    };
    drop(raw);
    match said? {
        ExecEnd::Exited { code } => Ok(Exit::OfCommand(code)),
        ExecEnd::Refused { code, message } => {
            Err(Failure::Refused(Box::new(refused(code, message))))
        }
    }
}

fn refused(code: String, message: String) -> Problem {
    Problem {
        kind: format!("urn:dayan:problem:{code}"),
        title: message,
        status: 409,
        code,
        advice: String::new(),
        details: Vec::new(),
        request: String::new(),
    }
}

fn size() -> TerminalSize {
    // A terminal that does not say is an old one.
    let found = termios::tcgetwinsize(std::io::stdout()).ok();
    let found = found.filter(|size| size.ws_row > 0 && size.ws_col > 0);
    found.map_or(TerminalSize { rows: 24, columns: 80 }, |size| TerminalSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::local(Said::plain(Word::ExecTalking), error)
}

/// The terminal hands on every key as it is; given back however this ends.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self, Failure> {
        let before = termios::tcgetattr(std::io::stdin()).map_err(lost)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(lost)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Writes down what the command says, until it has ended.
async fn hear(mut back: SplitStream<Socket>, session: &Session) -> Result<ExecEnd, Failure> {
    while let Some(message) = back.next().await {
        match message.map_err(lost)? {
            Message::Binary(bytes) => match bytes.split_first() {
                Some((&STDOUT, said)) => session.out.raw(said)?,
                Some((&STDERR, said)) => session.out.raw_error(said),
                Some(_) | None => {}
            },
            Message::Text(text) => return serde_json::from_str(&text).map_err(lost),
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(lost("the connection was closed before the command had ended"))
}

/// Sends what is typed, for as long as it is taken.
async fn tell(mut out: SplitSink<Socket, Message>, at_terminal: bool) {
    let (say, mut typed) = mpsc::channel(UNSENT_MAX);
    // Reading from a terminal cannot be called off: the thread goes with the program.
    std::thread::spawn(move || read_input(&say));
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut sizes = signal(SignalKind::window_change()).ok().filter(|_| at_terminal);
    let mut open = true;
    loop {
        let resized = async {
            match &mut sizes {
                Some(sizes) => drop(sizes.recv().await),
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            input = typed.recv(), if open => match input {
                Some(bytes) => Message::binary(bytes),
                None => {
                    open = false;
                    Message::binary(vec![STDIN])
                }
            },
            () = resized => {
                Message::text(serde_json::to_string(&size()).expect("numbers become JSON"))
            }
            _ = pings.tick() => Message::Ping(Vec::new().into()),
        };
        if out.send(message).await.is_err() {
            // Who hears what comes back will hear why.
            return std::future::pending().await;
        }
    }
}

fn read_input(say: &mpsc::Sender<Vec<u8>>) {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    bytes[0] = STDIN;
    while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut bytes[1..]) {
        if say.blocking_send(bytes[..=length].to_vec()).is_err() {
            return;
        }
    }
}

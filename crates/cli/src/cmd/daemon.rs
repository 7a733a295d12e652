//! What the commands that stay have in common: a data folder, a log, and being told to stop.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::session::Session;
use crate::exit::{Failure, Said};
use crate::words::Word;

/// What is logged when nobody says otherwise: what an operator should know, not what happens.
const USUAL_LOG: &str = "warn,dayan=info,dayan_server=info,dayan_agent=info";

/// What is logged beside a picture of progress.
const QUIET_LOG: &str = "error";

/// What is written to standard error while it runs
#[derive(Debug, Clone, clap::Args)]
pub struct Log {
    /// What is logged, such as `info` or `dayan_server=debug`
    #[arg(long = "log", value_name = "FILTER", env = "DAYAN_LOG")]
    filter: Option<String>,
    /// Log lines as JSON
    #[arg(long)]
    log_json: bool,
}

impl Log {
    /// Begins to log what goes wrong only, unless told otherwise: something else is on the screen.
    pub fn begin_quietly(&self) {
        self.begin_with(QUIET_LOG);
    }
    /// Begins to log. A second beginning in one process changes nothing.
    pub fn begin(&self) {
        self.begin_with(USUAL_LOG);
    }

    fn begin_with(&self, usual: &str) {
        let filter = self.filter.as_deref().unwrap_or(usual);
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(usual));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(false);
        let _ = if self.log_json { log.json().try_init() } else { log.try_init() };
    }
}

/// The folder asked for, else one of this user: `$XDG_DATA_HOME/dayan/KIND`.
pub fn data_dir(
    asked: Option<&PathBuf>,
    kind: &str,
    session: &Session,
) -> Result<PathBuf, Failure> {
    let own = || session.environment.data_dir.as_ref().map(|base| base.join(kind));
    asked.cloned().or_else(own).ok_or_else(|| Failure::usage(Said::plain(Word::NoDataHome)))
}

/// Resolves when the process is asked to stop: by a service manager or from the keyboard. The
/// handlers are in place when this returns.
pub fn told_to_stop() -> Result<impl Future<Output = ()> + Send, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::local(Said::plain(Word::StartingUp), error));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    // A closed terminal ends neither an exchange nor an agent.
    let mut hangup: Signal = listen(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = term.recv() => return,
                _ = int.recv() => return,
                _ = hangup.recv() => {}
            }
        }
    })
}

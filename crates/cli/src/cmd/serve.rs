//! `dayan serve`: runs an exchange on this machine until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dayan_server::{LogLimits, PROJECT_BYTES_DEFAULT, ServeConfig, Serving, TlsMode};
use dayan_units::{Bytes, Span};
use serde_json::json;

use super::daemon;
use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// How often running attempts tell their use: often enough that a lost machine loses a minute at
/// most, rarely enough that ten thousand tasks are a few hundred records a second.
const USAGE_EVERY: &str = "30s";

/// See [`LogLimits::DEFAULT`], as it is written.
const LOGS_KEEP: &str = "30d";
/// See above.
const LOGS_MAX: &str = "4GiB";

/// Runs an exchange on this machine
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Keys, certificate, and the embedded database unless another is named
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep state in PostgreSQL instead: postgres://user@host/database
    #[arg(long, value_name = "URL", env = "DAYAN_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where to listen; anything but this machine gets TLS unless told otherwise
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8180")]
    listen: SocketAddr,
    /// TLS: where it is needed, never (behind a proxy), or always with a certificate of its own
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = ["auto", "off", "self-signed"], conflicts_with = "tls_cert")]
    tls: String,
    /// A certificate chain in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name of a new exchange
    #[arg(long, default_value = "dayan")]
    name: String,
    /// How often running attempts tell their use
    #[arg(long, value_name = "TIME", default_value = USAGE_EVERY, value_parser = super::session::seconds_arg)]
    usage_every: u32,
    /// Measured links between places, as JSON; they go before what is published and modelled
    #[arg(long, value_name = "FILE")]
    links: Option<PathBuf>,
    /// How long logs of tasks are kept after their end
    #[arg(long, value_name = "TIME", default_value = LOGS_KEEP, value_parser = super::session::seconds_arg)]
    logs_keep: u32,
    /// How much of them is kept, packed; beyond, the oldest go first
    #[arg(long, value_name = "SIZE", default_value = LOGS_MAX)]
    logs_max: Bytes,
    /// Where files and secrets of projects are kept; in the data folder unless told, and with PostgreSQL nowhere
    #[arg(long, value_name = "DIR")]
    data_store: Option<PathBuf>,
    /// The most that a project may keep there, such as 500GB; 100GB unless told
    #[arg(long, value_name = "BYTES")]
    data_per_project: Option<Bytes>,
    /// The city where files of projects are kept, to judge how long inputs take to a site: Guiyang
    #[arg(long, value_name = "CITY")]
    data_place: Option<String>,
    /// Makes a new key where the exchange's is missing; quotes signed before cannot be verified then
    #[arg(long)]
    new_key: bool,
    #[command(flatten)]
    log: daemon::Log,
}

impl Serve {
    fn config(&self, session: &Session) -> Result<ServeConfig, Failure> {
        let tls = match (&self.tls_cert, &self.tls_key, self.tls.as_str()) {
            (Some(chain), Some(key), _) => TlsMode::Files(chain.clone(), key.clone()),
            (_, _, "off") => TlsMode::Off,
            (_, _, "self-signed") => TlsMode::SelfSigned,
            (_, _, _) => TlsMode::Auto,
        };
        Ok(ServeConfig {
            data: daemon::data_dir(self.data.as_ref(), "server", session)?,
            database_url: self.database_url.clone(),
            listen: self.listen,
            tls,
            name: self.name.clone(),
            settings: usual_settings(),
            usage_every: Duration::from_secs(u64::from(self.usage_every)),
            links: self.links.clone(),
            logs: LogLimits {
                keep: Span::from_secs(i64::from(self.logs_keep)),
                bytes: self.logs_max.0,
            },
            data_store: self.data_store.clone(),
            data_place: self.data_place.clone(),
            data_per_project: self.data_per_project.map_or(PROJECT_BYTES_DEFAULT, |most| most.0),
        })
    }
}

/// The settings of a new exchange, whatever they are made of.
pub fn usual_settings<S: Default>() -> S {
    S::default()
}

/// Runs it.
pub async fn run(args: &Serve, session: &Session) -> Result<Exit, Failure> {
    let config = args.config(session)?;
    args.log.begin();
    if args.new_key {
        make_key(&config, session)?;
    }
    let stop = daemon::told_to_stop()?;
    let data = config.data.display().to_string();
    let mut announced = Ok(());
    let ready = |serving: &Serving| announced = announce(session, serving, &data);
    dayan_server::serve(config, ready, stop)
        .await
        .map_err(|fault| Failure::local(Said::plain(Word::Serving), fault))?;
    announced?;
    session.out.say(&Said::plain(Word::Stopped));
    Ok(Exit::Ok)
}

fn make_key(config: &ServeConfig, session: &Session) -> Result<(), Failure> {
    let made = dayan_server::new_key(&config.data)
        .map_err(|fault| Failure::local(Said::plain(Word::Serving), fault))?;
    if let Some(path) = made {
        session.out.say(&Said::with(Word::NewKey, "path", path.display().to_string()));
    }
    Ok(())
}

/// Says where it answers, once it does: words for people, one line for scripts.
fn announce(session: &Session, serving: &Serving, data: &str) -> Result<(), Failure> {
    let token = serving.operator_token.display().to_string();
    let told = json!({ "url": serving.url, "fingerprint": serving.fingerprint,
        "operator_token_file": token, "data": data });
    let print = match &serving.fingerprint {
        Some(fingerprint) => format!(" --fingerprint {fingerprint}"),
        None => String::new(),
    };
    // An operator who has a token of their own takes the first one away.
    let first = serving.operator_token.exists();
    let word = if first { Word::ServingAt } else { Word::ServingAgain };
    let said = Said::with(word, "url", &serving.url)
        .and("data", data)
        .and("token", token)
        .and("fingerprint", print);
    session.out.done(&told, &said)
}

//! `dayan login` and `dayan whoami`: keeping an address and a token, and whom they speak for.

use std::path::Path;

use dayan_wire::WhoAmI;
use serde_json::json;

use super::session::Session;
use crate::client::Client;
use crate::config::{Config, Target, parse_fingerprint, parse_url};
use crate::exit::{Exit, Failure, Said};
use crate::input::read_text;
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// Keeps the address of an exchange and a token for it, after trying them
#[derive(Debug, clap::Args)]
pub struct Login {
    /// Where the exchange is, such as https://exchange.example:8443
    url: String,
    /// The token's secret; `-` reads it from standard input, and without it DAYAN_TOKEN is taken
    #[arg(long)]
    token: Option<String>,
    /// SHA-256 of the server's certificate in hex, where no authority vouches for it
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
}

/// Tries an address and a token, and keeps them.
pub async fn login(args: &Login, session: &Session) -> Result<Exit, Failure> {
    let url = parse_url(&args.url)?;
    let token = match args.token.as_deref() {
        Some("-") => Some(read_text(Path::new("-"))?.trim().to_owned()),
        Some(token) => Some(token.trim().to_owned()),
        None => session.environment.token.clone(),
    };
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Failure::usage(Said::plain(Word::NoToken)))?;
    let printed = args.fingerprint.as_ref().or(session.environment.fingerprint.as_ref());
    let fingerprint = printed.map(|text| parse_fingerprint(text)).transpose()?;
    let target = Target { url: url.clone(), token: Some(token.clone()), fingerprint };
    let who = Client::new(target, session.out.view.lang)?.whoami().await?;
    let config = Config {
        url: Some(url.to_string()),
        token: Some(token),
        fingerprint: fingerprint.map(hex::encode),
    };
    config.write(&session.environment.config_file()?)?;
    let said = Said::with(Word::LoggedIn, "exchange", &who.exchange)
        .and("name", &who.name)
        .and("org", &who.org)
        .and("role", session.out.view.state(&who.role));
    let data = json!({ "url": url.as_str(), "exchange": who.exchange, "user": who.user,
        "name": who.name, "org": who.org, "role": who.role });
    session.out.done(&data, &said)?;
    Ok(Exit::Ok)
}

/// Says whom the token speaks for.
pub async fn whoami(session: &Session) -> Result<Exit, Failure> {
    session.out.show(&session.client()?.whoami().await?)?;
    Ok(Exit::Ok)
}

impl Show for WhoAmI {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::plain(view);
        grid.pair(Word::Exchange, Cell::text(&self.exchange));
        grid.pair(Word::User, Cell::text(format!("{} ({})", self.name, self.user)));
        grid.pair(Word::Org, Cell::text(&self.org));
        grid.pair(Word::Role, Cell::state(&self.role));
        for (resource, actions) in &self.rights {
            let said: Vec<String> =
                actions.iter().map(|(action, scope)| format!("{action}: {scope}")).collect();
            grid.row([Cell::text(format!("  {resource}")), Cell::text(said.join(", "))]);
        }
        grid.finish()
    }
}

//! `dayan sim`: traces and logs, replayed with the code that runs the exchange. No exchange is
//! asked, no address or token is needed.

mod hpc;
mod pack;

use clap::Subcommand;

use super::session::Session;
use crate::exit::{Exit, Failure};

/// What can be replayed.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    Hpc(hpc::Hpc),
    Pack(pack::Pack),
}

/// Runs it.
pub fn run(command: &SimCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        SimCommand::Hpc(args) => hpc::run(args, session),
        SimCommand::Pack(args) => pack::run(args, session),
    }
}

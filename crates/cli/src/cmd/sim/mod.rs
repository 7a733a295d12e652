//! `dayan sim`: traces and logs, replayed. What they call `default` is the planner of the live
//! exchange; `carbon` has no such policy, and none of that name. No exchange is asked, no address or token is needed.

mod carbon;
mod hpc;
mod market;
mod pack;
mod plot_file;
mod progress;
mod scale;
mod threads;

use clap::Subcommand;

use super::session::Session;
use crate::exit::{Exit, Failure};

/// What can be replayed.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    Hpc(hpc::Hpc),
    Carbon(carbon::Carbon),
    Market(market::Market),
    Pack(pack::Pack),
    Scale(scale::Scale),
}

/// Runs it.
pub fn run(command: &SimCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        SimCommand::Hpc(args) => hpc::run(args, session),
        SimCommand::Carbon(args) => carbon::run(args, session),
        SimCommand::Market(args) => market::run(args, session),
        SimCommand::Pack(args) => pack::run(args, session),
        SimCommand::Scale(args) => scale::run(args, session),
    }
}

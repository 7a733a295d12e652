//! `dayan sim`: traces and logs, replayed. What they call `default` is the planner of the live
//! exchange. No exchange is asked, no address or token is needed.

mod carbon;
mod hpc;
mod market;
mod pack;
mod plot_file;
mod progress;
mod scale;
mod threads;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use clap::Subcommand;
use flate2::bufread::MultiGzDecoder;

use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

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

/// Reads a file, unpacked where its name ends in `.gz`. What `read` does not understand is the
/// user's to mend, and is told with its causes: a broken archive says where, and why.
fn read_file<T, E: std::error::Error + Send + Sync + 'static>(
    path: &Path,
    read: impl FnOnce(Box<dyn BufRead>) -> Result<T, E>,
) -> Result<T, Failure> {
    let doing = || Said::with(Word::ReadingFile, "file", path.display().to_string());
    let file = BufReader::new(File::open(path).map_err(|why| Failure::local(doing(), why))?);
    let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    let text: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
    read(text).map_err(|error| unreadable(path, &format!("{:#}", anyhow::Error::from(error))))
}

/// What is in the file is not what it should be.
fn unreadable(path: &Path, why: &str) -> Failure {
    let file = path.display().to_string();
    Failure::usage(Said::with(Word::CannotRead, "file", file).and("why", why.to_owned()))
}

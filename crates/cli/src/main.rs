//! The one binary. It reads the command line, prepares the streams, runs a command and ends with
//! the code that says how it went.
//!
//! Everything that a keeper must not share (threads, TLS, a runtime) begins after the keeper has
//! been told apart.

mod args;
mod client;
mod clock;
mod cmd;
mod config;
mod exit;
mod input;
mod output;
mod slurm;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::Cli;
use cmd::Threads;
use cmd::session::{Progress, Session};
use exit::{Exit, Failure};
use output::{Colour, Format, Out, View};
use words::Lang;

/// A server runs for months and frees what a hundred thousand clients have made it take, in small
/// pieces and on many threads: the C library's allocator keeps more of that than it needs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // The agent starts its keeper as `dayan keeper …`. A keeper forks, so no thread may be there.
    if args.get(1).is_some_and(|word| word == "keeper") {
        return keeper(args);
    }
    // What Slurm starts on a node in place of a task is `dayan slurm-task …`: the same, and once
    // for each task.
    if args.get(1).is_some_and(|word| word == "slurm-task") {
        return slurm_task(args);
    }
    // What the agent starts for a command beside a task in a pod is `dayan kube-exec …`.
    #[cfg(feature = "kubernetes")]
    if args.get(1).is_some_and(|word| word == "kube-exec") {
        return kube_exec(args);
    }
    client::install_provider();
    if let Some(tool) = args.first().and_then(|program| slurm::Tool::of_program(program)) {
        return of_slurm(tool, &args);
    }
    let lang = language(&args);
    let command = words::localised(Cli::command(), lang);
    let parsed =
        command.try_get_matches_from(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(said) => {
            // Help asked for is data and ends well; everything else is a wrong call.
            let exit = if said.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = said.print();
            return exit.into();
        }
    };
    let session = session(cli.output, lang);
    match run(&cli, &session) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            session.out.say_raw(&failure.render(lang));
            failure.exit().into()
        }
    }
}

/// Called by a link with the name of one of Slurm's commands. They speak English, for scripts.
fn of_slurm(tool: slurm::Tool, args: &[OsString]) -> ExitCode {
    let session = session(Format::Table, Lang::En);
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(slurm::run(tool, &words, &session)).into(),
        Err(error) => {
            session.out.say_raw(&format!("{}: error: {error}\n", tool.name()));
            ExitCode::FAILURE
        }
    }
}

fn keeper(args: Vec<OsString>) -> ExitCode {
    match dayan_engines::keeper::run(args.into_iter().skip(2)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => hidden_failure(&error.into()),
    }
}

fn slurm_task(args: Vec<OsString>) -> ExitCode {
    match dayan_engines::slurm::wrapper::run(args.into_iter().skip(2)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => hidden_failure(&error.into()),
    }
}

#[cfg(feature = "kubernetes")]
fn kube_exec(args: Vec<OsString>) -> ExitCode {
    match dayan_engines::kubernetes::visitor::run(args.into_iter().skip(2)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => hidden_failure(&error.into()),
    }
}

/// A subcommand that no person calls has failed.
fn hidden_failure(why: &anyhow::Error) -> ExitCode {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{why:#}\n").as_bytes());
    ExitCode::FAILURE
}

/// Asked for with `--lang`, else the system's. Read before the command line is, because its help
/// is in that language too.
fn language(args: &[OsString]) -> Lang {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let joined = words.iter().find_map(|word| word.strip_prefix("--lang="));
    let apart = words.iter().position(|word| *word == "--lang").and_then(|at| words.get(at + 1));
    let system = || {
        // The order of the POSIX locale variables.
        let variables = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let set = variables.iter().filter_map(|name| std::env::var(name).ok());
        set.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
    };
    match joined.or(apart.copied()) {
        Some("zh") => Lang::Zh,
        Some(_) => Lang::En,
        None => Lang::of_locale(&system()),
    }
}

fn session(format: Format, lang: Lang) -> Session {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = if stdout.is_terminal() && !no_colour { Colour::Yes } else { Colour::No };
    let progress = if stderr.is_terminal() { Progress::Drawn } else { Progress::Hidden };
    let width = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col);
    let view = View {
        lang,
        width: width.filter(|columns| *columns > 0),
        colour,
        zone: jiff::tz::TimeZone::system(),
    };
    Session {
        out: Out::new(format, view, Box::new(stdout), Box::new(stderr)),
        environment: config::Environment::of_process(),
        progress,
    }
}

fn run(cli: &Cli, session: &Session) -> Result<Exit, Failure> {
    let mut runtime = match cli.command.threads() {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Many => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::local(exit::Said::plain(words::Word::StartingUp), error))?;
    runtime.block_on(cmd::run(&cli.command, session))
}

//! The Slurm engine's wrapper as a program of its own, for tests. The product runs it as
//! `dayan slurm-task`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match dayan_engines::slurm::wrapper::run(std::env::args_os().skip(1)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

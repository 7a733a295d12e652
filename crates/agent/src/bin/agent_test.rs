//! The keeper as a program of its own, for tests. The product runs it as `dayan keeper`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match dayan_engines::keeper::run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! The program that enters pods as a program of its own, for tests. The product runs it as
//! `dayan kube-exec`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match dayan_engines::kubernetes::visitor::run(std::env::args_os().skip(1)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

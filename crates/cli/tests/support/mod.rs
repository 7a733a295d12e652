//! The real binary, as a shell starts it.

use std::path::Path;
use std::process::{Command, Output};

/// The program with a line, in an environment of its own: nothing of the machine's configuration
/// is seen.
pub fn command(home: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dayan"));
    command.args(line).env_clear().env("HOME", home).env("LANG", "C.UTF-8").current_dir(home);
    command
}

/// Runs it to its end.
pub fn dayan(home: &Path, line: &[&str]) -> Output {
    command(home, line).output().expect("the binary is there")
}

/// What it wrote to a stream.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

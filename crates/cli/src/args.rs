//! The command line as a whole.

use clap::Parser;

use crate::cmd::{Command, EXIT_CODES};
use crate::output::Format;
use crate::words::Lang;

/// The heading of options that every command takes.
const GLOBAL: &str = "Global options";

/// An open exchange for computing power: job files in, firm prices, checked bills
#[derive(Debug, Parser)]
#[command(
    name = "dayan",
    version,
    max_term_width = 100,
    after_help = EXIT_CODES,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The form of what goes to standard output; `table` unless told
    #[arg(
        short,
        long,
        global = true,
        value_name = "table|json|yaml",
        default_value = "table",
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = GLOBAL
    )]
    pub output: Format,
    /// The language of messages; that of the system unless told
    #[arg(
        long,
        global = true,
        value_name = "en|zh",
        hide_possible_values = true,
        help_heading = GLOBAL
    )]
    pub lang: Option<Lang>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

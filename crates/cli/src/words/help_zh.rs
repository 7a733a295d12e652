//! The help texts in Chinese.

use clap::Command;

use super::Lang;

/// The command line with its help in a language.
pub fn localised(command: Command, lang: Lang) -> Command {
    match lang {
        Lang::En => command,
        Lang::Zh => command,
    }
}

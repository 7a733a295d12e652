//! A command beside a running task: what goes to and fro over the socket that the exchange lays
//! between who asked and the agent.
//!
//! The first message of who asked is an [`ExecStart`] as text. Then bytes travel as binary
//! messages whose first byte is a channel, sizes of the terminal as text, and the last message of
//! the agent is an [`ExecEnd`] as text. The exchange reads none of it.

use dayan_units::AttemptId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// To the command. A message without bytes is the end.
pub const STDIN: u8 = 0;
/// From the command; of one at a terminal everything it says.
pub const STDOUT: u8 = 1;
/// From the command.
pub const STDERR: u8 = 2;
/// Bytes of one message at most, its channel included.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What is to be run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecStart {
    /// The program and its words.
    pub command: Vec<String>,
    /// At a terminal of this size; none: with three pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// What kind of terminal that is, for `TERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The size of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum ExecEnd {
    /// By itself.
    Exited {
        /// Its exit code; of one that a signal ended, 128 and the signal's number.
        code: u8,
    },
    /// It was not run.
    Refused {
        /// A stable dotted code.
        code: String,
        /// What stands in the way.
        message: String,
    },
}

/// The exchange asks an agent to come for somebody who wants to run a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExecAsk {
    /// The ask's number: the agent's socket goes to it.
    pub id: u64,
    /// Beside which attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
}

//! Every bound a job file has, with the reason for the number. A job file comes from outside: what
//! is not bounded here is a way to stop the exchange. Must not know how a file is read.

use dayan_units::{Bytes, MilliAccel, MilliCpu, Span};

/// Bytes of a job file. The longest file we have seen in use (an inline script of 900 lines) is
/// 40 KiB; 64 KiB is also what one write to the journal batches comfortably.
pub const FILE_BYTES_MAX: usize = 64 * 1024;
/// Maps and lists inside one another. The format itself needs 4; the rest is room for its growth.
pub const DEPTH_MAX: usize = 8;
/// Keys and values of a file. The largest legal file (256 variables, 256 inputs and 256 outputs of
/// four values) stays under 6,000.
pub const NODES_MAX: usize = 8_192;
/// Errors kept of one file: more than fit on two screens help nobody.
pub const ERRORS_MAX: usize = 20;
/// Characters of a value that an error quotes.
pub const QUOTE_CHARS_MAX: usize = 60;

/// Characters of a job's name: a DNS label, so that engines can use it as one.
pub const NAME_CHARS_MAX: usize = 63;
/// Characters of a project path.
pub const PROJECT_CHARS_MAX: usize = 200;
/// Levels of a project path: organisation, department, project, and room for as many again.
pub const PROJECT_LEVELS_MAX: usize = 6;
/// Characters of a short text: a region, a site, a contract number.
pub const TEXT_CHARS_MAX: usize = 200;
/// Characters of a path or address: what Linux allows in a path is 4,096 bytes; an eighth is ample.
pub const PATH_CHARS_MAX: usize = 512;
/// Characters of `run`: it travels in every lease, and Linux limits one argument to 128 KiB.
pub const RUN_CHARS_MAX: usize = 32 * 1024;

/// Steps of a job: more are a workflow, whose parts can run side by side.
pub const STEPS_MAX: usize = 32;
/// Words of a step's command: what a pattern over a folder of inputs becomes; with the characters of
/// `run` they fit what Linux takes at a start.
pub const WORDS_MAX: usize = 1_024;
/// Files that a job file itself holds.
pub const FILES_MAX: usize = 256;

/// Variables in `env`.
pub const ENV_VARS_MAX: usize = 256;
/// Bytes of all names and values in `env`: a quarter of the 128 KiB Linux lets one string have,
/// so that the command, the job's environment and the engine's own always fit in ARG_MAX.
pub const ENV_BYTES_MAX: usize = 32 * 1024;
/// Inputs, outputs, regions and other lists.
pub const LIST_MAX: usize = 256;
/// Accelerator alternatives: each multiplies the planner's work for the job.
pub const ALTERNATIVES_MAX: usize = 8;

/// Tasks of one job: a million is the size the whole country's queue is designed for.
pub const TASKS_MAX: u32 = 1_000_000;
/// Processes of a gang: the largest machines of one pool with every core of them a process.
pub const PROCESSES_MAX: u32 = 1_048_576;
/// Members of a gang: a gang is placed in one step, and 4,096 is the largest machine of one pool
/// we design for.
pub const GANG_MAX: u32 = 4_096;
/// Attempts after the first. A task that failed a hundred times will fail again.
pub const RETRY_MAX: u32 = 100;
/// Copies of a service.
pub const REPLICAS_MAX: u32 = 1_000;

/// Cores of one task: four times the largest server sold today.
pub const CPU_MAX: MilliCpu = MilliCpu(4_096_000);
/// Memory or disk of one task.
pub const BYTES_MAX: Bytes = Bytes(1_000_000_000_000_000);
/// Accelerator cards of one task: four times the largest node (16 cards).
pub const CARDS_MAX: MilliAccel = MilliAccel(64_000);
/// Any span in a job file: a year.
pub const SPAN_MAX: Span = Span::from_secs(366 * 86_400);
/// The name of a secret: a line of a list, and a file's name.
pub const SECRET_NAME_CHARS_MAX: usize = 64;

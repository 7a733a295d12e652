//! Measures the product as a whole process: the exchange as `dayan serve`, the provider as `dayan
//! agent`, over HTTP on this machine, durable, metered and billed. Prints each figure with the
//! machine and the commit.

mod control;
mod exchange;
mod load;
mod machine;
mod noop;
mod place;
mod queue;
mod soak;
mod submit;
mod usage;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Whole-process benches of Dayan.
#[derive(Debug, Parser)]
struct Cli {
    /// The program; the release build beside this one unless told
    #[arg(long, global = true)]
    program: Option<PathBuf>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Durable submissions of single jobs over HTTP, then of arrays
    Submit {
        /// Connections
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Submissions
        #[arg(long, default_value_t = 50_000)]
        jobs: usize,
    },
    /// No-op tasks on the process engine, end to end, beside the machine's spawn ceiling
    Noop {
        /// Tasks
        #[arg(long, default_value_t = 5_000)]
        tasks: usize,
        /// What a task asks for: little, so that the pool's slots are not what is measured
        #[arg(long, default_value = "0.05")]
        cpus: String,
        /// So many single tasks after it, for the time from submission to start
        #[arg(long, default_value_t = 20)]
        alone: usize,
    },
    /// Signed usage records, judged and journalled
    Usage {
        /// For so many seconds
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Fifteen thousand workloads of thirty projects over five owners, as Kueue's load generator sends
    /// them, beside the bound that no overhead at all would give
    Control {
        /// Of each hundred workloads so many, with as much less of everything
        #[arg(long, default_value_t = 100)]
        percent: u32,
    },
    /// Placements a second end to end: virtual tasks, durable, billed, their leases given and taken
    Place {
        /// Tasks
        #[arg(long, default_value_t = 100_000)]
        tasks: usize,
        /// Nodes they are placed on
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
    },
    /// A queue of many tasks: memory, and the time of a restart
    Queue {
        /// Tasks, half single jobs, half arrays of 1,000
        #[arg(long, default_value_t = 1_000_000)]
        tasks: usize,
        /// Distinct job files
        #[arg(long, default_value_t = 10_000)]
        shapes: usize,
    },
    /// Full rate for a long time: memory must level off
    Soak {
        /// For so many minutes
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// An idle server: memory and processor
    Idle {
        /// For so many seconds
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let program = match cli.program {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("dayan"),
    };
    machine::print();
    match cli.bench {
        Bench::Submit { connections, jobs } => submit::run(&program, connections, jobs).await,
        Bench::Noop { tasks, cpus, alone } => noop::run(&program, tasks, &cpus, alone).await,
        Bench::Usage { seconds } => usage::run(&program, seconds).await,
        Bench::Control { percent } => control::run(&program, percent).await,
        Bench::Place { tasks, nodes } => place::run(&program, tasks, nodes).await,
        Bench::Queue { tasks, shapes } => queue::run(&program, tasks, shapes).await,
        Bench::Soak { minutes } => soak::run(&program, minutes).await,
        Bench::Idle { seconds } => queue::idle(&program, seconds).await,
    }
}

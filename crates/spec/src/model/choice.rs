//! The closed sets of words a job file chooses from. The text is the same in the job file, in the
//! canonical form, in the schema and in the reference: it is written down here only.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A closed set of words.
pub(crate) trait Choice: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];
    /// Its word.
    fn word(self) -> &'static str;
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }
        impl $name {
            /// The words, in the order of the values.
            pub const WORDS: &'static [&'static str] = &[$($text),+];
            /// The word in a job file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn word(self) -> &'static str { self.as_str() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }
    )*};
}

choices! {
    /// Does the job end by itself?
    JobKind {
        /// Its tasks run and end.
        Batch = "batch",
        /// Its replicas answer requests until it is cancelled.
        Service = "service",
    }
    /// The order of the jobs that wait, before age and shares, across all projects and organisations.
    Priority {
        /// After the others.
        Low = "low",
        /// What a job has that does not say.
        Normal = "normal",
        /// Before the others.
        High = "high",
    }
    /// What all members of a gang must share.
    Same {
        /// One data centre.
        Site = "site",
        /// One fast interconnect of a site.
        Fabric = "fabric",
        /// One leaf of it, such as a switch or an island of links.
        Leaf = "leaf",
    }
    /// On which nodes of a gang the command starts.
    Launch {
        /// On every node.
        Each = "each",
        /// Once, on the first node, which is told of the others.
        Head = "head",
    }
    /// When an output is published.
    OutputWhen {
        /// After the task has succeeded.
        TaskEnd = "task_end",
        /// As soon as the task closes the file.
        FileClosed = "file_closed",
    }
    /// Where another attempt begins.
    Resume {
        /// From nothing.
        Start = "start",
        /// From the newest checkpoint.
        Checkpoint = "checkpoint",
    }
    /// The signal that asks a task to write a checkpoint, or tells it that its time is nearly up.
    Signal {
        /// User signal 1.
        Usr1 = "SIGUSR1",
        /// User signal 2.
        Usr2 = "SIGUSR2",
        /// Interrupt.
        Int = "SIGINT",
        /// Hang up.
        Hup = "SIGHUP",
        /// Terminate.
        Term = "SIGTERM",
    }
    /// Bounds on one-way network delay.
    DelayClass {
        /// 3 ms: inside a cluster.
        T1 = "T1",
        /// 10 ms: neighbouring provinces.
        T2 = "T2",
        /// 20 ms: the coast.
        T3 = "T3",
    }
    /// What happens when a running task's delay leaves its class.
    OnBreach {
        /// Say so.
        Warn = "warn",
        /// Start it elsewhere, then end it here.
        Move = "move",
    }
    /// How much must be known of a provider's hardware.
    Trust {
        /// The provider says so.
        Listed = "listed",
        /// The inventory answered a challenge.
        Verified = "verified",
        /// The performance was measured and is fresh.
        Measured = "measured",
    }
    /// How capacity is bought.
    MarketMode {
        /// At the listed price, not taken away.
        OnDemand = "on_demand",
        /// Cheaper, and may be taken away with notice.
        Spot = "spot",
        /// Under a contract.
        Reserved = "reserved",
    }
    /// What a budget covers.
    BudgetPeriod {
        /// The whole job.
        Job = "job",
        /// A calendar day of the exchange's zone.
        Day = "day",
        /// A calendar month of the exchange's zone.
        Month = "month",
    }
    /// What happens when a budget is used up.
    OnLimit {
        /// Running tasks get notice and end.
        Stop = "stop",
        /// Say so and go on.
        Warn = "warn",
    }
    /// What happens when the next run of a schedule is due while one still runs.
    Overlap {
        /// The new one is left out.
        Forbid = "forbid",
        /// Both run.
        Allow = "allow",
        /// The old one is cancelled.
        Replace = "replace",
    }
    /// What happens with runs that were due while the exchange was away.
    CatchUp {
        /// They are left out.
        None = "none",
        /// One run stands for all of them.
        Latest = "latest",
        /// All of them run, oldest first.
        All = "all",
    }
    /// What a deadline means.
    DeadlineKind {
        /// The bill says whether it was met.
        Soft = "soft",
        /// The job is refused when it cannot be promised.
        Hard = "hard",
    }
    /// What matters among places that are allowed.
    Preference {
        /// The lowest price.
        Price = "price",
        /// The earliest start.
        Start = "start",
        /// The least network delay.
        Delay = "delay",
        /// The least carbon.
        Carbon = "carbon",
        /// The most slack before the deadline.
        Deadline = "deadline",
        /// Where least of its inputs has to be brought.
        Data = "data",
    }
    /// A number format whose speed is asked for.
    Precision {
        /// IEEE double.
        Fp64 = "fp64",
        /// IEEE single.
        Fp32 = "fp32",
        /// 19-bit tensor format.
        Tf32 = "tf32",
        /// IEEE half.
        Fp16 = "fp16",
        /// Half with an eight-bit exponent.
        Bf16 = "bf16",
        /// Eight-bit float.
        Fp8 = "fp8",
        /// Eight-bit integer; operations instead of floating-point operations.
        Int8 = "int8",
    }
    /// What must have happened to the job that is waited for.
    After {
        /// It started.
        Started = "started",
        /// It succeeded.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It ended in any way.
        Ended = "ended",
        /// The task of the same number has ended well: task by task.
        Each = "each",
    }
    /// What somebody is told of.
    NotifyWhen {
        /// The first task started.
        Started = "started",
        /// The job succeeded.
        Succeeded = "succeeded",
        /// The job failed.
        Failed = "failed",
        /// A budget warned or stopped the job.
        Budget = "budget",
    }
}

//! What a world is made of and what goes wrong in it.

use dayan_units::Span;

/// The knobs of a world. Everything that is not said here is drawn from the seed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// Data centres, each with an agent of its own.
    pub sites: u32,
    /// Machines of a data centre, at most; at least one.
    pub nodes_max: u32,
    /// Jobs that are submitted.
    pub jobs: u32,
    /// Tasks of an array, at most.
    pub tasks_max: u32,
    /// For so long jobs come in, people change their minds, and things go wrong.
    pub busy: Span,
    /// By then, counted from the end of the busy time, every feasible job must have ended.
    pub quiet_max: Span,
    /// Moves of users and providers besides submissions: cancels, pauses, deposits, prices.
    pub moves: u32,
    /// Of a thousand jobs, so many are submitted under a firm quote.
    pub quotes_permille: u32,
    /// Of a thousand of the others, so many are schedules.
    pub schedules_permille: u32,
    /// Agents that tell lies about use.
    pub liars: u32,
    /// Length of a settlement window.
    pub window: Span,
    /// What goes wrong.
    pub faults: Faults,
}

/// What goes wrong, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// Messages of a thousand that are lost.
    pub lost_permille: u32,
    /// Messages of a thousand that arrive twice.
    pub repeated_permille: u32,
    /// Messages of a thousand that take up to the longest delay.
    pub slow_permille: u32,
    /// The longest delay of a message.
    pub delay_max: Span,
    /// Times that the exchange ends in the middle of its work and is started again.
    pub exchange_crashes: u32,
    /// Times that an agent ends and is started again; its keeper lives on.
    pub agent_crashes: u32,
    /// Times that a keeper dies and takes its tasks along.
    pub keeper_deaths: u32,
    /// Times that a machine starts anew.
    pub reboots: u32,
    /// Times that a machine sleeps.
    pub sleeps: u32,
    /// Times that a link is cut.
    pub cuts: u32,
    /// How far the sites' clocks may run apart from ours, in millionths.
    pub drift_ppm: i64,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        lost_permille: 0,
        repeated_permille: 0,
        slow_permille: 0,
        delay_max: Span::ZERO,
        exchange_crashes: 0,
        agent_crashes: 0,
        keeper_deaths: 0,
        reboots: 0,
        sleeps: 0,
        cuts: 0,
        drift_ppm: 0,
    };

    /// Everything goes wrong. Clocks run apart by up to 0.05 %, more than quartz does.
    pub const STORM: Self = Self {
        lost_permille: 40,
        repeated_permille: 30,
        slow_permille: 120,
        delay_max: Span::from_secs(30),
        exchange_crashes: 5,
        agent_crashes: 6,
        keeper_deaths: 2,
        reboots: 2,
        sleeps: 4,
        cuts: 10,
        drift_ppm: 500,
    };
}

impl Scenario {
    /// A short world in which everything goes wrong: what the tests run by the hundred.
    pub const fn storm() -> Self {
        Self {
            sites: 4,
            nodes_max: 3,
            jobs: 14,
            tasks_max: 9,
            busy: Span::from_secs(15 * 60),
            quiet_max: Span::from_secs(8 * 3_600),
            moves: 30,
            quotes_permille: 150,
            schedules_permille: 80,
            liars: 0,
            window: Span::from_secs(90),
            faults: Faults::STORM,
        }
    }

    /// A world without faults.
    pub const fn calm() -> Self {
        Self { faults: Faults::NONE, ..Self::storm() }
    }

    /// A world without faults in which nobody changes their mind: what is promised must be kept.
    pub const fn steady() -> Self {
        Self { moves: 0, jobs: 20, ..Self::calm() }
    }

    /// A storm in which half of the agents lie about the use of their tasks.
    pub const fn lies() -> Self {
        Self { liars: 2, ..Self::storm() }
    }
}

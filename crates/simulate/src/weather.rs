//! What goes wrong, and when: drawn before the world starts, so that a fault never depends on what
//! the exchange does.

use dayan_units::{Span, Time};

use crate::calendar::Calendar;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::Happening;

/// Something goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The exchange ends: before its open batch is in the journal, or after it is and before
    /// anyone has heard.
    ExchangeEnds { batch: Batch, down: Span },
    /// An agent ends; its keeper and its tasks live on.
    AgentEnds { site: usize, down: Span },
    /// A keeper dies and its tasks with it.
    KeeperDies { site: usize },
    /// A machine starts anew.
    Reboot { site: usize, down: Span },
    /// A machine sleeps.
    Sleep { site: usize, span: Span },
    /// A link is cut.
    Cut { site: usize, span: Span },
}

/// What becomes of the batch that is open when the exchange ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Batch {
    Lost,
    Committed,
}

/// Draws all faults of a world.
pub(crate) fn forecast(
    random: &mut Random,
    scenario: &Scenario,
    start: Time,
    calendar: &mut Calendar<Happening>,
) {
    let faults = &scenario.faults;
    let site = |random: &mut Random| {
        usize::try_from(random.below(u64::from(scenario.sites))).expect("a small number")
    };
    // Mostly short, now and then longer than any lease but the longest.
    let down = |random: &mut Random, usual_ms: i64| {
        if random.in_permille(200) {
            random.millis(usual_ms, 400_000)
        } else {
            random.millis(100, usual_ms)
        }
    };
    let mut all = Vec::new();
    for _ in 0..faults.exchange_crashes {
        let batch = if random.in_permille(500) { Batch::Lost } else { Batch::Committed };
        all.push(Fault::ExchangeEnds { batch, down: down(random, 20_000) });
    }
    for _ in 0..faults.agent_crashes {
        all.push(Fault::AgentEnds { site: site(random), down: down(random, 30_000) });
    }
    for _ in 0..faults.keeper_deaths {
        all.push(Fault::KeeperDies { site: site(random) });
    }
    for _ in 0..faults.reboots {
        all.push(Fault::Reboot { site: site(random), down: down(random, 90_000) });
    }
    for _ in 0..faults.sleeps {
        all.push(Fault::Sleep { site: site(random), span: down(random, 90_000) });
    }
    for _ in 0..faults.cuts {
        all.push(Fault::Cut { site: site(random), span: random.millis(1_000, 240_000) });
    }
    for fault in all {
        let at = start.plus(random.span(Span::from_secs(20), scenario.busy));
        calendar.enter(at, Happening::Fault(fault));
    }
}

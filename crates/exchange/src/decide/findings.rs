//! Findings: what an agent said that cannot be so. Each is kept for the operator, but an agent that
//! lies without end fills neither the journal nor the tables: in each window so many findings of it
//! are kept, and of the others about how many there were.
//!
//! Counting the others exactly would write the journal once for each. They are counted as Morris
//! does (Counting large numbers of events in small registers, CACM 21:10, 1978): the n-th summary
//! comes with one chance in 2^(n-1) and stands for 2^n - 1 findings. A thousand million findings
//! come to some thirty summaries. The chance is drawn from the request's id, so a replay and a test
//! see the same.

use dayan_units::{AgentId, AttemptId};

use super::{Ask, Decision};
use crate::event::Event;
use crate::state::{FINDINGS_LEFT_OUT, FINDINGS_MAX, FINDINGS_WINDOW};

/// Something that cannot be so.
pub(super) struct Finding {
    pub(super) code: &'static str,
    pub(super) attempt: Option<AttemptId>,
    pub(super) message: String,
}

impl Ask<'_> {
    /// Keeps a finding, or a summary in its place, or nothing.
    pub(super) fn find(&self, agent: AgentId, finding: Finding, decision: &mut Decision) {
        let Some(record) = self.state.supply.agents.get(&agent) else { return };
        let mut window = record.findings;
        // One call may hold many lies: what is found of the earlier ones counts already.
        for event in &decision.events {
            if let Event::Found { code, .. } = event {
                window.note(code, self.now);
            }
        }
        let window = window.at(self.now);
        let Finding { code, attempt, message } = finding;
        if window.kept < FINDINGS_MAX {
            let code = code.to_owned();
            decision.events.push(Event::Found { agent, code, attempt, message });
            return;
        }
        if !self.ids.one_in_power_of_two(b"finding", window.summaries) {
            return;
        }
        let about = 2u128.saturating_pow(window.summaries.saturating_add(1)) - 1;
        let minutes = FINDINGS_WINDOW.secs_floor() / 60;
        decision.events.push(Event::Found {
            agent,
            code: FINDINGS_LEFT_OUT.to_owned(),
            attempt: None,
            message: format!(
                "about {about} more findings of it, the last under {code}, are not kept: \
                 {FINDINGS_MAX} in {minutes} minutes are"
            ),
        });
    }

    /// Would a finding of this agent be kept?
    pub(super) fn finds_room(&self, agent: AgentId) -> bool {
        let record = self.state.supply.agents.get(&agent);
        record.is_some_and(|record| record.findings.at(self.now).kept < FINDINGS_MAX)
    }
}

//! What a new keeper does about a dead one's tasks, before it takes orders.
//!
//! The kernel killed their first processes with the dead keeper. What those had started may
//! still run: in their cgroups, in their sessions, or anywhere with our fence in the
//! environment. All three are looked through until nothing is found, because only then may the
//! attempts be reported as ended. A process that left its session *and* cleared its environment is
//! found in its cgroup only.

use std::collections::BTreeMap;

use dayan_units::{AttemptId, Span};

use super::Folder;
use crate::confine::{self, Confinement};
use crate::journal::Record;
use crate::proc::{self, Process};
use crate::{BootClock, Waker};

/// How long to try. A process in an uninterruptible wait dies when that ends; after this time
/// the keeper starts and says so in its log.
const PATIENCE: Span = Span::from_secs(10);

/// Kills everything that an earlier keeper of this folder left.
pub(super) fn kill_left(
    folder: &Folder,
    confinement: &Confinement,
    records: &[Record],
    clock: BootClock,
) {
    let sessions = open_sessions(records, clock);
    let roots = confinement.roots();
    let fence = format!("{}:", folder.name());
    let pause = Waker::new().ok();
    let give_up = clock.now().plus(PATIENCE);
    loop {
        let clear = confine::clear_left(&roots);
        let left: Vec<Process> = proc::processes()
            .into_iter()
            .filter(|process| is_left(process, &sessions, &fence))
            .collect();
        for process in &left {
            proc::kill(*process);
        }
        crate::sys::reap_orphans();
        if clear && left.is_empty() {
            return;
        }
        if clock.now() > give_up {
            tracing::error!(left = left.len(), "processes of an earlier keeper cannot be killed");
            return;
        }
        // Nobody rings: a short rest for the kernel to take them apart.
        if let Some(pause) = &pause {
            pause.wait(Span::from_millis(2));
        }
    }
}

/// Sessions of tasks without an end: their leader's pid, and its birth.
fn open_sessions(records: &[Record], clock: BootClock) -> BTreeMap<i32, u64> {
    let mut open: BTreeMap<AttemptId, (i32, u64)> = BTreeMap::new();
    let mut this_boot = BTreeMap::new();
    for record in records {
        match record {
            Record::Launched { attempt, boot, .. } => {
                this_boot.insert(*attempt, *boot == clock.boot());
            }
            Record::Started { attempt, pid, birth, .. }
                if this_boot.get(attempt) == Some(&true) =>
            {
                open.insert(*attempt, (*pid, *birth));
            }
            Record::Started { .. } => {}
            Record::Ended { attempt, .. } | Record::Forgotten { attempt } => {
                open.remove(attempt);
            }
        }
    }
    open.into_values().collect()
}

fn is_left(process: &Process, sessions: &BTreeMap<i32, u64>, fence: &str) -> bool {
    let in_session = sessions.get(&process.session).is_some_and(|birth| {
        // The number of a session cannot be taken anew while it has members, and whoever is
        // younger than its leader joined it; one whose leader is a newcomer is another session.
        if process.pid == process.session {
            process.birth == *birth
        } else {
            process.birth >= *birth
                && proc::process(process.session).is_none_or(|leader| leader.birth == *birth)
        }
    });
    in_session || proc::fence_of(process.pid).is_some_and(|found| found.starts_with(fence))
}

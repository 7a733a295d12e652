//! The ways into a running pod, as the engine gives them: a signal for its processes, a command beside
//! them.
//!
//! Invariant: nobody has more rights inside than the task itself, and nothing is run where the agent
//! may not: then that is said.

use dayan_units::AttemptId;

use super::beside::Where;
use super::clerk::Errand;
use super::engine::KubernetesEngine;
use super::visitor::Call;
use crate::{EnterFault, Entrance, Fault, Phase, Session, Signal, Visit, command};

/// Why no command is run in a pod.
const NO_EXEC: &str = "the agent may not run commands in pods: its role lacks `create` on `pods/exec`; \
                       see docs/guides/kubernetes.md";
const NO_VISITOR: &str = "this agent has no program that enters pods";

impl KubernetesEngine {
    /// Where a running attempt is.
    fn whereabouts(&self, attempt: AttemptId) -> Option<Where<'_>> {
        let held = self.book.get(attempt).filter(|held| held.is_live())?;
        let Phase::Running { .. } = held.phase else { return None };
        let namespace = &held.seat.as_ref()?.batch.namespace;
        let pod = held.pod.as_ref()?;
        Some(Where { namespace, pod: &pod.name, container: &pod.container })
    }

    pub(super) fn send_signal(&self, attempt: AttemptId, signal: Signal) -> Result<(), Fault> {
        if self.may_exec == Some(false) {
            return Err(Fault::Unsupported(NO_EXEC.to_owned()));
        }
        let Some(Where { namespace, pod, container }) = self.whereabouts(attempt) else {
            return Ok(());
        };
        let mark = format!("{}={}", command::FENCE_VARIABLE, self.folder.fence(attempt));
        self.clerk.send(Errand::Signal {
            attempt,
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
            mark,
            number: signal.0,
        });
        Ok(())
    }

    pub(super) fn entrance(
        &mut self,
        attempt: AttemptId,
        visit: Visit<'_>,
    ) -> Result<Entrance, EnterFault> {
        let program = match (&self.config.visitor, self.may_exec) {
            (None, _) => return Err(EnterFault::Unsupported(NO_VISITOR.to_owned())),
            (_, Some(false)) => return Err(EnterFault::Unsupported(NO_EXEC.to_owned())),
            (Some(program), _) => program.clone(),
        };
        let Some(Where { namespace, pod, container }) = self.whereabouts(attempt) else {
            return Err(EnterFault::NotRunning);
        };
        let site = &self.config.site;
        let call = Call {
            kubeconfig: site.kubeconfig.clone(),
            context: site.context.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
            // It ends with a dot: no visit's mark begins another's.
            mark: format!("{}.{}.{}.", self.agent, std::process::id(), self.visits),
            terminal: visit.terminal.map(str::to_owned),
            guard: false,
            command: visit.command.to_vec(),
        };
        self.visits = self.visits.wrapping_add(1);
        // The agent's own program at the agent's own place: by what it is told there it finds the
        // API server, as the agent does. The command's environment is the task's, in the pod.
        let argv = program.into_iter().chain(call.words()).collect();
        Ok(Entrance {
            argv,
            env: std::env::vars_os().collect(),
            folder: None,
            session: Session::Starters,
        })
    }
}

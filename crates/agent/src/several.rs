//! Several pools of one agent: each with a folder, a membership and an engine of its own, in one process,
//! such as the partitions of a cluster.
//!
//! They join one after the other by one invitation, because they have one key: the first says how many come
//! after it. Invariant: what befalls one pool ends none of the others; only where not one of them can begin
//! does the agent end. What passes is tried again, ever less often; what a person has to mend is said once.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use dayan_engines::Fault;
use dayan_units::{NAME_CHARS_MAX, Span};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::config::AgentConfig;
use crate::fault::AgentFault;
use crate::home::{Home, is_member};
use crate::identity::Key;
use crate::inventory::slug;
use crate::run::run_telling;

/// A pool that could not go on is begun again after that, or twice that: a controller that was started again
/// is back by then, and nobody reads more than one line about it in that time.
const AGAIN_FIRST: Span = Span::from_secs(15);
/// One that never can is begun again so seldom at last: a line of the log in that time for each pool, and
/// what was away for a night works as soon after it.
const AGAIN_LONGEST: Span = Span::from_secs(600);

/// One of the pools.
pub struct OnePool<'a> {
    /// What it is called in what is logged.
    pub name: String,
    /// Its folder.
    pub data: PathBuf,
    /// Made anew each time that it begins.
    pub config: Box<dyn Fn() -> AgentConfig + 'a>,
}

/// All of them.
pub struct Several<'a> {
    /// The agent's folder: its lock and its key. The pools' own are inside.
    pub data: PathBuf,
    /// Them. None of the same folder.
    pub pools: Vec<OnePool<'a>>,
    /// By what those join that are no members yet.
    pub join: Option<String>,
}

/// Has the agent of this folder joined, as one pool?
pub fn has_joined(data: &Path) -> bool {
    is_member(data)
}

/// The name of a pool for a part of a cluster: both names, as far as the exchange takes them.
pub fn pool_name(cluster: &str, part: &str) -> String {
    let (cluster, part) = (slug(cluster), slug(part));
    let room = NAME_CHARS_MAX.saturating_sub(part.len() + 1);
    let cluster: String = cluster.chars().take(room).collect();
    format!("{}-{part}", cluster.trim_end_matches('-'))
}

enum News {
    /// It works.
    Ready(usize),
    /// It does not, for now or until the agent is started again.
    Failed(usize, AgentFault, Again),
}

/// When a pool that could not go on is begun again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Again {
    After(Span),
    /// Not by this process: it would hear the same, as often as it asked.
    Never,
}

/// What follows from a fault. What a member lacks was there when it joined, such as its partition: it may be
/// there again, as its site changes.
fn again(fault: &AgentFault, is_member: bool, backoff: &mut Backoff) -> Again {
    let lacks = matches!(fault, AgentFault::Engine(Fault::Unsupported(_)));
    if fault.passes() || (lacks && is_member) { Again::After(backoff.next()) } else { Again::Never }
}

/// Runs them until `shutdown`. `ready` is called once for each that works for the first time, with its name.
pub async fn run_several(
    several: Several<'_>,
    ready: impl Fn(&str),
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentFault> {
    let Several { data, pools, join } = several;
    let home = Home::open(&data)?;
    Key::open(&home.key())?;
    let (members, strangers): (Vec<usize>, Vec<usize>) =
        (0..pools.len()).partition(|at| is_member(&pools[*at].data));
    let mut strangers = VecDeque::from(strangers);
    if join.is_none() && !strangers.is_empty() {
        let names: Vec<&str> = strangers.iter().map(|at| pools[*at].name.as_str()).collect();
        if members.is_empty() {
            return Err(AgentFault::NotJoined);
        }
        tracing::warn!(
            pools = names.join(", "),
            "these have not joined and are left out; give --join TOKEN, made by `dayan provider invite`"
        );
        strangers.clear();
    }
    let all = members.len() + strangers.len();
    let none_is_member = members.is_empty();
    let more = u32::try_from(strangers.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let (stop, stopped) = watch::channel(false);
    let (tell, mut news) = mpsc::unbounded_channel();
    let begin = |at: usize| -> LocalBoxFuture<'_, ()> {
        let (pool, key, join) = (&pools[at], home.key(), join.clone());
        let config = move || AgentConfig {
            join: join.clone(),
            more,
            key: Some(key.clone()),
            ..(pool.config)()
        };
        let span = tracing::info_span!("pool", name = pool.name);
        let joined = || is_member(&pool.data);
        Box::pin(tend(at, config, joined, tell.clone(), stopped.clone()).instrument(span))
    };
    let mut running: FuturesUnordered<_> = members.into_iter().map(&begin).collect();
    // One at a time: the first of them tells the exchange of the others.
    let mut joining = strangers.pop_front();
    running.extend(joining.map(&begin));
    let mut shutdown = std::pin::pin!(shutdown);
    let mut works = vec![false; pools.len()];
    let mut failed = BTreeSet::new();
    let mut given_up = BTreeSet::new();
    let outcome = loop {
        let heard = tokio::select! {
            () = &mut shutdown => break Ok(()),
            // They end when they are told to.
            Some(()) = running.next() => continue,
            Some(heard) = news.recv() => heard,
        };
        let at = match heard {
            News::Ready(at) => {
                if !std::mem::replace(&mut works[at], true) {
                    ready(&pools[at].name);
                }
                at
            }
            News::Failed(at, fault, again) => {
                let nobody_works = !works.contains(&true);
                if nobody_works && none_is_member && joining == Some(at) {
                    // What keeps the first from joining keeps all of them.
                    break Err(fault);
                }
                tell_fault(&pools[at].name, &fault, again);
                if again == Again::Never {
                    given_up.insert(at);
                }
                failed.insert(at);
                if given_up.len() == all || (nobody_works && failed.len() == all) {
                    break Err(fault);
                }
                at
            }
        };
        if joining == Some(at) {
            joining = strangers.pop_front();
            running.extend(joining.map(&begin));
        }
    };
    // Each closes its engine; their tasks go on.
    let _ = stop.send(true);
    while running.next().await.is_some() {}
    drop(home);
    outcome
}

/// For whoever reads the log.
fn tell_fault(pool: &str, fault: &AgentFault, again: Again) {
    let code = fault.code();
    let why = std::error::Error::source(fault).map(ToString::to_string);
    match again {
        Again::After(again_in) => tracing::warn!(
            pool, code, %fault, why, %again_in, "a pool cannot go on; the others do"
        ),
        Again::Never => tracing::error!(
            pool, code, %fault, why,
            "a pool cannot go on and is left out until the agent is started again; the others go on"
        ),
    }
}

/// Has one pool work until it is told to stop, again after each fault that passes.
async fn tend(
    at: usize,
    config: impl Fn() -> AgentConfig,
    joined: impl Fn() -> bool,
    tell: mpsc::UnboundedSender<News>,
    stopped: watch::Receiver<bool>,
) {
    let told = || {
        let mut stopped = stopped.clone();
        async move {
            // Who would tell is gone: so is the agent.
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    let mut backoff = Backoff::between(AGAIN_FIRST, AGAIN_LONGEST);
    loop {
        let worked = Cell::new(false);
        let ready = || {
            worked.set(true);
            // Nobody listens any more while it is stopped.
            drop(tell.send(News::Ready(at)));
        };
        let Err(fault) = run_telling(config(), ready, told()).await else { return };
        if worked.get() {
            backoff.reset();
        }
        let again = again(&fault, joined(), &mut backoff);
        drop(tell.send(News::Failed(at, fault, again)));
        let Again::After(pause) = again else { return };
        tokio::select! {
            () = told() => return,
            () = tokio::time::sleep(pause.to_std()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_called_after_the_cluster_and_the_part() {
        let check = |cluster: &str, part: &str, expect: &str| {
            let name = pool_name(cluster, part);
            assert_eq!(name, expect);
            assert!(name.len() <= NAME_CHARS_MAX);
        };
        check("lab", "main", "lab-main");
        check("Tianhe_2A", "GPU_v100", "tianhe-2a-gpu-v100");
        let long = "a-very-long-name-of-a-cluster-somewhere";
        check(long, "a-partition-of-a-long-name", "a-very-long-n-a-partition-of-a-long-name");
    }

    #[test]
    fn what_was_refused_is_not_tried_again_and_what_passes_ever_less_often() {
        let mut backoff = Backoff::between(AGAIN_FIRST, AGAIN_LONGEST);
        let refused =
            "join.token: this join token is not known, was used, or has expired".to_owned();
        let gone = "slurm.partition: there is no partition `gpu`".to_owned();
        let gone = AgentFault::Engine(Fault::Unsupported(gone));
        assert!(matches!(again(&gone, true, &mut backoff), Again::After(_)), "it was there");
        backoff.reset();
        for fault in [
            AgentFault::JoinRefused(refused),
            AgentFault::JoinToken,
            AgentFault::NotJoined,
            gone,
            AgentFault::Engine(Fault::Version { ours: 2, theirs: 1 }),
        ] {
            assert_eq!(again(&fault, false, &mut backoff), Again::Never, "{fault}");
        }
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let fault = AgentFault::Unreachable("no answer".to_owned());
            let Again::After(pause) = again(&fault, false, &mut backoff) else { panic!("{fault}") };
            pauses.push(pause);
        }
        assert!(pauses[0] >= AGAIN_FIRST && pauses[0] <= AGAIN_FIRST.times(2), "{pauses:?}");
        assert!(pauses.is_sorted() && pauses[4] > pauses[0], "{pauses:?}");
        assert_eq!(pauses[11], AGAIN_LONGEST);
        for fault in [
            AgentFault::Engine(Fault::Unreachable("away".to_owned())),
            AgentFault::Broken("a thread"),
        ] {
            assert!(matches!(again(&fault, false, &mut backoff), Again::After(_)), "{fault}");
        }
    }
}

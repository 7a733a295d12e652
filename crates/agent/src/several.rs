//! Several pools of one agent: each with a folder, a membership and an engine of its own, in one process,
//! such as the partitions of a cluster.
//!
//! They join one after the other by one invitation, because they have one key: the first says how many come
//! after it. Invariant: what befalls one pool ends none of the others; only where not one of them can begin
//! does the agent end.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use dayan_units::Span;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::config::AgentConfig;
use crate::fault::AgentFault;
use crate::home::{Home, is_member};
use crate::identity::Key;
use crate::inventory::slug;
use crate::run::run_telling;

/// A pool that could not go on is begun again after that: a file server or a controller that was away is
/// back by then, and nobody reads more than one line about it in that time.
const AGAIN_AFTER: Span = Span::from_secs(30);
/// What the exchange takes as a name at most.
const NAME_CHARS_MAX: usize = 40;

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
    /// It does not, for now.
    Failed(usize, AgentFault),
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
        Box::pin(tend(at, config, tell.clone(), stopped.clone()).instrument(span))
    };
    let mut running: FuturesUnordered<_> = members.into_iter().map(&begin).collect();
    // One at a time: the first of them tells the exchange of the others.
    let mut joining = strangers.pop_front();
    running.extend(joining.map(&begin));
    let mut shutdown = std::pin::pin!(shutdown);
    let mut works = vec![false; pools.len()];
    let mut faults = BTreeMap::new();
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
            News::Failed(at, fault) => {
                let nobody_works = !works.contains(&true);
                if nobody_works && none_is_member && joining == Some(at) {
                    // What keeps the first from joining keeps all of them.
                    break Err(fault);
                }
                let code = fault.code();
                let why = std::error::Error::source(&fault).map(ToString::to_string);
                tracing::warn!(
                    pool = pools[at].name, code, %fault, why, again_in = %AGAIN_AFTER,
                    "a pool cannot go on; the others do"
                );
                faults.entry(at).or_insert(fault);
                if nobody_works && faults.len() == all {
                    let (_, first) = faults.pop_first().expect("each has failed");
                    break Err(first);
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

/// Has one pool work until it is told to stop, again after each fault.
async fn tend(
    at: usize,
    config: impl Fn() -> AgentConfig,
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
    loop {
        // Nobody listens any more while it is stopped.
        let ready = || drop(tell.send(News::Ready(at)));
        match run_telling(config(), ready, told()).await {
            Ok(()) => return,
            Err(fault) => drop(tell.send(News::Failed(at, fault))),
        }
        tokio::select! {
            () = told() => return,
            () = tokio::time::sleep(AGAIN_AFTER.to_std()) => {}
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
}

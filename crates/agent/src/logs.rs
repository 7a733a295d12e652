//! Logs on their way to the exchange: parts that somebody waits for, and what is kept of attempts
//! that have ended.
//!
//! Both are asked of the engine's thread and sent by requests of their own, so that no sync waits
//! for a log. Invariant: what was kept is handed over in order, and marked only when the exchange
//! has said that it took it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dayan_engines::{LogChunk, Stream};
use dayan_units::AttemptId;
use dayan_wire::LogAsk;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::link::{Link, LinkFault};
use crate::runner::{Asking, LogPart};

/// The most of a log that is sent at once.
const PART_MAX: u32 = 1 << 20;
/// How long an ask may wait for something to be written, whatever it says: below what the exchange
/// takes for silence.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a log that is waited for is looked at. With the way there and back a line is seen well
/// within a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The pause after the exchange refused the agent: an operator has to do something about it.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Parts of logs that are being sent, and who of the attempts still writes.
#[derive(Default)]
pub(crate) struct Following {
    asks: BTreeSet<u64>,
    writing: BTreeMap<AttemptId, watch::Sender<bool>>,
}

impl Following {
    /// Takes an ask on: the task to run for it; none where it is being answered. `writes` says
    /// whether the attempt may still write.
    pub(crate) fn take(
        &mut self,
        ask: &LogAsk,
        writes: bool,
        asking: Asking,
        link: (Arc<Link>, Arc<str>),
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        if !self.asks.insert(ask.id) {
            return None;
        }
        let writing = if writes {
            self.writing.entry(ask.attempt).or_insert_with(|| watch::channel(true).0).subscribe()
        } else {
            watch::channel(false).1
        };
        let stream = match ask.stream.as_str() {
            "stdout" => Some(Stream::Stdout),
            "stderr" => Some(Stream::Stderr),
            "steps" => Some(Stream::Steps),
            "outputs" => Some(Stream::Outputs),
            _ => None,
        };
        let max = usize::try_from(ask.max.min(PART_MAX)).unwrap_or(usize::MAX);
        let part = |stream| LogPart { attempt: ask.attempt, stream, offset: ask.offset, max };
        let (part, id, offset) = (stream.map(part), ask.id, ask.offset);
        let wait = Duration::from_millis(u64::from(ask.wait_ms)).min(WAIT_MAX);
        Some(async move {
            let mut query = Vec::new();
            let (chunk, over) = if let Some(part) = part {
                read(part, &asking, writing, wait).await
            } else {
                query.push(("error", "the streams are stdout, stderr and steps".to_owned()));
                (LogChunk { offset, ..LogChunk::default() }, true)
            };
            query.push(("next", chunk.next().max(offset).to_string()));
            query.push(("end", over.to_string()));
            let (link, token) = link;
            if let Err(fault) = link.log(&token, id, &query, chunk.data).await {
                // Whoever waits asks again.
                tracing::debug!(%fault, ask = id, "a part of a log was not taken");
            }
        })
    }

    /// An ask was answered.
    pub(crate) fn answered(&mut self, ask: u64) {
        self.asks.remove(&ask);
    }

    /// The attempt writes no more.
    pub(crate) fn ended(&mut self, attempt: AttemptId) {
        if let Some(writing) = self.writing.remove(&attempt) {
            writing.send_replace(false);
        }
    }
}

/// Reads a part, waiting for it if need be; and will there be no more?
async fn read(
    part: LogPart,
    asking: &Asking,
    mut writing: watch::Receiver<bool>,
    wait: Duration,
) -> (LogChunk, bool) {
    let until = Instant::now() + wait;
    loop {
        // Looked at before asking: what was written before the end is in what is read then.
        let writes = *writing.borrow_and_update();
        let chunk = asking.log(part).await.unwrap_or_default();
        let left = until.saturating_duration_since(Instant::now());
        if !chunk.data.is_empty() || !writes || left.is_zero() {
            let over = chunk.data.is_empty() && !writes;
            return (chunk, over);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY.min(left)) => {}
            // Hung up is the end too: the next look reads what there is.
            _ = writing.changed() => {}
        }
    }
}

/// Hands over what is kept, whenever there is something new, until the agent ends.
pub(crate) async fn hand_over(asking: Asking, news: Arc<Notify>, link: Arc<Link>, token: Arc<str>) {
    let mut backoff = Backoff::new();
    loop {
        // The engine's thread is gone with the agent.
        let Ok(next) = asking.parcel().await else { return };
        let Some(parcel) = next else {
            news.notified().await;
            continue;
        };
        match link.kept_logs(&token, parcel.frames).await {
            Ok(()) => {
                backoff.reset();
                asking.handed_over(parcel.upto);
            }
            Err(LinkFault::Away(why)) => {
                tracing::debug!(why, "logs are handed over later");
                tokio::time::sleep(backoff.next().to_std()).await;
            }
            Err(LinkFault::Refused(why)) => {
                tracing::debug!(why, "the exchange takes no logs of this agent now");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            Err(LinkFault::Rejected(why) | LinkFault::Garbage(why)) => {
                tracing::warn!(
                    why,
                    "the exchange does not take some logs; they stay here for a day"
                );
                asking.handed_over(parcel.upto);
            }
        }
    }
}

//! Logs of attempts that have ended, as their agents hand them over: kept for a while, within a
//! size, and found without the site that ran them.
//!
//! Knows nothing of who may read them.

use std::sync::Arc;
use std::time::Duration;

use dayan_store::{Fault, LogPart, Logs, LogsKept};
use dayan_units::{AttemptId, Span, Time};
use dayan_wire::logs::{LogFrame, LogStream, unpack};

use crate::clock::SharedClock;
use crate::metrics::Metrics;

/// How often what is too old or too much is removed: at 10 MB a second, 6 GB more than allowed lie
/// there for so long.
const TRIM_EVERY: Duration = Duration::from_mins(10);

/// How much is kept, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLimits {
    /// So long after the exchange was given them.
    pub keep: Span,
    /// So many bytes as packed; beyond, the oldest go first.
    pub bytes: u64,
}

impl LogLimits {
    /// A month, in which a bill is looked at; 4 GiB, some ten million short logs.
    pub const DEFAULT: Self = Self { keep: Span::from_secs(30 * 24 * 3_600), bytes: 4 << 30 };
}

/// What is kept, and how much of it may be.
#[derive(Debug)]
pub struct LogKeeper {
    logs: Logs,
    limits: LogLimits,
}

/// A piece of a stream that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where it begins; behind the offset that was asked for where nothing is kept of what was
    /// there.
    pub offset: u64,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl LogKeeper {
    /// Over what the store has.
    pub const fn new(logs: Logs, limits: LogLimits) -> Self {
        Self { logs, limits }
    }

    /// Keeps frames, with the bytes that follow each.
    pub fn take(&self, now: Time, frames: Vec<(LogFrame, Vec<u8>)>) -> Result<(), Fault> {
        let (mut parts, mut whole) = (Vec::new(), Vec::new());
        for (frame, bytes) in frames {
            match frame.stream {
                None => whole.push(frame.attempt),
                Some(stream) => parts.push(LogPart {
                    attempt: frame.attempt,
                    stream: stream.number(),
                    start: frame.offset,
                    length: frame.length,
                    bytes,
                }),
            }
        }
        if parts.is_empty() && whole.is_empty() {
            return Ok(());
        }
        self.logs.put(now, &parts, &whole)
    }

    /// A piece of an attempt's log from `offset` on, at most so long; none where the attempt's logs
    /// are not here. An empty piece is its end.
    pub fn read(
        &self,
        attempt: AttemptId,
        stream: LogStream,
        offset: u64,
        max: usize,
    ) -> Result<Option<Piece>, Fault> {
        if !self.logs.is_whole(attempt)? {
            return Ok(None);
        }
        let Some(part) = self.logs.find(attempt, stream.number(), offset)? else {
            return Ok(Some(Piece { offset, data: Vec::new() }));
        };
        let mut data = match unpack(&part.bytes, part.length) {
            Ok(data) => data,
            Err(error) => {
                tracing::warn!(%error, %attempt, "a part of a log cannot be read; it is passed over");
                return Ok(Some(Piece { offset: part.start + part.length, data: Vec::new() }));
            }
        };
        let begin = offset.max(part.start);
        let skip = usize::try_from(begin - part.start).unwrap_or(usize::MAX);
        data.drain(..skip.min(data.len()));
        data.truncate(max);
        Ok(Some(Piece { offset: begin, data }))
    }

    /// Removes what is too old or too much.
    fn trim(&self, now: Time) -> Result<LogsKept, Fault> {
        self.logs.trim(now.minus(self.limits.keep), self.limits.bytes)
    }
}

/// Trims now and then, until it is aborted.
pub async fn trim_for_ever(keeper: Arc<LogKeeper>, clock: SharedClock, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(TRIM_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (keeper, now) = (keeper.clone(), clock.now());
        match tokio::task::spawn_blocking(move || keeper.trim(now)).await {
            Ok(Ok(kept)) => {
                metrics.log_bytes.set(i64::try_from(kept.bytes).unwrap_or(i64::MAX));
            }
            Ok(Err(fault)) => {
                let why = crate::writer::chain(&fault);
                tracing::warn!(why, "old logs are not removed; tried again");
            }
            // The server stops.
            Err(_) => return,
        }
    }
}

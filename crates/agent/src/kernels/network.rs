//! Round trip and throughput between this machine and the exchange.
//!
//! What carries the bytes is the caller's: the agent hands in its HTTP client, so that what is
//! measured is what a job's data will see. This only repeats, times and counts.

use std::fmt::Display;
use std::future::Future;

use dayan_measure::Attribute;

use super::{Cancel, Effort, Frame, Reading, Repetitions, Stopwatch, percentile, whole};

const VERSION: u32 = 1;
const TRIPS_MIN: usize = 20;
const TRIPS_MAX: usize = 1_000;

/// The way to the exchange. Every call must end within a time limit of its own: this cannot
/// interrupt one that hangs.
pub trait Transport {
    /// Why a call failed.
    type Error: Display;
    /// The least request there is, and its answer.
    fn round_trip(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;
    /// Sends so many bytes and waits until the other side says that it has them.
    fn send(&mut self, bytes: usize) -> impl Future<Output = Result<(), Self::Error>> + Send;
    /// Receives so many bytes.
    fn receive(&mut self, bytes: usize) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Which way the bytes go, as seen from here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Measures the round trip (p50, p99) and both directions. `layer` says what lies between, e.g.
/// `loopback`: such readings never describe a link.
pub async fn measure<T: Transport>(
    transport: &mut T,
    layer: &str,
    effort: Effort,
    cancel: &Cancel,
) -> Vec<Reading> {
    let mut readings = round_trips(transport, layer, effort, cancel).await;
    for way in [Way::Up, Way::Down] {
        readings.push(throughput(transport, layer, way, effort, cancel).await);
    }
    readings
}

async fn round_trips<T: Transport>(
    transport: &mut T,
    layer: &str,
    effort: Effort,
    cancel: &Cancel,
) -> Vec<Reading> {
    let parts = [(Attribute::NetRoundTripP50, 500), (Attribute::NetRoundTripP99, 990)];
    let frame = |attribute| Frame::new(attribute, "request-response", VERSION);
    let refused = |why: &str| parts.map(|(attribute, _)| frame(attribute).unavailable(why));
    let total = Stopwatch::start();
    let mut times = Vec::new();
    // The first makes the connection and is not counted.
    if let Err(fault) = transport.round_trip().await {
        return refused(&fault.to_string()).into();
    }
    while times.len() < TRIPS_MAX
        && (times.len() < TRIPS_MIN || total.seconds() < effort.share_seconds())
    {
        if cancel.is_cancelled() {
            return refused("cancelled").into();
        }
        let watch = Stopwatch::start();
        if let Err(fault) = transport.round_trip().await {
            return refused(&fault.to_string()).into();
        }
        times.push(watch.seconds());
    }
    times.sort_by(f64::total_cmp);
    let note = format!("{layer}, {} round trips", times.len());
    let reading = |(attribute, permille)| Reading {
        measured: Some(whole(percentile(&times, permille) * 1e6)),
        took: total.span(),
        ..frame(attribute).with_note(note.clone()).into_reading()
    };
    parts.map(reading).into()
}

async fn throughput<T: Transport>(
    transport: &mut T,
    layer: &str,
    way: Way,
    effort: Effort,
    cancel: &Cancel,
) -> Reading {
    let bytes: usize = match effort {
        Effort::Quick => 1 << 20,
        Effort::Full => 8 << 20,
    };
    let attribute = match way {
        Way::Up => Attribute::NetUp,
        Way::Down => Attribute::NetDown,
    };
    let frame = Frame::new(attribute, "single-stream", VERSION)
        .with_note(format!("{layer}, {} MiB a time", bytes >> 20));
    if cancel.is_cancelled() {
        return frame.unavailable("cancelled");
    }
    let mut repetitions = Repetitions::new(effort, cancel);
    loop {
        let watch = Stopwatch::start();
        let done = match way {
            Way::Up => transport.send(bytes).await,
            Way::Down => transport.receive(bytes).await,
        };
        if let Err(fault) = done {
            return frame.unavailable(&fault.to_string());
        }
        if !repetitions.another(watch.seconds()) {
            return repetitions.rate(frame, 8.0 * bytes as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Counts calls; fails from the given call on.
    struct Counting {
        calls: usize,
        fails_from: usize,
    }
    impl Counting {
        fn call(&mut self) -> std::future::Ready<Result<(), &'static str>> {
            self.calls += 1;
            std::future::ready(if self.calls >= self.fails_from { Err("no route") } else { Ok(()) })
        }
    }
    impl Transport for Counting {
        type Error = &'static str;
        fn round_trip(&mut self) -> impl Future<Output = Result<(), &'static str>> + Send {
            self.call()
        }
        fn send(&mut self, _: usize) -> impl Future<Output = Result<(), &'static str>> + Send {
            self.call()
        }
        fn receive(&mut self, _: usize) -> impl Future<Output = Result<(), &'static str>> + Send {
            self.call()
        }
    }

    /// The futures above are always ready, so one look is enough.
    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("these transports never wait"),
        }
    }

    #[test]
    fn four_readings_from_a_working_transport() {
        let mut transport = Counting { calls: 0, fails_from: usize::MAX };
        let readings = now(measure(&mut transport, "loopback", Effort::Quick, &Cancel::new()));
        let attributes: Vec<Attribute> = readings.iter().map(|r| r.attribute).collect();
        assert_eq!(
            attributes,
            [
                Attribute::NetRoundTripP50,
                Attribute::NetRoundTripP99,
                Attribute::NetUp,
                Attribute::NetDown
            ]
        );
        assert!(readings.iter().all(|r| r.measured.is_some()), "{readings:?}");
        assert!(readings[0].note.starts_with("loopback"));
    }

    #[test]
    fn a_fault_is_a_reason() {
        let check = |fails_from, with_value| {
            let mut transport = Counting { calls: 0, fails_from };
            let readings = now(measure(&mut transport, "wan", Effort::Quick, &Cancel::new()));
            assert_eq!(readings.len(), 4);
            assert_eq!(readings.iter().filter(|r| r.measured.is_some()).count(), with_value);
            assert!(readings[3].note.contains("no route"), "{}", readings[3].note);
        };
        check(1, 0);
        check(5, 0);
        check(TRIPS_MAX + 3, 2);
    }

    #[test]
    fn cancelled_readings_say_so() {
        let cancel = Cancel::new();
        cancel.cancel();
        let mut transport = Counting { calls: 0, fails_from: usize::MAX };
        let readings = now(measure(&mut transport, "wan", Effort::Full, &cancel));
        assert!(readings.iter().all(|r| r.note == "not available: cancelled"));
    }
}

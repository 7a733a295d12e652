//! How long data takes from one place to another.
//!
//! The estimate is one round trip to set up plus bytes over bandwidth. Slow start and congestion
//! are left out: over a large transfer the first does not matter, and the second is in a measured
//! bandwidth already.

use dayan_units::{Bytes, Span, Time};
use serde::{Deserialize, Serialize};

use crate::delay::Percentile;
use crate::link::{Layer, LinkKind, Source};
use crate::place::PlaceId;
use crate::topology::Topology;

/// Throughput of one flow with its provenance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bit/s.
    pub bits_per_second: u64,
    /// Who says so.
    pub source: Source,
    /// When; a model has no date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
}

/// How long a transfer takes and what that rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TransferEstimate {
    /// From the request to the last byte.
    pub span: Span,
    /// The throughput assumed.
    pub bandwidth: Bandwidth,
}

/// What one flow between cities is assumed to get where nobody measured: a gigabit, the usual
/// port of a leased line. The bandwidths of the table are shared by whole cities.
const MODELLED_FLOW_BPS: u64 = 1_000_000_000;
/// The same inside of one place: a ten-gigabit port.
const MODELLED_LOCAL_BPS: u64 = 10_000_000_000;

/// One round trip plus bytes over bandwidth, rounded up to a microsecond; nothing takes no time.
/// [`Span::MAX`] without bandwidth.
pub fn transfer_time(bytes: Bytes, bits_per_second: u64, round_trip: Span) -> Span {
    if bytes == Bytes::ZERO {
        return Span::ZERO;
    }
    if bits_per_second == 0 {
        return Span::MAX;
    }
    let micro_bits = u128::from(bytes.0) * 8 * 1_000_000;
    let micros = micro_bits.div_ceil(u128::from(bits_per_second));
    Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)).plus(round_trip)
}

impl Topology {
    /// The throughput of one flow: the newest fresh measurement on the first layer that has one,
    /// then published, then an assumption.
    pub fn bandwidth(&self, from: PlaceId, to: PlaceId, layers: &[Layer], now: Time) -> Bandwidth {
        for source in [Source::Measured, Source::Published] {
            for layer in layers.iter().filter(|layer| **layer != Layer::Loopback) {
                let newest = [LinkKind::OneWay, LinkKind::RoundTrip]
                    .into_iter()
                    .filter_map(|kind| self.links.get(&(from, to, *layer, source, kind)))
                    .filter(|link| link.is_fresh(now))
                    .filter_map(|link| Some((link.as_of, link.bandwidth_bps?)))
                    .max();
                if let Some((as_of, bits_per_second)) = newest {
                    return Bandwidth { bits_per_second, source, as_of: Some(as_of) };
                }
            }
        }
        let bits_per_second = if from == to { MODELLED_LOCAL_BPS } else { MODELLED_FLOW_BPS };
        Bandwidth { bits_per_second, source: Source::Modelled, as_of: None }
    }

    /// How long so many bytes take, on the default layers. The round trip is both one-way
    /// medians.
    pub fn transfer(
        &self,
        from: PlaceId,
        to: PlaceId,
        bytes: Bytes,
        now: Time,
    ) -> TransferEstimate {
        let layers = Layer::DEFAULT_ORDER;
        let bandwidth = self.bandwidth(from, to, layers, now);
        let there = self.one_way(from, to, layers, Percentile::P50, now);
        let back = self.one_way(to, from, layers, Percentile::P50, now);
        let span = transfer_time(bytes, bandwidth.bits_per_second, there.span.plus(back.span));
        TransferEstimate { span, bandwidth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tests::measured;
    use proptest::prelude::*;

    #[test]
    fn bytes_over_bandwidth_and_a_round_trip() {
        let check = |bytes, bps, rtt_ms, micros| {
            let got = transfer_time(Bytes(bytes), bps, Span::from_millis(rtt_ms));
            assert_eq!(got, Span::from_micros(micros));
        };
        check(0, 0, 20, 0);
        check(125_000_000, 1_000_000_000, 20, 1_020_000);
        check(1, 1_000_000_000, 0, 1);
        check(1, 0, 0, i64::MAX);
        check(u64::MAX, 1, 0, i64::MAX);
    }

    #[test]
    fn a_measured_bandwidth_is_used_while_fresh() {
        let mut topology = Topology::default();
        let mut link = measured("Guiyang", "Shenzhen", LinkKind::RoundTrip, 20, 22);
        link.bandwidth_bps = Some(8_000_000);
        let (from, to, expiry) = (link.from, link.to, link.as_of.plus(link.ttl));
        topology.upsert_measurement(link).expect("possible");
        let at = |now| topology.transfer(from, to, Bytes(1_000_000), now);
        let fresh = at(Time::EPOCH);
        assert_eq!(fresh.span, Span::from_millis(1_020));
        assert_eq!(fresh.bandwidth.source, Source::Measured);
        assert_eq!(at(expiry).bandwidth.source, Source::Modelled);
        // Throughput has a direction.
        assert_eq!(
            topology.transfer(to, from, Bytes(1), Time::EPOCH).bandwidth.source,
            Source::Modelled
        );
    }

    proptest! {
        #[test]
        fn more_bytes_never_take_less(a in any::<u64>(), b in any::<u64>(), bps in 1u64..1 << 40) {
            let time = |bytes| transfer_time(Bytes(bytes), bps, Span::from_millis(1));
            prop_assert!(time(a.min(b)) <= time(a.max(b)));
        }
    }
}

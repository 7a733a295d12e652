//! The network as the planner asks of it, with the answers of the places of a market kept.
//!
//! Invariant: what is kept is what the topology says at the market's beginning.

use dayan_schedule::Network;
use dayan_topology::Topology;
use dayan_units::{Span, Time};
use rustc_hash::FxHashMap;

use super::draw::Market;

/// The network's answers for the places there are, asked for once: a planner that judges thousands
/// of classes afresh every ten seconds would spend most of its time on names.
#[derive(Debug)]
pub(super) struct Distances {
    one_way: FxHashMap<String, FxHashMap<String, Span>>,
    topology: Topology,
}

impl Distances {
    pub fn between(market: &Market) -> Self {
        let topology = Topology::default();
        let mut one_way: FxHashMap<String, FxHashMap<String, Span>> = FxHashMap::default();
        for program in &market.programs {
            // As job files name it.
            let from = program.place.to_string();
            let known = one_way.entry(from.clone()).or_default();
            for pool in market.pools.iter().filter(|_| program.asks.delay.is_some()) {
                let to = pool.place.place().name;
                if !known.contains_key(to) {
                    let way = Network::one_way(&topology, &from, to, PERCENTILE, market.start);
                    known.extend(way.map(|way| (to.to_owned(), way)));
                }
            }
        }
        Self { one_way, topology }
    }
}

/// What the files of a market ask about.
const PERCENTILE: u8 = 99;

impl Network for Distances {
    fn one_way(&self, from: &str, to: &str, percentile: u8, now: Time) -> Option<Span> {
        let known = self.one_way.get(from).and_then(|known| known.get(to));
        match known {
            Some(way) if percentile == PERCENTILE => Some(*way),
            Some(_) | None => Network::one_way(&self.topology, from, to, percentile, now),
        }
    }
    fn transfer_time(
        &self,
        from: &str,
        to: &str,
        bytes: dayan_units::Bytes,
        now: Time,
    ) -> Option<Span> {
        Network::transfer_time(&self.topology, from, to, bytes, now)
    }
}

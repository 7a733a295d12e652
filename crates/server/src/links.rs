//! The measured network of an exchange: a file of links that its operator keeps.
//!
//! Who sells capacity does not measure the way to it; the operator does (or somebody he trusts),
//! and says on which layer, when, and for how long it holds. Built in are what the networks'
//! operators publish and a model of the rest; a measured link goes before both while it is fresh.
//! Invariant: a file is taken whole or refused whole, with the number of the link that cannot be.

use std::path::Path;

use dayan_topology::{Layer, Link, LinkKind, PlaceId, Source, Topology};
use dayan_units::{Span, Time};
use serde::Deserialize;

/// All pairs of 61 cities in both directions on three layers are some 11,000.
const LINKS_MAX: usize = 50_000;
/// A link's text has some 200 bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A link as an operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A city of the table, by any of its names.
    from: String,
    /// The same.
    to: String,
    kind: LinkKind,
    layer: Layer,
    /// `measured` unless told.
    #[serde(default = "measured")]
    source: Source,
    /// Milliseconds.
    p50_ms: f64,
    p99_ms: f64,
    /// Of one flow, in megabit per second.
    #[serde(default)]
    mbps: Option<u64>,
    /// RFC 3339.
    as_of: String,
    /// For how many days after that it holds.
    valid_days: u32,
}

const fn measured() -> Source {
    Source::Measured
}

/// Milliseconds to whole microseconds, rounded up: a promise may rest on it.
#[expect(clippy::cast_possible_truncation, reason = "within the range that is checked")]
fn span(millis: f64) -> Result<Span, String> {
    let micros = (millis * 1e3).ceil();
    if micros.is_finite() && (0.0..1e12).contains(&micros) {
        Ok(Span::from_micros(micros as i64))
    } else {
        Err(format!("{millis} ms is no delay"))
    }
}

impl Written {
    fn link(&self) -> Result<Link, String> {
        let place = |name: &str| PlaceId::find(name).map_err(|unknown| unknown.to_string());
        Ok(Link {
            from: place(&self.from)?,
            to: place(&self.to)?,
            kind: self.kind,
            layer: self.layer,
            source: self.source,
            p50: span(self.p50_ms)?,
            p99: span(self.p99_ms)?,
            bandwidth_bps: self.mbps.map(|mbps| mbps.saturating_mul(1_000_000)),
            as_of: self.as_of.parse::<Time>()?,
            ttl: Span::from_secs(i64::from(self.valid_days) * 86_400),
        })
    }
}

fn parse(text: &str) -> Result<Topology, String> {
    let written: Vec<Written> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if written.len() > LINKS_MAX {
        return Err(format!("{} links; at most {LINKS_MAX}", written.len()));
    }
    let mut network = Topology::default();
    for (index, written) in written.iter().enumerate() {
        let taken = written.link().and_then(|link| {
            network.upsert_measurement(link).map_err(|impossible| impossible.to_string())
        });
        let (number, Written { from, to, .. }) = (index + 1, written);
        taken.map_err(|why| format!("link {number}, {from} to {to}: {why}"))?;
    }
    Ok(network)
}

/// The network: what is built in, and the links of the file, if there is one.
pub(crate) fn network(file: Option<&Path>) -> Result<Topology, String> {
    let Some(path) = file else { return Ok(Topology::default()) };
    let told = |why: String| format!("the links in {}: {why}", path.display());
    let length = std::fs::metadata(path).map_err(|error| told(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(told(format!("{length} bytes; at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    parse(&text).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_topology::Percentile;

    fn link(fields: &str) -> String {
        format!(
            r#"[{{"from": "Guiyang", "to": "city:Shenzhen", "kind": "one_way",
                "layer": "private_ip", "as_of": "2026-11-01T00:00:00Z", "valid_days": 30, {fields}}}]"#
        )
    }

    #[test]
    fn a_measured_link_goes_before_what_is_published_while_it_is_fresh() {
        let network = parse(&link(r#""p50_ms": 9.0, "p99_ms": 9.5"#)).expect("possible");
        let find = |name| PlaceId::find(name).expect("a city");
        let delay = |now: &str| {
            network.one_way(
                find("Guiyang"),
                find("Shenzhen"),
                Layer::DEFAULT_ORDER,
                Percentile::P99,
                now.parse().expect("a time"),
            )
        };
        let fresh = delay("2026-11-20T00:00:00Z");
        assert_eq!((fresh.source, fresh.span), (Source::Measured, Span::from_micros(9_500)));
        let stale = delay("2026-12-20T00:00:00Z");
        assert_eq!(stale.source, Source::Published);
        assert_ne!(stale.span, fresh.span);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_number() {
        let check = |text: &str, expect: &str| {
            let refused = parse(text).expect_err("not a network");
            assert!(refused.contains(expect), "{refused}");
        };
        check("{}", "invalid type");
        check(&link(r#""p50_ms": 0.5, "p99_ms": 1.0"#), "link 1, Guiyang to city:Shenzhen: ");
        check(&link(r#""p50_ms": 0.5, "p99_ms": 1.0"#), "faster than light");
        check(&link(r#""p50_ms": 9.0, "p99_ms": 1.0"#), "not possible");
        check(&link(r#""p50_ms": -1, "p99_ms": 1.0"#), "is no delay");
        check(&link(r#""p50_ms": 9.0, "p99_ms": 9.1, "mpbs": 3"#), "unknown field `mpbs`");
        let nowhere = link(r#""p50_ms": 9.0, "p99_ms": 9.1"#).replace("Guiyang", "Guiyan");
        check(&nowhere, "Guiyang");
        let undated = link(r#""p50_ms": 9.0, "p99_ms": 9.1"#).replace("2026-11-01T", "yesterday ");
        check(&undated, "RFC 3339");
        assert!(network(Some(Path::new("/nonexistent/links.json"))).is_err());
        assert_eq!(network(None).expect("built in").links().count(), 0);
    }
}

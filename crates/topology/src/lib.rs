//! Where computing power stands and how long a bit takes to get there: places, links between
//! them with their provenance, delay classes, routes and transfer times.
//!
//! Invariants: every delay says what it rests on (measured one way, a measured round trip, a
//! published figure, a model); a fresh measurement beats a published figure, a published figure
//! beats a model; a probe that never left its machine describes no link between places. Results
//! are integers and the same on every platform. This room knows nothing of jobs or prices and
//! reads no clock: `now` is always an argument.

mod class;
mod delay;
mod distance;
mod grid;
mod link;
mod model;
mod names;
mod place;
mod route;
mod topology;
mod transfer;

pub use class::{ClassUnknown, DelayClass, DelayClasses, Reason};
pub use delay::{Basis, DelayEstimate, Percentile, PercentileUnknown};
pub use grid::{
    GRAMS_PER_KWH_MAX, GRID_HOURS_MAX, GridDefect, GridSeries, REPEATED_FOR, next_hour,
};
pub use link::{Layer, Link, LinkError, LinkKind, Source, Upsert};
pub use model::{direct_ip_from_guizhou, modelled, optical, private_ip, public_ip};
pub use names::{Region, UnknownPlace, UnknownRegion};
pub use place::{Place, PlaceId, Published, places};
pub use route::{Leg, Route};
pub use topology::{Matrix, MatrixCell, Topology};
pub use transfer::{Bandwidth, TransferEstimate, transfer_time};

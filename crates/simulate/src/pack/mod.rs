//! Packing accelerators: how much of a cluster's cards a policy gets to work, over a published list
//! of nodes and pods. The reader takes the openb lists (Alibaba, cluster-trace-gpu-v2023), the
//! protocol is that of FGD (Weng et al., "Beware of Fragmentation", ATC'23), and the published
//! rules run beside ours in one command.
//!
//! Invariant: the same lists, policy and seed give the same result; a pod that fits somewhere is
//! placed; every run's placements are added up again by `recheck`, which shares nothing with the
//! policies. Nothing here opens a file.

mod audit;
mod bound;
mod choose;
mod cluster;
mod curve;
mod fgd;
mod list;
mod live;
mod picture;
mod rivals;
mod run;
mod workload;

pub use audit::{Overfull, recheck};
pub use bound::bound_pct;
pub(crate) use list::CARDS_MAX;
pub use list::{ListError, NodeRow, PodRow, read_nodes, read_pods};
pub use picture::{PackWords, picture};
pub use run::{
    Bound, Curve, Curves, PackPolicy, PackReport, Placed, SeedReport, any_fits, pack, pack_seed,
};
pub use workload::{LOAD_PERMILLE, arrivals};

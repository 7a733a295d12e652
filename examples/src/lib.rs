//! Real workloads for Dayan's demo: a film shot, a forecast, tyre inspection, molecular dynamics.
//!
//! Each program is an ordinary one: it learns its place from `DAYAN_*` variables or from flags
//! and knows nothing else of Dayan. Invariant of the whole crate: the same arguments give the
//! same bytes, whatever the number of threads or ranks. Nothing here may depend on another room.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "pixel, cell and atom indices stay far below 2^31 (sizes are bounded where they are \
              read); sample values are clamped before they are narrowed"
)]
#![expect(
    clippy::many_single_char_names,
    reason = "x, y, z, h, u, v, t and n are the names the formulas have in the literature"
)]
#![cfg_attr(test, expect(clippy::float_cmp, reason = "tests that say equal mean the same bits"))]

pub mod args;
pub mod canvas;
pub mod font;
pub mod json;
pub mod noise;
pub mod place;
pub mod rng;

pub mod forecast;
pub mod nbody;
pub mod render;
pub mod tyre;

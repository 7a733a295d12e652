//! Real workloads.

//! dayan
fn main() {}

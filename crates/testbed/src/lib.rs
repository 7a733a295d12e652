//! What tests of several rooms start on this machine: for now a PostgreSQL of their own. It knows
//! nothing of the rooms.

mod postgres;

pub use postgres::Postgres;

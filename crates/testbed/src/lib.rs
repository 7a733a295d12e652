//! What tests of several rooms need of this machine: a PostgreSQL of their own, and a damaged
//! database. It knows nothing of the rooms.

mod damage;
mod postgres;

pub use damage::{MARK, damage};
pub use postgres::Postgres;

//! One connection that reads, whichever the engine.

use std::ops::ControlFlow;

use crate::column::{Cells, Value};
use crate::fault::Cause;
use crate::sqlite;

/// Told of one row; says whether it wants more.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&dyn Cells) -> Result<ControlFlow<()>, Cause>;

pub(crate) enum Session {
    Sqlite(sqlite::Session),
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Session>),
}

impl Session {
    /// Runs a query with `$1`… parameters and shows each row as it comes.
    pub(crate) fn each(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        visit: Visit<'_>,
    ) -> Result<(), Cause> {
        match self {
            Self::Sqlite(session) => session.each(sql, params, visit),
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.each(sql, params, visit),
        }
    }

    /// Must this connection be thrown away?
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.is_lost(),
        }
    }

    /// All rows of a query, each made into a `T`.
    pub(crate) fn all<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        read: impl Fn(&dyn Cells) -> Result<T, Cause>,
    ) -> Result<Vec<T>, Cause> {
        let mut rows = Vec::new();
        self.each(sql, params, &mut |cells| {
            rows.push(read(cells)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }
}

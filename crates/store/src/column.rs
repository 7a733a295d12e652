//! How a Rust value becomes a column and back: whole numbers, text and bytes, nothing else, so
//! that both engines hold the same. Ids are their written form, times microseconds, money micros.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use dayan_units::{
    AgentId, AttemptId, InvoiceId, JobId, Micro, OrgId, PoolId, ProjectId, ProviderId, Time,
    TransferId,
};

use crate::fault::Cause;

/// The three kinds of column both engines share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Blob,
}

/// One value on its way into the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
    /// A number over the range of the column; found before anything is written.
    Unfit(&'static str),
}

impl Value<'_> {
    /// Why this value cannot be stored, if so. PostgreSQL holds no NUL in text; SQLite would, and
    /// then the two would differ.
    pub(crate) fn unstorable(&self) -> Option<&'static str> {
        match self {
            Self::Unfit(why) => Some(why),
            Self::Text(text) if text.as_bytes().contains(&0) => Some("a NUL character"),
            Self::Null | Self::Int(_) | Self::Text(_) | Self::Blob(_) => None,
        }
    }
}

/// One row on its way out of the database; columns are counted from 0.
pub(crate) trait Cells {
    fn int(&self, column: usize) -> Result<Option<i64>, Cause>;
    fn text(&self, column: usize) -> Result<Option<&str>, Cause>;
    fn blob(&self, column: usize) -> Result<Option<&[u8]>, Cause>;
}

/// A type that fills one column.
pub(crate) trait Column: Sized {
    const KIND: Kind;
    fn value(&self) -> Value<'_>;
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause>;
}

fn missing(column: usize) -> Cause {
    Cause::Content(format!("column {column} holds nothing"))
}

fn malformed(column: usize, why: impl Display) -> Cause {
    Cause::Content(format!("column {column}: {why}"))
}

macro_rules! int_columns {
    ($($name:ty),*) => {$(
        impl Column for $name {
            const KIND: Kind = Kind::Int;
            fn value(&self) -> Value<'_> {
                #[expect(clippy::allow_attributes, reason = "one macro for narrow and wide types")]
                #[allow(clippy::unnecessary_fallible_conversions, reason = "infallible for some")]
                i64::try_from(*self).map_or(Value::Unfit("a number over 63 bits"), Value::Int)
            }
            fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
                let value = cells.int(column)?.ok_or_else(|| missing(column))?;
                Self::try_from(value).map_err(|why| malformed(column, why))
            }
        }
    )*};
}
int_columns!(i64, u64, u32, i32);

impl Column for Time {
    const KIND: Kind = Kind::Int;
    fn value(&self) -> Value<'_> {
        Value::Int(self.micros())
    }
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
        i64::read(cells, column).map(Self::from_micros)
    }
}

impl Column for Micro {
    const KIND: Kind = Kind::Int;
    fn value(&self) -> Value<'_> {
        Value::Int(self.0)
    }
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
        i64::read(cells, column).map(Self)
    }
}

impl Column for String {
    const KIND: Kind = Kind::Text;
    fn value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self))
    }
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
        Ok(cells.text(column)?.ok_or_else(|| missing(column))?.to_owned())
    }
}

impl Column for Vec<u8> {
    const KIND: Kind = Kind::Blob;
    fn value(&self) -> Value<'_> {
        Value::Blob(Cow::Borrowed(self))
    }
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
        Ok(cells.blob(column)?.ok_or_else(|| missing(column))?.to_vec())
    }
}

impl Column for [u8; 32] {
    const KIND: Kind = Kind::Blob;
    fn value(&self) -> Value<'_> {
        Value::Blob(Cow::Borrowed(self))
    }
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
        let bytes = cells.blob(column)?.ok_or_else(|| missing(column))?;
        Self::try_from(bytes).map_err(|why| malformed(column, why))
    }
}

fn parse<T: FromStr<Err: Display>>(cells: &dyn Cells, column: usize) -> Result<T, Cause> {
    let text = cells.text(column)?.ok_or_else(|| missing(column))?;
    text.parse().map_err(|why| malformed(column, why))
}

macro_rules! id_columns {
    ($($name:ty),*) => {$(
        impl Column for $name {
            const KIND: Kind = Kind::Text;
            fn value(&self) -> Value<'_> {
                Value::Text(Cow::Owned(self.to_string()))
            }
            fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
                parse(cells, column)
            }
        }
    )*};
}
id_columns!(AgentId, AttemptId, InvoiceId, JobId, OrgId, PoolId, ProjectId, ProviderId, TransferId);

impl<T: Column> Column for Option<T> {
    const KIND: Kind = T::KIND;
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::value)
    }
    fn read(cells: &dyn Cells, column: usize) -> Result<Self, Cause> {
        let empty = match T::KIND {
            Kind::Int => cells.int(column)?.is_none(),
            Kind::Text => cells.text(column)?.is_none(),
            Kind::Blob => cells.blob(column)?.is_none(),
        };
        if empty { Ok(None) } else { T::read(cells, column).map(Some) }
    }
}

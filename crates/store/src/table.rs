//! What a table is: its columns, its key, and what happens to a row whose key is already there.
//! The insert statements of both engines are generated from this one description, so the two
//! cannot drift apart.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::column::{Cells, Kind, Value};
use crate::fault::{Cause, Fault};

/// What happens to a row whose key is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRepeat {
    /// The new row takes the place of the old one, column by column as [`OnUpdate`] says.
    Replace,
    /// The first row stays; the repeat is not an error.
    Keep,
    /// The whole commit fails: a fact of this kind is written once.
    Refuse,
}

/// What a replacing row does to one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUpdate {
    /// Never changes after the first insert, so its indexes are not touched again.
    Fixed,
    /// Takes the new value.
    Set,
    /// Takes the new value unless that is null.
    Kept,
}

#[derive(Debug)]
pub(crate) struct ColumnSpec {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) on_update: OnUpdate,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [ColumnSpec],
    pub(crate) key: &'static [&'static str],
    pub(crate) on_repeat: OnRepeat,
}

impl Table {
    /// `a, b, c`
    pub(crate) fn column_list(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// The `ON CONFLICT` clause, the same text on both engines; empty for [`OnRepeat::Refuse`].
    pub(crate) fn conflict_clause(&self) -> String {
        let key = self.key.join(", ");
        match self.on_repeat {
            OnRepeat::Refuse => String::new(),
            OnRepeat::Keep => format!(" ON CONFLICT ({key}) DO NOTHING"),
            OnRepeat::Replace => {
                let sets: Vec<String> = self
                    .columns
                    .iter()
                    .filter_map(|column| match column.on_update {
                        OnUpdate::Fixed => None,
                        OnUpdate::Set => Some(format!("{0} = excluded.{0}", column.name)),
                        OnUpdate::Kept => Some(format!(
                            "{0} = COALESCE(excluded.{0}, {1}.{0})",
                            column.name, self.name
                        )),
                    })
                    .collect();
                format!(" ON CONFLICT ({key}) DO UPDATE SET {}", sets.join(", "))
            }
        }
    }

    /// An insert of one row with `?` parameters, for SQLite.
    pub(crate) fn insert_values(&self) -> String {
        let values = vec!["?"; self.columns.len()].join(", ");
        let (table, columns) = (self.name, self.column_list());
        format!("INSERT INTO {table} ({columns}) VALUES ({values}){}", self.conflict_clause())
    }

    /// An insert from one array a column, for PostgreSQL: one statement for any number of rows.
    #[cfg(feature = "postgres")]
    pub(crate) fn insert_unnest(&self) -> String {
        let mut arrays = String::new();
        for (at, column) in self.columns.iter().enumerate() {
            let kind = match column.kind {
                Kind::Int => "BIGINT",
                Kind::Text => "TEXT",
                Kind::Blob => "BYTEA",
            };
            let comma = if at > 0 { ", " } else { "" };
            let _ = write!(arrays, "{comma}${}::{kind}[]", at + 1);
        }
        format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({arrays}){}",
            self.name,
            self.column_list(),
            self.conflict_clause()
        )
    }

    fn position(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .expect("a key names columns of its own table")
    }
}

/// A Rust type whose values are the rows of one table.
pub(crate) trait Record: Sized {
    const TABLE: Table;
    /// Appends one value per column.
    fn values<'a>(&'a self, out: &mut Vec<Value<'a>>);
    /// Reads all columns, in the order of the table.
    fn read(cells: &dyn Cells) -> Result<Self, Cause>;
}

/// The rows of one batch that go to one table, flat: one value per column, row after row.
/// Of a replacing table only the newest row of each key is kept.
pub(crate) struct Group<'a> {
    pub(crate) table: &'static Table,
    pub(crate) values: Vec<Value<'a>>,
    newest: HashMap<String, usize>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(table: &'static Table) -> Self {
        Self { table, values: Vec::new(), newest: HashMap::new() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.table.columns.len()
    }

    pub(crate) fn push(&mut self, record: &'a impl Record) -> Result<(), Fault> {
        let start = self.values.len();
        record.values(&mut self.values);
        for (value, column) in self.values[start..].iter().zip(self.table.columns) {
            if let Some(why) = value.unstorable() {
                let (table, column) = (self.table.name, column.name);
                return Err(Fault::Unstorable { table, column, why });
            }
        }
        match self.table.on_repeat {
            OnRepeat::Replace => self.merge(start),
            OnRepeat::Keep | OnRepeat::Refuse => {}
        }
        Ok(())
    }

    /// If the row at `start`, the last one, has the key of an earlier row, it moves there.
    fn merge(&mut self, start: usize) {
        let mut key = String::new();
        for name in self.table.key {
            match &self.values[start + self.table.position(name)] {
                Value::Text(text) => key.push_str(text),
                Value::Int(number) => {
                    let _ = write!(key, "{number}");
                }
                Value::Null | Value::Blob(_) | Value::Unfit(_) => {}
            }
            // No text holds a NUL here, so the parts cannot run into each other.
            key.push('\0');
        }
        let Some(&earlier) = self.newest.get(&key) else {
            self.newest.insert(key, start);
            return;
        };
        for (at, column) in self.table.columns.iter().enumerate().rev() {
            let value = self.values.pop().expect("the row at `start` is whole");
            match (column.on_update, &value) {
                (OnUpdate::Kept, Value::Null) | (OnUpdate::Fixed, _) => {}
                (OnUpdate::Kept | OnUpdate::Set, _) => self.values[earlier + at] = value,
            }
        }
    }
}

/// Declares a row type and its table in one place. Before each field: `fixed`, `set` or `kept`
/// (see [`OnUpdate`]).
macro_rules! record {
    (
        $(#[$doc:meta])*
        $name:ident, table $table:literal, key [$($key:literal),+], repeat $repeat:ident {
            $($(#[$field_doc:meta])* $update:ident $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $crate::table::Record for $name {
            const TABLE: $crate::table::Table = $crate::table::Table {
                name: $table,
                columns: &[$($crate::table::ColumnSpec {
                    name: stringify!($field),
                    kind: <$type as $crate::column::Column>::KIND,
                    on_update: record!(@update $update),
                },)+],
                key: &[$($key),+],
                on_repeat: $crate::table::OnRepeat::$repeat,
            };
            fn values<'a>(&'a self, out: &mut Vec<$crate::column::Value<'a>>) {
                $(out.push($crate::column::Column::value(&self.$field));)+
            }
            fn read(
                cells: &dyn $crate::column::Cells,
            ) -> Result<Self, $crate::fault::Cause> {
                let mut column = 0usize..;
                Ok(Self {
                    $($field: $crate::column::Column::read(
                        cells,
                        column.next().expect("the range has no end"),
                    )?,)+
                })
            }
        }
    };
    (@update fixed) => { $crate::table::OnUpdate::Fixed };
    (@update set) => { $crate::table::OnUpdate::Set };
    (@update kept) => { $crate::table::OnUpdate::Kept };
}
pub(crate) use record;

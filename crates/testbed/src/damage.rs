//! Damage to the file of an embedded database, at a place that the test has marked.

use std::path::Path;

/// White space to write into one payload of a journal; blanks mean nothing in JSON, and this
/// sequence stands nowhere else.
pub const MARK: &str = "\t \t\t \t\t\t \t\t\t\t";

/// Changes one byte of the mark that was written last into the database of this data folder.
///
/// # Panics
/// When there is no database, or no mark in it.
pub fn damage(data: &Path) {
    let file = data.join("dayan.db");
    let mut bytes = std::fs::read(&file).expect("a database");
    let mark = MARK.as_bytes();
    let at = bytes.windows(mark.len()).rposition(|window| window == mark).expect("the mark");
    bytes[at] = b' ';
    std::fs::write(&file, bytes).expect("written");
}

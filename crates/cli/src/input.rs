//! Files that a person names on the command line. `-` is standard input, whatever the command.
//!
//! Invariant: what cannot be read, or is not what it should be, is told with the file's name and why.
//! What a file holds is not known here.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::exit::{Failure, Said};
use crate::words::Word;

/// The largest text that is read whole; the limits of those who read it are lower and their messages
/// better.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// How packed files begin (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file as text.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let outcome = open(path).and_then(|file| file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes));
    outcome.map_err(|error| unreadable(path, &error.to_string()))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(unreadable(path, &format!("> {} MiB", TEXT_BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(path, &error.to_string()))
}

/// Reads a file bit by bit, unpacked where it begins as `.gz` files do, whatever its name. What `read`
/// does not understand is the user's to mend, and is told with its causes: a broken archive says where,
/// and why.
pub fn read_file<T, E: std::error::Error + Send + Sync + 'static>(
    path: &Path,
    read: impl FnOnce(Box<dyn BufRead>) -> Result<T, E>,
) -> Result<T, Failure> {
    let doing = || Said::with(Word::ReadingFile, "file", path.display().to_string());
    let failed = |why| Failure::local(doing(), why);
    let mut file = open(path).map_err(failed)?;
    let packed = file.fill_buf().map_err(failed)?.starts_with(&GZIP);
    let text: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { file };
    read(text).map_err(|error| unreadable(path, &format!("{:#}", anyhow::Error::from(error))))
}

/// What is in the file is not what it should be.
pub fn unreadable(path: &Path, why: &str) -> Failure {
    let file = path.display().to_string();
    Failure::usage(Said::with(Word::CannotRead, "file", file).and("why", why.to_owned()))
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(path)?)))
}

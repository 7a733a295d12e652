//! The files of one batch: its launches, and the orders that hold for them now.
//!
//! Launches are written once. Orders (until when, and whether to stop) change in place, a fixed
//! piece for each element, because a file that is opened again shows what was last written to it,
//! on a network file system too, while a file that takes another's name may be seen late.
//! Invariant: a piece that is only half written is seen as such by its checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use dayan_units::Span;

use super::file_clock::FileTime;
use super::layout::Index;
use crate::journal::crc32;
use crate::{Launch, Signal};

/// A number in the index of the launches: 20 digits and a line end.
const OFFSET_BYTES: usize = 21;
/// A piece of the orders' file: three numbers, a signal and its number, a checksum, padding, a line
/// end. A wrapper that was started before there were signals reads the three.
const ORDER_BYTES: usize = 64;
/// A launch longer than this is a damaged index: `execve` takes 2 MiB of words on Linux.
const LAUNCH_BYTES_MAX: usize = 16 << 20;
/// How often a piece that was met half written is read again.
const READS_MAX: u32 = 3;

/// What holds for an element now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    /// Until when it may run.
    pub until: FileTime,
    /// It is to stop: by this signal, and by force after so long.
    pub stop: Option<(Signal, Span)>,
    /// The newest signal that those of its processes are sent that catch it.
    pub ask: Option<Asked>,
}

/// A signal, and which one it is: a repeat has another number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub signal: Signal,
    pub number: u16,
}

/// Numbers of signals are written with four digits, and begin again.
const ASKED_NUMBERS: u16 = 10_000;

impl Asked {
    /// The next one.
    pub(crate) fn after(before: Option<Self>, signal: Signal) -> Self {
        let number = before.map_or(0, |before| (before.number + 1) % ASKED_NUMBERS);
        Self { signal, number }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Writes the launches of a batch, with an index in front, so that an element reads only its own.
pub(crate) fn write_launches(path: &Path, launches: &[&Launch]) -> io::Result<()> {
    let head = (launches.len() + 1) * OFFSET_BYTES;
    let (mut index, mut bodies) = (Vec::with_capacity(head), Vec::new());
    for launch in launches {
        writeln!(index, "{:020}", head + bodies.len())?;
        serde_json::to_writer(&mut bodies, launch)?;
        bodies.push(b'\n');
    }
    writeln!(index, "{:020}", head + bodies.len())?;
    let mut file = private().truncate(true).open(path)?;
    file.write_all(&index)?;
    file.write_all(&bodies)
}

/// Reads one launch.
pub(crate) fn read_launch(path: &Path, index: Index) -> io::Result<Launch> {
    let file = File::open(path)?;
    let (from, length) = place_of(&file, index)?;
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, from)?;
    Ok(serde_json::from_slice(&body)?)
}

/// Where a launch begins, and how long it is.
fn place_of(file: &File, index: Index) -> io::Result<(u64, usize)> {
    let mut ends = [0u8; 2 * OFFSET_BYTES];
    file.read_exact_at(&mut ends, u64::from(index) * OFFSET_BYTES as u64)?;
    let offset = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        text.trim_end().parse::<u64>().ok()
    };
    let (from, to) = ends.split_at(OFFSET_BYTES);
    let damaged = || io::Error::other("the index of the launches is damaged");
    let from = offset(from).ok_or_else(damaged)?;
    let length = offset(to).and_then(|to| usize::try_from(to.checked_sub(from)?).ok());
    let length = length.filter(|length| *length <= LAUNCH_BYTES_MAX).ok_or_else(damaged)?;
    Ok((from, length))
}

/// Blanks launches that nobody needs any more, in place: the index stays as it is. They may hold
/// secrets.
pub(crate) fn erase_launches(path: &Path, which: &[Index]) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    for index in which {
        let (from, length) = place_of(&file, *index)?;
        // The line end stays.
        file.write_all_at(&vec![b' '; length.saturating_sub(1)], from)?;
    }
    Ok(())
}

fn encode(order: Order) -> [u8; ORDER_BYTES] {
    let (signal, grace) = order.stop.map_or((0, 0), |(signal, grace)| (signal.0, grace.micros()));
    let mut text = format!("{:020} {signal:03} {grace:020}", order.until.0);
    if let Some(Asked { signal, number }) = order.ask {
        text = format!("{text} {:02}{number:04}", signal.0);
    }
    let line = format!("{text} {:08x}", crc32(text.as_bytes()));
    let mut piece = [b' '; ORDER_BYTES];
    piece[..line.len()].copy_from_slice(line.as_bytes());
    piece[ORDER_BYTES - 1] = b'\n';
    piece
}

fn decode(piece: &[u8]) -> Option<Order> {
    let line = std::str::from_utf8(piece).ok()?.trim_end();
    let (text, sum) = line.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let until = FileTime(words.next()?.parse().ok()?);
    let signal: i32 = words.next()?.parse().ok()?;
    let grace: i64 = words.next()?.parse().ok()?;
    let stop = (signal != 0).then(|| (Signal(signal), Span::from_micros(grace)));
    let ask = words.next().and_then(|word| {
        let (signal, number) = word.split_at_checked(2)?;
        Some(Asked { signal: Signal(signal.parse().ok()?), number: number.parse().ok()? })
    });
    Some(Order { until, stop, ask })
}

/// Writes the first orders of a batch.
pub(crate) fn write_orders(path: &Path, orders: &[Order]) -> io::Result<()> {
    let bytes: Vec<u8> = orders.iter().flat_map(|order| encode(*order)).collect();
    private().truncate(true).open(path)?.write_all(&bytes)
}

/// Changes some of them.
pub(crate) fn change_orders(path: &Path, changes: &[(Index, Order)]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    for (index, order) in changes {
        file.write_all_at(&encode(*order), u64::from(*index) * ORDER_BYTES as u64)?;
    }
    Ok(())
}

/// Reads what holds for one element, from the file as it is now.
pub(crate) fn read_order(path: &Path, index: Index) -> io::Result<Order> {
    let file = File::open(path)?;
    let mut piece = [0u8; ORDER_BYTES];
    for _ in 0..READS_MAX {
        file.read_exact_at(&mut piece, u64::from(index) * ORDER_BYTES as u64)?;
        if let Some(order) = decode(&piece) {
            return Ok(order);
        }
    }
    Err(io::Error::other("an order is damaged"))
}

/// How many elements a batch has.
pub(crate) fn elements(path: &Path) -> io::Result<Index> {
    let pieces = std::fs::metadata(path)?.len() / ORDER_BYTES as u64;
    Ok(Index::try_from(pieces).unwrap_or(Index::MAX))
}

/// Reads all orders of a batch; those that are damaged are none.
pub(crate) fn read_orders(path: &Path) -> io::Result<Vec<Option<Order>>> {
    Ok(std::fs::read(path)?.chunks(ORDER_BYTES).map(decode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_changed_in_place_and_a_torn_one_is_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("orders");
        let first = Order { until: FileTime(1_700_000_000_000_000), stop: None, ask: None };
        write_orders(&path, &[first; 3]).expect("writes");
        let long = Span::from_micros(i64::MAX);
        let last = Asked { signal: Signal(64), number: ASKED_NUMBERS - 1 };
        let stop = Order { stop: Some((Signal::USR1, long)), ask: Some(last), ..first };
        assert_eq!(Asked::after(stop.ask, Signal::USR1).number, 0, "numbers begin again");
        let past = Order { until: FileTime(-5), stop: None, ask: None };
        change_orders(&path, &[(1, stop), (2, past)]).expect("changes");
        let expect = vec![Some(first), Some(stop), Some(past)];
        assert_eq!(read_orders(&path).expect("reads"), expect);
        assert_eq!(elements(&path).expect("counts"), 3);
        assert_eq!(read_order(&path, 1).expect("reads"), stop);
        let file = OpenOptions::new().write(true).open(&path).expect("opens");
        file.write_all_at(b"9", ORDER_BYTES as u64 + 3).expect("writes");
        assert!(read_order(&path, 1).is_err());
        assert_eq!(read_orders(&path).expect("reads")[1], None);
        assert!(read_order(&path, 3).is_err(), "there are three");
    }
}

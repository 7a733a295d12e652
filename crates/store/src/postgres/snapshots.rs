//! Snapshots as rows of about a megabyte, on a connection of their own.

use std::io::{self, Write};

use crate::fault::Cause;
use crate::snapshot::{Header, SNAPSHOTS_KEPT, SnapshotWritten, encode};

use super::{Access, Session, Target};

/// One row. The server keeps large values outside the table; a megabyte is one message.
const PART_BYTES: usize = 1 << 20;

pub(crate) fn put(
    target: &Target,
    header: &Header,
    fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<SnapshotWritten, Cause> {
    let mut session = Session::connect(target, Access::Write)?;
    let seq = i64::try_from(header.seq).map_err(|error| Cause::Content(error.to_string()))?;
    let kept = i64::try_from(SNAPSHOTS_KEPT).expect("a handful");
    session.run("BEGIN")?;
    session.execute("DELETE FROM snapshots WHERE seq = $1", &[&seq])?;
    let mut parts = Parts { session: &mut session, seq, part: 0, buffer: Vec::new(), failed: None };
    let written = encode(header, fill, &mut parts);
    if let Some(cause) = parts.failed.take() {
        return Err(cause);
    }
    let written = written?;
    session.execute(
        "DELETE FROM snapshots WHERE seq NOT IN \
         (SELECT DISTINCT seq FROM snapshots ORDER BY seq DESC LIMIT $1)",
        &[&kept],
    )?;
    session.run("COMMIT")?;
    Ok(written)
}

struct Parts<'a> {
    session: &'a mut Session,
    seq: i64,
    part: i64,
    buffer: Vec<u8>,
    /// What the database said, which an I/O error cannot carry whole.
    failed: Option<Cause>,
}

impl Parts<'_> {
    fn send(&mut self) -> io::Result<()> {
        let sql = "INSERT INTO snapshots (seq, part, bytes) VALUES ($1, $2, $3)";
        let sent = self.session.execute(sql, &[&self.seq, &self.part, &self.buffer]);
        self.part += 1;
        self.buffer.clear();
        sent.map(|_| ()).map_err(|cause| {
            let error = io::Error::other(cause.to_string());
            self.failed = Some(cause);
            error
        })
    }
}

impl Write for Parts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

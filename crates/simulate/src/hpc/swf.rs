//! The Standard Workload Format (Chapin et al., JSSPP 1999; version 2.2): one job a line, eighteen
//! numbers, with comments that begin with `;` and may carry `Key: value`.
//!
//! Strict: a line that is not a job is an error with its number, never a guess. Streaming: one
//! line is held at a time, of bounded length. It must not know where the text comes from.

use std::io::{self, BufRead, Read as _};

/// No line of a job is longer, and no comment needs to be.
const LINE_LEN_MAX: u64 = 64 * 1024;
/// How many numbers a job has.
const FIELDS: usize = 18;

/// What is not right about a log.
#[derive(Debug, thiserror::Error)]
pub enum SwfError {
    /// The text could not be read on.
    #[error("line {line}: cannot be read")]
    Read {
        /// The line, counted from 1.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is longer than any job.
    #[error("line {line}: longer than {LINE_LEN_MAX} bytes")]
    TooLong {
        /// The line, counted from 1.
        line: u64,
    },
    /// A line is not text.
    #[error("line {line}: not text")]
    NotText {
        /// The line, counted from 1.
        line: u64,
    },
    /// A job with too many or too few numbers.
    #[error("line {line}: {found} fields, a job has {FIELDS}")]
    Fields {
        /// The line, counted from 1.
        line: u64,
        /// How many there are.
        found: usize,
    },
    /// A field that is not a number, or one beyond every log.
    #[error("line {line}: field {field} is `{text}`, not a number in range")]
    Number {
        /// The line, counted from 1.
        line: u64,
        /// The field, counted from 1 as in the format's description.
        field: usize,
        /// What stands there, its first 40 characters.
        text: String,
    },
}

/// A job as logged: −1 where nothing is known. Times in seconds; a fraction is cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwfJob {
    /// Field 1.
    pub id: i64,
    /// Field 2: seconds since the log's beginning.
    pub submit: i64,
    /// Field 3: how long it waited where the log was taken.
    pub wait: i64,
    /// Field 4.
    pub run: i64,
    /// Field 5: processors it got.
    pub allocated: i64,
    /// Field 8: processors it asked for.
    pub requested: i64,
    /// Field 9: the user's limit on the run time.
    pub limit: i64,
    /// Field 11: 1 completed, 0 failed, 5 cancelled.
    pub status: i64,
    /// Field 12.
    pub user: i64,
    /// Field 13.
    pub group: i64,
    /// Field 14: the program.
    pub program: i64,
    /// Field 15.
    pub queue: i64,
}

/// What the comments before the first job say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwfHeader {
    /// `MaxProcs`.
    pub processors: Option<i64>,
    /// `MaxNodes`.
    pub nodes: Option<i64>,
}

impl SwfHeader {
    /// The machine: `MaxProcs`, else `MaxNodes`.
    pub fn machine(&self) -> Option<i64> {
        let known = |size: Option<i64>| size.filter(|size| *size > 0);
        known(self.processors).or(known(self.nodes))
    }

    fn comment(&mut self, text: &str) {
        let Some((key, value)) = text.trim_start_matches([';', ' ', '\t']).split_once(':') else {
            return;
        };
        // People write thousands apart.
        let number = || {
            let word = value.split_whitespace().next()?.trim_end_matches(['.', ';']);
            word.replace(',', "").parse().ok()
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "maxprocs" => self.processors = self.processors.or_else(number),
            "maxnodes" => self.nodes = self.nodes.or_else(number),
            // The other comments are for people.
            _ => {}
        }
    }
}

/// Reads jobs, one after the other.
#[derive(Debug)]
pub struct SwfReader<R> {
    text: R,
    line: u64,
    header: SwfHeader,
    buffer: Vec<u8>,
}

impl<R: BufRead> SwfReader<R> {
    /// Over a text.
    pub fn new(text: R) -> Self {
        Self { text, line: 0, header: SwfHeader::default(), buffer: Vec::new() }
    }

    /// What the comments up to here said.
    pub const fn header(&self) -> SwfHeader {
        self.header
    }

    /// The next job; none at the end.
    pub fn next_job(&mut self) -> Result<Option<SwfJob>, SwfError> {
        loop {
            self.line += 1;
            let line = self.line;
            self.buffer.clear();
            // One byte more than the most, to know a line that is too long from one that is not.
            let mut bounded = self.text.by_ref().take(LINE_LEN_MAX + 1);
            let read = bounded
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| SwfError::Read { line, source })?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > LINE_LEN_MAX {
                return Err(SwfError::TooLong { line });
            }
            let bytes = self.buffer.as_slice();
            // A mark of the byte order.
            let marked = bytes.strip_prefix("\u{feff}".as_bytes()).filter(|_| line == 1);
            let bytes = marked.unwrap_or(bytes).trim_ascii();
            if bytes.is_empty() {
                continue;
            }
            if bytes[0] == b';' {
                self.header.comment(&String::from_utf8_lossy(bytes));
                continue;
            }
            let text = str::from_utf8(bytes).map_err(|_| SwfError::NotText { line })?;
            return job(line, text).map(Some);
        }
    }

    /// All jobs that are left, and the header.
    pub fn read_all(mut self) -> Result<(SwfHeader, Vec<SwfJob>), SwfError> {
        let mut jobs = Vec::new();
        while let Some(job) = self.next_job()? {
            jobs.push(job);
        }
        Ok((self.header, jobs))
    }
}

fn job(line: u64, text: &str) -> Result<SwfJob, SwfError> {
    let mut fields = [0_i64; FIELDS];
    let mut found = 0;
    for word in text.split_ascii_whitespace() {
        // What nobody looks at may be anything.
        if let Some(field) = fields.get_mut(found).filter(|_| !UNUSED.contains(&found)) {
            *field = number(word).ok_or_else(|| SwfError::Number {
                line,
                field: found + 1,
                text: word.chars().take(40).collect(),
            })?;
        }
        found += 1;
    }
    if found != FIELDS {
        return Err(SwfError::Fields { line, found });
    }
    Ok(SwfJob {
        id: fields[0],
        submit: fields[1],
        wait: fields[2],
        run: fields[3],
        allocated: fields[4],
        requested: fields[7],
        limit: fields[8],
        status: fields[10],
        user: fields[11],
        group: fields[12],
        program: fields[13],
        queue: fields[14],
    })
}

/// Average processor time, memory used and asked for, partition, and the job before with the time after it.
const UNUSED: [usize; 6] = [5, 6, 9, 15, 16, 17];
/// The largest number of a field: sums over ten million jobs of it stay within an `i64`.
const NUMBER_MAX: i64 = 100_000_000_000;

/// A whole number, or one with a fraction, which is cut off; `1.2e3` is one, too.
fn number(word: &str) -> Option<i64> {
    if let Some((digits, exponent)) = word.split_once(['e', 'E']) {
        return shifted(digits, exponent.parse().ok()?);
    }
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let value = whole.parse::<i64>().ok()?;
    (digits && value.abs() <= NUMBER_MAX).then_some(value)
}

/// Digits with their point moved to the right, or to the left; exact, as the others are.
fn shifted(digits: &str, exponent: i32) -> Option<i64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    // No number in range has more digits before its point.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent).filter(|at| *at <= 64)?;
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat(b'0'));
    let kept: Vec<u8> = digits.take(usize::try_from(point.max(0)).ok()?).collect();
    let kept = if kept.is_empty() { "0" } else { str::from_utf8(&kept).ok()? };
    number(&format!("{sign}{kept}"))
}

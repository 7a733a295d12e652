//! Ids: 128 bits, time-ordered when made from UUID v7, written as `prefix_` and 26 characters of
//! lower-case Crockford base32. The prefix makes a pasted id explain itself and lets the parser
//! refuse a project where a job is meant. Who makes an id passes the bits in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The prefix is missing or names another kind of thing.
    #[error("expected an id that starts with `{expected}_`, got `{got}`")]
    Prefix {
        /// The prefix of the kind asked for.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// The part after the prefix is not 26 base32 characters of at most 128 bits.
    #[error("`{0}` is not a well-formed id")]
    Body(String),
    /// The task or attempt number after the job id is malformed.
    #[error("`{0}` does not name a task as JOB/TASK or an attempt as JOB/TASK.ATTEMPT")]
    Path(String),
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 × 5 bits = 130, the least number of base32 characters that hold 128 bits.
const BODY_LEN: usize = 26;

fn encode(mut bits: u128, out: &mut [u8; BODY_LEN]) {
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
}

fn decode(body: &str) -> Option<u128> {
    let bytes = body.as_bytes();
    // The first character carries only three of its five bits.
    if bytes.len() != BODY_LEN || bytes[0] > b'7' {
        return None;
    }
    bytes.iter().try_fold(0u128, |acc, byte| {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'h' => byte - b'a' + 10,
            b'j' | b'k' => byte - b'j' + 18,
            b'm' | b'n' => byte - b'm' + 20,
            b'p'..=b't' => byte - b'p' + 22,
            b'v'..=b'z' => byte - b'v' + 27,
            _ => return None,
        };
        Some((acc << 5) | u128::from(value))
    })
}

fn parse_prefixed(prefix: &'static str, text: &str) -> Result<u128, IdError> {
    let body =
        text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or_else(|| {
            IdError::Prefix { expected: prefix, got: text.chars().take(40).collect() }
        })?;
    decode(body).ok_or_else(|| IdError::Body(text.chars().take(40).collect()))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What its written form starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;
            /// From its 128 bits.
            pub const fn from_bits(bits: u128) -> Self { Self(bits) }
            /// Its 128 bits.
            pub const fn bits(self) -> u128 { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut body = [0u8; BODY_LEN];
                encode(self.0, &mut body);
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&body).expect("the alphabet is ASCII"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_prefixed($prefix, text).map(Self)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(FromStrVisitor::<Self>(std::marker::PhantomData))
            }
        }
    )*};
}

struct FromStrVisitor<T>(std::marker::PhantomData<T>);

impl<T> de::Visitor<'_> for FromStrVisitor<T>
where
    T: FromStr<Err = IdError>,
{
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id in its written form")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

ids! {
    /// One running exchange with its own name, key and books.
    ExchangeId = "exc";
    /// An organisation: consumer, provider owner or operator.
    OrgId = "org";
    /// A person or program that acts for an organisation.
    UserId = "usr";
    /// An access token (the id, never the secret).
    TokenId = "tok";
    /// A project of an organisation; what pays.
    ProjectId = "prj";
    /// An organisation in its role as seller of compute.
    ProviderId = "prov";
    /// A data centre in a city.
    SiteId = "site";
    /// One engine's resources at a site.
    PoolId = "pool";
    /// One agent process's identity at the exchange.
    AgentId = "agt";
    /// A pool's capacity at a price.
    OfferId = "off";
    /// A firm, signed, expiring price.
    QuoteId = "quo";
    /// A job.
    JobId = "job";
    /// A schedule: what makes a job again and again.
    ScheduleId = "sch";
    /// A transfer between two ledger accounts; its idempotency key.
    TransferId = "tra";
    /// A bill for a period.
    InvoiceId = "inv";
    /// One request as it came in; what the audit trail refers to.
    RequestId = "req";
}

/// Milliseconds from 1970 to 2025: no exchange ran before, and numbers are three digits shorter.
const NUMBER_EPOCH_MS: u128 = 1_735_689_600_000;
/// Bits of a job's number below the millisecond. With twelve a number is below 2⁵³, which every
/// reader of JSON holds, until 2094, and has 15 digits until 2032.
const NUMBER_LOW_BITS: u32 = 12;

impl JobId {
    /// The job as a number, for tools that know jobs by numbers: the millisecond and the twelve bits
    /// below it. An exchange never gives two submitted jobs the same one. 0 for ids that were made
    /// before 2025, which are none of an exchange.
    pub const fn number(self) -> u64 {
        let stamp = self.0 >> (80 - NUMBER_LOW_BITS);
        let epoch = NUMBER_EPOCH_MS << NUMBER_LOW_BITS;
        // 60 bits are left of 128.
        stamp.saturating_sub(epoch) as u64
    }
    /// The first and the last id with that number. None where no id has it.
    pub const fn with_number(number: u64) -> Option<(Self, Self)> {
        let stamp = number as u128 + (NUMBER_EPOCH_MS << NUMBER_LOW_BITS);
        if number == 0 || stamp >> (48 + NUMBER_LOW_BITS) != 0 {
            return None;
        }
        let first = stamp << (80 - NUMBER_LOW_BITS);
        Some((Self(first), Self(first | ((1 << (80 - NUMBER_LOW_BITS)) - 1))))
    }
}

/// One task of a job: an element of its array or a member of its gang. Written `job_…/TASK`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The job it belongs to.
    pub job: JobId,
    /// Its number in the job, from 0 without gaps (not the array index).
    pub task: u32,
}

/// One attempt to run a task. The attempt number, counted from 1, is the epoch that fences its
/// lease: of one task only the newest attempt can hold a valid lease. Written `job_…/TASK.ATTEMPT`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The job it belongs to.
    pub job: JobId,
    /// The task's number in the job.
    pub task: u32,
    /// The epoch: 1 for the first attempt.
    pub attempt: u32,
}

impl AttemptId {
    /// The task this is an attempt of.
    pub const fn task_id(self) -> TaskId {
        TaskId { job: self.job, task: self.task }
    }
}

impl TaskId {
    /// The attempt of this task with that number.
    pub const fn attempt(self, attempt: u32) -> AttemptId {
        AttemptId { job: self.job, task: self.task, attempt }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.task)
    }
}
impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for TaskId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let path = || IdError::Path(text.chars().take(60).collect());
        let (job, task) = text.split_once('/').ok_or_else(path)?;
        Ok(Self { job: job.parse()?, task: task.parse().map_err(|_| path())? })
    }
}
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.job, self.task, self.attempt)
    }
}
impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for AttemptId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let path = || IdError::Path(text.chars().take(60).collect());
        let (task, attempt) = text.rsplit_once('.').ok_or_else(path)?;
        let task: TaskId = task.parse()?;
        Ok(task.attempt(attempt.parse().map_err(|_| path())?))
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(FromStrVisitor::<Self>(std::marker::PhantomData))
            }
        }
    )*};
}
serde_as_text!(TaskId, AttemptId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_have_numbers() {
        let check = |id: &str, expect: u64| {
            let id: JobId = id.parse().expect("an id");
            assert_eq!(id.number(), expect, "{id}");
            let (first, last) = JobId::with_number(expect).expect("of an id");
            assert!(first <= id && id <= last);
            assert_eq!((first.number(), last.number()), (expect, expect));
            let before = JobId::from_bits(first.bits() - 1).number();
            let after = JobId::from_bits(last.bits() + 1).number();
            assert_eq!((before, after), (expect - 1, expect + 1));
            // The written form goes the same way, so that lists can be cut by it.
            assert!(first.to_string() <= id.to_string() && id.to_string() <= last.to_string());
        };
        // 2026-11-28T00:00:00Z and the bits 0xabc below.
        let millis: u128 = 1_795_824_000_000;
        let id = JobId::from_bits(millis << 80 | 0xabc << 68 | 0x3039);
        check(&id.to_string(), ((1_795_824_000_000 - 1_735_689_600_000) << 12) + 0xabc);
        assert_eq!(id.number().to_string().len(), 15);
        assert_eq!(JobId::from_bits(7).number(), 0);
        assert_eq!(JobId::with_number(0), None);
        assert_eq!(JobId::with_number(u64::MAX), None);
    }
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_prints_parses_back(bits: u128, task: u32, attempt: u32) {
            let job = JobId::from_bits(bits);
            prop_assert_eq!(job.to_string().parse::<JobId>(), Ok(job));
            let attempt = AttemptId { job, task, attempt };
            prop_assert_eq!(attempt.to_string().parse::<AttemptId>(), Ok(attempt));
            prop_assert_eq!(attempt.task_id().to_string().parse::<TaskId>(), Ok(attempt.task_id()));
        }

        #[test]
        fn written_order_is_bit_order(a: u128, b: u128) {
            let (x, y) = (JobId::from_bits(a), JobId::from_bits(b));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
        }

        #[test]
        fn garbage_is_refused_without_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<JobId>();
            let _ = text.parse::<AttemptId>();
        }
    }

    #[test]
    fn another_kind_of_id_is_refused_by_its_prefix() {
        let pool = PoolId::from_bits(7).to_string();
        assert!(matches!(pool.parse::<JobId>(), Err(IdError::Prefix { expected: "job", .. })));
        assert!(matches!("job_zzz".parse::<JobId>(), Err(IdError::Body(_))));
        let too_big = format!("job_8{}", "0".repeat(25));
        assert!(matches!(too_big.parse::<JobId>(), Err(IdError::Body(_))));
    }
}

//! Firm quotes: what a job will cost, signed and for a limited time.
//!
//! **What a quote promises.** Each task of a line, run in the line's pool with the line's
//! resources, costs its valid time at the line's rate and class, at least the minimum, and never
//! more than `price_each`, which is the price of the stated time limit. That cap is the task's:
//! attempts that ended through no fault of the task (a node failed, a site was lost, it was taken
//! back) are billed under the same cap together. A retry because the task itself failed is not
//! covered; it is rated like a task without a quote. Time beyond the limit is never billed.
//!
//! A quote is good for one job: the project and the digest of the job it was made for, until it
//! expires. Signing the canonical bytes and checking signatures is the caller's business.

use std::fmt;

use dayan_units::{Currency, JobId, Micro, OfferId, PoolId, ProjectId, QuoteId, Rate, Resources};
use dayan_units::{Span, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::offer::OfferMode;
use crate::rating::{RatingRefusal, Terms};

/// The SHA-256 of a job's canonical form; 64 hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecDigest(pub [u8; 32]);

impl fmt::Display for SpecDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
impl fmt::Debug for SpecDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for SpecDigest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for SpecDigest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&text, &mut digest).map_err(de::Error::custom)?;
        Ok(Self(digest))
    }
}

/// What a line of a quote is to be about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuoteItem {
    /// Where the tasks would run.
    pub pool: PoolId,
    /// Under which offer.
    pub offer: OfferId,
    /// At what terms; a cap of theirs holds for each task.
    pub terms: Terms,
    /// As what it is sold there.
    pub mode: OfferMode,
    /// What each task gets.
    pub resources: Resources,
    /// How long each task may run.
    pub time_limit: Span,
    /// How many tasks.
    pub tasks: u32,
}

/// Tasks of one job in one pool at one price.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuoteLine {
    /// Where they run.
    pub pool: PoolId,
    /// Under which offer.
    pub offer: OfferId,
    /// The list price.
    pub rate: Rate,
    /// The share of it that the buyer pays.
    pub permille: u32,
    /// The least time billed for an attempt.
    pub minimum: Span,
    /// What each task gets.
    pub resources: Resources,
    /// How long each task may run.
    pub time_limit: Span,
    /// How many tasks.
    pub tasks: u32,
    /// What one of them costs at most.
    pub price_each: Micro,
    /// What all of them cost at most.
    pub price: Micro,
    /// As what it was sold: what the offer sold then, whatever becomes of it. None in quotes of
    /// before that was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<OfferMode>,
}

/// The head of a quote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuoteTerms {
    /// Its name.
    pub id: QuoteId,
    /// Who may use it.
    pub project: ProjectId,
    /// For which job.
    pub spec_digest: SpecDigest,
    /// The exchange's currency.
    pub currency: Currency,
    /// When it is made.
    pub issued_at: Time,
    /// From when on it cannot be used.
    pub expires_at: Time,
}

/// A firm price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quote {
    /// Its name.
    pub id: QuoteId,
    /// Who may use it.
    pub project: ProjectId,
    /// For which job.
    pub spec_digest: SpecDigest,
    /// What it consists of.
    pub lines: Vec<QuoteLine>,
    /// What the job costs at most.
    pub total: Micro,
    /// In this currency.
    pub currency: Currency,
    /// When it was made.
    pub issued_at: Time,
    /// From then on it cannot be used.
    pub expires_at: Time,
}

/// Whether a quote is still to be had. Kept by the caller, beside the quote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteState {
    /// Not used yet.
    Open,
    /// This job was submitted with it.
    Used(JobId),
}

/// Why a quote cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteRefusal {
    /// It was made for another project.
    #[error("the quote was made for another project")]
    OtherProject,
    /// It was made for another job.
    #[error("the quote was made for a job file with other content")]
    OtherJob,
    /// A job was submitted with it.
    #[error("the quote was used for {0}")]
    Used(JobId),
    /// Its time is over.
    #[error("the quote expired at {0}")]
    Expired(Time),
}

impl QuoteRefusal {
    /// The stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherProject => "market.quote_other_project",
            Self::OtherJob => "market.quote_other_job",
            Self::Used(_) => "market.quote_used",
            Self::Expired(_) => "market.quote_expired",
        }
    }
    /// What to do next.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::OtherProject => "submit in the project that the quote was made for",
            Self::OtherJob => {
                "submit the file as quoted, or ask for a new quote with `dayan quote`"
            }
            Self::Used(_) | Self::Expired(_) => "ask for a new quote with `dayan quote`",
        }
    }
}

impl Quote {
    /// Computes the prices.
    pub fn issue(head: QuoteTerms, items: &[QuoteItem]) -> Result<Self, RatingRefusal> {
        let mut total = Micro::ZERO;
        let mut lines = Vec::with_capacity(items.len());
        for item in items {
            let line = QuoteLine::of(item)?;
            total = total.checked_add(line.price).ok_or(RatingRefusal::TooMuch)?;
            lines.push(line);
        }
        let QuoteTerms { id, project, spec_digest, currency, issued_at, expires_at } = head;
        Ok(Self { id, project, spec_digest, lines, total, currency, issued_at, expires_at })
    }

    /// May a job with that digest be submitted in that project with it, now?
    pub fn bind(
        &self,
        state: QuoteState,
        spec_digest: &SpecDigest,
        project: ProjectId,
        now: Time,
    ) -> Result<(), QuoteRefusal> {
        if self.project != project {
            return Err(QuoteRefusal::OtherProject);
        }
        if self.spec_digest != *spec_digest {
            return Err(QuoteRefusal::OtherJob);
        }
        if let QuoteState::Used(job) = state {
            return Err(QuoteRefusal::Used(job));
        }
        if now >= self.expires_at {
            return Err(QuoteRefusal::Expired(self.expires_at));
        }
        Ok(())
    }

    /// The line for tasks in a pool.
    pub fn line(&self, pool: PoolId) -> Option<&QuoteLine> {
        self.lines.iter().find(|line| line.pool == pool)
    }

    /// What is signed: every field, in the order of their declaration, integers big-endian and of
    /// fixed width, ids by their 128 bits, the lines after their number. A quote whose lines say as
    /// what they were sold has the second layout: a byte more for each line, 0 where it does not say,
    /// 1 on demand, 2 spot. Two quotes have the same bytes only if they are equal.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        const HEAD: usize = CONTEXT.len() + 16 + 16 + 32 + 8 + 8 + 3 + 8 + 8;
        const LINE: usize = 16 + 16 + 3 * 8 + 4 + 8 + 4 * 8 + 8 + 4 + 8 + 8;
        let says = self.lines.iter().any(|line| line.mode.is_some());
        let length = HEAD + self.lines.len() * (LINE + usize::from(says));
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(if says { CONTEXT_MODES } else { CONTEXT });
        out.extend_from_slice(&self.id.bits().to_be_bytes());
        out.extend_from_slice(&self.project.bits().to_be_bytes());
        out.extend_from_slice(&self.spec_digest.0);
        out.extend_from_slice(&(self.lines.len() as u64).to_be_bytes());
        for line in &self.lines {
            line.write(&mut out);
            if says {
                out.push(match line.mode {
                    None => 0,
                    Some(OfferMode::OnDemand) => 1,
                    Some(OfferMode::Spot) => 2,
                });
            }
        }
        out.extend_from_slice(&self.total.0.to_be_bytes());
        out.extend_from_slice(self.currency.code().as_bytes());
        out.extend_from_slice(&self.issued_at.micros().to_be_bytes());
        out.extend_from_slice(&self.expires_at.micros().to_be_bytes());
        debug_assert_eq!(out.len(), length, "every field has its width");
        out
    }
}

/// Keeps the signature of a quote from being one of anything else, and names the layout.
const CONTEXT: &[u8; 14] = b"dayan quote 1\n";
/// The layout in which lines say as what they were sold. Quotes of before keep theirs, and their
/// signatures.
const CONTEXT_MODES: &[u8; 14] = b"dayan quote 2\n";

impl QuoteLine {
    fn of(item: &QuoteItem) -> Result<Self, RatingRefusal> {
        let terms = item.terms;
        let price_each = terms.price(&item.resources, item.time_limit)?;
        let price = price_each
            .0
            .checked_mul(i64::from(item.tasks))
            .map(Micro)
            .ok_or(RatingRefusal::TooMuch)?;
        Ok(Self {
            pool: item.pool,
            offer: item.offer,
            rate: terms.rate,
            permille: terms.permille,
            minimum: terms.minimum,
            resources: item.resources,
            time_limit: item.time_limit,
            tasks: item.tasks,
            price_each,
            price,
            mode: Some(item.mode),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pool.bits().to_be_bytes());
        out.extend_from_slice(&self.offer.bits().to_be_bytes());
        for price in [self.rate.core_hour, self.rate.gb_hour, self.rate.card_hour] {
            out.extend_from_slice(&price.0.to_be_bytes());
        }
        out.extend_from_slice(&self.permille.to_be_bytes());
        out.extend_from_slice(&self.minimum.micros().to_be_bytes());
        let Resources { cpu, memory, disk, accel } = self.resources;
        for amount in [cpu.0, memory.0, disk.0, accel.0] {
            out.extend_from_slice(&amount.to_be_bytes());
        }
        out.extend_from_slice(&self.time_limit.micros().to_be_bytes());
        out.extend_from_slice(&self.tasks.to_be_bytes());
        out.extend_from_slice(&self.price_each.0.to_be_bytes());
        out.extend_from_slice(&self.price.0.to_be_bytes());
    }
}

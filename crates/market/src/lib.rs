//! What computing power costs: offers, firm quotes, rating of usage, budgets, splits.
//!
//! Everything here is arithmetic on what is passed in. Invariants, each a property test:
//! - a line is rounded once, and captures per window add up to the line;
//! - under a quote nothing costs more than the quote says;
//! - the parts of a split add up to the whole;
//! - no admission takes what is spent and held over a budget's limit.
//!
//! The market knows no engines, no storage, no job states and no clock. Money it has computed is
//! moved by the ledger.

mod offer;
mod rating;

mod quote;

mod budget;
mod period;

mod settlement;
mod split;
mod tariff;

pub use budget::{
    BudgetLimits, BudgetRefusal, BudgetScope, BudgetState, LimitsDefect, Tally, WARN_DEFAULT,
    Warning,
};
pub use offer::{BuyerClass, Offer, OfferDefect, OfferMode, OfferRefusal, OfferStatus};
pub use period::{Period, Periods, ZoneOffset};
pub use quote::{Quote, QuoteItem, QuoteLine, QuoteRefusal, QuoteState, QuoteTerms, SpecDigest};
pub use rating::{
    Due, PriceRefusal, Quantity, RatedLine, RatingRefusal, Terms, due, estimate, rate_usage,
};
pub use settlement::{NextDue, Settlement, SettlementDefect};
pub use split::{Shares, SharesDefect};
pub use tariff::Tariff;

//! What an attempt costs, and the bookings that settle it: captured from its hold, split between
//! provider and exchange, the rest given back. One line per window and one at the end; together
//! they are exactly what the whole would have been.

use dayan_ledger::{Amount, Rest, Transfer, TransferKind};
use dayan_market::{Shares, rate_usage};
use dayan_units::{Micro, Span, TransferId};

use super::Ask;
use crate::event::Line;
use crate::ids::{accounts, codes, step_id};
use crate::state::{Backing, Lease};

/// A line and the bookings for it.
pub(super) struct Settled {
    pub line: Option<Line>,
    /// How much of the hold went back.
    pub released: Micro,
    /// How much was held in addition.
    pub extended: Micro,
    pub transfers: Vec<Transfer>,
    /// Of what the extension is a reason to warn.
    pub warnings: Vec<dayan_market::Warning>,
}

impl Ask<'_> {
    fn step(
        &self,
        what: &'static str,
        lease: &Lease,
        number: u32,
        code: u16,
        kind: TransferKind,
    ) -> Transfer {
        Transfer {
            id: step_id(what, lease.attempt, number),
            kind,
            code,
            user_data: lease.attempt.job.bits(),
            at: self.now,
        }
    }

    /// The next line of a lease for `valid` use in total. It never takes more than its hold has
    /// left after `extended` more was held.
    fn line(&self, lease: &Lease, valid: Span, left: Micro) -> Option<Line> {
        let rated = rate_usage(&lease.terms, &lease.resources, valid).ok()?;
        let amount = rated.amount.saturating_sub(lease.captured).min(left);
        if amount <= Micro::ZERO {
            return None;
        }
        let shares = Shares::provider_and_platform(self.state.settings.fee_permille)
            .expect("the fee was checked when the exchange was founded");
        let parts = shares.split(amount);
        Some(Line {
            attempt: lease.attempt,
            number: lease.windows + 1,
            from: lease.billed,
            to: rated.billed_span,
            resources: lease.resources,
            amount,
            provider: parts[0],
            fee: parts[1],
        })
    }

    /// The bookings that move a line's money: out of the hold, then to whom it is due.
    fn bookings(&self, lease: &Lease, line: &Line, rest: Rest) -> Vec<Transfer> {
        let clearing = accounts::own(accounts::CLEARING);
        let provider = self.state.supply.pools[&lease.pool].provider;
        let hold = lease.backing.hold();
        let number = line.number;
        let code = match rest {
            Rest::Keep => codes::WINDOW,
            Rest::Release => codes::LEASE_END,
        };
        let mut transfers = Vec::with_capacity(3);
        if let Some(amount) = Amount::new(line.amount) {
            let kind = TransferKind::Capture { hold, amount, rest };
            transfers.push(self.step("capture", lease, number, code, kind));
        }
        let parts = [
            ("provider", line.provider, accounts::provider(provider), codes::PROVIDER_SHARE),
            ("fee", line.fee, accounts::own(accounts::FEES), codes::FEE),
        ];
        for (what, part, credit, code) in parts {
            if let Some(amount) = Amount::new(part) {
                let kind = TransferKind::Post { debit: clearing, credit, amount };
                transfers.push(self.step(what, lease, number, code, kind));
            }
        }
        transfers
    }

    /// What the hold has left to capture.
    fn left(&self, lease: &Lease) -> Micro {
        self.state.ledger.hold(lease.backing.hold()).map_or(Micro::ZERO, dayan_ledger::Hold::left)
    }

    /// The last settlement of an attempt whose use is `valid`; none: it is not billed.
    pub(super) fn settle_last(&self, lease: &Lease, valid: Option<Span>) -> Settled {
        let left = self.left(lease);
        let mut transfers = Vec::new();
        let (mut extended, mut warnings) = (Micro::ZERO, Vec::new());
        // A run that outlasted its hold (its prolongation was late) is still paid for, if there is
        // money for it and a budget.
        if let (Some(valid), Backing::Own(hold)) = (valid, lease.backing)
            && let Ok(rated) = rate_usage(&lease.terms, &lease.resources, valid)
        {
            let due = rated.amount.saturating_sub(lease.captured);
            if let Some(amount) = Amount::new(due.saturating_sub(left))
                && self.state.ledger.hold(hold).is_some()
                && let Ok((extend, found)) = self.prolong(lease, hold, amount, &[])
            {
                transfers.push(extend);
                extended = amount.micro();
                warnings = found;
            }
        }
        let left = left.saturating_add(extended);
        let line = valid.and_then(|valid| self.line(lease, valid, left));
        let amount = line.as_ref().map_or(Micro::ZERO, |line| line.amount);
        match lease.backing {
            Backing::Own(hold) => {
                if let Some(line) = &line {
                    transfers.extend(self.bookings(lease, line, Rest::Release));
                } else if self.state.ledger.hold(hold).is_some() {
                    let kind = TransferKind::Release { hold };
                    transfers.push(self.step("release", lease, 0, codes::LEASE_END, kind));
                }
                let released = left.saturating_sub(amount).max(Micro::ZERO);
                Settled { line, released, extended, transfers, warnings }
            }
            Backing::Quote(_) => {
                if let Some(line) = &line {
                    transfers.extend(self.bookings(lease, line, Rest::Keep));
                }
                Settled { line, released: Micro::ZERO, extended, transfers, warnings }
            }
        }
    }

    /// The line of a window that has closed, for `valid` use so far.
    pub(super) fn settle_window(&self, lease: &Lease, valid: Span) -> (Line, Vec<Transfer>) {
        match self.line(lease, valid, self.left(lease)) {
            Some(line) => {
                let transfers = self.bookings(lease, &line, Rest::Keep);
                (line, transfers)
            }
            None => (
                Line {
                    attempt: lease.attempt,
                    number: lease.windows + 1,
                    from: lease.billed,
                    to: lease.billed,
                    resources: lease.resources,
                    amount: Micro::ZERO,
                    provider: Micro::ZERO,
                    fee: Micro::ZERO,
                },
                Vec::new(),
            ),
        }
    }

    /// A prolongation of a lease's hold.
    pub(super) fn extend(&self, lease: &Lease, hold: TransferId, amount: Amount) -> Transfer {
        let kind = TransferKind::Extend { hold, amount, until: None };
        self.step("extend", lease, lease.windows + 1, codes::WINDOW, kind)
    }
}

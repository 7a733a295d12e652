//! Firm quotes: given after checking that each line is what the offers say, taken with a hold for
//! the whole of it.

use dayan_ledger::{Amount, Transfer, TransferKind};
use dayan_market::{OfferMode, Quote, QuoteState, SpecDigest, Terms, Warning};
use dayan_units::{JobId, QuoteId};

use super::{Ask, Decision, Made};
use crate::authorize::{Action, Resource, authorized};
use crate::command::Submit;
use crate::event::Event;
use crate::ids::{accounts, codes, quote_hold_id, quote_release_id};
use crate::refusal::Refusal;
use crate::state::{GivenQuote, Project, StoredSpec};

/// The most open quotes of one project: each is memory, and a promise.
const OPEN_QUOTES_MAX: usize = 1_000;

impl Ask<'_> {
    pub(super) fn issue_quote(&self, quote: &Quote, signature: &str) -> Result<Decision, Refusal> {
        let access = &self.state.access;
        let found = access.projects.get(&quote.project);
        let unknown = || {
            Refusal::not_found(
                "project.unknown",
                format!("there is no project {}", quote.project),
                "list them with `dayan budget`",
            )
        };
        let project =
            authorized(self.actor, Resource::Quote, Action::Create, found, |p| p.org, unknown)?;
        let class = access.orgs[&project.org].class;
        let open = self.state.work.quotes.values();
        if open.filter(|given| given.quote.project == project.id).count() >= OPEN_QUOTES_MAX {
            return Err(Refusal::conflict(
                "quote.too_many",
                format!("`{}` has {OPEN_QUOTES_MAX} open quotes", project.path),
                "wait until some expire",
            ));
        }
        for line in &quote.lines {
            let offer = self.state.supply.offers.get(&line.offer).ok_or_else(moved)?;
            // It says as what it is sold; of one that does not, the job file, whose digest it names.
            let rate = offer.rate_at(self.now, self.state.settings.zone);
            let listed = |mode| Terms::listed(offer, rate, class, mode).ok();
            let modes = [OfferMode::OnDemand, OfferMode::Spot].into_iter();
            let said = modes.filter(|mode| line.mode.is_none_or(|said| said == *mode));
            let terms = said.filter_map(listed).find(|terms| terms.permille == line.permille);
            let terms = terms.ok_or_else(moved)?;
            let same = offer.pool == line.pool
                && terms.rate == line.rate
                && terms.permille == line.permille
                && terms.minimum == line.minimum;
            if !same {
                return Err(moved());
            }
        }
        let given = GivenQuote { quote: quote.clone(), signature: signature.to_owned(), job: None };
        Ok(Decision::making(Event::QuoteIssued { quote: Box::new(given) }, Made::Quote(quote.id)))
    }

    /// Checks that the quote is for this job and can still be used, and holds its total.
    pub(super) fn bind_quote(
        &self,
        id: QuoteId,
        submit: &Submit,
        project: &Project,
        job: JobId,
    ) -> Result<((QuoteId, Transfer), Vec<Warning>), Refusal> {
        let ours = |given: &&GivenQuote| {
            let of = self.state.access.projects.get(&given.quote.project);
            of.is_some_and(|of| of.org == project.org)
        };
        let given = self.state.work.quotes.get(&id).filter(ours).ok_or_else(|| {
            Refusal::not_found(
                "quote.unknown",
                format!("there is no quote {id}, or it has expired"),
                "ask for a new quote with `dayan quote`",
            )
        })?;
        let state = given.job.map_or(QuoteState::Open, QuoteState::Used);
        let quote = &given.quote;
        quote.bind(state, &SpecDigest(submit.digest.0), project.id, self.now).map_err(
            |refusal| Refusal::conflict(refusal.code(), refusal.to_string(), refusal.advice()),
        )?;
        let stored =
            StoredSpec { spec: submit.spec.clone(), resources: super::Resources::ZERO, jobs: 0 };
        let periods = self.state.settings.periods(self.now);
        let warnings = project
            .budget
            .admit(&periods, job, stored.job_limit(), quote.total)
            .map_err(|refusal| self.budget_refusal(&refusal, project))?;
        let amount = Amount::new(quote.total).ok_or_else(|| {
            Refusal::invalid(
                "quote.free",
                "a quote over nothing needs no hold",
                "submit without the quote",
            )
        })?;
        let transfer = Transfer {
            id: quote_hold_id(id),
            kind: TransferKind::Hold {
                debit: self.state.access.orgs[&project.org].account,
                credit: accounts::own(accounts::CLEARING),
                amount,
                until: None,
            },
            code: codes::QUOTE_HOLD,
            user_data: id.bits(),
            at: self.now,
        };
        self.state.ledger.check(&transfer)?;
        Ok(((id, transfer), warnings))
    }

    pub(super) fn quote_release(&self, quote: QuoteId) -> Transfer {
        Transfer {
            id: quote_release_id(quote),
            kind: TransferKind::Release { hold: quote_hold_id(quote) },
            code: codes::QUOTE_END,
            user_data: quote.bits(),
            at: self.now,
        }
    }
}

fn moved() -> Refusal {
    Refusal::conflict("quote.moved", "an offer changed while the quote was being made", "ask again")
}

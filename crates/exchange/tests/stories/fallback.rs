//! Spot work that falls back: what it pays and relies on is what is sold where it goes.

use dayan_exchange::{Command, Made, NewOffer, mode_at};
use dayan_market::{BuyerClass, OfferMode, Quote, QuoteItem, QuoteTerms, SpecDigest, Terms};
use dayan_units::{Bytes, Currency, JobId, Micro, MilliCpu, QuoteId, Rate, Resources, Span};

use crate::story::{Story, first, seconds};

impl Story {
    /// The only offer from now on, which sells spot for that part of the price, or none.
    fn sells(&mut self, spot_permille: Option<u32>) {
        let listed = self.does(Command::ListOffer(Box::new(NewOffer {
            pool: self.pool,
            rate: Rate { core_hour: Micro::from_units(1), ..Rate::default() },
            tariff: None,
            minimum: Span::ZERO,
            accelerator: None,
            min: None,
            max: None,
            classes: [(BuyerClass::External, 1_000)].into(),
            spot_permille,
            valid_until: None,
        })));
        let Made::Offer(offer) = listed else { panic!("{listed:?}") };
        self.does(Command::RetireOffer { offer: self.offer });
        self.offer = offer;
    }
    /// A firm quote for a job with these words, under the only offer; `older` is of before lines said
    /// as what they were sold.
    fn quotes(&mut self, id: u128, more: &str, older: bool) -> QuoteId {
        let Command::Submit(submit) = self.submission(more, None) else { panic!("a submission") };
        let offer = &self.state.supply.offers[&self.offer];
        let mode = mode_at(&submit.spec, Some(offer));
        let terms = Terms::listed(offer, offer.rate, BuyerClass::External, mode);
        let head = QuoteTerms {
            id: QuoteId::from_bits(id),
            project: self.state.access.project_by_path("buyer/a").expect("created").id,
            spec_digest: SpecDigest(submit.digest.0),
            currency: Currency::CNY,
            issued_at: self.now,
            expires_at: self.now.plus(seconds(600)),
        };
        let cpu = MilliCpu(1_000);
        let item = QuoteItem {
            pool: self.pool,
            offer: self.offer,
            terms: terms.expect("it is sold"),
            mode,
            resources: Resources { cpu, memory: Bytes(1_000_000_000), ..Resources::ZERO },
            time_limit: seconds(600),
            tasks: 1,
        };
        let mut quote = Quote::issue(head, &[item]).expect("small");
        if older {
            quote.lines[0].mode = None;
        }
        let signature = "signed".to_owned();
        let made = self.does(Command::IssueQuote { quote: Box::new(quote), signature });
        let Made::Quote(quote) = made else { panic!("{made:?}") };
        quote
    }
    /// How a job's task was leased, and what it pays of the list price.
    fn leased(&mut self, job: JobId) -> (OfferMode, u32) {
        self.places(job, &[0]);
        let lease = &self.state.work.leases[&first(job, 0)];
        (lease.mode, lease.terms.permille)
    }
}

#[test]
fn who_falls_back_has_spot_where_it_is_sold_and_pays_in_full_where_not() {
    const FALLS_BACK: &str = "market: {mode: spot, fallback: on_demand}\n";
    let mut story = Story::new();
    story.sells(Some(300));
    let spot = story.submits(FALLS_BACK);
    assert_eq!(story.leased(spot), (OfferMode::Spot, 300));
    let work = &story.state.work;
    assert!(work.may_be_preempted(&work.leases[&first(spot, 0)]));
    story.sells(None);
    let on_demand = story.submits(FALLS_BACK);
    assert_eq!(story.plans().len(), 1, "the planner finds a place for it");
    assert_eq!(story.leased(on_demand), (OfferMode::OnDemand, 1_000));
    let work = &story.state.work;
    assert!(!work.may_be_preempted(&work.leases[&first(on_demand, 0)]));
    let only_spot = story.submission("market: {mode: spot}\n", None);
    assert!(story.asks(only_spot).is_err(), "nobody sells it");
}

#[test]
fn what_was_quoted_as_spot_is_leased_as_spot_when_the_offer_has_gone() {
    const FALLS_BACK: &str = "market: {mode: spot, fallback: on_demand}\n";
    let leased = |older| {
        let mut story = Story::new();
        story.sells(Some(300));
        let quote = story.quotes(7, FALLS_BACK, older);
        let submit = story.submission(FALLS_BACK, Some(quote));
        let made = story.does(submit);
        let Made::Job(job) = made else { panic!("{made:?}") };
        story.does(Command::RetireOffer { offer: story.offer });
        let leased = story.leased(job);
        story.is_replayed();
        leased
    };
    assert_eq!(leased(false), (OfferMode::Spot, 300));
    // One of before is taken by what is listed, which is nothing.
    assert_eq!(leased(true), (OfferMode::OnDemand, 300));
}

#[test]
fn a_quote_for_spot_is_not_given_where_none_is_sold() {
    let mut story = Story::new();
    story.sells(None);
    let quote = story.quotes(7, "", false);
    let mut quote = story.state.work.quotes[&quote].quote.clone();
    assert_eq!(quote.lines[0].mode, Some(OfferMode::OnDemand));
    quote.id = QuoteId::from_bits(9);
    quote.lines[0].mode = Some(OfferMode::Spot);
    let issue = Command::IssueQuote { quote: Box::new(quote), signature: "signed".to_owned() };
    assert_eq!(story.asks(issue).expect_err("not sold").code, "quote.moved");
}

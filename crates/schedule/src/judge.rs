//! May this job run in that pool, were the pool empty? Constraints, provider rules, sizes, offers
//! and price caps, in a fixed order; the first that fails names the reason. Knows nothing of what
//! is booked or queued.
//!
//! It deals in codes only; the sentences for people are made elsewhere, by [`Judge::reason`].

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{Bytes, Micro, MilliAccel, OfferId, OrgId, Rate, Resources, Span, Time};
use smallvec::SmallVec;

use crate::ask::{Ask, DataAt, GangAsk, JobAsk, Mode, Pin, Same};
use crate::change::{Avoid, Network};
use crate::estate::{BayIx, Estate, Pool, PoolIx};
use crate::fit_tree::Need;
use crate::others::Forecast;
use crate::policy::Preference;
use crate::queue::task_price_cap;
use crate::reason::ReasonCode;
use crate::score::{Measures, Order, Score};
use crate::view::{OfferView, PoolView, Residence};

/// Everything about a job that decides where it may run; jobs with equal wishes share a verdict.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub ask: &'a Ask,
    pub org: OrgId,
    pub buyer_class: &'a str,
    pub gang: Option<GangAsk>,
    pub pin: Option<Pin>,
    pub max_unit_price: Option<Micro>,
    pub max_task_price: Option<Micro>,
    pub avoid: &'a [Avoid],
}

impl<'a> Wish<'a> {
    /// Of a job that nothing keeps off any pool.
    pub fn of(ask: &'a JobAsk) -> Self {
        Self {
            ask: &ask.ask,
            org: ask.org,
            buyer_class: &ask.buyer_class,
            gang: ask.gang,
            pin: ask.quote,
            max_unit_price: ask.max_unit_price,
            max_task_price: task_price_cap(ask),
            avoid: &[],
        }
    }
}

/// A place that would do: a bay, an offer, and which need it comes to there. Eight bytes: a country
/// holds tens of millions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub bay: BayIx,
    /// Index into the pool's offers.
    pub offer: u16,
    /// Index into the list of needs handed in.
    pub need: u8,
    /// Which accelerator alternative.
    pub alternative: u8,
}

/// The rule to leave out, to find out whether it alone is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relax {
    Nothing,
    One(ReasonCode),
}

/// What is the same for all bays of a pool, found when it is asked for: most choices are made by price,
/// and the bays of a pool mostly ask for the same again.
#[derive(Default)]
struct Local {
    ways: Option<Ways>,
    /// The best offer of these resources under that alternative.
    offered: Option<(Resources, u8, Result<Offered, ReasonCode>)>,
}

/// What lies between a job and a pool.
#[derive(Clone, Copy)]
struct Ways {
    transfer_micros: i64,
    delay_micros: i64,
    carbon: i64,
    /// How long its own queue is expected to be.
    queue: Option<Span>,
}

/// An offer of a pool, and what a task costs under it.
#[derive(Clone, Copy)]
struct Offered {
    /// Index into the pool's offers.
    offer: u16,
    price_micro: i64,
    /// On demand, for work that would like spot better.
    falls_back: bool,
}

/// What is not known is worst.
fn or_worst(span: Option<Span>) -> i64 {
    span.map_or(i64::MAX, Span::micros)
}

/// Is something asked for that is not there? Mostly nothing is, and that is seen at once.
fn lacks(asked: &BTreeSet<String>, there: &BTreeSet<String>) -> bool {
    !asked.is_empty() && !asked.is_subset(there)
}

/// How many needs one ask may name as alternatives: they are numbered in a byte, and each is judged
/// against each pool.
pub(crate) const ALTERNATIVES_MAX: usize = 64;

pub(crate) struct Judge<'a> {
    pub estate: &'a Estate,
    pub network: Option<&'a dyn Network>,
    pub wish: Wish<'a>,
    pub order: &'a Order,
    /// Delays and transfer times are judged for this moment.
    pub at: Time,
    pub relax: Relax,
    /// What a task takes, where it wants the same of every node and nothing of it but room.
    pub plain: Option<Need>,
}

impl<'a> Judge<'a> {
    pub fn new(
        estate: &'a Estate,
        network: Option<&'a dyn Network>,
        wish: Wish<'a>,
        order: &'a Order,
        at: Time,
    ) -> Self {
        let plain = Self::plain(&wish);
        Self { estate, network, wish, order, at, relax: Relax::Nothing, plain }
    }
}

impl Judge<'_> {
    /// Hands over all bays of a pool that would do, each with the head of its score, or says why none
    /// does. Needs that are not yet in the list are added.
    pub fn pool(
        &self,
        ix: PoolIx,
        needs: &mut SmallVec<[Need; 1]>,
        mut found: impl FnMut(u128, Choice),
    ) -> Result<(), ReasonCode> {
        let pool = &self.estate.pools[ix as usize];
        self.check_pool(pool.view.as_ref().ok_or(ReasonCode::PoolNoNodeFits)?)?;
        let mut any = false;
        let mut furthest = ReasonCode::PoolFeature;
        if pool.bays.is_empty() {
            furthest = ReasonCode::PoolNoNodeFits;
        }
        let mut local = Local::default();
        for &bay_ix in &pool.bays {
            match self.bay(pool, bay_ix, &mut local, needs) {
                Ok((head, choice)) => {
                    any = true;
                    found(head, choice);
                }
                Err(code) => furthest = furthest.max(code),
            }
        }
        if any { Ok(()) } else { Err(furthest) }
    }

    fn plain(wish: &Wish<'_>) -> Option<Need> {
        let Wish { ask, gang, .. } = wish;
        let room = ask.accelerators.is_empty() && ask.capability.is_empty();
        let is_plain = room && ask.node_features.is_empty() && gang.is_none();
        is_plain.then(|| Need::of(ask.resources))
    }

    fn ways(&self, pool: &Pool) -> Ways {
        let view = pool.view.as_ref().expect("only pools that are shown are judged");
        Ways {
            transfer_micros: or_worst(self.transfer(pool, view)),
            delay_micros: or_worst(self.worst_delay(view)),
            carbon: view
                .carbon
                .as_ref()
                .map_or(i64::MAX, |carbon| carbon.milligrams_now(self.wish.ask.time)),
            queue: pool.forecast.map(Forecast::length),
        }
    }

    fn fails(&self, code: ReasonCode, fails: bool) -> Result<(), ReasonCode> {
        if fails && self.relax != Relax::One(code) { Err(code) } else { Ok(()) }
    }

    pub fn check_pool(&self, view: &PoolView) -> Result<(), ReasonCode> {
        let Wish { ask, org, pin, avoid, gang, .. } = &self.wish;
        self.fails(ReasonCode::PoolNotQuoted, pin.is_some_and(|pin| pin.pool != view.pool))?;
        let provider = &view.provider;
        let denied = ask.providers_denied.contains(provider)
            || !(ask.providers_allowed.is_empty() || ask.providers_allowed.contains(provider))
            || view.rules.deny.contains(org)
            || !(view.rules.allow.is_empty() || view.rules.allow.contains(org));
        self.fails(ReasonCode::PoolDenied, denied)?;
        let avoided = avoid.iter().any(|avoid| avoid.pool == view.pool);
        self.fails(ReasonCode::PoolAvoided, avoided)?;
        self.fails(ReasonCode::PoolTrust, view.trust < ask.trust)?;
        let elsewhere = (!ask.regions.is_empty() && ask.regions.is_disjoint(&view.regions))
            || !(ask.sites.is_empty() || ask.sites.contains(&view.site));
        self.fails(ReasonCode::PoolRegion, elsewhere)?;
        let abroad = match (ask.residence, view.residence) {
            (Residence::Domestic, Residence::Any) => true,
            (Residence::Any, _) | (Residence::Domestic, Residence::Domestic) => false,
        };
        self.fails(ReasonCode::PoolResidence, abroad)?;
        let no_fabric = gang.is_some_and(|gang| match gang.same {
            Same::Fabric | Same::Leaf => view.fabric.is_none(),
            Same::Site | Same::Pool => false,
        });
        let none_of = !ask.pool_one_of.is_empty() && ask.pool_one_of.is_disjoint(&view.features);
        let lacking = lacks(&ask.pool_features, &view.features) || none_of || no_fabric;
        self.fails(ReasonCode::PoolFeature, lacking)?;
        if let Some(delay) = &ask.delay {
            let late = self.worst_delay(view).is_none_or(|worst| worst > delay.bound);
            self.fails(ReasonCode::PoolDelay, late)?;
        }
        Ok(())
    }

    /// How many of the features that are asked for a pool has not.
    pub fn lacks(&self, ix: PoolIx) -> usize {
        let view = self.estate.pools[ix as usize].view.as_ref();
        view.map_or(usize::MAX, |view| {
            self.wish.ask.pool_features.difference(&view.features).count()
        })
    }

    /// The longest one-way delay that the ask is about; none where a part of it is not known.
    pub fn worst_delay(&self, view: &PoolView) -> Option<Span> {
        let network = self.network?;
        let ask = self.wish.ask;
        let worst = |worst: Span, delay: Option<Span>| Some(worst.max(delay?));
        if let Some(delay) = &ask.delay {
            let of = |from| network.one_way(from, &view.place, delay.percentile, self.at);
            return delay.from.iter().map(|from| of(from)).try_fold(Span::ZERO, worst);
        }
        let of = |data: &DataAt| network.one_way(&data.place, &view.place, 50, self.at);
        ask.data.iter().map(of).try_fold(Span::ZERO, worst)
    }
    /// As shown to people: only where a place was asked about.
    pub fn delay(&self, view: &PoolView) -> Option<Span> {
        let asked = self.wish.ask.delay.is_some() || !self.wish.ask.data.is_empty();
        if asked { self.worst_delay(view) } else { None }
    }

    /// How many bytes of a task's inputs have to be brought there: what its site's cache does not hold.
    pub fn missing(&self, pool: &Pool) -> Bytes {
        self.not_held(pool).fold(Bytes::ZERO, |sum, data| Bytes(sum.0.saturating_add(data.bytes.0)))
    }

    fn not_held<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a DataAt> {
        let held = |data: &&DataAt| data.key.is_some_and(|key| pool.holds.contains(&key));
        self.wish.ask.data.iter().filter(move |data| !held(data))
    }

    /// How long a task's inputs take to get there, one place after the other.
    pub fn transfer(&self, pool: &Pool, view: &PoolView) -> Option<Span> {
        let mut places: BTreeMap<&str, Bytes> = BTreeMap::new();
        for data in self.not_held(pool) {
            let bytes = places.entry(&data.place).or_default();
            *bytes = Bytes(bytes.0.saturating_add(data.bytes.0));
        }
        if places.is_empty() {
            return Some(Span::ZERO);
        }
        let network = self.network?;
        let time = |(place, bytes)| network.transfer_time(place, &view.place, bytes, self.at);
        let mut times = places.into_iter().map(time);
        times.try_fold(Span::ZERO, |sum, time| Some(sum.plus(time?)))
    }

    fn bay(
        &self,
        pool: &Pool,
        bay_ix: BayIx,
        local: &mut Local,
        needs: &mut SmallVec<[Need; 1]>,
    ) -> Result<(u128, Choice), ReasonCode> {
        if let Some(need) = &self.plain
            && self.relax == Relax::Nothing
            && !self.estate.sign(bay_ix).waits
        {
            let offered = self.plain_bay(pool, bay_ix, need, local)?;
            if needs.is_empty() {
                needs.push(*need);
            }
            let choice = Choice { bay: bay_ix, offer: offered.offer, need: 0, alternative: 0 };
            return Ok((self.head(pool, bay_ix, &offered, 0, local), choice));
        }
        // Most asks want nothing of a node but room: then the bay itself is not looked at.
        let make = || &self.estate.bays[bay_ix].make;
        let ask = self.wish.ask;
        if self.estate.sign(bay_ix).waits
            && (self.wish.gang.is_some() || make().waits.is_some_and(|most| ask.time > most))
        {
            // The real nodes say why the pool refuses, where it does.
            return Err(ReasonCode::PoolFeature);
        }
        let leaf = self.wish.gang.is_some_and(|gang| gang.same == Same::Leaf);
        let lacking = (!ask.node_features.is_empty()
            && lacks(&ask.node_features, &make().features))
            || (leaf && make().leaf.is_none());
        self.fails(ReasonCode::PoolFeature, lacking)?;
        let mut furthest = ReasonCode::PoolAccelerator;
        for alternative in 0..ask.accelerators.len().clamp(1, ALTERNATIVES_MAX) {
            let tried = self.resources(bay_ix, alternative).and_then(|resources| {
                let need = Need::of(resources);
                let too_large = !self.estate.fits_empty(bay_ix, &need);
                self.fails(ReasonCode::PoolNoNodeFits, too_large)?;
                let nth = u8::try_from(alternative).expect("at most 64");
                Ok((need, self.offered(pool, bay_ix, &need, local, nth)?))
            });
            match tried {
                Err(code) => furthest = furthest.max(code),
                Ok((need, offered)) => {
                    let at = needs.iter().position(|known| *known == need).unwrap_or_else(|| {
                        needs.push(need);
                        needs.len() - 1
                    });
                    // More than 255 distinct needs of one ask would take as many alternatives or
                    // capability levels; the rest of them is not offered.
                    let Ok(need) = u8::try_from(at) else { continue };
                    let alternative = u8::try_from(alternative).expect("at most 64");
                    let offer = offered.offer;
                    let choice = Choice { bay: bay_ix, offer, need, alternative };
                    return Ok((self.head(pool, bay_ix, &offered, alternative, local), choice));
                }
            }
        }
        Err(furthest)
    }

    /// What [`bay`](Self::bay) comes to where room is all that is asked for.
    fn plain_bay(
        &self,
        pool: &Pool,
        bay: BayIx,
        need: &Need,
        local: &mut Local,
    ) -> Result<Offered, ReasonCode> {
        if need.resources.accel > MilliAccel::ZERO && !self.estate.sign(bay).has_cards {
            return Err(ReasonCode::PoolAccelerator);
        }
        if !self.estate.fits_empty(bay, need) {
            return Err(ReasonCode::PoolNoNodeFits);
        }
        self.offered(pool, bay, need, local, 0)
    }

    /// What a task takes on a node of that bay, under that alternative.
    fn resources(&self, bay_ix: BayIx, alternative: usize) -> Result<Resources, ReasonCode> {
        let ask = self.wish.ask;
        let mut resources = ask.resources;
        let make = || &self.estate.bays[bay_ix].make;
        let has_cards = self.estate.sign(bay_ix).has_cards;
        if let Some(choice) = ask.accelerators.get(alternative) {
            let model = make().accelerator.as_deref();
            let matches = model.is_some_and(|model| choice.models.accept(model));
            self.fails(ReasonCode::PoolAccelerator, !matches)?;
            // Where that rule is put aside, so are the cards.
            resources.accel = if matches { choice.cards } else { MilliAccel::ZERO };
        } else if resources.accel > MilliAccel::ZERO {
            self.fails(ReasonCode::PoolAccelerator, !has_cards)?;
        }
        let by_floor = ask.accelerators.is_empty()
            && resources.accel == MilliAccel::ZERO
            && has_cards
            && !ask.capability.is_empty();
        for (precision, floor) in &ask.capability {
            let each = make().capability.get(precision).map_or(0, |rate| rate.0);
            if by_floor {
                let cards = if each == 0 { None } else { Some(floor.0.div_ceil(each)) };
                self.fails(ReasonCode::PoolCapability, cards.is_none())?;
                let milli = cards.unwrap_or(1).saturating_mul(1_000);
                resources.accel = resources.accel.max(MilliAccel(milli));
                continue;
            }
            let units = if has_cards { resources.accel.0 } else { resources.cpu.0 };
            let reached = u128::from(each) * u128::from(units) / 1_000;
            self.fails(ReasonCode::PoolCapability, reached < u128::from(floor.0))?;
        }
        Ok(resources)
    }

    /// The best offer of so much there.
    fn offered(
        &self,
        pool: &Pool,
        bay: BayIx,
        need: &Need,
        local: &mut Local,
        alternative: u8,
    ) -> Result<Offered, ReasonCode> {
        if let Some((resources, nth, known)) = &local.offered
            && (resources, *nth) == (&need.resources, alternative)
        {
            return *known;
        }
        let found = self.best_offer(pool, bay, need, local, alternative);
        // One for a model of card is there for some bays and not for others.
        if pool.offers.iter().all(|offer| offer.accelerator.is_none()) {
            local.offered = Some((need.resources, alternative, found));
        }
        found
    }

    fn best_offer(
        &self,
        pool: &Pool,
        bay: BayIx,
        need: &Need,
        local: &mut Local,
        alternative: u8,
    ) -> Result<Offered, ReasonCode> {
        let mut furthest = ReasonCode::PoolOffer;
        let mut best: Option<Offered> = None;
        for (at, offer) in (0u16..).zip(&pool.offers) {
            if !self.offer_covers(offer, bay, need) {
                continue;
            }
            let price = self.task_price(offer, &need.resources);
            let dear = match price {
                None => true,
                // What was quoted is firm; caps were judged when it was accepted.
                Some(_) if self.wish.pin.is_some() => false,
                Some(price) => {
                    self.wish.max_task_price.is_some_and(|cap| price > cap)
                        || self.wish.max_unit_price.is_some_and(|cap| {
                            self.unit_price(offer, &need.resources).is_none_or(|unit| unit > cap)
                        })
                }
            };
            if self.fails(ReasonCode::PoolPrice, dear).is_err() {
                furthest = ReasonCode::PoolPrice;
                continue;
            }
            let found = Offered {
                offer: at,
                price_micro: price.map_or(i64::MAX, |price| price.0),
                falls_back: self.falls_back(offer),
            };
            let is_better = best.is_none_or(|best| {
                let ways = *local.ways.get_or_insert_with(|| self.ways(pool));
                let score = |of: &Offered| self.score_of(pool, bay, of, (need, alternative), &ways);
                score(&found) < score(&best)
            });
            if is_better {
                best = Some(found);
            }
        }
        best.ok_or(furthest)
    }

    fn falls_back(&self, offer: &OfferView) -> bool {
        self.wish.ask.mode == Mode::Spot && offer.spot_permille.is_none()
    }

    /// Is so much sold by this offer there, within the caps of price?
    pub fn sells(&self, bay: BayIx, offer: OfferId, need: &Need) -> bool {
        let pool = self.estate.pool_of(bay) as usize;
        let mut offers = self.estate.pools[pool].offers.iter();
        let Some(offer) = offers.find(|one| one.offer == offer) else { return false };
        let within = |cap: Option<Micro>, price: Option<Micro>| {
            cap.is_none_or(|cap| price.is_some_and(|price| price <= cap))
        };
        self.offer_covers(offer, bay, need)
            && within(self.wish.max_task_price, self.task_price(offer, &need.resources))
            && within(self.wish.max_unit_price, self.unit_price(offer, &need.resources))
    }

    fn offer_covers(&self, offer: &OfferView, bay: BayIx, need: &Need) -> bool {
        let sold = || match self.wish.ask.mode {
            Mode::OnDemand => !offer.closed,
            Mode::Spot => {
                !offer.closed && (offer.spot_permille.is_some() || self.wish.ask.falls_back)
            }
        };
        self.wish.pin.map_or_else(sold, |pin| pin.offer == offer.offer)
            && offer
                .accelerator
                .as_ref()
                .is_none_or(|model| self.estate.bays[bay].make.accelerator.as_ref() == Some(model))
            && offer.least.fits_in(&need.resources)
            && offer.most.is_none_or(|most| need.resources.fits_in(&most))
            && offer.time_max.is_none_or(|most| self.wish.ask.time <= most)
    }

    fn permille(&self, offer: &OfferView) -> u32 {
        let factor = offer.classes.get(self.wish.buyer_class).copied();
        let factor = factor.unwrap_or(dayan_units::PERMILLE_ONE);
        match (self.wish.ask.mode, offer.spot_permille) {
            (Mode::Spot, Some(spot)) => dayan_units::permille_of_floor(spot, factor),
            (Mode::Spot, None) | (Mode::OnDemand, _) => factor,
        }
    }
    /// What this buyer pays for an hour of a task; none where it is over the range of money.
    pub fn unit_price(&self, offer: &OfferView, resources: &Resources) -> Option<Micro> {
        offer.rate.cost(resources, Span::from_secs(3_600), self.permille(offer))
    }
    /// What this buyer pays for a task at its time limit; none where it is over the range of money.
    pub fn task_price(&self, offer: &OfferView, resources: &Resources) -> Option<Micro> {
        self.price_at(offer.rate, offer, resources)
    }

    /// What a task costs at its time limit if it starts then, and until when that is so.
    pub fn price_from(
        &self,
        choice: &Choice,
        needs: &[Need],
        start: Time,
    ) -> (Option<Micro>, Time) {
        let bay = &self.estate.bays[choice.bay];
        let offer = &self.estate.pools[bay.pool as usize].offers[usize::from(choice.offer)];
        let resources = &needs[usize::from(choice.need)].resources;
        let Some(hours) = &offer.hours else {
            return (self.task_price(offer, resources), Time::NEVER);
        };
        (self.price_at(hours.at(start), offer, resources), hours.next(start))
    }

    /// Milligrams for a kilowatt-hour of a task that starts then and runs to its limit, and until when
    /// that is so; none where the grid is not known.
    pub fn carbon_from(&self, choice: &Choice, start: Time) -> (Option<i64>, Time) {
        let pool = self.estate.pool_of(choice.bay) as usize;
        let carbon = self.estate.pools[pool].view.as_ref().and_then(|view| view.carbon.as_ref());
        carbon.map_or((None, Time::NEVER), |carbon| {
            let (milligrams, until) = carbon.milligrams_from(start, self.wish.ask.time);
            (Some(milligrams), until)
        })
    }

    fn price_at(&self, rate: Rate, offer: &OfferView, resources: &Resources) -> Option<Micro> {
        let time = self.wish.ask.time.max(offer.minimum);
        rate.cost(resources, time, self.permille(offer))
    }

    fn measures(&self, pool: &Pool, waits: bool, offered: &Offered, ways: &Ways) -> Measures {
        // A place in a queue starts no sooner than the queue is expected to be through.
        let queued = match ways.queue {
            Some(queue) if waits => queue.micros(),
            Some(_) | None => 0,
        };
        let offer = &pool.offers[usize::from(offered.offer)];
        Measures {
            price_micro: offered.price_micro,
            transfer_micros: ways.transfer_micros.saturating_add(queued),
            delay_micros: ways.delay_micros,
            carbon: ways.carbon,
            unreliability_permille: 1_000 - i64::from(offer.reliability_permille),
        }
    }

    /// The part of a score that is compared first.
    fn head(
        &self,
        pool: &Pool,
        bay: BayIx,
        offered: &Offered,
        alternative: u8,
        local: &mut Local,
    ) -> u128 {
        let waits = self.estate.sign(bay).waits;
        let first = if self.order.first() == Preference::Price {
            offered.price_micro
        } else {
            let ways = *local.ways.get_or_insert_with(|| self.ways(pool));
            self.measures(pool, waits, offered, &ways).of(self.order.first())
        };
        Score::head_of((u8::from(waits), u8::from(offered.falls_back), alternative), first)
    }

    fn score_of(
        &self,
        pool: &Pool,
        bay: BayIx,
        offered: &Offered,
        (need, alternative): (&Need, u8),
        ways: &Ways,
    ) -> Score {
        let sign = self.estate.sign(bay);
        let measures = self.measures(pool, sign.waits, offered, ways);
        let idles = need.resources.accel == MilliAccel::ZERO && sign.has_cards;
        let view = pool.view.as_ref().expect("only pools that are shown are judged");
        let ids = (view.pool, sign.number, pool.offers[usize::from(offered.offer)].offer);
        let falls_back = u8::from(offered.falls_back);
        let places = (u8::from(sign.waits), falls_back, alternative, u8::from(idles));
        Score::new(self.order, &measures, places, ids)
    }

    /// The score of a choice that was found in the present picture.
    pub fn score(&self, choice: &Choice, needs: &[Need]) -> Score {
        let pool = &self.estate.pools[self.estate.pool_of(choice.bay) as usize];
        let offer = &pool.offers[usize::from(choice.offer)];
        let need = &needs[usize::from(choice.need)];
        let offered = Offered {
            offer: choice.offer,
            price_micro: self.task_price(offer, &need.resources).map_or(i64::MAX, |price| price.0),
            falls_back: self.falls_back(offer),
        };
        let ways = self.ways(pool);
        self.score_of(pool, choice.bay, &offered, (need, choice.alternative), &ways)
    }
}

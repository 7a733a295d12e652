//! The rules once more, as plainly as they can be written: every job in order looks at every node
//! of every pool. No reservations. It answers which task sits where.

use std::collections::BTreeMap;

use dayan_schedule::order::{ShortWork, due_now};
use dayan_schedule::{
    JobAsk, Mode, NodeName, NodeUp, NodeView, OfferView, PoolView, Same, Workload,
};
use dayan_units::{JobId, MilliAccel, PoolId, Resources, Span, TaskId, Time};

use crate::later::{GAP, late, over};
use crate::quotas::Quotas;
use crate::world::{World, card_shares};

type At = (PoolId, NodeName);

/// Until when, how much, and what of which cards.
type Held = (Time, Resources, Vec<(u8, u32)>);

#[derive(Clone)]
struct Used {
    sum: Resources,
    cards: Vec<u32>,
    /// What makes up the sum: until when, and on which cards.
    held: Vec<Held>,
}

/// What a task wants of a node that may have promised something for later: until its limit, beside
/// all that others have been promised and have not taken up.
struct Wish<'a> {
    world: &'a World,
    limit: Span,
    /// Whose own promise does not count.
    but: Option<TaskId>,
    /// Those that sit where they were promised to.
    seated: Vec<TaskId>,
}

pub fn seats(world: &World) -> Vec<(JobId, u32, PoolId, NodeName)> {
    let mut used: BTreeMap<At, Used> = BTreeMap::new();
    let mut running: BTreeMap<JobId, u32> = BTreeMap::new();
    for (attempt, lease) in &world.leases {
        *running.entry(attempt.job).or_default() += 1;
        let at = (lease.seat.pool, lease.seat.node.clone());
        let entry = used.entry(at).or_insert_with(nothing);
        entry.sum = entry.sum.checked_add(&lease.seat.resources).expect("small");
        for (card, milli) in card_shares(&lease.seat.cards) {
            entry.cards[usize::from(card)] += milli;
        }
        let shares = card_shares(&lease.seat.cards);
        entry.held.push((lease.end.latest, lease.seat.resources, shares));
    }
    let mut workload = Workload::default();
    world.leases.values().for_each(|lease| workload.add(&lease.seat.resources));
    let mut left: BTreeMap<JobId, u64> =
        world.jobs.values().map(|ask| (ask.job, ask.tasks.len())).collect();
    let open = world.jobs.values().filter(|ask| !world.blocked.contains(&ask.project));
    let open = open.filter(|ask| ask.begin.is_none_or(|begin| begin <= world.now));
    let open = open.filter(|ask| !is_held(world, ask.job));
    let mut queue: Vec<&JobAsk> = open.collect();
    let behind = |ask: &JobAsk| world.behind.get(&ask.project).copied().unwrap_or(Span::ZERO);
    queue.sort_by_key(|ask| {
        (-ask.priority, due_now(ask, world.now).plus(behind(ask)), ask.submitted_at, ask.job)
    });
    let mut placed = Vec::new();
    let mut quotas = Quotas::of(world);
    keep(world, &queue, &mut used, &mut running, &mut workload, &mut placed);
    for (job, ..) in &placed {
        *left.get_mut(job).expect("it is one of them") -= 1;
    }
    quotas.hold(&placed);
    while let Some(at) = queue.iter().position(|ask| !is_behind(world, &left, ask)) {
        let ask = queue.remove(at);
        let already = placed.len();
        let order = places(world, ask);
        let left_of_it = ask.tasks.iter().filter(|task| !has_seat(&placed, ask.job, *task));
        let tasks: Vec<u32> = left_of_it.collect();
        let wish = wish_of(world, ask, &placed);
        match ask.gang {
            Some(gang) if tasks.len() >= gang.size as usize => {
                if is_feasible(&order, gang.size, gang.same) && quotas.refuse(ask) {
                    continue;
                }
                let room = Room::of(world, ask);
                let among = (gang.size, gang.same, &room);
                place_gang(&wish, ask, among, &order, &mut used, &mut placed);
            }
            Some(_) => {}
            None => {
                let running = running.entry(ask.job).or_default();
                let (used, workload) = (&mut used, &mut workload);
                let rest = (&mut quotas, workload);
                place_each(&wish, ask, &tasks, running, &order, used, rest, &mut placed);
            }
        }
        if ask.gang.is_some() && placed.len() > already {
            quotas.hold(&placed[already..]);
        }
        *left.get_mut(&ask.job).expect("it is one of them") -= (placed.len() - already) as u64;
    }
    placed
}

type Placed = Vec<(JobId, u32, PoolId, NodeName)>;

fn has_seat(placed: &Placed, job: JobId, task: u32) -> bool {
    placed.iter().any(|seat| (seat.0, seat.1) == (job, task))
}

fn wish_of<'a>(world: &'a World, ask: &JobAsk, placed: &Placed) -> Wish<'a> {
    let at_home = placed.iter().filter(|(job, task, pool, node)| {
        let made = world.appointments.get(job).into_iter().flatten();
        made.into_iter().any(|made| made.task == *task && made.pool == *pool && made.node == *node)
    });
    let seated = at_home.map(|&(job, task, ..)| TaskId { job, task }).collect();
    Wish { world, limit: ask.ask.time, but: None, seated }
}

/// What was promised comes first: where it was promised, and when it is due anywhere.
fn keep(
    world: &World,
    queue: &[&JobAsk],
    used: &mut BTreeMap<At, Used>,
    running: &mut BTreeMap<JobId, u32>,
    workload: &mut Workload,
    placed: &mut Placed,
) {
    let mut promised: Vec<(Time, JobId)> = world
        .appointments
        .iter()
        .filter_map(|(job, made)| Some((made.iter().map(|made| made.from).min()?, *job)))
        .collect();
    promised.sort_unstable();
    for (from, job) in promised {
        let Some(ask) = queue.iter().find(|ask| ask.job == job) else { continue };
        let order = places(world, ask);
        let all = world.appointments[&job].iter().filter(|made| !waits_for_its_hour(world, made));
        let all: Vec<&dayan_schedule::Appointment> = all.collect();
        if let Some(gang) = ask.gang {
            if all.len() < gang.size as usize || ask.tasks.len() < u64::from(gang.size) {
                continue;
            }
            let own = |made: &&dayan_schedule::Appointment| {
                let mut wish = wish_of(world, ask, placed);
                wish.but = Some(TaskId { job, task: made.task });
                wish.limit = ask.ask.time.minus(late(made, world.now));
                let there =
                    |place: &&Place<'_>| place.0.pool == made.pool && place.1.name == made.node;
                let place = order.iter().find(there)?;
                let at = (made.pool, made.node.clone());
                wish.fits(place.1, &at, used.get(&at), &place.3).then_some(place)
            };
            let spots: Option<Vec<&Place<'_>>> = all.iter().map(own).collect();
            if let Some(spots) = spots {
                for (made, (view, node, _, need)) in all.iter().zip(spots) {
                    let entry = used.entry((view.pool, node.name.clone())).or_insert_with(nothing);
                    take(node, entry, need, world.now.plus(ask.ask.time));
                    placed.push((job, made.task, view.pool, node.name.clone()));
                }
            } else if from <= world.now {
                let wish = wish_of(world, ask, placed);
                let among = (gang.size, gang.same, &Room::NONE);
                place_gang(&wish, ask, among, &order, used, placed);
            }
            continue;
        }
        for made in all {
            let running = running.entry(job).or_default();
            if ask.max_parallel.is_some_and(|most| *running >= most) {
                break;
            }
            let mut wish = wish_of(world, ask, placed);
            wish.but = Some(TaskId { job, task: made.task });
            wish.limit = ask.ask.time.minus(late(made, world.now));
            let is_own = |place: &Place<'_>| {
                let at = (made.pool, made.node.clone());
                place.0.pool == made.pool
                    && place.1.name == made.node
                    && wish.fits(place.1, &at, used.get(&at), &place.3)
            };
            let mut spot = order.iter().position(is_own);
            if spot.is_none() && made.from <= world.now {
                (wish.but, wish.limit) = (None, ask.ask.time);
                let is_free = |(view, node, _, need): &Place<'_>| {
                    let at = (view.pool, node.name.clone());
                    wish.fits(node, &at, used.get(&at), need)
                };
                let first = order.iter().position(is_free);
                spot = first.map(|first| least_waste(&order, first, is_free, used, workload));
            }
            let Some(spot) = spot else { continue };
            let (view, node, _, need) = &order[spot];
            *running += 1;
            let entry = used.entry((view.pool, node.name.clone())).or_insert_with(nothing);
            take(node, entry, need, world.now.plus(ask.ask.time));
            placed.push((job, made.task, view.pool, node.name.clone()));
        }
    }
}

/// It was promised for a better hour, which has not come.
fn waits_for_its_hour(world: &World, made: &dayan_schedule::Appointment) -> bool {
    made.hold && made.from > world.now
}

/// All that a job was promised is for better hours.
fn is_held(world: &World, job: JobId) -> bool {
    let made = world.appointments.get(&job).filter(|made| !made.is_empty());
    made.is_some_and(|made| {
        made.iter().all(|made| made.hold) && made.iter().all(|made| made.from > world.now)
    })
}

/// Does an earlier strict job of the same project wait?
fn is_behind(world: &World, left: &BTreeMap<JobId, u64>, ask: &JobAsk) -> bool {
    let earlier = |other: &&JobAsk| {
        other.strict
            && other.project == ask.project
            && (other.submitted_at, other.job) < (ask.submitted_at, ask.job)
            && left[&other.job] > 0
    };
    ask.strict && world.jobs.values().any(|other| earlier(&other))
}

#[expect(clippy::too_many_arguments, reason = "all there is, once")]
fn place_each(
    wish: &Wish<'_>,
    ask: &JobAsk,
    tasks: &[u32],
    running: &mut u32,
    order: &[Place<'_>],
    used: &mut BTreeMap<At, Used>,
    (quotas, workload): (&mut Quotas<'_>, &mut Workload),
    placed: &mut Vec<(JobId, u32, PoolId, NodeName)>,
) {
    let room = Room::of(wish.world, ask);
    let mut last: Option<usize> = None;
    for &task in tasks {
        if ask.max_parallel.is_some_and(|most| *running >= most) {
            break;
        }
        if !order.is_empty() && quotas.refuse(ask) {
            break;
        }
        let is_free = |(view, node, _, need): &Place<'_>| {
            let at = (view.pool, node.name.clone());
            wish.fits(node, &at, used.get(&at), need)
                && room.is_left(wish.world, used, &[view.pool], need, 1)
        };
        // An array stays on a node as long as that has room.
        let spot = match last.filter(|at| is_free(&order[*at])) {
            Some(at) => at,
            None => {
                let Some(first) = order.iter().position(is_free) else { break };
                least_waste(order, first, is_free, used, workload)
            }
        };
        last = Some(spot);
        let (view, node, _, need) = &order[spot];
        *running += 1;
        let entry = used.entry((view.pool, node.name.clone())).or_insert_with(nothing);
        take(node, entry, need, wish.world.now.plus(wish.limit));
        placed.push((ask.job, task, view.pool, node.name.clone()));
        quotas.hold(&placed[placed.len() - 1..]);
    }
}

/// Of the places as good as the first that is free, the one whose expected waste grows least.
fn least_waste(
    order: &[Place<'_>],
    first: usize,
    is_free: impl Fn(&Place<'_>) -> bool,
    used: &BTreeMap<At, Used>,
    workload: &mut Workload,
) -> usize {
    let (pool, offer, need) = (order[first].0.pool, order[first].2.offer, order[first].3);
    let has_cards = order[first].1.accelerator.is_some();
    let mut best: Option<(i64, usize)> = None;
    for (at, (view, node, at_offer, at_need)) in order.iter().enumerate().skip(first) {
        let idles = need.accel == MilliAccel::ZERO && node.accelerator.is_some() != has_cards;
        if view.pool != pool || at_offer.offer != offer || *at_need != need || idles {
            break;
        }
        if !is_free(&order[at]) {
            continue;
        }
        let mut before = used.get(&(view.pool, node.name.clone())).cloned().unwrap_or(nothing());
        let state = |used: &Used| {
            let cards = free_cards(node, used).into_iter();
            let cpu = node.total.cpu.0.saturating_sub(used.sum.cpu.0);
            (cpu, cards.map(|left| u16::try_from(left).expect("a card")).collect::<Vec<_>>())
        };
        let (cpu, cards) = state(&before);
        take(node, &mut before, &need, Time::NEVER);
        let (cpu_after, cards_after) = state(&before);
        let growth = if node.accelerator.is_none() || cards.is_empty() {
            0
        } else {
            workload.growth((cpu, &cards), (cpu_after, &cards_after))
        };
        if best.is_none_or(|(least, _)| growth < least) {
            best = Some((growth, at));
        }
    }
    best.expect("the first is free").1
}

fn nothing() -> Used {
    Used { sum: Resources::ZERO, cards: vec![0; 64], held: Vec::new() }
}

type Place<'a> = (&'a PoolView, &'a NodeView, &'a OfferView, Resources);

/// Every node that would do if it were empty, the best first.
fn places<'a>(world: &'a World, ask: &JobAsk) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for view in world.pools.values() {
        let avoided = world.avoid.get(&ask.job).is_some_and(|avoid| {
            avoid.iter().any(|avoid| avoid.pool == view.pool && avoid.until > world.now)
        });
        let wish = &ask.ask;
        if avoided
            || ask.quote.is_some_and(|pin| pin.pool != view.pool)
            || (!wish.regions.is_empty() && wish.regions.is_disjoint(&view.regions))
            || !(wish.sites.is_empty() || wish.sites.contains(&view.site))
            || view.trust < wish.trust
            || ask.gang.is_some_and(|gang| gang.same == Same::Fabric && view.fabric.is_none())
        {
            continue;
        }
        for node in &view.nodes {
            let mut need = wish.resources;
            let mut alternative = 0;
            if !wish.accelerators.is_empty() {
                let accepts = wish.accelerators.iter().position(|choice| {
                    node.accelerator.as_ref().is_some_and(|model| choice.models.accept(model))
                });
                let Some(first) = accepts else { continue };
                alternative = first;
                need.accel = wish.accelerators[first].cards;
            } else if need.accel > MilliAccel::ZERO && node.accelerator.is_none() {
                continue;
            }
            if !need.fits_in(&node.total) {
                continue;
            }
            for offer in &world.offers[&view.pool] {
                let hour = offer.rate.per_hour(&need).expect("small");
                let quoted = ask.quote.map(|pin| pin.offer);
                let share = match (wish.mode, offer.spot_permille) {
                    (Mode::Spot, None) => continue,
                    (Mode::Spot, Some(share)) => share,
                    (Mode::OnDemand, _) => 1_000,
                };
                if quoted.is_some_and(|quoted| quoted != offer.offer)
                    || (quoted.is_none() && ask.max_unit_price.is_some_and(|cap| hour > cap))
                {
                    continue;
                }
                let price = offer.rate.cost(&need, wish.time, share).expect("small");
                // In this world all pools are as reliable and as clean: only price tells.
                let idles = need.accel == MilliAccel::ZERO && node.accelerator.is_some();
                let size = (node.total.accel, node.total.cpu, node.total.memory);
                let key = (
                    alternative,
                    price,
                    idles,
                    view.pool,
                    node.accelerator.clone(),
                    size,
                    node.name.clone(),
                );
                places.push((key, (view, node, offer, need)));
            }
        }
    }
    places.sort_by(|a, b| a.0.cmp(&b.0));
    places.into_iter().map(|(_, place)| place).collect()
}

fn free_cards(node: &NodeView, used: &Used) -> Vec<u32> {
    let cards = usize::try_from(node.total.accel.0 / 1_000).expect("small");
    used.cards[..cards].iter().map(|used| 1_000u32.saturating_sub(*used)).collect()
}

fn fits(node: &NodeView, used: Option<&Used>, need: &Resources) -> bool {
    let empty = nothing();
    let used = used.unwrap_or(&empty);
    let has = |total: u64, used: u64, need: u64| need <= total.saturating_sub(used);
    let free = free_cards(node, used);
    let whole = usize::try_from(need.accel.0 / 1_000).expect("small");
    let part = u32::try_from(need.accel.0 % 1_000).expect("small");
    let untouched = free.iter().filter(|free| **free == 1_000).count();
    let part_elsewhere = free.iter().any(|free| *free < 1_000 && *free >= part);
    node.up == NodeUp::Up
        && has(node.total.cpu.0, used.sum.cpu.0, need.cpu.0)
        && has(node.total.memory.0, used.sum.memory.0, need.memory.0)
        && has(node.total.accel.0, used.sum.accel.0, need.accel.0)
        && untouched >= whole + usize::from(part > 0 && !part_elsewhere)
}

fn take(node: &NodeView, used: &mut Used, need: &Resources, end: Time) {
    let free = free_cards(node, used);
    let before = used.cards.clone();
    let part = u32::try_from(need.accel.0 % 1_000).expect("small");
    let mut taken = None;
    if part > 0 {
        let fullest = (0..free.len()).filter(|card| free[*card] >= part);
        let card = fullest.min_by_key(|card| (free[*card], *card)).expect("it fits");
        used.cards[card] += part;
        taken = Some(card);
    }
    let whole = usize::try_from(need.accel.0 / 1_000).expect("small");
    let untouched = (0..free.len()).filter(|card| free[*card] == 1_000 && Some(*card) != taken);
    for card in untouched.take(whole).collect::<Vec<_>>() {
        used.cards[card] += 1_000;
    }
    used.sum = used.sum.checked_add(need).expect("small");
    let grown = (0u8..).zip(used.cards.iter().zip(before)).filter(|(_, (now, then))| *now > then);
    let shares = grown.map(|(card, (now, then))| (card, now - then)).collect();
    used.held.push((end, *need, shares));
}

impl Wish<'_> {
    /// Now, and at each moment until its limit at which something that was promised begins.
    fn fits(&self, node: &NodeView, at: &At, used: Option<&Used>, need: &Resources) -> bool {
        if !fits(node, used, need) {
            return false;
        }
        let now = self.world.now;
        let until = now.plus(self.limit);
        let closures = &self.world.pools[&at.0].closures;
        let closes = closures.iter().any(|closure| {
            (closure.nodes.is_empty() || closure.nodes.contains(&at.1))
                && closure.from < until.plus(GAP)
                && now < closure.until
        });
        if closes {
            return false;
        }
        let made = self.world.appointments.iter().flat_map(|(job, made)| {
            made.iter().map(|made| (TaskId { job: *job, task: made.task }, made))
        });
        let made: Vec<_> = made
            .filter(|(task, made)| {
                (made.pool, &made.node) == (at.0, &at.1)
                    && Some(*task) != self.but
                    && !self.seated.contains(task)
                    && made.from < until.plus(GAP)
            })
            .map(|(_, made)| made)
            .collect();
        let begins = made.iter().map(|made| made.from).filter(|from| *from > now);
        std::iter::once(now).chain(begins).all(|moment| {
            let mut then = nothing();
            for (end, resources, shares) in used.into_iter().flat_map(|used| &used.held) {
                if moment > now && end.plus(GAP) <= moment {
                    continue;
                }
                then.sum = then.sum.checked_add(resources).expect("small");
                for (card, milli) in shares {
                    then.cards[usize::from(*card)] += milli;
                }
            }
            let mut kept = 0;
            for made in &made {
                if made.from <= moment && moment < over(made, now) {
                    then.sum = then.sum.checked_add(&made.resources).expect("small");
                    kept += made.resources.accel.0.div_ceil(1_000);
                }
            }
            let has = |total: u64, used: u64, need: u64| need <= total.saturating_sub(used);
            let sums = has(node.total.cpu.0, then.sum.cpu.0, need.cpu.0)
                && has(node.total.memory.0, then.sum.memory.0, need.memory.0)
                && has(node.total.accel.0, then.sum.accel.0, need.accel.0);
            if need.accel.0 == 0 || !sums {
                return sums;
            }
            if kept == 0 {
                return fits(node, Some(&then), need);
            }
            let whole = free_cards(node, &then).iter().filter(|free| **free == 1_000).count();
            whole as u64 >= kept + need.accel.0.div_ceil(1_000)
        })
    }
}

/// Are there enough nodes close enough together, were they empty?
fn is_feasible(order: &[Place<'_>], size: u32, same: Same) -> bool {
    let mut nodes: BTreeMap<_, std::collections::BTreeSet<At>> = BTreeMap::new();
    for (view, node, ..) in order {
        let group = nodes.entry(together(view, same)).or_default();
        group.insert((view.pool, node.name.clone()));
    }
    nodes.values().any(|nodes| nodes.len() >= size as usize)
}

type Together = (Option<dayan_units::SiteId>, Option<String>, Option<PoolId>);

fn together(view: &PoolView, same: Same) -> Together {
    match same {
        Same::Site => (Some(view.site), None, None),
        Same::Fabric => (Some(view.site), view.fabric.clone(), None),
        Same::Pool => (None, None, Some(view.pool)),
        Same::Leaf => unreachable!("no draw asks for a leaf"),
    }
}

fn place_gang(
    wish: &Wish<'_>,
    ask: &JobAsk,
    (size, same, room): (u32, Same, &Room),
    order: &[Place<'_>],
    used: &mut BTreeMap<At, Used>,
    placed: &mut Vec<(JobId, u32, PoolId, NodeName)>,
) {
    let mut tried = Vec::new();
    for (view, ..) in order {
        let group = together(view, same);
        if tried.contains(&group) {
            continue;
        }
        let members: Vec<_> =
            order.iter().filter(|(view, ..)| together(view, same) == group).collect();
        tried.push(group);
        let free: Vec<_> = members
            .iter()
            .filter(|(view, node, _, need)| {
                let at = (view.pool, node.name.clone());
                wish.fits(node, &at, used.get(&at), need)
            })
            .take(size as usize)
            .collect();
        if free.len() < size as usize {
            continue;
        }
        let mut pools: Vec<PoolId> = members.iter().map(|(view, ..)| view.pool).collect();
        pools.sort_unstable();
        pools.dedup();
        if !room.is_left(wish.world, used, &pools, &free[0].3, u64::from(size)) {
            continue;
        }
        for ((view, node, _, need), task) in free.into_iter().zip(ask.tasks.iter()) {
            let entry = used.entry((view.pool, node.name.clone())).or_insert_with(nothing);
            take(node, entry, need, wish.world.now.plus(wish.limit));
            placed.push((ask.job, task, view.pool, node.name.clone()));
        }
        return;
    }
}

/// What a job leaves for short work: nothing once it is due.
struct Room {
    /// Eighths of doublings of ten minutes that it is sure to run, of 48.
    steps: u64,
    short: ShortWork,
}

impl Room {
    const NONE: Self =
        Self { steps: 0, short: ShortWork { cpu: dayan_units::MilliCpu(0), accel: MilliAccel(0) } };

    fn of(world: &World, ask: &JobAsk) -> Self {
        let behind = world.behind.get(&ask.project).copied().unwrap_or(Span::ZERO);
        let is_due = due_now(ask, world.now).plus(behind) <= world.now;
        let passes = ask.priority > 0 || ask.soft_deadline.is_some() || ask.ask.mode == Mode::Spot;
        let at_least = ask.at_least.unwrap_or(Span::ZERO).micros() as f64 / 600e6;
        if is_due || passes || at_least <= 1.0 {
            return Self::NONE;
        }
        let passed = |step: &u8| at_least >= 2f64.powf(f64::from(*step) / 8.0);
        let steps = (1..=48u8).filter(passed).count() as u64;
        Self { steps, short: world.short.widest(world.now) }
    }

    /// Of cards for what takes cards, else of cores, over all nodes that are up.
    fn is_left(
        &self,
        world: &World,
        used: &BTreeMap<At, Used>,
        pools: &[PoolId],
        need: &Resources,
        seats: u64,
    ) -> bool {
        let kind = |all: &Resources| if need.accel.0 > 0 { all.accel.0 } else { all.cpu.0 };
        let widest = if need.accel.0 > 0 { self.short.accel.0 } else { self.short.cpu.0 };
        let (mut total, mut free) = (0, 0);
        for pool in pools {
            for node in world.pools[pool].nodes.iter().filter(|node| node.up == NodeUp::Up) {
                let used = used.get(&(*pool, node.name.clone()));
                total += kind(&node.total);
                free += kind(&node.total).saturating_sub(used.map_or(0, |used| kind(&used.sum)));
            }
        }
        let taken = kind(need) * seats;
        let kept = (total * self.steps / (8 * 48)).min(widest).min(total.saturating_sub(taken));
        free >= taken + kept
    }
}

//! The rules once more, as plainly as they can be written: every job in order looks at every node
//! of every pool. No reservations. It answers which task sits where.

use std::collections::BTreeMap;

use dayan_schedule::order::due_at;
use dayan_schedule::{JobAsk, NodeName, NodeUp, NodeView, OfferView, PoolView, Same, Workload};
use dayan_units::{JobId, MilliAccel, PoolId, Resources, Span};

use crate::world::{World, card_shares};

type At = (PoolId, NodeName);

#[derive(Clone)]
struct Used {
    sum: Resources,
    cards: Vec<u32>,
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
    }
    let mut workload = Workload::default();
    world.leases.values().for_each(|lease| workload.add(&lease.seat.resources));
    let mut left: BTreeMap<JobId, u64> =
        world.jobs.values().map(|ask| (ask.job, ask.tasks.len())).collect();
    let open = world.jobs.values().filter(|ask| !world.blocked.contains(&ask.project));
    let mut queue: Vec<&JobAsk> = open.collect();
    let behind = |ask: &JobAsk| world.behind.get(&ask.project).copied().unwrap_or(Span::ZERO);
    queue.sort_by_key(|ask| {
        (-ask.priority, due_at(ask).plus(behind(ask)), ask.submitted_at, ask.job)
    });
    let mut placed = Vec::new();
    while let Some(at) = queue.iter().position(|ask| !is_behind(world, &left, ask)) {
        let ask = queue.remove(at);
        let already = placed.len();
        let order = places(world, ask);
        match ask.gang {
            Some(gang) if ask.tasks.len() >= u64::from(gang.size) => {
                place_gang(ask, gang.size, gang.same, &order, &mut used, &mut placed);
            }
            Some(_) => {}
            None => {
                let running = running.entry(ask.job).or_default();
                place_each(ask, running, &order, &mut used, &mut workload, &mut placed);
            }
        }
        *left.get_mut(&ask.job).expect("it is one of them") -= (placed.len() - already) as u64;
    }
    placed
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

fn place_each(
    ask: &JobAsk,
    running: &mut u32,
    order: &[Place<'_>],
    used: &mut BTreeMap<At, Used>,
    workload: &mut Workload,
    placed: &mut Vec<(JobId, u32, PoolId, NodeName)>,
) {
    let mut last: Option<usize> = None;
    for task in ask.tasks.iter() {
        if ask.max_parallel.is_some_and(|most| *running >= most) {
            break;
        }
        let is_free = |(view, node, _, need): &Place<'_>| {
            fits(node, used.get(&(view.pool, node.name.clone())), need)
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
        take(node, used.entry((view.pool, node.name.clone())).or_insert_with(nothing), need);
        placed.push((ask.job, task, view.pool, node.name.clone()));
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
        take(node, &mut before, &need);
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
    Used { sum: Resources::ZERO, cards: vec![0; 64] }
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
            || !(wish.regions.is_empty() || wish.regions.contains(&view.region))
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
                if quoted.is_some_and(|quoted| quoted != offer.offer)
                    || (quoted.is_none() && ask.max_unit_price.is_some_and(|cap| hour > cap))
                {
                    continue;
                }
                let price = offer.rate.cost(&need, wish.time, 1_000).expect("small");
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

fn take(node: &NodeView, used: &mut Used, need: &Resources) {
    let free = free_cards(node, used);
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
}

fn place_gang(
    ask: &JobAsk,
    size: u32,
    same: Same,
    order: &[Place<'_>],
    used: &mut BTreeMap<At, Used>,
    placed: &mut Vec<(JobId, u32, PoolId, NodeName)>,
) {
    let together = |view: &PoolView| match same {
        Same::Site => (Some(view.site), None, None),
        Same::Fabric => (Some(view.site), view.fabric.clone(), None),
        Same::Pool => (None, None, Some(view.pool)),
    };
    let mut tried = Vec::new();
    for (view, ..) in order {
        let group = together(view);
        if tried.contains(&group) {
            continue;
        }
        let members: Vec<_> = order.iter().filter(|(view, ..)| together(view) == group).collect();
        tried.push(group);
        let free: Vec<_> = members
            .iter()
            .filter(|(view, node, _, need)| {
                fits(node, used.get(&(view.pool, node.name.clone())), need)
            })
            .take(size as usize)
            .collect();
        if free.len() < size as usize {
            continue;
        }
        for ((view, node, _, need), task) in free.into_iter().zip(ask.tasks.iter()) {
            take(node, used.entry((view.pool, node.name.clone())).or_insert_with(nothing), need);
            placed.push((ask.job, task, view.pool, node.name.clone()));
        }
        return;
    }
}

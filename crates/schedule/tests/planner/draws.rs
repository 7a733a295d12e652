//! Jobs of many kinds, drawn from a few small numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_schedule::{
    AcceleratorChoice, Ask, GangAsk, JobAsk, Mode, Models, Preference, Same, Trust,
};
use dayan_units::{Micro, MilliAccel, OfferId, SiteId, Time};

use crate::world::{MINUTE, job, pool_id, project_id, resources};

pub fn some_job(n: u32, shape: u8, tasks: u8, priority: u8, kind: u8) -> JobAsk {
    let one_of = |models: &[&str]| {
        Models::OneOf(Arc::new(models.iter().map(|&model| model.to_owned()).collect()))
    };
    let minutes = i64::from(shape % 4) * 20 + 10;
    let mut ask = Ask::plain(resources(u64::from(shape % 3) * 2 + 1, 4, 0), MINUTE.times(minutes));
    match shape {
        6 => ask.resources.accel = MilliAccel(250),
        7 => ask.resources.accel = MilliAccel(1_500),
        8 => {
            let choice = |label: &str, cards| AcceleratorChoice {
                label: label.to_owned(),
                models: one_of(&[label]),
                cards: MilliAccel(cards),
            };
            ask.accelerators = vec![choice("H100", 1_000), choice("Ascend910B", 2_000)];
        }
        9 => ask.resources = resources(8, 32, 0),
        10 => ask.regions = BTreeSet::from(["Sichuan".to_owned()]),
        11 => ask.trust = Trust::Measured,
        12 => ask.sites = BTreeSet::from([SiteId::from_bits(1)]),
        _ => {}
    }
    // Some have use for more.
    if n % 3 == 1 {
        let cpu = dayan_units::MilliCpu(ask.resources.cpu.0 + u64::from(n % 5) * 1_000);
        let memory = dayan_units::Bytes(ask.resources.memory.0 * 2);
        ask.most = Some(dayan_units::Resources { cpu, memory, ..ask.resources });
    }
    let mut job = job(n, ask, u32::from(tasks));
    job.project = project_id(u8::try_from(n % 2).expect("0 or 1"));
    job.priority = i32::from(priority / 2);
    match kind {
        0 | 1 => {
            let same = [Same::Site, Same::Fabric, Same::Pool][usize::from(tasks % 3)];
            job.gang = Some(GangAsk { size: u32::from(tasks), same, near: None, least: None });
        }
        2 => job.max_parallel = Some(2),
        3 => job.max_unit_price = Some(Micro(60_000)),
        4 => {
            job.quote =
                Some(dayan_schedule::Pin { pool: pool_id(1), offer: OfferId::from_bits(2) });
        }
        5 => job.prefer = vec![Preference::Reliability, Preference::Carbon],
        6 | 7 => job.strict = true,
        11 => job.prefer = vec![Preference::Price],
        8..=10 => Arc::make_mut(&mut job.ask).mode = Mode::Spot,
        _ => {}
    }
    let begin = |minutes: u32| Time::from_micros(1_000_000_000).plus(MINUTE.times(minutes.into()));
    job.begin = n.is_multiple_of(7).then(|| begin(n * 3));
    // Some should be done by then, a few hours after the world begins.
    let soft = |n: u32| begin(n * 11 % 240);
    job.soft_deadline = n.is_multiple_of(4).then(|| soft(n));
    // Some were learned of, some for shorter than their limit.
    job.expected = (!n.is_multiple_of(3)).then(|| MINUTE.times(i64::from(n % 40)));
    // Of some it is known that they are long.
    job.at_least = (!n.is_multiple_of(5)).then(|| MINUTE.times(i64::from(n % 5) * 150));
    job
}

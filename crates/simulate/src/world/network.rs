//! The network of a world: messages that arrive late, once, twice or never.

use dayan_units::Span;

use super::{Happening, Stage, World};
use crate::messages::{Reply, Sync, SyncId};
use crate::scenario::Faults;
use crate::site::Power;

impl World {
    pub(super) const fn faults_now(&self) -> Faults {
        match self.stage {
            Stage::Busy => self.scenario.faults,
            Stage::Quiet | Stage::Settling | Stage::Over => Faults::NONE,
        }
    }

    /// A message is on its way: it arrives late, once, twice or never.
    pub(super) fn travel(&mut self, site: usize, message: impl Fn() -> Happening) {
        if self.sites[site].cut_until > self.now {
            return;
        }
        let faults = self.faults_now();
        let copies = if self.network.in_permille(faults.lost_permille) {
            0
        } else if self.network.in_permille(faults.repeated_permille) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = if self.network.in_permille(faults.slow_permille) {
                self.network.span(Span::ZERO, faults.delay_max)
            } else {
                self.network.millis(1, 40)
            };
            self.calendar.enter(self.now.plus(delay), message());
        }
    }

    /// Is a message dropped that was on its way when the link was cut? Some are past the cut.
    pub(super) fn drops(&mut self, site: usize) -> bool {
        self.sites[site].cut_until > self.now && self.network.in_permille(500)
    }

    pub(super) fn arrive(&mut self, sync: Box<Sync>) {
        let dropped = self.drops(sync.id.site);
        let site = &self.sites[sync.id.site];
        self.trace
            .say(self.now, || format!("sync {:?}: {:?} {:?}", sync.id, sync.reports, sync.lies));
        if self.host_is_up && !dropped {
            let agent = site.agent;
            self.host.receive(agent, sync);
            self.commit_soon();
        }
    }

    pub(super) fn answer(&mut self, reply: Box<Reply>) {
        let site = reply.to.site;
        let here = &self.sites[site];
        if let Power::Asleep(until) = here.power {
            // It waits in the machine's buffers.
            self.calendar.enter(until, Happening::Answer(reply));
            return;
        }
        if here.generation != reply.to.generation || self.drops(site) {
            return;
        }
        self.with_site(site, move |site, now, todo| {
            let now = site.now(now);
            if let Some(twin) = &mut site.twin {
                twin.answered(&mut site.machine, *reply, now, todo);
            }
        });
    }

    pub(super) fn give_up(&mut self, id: SyncId) {
        if let Power::Asleep(until) = self.sites[id.site].power {
            self.calendar.enter(until, Happening::GiveUp(id));
            return;
        }
        self.with_site(id.site, |site, now, _| {
            let now = site.now(now);
            if site.generation == id.generation
                && let Some(twin) = &mut site.twin
            {
                twin.gave_up(id.number, now);
            }
        });
    }
}

//! What a fault does to a world.

use dayan_units::Span;

use super::{Happening, World};
use crate::site::Power;
use crate::weather::{Batch, Fault};

impl World {
    pub(super) fn strike(&mut self, fault: Fault) {
        self.faults += 1;
        self.trace.say(self.now, || format!("fault: {fault:?}"));
        match fault {
            Fault::ExchangeEnds { batch, down } => self.exchange_ends(batch, down),
            Fault::AgentEnds { site, down } => {
                if self.sites[site].power == Power::On && self.sites[site].twin.take().is_some() {
                    let generation = self.sites[site].generation;
                    let back = Happening::AgentBack { site, generation };
                    self.calendar.enter(self.now.plus(down), back);
                }
            }
            Fault::KeeperDies { site } => {
                self.with_site(site, |site, now, todo| {
                    site.keeper_dies(now, todo);
                });
            }
            Fault::Reboot { site, down } => {
                if self.sites[site].power == Power::On {
                    let here = &mut self.sites[site];
                    let boot = here.now(self.now);
                    here.machine.keeper.die(boot);
                    here.twin = None;
                    here.power = Power::Off;
                    self.calendar.enter(self.now.plus(down), Happening::MachineBack { site });
                }
            }
            Fault::Sleep { site, span } => {
                if self.sites[site].power == Power::On {
                    let until = self.now.plus(span);
                    self.sites[site].power = Power::Asleep(until);
                    self.sites[site].machine.keeper.slept(span);
                    self.calendar.enter(until, Happening::Wake { site });
                }
            }
            Fault::Cut { site, span } => {
                let until = self.now.plus(span);
                self.sites[site].cut_until = self.sites[site].cut_until.max(until);
            }
        }
    }

    pub(super) fn exchange_ends(&mut self, batch: Batch, down: Span) {
        if !self.host_is_up {
            return;
        }
        if batch == Batch::Committed && self.host.has_work() {
            // It is in the journal, and nobody hears of it.
            self.commit_batch();
        }
        self.check_replay();
        self.host.crash();
        self.host_is_up = false;
        self.calendar.enter(self.now.plus(down), Happening::ExchangeBack);
    }
}

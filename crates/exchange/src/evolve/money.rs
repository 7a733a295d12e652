//! Bookings and their place in memory.

use dayan_ledger::{Rest, Transfer, TransferKind};
use dayan_units::Time;

use crate::state::State;

impl State {
    /// Books a transfer and remembers when, so that its id can leave memory later.
    pub(super) fn book(&mut self, transfer: &Transfer) {
        self.ledger.apply(transfer);
        self.booked.push_back((transfer.at, transfer.id));
        // An open hold outlives its turn to be forgotten; its turn comes again once it has ended.
        match transfer.kind {
            TransferKind::Release { hold }
            | TransferKind::Capture { hold, rest: Rest::Release, .. } => {
                self.booked.push_back((transfer.at, hold));
            }
            TransferKind::Capture { rest: Rest::Keep, .. }
            | TransferKind::Post { .. }
            | TransferKind::Hold { .. }
            | TransferKind::Extend { .. } => {}
        }
    }

    /// Forgets bookings made before a moment.
    pub(super) fn forget_bookings(&mut self, before: Time) {
        let mut gone = Vec::new();
        while let Some((at, id)) = self.booked.front() {
            if *at >= before {
                break;
            }
            gone.push(*id);
            self.booked.pop_front();
        }
        self.ledger.retire(gone);
    }
}

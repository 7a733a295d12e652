//! Object stores, where this program was built without them: nothing of the kind is read or sent, and
//! that is said before anything runs.

use std::collections::BTreeMap;

use dayan_units::AttemptId;
use dayan_wire::{LeaseOrder, OutputOrder};

use super::Guard;
use super::courier::Courier;
use super::fetch::Wanted;
use super::progress::Going;
use super::ship::Outgoing;
use super::snag::Snag;

/// There is no such object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Staged {}

/// What giving names came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Naming {
    /// All have theirs.
    Done,
    /// Something is to be sent again.
    #[expect(dead_code, reason = "no object is ever lost that was never sent")]
    Lost,
}

fn not_built() -> Snag {
    "this agent was built without object stores (cargo feature `s3`)".to_owned().into()
}

#[expect(clippy::unused_async, reason = "with the feature they ask the object store")]
impl Courier {
    pub(super) async fn look_up_objects(
        &self,
        _: &OutputOrder,
        _: &str,
        _: Option<&String>,
        _: &Guard,
        _: &Going,
    ) -> Result<Vec<Wanted>, Snag> {
        Err(not_built())
    }

    pub(super) async fn try_objects(
        &self,
        order: &LeaseOrder,
        _: &BTreeMap<String, String>,
        _: &Guard,
    ) -> Result<(), Snag> {
        match order.outputs.iter().find(|output| output.to.starts_with("s3://")) {
            Some(output) => Err(not_built().about(&format!("`{}`", output.to))),
            None => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the same as with the feature")]
    pub(super) async fn send_objects(
        &self,
        _: AttemptId,
        _: u32,
        _: &OutputOrder,
        _: Vec<Outgoing>,
        _: &BTreeMap<String, String>,
        _: &Guard,
        _: &Going,
    ) -> Result<Vec<Staged>, Snag> {
        Err(not_built())
    }

    pub(super) async fn name_objects(
        &self,
        _: AttemptId,
        _: &[Staged],
        _: &Guard,
    ) -> Result<Naming, Snag> {
        Ok(Naming::Done)
    }

    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    pub(super) fn forget_objects(&self, _: AttemptId) {}
}

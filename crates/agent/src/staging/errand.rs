//! What is done for one attempt before it starts and after it has ended: the courier and the folders
//! of this machine, one after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dayan_wire::LeaseOrder;

use super::courier::secret_env;
use super::gather::StageFault;
use super::snag::Snag;
use super::{Courier, Guard, Roots};
use crate::launch::Place;

/// How often inputs are brought when the cache turns out to hold something else than it should.
const STAGINGS_MAX: u32 = 3;

/// An attempt's folder, ready, and the secrets that its task finds in its environment.
pub(crate) struct Prepared {
    /// None: it has none here, and needs none.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) secrets: BTreeMap<String, String>,
    /// The number of the checkpoint that lies in its folder again; 0: none.
    pub(crate) resumed: u32,
}

/// Brings an attempt's inputs and prepares its folder.
pub(crate) async fn prepare(
    order: Arc<LeaseOrder>,
    folder: Option<PathBuf>,
    guard: Guard,
    roots: Arc<Roots>,
    courier: Arc<Courier>,
    place: Arc<Place>,
) -> Result<Prepared, Snag> {
    let going = courier.begin(order.attempt);
    let known = courier.secrets(&order, &guard).await?;
    let secrets = secret_env(&order, &known).map_err(Snag::job)?;
    courier.try_objects(&order, &known, &guard).await?;
    let Some(folder) = folder else {
        let given = !order.inputs.is_empty() || !order.files.is_empty();
        return if given || order.checkpoint.is_some() {
            Err("this engine does not prepare folders".to_owned().into())
        } else {
            Ok(Prepared { folder: None, secrets, resumed: 0 })
        };
    };
    for _ in 0..STAGINGS_MAX {
        let mut brought = courier.bring(&order, &guard, &going, &known).await?;
        let (resumed, files) = courier.bring_checkpoint(&order, &guard, &going).await?;
        brought.extend(files);
        let (order, folder) = (Arc::clone(&order), folder.clone());
        let (roots, place, guard) = (Arc::clone(&roots), Arc::clone(&place), guard.clone());
        let staged = tokio::task::spawn_blocking(move || {
            let staged = roots.stage(&order, &folder, &guard, &place, &brought);
            staged.map(|()| folder)
        });
        match staged.await.map_err(|error| error.to_string())? {
            Ok(folder) => return Ok(Prepared { folder: Some(folder), secrets, resumed }),
            Err(StageFault::Again) => {}
            Err(StageFault::Failed(why)) => return Err(why),
        }
    }
    Err("what was fetched was changed in the cache, again and again".to_owned().into())
}

/// Sends an attempt's outputs as far as they may go without the grant.
pub(crate) async fn gather(
    order: Arc<LeaseOrder>,
    folder: PathBuf,
    guard: Guard,
    roots: Arc<Roots>,
    courier: Arc<Courier>,
) -> Result<(), Snag> {
    let going = courier.begin(order.attempt);
    let guard = courier.publishing(order.attempt, &guard);
    // Where this machine keeps its tasks is nothing to the job's owner.
    let inside = |snag: Snag| snag.seen_from(&folder);
    let total = courier.ship(&order, &folder, &guard, &going).await.map_err(inside)?;
    let from = folder.clone();
    let gathered = tokio::task::spawn_blocking(move || roots.gather(&order, &from, &guard, total));
    let gathered = gathered.await.unwrap_or_else(|error| Err(error.to_string().into()));
    gathered.map_err(inside)
}

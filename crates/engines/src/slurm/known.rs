//! The last picture of the cluster, on disk: for a start while its controller is away, and for the engine,
//! which hears from it which nodes there are now.
//!
//! Invariant: a picture is whole or not there; one of another partition than is offered is none.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use dayan_units::Resources;

use super::request::SiteWords;
use super::survey::Survey;

const SURVEY_FILE: &str = "survey.json";

/// Keeps it in the engine's folder.
pub(super) fn keep(survey: &Survey, folder: &Path) -> io::Result<()> {
    let mut survey = survey.clone();
    // Of what is taken now nobody wants to know later.
    for node in &mut survey.nodes {
        node.taken = Resources::ZERO;
    }
    let text = serde_json::to_vec(&survey).expect("text and numbers become JSON");
    let path = folder.join(SURVEY_FILE);
    // Looked at often, and mostly the same.
    if fs::read(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(fresh, path)
}

/// The last one of what is offered.
pub(super) fn kept(folder: &Path, site: &SiteWords) -> Option<Survey> {
    let text = fs::read(folder.join(SURVEY_FILE)).ok()?;
    let survey: Survey = serde_json::from_slice(&text).ok()?;
    let offered = site.partition.as_ref().is_none_or(|name| *name == survey.partition.name);
    offered.then_some(survey)
}

/// When it was last another one.
pub(super) fn changed(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join(SURVEY_FILE)).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::commands::read_picture;

    #[test]
    fn a_picture_is_kept_for_the_partition_it_is_of() {
        let dir = tempfile::tempdir().expect("a folder");
        let partitions = "PartitionName=main Default=YES State=UP\nPartitionName=gpu State=UP\n";
        let nodes =
            "NodeName=n1 CPUTot=8 CPUAlloc=3 RealMemory=4096 State=MIXED Partitions=main,gpu\n";
        let picture = read_picture("ClusterName = lab\n", partitions, nodes);
        let site =
            |name: &str| SiteWords { partition: Some(name.to_owned()), ..SiteWords::default() };
        let survey = Survey::of(&picture, &site("gpu")).expect("it is there");
        assert_eq!(kept(dir.path(), &site("gpu")), None);
        keep(&survey, dir.path()).expect("writes");
        let known = kept(dir.path(), &site("gpu")).expect("it was kept");
        assert_eq!(known.partition.name, "gpu");
        assert_eq!(known.nodes[0].taken, Resources::ZERO);
        assert_eq!(kept(dir.path(), &site("main")), None, "of another");
        let first = changed(dir.path());
        keep(&survey, dir.path()).expect("writes");
        assert_eq!(changed(dir.path()), first, "nothing has changed");
    }
}

//! Tasks' folders on a volume that the agent and the nodes both see, and who this agent is in the
//! cluster.
//!
//! A task's folder lies where it is named for its attempt, so that it can be filled before anybody
//! knows which pod it goes to. A pod knows its job and its index; there lies a link that leads from
//! these to the folder, relative and inside of the volume, as the files of a Secret are links. Whoever
//! mounts it follows the link on the node: the pod sees its own folder and no other.
//! Invariant: nothing outside of this agent's folder on the volume is made or removed.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use dayan_units::AttemptId;

use super::names::BatchName;
use super::site::Site;
use crate::keeper::Folder;
use crate::{Fault, Mount};

/// Where the kernel says a random number of its own, 36 characters.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";
/// The file of the agent's folder that says what its objects in the cluster are labelled with.
const NAME_FILE: &str = "kubernetes.name";
/// So many letters of the random number: 60 bits tell the agents of a cluster apart.
const NAME_DIGITS: usize = 15;

/// What this agent's objects in the cluster are labelled with. A path, as other engines take it, is
/// not enough: agents of one cluster run in pods, and there all of them have the same. A folder from
/// before keeps the name that its jobs have.
pub(crate) fn agent_name(folder: &Folder) -> io::Result<String> {
    let path = folder.root().join(NAME_FILE);
    let read = || fs::read_to_string(&path).map(|text| text.trim().to_owned());
    match read() {
        Ok(name) if !name.is_empty() => return Ok(name),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = if folder.root().join(super::JOURNAL_FILE).exists() {
        folder.name().to_owned()
    } else {
        let random = fs::read_to_string(RANDOM)?;
        let digits: String = random.chars().filter(char::is_ascii_hexdigit).collect();
        format!("dayan-{}", &digits[..NAME_DIGITS.min(digits.len())])
    };
    // Whoever else looks at the cluster from this folder may do the same now: the first one counts.
    let new = path.with_extension(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, &path);
    let _ = fs::remove_file(&new);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => read(),
    }
}

/// This agent's part of the volume.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Where it is on this machine.
    root: PathBuf,
    /// Its name, by which it is found on the volume.
    name: String,
    /// Who the tasks run as.
    user: u32,
}

impl Shared {
    /// Makes it if need be; none where there is no volume.
    pub(crate) fn open(site: &Site, agent: &str) -> Result<Option<Self>, Fault> {
        let Some(at) = site.shared().map_err(Fault::Unsupported)? else { return Ok(None) };
        if !at.is_dir() {
            return Err(Fault::Unsupported(format!(
                "engine.kubernetes.volume: there is no folder {}; mount the volume there, or say \
                 where it is with --kube-volume-at",
                at.display()
            )));
        }
        let root = at.join(agent);
        let doing = || Fault::io(format!("making {}", root.display()));
        // Nodes go through it as root, or as nobody where the file system's server will have it so.
        let folder = |name: &str| {
            let path = root.join(name);
            DirBuilder::new().recursive(true).mode(0o711).create(path)
        };
        for name in [ATTEMPTS, BATCHES, TRASH] {
            folder(name).map_err(doing())?;
        }
        let root = root.canonicalize().map_err(doing())?;
        Ok(Some(Self { root, name: agent.to_owned(), user: site.run_as.unwrap_or(0) }))
    }

    /// An attempt's folder, on this machine.
    pub(crate) fn work(&self, attempt: AttemptId) -> PathBuf {
        self.root.join(ATTEMPTS).join(below(attempt))
    }

    /// Where a pod of a batch finds its folder on the volume, as the pods' template says it.
    pub(crate) fn sub_path(&self, batch: &BatchName) -> String {
        format!("{}/{BATCHES}/{}/$(JOB_COMPLETION_INDEX)", self.name, folder_of(batch))
    }

    /// Lays the folders of a batch out: each is there, the task may write to it, and its index
    /// leads to it.
    pub(crate) fn lay_out(
        &self,
        batch: &BatchName,
        attempts: &[(AttemptId, &[Mount])],
    ) -> io::Result<()> {
        let links = self.root.join(BATCHES).join(folder_of(batch));
        DirBuilder::new().recursive(true).mode(0o711).create(&links)?;
        for (index, (attempt, mounts)) in attempts.iter().enumerate() {
            let work = self.work(*attempt);
            fs::create_dir_all(&work)?;
            self.open_up(&work)?;
            for mount in *mounts {
                let part = work.join(&mount.from);
                if !part.exists() {
                    fs::create_dir_all(&part)?;
                }
                self.open_up(&part)?;
            }
            let to = Path::new("../..").join(ATTEMPTS).join(below(*attempt));
            match symlink(&to, links.join(index.to_string())) {
                // Laid out before, by an earlier try.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The tasks' user has no capabilities: what is not its own it writes to only where all may.
    fn open_up(&self, path: &Path) -> io::Result<()> {
        let about = fs::symlink_metadata(path)?;
        if about.uid() != self.user && about.is_dir() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        }
        Ok(())
    }

    /// Takes an attempt's folder away: gone from its place at once, and what is returned is to be
    /// removed when there is time. None where there was none.
    pub(crate) fn take_away(&self, attempt: AttemptId) -> Option<PathBuf> {
        let AttemptId { job, task, attempt: number } = attempt;
        let away = self.root.join(TRASH).join(format!("{job}.{task}.{number}"));
        let work = self.work(attempt);
        fs::rename(&work, &away).ok()?;
        // The job's, where this was the last of its tasks.
        let _ = work.parent().map(fs::remove_dir);
        Some(away)
    }

    /// Takes the links of a batch away.
    pub(crate) fn take_links_away(&self, batch: &BatchName) -> Option<PathBuf> {
        let away = self.root.join(TRASH).join(folder_of(batch));
        let links = self.root.join(BATCHES).join(folder_of(batch));
        fs::rename(links, &away).ok()?;
        Some(away)
    }

    /// What was taken away and not removed, by an earlier agent.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(TRASH)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

const ATTEMPTS: &str = "attempts";
const BATCHES: &str = "batches";
const TRASH: &str = "trash";

fn below(attempt: AttemptId) -> PathBuf {
    let AttemptId { job, task, attempt } = attempt;
    PathBuf::from(format!("{job}/{task}.{attempt}"))
}

/// Neither a namespace nor a job's name has a dot in it.
fn folder_of(batch: &BatchName) -> String {
    format!("{}.{}", batch.namespace, batch.name)
}

/// Can part of the folder be seen at another place?
pub(crate) fn is_plain(mount: &Mount) -> bool {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    // Kubernetes separates a volume's parts by colons in places, and expands `$(NAME)`.
    let clean = |text: &str| !text.contains([':', '$', '\0']);
    mount.from.components().all(inside)
        && mount.from.to_str().is_some_and(clean)
        && mount.at.starts_with('/')
        && mount.at.len() > 1
        && clean(&mount.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    fn batch() -> BatchName {
        BatchName { namespace: "n".to_owned(), name: "dayan-x".to_owned() }
    }

    #[test]
    fn a_pod_finds_its_own_folder_by_its_index() {
        let dir = tempfile::tempdir().expect("a folder");
        let site = Site {
            volume: Some(super::super::site::Volume::Host(dir.path().to_owned())),
            ..Site::default()
        };
        let shared = Shared::open(&site, "agent").expect("opens").expect("there is one");
        let attempt = |task| AttemptId { job: JobId::from_bits(1), task, attempt: 2 };
        // Filled before it is known where it goes.
        fs::create_dir_all(shared.work(attempt(7))).expect("made");
        fs::write(shared.work(attempt(7)).join("in"), "x").expect("written");
        let mount = [Mount { from: "m/0".into(), at: "/data".to_owned() }];
        let all = [(attempt(3), &mount[..]), (attempt(7), &[][..])];
        shared.lay_out(&batch(), &all).expect("laid out");
        shared.lay_out(&batch(), &all).expect("again");
        let said = shared.sub_path(&batch()).replace("$(JOB_COMPLETION_INDEX)", "1");
        let found = dir.path().join(&said).canonicalize().expect("it leads somewhere");
        assert_eq!(found, shared.work(attempt(7)).canonicalize().expect("there"));
        assert!(found.join("in").exists());
        assert!(shared.work(attempt(3)).join("m/0").is_dir());
        let away = shared.take_away(attempt(7)).expect("it was there");
        assert!(!shared.work(attempt(7)).exists() && away.join("in").exists());
        assert_eq!(shared.take_away(attempt(7)), None);
        assert!(shared.take_links_away(&batch()).is_some());
        assert_eq!(shared.left().len(), 2);
    }

    #[test]
    fn an_agent_keeps_its_name_and_two_have_two() {
        let (one, two) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        let name = |dir: &Path| agent_name(&Folder::open(dir).expect("opens")).expect("a name");
        assert_eq!(name(one.path()), name(one.path()));
        assert_ne!(name(one.path()), name(two.path()));
        assert_eq!(fs::read_dir(one.path()).expect("listed").count(), 1, "nothing is left over");
        // One from before.
        let old = tempfile::tempdir().expect("c");
        fs::write(old.path().join(super::super::JOURNAL_FILE), "").expect("written");
        assert_eq!(name(old.path()), Folder::open(old.path()).expect("opens").name());
    }

    #[test]
    fn what_leads_out_of_the_folder_is_not_mounted() {
        let mount = |from: &str, at: &str| Mount { from: from.into(), at: at.to_owned() };
        assert!(is_plain(&mount("a/b", "/data")));
        for (from, at) in [("../a", "/x"), ("/a", "/x"), ("a", "x"), ("a", "/"), ("a$(B)", "/x")] {
            assert!(!is_plain(&mount(from, at)), "{from} {at}");
        }
    }
}

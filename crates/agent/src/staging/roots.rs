//! Which folders of this machine jobs may name, and how their addresses become paths.

use std::io;
use std::path::{Component, Path, PathBuf};

use dayan_units::AttemptId;

use crate::launch::attempt_folder;

/// Where outputs are gathered before they are published: under the publishing root, so that a
/// rename brings them into place.
const GATHERED: &str = ".attempts";

/// A folder as the operator names it and as it really is.
#[derive(Clone, Debug)]
struct Root {
    given: PathBuf,
    real: PathBuf,
}

impl Root {
    fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let given = std::path::absolute(path)?;
        Ok(Self { given, real: path.canonicalize()? })
    }
    /// The part of a path below this root.
    fn inside<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.real).or_else(|_| path.strip_prefix(&self.given)).ok()
    }
}

/// The folders that jobs may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots {
    publish: Option<Root>,
    inputs: Vec<Root>,
}

impl Roots {
    /// Outputs go below `publish`; inputs come from there and from `inputs`.
    pub(crate) fn open(publish: Option<&Path>, inputs: &[PathBuf]) -> io::Result<Self> {
        Ok(Self {
            publish: publish.map(Root::open).transpose()?,
            inputs: inputs.iter().map(|path| Root::open(path)).collect::<io::Result<_>>()?,
        })
    }

    fn publishing(&self) -> Result<&Root, String> {
        self.publish.as_ref().ok_or_else(|| {
            "this pool does not copy data: its agent runs without --publish-root".to_owned()
        })
    }

    /// The publishing root, if there is one.
    pub(crate) fn published(&self) -> Option<&Path> {
        self.publish.as_ref().map(|root| root.real.as_path())
    }

    /// Where an attempt's outputs are gathered.
    pub(super) fn gathered(&self, attempt: AttemptId) -> Result<PathBuf, String> {
        Ok(self.publishing()?.real.join(GATHERED).join(attempt_folder(attempt)))
    }

    /// What was gathered of an attempt goes.
    pub(crate) fn clear(&self, attempt: AttemptId) {
        if let Ok(folder) = self.gathered(attempt) {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, folder = %folder.display(), "cannot be removed");
                }
                Ok(()) | Err(_) => {}
            }
            if let Some(job) = folder.parent() {
                // Goes with the job's last attempt.
                let _ = std::fs::remove_dir(job);
            }
        }
    }

    /// The path that an address names, before links are followed.
    fn named(&self, address: &str) -> Result<PathBuf, String> {
        let path = if let Some(path) = address.strip_prefix("file://") {
            PathBuf::from(path)
        } else if let Some(path) = address.strip_prefix("data://") {
            self.publishing()?.real.join(path.trim_start_matches('/'))
        } else {
            return Err(format!("`{address}`: this pool copies `file:///` and `data://` only"));
        };
        let plain = path.is_absolute()
            && path.components().all(|part| {
                matches!(part, Component::RootDir | Component::Normal(_) | Component::CurDir)
            });
        if plain { Ok(path) } else { Err(format!("`{address}` leads out of its folder")) }
    }

    /// The real path of an input.
    pub(super) fn source(&self, address: &str) -> Result<PathBuf, String> {
        let named = self.named(address)?;
        let real = named.canonicalize().map_err(|error| format!("`{address}`: {error}"))?;
        if self.may_read(&real) {
            Ok(real)
        } else {
            Err(format!("`{address}` is outside the folders that this pool takes inputs from"))
        }
    }

    /// Is a real path below one of the roots, and no other attempt's unpublished output?
    pub(super) fn may_read(&self, real: &Path) -> bool {
        self.publish.iter().chain(&self.inputs).any(|root| {
            real.strip_prefix(&root.real).is_ok_and(|inside| !inside.starts_with(GATHERED))
        })
    }

    /// Where an output goes, before links are followed: see [`Self::check_folder`].
    pub(super) fn target(&self, address: &str) -> Result<PathBuf, String> {
        let root = self.publishing()?;
        let named = self.named(address)?;
        let inside = root.inside(&named).ok_or_else(|| {
            format!("`{address}` is outside of {}, where this pool publishes", root.given.display())
        })?;
        if inside.starts_with(GATHERED) {
            return Err(format!("`{address}` is where unpublished outputs lie"));
        }
        Ok(root.real.join(inside))
    }

    /// Makes a folder below the publishing root. No link on the way may lead out of it.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), String> {
        let root = &self.publishing()?.real;
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        let there = folder.ancestors().find(|above| above.symlink_metadata().is_ok());
        let real = there.unwrap_or(root).canonicalize().map_err(failed)?;
        if !real.starts_with(root) {
            return Err(format!("{} leads out of the publishing root", folder.display()));
        }
        std::fs::create_dir_all(folder).map_err(failed)
    }
}

/// A path inside a task's folder.
pub(super) fn inside(folder: &Path, path: &str) -> Result<PathBuf, String> {
    let relative = Path::new(path);
    let stays =
        relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if stays { Ok(folder.join(relative)) } else { Err(format!("`{path}` leads out of its folder")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just(String::new()),
            Just("link".to_owned()),
            Just(".attempts".to_owned()),
            "[a-c]{1,2}",
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_address_leads_out_of_the_roots(path in any_path(), scheme in 0usize..4) {
            let dir = tempfile::tempdir().expect("a folder");
            let root = dir.path().join("root");
            let outside = dir.path().join("outside");
            std::fs::create_dir_all(outside.join("a")).expect("made");
            let roots = Roots::open(Some(&root), &[]).expect("opened");
            std::os::unix::fs::symlink(&outside, root.join("link")).expect("linked");
            let address = match scheme {
                0 => format!("data://{path}"),
                1 => format!("file://{}/{path}", root.display()),
                2 => format!("file://{path}"),
                _ => path,
            };
            let real = root.canonicalize().expect("there");
            if let Ok(source) = roots.source(&address) {
                prop_assert!(source.starts_with(&real) && !source.starts_with(real.join(GATHERED)));
            }
            if let Ok(target) = roots.target(&address) {
                prop_assert!(target.starts_with(&real) && !target.starts_with(real.join(GATHERED)));
                let before = std::fs::read_dir(&outside).expect("there").count();
                if roots.make_folder(&target).is_ok() {
                    prop_assert!(target.canonicalize().expect("made").starts_with(&real));
                }
                prop_assert_eq!(std::fs::read_dir(&outside).expect("there").count(), before);
            }
            let task = dir.path().join("task");
            if let Ok(inner) = inside(&task, &address) {
                let mut parts = inner.strip_prefix(&task).expect("below").components();
                prop_assert!(parts.all(|part| part != Component::ParentDir));
            }
        }
    }
}

//! The files that a task left below a folder of its own, as its outputs mean them.
//!
//! Links are followed within the attempt's folder, also to folders, once on each way down; one that
//! leads out is found as it is, and not followed. What holds no bytes (pipes, sockets, devices, links to
//! nothing) is passed over: it is no reason to lose what lies beside it. Must not know where files go.

use std::fs;
use std::path::{Path, PathBuf};

use super::copy::{DEPTH_MAX, FILES_MAX, Unread};
use super::snag::Snag;

/// What is looked at in all. Links to folders can make a few folders look like more than there is time for.
const LOOKS_MAX: usize = 200_000;

/// A folder that is to be looked into.
struct Open {
    /// Its path below the first one.
    inside: PathBuf,
    /// The real places of it and of the folders above it.
    way: Vec<PathBuf>,
}

/// The files below a folder, sorted, each with its path from there; `within` is the real place of the
/// attempt's folder.
pub(super) fn below(folder: &Path, within: &Path) -> Result<Vec<PathBuf>, Snag> {
    let of_task = |unread: Unread| unread.of_task(within);
    let mut found = Vec::new();
    let mut looks = 0;
    let mut look = || {
        looks += 1;
        let many = || Snag::job(format!("more than {LOOKS_MAX} files and folders, links followed"));
        (looks <= LOOKS_MAX).then_some(()).ok_or_else(many)
    };
    let mut open = vec![Open { inside: PathBuf::new(), way: vec![folder.to_owned()] }];
    while let Some(Open { inside, way }) = open.pop() {
        look()?;
        // Its real place: the system follows few links in one path.
        let at = way.last().cloned().unwrap_or_else(|| folder.to_owned());
        for entry in fs::read_dir(&at).map_err(Unread::at(&at)).map_err(of_task)? {
            let entry = entry.map_err(Unread::at(&at)).map_err(of_task)?;
            look()?;
            let path = inside.join(entry.file_name());
            let kind = entry.file_type().map_err(Unread::at(&at)).map_err(of_task)?;
            if kind.is_file() {
                found.push(path);
                if found.len() > FILES_MAX {
                    return Err(Snag::job(format!("more than {FILES_MAX} files")));
                }
                continue;
            }
            if !kind.is_dir() && !kind.is_symlink() {
                passed_over(&path, "it holds no bytes");
                continue;
            }
            let Ok(real) = entry.path().canonicalize() else {
                passed_over(&path, "it leads nowhere");
                continue;
            };
            // Where one leads out, whoever wants it refuses it; others need not mind.
            if real.is_file() || !real.starts_with(within) {
                found.push(path);
            } else if !real.is_dir() {
                passed_over(&path, "it holds no bytes");
            } else if way.contains(&real) {
                passed_over(&path, "it leads back to where it lies in");
            } else if way.len() >= DEPTH_MAX {
                return Err(Snag::job(format!("more than {DEPTH_MAX} folders deep")));
            } else {
                let way = way.iter().cloned().chain([real]).collect();
                open.push(Open { inside: path, way });
            }
        }
    }
    found.sort();
    Ok(found)
}

fn passed_over(path: &Path, why: &str) {
    tracing::info!(path = %path.display(), why, "no part of the output");
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(found: &[PathBuf]) -> Vec<&str> {
        found.iter().map(|path| path.to_str().expect("UTF-8")).collect()
    }

    #[test]
    fn links_are_followed_inside_and_what_holds_no_bytes_is_passed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("there");
        let out = root.join("out");
        fs::create_dir_all(out.join("run1")).expect("made");
        fs::create_dir_all(root.join("beside")).expect("made");
        fs::write(out.join("run1/model"), "m").expect("written");
        fs::write(root.join("beside/log"), "l").expect("written");
        symlink("run1", out.join("latest")).expect("linked");
        symlink("../beside", out.join("far")).expect("linked");
        symlink("run1/model", out.join("best")).expect("linked");
        symlink("nowhere", out.join("broken")).expect("linked");
        symlink("..", out.join("run1/up")).expect("linked");
        let pipe = out.join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("made");
        let found = below(&out, &root).expect("found");
        assert_eq!(names(&found), ["best", "far/log", "latest/model", "run1/model"]);
    }

    #[test]
    fn links_that_double_at_each_step_have_an_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("there");
        for depth in 0..40 {
            let at = root.join(format!("d{depth}"));
            fs::create_dir(&at).expect("made");
            for name in ["a", "b"] {
                symlink(format!("../d{}", depth + 1), at.join(name)).expect("linked");
            }
        }
        fs::create_dir(root.join("d40")).expect("made");
        let refused = below(&root.join("d0"), &root).expect_err("too many ways").why;
        assert!(refused.contains("links followed"), "{refused}");
    }

    #[test]
    fn a_link_that_leads_out_is_found_and_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("there");
        symlink("/etc", root.join("folder")).expect("linked");
        symlink("/etc/passwd", root.join("file")).expect("linked");
        assert_eq!(names(&below(&root, &root).expect("found")), ["file", "folder"]);
    }
}

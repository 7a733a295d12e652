//! Which parts of a task's folder its containers see at which of the paths that a task names.
//!
//! Paths below `/work` are the task's folder itself. Of all others the folder is mounted: those of
//! volumes, of the files that go in and out, and of redirected output. A folder inside of another
//! one is that part of it. An input in a folder that the image needs to run (`/usr/bin`, the
//! root) is mounted as the file that it is, so that nothing of the image is hidden.
//! Invariant: no path of the machine is ever named, only parts of the task's folder.

use std::collections::{BTreeMap, BTreeSet};

use dayan_spec::{Mount, is_inside_path, is_mountable};

use super::{Wrong, shown};

/// Where the engine shows the task's folder.
const FOLDER: &str = "/work";
/// In which folder of the task's the parts lie that are seen elsewhere.
const PARTS: &str = ".tes";
/// Folders without which a program of the image does not start.
const OF_THE_IMAGE: [&str; 8] =
    ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/run", "/sbin", "/usr"];

/// How a path is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Use {
    /// A file that is there before the start.
    FileIn,
    /// A folder: of data in or out, or a volume.
    Folder,
    /// A file that the task writes.
    FileOut,
}

/// Where each path lies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// Path inside → path in the task's folder, of what is mounted.
    mounted: BTreeMap<String, String>,
}

/// A path without the slash that says that it is a folder's.
pub fn plain(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        plain => plain,
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("/", |(parent, _)| plain(parent))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_of_the_image(folder: &str) -> bool {
    folder == "/" || OF_THE_IMAGE.iter().any(|kept| is_below(folder, kept))
}

impl Places {
    /// Finds places for all paths, each with its use and what it is called in messages.
    pub fn of(paths: &[(String, Use, String)]) -> Result<Self, Wrong> {
        let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
        for (path, used, called) in paths {
            let path = plain(path);
            if !is_inside_path(path) {
                return Err(Wrong::new(
                    "tes.path",
                    format!("{called} `{}` is no absolute path in plain form", shown(path)),
                    "write it like /data/file1, without `.`, `..` and double slashes",
                ));
            }
            if is_below(path, FOLDER) {
                continue;
            }
            match used {
                Use::Folder => folders.insert(path),
                Use::FileIn if is_of_the_image(parent(path)) => files.insert(path),
                Use::FileIn | Use::FileOut => folders.insert(parent(path)),
            };
            let whole = files.contains(path) || *used == Use::Folder;
            let mounted = if whole { path } else { parent(path) };
            let hides =
                !files.contains(path) && is_of_the_image(mounted) || OF_THE_IMAGE.contains(&path);
            if hides || !is_mountable(mounted) {
                return Err(Wrong::new(
                    "tes.path",
                    format!(
                        "{called} `{}` is in a folder that the container needs itself",
                        shown(path)
                    ),
                    "use a folder of its own, such as /data or /tmp",
                ));
            }
        }
        // The outermost folders; a sorted list has them before what is in them. Those inside are parts of
        // theirs, mounted once more so that they are there.
        let mut mounts: Vec<&str> = Vec::new();
        let mut inner: Vec<(&str, &str)> = Vec::new();
        for folder in folders {
            match mounts.iter().find(|outer| is_below(folder, outer)) {
                Some(outer) => inner.push((folder, outer)),
                None => mounts.push(folder),
            }
        }
        let inside: Vec<&str> = mounts.clone();
        mounts
            .extend(files.iter().filter(|file| !inside.iter().any(|outer| is_below(file, outer))));
        let mounted = mounts.iter().enumerate();
        let mut mounted: BTreeMap<String, String> =
            mounted.map(|(number, at)| ((*at).to_owned(), format!("{PARTS}/{number}"))).collect();
        for (folder, outer) in inner {
            let from = format!("{}{}", mounted[outer], &folder[outer.len()..]);
            mounted.insert(folder.to_owned(), from);
        }
        Ok(Self { mounted })
    }

    /// The mounts.
    pub fn mounts(&self) -> Vec<Mount> {
        let mount = |(at, from): (&String, &String)| Mount { from: from.clone(), at: at.clone() };
        self.mounted.iter().map(mount).collect()
    }

    /// Where in the task's folder a path lies; none: nowhere, it is the image's own.
    pub fn inner(&self, path: &str) -> Option<String> {
        let path = plain(path);
        let joined = |from: &str, rest: &str| {
            let rest = rest.trim_start_matches('/');
            match (from, rest) {
                ("", "") => ".".to_owned(),
                ("", rest) => rest.to_owned(),
                (from, "") => from.to_owned(),
                (from, rest) => format!("{from}/{rest}"),
            }
        };
        if is_below(path, FOLDER) {
            return Some(joined("", &path[FOLDER.len()..]));
        }
        let found = self.mounted.iter().filter(|(at, _)| is_below(path, at));
        let (at, from) = found.max_by_key(|(at, _)| at.len())?;
        Some(joined(from, &path[at.len()..]))
    }

    /// A message about files, with their paths as the task names them.
    pub fn as_written(&self, message: &str) -> String {
        let sign = format!("{PARTS}/");
        let mut pieces = message.split(&sign);
        let mut said = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = piece.split_at(digits);
            let part = format!("{sign}{number}");
            // `x.tes/0` is a folder of somebody else's.
            let begins = !said.ends_with(|c: char| c.is_alphanumeric() || "/._-".contains(c));
            match self.mounted.iter().find(|(_, from)| begins && **from == part) {
                Some((at, _)) => said.push_str(at),
                None => said.push_str(&part),
            }
            said.push_str(rest);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(paths: &[(&str, Use)]) -> Result<Places, String> {
        let paths: Vec<_> = paths
            .iter()
            .map(|(path, used)| ((*path).to_owned(), *used, "the path".to_owned()))
            .collect();
        Places::of(&paths).map_err(|wrong| wrong.title)
    }

    fn mounts(paths: &[(&str, Use)]) -> Vec<String> {
        places(paths).expect("they have places").mounts().into_iter().map(|m| m.at).collect()
    }

    #[test]
    fn folders_are_mounted_once_and_the_outermost_ones() {
        let check = |paths: &[(&str, Use)], expect: &[&str]| {
            assert_eq!(mounts(paths), expect, "{paths:?}");
        };
        check(&[("/data/a", Use::FileIn), ("/data/b", Use::FileOut)], &["/data"]);
        check(
            &[("/data/deep/a", Use::FileIn), ("/data/b", Use::FileOut)],
            &["/data", "/data/deep"],
        );
        let inside = [("/data/in", Use::FileIn), ("/data/out/res", Use::FileOut)];
        let inside = places(&inside).expect("fine");
        assert_eq!(inside.inner("/data/out/res").as_deref(), Some(".tes/0/out/res"));
        assert_eq!(inside.mounts()[1].from, ".tes/0/out", "it is there before the start");
        check(&[("/vol/A/", Use::Folder), ("/vol/AB", Use::Folder)], &["/vol/A", "/vol/AB"]);
        check(&[("/work/x/y", Use::FileOut), ("/work", Use::Folder)], &[]);
        check(&[("/tmp/out", Use::FileOut)], &["/tmp"]);
        // A file in a folder of the image is mounted alone.
        check(
            &[("/usr/bin/mine", Use::FileIn), ("/file1", Use::FileIn)],
            &["/file1", "/usr/bin/mine"],
        );
    }

    #[test]
    fn what_would_hide_the_image_or_lead_out_is_refused() {
        for (path, used) in [
            ("/usr/bin/out", Use::FileOut),
            ("/out", Use::FileOut),
            ("/", Use::Folder),
            ("/etc", Use::Folder),
            ("/etc", Use::FileIn),
            ("/proc/self/x", Use::FileIn),
            ("/dev/null", Use::FileOut),
            ("data/a", Use::FileIn),
            ("/data/../etc/a", Use::FileIn),
            ("/a:b/c", Use::FileIn),
        ] {
            assert!(places(&[(path, used)]).is_err(), "{path} {used:?}");
        }
    }

    #[test]
    fn paths_are_found_again_in_the_folder() {
        let places = places(&[("/data/in/a", Use::FileIn), ("/out", Use::Folder)]).expect("places");
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(places.inner(path).as_deref(), expect, "{path}");
        };
        check("/data/in/a", Some(".tes/0/a"));
        check("/out/", Some(".tes/1"));
        check("/out/deep/x", Some(".tes/1/deep/x"));
        check("/work/x", Some("x"));
        check("/work", Some("."));
        check("/usr/x", None);
        check("/outer/x", None);
    }

    #[test]
    fn messages_name_files_as_the_task_does() {
        let places = places(&[("/data/in/a", Use::FileIn), ("/out", Use::Folder)]).expect("places");
        let check = |message: &str, expect: &str| {
            assert_eq!(places.as_written(message), expect, "{message}");
        };
        check("output `.tes/1/deep/x`: not there", "output `/out/deep/x`: not there");
        check(".tes/0/a and .tes/1", "/data/in/a and /out");
        check("`.tes/10/a`, my.tes/1, .tes/", "`.tes/10/a`, my.tes/1, .tes/");
    }
}

//! Names in the exchange's data store: `dayan://organisation/project/path`.
//!
//! Invariant: an address reads the same whatever projects there are. A project of two parts ends at
//! the next slash; a deeper one is ended by a double slash, `dayan://gz/meteo/ops//obs/x.grib`,
//! which a path never holds. Must not know what lies there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{NameError, ProjectPath, quote, serde_through_text};
use crate::limits::PATH_CHARS_MAX;

/// What every address begins with.
const SCHEME: &str = "dayan://";

/// A name in a project's data, or a folder of names: one that ends with `/`, or the whole project.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataAddress {
    project: ProjectPath,
    path: String,
}
serde_through_text!(DataAddress);

impl DataAddress {
    /// The address of a path in a project; none where it is no path of names.
    pub fn new(project: ProjectPath, path: &str) -> Option<Self> {
        is_data_path(path).then(|| Self { project, path: path.to_owned() })
    }
    /// Whose.
    pub const fn project(&self) -> &ProjectPath {
        &self.project
    }
    /// The path in the project; empty: all of it.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// Does it name a folder?
    pub fn is_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }
}

/// Is it a path of names: relative, without empty parts, `.` or `..`, of characters that can be
/// seen? It may end with `/`, and may be empty.
fn is_data_path(path: &str) -> bool {
    let named = |part: &str| !part.is_empty() && part != "." && part != "..";
    let whole = path.strip_suffix('/').unwrap_or(path);
    path.is_empty()
        || (path.chars().count() <= PATH_CHARS_MAX
            && !path.contains(char::is_control)
            && whole.split('/').all(named))
}

impl FromStr for DataAddress {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Location(quote(text));
        let rest = text.strip_prefix(SCHEME).ok_or_else(refused)?;
        let (project, path) = match rest.split_once("//") {
            Some(parts) => parts,
            None => {
                let organisation = rest.find('/').ok_or_else(refused)?;
                match rest[organisation + 1..].split_once('/') {
                    Some((name, path)) => (&rest[..=organisation + name.len()], path),
                    None => (rest, ""),
                }
            }
        };
        if path.split('/').any(|part| part == "..") {
            return Err(NameError::Escape(quote(text)));
        }
        let project = project.parse().map_err(|_| refused())?;
        Self::new(project, path).ok_or_else(refused)
    }
}

impl fmt::Display for DataAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deep = self.project.project().contains('/');
        write!(f, "{SCHEME}{}{}{}", self.project, if deep { "//" } else { "/" }, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let parsed = text.parse::<DataAddress>().ok();
            let parts = parsed.as_ref().map(|a| (a.project().as_str(), a.path()));
            assert_eq!(parts, expect, "{text}");
        };
        check(
            "dayan://studio-a/film-3/scenes/a.blend",
            Some(("studio-a/film-3", "scenes/a.blend")),
        );
        check("dayan://studio-a/film-3/", Some(("studio-a/film-3", "")));
        check("dayan://studio-a/film-3", Some(("studio-a/film-3", "")));
        check("dayan://studio-a/film-3//a", Some(("studio-a/film-3", "a")));
        check("dayan://gz/meteo/ops//obs/x.grib", Some(("gz/meteo/ops", "obs/x.grib")));
        check("dayan://gz/meteo/ops/obs", Some(("gz/meteo", "ops/obs")));
        check("dayan://gz/meteo/frames/*.exr", Some(("gz/meteo", "frames/*.exr")));
        for bad in ["dayan://", "dayan://a", "dayan:///a/b", "dayan://A/b/c", "s3://a/b"] {
            check(bad, None);
        }
        for bad in ["../x", "a/../x", "./x", "a//b", "a/./b", "a\nb"] {
            check(&format!("dayan://a/b//{bad}"), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            project in "[a-z][a-z0-9-]{0,4}(/[a-z][a-z0-9-]{0,4}){1,3}",
            path in "([a-zA-Z0-9 *._-]{1,4}/){0,3}[a-z*]{0,3}",
        ) {
            let address = DataAddress::new(project.parse().expect("a project"), &path);
            let Some(address) = address else { return Ok(()) };
            prop_assert_eq!(address.to_string().parse::<DataAddress>(), Ok(address));
        }
    }
}

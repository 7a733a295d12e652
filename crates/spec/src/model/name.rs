//! Names and addresses inside a job file: project paths, providers, places, locations of data.
//! Each is a newtype that exists only in its valid form, also when it is read from canonical JSON.

use std::fmt;
use std::str::FromStr;

use dayan_units::ProviderId;
use serde::{Deserialize, Serialize};

use super::address::DataAddress;
use crate::limits::{
    PATH_CHARS_MAX, PROJECT_CHARS_MAX, PROJECT_LEVELS_MAX, QUOTE_CHARS_MAX, SECRET_NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `organisation/project`.
    #[error("`{0}` is not a project; write it like `studio-a/film-3`")]
    Project(String),
    /// Neither an id nor a name of a provider.
    #[error("`{0}` names no provider; write its id (`prov_…`) or its name")]
    Provider(String),
    /// Not `city:NAME`.
    #[error("`{0}` is not a place; write it like `city:Guiyang`")]
    Place(String),
    /// An address whose scheme is not known, or that lacks a part.
    #[error("`{0}` is not an address of data; write it like `s3://bucket/key` or `data://folder/`")]
    Location(String),
    /// A path that leaves its folder.
    #[error("`{0}` leaves its folder")]
    Escape(String),
    /// Not `NAME:COUNT`.
    #[error("`{0}` is not an accelerator; write it like `H100:8` or `any-nvidia:1`")]
    Accelerator(String),
    /// Not `NAME:COUNT`.
    #[error("`{0}` is not a licence; write it like `ansys:2`")]
    License(String),
    /// Not an amount of money per hour.
    #[error("`{0}` is not a price; write it like `9.50 CNY/hour`")]
    UnitPrice(String),
    /// Not one of the causes of another attempt.
    #[error("`{0}` is not a cause for a retry")]
    RetryCause(String),
    /// Not an array range.
    #[error("`{0}` is not an array range; write it like `1001-1240` or `0-15:2`")]
    ArrayRange(String),
    /// Not the name of a job, or not one of the events waited for.
    #[error("`{0}` is not a job to wait for; write its id or name, or like `shot-119:ended`")]
    Dependency(String),
}

pub(crate) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

macro_rules! serde_through_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> { text.parse() }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self { value.to_string() }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
    )+};
}
pub(crate) use serde_through_text;
serde_through_text!(ProjectPath, ProviderRef, Place, Location);

/// `organisation/project`, or deeper: `organisation/department/project`. What pays.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectPath(String);

impl ProjectPath {
    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first part.
    pub fn organisation(&self) -> &str {
        self.0.split_once('/').expect("a path has two parts").0
    }
    /// Everything after the organisation.
    pub fn project(&self) -> &str {
        self.0.split_once('/').expect("a path has two parts").1
    }
    /// This path, then each one above it that is still a project: where budgets are looked for.
    pub fn and_ancestors(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |path| {
            path.rsplit_once('/').map(|(above, _)| above).filter(|above| above.contains('/'))
        })
    }
}
/// Lower case, so that two projects never differ by case alone on a statement.
fn is_path_part(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}
impl FromStr for ProjectPath {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let levels = text.split('/').count();
        let fits = text.len() <= PROJECT_CHARS_MAX && (2..=PROJECT_LEVELS_MAX).contains(&levels);
        if fits && text.split('/').all(is_path_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Project(quote(text)))
        }
    }
}
impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A provider as a person names it: its id, the beginning of its id as lists show it, or its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderRef(String);

/// The first ten characters of an id are 48 bits of milliseconds: shorter beginnings would name
/// every provider that joined in the same minute.
const PROVIDER_ID_CHARS_MIN: usize = 10;

impl ProviderRef {
    /// Is it this provider?
    pub fn matches(&self, id: ProviderId, name: &str) -> bool {
        if self.0.starts_with("prov_") {
            id.to_string().starts_with(&self.0)
        } else {
            self.0 == name
        }
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for ProviderRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let well_formed = match text.strip_prefix("prov_") {
            Some(body) => {
                (PROVIDER_ID_CHARS_MIN..=26).contains(&body.len())
                    && body.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            }
            None => is_word(text),
        };
        if well_formed { Ok(Self(text.to_owned())) } else { Err(NameError::Provider(quote(text))) }
    }
}
impl fmt::Display for ProviderRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A name of something outside: any script, no control characters, not empty, not framed by space.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= TEXT_CHARS_MAX
        && !text.chars().any(char::is_control)
}

/// Is it a name that a project's secret can have? It becomes a file's name and a word on command
/// lines.
pub fn is_secret_name(text: &str) -> bool {
    (1..=SECRET_NAME_CHARS_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// From where delay is counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// A city by its name in the table of cities.
    City(String),
}
impl FromStr for Place {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("city:") {
            Some(city) if is_word(city) => Ok(Self::City(city.to_owned())),
            Some(_) | None => Err(NameError::Place(quote(text))),
        }
    }
}
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::City(city) => write!(f, "city:{city}"),
        }
    }
}

/// Where data comes from or goes to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// A path in the project's data store at the exchange (`data://…`, or no scheme).
    Data(String),
    /// An absolute path on the provider's side (`file:///…`).
    File(String),
    /// An object or a prefix in an object store.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key or prefix.
        key: String,
    },
    /// An address on the web, with its scheme.
    Http(String),
    /// A name in the exchange's data store (`dayan://organisation/project/path`).
    Store(DataAddress),
    /// A file beside the job file, on the machine that submits it (`./path`).
    Local(String),
}

impl Location {
    /// The part of the address that may hold a pattern; an address on the web has none, since `?`
    /// means something else there.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Data(path) | Self::File(path) | Self::Local(path) => Some(path),
            Self::S3 { key, .. } => Some(key),
            Self::Store(address) => Some(address.path()),
            Self::Http(_) => None,
        }
    }

    /// Does it carry a name or a password of who asks, which whoever sees the address would read?
    pub fn holds_a_secret(&self) -> bool {
        let Self::Http(address) = self else { return false };
        let (_, rest) = address.split_once("://").unwrap_or_default();
        rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@'))
    }
}

/// Does the path, read from its folder, stay inside it?
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

impl FromStr for Location {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Location(quote(text));
        let hidden = |c: char| c.is_control() || c.is_whitespace();
        if text.is_empty()
            || text.chars().count() > PATH_CHARS_MAX
            || text.contains(char::is_control)
        {
            return Err(refused());
        }
        let escape = |path: &str| {
            if stays_inside(path) { Ok(()) } else { Err(NameError::Escape(quote(text))) }
        };
        match text.split_once("://") {
            None => {
                escape(text)?;
                Ok(match text.strip_prefix("./") {
                    Some("") => return Err(refused()),
                    Some(path) => Self::Local(path.to_owned()),
                    None => Self::Data(text.to_owned()),
                })
            }
            Some(("dayan", _)) => text.parse().map(Self::Store),
            Some(("data", path)) => escape(path).map(|()| Self::Data(path.to_owned())),
            Some(("file", path)) if path.starts_with('/') => {
                escape(path.trim_start_matches('/'))?;
                Ok(Self::File(path.to_owned()))
            }
            Some(("s3", rest)) => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !bucket.contains(hidden) => {
                    Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
                }
                Some(_) | None => Err(refused()),
            },
            Some(("http" | "https", rest))
                if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(hidden) =>
            {
                Ok(Self::Http(text.to_owned()))
            }
            Some(_) => Err(refused()),
        }
    }
}
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(path) => write!(f, "data://{path}"),
            Self::File(path) => write!(f, "file://{path}"),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Http(address) => f.write_str(address),
            Self::Store(address) => address.fmt(f),
            Self::Local(path) => write!(f, "./{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects() {
        let check = |text: &str, valid: bool| {
            assert_eq!(text.parse::<ProjectPath>().is_ok(), valid, "{text}");
        };
        check("studio-a/film-3", true);
        check("gz/meteo/ops", true);
        check("studio-a", false);
        check("studio-a/", false);
        check("/film", false);
        check("Studio/film", false);
        check("a/../b", false);
        check("a/b/c/d/e/f/g", false);
        check(&format!("a/{}", "b".repeat(PROJECT_CHARS_MAX)), false);
        let path: ProjectPath = "gz/meteo/ops".parse().expect("valid");
        assert_eq!((path.organisation(), path.project()), ("gz", "meteo/ops"));
        assert_eq!(path.and_ancestors().collect::<Vec<_>>(), ["gz/meteo/ops", "gz/meteo"]);
    }

    #[test]
    fn providers_match_by_id_beginning_or_name() {
        let id = ProviderId::from_bits(0x0190_1234_5678_9abc_def0_1234_5678_9abc);
        let whole: ProviderRef = id.to_string().parse().expect("an id");
        let begin: ProviderRef = id.to_string()[..16].parse().expect("a beginning");
        let name: ProviderRef = "Guizhou Cloud".parse().expect("a name");
        assert!(whole.matches(id, "") && begin.matches(id, ""));
        assert!(name.matches(id, "Guizhou Cloud") && !name.matches(id, "Guizhou"));
        assert!(!whole.matches(ProviderId::from_bits(1), ""));
        assert!("prov_01".parse::<ProviderRef>().is_err(), "too short to mean one provider");
    }

    #[test]
    fn locations() {
        let check = |text: &str, shown: Option<&str>| {
            let parsed = text.parse::<Location>().ok().map(|l| l.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        };
        check("scenes/a/", Some("data://scenes/a/"));
        check("data://scenes/a/", Some("data://scenes/a/"));
        check("file:///srv/data", Some("file:///srv/data"));
        check("s3://studio-a/sh120/", Some("s3://studio-a/sh120/"));
        check("https://example.org/x", Some("https://example.org/x"));
        check("dayan://studio-a/film-3/scenes/a", Some("dayan://studio-a/film-3/scenes/a"));
        check("./scene.blend", Some("./scene.blend"));
        check("./", None);
        check("./../x", None);
        for bad in ["", "s3://", "s3://b", "ftp://x/y", "../x", "/etc/passwd", "data://../x"] {
            check(bad, None);
        }
        for bad in ["file://host/x", "file:///a/../../etc", "http://", "http:///x", "https://a b/"]
        {
            check(bad, None);
        }
    }
}

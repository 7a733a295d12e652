//! Licences that a task holds while it runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::NameError;

/// So many of a licence for each task: `ansys:2`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct License {
    /// Its name; with an organisation before it (`lab/ansys`) that one's own.
    pub name: String,
    /// How many.
    pub count: u32,
}

/// The longest name.
const NAME_CHARS_MAX: usize = 64;

impl License {
    /// Can it be one's name?
    pub fn is_name(text: &str) -> bool {
        let word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphanumeric())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        text.len() <= NAME_CHARS_MAX
            && text.split_once('/').map_or_else(|| word(text), |(org, own)| word(org) && word(own))
    }
}

impl FromStr for License {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::License(super::name::quote(text));
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let count: u32 = if digits { count.parse().map_err(|_| refused())? } else { 0 };
        if count == 0 || !Self::is_name(name) {
            return Err(refused());
        }
        Ok(Self { name: name.to_owned(), count })
    }
}
impl TryFrom<String> for License {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<License> for String {
    fn from(license: License) -> Self {
        license.to_string()
    }
}
impl fmt::Display for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_a_name_with_a_count() {
        let check = |text: &str, expect: Option<(&str, u32)>| {
            let read = text.parse::<License>().ok();
            let read = read.as_ref().map(|license| (license.name.as_str(), license.count));
            assert_eq!(read, expect, "{text}");
        };
        check("ansys:2", Some(("ansys", 2)));
        check("lab/ansys", Some(("lab/ansys", 1)));
        for wrong in
            ["", ":2", "ansys:", "ansys:0", "ansys:+1", "a b", "a/b/c", "/a", "-a", "a:2:3"]
        {
            check(wrong, None);
        }
        check("ansys:4294967296", None);
    }
}

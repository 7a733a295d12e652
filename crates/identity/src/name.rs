//! Names: `crn:1:<adm6>:<owner>:<site>:<pool>:<class>:<serial>-<check>`.
//!
//! For example `crn:1:520100:91520100ma6dayan02:guian-a:gpu-1:ai:36e85k000000-60`: in Guiyang, of
//! the owner with that credit code, pool `gpu-1` of site `guian-a`, for AI, made at the time the
//! serial says. Lower-case; capitals are accepted and folded.
//!
//! Invariant: what parses prints back to the same text, and one wrong character or two swapped
//! ones never parse (see `check`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::administrative::{Adm6, AdmError};
use crate::check::check_number;
use crate::credit_code::{CreditCode, CreditCodeError};
use crate::serial::Serial;

/// What a named resource is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// General-purpose computing.
    Gen,
    /// AI training and inference.
    Ai,
    /// High-performance computing.
    Hpc,
    /// Near its users.
    Edge,
    /// Storage.
    Sto,
    /// Network.
    Net,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Gen, Self::Ai, Self::Hpc, Self::Edge, Self::Sto, Self::Net];

    /// As in a name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Gen => "gen",
            Self::Ai => "ai",
            Self::Hpc => "hpc",
            Self::Edge => "edge",
            Self::Sto => "sto",
            Self::Net => "net",
        }
    }
}

/// Who owns a named resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// An organisation registered in China.
    Credit(CreditCode),
    /// Another one, by the short name it registered at the issuing exchange: 2 to 17 letters and
    /// digits that begin with a letter, so never as long as a credit code.
    Short(String),
}

/// The name of a site or pool: 1 to 32 lower-case letters, digits and hyphens, hyphens not at the
/// ends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// A compute-resource name. Sorted by area, owner, site, pool: what shares a prefix stands
/// together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    /// Where it stands.
    pub adm: Adm6,
    /// Who owns it.
    pub owner: Owner,
    /// The data centre.
    pub site: Label,
    /// The pool in it.
    pub pool: Label,
    /// What it is for.
    pub class: Class,
    /// When it was named.
    pub serial: Serial,
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not eight parts, or no check digits, or longer than any name.
    #[error("a name is written `crn:1:AREA:OWNER:SITE:POOL:CLASS:SERIAL-CHECK`, got `{0}`")]
    Form(String),
    /// A version of the layout that this release does not know.
    #[error("names of version `{0}` are not known here")]
    Version(String),
    /// The area is malformed.
    #[error(transparent)]
    Adm(#[from] AdmError),
    /// The owner is neither a credit code nor a short name.
    #[error("`{0}` is neither a credit code nor a short name of 2 to 17 letters and digits")]
    Owner(String),
    /// The owner's credit code is wrong.
    #[error(transparent)]
    Credit(#[from] CreditCodeError),
    /// A site or pool is not a label.
    #[error("`{0}` is no label: 1 to 32 letters, digits and inner hyphens")]
    Label(String),
    /// No such class.
    #[error("`{0}` is no class; there are gen, ai, hpc, edge, sto, net")]
    Class(String),
    /// The serial is malformed.
    #[error("`{0}` is no serial of 12 base32 characters")]
    Serial(String),
    /// The check digits do not fit.
    #[error("the check digits do not fit the name; was it mistyped?")]
    Check,
}

impl NameError {
    /// Stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "identity.form",
            Self::Version(_) => "identity.version",
            Self::Adm(_) => "identity.area",
            Self::Owner(_) => "identity.owner",
            Self::Credit(_) => "identity.credit_code",
            Self::Label(_) => "identity.label",
            Self::Class(_) => "identity.class",
            Self::Serial(_) => "identity.serial",
            Self::Check => "identity.check",
        }
    }
}

/// `crn:1:` 6, area 7, owner 19, two labels 66, class 5, serial 12, check 3: 118.
const NAME_LEN_MAX: usize = 118;
const LABEL_LEN_MAX: usize = 32;
const VERSION: &str = "1";

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

impl FromStr for Class {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .into_iter()
            .find(|class| class.code() == text)
            .ok_or_else(|| NameError::Class(clip(text)))
    }
}
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Owner {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = text.to_ascii_lowercase();
        if lower.chars().count() == 18 {
            return Ok(Self::Credit(lower.parse()?));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_short = (2..=17).contains(&lower.len())
            && lower.starts_with(|c: char| c.is_ascii_lowercase())
            && lower.bytes().all(plain);
        if is_short { Ok(Self::Short(lower)) } else { Err(NameError::Owner(clip(text))) }
    }
}
impl fmt::Display for Owner {
    /// Lower-case, as in a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credit(code) => f.write_str(&code.as_str().to_ascii_lowercase()),
            Self::Short(name) => f.write_str(name),
        }
    }
}

impl Label {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for Label {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = text.to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label = (1..=LABEL_LEN_MAX).contains(&lower.len())
            && lower.bytes().all(plain)
            && !lower.starts_with('-')
            && !lower.ends_with('-');
        if is_label { Ok(Self(lower)) } else { Err(NameError::Label(clip(text))) }
    }
}
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Name {
    /// Everything before the check digits.
    fn body(&self) -> String {
        let Self { adm, owner, site, pool, class, serial } = self;
        format!("crn:{VERSION}:{adm}:{owner}:{site}:{pool}:{class}:{serial}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        let check = check_number(&body).expect("every part is of the alphabet of names");
        f.pad(&format!("{body}-{check:02}"))
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let form = || NameError::Form(clip(text));
        if text.len() > NAME_LEN_MAX {
            return Err(form());
        }
        let lower = text.to_ascii_lowercase();
        let (body, check) = lower.rsplit_once('-').ok_or_else(form)?;
        let parts: Vec<&str> = body.split(':').collect();
        let ["crn", version, adm, owner, site, pool, class, serial] = parts.as_slice() else {
            return Err(form());
        };
        // Of all faults the likeliest is a slip of the finger, so that is told first; a name of
        // another version may be checked otherwise.
        if *version != VERSION {
            return Err(NameError::Version(clip(version)));
        }
        let expected = check_number(body).ok_or_else(form)?;
        if check != format!("{expected:02}") {
            return Err(NameError::Check);
        }
        Ok(Self {
            adm: adm.parse()?,
            owner: owner.parse()?,
            site: site.parse()?,
            pool: pool.parse()?,
            class: class.parse()?,
            serial: serial.parse().map_err(|()| NameError::Serial(clip(serial)))?,
        })
    }
}
impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

/// The beginning of names: of an area, an owner in it, a site, a pool. Without check digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// Where they stand.
    pub adm: Adm6,
    /// Who owns them.
    pub owner: Option<Owner>,
    /// The data centre; only below an owner.
    pub site: Option<Label>,
    /// The pool; only below a site.
    pub pool: Option<Label>,
}

impl Prefix {
    /// Does the name begin so?
    pub fn matches(&self, name: &Name) -> bool {
        self.adm == name.adm
            && self.owner.as_ref().is_none_or(|owner| *owner == name.owner)
            && self.site.as_ref().is_none_or(|site| *site == name.site)
            && self.pool.as_ref().is_none_or(|pool| *pool == name.pool)
    }
}

impl FromStr for Prefix {
    type Err = NameError;
    /// `crn:1:AREA[:OWNER[:SITE[:POOL]]]`, with or without a colon or `:*` at the end.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let form = || NameError::Form(clip(text));
        if text.len() > NAME_LEN_MAX {
            return Err(form());
        }
        let head = text.strip_suffix('*').unwrap_or(text);
        let head = head.strip_suffix(':').unwrap_or(head);
        let mut parts = head.split(':');
        if !parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("crn")) {
            return Err(form());
        }
        let version = parts.next().ok_or_else(form)?;
        if version != VERSION {
            return Err(NameError::Version(clip(version)));
        }
        let prefix = Self {
            adm: parts.next().ok_or_else(form)?.parse()?,
            owner: parts.next().map(str::parse).transpose()?,
            site: parts.next().map(str::parse).transpose()?,
            pool: parts.next().map(str::parse).transpose()?,
        };
        if parts.next().is_some() { Err(form()) } else { Ok(prefix) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crn:{VERSION}:{}", self.adm)?;
        if let Some(owner) = &self.owner {
            write!(f, ":{owner}")?;
        }
        for label in self.site.iter().chain(&self.pool) {
            write!(f, ":{label}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dayan_units::Time;
    use proptest::prelude::*;

    pub(crate) fn name(owner: &str, site: &str, pool: &str, tail: u16) -> Name {
        Name {
            adm: "520100".parse().expect("Guiyang"),
            owner: owner.parse().expect("an owner"),
            site: site.parse().expect("a label"),
            pool: pool.parse().expect("a label"),
            class: Class::Ai,
            serial: Serial::new(Time::from_micros(1_760_000_000_000_000), tail).expect("2025"),
        }
    }

    #[test]
    fn a_name_reads_and_prints() {
        let name = name("91520100MA6DAYAN02", "guian-a", "gpu-1", 0);
        let text = name.to_string();
        assert_eq!(text, "crn:1:520100:91520100ma6dayan02:guian-a:gpu-1:ai:36e85k000000-60");
        assert_eq!(text.parse(), Ok(name.clone()));
        assert_eq!(text.to_uppercase().parse(), Ok(name.clone()));
        let json = serde_json::to_string(&name).expect("text");
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Name>(&json).expect("a name"), name);
    }

    /// Puts right check digits behind a body, so that the parts are looked at.
    fn checked(body: &str) -> String {
        format!("{body}-{:02}", check_number(body).expect("of the alphabet"))
    }

    #[test]
    fn wrong_names_say_why() {
        let check = |text: String, code: &str| {
            let error = text.parse::<Name>().expect_err(&text);
            assert_eq!(error.code(), code, "{text}: {error}");
        };
        let body = name("acme", "a", "b", 0).body();
        check(String::new(), "identity.form");
        check("crn:1:520100".into(), "identity.form");
        check("x".repeat(1_000_000), "identity.form");
        check(body.clone(), "identity.form");
        check(format!("{body}-中"), "identity.check");
        check(format!("{body}-00"), "identity.check");
        check(checked(&body.replace("crn:1", "crn:2")), "identity.version");
        check(checked(&body.replace("520100", "990100")), "identity.area");
        check(checked(&body.replace("acme", "a")), "identity.owner");
        check(checked(&body.replace("acme", "91440300192181490h")), "identity.credit_code");
        check(checked(&body.replace(":a:b", ":-a:b")), "identity.label");
        check(checked(&body.replace(":a:b", "::b")), "identity.label");
        check(checked(&body.replace(":ai:", ":toy:")), "identity.class");
        check(checked(&format!("{body}0")), "identity.serial");
    }

    #[test]
    fn prefixes_cover_what_begins_so() {
        let name = name("acme", "guian-a", "gpu-1", 0);
        let check = |text: &str, expect| {
            let prefix: Prefix = text.parse().expect(text);
            assert_eq!(prefix.matches(&name), expect, "{text}");
            assert_eq!(prefix.to_string().parse(), Ok(prefix), "{text}");
        };
        check("crn:1:520100", true);
        check("crn:1:520100:*", true);
        check("CRN:1:520100:ACME", true);
        check("crn:1:520100:acme:", true);
        check("crn:1:520100:acme:guian-a:gpu-1", true);
        check("crn:1:520100:acme:guian", false);
        check("crn:1:440300", false);
        for bad in [
            "",
            "crn",
            "crn:1",
            "crn:1:",
            "crn:2:520100",
            "urn:1:520100",
            "crn:1:520100:acme:a:b:ai",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    fn any_name() -> impl Strategy<Value = Name> {
        (
            prop::sample::select(vec!["520100", "440300", "330100", "110000"]),
            prop_oneof![
                "[0-9A-HJ-NPQRTUWXY]{17}".prop_map(|first| {
                    Owner::Credit(CreditCode::complete(&first).expect("of the alphabet"))
                }),
                "[a-z][a-z0-9]{1,16}".prop_map(Owner::Short),
            ],
            "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?",
            "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?",
            prop::sample::select(Class::ALL.to_vec()),
            0i64..1 << 53,
            any::<u16>(),
        )
            .prop_map(|(adm, owner, site, pool, class, at, tail)| Name {
                adm: adm.parse().expect("a code"),
                owner,
                site: Label(site),
                pool: Label(pool),
                class,
                serial: Serial::new(Time::from_micros(at), tail).expect("in range"),
            })
    }

    proptest! {
        #[test]
        fn what_prints_parses_back(name in any_name()) {
            let text = name.to_string();
            prop_assert!(text.len() <= NAME_LEN_MAX);
            prop_assert_eq!(text.parse(), Ok(name));
        }

        #[test]
        fn one_wrong_character_never_parses(
            name in any_name(), at in any::<prop::sample::Index>(), other in "[0-9a-z:-]",
        ) {
            let text = name.to_string();
            let at = at.index(text.len());
            prop_assume!(text[at..=at] != other);
            let mut wrong = text;
            wrong.replace_range(at..=at, &other);
            prop_assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }

        #[test]
        fn two_swapped_neighbours_never_parse(
            name in any_name(), at in any::<prop::sample::Index>(),
        ) {
            let text = name.to_string();
            let at = at.index(text.len() - 1);
            let mut bytes = text.clone().into_bytes();
            bytes.swap(at, at + 1);
            let wrong = String::from_utf8(bytes).expect("ASCII");
            prop_assume!(wrong != text);
            prop_assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,130}") {
            let _ = text.parse::<Name>();
            let _ = text.parse::<Prefix>();
        }
    }
}

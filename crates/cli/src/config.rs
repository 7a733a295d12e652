//! Where the exchange is and who we are to it: environment first, then what `dayan login` kept.
//!
//! Invariant: a token is only ever sent to the address it was kept for; a kept token is readable
//! by its owner alone. Must not know the API.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Failure, Said};
use crate::words::Word;

/// The address of the exchange.
pub const URL_VARIABLE: &str = "DAYAN_URL";
/// The token's secret.
pub const TOKEN_VARIABLE: &str = "DAYAN_TOKEN";
/// SHA-256 of the server's certificate in hex, where no authority vouches for it.
pub const FINGERPRINT_VARIABLE: &str = "DAYAN_FINGERPRINT";

/// The file `dayan login` writes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// Where the exchange is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Who we are to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The certificate it must show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What the environment says, read once in `main`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    /// [`URL_VARIABLE`].
    pub url: Option<String>,
    /// [`TOKEN_VARIABLE`].
    pub token: Option<String>,
    /// [`FINGERPRINT_VARIABLE`].
    pub fingerprint: Option<String>,
    /// Where configuration lives: `$XDG_CONFIG_HOME/dayan`, else `~/.config/dayan`.
    pub config_dir: Option<PathBuf>,
    /// Where data lives: `$XDG_DATA_HOME/dayan`, else `~/.local/share/dayan`.
    pub data_dir: Option<PathBuf>,
}

impl Environment {
    /// Of this process. A variable that is set to nothing is not set.
    pub fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let home = |folder: &str| text("HOME").map(|home| PathBuf::from(home).join(folder));
        // The XDG rules: a relative path is to be ignored.
        let xdg = |name: &str| text(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = xdg("XDG_CONFIG_HOME").or_else(|| home(".config"));
        let data = xdg("XDG_DATA_HOME").or_else(|| home(".local/share"));
        Self {
            url: text(URL_VARIABLE),
            token: text(TOKEN_VARIABLE),
            fingerprint: text(FINGERPRINT_VARIABLE),
            config_dir: config.map(|base| base.join("dayan")),
            data_dir: data.map(|base| base.join("dayan")),
        }
    }
    /// The configuration file.
    pub fn config_file(&self) -> Result<PathBuf, Failure> {
        let dir = self.config_dir.as_ref();
        let dir = dir.ok_or_else(|| Failure::usage(Said::plain(Word::NoHome)))?;
        Ok(dir.join("config.json"))
    }
}

/// An exchange to speak to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where it is.
    pub url: reqwest::Url,
    /// Who we are to it, if anybody.
    pub token: Option<String>,
    /// The certificate it must show; none: one that an authority vouches for.
    pub fingerprint: Option<[u8; 32]>,
}

impl Target {
    /// From environment and file. What the file keeps belongs to the file's address: another
    /// address in the environment gets neither its token nor its fingerprint.
    pub fn resolve(environment: &Environment) -> Result<Self, Failure> {
        let kept = match &environment.config_dir {
            Some(_) => Config::read(&environment.config_file()?)?,
            None => Config::default(),
        };
        Self::of(environment, kept)
    }

    fn of(environment: &Environment, kept: Config) -> Result<Self, Failure> {
        let kept_url = kept.url.as_deref().map(parse_url).transpose()?;
        let asked_url = environment.url.as_deref().map(parse_url).transpose()?;
        let same_place = asked_url.is_none() || asked_url == kept_url;
        let url = asked_url.or(kept_url);
        let url = url.ok_or_else(|| Failure::usage(Said::plain(Word::NoAddress)))?;
        let own = |kept: Option<String>| kept.filter(|_| same_place);
        let fingerprint = environment.fingerprint.clone().or_else(|| own(kept.fingerprint));
        Ok(Self {
            url,
            token: environment.token.clone().or_else(|| own(kept.token)),
            fingerprint: fingerprint.as_deref().map(parse_fingerprint).transpose()?,
        })
    }
}

/// An address an exchange can have: `http` or `https`, no query, no password.
pub fn parse_url(text: &str) -> Result<reqwest::Url, Failure> {
    let bad = || Failure::usage(Said::with(Word::BadUrl, "url", text));
    let text = text.trim().trim_end_matches('/');
    let url: reqwest::Url = text.parse().map_err(|_| bad())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.password().is_none();
    let spoken = matches!(url.scheme(), "http" | "https");
    if plain && spoken && url.has_host() && url.username().is_empty() {
        Ok(url)
    } else {
        Err(bad())
    }
}

/// 64 hexadecimal digits, colons between them allowed as other tools print them.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], Failure> {
    let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(digits, &mut bytes)
        .map_err(|_| Failure::usage(Said::plain(Word::BadFingerprint)))?;
    Ok(bytes)
}

impl Config {
    /// From its file; a file that is not there says nothing.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = || path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Failure::local(Said::with(Word::ReadingFile, "file", shown()), error));
            }
        };
        serde_json::from_str(&text).map_err(|error| {
            let said = Said::with(Word::BadConfig, "file", shown());
            Failure::usage(said.and("why", error.to_string()))
        })
    }

    /// Into its file, readable by its owner alone, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        self.try_write(path).map_err(|error| {
            let said = Said::with(Word::WritingFile, "file", path.display().to_string());
            Failure::local(said, error)
        })
    }

    fn try_write(&self, path: &Path) -> std::io::Result<()> {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(dir)?;
        let fresh = path.with_extension(format!("json.{}", std::process::id()));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        // 0600 from its first moment: a token must not be readable even between two calls.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn kept() -> Config {
        Config {
            url: Some("https://a.example/".to_owned()),
            token: Some("kept".to_owned()),
            fingerprint: Some(PRINT.to_owned()),
        }
    }
    fn environment(url: Option<&str>, token: Option<&str>) -> Environment {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Environment { url: own(url), token: own(token), ..Environment::default() }
    }

    #[test]
    fn the_environment_wins_and_a_token_stays_with_its_address() {
        let check = |url, token, expect_url: &str, expect_token: Option<&str>, pinned| {
            let target = Target::of(&environment(url, token), kept()).expect("a target");
            assert_eq!(target.url.as_str(), expect_url);
            assert_eq!(target.token.as_deref(), expect_token);
            assert_eq!(target.fingerprint.is_some(), pinned);
        };
        check(None, None, "https://a.example/", Some("kept"), true);
        check(None, Some("env"), "https://a.example/", Some("env"), true);
        check(Some("https://a.example"), None, "https://a.example/", Some("kept"), true);
        check(Some("https://b.example"), None, "https://b.example/", None, false);
        check(Some("https://b.example"), Some("env"), "https://b.example/", Some("env"), false);
        // Another scheme is another place: a token kept for https is not sent in the clear.
        check(Some("http://a.example"), None, "http://a.example/", None, false);
    }

    #[test]
    fn nothing_known_is_a_wrong_call() {
        let outcome = Target::of(&Environment::default(), Config::default());
        assert!(matches!(outcome, Err(Failure::Usage(Said(Word::NoAddress, _)))));
    }

    #[test]
    fn addresses_that_no_exchange_has_are_refused() {
        for bad in ["", "ftp://a", "a.example", "http://", "http://u:p@a", "http://a/?x=1"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_url("http://a:1/x/").expect("good").as_str(), "http://a:1/x");
    }

    #[test]
    fn fingerprints_with_and_without_colons() {
        let colons = PRINT.as_bytes().chunks(2).map(|p| std::str::from_utf8(p).expect("ascii"));
        let colons = colons.collect::<Vec<_>>().join(":");
        assert_eq!(
            parse_fingerprint(&colons).expect("good"),
            parse_fingerprint(PRINT).expect("good")
        );
        assert!(parse_fingerprint("1234").is_err());
        assert!(parse_fingerprint(&"zz".repeat(32)).is_err());
    }

    #[test]
    fn what_is_kept_is_read_back_and_only_ours_to_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/config.json");
        assert_eq!(Config::read(&path).expect("absent is empty"), Config::default());
        kept().write(&path).expect("written");
        kept().write(&path).expect("written again");
        assert_eq!(Config::read(&path).expect("read"), kept());
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().expect("in a folder")).expect("list").count(), 1);
        fs::write(&path, "{ not json").expect("broken");
        assert!(matches!(Config::read(&path), Err(Failure::Usage(Said(Word::BadConfig, _)))));
    }
}

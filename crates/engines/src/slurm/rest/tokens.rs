//! Who the agent is to the REST daemon: a token from a file, read each time because others renew it, or
//! one that `scontrol token` gives, renewed here. None of both: the daemon's socket tells who asks.

use std::path::PathBuf;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dayan_units::Span;
use serde::Deserialize;

use crate::BootTime;
use crate::slurm::ask::Asker;

/// How long a token that is asked for is good, and after how much of that another is asked for: an hour
/// outlives an agent that hangs, and is gone soon after one that was stolen.
const LIFESPAN: Span = Span::from_secs(3_600);
const RENEW_AFTER: Span = Span::from_secs(1_800);
/// After how long a `scontrol` is asked again that gave none.
const ASK_AGAIN: Span = Span::from_secs(60);

/// A token and whose it is: the daemon wants to be told both.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) user: String,
    pub(super) text: String,
}

/// Where they come from.
pub(super) enum Tokens {
    File(PathBuf),
    Asked { asker: Asker, last: Mutex<Option<(Option<Token>, BootTime)>> },
}

/// What a token says of itself: the user is under the one name or the other.
#[derive(Deserialize)]
struct Claims {
    #[serde(alias = "username")]
    sun: String,
}

/// Whose a token is, as it says.
fn user_of(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    Some(serde_json::from_slice::<Claims>(&claims).ok()?.sun)
}

/// Reads `SLURM_JWT=…`, as `scontrol token` writes it, or the token alone.
fn read(text: &str) -> Option<Token> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let text = line.strip_prefix("SLURM_JWT=").unwrap_or(line).to_owned();
    let own = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
    let user = user_of(&text).or_else(own)?;
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    (plain(&text) && plain(&user) && !text.is_empty()).then_some(Token { user, text })
}

impl Tokens {
    pub(super) fn from(file: Option<PathBuf>, asker: Asker) -> Self {
        file.map_or_else(|| Self::Asked { asker, last: Mutex::new(None) }, Self::File)
    }

    /// One that is good now; none where nobody gives one.
    pub(super) fn get(&self) -> Result<Option<Token>, String> {
        match self {
            Self::File(path) => {
                let at = path.display();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("slurm.rest_token: reading {at}: {error}"))?;
                let token = read(&text)
                    .ok_or_else(|| format!("slurm.rest_token: there is no token in {at}"))?;
                Ok(Some(token))
            }
            Self::Asked { asker, last } => {
                let mut last = last.lock().expect("no thread panics holding it");
                let now = asker.clock.now();
                if let Some((token, until)) = &*last
                    && now < *until
                {
                    return Ok(token.clone());
                }
                let words = ["token".to_owned(), format!("lifespan={}", LIFESPAN.secs_ceil())];
                let answer = asker.ask("scontrol", &words, "");
                let given = answer.ok().filter(|answer| answer.status == Some(0));
                // Where that is not to be had, one may lie in the environment.
                let token = given
                    .and_then(|answer| read(&answer.out))
                    .or_else(|| read(&std::env::var("SLURM_JWT").ok()?));
                let good = if token.is_some() { RENEW_AFTER } else { ASK_AGAIN };
                *last = Some((token.clone(), now.plus(good)));
                Ok(token)
            }
        }
    }

    /// The last one was not taken.
    pub(super) fn forget(&self) {
        if let Self::Asked { last, .. } = self {
            *last.lock().expect("no thread panics holding it") = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn tokens_say_whose_they_are() {
        let check = |text: &str, user: Option<&str>| {
            assert_eq!(read(text).map(|token| token.user).as_deref(), user, "{text}");
        };
        let given = token(r#"{"exp":1,"sun":"alice"}"#);
        check(&given, Some("alice"));
        check(&format!("SLURM_JWT={given}\n"), Some("alice"));
        check(&format!("\n{}\n", token(r#"{"username":"bob"}"#)), Some("bob"));
        check("", None);
        check("two words", None);
        let dir = tempfile::tempdir().expect("a folder");
        let clock = crate::BootClock::of_this_machine().expect("a boot id");
        let asker = Asker { clock, commands: None, within: Span::from_secs(1) };
        let path = dir.path().join("token");
        let tokens = Tokens::from(Some(path.clone()), asker);
        assert!(tokens.get().is_err_and(|why| why.contains("slurm.rest_token")));
        std::fs::write(&path, &given).expect("writes");
        assert!(tokens.get().is_ok_and(|found| found.is_some_and(|one| one.text == given)));
        std::fs::write(&path, token(r#"{"sun":"carol"}"#)).expect("writes");
        let renewed = tokens.get().expect("reads").expect("one");
        assert_eq!(renewed.user, "carol", "what somebody renews is read again");
    }
}

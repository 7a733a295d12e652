//! Joining an exchange, once, however often it has to be asked for.
//!
//! Invariant: what is asked for is on the disk before it is asked for, and is asked for again as it was. So
//! an answer that was lost, on the way or with the agent, costs neither the invitation nor a pool.

use dayan_wire::{JoinAnswer, JoinRequest, JoinToken, PoolShown};
use sha2::{Digest as _, Sha256};

use crate::backoff::Backoff;
use crate::fault::AgentFault;
use crate::home::{Home, Joining, Membership};
use crate::identity::{Key, random_bytes};
use crate::link::{Link, LinkFault};

/// How often an exchange is knocked at before joining it is given up: with the pauses between,
/// about a minute, in which a server that was started together with the agent is up.
const KNOCKS_MAX: u32 = 40;

/// How often a join is asked for that is not answered, with pauses between: half a minute beyond the time
/// that the answers are waited for. Whoever runs several pools begins again later.
const ASKS_MAX: u32 = 20;

/// Every so many-th failed knock is told.
const KNOCKS_PER_WORD: u32 = 10;

/// What the agent says of itself.
pub(crate) struct Introduction<'a> {
    pub(crate) url: &'a str,
    pub(crate) token: JoinToken,
    pub(crate) site: &'a str,
    pub(crate) pool: &'a str,
    /// How many further pools come by the same token.
    pub(crate) more: u32,
    pub(crate) shown: &'a PoolShown,
}

/// Takes the invitation and writes down who the agent is from now on.
pub(crate) async fn join(
    home: &Home,
    key: &Key,
    link: &Link,
    introduction: Introduction<'_>,
) -> Result<Membership, AgentFault> {
    let token = introduction.token;
    knock(link).await?;
    let joining = begun(home, &token.secret)?;
    let request = JoinRequest {
        public_key: key.public(),
        proof: key.join_proof(&token.secret),
        secret: token.secret,
        site: introduction.site.to_owned(),
        pool: introduction.pool.to_owned(),
        more: introduction.more,
        token: Some(joining.token),
        shown: introduction.shown.clone(),
    };
    let answer = ask(link, &request).await?;
    if !answer.pool_name.is_empty() && answer.pool_name != introduction.pool {
        let (asked, name) = (introduction.pool, &answer.pool_name);
        tracing::warn!(asked, name, "the provider has a pool of that name; this one got a number");
    }
    let membership = Membership {
        agent: answer.agent,
        pool: answer.pool,
        crn: answer.crn,
        token: answer.token,
        exchange: answer.exchange,
        url: introduction.url.to_owned(),
        fingerprint: token.fingerprint,
        measured_at: None,
        measured: None,
    };
    home.remember(&membership)?;
    home.end_joining();
    Ok(membership)
}

/// What this invitation was taken with before, or is taken with now.
fn begun(home: &Home, secret: &str) -> Result<Joining, AgentFault> {
    let invitation = hex::encode(Sha256::digest(secret));
    if let Some(joining) = home.joining()?.filter(|joining| joining.invitation == invitation) {
        return Ok(joining);
    }
    let drawn = random_bytes().map_err(AgentFault::data("reading /dev/urandom"))?;
    let joining = Joining { invitation, token: format!("dya_{}", hex::encode(drawn)) };
    home.begin_joining(&joining)?;
    Ok(joining)
}

/// Asks until there is an answer. That the exchange has heard it before is none of its trouble.
async fn ask(link: &Link, request: &JoinRequest) -> Result<JoinAnswer, AgentFault> {
    let mut backoff = Backoff::new();
    let mut asked = 0;
    loop {
        asked += 1;
        match link.join(request).await {
            Ok(answer) => return Ok(answer),
            Err(LinkFault::Refused(why) | LinkFault::Rejected(why)) => {
                return Err(AgentFault::JoinRefused(why));
            }
            Err(LinkFault::Away(why) | LinkFault::Garbage(why)) if asked >= ASKS_MAX => {
                return Err(AgentFault::Unreachable(format!(
                    "the exchange was reached and gave no answer to the join ({why}); start the agent \
                     again with the same token: a join that was taken is not counted twice"
                )));
            }
            Err(fault @ (LinkFault::Away(_) | LinkFault::Garbage(_))) => {
                tracing::debug!(%fault, asked, "no answer to the join; asked again");
            }
        }
        tokio::time::sleep(backoff.next().to_std()).await;
    }
}

async fn knock(link: &Link) -> Result<(), AgentFault> {
    let mut backoff = Backoff::new();
    let mut knocks = 0;
    loop {
        match link.knock().await {
            Ok(()) => return Ok(()),
            Err(fault) if knocks >= KNOCKS_MAX || fault.to_string().contains("certificate") => {
                return Err(AgentFault::Unreachable(fault.to_string()));
            }
            Err(fault) => {
                if knocks % KNOCKS_PER_WORD == 0 {
                    tracing::warn!(%fault, "the exchange does not answer yet; trying again");
                }
                knocks += 1;
            }
        }
        tokio::time::sleep(backoff.next().to_std()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_invitation_is_taken_with_the_same_token_and_another_with_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(dir.path()).expect("free");
        let first = begun(&home, "s3cret").expect("drawn");
        assert_eq!(first.token.len(), "dya_".len() + 64);
        drop(home);
        let home = Home::open(dir.path()).expect("free again");
        assert_eq!(begun(&home, "s3cret").expect("kept"), first);
        let other = begun(&home, "an0ther").expect("drawn");
        assert_ne!(other.token, first.token);
        home.end_joining();
        assert_ne!(begun(&home, "an0ther").expect("drawn anew").token, other.token);
    }
}

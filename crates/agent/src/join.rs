//! Joining an exchange, once.

use dayan_wire::{JoinRequest, JoinToken, PoolShown};

use crate::backoff::Backoff;
use crate::fault::AgentFault;
use crate::home::{Home, Membership};
use crate::identity::Key;
use crate::link::{Link, LinkFault};

/// How often an exchange is knocked at before joining it is given up: with the pauses between,
/// about a minute, in which a server that was started together with the agent is up.
const KNOCKS_MAX: u32 = 40;

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
    let request = JoinRequest {
        public_key: key.public(),
        proof: key.join_proof(&token.secret),
        secret: token.secret,
        site: introduction.site.to_owned(),
        pool: introduction.pool.to_owned(),
        more: introduction.more,
        shown: introduction.shown.clone(),
    };
    // Asked once: an invitation is good for one join of a pool, and an answer that was lost cannot be
    // had again.
    let answer = link.join(&request).await.map_err(|fault| match fault {
        LinkFault::Away(why) => AgentFault::Unreachable(format!(
            "the exchange was reached and did not answer ({why}); try again, and if the token is \
             used up, make a new one"
        )),
        LinkFault::Refused(why) | LinkFault::Rejected(why) | LinkFault::Garbage(why) => {
            AgentFault::JoinRefused(why)
        }
    })?;
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
    Ok(membership)
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

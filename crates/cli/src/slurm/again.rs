//! What the commands that list things have in common: answering again every so many seconds, and
//! names of clusters. There is one cluster here, whatever runs behind it.
//!
//! Must not know what is listed.

use std::time::Duration;

use super::{Refused, listed};
use crate::cmd::session::Session;

/// What the exchange is called among clusters; `sacct` shows it as `Cluster`.
pub const CLUSTER: &str = "dayan";

/// Answers, and with `--iterate` again every so many seconds until it is interrupted, nobody reads
/// any more, or something is wrong.
pub async fn every<F>(
    seconds: Option<u32>,
    session: &Session,
    answer: impl Fn() -> F,
) -> Result<u8, Refused>
where
    F: Future<Output = Result<u8, Refused>>,
{
    let pause = |seconds: u32| tokio::time::sleep(Duration::from_secs(seconds.into()));
    repeated(seconds, session, answer, pause).await
}

async fn repeated<F, P>(
    seconds: Option<u32>,
    session: &Session,
    answer: impl Fn() -> F,
    pause: impl Fn(u32) -> P,
) -> Result<u8, Refused>
where
    F: Future<Output = Result<u8, Refused>>,
    P: Future<Output = ()>,
{
    let Some(seconds) = seconds else { return answer().await };
    loop {
        let code = answer().await?;
        if code != 0 {
            return Ok(code);
        }
        session.out.raw(b"\n")?;
        pause(seconds).await;
    }
}

/// Checks names of clusters: what stands above the answer, where one was named.
pub fn clusters(given: &[String]) -> Result<String, Refused> {
    let strange = |name: &String| name != CLUSTER && !name.eq_ignore_ascii_case("all");
    let names = listed(given);
    match names.iter().find(|name| strange(name)) {
        Some(name) => {
            let said = Refused::said(format!("No cluster '{name}' known by database."));
            Err(said.and(format!(
                "there is one here, `{CLUSTER}`: what a site's own Slurm is called says `dayan pool show`"
            )))
        }
        None if names.is_empty() => Ok(String::new()),
        None => Ok(format!("CLUSTER: {CLUSTER}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    use super::*;
    use crate::slurm::Tool;

    #[test]
    fn one_cluster_is_known() {
        let given =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = |names: &[&str], expect: &str| {
            assert_eq!(clusters(&given(names)).expect("known"), expect, "{names:?}");
        };
        check(&[], "");
        check(&["dayan"], "CLUSTER: dayan\n");
        check(&["all"], "CLUSTER: dayan\n");
        let refused = clusters(&given(&["dayan,blue"])).expect_err("another");
        let said = refused.text(Tool::Sinfo);
        assert!(said.starts_with("sinfo: error: No cluster 'blue' known"), "{said}");
    }

    #[tokio::test]
    async fn it_is_answered_again_until_something_is_wrong() {
        let (session, stdout, _) = crate::tests::session(crate::config::Environment::default());
        let (times, paused) = (AtomicU8::new(0), AtomicU32::new(0));
        let answer = || async {
            let nth = times.fetch_add(1, Ordering::Relaxed);
            session.out.raw(nth.to_string().as_bytes())?;
            if nth == 2 { Err(Refused::said("enough")) } else { Ok(0) }
        };
        let pause = |seconds| {
            paused.fetch_add(seconds, Ordering::Relaxed);
            std::future::ready(())
        };
        let end = repeated(Some(5), &session, answer, pause).await.expect_err("it ends so");
        assert_eq!(end.text(Tool::Squeue), "squeue: error: enough\n");
        assert_eq!((stdout.text().as_str(), paused.load(Ordering::Relaxed)), ("0\n1\n2", 10));
        let once = every(None, &session, || async { Ok(7) }).await.expect("an answer");
        assert_eq!(once, 7);
    }
}

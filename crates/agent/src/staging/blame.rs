//! Whose doing it is that an address, or a store with its secret, did not do its part: the job has named
//! it, so that it is the job's, unless the site could not have reached it.
//!
//! Whether it could is asked of the exchange, in that moment: nothing that a job names decides it. So no job
//! has its computing for nothing by a store that lies, nor any provider a bad name by it. Invariants: what is
//! the exchange's own or the site's own is never taken for the job's; it is asked when no further try is left.

use super::courier::Courier;
use super::snag::{Far, Snag};

/// How far clocks may be apart for S3: fifteen minutes. One that is further off is the site's to mend.
const CLOCK_OFF_SECONDS_MAX: i64 = 15 * 60;

/// What the exchange says of this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exchange {
    /// It is reached. So many seconds its clock is ahead of this machine's, where it says so.
    Reached(Option<i64>),
    /// It is not.
    Away,
}

/// Is it the job's that what it named did not do its part so? `proxied`: the site reaches others through a
/// proxy of its own, which answers in their place where it does not reach them.
fn is_the_jobs(far: Far, exchange: Exchange, proxied: bool) -> bool {
    let reached = matches!(exchange, Exchange::Reached(_));
    match far {
        Far::Answered => reached || !proxied,
        Far::Silent => reached,
        Far::Proxy => !proxied,
        // A clock that is as the exchange's is right enough.
        Far::Clock => match exchange {
            Exchange::Reached(Some(ahead)) => ahead.abs() < CLOCK_OFF_SECONDS_MAX,
            Exchange::Reached(None) | Exchange::Away => false,
        },
    }
}

impl Courier {
    /// Finds out whose doing it is.
    pub(super) async fn settled(&self, snag: Snag) -> Snag {
        let Some(far) = snag.far else { return snag };
        let exchange = self.store.exchange().await;
        if is_the_jobs(far, exchange, self.web.is_proxied()) {
            let why = format!("{}; what the job names did not do its part", snag.why);
            return Snag::job(why);
        }
        let why = match far {
            Far::Clock => format!("{}; this machine's clock is to be set", snag.why),
            Far::Proxy => format!("{}; this site's proxy wants a login", snag.why),
            Far::Answered | Far::Silent => {
                format!("{}; the exchange was not reached from here either", snag.why)
            }
        };
        Snag::from(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_names_is_the_jobs_where_the_site_could_have_reached_it() {
        let (here, away) = (Exchange::Reached(Some(2)), Exchange::Away);
        let check = |far, exchange, proxied, expect: bool| {
            assert_eq!(
                is_the_jobs(far, exchange, proxied),
                expect,
                "{far:?} {exchange:?} {proxied}"
            );
        };
        // Who answers was reached.
        check(Far::Answered, here, false, true);
        check(Far::Answered, away, false, true);
        check(Far::Answered, away, true, false);
        check(Far::Answered, here, true, true);
        // Who is silent may be behind a network that is down.
        check(Far::Silent, here, false, true);
        check(Far::Silent, away, false, false);
        // What it says of clocks and proxies is looked into.
        check(Far::Clock, here, false, true);
        check(Far::Clock, Exchange::Reached(Some(-3_600)), false, false);
        check(Far::Clock, Exchange::Reached(None), false, false);
        check(Far::Clock, away, false, false);
        check(Far::Proxy, here, false, true);
        check(Far::Proxy, here, true, false);
    }
}

//! The sections under their keys.

use super::fields::Fields;
use super::item::Item;
use crate::code::Code;
use crate::limits::BYTES_MAX;
use crate::model::{
    After, Budget, BudgetPeriod, CatchUp, Checkpoint, Deadline, DeadlineKind, DelayAsk, Dependency,
    Finish, Input, Location, Market, MarketMode, Network, Notify, NotifyWhen, OnBreach, OnLimit,
    Output, OutputWhen, Overlap, Placement, Providers, Replicas, Resume, Retry, RetryCause,
    Schedule, Service, Signal, Target, TimeSignal, Trust, UnitPrice, is_secret_name, quote,
};
use crate::pattern::Pattern;

pub(super) fn input(f: &Fields<'_>) -> Option<Input> {
    let from = f.get("from").and_then(|item| location(&item));
    let to = f.get("to").and_then(|item| item.inner_path());
    let sha256 = f.get("sha256").and_then(|item| {
        let text = item.text()?;
        let digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(digit) {
            return Some(text.to_owned());
        }
        item.fail(Code::BadSha256, &[("value", quote(text))]);
        None
    });
    let secret = f.get("secret").and_then(|item| secret_name(&item));
    let size = f.get("size").and_then(|item| item.bytes(BYTES_MAX)).map(|range| range.min);
    let at = f.get("at").and_then(|item| item.name(Code::BadPlace));
    Some(Input { from: from?, to: to?, sha256, secret, size, at })
}

/// An address; the patterns in it are well formed.
fn location(item: &Item<'_>) -> Option<Location> {
    let location: Location = item.name(Code::BadLocation)?;
    let fits = location.path().is_none_or(|path| well_formed(item, path));
    fits.then_some(location)
}

/// Is a pattern, if there is one, well formed?
fn well_formed(item: &Item<'_>, path: &str) -> bool {
    match Pattern::of(path) {
        Ok(_) => true,
        Err(error) => {
            let args = [("value", quote(path)), ("detail", error.msg.to_owned())];
            item.fail(Code::BadPattern, &args);
            false
        }
    }
}

fn secret_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if is_secret_name(text) {
        return Some(text.to_owned());
    }
    item.fail(Code::BadSecretName, &[("value", quote(text))]);
    None
}

pub(super) fn output(f: &Fields<'_>) -> Option<Output> {
    let from = f.get("from").and_then(|item| {
        let path = item.inner_path()?;
        well_formed(&item, &path).then_some(path)
    });
    let to = f.get("to").and_then(|item| item.name(Code::BadLocation));
    let when = f.get("when").and_then(|item| item.choice()).unwrap_or(OutputWhen::TaskEnd);
    let secret = f.get("secret").and_then(|item| secret_name(&item));
    Some(Output { from: from?, to: to?, when, secret })
}

pub(super) fn retry(f: &Fields<'_>) -> Retry {
    let default = Retry::default();
    let max = f.get("max").and_then(|item| item.whole()).unwrap_or(default.max);
    let when = f.get("when").and_then(|item| item.list(retry_cause));
    let resume = f.get("resume").and_then(|item| item.choice());
    if max == 0 && resume == Some(Resume::Checkpoint) {
        f.fail("resume", Code::ResumeWithoutRetry, &[]);
    }
    let mut when = when.unwrap_or(default.when);
    when.sort_unstable();
    Retry { max, when, resume: resume.unwrap_or(default.resume) }
}

fn retry_cause(item: &Item<'_>) -> Option<RetryCause> {
    let text = item.text()?;
    let cause = text.parse().ok();
    if cause.is_none() {
        let mut args = vec![("value", quote(text)), ("choices", RetryCause::WORDS.join(", "))];
        let near = super::fields::suggestion(text, RetryCause::WORDS);
        args.extend(near.map(|near| ("suggestion", near.to_owned())));
        item.fail(Code::BadRetryCause, &args);
    }
    cause
}

pub(super) fn checkpoint(f: &Fields<'_>) -> Option<Checkpoint> {
    let path = f.get("path").and_then(|item| item.inner_path());
    let every = f.get("every").and_then(|item| item.span());
    let signal = f.get("signal").and_then(|item| item.choice()).unwrap_or(Signal::Usr1);
    let grace = f.get("grace").and_then(|item| item.span()).unwrap_or(Checkpoint::DEFAULT_GRACE);
    Some(Checkpoint { path: path?, every, signal, grace })
}

pub(super) fn time_signal(f: &Fields<'_>) -> TimeSignal {
    let signal = f.get("signal").and_then(|item| item.choice()).unwrap_or(Signal::Usr1);
    let before = f.get("before").and_then(|item| item.span());
    TimeSignal { signal, before: before.unwrap_or(TimeSignal::DEFAULT_BEFORE) }
}

pub(super) fn service(f: &Fields<'_>) -> Option<Service> {
    let port = f.get("port").and_then(|item| item.whole());
    let health = f.get("health").and_then(|item| {
        let text = item.text()?;
        if text.starts_with('/') && !text.contains(char::is_whitespace) {
            return Some(text.to_owned());
        }
        item.fail(Code::BadHttpPath, &[("value", quote(text))]);
        None
    });
    let replicas = f.get("replicas").and_then(|item| item.section());
    let replicas = replicas.map(|f| self::replicas(&f)).unwrap_or_default();
    let port = u16::try_from(port?).expect("the table bounds a port to 16 bits");
    Some(Service { port, health, replicas })
}

fn replicas(f: &Fields<'_>) -> Replicas {
    let min = f.get("min").and_then(|item| item.whole()).unwrap_or(1);
    let max = f.get("max").and_then(|item| item.whole());
    let target = f.get("target").and_then(|item| item.section());
    let target = target.and_then(|f| f.get("p95")?.span()).map(|p95| Target { p95 });
    if let Some(max) = max.filter(|max| *max < min) {
        let args = [("min", min.to_string()), ("max", max.to_string())];
        f.fail("max", Code::ReplicasBackwards, &args);
    }
    Replicas { min, max: max.unwrap_or(min), target }
}

pub(super) fn network(f: &Fields<'_>) -> Option<Network> {
    let f = f.get("delay")?.section()?;
    let class = f.get("class").and_then(|item| item.choice());
    let from = f.get("from").and_then(|item| item.list(|item| item.name(Code::BadPlace)));
    let percentile = f.get("percentile").and_then(|item| item.whole());
    let percentile = percentile.map_or(DelayAsk::DEFAULT_PERCENTILE, |percentile| {
        u8::try_from(percentile).expect("the table bounds a percentile to 99")
    });
    let on_breach = f.get("on_breach").and_then(|item| item.choice()).unwrap_or(OnBreach::Warn);
    Some(Network { delay: DelayAsk { class: class?, from: from?, percentile, on_breach } })
}

pub(super) fn placement(f: &Fields<'_>) -> Placement {
    let words = |key| f.get(key).and_then(|item| item.list(Item::word)).unwrap_or_default();
    let providers = f.get("providers").and_then(|item| item.section());
    Placement {
        regions: words("regions"),
        domestic: f.get("domestic").and_then(|item| item.true_false()).unwrap_or(false),
        providers: providers.map(|f| self::providers(&f)).unwrap_or_default(),
        trust: f.get("trust").and_then(|item| item.choice()).unwrap_or(Trust::Listed),
        sites: words("sites"),
        features: words("features"),
    }
}

fn providers(f: &Fields<'_>) -> Providers {
    let read = |key| {
        f.get(key)
            .and_then(|item| item.list(|item| item.name(Code::BadProvider)))
            .unwrap_or_default()
    };
    let providers = Providers { allow: read("allow"), deny: read("deny") };
    if let Some(both) = providers.allow.iter().find(|one| providers.deny.contains(one)) {
        f.fail("deny", Code::AllowedAndDenied, &[("value", both.to_string())]);
    }
    providers
}

pub(super) fn market(f: &Fields<'_>) -> Market {
    let budget = f.get("budget").and_then(|item| item.section());
    let budget = budget.and_then(|f| {
        let amount = f.get("amount").and_then(|item| item.money());
        let per = f.get("per").and_then(|item| item.choice()).unwrap_or(BudgetPeriod::Job);
        let on_limit = f.get("on_limit").and_then(|item| item.choice()).unwrap_or(OnLimit::Stop);
        Some(Budget { amount: amount?, per, on_limit })
    });
    Market {
        mode: f.get("mode").and_then(|item| item.choice()).unwrap_or(MarketMode::OnDemand),
        max_price: f.get("max_price").and_then(|item| item.money()),
        max_unit_price: f.get("max_unit_price").and_then(|item| {
            let price: UnitPrice = item.name(Code::BadUnitPrice)?;
            item.positive(price.per_hour).then_some(price)
        }),
        budget,
        contract: f.get("contract").and_then(|item| item.word()),
        fallback: f.get("fallback").and_then(|item| item.choice()),
    }
}

pub(super) fn schedule(f: &Fields<'_>) -> Option<Schedule> {
    let cron = f.get("cron").and_then(|item| {
        let text = item.text()?;
        match crate::cron::Cron::parse(text) {
            Ok(_) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            Err(field) => {
                item.fail(Code::BadCron, &[("value", quote(text)), ("field", field.to_string())]);
                None
            }
        }
    });
    let timezone = match f.get("timezone") {
        None => Some("UTC".to_owned()),
        Some(item) => item.text().and_then(|text| {
            if is_timezone(text) {
                return Some(text.to_owned());
            }
            item.fail(Code::BadTimezone, &[("value", quote(text))]);
            None
        }),
    };
    let overlap = f.get("overlap").and_then(|item| item.choice()).unwrap_or(Overlap::Forbid);
    let catch_up = f.get("catch_up").and_then(|item| item.choice()).unwrap_or(CatchUp::Latest);
    let catch_up_within = f.get("catch_up_within").and_then(|item| item.span());
    Some(Schedule { cron: cron?, timezone: timezone?, overlap, catch_up, catch_up_within })
}

/// The form of a name in the IANA table. Whether it is in the table is known where the table is.
fn is_timezone(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-'))
    };
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.split('/').all(part)
}

pub(super) fn deadline(f: &Fields<'_>) -> Option<Deadline> {
    let (within, by) = (f.get("finish_within"), f.get("finish_by"));
    let kind = f.get("kind").and_then(|item| item.choice()).unwrap_or(DeadlineKind::Soft);
    let finish = match (within, by) {
        (Some(item), None) => item.span().map(Finish::Within),
        (None, Some(item)) => item.time().map(Finish::By),
        (Some(_), Some(_)) => {
            f.fail("finish_by", Code::OneFinish, &[]);
            None
        }
        (None, None) => {
            f.fail("finish_within", Code::OneFinish, &[]);
            None
        }
    };
    Some(Deadline { finish: finish?, kind })
}

pub(super) fn dependency(item: &Item<'_>) -> Option<Dependency> {
    let text = item.text()?;
    let dependency = text.parse().ok();
    if dependency.is_none() {
        let args = [("value", quote(text)), ("choices", After::WORDS.join(", "))];
        item.fail(Code::BadDependency, &args);
    }
    dependency
}

pub(super) fn notify(f: &Fields<'_>) -> Option<Notify> {
    let to = f.get("to").and_then(|item| {
        let text = item.text()?;
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .or_else(|| text.strip_prefix("mailto:").filter(|address| address.contains('@')));
        if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
            return Some(text.to_owned());
        }
        item.fail(Code::BadContact, &[("value", quote(text))]);
        None
    });
    let when = f.get("when").and_then(|item| item.list(Item::choice));
    let mut when = when.unwrap_or_else(|| vec![NotifyWhen::Succeeded, NotifyWhen::Failed]);
    when.sort_unstable();
    Some(Notify { to: to?, when })
}

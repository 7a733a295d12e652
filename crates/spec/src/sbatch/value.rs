//! The forms in which Slurm writes values: time limits, memory, counts, arrays, cards, and moments.
//! Each is read into numbers or refused; what is refused is said by the caller.
//!
//! Must not know which option a value belongs to, nor keys of the job file.

use std::collections::BTreeSet;

use dayan_units::{Span, Time};

use crate::limits::SPAN_MAX;
use crate::model::{Signal, TimeSignal};

/// Elements of an array that is written as a list without a common step. All of them travel in the
/// job's environment, which holds 32 KiB: eight digits and a comma each.
pub(super) const LISTED_MAX: usize = 2_000;
/// An element's number, as Slurm bounds it by default at most (`MaxArraySize` has 22 bits).
const ELEMENT_MAX: u32 = 4_000_000;

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take `+5`.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// What `--signal` says: `B:USR1@120`, `10`, `R:SIGTERM@60`. To whom it goes is not kept: it is those
/// who catch it, the script among them.
pub(super) struct SignalAsked {
    /// None of those that a task may be sent.
    pub signal: Option<Signal>,
    pub before_s: u32,
}

/// `[{R|B|RB}:]SIGNAL[@SECONDS]`.
pub(super) fn signal(text: &str) -> Option<SignalAsked> {
    let (whom, rest) = text.split_once(':').unwrap_or(("", text));
    if !whom.bytes().all(|b| b"RB".contains(&b.to_ascii_uppercase())) {
        return None;
    }
    let (name, before) = match rest.split_once('@') {
        Some((name, seconds)) => (name, u32::from(u16::try_from(number(seconds)?).ok()?)),
        None => (rest, u32::try_from(TimeSignal::DEFAULT_BEFORE.secs_ceil()).ok()?),
    };
    let name = name.trim().to_ascii_uppercase();
    let known = match (name.strip_prefix("SIG").unwrap_or(&name), number(&name)) {
        (_, Some(of)) => SIGNALS.iter().find(|(_, linux)| *linux == of).map(|(known, _)| *known),
        (word, None) if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            SIGNALS.iter().map(|(known, _)| *known).find(|known| &known.as_str()[3..] == word)
        }
        (_, None) => return None,
    };
    Some(SignalAsked { signal: known, before_s: before.max(1) })
}

/// Those that a task may be sent, with their numbers on Linux.
const SIGNALS: [(Signal, u64); 5] = [
    (Signal::Usr1, 10),
    (Signal::Usr2, 12),
    (Signal::Int, 2),
    (Signal::Hup, 1),
    (Signal::Term, 15),
];

/// A count, at least 1.
pub(super) fn count(text: &str) -> Option<u32> {
    number(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
}

/// Nodes: a count, or a range of which the least is taken.
pub(super) fn nodes(text: &str) -> Option<(u32, Option<u32>)> {
    let Some((least, most)) = text.split_once('-') else { return Some((count(text)?, None)) };
    let (least, most) = (count(least)?, count(most)?);
    (least <= most).then_some((least, Some(most).filter(|most| *most > least)))
}

/// So many tasks over so many nodes, as `SLURM_TASKS_PER_NODE` has it: `4(x2)`, `2,1`. The first have
/// one more where it does not come out even.
pub(super) fn per_node(tasks: u32, nodes: u32) -> String {
    let (each, more) = (tasks / nodes.max(1), tasks % nodes.max(1));
    let group = |count: u32, nodes: u32| match nodes {
        0 => None,
        1 => Some(count.to_string()),
        nodes => Some(format!("{count}(x{nodes})")),
    };
    let groups = [group(each.saturating_add(1), more), group(each, nodes.saturating_sub(more))];
    groups.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// A time limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Limit {
    Seconds(u64),
    /// `0`, `INFINITE` or `UNLIMITED`.
    None,
}

/// `MM`, `MM:SS`, `HH:MM:SS`, `D-HH`, `D-HH:MM`, `D-HH:MM:SS`.
pub(super) fn limit(text: &str) -> Option<Limit> {
    if ["infinite", "unlimited", "-1"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some(Limit::None);
    }
    let parts = |text: &str| text.split(':').map(number).collect::<Option<Vec<u64>>>();
    let (days, [hours, minutes, seconds]) = match text.split_once('-') {
        Some((days, rest)) => {
            let time = match parts(rest)?[..] {
                [h] => [h, 0, 0],
                [h, m] => [h, m, 0],
                [h, m, s] => [h, m, s],
                [..] => return None,
            };
            (number(days)?, time)
        }
        None => match parts(text)?[..] {
            [m] => (0, [0, m, 0]),
            [m, s] => (0, [0, m, s]),
            [h, m, s] => (0, [h, m, s]),
            [..] => return None,
        },
    };
    let hours = days.checked_mul(24)?.checked_add(hours)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    let seconds = minutes.checked_mul(60)?.checked_add(seconds)?;
    Some(if seconds == 0 { Limit::None } else { Limit::Seconds(seconds) })
}

/// Memory or disk in KiB: a number with `K`, `M`, `G` or `T`; megabytes of 2²⁰ bytes unless told.
pub(super) fn kibibytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match bare.as_bytes().last()? {
        b'k' => (&bare[..bare.len() - 1], 0),
        b'm' => (&bare[..bare.len() - 1], 10),
        b'g' => (&bare[..bare.len() - 1], 20),
        b't' => (&bare[..bare.len() - 1], 30),
        // `12b` is no size.
        _ if bare.len() < lower.len() => return None,
        _ => (bare, 10),
    };
    number(digits)?.checked_mul(1 << shift)
}

/// Cards: how many, and of which kind where that is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cards {
    pub(super) kind: Option<String>,
    pub(super) count: u32,
}

/// `2`, `a100:2` or `a100`.
pub(super) fn cards(text: &str) -> Option<Cards> {
    let kind = |text: &str| {
        let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        (plain && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)))
            .then(|| Some(text.to_owned()))
    };
    match text.split_once(':') {
        Some((name, number)) => Some(Cards { kind: kind(name)?, count: count(number)? }),
        None if text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(Cards { kind: None, count: count(text)? })
        }
        None => Some(Cards { kind: kind(text)?, count: 1 }),
    }
}

/// The elements of an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Elements {
    /// From, to, step.
    Range(u32, u32, u32),
    /// In rising order, without a common step.
    List(Vec<u32>),
}

/// An array: its elements, and how many may run at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Array {
    pub(super) elements: Elements,
    pub(super) max_parallel: Option<u32>,
}

/// `1-10`, `1-10:2`, `1,3,5`, `1-3,8`, each with `%N`.
pub(super) fn array(text: &str) -> Option<Array> {
    let (text, max_parallel) = match text.split_once('%') {
        Some((text, most)) => (text, Some(count(most)?)),
        None => (text, None),
    };
    let element =
        |text: &str| number(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= ELEMENT_MAX);
    let range = |part: &str| {
        let (ends, step) = match part.split_once(':') {
            Some((ends, step)) => (ends, count(step)?),
            None => (part, 1),
        };
        let (first, last) = match ends.split_once('-') {
            Some((first, last)) => (element(first)?, element(last)?),
            None => (element(ends)?, element(ends)?),
        };
        (first <= last).then_some((first, last, step))
    };
    let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
    if let [(first, last, step)] = ranges[..] {
        let last = last - (last - first) % step;
        return Some(Array { elements: Elements::Range(first, last, step), max_parallel });
    }
    let mut all = BTreeSet::new();
    for (first, last, step) in ranges {
        // The bound holds for what is listed, not for what is collected first: a range may be long.
        if u64::from((last - first) / step) > LISTED_MAX as u64 * 2 {
            return None;
        }
        all.extend((first..=last).step_by(step as usize));
        if all.len() > LISTED_MAX * 2 {
            return None;
        }
    }
    let all: Vec<u32> = all.into_iter().collect();
    let step = all.get(1).map_or(1, |second| second - all[0]);
    let even = all.windows(2).all(|pair| pair[1] - pair[0] == step);
    let elements = match (all.first(), all.last()) {
        (Some(first), Some(last)) if even => Elements::Range(*first, *last, step),
        (Some(_), Some(_)) if all.len() <= LISTED_MAX => Elements::List(all),
        _ => return None,
    };
    Some(Array { elements, max_parallel })
}

/// A moment, as `--begin` and `--deadline` take it, on a clock that is `offset_s` seconds ahead of
/// UTC: `now`, `now+1hour`, `16:00`, `2026-11-30`, `2026-11-30T08:00[:00]`, `11/30[/26]`,
/// `113026`, `tomorrow`, `midnight`, `noon`, `teatime`, with a date and a time in either order.
pub(super) fn moment(text: &str, now: Time, offset_s: i32) -> Option<Time> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_prefix("now") {
        Some(later) if !later.trim_start().starts_with('-') => now_and(now, later),
        Some(_) => None,
        None => day_and_clock(&lower, now, offset_s, Clock::Next),
    }
}

/// A moment that is looked back to: as [`moment`], but a time of day is today's, and `now-7days` is
/// one as well.
pub fn past(text: &str, now: Time, offset_s: i32) -> Option<Time> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_prefix("now") {
        Some(rest) => now_and(now, rest),
        None => day_and_clock(&lower, now, offset_s, Clock::Today),
    }
}

/// Which day a time of day without one belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// The day on which it comes next.
    Next,
    Today,
}

fn day_and_clock(lower: &str, now: Time, offset_s: i32, which: Clock) -> Option<Time> {
    let offset = Span::from_secs(i64::from(offset_s));
    let today = now.plus(offset).to_string().get(..10)?.to_owned();
    let (mut date, mut clock) = (None, None);
    let spaced = match lower.split_once('t') {
        // Of `2026-11-30t08:00`; `tomorrow` begins with the letter.
        Some((day, time))
            if !day.is_empty() && day.bytes().all(|b| b.is_ascii_digit() || b == b'-') =>
        {
            format!("{day} {time}")
        }
        Some(_) | None => lower.to_owned(),
    };
    let mut words = spaced.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let half = words.peek().copied().filter(|half| ["am", "pm"].contains(half));
        if let Some(time) = clock_of(word, half) {
            if half.is_some() {
                words.next();
            }
            if clock.replace(time).is_some() {
                return None;
            }
        } else {
            let day = match word {
                "today" => today.clone(),
                "tomorrow" => day_after(&today)?,
                other => date_of(other, &today)?,
            };
            if date.replace(day).is_some() {
                return None;
            }
        }
    }
    let found = |date: &str, clock: &str| {
        let local: Time = format!("{date}T{clock}Z").parse().ok()?;
        Some(local.minus(offset))
    };
    match (date, clock) {
        (Some(date), clock) => found(&date, &clock.unwrap_or_else(|| "00:00:00".to_owned())),
        // A time of day that has passed today is meant for tomorrow.
        (None, Some(clock)) => {
            let at = found(&today, &clock)?;
            if at > now || which == Clock::Today {
                Some(at)
            } else {
                found(&day_after(&today)?, &clock)
            }
        }
        (None, None) => None,
    }
}

fn now_and(now: Time, later: &str) -> Option<Time> {
    let later: String = later.split_whitespace().collect();
    if later.is_empty() {
        return Some(now);
    }
    let (back, later) = match later.strip_prefix('-') {
        Some(earlier) => (true, earlier),
        None => (false, later.strip_prefix('+')?),
    };
    let split = later.find(|c: char| !c.is_ascii_digit()).unwrap_or(later.len());
    let (amount, unit) = later.split_at(split);
    let unit = match unit {
        "" | "s" | "sec" | "second" | "seconds" => 1,
        "min" | "minute" | "minutes" => 60,
        "hour" | "hours" => 3_600,
        "day" | "days" => 86_400,
        "week" | "weeks" => 604_800,
        _ => return None,
    };
    let seconds = i64::try_from(number(amount)?).ok()?.checked_mul(unit)?;
    let most = SPAN_MAX.micros() / 1_000_000;
    let span = Span::from_secs(seconds);
    (seconds <= most).then(|| if back { now.minus(span) } else { now.plus(span) })
}

/// A time of day as `HH:MM:SS`.
fn clock_of(word: &str, half: Option<&str>) -> Option<String> {
    match word {
        "midnight" => return Some("00:00:00".to_owned()),
        "noon" => return Some("12:00:00".to_owned()),
        "elevenses" => return Some("11:00:00".to_owned()),
        "fika" => return Some("15:00:00".to_owned()),
        "teatime" => return Some("16:00:00".to_owned()),
        _ => {}
    }
    let attached = ["am", "pm"].into_iter().find(|half| word.ends_with(half));
    let digits = attached.map_or(word, |half| &word[..word.len() - half.len()]);
    let half = attached.or(half);
    let parts = digits.split(':').map(number).collect::<Option<Vec<u64>>>()?;
    let (hours, minutes, seconds) = match parts[..] {
        [h, m] => (h, m, 0),
        [h, m, s] => (h, m, s),
        [..] => return None,
    };
    let hours = match (half, hours) {
        (None, hours) => hours,
        (Some("am"), 12) => 0,
        (Some("am"), 1..=11) => hours,
        (Some(_), 12) => 12,
        (Some(_), 1..=11) => hours + 12,
        (Some(_), _) => return None,
    };
    (hours < 24 && minutes < 60 && seconds < 60)
        .then(|| format!("{hours:02}:{minutes:02}:{seconds:02}"))
}

/// A date as `YYYY-MM-DD`. Whether the month has the day is found out where the moment is read.
fn date_of(word: &str, today: &str) -> Option<String> {
    let two = |text: &str| number(text).filter(|n| text.len() <= 2 && *n <= 99);
    let this_year = number(&today[..4])?;
    let year = |text: &str| match text.len() {
        2 => number(text).map(|year| 2_000 + year),
        4 => number(text),
        _ => None,
    };
    let dashes: Vec<&str> = word.split('-').collect();
    let slashes: Vec<&str> = word.split('/').collect();
    let dots: Vec<&str> = word.split('.').collect();
    let (year, month, day) = match (&dashes[..], &slashes[..], &dots[..]) {
        ([y, m, d], _, _) if y.len() == 4 => (number(y)?, two(m)?, two(d)?),
        (_, [m, d], _) => (this_year, two(m)?, two(d)?),
        (_, [m, d, y], _) => (year(y)?, two(m)?, two(d)?),
        (_, _, [d, m, y]) => (year(y)?, two(m)?, two(d)?),
        _ if number(word).is_some() && (word.len() == 4 || word.len() == 6) => {
            let at = if word.len() == 6 { year(&word[4..])? } else { this_year };
            (at, two(&word[..2])?, two(&word[2..4])?)
        }
        _ => return None,
    };
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

fn day_after(date: &str) -> Option<String> {
    let midnight: Time = format!("{date}T00:00:00Z").parse().ok()?;
    midnight.plus(Span::from_secs(86_400)).to_string().get(..10).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let check = |text: &str, expect: Option<u64>| {
            let got = match limit(text) {
                Some(Limit::Seconds(seconds)) => Some(seconds),
                Some(Limit::None) => Some(0),
                None => None,
            };
            assert_eq!(got, expect, "{text}");
        };
        check("30", Some(1_800));
        check("1:30", Some(90));
        check("90:00", Some(5_400));
        check("2:00:00", Some(7_200));
        check("00:10:00", Some(600));
        check("1-0", Some(86_400));
        check("1-12", Some(129_600));
        check("0-1:30", Some(5_400));
        check("2-03:04:05", Some(183_845));
        for none in ["0", "0:00", "INFINITE", "unlimited", "UNLIMITED", "-1"] {
            check(none, Some(0));
        }
        for bad in ["", "x", "1h", "1:2:3:4", "1-", "-", "1-2:3:4:5", "+5", "1.5", "1: 2", "-5"] {
            check(bad, None);
        }
        check("18446744073709551615", None);
        check("999999999999999999999", None);
        check("184467440737095516-0", None);
    }

    #[test]
    fn signals() {
        let check = |text: &str, expect: Option<(Option<Signal>, u32)>| {
            let got = signal(text).map(|asked| (asked.signal, asked.before_s));
            assert_eq!(got, expect, "{text}");
        };
        check("B:USR1@120", Some((Some(Signal::Usr1), 120)));
        check("usr2", Some((Some(Signal::Usr2), 60)));
        check("SIGTERM@0", Some((Some(Signal::Term), 1)));
        check("10@65535", Some((Some(Signal::Usr1), 65_535)));
        check("RB:HUP@5", Some((Some(Signal::Hup), 5)));
        check("KILL", Some((None, 60)));
        check("9", Some((None, 60)));
        for bad in ["", "B:", "X:USR1", "USR1@", "USR1@x", "USR1@65536", "a b", "USR1@-1"] {
            check(bad, None);
        }
    }

    #[test]
    fn memory() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(kibibytes(text), expect, "{text}");
        check("4G", Some(4 << 20));
        check("4g", Some(4 << 20));
        check("4GB", Some(4 << 20));
        check("500", Some(500 << 10));
        check("500M", Some(500 << 10));
        check("64K", Some(64));
        check("2T", Some(2 << 30));
        check("0", Some(0));
        for bad in [
            "",
            "G",
            "4.5G",
            "-4G",
            "4X",
            "4 G",
            "12b",
            "99999999999999999999",
            "18446744073709551615T",
            "é",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn arrays() {
        let range = |text: &str, expect: (u32, u32, u32), most: Option<u32>| {
            let (first, last, step) = expect;
            let elements = Elements::Range(first, last, step);
            assert_eq!(array(text), Some(Array { elements, max_parallel: most }), "{text}");
        };
        range("1-10", (1, 10, 1), None);
        range("0-15:4", (0, 12, 4), None);
        range("1-10:2%3", (1, 9, 2), Some(3));
        range("7", (7, 7, 1), None);
        range("1,3,5", (1, 5, 2), None);
        range("5,3,1%2", (1, 5, 2), Some(2));
        range("1-3,4-6", (1, 6, 1), None);
        range("2,2", (2, 2, 1), None);
        let list = array("1,3,7-8").expect("a list").elements;
        assert_eq!(list, Elements::List(vec![1, 3, 7, 8]));
        for bad in [
            "",
            "-",
            "1-",
            "5-1",
            "1-5:0",
            "1-5%0",
            "%2",
            "1,,2",
            "a",
            "1-5%",
            "1-5%x",
            "0-4000001",
            "1-5-6",
            "1,0-3999999",
        ] {
            assert_eq!(array(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts_and_cards() {
        assert_eq!(nodes("2"), Some((2, None)));
        assert_eq!(nodes("2-4"), Some((2, Some(4))));
        assert_eq!(nodes("2-2"), Some((2, None)));
        for bad in ["", "0", "4-2", "2-", "-2", "x"] {
            assert_eq!(nodes(bad), None, "{bad}");
        }
        let check = |text: &str, expect: Option<(Option<&str>, u32)>| {
            let got = cards(text);
            let got = got.as_ref().map(|cards| (cards.kind.as_deref(), cards.count));
            assert_eq!(got, expect, "{text}");
        };
        check("2", Some((None, 2)));
        check("a100:2", Some((Some("a100"), 2)));
        check("a100", Some((Some("a100"), 1)));
        for bad in ["", "0", ":2", "a100:", "a100:0", "a100:x", "a b", "a:1:2"] {
            check(bad, None);
        }
    }

    #[test]
    fn moments() {
        // A Saturday, 08:30 in Shanghai.
        let now: Time = "2026-11-28T00:30:00Z".parse().expect("a time");
        let check = |text: &str, expect: Option<&str>| {
            let got = moment(text, now, 8 * 3_600).map(|at| at.to_string());
            assert_eq!(got.as_deref(), expect, "{text}");
        };
        check("now", Some("2026-11-28T00:30:00Z"));
        check("now+1hour", Some("2026-11-28T01:30:00Z"));
        check("now + 2 hours", Some("2026-11-28T02:30:00Z"));
        check("now+90", Some("2026-11-28T00:31:30Z"));
        check("now+30minutes", Some("2026-11-28T01:00:00Z"));
        check("now+1week", Some("2026-12-05T00:30:00Z"));
        check("16:00", Some("2026-11-28T08:00:00Z"));
        check("08:00", Some("2026-11-29T00:00:00Z"));
        check("4:00PM", Some("2026-11-28T08:00:00Z"));
        check("12:15 am", Some("2026-11-28T16:15:00Z"));
        check("tomorrow", Some("2026-11-28T16:00:00Z"));
        check("tomorrow 06:00", Some("2026-11-28T22:00:00Z"));
        check("06:00 tomorrow", Some("2026-11-28T22:00:00Z"));
        check("midnight", Some("2026-11-28T16:00:00Z"));
        check("noon", Some("2026-11-28T04:00:00Z"));
        check("2026-12-01", Some("2026-11-30T16:00:00Z"));
        check("2026-12-01T08:00", Some("2026-12-01T00:00:00Z"));
        check("2026-12-01T08:00:30", Some("2026-12-01T00:00:30Z"));
        check("12/01", Some("2026-11-30T16:00:00Z"));
        check("12/01/26", Some("2026-11-30T16:00:00Z"));
        check("120126", Some("2026-11-30T16:00:00Z"));
        check("1201 08:00", Some("2026-12-01T00:00:00Z"));
        check("01.12.26", Some("2026-11-30T16:00:00Z"));
        for bad in [
            "",
            "now-1hour",
            "now+",
            "now+1moon",
            "soon",
            "25:00",
            "8:60",
            "13:00pm",
            "02/30",
            "2026-13-01",
            "16:00 17:00",
            "today tomorrow",
            "now+99999999999",
            "é",
            "t",
            "1t",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn moments_before() {
        let now: Time = "2026-11-28T00:30:00Z".parse().expect("a time");
        let check = |text: &str, expect: Option<&str>| {
            let got = past(text, now, 8 * 3_600).map(|at| at.to_string());
            assert_eq!(got.as_deref(), expect, "{text}");
        };
        check("now", Some("2026-11-28T00:30:00Z"));
        check("now-1hour", Some("2026-11-27T23:30:00Z"));
        check("now-7days", Some("2026-11-21T00:30:00Z"));
        check("08:00", Some("2026-11-28T00:00:00Z"));
        check("today", Some("2026-11-27T16:00:00Z"));
        check("2026-11-01", Some("2026-10-31T16:00:00Z"));
        check("now-", None);
        check("long ago", None);
    }
}

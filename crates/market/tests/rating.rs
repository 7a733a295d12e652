//! What rating, settlement windows and quotes promise, on random terms and uses.

use dayan_market::{
    Due, OfferMode, Quote, QuoteItem, QuoteRefusal, QuoteState, QuoteTerms, RatingRefusal,
    Settlement, SpecDigest, Terms, due, rate_usage,
};
use dayan_units::{
    Bytes, Currency, JobId, Micro, MilliAccel, MilliCpu, OfferId, PoolId, ProjectId, QuoteId, Rate,
    Resources, Span, Time,
};
use proptest::prelude::*;

fn any_terms() -> impl Strategy<Value = Terms> {
    let price = || 0i64..20_000_000;
    (
        price(),
        price(),
        price(),
        0u32..2_000,
        0i64..7_200_000_000,
        proptest::option::of(0i64..1 << 36),
    )
        .prop_map(|(core, gb, card, permille, minimum, cap)| Terms {
            rate: Rate { core_hour: Micro(core), gb_hour: Micro(gb), card_hour: Micro(card) },
            permille,
            minimum: Span::from_micros(minimum),
            cap: cap.map(Micro),
        })
}

fn any_resources() -> impl Strategy<Value = Resources> {
    (0u64..200_000, 0u64..1 << 41, 0u64..16_000).prop_map(|(cpu, memory, accel)| Resources {
        cpu: MilliCpu(cpu),
        memory: Bytes(memory),
        accel: MilliAccel(accel),
        ..Resources::ZERO
    })
}

/// Up to 30 days, in any step.
fn any_span() -> impl Strategy<Value = Span> {
    prop_oneof![0i64..10, 0i64..4_000_000_000, 0i64..2_592_000_000_000].prop_map(Span::from_micros)
}

#[test]
fn a_line_says_what_was_used_and_what_is_billed() {
    let terms = Terms {
        rate: Rate { core_hour: Micro(100_000), ..Rate::default() },
        permille: 800,
        minimum: Span::from_secs(60),
        cap: Some(Micro(100_000)),
    };
    let cores = Resources { cpu: MilliCpu(1_500), ..Resources::ZERO };
    let check = |secs, core_seconds_micro, billed, list, uncapped, amount| {
        let line = rate_usage(&terms, &cores, Span::from_secs(secs)).expect("small");
        assert_eq!(line.quantity.core_seconds_micro, core_seconds_micro, "{secs}");
        assert_eq!(line.billed_span, Span::from_secs(billed), "{secs}");
        assert_eq!(
            (line.list, line.uncapped, line.amount),
            (Micro(list), Micro(uncapped), Micro(amount)),
            "{secs}"
        );
    };
    check(0, 0, 0, 0, 0, 0);
    check(1, 1_500_000, 60, 2_500, 2_000, 2_000);
    check(3_600, 5_400_000_000, 3_600, 150_000, 120_000, 100_000);
    let negative = rate_usage(&terms, &cores, Span::from_secs(-1));
    assert_eq!(negative, Err(RatingRefusal::NegativeTime));
    let endless = rate_usage(&Terms { cap: None, ..terms }, &cores, Span::MAX);
    assert_eq!(endless.map(|line| line.amount), Ok(Micro(307_445_734_561_826)));
    let all = Resources { cpu: MilliCpu(u64::MAX), ..Resources::ZERO };
    assert_eq!(rate_usage(&terms, &all, Span::MAX), Err(RatingRefusal::TooMuch));
}

proptest! {
    #[test]
    fn a_line_is_the_exact_price_rounded_once(
        terms in any_terms(), resources in any_resources(), span in any_span(),
    ) {
        let line = rate_usage(&terms, &resources, span).expect("small");
        // The exact price as a fraction, by another way than the rate's: per byte, per
        // thousandth, per microsecond.
        let hourly = i128::from(terms.rate.core_hour.0) * i128::from(resources.cpu.0) * 1_000_000
            + i128::from(terms.rate.gb_hour.0) * i128::from(resources.memory.0)
            + i128::from(terms.rate.card_hour.0) * i128::from(resources.accel.0) * 1_000_000;
        let exact = hourly * i128::from(line.billed_span.micros()) * i128::from(terms.permille);
        let base = 1_000_000_000i128 * 3_600_000_000 * 1_000;
        let off = exact - i128::from(line.uncapped.0) * base;
        prop_assert!(off.abs() * 2 <= base, "off by {off} of {base}");
        prop_assert_eq!(line.amount, terms.cap.map_or(line.uncapped, |cap| cap.min(line.uncapped)));
    }

    #[test]
    fn more_time_never_costs_less(
        terms in any_terms(), resources in any_resources(), one in any_span(), other in any_span(),
    ) {
        let cost = |span| terms.price(&resources, span).expect("small");
        prop_assert!(cost(one.min(other)) <= cost(one.max(other)));
    }

    #[test]
    fn windows_add_up_to_the_whole_whatever_is_repeated_or_left_out(
        terms in any_terms(), resources in any_resources(),
        mut ends in proptest::collection::vec(any_span(), 1..30),
    ) {
        ends.sort_unstable();
        let mut captured = Micro::ZERO;
        for end in &ends {
            match due(&terms, &resources, *end, captured).expect("small") {
                Due::Nothing => {}
                Due::Capture(more) => {
                    prop_assert!(more > Micro::ZERO);
                    captured = captured.checked_add(more).expect("small");
                }
                Due::Refund(_) => prop_assert!(false, "time only grew"),
            }
            prop_assert_eq!(due(&terms, &resources, *end, captured), Ok(Due::Nothing));
        }
        let whole = rate_usage(&terms, &resources, *ends.last().expect("one")).expect("small");
        prop_assert_eq!(captured, whole.amount);
    }

    #[test]
    fn time_that_turns_out_shorter_is_paid_back(
        terms in any_terms(), resources in any_resources(), one in any_span(), other in any_span(),
    ) {
        let (short, long) = (one.min(other), one.max(other));
        let before = terms.price(&resources, long).expect("small");
        let after = match due(&terms, &resources, short, before).expect("small") {
            Due::Nothing => before,
            Due::Refund(back) => Micro(before.0 - back.0),
            Due::Capture(_) => return Err(TestCaseError::fail("captured for less time")),
        };
        prop_assert_eq!(after, terms.price(&resources, short).expect("small"));
    }

    /// A lease driven only by what `next` says, with the steps a little late: every capture finds
    /// enough held, at the end all is captured and no more was ever held than the limit costs.
    #[test]
    fn a_lease_settled_as_told_always_has_enough_held(
        terms in any_terms(), resources in any_resources(),
        window_s in 2i64..7_200, lead_permille in 0i64..1_000, limit_s in 1i64..200_000,
        ran_permille in 0i64..=1_000, late_permille in 0i64..1_000,
    ) {
        let window = Span::from_secs(window_s);
        let lead = Span::from_micros(window.micros() * lead_permille / 1_000);
        let settlement = Settlement::new(window, lead).expect("lead under window");
        let limit = Span::from_secs(limit_s);
        let start = Time::from_micros(1_000_000);
        let end = start.plus(Span::from_micros(limit.micros() * ran_permille / 1_000));
        // Late by less than the lead, as that is what the lead is for.
        let late = Span::from_micros(lead.micros() * late_permille / 1_000);

        let mut held = settlement.first_hold(&terms, &resources, limit).expect("small");
        let mut captured = Micro::ZERO;
        let mut now = start;
        let mut steps = 0;
        loop {
            let next = settlement.next(start, now, limit);
            let wake = next.prolong_at.map_or(next.capture_at, |at| at.min(next.capture_at));
            if wake >= end {
                break;
            }
            prop_assert!(wake > now, "{wake} after {now}");
            let is_prolongation = next.prolong_at == Some(wake);
            now = if is_prolongation { wake.plus(late).min(end) } else { wake };
            let elapsed = now.since(start);
            let more = settlement
                .prolongation(&terms, &resources, elapsed, limit, held)
                .expect("small");
            held = held.checked_add(more).expect("small");
            let used = due(&terms, &resources, elapsed, captured).expect("small");
            if let Due::Capture(more) = used {
                captured = captured.checked_add(more).expect("small");
            }
            prop_assert!(captured <= held, "{captured} of {held} at {elapsed}");
            steps += 1;
            prop_assert!(steps < 300_000, "the steps do not end");
        }
        let whole = terms.price(&resources, end.since(start)).expect("small");
        prop_assert!(whole <= held, "{whole} of {held}");
        prop_assert!(held <= terms.price(&resources, limit).expect("small"));
    }

    #[test]
    fn nothing_costs_more_than_the_quote_says(
        terms in any_terms(), resources in any_resources(), limit in any_span(), tasks in 1u32..500,
        runs in proptest::collection::vec(any_span(), 1..6),
    ) {
        let quote = quote(&[item(terms, resources, limit, tasks)]);
        let line = quote.line(PoolId::from_bits(1)).expect("quoted");
        prop_assert_eq!(quote.total, Micro(line.price_each.0 * i64::from(tasks)));
        prop_assert_eq!(line.price_each, terms.price(&resources, limit).expect("small"));
        let mut billed = Micro::ZERO;
        for run in runs {
            let quoted = Terms::quoted(line, billed);
            let amount = quoted.price(&line.resources, run).expect("small");
            let listed = Terms { cap: None, ..terms }.price(&resources, run).expect("small");
            prop_assert!(amount <= listed);
            billed = billed.checked_add(amount).expect("small");
            prop_assert!(billed <= line.price_each);
        }
    }

    #[test]
    fn each_field_is_signed(
        terms in any_terms(), resources in any_resources(), limit in any_span(), tasks in 1u32..9,
        which in 0usize..15, by in 1i64..1 << 20,
    ) {
        let whole = quote(&[item(terms, resources, limit, tasks)]);
        let mut other = whole.clone();
        let step = by.unsigned_abs();
        let line = &mut other.lines[0];
        match which {
            0 => line.pool = PoolId::from_bits(line.pool.bits() + u128::from(step)),
            1 => line.offer = OfferId::from_bits(line.offer.bits() + u128::from(step)),
            2 => line.rate.gb_hour.0 += by,
            3 => line.permille += 1,
            4 => line.minimum = line.minimum.plus(Span::from_micros(by)),
            5 => line.resources.disk.0 += step,
            6 => line.time_limit = line.time_limit.plus(Span::from_micros(by)),
            7 => line.tasks += 1,
            8 => line.price_each.0 += by,
            9 => line.price.0 += by,
            10 => other.total.0 += by,
            11 => other.expires_at = other.expires_at.plus(Span::from_micros(by)),
            12 => other.spec_digest.0[31] ^= 1,
            13 => line.mode = Some(OfferMode::Spot),
            _ => other.lines.push(whole.lines[0]),
        }
        prop_assert_ne!(whole.canonical_bytes(), other.canonical_bytes());
        let text = serde_json::to_string(&whole).expect("text");
        let back: Quote = serde_json::from_str(&text).expect("a quote");
        prop_assert_eq!(back.canonical_bytes(), whole.canonical_bytes());
    }
}

fn item(terms: Terms, resources: Resources, time_limit: Span, tasks: u32) -> QuoteItem {
    let (pool, offer) = (PoolId::from_bits(1), OfferId::from_bits(2));
    let mode = OfferMode::OnDemand;
    QuoteItem { pool, offer, terms, mode, resources, time_limit, tasks }
}

fn quote(items: &[QuoteItem]) -> Quote {
    let head = QuoteTerms {
        id: QuoteId::from_bits(7),
        project: ProjectId::from_bits(8),
        spec_digest: SpecDigest([9; 32]),
        currency: Currency::CNY,
        issued_at: Time::from_micros(100),
        expires_at: Time::from_micros(200),
    };
    Quote::issue(head, items).expect("small")
}

#[test]
fn a_quote_is_for_one_job_of_one_project_for_a_while() {
    let quote = quote(&[]);
    let check = |state, digest: u8, project, now, expect: Result<(), QuoteRefusal>| {
        let digest = SpecDigest([digest; 32]);
        let answer =
            quote.bind(state, &digest, ProjectId::from_bits(project), Time::from_micros(now));
        assert_eq!(answer, expect);
    };
    let used = QuoteState::Used(JobId::from_bits(5));
    check(QuoteState::Open, 9, 8, 199, Ok(()));
    check(QuoteState::Open, 9, 8, 200, Err(QuoteRefusal::Expired(Time::from_micros(200))));
    check(used, 9, 8, 200, Err(QuoteRefusal::Used(JobId::from_bits(5))));
    check(used, 1, 8, 150, Err(QuoteRefusal::OtherJob));
    check(used, 1, 1, 150, Err(QuoteRefusal::OtherProject));
}

#[test]
fn the_signed_bytes_do_not_change_between_releases() {
    let terms = Terms {
        rate: Rate { core_hour: Micro(1), gb_hour: Micro(2), card_hour: Micro(3) },
        permille: 1_000,
        minimum: Span::from_micros(4),
        cap: None,
    };
    let new = quote(&[item(terms, Resources::ZERO, Span::from_micros(5), 6)]);
    let mut old = new.clone();
    old.lines[0].mode = None;
    let bytes = old.canonical_bytes();
    assert_eq!(&bytes[..14], b"dayan quote 1\n");
    let line = &bytes[14 + 16 + 16 + 32 + 8..];
    let expect: [&[u8]; 6] = [
        &1u128.to_be_bytes(),
        &2u128.to_be_bytes(),
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3],
        &1_000u32.to_be_bytes(),
        &4u64.to_be_bytes(),
        &[0; 32],
    ];
    assert_eq!(&line[..32 + 24 + 4 + 8 + 32], expect.concat());
    assert_eq!(bytes.len(), 14 + 64 + 8 + 128 + 8 + 3 + 16);
    assert_eq!(&bytes[bytes.len() - 19..bytes.len() - 16], b"CNY");
    // The same with a byte after each line that says as what it was sold.
    let (says, end) = (new.canonical_bytes(), 14 + 64 + 8 + 128);
    assert_eq!(&says[..14], b"dayan quote 2\n");
    assert_eq!([&says[14..end], &says[end + 1..]].concat(), bytes[14..]);
    assert_eq!(says[end], 1);
    let mut spot = new;
    spot.lines[0].mode = Some(OfferMode::Spot);
    assert_eq!(spot.canonical_bytes()[end], 2);
}

#[test]
fn quotes_of_before_lines_said_as_what_they_were_sold_are_read_and_signed_as_they_were() {
    let terms = Terms { rate: Rate::default(), permille: 1_000, minimum: Span::ZERO, cap: None };
    let mut old = quote(&[item(terms, Resources::ZERO, Span::from_micros(5), 6)]);
    old.lines[0].mode = None;
    let text = serde_json::to_string(&old).expect("text");
    assert!(!text.contains("mode"), "{text}");
    let read: Quote = serde_json::from_str(&text).expect("a quote");
    assert_eq!(read, old);
    assert_eq!(read.canonical_bytes(), old.canonical_bytes());
}

#[test]
fn the_usual_rhythm() {
    let settlement = Settlement::default();
    let hours = |n: i64| Span::from_secs(3_600 * n);
    let start = Time::EPOCH;
    let at = |secs: i64| Time::from_micros(secs * 1_000_000);
    let check = |now: i64, limit, capture: i64, prolong: Option<i64>, reach| {
        let next = settlement.next(start, at(now), limit);
        assert_eq!((next.capture_at, next.prolong_at), (at(capture), prolong.map(at)), "{now}");
        assert_eq!(settlement.reach(Span::from_secs(now), limit), reach, "{now}");
    };
    check(0, hours(3), 3_600, Some(3_300), hours(1));
    check(3_299, hours(3), 3_600, Some(3_300), hours(1));
    check(3_300, hours(3), 3_600, Some(6_900), hours(2));
    check(3_600, hours(3), 7_200, Some(6_900), hours(2));
    check(6_900, hours(3), 7_200, None, hours(3));
    check(10_799, hours(3), 10_800, None, hours(3));
    check(0, Span::from_secs(90), 90, None, Span::from_secs(90));
    assert_eq!(settlement.next(start, at(10_800), hours(3)).capture_at, Time::NEVER);
    assert!(Settlement::new(hours(1), hours(1)).is_err());
    assert!(Settlement::new(hours(1), Span::from_secs(-1)).is_err());
}

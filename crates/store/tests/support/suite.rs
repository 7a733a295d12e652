//! What every engine must do. Each case gets a place of its own kind and uses the public API.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use dayan_store::{
    Cursor, Damage, Fault, FindingFilter, JobFilter, LineFilter, Location, OpenMode, Page, Paging,
    Row, SiteCountRow, Store, SumBy,
};
use dayan_units::Micro;

pub use super::logs::*;
use super::*;

/// Calls `$run!(name)` for every case.
#[macro_export]
macro_rules! for_each_case {
    ($run:ident) => {
        $run!(an_empty_store_is_sound);
        $run!(batches_chain_and_survive_reopening);
        $run!(every_row_comes_back_as_it_went);
        $run!(repeats_do_what_each_table_promises);
        $run!(the_last_row_of_a_key_in_a_batch_counts);
        $run!(a_failed_batch_leaves_nothing_and_the_store_usable);
        $run!(what_cannot_be_stored_is_named);
        $run!(an_old_term_is_refused);
        $run!(a_journal_that_moved_is_noticed);
        $run!(pages_join_to_the_whole_list);
        $run!(filters_agree_with_a_naive_model);
        $run!(sums_agree_with_a_naive_model);
        $run!(streams_see_everything_and_can_be_left);
        $run!(a_cursor_of_another_list_is_refused);
        $run!(damage_at_the_end_is_found_at_opening);
        $run!(damage_anywhere_is_found_by_verification);
        $run!(replay_goes_on_from_anywhere);
        $run!(large_batches_and_payloads);
        $run!(a_newer_schema_is_refused_untouched);
        $run!(an_older_schema_is_brought_up_to_date);
        $run!(reading_only_changes_nothing);
        $run!(snapshots_serve_the_newest_sound_one);
        $run!(a_backup_is_the_store);
        $run!(readers_work_from_many_threads);
        $run!(logs_are_found_by_offset_and_whole_or_not_at_all);
        $run!(old_logs_make_room_attempt_by_attempt);
    };
}

pub fn an_empty_store_is_sound(place: &dyn Place) {
    let location = place.fresh();
    let store = open(&location);
    assert_eq!((store.head().seq, store.head().term), (0, 0));
    assert_eq!(store.verify(1).unwrap().rows, 0);
    assert_eq!(store.journal_from(1, 10).unwrap(), Vec::new());
    assert_eq!(store.reader().jobs(&JobFilter::default()).unwrap().rows, Vec::new());
    assert_eq!(store.snapshots().latest().unwrap(), None);
}

pub fn batches_chain_and_survive_reopening(place: &dyn Place) {
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    assert_eq!(term, 1);
    let mut hashes = Vec::new();
    for n in 1..=20u32 {
        let committed = store.commit(&batch(term, format!("[{n}]"), vec![job(n).into()])).unwrap();
        assert_eq!(committed.seq, u64::from(n));
        hashes.push(committed.hash);
    }
    let head = store.head().clone();
    assert_eq!((head.seq, head.hash), (20, hashes[19]));
    drop(store);

    let store = open(&location);
    assert_eq!(store.head(), &head);
    assert_eq!((head.holder.as_str(), head.taken_at), ("server-1", time(0)));
    let rows = store.journal_from(6, 5).unwrap();
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [6, 7, 8, 9, 10]);
    for row in &rows {
        let at = usize::try_from(row.seq).unwrap();
        assert_eq!(row.payload, format!("[{at}]").into_bytes());
        assert_eq!((row.term, row.at, row.prev), (1, time(1), hashes[at - 2]));
        assert_eq!((row.hash, row.computed_hash()), (hashes[at - 1], hashes[at - 1]));
    }
    let report = store.verify(1).unwrap();
    assert_eq!((report.rows, report.payload_bytes, report.head), (20, 9 * 3 + 11 * 4, head));
    assert_eq!(store.verify(15).unwrap().rows, 6);
}

fn one_of_each() -> Vec<Row> {
    vec![
        job(1).into(),
        attempt(1, 0, 1).into(),
        site_count(1, 0, 1).into(),
        transfer(5).into(),
        account(1).into(),
        line(1).into(),
        invoice(1).into(),
        request(1).into(),
        finding(3).into(),
    ]
}

pub fn every_row_comes_back_as_it_went(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    store.commit(&batch(term, "[]", one_of_each())).unwrap();
    let reader = store.reader();
    let page = Paging::default();
    assert_eq!(reader.job(job_id(1)).unwrap(), Some(job(1)));
    assert_eq!(reader.job(job_id(2)).unwrap(), None);
    assert_eq!(reader.attempt(attempt_id(1, 0, 1)).unwrap(), Some(attempt(1, 0, 1)));
    assert_eq!(reader.attempts(job_id(1), &page).unwrap().rows, [attempt(1, 0, 1)]);
    assert_eq!(reader.site_counts(job_id(1), (0, 0)).unwrap(), [site_count(1, 0, 1)]);
    assert_eq!(reader.site_counts(job_id(1), (1, 9)).unwrap(), []);
    let asked = [attempt_id(1, 0, 1), attempt_id(1, 0, 2), attempt_id(2, 0, 1)];
    assert_eq!(reader.site_counted(&asked).unwrap(), [asked[0]].into());
    assert_eq!(reader.transfer(transfer_id(5)).unwrap(), Some(transfer(5)));
    assert_eq!(reader.accounts(&page).unwrap().rows, [account(1)]);
    assert_eq!(reader.lines(&LineFilter::default()).unwrap().rows, [line(1)]);
    assert_eq!(reader.invoice(invoice(1).id).unwrap(), Some(invoice(1)));
    assert_eq!(reader.invoices(Some(org(1)), &page).unwrap().rows, [invoice(1)]);
    assert_eq!(reader.request(&request(1).key).unwrap(), Some(request(1)));
    assert_eq!(reader.request("no such key").unwrap(), None);
    assert_eq!(reader.findings(&FindingFilter::default()).unwrap().rows, [finding(3)]);
}

pub fn repeats_do_what_each_table_promises(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    store.commit(&batch(term, "[]", one_of_each())).unwrap();
    let reader = store.reader();

    let mut later = JobRow { state: "succeeded".into(), ended_at: Some(time(9)), ..job(1) };
    later.doc = None;
    later.name = "other".into();
    let mut ended = AttemptRow { exit_code: Some(-1), node: Some("n1".into()), ..attempt(1, 0, 1) };
    ended.doc = Some("{\"end\":1}".into());
    let paid = InvoiceRow { state: "paid".into(), doc: None, ..invoice(1) };
    let renamed = AccountRow { label: "new".into(), floor: Some(Micro(-5)), ..account(1) };
    let mut asked = request(1);
    asked.outcome = "{}".into();
    let mut found = finding(3);
    found.code = "other".into();
    let other_count = SiteCountRow { doc: "{}".into(), ..site_count(1, 0, 1) };
    store
        .commit(&batch(
            term,
            "[]",
            vec![
                later.clone().into(),
                ended.clone().into(),
                paid.clone().into(),
                renamed.clone().into(),
                asked.into(),
                found.into(),
                other_count.into(),
            ],
        ))
        .unwrap();

    // Replaced, but for what is fixed; documents kept where the new row brings none.
    let expected = JobRow { name: job(1).name, doc: job(1).doc, ..later };
    assert_eq!(reader.job(job_id(1)).unwrap(), Some(expected));
    assert_eq!(reader.attempt(ended.id).unwrap(), Some(ended));
    assert_eq!(reader.invoice(paid.id).unwrap(), Some(InvoiceRow { doc: invoice(1).doc, ..paid }));
    assert_eq!(reader.accounts(&Paging::default()).unwrap().rows, [renamed]);
    // The first stays.
    assert_eq!(reader.site_counts(job_id(1), (0, 9)).unwrap(), [site_count(1, 0, 1)]);
    assert_eq!(reader.request(&request(1).key).unwrap(), Some(request(1)));
    assert_eq!(reader.findings(&FindingFilter::default()).unwrap().rows, [finding(3)]);

    // Facts of money are written once.
    for row in [Row::from(transfer(5)), Row::from(line(1))] {
        let fault = store.commit(&batch(term, "[]", vec![row])).expect_err("written twice");
        assert!(matches!(fault, Fault::Commit { seq: 3, .. }), "{fault:?}");
        assert!(!fault.is_transient());
        store.recover().unwrap();
    }
}

pub fn the_last_row_of_a_key_in_a_batch_counts(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    let mut rows = Vec::new();
    for step in 0..100u32 {
        let doc = (step == 40).then(|| "{\"step\":40}".to_owned());
        rows.push(Row::from(JobRow { tasks_running: step, doc, ..job(1) }));
        rows.push(job(2 + step).into());
        rows.push(AttemptRow { exit_code: i32::try_from(step).ok(), ..attempt(1, 0, 1) }.into());
    }
    store.commit(&batch(term, "[]", rows)).unwrap();
    let reader = store.reader();
    let expected = JobRow { tasks_running: 99, doc: Some("{\"step\":40}".into()), ..job(1) };
    assert_eq!(reader.job(job_id(1)).unwrap(), Some(expected));
    assert_eq!(reader.attempt(attempt_id(1, 0, 1)).unwrap().unwrap().exit_code, Some(99));
    let all = JobFilter { page: limit(1_000), ..JobFilter::default() };
    assert_eq!(reader.jobs(&all).unwrap().rows.len(), 101);
}

fn limit(limit: u32) -> Paging {
    Paging { limit, after: None }
}

pub fn a_failed_batch_leaves_nothing_and_the_store_usable(place: &dyn Place) {
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    store.commit(&batch(term, "[1]", vec![transfer(1).into()])).unwrap();
    let head = store.head().clone();

    let rows = vec![job(1).into(), transfer(2).into(), transfer(1).into(), line(1).into()];
    let fault = store.commit(&batch(term, "[2]", rows)).expect_err("transfer 1 is there already");
    assert!(matches!(fault, Fault::Commit { seq: 2, .. }), "{fault:?}");
    let fault = store.commit(&batch(term, "[3]", vec![])).expect_err("not read back yet");
    assert!(matches!(fault, Fault::Unrecovered), "{fault:?}");
    assert_eq!(store.recover().unwrap(), &head);

    let reader = store.reader();
    assert_eq!(reader.job(job_id(1)).unwrap(), None);
    assert_eq!(reader.transfer(transfer_id(2)).unwrap(), None);
    assert_eq!(reader.journal_from(2, 10).unwrap(), Vec::new());
    assert_eq!(store.commit(&batch(term, "[4]", vec![job(1).into()])).unwrap().seq, 2);
    assert_eq!(reader.job(job_id(1)).unwrap(), Some(job(1)));
    assert_eq!(store.verify(1).unwrap().rows, 2);
}

pub fn what_cannot_be_stored_is_named(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    let cases = [(Row::from(JobRow { name: "a\0b".into(), ..job(1) }), "jobs", "name")];
    for (row, table_of, column_of) in cases {
        let fault = store.commit(&batch(term, "[]", vec![row])).expect_err("cannot be stored");
        let Fault::Unstorable { table, column, .. } = fault else { panic!("{fault:?}") };
        assert_eq!((table, column), (table_of, column_of));
        assert_eq!(store.recover().unwrap().seq, 0);
    }
}

pub fn an_old_term_is_refused(place: &dyn Place) {
    let location = place.fresh();
    let (mut store, first) = lead(&location);
    store.commit(&batch(first, "[]", vec![])).unwrap();
    // Another server takes the lead behind this one's back.
    place.tamper(&location, "UPDATE head SET term = term + 1, holder = 'server-2'");
    let fault = store.commit(&batch(first, "[]", vec![job(1).into()])).expect_err("an old term");
    let Fault::TermLost { mine, current, holder } = &fault else { panic!("{fault:?}") };
    assert_eq!((*mine, *current, holder.as_str()), (1, 2, "server-2"));
    assert!(!fault.is_transient());
    assert_eq!(store.reader().job(job_id(1)).unwrap(), None);

    store.recover().unwrap();
    let again = store.take_term("server-1", time(5)).unwrap();
    assert_eq!(again, 3);
    assert_eq!(store.commit(&batch(again, "[]", vec![job(1).into()])).unwrap().seq, 2);
}

pub fn a_journal_that_moved_is_noticed(place: &dyn Place) {
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    store.commit(&batch(term, "[1]", vec![])).unwrap();
    store.commit(&batch(term, "[2]", vec![])).unwrap();
    place.tamper(
        &location,
        "DELETE FROM journal WHERE seq = 2;
         UPDATE head SET seq = 1, hash = (SELECT hash FROM journal WHERE seq = 1)",
    );
    let fault = store.commit(&batch(term, "[3]", vec![])).expect_err("row 2 is gone");
    assert!(matches!(fault, Fault::HeadMoved { expected: 2, found: 1 }), "{fault:?}");
    assert_eq!(store.recover().unwrap().seq, 1);
}

/// All rows of a list, page by page; each page is as long as asked and the pages do not repeat.
fn walk<T>(limit: u32, mut get: impl FnMut(&Paging) -> Result<Page<T>, Fault>) -> Vec<T> {
    let mut all = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = get(&Paging { limit, after }).unwrap();
        assert!(page.rows.len() <= limit as usize);
        all.extend(page.rows);
        let Some(next) = page.next else { return all };
        // As a client would: through its written form.
        after = Some(next.to_string().parse().unwrap());
    }
}

fn fill(store: &mut Store, term: u64, n: u32) {
    let mut rows = Vec::new();
    for n in 0..n {
        rows.extend([Row::from(job(n)), transfer(n).into(), line(n).into()]);
        rows.extend([Row::from(finding(n)), invoice(n).into(), account(n).into()]);
        rows.push(attempt(7, n / 3, n % 3).into());
    }
    store.commit(&batch(term, "[]", rows)).unwrap();
}

pub fn pages_join_to_the_whole_list(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    fill(&mut store, term, 25);
    let reader = store.reader();
    for limit in [1, 4, 25, 1_000] {
        let jobs = walk(limit, |page| {
            reader.jobs(&JobFilter { page: page.clone(), ..JobFilter::default() })
        });
        assert_eq!(jobs, (0..25).rev().map(job).collect::<Vec<_>>());
        let lines = walk(limit, |page| {
            reader.lines(&LineFilter { page: page.clone(), ..LineFilter::default() })
        });
        assert_eq!(lines, (0..25).map(line).collect::<Vec<_>>());
        let transfers = walk(limit, |page| reader.transfers(page));
        assert_eq!(transfers, (0..25).map(transfer).collect::<Vec<_>>());
        let mut findings: Vec<_> = (0..25).map(finding).collect();
        findings.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        let found = walk(limit, |page| {
            reader.findings(&FindingFilter { page: page.clone(), ..FindingFilter::default() })
        });
        assert_eq!(found, findings);
        let attempts = walk(limit, |page| reader.attempts(job_id(7), page));
        assert_eq!(attempts, (0..25).map(|n| attempt(7, n / 3, n % 3)).collect::<Vec<_>>());
        let invoices = walk(limit, |page| reader.invoices(None, page));
        assert_eq!(invoices, (0..25).rev().map(invoice).collect::<Vec<_>>());
        let mut accounts: Vec<_> = (0..25).map(account).collect();
        accounts.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(walk(limit, |page| reader.accounts(page)), accounts);
    }
}

pub fn filters_agree_with_a_naive_model(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    fill(&mut store, term, 30);
    let reader = store.reader();
    let options = |some: u32| (0..=some).map(|n| n.checked_sub(1));
    for p in options(3) {
        for o in options(2) {
            for states in [vec![], vec!["queued".to_owned()], vec!["running".into(), "x".into()]] {
                let filter = JobFilter {
                    project: p.map(project),
                    org: o.map(org),
                    ids: (o == Some(0)).then(|| (job_id(3), job_id(17))),
                    states: states.clone(),
                    name: (o == Some(1)).then(|| "shot-3".to_owned()),
                    page: limit(1_000),
                };
                let expected: Vec<_> = (0..30)
                    .rev()
                    .map(job)
                    .filter(|row| p.is_none_or(|p| row.project == project(p)))
                    .filter(|row| o.is_none_or(|o| row.org == org(o)))
                    .filter(|row| filter.ids.is_none_or(|(a, b)| (a..=b).contains(&row.id)))
                    .filter(|row| states.is_empty() || states.contains(&row.state))
                    .filter(|row| filter.name.as_ref().is_none_or(|name| &row.name == name))
                    .collect();
                assert_eq!(reader.jobs(&filter).unwrap().rows, expected, "{filter:?}");
            }
            let filter = LineFilter {
                org: o.map(org),
                project: p.map(project),
                provider: p.filter(|p| *p == 2).map(provider),
                period: o.map(|o| format!("2026-{:02}", o + 1)),
                job: (p == Some(1)).then(|| job_id(2)),
                page: limit(1_000),
            };
            let expected: Vec<_> = (0..30)
                .map(line)
                .filter(|row| filter.org.is_none_or(|org| row.org == org))
                .filter(|row| filter.project.is_none_or(|project| row.project == project))
                .filter(|row| filter.provider.is_none_or(|provider| row.provider == provider))
                .filter(|row| filter.period.as_ref().is_none_or(|period| &row.period == period))
                .filter(|row| filter.job.is_none_or(|job| row.job == job))
                .collect();
            assert_eq!(reader.lines(&filter).unwrap().rows, expected, "{filter:?}");
        }
    }
    let filter = FindingFilter {
        agent: finding(0).agent,
        code: Some("usage.shrinks".into()),
        page: limit(1_000),
    };
    let found = reader.findings(&filter).unwrap().rows;
    assert!(!found.is_empty());
    let expected =
        (0..30).map(finding).filter(|row| row.agent == filter.agent && row.code == "usage.shrinks");
    assert_eq!(found.len(), expected.count());
}

pub fn sums_agree_with_a_naive_model(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    fill(&mut store, term, 40);
    let reader = store.reader();
    for by in [SumBy::Project, SumBy::Org, SumBy::Provider] {
        for period in [None, Some("2026-02".to_owned())] {
            let filter = LineFilter { period, ..LineFilter::default() };
            let mut expected: BTreeMap<(String, String), (u64, i64, i64)> = BTreeMap::new();
            for row in (0..40).map(line) {
                if filter.period.as_ref().is_none_or(|period| &row.period == period) {
                    let key = match by {
                        SumBy::Project => row.project.to_string(),
                        SumBy::Org => row.org.to_string(),
                        SumBy::Provider => row.provider.to_string(),
                    };
                    let sum = expected.entry((key, row.period)).or_default();
                    *sum = (sum.0 + 1, sum.1 + row.cpu_milli_s, sum.2 + row.amount.0);
                }
            }
            let sums = reader.line_sums(by, &filter).unwrap();
            let got: BTreeMap<_, _> = sums
                .iter()
                .map(|sum| {
                    let key = (sum.key.clone(), sum.period.clone());
                    (key, (sum.lines, sum.cpu_milli_s, sum.amount.0))
                })
                .collect();
            assert_eq!(got, expected);
            assert!(sums.iter().all(|sum| sum.accel_milli_s == 0 && sum.memory_mb_s > 0));
        }
    }
}

pub fn streams_see_everything_and_can_be_left(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    fill(&mut store, term, 30);
    let reader = store.reader();
    let mut all = Vec::new();
    reader
        .each_transfer(|row| {
            all.push(row);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(all, (0..30).map(transfer).collect::<Vec<_>>());
    let mut count = 0;
    let mut three = |_| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    reader.each_line(&mut three).unwrap();
    assert_eq!(count, 3);
    let mut accounts = 0;
    reader
        .each_account(|_| {
            accounts += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(accounts, 30);
    assert_eq!(reader.job(job_id(1)).unwrap(), Some(job(1)));
}

pub fn a_cursor_of_another_list_is_refused(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    fill(&mut store, term, 3);
    let reader = store.reader();
    let jobs = reader.jobs(&JobFilter { page: limit(1), ..JobFilter::default() }).unwrap();
    let page = Paging { limit: 1, after: jobs.next };
    assert!(page.after.is_some());
    let fault = reader.accounts(&page).expect_err("a cursor of the jobs");
    assert!(told(&fault).contains("not one of this list"), "{}", told(&fault));
    assert!(!fault.is_transient());
}

fn five_batches(place: &dyn Place) -> Location {
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    for n in 1..=5 {
        store.commit(&batch(term, format!("[{n}]"), vec![])).unwrap();
    }
    location
}

fn broken(fault: Fault) -> (u64, Damage) {
    let Fault::Damaged { broken, .. } = fault else { panic!("{fault:?}") };
    (broken.seq, broken.why)
}

pub fn damage_at_the_end_is_found_at_opening(place: &dyn Place) {
    let cases = [
        (
            format!("UPDATE journal SET payload = {} WHERE seq = 5", place.bytes_literal("5b365d")),
            (5, Damage::Altered),
        ),
        (
            format!("UPDATE journal SET payload = {} WHERE seq = 5", place.bytes_literal("")),
            (5, Damage::Altered),
        ),
        ("UPDATE journal SET at = 0 WHERE seq = 4".to_owned(), (4, Damage::Altered)),
        ("DELETE FROM journal WHERE seq = 5".to_owned(), (5, Damage::Missing)),
        ("DELETE FROM journal WHERE seq = 4".to_owned(), (4, Damage::Missing)),
        ("DELETE FROM journal".to_owned(), (1, Damage::Missing)),
        ("UPDATE head SET seq = 4".to_owned(), (5, Damage::AfterHead)),
        (
            "UPDATE head SET hash = (SELECT hash FROM journal WHERE seq = 4)".to_owned(),
            (5, Damage::NotTheHead),
        ),
    ];
    let location = five_batches(place);
    place.tamper(&location, "CREATE TABLE kept AS SELECT * FROM journal");
    let undo = "DELETE FROM journal;
        INSERT INTO journal SELECT * FROM kept;
        UPDATE head SET seq = 5, hash = (SELECT hash FROM kept WHERE seq = 5)";
    for (sql, expected) in cases {
        place.tamper(&location, &sql);
        for mode in [OpenMode::Write, OpenMode::ReadOnly] {
            let fault = Store::open(&location, mode).map(|_| ()).expect_err(&sql);
            let text = told(&fault);
            assert!(text.contains("nothing was changed"), "{text}");
            assert!(text.contains(&format!("journal row {}", expected.0)), "{text}");
            assert_eq!(broken(fault), expected, "{sql}");
        }
        // Whoever wants to know how far it holds gets in, and is told.
        let survey = Store::open(&location, OpenMode::Inspect).unwrap().reader().survey().unwrap();
        let found = survey.broken.expect(&sql);
        assert!(found.seq <= expected.0, "{sql}: {found}");
        assert_eq!(survey.rows, found.seq - 1, "{sql}");
        place.tamper(&location, undo);
        assert_eq!(open(&location).head().seq, 5);
    }
}

pub fn damage_anywhere_is_found_by_verification(place: &dyn Place) {
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    for n in 1..=40 {
        store.commit(&batch(term, format!("[{n}]"), vec![])).unwrap();
    }
    let check = |sql: &str, undo: &str, expected: (u64, Damage)| {
        place.tamper(&location, sql);
        assert_eq!(broken(store.verify(1).expect_err(sql)), expected, "{sql}");
        let replayed = store.reader().replay(1, |_| Ok::<(), Fault>(()));
        assert_eq!(broken(replayed.expect_err(sql)), expected, "{sql}");
        let survey = store.reader().survey().unwrap();
        let found = survey.broken.expect(sql);
        assert_eq!((survey.rows, found.seq, &found.why), (expected.0 - 1, expected.0, &expected.1));
        assert_eq!(survey.hash, store.journal_from(survey.rows, 1).unwrap()[0].hash, "{sql}");
        assert!(store.verify(30).is_ok(), "what is after it still holds");
        place.tamper(&location, undo);
        assert_eq!(store.verify(1).unwrap().rows, 40);
    };
    check(
        "UPDATE journal SET term = 7 WHERE seq = 3",
        "UPDATE journal SET term = 1 WHERE seq = 3",
        (3, Damage::Altered),
    );
    check(
        "UPDATE journal SET seq = -20 WHERE seq = 20",
        "UPDATE journal SET seq = 20 WHERE seq = -20",
        (20, Damage::Missing),
    );
    // A row rewritten with a hash that fits its content no longer fits the next row.
    let tenth = store.journal_from(10, 1).unwrap().remove(0);
    let forged = dayan_store::JournalRow { at: time(77), ..tenth.clone() };
    let set = |row: &dayan_store::JournalRow| {
        let hash = if row.at == time(77) { row.computed_hash() } else { row.hash };
        let hash = place.bytes_literal(&hash.to_string());
        let at = row.at.micros();
        place.tamper(
            &location,
            &format!("UPDATE journal SET at = {at}, hash = {hash} WHERE seq = 10"),
        );
    };
    set(&forged);
    assert_eq!(broken(store.verify(1).expect_err("forged")), (11, Damage::Unchained));
    set(&tenth);
    assert_eq!(store.verify(1).unwrap().rows, 40);
    // A value that no column of ours holds: found by halves, for the page with it cannot be read.
    let short = place.bytes_literal("00");
    place.tamper(&location, &format!("UPDATE journal SET prev = {short} WHERE seq = 23"));
    let survey = store.reader().survey().unwrap();
    let found = survey.broken.expect("a hash of one byte");
    assert_eq!((survey.rows, found.seq), (22, 23));
    assert!(matches!(found.why, Damage::Unreadable(_)), "{found}");
}

pub fn replay_goes_on_from_anywhere(place: &dyn Place) {
    let store = open(&five_batches(place));
    for from in 1..=7u64 {
        let mut seen = Vec::new();
        let last = store.reader().replay(from, |row| {
            seen.push(row.seq);
            Ok::<(), Fault>(())
        });
        assert_eq!(seen, (from..=5).collect::<Vec<_>>());
        assert_eq!(last.unwrap(), (from - 1).max(5));
    }
    #[derive(Debug)]
    enum Stop {
        Enough,
        Fault(Fault),
    }
    impl From<Fault> for Stop {
        fn from(fault: Fault) -> Self {
            Self::Fault(fault)
        }
    }
    let stopped =
        store.reader().replay(1, |row| if row.seq == 3 { Err(Stop::Enough) } else { Ok(()) });
    assert!(matches!(stopped, Err(Stop::Enough)), "{stopped:?}");
}

pub fn large_batches_and_payloads(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    let payload = vec![b'x'; 6 << 20];
    let rows = (0..10_000).map(|n| Row::from(transfer(n))).collect();
    store.commit(&batch(term, payload.clone(), rows)).unwrap();
    store.commit(&batch(term, "", vec![])).unwrap();
    let rows = store.journal_from(1, 10).unwrap();
    assert_eq!(rows.iter().map(|row| row.payload.len()).collect::<Vec<_>>(), [payload.len(), 0]);
    let mut count = 0u32;
    let stream = store.reader().each_transfer(|row| {
        assert_eq!(row.id, transfer_id(count));
        count += 1;
        ControlFlow::Continue(())
    });
    stream.unwrap();
    assert_eq!(count, 10_000);
    // An answer of the journal ends with the row that passes its bytes.
    for _ in 0..6 {
        store.commit(&batch(term, payload.clone(), vec![])).unwrap();
    }
    assert_eq!(store.journal_from(3, 100).unwrap().len(), 6);
    assert_eq!(store.journal_from(1, 100).unwrap().len(), 7);
    assert_eq!(store.verify(1).unwrap().rows, 8);
}

pub fn a_newer_schema_is_refused_untouched(place: &dyn Place) {
    let location = five_batches(place);
    place.tamper(&location, "INSERT INTO schema_versions (version, name) VALUES (9, 'later')");
    for mode in [OpenMode::Write, OpenMode::ReadOnly] {
        let fault = Store::open(&location, mode).map(|_| ()).expect_err("written by a newer one");
        assert!(matches!(fault, Fault::NewerSchema { found: 9, known: 2 }), "{fault:?}");
        assert_eq!(fault.code(), "store.schema_newer");
    }
    place.tamper(&location, "DELETE FROM schema_versions WHERE version = 9");
    assert_eq!(open(&location).head().seq, 5);
}

pub fn an_older_schema_is_brought_up_to_date(place: &dyn Place) {
    let location = five_batches(place);
    place.tamper(&location, "DROP TABLE site_counts");
    place.tamper(&location, "DELETE FROM schema_versions WHERE version = 2");
    let fault = Store::open(&location, OpenMode::ReadOnly).map(|_| ()).expect_err("not yet");
    assert!(matches!(fault, Fault::OlderSchema { found: 1, needed: 2 }), "{fault:?}");
    let (mut store, term) = lead(&location);
    assert_eq!(store.head().seq, 5);
    store.commit(&batch(term, "[]", vec![site_count(1, 0, 1).into()])).unwrap();
    assert_eq!(store.reader().site_counts(job_id(1), (0, 0)).unwrap(), [site_count(1, 0, 1)]);
}

pub fn reading_only_changes_nothing(place: &dyn Place) {
    let location = place.fresh();
    let fault = Store::open(&location, OpenMode::ReadOnly).map(|_| ()).expect_err("nothing there");
    assert!(matches!(fault, Fault::Open { .. } | Fault::OlderSchema { found: 0, .. }), "{fault:?}");

    let (mut writer, term) = lead(&location);
    writer.commit(&batch(term, "[]", vec![job(1).into()])).unwrap();
    // Beside a running exchange.
    let mut store = Store::open(&location, OpenMode::ReadOnly).unwrap();
    assert_eq!(store.head(), writer.head());
    assert_eq!(store.reader().job(job_id(1)).unwrap(), Some(job(1)));
    assert!(matches!(store.commit(&batch(term, "[]", vec![])), Err(Fault::ReadOnly)));
    assert!(matches!(store.take_term("me", time(0)), Err(Fault::ReadOnly)));
    assert!(matches!(store.snapshots().put_bytes(1, 1, b""), Err(Fault::ReadOnly)));
    writer.commit(&batch(term, "[]", vec![job(2).into()])).unwrap();
    assert_eq!(store.reader().job(job_id(2)).unwrap(), Some(job(2)));
    assert_eq!(store.verify(1).unwrap().rows, 2);
}

pub fn snapshots_serve_the_newest_sound_one(place: &dyn Place) {
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    let snapshots = store.snapshots();
    let state = |n: u64| format!("state after {n} ").repeat(100_000).into_bytes();
    assert!(snapshots.put_bytes(1, 1, b"early").is_err(), "row 1 is not committed");
    for n in 1..=4u64 {
        store.commit(&batch(term, format!("[{n}]"), vec![])).unwrap();
        let written = snapshots.put_bytes(n, 7, &state(n)).unwrap();
        assert_eq!((written.seq, written.bytes), (n, state(n).len() as u64));
        assert!(written.stored < written.bytes / 2);
        let latest = snapshots.latest().unwrap().unwrap();
        assert_eq!((latest.seq, latest.encoding), (n, 7));
        assert_eq!(latest.bytes, state(n));
    }
    // A writer that gives up leaves what was there.
    let failed = snapshots.put(4, 7, &mut |_| Err(std::io::Error::other("no more")));
    assert!(told(&failed.expect_err("the caller failed")).contains("no more"));
    assert_eq!(snapshots.latest().unwrap().unwrap().bytes, state(4));

    place.damage_snapshot(&location, 4);
    assert_eq!(snapshots.latest().unwrap().unwrap().seq, 3);
    place.damage_snapshot(&location, 3);
    assert_eq!(snapshots.latest().unwrap(), None, "only two are kept, both damaged");
    // A snapshot of another history: the journal went another way after row 4.
    snapshots.put_bytes(4, 7, b"whole").unwrap();
    assert_eq!(snapshots.latest().unwrap().unwrap().seq, 4);
    drop(store);
    place.tamper(
        &location,
        "DELETE FROM journal WHERE seq = 4;
         UPDATE head SET seq = 3, hash = (SELECT hash FROM journal WHERE seq = 3)",
    );
    let mut store = open(&location);
    assert_eq!(store.snapshots().latest().unwrap(), None);
    store.commit(&batch(term, "[\"other\"]", vec![])).unwrap();
    assert_eq!(store.snapshots().latest().unwrap(), None);
}

pub fn a_backup_is_the_store(place: &dyn Place) {
    let folder = tempfile::tempdir().unwrap();
    let location = place.fresh();
    let (mut store, term) = lead(&location);
    fill(&mut store, term, 20);
    store.commit(&batch(term, one_line_of_bytes(), one_of_each_but(20))).unwrap();
    store.snapshots().put_bytes(2, 1, b"state").unwrap();
    let to = folder.path().join("monday");
    let report = store.backup_to(&to).unwrap();
    assert_eq!(&report.head, store.head());
    store.commit(&batch(term, "[\"after\"]", vec![job(99).into()])).unwrap();
    let fault = store.backup_to(&to).expect_err("the folder is not empty");
    assert!(matches!(fault, Fault::Backup { .. }), "{fault:?}");

    let second = place.fresh();
    assert_eq!(Store::restore_from(&to, &second).unwrap(), report);
    let mut restored = open(&second);
    assert_eq!(restored.head(), &report.head);
    assert_eq!(restored.verify(1).unwrap().rows, 2);
    assert_eq!(restored.journal_from(1, 9).unwrap(), store.journal_from(1, 2).unwrap());
    let (old, new) = (store.reader(), restored.reader());
    let all = LineFilter { page: limit(1_000), ..LineFilter::default() };
    assert_eq!(new.lines(&all).unwrap(), old.lines(&all).unwrap());
    assert_eq!(new.job(job_id(3)).unwrap(), old.job(job_id(3)).unwrap());
    assert_eq!(new.job(job_id(99)).unwrap(), None);
    assert_eq!(new.accounts(&limit(100)).unwrap(), old.accounts(&limit(100)).unwrap());
    let snapshot = restored.snapshots().latest().unwrap();
    assert_eq!(snapshot.map(|snapshot| snapshot.bytes), Some(b"state".to_vec()));
    let next = restored.take_term("server-9", time(9)).unwrap();
    assert_eq!(next, term + 1);
    restored.commit(&batch(next, "[]", vec![job(50).into()])).unwrap();

    let fault = Store::restore_from(&to, &second).expect_err("something is there");
    assert!(matches!(fault, Fault::Restore { .. }), "{fault:?}");
    let (none, empty) = (folder.path().join("none"), folder.path().join("empty"));
    std::fs::create_dir(&empty).unwrap();
    for (from, says) in [(&none, "there is no such folder"), (&empty, "there is no dayan.d")] {
        let fault = Store::restore_from(from, &place.fresh()).expect_err("no backup");
        assert!(matches!(fault, Fault::Restore { .. }), "{fault:?}");
        assert!(told(&fault).contains(says), "{}", told(&fault));
    }
}

fn one_line_of_bytes() -> Vec<u8> {
    (0..=255).collect()
}

fn one_of_each_but(n: u32) -> Vec<Row> {
    vec![request(n).into(), finding(n).into(), line(n).into(), transfer(n).into()]
}

pub fn readers_work_from_many_threads(place: &dyn Place) {
    let (mut store, term) = lead(&place.fresh());
    store.commit(&batch(term, "[0]", vec![job(0).into()])).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let reader = store.reader();
            scope.spawn(move || {
                loop {
                    // Journal row and read model of a batch are seen together.
                    let seq = reader.head().unwrap().seq;
                    let n = u32::try_from(seq - 1).unwrap();
                    assert_eq!(reader.job(job_id(n)).unwrap(), Some(job(n)));
                    if n == 20 {
                        break;
                    }
                }
            });
        }
        for n in 1..=20u32 {
            store.commit(&batch(term, format!("[{n}]"), vec![job(n).into()])).unwrap();
        }
    });
}

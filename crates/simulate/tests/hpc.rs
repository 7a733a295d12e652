//! Replays of logs: schedules worked out by hand, promises on random logs checked by code that
//! shares nothing with what it checks, and a synthetic log whose figures are pinned.

use dayan_schedule::order::OVERTAKEN_MAX;
use dayan_simulate::hpc::{
    self, Backfill, Discipline, HarnessFill, HpcJob, HpcPolicy, Protocol, Rule, SwfReader,
};
use proptest::prelude::*;

const FCFS: HpcPolicy = HpcPolicy::Rule(Rule::Fcfs);
const SJF: HpcPolicy = HpcPolicy::Rule(Rule::Sjf);
const EASY: Discipline = Discipline::Event(Backfill::Easy);
const CONSERVATIVE: Discipline = Discipline::Event(Backfill::Conservative);
const STRICT: Discipline = Discipline::Event(Backfill::None);

fn job(id: i64, submit: i64, run: i64, width: i64, limit: i64) -> HpcJob {
    HpcJob { id, submit, run, width, limit, user: 1, group: 1, program: 1 }
}

/// Four processors. One job holds three of them until 100; a wide one waits behind it; then a
/// short narrow one, a long narrow one, and one more that is short.
fn five() -> Vec<HpcJob> {
    vec![
        job(1, 0, 100, 3, 100),
        job(2, 1, 50, 4, 50),
        job(3, 2, 20, 1, 20),
        job(4, 3, 200, 1, 200),
        job(5, 4, 30, 1, 30),
    ]
}

#[test]
fn schedules_worked_out_by_hand() {
    let check = |policy, discipline, expect: [i64; 5]| {
        assert_eq!(
            hpc::replay(4, &five(), policy, discipline),
            expect,
            "{policy:?} {discipline:?}"
        );
    };
    // In order of arrival: the wide one at 100, all the others when it has ended.
    check(FCFS, STRICT, [0, 100, 150, 150, 150]);
    // Those that end before 100 pass it; the long one does not.
    check(FCFS, EASY, [0, 100, 2, 150, 22]);
    // Likewise: the long one is kept for 150.
    check(FCFS, CONSERVATIVE, [0, 100, 2, 150, 22]);
    // Shortest first: 3, 5, then the wide one, then the long one.
    check(SJF, STRICT, [0, 100, 2, 150, 22]);
    // The harness chooses the wide one at 1 and then nothing else until it starts.
    check(FCFS, Discipline::Harness(HarnessFill::Wait), [0, 100, 150, 150, 150]);
    check(FCFS, Discipline::Harness(HarnessFill::Backfill), [0, 100, 2, 150, 22]);
    // The wide one is due last of those up to a minute: 4 processors for 50 s.
    check(HpcPolicy::Default, EASY, [0, 100, 2, 150, 22]);
}

#[test]
fn conservative_keeps_what_easy_promises_to_the_head_only() {
    // Ten processors, eight of them held until 100. Reserved: 2 at 100, with five spare; 3 at 150,
    // when 2 has ended, taking nine. Job 4 fits beside 2 but not beside 3.
    let jobs = [
        job(1, 0, 100, 8, 100),
        job(2, 1, 50, 5, 50),
        job(3, 2, 50, 9, 50),
        job(4, 3, 300, 2, 300),
    ];
    assert_eq!(hpc::replay(10, &jobs, FCFS, EASY), [0, 100, 303, 3]);
    assert_eq!(hpc::replay(10, &jobs, FCFS, CONSERVATIVE), [0, 100, 150, 200]);
}

#[test]
fn the_harness_backfills_only_what_ends_strictly_before() {
    let jobs = [job(1, 0, 100, 3, 100), job(2, 0, 10, 4, 10), job(3, 0, 100, 1, 100)];
    let fill = Discipline::Harness(HarnessFill::Backfill);
    assert_eq!(hpc::replay(4, &jobs, FCFS, fill), [0, 100, 110]);
    // By events it may end at that very moment.
    assert_eq!(hpc::replay(4, &jobs, FCFS, EASY), [0, 100, 0]);
}

#[test]
fn easy_plus_plus_fills_in_by_what_it_has_learned() {
    // The user's runs took 10 s of 1,000; the third is expected to, and passes the wide one.
    let jobs = [
        job(1, 0, 10, 1, 1_000),
        job(2, 0, 10, 1, 1_000),
        HpcJob { user: 2, ..job(3, 20, 500, 3, 500) },
        job(4, 21, 10, 4, 1_000),
        job(5, 22, 10, 1, 1_000),
    ];
    let starts = hpc::replay(4, &jobs, HpcPolicy::EasyPlusPlus, EASY);
    assert_eq!(starts[4], 22);
    // By the limits it would end after the wide one's moment.
    assert_eq!(hpc::replay(4, &jobs, FCFS, EASY)[4], 530);
}

#[test]
fn a_log_is_read_strictly() {
    let job = "7 0 -1 60 2 -1 -1 4 90 -1 1 3 4 5 -1 -1 -1 -1";
    let log = format!("; Version: 2\n;   MaxProcs: 128 (all)\n\n{job}\r\n");
    let (header, jobs) = SwfReader::new(log.as_bytes()).read_all().expect("a good log");
    assert_eq!(header.machine(), Some(128));
    assert_eq!((jobs.len(), jobs[0].id, jobs[0].requested, jobs[0].limit), (1, 7, 4, 90));

    let check = |line: &str, expect: &str| {
        let log = format!("; a comment\n{job}\n{line}\n");
        let error = SwfReader::new(log.as_bytes()).read_all().expect_err(line);
        assert_eq!(error.to_string(), expect);
    };
    check("1 2 3", "line 3: 3 fields, a job has 18");
    check(&format!("{job} 0"), "line 3: 19 fields, a job has 18");
    check(&job.replace("60", "6O"), "line 3: field 4 is `6O`, not a number in range");
    for wrong in ["1e12", "1e", "e3", "1e999999999999", "1.2.3e1", "0x1"] {
        let expect = format!("line 3: field 4 is `{wrong}`, not a number in range");
        check(&job.replace("60", wrong), &expect);
    }
    check(
        &job.replace("60", "999999999999999"),
        "line 3: field 4 is `999999999999999`, not a number in range",
    );
    check(&"9".repeat(70_000), "line 3: longer than 65536 bytes");
}

#[test]
fn what_nobody_looks_at_in_a_log_may_be_anything() {
    let log = "7 0 -1 60 2 12,5 NaN 4 90 ? 1 3 4 5 -1 main 1e99 -\n";
    let (_, jobs) = SwfReader::new(log.as_bytes()).read_all().expect("a good log");
    assert_eq!((jobs.len(), jobs[0].requested, jobs[0].limit), (1, 4, 90));
}

#[test]
fn a_log_as_other_programs_write_it_is_read() {
    let job = "7 0 -1 1.2e3 2 -1 -1 4 9.99e1 -1 1 3 4 -1e0 -1 -1 -1 -1";
    let log = format!("\u{feff}; MAXPROCS: 1,152.\n{job}\n");
    let (header, jobs) = SwfReader::new(log.as_bytes()).read_all().expect("a good log");
    assert_eq!(header.machine(), Some(1_152));
    assert_eq!((jobs[0].run, jobs[0].limit, jobs[0].program), (1_200, 99, -1));
    let bare = format!("\u{feff}{job}\n");
    let (mut header, jobs) = SwfReader::new(bare.as_bytes()).read_all().expect("a good log");
    let told = Protocol::Cleaned.workload(header, &jobs).expect_err("no machine").to_string();
    assert!(told.contains("--processors"), "{told}");
    header.processors = Some(3);
    let told = Protocol::Cleaned.workload(header, &jobs).expect_err("too wide").to_string();
    assert_eq!(
        told,
        "0 usable jobs of 1 are too few: 1 ask for more than the machine has, or come before the log begins"
    );
    header.processors = Some(4);
    assert!(Protocol::Cleaned.workload(header, &jobs).is_ok());
    let log = bare.replace("9.99e1", "-1");
    let (_, jobs) = SwfReader::new(log.as_bytes()).read_all().expect("a good log");
    let told = Protocol::H2.workload(header, &jobs).expect_err("no limits").to_string();
    assert!(told.contains("1 have no limit of the user's (`--protocol cleaned`"), "{told}");
}

#[test]
fn protocols_read_the_same_line_differently() {
    let log = "; MaxProcs: 8\n1 0 -1 100 4 -1 -1 2 60 -1 1 1 1 1 1 1 -1 -1\n";
    let (header, lines) = SwfReader::new(log.as_bytes()).read_all().expect("a good log");
    let check = |protocol: Protocol, expect: (i64, i64, i64)| {
        let workload = protocol.workload(header, &lines).expect("one job");
        let job = workload.windows[0].jobs[0];
        assert_eq!((job.width, job.run, job.limit), expect, "{protocol:?}");
    };
    check(Protocol::H2, (2, 60, 60));
    check(Protocol::Cleaned, (2, 100, 100));
    let none = Protocol::H1.workload(header, &lines).expect_err("no window is full");
    assert_eq!(
        none.to_string(),
        "1 usable jobs of 1 are too few; h1 takes windows of 1024, the first from job 1981 on"
    );
    let mut broken = header;
    (broken.processors, broken.nodes) = (None, None);
    assert!(Protocol::H2.workload(broken, &lines).is_err());
}

/// A small generator (Steele, Lea, Flood, OOPSLA 2014), so that the log below is ours and fixed.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self, below: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let below = u64::try_from(below).expect("a positive bound");
        i64::try_from((z ^ (z >> 31)) % below).expect("below an i64")
    }
}

/// 2,000 jobs of ten users with habits of their own on 64 processors, offered at about 90 %.
fn synthetic() -> Vec<HpcJob> {
    let mut random = SplitMix(42);
    let mut submit = 0;
    (1..=2_000)
        .map(|id| {
            submit += random.next(1_100);
            let user = random.next(10);
            let width = 1 << random.next(6);
            let run = 1 + (user + 1) * (1 + random.next(600)) * (1 + random.next(2));
            let limit = 600 * (1 + run / 600) * (1 + random.next(4));
            HpcJob { id, submit, run, width, limit, user, group: 1, program: user }
        })
        .collect()
}

#[test]
fn the_figures_of_a_synthetic_log_are_these() {
    let jobs = synthetic();
    let workload = hpc::Workload {
        machine: 64,
        windows: vec![hpc::Window { start: 0, jobs }],
        lines: hpc::LinesRead::default(),
    };
    let line = |policy: HpcPolicy, discipline| {
        let report = hpc::run(&workload, policy, discipline);
        format!(
            "{:.1} {} {} {:.3} {:.4}",
            report.avg_wait_s,
            report.p99_wait_s,
            report.max_wait_s,
            report.avg_bsld,
            report.utilization
        )
    };
    let harness = Discipline::Harness(HarnessFill::Backfill);
    let lines = [
        line(FCFS, STRICT),
        line(FCFS, EASY),
        line(FCFS, CONSERVATIVE),
        line(SJF, EASY),
        line(HpcPolicy::EasyPlusPlus, EASY),
        line(HpcPolicy::Default, EASY),
        line(HpcPolicy::Default, harness),
    ];
    // Mean, 99th percentile and longest wait, mean slowdown, use.
    let expect = [
        "6334.2 25247 27644 15.847 0.7649",
        "1928.3 15658 24850 4.600 0.7689",
        "2038.7 15794 23072 4.490 0.7689",
        "1287.2 16838 111008 2.612 0.7692",
        "1841.0 19507 29231 4.604 0.7689",
        "1299.5 18441 108682 2.554 0.7692",
        "1932.4 21163 110016 3.367 0.7665",
    ];
    assert_eq!(lines, expect);
}

const MACHINE: i64 = 16;

fn logs() -> impl Strategy<Value = Vec<HpcJob>> {
    let one = (0_i64..40, 1_i64..300, 1_i64..=MACHINE, 0_i64..200, 0_i64..4);
    prop::collection::vec(one, 1..60).prop_map(|lines| {
        let mut submit = 0;
        let job = |(id, (gap, run, width, slack, user)): (usize, (i64, i64, i64, i64, i64))| {
            submit += gap;
            let id = i64::try_from(id).expect("few jobs");
            HpcJob { id, submit, run, width, limit: run + slack, user, group: 1, program: 1 }
        };
        lines.into_iter().enumerate().map(job).collect()
    })
}

fn policies() -> impl Strategy<Value = HpcPolicy> {
    let rules = prop::sample::select(Rule::ALL.to_vec()).prop_map(HpcPolicy::Rule);
    prop_oneof![Just(HpcPolicy::Default), Just(HpcPolicy::EasyPlusPlus), rules]
}

/// Processors in use right after each start: it grows only there.
fn most_in_use(jobs: &[HpcJob], starts: &[i64]) -> i64 {
    let at = |moment: i64| -> i64 {
        let runs = jobs.iter().zip(starts);
        runs.filter(|(job, start)| **start <= moment && moment < *start + job.run)
            .map(|(job, _)| job.width)
            .sum()
    };
    starts.iter().map(|start| at(*start)).max().unwrap_or(0)
}

/// When job `own` could start by the limits of what runs at `now`, if nothing more were started;
/// the older ones that start at that moment run already.
fn promise(jobs: &[HpcJob], starts: &[i64], own: usize, now: i64) -> i64 {
    let runs: Vec<(i64, i64)> = jobs
        .iter()
        .zip(starts)
        .enumerate()
        .filter(|(index, (job, start))| {
            **start + job.run > now && (**start < now || (**start == now && *index < own))
        })
        .map(|(_, (job, start))| (start + job.limit, job.width))
        .collect();
    let free_at = |moment: i64| -> i64 {
        MACHINE - runs.iter().filter(|(end, _)| *end > moment).map(|(_, width)| width).sum::<i64>()
    };
    let mut moments: Vec<i64> = runs.iter().map(|(end, _)| *end).chain([now]).collect();
    moments.sort_unstable();
    let first = moments.into_iter().find(|at| free_at(*at) >= jobs[own].width);
    first.expect("all has ended by the last")
}

const FIRST: Discipline = Discipline::Harness(HarnessFill::Wait);
const FILLED: Discipline = Discipline::Harness(HarnessFill::Backfill);

fn starts_once_and_fits(
    jobs: &[HpcJob],
    policy: HpcPolicy,
    discipline: Discipline,
) -> Result<(), TestCaseError> {
    let starts = hpc::replay(MACHINE, jobs, policy, discipline);
    prop_assert_eq!(starts.len(), jobs.len());
    prop_assert!(jobs.iter().zip(&starts).all(|(job, start)| *start >= job.submit));
    prop_assert!(most_in_use(jobs, &starts) <= MACHINE);
    prop_assert_eq!(hpc::replay(MACHINE, jobs, policy, discipline), starts);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whoever_looks_ahead_starts_every_job_once_and_promises_nothing_twice(
        jobs in logs(),
        discipline in prop::sample::select(vec![FIRST, FILLED]),
    ) {
        starts_once_and_fits(&jobs, HpcPolicy::Default, discipline)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_job_starts_once_after_it_came_and_nothing_is_promised_twice(
        jobs in logs(),
        policy in policies(),
        discipline in prop::sample::select(vec![STRICT, EASY, CONSERVATIVE, FIRST, FILLED]),
    ) {
        // Looking ahead costs a thousand times as much: its test is below.
        let by_event = policy == HpcPolicy::Default && [FIRST, FILLED].contains(&discipline);
        let discipline = if by_event { EASY } else { discipline };
        starts_once_and_fits(&jobs, policy, discipline)?;
    }

    #[test]
    fn easy_never_delays_the_reservation_of_the_oldest(jobs in logs()) {
        let starts = hpc::replay(MACHINE, &jobs, FCFS, EASY);
        for (index, job) in jobs.iter().enumerate() {
            // From the moment on when every older one has started, it is the head.
            let head = starts[..index].iter().copied().max().unwrap_or(0).max(job.submit);
            prop_assert!(starts[index] <= promise(&jobs, &starts, index, head), "job {index}");
        }
    }

    #[test]
    fn under_exact_limits_conservative_keeps_every_promise(jobs in logs()) {
        let jobs: Vec<HpcJob> =
            jobs.into_iter().map(|job| HpcJob { limit: job.run, ..job }).collect();
        let all = hpc::replay(MACHINE, &jobs, FCFS, CONSERVATIVE);
        // What a job gets does not depend on who comes after it.
        for shown in 1..=jobs.len() {
            let starts = hpc::replay(MACHINE, &jobs[..shown], FCFS, CONSERVATIVE);
            prop_assert_eq!(&starts[..], &all[..shown]);
        }
    }

    #[test]
    fn the_default_order_lets_nobody_wait_past_its_bound(jobs in logs(), stretch in 1_i64..2_000) {
        // Stretched so that the five days matter.
        let jobs: Vec<HpcJob> = jobs
            .into_iter()
            .map(|job| HpcJob {
                submit: job.submit * stretch,
                run: job.run * stretch / 4 + 1,
                limit: job.limit * stretch / 4 + 1,
                ..job
            })
            .collect();
        let starts = hpc::replay(MACHINE, &jobs, HpcPolicy::Default, EASY);
        let longest = jobs.iter().map(|job| job.limit).max().unwrap_or(0);
        for (job, start) in jobs.iter().zip(&starts) {
            let late = job.submit + OVERTAKEN_MAX.micros() / 1_000_000;
            // Whoever may be before it: submitted within five days of it, and not yet started.
            let before = jobs
                .iter()
                .zip(&starts)
                .filter(|(other, begun)| other.submit <= late && **begun >= late && other.id != job.id)
                .count();
            let before = i64::try_from(before).expect("few jobs");
            prop_assert!(*start <= late + (before + 1) * longest);
        }
    }

    #[test]
    fn no_garbage_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SwfReader::new(bytes.as_slice()).read_all();
    }
}

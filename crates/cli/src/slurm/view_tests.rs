//! Jobs of the exchange as Slurm's tools see them.

use super::*;
use crate::slurm::tests_support::{ARRAY, GANG, LISTED, attempt, job, told};

#[test]
fn numbers_and_machines_are_drawn_together() {
    let check = |numbers: &[u32], expect: &str| assert_eq!(ranges(numbers), expect);
    check(&[], "");
    check(&[3], "3");
    check(&[1, 2, 3, 8, 10, 11], "1-3,8,10-11");
    check(&[u32::MAX - 1, u32::MAX], "4294967294-4294967295");
    let check = |names: &[&str], expect: &str| assert_eq!(hosts(names), expect, "{names:?}");
    check(&["n3", "n1", "n2", "n9"], "n[1-3,9]");
    check(&["gpu"], "gpu");
    check(&["n1"], "n1");
    check(&["n01", "n02"], "n01,n02");
    check(&["a", "n1", "a"], "n1,a");
    check(&["", "é7", "é8"], "é[7-8]");
    check(&["12", "n99999999999"], "12,n99999999999");
}

#[test]
fn spans_in_both_forms() {
    let check = |seconds, short: &str, full: &str| {
        assert_eq!((span(seconds).as_str(), full_span(seconds).as_str()), (short, full));
    };
    check(0, "0:00", "00:00:00");
    check(65, "1:05", "00:01:05");
    check(3_723, "1:02:03", "01:02:03");
    check(183_845, "2-03:04:05", "2-03:04:05");
}

#[test]
fn states_by_either_name() {
    for state in State::ALL {
        assert_eq!(State::from_name(state.names().0), Some(state));
        assert_eq!(State::from_name(&state.names().1.to_lowercase()), Some(state));
    }
    assert_eq!(State::from_name("SUSPENDED"), None);
    let listed =
        |names: &str| State::listed(&names.split(',').map(str::to_owned).collect::<Vec<_>>());
    // As scripts ask for what failed, whatever it failed of.
    assert_eq!(listed("f,BF,TIMEOUT,DL"), Ok(vec![State::Failed, State::BootFail, State::Timeout]));
    assert_eq!(listed("suspended,S"), Ok(Vec::new()));
    assert_eq!(listed("R,asleep"), Err("asleep".to_owned()));
}

#[test]
fn attempts_end_in_slurms_states() {
    let check = |state: &str, reason: &str, expect: State, exit: (i32, i32)| {
        let attempt = attempt(0, 1, state, reason);
        assert_eq!(
            (State::of(&attempt), super::exit(&attempt)),
            (expect, exit),
            "{state} {reason}"
        );
    };
    check("leased", "", State::Configuring, (0, 0));
    check("running", "", State::Running, (0, 0));
    check("publishing", "", State::Completing, (0, 0));
    check("succeeded", "", State::Completed, (0, 0));
    check("failed", "exit code 3", State::Failed, (3, 0));
    check("failed", "signal 11", State::Failed, (0, 11));
    check("failed", "longer than it asked for", State::Timeout, (0, 15));
    check("failed", "more memory than it asked for", State::OutOfMemory, (0, 125));
    check("lost", "its lease ran out", State::NodeFail, (1, 0));
    check("preempted", "its room went to job_x", State::Preempted, (0, 0));
    check("cancelled", "cancelled", State::Cancelled, (0, 0));
}

fn shown(job: &Job) -> Vec<(String, &'static str, String)> {
    let of = |line: &Line<'_>| (line.id(), line.state.names().1, line.node_list());
    job.lines().iter().map(of).collect()
}

#[test]
fn a_job_has_a_line_for_each_element_that_was_tried_and_one_for_those_that_wait() {
    let n = job("queued", ARRAY, &[], &[]).number;
    let row =
        |id: &str, state, nodes: &str| (id.replace('N', &n.to_string()), state, nodes.to_owned());
    let waits = job("queued", ARRAY, &[], &[[0, 4]]);
    assert_eq!(shown(&waits), [row("N_[1-5%2]", "PD", "")]);
    let some = [
        attempt(0, 1, "failed", "exit code 1"),
        attempt(0, 2, "running", ""),
        attempt(1, 1, "succeeded", ""),
        attempt(2, 1, "lost", "its lease ran out"),
    ];
    let runs = job("running", ARRAY, &some, &[[2, 4]]);
    assert_eq!(
        shown(&runs),
        [row("N_[3-5%2]", "PD", ""), row("N_1", "R", "node-1"), row("N_2", "CD", "node-1")]
    );
    let apart: Vec<String> =
        runs.lines().into_iter().flat_map(Line::apart).map(|l| l.id()).collect();
    assert_eq!(apart[..3], ["N_3", "N_4", "N_5"].map(|id| id.replace('N', &n.to_string())));
    let listed = job("running", LISTED, &some[1..2], &[[1, 2]]);
    assert_eq!(shown(&listed), [row("N_[7-8]", "PD", ""), row("N_3", "R", "node-1")]);
    assert_eq!((listed.task_of(8), listed.task_of(4)), (Some(2), None));
    assert_eq!((runs.task_of(3), runs.task_of(9), runs.element(4)), (Some(2), None, Some(5)));
    let mut told = told("running", ARRAY, &some[1..3], &[[4, 4]]);
    told.cancelled = vec![[1, 3]];
    assert_eq!(
        shown(&Job::new(told)),
        [
            row("N_[5%2]", "PD", ""),
            row("N_[3-4]", "CA", ""),
            row("N_1", "R", "node-1"),
            row("N_2", "CD", "node-1"),
        ]
    );
    let gone = job("cancelled", ARRAY, &[], &[]);
    assert_eq!(shown(&gone), [row("N", "CA", "")]);
}

#[test]
fn a_gang_is_one_line() {
    let members = [attempt(0, 1, "running", ""), attempt(1, 1, "leased", "")];
    let runs = job("running", GANG, &members, &[]);
    let lines = runs.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].state, lines[0].cpus(), runs.nodes()), (State::Running, 8, 2));
    let bad = [attempt(0, 1, "failed", "signal 9"), attempt(1, 1, "cancelled", "x")];
    let failed = job("failed", GANG, &bad, &[]);
    assert_eq!((failed.lines()[0].state, failed.lines()[0].exit()), (State::Failed, (0, 9)));
    let again = job("queued", GANG, &bad, &[[0, 1]]);
    assert_eq!(
        (again.lines()[0].state, again.lines()[0].node_list()),
        (State::Pending, String::new())
    );
}

#[test]
fn why_a_job_waits() {
    let now: Timestamp = "2026-11-28T00:00:00Z".parse().expect("a time");
    let check = |state: &str, more: &str, expect: &str| {
        let job = job(state, more, &[], &[[0, 0]]);
        assert_eq!(job.lines()[0].reason(now), expect, "{more}");
    };
    check("queued", "", "Resources");
    check("paused", "", "JobHeldUser");
    check("queued", "begin: 2026-11-29T00:00:00Z\n", "BeginTime");
    check("queued", "begin: 2026-11-27T00:00:00Z\n", "Resources");
    // What it waited for has happened.
    check("queued", "depends_on: [a]\n", "Resources");
    for (code, expect) in
        [("job.depends", "Dependency"), ("job.depends_never", "DependencyNeverSatisfied")]
    {
        let mut waits = told("queued", "depends_on: [a]\n", &[], &[[0, 0]]);
        let (code, message) = (code.to_owned(), "it waits for a".to_owned());
        waits.summary.waiting.push(dayan_wire::Waiting { code, message, lasting: false });
        assert_eq!(Job::new(waits).lines()[0].reason(now), expect);
    }
    // What no pool can ever take is told from what waits for room.
    for (codes, expect) in [
        (&[("pool.no_node_fits", true), ("pool.new_rule", true)][..], "BadConstraints"),
        (&[("pool.no_node_fits", true), ("pool.busy", false)], "Resources"),
        (&[("pool.down", false)], "Resources"),
        (&[("job.license", false)], "Licenses"),
    ] {
        let mut waits = told("queued", "", &[], &[[0, 0]]);
        waits.summary.waiting = codes
            .iter()
            .map(|&(code, lasting)| dayan_wire::Waiting {
                code: code.to_owned(),
                message: String::new(),
                lasting,
            })
            .collect();
        assert_eq!(Job::new(waits).lines()[0].reason(now), expect, "{codes:?}");
    }
}

#[test]
fn what_never_started_has_no_exit_code() {
    let failed = |started: bool, reason: &str| {
        let mut attempt = attempt(0, 1, "failed", reason);
        attempt.started_at = attempt.started_at.filter(|_| started);
        let job = job("failed", "", &[attempt], &[]);
        let line = &job.lines()[0];
        (line.state.names().0, line.exit())
    };
    assert_eq!(failed(false, "not started: the site refused it"), ("BOOT_FAIL", (0, 0)));
    // The agent has counted how long it tried.
    assert_eq!(failed(true, "could not start: no such image"), ("BOOT_FAIL", (0, 0)));
    assert_eq!(failed(true, "could not publish: no room"), ("FAILED", (1, 0)));
    let mut no_program = attempt(0, 1, "failed", "could not start: there is no program `x`");
    no_program.exit_code = Some(127);
    let job_of_it = job("failed", "", &[no_program], &[]);
    let line = &job_of_it.lines()[0];
    assert_eq!((line.state.names().0, line.exit()), ("FAILED", (127, 0)), "as a script would say");
    assert_eq!(failed(false, "exit code 127"), ("FAILED", (127, 0)));
    assert_eq!(failed(true, "exit code 3"), ("FAILED", (3, 0)));
}

#[test]
fn what_is_cancelled_before_its_retry_is_cancelled() {
    let tries = [
        attempt(0, 1, "failed", "could not start: no such image"),
        attempt(1, 1, "failed", "exit code 3"),
        attempt(2, 1, "lost", "its lease ran out"),
        attempt(3, 1, "succeeded", ""),
        attempt(4, 1, "failed", "exit code 4"),
    ];
    let seen = |state: &str| {
        let mut told = told(state, ARRAY, &tries, &[]);
        told.cancelled = vec![[0, 3]];
        let job = Job::new(told);
        let lines = job.lines();
        lines.iter().map(|line| (line.state.names().1, line.exit())).collect::<Vec<_>>()
    };
    let expect = [("CA", (0, 0)), ("CA", (0, 0)), ("CA", (0, 0)), ("CD", (0, 0)), ("F", (4, 0))];
    assert_eq!(seen("cancelled"), expect);
    // Where nothing can be paid for any more, each is what it came to.
    let expect = [("BF", (0, 0)), ("F", (3, 0)), ("NF", (1, 0)), ("CD", (0, 0)), ("F", (4, 0))];
    assert_eq!(seen("unfunded"), expect);
    let one = job("cancelled", "", &tries[1..2], &[]);
    assert_eq!((one.lines()[0].state, one.lines()[0].exit()), (State::Cancelled, (0, 0)));
}

#[test]
fn cards_are_counted_on_all_nodes() {
    let mut told = told("running", GANG, &[attempt(0, 1, "running", "")], &[]);
    let check = |told: &dayan_wire::Job, node: &str, all: &str, tres: &str| {
        let job = Job::new(told.clone());
        let line = &job.lines()[0];
        let cards = (line.cards(), line.all_cards());
        assert_eq!(cards, (Some(node.to_owned()), Some(all.to_owned())));
        assert_eq!(line.tres("4G"), tres);
    };
    let mut asking = |kind: &str| {
        told.spec["resources"]["accelerators"] =
            serde_json::json!([{ "kind": kind, "count": 2_000 }]);
        told.clone()
    };
    let any = "billing=8,cpu=8,mem=4G,node=2,gres/gpu=4";
    check(&asking("any"), "gres:gpu:2", "gres:gpu:4", any);
    let a100 = "billing=8,cpu=8,mem=4G,node=2,gres/gpu:a100=4";
    check(&asking("a100"), "gres:gpu:a100:2", "gres:gpu:a100:4", a100);
    let none = job("running", "", &[attempt(0, 1, "running", "")], &[]);
    let line = &none.lines()[0];
    assert_eq!(
        (line.all_cards(), line.tres("2G")),
        (None, "billing=4,cpu=4,mem=2G,node=1".to_owned())
    );
}

#[test]
fn an_elements_own_number_names_it() {
    use crate::slurm::ask::Target;
    let number = 246_822_938_618_044;
    let own = dayan_spec::sbatch::element_number(number, 7).expect("it fits");
    let target = |text: String| Target::parse(&text).expect("it names a job");
    let (by_number, by_both) = (target(own.to_string()), target(format!("{number}_7")));
    assert_eq!(by_number.elements, Some(vec![7]));
    let job = Job { number, ..job("queued", ARRAY, &[], &[[0, 9]]) };
    assert!(by_number.is_of(&job) && by_both.is_of(&job));
    assert_eq!(target(number.to_string()).elements, None);
}

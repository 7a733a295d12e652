//! A market through the whole exchange, small: the same seed gives the same report, failures and
//! cuts lose nothing, the rules beside it keep what they must, and a scenario that cannot be is
//! refused with its line and its key.

use dayan_simulate::market::{
    Alone, Form, Lists, MarketReport, MarketWords, PolicyReport, Rival, Run, Scenario, follow,
    picture, run,
};
use dayan_simulate::plot::Marks;

/// Two cities, three providers, a day and a half of work in a day.
const SMALL: &str = r#"
version = 1
name = "small"
seed = 7
days = 1
start = "2026-11-02T00:00:00+08:00"

[arrivals]
jobs_per_day = 220
hours = [1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 8, 8, 6, 6, 8, 8, 8, 6, 4, 3, 3, 2, 2, 1]
weekdays = [1, 1, 1, 1, 1, 1, 1]

[tariff.flat]
hours = [950, 950, 950, 950, 950, 950, 950, 950, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 950, 950]

[kind.a800]
model = "A800-SXM4-80GB"
cards = 8
cores = 64
memory_gb = 512
card_watts = 400
core_watts = 5
card_hour = "5.00"
core_hour = "0.02"
gb_hour = "0.001"

[kind.ascend]
model = "Ascend910B"
cards = 8
cores = 64
memory_gb = 512
card_watts = 400
core_watts = 5
card_hour = "3.00"
core_hour = "0.02"
gb_hour = "0.001"

[kind.cpu]
cores = 64
memory_gb = 256
core_watts = 5
core_hour = "0.06"
gb_hour = "0.004"

[[provider]]
name = "guian"
city = "Gui'an New Area"
price_permille = 900
pue_permille = 1200
tariff = "flat"
nodes = { a800 = 4, ascend = 4, cpu = 4 }

[[provider]]
name = "guiyang"
city = "Guiyang"
price_permille = 1000
pue_permille = 1250
tariff = "flat"
nodes = { ascend = 4, cpu = 4 }

[[provider]]
name = "shanghai"
city = "Shanghai"
price_permille = 1150
pue_permille = 1300
tariff = "flat"
nodes = { a800 = 4, cpu = 2 }

[work.train]
program = "train"
cards = ["any:8"]
cores = [32]
memory_gb = [128]
gang = [2, 3]
run = ["20m", "1h", "2h"]
limit_permille = [1200, 2000]
slack = ["6h", "12h"]

[work.infer]
program = "infer"
cards = ["any:1", "any:0.5", "Ascend910B:2"]
cores = [2, 4]
memory_gb = [8, 16]
array = [4, 12]
run = ["5m", "20m", "90m"]
limit_permille = [1200, 2500]
slack = ["2h", "6h"]
delay = ["T1", "T2", "T3"]
at_home_permille = 300
domestic_permille = 300

[work.render]
program = "render"
cores = [8, 16]
memory_gb = [16, 32]
array = [4, 16]
run = ["5m", "20m", "1h"]
limit_permille = [1200, 2000]
from_jobs = true
from_pods = true

[[consumers]]
name = "lab"
count = 5
weight = 2
cities = { "Guiyang" = 2, "Shanghai" = 1 }
mix = { train = 1, infer = 3, render = 2 }
deposit = "1000000.00"
budget_per_month = "900000.00"

[[consumers]]
name = "studio"
count = 4
weight = 1
cities = { "Guiyang" = 1, "Beijing" = 1 }
mix = { render = 1 }
deposit = "1000000.00"
"#;

/// Machines that fail every few hours, links that are cut for up to two hours.
const TROUBLE: &str = r#"
[failures]
nodes_permille_per_day = 1500
down = ["10m", "2h"]
cuts_per_day = 12
cut = ["1m", "2h"]
"#;

fn scenario(more: &str) -> Scenario {
    Scenario::parse(&format!("{SMALL}{more}"), Form::Toml).unwrap_or_else(|error| panic!("{error}"))
}

fn report(more: &str, seed: u64, beside: &[Rival], lists: &Lists) -> MarketReport {
    let scenario = scenario(more);
    let run_of = Run { scenario: &scenario, lists, seed, days: scenario.days(), beside };
    run(&run_of, &mut |_| ()).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

fn own(report: &MarketReport) -> &PolicyReport {
    &report.policies[0]
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let lists = Lists::default();
    let one = report(TROUBLE, 7, &Rival::ALL, &lists);
    assert_eq!(one, report(TROUBLE, 7, &Rival::ALL, &lists));
    assert_ne!(one.checks.journal, report(TROUBLE, 8, &[], &lists).checks.journal);
}

#[test]
fn all_work_is_done_where_it_may_be_and_the_books_balance() {
    let report = report("", 7, &Rival::ALL, &Lists::default());
    assert_eq!((report.providers, report.consumers, report.jobs), (3, 9, 220));
    assert!(report.with_delay > 20 && report.with_residence > 20 && report.with_deadline > 50);
    assert!(report.checks.books_balanced && report.checks.capacity_ok);
    let (spent, earned): (f64, f64) =
        (report.checks.spent.parse().expect("money"), report.checks.earned.parse().expect("money"));
    assert!((earned / spent - 0.95).abs() < 1e-3, "{earned} of {spent}: the fee is a twentieth");
    let bound: f64 = report.bound_cost.parse().expect("money");
    assert!(bound > 0.0);
    let done = own(&report).card_hours;
    assert_eq!(report.policies.len(), 1 + Rival::ALL.len());
    for policy in &report.policies {
        let name = policy.policy;
        assert_eq!(policy.jobs_done, 220, "{name}");
        assert_eq!((policy.delay_violations, policy.residence_violations), (0, 0), "{name}");
        // The same work takes as long wherever it runs; launching takes two seconds of each task.
        assert!((policy.card_hours / done - 1.0).abs() < 0.01, "{name}");
        assert!(policy.cost.parse::<f64>().expect("money") >= bound, "{name} is below the bound");
        assert!((0.0..1.0).contains(&policy.gini), "{name}");
        assert!(policy.carbon_t > 0.0 && policy.utilisation > 0.05, "{name}");
    }
    assert_eq!(own(&report).cost, report.checks.spent, "lines and books say the same");
}

#[test]
fn machines_that_fail_and_links_that_are_cut_lose_nothing() {
    for seed in 1..=2 {
        let report = report(TROUBLE, seed, &Rival::ALL, &Lists::default());
        let checks = &report.checks;
        assert!(checks.node_failures > 0 && checks.lost > 0, "seed {seed} sees no trouble");
        assert!(checks.leases > report.tasks, "what was struck ran again");
        assert!(checks.books_balanced);
        assert_eq!(report.policies.len(), 1 + Rival::ALL.len());
        for policy in &report.policies {
            assert_eq!(policy.jobs_done, report.jobs, "seed {seed}, {}", policy.policy);
            assert_eq!((policy.delay_violations, policy.residence_violations), (0, 0));
        }
    }
}

#[test]
fn run_times_and_shapes_come_from_lists_where_they_are_given() {
    let jobs = "arrival_time,length,cpus\n0,0.5,1\n1,0.75,2\n";
    let pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,4000,8192,0,0\nb,6000,9000,1,500\n";
    let lists = Lists {
        jobs: dayan_simulate::market::read_jobs(jobs.as_bytes()).expect("a log"),
        pods: dayan_simulate::pack::read_pods(pods.as_bytes()).expect("a list"),
    };
    let (from_lists, without) = (report("", 7, &[], &lists), report("", 7, &[], &Lists::default()));
    assert_eq!(from_lists.jobs, without.jobs);
    // Four cores for half an hour to three quarters: less than the scenario's own sixteen.
    assert!(own(&from_lists).core_hours < own(&without).core_hours);
    assert!(own(&from_lists).core_hours > 0.0);
}

#[test]
fn progress_grows_to_the_end() {
    let (scenario, lists) = (scenario(""), Lists::default());
    let run_of = Run { scenario: &scenario, lists: &lists, seed: 7, days: 1, beside: &[] };
    let mut told = Vec::new();
    run(&run_of, &mut |part| told.push(part)).expect("it runs");
    assert!(told.len() > 10 && told.is_sorted(), "{told:?}");
    assert!((told[told.len() - 1] - 1.0).abs() < 1e-9);
}

#[test]
fn what_cannot_be_is_refused_with_its_line_and_key() {
    let check = |from: &str, to: &str, expect: &str| {
        assert!(SMALL.contains(from) && !expect.is_empty(), "{from}");
        let text = SMALL.replacen(from, to, 1);
        let error = Scenario::parse(&text, Form::Toml).expect_err(to);
        let line = SMALL.split(from).next().expect("before it").matches('\n').count() + 1;
        let told = error.to_string();
        assert!(told.contains(expect), "{told}");
        (error, line)
    };
    let at = |from: &str, to: &str, key: &str, expect: &str| {
        let (error, line) = check(from, to, expect);
        assert_eq!((error.line, error.key.as_str()), (Some(line), key), "{error}");
    };
    at("version = 1", "version = 2", "version", "this program reads version 1");
    at("days = 1", "days = 0", "days", "from 1 to 60");
    at("city = \"Guiyang\"", "city = \"Guiyan\"", "provider[2].city", "Guiyan");
    at(
        "tariff = \"flat\"",
        "tariff = \"steep\"",
        "provider[1].tariff",
        "there is no tariff `steep`",
    );
    at("nodes = { a800 = 4,", "nodes = { a900 = 4,", "provider[1].nodes.a900", "no kind `a900`");
    at("mix = { train = 1,", "mix = { trian = 1,", "consumers[1].mix.trian", "no work `trian`");
    at("cards = [\"any:8\"]", "cards = [\"any:1.5\"]", "work.train.cards", "any:1.5");
    at("model = \"A800-SXM4-80GB\"", "model = \"A8000\"", "kind.a800.model", "no `A8000`");
    at("card_hour = \"5.00\"", "card_hour = \"-5.00\"", "kind.a800.card_hour", "zero or more");
    at(
        "slack = [\"6h\", \"12h\"]",
        "slack = [\"12h\", \"6h\"]",
        "work.train.slack",
        "the least goes before",
    );
    at("core_watts = 5", "core_wats = 5", "kind.a800.core_wats", "unknown field");
    at("jobs_per_day = 220", "jobs_per_day = \"many\"", "arrivals.jobs_per_day", "invalid type");
    at("run = [\"20m\", \"1h\", \"2h\"]", "run = [\"20m\"]", "work.train.run", "two lengths");
    at("weekdays = [1,", "weekdays = [1, 1,", "arrivals.weekdays", "a list of 8, not of 7");
    check("cores = [8, 16]\nmemory_gb = [16, 32]", "cores = [8]", "given together");
    let gone = check("program = \"render\"", "", "missing field `program`").0;
    assert_eq!(gone.key, "work.render");
    assert!(Scenario::parse("", Form::Toml).is_err());
}

/// What once ended the program, or never ended: names that the exchange does not take, times and
/// sizes beyond everything.
#[test]
fn what_the_exchange_would_not_take_is_refused_before_it_is_opened() {
    let check = |from: &str, to: &str, expect: &str| {
        assert!(SMALL.contains(from) && !expect.is_empty(), "{from}");
        let text = SMALL.replacen(from, to, 1);
        let told = Scenario::parse(&text, Form::Toml).expect_err(to).to_string();
        let line = SMALL.split(from).next().expect("before it").matches('\n').count() + 1;
        assert!(
            told.contains(expect) && told.contains(&format!("line {line}, ")),
            "{line}: {told}"
        );
    };
    check("name = \"guiyang\"", "name = \"guian\"", "there is another provider `guian`");
    check("name = \"studio\"", "name = \"lab\"", "`lab-1` would be there twice");
    let text = SMALL.replacen("name = \"guiyang\"", "name = \"lab-2\"", 1);
    let told = Scenario::parse(&text, Form::Toml).expect_err("a name twice").to_string();
    assert!(told.ends_with("a provider is called `lab-2`, as one of them would be"), "{told}");
    for name in ["gui yang", "güiyang", "", "Guiyang"] {
        check("name = \"guiyang\"", &format!("name = \"{name}\""), "is no name");
        check("name = \"studio\"", &format!("name = \"{name}\""), "is no name");
    }
    let long = format!("name = \"{}\"", "x".repeat(38));
    check("name = \"studio\"", &long.replace("xx\"", "xxx\""), "more than 40 characters");
    check("start = \"2026", "start = \"1900", "from 1970-01-02");
    check("jobs_per_day = 220", "jobs_per_day = 4000000000", "from 1 to 2500000, for 1 days");
    check("jobs_per_day = 220", "jobs_per_day = 0", "from 1 to");
    check("count = 5", "count = 4000000000", "4000000000 consumers up to here; at most 20000");
    check("weight = 2", "weight = 4000000000", "from 0 to 1000000");
    check("array = [4, 12]", "array = [4, 4000000000]", "from 1 to 10000");
    check("gang = [2, 3]", "gang = [2, 5000]", "from 1 to 4096");
    check("pue_permille = 1200", "pue_permille = 0", "from 1000 to 5000");
    check("price_permille = 900", "price_permille = 0", "from 1 to 100000");
    check("at_home_permille = 300", "at_home_permille = 5000", "from 0 to 1000");
    check("nodes = { a800 = 4, asc", "nodes = { a800 = 30000, asc", "from 0 to 20000");
    let more = |more: &str, expect: &str| {
        let text = format!("{SMALL}{more}");
        let told = Scenario::parse(&text, Form::Toml).expect_err(more).to_string();
        assert!(told.contains(expect), "{told}");
    };
    more("\n[clearing]\nwindow = \"0s\"\n", "`clearing.window`: from 1m to 60d");
    more("\n[clearing]\ntold_every = \"0s\"\n", "`clearing.told_every`: from 1m to 60d");
    more("\n[failures]\nnodes_permille_per_day = 4000000000\n", "failures of machines in 1 days");
    more("\n[failures]\ncuts_per_day = 4000000000\n", "cuts in 1 days; at most 1000000");
    // A caller may ask for more days than the scenario has.
    let busy = SMALL
        .replace("jobs_per_day = 220", "jobs_per_day = 2000000")
        .replace("array = [4, 16]", "array = [4, 8]");
    let scenario = Scenario::parse(&busy, Form::Toml).unwrap_or_else(|error| panic!("{error}"));
    let lists = Lists::default();
    let run_of = Run { scenario: &scenario, lists: &lists, seed: 7, days: 2, beside: &[] };
    let error = run(&run_of, &mut |_| ()).expect_err("four million jobs");
    let told = "`arrivals.jobs_per_day`: from 1 to 1250000, for 2 days";
    assert_eq!(error.to_string(), told, "the days were asked for, and stand in no line");
    // Each of two works may have its tasks, both together may not.
    let many = |jobs: u32| {
        let text = SMALL
            .replace("[4, 12]", "[4, 10000]")
            .replace("[4, 16]", "[4, 10000]")
            .replace("jobs_per_day = 220", &format!("jobs_per_day = {jobs}"));
        Scenario::parse(&text, Form::Toml).map_err(|error| error.to_string())
    };
    assert!(many(2_000).is_ok());
    let told = many(2_600).expect_err("twenty million tasks at most");
    assert!(
        told.contains("`work.render.array`: 2600 jobs come in 1 days; with this work"),
        "{told}"
    );
}

#[test]
fn yaml_and_json_say_the_same_as_toml() {
    let yaml = include_str!("../../../scenarios/small.yaml");
    let scenario =
        |text: &str, form| Scenario::parse(text, form).unwrap_or_else(|error| panic!("{error}"));
    let plain = format!("{:?}", scenario(SMALL, Form::Toml));
    assert_eq!(format!("{:?}", scenario(yaml, Form::Yaml)), plain);
    let values: toml::Table = toml::from_str(SMALL).expect("TOML");
    let json = serde_json::to_string_pretty(&values).expect("JSON").replace("  ", "\t");
    assert_eq!(format!("{:?}", scenario(&json, Form::Yaml)), plain);
    let check = |from: &str, to: &str, expect: &str| {
        assert!(yaml.contains(from) && !expect.is_empty(), "{from}");
        let error = Scenario::parse(&yaml.replacen(from, to, 1), Form::Yaml).expect_err(to);
        let line = yaml.split(from).next().expect("before it").matches('\n').count() + 1;
        assert_eq!((error.line, error.to_string().contains(expect)), (Some(line), true), "{error}");
    };
    check("days: 1", "days: 100", "`days`: from 1 to 60");
    check("tariff: flat", "tariff: steep", "`provider[1].tariff`: there is no tariff `steep`");
    check("program: render", "progam: render", "`work.render.progam`: unknown field");
    let run = "`work.render.run`: at least two lengths above 0, in ascending order";
    check("run: [5m, 20m, 1h]", "run: [1h, 20m]", run);
    check("cores: [32]", "cores: [many]", "`work.train.cores");
    check("seed: 7", "seed: *seven", "anchors and aliases are not read");
    check("seed: 7", "seed: &seven 7", "anchors and aliases are not read");
    check("seed: 7", "seed: !!str 7", "tags are not read");
    check("seed: 7", "name: 7", "`name` is there twice");
    check("weekdays: [1,", "weekdays: {1,", "a bracket is not closed, or a comma is missing");
    let empty = Scenario::parse("", Form::Yaml).expect_err("nothing");
    assert_eq!((empty.line, empty.to_string().as_str()), (None, "the file is empty"));
    assert!(Scenario::parse(&"[".repeat(100_000), Form::Yaml).is_err());
    assert!(Scenario::parse(&"{a: ".repeat(100_000), Form::Yaml).is_err());
}

/// Who runs out of money is refused, by code; the market goes on, and what is compared is the same
/// work for everybody.
#[test]
fn who_cannot_pay_is_refused_and_kept_apart() {
    let check = |from: &str, to: &str| {
        let text = SMALL.replace(from, to).replace("jobs_per_day = 220", "jobs_per_day = 60");
        let scenario = Scenario::parse(&text, Form::Toml).unwrap_or_else(|error| panic!("{error}"));
        let lists = Lists::default();
        let run_of = Run {
            scenario: &scenario,
            lists: &lists,
            seed: 7,
            days: 1,
            beside: &[Rival::Cheapest],
        };
        let report = run(&run_of, &mut |_| ()).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(report.unpaid.jobs > 0 && report.jobs > 0, "{to}: {report:?}");
        assert_eq!(report.jobs + report.unpaid.jobs, 60, "{to}");
        let checks = &report.checks;
        assert!(checks.books_balanced && checks.capacity_ok);
        assert_eq!(report.policies.len(), 2);
        for policy in &report.policies {
            assert_eq!(policy.jobs_done, report.jobs, "{to}: {}", policy.policy);
        }
        let money = |text: &str| text.parse::<f64>().expect("money");
        let all = money(&own(&report).cost) + money(&report.unpaid.cost);
        assert!((all - money(&checks.spent)).abs() < 0.02, "{to}: {all} of {}", checks.spent);
        assert!(money(&own(&report).cost) >= money(&report.bound_cost), "{to}");
        report
    };
    let short = check("1000000.00", "100.00");
    assert!(short.checks.refusals.contains_key("money.balance"), "{:?}", short.checks.refusals);
    let report = check("900000.00", "10.00");
    let budget = |code: &String| code.starts_with("market.budget") || code.starts_with("budget");
    assert!(report.checks.refusals.keys().any(budget), "{:?}", report.checks.refusals);
    // The lab pays for nothing at all.
    let text = "mix = { train = 1, infer = 3, render = 2 }\ndeposit = ";
    assert!(check(&format!("{text}\"1000000.00\""), &format!("{text}\"0.00\"")).unpaid.jobs > 30);
}

#[test]
fn work_that_no_pool_takes_is_refused_before_anything_runs() {
    let text = SMALL.replace("gang = [2, 3]", "gang = [40]");
    let scenario = Scenario::parse(&text, Form::Toml).expect("a scenario");
    let lists = Lists::default();
    let run_of = Run { scenario: &scenario, lists: &lists, seed: 7, days: 1, beside: &[] };
    let error = run(&run_of, &mut |_| ()).expect_err("forty machines are nowhere");
    assert_eq!(
        error.to_string(),
        "no pool takes work `train` of consumers `lab`: its gang has 40 members, and no pool with cards \
         `any` has more than 4 machines for it"
    );
    let check = |from: &str, to: &str, expect: &str| {
        let scenario = Scenario::parse(&SMALL.replacen(from, to, 1), Form::Toml);
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        let run_of = Run { scenario: &scenario, lists: &lists, seed: 7, days: 1, beside: &[] };
        let told = run(&run_of, &mut |_| ()).expect_err(to).to_string();
        assert!(told.ends_with(expect) && !expect.is_empty(), "{told}");
    };
    check("any:8", "H20:8", ": there is no pool with cards `H20`");
    check(
        "cores = [32]",
        "cores = [65]",
        "takes 65 cores, and no machine with cards `any` has more than 64",
    );
    check(
        "cores = [8, 16]",
        "cores = [80, 80]",
        "takes 80 cores, and no machine without cards has more than 64",
    );
    check(
        "program = \"train\"",
        "program = \"tr#: ain\\u0007\"",
        "makes a job file that is refused: a colon with a space after it makes a key, and no key can stand here",
    );
}

#[test]
fn the_scenario_of_the_region_has_its_size() {
    let text = include_str!("../../../scenarios/guizhou.toml");
    let scenario = Scenario::parse(text, Form::Toml).unwrap_or_else(|error| panic!("{error}"));
    let size = scenario.size();
    assert_eq!((size.providers, size.consumers), (33, 496));
    assert!((4.49..4.51).contains(&size.eflops), "{} EFLOPS", size.eflops);
}

#[test]
fn work_that_may_wait_for_a_cheaper_hour_costs_less_and_is_in_time() {
    let cost = |prefer: &str| {
        let text = SMALL
            .replace("1000, 950, 950]", "1000, 500, 500]")
            .replace("[\"6h\", \"12h\"]", &format!("[\"6h\", \"12h\"]\n{prefer}"));
        let scenario = Scenario::parse(&text, Form::Toml).unwrap_or_else(|error| panic!("{error}"));
        let lists = Lists::default();
        let run_of = Run { scenario: &scenario, lists: &lists, seed: 7, days: 1, beside: &[] };
        let report = run(&run_of, &mut |_| ()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(own(&report).deadline_misses, 0, "{prefer}");
        own(&report).cost.parse::<f64>().expect("money")
    };
    let (at_once, patient) = (cost(""), cost("prefer = [\"price\"]"));
    assert!(patient < 0.97 * at_once, "{patient} beside {at_once}");
}

fn words() -> MarketWords {
    let word = |text: &str| text.to_owned();
    MarketWords {
        title: word("a region"),
        note: word("seed 7"),
        nothing: word("nothing to draw"),
        utilisation: word("use"),
        waits: word("waits"),
        against_delay: word("cost against delay"),
        tasks: word("tasks"),
        time: word("time"),
        used: word("used"),
        wait: word("wait"),
        share: word("share"),
        mean_wait: word("mean wait"),
        over_bound: word("over the bound"),
        rows: word("cards"),
        waited: ["1", "2", "3", "4", "5"].map(|degree| format!("degree {degree}")),
    }
}

#[test]
fn what_is_drawn_is_what_the_report_says() {
    let (scenario, lists) = (scenario(TROUBLE), Lists::default());
    let run_of =
        Run { scenario: &scenario, lists: &lists, seed: 7, days: 1, beside: &[Rival::Fcfs] };
    let (report, course) = follow(&run_of, &Alone, &mut |_| ()).expect("it runs");
    assert_eq!((report.policies.len(), course.policies.len()), (2, 2));
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    for (policy, drawn) in report.policies.iter().zip(&course.policies) {
        assert_eq!(policy.policy, drawn.policy);
        assert_eq!(drawn.waits_s.len(), report.jobs, "each job once");
        // To the digits of the report.
        assert!((mean(&drawn.used) - policy.utilisation).abs() < 1e-4, "{policy:?}");
        assert!((mean(&drawn.waits_s) - policy.mean_wait_s).abs() < 0.1, "{policy:?}");
        let longest = drawn.waits_s.iter().copied().fold(0.0, f64::max);
        assert!((longest - policy.max_wait_s as f64).abs() < 1.0, "{policy:?}");
    }
    let sheet = picture(&report, &course, &words());
    let [used, waits, against, tasks] = &sheet.charts[..] else {
        panic!("four charts, not {}", sheet.charts.len())
    };
    assert_eq!((used.series.len(), waits.series.len()), (2, 2));
    assert_eq!(against.series.len(), 2);
    for (policy, series) in report.policies.iter().zip(&against.series) {
        let dot = vec![(policy.mean_wait_s, policy.over_bound_pct)];
        assert_eq!(series.marks, Marks::Dots(dot));
    }
    // No two tasks are drawn on the same part of a card at once.
    let boxes = tasks.series.iter().flat_map(|series| match &series.marks {
        Marks::Boxes(areas) => areas.clone(),
        Marks::Line(_) | Marks::Steps(_) | Marks::Dots(_) => Vec::new(),
    });
    let boxes: Vec<_> = boxes.collect();
    let pool = course.pool.as_ref().expect("something ran");
    assert!(boxes.len() > 10 && boxes.len() == pool.tasks.len(), "{} boxes", boxes.len());
    for (nth, one) in boxes.iter().enumerate() {
        assert!(one.y.1 <= pool.rows && one.x.1 <= pool.reach_s.1, "{one:?}");
        for other in &boxes[..nth] {
            let apart = |one: (f64, f64), other: (f64, f64)| one.1 <= other.0 || other.1 <= one.0;
            assert!(apart(one.x, other.x) || apart(one.y, other.y), "{one:?} {other:?}");
        }
    }
    let svg = sheet.svg();
    assert!(svg.contains("cost against delay") && !svg.contains("nothing to draw"));
}

//! The four job files of the product description are read as they are printed.

use dayan_spec::{
    DelayClass, Finish, JobKind, JobSpec, Launch, MarketMode, Preference, Resume, Same, parse_json,
    parse_yaml,
};
use dayan_units::{Bytes, MilliAccel, MilliCpu, Span};

fn text(name: &str) -> String {
    let path = format!("{}/tests/files/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect("the file is in the repository")
}

fn read(name: &str) -> JobSpec {
    parse_yaml(&text(name)).unwrap_or_else(|errors| panic!("{}", errors.render(name)))
}

#[test]
fn film_is_an_array_of_frames() {
    let job = read("film");
    assert_eq!((job.name.as_str(), job.kind), ("shot-120", JobKind::Batch));
    assert_eq!(job.project.organisation(), "studio-a");
    assert_eq!(job.task_count(), 60);
    assert_eq!(job.task_slice(0), Some((1001, 1004, 1)));
    assert_eq!(job.task_slice(59), Some((1237, 1240, 1)));
    assert_eq!(job.task_slice(60), None);
    assert_eq!(job.resources.cpus.min, MilliCpu(16_000));
    assert_eq!(job.resources.memory.min, Bytes(64_000_000_000));
    assert_eq!(job.resources.time, Span::from_secs(7_200));
    assert_eq!(job.resources.accelerators[0].to_string(), "any-nvidia:1");
    assert_eq!(job.market.max_price.expect("given").to_string(), "900.00 CNY");
    assert_eq!(job.retry.when.len(), 4);
    assert_eq!(job.on_lost_link.keep, Span::from_secs(1_800));
}

#[test]
fn llm_is_a_gang_with_alternatives() {
    let job = read("llm");
    let gang = job.gang.as_ref().expect("a gang");
    assert_eq!((gang.nodes, gang.same.as_slice()), (8, &[Same::Site, Same::Fabric][..]));
    assert_eq!(job.task_count(), 8);
    let cards: Vec<_> = job.resources.accelerators.iter().map(|a| a.count).collect();
    assert_eq!(cards, [MilliAccel(8_000); 2]);
    assert_eq!(job.resources.cpus.max, None);
    assert_eq!(job.retry.resume, Resume::Checkpoint);
    assert_eq!(job.on_lost_link.keep, Span::from_secs(7_200));
    assert_eq!(job.market.fallback, Some(MarketMode::OnDemand));
}

#[test]
fn tyre_is_a_service_with_a_delay_class() {
    let job = read("tyre");
    let service = job.service.as_ref().expect("a service");
    assert_eq!((service.port, service.replicas.min, service.replicas.max), (8000, 2, 12));
    let delay = &job.network.as_ref().expect("given").delay;
    assert_eq!((delay.class, delay.from.len(), delay.percentile), (DelayClass::T2, 2, 99));
    assert_eq!(job.market.max_unit_price.expect("given").to_string(), "9.50 CNY/hour");
    assert_eq!(job.on_lost_link.keep, Span::from_secs(30));
    assert!(job.placement.domestic);
}

#[test]
fn forecast_has_a_schedule_and_a_hard_deadline() {
    let job = read("forecast");
    assert_eq!(job.schedule.as_ref().expect("given").cron, "20 0,6,12,18 * * *");
    assert_eq!(
        job.deadline.as_ref().expect("given").finish,
        Finish::Within(Span::from_secs(6_000))
    );
    assert_eq!((job.task_count(), job.launch), (48, Launch::Head));
    assert_eq!(job.prefer, [Preference::Deadline, Preference::Price, Preference::Carbon]);
}

/// The canonical form is what the journal keeps: it must read back to the same job.
#[test]
fn the_canonical_form_reads_back() {
    let every = ["every_key", "every_array_key", "every_service_key", "every_step_key"];
    for name in ["film", "llm", "tyre", "forecast"].into_iter().chain(every) {
        let job = read(name);
        let canonical = serde_json::to_string(&job).expect("it can be written");
        let back: JobSpec = serde_json::from_str(&canonical).expect("it can be read");
        assert_eq!(back, job, "{canonical}");
    }
}

#[test]
fn further_options_of_slurm_are_words_like_others() {
    let slurm = |written: &str| {
        let text = format!(
            "version: 1\nname: x\ntype: batch\nproject: a/b\nrun: ./x\nbackend: {{slurm: {written}}}\n"
        );
        parse_yaml(&text).map(|job| job.backend.slurm)
    };
    let all = slurm("{nice: '5', extra: '--nice=10  --exclusive --hint=nomultithread'}");
    let expect = [("exclusive", "true"), ("hint", "nomultithread"), ("nice", "5")];
    let expect = expect.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(all.expect("fine"), expect.into());
    for bad in ["-n 4", "--nice 10", "nice=10", "--Nice=1", "--=1", "--nice="] {
        let errors = slurm(&format!("{{extra: '{bad}'}}")).expect_err(bad);
        assert_eq!(errors.errors[0].code, dayan_spec::Code::BadSlurmExtra, "{bad}");
    }
}

/// A plan is asked again by the file that it keeps.
#[test]
fn a_file_in_json_is_the_same_job() {
    let every = ["every_key", "every_array_key", "every_service_key", "every_step_key"];
    for name in ["film", "llm", "tyre", "forecast"].into_iter().chain(every) {
        let text = text(name);
        let json = dayan_spec::as_json(&text).expect("valid").to_string();
        assert_eq!(parse_json(&json).expect("valid"), read(name), "{json}");
        assert_eq!(dayan_spec::as_json(&json).expect("valid").to_string(), json);
    }
    assert_eq!(dayan_spec::as_json("name: x"), None);
}

#[test]
fn the_least_job_is_small_in_both_forms() {
    let yaml = "version: 1\nname: 120\ntype: batch\nproject: a/b\nrun: 'true'\n";
    let json = r#"{"version": 1, "name": "120", "type": "batch", "project": "a/b", "run": "true"}"#;
    let job = parse_yaml(yaml).expect("valid");
    assert_eq!(parse_json(json).expect("valid"), job);
    insta::assert_snapshot!(serde_json::to_string(&job).expect("it can be written"));
}

/// One look at the whole canonical form: a change of it is a change of the journal.
#[test]
fn the_canonical_form_is_stable() {
    insta::assert_json_snapshot!(read("every_key"));
}

/// What other YAML readers turn into numbers, times or booleans stays as it is written.
#[test]
fn texts_stay_texts() {
    let check = |written: &str, expect: &str| {
        let text = format!(
            "version: 1\nname: x\ntype: batch\nproject: a/b\nrun: ./x\nenv:\n  A: {written}\n"
        );
        let job = parse_yaml(&text).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(job.env["A"], expect);
    };
    check("0.10", "0.10");
    check("010", "010");
    check("1e3", "1e3");
    check("0x10", "0x10");
    check("12:30:00", "12:30:00");
    check("2026-11-30", "2026-11-30");
    check("no", "no");
    check("true", "true");
    check("'null'", "null");
    check(".inf", ".inf");
    check("\"\"", "");
    check("|\n    two\n    lines", "two\nlines\n");
    check("渲染 # a comment", "渲染");
}

#[test]
fn line_ends_and_marks_of_other_systems_do_not_matter() {
    let plain = include_str!("files/film.yaml");
    let other = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    assert_eq!(parse_yaml(&other), parse_yaml(plain));
    let broken = other.replace("retry:", "rtery:");
    let errors = parse_yaml(&broken).expect_err("an unknown key");
    assert_eq!((errors.errors[0].line, errors.errors[0].column), (11, 1));
}

//! What a job needs of a pool, and what its tasks find in their environment.

use std::collections::BTreeSet;

use dayan_spec::{
    Feature, JobSpec, TaskContext, not_offered, offered_by_process_pool, parse_yaml, requirements,
    task_env,
};
use dayan_units::{Bytes, JobId, MilliCpu, Time};

fn job(more: &str) -> JobSpec {
    let text = format!("version: 1\nname: x\ntype: batch\nproject: a/b\nrun: ./x\n{more}");
    parse_yaml(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn each_part_asks_for_its_feature() {
    let check = |more: &str, expect: &[Feature]| {
        assert_eq!(requirements(&job(more)), expect.iter().copied().collect(), "{more}");
    };
    check("", &[]);
    check("image: blender:4", &[Feature::Containers]);
    check("image: a:1\nmounts: [{from: a, at: /a}]", &[Feature::Containers, Feature::Steps]);
    check("files: {a: b}", &[Feature::Files]);
    check("inputs: [{from: scene/, to: scene/}]", &[Feature::Staging]);
    check("inputs: [{from: data://scene/, to: scene/}]", &[Feature::Staging]);
    check("inputs: [{from: file:///srv/scene/, to: scene/}]", &[Feature::Staging]);
    check("inputs: [{from: s3://b/k, to: k}]", &[Feature::ObjectStore]);
    check("inputs: [{from: https://h/k, to: k}]", &[Feature::Http]);
    check("inputs: [{from: 'dayan://a/b/*.exr', to: k}]", &[Feature::DataStore]);
    check("inputs: [{from: ./k, to: k}]", &[Feature::LocalFiles]);
    check("outputs: [{from: out/, to: https://h/k}]", &[Feature::WebOutputs]);
    check("outputs: [{from: out/, to: s3://b/k}]", &[Feature::ObjectStore]);
    check(
        "outputs: [{from: out/, to: data://o/, when: file_closed}]",
        &[Feature::Staging, Feature::StreamedElsewhere],
    );
    check(
        "outputs: [{from: out/, to: dayan://a/b/o/, when: file_closed}]",
        &[Feature::DataStore, Feature::StreamedOutputs],
    );
    check("secrets: {TOKEN: hub}", &[Feature::Secrets]);
    check("checkpoint: {path: c}", &[Feature::Checkpoint]);
    check("time_signal: {before: 5m}", &[Feature::TimeSignal]);
    check("schedule: {cron: '0 0 * * *'}", &[]);
    check("depends_on: [y]", &[]);
    check("depends_on: [y]\nschedule: {cron: '0 0 * * *'}", &[Feature::Dependencies]);
    check("notify: [{to: 'https://h/x'}]", &[Feature::Notify]);
    check("gang: {nodes: 2, same: [site]}", &[]);
    check("gang: {nodes: 2, same: [fabric]}", &[Feature::Fabric]);
    check("market: {mode: spot}", &[Feature::Spot]);
    check("market: {mode: spot, fallback: on_demand}", &[]);
    check(
        "market: {mode: reserved, contract: C, fallback: spot}",
        &[Feature::Spot, Feature::Fallback, Feature::Reserved],
    );
    check("network: {delay: {class: T1, from: city:Guiyang}}", &[]);
    check("network: {delay: {class: T1, from: city:Guiyang, on_breach: move}}", &[Feature::Move]);
    check("strict: true", &[]);
    check("market: {budget: {amount: 1 CNY, per: job, on_limit: stop}}", &[]);
    check("market: {budget: {amount: 1 CNY, per: day, on_limit: stop}}", &[Feature::JobBudgets]);
    check("market: {budget: {amount: 1 CNY, per: job, on_limit: warn}}", &[Feature::JobBudgets]);
    check("backend: {slurm: {qos: high}}", &[Feature::SlurmOptions]);
    check("backend: {slurm: {extra: --nice=10}}", &[Feature::SlurmOptions]);
    check("backend: {slurm: {partition: gpu}}", &[]);
}

#[test]
fn a_job_in_steps_needs_a_pool_that_has_them() {
    let job = parse_yaml(include_str!("files/every_step_key.yaml")).expect("valid");
    assert_eq!(requirements(&job), [Feature::Containers, Feature::Steps, Feature::Files].into());
    // What people see of it where a command stands else.
    assert_eq!(job.run, "sort -u '' && wc -l /data/a");
    assert_eq!(job.steps[0].command, ["sort", "-u", ""]);
}

#[test]
fn the_product_files_are_refused_for_what_is_not_there() {
    let check = |text: &str, expect: &[&str]| {
        let job = parse_yaml(text).expect("valid");
        let refused = offered_by_process_pool(&job);
        assert_eq!(refused.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(), expect);
        let all: BTreeSet<Feature> = Feature::ALL.iter().copied().collect();
        assert_eq!(not_offered(&job, &all), []);
    };
    check(
        include_str!("files/film.yaml"),
        &["not_offered.containers", "not_offered.object_store", "not_offered.spot"],
    );
    check(
        include_str!("files/llm.yaml"),
        &[
            "not_offered.fabric",
            "not_offered.checkpoint",
            "not_offered.reserved",
            "not_offered.fallback",
        ],
    );
    check(
        include_str!("files/tyre.yaml"),
        &["not_offered.services", "not_offered.move", "not_offered.job_budgets"],
    );
    check(include_str!("files/forecast.yaml"), &[]);
}

#[test]
fn a_task_finds_its_place_in_its_environment() {
    let context = TaskContext {
        job: JobId::from_bits(7),
        task: 1,
        attempt: 2,
        node_rank: 0,
        pool: "tower".to_owned(),
        nodelist: vec!["n1".to_owned()],
        head: "n1".to_owned(),
        cpus: MilliCpu(2_500),
        memory: Bytes(1_000),
        deadline: Some(Time::EPOCH),
        scheduled_at: Some(Time::EPOCH),
        hostfile: None,
    };
    let array = job("array: {range: '1-20:2', chunk: 4}\nenv: {SCENE: a b, N: 3}");
    let lines = |job: &JobSpec, context: &TaskContext| {
        let env = task_env(job, context);
        let lines: Vec<String> =
            env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n") + "\n"
    };
    insta::assert_snapshot!(lines(&array, &context));
    let gang = job("gang: {nodes: 4}");
    // How many there are of it in this launch, which may be fewer than it would like.
    let nodelist = ["n1", "n2", "n3"].map(str::to_owned).to_vec();
    let gang_env = lines(&gang, &TaskContext { nodelist, ..context.clone() });
    assert!(gang_env.contains("DAYAN_NODES=3\n") && !gang_env.contains("ARRAY"), "{gang_env}");
    let fraction = TaskContext { cpus: MilliCpu(250), hostfile: Some("/h".into()), ..context };
    let env = task_env(&gang, &fraction);
    assert!(env.contains(&("DAYAN_CPUS".to_owned(), "1".to_owned())));
    assert!(env.contains(&("DAYAN_HOSTFILE".to_owned(), "/h".to_owned())));
}

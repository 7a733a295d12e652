//! What goes wrong in a cluster, tried on the engine: servers that die, watches that expire, nodes
//! that fall silent, quotas, missing rights, images and room. On a real control plane where one is at
//! hand, else on the fake.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dayan_engines::kubernetes::{Lookout, Namespaces, Site};
use dayan_engines::{
    Engine, GangSeat, Image, Isolation, KubernetesConfig, KubernetesEngine, Launch, LeaseEnd,
    Limits, Observation, Outcome, Phase, Program, Signal, StartFailure, StartFault, Stream,
    Workdir,
};
use dayan_units::{AttemptId, Bytes, JobId, MilliCpu, Span};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::lab::{Lab, until};
use crate::twin::{IMAGE, Room};
use crate::visits::visit;
use crate::{ask, config};

/// How long a condition may take: servers are restarted in these.
const PATIENCE: Span = Span::from_secs(60);

/// An agent's hands in a test.
pub struct Trial<'a> {
    lab: &'a Lab,
    engine: Option<KubernetesEngine>,
    config: KubernetesConfig,
    job: JobId,
    next: u32,
}

impl<'a> Trial<'a> {
    pub fn new(lab: &'a Lab, folder: &str) -> Self {
        Self::with(lab, config(lab, folder))
    }
    pub fn with(lab: &'a Lab, config: KubernetesConfig) -> Self {
        let engine = KubernetesEngine::open(config.clone()).expect("opens");
        let (_, now) = engine.boot_now();
        let job = JobId::from_bits(u128::from(now.micros().unsigned_abs()) << 20);
        Self { lab, engine: Some(engine), config, job, next: 0 }
    }
    pub fn engine(&mut self) -> &mut KubernetesEngine {
        self.engine.as_mut().expect("it is open")
    }
    pub fn lease(&mut self, span: Span) -> LeaseEnd {
        let (boot, now) = self.engine().boot_now();
        LeaseEnd { boot, at: now.plus(span) }
    }
    pub fn launch(&mut self, line: &str) -> Launch {
        self.next += 1;
        Launch {
            attempt: AttemptId { job: self.job, task: self.next, attempt: 1 },
            program: Program::Shell(line.to_owned()),
            env: std::collections::BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits: Limits::default(),
            lease_end: self.lease(Span::from_secs(600)),
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: Some(Image { name: IMAGE.to_owned(), ..Image::default() }),
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: std::collections::BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        }
    }
    pub fn try_start(&mut self, launch: Launch) -> Result<AttemptId, StartFault> {
        let attempt = launch.attempt;
        let answer = self.engine().start(vec![launch]).pop().expect("one answer");
        answer.map(|()| attempt)
    }
    pub fn start(&mut self, line: &str) -> AttemptId {
        let launch = self.launch(line);
        self.try_start(launch).expect("it is taken")
    }
    pub fn seen(&mut self, attempt: AttemptId) -> Option<Observation> {
        let list = self.engine().list().expect("it lists");
        list.into_iter().find(|seen| seen.attempt == attempt)
    }
    pub fn until(&mut self, attempt: AttemptId, is: impl Fn(&Observation) -> bool) -> Observation {
        let (_, now) = self.engine().boot_now();
        let end = now.plus(PATIENCE);
        loop {
            let seen = self.seen(attempt);
            if let Some(seen) = seen.clone().filter(|seen| is(seen)) {
                return seen;
            }
            assert!(self.engine().boot_now().1 < end, "it does not come to that: {seen:?}");
            self.engine().observe(Span::from_millis(200)).expect("it observes");
        }
    }
    pub fn running(&mut self, attempt: AttemptId) {
        self.until(attempt, |seen| matches!(seen.phase, Phase::Running { .. }));
    }
    pub fn end(&mut self, attempt: AttemptId) -> Outcome {
        let seen = self.until(attempt, |seen| seen.end().is_some());
        seen.end().expect("waited for").outcome.clone()
    }
    pub fn folder(&self, attempt: AttemptId) -> PathBuf {
        let task = attempt.to_string();
        until("a folder", || self.lab.twin().work_of(&task)).expect("it has one")
    }
    /// Tells a task that waits for it to go on.
    pub fn go(&self, attempt: AttemptId) {
        std::fs::write(self.folder(attempt).join("go"), "").expect("writes");
    }
    pub fn output(&mut self, attempt: AttemptId) -> String {
        let chunk = self.engine().logs(attempt, Stream::Stdout, 0, 1 << 20).expect("it reads");
        String::from_utf8_lossy(&chunk.data).into_owned()
    }
    /// The agent dies and is started again after `meanwhile`.
    pub fn away(&mut self, meanwhile: impl FnOnce()) {
        self.engine = None;
        meanwhile();
        self.engine = Some(KubernetesEngine::open(self.config.clone()).expect("opens again"));
    }
}

/// Waits for a file, runs to it, and says so.
const WAITS: &str = "echo began; while [ ! -e go ]; do sleep 0.05; done; echo ended; exit 4";

#[test]
fn a_server_that_dies_loses_nothing_and_runs_nothing_twice() {
    let lab = Lab::any();
    let mut trial = Trial::new(&lab, "agent");
    let before = trial.start(WAITS);
    trial.running(before);
    lab.kill_server();
    // Launched while nobody answers: it waits.
    let during = trial.start("echo during");
    trial.go(before);
    trial.engine().observe(Span::from_secs(1)).expect("it observes");
    assert!(trial.seen(during).is_some_and(|seen| seen.end().is_none()), "nothing is made up");
    lab.revive_server();
    assert_eq!(trial.end(before), Outcome::Exited(4), "its end was not lost");
    assert_eq!(trial.end(during), Outcome::Exited(0));
    assert_eq!(trial.output(before), "began\nended\n");
    // Twice more, with the agent away too: versions that it knew have expired.
    let over = trial.start(WAITS);
    trial.running(over);
    trial.away(|| {
        lab.kill_server();
        lab.revive_server();
    });
    trial.go(over);
    assert_eq!(trial.end(over), Outcome::Exited(4));
    let started = lab.twin().started();
    let pods: BTreeSet<&String> = started.iter().collect();
    assert_eq!((pods.len(), started.len()), (3, 3), "each ran once: {started:?}");
}

#[test]
fn an_agent_that_dies_finds_its_tasks_again() {
    let lab = Lab::any();
    let mut trial = Trial::new(&lab, "agent");
    let (runs, ends) = (trial.start(WAITS), trial.start(WAITS));
    trial.running(runs);
    trial.running(ends);
    let (folder, launch) = (trial.folder(ends), trial.launch("true"));
    trial.away(|| {
        std::fs::write(folder.join("go"), "").expect("writes");
    });
    assert!(trial.seen(runs).is_some_and(|seen| matches!(seen.phase, Phase::Running { .. })));
    assert_eq!(trial.end(ends), Outcome::Exited(4));
    assert_eq!(trial.output(ends), "began\nended\n");
    let again = Launch { attempt: runs, ..launch };
    assert_eq!(trial.try_start(again), Err(StartFault::AlreadyLaunched(runs)));
    // Without its journal it finds what runs by the labels, and by the job what it is.
    let journal = trial.config.dir.join("kubernetes.journal");
    trial.away(|| std::fs::remove_file(journal).expect("it is there"));
    assert!(trial.seen(runs).is_some_and(|seen| matches!(seen.phase, Phase::Running { .. })));
    trial.go(runs);
    assert_eq!(trial.end(runs), Outcome::Exited(4));
    // Forgotten, nothing of it is left in the cluster.
    trial.engine().forget(&[runs, ends]).expect("it forgets");
    assert!(trial.seen(runs).is_none());
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    let gone = || {
        trial.engine.as_mut().expect("open").observe(Span::from_millis(50)).expect("it observes");
        let left = runtime.block_on(async {
            let client = ask::client(&config).await;
            let jobs: kube::Api<Job> = kube::Api::namespaced(client.clone(), "dayan");
            let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
                kube::Api::namespaced(client, "dayan");
            let list = kube::api::ListParams::default();
            let jobs = jobs.list(&list).await.expect("lists").items.len();
            jobs + secrets.list(&list).await.expect("lists").items.len()
        });
        (left == 0).then_some(())
    };
    assert!(until("jobs and secrets are gone", gone).is_some());
}

#[test]
fn a_lease_ends_in_the_cluster_when_the_agent_is_dead() {
    let lab = Lab::any();
    let mut trial = Trial::new(&lab, "agent");
    let attempt =
        trial.start("trap 'echo told; exit 0' TERM; echo began; while :; do sleep 0.05; done");
    trial.running(attempt);
    let lease = trial.lease(Span::from_secs(4));
    trial.engine().extend(&[(attempt, lease)]).expect("it extends");
    // Told to the cluster before the agent goes.
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    let told = || {
        trial.engine.as_mut().expect("open").observe(Span::from_millis(50)).expect("it observes");
        runtime.block_on(async {
            let jobs: kube::Api<Job> = kube::Api::namespaced(ask::client(&config).await, "dayan");
            let all = jobs.list(&kube::api::ListParams::default()).await.expect("lists").items;
            let deadline = all.first()?.spec.as_ref()?.active_deadline_seconds?;
            (deadline < 60).then_some(())
        })
    };
    assert!(until("the cluster knows the deadline", told).is_some());
    let folder = trial.folder(attempt);
    let clock = dayan_engines::BootClock::of_this_machine().expect("a clock");
    trial.away(|| {
        let ended = folder.parent().expect("it lies in one").join("ended");
        let gone = until("the task is ended", || {
            (ended.exists() || !folder.exists()).then(|| clock.now())
        });
        let at = gone.expect("nobody of ours is left to end it, and it ends");
        assert!(at <= lease.at.plus(Span::from_secs(5)), "late by {}", at.since(lease.at));
    });
    assert_eq!(trial.end(attempt), Outcome::LeaseEnded);
}

#[test]
fn a_silent_nodes_task_is_over_when_its_lease_is() {
    let lab = Lab::any();
    let mut trial = Trial::new(&lab, "agent");
    let attempt = trial.start(WAITS);
    trial.running(attempt);
    lab.twin().be_silent(true);
    let lease = trial.lease(Span::from_secs(3));
    trial.engine().extend(&[(attempt, lease)]).expect("it extends");
    // It was asked to go and its node says nothing: nothing is said of it either.
    let (_, now) = trial.engine().boot_now();
    let after = lease.at.plus(Span::from_secs(3)).since(now);
    let until = now.plus(after);
    while trial.engine().boot_now().1 < until {
        trial.engine().observe(Span::from_millis(200)).expect("it observes");
    }
    assert!(trial.seen(attempt).is_some_and(|seen| seen.end().is_none()), "it may still run");
    lab.twin().be_silent(false);
    assert_eq!(trial.end(attempt), Outcome::LeaseEnded);
}

#[test]
fn what_the_cluster_does_to_a_pod_is_told_apart() {
    let lab = Lab::any();
    let mut trial = Trial::new(&lab, "agent");
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    let pod_of = |attempt: AttemptId| {
        runtime.block_on(async {
            let api: kube::Api<Pod> = kube::Api::namespaced(ask::client(&config).await, "dayan");
            let all = api.list(&kube::api::ListParams::default()).await.expect("lists").items;
            let index = |pod: &Pod| {
                let job = pod.metadata.labels.as_ref()?.get("dayan/batch")?.clone();
                let body = attempt.job.to_string();
                let body = body.rsplit('_').next()?.to_owned();
                (job.contains(&body) && job.contains(&format!("-{}-", attempt.task))).then_some(())
            };
            let found = all.into_iter().find(|pod| index(pod).is_some()).expect("it has a pod");
            (api, found.metadata.name.expect("it has a name"))
        })
    };
    // Deleted by somebody: a node's failure to us, and it is placed elsewhere.
    let deleted = trial.start("sleep 300");
    trial.running(deleted);
    let (api, name) = pod_of(deleted);
    let params = kube::api::DeleteParams::default().grace_period(0);
    runtime.block_on(api.delete(&name, &params)).expect("deletes");
    assert_eq!(trial.end(deleted), Outcome::KeeperDied);
    // Evicted by its node, which was short of something: taken off, and nothing failed.
    let evicted = trial.start("sleep 300");
    trial.running(evicted);
    let (api, name) = pod_of(evicted);
    let status = json!({ "status": { "phase": "Failed", "reason": "Evicted", "message": "disk" } });
    let patch = kube::api::Patch::Merge(&status);
    runtime
        .block_on(api.patch_status(&name, &kube::api::PatchParams::default(), &patch))
        .expect("patches");
    assert_eq!(trial.end(evicted), Outcome::Preempted);
    // By the kubelet's own watch over its time.
    let mut launch = trial.launch("sleep 300");
    launch.limits.wall = Span::from_secs(1);
    let late = trial.try_start(launch).expect("it is taken");
    assert_eq!(trial.end(late), Outcome::TimeLimit);
    // An image that does not come.
    let mut launch = trial.launch("true");
    launch.image = Some(Image { name: "no/such:1".to_owned(), ..Image::default() });
    let missing = trial.try_start(launch).expect("it is taken");
    match trial.end(missing) {
        Outcome::StartFailed(StartFailure::Other(words)) => {
            assert!(words.contains("ImagePullBackOff") && words.contains("no/such:1"), "{words}");
        }
        other => panic!("it never ran: {other:?}"),
    }
}

#[test]
fn quotas_are_respected_and_said() {
    let lab = Lab::any();
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    runtime.block_on(async {
        let api: kube::Api<k8s_openapi::api::core::v1::ResourceQuota> =
            kube::Api::namespaced(ask::client(&config).await, "dayan");
        let quota = json!({
            "metadata": { "name": "small" }, "spec": { "hard": { "requests.cpu": "2" } },
        });
        let quota = serde_json::from_value(quota).expect("a quota");
        api.create(&kube::api::PostParams::default(), &quota).await.expect("made");
    });
    // What is shown is no more than the quota has.
    let mut site = crate::config(&lab, "lookout").site;
    let lookout = Lookout::start(site.clone(), &lab.folder("lookout")).expect("it looks");
    let within = || {
        let seen = lookout.look().expect("it sees");
        let total: u64 = seen.nodes.iter().map(|node| node.total.cpu.0).sum();
        (total == 2_000).then_some(())
    };
    assert!(until("the quota bounds what is shown", within).is_some());
    let mut trial = Trial::new(&lab, "agent");
    // The quota has been read when the engine knows of it.
    let mut large = trial.launch("true");
    large.limits.cpu = MilliCpu(3_000);
    let words = until("the quota is known", || {
        trial.engine.as_mut().expect("open").observe(Span::from_millis(100)).expect("it observes");
        // The same attempt is asked for again: it is refused each time.
        match trial.engine.as_mut().expect("open").start(vec![large.clone()]).pop() {
            Some(Err(StartFault::Unsupported(words))) => Some(words),
            other => panic!("it fits no quota: {other:?}"),
        }
    });
    let words = words.expect("it is refused");
    assert!(words.contains("engine.kubernetes.quota") && words.contains("`small`"), "{words}");
    // What fits the quota, but not now, waits for others to end.
    let launches: Vec<Launch> = (0..4).map(|_| trial.launch("sleep 1")).collect();
    let attempts: Vec<AttemptId> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in trial.engine().start(launches) {
        answer.expect("each of them fits");
    }
    for attempt in attempts {
        assert_eq!(trial.end(attempt), Outcome::Exited(0));
    }
    // Per organisation: where there is no namespace it says so.
    site.namespaces = Namespaces { pattern: "dayan-{org}".to_owned(), ..Namespaces::default() };
    lab.make_namespace("dayan-acme");
    let config = KubernetesConfig { site, ..crate::config(&lab, "by-org") };
    let mut trial = Trial::with(&lab, config);
    let mut launch = trial.launch("echo acme");
    launch.org = Some("acme".to_owned());
    let acme = trial.try_start(launch).expect("it is taken");
    assert_eq!(trial.end(acme), Outcome::Exited(0));
    let mut launch = trial.launch("true");
    launch.org = Some("blue".to_owned());
    let blue = trial.try_start(launch).expect("it is taken");
    match trial.end(blue) {
        Outcome::StartFailed(StartFailure::Other(words)) => {
            assert!(words.contains("engine.kubernetes.namespace"), "{words}");
            assert!(words.contains("dayan-blue"), "{words}");
        }
        other => panic!("it has no namespace: {other:?}"),
    }
}

#[test]
fn a_gang_without_room_for_all_gives_its_room_back() {
    let lab = Lab::any();
    let second = lab.add_node("twin-2", &Room::default());
    let mut config = config(&lab, "agent");
    let mut trial = Trial::with(&lab, config.clone());
    let gang = |trial: &mut Trial<'_>, launch: u32, nodes: u32, then: &str| -> Vec<AttemptId> {
        let launches: Vec<Launch> = (0..nodes)
            .map(|rank| {
                let line = format!("echo $DAYAN_NODE_RANK $DAYAN_HEAD $DAYAN_NODELIST; {then}");
                let mut one = trial.launch(&line);
                one.gang = Some(GangSeat { launch, nodes, members: nodes, rank });
                one
            })
            .collect();
        let attempts = launches.iter().map(|launch| launch.attempt).collect();
        for answer in trial.engine().start(launches) {
            answer.expect("it is taken");
        }
        attempts
    };
    let two = gang(&mut trial, 1, 2, "sleep 1");
    for attempt in &two {
        assert_eq!(trial.end(*attempt), Outcome::Exited(0));
    }
    let said = trial.output(two[1]);
    assert!(said.starts_with("1 dayan-") && said.contains("-0."), "{said}");
    assert_eq!(second.started().len(), 1, "a node for each member");
    // Three do not fit on two nodes: the first two wait for the third, and not for ever.
    config.pace.gang_within = Span::from_secs(5);
    trial.config = config;
    trial.away(|| ());
    let three = gang(&mut trial, 2, 3, "sleep 600");
    let running = |trial: &mut Trial<'_>| {
        let list = trial.engine().list().expect("it lists");
        let runs = |seen: &&Observation| {
            three.contains(&seen.attempt) && matches!(seen.phase, Phase::Running { .. })
        };
        list.iter().filter(runs).count()
    };
    let both = until("two of them run", || {
        trial.engine().observe(Span::from_millis(100)).expect("it observes");
        (running(&mut trial) == 2).then_some(())
    });
    assert!(both.is_some());
    // All of them are over, those that ran too, and for want of room: none ended by itself.
    for attempt in &three {
        match trial.end(*attempt) {
            Outcome::StartFailed(StartFailure::NoRoom(words)) => {
                assert!(words.contains("--kube-scheduler"), "{words}");
            }
            other => panic!("the gang found no room: {other:?}"),
        }
    }
    // Their room is free again.
    for attempt in gang(&mut trial, 4, 2, "true") {
        assert_eq!(trial.end(attempt), Outcome::Exited(0));
    }
    // A head that starts the rest itself has nothing to do that with.
    let mut head = trial.launch("true");
    head.gang = Some(GangSeat { launch: 3, nodes: 2, members: 1, rank: 0 });
    let refused = trial.try_start(head);
    assert!(matches!(refused, Err(StartFault::Unsupported(_))), "{refused:?}");
}

#[test]
fn accelerators_are_found_and_asked_for_by_their_resource() {
    let lab = Lab::any();
    let room = Room { more: [("huawei.com/Ascend910", 8)].into(), ..Room::default() };
    let node = lab.add_node("npu-1", &room);
    let site = config(&lab, "agent").site;
    let lookout = Lookout::start(site, &lab.folder("agent")).expect("it looks");
    let shown = until("the accelerators are seen", || {
        let seen = lookout.look().expect("it sees");
        let node = seen.nodes.into_iter().find(|node| node.name == "npu-1" && node.up)?;
        Some((node.accelerator, node.total.accel.0, seen.accelerator))
    });
    let resource = Some("huawei.com/Ascend910".to_owned());
    assert_eq!(shown, Some((Some("Ascend910".to_owned()), 8_000, resource)));
    let mut trial = Trial::new(&lab, "agent");
    let mut launch = trial.launch("true");
    launch.accelerators = 4;
    launch.limits.memory = Bytes(64 << 20);
    let attempt = trial.try_start(launch).expect("it is taken");
    assert_eq!(trial.end(attempt), Outcome::Exited(0));
    // Only the real scheduler counts accelerators.
    if crate::lab::assets().is_some() {
        assert_eq!(node.started().len(), 1, "it ran where they are");
    }
}

#[test]
fn an_agent_without_rights_says_which_it_needs() {
    let Some(lab) = Lab::real() else { return };
    let mut config = config(&lab, "agent");
    config.site.kubeconfig = Some(lab.config("plain"));
    // It may ask for the version and nothing else: it opens, and its tasks end in words.
    let engine = KubernetesEngine::open(config.clone());
    let Ok(engine) = engine else {
        let words = engine.err().map(|fault| fault.to_string()).unwrap_or_default();
        panic!("it opens and says later what is missing: {words}");
    };
    assert!(!engine.describe().features.signals, "it may not run commands in pods");
    drop(engine);
    let mut trial = Trial::with(&lab, config);
    let attempt = trial.start("true");
    match trial.end(attempt) {
        Outcome::StartFailed(StartFailure::Other(words)) => {
            assert!(words.contains("engine.kubernetes.rbac"), "{words}");
            assert!(words.contains("docs/guides/kubernetes.md"), "{words}");
        }
        other => panic!("it may not: {other:?}"),
    }
    let site = Site { kubeconfig: Some(lab.config("plain")), ..Site::default() };
    let lookout = Lookout::start(site, &lab.folder("agent")).expect("it begins");
    let words = lookout.look().expect_err("it may not look").to_string();
    assert!(words.contains("nodes") && words.contains("forbidden"), "{words}");
}

#[test]
fn a_stop_before_it_runs_is_a_stop_and_the_whole_array_goes() {
    let lab = Lab::any();
    let mut trial = Trial::new(&lab, "agent");
    // Asks for more than any node has: it waits.
    let launches: Vec<Launch> = (0..3)
        .map(|_| {
            let mut launch = trial.launch("true");
            launch.limits.cpu = MilliCpu(600_000);
            launch
        })
        .collect();
    let attempts: Vec<AttemptId> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in trial.engine().start(launches) {
        answer.expect("it is taken");
    }
    trial.engine().observe(Span::from_secs(1)).expect("it observes");
    for attempt in &attempts {
        trial.engine().stop(*attempt, Span::ZERO, Signal::TERM).expect("it stops");
    }
    for attempt in attempts {
        assert_eq!(trial.end(attempt), Outcome::Stopped);
    }
    assert_eq!(lab.twin().started(), Vec::<String>::new());
}

/// What `tools/kubernetes/rbac.yaml` gives, given to the lab's user `agent`.
fn give_rights(lab: &Lab) {
    let text = include_str!("../../../../tools/kubernetes/rbac.yaml");
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(text).expect("YAML");
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    runtime.block_on(async {
        let client = ask::client(&config).await;
        for mut object in objects {
            let group = "/apis/rbac.authorization.k8s.io/v1";
            let path = match object["kind"].as_str().expect("a kind") {
                "Role" => format!("{group}/namespaces/dayan/roles"),
                "RoleBinding" => format!("{group}/namespaces/dayan/rolebindings"),
                "ClusterRole" => format!("{group}/clusterroles"),
                "ClusterRoleBinding" => format!("{group}/clusterrolebindings"),
                "ServiceAccount" => "/api/v1/namespaces/dayan/serviceaccounts".to_owned(),
                "NetworkPolicy" => {
                    "/apis/networking.k8s.io/v1/namespaces/dayan/networkpolicies".to_owned()
                }
                // It is there.
                "Namespace" => continue,
                other => panic!("{other} is in the manifest"),
            };
            if object.get("subjects").is_some() {
                object["subjects"] = json!([{
                    "kind": "User", "name": "agent", "apiGroup": "rbac.authorization.k8s.io",
                }]);
            }
            let (code, said) = crate::compare::send(&client, "POST", &path, Some(object)).await;
            assert_eq!(code, 201, "{said}");
        }
    });
}

#[test]
fn the_manifest_gives_the_rights_that_are_needed() {
    let Some(lab) = Lab::real() else { return };
    give_rights(&lab);
    let mut config = config(&lab, "agent");
    config.site.kubeconfig = Some(lab.config("agent"));
    let lookout = Lookout::start(config.site.clone(), &config.dir).expect("it looks");
    let seen = lookout.look().expect("it may");
    assert_eq!((seen.nodes.len(), seen.about["others"].as_str()), (1, "seen"));
    let mut trial = Trial::with(&lab, config);
    let (ends, stopped) = (trial.start("echo said; exit 3"), trial.start("sleep 300"));
    assert_eq!(trial.end(ends), Outcome::Exited(3));
    assert_eq!(trial.output(ends), "said\n");
    trial.running(stopped);
    assert!(trial.engine().describe().features.signals, "it may run commands in pods");
    let said = visit(&mut trial, stopped, b"", &["echo", "visited"]);
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.stdout, b"visited\n", "{words}");
    let lease = trial.lease(Span::from_secs(900));
    trial.engine().extend(&[(stopped, lease)]).expect("it extends");
    trial.engine().stop(stopped, Span::ZERO, Signal::TERM).expect("it stops");
    assert_eq!(trial.end(stopped), Outcome::Stopped);
    trial.engine().forget(&[ends, stopped]).expect("it forgets");
    let (admin, runtime) = (lab.config("admin"), ask::runtime());
    let gone = || {
        trial.engine.as_mut().expect("open").observe(Span::from_millis(50)).expect("it observes");
        runtime.block_on(async {
            let jobs: kube::Api<Job> = kube::Api::namespaced(ask::client(&admin).await, "dayan");
            let left = jobs.list(&kube::api::ListParams::default()).await.expect("lists");
            left.items.is_empty().then_some(())
        })
    };
    assert!(until("its jobs are removed", gone).is_some());
}

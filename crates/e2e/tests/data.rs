//! Data in and out, end to end: the data store from a laptop to a task and back, inputs from the
//! web, secrets; kill -9 of the agent while it fetches and while it publishes.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::{Stage, find, until};

const HEAD: &str = "version: 1\ntype: batch\nproject: lab/demo\n\
                    resources: {cpus: 0.01, memory: 16MB, time: 10m}\n";

fn stage() -> Stage {
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_pool("main", &["--cpus", "1", "--private-data", "allow"]);
    stage
}

/// Runs a member's command that must go well.
fn member(stage: &Stage, args: &[&str]) -> Value {
    let output = stage.member_run(args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// What a member's command says when it is refused.
fn refused(stage: &Stage, args: &[&str]) -> String {
    let output = stage.member_run(args, "");
    assert!(!output.status.success(), "{args:?} went well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn submit(stage: &Stage, name: &str, rest: &str) -> String {
    let file = format!("{name}.yaml");
    std::fs::write(stage.path(&file), format!("{HEAD}name: {name}\n{rest}")).expect("written");
    member(stage, &["submit", &file])["job"].as_str().expect("a job").to_owned()
}

fn succeeded(stage: &Stage, job: &str) {
    let shown = stage.ended(job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
}

fn got(stage: &Stage, address: &str) -> String {
    let output = stage.member_run(&["data", "get", address, "-"], "");
    assert!(output.status.success(), "{address}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn from_a_laptop_to_a_task_and_back() {
    let stage = stage();
    for (path, text) in [("scene/a.txt", "a"), ("scene/deep/b.exr", "b"), ("scene/empty", "")] {
        let path = stage.path(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let put = ["data", "put", "scene", "dayan://lab/demo/scene/"];
    let first = member(&stage, &put);
    assert_eq!((&first["sent_files"], &first["sent_bytes"]), (&3.into(), &2.into()), "{first}");
    let again = member(&stage, &put);
    assert_eq!(again["sent_files"], 0, "what is there is not sent: {again}");
    let listed = member(&stage, &["data", "ls", "dayan://lab/demo/"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");

    // A laptop's own file goes along; one that is not anywhere is said at once.
    std::fs::write(stage.path("local.txt"), "local\n").expect("written");
    let token = "s3cr3t-of-the-film";
    let set = stage.member_run(&["secret", "set", "lab/demo", "tok"], &format!("{token}\n"));
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let job = submit(
        &stage,
        "walk",
        "inputs:\n\
         \x20 - {from: dayan://lab/demo/scene/, to: in/}\n\
         \x20 - {from: 'dayan://lab/demo/scene/**/*.exr', to: exr}\n\
         \x20 - {from: ./local.txt, to: here/}\n\
         outputs:\n\
         \x20 - {from: 'out/*.txt', to: dayan://lab/demo/results/}\n\
         \x20 - {from: out/b.exr, to: dayan://lab/demo/one.exr}\n\
         secrets: {TOKEN: tok}\n\
         run: mkdir out; find . -type f | sort > out/list.txt; cp exr/deep/b.exr out; \
         printf %s \"$TOKEN\" | sha256sum > out/token.txt; cat here/local.txt > out/local.txt\n",
    );
    succeeded(&stage, &job);
    let list = got(&stage, "dayan://lab/demo/results/list.txt");
    for path in ["./in/a.txt", "./in/deep/b.exr", "./in/empty", "./exr/deep/b.exr"] {
        assert!(list.contains(path), "{list}");
    }
    assert_eq!(got(&stage, "dayan://lab/demo/results/local.txt"), "local\n");
    assert_eq!(got(&stage, "dayan://lab/demo/one.exr"), "b");
    member(&stage, &["data", "get", "dayan://lab/demo/results", "back"]);
    assert!(stage.path("back/token.txt").exists());
    let published = member(&stage, &["data", "ls", "dayan://lab/demo/results/"]);
    assert!(published[0]["by"].as_str().is_some_and(|by| by.starts_with(&job)), "{published}");

    // The secret reached the task, and nothing that is kept or told holds it.
    let digest = got(&stage, "dayan://lab/demo/results/token.txt");
    let told = stage.member_run(&["secret", "ls", "lab/demo"], "");
    assert!(!String::from_utf8_lossy(&told.stdout).contains(token));
    assert!(digest.starts_with("c186e9928294a205"), "of the secret: {digest}");
    for folder in ["exchange", "server.log", "main.log", "agent-main/orders.journal"] {
        assert_eq!(holders(&stage.path(folder), token), [""; 0], "{folder}");
    }
    stage.assert_sound();
}

#[test]
fn a_program_is_one_wherever_it_goes() {
    let stage = stage();
    let script = stage.path("run.sh");
    std::fs::write(&script, "#!/bin/sh\ncp \"$0\" made.sh; printf made\n").expect("written");
    let program: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, program).expect("set");
    let made = submit(
        &stage,
        "makes",
        "inputs: [{from: ./run.sh, to: run.sh}]\n\
         outputs: [{from: made.sh, to: dayan://lab/demo/made.sh}]\nrun: ./run.sh\n",
    );
    succeeded(&stage, &made);
    let used = submit(
        &stage,
        "uses",
        "inputs: [{from: dayan://lab/demo/made.sh, to: bin/tool}]\n\
         outputs: [{from: out, to: dayan://lab/demo/out}]\nrun: bin/tool > out\n",
    );
    succeeded(&stage, &used);
    assert_eq!(got(&stage, "dayan://lab/demo/out"), "made");
    let get = ["data", "get", "dayan://lab/demo/made.sh", "back.sh"];
    assert!(stage.member_run(&get, "").status.success());
    let ran =
        std::process::Command::new(stage.path("back.sh")).current_dir(stage.path("")).output();
    assert_eq!(ran.expect("it is a program").stdout, b"made");
}

/// Files at or below a path that hold a text.
fn holders(path: &std::path::Path, text: &str) -> Vec<String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("there").flatten();
        return entries.flat_map(|entry| holders(&entry.path(), text)).collect();
    }
    let bytes = std::fs::read(path).unwrap_or_default();
    let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if found { vec![path.display().to_string()] } else { Vec::new() }
}

#[test]
fn what_is_not_there_or_not_ones_own_is_refused_before_anything_runs() {
    let stage = stage();
    stage.operate(&["org", "create", "rival"]);
    stage.operate(&["project", "create", "rival/film"]);
    std::fs::write(stage.path("x"), "x").expect("written");
    let check = |args: &[&str], code: &str| {
        let said = refused(&stage, args);
        assert!(said.contains(code), "{args:?}: {said}");
    };
    check(&["data", "put", "x", "dayan://rival/film/x"], "project.unknown");
    check(&["data", "ls", "dayan://rival/film/"], "project.unknown");
    check(&["secret", "ls", "rival/film"], "project.unknown");
    check(&["data", "rm", "dayan://lab/demo/x"], "data.unknown");
    check(&["data", "put", "none", "dayan://lab/demo/x"], "none");
    let job = |name: &str, rest: &str| {
        let file = format!("{name}.yaml");
        std::fs::write(stage.path(&file), format!("{HEAD}name: {name}\nrun: 'true'\n{rest}"))
            .expect("written");
        file
    };
    let missing = job("missing", "inputs: [{from: dayan://lab/demo/x, to: x}]");
    check(&["submit", &missing], "data.unknown");
    let foreign = job("foreign", "outputs: [{from: x, to: dayan://rival/film/x}]");
    check(&["submit", &foreign], "project.unknown");
    let secret = job("secret", "secrets: {T: none}");
    check(&["submit", &secret], "secret.unknown");
    let local = job("local", "inputs: [{from: ./none, to: x}]");
    check(&["submit", &local], "./none");
    let web = job("web", "outputs: [{from: x, to: 'https://h/x'}]");
    check(&["submit", &web], "not_offered.web_outputs");
    assert_eq!(member(&stage, &["ps"]), serde_json::json!([]), "nothing was submitted");
}

/// A web server for one file, that knows ranges: the first answers are cut after so many bytes.
struct Web {
    url: String,
    /// From where on each request asked, and its `If-None-Match`.
    asked: Arc<Mutex<Vec<(u64, bool)>>>,
}

impl Web {
    /// Serves the bytes; the first `cuts` answers stop after `cut_after` bytes, without an end.
    fn serve(bytes: Vec<u8>, cuts: usize, cut_after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/big.bin", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<(u64, bool)>>> = Arc::default();
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bytes, log) = (bytes.clone(), log.clone());
                std::thread::spawn(move || answer(stream, &bytes, &log, cuts, cut_after));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<(u64, bool)> {
        self.asked.lock().expect("nobody panics").clone()
    }
}

fn answer(
    mut stream: TcpStream,
    bytes: &[u8],
    log: &Mutex<Vec<(u64, bool)>>,
    cuts: usize,
    cut_after: usize,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let range = head.split("range: bytes=").nth(1);
    let from: usize = range.and_then(|r| r.split('-').next()?.parse().ok()).unwrap_or(0);
    let known = head.contains("if-none-match: \"v1\"");
    let before = {
        let mut log = log.lock().expect("nobody panics");
        log.push((from as u64, known));
        log.len()
    };
    let status = if known {
        "304 Not Modified\r\n".to_owned()
    } else if from > 0 {
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        format!("206 Partial Content\r\ncontent-range: {range}\r\n")
    } else {
        "200 OK\r\n".to_owned()
    };
    let rest = if known { &[][..] } else { &bytes[from..] };
    let length = rest.len();
    let head = format!(
        "HTTP/1.1 {status}etag: \"v1\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    if before <= cuts {
        let _ = stream.write_all(&rest[..cut_after.min(rest.len())]);
        // Silent until the other end goes away.
        let _ = stream.read(&mut byte);
    } else {
        let _ = stream.write_all(rest);
    }
}

#[test]
fn an_agent_that_is_killed_while_it_fetches_goes_on_where_it_was() {
    let mut stage = stage();
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let half = bytes.len() / 2;
    let web = Web::serve(bytes.clone(), 1, half);
    let rest = format!(
        "inputs: [{{from: '{}', to: big}}]\noutputs: [{{from: sum, to: dayan://lab/demo/sum}}]\n\
         run: sha256sum < big > sum\n",
        web.url
    );
    let job = submit(&stage, "fetch", &rest);
    // How far it is can be seen.
    until("half of the file", || {
        let shown = stage.show(&job)?;
        let done = shown["attempts"][0]["copying"]["done"].as_u64()?;
        (done == half as u64).then_some(())
    });
    stage.kill_agent("main");
    stage.start_again("main");
    stage.assert_ran_once(&job);
    let asked = web.asked();
    // From the last byte that is there, which it would have to ask for as well were it all.
    assert_eq!(asked, [(0, false), (half as u64 - 1, false)], "the second went on from the cut");
    std::fs::write(stage.path("big"), &bytes).expect("written");
    let put = member(&stage, &["data", "put", "big", "dayan://lab/demo/big"]);
    let sha256 = put["files"][0]["sha256"].as_str().expect("a digest");
    assert!(got(&stage, "dayan://lab/demo/sum").starts_with(sha256));

    // The site has it now: asked whether it is still the same, and not fetched again.
    let job = submit(&stage, "again", &rest);
    succeeded(&stage, &job);
    assert_eq!(web.asked()[2..], [(0, true)]);
    // Named by its digest, nobody is asked.
    let known = rest.replace("to: big", &format!("to: big, sha256: {sha256}"));
    let job = submit(&stage, "known", &known);
    succeeded(&stage, &job);
    assert_eq!(web.asked().len(), 3);
    // And what is not what it should be does not start a task.
    let other = rest.replace("to: big", &format!("to: big, sha256: {}", "0".repeat(64)));
    let job = submit(&stage, "other", &format!("{other}retry: {{max: 0}}\n"));
    let shown = stage.ended(&job);
    let reason = shown["attempts"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&web.url) && reason.contains("SHA-256"), "{shown:#}");
    // What the exchange's own store has by another digest is that everywhere: it is not tried again.
    let zeros = "0".repeat(64);
    let wrong = format!(
        "inputs: [{{from: 'dayan://lab/demo/big', to: big, sha256: {zeros}}}]\nretry: {{max: 3}}\nrun: 'true'\n"
    );
    let job = submit(&stage, "wrong", &wrong);
    let shown = stage.ended(&job);
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown:#}");
    let reason = shown["attempts"][0]["reason"].as_str().unwrap_or_default();
    for part in ["dayan://lab/demo/big", sha256, &zeros] {
        assert!(reason.contains(part), "{part}: {shown:#}");
    }
}

/// All bytes had come, and were not yet known to be all: of an address without a digest nobody says how many.
#[test]
fn an_agent_that_is_killed_before_it_knows_what_it_has_goes_on_all_the_same() {
    let mut stage = stage();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let half = bytes.len() / 2;
    let web = Web::serve(bytes.clone(), 1, half);
    let rest = format!("inputs: [{{from: '{}', to: big}}]\nrun: test -s big\n", web.url);
    let job = submit(&stage, "fetch", &rest);
    until("half of the file", || {
        let done = stage.show(&job)?["attempts"][0]["copying"]["done"].as_u64()?;
        (done == half as u64).then_some(())
    });
    stage.kill_agent("main");
    let parts = stage.agent_folder("main").join("cache/parts");
    let part = std::fs::read_dir(&parts).expect("there").flatten().map(|entry| entry.path());
    let part = part.into_iter().find(|path| path.extension().is_none()).expect("a part");
    std::fs::write(part, &bytes).expect("written");
    stage.start_again("main");
    stage.assert_ran_once(&job);
    assert_eq!(web.asked(), [(0, false), (bytes.len() as u64 - 1, false)]);
}

#[test]
fn an_agent_that_is_killed_while_it_publishes_publishes_once() {
    let mut stage = stage();
    let run = "mkdir out; for i in 1 2 3 4; do head -c 3000000 /dev/urandom > out/$i; done; \
               cat out/* | sha256sum > out/sum";
    for round in 0..3_u32 {
        let name = format!("publish-{round}");
        let job = submit(
            &stage,
            &name,
            &format!("outputs: [{{from: out/, to: dayan://lab/demo/{name}/}}]\nrun: {run}\n"),
        );
        // In the first round as soon as it runs, then a little later each time: before the bytes
        // are sent, between, and about the grant.
        stage.running(&job, 1);
        std::thread::park_timeout(std::time::Duration::from_millis(u64::from(round) * 150));
        stage.kill_agent("main");
        stage.start_again("main");
        stage.assert_ran_once(&job);
        let listed = member(&stage, &["data", "ls", &format!("dayan://lab/demo/{name}/")]);
        let listed = listed.as_array().expect("a list").clone();
        assert_eq!(listed.len(), 5, "{listed:?}");
        assert!(listed.iter().all(|file| file["by"] == listed[0]["by"]), "by one attempt");
        let folder = format!("back-{round}");
        member(&stage, &["data", "get", &format!("dayan://lab/demo/{name}/"), &folder]);
        let check = std::process::Command::new("sh")
            .args(["-c", "cat 1 2 3 4 | sha256sum | cmp - sum"])
            .current_dir(stage.path(&folder))
            .status();
        assert!(check.expect("it runs").success(), "the files are one attempt's");
    }
    stage.assert_sound();
}

/// Equal bytes are one upload, whoever sends them: each waits for whom it meets there, and none gives up.
#[test]
fn equal_results_that_are_sent_at_once_are_published_by_each() {
    let stage = stage();
    let job = submit(
        &stage,
        "equal",
        "array: {range: 0-5}\noutputs: [{from: out/, to: dayan://lab/demo/equal/}]\n\
         run: 'mkdir out && truncate -s 48000000 out/same-$DAYAN_TASK && echo $DAYAN_TASK > out/$DAYAN_TASK'\n",
    );
    succeeded(&stage, &job);
    let shown = stage.ended(&job);
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(6), "each at its first: {shown:#}");
    let listed = member(&stage, &["data", "ls", "dayan://lab/demo/equal/"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(12), "{listed}");
    assert_eq!(got(&stage, "dayan://lab/demo/equal/4"), "4\n");
}

#[test]
fn files_are_sent_as_they_are_closed_and_seen_when_the_task_has_succeeded() {
    let stage = stage();
    let job = submit(
        &stage,
        "early",
        "outputs: [{from: 'out/*', to: dayan://lab/demo/early/, when: file_closed}]\n\
         run: mkdir out; echo one > out/1; until [ -e go ]; do sleep 0.1; done; echo two > out/2\n",
    );
    stage.running(&job, 1);
    // The digest of "one\n": its bytes are at the exchange while the task runs on.
    let digest = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806";
    let blob = stage.path(&format!("exchange/store/blobs/2c/{digest}"));
    until("the first file's bytes", || blob.exists().then_some(()));
    assert_eq!(member(&stage, &["data", "ls", "dayan://lab/demo/early/"]), serde_json::json!([]));
    let folder = find(&stage.path("agent-main"), "out").expect("the task's folder");
    std::fs::write(folder.parent().expect("a folder").join("go"), "").expect("written");
    succeeded(&stage, &job);
    assert_eq!(got(&stage, "dayan://lab/demo/early/1"), "one\n");
    assert_eq!(got(&stage, "dayan://lab/demo/early/2"), "two\n");
}

#[test]
fn work_goes_to_the_site_that_has_its_data() {
    let words = ["--data-place", "Shenzhen"].map(str::to_owned).to_vec();
    let mut stage = Stage::empty(support::Serve { words, ..support::Serve::default() });
    stage.add_pool("near", &["--cpus", "1"]);
    stage.add_pool("large", &["--cpus", "2"]);
    std::fs::write(stage.path("big"), vec![7; 3_000_000]).expect("written");
    member(&stage, &["data", "put", "big", "dayan://lab/demo/big"]);
    let job = |name: &str, cpus: &str| {
        let file = format!("{name}.yaml");
        let text = format!(
            "version: 1\nname: {name}\ntype: batch\nproject: lab/demo\n\
             resources: {{cpus: {cpus}, memory: 16MB, time: 10m}}\nprefer: [data]\n\
             inputs: [{{from: dayan://lab/demo/big, to: big}}]\nrun: cmp -n 1 big big\n"
        );
        std::fs::write(stage.path(&file), text).expect("written");
        file
    };
    let small = job("small", "0.1");
    let moved = |pool: &str| {
        let plan = member(&stage, &["plan", &small]);
        let candidates = plan["candidates"].as_array().expect("a list").clone();
        let found =
            candidates.iter().find(|c| c["pool_name"] == pool).expect("a candidate").clone();
        let seconds = found["transfer_s"].as_f64().expect("known");
        (found["transfer_bytes"].as_u64().expect("known"), seconds)
    };
    for pool in ["near", "large"] {
        let (bytes, seconds) = moved(pool);
        assert_eq!(bytes, 3_000_000, "{pool}");
        // A gigabit and the way from Shenzhen.
        assert!((0.024..0.2).contains(&seconds), "{pool}: {seconds} s");
    }
    // It fits nowhere else, and leaves its input in the site's cache.
    let first = member(&stage, &["submit", &job("first", "2")]);
    let first = first["job"].as_str().expect("a job").to_owned();
    succeeded(&stage, &first);
    until("what the site holds", || (moved("large") == (0, 0.0)).then_some(()));
    assert_eq!(moved("near").0, 3_000_000);
    let second = member(&stage, &["submit", &small])["job"].as_str().expect("a job").to_owned();
    succeeded(&stage, &second);
    let pool = |job: &str| stage.show(job).expect("there")["attempts"][0]["pool"].clone();
    assert_eq!(pool(&second), pool(&first), "it went where its data was");
}

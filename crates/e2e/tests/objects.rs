//! Inputs from and outputs to an object store that speaks S3: `moto_server`, a stand-in for Amazon's
//! in Python, which `make test` installs. Its program is named by `DAYAN_TEST_MOTO`.

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::{Stage, until};

struct Moto {
    address: String,
    child: Child,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// A store of its own, if there is a program for it.
    fn start() -> Option<Self> {
        let program = std::env::var_os("DAYAN_TEST_MOTO")?;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let port = address.rsplit(':').next().expect("a port");
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        until("the object store", || TcpStream::connect(&address).ok());
        Some(Self { address, child })
    }

    /// A request, whose signature this store does not look at. The status and the body.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("it runs");
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/s3/\
             aws4_request, SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let status = String::from_utf8_lossy(&answer[9..12]).parse().expect("a status");
        (status, answer[end + 4..].to_vec())
    }

    fn put(&self, path: &str, body: &[u8]) {
        let (status, said) = self.ask("PUT", path, body);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&said));
    }
}

/// A way to the store on which parts of uploads are counted, and those from some number on wait.
struct Gate {
    address: String,
    state: Arc<Mutex<GateState>>,
}

#[derive(Default)]
struct GateState {
    /// Parts from this number on wait.
    closed_from: Option<u32>,
    /// How often each part set out.
    parts: BTreeMap<u32, usize>,
}

impl Gate {
    fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let gate = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(GateState::default()));
        let (address, seen) = (address.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&address) else { continue };
                let (Ok(back), Ok(to)) = (far.try_clone(), near.try_clone()) else { continue };
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || carry(near, far, &|chunk| pass(&seen, chunk)));
                std::thread::spawn(move || carry(back, to, &|_| {}));
            }
        });
        Self { address: gate, state }
    }

    fn close_from(&self, part: Option<u32>) {
        self.state.lock().expect("sound").closed_from = part;
    }

    /// How often each part set out since the last look.
    fn parts(&self) -> BTreeMap<u32, usize> {
        std::mem::take(&mut self.state.lock().expect("sound").parts)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, look: &dyn Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        look(&buffer[..read]);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// Counts a part that sets out, and waits while it may not go on.
fn pass(state: &Mutex<GateState>, chunk: &[u8]) {
    if !chunk.starts_with(b"PUT ") {
        return;
    }
    let line = chunk.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let Some((_, number)) = line.split_once("partNumber=") else { return };
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    let part: u32 = digits.parse().expect("a part's number");
    *state.lock().expect("sound").parts.entry(part).or_default() += 1;
    until("the gate to open", || {
        let closed = state.lock().expect("sound").closed_from.is_some_and(|from| part >= from);
        (!closed).then_some(())
    });
}

/// The secret of a bucket behind that address is set.
fn set_secret(stage: &Stage, name: &str, address: &str) {
    let secret = format!(
        "{{\"access_key_id\": \"AKIATEST\", \"secret_access_key\": \"hush-hush\", \
         \"endpoint\": \"http://{address}\"}}"
    );
    let set = stage.member_run(&["secret", "set", "lab/demo", name], &secret);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

fn submit(stage: &Stage, name: &str, rest: &str) -> Result<String, String> {
    let file = format!("{name}.yaml");
    let text = format!(
        "version: 1\ntype: batch\nproject: lab/demo\nname: {name}\n\
         resources: {{cpus: 0.01, memory: 16MB, time: 10m}}\nretry: {{max: 0}}\n{rest}"
    );
    std::fs::write(stage.path(&file), text).expect("written");
    let output = stage.member_run(&["submit", &file], "");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let job = value["job"].as_str().map(str::to_owned);
    job.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn objects_come_in_and_results_go_out_with_the_grant() {
    let Some(moto) = Moto::start() else {
        println!("SKIPPED: no object store to test with (DAYAN_TEST_MOTO names no moto_server)");
        return;
    };
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_pool("main", &["--cpus", "1", "--private-data", "allow"]);
    set_secret(&stage, "s3", &moto.address);
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n >> 3).to_le_bytes()[0]).collect();
    moto.put("studio", b"");
    moto.put("studio/in/a.exr", b"alpha");
    moto.put("studio/in/b.exr", b"beta");
    moto.put("studio/in/c.txt", b"gamma");
    moto.put("studio/in/deep/d.exr", &large);
    // What consoles make to show a folder, with something in it and without, and a file without bytes.
    moto.put("studio/in/deep/", b"");
    moto.put("studio/in/bare/", b"");
    moto.put("studio/in/empty", b"");
    let run = "inputs:\n\
        \x20 - {from: 's3://studio/in/*.exr', to: flat, secret: s3}\n\
        \x20 - {from: s3://studio/in/, to: all/, secret: s3}\n\
        \x20 - {from: s3://studio/in/c.txt, to: one, secret: s3}\n\
        outputs:\n\
        \x20 - {from: 'out/*', to: s3://studio/out/, secret: s3}\n\
        \x20 - {from: list, to: s3://studio/list.txt, secret: s3}\n\
        run: mkdir out; cp all/deep/d.exr out/big; cat flat/a.exr flat/b.exr one > out/text; \
        find flat all one -type f | sort > list\n";
    let job = match submit(&stage, "s3", run) {
        Ok(job) => job,
        Err(said) if said.contains("not_offered.object_store") => {
            println!("SKIPPED: the program under test was built without the feature `s3`");
            return;
        }
        Err(said) => panic!("{said}"),
    };
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(moto.ask("GET", "studio/out/text", b"").1, b"alphabetagamma");
    assert!(moto.ask("GET", "studio/out/big", b"").1 == large, "a large one in parts");
    let list = String::from_utf8(moto.ask("GET", "studio/list.txt", b"").1).expect("UTF-8");
    let expect =
        "all/a.exr\nall/b.exr\nall/c.txt\nall/deep/d.exr\nall/empty\nflat/a.exr\nflat/b.exr\none\n";
    assert_eq!(list, expect);
    let (_, keys) = moto.ask("GET", "studio?list-type=2&prefix=", b"");
    let keys = String::from_utf8(keys).expect("UTF-8");
    assert!(!keys.contains(".dayan/"), "nothing is left where results waited: {keys}");

    // Files are sent as they are closed, and seen when the task has succeeded.
    let until_told =
        |name: &str| format!("until [ -e {} ]; do sleep 0.1; done", stage.path(name).display());
    let early = format!(
        "outputs: [{{from: 'out/*', to: s3://studio/early/, secret: s3, when: file_closed}}]\n\
         run: mkdir out; echo one > out/1; echo x > out/2; {}; echo two > out/2\n",
        until_told("go")
    );
    let job = submit(&stage, "early", &early).expect("submitted");
    until("the first file under the attempt's key", || {
        let (_, keys) = moto.ask("GET", "studio?list-type=2&prefix=early", b"");
        let keys = String::from_utf8_lossy(&keys).into_owned();
        assert!(!keys.contains("<Key>early/1<"), "not seen before its time: {keys}");
        keys.contains("/0/1<").then_some(())
    });
    std::fs::write(stage.path("go"), "").expect("written");
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(moto.ask("GET", "studio/early/1", b"").1, b"one\n");
    assert_eq!(moto.ask("GET", "studio/early/2", b"").1, b"two\n", "as it was at the end");
    // One that fails leaves nothing behind.
    let early = format!(
        "outputs: [{{from: 'out/*', to: s3://studio/gone/, secret: s3, when: file_closed}}]\n\
         run: mkdir out; echo one > out/1; {}; exit 3\n",
        until_told("fail")
    );
    let job = submit(&stage, "gone", &early).expect("submitted");
    let listed = |prefix: &str, part: &str| {
        let (_, keys) = moto.ask("GET", &format!("studio?list-type=2&prefix={prefix}"), b"");
        String::from_utf8_lossy(&keys).contains(part)
    };
    until("the first file under the attempt's key", || listed("gone", "/0/1<").then_some(()));
    std::fs::write(stage.path("fail"), "").expect("written");
    assert_eq!(stage.ended(&job)["state"], "failed");
    until("nothing of it to be left", || (!listed("gone", "<Key>")).then_some(()));

    // A bucket that is not there is found out before anything runs.
    let wrong = format!(
        "outputs: [{{from: x, to: s3://stduio/x, secret: s3}}]\nrun: touch {}; echo x > x\n",
        stage.path("ran").display()
    );
    let job = submit(&stage, "wrong", &wrong).expect("submitted");
    let shown = stage.ended(&job);
    let reason = shown["attempts"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("`s3://stduio/x`: there is no such bucket"), "{shown:#}");
    assert!(!stage.path("ran").exists(), "nothing ran: {shown:#}");

    // A task that fails publishes nothing.
    let fails =
        "outputs: [{from: x, to: s3://studio/none/x, secret: s3}]\nrun: echo x > x; exit 3\n";
    let job = submit(&stage, "fails", fails).expect("submitted");
    assert_eq!(stage.ended(&job)["state"], "failed");
    assert_eq!(moto.ask("GET", "studio/none/x", b"").0, 404);
    // What is not there is said with its address; the secret is not.
    let missing = "inputs: [{from: s3://studio/nowhere/x, to: x, secret: s3}]\nrun: 'true'\n";
    let job = submit(&stage, "missing", missing).expect("submitted");
    let shown = stage.ended(&job);
    let reason = shown["attempts"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("s3://studio/nowhere/x") && !reason.contains("hush"), "{shown:#}");
}

#[test]
fn a_large_result_goes_on_where_it_was_when_the_agent_was_killed() {
    let Some(moto) = Moto::start() else {
        println!("SKIPPED: no object store to test with (DAYAN_TEST_MOTO names no moto_server)");
        return;
    };
    let gate = Gate::to(&moto.address);
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_pool("main", &["--cpus", "1", "--private-data", "allow"]);
    set_secret(&stage, "s3", &gate.address);
    moto.put("studio", b"");
    gate.close_from(Some(3));
    // Three parts of 16 MiB at most, and something of each kind besides.
    let run = "outputs: [{from: out/, to: s3://studio/film/, secret: s3}]\n\
        run: mkdir out; seq 1 6000000 | head -c 45000000 > out/large; echo small > out/small\n";
    let job = match submit(&stage, "large", run) {
        Ok(job) => job,
        Err(said) if said.contains("not_offered.object_store") => {
            println!("SKIPPED: the program under test was built without the feature `s3`");
            return;
        }
        Err(said) => panic!("{said}"),
    };
    let records = stage.path("agent-main/outbox");
    until("two parts to be noted", || {
        let record = std::fs::read_dir(&records).ok()?.flatten().next()?;
        let text = std::fs::read_to_string(record.path()).ok()?;
        (text.matches("{\"part\":").count() == 2).then_some(())
    });
    let seen = |part: &str| {
        let (_, keys) = moto.ask("GET", "studio?list-type=2&prefix=", b"");
        String::from_utf8_lossy(&keys).contains(part)
    };
    assert!(!seen("<Key>film/large<") && !seen("<Key>film/small<"), "nothing before the grant");
    let before = gate.parts();
    assert_eq!((before.get(&1), before.get(&2)), (Some(&1), Some(&1)), "{before:?}");
    stage.kill_agent("main");
    gate.close_from(None);
    stage.start_again("main");
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown:#}");
    let after = gate.parts();
    assert_eq!((after.get(&1), after.get(&2)), (None, None), "only what was missing: {after:?}");
    let mut large = Vec::new();
    for n in 1..=6_000_000 {
        writeln!(large, "{n}").expect("memory");
    }
    assert!(moto.ask("GET", "studio/film/large", b"").1 == large[..45_000_000]);
    assert_eq!(moto.ask("GET", "studio/film/small", b"").1, b"small\n");
    until("nothing else to be left", || (!seen(".dayan/")).then_some(()));
    let (_, uploads) = moto.ask("GET", "studio?uploads", b"");
    assert!(!String::from_utf8_lossy(&uploads).contains("<UploadId>"), "no upload is left");
    until("its record to be gone", || {
        let mut records = std::fs::read_dir(&records).ok()?;
        records.next().is_none().then_some(())
    });
}

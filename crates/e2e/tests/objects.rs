//! Inputs from and outputs to an object store that speaks S3: `moto_server`, a stand-in for Amazon's
//! in Python, which `make test` installs. Its program is named by `DAYAN_TEST_MOTO`.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

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
    let secret = format!(
        "{{\"access_key_id\": \"AKIATEST\", \"secret_access_key\": \"hush-hush\", \
         \"endpoint\": \"http://{}\"}}",
        moto.address
    );
    let set = stage.member_run(&["secret", "set", "lab/demo", "s3"], &secret);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n >> 3).to_le_bytes()[0]).collect();
    moto.put("studio", b"");
    moto.put("studio/in/a.exr", b"alpha");
    moto.put("studio/in/b.exr", b"beta");
    moto.put("studio/in/c.txt", b"gamma");
    moto.put("studio/in/deep/d.exr", &large);
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
    let expect = "all/a.exr\nall/b.exr\nall/c.txt\nall/deep/d.exr\nflat/a.exr\nflat/b.exr\none\n";
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
        keys.contains("/1<").then_some(())
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
    let listed = |prefix: &str| {
        let (_, keys) = moto.ask("GET", &format!("studio?list-type=2&prefix={prefix}"), b"");
        String::from_utf8_lossy(&keys).contains("<Key>")
    };
    until("the first file under the attempt's key", || listed("gone").then_some(()));
    std::fs::write(stage.path("fail"), "").expect("written");
    assert_eq!(stage.ended(&job)["state"], "failed");
    until("nothing of it to be left", || (!listed("gone")).then_some(()));

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

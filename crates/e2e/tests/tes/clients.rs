//! Clients of others, from PyPI, each with a small piece of real work. `make test` installs them;
//! `DAYAN_TEST_TES` names the folder with a virtual environment for each.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::scene::Scene;
use super::support::until;

/// The program of a client, if it is installed.
fn installed(client: &str, program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DAYAN_TEST_TES").map(PathBuf::from).unwrap_or_default();
    let found = folder.join(client).join("bin").join(program);
    if found.exists() {
        return Some(found);
    }
    println!("SKIPPED: no {client} to test with (DAYAN_TEST_TES names no folder that has it)");
    None
}

/// A file that belongs to these tests.
fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tes").join(name)
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn py_tes_creates_watches_lists_and_cancels() {
    let Some(python) = installed("py-tes", "python") else { return };
    let Some(scene) = Scene::set(&[]) else { return };
    let output = Command::new(python)
        .arg(ours("py_tes.py"))
        .args([format!("http://{}", scene.stage.address()), scene.stage.member.clone()])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(scene.data("dayan://lab/demo/said"), "hello, world\n");
}

/// A program that ends with the test.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store that speaks S3, with a bucket and a file in it; none: there is no program for one.
fn store(file: &str, text: &str) -> Option<(Beside, String)> {
    let Some(program) = std::env::var_os("DAYAN_TEST_MOTO") else {
        println!("SKIPPED: no object store to test with (DAYAN_TEST_MOTO names no moto_server)");
        return None;
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let moto = Beside(child);
    let address = address.to_string();
    until("the object store", || TcpStream::connect(&address).ok());
    for (path, body) in [("flow".to_owned(), ""), (format!("flow/{file}"), text)] {
        object(&address, "PUT", &path, body);
    }
    Some((moto, address))
}

/// A request to the store, whose signature it does not look at; the body of its answer.
fn object(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it runs");
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/s3/aws4_request, \
         SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(" 200 "), "{method} {path}: {answer}");
    body.to_owned()
}

/// Snakemake runs itself in the task's image, which is made of what is installed here, and keeps its
/// files in an object store that both reach.
#[test]
fn a_workflow_of_snakemake_runs_over_an_object_store() {
    let Some(client) = installed("snakemake", "snakemake") else { return };
    let Some((_moto, store)) = store("words.txt", "pear\napple\npear\n") else { return };
    let Some(scene) = Scene::set(&["--container-network", "host"]) else { return };
    let venv = client.parent().and_then(Path::parent).expect("a folder").to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let (root, archive) = (folder.path().join("root"), folder.path().join("root.tar"));
    let made = Command::new(ours("../../../../tools/tes-image.sh"))
        .args([&venv, &venv.join("wheels"), &root, &archive])
        .output()
        .expect("there is a shell");
    assert!(made.status.success(), "{}", said(&made));
    let archive = archive.to_str().expect("UTF-8");
    let words = ["import", "-q", "--change", "ENV=PATH=/usr/local/bin:/usr/bin:/bin", "--change"];
    let image = "localhost/snakemake:1";
    scene.lab.run(&[&words[..], &["ENV=PYTHONPATH=/opt/site", archive, image]].concat());
    let flow = folder.path().join("flow");
    std::fs::create_dir(&flow).expect("made");
    std::fs::copy(ours("Snakefile"), flow.join("Snakefile")).expect("copied");
    let output = Command::new(client)
        .args(["--executor", "tes", "--jobs", "2", "--seconds-between-status-checks", "1"])
        .args(["--tes-url", &format!("http://{}/ga4gh/tes", scene.stage.address())])
        .args(["--tes-token", &scene.stage.member, "--container-image", image])
        .args(["--default-storage-provider", "s3", "--default-storage-prefix", "s3://flow"])
        .args(["--storage-s3-endpoint-url", &format!("http://{store}")])
        .args(["--default-resources", "mem_mb=500", "disk_mb=100"])
        .env("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "AKIATEST")
        .env("SNAKEMAKE_STORAGE_S3_SECRET_KEY", "hush")
        .env("HOME", folder.path())
        .current_dir(&flow)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let tasks = scene.get("/tasks?view=FULL");
    assert!(output.status.success(), "{}\n{tasks:#}", said(&output));
    assert_eq!(object(&store, "GET", "flow/count.txt", "").trim(), "2");
    let states: Vec<&str> = tasks["tasks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|task| task["state"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(states, ["COMPLETE"; 2]);
    scene.stage.assert_sound();
}

#[test]
fn a_workflow_of_cwl_runs_over_a_folder_that_it_shares_with_the_pool() {
    use std::io::BufRead as _;
    let Some(client) = installed("cwl-tes", "cwl-tes") else { return };
    let shared = tempfile::tempdir().expect("a folder");
    let folder = shared.path().to_str().expect("UTF-8").to_owned();
    let Some(scene) = Scene::set(&["--publish-root", &folder]) else { return };
    std::fs::write(shared.path().join("words.txt"), "pear\napple\npear\n").expect("written");
    let order = "words: {class: File, path: words.txt}\n";
    std::fs::write(shared.path().join("order.yml"), order).expect("written");
    std::fs::copy(ours("flow.cwl"), shared.path().join("flow.cwl")).expect("copied");
    let mut proxy = Command::new(client.with_file_name("python"))
        .arg(ours("bearer.py"))
        .args([scene.stage.address(), scene.stage.member.clone()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut port = String::new();
    let said_port = proxy.stdout.take().expect("piped");
    let _proxy = Beside(proxy);
    std::io::BufReader::new(said_port).read_line(&mut port).expect("a port");
    let output = Command::new(client)
        .args(["--tes", &format!("http://127.0.0.1:{}", port.trim())])
        .args(["--outdir", &format!("{folder}/out"), "flow.cwl", "order.yml"])
        .current_dir(shared.path())
        .env("TMPDIR", shared.path())
        .env("HOME", shared.path())
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let count = std::fs::read_to_string(shared.path().join("out/count.txt"));
    assert_eq!(count.expect("an output").trim(), "2", "{}", said(&output));
    let tasks = scene.get("/tasks?view=BASIC");
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(2), "{tasks:#}");
    scene.stage.assert_sound();
}

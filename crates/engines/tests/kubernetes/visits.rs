//! What is brought to a task, taken from it and run beside it: folders on a volume, and commands. On a
//! real control plane where one is at hand, else on the fake.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use dayan_engines::kubernetes::Volume;
use dayan_engines::{Engine, EnterFault, KubernetesEngine, Outcome, Visit, Workdir};
use dayan_units::{AttemptId, Span};
use serde_json::json;

use crate::ask;
use crate::lab::{Lab, until};
use crate::trials::Trial;

/// Where each attempt's folder is, filled before it runs as an agent does, and looked into afterwards.
fn brought_and_taken(trial: &mut Trial<'_>, at: &Path) {
    let mut launch = trial.launch("tr a-z A-Z < in > out; echo $CKPT; pwd > where; cat ckpt/0");
    let folder = trial.engine().workdir(launch.attempt).expect("it has one here");
    assert!(folder.starts_with(at.canonicalize().expect("it is there")), "{}", folder.display());
    std::fs::create_dir_all(folder.join("ckpt")).expect("a folder");
    std::fs::write(folder.join("in"), "frame").expect("written");
    std::fs::write(folder.join("ckpt/0"), "saved").expect("written");
    // As the agent says where things are: by its own paths.
    launch.env.insert("CKPT".to_owned(), folder.join("ckpt").display().to_string());
    launch.workdir = Workdir::At(folder.clone());
    let mut other = trial.launch("ls -A");
    other.env.insert("OTHER".to_owned(), "task".to_owned());
    let (attempt, alone) = (launch.attempt, other.attempt);
    for answer in trial.engine().start(vec![launch, other]) {
        answer.expect("it is taken");
    }
    assert_eq!(trial.end(attempt), Outcome::Exited(0));
    assert_eq!(trial.end(alone), Outcome::Exited(0));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("it was left there");
    assert_eq!(read("out"), "FRAME");
    let where_it_was = read("where");
    assert_eq!(trial.output(attempt), format!("{}/ckpt\nsaved", where_it_was.trim()));
    assert_eq!(trial.output(alone), "", "its folder is another, and empty");
    // Forgotten, nothing of it is left on the volume.
    trial.engine().forget(&[attempt, alone]).expect("it forgets");
    let gone = until("the volume is empty", || {
        trial.engine().observe(Span::from_millis(50)).expect("it observes");
        let own = folder.ancestors().nth(3).expect("attempts, job, task");
        let left = |name: &str| std::fs::read_dir(own.join(name)).expect("listed").count();
        (left("attempts") + left("batches") + left("trash") == 0).then_some(())
    });
    assert!(gone.is_some());
}

#[test]
fn folders_on_a_shared_volume_are_filled_and_looked_into() {
    let lab = Lab::any();
    let mut trial = Trial::with(&lab, crate::config_with_volume(&lab, "agent"));
    brought_and_taken(&mut trial, &lab.volume());
    // By a claim, which leads to a place of the operator's.
    let at = lab.folder("claimed");
    std::fs::create_dir(&at).expect("a folder");
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    runtime.block_on(async {
        let client = ask::client(&config).await;
        let volume = json!({
            "metadata": { "name": "shared" },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteMany"],
                "storageClassName": "", "hostPath": { "path": at },
                "claimRef": { "namespace": "dayan", "name": "shared" },
            },
        });
        let claim = json!({
            "metadata": { "name": "shared" },
            "spec": {
                "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": "shared",
                "resources": { "requests": { "storage": "1Gi" } },
            },
        });
        let claims = "/api/v1/namespaces/dayan/persistentvolumeclaims";
        for (path, object) in [("/api/v1/persistentvolumes", volume), (claims, claim)] {
            let (code, said) = crate::compare::send(&client, "POST", path, Some(object)).await;
            assert_eq!(code, 201, "{said}");
        }
    });
    let mut config = crate::config(&lab, "claimant");
    config.site.volume = Some(Volume::Claim("shared".to_owned()));
    let words = KubernetesEngine::open(config.clone()).err().expect("where?").to_string();
    assert!(words.contains("--kube-volume-at"), "{words}");
    config.site.volume_at = Some(at.clone());
    let mut trial = Trial::with(&lab, config);
    brought_and_taken(&mut trial, &at);
}

/// What a command beside a task says and how it ends, as the agent runs it.
pub fn visit(trial: &mut Trial<'_>, attempt: AttemptId, input: &[u8], words: &[&str]) -> Output {
    use std::io::Write as _;
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let visit = Visit { command: &command, terminal: None };
    let way = trial.engine().enter(attempt, visit).expect("there is a way in");
    let mut child = std::process::Command::new(&way.argv[0])
        .args(&way.argv[1..])
        .env_clear()
        .envs(way.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("it starts");
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    feed.join().expect("fed");
    output
}

#[test]
fn a_command_beside_a_task_finds_what_the_task_finds() {
    let lab = Lab::any();
    let mut trial = Trial::with(&lab, crate::config_with_volume(&lab, "agent"));
    let mut launch = trial.launch("touch here; while [ ! -e go ]; do sleep 0.05; done");
    launch.env.insert("COLOUR".to_owned(), "it's red".to_owned());
    let attempt = trial.try_start(launch).expect("it is taken");
    trial.running(attempt);
    let folder = trial.engine().workdir(attempt).expect("it has one");
    until("it is at work", || folder.join("here").exists().then_some(())).expect("it is");
    let script = "echo $COLOUR; ls; cat; echo oops >&2; exit 7";
    let said = visit(&mut trial, attempt, b"typed\n", &["sh", "-c", script]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(said.status.code(), Some(7), "{}", text(&said.stderr));
    assert_eq!(text(&said.stdout), "it's red\nhere\ntyped\n");
    assert_eq!(text(&said.stderr), "oops\n");
    // More than all buffers on the way hold, both ways at once.
    let much: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    let said = visit(&mut trial, attempt, &much, &["cat"]);
    assert!(said.stdout == much, "{} of {} bytes", said.stdout.len(), much.len());
    let said = visit(&mut trial, attempt, b"", &["no-such-program"]);
    assert_eq!(said.status.code(), Some(127), "{}", text(&said.stderr));

    // Who leaves takes the command along, however they left.
    let mark = lab.folder("alive");
    let line = format!("while :; do date +%s%N > {}; sleep 0.02; done", mark.display());
    let command = ["sh", "-c", &line].map(str::to_owned);
    let visit = Visit { command: &command, terminal: None };
    let way = trial.engine().enter(attempt, visit).expect("there is a way in");
    let mut left = std::process::Command::new(&way.argv[0])
        .args(&way.argv[1..])
        .env_clear()
        .envs(way.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("it starts");
    until("a sign of the command", || mark.exists().then_some(())).expect("it runs");
    left.kill().expect("ours");
    left.wait().expect("ended");
    let silent = until("silence", || {
        let before = std::fs::read(&mark).ok()?;
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        (std::fs::read(&mark).ok()? == before).then_some(())
    });
    assert!(silent.is_some(), "the command went on");
    assert!(trial.seen(attempt).is_some_and(|seen| seen.end().is_none()), "the task goes on");

    std::fs::write(folder.join("go"), "").expect("written");
    assert_eq!(trial.end(attempt), Outcome::Exited(0));
    let command = ["true".to_owned()];
    let over = trial.engine().enter(attempt, Visit { command: &command, terminal: None });
    assert_eq!(over, Err(EnterFault::NotRunning));
}

/// What a person sees at a terminal, until it holds some words.
struct Screen {
    from: pty_process::OwnedReadPty,
    seen: String,
}

impl Screen {
    /// Reads on until the words are there, and says what was there before them.
    async fn until(&mut self, words: &str) -> String {
        use tokio::io::AsyncReadExt as _;
        let mut piece = vec![0; 4_096];
        let reading = async {
            while !self.seen.contains(words) {
                let count = self.from.read(&mut piece).await.expect("the terminal is open");
                self.seen.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        };
        let patience = std::time::Duration::from_secs(30);
        let came = tokio::time::timeout(patience, reading).await;
        assert!(came.is_ok(), "`{words}` does not come: {:?}", self.seen);
        let (before, after) = self.seen.split_once(words).expect("it holds them");
        let (before, after) = (before.to_owned(), after.to_owned());
        self.seen = after;
        before
    }
}

#[test]
fn a_command_at_a_terminal_beside_a_task() {
    use tokio::io::AsyncWriteExt as _;
    let lab = Lab::any();
    let mut trial = Trial::with(&lab, crate::config_with_volume(&lab, "agent"));
    let attempt = trial.start("while [ ! -e go ]; do sleep 0.05; done");
    trial.running(attempt);
    let command = ["/bin/sh".to_owned()];
    let visit = Visit { command: &command, terminal: Some("xterm-test") };
    let way = trial.engine().enter(attempt, visit).expect("there is a way in");
    let runtime = ask::runtime();
    let status = runtime.block_on(async {
        // The agent starts it at a terminal of its own, as large as that of who asked.
        let (pty, inner) = pty_process::open().expect("a terminal");
        pty.resize(pty_process::Size::new(31, 117)).expect("it is one");
        let command = pty_process::Command::new(&way.argv[0]).args(&way.argv[1..]);
        let mut child = command.env_clear().envs(way.env).spawn(inner).expect("it starts");
        let (from, mut keys) = pty.into_split();
        let mut screen = Screen { from, seen: String::new() };
        let mut say = async |line: &str| keys.write_all(line.as_bytes()).await.expect("it reads");
        say("tty >/dev/null && echo at-$((40+2)) $TERM; stty size\n").await;
        screen.until("at-42 xterm-test").await;
        screen.until("31 117").await;
        // What is typed is seen once: by the terminal in the pod, not by this one too.
        say("echo typed-$((1+1))\n").await;
        screen.until("echo typed-$((1+1))").await;
        screen.until("typed-2").await;
        say("stty -echo; echo quiet-$((2+1))\n").await;
        screen.until("quiet-3").await;
        say("echo unseen-$((3+1)); stty echo\n").await;
        let before = screen.until("unseen-4").await;
        assert!(!before.contains("unseen-$"), "{before}");
        // A larger window is told.
        keys.resize(pty_process::Size::new(50, 200)).expect("it is one");
        let larger =
            "until [ \"$(stty size)\" = '50 200' ]; do sleep 0.02; done; echo larger-$((4+1))\n";
        keys.write_all(larger.as_bytes()).await.expect("it reads");
        screen.until("larger-5").await;
        // Keys are keys: this one ends what runs, and not the shell.
        keys.write_all(b"sleep 600; echo cut-$((5+1))\n").await.expect("it reads");
        screen.until("sleep 600").await;
        keys.write_all(b"\x03").await.expect("it reads");
        keys.write_all(b"\necho on-$((6+1)); exit 5\n").await.expect("it reads");
        screen.until("on-7").await;
        child.wait().await.expect("ours")
    });
    assert_eq!(status.code(), Some(5));
    trial.go(attempt);
    assert_eq!(trial.end(attempt), Outcome::Exited(0));
}

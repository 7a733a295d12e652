//! The process engine: what the agent holds of the keeper that runs its tasks.
//!
//! Invariant: it holds no state of tasks of its own. Whatever it is asked it asks the keeper, so
//! that an engine that is dropped, killed or replaced takes nothing along. If the keeper is gone,
//! the next call starts another, which reports what died with the first.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dayan_units::{AttemptId, Span};
use rustix::event::{PollFd, PollFlags, poll};

use crate::keeper::{AGENT_LOCK, Folder, KEEPER_LOCK, Lock, READY};
use crate::protocol::{
    FRAME_BYTES_MAX, Incoming, LAUNCHES_PER_FRAME_MAX, Message, PROTOCOL, Request, frame,
};
use crate::waker::timespec;
use crate::{
    BootClock, BootId, BootTime, Engine, EngineInfo, EngineKind, EnterFault, Entrance, Fault,
    Features, Fence, Launch, LeaseEnd, LogChunk, Observation, Placing, Signal, StartFault, Stream,
    Visit, Waker, container, enter, logs,
};

/// How long a keeper may take to be ready. It may have to kill what an earlier one left, for
/// which it takes 10 s at most.
const READY_WITHIN: Span = Span::from_secs(20);
/// How long a keeper may take to answer. It does not wait for tasks, but for the disk.
const ANSWER_WITHIN: Span = Span::from_secs(30);
/// What is read of the lines of ended steps: each has less than 300 bytes, and there are few.
const STEPS_BYTES_MAX: usize = 64 << 10;
/// What is read of a keeper's last words: some lines.
const SAID_BYTES_MAX: u64 = 2 << 10;

/// Where and with what to keep tasks.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The agent's data folder; made if missing. One agent and one keeper use it at a time.
    pub dir: PathBuf,
    /// The program that runs [`keeper::run`](crate::keeper::run), with the words before its
    /// options: `[dayan, "keeper"]`.
    pub keeper: Vec<OsString>,
    /// Further options for it, such as `--idle 60s`.
    pub options: Vec<OsString>,
}

impl ProcessConfig {
    /// The running program as keeper, by its hidden subcommand `keeper`.
    pub fn of_this_program(dir: PathBuf) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { dir, keeper: vec![program.into(), "keeper".into()], options: Vec::new() })
    }
}

/// Tasks as processes of this machine, or as what else a keeper keeps.
pub struct ProcessEngine {
    kind: EngineKind,
    config: ProcessConfig,
    folder: Folder,
    clock: BootClock,
    waker: Waker,
    features: Features,
    link: Option<Link>,
    /// Told unasked, and not yet passed on.
    news: VecDeque<Observation>,
    /// The keeper, if this engine started it: to reap it should it die before us.
    child: Option<Child>,
    serial: u64,
    _lock: Lock,
}

struct Link {
    stream: UnixStream,
    incoming: Incoming,
    scratch: Vec<u8>,
}

impl ProcessEngine {
    /// Finds the keeper of the folder or starts one, and takes over its tasks.
    pub fn open(config: ProcessConfig) -> Result<Self, Fault> {
        Self::open_as(config, EngineKind::Process)
    }

    /// The same, of a keeper that keeps something else by the same words.
    pub(crate) fn open_as(config: ProcessConfig, kind: EngineKind) -> Result<Self, Fault> {
        let at = |what: &str| format!("{what} {}", config.dir.display());
        let folder = Folder::open(&config.dir).map_err(Fault::io(at("opening")))?;
        let lock = folder.lock(AGENT_LOCK).map_err(Fault::io(at("locking")))?;
        let Some(lock) = lock else { return Err(Fault::Busy(folder.root().to_owned())) };
        let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
        let waker = Waker::new().map_err(Fault::io("making a waker"))?;
        let (link, features, child) = connect(&config, &folder, None)?;
        Ok(Self {
            kind,
            config,
            folder,
            clock,
            waker,
            features,
            link: Some(link),
            news: VecDeque::new(),
            child,
            serial: 0,
            _lock: lock,
        })
    }

    fn link(&mut self) -> Result<&mut Link, Fault> {
        if self.link.is_none() {
            // What was told over the old link is told again over the new one.
            self.news.clear();
            let (link, features, child) = connect(&self.config, &self.folder, self.child.take())?;
            self.features = features;
            self.child = child;
            self.link = Some(link);
        }
        Ok(self.link.as_mut().expect("set above"))
    }

    /// Asks and waits for the answer. After a failure the link is given up, because answers
    /// could no longer be told apart.
    fn ask(&mut self, request: impl FnOnce(u64) -> Request) -> Result<Message, Fault> {
        self.serial += 1;
        let serial = self.serial;
        let mut bytes = Vec::new();
        frame(&request(serial), &mut bytes);
        let clock = self.clock;
        let mut news = Vec::new();
        let link = self.link()?;
        let answer = link.write(&bytes).and_then(|()| {
            let until = clock.now().plus(ANSWER_WITHIN);
            loop {
                let message = link
                    .receive(until.since(clock.now()), None)?
                    .ok_or_else(|| Fault::Unreachable("the keeper does not answer".to_owned()))?;
                match message {
                    Message::Changed { observations } => news.extend(observations),
                    Message::Started { serial: of, .. }
                    | Message::Done { serial: of }
                    | Message::Listed { serial: of, .. }
                        if of == serial =>
                    {
                        return Ok(message);
                    }
                    Message::Welcome { .. }
                    | Message::Started { .. }
                    | Message::Done { .. }
                    | Message::Listed { .. } => {
                        return Err(Fault::Protocol("an answer nobody asked for".to_owned()));
                    }
                }
            }
        });
        if answer.is_err() {
            self.link = None;
        }
        self.news.extend(news);
        answer
    }

    /// Asks, and once more over a new link if the keeper died meanwhile.
    fn ask_again(&mut self, request: impl Fn(u64) -> Request) -> Result<Message, Fault> {
        match self.ask(&request) {
            Err(Fault::Io { .. } | Fault::Unreachable(_)) => self.ask(&request),
            other => other,
        }
    }

    fn ask_done(&mut self, request: impl Fn(u64) -> Request) -> Result<(), Fault> {
        match self.ask_again(request)? {
            Message::Done { .. } => Ok(()),
            Message::Welcome { .. }
            | Message::Started { .. }
            | Message::Listed { .. }
            | Message::Changed { .. } => Err(Fault::Protocol("another answer".to_owned())),
        }
    }

    fn start_some(&mut self, launches: &[Launch]) -> Vec<Result<(), StartFault>> {
        // Not asked again by itself: if the keeper died after recording them, "launched before" is
        // the true answer, and the caller learns it by asking.
        let answer = self.ask(|serial| Request::Start { serial, launches: launches.to_vec() });
        let fault = match answer {
            Ok(Message::Started { results, .. }) if results.len() == launches.len() => {
                return results;
            }
            Ok(_) => "another answer".to_owned(),
            Err(fault) => fault.to_string(),
        };
        launches.iter().map(|_| Err(StartFault::Unreachable(fault.clone()))).collect()
    }
}

impl Engine for ProcessEngine {
    fn describe(&self) -> EngineInfo {
        EngineInfo {
            kind: self.kind,
            fence: Fence::Keeper,
            features: self.features.clone(),
            placing: Placing::ByNode,
        }
    }

    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        launches.chunks(LAUNCHES_PER_FRAME_MAX).flat_map(|some| self.start_some(some)).collect()
    }

    fn observe(&mut self, wait: Span) -> Result<Vec<Observation>, Fault> {
        self.link()?;
        let mut wait = wait;
        if self.waker.quiet() || !self.news.is_empty() {
            wait = Span::ZERO;
        }
        let until = self.clock.now().plus(wait);
        loop {
            let left = until.since(self.clock.now()).max(Span::ZERO);
            let waker = self.waker.clone();
            let link = self.link.as_mut().expect("opened above");
            match link.receive(left, Some(&waker)) {
                Ok(Some(Message::Changed { observations })) => {
                    self.news.extend(observations);
                    // More may be there already; it is taken along without waiting.
                    if self.news.len() >= OBSERVATIONS_MAX || !link.has_more() {
                        break;
                    }
                }
                Ok(Some(_)) => {
                    self.link = None;
                    return Err(Fault::Protocol("an answer nobody asked for".to_owned()));
                }
                Ok(None) => break,
                Err(fault) => {
                    self.link = None;
                    return Err(fault);
                }
            }
        }
        self.waker.quiet();
        Ok(self.news.drain(..).collect())
    }

    fn list(&mut self) -> Result<Vec<Observation>, Fault> {
        match self.ask_again(|serial| Request::List { serial })? {
            Message::Listed { observations, .. } => Ok(observations),
            Message::Welcome { .. }
            | Message::Started { .. }
            | Message::Done { .. }
            | Message::Changed { .. } => Err(Fault::Protocol("another answer".to_owned())),
        }
    }

    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) -> Result<(), Fault> {
        self.ask_done(|serial| Request::Extend { serial, leases: leases.to_vec() })
    }

    fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) -> Result<(), Fault> {
        self.ask_done(|serial| Request::Stop { serial, attempt, grace, signal })
    }

    fn signal(&mut self, attempt: AttemptId, signal: Signal) -> Result<(), Fault> {
        self.link()?;
        if !self.features.signals {
            let why =
                "the running keeper is of an older version; it is replaced when its tasks end";
            return Err(Fault::Unsupported(why.to_owned()));
        }
        self.ask_done(|serial| Request::Signal { serial, attempt, signal })
    }

    fn forget(&mut self, attempts: &[AttemptId]) -> Result<(), Fault> {
        self.ask_done(|serial| Request::Forget { serial, attempts: attempts.to_vec() })
    }

    fn logs(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<LogChunk, Fault> {
        let folder = self.folder.logs(attempt);
        logs::read(&folder, stream, offset, max)
            .map_err(Fault::io(format!("reading {}", folder.display())))
    }

    fn workdir(&self, attempt: AttemptId) -> Option<PathBuf> {
        Some(self.folder.work(attempt))
    }

    fn enter(&mut self, attempt: AttemptId, visit: Visit<'_>) -> Result<Entrance, EnterFault> {
        match self.kind {
            EngineKind::Podman | EngineKind::Docker => {
                // A step that has ended has a line.
                let steps = self.logs(attempt, Stream::Steps, 0, STEPS_BYTES_MAX);
                let ended = steps.map_or(0, |chunk| chunk.data.split(|b| *b == b'\n').count());
                let step = u32::try_from(ended.saturating_sub(1)).unwrap_or(u32::MAX);
                container::entrance(&self.config, self.folder.name(), attempt, step, visit)
            }
            EngineKind::Process
            | EngineKind::Slurm
            | EngineKind::Kubernetes
            | EngineKind::Simulated => enter::beside(&self.folder.fence(attempt), visit),
        }
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn boot_now(&self) -> (BootId, BootTime) {
        (self.clock.boot(), self.clock.now())
    }
}

/// Observations returned at once: a few megabytes.
const OBSERVATIONS_MAX: usize = 16_384;

impl Link {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.stream.write_all(bytes).map_err(Fault::io("writing to the keeper"))
    }

    fn has_more(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        poll(&mut fds, Some(&timespec(Span::ZERO))).is_ok_and(|ready| ready > 0)
    }

    /// The next message; `None` when the time is up or the waker was rung.
    fn receive(&mut self, wait: Span, waker: Option<&Waker>) -> Result<Option<Message>, Fault> {
        let clock_limit = timespec(wait);
        loop {
            let message = self
                .incoming
                .next(FRAME_BYTES_MAX)
                .map_err(|bad| Fault::Protocol(bad.to_string()))?;
            if message.is_some() {
                return Ok(message);
            }
            let mut fds = vec![PollFd::new(&self.stream, PollFlags::IN)];
            fds.extend(waker.map(|waker| PollFd::new(waker, PollFlags::IN)));
            match poll(&mut fds, Some(&clock_limit)) {
                Ok(0) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(Fault::io("waiting for the keeper")(error.into())),
                Ok(_) => {}
            }
            if fds[0].revents().is_empty() {
                return Ok(None);
            }
            match self.stream.read(&mut self.scratch) {
                Ok(0) => return Err(Fault::Unreachable("the keeper is gone".to_owned())),
                Ok(n) => self.incoming.push(&self.scratch[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::io("reading from the keeper")(error)),
            }
        }
    }
}

/// Reaches the keeper of the folder, starting one if there is none. One that was just killed may
/// still answer a connection, and holds its lock until it is quite dead; both are waited out.
fn connect(
    config: &ProcessConfig,
    folder: &Folder,
    mut child: Option<Child>,
) -> Result<(Link, Features, Option<Child>), Fault> {
    let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
    let pause = Waker::new().map_err(Fault::io("making a waker"))?;
    let until = clock.now().plus(READY_WITHIN);
    // Why one that was started is not there says more than that nobody answers.
    let mut not_started = None;
    loop {
        let fault =
            match reach(folder).map_err(Fault::io("connecting to the keeper")).and_then(greet) {
                Ok((link, features)) => return Ok((link, features, child)),
                Err(fault @ (Fault::Io { .. } | Fault::Unreachable(_))) => fault,
                Err(
                    fault @ (Fault::Version { .. }
                    | Fault::Busy(_)
                    | Fault::Protocol(_)
                    | Fault::Unsupported(_)),
                ) => {
                    return Err(fault);
                }
            };
        if clock.now() > until {
            return Err(not_started.unwrap_or(fault));
        }
        if let Some(old) = &mut child {
            // Reaps it if it was ours and is dead.
            let _ = old.try_wait();
        }
        let is_free =
            || folder.lock(KEEPER_LOCK).map_err(Fault::io("locking")).map(|l| l.is_some());
        if is_free()? {
            match launch(config, folder) {
                Ok(started) => child = Some(started),
                // Unless another agent's keeper was faster.
                Err(fault) if is_free()? => return Err(fault),
                Err(fault) => not_started = Some(fault),
            }
        } else {
            pause.wait(Span::from_millis(5));
        }
    }
}

fn reach(folder: &Folder) -> io::Result<UnixStream> {
    let (address, _folder) = folder.socket()?;
    UnixStream::connect(address)
}

fn greet(stream: UnixStream) -> Result<(Link, Features), Fault> {
    let mut link = Link { stream, incoming: Incoming::default(), scratch: vec![0; 256 << 10] };
    let mut hello = Vec::new();
    frame(&Request::Hello { protocol: PROTOCOL }, &mut hello);
    link.write(&hello)?;
    match link.receive(ANSWER_WITHIN, None)? {
        Some(Message::Welcome { protocol: PROTOCOL, features: Some(features), .. }) => {
            Ok((link, features))
        }
        Some(Message::Welcome { protocol, .. }) => {
            Err(Fault::Version { ours: PROTOCOL, theirs: protocol })
        }
        Some(_) => Err(Fault::Protocol("the keeper does not greet".to_owned())),
        None => Err(Fault::Unreachable("the keeper does not greet".to_owned())),
    }
}

/// Starts a keeper and waits until it says that it can be reached.
fn launch(config: &ProcessConfig, folder: &Folder) -> Result<Child, Fault> {
    let log = folder.keeper_log();
    let stderr = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let stderr = stderr.map_err(Fault::io(format!("opening {}", log.display())))?;
    let before = stderr.metadata().map_or(0, |about| about.len());
    let (program, words) = config
        .keeper
        .split_first()
        .ok_or_else(|| Fault::Unreachable("no program is set for the keeper".to_owned()))?;
    let mut child = Command::new(program)
        .args(words)
        .arg("--dir")
        .arg(folder.root())
        .args(&config.options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(Fault::io(format!("starting {}", Path::new(program).display())))?;
    let mut out = child.stdout.take().expect("piped above");
    let mut fds = [PollFd::new(&out, PollFlags::IN)];
    let said = poll(&mut fds, Some(&timespec(READY_WITHIN)));
    let mut word = [0u8; READY.len()];
    if said.is_ok_and(|ready| ready > 0)
        && out.read_exact(&mut word).is_ok()
        && word == READY.as_bytes()
    {
        return Ok(child);
    }
    // Another keeper may own the folder after all, if two agents raced; then ours has gone.
    let _ = child.kill();
    let status = child.wait().map(|status| status.to_string()).unwrap_or_default();
    let words = said_since(&log, before);
    let why = format!("the keeper did not start ({status}{words}); see {}", log.display());
    Err(Fault::Unreachable(why))
}

/// What a keeper that did not start has said, for who started it.
fn said_since(log: &Path, before: u64) -> String {
    let read = || {
        let mut file = std::fs::File::open(log)?;
        file.seek(io::SeekFrom::Start(before))?;
        let mut text = Vec::new();
        file.take(SAID_BYTES_MAX).read_to_end(&mut text)?;
        io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let text = read().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .fold(String::new(), |all, line| format!("{all}; {}", line.trim()))
}

//! What tests of several modules share: two views, captured streams, and an exchange that says
//! what a test tells it to.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::{CommandFactory as _, FromArgMatches as _};
use serde_json::Value;

use crate::args::Cli;
use crate::cmd::session::{Progress, Session};
use crate::config::Environment;
use crate::exit::{Exit, Failure};
use crate::output::{Colour, Format, Out, Show, View};
use crate::words::Lang;

/// A viewer in a pipe, in UTC.
pub fn view(lang: Lang) -> View {
    View { lang, width: None, colour: Colour::No, zone: jiff::tz::TimeZone::UTC }
}

/// A table in both languages, and in English on a terminal of 80 columns.
pub fn both(shown: &impl Show) -> String {
    let narrow = View { width: Some(80), ..view(Lang::En) };
    let drawn = shown.table(&narrow);
    for line in drawn.lines() {
        assert!(line.chars().count() <= 80, "wider than the terminal: {line}");
    }
    [shown.table(&view(Lang::En)), shown.table(&view(Lang::Zh)), drawn].join("\n--------\n")
}

/// What scripts get, keys in order.
pub fn sample(shown: &impl Show) -> String {
    let mut data = shown.data();
    data.sort_all_objects();
    format!("{data:#}")
}

/// A stream that a test reads.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What was written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a command ended and what it wrote.
#[derive(Debug)]
pub struct Ran {
    /// As the process would end.
    pub exit: Exit,
    /// Standard output.
    pub stdout: String,
    /// Standard error, the printed failure included.
    pub stderr: String,
}

/// Runs a command line against an exchange, as `main` does, without a process.
pub async fn dayan(environment: Environment, line: &[&str]) -> Ran {
    crate::client::install_provider();
    let words = std::iter::once("dayan").chain(line.iter().copied());
    let matches = Cli::command().try_get_matches_from(words).expect("a right command line");
    let cli = Cli::from_arg_matches(&matches).expect("a right command line");
    let lang = cli.lang.unwrap_or(Lang::En);
    let (session, stdout, stderr) = session_of(environment, cli.output, lang);
    let exit = match crate::cmd::run(&cli.command, &session).await {
        Ok(exit) => exit,
        Err(failure) => {
            session.out.say_raw(&failure.render(lang));
            failure.exit()
        }
    };
    Ran { exit, stdout: stdout.text(), stderr: stderr.text() }
}

/// A session whose streams are read; in English and for people.
pub fn session(environment: Environment) -> (Session, Captured, Captured) {
    session_of(environment, Format::Table, Lang::En)
}

fn session_of(
    environment: Environment,
    format: Format,
    lang: Lang,
) -> (Session, Captured, Captured) {
    let (stdout, stderr) = (Captured::default(), Captured::default());
    let out = Out::new(format, view(lang), Box::new(stdout.clone()), Box::new(stderr.clone()));
    (Session { out, environment, progress: Progress::Hidden }, stdout, stderr)
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Came {
    /// `GET /v1/jobs?limit=1`.
    pub line: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// What the fake answers with.
#[derive(Clone, Debug)]
pub struct Says {
    status: u16,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
}

impl Says {
    /// A JSON value.
    pub fn json(status: u16, value: &Value) -> Self {
        Self { status, body: value.to_string().into_bytes(), headers: Vec::new() }
    }
    /// Bytes.
    pub fn bytes(status: u16, body: &[u8]) -> Self {
        Self { status, body: body.to_vec(), headers: Vec::new() }
    }
    /// With a header.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl IntoResponse for Says {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status");
        let mut response = (status, self.body).into_response();
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("a header");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        response
    }
}

type Script = dyn Fn(&Came, usize) -> Says + Send + Sync;

/// An exchange that says what a test tells it to.
pub struct Fake {
    /// Where it is.
    pub url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

#[derive(Clone)]
struct Scripted {
    came: Arc<Mutex<Vec<Came>>>,
    script: Arc<Script>,
}

impl Fake {
    /// Serves on a free port; the script is told the request and how many came before it.
    pub async fn start(script: impl Fn(&Came, usize) -> Says + Send + Sync + 'static) -> Self {
        let came = Arc::default();
        let state = Scripted { came: Arc::clone(&came), script: Arc::new(script) };
        let app = axum::Router::new().fallback(answer).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, came }
    }
    /// The environment that leads to it.
    pub fn environment(&self) -> Environment {
        Environment {
            url: Some(self.url.clone()),
            token: Some("secret".to_owned()),
            ..Environment::default()
        }
    }
    /// What came in.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no panic").clone()
    }
    /// The request lines that came in.
    pub fn lines(&self) -> Vec<String> {
        self.came().into_iter().map(|came| came.line).collect()
    }
}

async fn answer(
    State(scripted): State<Scripted>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Says {
    let line = format!("{method} {uri}");
    let came = Came { line, headers, body: String::from_utf8_lossy(&body).into_owned() };
    let before = {
        let mut all = scripted.came.lock().expect("no panic");
        all.push(came.clone());
        all.len() - 1
    };
    (scripted.script)(&came, before)
}

#[test]
fn every_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

/// All help texts, one after another: who changes a word sees it here.
fn helps(lang: Lang) -> String {
    fn walk(command: &mut clap::Command, path: &str, out: &mut String) {
        use std::fmt::Write as _;
        writeln!(out, "######## {path} --help\n{}", command.render_long_help()).expect("a string");
        for sub in command.get_subcommands_mut() {
            let name = sub.get_name().to_owned();
            if name != "help" {
                walk(sub, &format!("{path} {name}"), out);
            }
        }
    }
    let mut command = crate::words::localised(Cli::command(), lang).term_width(100);
    command.build();
    let mut out = String::new();
    walk(&mut command, "dayan", &mut out);
    out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[test]
fn help_in_english() {
    insta::assert_snapshot!(helps(Lang::En));
}

#[test]
fn help_in_chinese() {
    insta::assert_snapshot!(helps(Lang::Zh));
}

#[test]
fn scripts_get_json_and_yaml_of_the_same_data() {
    let rows: Vec<dayan_wire::Finding> = Vec::new();
    let check = |format, expect: &str| {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let out =
            Out::new(format, view(Lang::En), Box::new(stdout.clone()), Box::new(stderr.clone()));
        out.show(&rows).expect("written");
        assert_eq!(stdout.text(), expect);
        stderr.text()
    };
    assert_eq!(check(Format::Json, "[]\n"), "");
    assert_eq!(check(Format::Yaml, "[]\n"), "");
    assert_eq!(check(Format::Table, ""), "There is nothing to show.\n");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let out = Out::new(Format::Json, view(Lang::En), Box::new(Gone), Box::new(io::sink()));
    let outcome = out.raw(b"x");
    assert!(matches!(outcome, Err(Failure::ReaderGone)));
}

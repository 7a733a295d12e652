//! A command beside a task in its container, by podman's or docker's own program.
//!
//! The interface would do it too, over a connection that it takes for the purpose; their programs
//! do just that, and bring the terminal along.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayan_units::AttemptId;

use super::recipe;
use crate::{EnterFault, Entrance, ProcessConfig, Session, Visit};

/// The programs that can, with the option that names the socket. Docker's speaks to podman's
/// service too, podman's to no docker.
const PODMAN: (&str, &str) = ("podman", "--url");
const DOCKER: (&str, &str) = ("docker", "--host");
/// How long a service may take to say who it is: somebody waits at a terminal.
const PING_WITHIN: Duration = Duration::from_secs(5);
/// An answer has a dozen short headers.
const PING_BYTES_MAX: u64 = 16 << 10;

/// The way into the container of an attempt, or of the step of it that runs.
pub(crate) fn entrance(
    config: &ProcessConfig,
    agent: &str,
    attempt: AttemptId,
    step: u32,
    visit: Visit<'_>,
) -> Result<Entrance, EnterFault> {
    let mut words = config.options.iter();
    let socket = words.find(|word| *word == "--containers").and_then(|_| words.next());
    let socket = socket.ok_or_else(|| EnterFault::Failed("no socket is named".to_owned()))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let podman = asked(Path::new(socket)).map_err(|error| {
        EnterFault::Failed(format!("{} does not answer: {error}", socket.display()))
    })?;
    let programs = if podman { &[PODMAN, DOCKER][..] } else { &[DOCKER][..] };
    let found = programs.iter().find_map(|(name, option)| {
        let program = in_path(&path, name)?;
        Some((program, *option))
    });
    let (program, option) = found.ok_or_else(|| {
        let whose = if podman { "neither podman's nor docker's" } else { "not docker's" };
        EnterFault::Unsupported(format!(
            "the agent's machine has {whose} program, which leads into containers"
        ))
    })?;
    let mut address = OsString::from("unix://");
    address.push(socket);
    let argv = words_for(program, option, address, &recipe::name(agent, attempt, step), visit);
    // Of ours; the command has the container's own.
    let kept = ["PATH", "HOME", "XDG_RUNTIME_DIR"];
    let env = kept.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    Ok(Entrance { argv, env: env.collect(), folder: None, session: Session::Starters })
}

/// The same, by a thread of its own: a service that hangs must not hold up who extends leases.
fn asked(socket: &Path) -> std::io::Result<bool> {
    let (tell, told) = std::sync::mpsc::channel();
    let socket = socket.to_owned();
    std::thread::spawn(move || drop(tell.send(is_podman(&socket))));
    told.recv_timeout(PING_WITHIN).unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Is it podman that answers there, and not docker?
fn is_podman(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PING_WITHIN))?;
    stream.set_write_timeout(Some(PING_WITHIN))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut said = Vec::new();
    stream.take(PING_BYTES_MAX).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).to_ascii_lowercase().contains("\r\nlibpod-api-version:"))
}

fn words_for(
    program: PathBuf,
    option: &str,
    address: OsString,
    name: &str,
    visit: Visit<'_>,
) -> Vec<OsString> {
    let mut argv = vec![program.into_os_string(), option.into(), address];
    argv.extend(["exec", "--interactive"].map(OsString::from));
    if let Some(kind) = visit.terminal {
        argv.extend(["--tty".into(), "--env".into(), format!("TERM={kind}").into()]);
    }
    argv.push(name.into());
    argv.extend(visit.command.iter().map(OsString::from));
    argv
}

fn in_path(path: &std::ffi::OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder: PathBuf| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_passed_on_word_by_word() {
        let command = ["sh".to_owned(), "-c".to_owned(), "echo $A; exit 3".to_owned()];
        let words = |terminal| {
            let visit = Visit { command: &command, terminal };
            words_for("/bin/podman".into(), "--url", "unix:///s".into(), "n", visit)
        };
        let plain = ["/bin/podman", "--url", "unix:///s", "exec", "--interactive", "n", "sh", "-c"];
        assert_eq!(words(None)[..8], plain.map(OsString::from));
        assert_eq!(words(None)[8], "echo $A; exit 3");
        assert_eq!(
            words(Some("xterm"))[5..8],
            ["--tty", "--env", "TERM=xterm"].map(OsString::from)
        );
    }
}

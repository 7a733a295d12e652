//! What a container is and is not given.

use std::path::{Path, PathBuf};

use super::bench::{holds, same};
use super::{Bench, Case, Need};
use crate::{Outcome, Pull, StartFailure, StartFault};

const IMAGES: &[Need] = &[Need::Programs, Need::Images];

pub(super) const CASES: &[Case] = &[
    Case { name: "a launch without an image is refused", needs: IMAGES, run: no_image },
    Case { name: "an image that is not there is said", needs: IMAGES, run: missing_image },
    Case { name: "an image is not fetched where it may not be", needs: IMAGES, run: never_fetched },
    Case {
        name: "the root cannot be written, /tmp can",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: read_only,
    },
    Case {
        name: "a container has no rights of root's",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: no_rights,
    },
    Case {
        name: "a container has no network unless told",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: no_network,
    },
    Case {
        name: "of the machine's folders there is the task's own",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: mounts,
    },
    Case {
        name: "a container's user is not root, and what it writes is that user's",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: owner,
    },
    Case {
        name: "containers do not see each other",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: apart,
    },
    Case {
        name: "an image is refused where there are none",
        needs: &[Need::Programs, Need::HostPrograms],
        run: refused,
    },
];

fn no_image(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("true");
    launch.image = None;
    match bench.try_start(launch) {
        Err(StartFault::Unsupported(why)) if why.contains("image") => Ok(()),
        other => Err(format!("the answer was {other:?}")),
    }
}

fn start_failure(bench: &mut Bench<'_>, name: &str, pull: Pull) -> Result<String, String> {
    let mut launch = bench.shell("true");
    let image = launch.image.as_mut().ok_or("the bed names no image")?;
    name.clone_into(&mut image.name);
    image.pull = pull;
    let attempt = bench.start(launch)?;
    match bench.end(attempt)? {
        (Outcome::StartFailed(StartFailure::Other(words) | StartFailure::Image(words)), _) => {
            Ok(words)
        }
        (other, _) => Err(format!("ended with {other:?}")),
    }
}

fn missing_image(bench: &mut Bench<'_>) -> Result<(), String> {
    // A port of this machine on which nobody listens.
    let name = "127.0.0.1:9/no/such:1";
    let words = start_failure(bench, name, Pull::Missing)?;
    let says = words.contains(name) && words.contains("127.0.0.1:9");
    holds(|| format!("it says `{words}`"), says.into())
}

fn never_fetched(bench: &mut Bench<'_>) -> Result<(), String> {
    let words = start_failure(bench, "127.0.0.1:9/no/such:1", Pull::Never)?;
    holds(|| format!("it says `{words}`"), words.contains("never").into())
}

fn read_only(bench: &mut Bench<'_>) -> Result<(), String> {
    let line = "touch /etc/x 2>/dev/null || echo no; touch /x 2>/dev/null || echo no; \
                touch /tmp/x && echo yes; touch x && echo yes";
    let launch = bench.shell(line);
    same("what can be written", &bench.output_of(launch)?.as_str(), &"no\nno\nyes\nyes\n")
}

fn no_rights(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch =
        bench.shell("grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status | tr -d '\\t'");
    let out = bench.output_of(launch)?;
    let expect = "CapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\n";
    same("rights", &out.as_str(), &expect)
}

fn no_network(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    same("interfaces", &bench.output_of(launch)?.as_str(), &"lo\n")
}

fn mounts(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("cut -d' ' -f4,5 /proc/self/mountinfo");
    let attempt = launch.attempt;
    let out = bench.output_of(launch)?;
    let (folder, inside) = (bench.workdir(attempt)?, bench.inside(attempt)?);
    // A mount of a folder shows which, as far as its file system's root.
    let depth = folder.components().count().saturating_sub(2);
    let last: PathBuf = folder.components().skip(depth).collect();
    let mounted = out.lines().filter_map(|line| line.split_once(' '));
    let own = mounted.filter(|(what, _)| Path::new(what).ends_with(&last));
    let points: Vec<&str> = own.map(|(_, point)| point).collect();
    same("where its folder is seen", &points, &vec![inside.to_str().unwrap_or_default()])?;
    for kept in ["/home", "/root", "/var", "/etc "] {
        let seen = out.lines().any(|line| line.split(' ').nth(1) == Some(kept.trim()));
        holds(|| format!("{kept} is mounted: {out}"), (!seen).into())?;
    }
    Ok(())
}

fn owner(bench: &mut Bench<'_>) -> Result<(), String> {
    // What was put there before is its own too, whoever put it.
    let launch = bench.shell("umask 022; echo more >> given; mkdir a && echo x > a/b");
    let attempt = launch.attempt;
    let folder = bench.workdir(attempt)?;
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let given = folder.join("given");
    std::fs::write(&given, "").map_err(|error| error.to_string())?;
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(given, closed).map_err(|error| error.to_string())?;
    bench.output_of(launch)?;
    let own = rustix::process::geteuid();
    let mut users = Vec::new();
    for name in ["given", "a", "a/b"] {
        let about = std::fs::metadata(folder.join(name)).map_err(|error| error.to_string())?;
        users.push(std::os::unix::fs::MetadataExt::uid(&about));
    }
    same("one owner of all", &users, &vec![users[0]; 3])?;
    if own.is_root() {
        holds(|| "its tasks are root of this machine".to_owned(), (users[0] != 0).into())
    } else {
        same("owner", &users[0], &own.as_raw())
    }
}

fn apart(bench: &mut Bench<'_>) -> Result<(), String> {
    let other = bench.start_line("echo secret > key; while [ ! -e go ]; do sleep 0.02; done")?;
    bench.running(other)?;
    let launch = bench.shell("ls /proc | grep -c '^[0-9]'; ls -A; ls /tmp");
    let out = bench.output_of(launch)?;
    let folder = bench.workdir(other)?;
    std::fs::write(folder.join("go"), "").map_err(|error| error.to_string())?;
    bench.expect_end(other, &Outcome::Exited(0))?;
    let seen: u32 = out.trim().parse().map_err(|_| format!("it sees {out}"))?;
    holds(|| format!("it sees {seen} processes"), (seen <= 5).into())
}

fn refused(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("true");
    launch.image = Some(crate::Image { name: "a:1".to_owned(), ..crate::Image::default() });
    match bench.try_start(launch) {
        Err(StartFault::Unsupported(why)) if why.contains("image") => Ok(()),
        other => Err(format!("the answer was {other:?}")),
    }
}

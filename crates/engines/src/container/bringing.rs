//! From a launch to a running container.
//!
//! Invariants: an image is fetched once at a time, and by its pull policy; a container is started only
//! while the service says that it never was, so whatever answer is lost, it runs once. Until it is
//! started it can be given up; after that its end is [`tending`](super::tending)'s.

use std::path::Path;
use std::rc::Rc;

use dayan_units::{AttemptId, Span, Time};
use tokio::sync::SemaphorePermit;

use super::api::{Standing, Trouble, of_program};
use super::cgroup::First;
use super::holding::{Counted, Note, Ran};
use super::house::House;
use super::output::Source;
use super::owner;
use super::recipe::{self, Kitchen, Processes};
use super::tending::{ASK_AGAIN_AFTER, end_marked, kill, told, until_told};
use crate::keeper::workshop;
use crate::{
    BootTime, Enforcement, Image, Launch, Outcome, Pull, StartFailure, Stream, Workdir, wall_now,
};

fn failed(failure: StartFailure) -> Outcome {
    Outcome::StartFailed(failure)
}

/// Has all containers of a launch made. They can be given up at any moment. Whatever dies after it,
/// what is needed to go on is in them: what is started then is never made anew.
pub(super) async fn bring<'a>(
    house: &'a House,
    launch: &Launch,
) -> Result<SemaphorePermit<'a>, Outcome> {
    let cgroup = cgroup_of(house, launch.attempt);
    tokio::select! {
        biased;
        outcome = until_told(house, launch.attempt) => Err(outcome),
        made = make(house, launch, cgroup.as_deref()) => made,
    }
}

/// The cgroup of ours that an attempt's container is put below.
pub(super) fn cgroup_of(house: &House, attempt: AttemptId) -> Option<String> {
    house.kitchen.borrow().cgroup.as_ref().map(|ours| format!("{ours}/{}", suffix(attempt)))
}

/// What it is called below ours.
pub(super) fn suffix(attempt: AttemptId) -> String {
    let AttemptId { job, task, attempt } = attempt;
    format!("{job}.{task}.{attempt}")
}

/// Starts the container of a step, which is made, and listens to it. It is asked for once, and again
/// only after the service has said that it was never started.
pub(super) async fn begin(
    house: &House,
    attempt: AttemptId,
    step: u32,
    program: &str,
    permit: SemaphorePermit<'_>,
) -> Result<Option<Source>, Outcome> {
    let name = &house.name(attempt, step);
    let mut asked = false;
    loop {
        if asked {
            match house.service.standing(name).await {
                Ok(Some(standing)) if standing.started => {
                    began(house, attempt, step, &standing, (wall_now(), house.clock.now()));
                    drop(permit);
                    return Ok(None);
                }
                Ok(Some(_)) if house.kitchen.borrow().docker => {
                    return Err(may_have_run(house, attempt));
                }
                Ok(Some(_)) => asked = false,
                Ok(None) => {
                    let words = "its container was removed by somebody before it was started";
                    return Err(failed(StartFailure::Other(words.to_owned())));
                }
                Err(_) => {
                    // It may run, and nobody can be asked: what carries its mark is ended.
                    if told(house, attempt).is_some() {
                        kill(house, attempt).await;
                    }
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
            }
            continue;
        }
        if let Some(outcome) = told(house, attempt) {
            return Err(outcome);
        }
        let source = match Source::listen(&house.service, name).await {
            Ok(source) => Some(source),
            Err(Trouble::Refused { .. }) => None,
            Err(Trouble::Away(_)) => {
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
                continue;
            }
        };
        let (at, boot_at) = (wall_now(), house.clock.now());
        asked = true;
        if house.kitchen.borrow().docker {
            house.with(attempt, |held| held.asked = Some(step));
            house.note(&Note::Asked { attempt, step });
        }
        match house.service.start(name).await {
            Ok(()) => {
                let standing = house.service.standing(name).await.ok().flatten();
                if let Some(standing) = standing.filter(|standing| standing.started) {
                    began(house, attempt, step, &standing, (at, boot_at));
                    drop(permit);
                    return Ok(source);
                }
            }
            Err(trouble @ Trouble::Refused { .. }) => {
                // Said of a container that runs already, too.
                if let Ok(Some(standing)) = house.service.standing(name).await
                    && !standing.started
                {
                    // Docker, killed in the middle of a start, may not know of what it has started.
                    end_marked(house, attempt);
                    let init = house.kitchen.borrow().init;
                    return Err(failed(trouble.as_failure((!init).then_some(program))));
                }
            }
            Err(Trouble::Away(_)) => {}
        }
    }
}

/// Docker was asked to start it, and does not know of it: docker that is killed in the middle of a start forgets
/// what it has started, which may be over by now. It is started no second time.
pub(super) fn may_have_run(house: &House, attempt: AttemptId) -> Outcome {
    end_marked(house, attempt);
    Outcome::KeeperDied
}

/// Has the images, the folder and the containers made.
async fn make<'a>(
    house: &'a House,
    launch: &Launch,
    cgroup: Option<&str>,
) -> Result<SemaphorePermit<'a>, Outcome> {
    let own = launch.image.iter().filter(|_| launch.steps.is_empty());
    for image in own.chain(launch.steps.iter().map(|step| &step.image)) {
        fetch(house, image).await?;
    }
    let permit = house.starts.acquire().await.expect("it is never closed");
    let work = house.folder.work(launch.attempt);
    let at = |error: std::io::Error| {
        failed(StartFailure::Workdir(format!("{}: {error}", work.display())))
    };
    workshop::make(&work).map_err(at)?;
    if let Workdir::At(path) = &launch.workdir
        && path.starts_with(&work)
        && !path.is_dir()
    {
        let words = format!("{}: no such folder", path.display());
        return Err(failed(StartFailure::Workdir(words)));
    }
    parts(launch, &work).map_err(at)?;
    let user = house.kitchen.borrow().owner.outside;
    if user.0 != 0 && rustix::process::geteuid().is_root() {
        // Also what was staged into it: any number of files, which others do not wait for.
        let folder = work.clone();
        let given = tokio::task::spawn_blocking(move || owner::give(&folder, user)).await;
        given.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| {
            let why = format!(
                "{}: cannot be given to the tasks' user {} ({error}); put the agent's folder on a \
                 file system of this machine",
                work.display(),
                user.0
            );
            failed(StartFailure::Workdir(why))
        })?;
    }
    for step in 0..recipe::count(launch) {
        create(house, launch, step, &work, cgroup).await?;
    }
    Ok(permit)
}

/// Who holds the number of a container's processes.
fn processes(house: &House) -> Processes {
    match house.features.pids_limit {
        Enforcement::Enforced => {
            let own = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
            // No user has more processes than there are numbers for them; podman's service, which may
            // not give more than it has, has itself no more than that.
            let numbers = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
            let numbers = numbers.and_then(|text| text.trim().parse().ok());
            Processes::ByCgroup { user_most: own.into_iter().chain(numbers).min() }
        }
        Enforcement::Watched | Enforcement::Absent => Processes::ByUser,
    }
}

/// Makes the folders that containers see elsewhere, and those of files that they write to. Nothing
/// of the task has run yet, so that no link of its can lead anywhere.
fn parts(launch: &Launch, work: &Path) -> std::io::Result<()> {
    for mount in &launch.mounts {
        let part = work.join(&mount.from);
        if !part.exists() {
            std::fs::create_dir_all(part)?;
        }
    }
    // Where a step starts, in the task's own folder: a runtime would make it, for its own user.
    for step in &launch.steps {
        if let Some(folder) = step.workdir.as_deref()
            && let Some(inside) = recipe::behind(&launch.mounts, folder)
        {
            std::fs::create_dir_all(work.join(inside))?;
        }
    }
    let steps = launch.steps.iter();
    for file in steps.flat_map(|step| [&step.stdout, &step.stderr]).flatten() {
        if let Some(file) = recipe::behind(&launch.mounts, file)
            && let Some(above) = work.join(file).parent()
        {
            std::fs::create_dir_all(above)?;
        }
    }
    Ok(())
}

/// Has one container made.
async fn create(
    house: &House,
    launch: &Launch,
    step: u32,
    work: &Path,
    cgroup: Option<&str>,
) -> Result<(), Outcome> {
    let name = &house.name(launch.attempt, step);
    let fence = house.folder.fence(launch.attempt);
    loop {
        let kitchen =
            Kitchen { cgroup: cgroup.map(str::to_owned), ..house.kitchen.borrow().clone() };
        let groups = owner::groups(recipe::devices_of(launch, step));
        let body = recipe::recipe(launch, step, work, &fence, &kitchen, processes(house), &groups)
            .map_err(|words| failed(StartFailure::Other(words)))?;
        match house.service.create(name, body).await {
            Ok(()) => return Ok(()),
            // An earlier question was heard after all: nobody else makes this name.
            Err(trouble) if trouble.is_taken() => return Ok(()),
            Err(trouble) if trouble.lacks_init() && kitchen.init => {
                tracing::warn!("the service has no init: tasks run as first process themselves");
                house.kitchen.borrow_mut().init = false;
            }
            Err(Trouble::Away(_)) => tokio::time::sleep(ASK_AGAIN_AFTER).await,
            Err(trouble) => return Err(failed(StartFailure::Other(trouble.to_string()))),
        }
    }
}

/// Has the image there, as its pull policy wants it.
async fn fetch(house: &House, image: &Image) -> Result<(), Outcome> {
    let one = Rc::clone(house.pulls.borrow_mut().entry(image.name.clone()).or_default());
    let turn = one.lock().await;
    let outcome = fetch_now(house, image).await;
    drop(turn);
    // Nobody waits for it: ours and the list's own.
    if Rc::strong_count(&one) <= 2 {
        house.pulls.borrow_mut().remove(&image.name);
    }
    outcome
}

async fn fetch_now(house: &House, image: &Image) -> Result<(), Outcome> {
    // Whether it is there is the job's to know who says that it is not to be fetched.
    let refused = |words: String| failed(StartFailure::Image(words));
    loop {
        let there = match image.pull {
            Pull::Always => Ok(false),
            Pull::Missing | Pull::Never => house.service.has_image(&image.name).await,
        };
        let outcome = match there {
            Ok(true) => return Ok(()),
            Ok(false) if image.pull == Pull::Never => {
                return Err(refused(format!(
                    "the image {} is not here, and may not be fetched (pull policy never)",
                    image.name
                )));
            }
            Ok(false) => house.service.pull(&image.name, image.login.as_ref()).await,
            Err(trouble) => Err(trouble),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(Trouble::Away(_)) => tokio::time::sleep(ASK_AGAIN_AFTER).await,
            Err(Trouble::Refused { words, .. }) => {
                let words = format!("the image {}: {words}", image.name);
                return Err(failed(StartFailure::of_image(words)));
            }
        }
    }
}

/// It runs: written down, and told.
pub(super) fn began(
    house: &House,
    attempt: AttemptId,
    step: u32,
    standing: &Standing,
    (at, boot_at): (Time, BootTime),
) {
    let cgroup = cgroup_of(house, attempt);
    let first = First::of_container(standing.pid, &standing.id);
    let first = first.map(|first| (first.pid, first.birth));
    if let Some((pid, _)) = first {
        house.trees.end_as_one(pid);
    }
    let ran = Ran { at, boot_at, first, cgroup: cgroup.clone() };
    let counted = if cgroup.is_some() { Counted::Together } else { Counted::EachForItself };
    let current = house.with(attempt, |held| {
        let current = held.entering(step, at, counted);
        held.begin(ran, current.clone());
        current
    });
    let Some(current) = current else { return };
    house.note(&Note::Started { attempt, at, boot_at, first, cgroup, current });
    house.mark(attempt);
}

/// How long after its container's start an init may say that it cannot execute the program: it does so
/// first of all, in milliseconds. Its words come by the task's own standard error, where a task could say
/// the same to have run for nothing; what has run for longer than this has run.
const INIT_SAYS_WITHIN: Span = Span::from_secs(10);

/// Can its init have said so?
fn may_be_inits(ran: Option<Span>) -> bool {
    // Podman dates a start when it has seen it: one may have ended by then.
    ran.is_some_and(|ran| ran.micros().abs() <= INIT_SAYS_WITHIN.micros())
}

/// An init that cannot execute the program says so in the task's own output.
pub(super) fn said_by_init(
    house: &House,
    attempt: AttemptId,
    program: &str,
    outcome: Outcome,
) -> Outcome {
    if !matches!(outcome, Outcome::Exited(1 | 126 | 127)) {
        return outcome;
    }
    if !may_be_inits(house.with(attempt, |held| held.lasted).flatten()) {
        return outcome;
    }
    let folder = house.folder.logs(attempt);
    let from = house.with(attempt, |held| held.current.written[1]).unwrap_or(0);
    let said = crate::logs::read(&folder, Stream::Stderr, from, 400).unwrap_or_default().data;
    let said = String::from_utf8_lossy(&said).into_owned();
    let is_inits = said.starts_with("ERROR (catatonit:") && said.contains("failed to exec")
        || said.starts_with("[FATAL tini");
    if !is_inits {
        return outcome;
    }
    failed(of_program(&said, program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_run_for_long_is_no_init_that_could_not_execute_it() {
        assert!(may_be_inits(Some(Span::from_millis(40))));
        assert!(!may_be_inits(Some(Span::from_secs(11))));
        assert!(may_be_inits(Some(Span::from_millis(-200))));
        assert!(!may_be_inits(Some(Span::from_secs(-63_000_000_000))), "it is not said");
        assert!(!may_be_inits(None), "nobody says how long");
    }
}

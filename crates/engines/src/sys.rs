//! The one island of unsafe code: making a process the way the keeper needs it, reaping it with
//! its resource usage, and a descriptor for signals. Everything above is safe Rust.
//!
//! Why not `std::process::Command`: with a hook before exec it forks, which copies the keeper's
//! page tables for every task, and it has no pidfd and no usage on reaping. Here the child shares
//! the memory of the keeper until it executes (`CLONE_VM | CLONE_VFORK`, what `posix_spawn` does
//! inside), so a start costs the same however large the keeper is.

#![expect(unsafe_code, reason = "process creation and reaping have no safe interface")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{io, ptr};

use dayan_units::{Bytes, Span};

/// Everything the child needs, made before it exists: between clone and exec it must not
/// allocate, because it shares its memory with a thread that was stopped at any point.
pub(crate) struct Child<'a> {
    /// Paths to try in order, as `execvp` would.
    pub candidates: &'a [CString],
    /// The arguments, with the name of the program first.
    pub argv: &'a [CString],
    /// The environment as `NAME=value`.
    pub envp: &'a [CString],
    /// The working folder.
    pub workdir: &'a CStr,
    /// Open `cgroup.procs` files to write itself into.
    pub join: &'a [OwnedFd],
    /// Standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Resource limits: which, and soft and hard value alike (never above the present hard one).
    pub rlimits: &'a [(c_uint_resource, u64)],
    /// Processors to be pinned to; none for any.
    pub cpu_set: &'a [u32],
}

/// The type glibc gives to the names of resource limits.
#[expect(non_camel_case_types, reason = "stands for the C library's type, which has no other name")]
pub(crate) type c_uint_resource = u32;

/// Resource limits the keeper sets.
pub(crate) const RLIMIT_NOFILE: c_uint_resource = libc::RLIMIT_NOFILE as c_uint_resource;
/// Private writable memory of a process.
pub(crate) const RLIMIT_DATA: c_uint_resource = libc::RLIMIT_DATA as c_uint_resource;
/// Size of core files.
pub(crate) const RLIMIT_CORE: c_uint_resource = libc::RLIMIT_CORE as c_uint_resource;

/// Has the runtime watch a descriptor, such as a pidfd, for being readable.
#[cfg(feature = "containers")]
pub(crate) fn watch(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    use tokio::io::{Interest, unix::AsyncFd};
    // SAFETY: an `OwnedFd` is open and the same descriptor for as long as it lives, and nobody else
    // can take or replace it: it is moved in.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? })
}

/// Which step of the start failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Making the process.
    Clone,
    /// Its session and its tie to the keeper's life.
    Session,
    /// Joining its cgroups.
    Join,
    /// Its resource limits or processors.
    Limits,
    /// Its standard streams.
    Streams,
    /// Its working folder.
    Workdir,
    /// Executing the program.
    Exec,
}

const STEPS: [Step; 7] = [
    Step::Clone,
    Step::Session,
    Step::Join,
    Step::Limits,
    Step::Streams,
    Step::Workdir,
    Step::Exec,
];

/// What a start came to.
pub(crate) struct Started {
    /// The process.
    pub pid: i32,
    /// A descriptor of it, readable once it has ended.
    pub pidfd: OwnedFd,
}

/// The stack a child runs on until it executes. 64 KiB: the deepest call is glibc's `execve`,
/// which needs under one page; the rest is guard against surprises.
pub(crate) struct ChildStack(Vec<u128>);

impl ChildStack {
    /// A stack, to be used for one start at a time.
    pub(crate) fn new() -> Self {
        Self(vec![0; (64 << 10) / 16])
    }
}

struct Shared<'a> {
    child: &'a Child<'a>,
    candidates: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    keeper: libc::pid_t,
    step: usize,
    errno: c_int,
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// Makes a process in a session of its own, inside its cgroups, and executes. Returns once the
/// program runs or the start has failed; then nothing is left of it.
///
/// The child dies when the calling *thread* does (`PR_SET_PDEATHSIG`), so threads that call this
/// must live as long as the keeper.
pub(crate) fn spawn(
    child: &Child<'_>,
    stack: &mut ChildStack,
) -> Result<Started, (Step, io::Error)> {
    let mut shared = Shared {
        child,
        candidates: pointers(child.candidates),
        argv: pointers(child.argv),
        envp: pointers(child.envp),
        keeper: rustix::process::getpid().as_raw_nonzero().get(),
        step: 0,
        errno: 0,
    };
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack is a live, 16-byte aligned allocation borrowed mutably for the whole call;
    // the pointer passed is one past its end, stacks grow downwards on every target of ours.
    // `shared` outlives the child's use of it because CLONE_VFORK stops this thread until the
    // child has executed or exited. The child allocates nothing and ends in exec or _exit.
    // `pidfd` is the parent_tid argument, where CLONE_PIDFD stores the descriptor.
    let pid = unsafe {
        libc::clone(
            run_child,
            stack.0.as_mut_ptr_range().end.cast::<c_void>(),
            flags,
            (&raw mut shared).cast::<c_void>(),
            &raw mut pidfd,
        )
    };
    if pid < 0 {
        return Err((Step::Clone, io::Error::last_os_error()));
    }
    // SAFETY: the kernel made this descriptor for us in the call above; nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: plain reads of our own struct; volatile because the child wrote them behind the
    // compiler's back.
    let (step, errno) = unsafe {
        ((&raw const shared.step).read_volatile(), (&raw const shared.errno).read_volatile())
    };
    if errno != 0 {
        // It has called _exit already, so this does not wait.
        let mut status = 0;
        // SAFETY: `status` is a live integer.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        return Err((STEPS[step.min(STEPS.len() - 1)], io::Error::from_raw_os_error(errno)));
    }
    Ok(Started { pid, pidfd })
}

extern "C" fn run_child(argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the `Shared` of `spawn`, which is stopped until we exec or exit.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    // SAFETY: only system calls on memory prepared by the parent; no allocation, no locks, no
    // unwinding (nothing called can panic: every index is bounded by an iterator).
    unsafe {
        let failed = prepare(shared).and_then(|()| execute(shared));
        if let Err((step, errno)) = failed {
            (&raw mut shared.step).write_volatile(step as usize);
            (&raw mut shared.errno).write_volatile(errno);
        }
        libc::_exit(127)
    }
}

type ChildResult = Result<(), (Step, c_int)>;

fn checked(step: Step, result: i64) -> ChildResult {
    // SAFETY: errno of this thread; the child shares it with its stopped parent.
    if result < 0 { Err((step, unsafe { *libc::__errno_location() })) } else { Ok(()) }
}

unsafe fn prepare(shared: &Shared<'_>) -> ChildResult {
    // SAFETY: see `run_child`; every pointer is to prepared, live memory.
    unsafe {
        let child = shared.child;
        checked(Step::Session, libc::setsid().into())?;
        checked(Step::Session, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into())?;
        // The keeper may have died before the line above took effect.
        if libc::getppid() != shared.keeper {
            return Err((Step::Session, libc::ESRCH));
        }
        for procs in child.join {
            let written = libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1);
            checked(Step::Join, written as i64)?;
        }
        // When the whole machine is short of memory a task must go before the keeper, which
        // would take all of them along. Best effort: the task's own limit is what counts.
        let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        if score >= 0 {
            libc::write(score, c"300".as_ptr().cast(), 3);
            libc::close(score);
        }
        for (which, value) in child.rlimits {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            checked(Step::Limits, libc::getrlimit(*which, &raw mut limit).into())?;
            let value = limit.rlim_max.min(*value);
            let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
            checked(Step::Limits, libc::setrlimit(*which, &raw const limit).into())?;
        }
        if !child.cpu_set.is_empty() {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            for cpu in child.cpu_set {
                if *cpu < libc::CPU_SETSIZE as u32 {
                    libc::CPU_SET(*cpu as usize, &mut set);
                }
            }
            let size = size_of::<libc::cpu_set_t>();
            checked(Step::Limits, libc::sched_setaffinity(0, size, &raw const set).into())?;
        }
        libc::umask(0o022);
        for (target, fd) in (0..).zip(&child.stdio) {
            // The sources are all above 2 (the keeper keeps 0, 1 and 2 occupied), so that none
            // is overwritten before it is used and dup2 always clears close-on-exec.
            checked(Step::Streams, libc::dup2(fd.as_raw_fd(), target).into())?;
        }
        checked(Step::Workdir, libc::chdir(child.workdir.as_ptr()).into())?;
        // Rust ignores SIGPIPE and the keeper blocks what it reads by signalfd; both would be
        // inherited.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        Ok(())
    }
}

unsafe fn execute(shared: &Shared<'_>) -> ChildResult {
    let mut error = libc::ENOENT;
    for path in &shared.candidates {
        if path.is_null() {
            break;
        }
        // SAFETY: see `run_child`; the arrays end with a null pointer.
        let errno = unsafe {
            libc::execve(*path, shared.argv.as_ptr(), shared.envp.as_ptr());
            *libc::__errno_location()
        };
        match errno {
            // Not there: keep what an earlier folder of PATH said about permission.
            libc::ENOENT | libc::ENOTDIR if error == libc::EACCES => {}
            libc::ENOENT | libc::ENOTDIR | libc::EACCES => error = errno,
            other => return Err((Step::Exec, other)),
        }
    }
    Err((Step::Exec, error))
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// What a process and those it waited for used, from the kernel's resource usage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Used {
    pub user: Span,
    pub system: Span,
    pub memory_peak: Bytes,
    pub read: Bytes,
    pub written: Bytes,
}

fn used(usage: &libc::rusage) -> Used {
    let span =
        |time: libc::timeval| Span::from_secs(time.tv_sec).plus(Span::from_micros(time.tv_usec));
    let amount =
        |count: i64, unit: u64| Bytes(u64::try_from(count).unwrap_or(0).saturating_mul(unit));
    Used {
        user: span(usage.ru_utime),
        system: span(usage.ru_stime),
        // ru_maxrss is in KiB and the block counts in units of 512 bytes: getrusage(2).
        memory_peak: amount(usage.ru_maxrss, 1_024),
        read: amount(usage.ru_inblock, 512),
        written: amount(usage.ru_oublock, 512),
    }
}

fn wait_nohang(pid: i32, options: c_int) -> io::Result<Option<(i32, Status, Used)>> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right type.
    let reaped =
        unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG | options, &raw mut usage) };
    match reaped {
        0 => Ok(None),
        pid if pid > 0 => {
            let status = if libc::WIFSIGNALED(status) {
                Status::Signalled(libc::WTERMSIG(status))
            } else {
                Status::Exited(libc::WEXITSTATUS(status))
            };
            Ok(Some((pid, status, used(&usage))))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reaps this child if it has ended. Its pid cannot have been reused: it is a zombie until here.
pub(crate) fn reap(pid: i32) -> io::Result<Option<(Status, Used)>> {
    Ok(wait_nohang(pid, 0)?.map(|(_, status, used)| (status, used)))
}

/// Reaps orphans: processes whose own parent died and that the kernel gave to us as subreaper.
/// They become children of the first thread, tasks are children of the threads that made them,
/// so only the first thread may call this, and it never takes a task's exit by mistake. True if
/// orphans are still alive.
pub(crate) fn reap_orphans() -> bool {
    loop {
        match wait_nohang(-1, libc::__WNOTHREAD) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Blocks the polite signals in this thread and those it starts, and returns a descriptor they
/// are read from. Signals that were ignored by who started us work again.
pub(crate) fn signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: plain signal calls on live, initialised sets; no handler is installed. SIGPIPE stays
    // ignored, as the Rust runtime set it.
    unsafe {
        for signal in 1..32 {
            let mut action: libc::sigaction = std::mem::zeroed();
            let known = libc::sigaction(signal, ptr::null(), &raw mut action) == 0;
            if known && action.sa_sigaction == libc::SIG_IGN && signal != libc::SIGPIPE {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sends a signal to a process group; false if there is no such group.
pub(crate) fn signal_group(group: i32, signal: i32) -> bool {
    // A group of 1 or less would address everything we may signal.
    // SAFETY: no memory is involved.
    group > 1 && unsafe { libc::kill(-group, signal) } == 0
}

/// Sends SIGKILL to the process behind a descriptor, which cannot be another one by reuse.
pub(crate) fn kill_by_pidfd(pidfd: BorrowedFd<'_>) {
    let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
}

/// Bytes of a memory page.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: no memory is involved. POSIX guarantees the name; 4,096 if it failed nevertheless.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096)
}

/// Marks every inherited descriptor above the standard ones close-on-exec, so that no task ever
/// holds what somebody forgot.
pub(crate) fn close_inherited_on_exec() {
    // SAFETY: changes flags only; no descriptor is closed. An old kernel answers EINVAL, and then
    // nothing has happened: our own descriptors are made close-on-exec anyway.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn true_with<'a>(
        candidates: &'a [CString],
        argv: &'a [CString],
        workdir: &'a CStr,
        null: BorrowedFd<'a>,
    ) -> Child<'a> {
        Child {
            candidates,
            argv,
            envp: &[],
            workdir,
            join: &[],
            stdio: [null; 3],
            rlimits: &[(RLIMIT_CORE, 0)],
            cpu_set: &[],
        }
    }

    fn wait(started: &Started) -> Status {
        let mut fds = [rustix::event::PollFd::new(&started.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).expect("polls");
        reap(started.pid).expect("ours").expect("ended").0
    }

    #[test]
    fn starts_and_says_which_step_failed() {
        let null = std::fs::File::open("/dev/null").expect("there");
        let argv = [c"sh".to_owned(), c"-c".to_owned(), c"exit 7".to_owned()];
        let mut stack = ChildStack::new();
        let sh = [c"/nowhere/sh".to_owned(), c"/bin/sh".to_owned()];
        let started = spawn(&true_with(&sh, &argv, c"/", null.as_fd()), &mut stack)
            .map_err(|(step, e)| format!("{step:?} {e}"))
            .expect("starts");
        assert_eq!(wait(&started), Status::Exited(7));

        let mut check = |candidate: &CStr, workdir: &CStr, step, errno| {
            let candidates = [candidate.to_owned()];
            let child = true_with(&candidates, &argv, workdir, null.as_fd());
            let Err((failed, error)) = spawn(&child, &mut stack) else { panic!("started") };
            assert_eq!((failed, error.raw_os_error()), (step, Some(errno)));
        };
        check(c"/nowhere/sh", c"/", Step::Exec, libc::ENOENT);
        check(c"/etc/passwd", c"/", Step::Exec, libc::EACCES);
        check(c"/bin/sh", c"/nowhere", Step::Workdir, libc::ENOENT);
    }
}

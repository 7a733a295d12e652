//! The wall clock is moved under a live exchange and its agent: no lease, quote or token expires
//! for that, and time in the books never goes back.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Serve, Stage};

/// Adds the seconds that stand in a file to every reading of the wall clock, and to nothing else.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long moved(void) {
    char text[32] = {0};
    const char *path = getenv("TEST_CLOCK_MOVED");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    long got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, id, at) != 0;
    if (!failed && id == CLOCK_REALTIME) at->tv_sec += moved();
    return failed ? -1 : 0;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"#;

/// The shim, built with the machine's C compiler, which the build of SQLite needs as well.
fn build_shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SHIM).expect("a file");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    assert!(compiler.status().expect("a C compiler").success());
    library
}

fn move_clock(file: &Path, seconds: i64) {
    // In one step: a half-written number would be another time.
    let new = file.with_extension("new");
    std::fs::write(&new, seconds.to_string()).expect("a file");
    std::fs::rename(new, file).expect("a file");
}

#[test]
fn a_wall_clock_moved_an_hour_each_way_expires_nothing() {
    const HOUR: i64 = 3_600;
    let folder = tempfile::tempdir().expect("a folder");
    let (shim, moved) = (build_shim(folder.path()), folder.path().join("moved"));
    move_clock(&moved, 0);
    let env = vec![
        ("LD_PRELOAD".to_owned(), shim.display().to_string()),
        ("TEST_CLOCK_MOVED".to_owned(), moved.display().to_string()),
    ];
    let mut stage = Stage::empty(Serve { env, ..Serve::default() });
    stage.add_agent("main", "1", None);
    let lease = "on_lost_link: {keep: 30s}\n";
    let mut jobs = Vec::new();
    for (round, seconds) in [HOUR, -HOUR, 0].into_iter().enumerate() {
        let running = stage.submit_with("sleep 4", &format!("running-{round}"), lease);
        stage.running(&running, 1);
        move_clock(&moved, seconds);
        jobs.extend([running, stage.submit_with("true", &format!("after-{round}"), lease)]);
        // A server that starts under a clock that was moved back goes on from its books' time.
        stage.kill_server();
        stage.start_server();
        jobs.push(stage.submit_with("true", &format!("again-{round}"), lease));
    }
    let mut submitted = Vec::new();
    for job in &jobs {
        let shown = stage.assert_ran_once(job);
        submitted.push((shown["submitted_at"].as_str().expect("a time").to_owned(), job));
    }
    let hour = |at: &str| at.get(11..13).expect("RFC 3339").to_owned();
    // The third job was submitted after a start under the clock that was an hour ahead.
    assert_ne!(hour(&submitted[0].0), hour(&submitted[2].0), "the clock was moved at all");
    let seen: Vec<_> = jobs.iter().collect();
    submitted.sort();
    let ordered: Vec<_> = submitted.iter().map(|(_, job)| *job).collect();
    assert_eq!(ordered, seen, "time in the books only goes forward");
    stage.assert_sound();
}

//! What was measured on: printed with every figure.

use std::process::Command;

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| String::new(), |out| first_line(&String::from_utf8_lossy(&out.stdout)))
}

/// Prints machine and commit.
pub fn print() {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([':', ' ', '\t']);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("machine: {model}, {cores} cores, kernel {}", said("uname", &["-r"]));
    // The program lies in its repository's build folder, wherever it is started from.
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().and_then(std::path::Path::parent).and_then(std::path::Path::to_str);
    let commit = said("git", &["-C", folder.unwrap_or("."), "rev-parse", "--short", "HEAD"]);
    println!("commit:  {commit}");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load:    {}", first_line(&load));
}

/// Processor time (µs) and resident memory (bytes) of a process.
pub fn usage(pid: u32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields after the command's closing parenthesis; 14 and 15 of the whole are user and system.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = rss.and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    // USER_HZ is 100 on every Linux there is.
    (ticks * 10_000, kib * 1024)
}

/// Busy processor time of the whole machine since it started, in seconds: nothing that was started
/// escapes it.
pub fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> =
        line.split_whitespace().skip(1).take(8).map(|f| f.parse().unwrap_or(0)).collect();
    let idle = fields.get(3).unwrap_or(&0) + fields.get(4).unwrap_or(&0);
    // USER_HZ is 100 on every Linux there is.
    (fields.iter().sum::<u64>() - idle) as f64 / 100.0
}

//! `sinfo`: pools as partitions, machines by their state.

use std::collections::BTreeMap;

use dayan_wire::{Node, Pool};
use serde_json::json;

use super::format::Format;
use super::view::hosts;
use super::{Refused, Tool, listed};
use crate::cmd::session::Session;

const DEFAULT: &str = "%#P %.5a %.10l %.6D %.6t %N";
const LONG: &str = "%#P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N";
const SUMMARY: &str = "%#P %.5a %.10l %.16F %N";
const NODES: &str = "%#N %.6D %#P %6t";
const NODES_LONG: &str = "%#N %.6D %#P %.11T %4c %.8z %.6m %.8d %.6w %8f %20E";

/// Shows pools and their machines
#[derive(Debug, clap::Parser)]
#[command(name = "sinfo", disable_help_flag = true, disable_version_flag = true)]
pub struct Sinfo {
    /// Nothing more than without: all pools you may see are shown
    #[arg(short = 'a', long)]
    all: bool,
    /// No line of heads
    #[arg(short = 'h', long = "noheader")]
    no_header: bool,
    /// More columns
    #[arg(short = 'l', long)]
    long: bool,
    /// Only these nodes
    #[arg(short = 'n', long, value_name = "NAMES")]
    nodes: Vec<String>,
    /// A line for each node
    #[arg(short = 'N', long = "Node")]
    each: bool,
    /// Columns, as `%P %.5a`
    #[arg(short = 'o', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only these partitions: pools
    #[arg(short = 'p', long, value_name = "NAMES")]
    partition: Vec<String>,
    /// A line for each partition
    #[arg(short = 's', long)]
    summarize: bool,
    /// Only nodes in these states
    #[arg(short = 't', long, value_name = "STATES")]
    states: Vec<String>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// What a node does, with Slurm's two names for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Doing {
    Mixed,
    Allocated,
    Idle,
    Draining,
    Drained,
    Down,
}

impl Doing {
    const ALL: [Self; 6] =
        [Self::Mixed, Self::Allocated, Self::Idle, Self::Draining, Self::Drained, Self::Down];
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Mixed => ("mixed", "mix"),
            Self::Allocated => ("allocated", "alloc"),
            Self::Idle => ("idle", "idle"),
            Self::Draining => ("draining", "drng"),
            Self::Drained => ("drained", "drain"),
            Self::Down => ("down", "down"),
        }
    }
    fn of(pool: &Pool, node: &Node) -> Self {
        let used = milli(&node.cpus_used);
        match (node.up, pool.status == "active", used) {
            (false, _, _) => Self::Down,
            // A pool that takes no work is one whose nodes run empty.
            (true, false, 0) => Self::Drained,
            (true, false, _) => Self::Draining,
            (true, true, 0) => Self::Idle,
            (true, true, used) if used >= milli(&node.cpus) => Self::Allocated,
            (true, true, _) => Self::Mixed,
        }
    }
    fn has_name(self, name: &str) -> bool {
        let (long, short) = self.names();
        let other = match self {
            Self::Drained | Self::Draining => "drain",
            Self::Mixed | Self::Allocated | Self::Idle | Self::Down => long,
        };
        [long, short, other].iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Thousandths of a core, from a decimal.
fn milli(text: &str) -> u64 {
    text.parse::<dayan_units::MilliCpu>().map_or(0, |cpus| cpus.0)
}

/// One line: nodes of a pool that do the same.
struct Row<'p> {
    pool: &'p Pool,
    nodes: Vec<&'p Node>,
    doing: Doing,
    /// Of all nodes of the line: how many are busy, idle, and neither.
    counts: [usize; 3],
}

/// Answers.
pub async fn run(args: &Sinfo, session: &Session) -> Result<u8, Refused> {
    let text = match (&args.format, args.each, args.summarize, args.long) {
        (Some(format), ..) => format.clone(),
        (None, true, _, true) => NODES_LONG.to_owned(),
        (None, true, _, false) => NODES.to_owned(),
        (None, false, true, _) => SUMMARY.to_owned(),
        (None, false, false, true) => LONG.to_owned(),
        (None, false, false, false) => {
            std::env::var("SINFO_FORMAT").unwrap_or_else(|_| DEFAULT.to_owned())
        }
    };
    let (format, strange) = Format::parse(&text).known(|letter| !head(letter).is_empty());
    for letter in strange {
        session.out.say_raw(&format!("Invalid node format specification: {letter}\n"));
    }
    for name in listed(&args.states) {
        if !Doing::ALL.iter().any(|doing| doing.has_name(&name)) {
            let said = Refused::said(format!("Bad state string: \"{name}\""));
            let all: Vec<&str> = Doing::ALL.iter().map(|doing| doing.names().0).collect();
            return Err(said.and(format!("valid states: {}", all.join(","))));
        }
    }
    let mut pools = session.client()?.pools().await?;
    pools.retain(|pool| pool.status != "retired");
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    let rows = args.rows(&pools, &format);
    let out = if args.json {
        format!("{:#}\n", as_json(&rows))
    } else {
        let now = crate::clock::now().to_zoned(session.out.view.zone.clone());
        let date = now.strftime("%a %b %d %H:%M:%S %Y\n").to_string();
        let date = if args.long && !args.no_header { date } else { String::new() };
        date + &format.lines(&rows, !args.no_header, head, cell)
    };
    session.out.raw(out.as_bytes())?;
    Ok(0)
}

impl Sinfo {
    /// Lines: by pool and state, or by pool, or by node. A format that shows no state has one line
    /// for what looks the same.
    fn rows<'p>(&self, pools: &'p [Pool], format: &Format) -> Vec<Row<'p>> {
        let (partitions, names) = (listed(&self.partition), listed(&self.nodes));
        let states = listed(&self.states);
        let shows_state = self.json
            || format.columns.iter().any(|column| matches!(column.letter, 't' | 'T' | 'E' | 'N'));
        let apart = self.each || self.json || format.columns.iter().any(|c| c.letter == 'n');
        let mut rows = Vec::new();
        for pool in pools {
            if !partitions.is_empty() && !partitions.contains(&pool.name) {
                continue;
            }
            let kept = |node: &&Node| {
                let doing = Doing::of(pool, node);
                let named = names.is_empty() || names.contains(&node.name);
                named && (states.is_empty() || states.iter().any(|name| doing.has_name(name)))
            };
            let nodes: Vec<&Node> = pool.nodes.iter().filter(kept).collect();
            let mut groups: BTreeMap<(Doing, usize), Vec<&Node>> = BTreeMap::new();
            for (at, node) in nodes.iter().enumerate() {
                let doing = Doing::of(pool, node);
                let by_state = shows_state && !self.summarize && !apart;
                let key = (if by_state { doing } else { Doing::Idle }, if apart { at } else { 0 });
                groups.entry(key).or_default().push(node);
            }
            // A pool without machines is shown like a partition without nodes.
            if pool.nodes.is_empty() && names.is_empty() && states.is_empty() && !apart {
                groups.insert((Doing::Idle, 0), Vec::new());
            }
            rows.extend(groups.into_values().map(|nodes| Row::of(pool, nodes)));
        }
        rows
    }
}

impl<'p> Row<'p> {
    fn of(pool: &'p Pool, nodes: Vec<&'p Node>) -> Self {
        let count = |doings: &[Doing]| {
            nodes.iter().filter(|node| doings.contains(&Doing::of(pool, node))).count()
        };
        let busy = count(&[Doing::Mixed, Doing::Allocated, Doing::Draining]);
        let counts = [busy, count(&[Doing::Idle]), count(&[Doing::Drained, Doing::Down])];
        let doing = nodes.first().map_or(Doing::Idle, |node| Doing::of(pool, node));
        Self { pool, nodes, doing, counts }
    }
    /// A number of each node; with a plus where they differ, the least of them.
    fn each(&self, of: impl Fn(&Node) -> u64) -> String {
        let all: Vec<u64> = self.nodes.iter().map(|node| of(node)).collect();
        match (all.iter().min(), all.iter().max()) {
            (Some(least), Some(most)) if least == most => least.to_string(),
            (Some(least), Some(_)) => format!("{least}+"),
            (None, _) | (_, None) => "0".to_owned(),
        }
    }
    fn cards(&self) -> String {
        let with = self.nodes.iter().find(|node| milli(&node.accelerators) > 0);
        with.map_or_else(|| "(null)".to_owned(), |node| gres(node))
    }
    fn names(&self) -> String {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        hosts(&names)
    }
}

fn gres(node: &Node) -> String {
    let count = milli(&node.accelerators) / 1_000;
    match &node.accelerator {
        Some(model) => format!("gpu:{}:{count}", model.replace(' ', "_")),
        None => format!("gpu:{count}"),
    }
}

fn cores(node: &Node) -> u64 {
    milli(&node.cpus) / 1_000
}
fn cores_used(node: &Node) -> u64 {
    milli(&node.cpus_used).div_ceil(1_000)
}

fn head(letter: char) -> &'static str {
    match letter {
        'a' => "AVAIL",
        'b' => "ACTIVE_FEATURES",
        'c' => "CPUS",
        'C' => "CPUS(A/I/O/T)",
        'd' => "TMP_DISK",
        'D' => "NODES",
        'e' => "FREE_MEM",
        'E' => "REASON",
        'f' => "AVAIL_FEATURES",
        'F' => "NODES(A/I/O/T)",
        'g' => "GROUPS",
        'G' => "GRES",
        'h' => "OVERSUBSCRIBE",
        'l' => "TIMELIMIT",
        'L' => "DEFAULTTIME",
        'm' => "MEMORY",
        'n' => "HOSTNAMES",
        'N' => "NODELIST",
        'O' => "CPU_LOAD",
        'P' | 'R' => "PARTITION",
        'r' => "ROOT",
        's' => "JOB_SIZE",
        't' | 'T' => "STATE",
        'w' => "WEIGHT",
        'z' => "S:C:T",
        _ => "",
    }
}

fn cell(row: &Row<'_>, letter: char) -> String {
    let active = row.pool.status == "active";
    let sum = |of: &dyn Fn(&Node) -> u64| row.nodes.iter().map(|node| of(node)).sum::<u64>();
    match letter {
        'a' => if active { "up" } else { "inact" }.to_owned(),
        'b' | 'f' => "(null)".to_owned(),
        'c' => row.each(cores),
        'C' => {
            let total = sum(&cores);
            let used = sum(&|node| if node.up { cores_used(node) } else { 0 });
            let other = sum(&|node| if node.up && active { 0 } else { cores(node) });
            let idle = total.saturating_sub(used).saturating_sub(other);
            format!("{used}/{idle}/{other}/{total}")
        }
        'd' => "0".to_owned(),
        'D' => row.nodes.len().to_string(),
        'e' | 'O' => "N/A".to_owned(),
        'E' => if active { "none" } else { row.pool.status.as_str() }.to_owned(),
        'F' => {
            let [busy, idle, other] = row.counts;
            format!("{busy}/{idle}/{other}/{}", row.nodes.len())
        }
        'g' => "all".to_owned(),
        'G' => row.cards(),
        'h' => "NO".to_owned(),
        'r' => "no".to_owned(),
        'l' | 'L' => "infinite".to_owned(),
        'm' => row.each(|node| node.memory >> 20),
        'n' | 'N' => row.names(),
        'P' | 'R' => row.pool.name.clone(),
        's' => "1-infinite".to_owned(),
        't' => {
            let star = if row.doing == Doing::Down { "*" } else { "" };
            if row.nodes.is_empty() {
                "n/a".to_owned()
            } else {
                format!("{}{star}", row.doing.names().1)
            }
        }
        'T' => {
            let star = if row.doing == Doing::Down { "*" } else { "" };
            if row.nodes.is_empty() {
                "n/a".to_owned()
            } else {
                format!("{}{star}", row.doing.names().0)
            }
        }
        'w' => "1".to_owned(),
        'z' => format!("1:{}:1", row.each(cores)),
        _ => String::new(),
    }
}

/// The fields scripts read, in the shape of `sinfo --json` of 22.05.
fn as_json(rows: &[Row<'_>]) -> serde_json::Value {
    let node = |row: &Row<'_>, node: &Node| {
        json!({
            "name": node.name,
            "hostname": node.name,
            "state": row.doing.names().0,
            "partitions": [row.pool.name],
            "cpus": cores(node),
            "alloc_cpus": cores_used(node),
            "idle_cpus": cores(node).saturating_sub(cores_used(node)),
            "real_memory": node.memory >> 20,
            "gres": if milli(&node.accelerators) > 0 { gres(node) } else { String::new() },
            "reason": if row.pool.status == "active" { "" } else { row.pool.status.as_str() },
        })
    };
    let all = rows.iter().flat_map(|row| row.nodes.iter().map(move |each| node(row, each)));
    json!({
        "meta": super::meta(Tool::Sinfo),
        "errors": [],
        "nodes": all.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[path = "sinfo_tests.rs"]
mod tests;

//! `sinfo`: pools as partitions, machines by their state.

use std::collections::{BTreeMap, BTreeSet};

use dayan_wire::{Node, Pool};
use serde_json::json;

use super::again::{CLUSTER, clusters, every};
use super::format::{self, Format};
use super::pools::is_called;
use super::view::{clock, full_span, hosts, span};
use super::{Refused, Tool, listed};
use crate::cmd::session::Session;

const DEFAULT: &str = "%#P %.5a %.10l %.6D %.6t %N";
const LONG: &str = "%#P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N";
const SUMMARY: &str = "%#P %.5a %.10l %.16F %N";
const NODES: &str = "%#N %.6D %#P %6t";
const REASONS: &str = "%#20E %9u %19H %N";
const REASONS_LONG: &str = "%#20E %9u %19H %6t %N";
const NODES_LONG: &str = "%#N %.6D %#P %.11T %4c %.8z %.6m %.8d %.6w %8f %20E";

/// Shows pools and their machines
#[derive(Debug, clap::Parser)]
#[command(
    name = "sinfo",
    disable_help_flag = true,
    disable_version_flag = true,
    infer_long_args = true
)]
pub struct Sinfo {
    /// Nothing more than without: all pools you may see are shown
    #[arg(short = 'a', long)]
    all: bool,
    /// Only nodes that do not answer
    #[arg(short = 'd', long)]
    dead: bool,
    /// A line of its own for nodes that differ in size
    #[arg(short = 'e', long)]
    exact: bool,
    /// No line of heads
    #[arg(short = 'h', long = "noheader")]
    no_header: bool,
    /// Nothing more than without: nothing is hidden that you may see
    #[arg(long)]
    hide: bool,
    /// Again every so many seconds
    #[arg(short = 'i', long, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..))]
    iterate: Option<u32>,
    /// More columns
    #[arg(short = 'l', long)]
    long: bool,
    /// Nothing more than without: there is one cluster
    #[arg(long)]
    local: bool,
    /// The same
    #[arg(long)]
    federation: bool,
    /// Of these clusters: there is one, `dayan`
    #[arg(short = 'M', long, alias = "cluster", value_name = "NAMES")]
    clusters: Vec<String>,
    /// Only these nodes
    #[arg(short = 'n', long, value_name = "NAMES")]
    nodes: Vec<String>,
    /// A line for each node
    #[arg(short = 'N', long = "Node")]
    each: bool,
    /// Columns, as `%P %.5a`
    #[arg(short = 'o', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Columns by name, as `PartitionName,CPUsState:20`
    #[arg(short = 'O', long = "Format", value_name = "NAMES")]
    named: Option<String>,
    /// Only these partitions: pools
    #[arg(short = 'p', long, value_name = "NAMES")]
    partition: Vec<String>,
    /// Only nodes that answer
    #[arg(short = 'r', long)]
    responding: bool,
    /// Why nodes take no work
    #[arg(short = 'R', long = "list-reasons")]
    list_reasons: bool,
    /// A line for each partition
    #[arg(short = 's', long)]
    summarize: bool,
    /// The order, as `-t,N`
    #[arg(short = 'S', long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Times at which pools or machines are closed
    #[arg(short = 'T', long)]
    reservation: bool,
    /// Only nodes in these states
    #[arg(short = 't', long, value_name = "STATES")]
    states: Vec<String>,
    /// Nothing more than without
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    verbose: u8,
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

/// States of Slurm's nodes that none is in here: scripts name them in lists with others.
const ELSEWHERE: [&str; 30] = [
    "block",
    "blocked",
    "cloud",
    "comp",
    "completing",
    "err",
    "error",
    "fail",
    "failing",
    "futr",
    "future",
    "inval",
    "maint",
    "no_respond",
    "npc",
    "perfctrs",
    "plnd",
    "planned",
    "power_down",
    "power_up",
    "powered_down",
    "powering_down",
    "powering_up",
    "reboot",
    "reboot_issued",
    "rebooting",
    "reserved",
    "resv",
    "unk",
    "unknown",
];

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
        let used = milli_used(node);
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
    let cluster = clusters(&args.clusters)?;
    every(args.iterate, session, || once(args, &cluster, session)).await
}

async fn once(args: &Sinfo, cluster: &str, session: &Session) -> Result<u8, Refused> {
    let format = Format::parse_or_all(&args.text()?, head);
    let (format, strange) = format.known(|letter| !head(letter).is_empty());
    for letter in strange {
        session.out.say_raw(&format!("Invalid node format specification: {letter}\n"));
    }
    for name in listed(&args.states) {
        let elsewhere = ELSEWHERE.iter().any(|known| known.eq_ignore_ascii_case(&name));
        if !elsewhere && !Doing::ALL.iter().any(|doing| doing.has_name(&name)) {
            let said = Refused::said(format!("Bad state string: \"{name}\""));
            let all: Vec<&str> = Doing::ALL.iter().map(|doing| doing.names().0).collect();
            return Err(said.and(format!("valid states: {}", all.join(","))));
        }
    }
    let mut pools = session.client()?.pools().await?;
    pools.retain(|pool| pool.status != "retired");
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    let now = crate::clock::now();
    if args.reservation {
        let text = args.closures(&pools, now, &session.out.view.zone);
        session.out.raw((cluster.to_owned() + &text).as_bytes())?;
        return Ok(0);
    }
    let mut rows = args.rows(&pools, &format);
    if let Some(sort) = &args.sort {
        order(&mut rows, sort);
    }
    let out = if args.json {
        format!("{:#}\n", as_json(&rows))
    } else {
        let now = now.to_zoned(session.out.view.zone.clone());
        let date = now.strftime("%a %b %d %H:%M:%S %Y\n").to_string();
        let dated = (args.long || args.iterate.is_some()) && !args.no_header;
        let above = if args.no_header { "" } else { cluster };
        let date = if dated { date } else { String::new() };
        date + above + &format.lines(&rows, !args.no_header, head, cell)
    };
    session.out.raw(out.as_bytes())?;
    Ok(0)
}

/// By these fields, `-` before one turns it round; numbers by what they count. `#`, as the
/// configuration has it, is the order of names here: pools have no other.
fn order(rows: &mut [Row<'_>], sort: &str) {
    for key in sort.split(',').rev() {
        let key = key.trim();
        let down = key.starts_with('-');
        let Some(letter) = key.trim_start_matches(['-', '+', '#']).chars().next() else { continue };
        rows.sort_by(|a, b| {
            let ordering = match letter {
                't' | 'T' => a.doing.cmp(&b.doing),
                letter => {
                    let (a, b) = (cell(a, letter), cell(b, letter));
                    let number = |text: &str| text.trim_end_matches('+').parse::<u64>().ok();
                    match number(&a).zip(number(&b)) {
                        Some((a, b)) => a.cmp(&b),
                        None => a.cmp(&b),
                    }
                }
            };
            if down { ordering.reverse() } else { ordering }
        });
    }
}

impl Sinfo {
    /// The columns, as `%` and letters.
    fn text(&self) -> Result<String, Refused> {
        Ok(match (&self.format, &self.named) {
            (Some(format), _) => format.clone(),
            (None, Some(named)) => by_names(named)?,
            (None, None) if self.list_reasons && self.long => REASONS_LONG.to_owned(),
            (None, None) if self.list_reasons => REASONS.to_owned(),
            (None, None) if self.each && self.long => NODES_LONG.to_owned(),
            (None, None) if self.each => NODES.to_owned(),
            (None, None) if self.summarize => SUMMARY.to_owned(),
            (None, None) if self.long => LONG.to_owned(),
            (None, None) => std::env::var("SINFO_FORMAT").unwrap_or_else(|_| DEFAULT.to_owned()),
        })
    }

    /// When pools, or machines of theirs, take no work: what is a reservation for maintenance there.
    fn closures(&self, pools: &[Pool], now: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> String {
        let partitions = listed(&self.partition);
        let wanted = |pool: &&Pool| partitions.is_empty() || is_called(pool, &partitions);
        let mut rows: Vec<[String; 6]> = Vec::new();
        for pool in pools.iter().filter(wanted) {
            for (nth, closure) in pool.closures.iter().enumerate() {
                let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
                let (from, until) =
                    (closure.from.as_deref().and_then(moment), moment(&closure.until));
                let active = from.is_none_or(|from| from <= now);
                let lasts =
                    from.zip(until).map(|(from, until)| until.as_second() - from.as_second());
                let all = || pool.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>();
                let named = closure.nodes.iter().map(String::as_str).collect::<Vec<_>>();
                rows.push([
                    format!("{}-{}", pool.name, nth + 1),
                    if active { "ACTIVE" } else { "INACTIVE" }.to_owned(),
                    clock(from, zone, "Unknown"),
                    clock(until, zone, "Unknown"),
                    lasts.map_or_else(|| "Unknown".to_owned(), |secs| full_span(secs.max(0))),
                    hosts(&if named.is_empty() { all() } else { named }),
                ]);
            }
        }
        if rows.is_empty() {
            return "No reservations in the system\n".to_owned();
        }
        let heads = ["RESV_NAME", "STATE", "START_TIME", "END_TIME", "DURATION", "NODELIST"];
        let heads = (!self.no_header).then(|| heads.map(str::to_owned));
        let lines =
            heads.into_iter().chain(rows).map(|[name, state, from, until, lasts, nodes]| {
                format!("{name:<12} {state:>8} {from:>19} {until:>19} {lasts:>11}  {nodes}\n")
            });
        lines.collect()
    }

    /// Lines: by pool and state, or by pool, or by node. A format that shows no state has one line
    /// for what looks the same.
    fn rows<'p>(&self, pools: &'p [Pool], format: &Format) -> Vec<Row<'p>> {
        let (partitions, names) = (listed(&self.partition), listed(&self.nodes));
        let states = listed(&self.states);
        let shows_state = self.json
            || format.columns.iter().any(|column| matches!(column.letter, 't' | 'T' | 'E' | 'N'));
        let sizes = self.exact || self.list_reasons;
        let shows = |letters: [char; 2]| {
            format.columns.iter().any(|column| letters.contains(&column.letter))
        };
        let (by_cards, by_features) = (shows(['G', GRES_USED]), shows(['f', 'b']));
        let apart = self.each || self.json || format.columns.iter().any(|c| c.letter == 'n');
        let mut rows = Vec::new();
        for pool in pools {
            if !partitions.is_empty() && !is_called(pool, &partitions) {
                continue;
            }
            let kept = |node: &&Node| {
                let doing = Doing::of(pool, node);
                let named = names.is_empty() || names.contains(&node.name);
                let answers = (!self.dead || !node.up) && (!self.responding || node.up);
                let idle = matches!(doing, Doing::Mixed | Doing::Allocated | Doing::Idle);
                let named = named && answers && !(self.list_reasons && idle);
                named && (states.is_empty() || states.iter().any(|name| doing.has_name(name)))
            };
            let nodes: Vec<&Node> = pool.nodes.iter().filter(kept).collect();
            let mut groups: BTreeMap<(Doing, usize, Look<'_>), Vec<&Node>> = BTreeMap::new();
            for (at, node) in nodes.iter().enumerate() {
                let doing = Doing::of(pool, node);
                let by_state = shows_state && !self.summarize && !apart;
                let look = Look {
                    size: sizes.then(|| size(node)),
                    cards: by_cards.then(|| cards(node)),
                    features: by_features.then_some(&node.features),
                };
                let place = if apart { at } else { 0 };
                let key = (if by_state { doing } else { Doing::Idle }, place, look);
                groups.entry(key).or_default().push(node);
            }
            // A pool without machines is shown like a partition without nodes.
            let narrowed = self.dead || self.responding || self.list_reasons;
            if pool.nodes.is_empty() && names.is_empty() && states.is_empty() && !apart && !narrowed
            {
                groups.insert((Doing::Idle, 0, Look::default()), Vec::new());
            }
            rows.extend(groups.into_values().map(|nodes| Row::of(pool, nodes)));
        }
        rows
    }
}

/// What `-e` tells nodes apart by: cores, memory, cards.
type Size = (u64, u64, String);

fn size(node: &Node) -> Size {
    (cores(node), node.memory, cards(node))
}

fn cards(node: &Node) -> String {
    if milli(&node.accelerators) > 0 { gres(node) } else { String::new() }
}

/// What else nodes of one line have in common: what the line shows of it.
#[derive(PartialEq, Eq, PartialOrd, Ord, Default)]
struct Look<'n> {
    size: Option<Size>,
    cards: Option<String>,
    features: Option<&'n BTreeSet<String>>,
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
    /// What all of its nodes have that jobs can ask for.
    fn features(&self) -> String {
        let mut nodes = self.nodes.iter().map(|node| &node.features);
        let Some(first) = nodes.next().cloned() else { return "(null)".to_owned() };
        let shared = nodes.fold(first, |all, one| &all & one);
        let shared: Vec<String> = shared.into_iter().collect();
        if shared.is_empty() { "(null)".to_owned() } else { shared.join(",") }
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

/// The longest that a task may run in a pool's cluster, where that says so.
fn limit(pool: &Pool) -> Option<String> {
    let minutes: i64 = pool.cluster.get("slurm.minutes_max")?.parse().ok()?;
    Some(span(minutes.saturating_mul(60)))
}

/// Why a node takes no work.
fn reason(row: &Row<'_>) -> String {
    let active = row.pool.status == "active";
    let down = row.doing == Doing::Down && !row.nodes.is_empty();
    match (active, down) {
        (false, _) => row.pool.status.clone(),
        // The exchange knows that it is, not why.
        (true, true) => "Unavailable at site".to_owned(),
        (true, false) => "none".to_owned(),
    }
}

fn cores(node: &Node) -> u64 {
    milli(&node.cpus) / 1_000
}
/// What ours and others have of it, as a site's own command counts: no more than there is.
fn milli_used(node: &Node) -> u64 {
    let others = node.cpus_others.as_deref().map_or(0, milli);
    milli(&node.cpus_used).saturating_add(others).min(milli(&node.cpus))
}
fn cores_used(node: &Node) -> u64 {
    milli_used(node).div_ceil(1_000)
}

/// Fields that have a name and no letter in Slurm.
const GRES_USED: char = '\u{e000}';
const ALLOC_MEM: char = '\u{e001}';

/// Letters for the names of `-O`.
fn by_names(names: &str) -> Result<String, Refused> {
    format::of_names(names, letter).map_err(|name| {
        let said = Refused::said(format!("Invalid node format specification: {name}"));
        said.and("`man sinfo` lists the names; those of what is not kept here are refused")
    })
}

fn letter(name: &str) -> Option<char> {
    Some(match name {
        "available" => 'a',
        "allocmem" => ALLOC_MEM,
        "allocnodes" => 'S',
        "cluster" => 'V',
        "cores" => 'Y',
        "cpus" => 'c',
        "cpusload" => 'O',
        "cpusstate" => 'C',
        "defaulttime" => 'L',
        "disk" => 'd',
        "features" => 'f',
        "features_act" => 'b',
        "freemem" => 'e',
        "gres" => 'G',
        "gresused" => GRES_USED,
        "groups" => 'g',
        "maxcpuspernode" => 'B',
        "memory" => 'm',
        "nodeaddr" => 'o',
        "nodeai" => 'A',
        "nodeaiot" => 'F',
        "nodehost" => 'n',
        "nodelist" => 'N',
        "nodes" => 'D',
        "oversubscribe" => 'h',
        "partition" => 'P',
        "partitionname" => 'R',
        "preemptmode" => 'M',
        "priorityjobfactor" => 'I',
        "prioritytier" => 'p',
        "reason" => 'E',
        "root" => 'r',
        "size" => 's',
        "sockets" => 'X',
        "socketcorethread" => 'z',
        "statecompact" => 't',
        "statelong" => 'T',
        "threads" => 'Z',
        "time" => 'l',
        "timestamp" => 'H',
        "user" => 'u',
        "userlong" => 'U',
        "version" => 'v',
        "weight" => 'w',
        _ => return None,
    })
}

fn head(letter: char) -> &'static str {
    match letter {
        'a' => "AVAIL",
        'A' => "NODES(A/I)",
        'B' => "MAX_CPUS_PER_NODE",
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
        'H' => "TIMESTAMP",
        'I' => "PRIO_JOB_FACTOR",
        'l' => "TIMELIMIT",
        'L' => "DEFAULTTIME",
        'm' => "MEMORY",
        'M' => "PREEMPT_MODE",
        'n' => "HOSTNAMES",
        'N' => "NODELIST",
        'o' => "NODE_ADDR",
        'O' => "CPU_LOAD",
        'p' => "PRIO_TIER",
        'P' | 'R' => "PARTITION",
        'r' => "ROOT",
        's' => "JOB_SIZE",
        'S' => "ALLOCNODES",
        't' | 'T' => "STATE",
        'u' | 'U' => "USER",
        'v' => "VERSION",
        'V' => "CLUSTER",
        'w' => "WEIGHT",
        'X' => "SOCKETS",
        'Y' => "CORES",
        'Z' => "THREADS",
        'z' => "S:C:T",
        GRES_USED => "GRES_USED",
        ALLOC_MEM => "ALLOCMEM",
        _ => "",
    }
}

fn cell(row: &Row<'_>, letter: char) -> String {
    let active = row.pool.status == "active";
    let sum = |of: &dyn Fn(&Node) -> u64| row.nodes.iter().map(|node| of(node)).sum::<u64>();
    match letter {
        'a' => if active { "up" } else { "inact" }.to_owned(),
        'A' => format!("{}/{}", row.counts[0], row.counts[1]),
        'B' => "UNLIMITED".to_owned(),
        'b' | 'f' => row.features(),
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
        'e' | 'M' | 'O' | ALLOC_MEM => "N/A".to_owned(),
        'E' => reason(row),
        'F' => {
            let [busy, idle, other] = row.counts;
            format!("{busy}/{idle}/{other}/{}", row.nodes.len())
        }
        'g' => "all".to_owned(),
        'G' => row.cards(),
        GRES_USED => "N/A".to_owned(),
        'h' => "NO".to_owned(),
        'H' | 'u' | 'U' => "Unknown".to_owned(),
        'r' => "no".to_owned(),
        'l' => limit(row.pool).unwrap_or_else(|| "infinite".to_owned()),
        'L' => "n/a".to_owned(),
        'm' => row.each(|node| node.memory >> 20),
        'n' | 'N' | 'o' => row.names(),
        'S' => "all".to_owned(),
        'v' => "22.05".to_owned(),
        'V' => CLUSTER.to_owned(),
        'X' | 'Z' | 'I' | 'p' => "1".to_owned(),
        'Y' => row.each(cores),
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
            "reason": if reason(row) == "none" { String::new() } else { reason(row) },
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

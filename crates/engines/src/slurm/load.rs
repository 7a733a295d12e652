//! What others do in the partition: what they hold of its nodes, through whichever partition, and until
//! when, how many wait, and when Slurm expects to start what waits of ours. One question for all jobs; the
//! rest is arithmetic. Other pools of the same agent are others, too: so nodes that are in the partitions of
//! two pools are not planned on twice.
//!
//! Read leniently: a line that is not understood is passed over. Invariant: what a node is said to be
//! held by others is never more than its controller counts as taken, less what is ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_units::{Bytes, MilliAccel, MilliCpu, Resources, Span, Time};

use super::accounts::Tally;
use super::hostlist::expand;
use super::request::{SiteWords, batch_of};
use super::status::{Elements, State};
use super::survey::{Node, Survey, gres, minutes};
use crate::wall_now;

/// The fields: who, the state, which elements, processors, nodes, memory of a node, generic resources
/// of a node, time left, start (or when one is expected), where, the partitions; the name last, because it
/// may hold anything.
pub(super) const FORMAT: &str = "%U|%T|%K|%C|%D|%m|%b|%L|%S|%N|%P|%j";
const FIELDS: usize = 12;

/// A part of a node that others hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Of which node.
    pub node: String,
    /// How much.
    pub resources: Resources,
    /// In how long it is given back at the latest; none where nobody knows.
    pub ends_in: Option<Span>,
}

/// What others do in the partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// What they hold.
    pub held: Vec<Held>,
    /// How many of their jobs wait, each element of an array for itself.
    pub others_waiting: u32,
    /// How many of ours do.
    pub ours_waiting: u32,
    /// In how long Slurm expects to start the last of ours that it has a forecast for.
    pub forecast: Option<Span>,
    /// How Slurm's accounting compares with ours, where something was compared.
    pub compared: Option<Tally>,
}

/// Of all jobs of the cluster; none where nobody knows them.
pub(super) fn of(
    jobs: Result<Arc<Vec<Line>>, String>,
    survey: &Survey,
    site: &SiteWords,
    instance: &str,
) -> Option<Load> {
    match jobs {
        Ok(lines) => {
            let user = rustix::process::geteuid().as_raw();
            let own = |line: &Line| line.user == user && batch_of(instance, &line.name).is_some();
            Some(read(survey, site, &lines, own, wall_now()))
        }
        Err(why) => {
            tracing::warn!(why, "cannot see what others do in the cluster");
            None
        }
    }
}

/// A job, or some elements of one, as the queue shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub user: u32,
    pub state: State,
    /// How many elements.
    pub elements: u32,
    /// Processors of each of them.
    pub cpus: u64,
    /// Nodes of each of them.
    pub nodes: u64,
    /// Memory on each node.
    pub memory: Bytes,
    /// Generic resources on each node: `gres:gpu:a100:2`.
    pub gres: String,
    /// In how long it ends at the latest; none where it has no limit.
    pub left: Option<Span>,
    /// When it began, or is expected to.
    pub start: Option<Time>,
    /// The nodes it runs on.
    pub on: Vec<String>,
    /// The partition it runs in, or those it waits for: `main,side`.
    pub partitions: String,
    pub name: String,
}

impl Line {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.splitn(FIELDS, '|').map(str::trim).collect();
        let [user, state, which, cpus, nodes, memory, gres, left, start, on, partitions, name] =
            fields[..]
        else {
            return None;
        };
        let elements = Elements::parse(which).map_or(1, |all| all.each().count());
        Some(Self {
            user: user.parse().ok()?,
            state: State::parse(state),
            elements: u32::try_from(elements).unwrap_or(u32::MAX),
            cpus: cpus.parse().ok()?,
            nodes: nodes.parse::<u64>().unwrap_or(1).max(1),
            memory: size(memory),
            gres: gres.to_owned(),
            left: minutes(left).map(|minutes| Span::from_secs((minutes + 1) * 60)),
            start: start.parse().ok().map(|secs: i64| Time::EPOCH.plus(Span::from_secs(secs))),
            on: expand(on).unwrap_or_default(),
            partitions: partitions.to_owned(),
            name: name.to_owned(),
        })
    }

    /// What it has of each of its nodes. Slurm deals them out evenly unless asked otherwise.
    fn share(&self, wanted: &str) -> Resources {
        let cards = self.gres.split(',').map(|entry| {
            let entry = entry.strip_prefix("gres:").or_else(|| entry.strip_prefix("gres/"));
            gres(entry.unwrap_or_default(), wanted).1
        });
        Resources {
            cpu: MilliCpu((self.cpus * 1_000).div_ceil(self.nodes)),
            memory: self.memory,
            disk: Bytes::ZERO,
            accel: MilliAccel(cards.sum::<u64>() * 1_000),
        }
    }
}

/// Reads `16M`, `1.50G`, `2T`; nothing where that is not understood.
fn size(text: &str) -> Bytes {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].chars().next() {
        Some('K') => 1 << 10,
        Some('G') => 1 << 30,
        Some('T') => 1 << 40,
        // Slurm's unit where none is named.
        Some(_) | None => 1 << 20,
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.parse::<u64>().unwrap_or(0).saturating_mul(unit);
    let scale = 10u64.saturating_pow(u32::try_from(part.len()).unwrap_or(0));
    let part = part.parse::<u64>().unwrap_or(0).saturating_mul(unit) / scale.max(1);
    Bytes(whole.saturating_add(part))
}

fn less(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpu: MilliCpu(a.cpu.0.saturating_sub(b.cpu.0)),
        memory: Bytes(a.memory.0.saturating_sub(b.memory.0)),
        disk: Bytes(a.disk.0.saturating_sub(b.disk.0)),
        accel: MilliAccel(a.accel.0.saturating_sub(b.accel.0)),
    }
}

fn least(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpu: a.cpu.min(b.cpu),
        memory: a.memory.min(b.memory),
        disk: a.disk.min(b.disk),
        accel: a.accel.min(b.accel),
    }
}

fn read(
    survey: &Survey,
    site: &SiteWords,
    lines: &[Line],
    own: impl Fn(&Line) -> bool,
    now: Time,
) -> Load {
    let wanted = site.gres.as_deref().unwrap_or("gpu");
    let mut load = Load::default();
    let mut ours: BTreeMap<&str, Resources> = BTreeMap::new();
    let mut theirs: BTreeMap<&str, Vec<(Option<Span>, Resources)>> = BTreeMap::new();
    for line in lines {
        let is_own = own(line);
        if line.state == State::Pending {
            // What waits elsewhere may want the same nodes, and nobody knows.
            if !is_own && line.partitions.split(',').all(|name| name != survey.partition.name) {
                continue;
            }
            let waiting = if is_own { &mut load.ours_waiting } else { &mut load.others_waiting };
            *waiting = waiting.saturating_add(line.elements);
            if let Some(start) = line.start.filter(|_| is_own) {
                load.forecast = load.forecast.max(Some(start.since(now).max(Span::ZERO)));
            }
            continue;
        }
        let share = line.share(wanted);
        for node in &line.on {
            if is_own {
                let sum = ours.entry(node).or_insert(Resources::ZERO);
                *sum = sum.checked_add(&share).unwrap_or(*sum);
            } else {
                theirs.entry(node).or_default().push((line.left, share));
            }
        }
    }
    for node in &survey.nodes {
        let own = ours.get(node.name.as_str()).copied().unwrap_or(Resources::ZERO);
        let parts = theirs.remove(node.name.as_str()).unwrap_or_default();
        held_of(node, &own, parts, survey.hides_jobs, &mut load.held);
    }
    load
}

/// What others hold of a node, by when they give it back.
fn held_of(
    node: &Node,
    own: &Resources,
    mut parts: Vec<(Option<Span>, Resources)>,
    hides_jobs: bool,
    held: &mut Vec<Held>,
) {
    let mut left = less(&node.taken, own);
    // Those that end first, first; those of which nobody knows, last.
    parts.sort_by_key(|(end, _)| end.unwrap_or(Span::MAX));
    // Ends within a minute are told as one: the picture is half a minute old when it is read.
    let minute = |end: Span| Span::from_secs(end.secs_ceil().saturating_add(59) / 60 * 60);
    let mut ends: BTreeMap<Option<Span>, Resources> = BTreeMap::new();
    for (end, share) in parts {
        let share = least(&share, &left);
        left = less(&left, &share);
        let sum = ends.entry(end.map(minute)).or_insert(Resources::ZERO);
        *sum = sum.checked_add(&share).unwrap_or(*sum);
    }
    // Where jobs are hidden the rest is of those that are not seen. Elsewhere it is of what started
    // between the two questions.
    if hides_jobs {
        let sum = ends.entry(None).or_insert(Resources::ZERO);
        *sum = sum.checked_add(&left).unwrap_or(*sum);
    }
    let parts = ends.into_iter().filter(|(_, resources)| *resources != Resources::ZERO);
    held.extend(parts.map(|(ends_in, resources)| Held {
        node: node.name.clone(),
        resources,
        ends_in,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::Partition;

    fn taken(cpus: u64, mib: u64, cards: u64) -> Resources {
        Resources {
            cpu: MilliCpu(cpus * 1_000),
            memory: Bytes(mib << 20),
            disk: Bytes::ZERO,
            accel: MilliAccel(cards * 1_000),
        }
    }

    fn survey(hides_jobs: bool, nodes: &[(&str, Resources)]) -> Survey {
        let node = |(name, taken): &(&str, Resources)| Node {
            name: (*name).to_owned(),
            total: Resources::ZERO,
            gres_type: None,
            features: std::collections::BTreeSet::new(),
            accelerator: None,
            up: true,
            taken: *taken,
        };
        Survey {
            version: String::new(),
            cluster: String::new(),
            partition: Partition {
                name: "main".to_owned(),
                is_default: true,
                up: true,
                minutes_max: None,
                gate: crate::slurm::Gate::default(),
                own_qos: None,
                closed: None,
            },
            partitions: Vec::new(),
            nodes: nodes.iter().map(node).collect(),
            array_max: 1,
            memory: false,
            cpus: false,
            accounting: false,
            enforced: crate::slurm::Enforced::default(),
            access: None,
            who: crate::slurm::Who::default(),
            hides_jobs,
        }
    }

    const QUEUE: &str = "\
        7|RUNNING|N/A|4|2|100M|N/A|10:30|1000|n[1-2]|main|sim|with|bars\n\
        8|RUNNING|N/A|2|1|50M|gres:gpu:a100:2|UNLIMITED|1000|n2|side|train\n\
        5|RUNNING|3|1|1|16M|N/A|5:00|1000|n1|main|dayan.i.a\n\
        5|PENDING|4-9|1|1|16M|N/A|5:00|1600||main|dayan.i.a\n\
        5|PENDING|N/A|1|1|16M|N/A|5:00|N/A||main|dayan.i.b\n\
        5|PENDING|N/A|1|1|16M|N/A|5:00|9000||main|dayan.other.b\n\
        7|PENDING|0-4%2|1|1|16M|N/A|5:00|1200||side,main|theirs\n\
        7|PENDING|0-4%2|1|1|16M|N/A|5:00|1200||side|elsewhere\n\
        nonsense\n";

    fn read_queue(survey: &Survey) -> Load {
        let lines: Vec<Line> = QUEUE.lines().filter_map(Line::parse).collect();
        let own = |line: &Line| line.user == 5 && batch_of("i", &line.name).is_some();
        let now = Time::EPOCH.plus(Span::from_secs(1_000));
        read(survey, &SiteWords::default(), &lines, own, now)
    }

    #[test]
    fn what_others_hold_is_told_by_when_they_give_it_back() {
        let nodes = [("n1", taken(3, 116, 0)), ("n2", taken(4, 150, 2)), ("n3", taken(9, 9, 9))];
        let load = read_queue(&survey(false, &nodes));
        let eleven = Some(Span::from_secs(11 * 60));
        let held =
            |node: &str, resources, ends_in| Held { node: node.to_owned(), resources, ends_in };
        let expect = [
            held("n1", taken(2, 100, 0), eleven),
            held("n2", taken(2, 50, 2), None),
            held("n2", taken(2, 100, 0), eleven),
        ];
        assert_eq!(load.held, expect);
        assert_eq!((load.others_waiting, load.ours_waiting), (6, 7));
        assert_eq!(load.forecast, Some(Span::from_secs(600)), "not the other agent's");
    }

    #[test]
    fn where_jobs_are_hidden_the_rest_of_what_is_taken_is_others() {
        let load = read_queue(&survey(true, &[("n1", taken(3, 116, 0)), ("n3", taken(9, 9, 1))]));
        let parts: Vec<(&str, u64, Option<Span>)> = load
            .held
            .iter()
            .map(|part| (part.node.as_str(), part.resources.cpu.0, part.ends_in))
            .collect();
        assert_eq!(parts, [("n1", 2_000, Some(Span::from_secs(660))), ("n3", 9_000, None)]);
        // Ours that started after the nodes were looked at take nothing from anybody.
        let load = read_queue(&survey(true, &[("n1", taken(0, 0, 0))]));
        assert_eq!(load.held, []);
    }

    #[test]
    fn sizes_are_read() {
        let check = |text, expect: u64| assert_eq!(size(text), Bytes(expect), "{text}");
        check("16M", 16 << 20);
        check("1.50G", 3 << 29);
        check("2T", 2 << 40);
        check("512", 512 << 20);
        check("", 0);
        check("?", 0);
    }
}

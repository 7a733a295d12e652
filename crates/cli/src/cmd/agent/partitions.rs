//! Which partitions of a Slurm cluster an agent offers: one as its only pool, or several, each as a pool of
//! its own in a folder inside the agent's.
//!
//! Invariant: a folder that has joined stays what it is. A cluster that does not answer takes no pool away:
//! those that have joined are offered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dayan_agent::{EngineChoice, Offering, OnePool, Several, has_joined, pool_name, run_several};
use dayan_engines::SlurmConfig;
use dayan_engines::slurm::{Answers, Pace, Partition, Partitions};

use super::{Agent, ended};
use crate::cmd::session::Session;
use crate::exit::{Failure, Said};
use crate::words::Word;

/// The folder of the pools' folders.
const POOLS: &str = "pools";
/// All partitions, unless one is called so.
const ALL: &str = "all";

/// What an agent offers.
pub(super) enum Offered {
    /// One pool in its own folder: of this partition, of what else is said where this is none.
    One(Option<String>),
    /// A pool for each of these.
    Several(Pools),
}

/// Partitions that become pools.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pools {
    /// The cluster's name; empty where it does not answer.
    cluster: String,
    /// Them.
    chosen: Vec<String>,
    /// Those that nobody named and that are not offered, with the reason.
    left_out: Vec<(String, String)>,
}

/// Is it the name of a folder as it is?
fn is_plain(partition: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !partition.is_empty() && partition.chars().all(plain) && !partition.starts_with('.')
}

/// What begins the name of a folder whose partition's is written in hex.
const IN_HEX: char = 'x';

/// The partition whose name a folder's says in hex; none where it is the partition's own.
fn from_hex(folder: &str) -> Option<String> {
    let digits = folder.strip_prefix(IN_HEX)?;
    let digits: Vec<u32> = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    let name = String::from_utf8(bytes.collect::<Option<_>>()?).ok()?;
    // `x86` is a partition's own name, and so is `x41`.
    (!name.is_empty() && needs_hex(&name)).then_some(name)
}

/// Is it no name of a folder, or one that would be read as another partition's?
fn needs_hex(partition: &str) -> bool {
    !is_plain(partition) || from_hex(partition).is_some()
}

/// The folder of a partition's pool, which tells the partition.
fn folder(data: &Path, partition: &str) -> PathBuf {
    let name = if needs_hex(partition) {
        let digits = partition.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
        std::iter::once(IN_HEX).chain(digits).collect()
    } else {
        partition.to_owned()
    };
    data.join(POOLS).join(name)
}

/// The partitions whose pools have joined.
fn joined(data: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(data.join(POOLS)).into_iter().flatten().flatten();
    entries
        .filter(|entry| has_joined(&entry.path()))
        .filter_map(|entry| {
            // Written before it joined. Of an agent that was cut off by an older version it is not there, and
            // a file that cannot be read takes no pool away.
            let kept = Offering::kept(&entry.path()).ok().and_then(|kept| kept.slurm.partition);
            let told = |folder: String| from_hex(&folder).unwrap_or(folder);
            kept.or_else(|| entry.file_name().into_string().ok().map(told))
        })
        .collect()
}

/// Why a partition is not offered that nobody named.
fn closed(partition: &Partition) -> Option<String> {
    if partition.up { partition.closed.clone() } else { Some("it is not up".to_owned()) }
}

/// Which of the partitions are offered. `Err` is a name that none of them has.
fn choose(
    found: &Partitions,
    said: Option<&str>,
    joined: &BTreeSet<String>,
) -> Result<Pools, String> {
    let cluster = found.cluster.clone();
    let exists = |name: &str| found.all.iter().any(|partition| partition.name == name);
    let named: Vec<&str> = said.into_iter().flat_map(|names| names.split(',')).collect();
    if !named.is_empty() && (named != [ALL] || exists(ALL)) {
        if let Some(unknown) = named.iter().find(|name| !exists(name) && !joined.contains(**name)) {
            return Err((*unknown).to_owned());
        }
        let names: BTreeSet<&str> = named.into_iter().collect();
        let chosen = names.into_iter().map(str::to_owned).collect();
        return Ok(Pools { cluster, chosen, left_out: Vec::new() });
    }
    let mut chosen = joined.clone();
    let mut left_out = Vec::new();
    for partition in &found.all {
        match closed(partition) {
            None => drop(chosen.insert(partition.name.clone())),
            Some(why) if !joined.contains(&partition.name) => {
                left_out.push((partition.name.clone(), why));
            }
            Some(_) => {}
        }
    }
    Ok(Pools { cluster, chosen: chosen.into_iter().collect(), left_out })
}

/// What is offered, from what was said, what the cluster has and what has joined.
pub(super) async fn offered(
    args: &Agent,
    data: &Path,
    offering: &Offering,
) -> Result<Offered, Failure> {
    if offering.engine.as_deref() != Some("slurm") {
        return Ok(Offered::One(None));
    }
    let said = offering.slurm.partition.as_deref();
    let one = said.is_some_and(|names| !names.contains(',') && names != ALL);
    if has_joined(data) {
        // It is one pool, and was before there could be several.
        return if one || said.is_none() {
            Ok(Offered::One(None))
        } else {
            Err(Failure::usage(Said::plain(Word::AgentOnePool)))
        };
    }
    let joined = joined(data);
    if one && joined.is_empty() {
        return Ok(Offered::One(None));
    }
    let slurm = SlurmConfig {
        dir: data.to_owned(),
        wrapper: Vec::new(),
        site: offering.slurm.clone(),
        commands: None,
        pace: Pace::default(),
        answers: Answers::alone(),
    };
    let asking = tokio::task::spawn_blocking(move || dayan_engines::slurm::partitions(&slurm));
    let found = match asking.await {
        Ok(Ok(found)) => found,
        Ok(Err(fault)) if joined.is_empty() => return Err(ended(fault.into())),
        Ok(Err(fault)) => {
            tracing::warn!(%fault, "the cluster does not answer; what has joined is offered");
            Partitions { cluster: String::new(), all: Vec::new() }
        }
        Err(error) => return Err(Failure::local(Said::plain(Word::AskingSlurm), error)),
    };
    let pools = if found.all.is_empty() {
        Pools { chosen: named_of(said, &joined), ..Pools::default() }
    } else {
        choose(&found, said, &joined).map_err(|unknown| {
            let names: Vec<&str> = found.all.iter().map(|one| one.name.as_str()).collect();
            let said = Said::with(Word::AgentPartitionUnknown, "partition", unknown);
            Failure::usage(said.and("names", names.join(", ")))
        })?
    };
    match &pools.chosen[..] {
        // Nothing to choose from, or nothing that anybody may use: the engine says what is wrong.
        [] if joined.is_empty() => Ok(Offered::One(None)),
        [only] if joined.is_empty() && args.join.is_some() => Ok(Offered::One(Some(only.clone()))),
        _ => Ok(Offered::Several(pools)),
    }
}

/// Of those that have joined the named ones; all of them where none is named.
fn named_of(said: Option<&str>, joined: &BTreeSet<String>) -> Vec<String> {
    let named: Vec<&str> = said.into_iter().flat_map(|names| names.split(',')).collect();
    let all = named.is_empty() || (named == [ALL] && !joined.contains(ALL));
    let wanted = |name: &&String| all || named.contains(&name.as_str());
    joined.iter().filter(wanted).cloned().collect()
}

/// Says which partitions are not offered, and why.
pub(super) fn tell_left_out(pools: &Pools, session: &Session) {
    for (partition, why) in &pools.left_out {
        let said = Said::with(Word::AgentPartitionLeftOut, "partition", partition);
        session.out.say(&said.and("why", why.clone()));
    }
}

/// Runs a pool for each, until `stop`.
pub(super) async fn run(
    args: &Agent,
    data: &Path,
    offering: Offering,
    pools: &Pools,
    ready: impl Fn(&str),
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let local = |error| Failure::local(Said::plain(Word::StartingUp), error);
    let EngineChoice::Slurm { wrapper, .. } =
        EngineChoice::slurm(offering.slurm.clone()).map_err(local)?
    else {
        unreachable!("it was asked for a cluster's")
    };
    let answers = Answers::together();
    let base = args.pool.as_deref().unwrap_or(&pools.cluster);
    let one = |partition: &String| {
        let name = pool_name(base, partition);
        let folder = folder(data, partition);
        let mut offering = offering.clone();
        offering.slurm.partition = Some(partition.clone());
        let (wrapper, answers) = (wrapper.clone(), answers.clone());
        let (called, data) = (name.clone(), folder.clone());
        let config = move || {
            let (wrapper, answers) = (wrapper.clone(), answers.clone());
            let site = offering.slurm.clone();
            let engine = EngineChoice::Slurm { wrapper, site, answers };
            let mut config = args.with_engine(data.clone(), offering.clone(), engine);
            config.pool = Some(called.clone());
            config
        };
        OnePool { name, data: folder, config: Box::new(config) }
    };
    let several = Several {
        data: data.to_owned(),
        pools: pools.chosen.iter().map(one).collect(),
        join: args.join.clone(),
    };
    let kept = std::cell::Cell::new(false);
    let ready = |name: &str| {
        if !kept.replace(true)
            && let Err(fault) = offering.keep(data)
        {
            tracing::warn!(%fault, "what is offered is not remembered");
        }
        ready(name);
    };
    run_several(several, ready, stop).await.map_err(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(name: &str, up: bool, closed: Option<&str>) -> Partition {
        Partition {
            name: name.to_owned(),
            is_default: name == "main",
            up,
            minutes_max: None,
            gate: dayan_engines::slurm::Gate::default(),
            own_qos: None,
            closed: closed.map(str::to_owned),
        }
    }

    #[test]
    fn all_that_the_user_may_use_are_offered_unless_some_are_named() {
        let all = vec![
            partition("main", true, None),
            partition("gpu", true, None),
            partition("old", false, None),
            partition("root", true, Some("it is root's")),
        ];
        let found = Partitions { cluster: "lab".to_owned(), all };
        let check = |said, joined: &[&str], expect: Result<&[&str], &str>| {
            let joined = joined.iter().map(|name| (*name).to_owned()).collect();
            let got = choose(&found, said, &joined);
            let got = got.as_ref().map(|pools| pools.chosen.clone()).map_err(String::as_str);
            let expect =
                expect.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(got, expect, "{said:?} {joined:?}");
        };
        check(None, &[], Ok(&["gpu", "main"]));
        check(Some("all"), &[], Ok(&["gpu", "main"]));
        check(Some("main,old,main"), &[], Ok(&["main", "old"]));
        check(Some("main,x"), &[], Err("x"));
        // What has joined has tasks, perhaps, even where its partition is down or gone.
        check(None, &["old", "gone"], Ok(&["gone", "gpu", "main", "old"]));
        check(Some("gone"), &["gone"], Ok(&["gone"]));
        let why = choose(&found, None, &BTreeSet::new()).expect("they are there").left_out;
        let why: Vec<(&str, &str)> = why.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(why, [("old", "it is not up"), ("root", "it is root's")]);
        let called = Partitions { all: vec![partition("all", true, None)], ..found.clone() };
        let pools = choose(&called, Some("all"), &BTreeSet::new()).expect("there is one");
        assert_eq!(pools.chosen, ["all"]);
    }

    #[test]
    fn pools_have_folders_of_their_own_and_are_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let odd = folder(dir.path(), "a/b");
        assert_eq!(odd, dir.path().join("pools/x612f62"));
        for (path, partition) in [(folder(dir.path(), "main"), None), (odd, Some("a/b"))] {
            std::fs::create_dir_all(&path).expect("made");
            let mut offering = Offering::default();
            offering.slurm.partition = partition.map(str::to_owned);
            offering.keep(&path).expect("written");
            std::fs::write(path.join("agent.json"), "{}").expect("written");
        }
        std::fs::create_dir_all(folder(dir.path(), "begun")).expect("made");
        let found = joined(dir.path());
        assert_eq!(found.iter().collect::<Vec<_>>(), ["a/b", "main"]);
        // Cut off between its join and the writing of what it is.
        std::fs::remove_file(Offering::path(&folder(dir.path(), "a/b"))).expect("it was there");
        let found = joined(dir.path());
        assert_eq!(found.iter().collect::<Vec<_>>(), ["a/b", "main"]);
        assert_eq!(named_of(None, &found), ["a/b", "main"]);
        assert_eq!(named_of(Some("all"), &found), ["a/b", "main"]);
        assert_eq!(named_of(Some("main,x"), &found), ["main"]);
    }

    #[test]
    fn a_folder_tells_its_partition_and_no_two_have_the_same() {
        let names =
            ["main", "x86", "x41", "x", "x612f62", "a/b", "大", ".hid", "a b", "xzz", "x2f"];
        let mut folders = BTreeSet::new();
        for name in names {
            let path = folder(Path::new("/d"), name);
            let own = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let told = from_hex(own).unwrap_or_else(|| own.to_owned());
            assert_eq!(told, name, "{own}");
            folders.insert(own.to_owned());
        }
        assert_eq!(folders.len(), names.len());
        for plain in ["main", "x86", "x41", "xzz"] {
            assert_eq!(folder(Path::new("/d"), plain), Path::new("/d/pools").join(plain));
        }
    }
}

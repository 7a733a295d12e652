//! The keys of the whole file and the small sections next to them.

use std::collections::BTreeMap;

use dayan_units::{Range, Span};

use super::fields::{Fields, check_text};
use super::item::Item;
use super::{parts, steps};
use crate::code::Code;
use crate::keys::JOB;
use crate::limits::{
    BYTES_MAX, CARDS_MAX, CPU_MAX, ENV_BYTES_MAX, NAME_CHARS_MAX, RUN_CHARS_MAX, SPAN_MAX,
    TEXT_CHARS_MAX,
};
use crate::model::{
    AcceleratorAsk, Array, Backend, Gang, JobKind, JobSpec, Launch, License, OnLostLink, Precision,
    Priority, ResourceAsk, Step, is_secret_name, line_of, quote,
};
use crate::report::Report;
use crate::tree::Node;

pub(super) fn job(node: &Node, report: &Report<'_>) -> Option<JobSpec> {
    let f = Fields::root(node, &JOB, report)?;
    let version = f.get("version").and_then(|item| version(&item));
    let name = f.get("name").and_then(|item| job_name(&item));
    let kind = f.get("type").and_then(|item| item.choice::<JobKind>());
    let project = f.get("project").and_then(|item| item.name(Code::BadProject));
    let run = f.get("run").and_then(|item| item.text().map(str::to_owned));
    // Where the type is missing the file is refused anyway; the defaults of batch do meanwhile.
    let or_batch = kind.unwrap_or(JobKind::Batch);
    let resources = match f.get("resources") {
        None => Some(default_resources(or_batch)),
        Some(item) => item.section().map(|f| resources(&f, or_batch)),
    };
    let keep = f.get("on_lost_link").and_then(|item| item.section());
    let keep = keep.and_then(|f| f.get("keep")?.span_or_zero());
    let section = |key| f.get(key).and_then(|item| item.section());
    let list = |key| f.get(key).and_then(|item| item.items()).unwrap_or_default();

    let array = section("array").and_then(|f| array(&f));
    let gang = section("gang").and_then(|f| gang(&f));
    let image = f.get("image").and_then(|item| image(&item));
    let priority = f.get("priority").and_then(|item| item.choice()).unwrap_or(Priority::Normal);
    let inputs = list("inputs").iter().filter_map(|item| parts::input(&item.section()?)).collect();
    let outputs =
        list("outputs").iter().filter_map(|item| parts::output(&item.section()?)).collect();
    let steps: Vec<Step> =
        list("steps").iter().filter_map(|item| steps::step(&item.section()?)).collect();
    let mounts = list("mounts").iter().filter_map(|item| steps::mount(&item.section()?)).collect();
    let files = f.get("files").and_then(|item| steps::files(&item)).unwrap_or_default();
    let launch = f.get("launch").and_then(|item| item.choice()).unwrap_or(Launch::Each);
    let env = f.get("env").and_then(|item| environment(&item)).unwrap_or_default();
    let licenses = f.get("licenses").and_then(|item| licenses(&item)).unwrap_or_default();
    let secrets = f.get("secrets").and_then(|item| secrets(&item)).unwrap_or_default();
    let workdir = f.get("workdir").and_then(|item| item.inner_path());
    let retry = section("retry").map(|f| parts::retry(&f)).unwrap_or_default();
    let checkpoint = section("checkpoint").and_then(|f| parts::checkpoint(&f));
    let time_signal = section("time_signal").map(|f| parts::time_signal(&f));
    let service = section("service").and_then(|f| parts::service(&f));
    let network = section("network").and_then(|f| parts::network(&f));
    let placement = section("placement").map(|f| parts::placement(&f)).unwrap_or_default();
    let market = section("market").map(|f| parts::market(&f)).unwrap_or_default();
    let schedule = section("schedule").and_then(|f| parts::schedule(&f));
    let begin = f.get("begin").and_then(|item| item.time());
    let deadline = section("deadline").and_then(|f| parts::deadline(&f));
    let prefer = f.get("prefer").and_then(|item| item.list(Item::choice)).unwrap_or_default();
    let depends_on =
        f.get("depends_on").and_then(|item| item.list(parts::dependency)).unwrap_or_default();
    let notify = list("notify").iter().filter_map(|item| parts::notify(&item.section()?)).collect();
    let backend = section("backend").map(|f| backend(&f)).unwrap_or_default();
    let strict = f.get("strict").and_then(|item| item.true_false()).unwrap_or(false);

    Some(JobSpec {
        version: version?,
        name: name?,
        kind: kind?,
        project: project?,
        priority,
        array,
        gang,
        image,
        resources: resources?,
        inputs,
        outputs,
        // Where there is neither, the rules between keys say so.
        run: run.unwrap_or_else(|| line_of(&steps)),
        steps,
        mounts,
        files,
        origin: None,
        launch,
        env,
        secrets,
        licenses,
        workdir,
        retry,
        checkpoint,
        time_signal,
        on_lost_link: keep
            .map_or_else(|| OnLostLink::default_for(or_batch), |keep| OnLostLink { keep }),
        service,
        network,
        placement,
        market,
        schedule,
        begin,
        deadline,
        prefer,
        depends_on,
        notify,
        backend,
        strict,
    })
}

fn version(item: &Item<'_>) -> Option<u32> {
    let text = item.text_of_version()?;
    if text == "1" {
        return Some(1);
    }
    item.fail(Code::UnknownVersion, &[("value", quote(text))]);
    None
}

pub(super) fn image(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.contains(char::is_whitespace) {
        item.fail(Code::BadImage, &[("value", quote(text))]);
        return None;
    }
    Some(text.to_owned())
}

fn job_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let well_formed = text.starts_with(char::is_alphanumeric)
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if well_formed {
        return Some(text.to_owned());
    }
    let args = [("value", quote(text)), ("max", NAME_CHARS_MAX.to_string())];
    item.fail(Code::BadName, &args);
    None
}

fn array(f: &Fields<'_>) -> Option<Array> {
    let range = f.get("range").and_then(|item| {
        let text = item.text()?;
        let array = Array::from_range(text).ok();
        if array.is_none() {
            item.fail(Code::BadArrayRange, &[("value", quote(text))]);
        }
        array
    });
    let chunk = f.get("chunk").map_or(Some(1), |item| item.whole());
    let max_parallel = f.get("max_parallel").map(|item| item.whole());
    Some(Array { chunk: chunk?, max_parallel: max_parallel.flatten(), ..range? })
}

fn gang(f: &Fields<'_>) -> Option<Gang> {
    let nodes = f.get("nodes").and_then(|item| item.whole());
    let same = f.get("same").and_then(|item| item.list(Item::choice)).unwrap_or_default();
    let near = f.get("near").and_then(|item| item.choice());
    let min = f.get("min").and_then(|item| item.whole());
    if let (Some(nodes), Some(min)) = (nodes, min)
        && min > nodes
    {
        f.fail("min", Code::GangMin, &[("value", min.to_string()), ("nodes", nodes.to_string())]);
    }
    Some(Gang { nodes: nodes?, same, near, min })
}

fn default_time(kind: JobKind) -> Span {
    match kind {
        JobKind::Batch => ResourceAsk::DEFAULT_TIME,
        // A service runs until it is cancelled; the limit on every span ends it after a year.
        JobKind::Service => SPAN_MAX,
    }
}

fn default_resources(kind: JobKind) -> ResourceAsk {
    ResourceAsk {
        cpus: Range::exactly(ResourceAsk::DEFAULT_CPUS),
        memory: Range::exactly(ResourceAsk::DEFAULT_MEMORY),
        disk: None,
        accelerators: Vec::new(),
        speed: BTreeMap::new(),
        time: default_time(kind),
        processes: None,
    }
}

const PRECISIONS: [(&str, Precision); 7] = [
    ("fp64", Precision::Fp64),
    ("fp32", Precision::Fp32),
    ("tf32", Precision::Tf32),
    ("fp16", Precision::Fp16),
    ("bf16", Precision::Bf16),
    ("fp8", Precision::Fp8),
    ("int8", Precision::Int8),
];

fn resources(f: &Fields<'_>, kind: JobKind) -> ResourceAsk {
    let default = default_resources(kind);
    let speed = PRECISIONS
        .iter()
        .filter_map(|(key, precision)| Some((*precision, f.get(key)?.flops()?)))
        .collect();
    ResourceAsk {
        cpus: f.get("cpus").and_then(|item| item.cpus(CPU_MAX)).unwrap_or(default.cpus),
        memory: f.get("memory").and_then(|item| item.bytes(BYTES_MAX)).unwrap_or(default.memory),
        disk: f.get("disk").and_then(|item| item.bytes(BYTES_MAX)),
        accelerators: f
            .get("accelerators")
            .and_then(|item| item.list(accelerator))
            .unwrap_or_default(),
        speed,
        time: f.get("time").and_then(|item| item.span()).unwrap_or(default.time),
        processes: f.get("processes").and_then(|item| item.whole()),
    }
}

fn accelerator(item: &Item<'_>) -> Option<AcceleratorAsk> {
    let ask: AcceleratorAsk = item.name(Code::BadAccelerator)?;
    if ask.count > CARDS_MAX {
        let args = [("value", ask.count.to_string()), ("max", CARDS_MAX.to_string())];
        item.fail(Code::TooLarge, &args);
        return None;
    }
    Some(ask)
}

/// What the exchange sets itself begins so.
const RESERVED_PREFIX: &str = "DAYAN_";

/// What is wrong, with its arguments.
type Wrong = (Code, Vec<(&'static str, String)>);

fn variable_name(name: &str) -> Result<(), Wrong> {
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !well_formed {
        return Err((Code::BadEnvName, vec![("value", quote(name))]));
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err((Code::ReservedEnvName, vec![("value", quote(name))]));
    }
    Ok(())
}

/// Each name once, with all that is asked for of it.
fn licenses(item: &Item<'_>) -> Option<Vec<License>> {
    let listed: Vec<License> = item.list(|item| item.name(Code::BadLicense))?;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for license in listed {
        let count = counts.entry(license.name).or_default();
        *count = count.saturating_add(license.count);
    }
    Some(counts.into_iter().map(|(name, count)| License { name, count }).collect())
}

fn secrets(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    item.text_map(|entry, text| {
        variable_name(&entry.key.text)?;
        if is_secret_name(text) {
            return Ok(());
        }
        Err((Code::BadSecretName, vec![("value", quote(text))]))
    })
}

pub(super) fn environment(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let map = item.text_map(|entry, text| {
        let name = &entry.key.text;
        variable_name(name)?;
        // No program can be handed a NUL in its environment.
        if text.contains('\0') {
            let character = ("character", "U+0000".to_owned());
            return Err((Code::ControlCharacter, vec![("key", quote(name)), character]));
        }
        Ok(())
    })?;
    let bytes: usize = map.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if bytes > ENV_BYTES_MAX {
        let args = [("bytes", bytes.to_string()), ("max", ENV_BYTES_MAX.to_string())];
        item.fail(Code::EnvTooLarge, &args);
        return None;
    }
    Some(map)
}

fn backend(f: &Fields<'_>) -> Backend {
    let slurm = f.get("slurm").and_then(|item| {
        item.text_map(|entry, text| {
            let mut wrong = None;
            let name = &entry.key.text;
            check_text(name, TEXT_CHARS_MAX, "slurm", |code, args| {
                wrong = Some((code, args.to_vec()));
            });
            check_text(text, RUN_CHARS_MAX, name, |code, args| wrong = Some((code, args.to_vec())));
            if name == EXTRA && options_of(text).is_none() {
                wrong = Some((Code::BadSlurmExtra, vec![("value", quote(text))]));
            }
            wrong.map_or(Ok(()), Err)
        })
    });
    let mut slurm = slurm.unwrap_or_default();
    // What is said by name counts.
    for (name, value) in slurm.remove(EXTRA).and_then(|text| options_of(&text)).unwrap_or_default()
    {
        slurm.entry(name).or_insert(value);
    }
    Backend { slurm }
}

/// The key that holds options of `sbatch` as they are written there.
const EXTRA: &str = "extra";

/// `--nice=10 --exclusive` as names and values; what is a word alone is `true`. None of anything else.
fn options_of(text: &str) -> Option<Vec<(String, String)>> {
    let option = |word: &str| {
        let (name, value) =
            word.strip_prefix("--")?.split_once('=').unwrap_or((&word[2..], "true"));
        let is_name = |b: u8| b.is_ascii_lowercase() || b == b'-';
        let fits = !name.is_empty() && name.bytes().all(is_name) && !value.is_empty();
        fits.then(|| (name.to_owned(), value.to_owned()))
    };
    text.split_whitespace().map(option).collect()
}

//! From a task to a job.
//!
//! Resources, project and price go through the job file's own reader, so that there is one place
//! that judges them; steps, mounts and data are set beside it. Invariant: what is kept of the task
//! is what the standard wants shown again, without keys that have no effect and without contents,
//! which the job holds as files.

use std::collections::BTreeMap;

use dayan_spec::{JobSpec, Origin, Step, is_inside_path, line_of};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::addresses::{fixed_part, input, output};
use super::document::{TesExecutor, TesFileType, TesResources, TesTask};
use super::places::{Places, Use};
use super::{Wrong, shown};

/// What a job's origin is called that was a task.
pub const KIND: &str = "tes";
/// Executors of a task: as many as a job has steps.
pub const EXECUTORS_MAX: usize = dayan_spec::limits::STEPS_MAX;
/// Inputs and outputs of a task, each: a step of a workflow that merges a thousand samples.
pub const FILES_MAX: usize = 1_000;
/// Bytes of a whole task, contents included: eight contents of the size that the standard asks for.
/// It lies in the journal, and travels in every order of the task.
pub const TASK_BYTES_MAX: usize = 1 << 20;
/// Tags of a task.
pub const TAGS_MAX: usize = 256;
/// How long a task may run that does not say: a task has no field for it, and a limit of an hour
/// would end the usual alignment. It is no price: what was not used is not paid.
pub const TIME_DEFAULT: &str = "24h";
/// Characters of the line that people see in the place of a command.
const LINE_CHARS_MAX: usize = 500;
/// The keys of `backend_parameters` that have an effect.
pub const PARAMETERS: [&str; 6] =
    ["accelerators", "max_price", "priority", "project", "secret", "time"];

/// What must be known beside the task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Around<'a> {
    /// The project that pays unless the task names one.
    pub project: Option<&'a str>,
    /// The projects that the caller could name, for the message where none is.
    pub projects: &'a [String],
    /// Does anybody sell capacity that can be taken away?
    pub spot: Spot,
}

/// Is there capacity that can be taken away?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    /// Somebody sells it.
    Sold,
    /// Nobody does.
    NotSold,
}

/// What is kept of a task beside its job.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The task, without contents.
    pub task: TesTask,
    /// What was without effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Kept {
    /// What was kept with a job; none: it was no task.
    pub fn of(spec: &JobSpec) -> Option<Self> {
        let origin = spec.origin.as_ref().filter(|origin| origin.kind == KIND)?;
        serde_json::from_str(&origin.document).ok()
    }

    /// Where the paths of its task lie in its folder.
    pub fn places(&self) -> Places {
        Places::of(&paths(&self.task)).unwrap_or_default()
    }

    /// Puts the contents back that the job holds as files.
    pub fn fill(&mut self, spec: &JobSpec) {
        let places = self.places();
        for input in self.task.inputs.iter_mut().flatten().filter(|input| input.content.is_some()) {
            let inner = places.inner(&input.path).unwrap_or_default();
            input.content = spec.files.get(&inner).cloned();
        }
    }
}

/// The job of a task, whose document has so many bytes.
pub fn translate(task: &TesTask, bytes: usize, around: &Around<'_>) -> Result<JobSpec, Wrong> {
    check_size(task, bytes)?;
    let mut warnings = Vec::new();
    let parameters = parameters(task.resources.as_ref(), &mut warnings)?;
    let project = parameters.get("project").map(String::as_str).or(around.project);
    let project = project.ok_or_else(|| no_project(around.projects))?;
    let mut spec = base(task, project, &parameters, around.spot, &mut warnings)?;
    let secret = parameters.get("secret").map(String::as_str);
    let places = Places::of(&paths(task))?;
    for (number, given) in task.inputs.iter().flatten().enumerate() {
        let called = format!("inputs[{number}]");
        if given.content.is_some() {
            let inner = places.inner(&given.path).unwrap_or_default();
            let text = content(given.content.as_deref(), given.kind, &called)?;
            spec.files.insert(inner, text);
        } else {
            spec.inputs.push(input(given, &places, secret, &called)?);
        }
    }
    for (number, given) in task.outputs.iter().flatten().enumerate() {
        spec.outputs.push(output(given, &places, secret, &format!("outputs[{number}]"))?);
    }
    let executors = task.executors.iter().enumerate();
    spec.steps = executors.map(|(number, given)| step(given, number)).collect::<Result<_, _>>()?;
    spec.mounts = places.mounts();
    spec.run = line_of(&spec.steps).chars().take(LINE_CHARS_MAX).collect();
    spec.origin =
        Some(Origin { kind: KIND.to_owned(), document: kept(task, &parameters, warnings) });
    Ok(spec)
}

fn check_size(task: &TesTask, bytes: usize) -> Result<(), Wrong> {
    let refused = |title: String, advice: &str| Err(Wrong::new("tes.too_much", title, advice));
    if bytes > TASK_BYTES_MAX {
        return refused(
            format!("the task has {bytes} bytes; at most {TASK_BYTES_MAX} are taken"),
            "put large contents into the data store and name them by `url`",
        );
    }
    let counts = [
        ("executors", task.executors.len(), EXECUTORS_MAX),
        ("inputs", task.inputs.as_ref().map_or(0, Vec::len), FILES_MAX),
        ("outputs", task.outputs.as_ref().map_or(0, Vec::len), FILES_MAX),
        ("volumes", task.volumes.as_ref().map_or(0, Vec::len), FILES_MAX),
        ("tags", task.tags.as_ref().map_or(0, BTreeMap::len), TAGS_MAX),
    ];
    if let Some((name, count, max)) = counts.iter().find(|(_, count, max)| count > max) {
        return refused(
            format!("the task has {count} {name}; at most {max} are taken"),
            "name a folder instead of its files, or make several tasks of it",
        );
    }
    if task.executors.is_empty() {
        return Err(Wrong::new(
            "tes.executors",
            "the task has no executor",
            "say what runs: {\"executors\": [{\"image\": …, \"command\": […]}]}",
        ));
    }
    Ok(())
}

fn no_project(projects: &[String]) -> Wrong {
    let advice = "name it in resources.backend_parameters.project, or as the user name of basic \
                  authentication";
    let title = match projects {
        [] => "there is no project that could pay for the task".to_owned(),
        some => format!("it is not said which project pays: {} are there", some.join(", ")),
    };
    Wrong::new("tes.project", title, advice)
}

/// The parameters with an effect; of the others a warning, or a refusal where the task wants that.
fn parameters(
    resources: Option<&TesResources>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, Wrong> {
    let Some(resources) = resources else { return Ok(BTreeMap::new()) };
    let strict = resources.backend_parameters_strict.unwrap_or(false);
    let mut known = BTreeMap::new();
    for (key, value) in resources.backend_parameters.iter().flatten() {
        let lower = key.to_ascii_lowercase();
        if PARAMETERS.contains(&lower.as_str()) {
            known.insert(lower, value.clone());
            continue;
        }
        let title = format!("backend_parameters.{} has no effect here", shown(key));
        if strict {
            let advice = format!("those that have are {}", PARAMETERS.join(", "));
            return Err(Wrong::new("tes.backend_parameter", title, advice));
        }
        warnings.push(title);
    }
    Ok(known)
}

/// The paths that a task names, with their uses.
fn paths(task: &TesTask) -> Vec<(String, Use, String)> {
    let mut paths = Vec::new();
    for (number, input) in task.inputs.iter().flatten().enumerate() {
        let folder = input.kind == Some(TesFileType::Directory);
        let used = if folder { Use::Folder } else { Use::FileIn };
        paths.push((input.path.clone(), used, format!("inputs[{number}].path")));
    }
    for (number, output) in task.outputs.iter().flatten().enumerate() {
        let called = format!("outputs[{number}].path");
        let (fixed, rest) = fixed_part(&output.path);
        // Without a wildcard the rest is the name.
        let wild = rest.contains(['*', '?', '[']);
        let folder = output.kind == Some(TesFileType::Directory);
        paths.push(match (wild, folder) {
            (true, _) => (fixed.to_owned(), Use::Folder, called),
            (false, true) => (output.path.clone(), Use::Folder, called),
            (false, false) => (output.path.clone(), Use::FileOut, called),
        });
    }
    for (number, volume) in task.volumes.iter().flatten().enumerate() {
        paths.push((volume.clone(), Use::Folder, format!("volumes[{number}]")));
    }
    for (number, executor) in task.executors.iter().enumerate() {
        // Of its own, and the task's: what a runtime makes there is root's. Nothing of the image is hidden.
        if let Some(folder) = executor.workdir.as_ref().filter(|folder| folder.starts_with("/tmp/"))
        {
            paths.push((folder.clone(), Use::Folder, format!("executors[{number}].workdir")));
        }
        let files = [("stdout", &executor.stdout), ("stderr", &executor.stderr)];
        for (name, file) in
            files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)))
        {
            // What is thrown away needs no place.
            if file != "/dev/null" {
                paths.push((file.clone(), Use::FileOut, format!("executors[{number}].{name}")));
            }
        }
    }
    paths
}

/// Name, project, resources and price, by the job file's own reader.
fn base(
    task: &TesTask,
    project: &str,
    parameters: &BTreeMap<String, String>,
    spot: Spot,
    warnings: &mut Vec<String>,
) -> Result<JobSpec, Wrong> {
    let asked = task.resources.clone().unwrap_or_default();
    let parameter = |name: &str| parameters.get(name).map(|text| Value::from(text.as_str()));
    let mut resources = Map::new();
    if let Some(cores) = asked.cpu_cores.filter(|cores| *cores != 0) {
        resources.insert("cpus".to_owned(), cores.into());
    }
    for (key, gigabytes) in [("memory", asked.ram_gb), ("disk", asked.disk_gb)] {
        if let Some(gigabytes) = gigabytes.filter(|gigabytes| *gigabytes != 0.0) {
            resources.insert(key.to_owned(), bytes(key, gigabytes)?.into());
        }
    }
    resources.insert("time".to_owned(), parameter("time").unwrap_or_else(|| TIME_DEFAULT.into()));
    resources.extend(parameter("accelerators").map(|ask| ("accelerators".to_owned(), ask)));
    let mut market = Map::new();
    match (asked.preemptible.unwrap_or(false), spot) {
        (true, Spot::Sold) => drop(market.insert("mode".to_owned(), "spot".into())),
        (true, Spot::NotSold) => {
            warnings.push("preemptible has no effect: nobody sells spot capacity".to_owned());
        }
        (false, Spot::Sold | Spot::NotSold) => {}
    }
    market.extend(parameter("max_price").map(|price| ("max_price".to_owned(), price)));
    let mut file = json!({
        "version": 1, "name": job_name(task.name.as_deref()), "type": "batch", "project": project,
        "run": "true", "resources": resources,
    });
    let whole = file.as_object_mut().expect("made as an object");
    if !market.is_empty() {
        whole.insert("market".to_owned(), market.into());
    }
    whole.extend(parameter("priority").map(|priority| ("priority".to_owned(), priority)));
    if let Some(zones) = asked.zones.filter(|zones| !zones.is_empty()) {
        whole.insert("placement".to_owned(), json!({ "sites": zones }));
    }
    dayan_spec::parse_json(&file.to_string()).map_err(|errors| {
        let said: Vec<String> = errors
            .errors
            .iter()
            .map(|error| {
                // As the task calls them, and not as a job file does.
                let path = match error.path.as_str() {
                    "resources.cpus" => "resources.cpu_cores",
                    "resources.memory" => "resources.ram_gb",
                    "resources.disk" => "resources.disk_gb",
                    other => other,
                };
                let message = error.message().replace("`cpus`", "`cpu_cores`");
                format!("{path}: {message}")
            })
            .collect();
        Wrong::new(
            "tes.resources",
            said.join("; "),
            "correct the task's resources and their backend_parameters",
        )
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range"
)]
fn bytes(key: &str, gigabytes: f64) -> Result<String, Wrong> {
    let bytes = (gigabytes * 1e9).ceil();
    if bytes.is_finite() && (1.0..=1e15).contains(&bytes) {
        return Ok(format!("{}B", bytes as u64));
    }
    let name = if key == "memory" { "ram_gb" } else { "disk_gb" };
    Err(Wrong::new(
        "tes.resources",
        format!("resources.{name}: {gigabytes} is no amount"),
        "write a number of GB above zero",
    ))
}

/// A task's name as a job's: with dashes for what no job's name has.
fn job_name(name: Option<&str>) -> String {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let text = name.unwrap_or_default().trim_start_matches(|c: char| !c.is_alphanumeric());
    let dashed = text.chars().map(|c| if fits(c) { c } else { '-' });
    let short: String = dashed.take(dayan_spec::limits::NAME_CHARS_MAX).collect();
    if short.is_empty() { "task".to_owned() } else { short }
}

fn content(text: Option<&str>, kind: Option<TesFileType>, called: &str) -> Result<String, Wrong> {
    if kind == Some(TesFileType::Directory) {
        return Err(Wrong::new(
            "tes.input",
            format!("{called} is a folder with a content"),
            "a content is one file's",
        ));
    }
    Ok(text.unwrap_or_default().to_owned())
}

fn step(executor: &TesExecutor, number: usize) -> Result<Step, Wrong> {
    let wrong = |what: &str, title: &str, advice: &str| {
        Wrong::new("tes.executor", format!("executors[{number}].{what} {title}"), advice)
    };
    let image = executor.image.trim();
    if image.is_empty() || image.contains(char::is_whitespace) || image.contains(char::is_control) {
        let title = format!("`{}` is not the name of an image", shown(&executor.image));
        return Err(wrong("image", &title, "write it like registry.local/blender:4"));
    }
    let first = executor.command.first().is_none_or(String::is_empty);
    if first || executor.command.iter().any(|word| word.contains('\0')) {
        let advice = "name the program and its arguments";
        return Err(wrong("command", "is empty or has a NUL", advice));
    }
    let env = executor.env.clone().unwrap_or_default();
    for (name, value) in &env {
        let well_formed = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if !well_formed || name.starts_with("DAYAN_") {
            let title = format!("`{}` cannot be set", shown(name));
            let advice = "a name has no `=`, no NUL, and does not begin with DAYAN_, which is the exchange's";
            return Err(wrong("env", &title, advice));
        }
    }
    let path = |what: &str, path: &Option<String>| {
        let Some(path) = path.as_deref().filter(|path| !path.is_empty()) else { return Ok(None) };
        let plain = super::places::plain(path);
        if is_inside_path(plain) {
            return Ok(Some(plain.to_owned()));
        }
        let title = format!("`{}` is no absolute path in plain form", shown(path));
        Err(wrong(what, &title, "write it like /data/file1"))
    };
    Ok(Step {
        image: image.to_owned(),
        command: executor.command.clone(),
        workdir: path("workdir", &executor.workdir)?,
        env,
        stdin: path("stdin", &executor.stdin)?,
        stdout: path("stdout", &executor.stdout)?,
        stderr: path("stderr", &executor.stderr)?,
        ignore_error: executor.ignore_error.unwrap_or(false),
    })
}

/// What is shown of the task again.
fn kept(task: &TesTask, known: &BTreeMap<String, String>, warnings: Vec<String>) -> String {
    let mut task =
        TesTask { id: None, state: None, logs: None, creation_time: None, ..task.clone() };
    for input in task.inputs.iter_mut().flatten() {
        // That there is one is kept, not what is in it.
        input.content = input.content.as_ref().map(|_| String::new());
        input.kind = Some(input.kind.unwrap_or_default());
    }
    for output in task.outputs.iter_mut().flatten() {
        output.kind = Some(output.kind.unwrap_or_default());
    }
    let given = task.resources.as_mut().and_then(|resources| resources.backend_parameters.as_mut());
    if let Some(given) = given {
        given.retain(|key, _| known.contains_key(&key.to_ascii_lowercase()));
    }
    serde_json::to_string(&Kept { task, warnings }).expect("texts and numbers become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Around<'static> {
        Around { project: Some("lab/wf"), projects: &[], spot: Spot::NotSold }
    }

    fn made(task: &Value) -> Result<JobSpec, Wrong> {
        let task: TesTask = serde_json::from_value(task.clone()).expect("a task");
        translate(&task, 100, &around())
    }

    /// A whole task, as the standard's own example would be.
    fn whole() -> Value {
        json!({
            "name": "md5 of a file!",
            "description": "sums",
            "inputs": [
                {"url": "dayan://lab/wf/in.txt", "path": "/data/in.txt", "streamable": true},
                {"path": "/data/script.sh", "content": "md5sum \"$1\"\n", "type": "FILE"},
            ],
            "outputs": [{"path": "/out/sum.txt", "url": "dayan://lab/wf/sum.txt"}],
            "resources": {
                "cpu_cores": 2, "ram_gb": 0.5, "disk_gb": 1.5, "preemptible": true,
                "backend_parameters": {"Time": "2h", "VmSize": "large", "max_price": "3.00 CNY"},
            },
            "executors": [
                {"image": "a:1", "command": ["sh", "/data/script.sh", "/data/in.txt"],
                 "stdout": "/out/sum.txt", "env": {"A": "b"}, "workdir": "/data/"},
                {"image": "b:1", "command": ["true"], "ignore_error": true},
            ],
            "volumes": ["/vol/A/"],
            "tags": {"WORKFLOW_ID": "cwl-1", "empty": null},
        })
    }

    #[test]
    fn a_task_becomes_a_job() {
        let spec = made(&whole()).expect("it is taken");
        assert_eq!((spec.name.as_str(), spec.project.as_str()), ("md5-of-a-file-", "lab/wf"));
        assert_eq!(spec.resources.time, dayan_units::Span::from_secs(7_200));
        assert_eq!(spec.resources.memory.min, dayan_units::Bytes(500_000_000));
        assert_eq!(spec.market.max_price.map(|p| p.to_string()).as_deref(), Some("3.00 CNY"));
        let mounts: Vec<(&str, &str)> =
            spec.mounts.iter().map(|m| (m.at.as_str(), m.from.as_str())).collect();
        assert_eq!(mounts, [("/data", ".tes/0"), ("/out", ".tes/1"), ("/vol/A", ".tes/2")]);
        assert_eq!(spec.files[".tes/0/script.sh"], "md5sum \"$1\"\n");
        assert_eq!((spec.inputs[0].to.as_str(), spec.inputs.len()), (".tes/0/in.txt", 1));
        assert_eq!(spec.outputs[0].from, ".tes/1/sum.txt");
        assert_eq!(spec.steps[0].workdir.as_deref(), Some("/data"));
        assert_eq!(spec.steps[0].stdout.as_deref(), Some("/out/sum.txt"));
        assert!(spec.steps[1].ignore_error && !spec.steps[0].ignore_error);
        assert_eq!(spec.run, "sh /data/script.sh /data/in.txt && true");
    }

    #[test]
    fn what_is_kept_is_what_was_sent_but_for_what_has_no_effect() {
        let spec = made(&whole()).expect("it is taken");
        let mut kept = Kept::of(&spec).expect("it was a task");
        assert_eq!(kept.warnings.len(), 2, "{:?}", kept.warnings);
        kept.fill(&spec);
        let mut expect = whole();
        expect["inputs"][0]["type"] = "FILE".into();
        expect["outputs"][0]["type"] = "FILE".into();
        let parameters = expect["resources"]["backend_parameters"].as_object_mut().expect("some");
        parameters.remove("VmSize");
        assert_eq!(serde_json::to_value(&kept.task).expect("JSON"), expect);
        assert_eq!(Kept::of(&JobSpec { origin: None, ..spec }), None);
    }

    #[test]
    fn what_is_wrong_is_called_as_the_task_calls_it() {
        let mut task = whole();
        task["resources"]["cpu_cores"] = json!(-1);
        let said = format!("{:?}", made(&task).expect_err("no such cores"));
        assert!(said.contains("resources.cpu_cores") && !said.contains("cpus"), "{said}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_code() {
        let check = |change: &dyn Fn(&mut Value), code: &str| {
            let mut task = whole();
            change(&mut task);
            let wrong = made(&task).expect_err(code);
            assert_eq!(wrong.code, code, "{wrong:?}");
            assert!(!wrong.title.is_empty() && !wrong.advice.is_empty());
        };
        check(&|task| task["executors"] = json!([]), "tes.executors");
        check(&|task| task["executors"][0]["command"] = json!([]), "tes.executor");
        check(&|task| task["executors"][0]["image"] = json!(""), "tes.executor");
        check(&|task| task["executors"][0]["workdir"] = json!("data"), "tes.executor");
        check(&|task| task["executors"][0]["env"] = json!({"DAYAN_JOB": "x"}), "tes.executor");
        check(&|task| task["executors"][0]["stdout"] = json!("out"), "tes.path");
        check(&|task| task["inputs"][0]["url"] = json!(null), "tes.input");
        check(&|task| task["inputs"][0]["url"] = json!("gs://b/k"), "tes.url");
        check(&|task| task["inputs"][0]["path"] = json!("in.txt"), "tes.path");
        check(&|task| task["outputs"][0]["path"] = json!("/out/*.txt"), "tes.path_prefix");
        check(&|task| task["volumes"] = json!(["/etc"]), "tes.path");
        check(&|task| task["resources"]["ram_gb"] = json!(-1), "tes.resources");
        check(&|task| task["resources"]["cpu_cores"] = json!(-1), "tes.resources");
        check(
            &|task| task["resources"]["backend_parameters"]["time"] = json!("soon"),
            "tes.resources",
        );
        check(
            &|task| task["resources"]["backend_parameters_strict"] = json!(true),
            "tes.backend_parameter",
        );
        let many: Vec<Value> = (0..33).map(|_| json!({"image": "a", "command": ["b"]})).collect();
        check(&|task| task["executors"] = json!(many), "tes.too_much");
        let task: TesTask = serde_json::from_value(whole()).expect("a task");
        assert_eq!(
            translate(&task, TASK_BYTES_MAX + 1, &around()).expect_err("big").code,
            "tes.too_much"
        );
    }

    #[test]
    fn the_project_is_the_tasks_or_the_callers() {
        let mut task: TesTask = serde_json::from_value(whole()).expect("a task");
        let projects = ["lab/a".to_owned(), "lab/b".to_owned()];
        let nobody = Around { project: None, projects: &projects, spot: Spot::Sold };
        let wrong = translate(&task, 1, &nobody).expect_err("no project");
        assert!(wrong.code == "tes.project" && wrong.title.contains("lab/a, lab/b"), "{wrong:?}");
        let parameters = BTreeMap::from([("PROJECT".to_owned(), "lab/b".to_owned())]);
        task.resources.as_mut().expect("some").backend_parameters = Some(parameters);
        let spec = translate(&task, 1, &nobody).expect("taken");
        assert_eq!(spec.project.as_str(), "lab/b");
        assert_eq!(spec.market.mode, dayan_spec::MarketMode::Spot, "it may be taken away");
    }

    #[test]
    fn names_of_tasks_become_names_of_jobs() {
        let check = |name: Option<&str>, expect: &str| assert_eq!(job_name(name), expect);
        check(None, "task");
        check(Some(""), "task");
        check(Some("-- "), "task");
        check(Some("snakejob.rule.1.sh"), "snakejob.rule.1.sh");
        check(Some("数 据"), "数-据");
        assert_eq!(job_name(Some(&"x".repeat(100))).len(), 63);
    }
}

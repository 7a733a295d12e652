//! Tasks from their creation to their end.

use serde_json::{Value, json};

use super::scene::{IMAGE, Scene, task};
use super::support::until;

fn exit_codes(task: &Value) -> Vec<i64> {
    let logs = task["logs"][0]["logs"].as_array().cloned().unwrap_or_default();
    logs.iter().map(|log| log["exit_code"].as_i64().expect("a number")).collect()
}

#[test]
fn a_task_with_all_that_a_task_can_have_runs_as_it_says() {
    let Some(scene) = Scene::set(&[]) else { return };
    scene.put("names.txt", "cherry\napple\nbanana\n", "dayan://lab/demo/in/names.txt");
    scene.put("more.txt", "damson\n", "dayan://lab/demo/in/more.txt");
    let sent = json!({
        "name": "sort & count",
        "description": "all there is",
        "inputs": [
            {"url": "dayan://lab/demo/in/names.txt", "path": "/data/names.txt", "name": "names"},
            {"url": "dayan://lab/demo/in/", "path": "/all", "type": "DIRECTORY"},
            {"path": "/usr/local/bin/tool", "content": "#!/bin/sh\nsort \"$@\"\n", "type": "FILE"},
        ],
        "outputs": [
            {"url": "dayan://lab/demo/out/sorted.txt", "path": "/results/sorted.txt"},
            {"url": "dayan://lab/demo/out/parts", "path": "/results/parts/*.part", "path_prefix": "/results"},
            {"url": "dayan://lab/demo/out/folder", "path": "/vol/A", "type": "DIRECTORY"},
        ],
        "resources": {"cpu_cores": 1, "ram_gb": 0.1, "disk_gb": 0.1,
                      "backend_parameters": {"time": "10m", "VmSize": "large"}},
        "executors": [
            {"image": IMAGE, "command": ["/bin/sh", "/usr/local/bin/tool", "/data/names.txt", "/all/more.txt"],
             "stdout": "/results/sorted.txt", "workdir": "/data"},
            {"image": IMAGE, "command": ["/bin/sh", "-c", "echo to $WHOM >&2; exit 3"],
             "env": {"WHOM": "nobody"}, "ignore_error": true},
            {"image": "localhost/dayan-test:2",
             "command": ["/bin/sh", "-c", "mkdir -p /results/parts; read first; echo $first > /results/parts/1.part; echo x > /results/parts/2.other; echo $first > /vol/A/kept; pwd"],
             "stdin": "/results/sorted.txt", "workdir": "/vol/A"},
        ],
        "volumes": ["/vol/A"],
        "tags": {"WORKFLOW_ID": "w-1", "empty": ""},
    });
    let id = scene.create(&sent);
    let done = scene.ended(&id);
    assert_eq!(done["state"], "COMPLETE", "{done:#}");
    assert_eq!(exit_codes(&done), [0, 3, 0], "{done:#}");
    // What goes to a file is in the file, and the beginning of it in the log.
    let sorted = "apple\nbanana\ncherry\ndamson\n";
    assert_eq!(done["logs"][0]["logs"][0]["stdout"], sorted);
    assert_eq!(done["logs"][0]["logs"][1]["stderr"], "to nobody\n");
    assert_eq!(done["logs"][0]["logs"][2]["stdout"], "/vol/A\n");
    assert_eq!(scene.data("dayan://lab/demo/out/sorted.txt"), sorted);
    assert_eq!(scene.data("dayan://lab/demo/out/parts/parts/1.part"), "apple\n");
    assert_eq!(scene.data("dayan://lab/demo/out/folder/kept"), "apple\n");
    let files = done["logs"][0]["outputs"].as_array().expect("some");
    let part = files.iter().find(|file| file["path"] == "/results/parts/1.part").expect("told");
    assert_eq!(part["url"], "dayan://lab/demo/out/parts/parts/1.part");
    assert_eq!(part["size_bytes"], "6");
    assert!(!files.iter().any(|file| file["url"].to_string().contains("other")), "{files:?}");
    // What lies there later is another's.
    scene.put("later.txt", "by another\n", "dayan://lab/demo/out/parts/parts/1.part");
    assert_eq!(
        scene.get(&format!("/tasks/{id}?view=FULL"))["logs"][0]["outputs"],
        done["logs"][0]["outputs"]
    );
    let warned = done["logs"][0]["system_logs"].to_string();
    assert!(warned.contains("VmSize"), "{warned}");
    let times = |log: &Value| {
        let time = |key: &str| log[key].as_str().expect("a time").to_owned();
        (time("start_time"), time("end_time"))
    };
    let (start, end) = times(&done["logs"][0]["logs"][0]);
    assert!(start <= end && end <= times(&done["logs"][0]["logs"][2]).1, "{done:#}");

    // What was sent is shown again; the view decides how much of it.
    for key in ["name", "description", "executors", "volumes", "tags"] {
        assert_eq!(done[key], sent[key], "{key}");
    }
    assert_eq!(done["inputs"][2]["content"], sent["inputs"][2]["content"]);
    assert_eq!(done["resources"]["backend_parameters"], json!({"time": "10m"}));
    let basic = scene.get(&format!("/tasks/{id}?view=BASIC"));
    assert_eq!(exit_codes(&basic), [0, 3, 0]);
    assert_eq!(basic["logs"][0]["logs"][0]["stdout"], Value::Null);
    assert_eq!(basic["inputs"][2]["content"], Value::Null);
    assert_eq!(basic["logs"][0]["system_logs"], Value::Null);
    let minimal = scene.get(&format!("/tasks/{id}"));
    assert_eq!(minimal, json!({"id": id, "state": "COMPLETE"}));

    // It is a job like any other, billed once.
    let shown = scene.stage.show(&id).expect("a job");
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(scene.stage.billed().get(&id), Some(&1));
    scene.stage.assert_sound();
}

/// As most tasks are written: everything below one folder.
#[test]
fn what_is_inside_of_another_folder_is_there() {
    let Some(scene) = Scene::set(&[]) else { return };
    let line = "sort /data/in.txt > /data/out/res.txt; pwd > /data/out/where; ls -d /data/vol; echo x > rel";
    let sent = json!({
        "name": "inside",
        "inputs": [{"path": "/data/in.txt", "content": "b\na\n", "type": "FILE"}],
        "outputs": [
            {"url": "dayan://lab/demo/inside/res.txt", "path": "/data/out/res.txt"},
            {"url": "dayan://lab/demo/inside/where", "path": "/data/out/where"},
        ],
        "resources": {"cpu_cores": 1, "ram_gb": 0.1, "backend_parameters": {"time": "10m"}},
        "executors": [{"image": IMAGE, "command": ["/bin/sh", "-ec", line], "workdir": "/data/work/deep"}],
        "volumes": ["/data", "/data/vol"],
    });
    let done = scene.ended(&scene.create(&sent));
    assert_eq!(done["state"], "COMPLETE", "{done:#}");
    assert_eq!(scene.data("dayan://lab/demo/inside/res.txt"), "a\nb\n");
    assert_eq!(scene.data("dayan://lab/demo/inside/where"), "/data/work/deep\n");
    assert_eq!(done["logs"][0]["logs"][0]["stdout"], "/data/vol\n");
}

#[test]
fn tasks_that_fail_and_tasks_that_are_cancelled_say_so() {
    let Some(scene) = Scene::set(&[]) else { return };
    let two = json!({"executors": [
        {"image": IMAGE, "command": ["/bin/sh", "-c", "echo said; exit 9"]},
        {"image": IMAGE, "command": ["true"]},
    ]});
    let done = scene.ended(&scene.create(&two));
    assert_eq!(done["state"], "EXECUTOR_ERROR", "{done:#}");
    assert_eq!(exit_codes(&done), [9]);
    assert_eq!(done["logs"][0]["logs"][0]["stdout"], "said\n");

    let typo = json!({
        "outputs": [{"url": "dayan://lab/demo/typo/x", "path": "/out/x"}],
        "executors": [{"image": IMAGE, "command": ["/bin/typing-error"]}],
    });
    let done = scene.ended(&scene.create(&typo));
    assert_eq!(done["state"], "EXECUTOR_ERROR", "{done:#}");
    assert_eq!(exit_codes(&done), [127]);

    let left_out = json!({
        "outputs": [{"url": "dayan://lab/demo/left-out/x", "path": "/out/deep/x"}],
        "executors": [{"image": IMAGE, "command": ["true"]}],
    });
    let done = scene.ended(&scene.create(&left_out));
    assert_eq!(done["state"], "SYSTEM_ERROR", "{done:#}");
    let said = done["logs"].to_string();
    assert!(said.contains("/out/deep/x") && !said.contains(".tes"), "{said}");

    let mut missing = task("missing", "true");
    missing["executors"][0]["image"] = "localhost/nowhere:1".into();
    let done = scene.ended(&scene.create(&missing));
    assert_eq!(done["state"], "SYSTEM_ERROR", "{done:#}");
    let said = done["logs"].to_string();
    assert!(said.contains("localhost/nowhere:1"), "{said}");

    let id = scene.create(&task("long", "sleep 600"));
    until("it to run", || {
        let state = scene.get(&format!("/tasks/{id}"))["state"].clone();
        assert!(
            ["QUEUED", "INITIALIZING", "RUNNING"].contains(&state.as_str().unwrap_or_default())
        );
        (state == "RUNNING").then_some(())
    });
    let path = format!("/tasks/{id}:cancel");
    assert_eq!(scene.ask("POST", &path, &scene.bearer(), "").0, 200);
    let state = scene.get(&format!("/tasks/{id}"))["state"].clone();
    assert!(["CANCELING", "CANCELED"].contains(&state.as_str().unwrap_or_default()), "{state}");
    assert_eq!(scene.ended(&id)["state"], "CANCELED");
    // Again, and of one that has ended: nothing changes.
    assert_eq!(scene.ask("POST", &path, &scene.bearer(), ""), (200, json!({})));
    scene.stage.assert_sound();
}

#[test]
fn tasks_are_listed_page_by_page_and_filtered() {
    let Some(scene) = Scene::set(&[]) else { return };
    // A job that is no task is not in the list.
    scene.stage.submit_with("'true'", "plain", &format!("image: {IMAGE}\n"));
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut task = task(&format!("sort-{number}"), "true");
        task["tags"] = json!({"flow": format!("f{}", number % 2), "all": ""});
        ids.push(scene.create(&task));
    }
    let other = scene.create(&task("count", "exit 4"));
    ids.iter().chain([&other]).for_each(|id| drop(scene.ended(id)));
    let listed = |query: &str| -> Vec<String> {
        let mut query = query.to_owned();
        let mut all = Vec::new();
        loop {
            let page = scene.get(&format!("/tasks?{query}"));
            let tasks = page["tasks"].as_array().expect("a list");
            all.extend(tasks.iter().map(|task| task["id"].as_str().expect("an id").to_owned()));
            let Some(next) = page["next_page_token"].as_str() else { return all };
            let kept = query.split("&page_token").next().unwrap_or_default().to_owned();
            query = format!("{kept}&page_token={next}");
        }
    };
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    let all: Vec<String> = std::iter::once(other.clone()).chain(newest.clone()).collect();
    assert_eq!(listed("view=MINIMAL"), all);
    assert_eq!(listed("page_size=2"), all);
    assert_eq!(listed("name_prefix=sort-&page_size=3"), newest);
    assert_eq!(listed("state=EXECUTOR_ERROR"), [other]);
    assert_eq!(listed("tag_key=flow&tag_value=f1"), [ids[3].clone(), ids[1].clone()]);
    assert_eq!(
        listed("tag_key=flow&tag_value=f1&tag_key=all&tag_value="),
        [ids[3].clone(), ids[1].clone()]
    );
    assert_eq!(listed("tag_key=none"), [""; 0]);
    let full = scene.get("/tasks?view=FULL&name_prefix=sort-4");
    assert_eq!(full["tasks"][0]["tags"]["flow"], "f0", "{full:#}");
    assert_eq!(full["tasks"][0]["logs"][0]["logs"][0]["exit_code"], 0, "{full:#}");
}

#[test]
fn who_may_not_and_what_cannot_be_is_refused_in_the_clients_words() {
    let Some(scene) = Scene::set(&[]) else { return };
    let token = scene.stage.member.clone();
    let plain = task("plain", "true").to_string();
    let check = |method: &str, path: &str, auth: &str, body: &str, status: u16, code: &str| {
        let (said, body) = scene.ask(method, path, auth, body);
        assert_eq!((said, body["code"].as_str()), (status, Some(code)), "{method} {path}: {body}");
        assert_eq!(body["status_code"], status);
        let msg = body["msg"].as_str().unwrap_or_default();
        assert!(!msg.is_empty(), "{body}");
        let mut parts: Vec<&str> = msg.split("; ").collect();
        parts.sort_unstable();
        assert!(parts.windows(2).all(|two| two[0] != two[1]), "said twice: {msg}");
    };
    check("GET", "/tasks", "", "", 401, "auth.token");
    check("GET", "/tasks", "Bearer nonsense", "", 401, "auth.token");
    check("POST", "/tasks", "Basic bTpub25zZW5zZQ==", &plain, 401, "auth.token");
    let bearer = scene.bearer();
    check("POST", "/tasks", &bearer, "{", 400, "tes.task");
    check("POST", "/tasks", &bearer, "{\"executors\": []}", 400, "tes.executors");
    check("GET", "/tasks?view=ALL", &bearer, "", 400, "tes.view");
    check("GET", "/tasks?page_size=2048", &bearer, "", 400, "tes.page_size");
    check("GET", "/tasks?page_token=x", &bearer, "", 400, "request.cursor");
    check("GET", "/tasks/job_nonsense", &bearer, "", 404, "task.unknown");
    check("POST", "/tasks/job_nonsense:cancel", &bearer, "", 404, "task.unknown");
    check("POST", "/tasks/job_nonsense:pause", &bearer, "", 405, "request.method");
    check("DELETE", "/tasks", &bearer, "", 405, "request.method");
    check("GET", "/nothing", &bearer, "", 404, "request.path");
    let mut far = task("far", "true");
    far["inputs"] = json!([{"url": "gs://b/k", "path": "/data/k"}]);
    check("POST", "/tasks", &bearer, &far.to_string(), 400, "tes.url");
    far["inputs"] = json!([{"url": "dayan://lab/demo/none", "path": "/data/k"}]);
    let (status, said) = scene.ask("POST", "/tasks", &bearer, &far.to_string());
    assert!(status == 400 && said["msg"].to_string().contains("none"), "{said}");
    // What others own is not there, and who has no job cannot see one.
    let id = scene.create(&task("mine", "true"));
    scene.stage.operate(&["org", "create", "rival"]);
    scene.stage.operate(&["user", "create", "r", "--org", "rival", "--role", "member"]);
    let rival = scene.stage.operate(&["token", "issue", "rival/r"])["secret"].clone();
    let rival = format!("Bearer {}", rival.as_str().expect("a secret"));
    check("GET", &format!("/tasks/{id}"), &rival, "", 404, "task.unknown");
    check("POST", &format!("/tasks/{id}:cancel"), &rival, "", 404, "task.unknown");
    check("POST", "/tasks", &rival, &plain, 400, "tes.project");
    assert_eq!(scene.ask("GET", "/tasks", &rival, "").1, json!({"tasks": []}));

    // The token as a password; the user may be the project.
    let basic = |pair: &str| {
        let (status, said) =
            scene.ask("POST", "/tasks", &format!("Basic {}", base64(pair)), &plain);
        (status, said["id"].as_str().map(str::to_owned), said)
    };
    assert_eq!(basic(&format!("m:{token}")).0, 200);
    scene.stage.operate(&["project", "create", "lab/second"]);
    let (status, _, said) = basic(&format!("m:{token}"));
    assert!(status == 400 && said["msg"].to_string().contains("lab/demo, lab/second"), "{said}");
    let (status, id, said) = basic(&format!("lab/second:{token}"));
    assert_eq!(status, 200, "{said}");
    let shown = scene.stage.show(&id.expect("an id")).expect("a job");
    assert_eq!(shown["project"], "lab/second");
    let (status, info) = scene.ask("GET", "/service-info", "", "");
    assert_eq!(scene.ask("GET", "/tasks/service-info", "", "").1, info, "as TES 1.0 has it");
    assert_eq!((status, &info["type"]["version"]), (200, &json!("1.1.0")), "{info}");
}

/// Base 64 of a text, with padding.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

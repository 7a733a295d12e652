//! What `sinfo` prints, beside the real one's formats.

use std::fmt::Write as _;

use super::*;
use crate::slurm::tests_support::slurm;
use crate::tests::{Fake, Says};

fn node(name: &str, used: &str, up: bool) -> serde_json::Value {
    json!({ "name": name, "cpus": "16", "memory": 64_000_u64 << 20, "accelerators": "2",
        "accelerator": "NVIDIA A100", "up": up, "cpus_used": used })
}
fn pool(name: &str, status: &str, nodes: &[serde_json::Value]) -> serde_json::Value {
    json!({ "id": format!("pool_{name}"), "crn": "x", "name": name, "provider": "dc",
        "site": "Guiyang", "status": status, "engine": "process", "fence": "keeper", "nodes": nodes })
}

async fn exchange() -> Fake {
    Fake::start(|_, _| {
        let nodes = [
            node("n1", "0", true),
            node("n2", "0", true),
            node("n3", "3.5", true),
            node("n4", "16", true),
            node("n5", "0", false),
        ];
        let old = [node("old1", "0", true)];
        Says::json(
            200,
            &json!([
                pool("main", "active", &nodes),
                pool("a-rather-long-name", "suspended", &old),
                pool("gone", "retired", &[]),
                pool("new", "active", &[]),
            ]),
        )
    })
    .await
}

#[tokio::test]
async fn the_default_forms() {
    let fake = exchange().await;
    let mut shown = String::new();
    for line in [
        &[][..],
        &["-s"],
        &["-N"],
        &["-h", "-o", "%R %a %D %t %C %F %c %m %G"],
        &["-h", "-p", "main", "-t", "idle", "-o", "%N"],
        &["-h", "-N", "-n", "n3,n4", "-o", "%n %T %e %z"],
        &["-h", "-o", "%P|%D"],
    ] {
        let ran = slurm(Tool::Sinfo, &fake, line).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line:?}");
        let _ = write!(shown, "$ sinfo {}\n{}", line.join(" "), ran.stdout);
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn scripts_read_json_and_wrong_calls_are_said() {
    let fake = exchange().await;
    let ran = slurm(Tool::Sinfo, &fake, &["--json", "-p", "main"]).await;
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let states: Vec<&str> = value["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|n| n["state"].as_str())
        .collect();
    assert_eq!(states, ["idle", "idle", "mixed", "allocated", "down"]);
    assert_eq!(value["nodes"][2]["real_memory"], 64_000);
    let check = async |line: &[&str], expect: &str| {
        let ran = slurm(Tool::Sinfo, &fake, line).await;
        assert_eq!(ran.code, 1, "{line:?}");
        assert!(ran.stderr.starts_with(expect), "{line:?}: {}", ran.stderr);
    };
    let ran = slurm(Tool::Sinfo, &fake, &["-h", "-p", "new", "-o", "%P %*"]).await;
    let said = (ran.code, ran.stdout.as_str(), ran.stderr.as_str());
    assert_eq!(said, (0, "new %*\n", "Invalid node format specification: *\n"));
    check(&["-t", "maint,asleep"], "sinfo: error: Bad state string: \"asleep\"\n").await;
    check(&["--frob"], "sinfo: unrecognized option '--frob'\n").await;
}

#[test]
fn what_others_hold_is_not_idle() {
    let doing = |used: &str, others: &str| {
        let mut held = node("n1", used, true);
        held["cpus_others"] = json!(others);
        let pool: Pool = serde_json::from_value(pool("main", "active", &[held])).expect("a pool");
        (Doing::of(&pool, &pool.nodes[0]).names().1, cores_used(&pool.nodes[0]))
    };
    assert_eq!(doing("0", "0"), ("idle", 0));
    assert_eq!(doing("0", "16"), ("alloc", 16));
    assert_eq!(doing("4", "4"), ("mix", 8));
    assert_eq!(doing("16", "16"), ("alloc", 16), "a moment later it is known better");
}

/// Two pools of clusters, one of which says how long its tasks may run; one that is closed for a while.
async fn clusters() -> Fake {
    Fake::start(|_, _| {
        let mut fat = node("n6", "0", true);
        fat["cpus"] = json!("64");
        fat["features"] = json!(["avx512", "ib"]);
        let mut thin = node("n1", "4", true);
        thin["features"] = json!(["ib"]);
        let mut short = pool("short", "active", &[thin, fat, node("n5", "0", false)]);
        short["cluster"] = json!({ "slurm.minutes_max": "90", "slurm.partition": "debug" });
        short["closures"] = json!([
            { "nodes": ["n1", "n2"], "from": "2998-12-01T00:00:00Z", "until": "2998-12-01T02:30:00Z" },
            { "until": "2999-12-01T00:00:00Z" },
        ]);
        let mut long = pool("week", "suspended", &[node("w1", "0", true)]);
        long["cluster"] = json!({ "slurm.minutes_max": "unlimited" });
        Says::json(200, &json!([short, long]))
    })
    .await
}

#[tokio::test]
async fn what_scripts_ask_for_more_seldom() {
    let fake = clusters().await;
    let mut shown = String::new();
    for line in [
        &["-h", "-o", "%P %l %L %f", "-e"][..],
        &["-h", "-s", "-o", "%R %l"],
        &["-h", "-O", "PartitionName:10,Time:.12,CPUsState:.16,StateLong:12,GresUsed:.8,Gres:30"],
        &["-R"],
        &["-Rl", "-h"],
        &["-h", "-d", "-o", "%N"],
        &["-h", "-r", "-N", "-o", "%N"],
        &["-h", "-N", "-S", "-c,N", "-o", "%N %c"],
        &["-h", "-S", "#P,-t", "-o", "%P %t"],
        &["-T"],
        &["-h", "-T", "-p", "week"],
        &["-M", "dayan", "-s", "-v", "--hide"],
    ] {
        let ran = slurm(Tool::Sinfo, &fake, line).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line:?}");
        let _ = write!(shown, "$ sinfo {}\n{}", line.join(" "), ran.stdout);
    }
    // The date of `-l` is the day's.
    let ran = slurm(Tool::Sinfo, &fake, &["-Nel", "-h"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 4), "{}", ran.stdout);
    insta::assert_snapshot!(shown);
    let check = async |line: &[&str], expect: &str| {
        let ran = slurm(Tool::Sinfo, &fake, line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{line:?}");
        assert!(ran.stderr.starts_with(expect), "{line:?}: {}", ran.stderr);
    };
    check(&["-O", "Comment"], "sinfo: error: Invalid node format specification: Comment\n").await;
    check(&["-M", "blue"], "sinfo: error: No cluster 'blue' known by database.\n").await;
    check(&["-i", "0"], "sinfo: error: invalid value '0'").await;
}

//! Users, roles and tokens: what is asked of the exchange and what is printed.

use serde_json::Value;

use super::*;
use crate::tests::{Fake, Says, both, dayan};

const ID: &str = "01h455vb4pex5vsknk084sn02q";

fn a_project() -> Project {
    Project {
        id: format!("prj_{ID}"),
        path: "studio-a/film-3".to_owned(),
        budget: BudgetLimits {
            per_job: Some("60.00".to_owned()),
            per_day: Some("500.00".to_owned()),
            per_month: None,
            warn_permille: vec![800],
        },
        spent_today: "12.50".to_owned(),
        spent_month: "120.00".to_owned(),
        warned_today: 800,
        warned_month: 0,
        held: "1.00".to_owned(),
        currency: "CNY".to_owned(),
        weight: 1,
    }
}

#[test]
fn who_there_is_as_people_see_it() {
    insta::assert_snapshot!(
        "orgs",
        both(&vec![Org {
            id: format!("org_{ID}"),
            name: "studio-a".to_owned(),
            class: "external".to_owned(),
            balance: "1000.00".to_owned(),
            held: "1.00".to_owned(),
            currency: "CNY".to_owned(),
            created_at: "2026-11-23T12:00:00Z".to_owned(),
            weight: 1,
            priority_most: "high".to_owned(),
        }])
    );
    insta::assert_snapshot!(
        "users",
        both(&vec![User {
            id: format!("usr_{ID}"),
            org: "studio-a".to_owned(),
            name: "lin".to_owned(),
            role: "viewer".to_owned(),
        }])
    );
    insta::assert_snapshot!(
        "tokens",
        both(&vec![Token {
            id: format!("tok_{ID}"),
            user: format!("usr_{ID}"),
            label: "render farm".to_owned(),
            issued_at: "2026-11-23T12:00:00Z".to_owned(),
            expires_at: None,
        }])
    );
    insta::assert_snapshot!("projects", both(&vec![a_project()]));
}

#[test]
fn limits_that_are_not_named_stay() {
    let now = a_project().budget;
    assert_eq!(Limits::default().over(&now), now);
    let typed = Limits {
        per_job: Some(Limit::None),
        per_month: Some(Limit::Amount("9.00".to_owned())),
        warn: vec![50, 95],
        ..Limits::default()
    };
    let expect = BudgetLimits {
        per_job: None,
        per_day: Some("500.00".to_owned()),
        per_month: Some("9.00".to_owned()),
        warn_permille: vec![500, 950],
    };
    assert_eq!(typed.over(&now), expect);
    assert_eq!(limit_arg("none"), Ok(Limit::None));
    assert!(limit_arg("-5").is_err());
}

#[tokio::test]
async fn a_budget_is_changed_where_it_is_named() {
    let fake = Fake::start(|came, _| match came.line.as_str() {
        "GET /v1/projects?limit=500" => Says::json(200, &json!({ "items": [a_project()] })),
        _ => Says::bytes(204, b""),
    })
    .await;
    let line = ["budget", "set", "studio-a/film-3", "--per-day", "none", "--per-job", "70 CNY"];
    let ran = dayan(fake.environment(), &line).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert_eq!(fake.lines()[1], format!("PUT /v1/projects/prj_{ID}/budget"));
    let sent: Value = serde_json::from_str(&fake.came()[1].body).expect("JSON");
    assert_eq!(sent, json!({ "per_job": "70.00", "warn_permille": [800] }));
}

#[tokio::test]
async fn a_secret_goes_to_standard_output_alone() {
    let fake = Fake::start(|came, _| match came.line.as_str() {
        line if line.starts_with("GET /v1/users") => Says::json(
            200,
            &json!({ "items": [{ "id": "usr_1", "org": "a", "name": "lin", "role": "member" }] }),
        ),
        _ => Says::json(201, &json!({ "id": "tok_1", "secret": "s3cret" })),
    })
    .await;
    let line = ["token", "issue", "a/lin", "--label", "ci", "--expires", "30d"];
    let ran = dayan(fake.environment(), &line).await;
    assert_eq!(ran.stdout, "s3cret\n");
    assert!(!ran.stderr.contains("s3cret") && ran.stderr.contains("tok_1"));
    assert_eq!(fake.lines()[0], "GET /v1/users?limit=500&org=a");
    let sent: Value = serde_json::from_str(&fake.came()[1].body).expect("JSON");
    assert_eq!(sent, json!({ "user": "usr_1", "label": "ci", "expires_in": 2_592_000 }));
}

#[tokio::test]
async fn a_deposit_may_be_sent_again() {
    let fake = Fake::start(|_, before| match before {
        0 => Says::bytes(503, b"").with("retry-after", "0"),
        _ => Says::json(200, &json!({ "repeated": true })),
    })
    .await;
    let line = ["org", "deposit", "studio-a", "500", "--reference", "B-1"];
    let ran = dayan(fake.environment(), &line).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert!(ran.stderr.contains("`B-1` was booked before"), "{}", ran.stderr);
    let sent: Value = serde_json::from_str(&fake.came()[1].body).expect("JSON");
    assert_eq!(sent, json!({ "amount": "500.00 CNY", "reference": "B-1" }));
}

#[tokio::test]
async fn a_user_is_known_by_its_name_when_its_role_changes_or_it_goes() {
    let user = json!({ "id": "usr_1", "org": "a", "name": "lin", "role": "member" });
    let fake = Fake::start(move |asked, _| {
        if asked.line.starts_with("GET") {
            Says::json(200, &json!({ "items": [user] }))
        } else {
            Says::bytes(204, b"")
        }
    })
    .await;
    let ran = dayan(fake.environment(), &["user", "role", "a/lin", "owner"]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (Exit::Ok, "a/lin is owner from now on.\n"));
    let ran = dayan(fake.environment(), &["user", "rm", "a/lin"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    let lines = fake.lines();
    assert_eq!(
        (lines[1].as_str(), lines[3].as_str()),
        ("PUT /v1/users/usr_1/role", "DELETE /v1/users/usr_1")
    );
    let sent: Value = serde_json::from_str(&fake.came()[1].body).expect("JSON");
    assert_eq!(sent, json!({ "role": "owner" }));
}

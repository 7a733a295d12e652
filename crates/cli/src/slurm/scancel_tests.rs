//! Which jobs and elements `scancel` cancels.

use crate::slurm::Tool;
use crate::slurm::tests_support::{ARRAY, ID, answer, attempt, job, slurm, told};
use crate::tests::{Fake, Says};
use serde_json::json;

async fn exchange() -> Fake {
    Fake::start(|came, _| {
        let path = came.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let array = told(
            "running",
            ARRAY,
            &[attempt(0, 1, "running", ""), attempt(1, 1, "succeeded", "")],
            &[[2, 4]],
        );
        match path.as_str() {
            "/v1/jobs" if came.line.contains("number=7") => Says::json(200, &json!([])),
            path if path.ends_with("/cancel") => Says::json(200, &json!({})),
            path => answer(path, &array).unwrap_or_else(|| panic!("{path}")),
        }
    })
    .await
}

/// The bodies of the cancellations that a line asks for.
async fn cancelled(line: &[&str]) -> (u8, String, Vec<serde_json::Value>) {
    let fake = exchange().await;
    let ran = slurm(Tool::Scancel, &fake, line).await;
    assert_eq!(ran.stdout, "");
    let asked = fake.came().into_iter().filter(|came| came.line.contains("/cancel"));
    let bodies = asked.map(|came| serde_json::from_str(&came.body).expect("JSON")).collect();
    (ran.code, ran.stderr, bodies)
}

#[tokio::test]
async fn what_is_named_is_cancelled_and_nothing_else() {
    let n = job("queued", "", &[], &[]).number;
    let check = async |line: &[&str], expect: &[serde_json::Value]| {
        let line: Vec<String> = line.iter().map(|word| word.replace('#', &n.to_string())).collect();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        assert_eq!(cancelled(&line).await, (0, String::new(), expect.to_vec()), "{line:?}");
    };
    let whole = || json!({});
    let task = |task: u32| json!({ "task": task });
    check(&["#"], &[whole()]).await;
    check(&[ID], &[whole()]).await;
    check(&["#_3"], &[task(2)]).await;
    check(&["#_[3-4]"], &[task(2), task(3)]).await;
    check(&[&format!("{ID}/0")], &[task(0)]).await;
    check(&["--me"], &[whole()]).await;
    check(&["-u", "li"], &[whole()]).await;
    check(&["-u", "someone"], &[]).await;
    check(&["-n", "shot-120"], &[whole()]).await;
    check(&["--name=other"], &[]).await;
    check(&["-t", "PENDING", "--me"], &[task(2), task(3), task(4)]).await;
    check(&["-t", "R", "#"], &[task(0)]).await;
    check(&["-A", "film-3", "-s", "KILL"], &[whole()]).await;
    // What has ended already is as it should be.
    check(&["#_2"], &[]).await;
    check(&["-H", "-c", "-M", "dayan", "--signal=sigint", "#"], &[whole()]).await;
    check(&["-s", "2", "#"], &[whole()]).await;
    check(&["-R", "friday", "#"], &[]).await;
    check(&["--state=SUSPENDED", "#"], &[]).await;
    check(&["--wckey=any", "--me"], &[]).await;
    check(&["--wckey=any", "#"], &[]).await;
}

#[tokio::test]
async fn what_cannot_be_is_said_as_slurm_says_it() {
    let n = job("queued", "", &[], &[]).number;
    let check = async |line: &[&str], ends: u8, expect: &str| {
        let (code, stderr, bodies) = cancelled(line).await;
        assert_eq!((code, bodies.len()), (ends, 0), "{line:?}");
        assert!(stderr.starts_with(expect), "{line:?}: {stderr}");
    };
    check(&[], 1, "scancel: error: No job identification provided\n").await;
    check(&["7"], 0, "scancel: error: Kill job error on job id 7: Invalid job id specified\n")
        .await;
    let (number, id) =
        (format!("{n}_99"), format!("scancel: error: Kill job error on job id {n}_99:"));
    check(&[&number], 0, &id).await;
    check(&["x"], 1, "scancel: error: Invalid job id x\n").await;
    check(&["-t", "DONE", "--me"], 1, "Invalid job state specified: DONE\n").await;
    check(&["-t", "PD,CD", "--me"], 1, "Invalid job state specified: CD\n").await;
    check(&["-t", "", "--me"], 1, "Invalid job state specified: \n").await;
    check(&["-s", "USR1", "7"], 1, "scancel: error: Signal USR1 is not delivered").await;
    check(&["--signal=STOP", "7"], 1, "scancel: error: Signal STOP is not delivered").await;
    check(&["-M", "blue", "7"], 1, "scancel: error: No cluster 'blue' known").await;
    let (_, stderr, _) = cancelled(&["-s", "USR1", "7"]).await;
    assert!(stderr.contains("scancel: error: `#SBATCH --signal`"), "{stderr}");
    let (_, stderr, _) = cancelled(&["-s", "SIGCONT", "7"]).await;
    assert!(stderr.contains("`dayan pause`"), "{stderr}");
    let (code, stderr, _) = cancelled(&["-Q", "7"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
}

/// The bodies of what is cancelled where a person answers so to each question; and the questions.
async fn asking(line: &[&str], answers: &'static str) -> (Vec<serde_json::Value>, String) {
    use clap::Parser as _;
    crate::client::install_provider();
    let fake = exchange().await;
    let words = std::iter::once("scancel").chain(line.iter().copied());
    let args = super::Scancel::try_parse_from(words).expect("a call");
    let (session, _, stderr) = crate::tests::session(fake.environment());
    let input = std::sync::Mutex::new(std::io::Cursor::new(answers));
    let asked = |question: &str| {
        super::answered(question, &session, &mut *input.lock().expect("nobody panics"))
    };
    let code = super::cancel_all(&args, &session, asked).await.expect("it is done");
    assert_eq!(code, 0);
    let came = fake.came().into_iter().filter(|came| came.line.contains("/cancel"));
    let bodies = came.map(|came| serde_json::from_str(&came.body).expect("JSON")).collect();
    (bodies, stderr.text())
}

#[tokio::test]
async fn each_is_asked_for_where_a_person_wants_it_so() {
    let n = job("queued", "", &[], &[]).number;
    let element = |element| format!("{n}_{element}");
    let (two, four) = (element(3), element(5));
    let (bodies, said) = asking(&["-i", &two, &four], "n\nYes\n").await;
    assert_eq!(bodies, [json!({ "task": 4 })]);
    let question = |id: &str| format!("Cancel job_id={id} name=shot-120 partition=any [y/n]? ");
    assert_eq!(said, question(&two) + &question(&four));
    // Whoever says nothing any more says no.
    let (bodies, said) = asking(&["--interactive", &n.to_string()], "").await;
    assert_eq!((bodies, said), (Vec::new(), question(&n.to_string())));
}

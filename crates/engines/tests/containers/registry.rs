//! Images from a registry that asks who wants them.

use dayan_engines::{Login, Outcome, Pull, StartFailure};

use super::lab::Lab;
use super::trials::Trial;

/// What the registry says to those it does not know.
const UNKNOWN: &str = "unauthorized";

#[test]
fn a_registry_is_asked_by_the_launchs_own_login() {
    let Some((lab, name)) = Lab::start_with_registry() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let mut ends = |pull: Pull, password: Option<&str>| {
        let mut launch = trial.launch("exit 5");
        let image = launch.image.as_mut().expect("the bed names one");
        name.clone_into(&mut image.name);
        image.pull = pull;
        image.login = password
            .map(|password| Login { username: "film".to_owned(), password: password.to_owned() });
        let attempt = launch.attempt;
        trial.engine.start(vec![launch]).pop().expect("an answer").expect("started");
        trial.end(attempt)
    };
    let refused = |outcome: Outcome| match outcome {
        Outcome::StartFailed(StartFailure::Image(words)) => {
            assert!(words.contains(UNKNOWN) && words.contains("studio/test"), "{words}");
        }
        other => panic!("it ended with {other:?}"),
    };
    refused(ends(Pull::Missing, None));
    refused(ends(Pull::Missing, Some("guessed")));
    assert_eq!(ends(Pull::Missing, Some("U*U")), Outcome::Exited(5));
    // It is here now, and nobody asks; where the registry decides, it is asked each time.
    assert_eq!(ends(Pull::Missing, None), Outcome::Exited(5));
    assert_eq!(ends(Pull::Never, None), Outcome::Exited(5));
    refused(ends(Pull::Always, None));
    assert_eq!(ends(Pull::Always, Some("U*U")), Outcome::Exited(5));
}

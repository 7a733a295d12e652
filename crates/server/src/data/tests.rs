//! The data store: what is put is found, what is not whole or not allowed is not there.

use super::*;
use axum::body::Bytes as Piece;
use dayan_units::JobId;
use proptest::prelude::*;
use sha2::Digest as _;

pub(super) const PROJECT: ProjectId = ProjectId::from_bits(1);
const OTHER: ProjectId = ProjectId::from_bits(2);

pub(super) fn sha(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

pub(super) fn open(root: &Path) -> Depot {
    Depot::open(root, 1_000).expect("opened")
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Sends a part; `cut`: the client goes away behind it.
fn append(
    depot: &Depot,
    project: ProjectId,
    sha256: Sha256,
    offset: u64,
    bytes: &[u8],
    cut: bool,
) -> Result<Append, DataFault> {
    let mut pieces: Vec<Result<Piece, &str>> =
        bytes.chunks(3).map(|piece| Ok(Piece::copy_from_slice(piece))).collect();
    if cut {
        pieces.push(Err("gone"));
    }
    let body = futures_util::stream::iter(pieces);
    wait(depot.append(project, sha256, offset, body, Time::EPOCH))
}

pub(super) fn put(
    depot: &Depot,
    project: ProjectId,
    path: &str,
    bytes: &[u8],
) -> Result<Named, DataFault> {
    let sha256 = sha(bytes);
    let begun = depot.begin(project, sha256, bytes.len() as u64)?;
    if !begun.done {
        let rest = &bytes[usize::try_from(begun.offset).expect("small")..];
        append(depot, project, sha256, begun.offset, rest, false)?;
    }
    depot.name(project, path, sha256.into(), "lin", Time::EPOCH)
}

pub(super) fn attempt(number: u32) -> AttemptId {
    AttemptId { job: JobId::from_bits(9), task: 0, attempt: number }
}

fn paths(depot: &Depot, path: &str) -> Vec<String> {
    let found = depot.find(PROJECT, path).unwrap_or_default();
    found.into_iter().map(|found| found.path).collect()
}

#[test]
fn what_is_put_is_found_by_name_folder_and_pattern_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    for path in ["a/x.exr", "a/b/y.exr", "a/z.txt", "empty"] {
        put(&depot, PROJECT, path, if path == "empty" { b"" } else { path.as_bytes() })
            .expect("put");
    }
    let check = |depot: &Depot| {
        assert_eq!(paths(depot, "a/z.txt"), ["a/z.txt"]);
        assert_eq!(paths(depot, "a/*.exr"), ["a/x.exr"]);
        assert_eq!(paths(depot, "a"), ["a/b/y.exr", "a/x.exr", "a/z.txt"]);
        assert_eq!(paths(depot, "a/"), paths(depot, "a"));
        assert_eq!(paths(depot, "").len(), 4);
        assert!(paths(depot, "b").is_empty() && depot.find(OTHER, "a").is_err());
        assert_eq!(depot.kept(PROJECT).bytes, 7 + 9 + 7);
        let (rows, more) = depot.list(PROJECT, "a/", Some("a/b/y.exr"), 1);
        assert_eq!((rows[0].0.as_str(), more), ("a/x.exr", true));
    };
    check(&depot);
    assert!(Depot::open(dir.path(), 1).expect_err("locked").contains("another server"));
    drop(depot);
    let depot = open(dir.path());
    check(&depot);
    assert_eq!(depot.remove(PROJECT, "a/*.exr").expect("there"), 1);
    assert_eq!(depot.remove(PROJECT, "a/").expect("there"), 2);
    assert!(matches!(depot.remove(PROJECT, "a/"), Err(DataFault::Unknown(_))));
    assert_eq!(depot.sweep(Time::EPOCH).expect("swept"), 3, "bytes without a name go");
    assert_eq!(paths(&depot, ""), ["empty"]);
}

#[test]
fn bytes_are_what_was_announced_or_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    let right = sha(b"right");
    assert!(!depot.begin(PROJECT, right, 5).expect("begun").done);
    let wrong = append(&depot, PROJECT, right, 0, b"wrong", false);
    assert!(matches!(wrong, Err(DataFault::Checksum(found)) if found == sha(b"wrong")));
    assert!(matches!(append(&depot, PROJECT, right, 0, b"right", false), Err(DataFault::NoUpload)));
    depot.begin(PROJECT, right, 5).expect("begun");
    let more = append(&depot, PROJECT, right, 0, b"rightmost", false);
    assert!(matches!(more, Err(DataFault::TooLarge)), "{more:?}");
    let named = depot.name(PROJECT, "x", right.into(), "lin", Time::EPOCH);
    assert!(matches!(named, Err(DataFault::NotHeld(_))));
}

#[test]
fn a_project_names_only_what_it_has_sent_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    put(&depot, PROJECT, "x", b"secret").expect("put");
    let guessed = depot.name(OTHER, "x", sha(b"secret").into(), "eve", Time::EPOCH);
    assert!(matches!(guessed, Err(DataFault::NotHeld(_))));
    let begun = depot.begin(OTHER, sha(b"secret"), 6).expect("begun");
    assert_eq!(begun, Append { offset: 0, done: false }, "it is sent all the same");
    // Its own project does not send it twice.
    assert!(depot.begin(PROJECT, sha(b"secret"), 6).expect("begun").done);
}

#[test]
fn a_project_keeps_no_more_than_it_may() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    put(&depot, PROJECT, "x", &[1; 600]).expect("put");
    let refused = depot.begin(PROJECT, sha(&[2; 401]), 401);
    assert!(matches!(refused, Err(DataFault::Quota { needed: 401, kept: 600, max: 1_000 })));
    // What is on its way counts, and once.
    depot.begin(PROJECT, sha(&[2; 300]), 300).expect("fits");
    depot.begin(PROJECT, sha(&[2; 300]), 300).expect("the same");
    assert!(matches!(depot.begin(PROJECT, sha(&[3; 200]), 200), Err(DataFault::Quota { .. })));
    assert_eq!(depot.kept(PROJECT).bytes, 900);
    // In the place of another a file needs only the difference.
    put(&depot, OTHER, "y", &[4; 1_000]).expect("others have their own");
    assert!(matches!(
        depot.name(PROJECT, "x2", sha(&[1; 600]).into(), "lin", Time::EPOCH),
        Err(DataFault::Quota { .. })
    ));
    depot.remove(PROJECT, "x").expect("removed");
    assert_eq!(depot.kept(PROJECT).bytes, 300);
}

#[test]
fn a_file_is_no_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    put(&depot, PROJECT, "a/b", b"1").expect("put");
    for taken in ["a", "a/b/c"] {
        let refused = put(&depot, PROJECT, taken, b"2");
        assert!(matches!(refused, Err(DataFault::Taken(_))), "{taken}: {refused:?}");
    }
    put(&depot, PROJECT, "a/b", b"3").expect("overwritten");
    assert_eq!(depot.file(PROJECT, "a/b").expect("there").sha256, sha(b"3"));
}

#[test]
fn a_name_remembers_whether_it_is_a_program() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    assert!(!put(&depot, PROJECT, "run.sh", b"#!").expect("put").executable);
    let program = Content { sha256: sha(b"#!"), executable: true };
    let named = depot.name(PROJECT, "run.sh", program, "lin", Time::EPOCH).expect("named");
    assert_eq!(named.content(), program, "the same bytes, another name");
    drop(depot);
    assert!(open(dir.path()).file(PROJECT, "run.sh").expect("there").executable);
}

#[test]
fn an_attempt_publishes_everything_once_and_only_with_the_grant() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    let files: Vec<(String, Content)> =
        [b"one", b"two"].iter().map(|b| (format!("out/{}", b[0]), sha(*b).into())).collect();
    let publish = |depot: &Depot, number, granted| {
        depot.publish(PROJECT, attempt(number), &files, Time::EPOCH, || granted)
    };
    assert!(matches!(publish(&depot, 1, true), Err(DataFault::NotHeld(_))));
    assert!(paths(&depot, "out").is_empty(), "nothing of it is seen");
    for bytes in [b"one", b"two"] {
        depot.begin(PROJECT, sha(bytes), 3).expect("begun");
        append(&depot, PROJECT, sha(bytes), 0, bytes, false).expect("sent");
    }
    assert_eq!(publish(&depot, 1, false).expect("asked"), Published::NotGranted);
    assert!(paths(&depot, "out").is_empty());
    assert_eq!(publish(&depot, 1, true).expect("published"), Published::Now);
    assert_eq!(paths(&depot, "out").len(), 2);
    put(&depot, PROJECT, &files[0].0, b"newer").expect("put");
    drop(depot);
    // A repeat after a restart does not bring the old one back.
    let depot = open(dir.path());
    assert_eq!(publish(&depot, 1, false).expect("known"), Published::Before);
    assert_eq!(depot.file(PROJECT, &files[0].0).expect("there").sha256, sha(b"newer"));
}

#[test]
fn a_line_that_a_crash_cut_off_is_left_out_and_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let depot = open(dir.path());
    put(&depot, PROJECT, "x", b"1").expect("put");
    put(&depot, PROJECT, "y", b"2").expect("put");
    drop(depot);
    let path = dir.path().join(format!("names/{PROJECT}.jsonl"));
    let whole = fs::read(&path).expect("there");
    fs::write(&path, &whole[..whole.len() - 5]).expect("cut");
    let depot = open(dir.path());
    assert_eq!(paths(&depot, ""), ["x"]);
    put(&depot, PROJECT, "z", b"3").expect("put");
    drop(depot);
    assert_eq!(paths(&open(dir.path()), ""), ["x", "z"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// However often and wherever an upload is cut, and whether the server is restarted between, it
    /// goes on where it was and ends as the same bytes.
    #[test]
    fn an_upload_goes_on_wherever_it_was_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        steps in prop::collection::vec((0usize..80, any::<bool>(), any::<bool>()), 0..8),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut depot = open(dir.path());
        let (sha256, size) = (sha(&bytes), bytes.len() as u64);
        let begun = |depot: &Depot| depot.begin(PROJECT, sha256, size).expect("begun");
        for (length, cut, restart) in steps {
            let Append { offset, done } = begun(&depot);
            if done {
                break;
            }
            let from = usize::try_from(offset).expect("small");
            let until = (from + length).min(bytes.len());
            let got = append(&depot, PROJECT, sha256, offset, &bytes[from..until], cut);
            prop_assert_eq!(cut, matches!(got, Err(DataFault::Cut)));
            // Where it is not is refused, and changes nothing.
            if until + 1 < bytes.len() {
                let wrong = append(&depot, PROJECT, sha256, until as u64 + 1, b"?", false);
                prop_assert!(matches!(wrong, Err(DataFault::Offset(_))), "{:?}", wrong);
            }
            if restart {
                drop(depot);
                depot = open(dir.path());
            }
        }
        put(&depot, PROJECT, "x", &bytes).expect("put");
        let there = fs::read(depot.blob(sha256)).expect("there");
        prop_assert_eq!(there, bytes);
    }
}

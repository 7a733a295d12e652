//! What a data directory must stand: a second process, a full disk, a disk that cannot be
//! written, a torn file, a killed writer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dayan_store::{Damage, Fault, JobFilter, Location, OpenMode, Store};
use support::{batch, job, job_id, lead, open, told, transfer_id};

fn at(dir: &Path) -> Location {
    Location::Sqlite(dir.to_owned())
}

fn refused(location: &Location, mode: OpenMode) -> Fault {
    Store::open(location, mode).map(|_| ()).expect_err("must be refused")
}

#[test]
fn a_second_writer_is_kept_out_and_told_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(folder.path());
    let (mut store, term) = lead(&location);
    let fault = refused(&location, OpenMode::Write);
    let Fault::Locked { dir, holder } = &fault else { panic!("{fault:?}") };
    assert_eq!((dir.as_path(), holder), (folder.path(), &std::process::id().to_string()));
    store.commit(&batch(term, "[]", vec![])).unwrap();
    drop(store);
    assert_eq!(open(&location).head().seq, 1);
}

#[test]
fn a_file_that_is_no_database_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dayan.db");
    fs::write(&file, "somebody's notes\n".repeat(100)).unwrap();
    for mode in [OpenMode::Write, OpenMode::ReadOnly] {
        let fault = refused(&at(folder.path()), mode);
        assert!(told(&fault).contains("not a database"), "{}", told(&fault));
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "somebody's notes\n".repeat(100));
}

#[test]
fn a_folder_without_an_exchange_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [OpenMode::ReadOnly, OpenMode::Inspect] {
        let fault = refused(&at(folder.path()), mode);
        assert!(told(&fault).contains("there is no dayan.db in it"), "{}", told(&fault));
        assert!(!folder.path().join("dayan.db").exists(), "looking makes nothing");
    }
}

#[test]
fn a_payload_torn_in_the_file_is_found_at_opening() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(folder.path());
    let (mut store, term) = lead(&location);
    store.commit(&batch(term, "[1]", vec![])).unwrap();
    let payload = b"0123456789abcdef".repeat(2_000);
    store.commit(&batch(term, payload.clone(), vec![])).unwrap();
    drop(store);
    // The last pages of a large payload hold nothing but payload: zero 512 bytes, a disk sector.
    let file = folder.path().join("dayan.db");
    let mut bytes = fs::read(&file).unwrap();
    let sector = &payload[..512];
    let found = bytes.windows(512).rposition(|window| window == sector).unwrap();
    bytes[found..found + 512].fill(0);
    fs::write(&file, bytes).unwrap();
    let fault = refused(&location, OpenMode::Write);
    let Fault::Damaged { broken, .. } = &fault else { panic!("{fault:?}") };
    assert_eq!((broken.seq, &broken.why), (2, &Damage::Altered));
    assert!(told(&fault).contains("dayan audit verify"), "{}", told(&fault));
}

/// A small file system of its own, or none where this user may not mount one.
struct Mount(PathBuf);

impl Mount {
    fn new(dir: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let options = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir.to_owned()));
        }
        eprintln!("SKIPPED: a file system cannot be mounted here");
        None
    }
    fn read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_commits_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&folder.path().join("disk"), 6 << 20) else { return };
    let filler = mount.0.join("filler");
    fs::write(&filler, vec![1; 3 << 20]).unwrap();
    let location = at(&mount.0.join("data"));
    let (mut store, term) = lead(&location);
    let mut acknowledged = BTreeMap::new();
    let fault = loop {
        let n = u32::try_from(store.head().seq).unwrap() + 1;
        assert!(n < 1_000, "the disk never filled up");
        match store.commit(&batch(term, vec![b'x'; 30_000], vec![job(n).into()])) {
            Ok(done) => acknowledged.insert(done.seq, done.hash),
            Err(fault) => break fault,
        };
    };
    assert!(fault.is_transient(), "{}", told(&fault));
    assert!(told(&fault).contains("full"), "{}", told(&fault));
    let snapshot = store.snapshots().put(1, 1, &mut |sink| {
        // What does not compress: every block differs.
        (0..200_000u64).try_for_each(|n| sink.write_all(&n.wrapping_mul(n * n).to_le_bytes()))
    });
    let snapshot = snapshot.expect_err("the disk is full");
    assert!(snapshot.is_transient(), "{}", told(&snapshot));
    let left: Vec<_> = fs::read_dir(mount.0.join("data/snapshots")).unwrap().collect();
    assert!(left.is_empty(), "half a snapshot takes the room that is missing: {left:?}");
    assert!(matches!(store.commit(&batch(term, "[]", vec![])), Err(Fault::Unrecovered)));

    fs::remove_file(filler).unwrap();
    let last = *acknowledged.last_key_value().unwrap().0;
    let head = store.recover().unwrap().clone();
    assert!(head.seq >= last);
    store.commit(&batch(term, "[\"room\"]", vec![job(5_000).into()])).unwrap();
    drop(store);
    let store = open(&location);
    store.verify(1).unwrap();
    for (seq, hash) in acknowledged {
        assert_eq!(store.journal_from(seq, 1).unwrap()[0].hash, hash);
        let n = u32::try_from(seq).unwrap();
        assert_eq!(store.reader().job(job_id(n)).unwrap(), Some(job(n)));
    }
}

#[test]
fn a_disk_that_cannot_be_written_can_still_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&folder.path().join("disk"), 16 << 20) else { return };
    let (closed, crashed) = (mount.0.join("closed data"), mount.0.join("crashed"));
    let (mut store, term) = lead(&at(&closed));
    store.commit(&batch(term, "[1]", vec![job(1).into()])).unwrap();
    // What a killed process leaves: the log is not carried over yet.
    fs::create_dir(&crashed).unwrap();
    for name in ["dayan.db", "dayan.db-wal"] {
        fs::copy(closed.join(name), crashed.join(name)).unwrap();
    }
    drop(store);
    mount.read_only();

    let fault = refused(&at(&closed), OpenMode::Write);
    assert!(!fault.is_transient());
    assert!(told(&fault).to_lowercase().contains("read-only"), "{}", told(&fault));
    let store = Store::open(&at(&closed), OpenMode::ReadOnly).unwrap();
    assert_eq!(store.verify(1).unwrap().rows, 1);
    assert_eq!(store.reader().jobs(&JobFilter::default()).unwrap().rows, [job(1)]);

    let fault = refused(&at(&crashed), OpenMode::ReadOnly);
    assert!(told(&fault).contains("copy the folder"), "{}", told(&fault));
}

/// The example `commit_forever`, which `cargo test` builds beside the tests.
fn child() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let child = built.join("examples/commit_forever");
    assert!(child.exists(), "build it: cargo build -p dayan-store --example commit_forever");
    child
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(folder.path());
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    for round in 1..=10usize {
        let mut writer =
            Command::new(child()).arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // A different number each round, with large batches: it dies in the middle of the next.
        let before_kill = round * round % 23 + 1;
        let mut note = |line: String| {
            let (seq, hash) = line.split_once(' ').unwrap();
            acknowledged.insert(seq.parse().unwrap(), hash.to_owned());
        };
        lines.by_ref().take(before_kill).for_each(|line| note(line.unwrap()));
        writer.kill().unwrap();
        writer.wait().unwrap();
        // What it had said before it died counts too; the last line may be cut.
        lines.map_while(Result::ok).filter(|line| line.len() > 64).for_each(note);

        let store = open(&location);
        let report = store.verify(1).unwrap();
        let last = *acknowledged.last_key_value().unwrap().0;
        // At most the one batch it was about to acknowledge is there beyond what it said.
        assert!((last..=last + 1).contains(&report.head.seq), "{last} {report:?}");
        let reader = store.reader();
        for row in store.journal_from(1, 10_000).unwrap() {
            if let Some(hash) = acknowledged.get(&row.seq) {
                assert_eq!(&row.hash.to_string(), hash);
            }
        }
        let mut transfers = 0;
        reader
            .each_transfer(|_| {
                transfers += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(transfers, report.head.seq * 200, "whole batches only");
        assert_eq!(reader.transfer(transfer_id(0)).unwrap(), None);
    }
    assert!(acknowledged.len() >= 10);
}

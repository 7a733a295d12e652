//! The conformance suite on PostgreSQL, and what only a shared server can do to us.
#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[macro_use]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use dayan_store::{Batch, ChainHash, Fault, Location, OpenMode, Store};
use support::server::Server;
use support::{Place as _, batch, job, job_id, lead, open, time, told};

/// One server for all cases: starting it costs more than most of them.
#[test]
fn the_suite_holds() {
    let Some(server) = Server::start() else { return };
    macro_rules! on_postgres {
        ($case:ident) => {
            eprintln!("postgres: {}", stringify!($case));
            support::suite::$case(&server);
        };
    }
    for_each_case!(on_postgres);
    one_leads_and_the_other_is_fenced(&server);
    servers_that_start_together_agree_on_the_schema(&server);
    readers_work_inside_a_server_of_tasks(&server);
    a_backup_goes_back_to_its_own_engine(&server);
}

fn a_backup_goes_back_to_its_own_engine(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let (dump, copy) = (folder.path().join("dump"), folder.path().join("copy"));
    open(&server.fresh()).backup_to(&dump).unwrap();
    open(&Location::Sqlite(folder.path().join("data"))).backup_to(&copy).unwrap();
    let fresh = Location::Sqlite(folder.path().join("fresh"));
    for (from, to) in [(&dump, &fresh), (&copy, &server.fresh())] {
        let fault = Store::restore_from(from, to).expect_err("of the other engine");
        assert!(told(&fault).contains("restore it to"), "{}", told(&fault));
    }
}

/// As the HTTP server uses it: reads on threads that may block, everything dropped by a task.
fn readers_work_inside_a_server_of_tasks(server: &Server) {
    let (mut store, term) = lead(&server.fresh());
    store.commit(&batch(term, "[]", vec![job(1).into()])).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async move {
        let reader = store.reader();
        let read = tokio::task::spawn_blocking(move || reader.job(job_id(1)).unwrap());
        assert_eq!(read.await.unwrap(), Some(job(1)));
        drop(store);
    });
}

fn one_leads_and_the_other_is_fenced(server: &Server) {
    let location = server.fresh();
    let (mut first, old) = lead(&location);
    first.commit(&batch(old, "[1]", vec![])).unwrap();
    let mut second = open(&location);
    let new = second.take_term("server-2", time(1)).unwrap();
    assert_eq!(new, old + 1);
    // What the first committed is seen by the second, and the first is out.
    assert_eq!(second.head().seq, 1);
    let fault = first.commit(&batch(old, "[2]", vec![job(1).into()])).expect_err("fenced");
    assert!(matches!(fault, Fault::TermLost { mine: 1, current: 2, .. }), "{fault:?}");
    second.commit(&batch(new, "[2]", vec![])).unwrap();
    // A follower reads what the leader writes, through the journal.
    assert_eq!(first.recover().unwrap().seq, 2);
    assert_eq!(first.reader().job(job_id(1)).unwrap(), None);
    let fault = first.commit(&batch(old, "[3]", vec![])).expect_err("still fenced");
    assert!(matches!(fault, Fault::TermLost { .. }), "{fault:?}");
}

fn servers_that_start_together_agree_on_the_schema(server: &Server) {
    let location = server.fresh();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(open(&location).head().seq, 0));
        }
    });
}

#[test]
fn an_unreachable_server_is_named_without_its_password() {
    let url = "postgres://dayan:top-secret@127.0.0.1:1/books";
    let fault = Store::open(&Location::Postgres(url.into()), OpenMode::Write).map(|_| ());
    let fault = fault.expect_err("nobody listens on port 1");
    assert!(fault.is_transient(), "{fault:?}");
    let text = told(&fault);
    assert!(text.contains("127.0.0.1:1/books") && !text.contains("top-secret"), "{text}");
    assert!(text.to_lowercase().contains("refused"), "the cause is said too: {text}");
    let fault =
        Store::open(&Location::Postgres("postgres://x:y@/a?port=z".into()), OpenMode::Write);
    let text = told(&fault.map(|_| ()).expect_err("no port"));
    assert!(text.contains("the address"), "{text}");
}

/// The server is stopped as by a power cut and started again while a writer goes on: every
/// acknowledged batch is there, once, with the hash that was acknowledged.
#[test]
fn nothing_acknowledged_is_lost_when_the_server_goes_away() {
    const ROUNDS: usize = 3;
    const COMMITS_BEFORE_STOP: usize = 30;
    let Some(server) = Server::start_own() else {
        eprintln!("SKIPPED: no PostgreSQL that can be started here");
        return;
    };
    let location = server.fresh();
    let stop = AtomicBool::new(false);
    let (acknowledge, acknowledged) = mpsc::channel::<(u64, ChainHash)>();
    let mut seen: Vec<(u64, ChainHash)> = Vec::new();
    std::thread::scope(|scope| {
        let (stop, location) = (&stop, &location);
        let writer = scope.spawn(move || {
            let (mut store, term) = lead(location);
            let mut faults = 0u32;
            let mut n = 0u32;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let batch =
                    Batch { at: time(2), ..batch(term, format!("[{n}]"), vec![job(n).into()]) };
                match store.commit(&batch) {
                    Ok(done) => acknowledge.send((done.seq, done.hash)).unwrap(),
                    Err(fault) => {
                        assert!(fault.is_transient(), "{}", told(&fault));
                        faults += 1;
                        // The connection attempt itself is the wait: it fails while the server
                        // is away.
                        while let Err(fault) = store.recover() {
                            assert!(fault.is_transient(), "{}", told(&fault));
                        }
                    }
                }
            }
            (faults, store.reader())
        });
        for _ in 0..ROUNDS {
            seen.extend(acknowledged.iter().take(COMMITS_BEFORE_STOP));
            server.stop();
            server.start_again();
        }
        seen.extend(acknowledged.iter().take(COMMITS_BEFORE_STOP));
        stop.store(true, Ordering::Relaxed);
        let (faults, reader) = writer.join().unwrap();
        assert!(faults >= 1, "the writer noticed");
        // Its idle connections are from before the stops.
        assert!(reader.head().unwrap().seq >= seen.len() as u64);
        seen.extend(acknowledged.try_iter());
    });
    let store = open(&location);
    store.verify(1).unwrap();
    for (seq, hash) in seen {
        let row = store.journal_from(seq, 1).unwrap().remove(0);
        assert_eq!((row.seq, row.hash), (seq, hash));
    }
}

//! What every engine must do with the logs of tasks.

use dayan_store::{LogPart, Logs, LogsKept};

use super::*;

fn log_part(task: u32, stream: u8, start: u64, text: &str) -> LogPart {
    let bytes = text.as_bytes().to_vec();
    LogPart { attempt: attempt_id(1, task, 1), stream, start, length: bytes.len() as u64, bytes }
}

pub fn logs_are_found_by_offset_and_whole_or_not_at_all(place: &dyn Place) {
    let location = place.fresh();
    // On SQLite the folder is made by the store.
    drop(open(&location));
    let logs = Logs::open(&location).unwrap();
    let parts =
        [log_part(1, 0, 0, "head"), log_part(1, 0, 100, "tail"), log_part(1, 1, 0, "error")];
    logs.put(time(1), &parts[..2], &[]).unwrap();
    assert!(!logs.is_whole(parts[0].attempt).unwrap(), "more of it is on its way");
    // What was not acknowledged is put again.
    logs.put(time(2), &parts, &[parts[0].attempt]).unwrap();
    drop(logs);
    let logs = Logs::open(&location).unwrap();
    assert!(logs.is_whole(parts[0].attempt).unwrap());
    let find = |stream, offset| logs.find(parts[0].attempt, stream, offset).unwrap();
    assert_eq!(find(0, 0), Some(parts[0].clone()));
    assert_eq!(find(0, 3), Some(parts[0].clone()));
    assert_eq!(find(0, 4), Some(parts[1].clone()));
    assert_eq!(find(0, 104), None);
    assert_eq!(find(1, 0), Some(parts[2].clone()));
    assert_eq!(logs.find(attempt_id(1, 11, 1), 0, 0).unwrap(), None);
    assert_eq!(logs.kept().unwrap(), LogsKept { parts: 3, bytes: 13 });
    let one = [LogPart { start: u64::MAX, ..log_part(2, 0, 0, "x") }];
    let fault = logs.put(time(3), &one, &[]).expect_err("no such place in any log");
    assert!(told(&fault).contains("over 63 bits"), "{}", told(&fault));
    assert_eq!(logs.kept().unwrap().parts, 3, "and it works on");
}

pub fn old_logs_make_room_attempt_by_attempt(place: &dyn Place) {
    let location = place.fresh();
    drop(open(&location));
    let logs = Logs::open(&location).unwrap();
    let text = "x".repeat(1_000);
    for task in 0..1_500 {
        let part = log_part(task, 0, 0, &text);
        logs.put(time(i64::from(task)), std::slice::from_ref(&part), &[part.attempt]).unwrap();
    }
    let kept = logs.trim(time(100), 1 << 30).unwrap();
    assert_eq!(kept, LogsKept { parts: 1_400, bytes: 1_400_000 });
    assert!(!logs.is_whole(attempt_id(1, 99, 1)).unwrap());
    assert!(logs.is_whole(attempt_id(1, 100, 1)).unwrap());
    let kept = logs.trim(time(0), 1_000_000).unwrap();
    assert!(kept.bytes <= 1_000_000 && kept.bytes >= 700_000, "{kept:?}");
    assert!(logs.is_whole(attempt_id(1, 1_499, 1)).unwrap(), "the newest stay");
    assert_eq!(logs.find(attempt_id(1, 100, 1), 0, 0).unwrap(), None);
}

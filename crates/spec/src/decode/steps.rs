//! Steps, mounts, and the files that a job file holds.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::item::Item;
use super::job::{environment, image};
use crate::code::Code;
use crate::limits::{PATH_CHARS_MAX, RUN_CHARS_MAX};
use crate::model::{Mount, Step, is_inside_path, is_mountable, quote, stays_inside};

pub(super) fn mount(f: &Fields<'_>) -> Option<Mount> {
    let from = f.get("from").and_then(|item| item.inner_path());
    let at = f.get("at").and_then(|item| {
        let text = item.text()?;
        if is_mountable(text) {
            return Some(text.to_owned());
        }
        item.fail(Code::BadMountPoint, &[("value", quote(text))]);
        None
    });
    Some(Mount { from: from?, at: at? })
}

pub(super) fn step(f: &Fields<'_>) -> Option<Step> {
    let path = |key| f.get(key).and_then(|item| absolute(&item));
    let image = f.get("image").and_then(|item| image(&item));
    let command = f.get("command").and_then(|item| {
        let items = item.items()?;
        // A word may be empty, and may come again.
        let words: Vec<String> = items.iter().filter_map(word).collect();
        let whole = words.len() == items.len();
        if words.is_empty() && whole {
            item.fail(Code::EmptyValue, &[("key", "command".to_owned())]);
        }
        (whole && !words.is_empty()).then_some(words)
    });
    let (workdir, stdin, stdout, stderr) =
        (path("workdir"), path("stdin"), path("stdout"), path("stderr"));
    let env = f.get("env").and_then(|item| environment(&item)).unwrap_or_default();
    let ignore_error = f.get("ignore_error").and_then(|item| item.true_false()).unwrap_or(false);
    Some(Step {
        image: image?,
        command: command?,
        workdir,
        env,
        stdin,
        stdout,
        stderr,
        ignore_error,
    })
}

fn word(item: &Item<'_>) -> Option<String> {
    let text = item.raw()?;
    let key = ("key", "command".to_owned());
    // No program can be handed a NUL.
    if text.contains('\0') {
        item.fail(Code::ControlCharacter, &[key, ("character", "U+0000".to_owned())]);
        return None;
    }
    let length = text.chars().count();
    if length > RUN_CHARS_MAX {
        let args = [key, ("length", length.to_string()), ("max", RUN_CHARS_MAX.to_string())];
        item.fail(Code::TooLong, &args);
        return None;
    }
    Some(text.to_owned())
}

fn absolute(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if is_inside_path(text) {
        return Some(text.to_owned());
    }
    item.fail(Code::BadAbsolutePath, &[("value", quote(text))]);
    None
}

pub(super) fn files(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    item.text_map(|entry, _| {
        let path = &entry.key.text;
        if !stays_inside(path) || path.ends_with('/') {
            return Err((Code::PathEscapes, vec![("value", quote(path))]));
        }
        let length = path.chars().count();
        if length > PATH_CHARS_MAX {
            let args = vec![
                ("key", quote(path)),
                ("length", length.to_string()),
                ("max", PATH_CHARS_MAX.to_string()),
            ];
            return Err((Code::TooLong, args));
        }
        Ok(())
    })
}

//! What an attempt has published, file by file: for whoever asks afterwards, when other attempts may have
//! written over it.
//!
//! It reads the task's folder again, after everything has gone to its names: it decides nothing.

use std::path::Path;

use dayan_spec::Pattern;
use dayan_wire::logs::{OUTPUTS_BYTES_MAX, OutputRecord};
use dayan_wire::{LeaseOrder, OutputOrder};

use super::ship::{Outgoing, outgoing};

/// Lines of JSON, as they are kept with the attempt's logs.
pub(crate) fn listed(order: &LeaseOrder, folder: &Path) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut left_out = 0;
    for output in &order.outputs {
        // What it left was found before, and sent.
        for file in outgoing(folder, output).unwrap_or_default() {
            let record = record(output, &file);
            let line = serde_json::to_vec(&record).expect("text and numbers become JSON");
            if lines.len() + line.len() < OUTPUTS_BYTES_MAX {
                lines.extend(line);
                lines.push(b'\n');
            } else {
                left_out += 1;
            }
        }
    }
    if left_out > 0 {
        let record = OutputRecord { left_out, ..OutputRecord::default() };
        lines.extend(serde_json::to_vec(&record).expect("numbers become JSON"));
        lines.push(b'\n');
    }
    lines
}

fn record(output: &OutputOrder, file: &Outgoing) -> OutputRecord {
    let pattern = Pattern::of(&output.from).ok().flatten();
    let base = pattern.as_ref().map_or(output.from.as_str(), Pattern::base);
    let path = match (file.below.as_str(), pattern.is_some()) {
        ("", _) => output.from.clone(),
        (below, true) => format!("{base}{below}"),
        (below, false) => format!("{}/{below}", base.trim_end_matches('/')),
    };
    let local = output.to.strip_prefix("file://").map(Path::new);
    let into_folder = output.to.ends_with('/') || local.is_some_and(Path::is_dir);
    let name = if file.below.is_empty() && into_folder { &file.name } else { &file.below };
    let between = if name.is_empty() || output.to.ends_with('/') { "" } else { "/" };
    let size = file.path.metadata().map_or(0, |about| about.len());
    OutputRecord { path, to: format!("{}{between}{name}", output.to), size, left_out: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_its_path_its_address_and_its_size() {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in [("out/a.exr", "aa"), ("out/deep/b.exr", "b"), ("report", "r")] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let there = format!("file://{}", dir.path().display());
        let check = |from: &str, to: &str, expect: &[(&str, &str, u64)]| {
            let output =
                OutputOrder { from: from.to_owned(), to: to.to_owned(), ..OutputOrder::default() };
            let found = outgoing(dir.path(), &output).expect("there");
            let found: Vec<_> = found.iter().map(|file| record(&output, file)).collect();
            let found: Vec<_> =
                found.iter().map(|one| (one.path.as_str(), one.to.as_str(), one.size)).collect();
            assert_eq!(found, expect, "{from} {to}");
        };
        let (a, b) = ("out/a.exr", "out/deep/b.exr");
        check("report", "s3://b/x", &[("report", "s3://b/x", 1)]);
        check("report", "s3://b/x/", &[("report", "s3://b/x/report", 1)]);
        check("report", &there, &[("report", &format!("{there}/report"), 1)]);
        let both = [(a, "dayan://p/x/a.exr", 2), (b, "dayan://p/x/deep/b.exr", 1)];
        check("out", "dayan://p/x", &both);
        check("out/", "dayan://p/x/", &both);
        check("out/**/*.exr", "dayan://p/x", &both);
        check("out/*.exr", "dayan://p/x/", &both[..1]);
    }
}

//! Whether a file may be run as a program: read where it is sent, given back where it is placed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// May its owner run it? What is not there is no program.
pub(super) fn is(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.permissions().mode() & 0o100 != 0)
}

/// Whoever may read it may run it.
pub(super) fn make(path: &Path) -> io::Result<()> {
    let mut about = path.metadata()?.permissions();
    about.set_mode(about.mode() | (about.mode() & 0o444) >> 2);
    fs::set_permissions(path, about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_may_run() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("run.sh");
        assert!(!is(&file));
        fs::write(&file, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(!is(&file));
        make(&file).expect("made");
        assert!(is(&file));
        let mode = file.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o750);
    }
}

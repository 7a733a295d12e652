//! Whether a file may be run as a program: read where it is sent, given back where it is placed, by agents
//! and by the command line alike. Must not know where files go.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// May its owner run it?
pub fn is(about: &Metadata) -> bool {
    about.permissions().mode() & 0o100 != 0
}

/// From now on whoever may read it may run it.
pub fn make(path: &Path) -> io::Result<()> {
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
        fs::write(&file, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        let about = || file.metadata().expect("there");
        assert!(!is(&about()));
        make(&file).expect("made");
        assert!(is(&about()));
        assert_eq!(about().permissions().mode() & 0o777, 0o750);
    }
}

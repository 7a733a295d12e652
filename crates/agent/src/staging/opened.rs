//! Opening what a task left, or is still writing.
//!
//! A task may put a link, a pipe or a device where a file was when it was looked for, and the agent may
//! read what the task may not. Invariant: what is read is a regular file, reached by no link. It is looked
//! at by its descriptor, which on a network file system asks the server anew.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// Opens a file whose path was made real before.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // A kernel, or a filter around us, that does not know it: the last step at least is no link.
        Err(Errno::NOSYS | Errno::PERM) => {
            rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty())
        }
        opened => opened,
    };
    let file = File::from(opened?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file any more"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_file_that_no_link_leads_to_is_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("it is there");
        std::fs::create_dir(root.join("real")).expect("made");
        std::fs::write(root.join("real/file"), "bytes").expect("written");
        symlink(root.join("real"), root.join("to-folder")).expect("linked");
        symlink(root.join("real/file"), root.join("to-file")).expect("linked");
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::RUSR | Mode::WUSR).expect("made");
        let mut text = String::new();
        let mut file = open(&root.join("real/file")).expect("opens");
        file.read_to_string(&mut text).expect("reads");
        assert_eq!(text, "bytes");
        for bad in ["to-folder/file", "to-file", "pipe", "real", "nothing"] {
            assert!(open(&root.join(bad)).is_err(), "{bad}");
        }
    }
}

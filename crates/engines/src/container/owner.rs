//! Whose the processes of a container are.
//!
//! Invariant: a task is nobody's root on this machine. An agent of an ordinary user runs its tasks as
//! that user. An agent of root runs them as a user of its own that is nobody else's: without a name,
//! without rights, the owner of the tasks' folders and of nothing besides. A user namespace for each
//! container would do the same, but docker has one for all containers of a daemon or none.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, chownat};
use rustix::process::{Gid, Uid};

/// The first of the users that agents of root take. Nobody else hands them out: systemd's list of who
/// takes which (UIDS-GIDS) has 1,879,048,192 to 2,147,352,575 as unused.
const FIRST: u32 = 1_879_048_192;
/// So many of them: two agents of one machine hardly ever take the same, and would lose nothing
/// but the difference if they did.
const COUNT: u32 = 1 << 24;
/// Who is nobody on every Linux, for machines that have no users so far up.
const NOBODY: u32 = 65_534;

/// The user and group that containers run as, where the files' are `user` and this process is root:
/// the agent's own, by its name. `maps` is `/proc/self/uid_map`: which users there are.
pub(super) fn of(user: (u32, u32), agent: &str, maps: &str) -> (u32, u32) {
    if user.0 != 0 {
        return user;
    }
    // FNV-1a, 32 bits: any spread of names does.
    let hash = agent
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let own = FIRST + hash % COUNT;
    let known = [own, NOBODY].into_iter().find(|id| is_mapped(maps, *id));
    known.map_or(user, |id| (id, id))
}

/// Is there a user of that number here?
fn is_mapped(maps: &str, id: u32) -> bool {
    maps.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => {
                (first..first.saturating_add(count)).contains(&u64::from(id))
            }
            _ => false,
        }
    })
}

/// Gives a folder and all that was put into it to a user. Links are given, and not followed; a file
/// that is known elsewhere by another name is not given: it is not the task's alone.
pub(super) fn give(path: &Path, user: (u32, u32)) -> io::Result<()> {
    let about = fs::symlink_metadata(path)?;
    let is_shared = about.is_file() && about.nlink() > 1;
    if !is_shared && (about.uid(), about.gid()) != user {
        let (uid, gid) = (Uid::from_raw(user.0), Gid::from_raw(user.1));
        chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "         0          0 4294967295\n";

    #[test]
    fn an_agent_of_root_has_a_user_of_its_own_and_others_are_their_own() {
        assert_eq!(of((1_000, 100), "dayan-a", ALL), (1_000, 100));
        let (uid, gid) = of((0, 0), "dayan-a", ALL);
        assert!(uid == gid && (FIRST..FIRST + COUNT).contains(&uid), "{uid}:{gid}");
        assert_eq!(of((0, 0), "dayan-a", ALL), (uid, gid), "the same each time");
        assert_ne!(of((0, 0), "dayan-b", ALL), (uid, gid));
        // In a container that has users up to 65,535, and in one that has root alone.
        assert_eq!(of((0, 0), "dayan-a", "0 100000 65536\n"), (NOBODY, NOBODY));
        assert_eq!(of((0, 0), "dayan-a", "0 1000 1\n"), (0, 0));
        assert_eq!(of((0, 0), "dayan-a", "0 1000 1\n1 100000 65536"), (NOBODY, NOBODY));
    }

    #[test]
    fn what_is_given_is_the_folders_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let (work, other) = (dir.path().join("work"), dir.path().join("other"));
        fs::create_dir_all(work.join("a/b")).expect("made");
        fs::write(work.join("a/b/own"), "x").expect("written");
        fs::write(&other, "x").expect("written");
        fs::hard_link(&other, work.join("known-elsewhere")).expect("linked");
        std::os::unix::fs::symlink(&other, work.join("link")).expect("linked");
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let before = fs::metadata(&other).expect("there").uid();
        if !uid.is_root() {
            // To oneself is all that an ordinary user can.
            give(&work, (uid.as_raw(), gid.as_raw())).expect("it is ours already");
            return;
        }
        give(&work, (FIRST, FIRST)).expect("given");
        let owner = |path: &Path| fs::symlink_metadata(path).expect("there").uid();
        for name in ["", "a", "a/b", "a/b/own", "link"] {
            assert_eq!(owner(&work.join(name)), FIRST, "{name}");
        }
        assert_eq!(owner(&other), before);
        give(&work, (FIRST, FIRST)).expect("again");
    }
}

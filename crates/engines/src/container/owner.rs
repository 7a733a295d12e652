//! Whose the processes of a container are, and whose the files that they find.
//!
//! Invariant: a task is nobody's root on this machine. An agent of an ordinary user runs its tasks as
//! that user. An agent of root runs them as a user of its own that is nobody else's: without a name,
//! without rights, the owner of the tasks' folders and of nothing besides. A user namespace for each
//! container would do the same, but docker has one for all containers of a daemon or none. Which users there
//! are is the service's to say, not this process's alone.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, chownat};
use rustix::process::{Gid, Uid};

use super::api::About;

/// The first of the users that agents of root take. Nobody else hands them out: systemd's list of who
/// takes which (UIDS-GIDS) has 1,879,048,192 to 2,147,352,575 as unused.
const FIRST: u32 = 1_879_048_192;
/// So many of them: two agents of one machine hardly ever take the same, and would lose nothing
/// but the difference if they did.
const COUNT: u32 = 1 << 24;
/// Who is nobody on every Linux, for machines that have no users so far up.
const NOBODY: u32 = 65_534;
/// Where docker maps users, they are those of a range of its own, 65,536 as a rule: the first of it that an agent
/// takes, behind those that images have names for, and so many.
const FIRST_MAPPED: u32 = 1_000;
const COUNT_MAPPED: u32 = 60_000;

/// A user and its group.
pub(super) type User = (u32, u32);

/// Who a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Owner {
    /// In its container, as the service is told.
    pub inside: User,
    /// On this machine, as its files are given.
    pub outside: User,
}

impl Owner {
    const fn same(user: User) -> Self {
        Self { inside: user, outside: user }
    }
}

/// Who tasks are, of an agent with this name whose process is `us`. `maps` are `/proc/…/uid_map` of this process
/// and of the service: which users there are. Refused where no container could have the agent's files.
pub(super) fn of(us: User, about: &About, agent: &str, maps: &[String]) -> Result<Owner, String> {
    // FNV-1a, 32 bits: any spread of names does.
    let hash = agent
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let is_root = us.0 == 0;
    if about.rootless {
        // An agent's folder is closed to others, and so to containers of another user's service.
        if let Some((service, _)) = about.runs_as.filter(|(service, _)| *service != us.0) {
            return Err(format!(
                "its service runs without rights as user {service}, and this agent as user {}, whose folder \
                 no container of that service can have: run the agent as that user, or name a socket of \
                 this one with --container-socket",
                us.0
            ));
        }
        // Docker without rights maps root to its user, and knows no other way; podman is told to keep
        // the number.
        let inside = if about.docker { (0, 0) } else { us };
        return Ok(Owner { inside, outside: us });
    }
    if let Some((uid, gid)) = about.remapped {
        if !is_root {
            return Err(format!(
                "docker maps users (userns-remap: root is {uid} here), so that no container can have the \
                 files of user {}: run the agent as root, or a docker of that user's own (rootless)",
                us.0
            ));
        }
        let own = FIRST_MAPPED + hash % COUNT_MAPPED;
        let outside = (uid.saturating_add(own), gid.saturating_add(own));
        return Ok(Owner { inside: (own, own), outside });
    }
    if !is_root {
        return Ok(Owner::same(us));
    }
    let own = FIRST + hash % COUNT;
    let is_known = |id: &u32| maps.iter().all(|map| is_mapped(map, *id));
    let known = [own, NOBODY].into_iter().find(is_known);
    Ok(Owner::same(known.map_or(us, |id| (id, id))))
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
/// that is known elsewhere by another name is not given: it is not the task's alone. Takes as long as there are
/// files.
pub(super) fn give(path: &Path, user: User) -> io::Result<()> {
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

/// The groups that may use device files that others may not: a task is put into them. Never root's: what is
/// root's group's is more than a card.
pub(super) fn groups(devices: &[String]) -> Vec<u32> {
    let mut groups: Vec<u32> = devices
        .iter()
        .filter(|device| device.starts_with('/'))
        .filter_map(|device| fs::metadata(device).ok())
        .filter(|about| about.mode() & 0o006 != 0o006 && about.mode() & 0o060 == 0o060)
        .map(|about| about.gid())
        .filter(|gid| *gid != 0)
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "         0          0 4294967295\n";

    fn rootful(us: User, agent: &str, maps: &[&str]) -> Owner {
        let maps: Vec<String> = maps.iter().map(|map| (*map).to_owned()).collect();
        of(us, &About::default(), agent, &maps).expect("it can be")
    }

    #[test]
    fn an_agent_of_root_has_a_user_of_its_own_and_others_are_their_own() {
        assert_eq!(rootful((1_000, 100), "dayan-a", &[ALL]), Owner::same((1_000, 100)));
        let owner = rootful((0, 0), "dayan-a", &[ALL]);
        let (uid, gid) = owner.inside;
        assert!(uid == gid && (FIRST..FIRST + COUNT).contains(&uid), "{uid}:{gid}");
        assert_eq!(owner.outside, owner.inside);
        assert_eq!(rootful((0, 0), "dayan-a", &[ALL]), owner, "the same each time");
        assert_ne!(rootful((0, 0), "dayan-b", &[ALL]), owner);
        // In a container that has users up to 65,535, and in one that has root alone.
        let nobody = Owner::same((NOBODY, NOBODY));
        assert_eq!(rootful((0, 0), "dayan-a", &["0 100000 65536\n"]), nobody);
        assert_eq!(rootful((0, 0), "dayan-a", &["0 1000 1\n"]), Owner::same((0, 0)));
        assert_eq!(rootful((0, 0), "dayan-a", &["0 1000 1\n1 100000 65536"]), nobody);
        // What the service does not have is of no use, whatever this process has.
        assert_eq!(rootful((0, 0), "dayan-a", &[ALL, "0 100000 65536\n"]), nobody);
    }

    #[test]
    fn where_a_service_maps_users_it_is_asked_which_there_are() {
        let check = |us: User, about: &About, expect: Option<Owner>| {
            let got = of(us, about, "dayan-a", &[ALL.to_owned()]);
            assert_eq!(got.as_ref().ok(), expect.as_ref(), "{us:?} {about:?} {got:?}");
        };
        let owner = |inside, outside| Some(Owner { inside, outside });
        let (root, user, other) = ((0, 0), (1_000, 100), (1_001, 101));
        let podman = About { rootless: true, runs_as: Some(user), ..About::default() };
        let docker = About { docker: true, ..podman.clone() };
        check(user, &podman, owner(user, user));
        check(user, &docker, owner(root, user));
        check(user, &About { runs_as: None, ..podman.clone() }, owner(user, user));
        // By the socket of another: root's folder, too, is closed to it.
        check(root, &podman, None);
        check(root, &docker, None);
        check(other, &podman, None);
        // Docker with a range of users for all its containers.
        let mapped = About { docker: true, remapped: Some((300_000, 400_000)), ..About::default() };
        check(user, &mapped, None);
        let got = of(root, &mapped, "dayan-a", &[ALL.to_owned()]).expect("it can be");
        let (uid, gid) = got.inside;
        assert!(uid == gid && (FIRST_MAPPED..65_536).contains(&uid), "{got:?}");
        assert_eq!(got.outside, (300_000 + uid, 400_000 + gid));
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

    #[test]
    fn a_devices_group_is_wanted_where_others_may_not_use_it() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: only root gives files to a group");
            return;
        }
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let device = |name: &str, mode: u32, gid: u32| {
            let path = dir.path().join(name);
            fs::write(&path, "").expect("written");
            chownat(CWD, &path, None, Some(Gid::from_raw(gid)), AtFlags::empty()).expect("given");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            path.to_string_lossy().into_owned()
        };
        let all = [
            device("card", 0o660, 4_444),
            device("again", 0o660, 4_444),
            device("open", 0o666, 4_445),
            device("owner", 0o600, 4_446),
            device("root", 0o660, 0),
            "vendor.com/gpu=0".to_owned(),
            "/no/such".to_owned(),
        ];
        assert_eq!(groups(&all), [4_444]);
    }
}

//! Disks, the data directory's file system, network cards.

use std::path::Path;

use dayan_units::Bytes;
use serde::{Deserialize, Serialize};

use super::source::{Found, Sources, hashed, mount_of, mounts};

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Disk {
    /// The kernel's name of it, which may change with a boot.
    pub name: String,
    /// Maker's name, where the bus tells.
    pub model: Option<String>,
    /// Hash of its serial number.
    pub serial_hash: Option<String>,
    /// How much it holds.
    pub size: Bytes,
    /// Does it turn?
    pub spin: Spin,
}

/// What the kernel takes a disk to be; virtual disks often claim to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spin {
    /// Turning platters.
    Rotational,
    /// Solid state.
    Solid,
    /// The kernel does not say.
    Unknown,
}

/// The file system that holds a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it is mounted.
    pub mount: String,
    /// Its type, e.g. `ext4`.
    pub kind: String,
    /// What is mounted.
    pub device: String,
    /// Its size.
    pub size: Bytes,
    /// What we may still write.
    pub free: Bytes,
}

/// A network card with hardware behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkCard {
    /// The kernel's name of it.
    pub name: String,
    /// The driver.
    pub driver: Option<String>,
    /// Negotiated speed, while there is a link and the driver knows.
    pub megabits_per_second: Option<u64>,
    /// Hash of its MAC address.
    pub mac_hash: Option<String>,
    /// RDMA devices on it.
    pub rdma: Vec<String>,
}

pub(super) fn disks(sources: &Sources) -> Found<Vec<Disk>> {
    const DIR: &str = "/sys/block";
    let disks = sources.names(DIR).map(|names| {
        // Loop, RAM and mapped devices have no hardware of their own.
        let real = |name: &String| sources.exists(&format!("{DIR}/{name}/device"));
        names.into_iter().filter(real).filter_map(|name| disk(sources, DIR, name)).collect()
    });
    Found::new(DIR, disks)
}

fn disk(sources: &Sources, dir: &str, name: String) -> Option<Disk> {
    let file = |path: &str| {
        let text = sources.text(&format!("{dir}/{name}/{path}")).ok();
        text.filter(|text| !text.is_empty())
    };
    // The kernel counts sectors of 512 bytes whatever the disk's own are (sysfs-block).
    let size = file("size")?.parse::<u64>().ok()?.checked_mul(512)?;
    if size == 0 || file("removable").as_deref() == Some("1") {
        return None;
    }
    let serial = file("device/serial").or_else(|| file("serial")).or_else(|| file("device/wwid"));
    Some(Disk {
        model: file("device/model")
            .map(|model| model.split_whitespace().collect::<Vec<_>>().join(" ")),
        serial_hash: serial.map(|serial| hashed("disk", &serial)),
        size: Bytes(size),
        spin: match file("queue/rotational").as_deref() {
            Some("1") => Spin::Rotational,
            Some("0") => Spin::Solid,
            Some(_) | None => Spin::Unknown,
        },
        name,
    })
}

pub(super) fn volume(sources: &Sources, dir: &Path) -> Found<Volume> {
    let read = || {
        let path = dir.canonicalize().map_err(|fault| format!("{}: {fault}", dir.display()))?;
        let stat = rustix::fs::statvfs(&path).map_err(|fault| format!("statvfs: {fault}"))?;
        let mounts = mounts(sources)?;
        let mount = mount_of(&mounts, &path).ok_or("no mount point holds it")?;
        let bytes = |blocks: u64| Bytes(blocks.saturating_mul(stat.f_frsize));
        Ok(Volume {
            mount: mount.point.clone(),
            kind: mount.kind.clone(),
            device: mount.device.clone(),
            size: bytes(stat.f_blocks),
            free: bytes(stat.f_bavail),
        })
    };
    Found::new("statvfs, /proc/self/mountinfo", read())
}

pub(super) fn networks(sources: &Sources) -> Found<Vec<NetworkCard>> {
    const DIR: &str = "/sys/class/net";
    let cards = sources.names(DIR).map(|names| {
        let real = |name: &String| sources.exists(&format!("{DIR}/{name}/device"));
        names.into_iter().filter(real).map(|name| network(sources, DIR, name)).collect()
    });
    Found::new(DIR, cards)
}

fn network(sources: &Sources, dir: &str, name: String) -> NetworkCard {
    let base = format!("{dir}/{name}");
    // −1 or a read error while there is no link.
    let speed = sources.number::<i64>(&format!("{base}/speed")).ok();
    let mac = sources.text(&format!("{base}/address")).ok();
    NetworkCard {
        driver: sources.link_name(&format!("{base}/device/driver")),
        megabits_per_second: speed.and_then(|speed| u64::try_from(speed).ok()).filter(|s| *s > 0),
        mac_hash: mac.filter(|mac| !mac.is_empty()).map(|mac| hashed("mac", &mac)),
        rdma: sources.names(&format!("{base}/device/infiniband")).unwrap_or_default(),
        name,
    }
}

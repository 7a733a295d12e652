//! In which image a task runs on a pool of containers, and with which of the machine's devices.
//!
//! Invariant: an image that a job names is passed on whatever the pool is, so that an engine without
//! containers refuses it rather than running something else.

use std::path::{Path, PathBuf};

use dayan_engines::{Image, ImageNetwork, Pull};
use dayan_wire::ImageOrder;

use crate::registries::Registries;

/// Folders in which descriptions for the Container Device Interface lie.
const CDI_FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// By what the interface calls NVIDIA's cards.
const CDI_NVIDIA: &str = "nvidia.com/gpu";
/// What every user of NVIDIA's cards needs beside them.
const NVIDIA_SHARED: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
/// The same of Huawei's.
const ASCEND_SHARED: [&str; 3] = ["/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"];
/// The same of AMD's and those that are driven like them.
const AMD_SHARED: [&str; 1] = ["/dev/kfd"];
/// The number of the first render node.
const RENDER_FIRST: u32 = 128;

/// What an operator says of images.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageWords {
    /// For jobs that name none; none: they are not run here.
    pub default_image: Option<String>,
    /// When images are fetched.
    pub pull: Pull,
    /// What containers see of the network.
    pub network: ImageNetwork,
}

/// What the agent knows of images and devices.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) words: ImageWords,
    /// The agent's folder, where logins of registries are kept.
    pub(crate) data: PathBuf,
}

/// The image that is named, or else the pool's own.
pub(crate) fn named(
    named: Option<&ImageOrder>,
    images: Option<&Images>,
    vendors: &[String],
    cards: &[u32],
) -> Option<Image> {
    let Some(images) = images else {
        return named.map(|image| Image { name: image.name.clone(), ..Image::default() });
    };
    let name =
        named.map(|image| image.name.clone()).or_else(|| images.words.default_image.clone())?;
    let project = named.map_or("", |image| image.project.as_str());
    // Read for each launch: an entry that was just added counts.
    let registries = Registries::kept(&images.data).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "the logins of registries cannot be read");
        Registries::default()
    });
    Some(Image {
        login: registries.login(project, registry_of(&name)).cloned(),
        pull: images.words.pull,
        network: images.words.network,
        devices: devices(vendors, cards, &|path| path.exists(), has_cdi()),
        name,
    })
}

/// Is there a description of NVIDIA's cards for the Container Device Interface?
fn has_cdi() -> Cdi {
    let files = CDI_FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let described = files.flatten().any(|file| {
        std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains(CDI_NVIDIA))
    });
    if described { Cdi::Described } else { Cdi::Absent }
}

/// Are NVIDIA's cards described?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cdi {
    Described,
    Absent,
}

fn devices(
    vendors: &[String],
    cards: &[u32],
    exists: &dyn Fn(&Path) -> bool,
    cdi: Cdi,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut vendors: Vec<String> = vendors.iter().map(|vendor| vendor.to_lowercase()).collect();
    vendors.sort_unstable();
    vendors.dedup();
    for vendor in vendors.iter().filter(|_| !cards.is_empty()) {
        let each = |name: &dyn Fn(&u32) -> String| cards.iter().map(name).collect::<Vec<_>>();
        let (own, shared): (Vec<String>, &[&str]) = match vendor.as_str() {
            "nvidia" if cdi == Cdi::Described => {
                (each(&|card| format!("{CDI_NVIDIA}={card}")), &[])
            }
            "nvidia" => (each(&|card| format!("/dev/nvidia{card}")), &NVIDIA_SHARED),
            "ascend" | "huawei" => (each(&|card| format!("/dev/davinci{card}")), &ASCEND_SHARED),
            "amd" | "hygon" => {
                (each(&|card| format!("/dev/dri/renderD{}", RENDER_FIRST + card)), &AMD_SHARED)
            }
            _ => continue,
        };
        found.extend(own);
        found.extend(
            shared.iter().filter(|path| exists(Path::new(path))).map(|path| (*path).to_owned()),
        );
    }
    found
}

/// The registry in an image's name: what stands before the first slash if it looks like a host.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_become_devices_of_their_vendors() {
        let check = |vendor: &str, cdi, expect: &[&str]| {
            let exists = |path: &Path| path != Path::new("/dev/nvidia-uvm-tools");
            let found = devices(&[vendor.to_owned(), vendor.to_owned()], &[0, 3], &exists, cdi);
            assert_eq!(found, expect, "{vendor}");
        };
        check("NVIDIA", Cdi::Described, &["nvidia.com/gpu=0", "nvidia.com/gpu=3"]);
        check(
            "nvidia",
            Cdi::Absent,
            &["/dev/nvidia0", "/dev/nvidia3", "/dev/nvidiactl", "/dev/nvidia-uvm"],
        );
        check(
            "Huawei",
            Cdi::Absent,
            &[
                "/dev/davinci0",
                "/dev/davinci3",
                "/dev/davinci_manager",
                "/dev/devmm_svm",
                "/dev/hisi_hdc",
            ],
        );
        check("amd", Cdi::Absent, &["/dev/dri/renderD128", "/dev/dri/renderD131", "/dev/kfd"]);
        check("unheard", Cdi::Absent, &[]);
        assert_eq!(devices(&["nvidia".to_owned()], &[], &|_| true, Cdi::Absent), [""; 0]);
    }

    #[test]
    fn registries_are_read_from_names() {
        assert_eq!(registry_of("blender:4"), "docker.io");
        assert_eq!(registry_of("studio/blender:4"), "docker.io");
        assert_eq!(registry_of("r.example:5000/blender"), "r.example:5000");
    }
}

//! The part of the inventory that stays the same as long as the hardware does: what the digest is
//! taken of, and what the exchange asks for again when it verifies the machine.
//!
//! Invariant: a reboot, a kernel or driver update, load, free space, another cgroup limit or a link
//! that is down change nothing here. Devices are numbered by what they are, not by the names that
//! the kernel happened to give them.

use std::fmt::Display;

use dayan_measure::Inventory as Stable;

use super::{Inventory, Spin};

/// Collects attributes; unknown ones are left out.
struct Sheet(Stable);

impl Sheet {
    fn put(&mut self, name: impl Into<String>, value: impl Display) {
        self.0.0.insert(name.into(), value.to_string());
    }
    fn put_known(&mut self, name: impl Into<String>, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

impl Inventory {
    /// The attributes that identify the hardware.
    pub fn stable(&self) -> Stable {
        let mut sheet = Sheet(Stable::default());
        self.put_processor(&mut sheet);
        self.put_memory(&mut sheet);
        self.put_devices(&mut sheet);
        self.put_accelerators(&mut sheet);
        sheet.0
    }

    /// The text that the digest is taken of.
    pub fn canonical_text(&self) -> String {
        self.stable().canonical_text()
    }

    fn put_processor(&self, sheet: &mut Sheet) {
        let Some(cpu) = self.cpu.value() else { return };
        sheet.put("cpu.model", &cpu.model);
        sheet.put("cpu.architecture", &cpu.architecture);
        sheet.put("cpu.sockets", cpu.sockets);
        sheet.put("cpu.cores", cpu.cores);
        sheet.put("cpu.threads", cpu.threads);
        sheet.put("cpu.isa", cpu.isa.join(" "));
        for cache in &cpu.caches {
            let kind = format!("{:?}", cache.kind).to_lowercase();
            let name = format!("cpu.cache.l{}.{kind}", cache.level);
            sheet.put(name, format!("{} x {}", cache.count, cache.size.0));
        }
    }

    fn put_memory(&self, sheet: &mut Sheet) {
        // The kernel keeps a part that differs from boot to boot by some megabytes. Hardware
        // blocks do not; where they are hidden, whole GiB hide the difference.
        let gib = |bytes: u64| bytes.saturating_add(1 << 29) >> 30;
        let by_blocks = self.memory_blocks.value().map(|bytes| bytes.0);
        let whole = self.memory.value().map(|bytes| gib(bytes.0) << 30);
        sheet.put_known("memory.bytes", by_blocks.or(whole));
        for node in self.numa.value().into_iter().flatten() {
            let value = format!("{} threads {} GiB", node.threads, gib(node.memory.0));
            sheet.put(format!("memory.numa.{}", node.node), value);
        }
    }

    fn put_devices(&self, sheet: &mut Sheet) {
        let mut disks: Vec<String> = self
            .disks
            .value()
            .into_iter()
            .flatten()
            .map(|disk| {
                let spin = match disk.spin {
                    Spin::Rotational => "rotational",
                    Spin::Solid => "solid",
                    Spin::Unknown => "unknown",
                };
                let model = disk.model.as_deref().unwrap_or("-");
                let serial = disk.serial_hash.as_deref().unwrap_or("-");
                format!("{model} {} {spin} {serial}", disk.size.0)
            })
            .collect();
        disks.sort();
        for (number, disk) in disks.iter().enumerate() {
            sheet.put(format!("disk.{number}"), disk);
        }
        let mut cards: Vec<String> = self
            .networks
            .value()
            .into_iter()
            .flatten()
            .map(|card| {
                let driver = card.driver.as_deref().unwrap_or("-");
                format!("{driver} {}", card.mac_hash.as_deref().unwrap_or("-"))
            })
            .collect();
        cards.sort();
        for (number, card) in cards.iter().enumerate() {
            sheet.put(format!("net.{number}"), card);
        }
    }

    fn put_accelerators(&self, sheet: &mut Sheet) {
        let mut cards: Vec<String> = self
            .cards()
            .map(|card| {
                let memory =
                    card.memory.map_or_else(|| "-".to_owned(), |bytes| bytes.0.to_string());
                let id = card.id_hash.as_deref().unwrap_or("-");
                format!("{} {} {memory} {id}", card.vendor, card.model)
            })
            .collect();
        cards.sort();
        sheet.put("accel.count", cards.len());
        for (number, card) in cards.iter().enumerate() {
            sheet.put(format!("accel.{number}"), card);
        }
    }
}

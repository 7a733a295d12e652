//! A vector of what a task asks for or a machine has. Compared component by component: one vector
//! fits in another only if every component does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Bytes, MilliAccel, MilliCpu};

/// Processor, memory, disk and accelerators. Which model of accelerator is a matter of the shape
/// that carries the vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Resources {
    /// Processor cores, in thousandths.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Local disk.
    #[serde(default, skip_serializing_if = "is_zero_bytes")]
    pub disk: Bytes,
    /// Accelerator cards, in thousandths.
    #[serde(default, skip_serializing_if = "is_zero_accel")]
    pub accel: MilliAccel,
}

fn is_zero_bytes(bytes: &Bytes) -> bool {
    bytes.0 == 0
}
fn is_zero_accel(accel: &MilliAccel) -> bool {
    accel.0 == 0
}

impl Resources {
    /// Nothing at all.
    pub const ZERO: Self = Self {
        cpu: MilliCpu::ZERO,
        memory: Bytes::ZERO,
        disk: Bytes::ZERO,
        accel: MilliAccel::ZERO,
    };

    /// Is every component at most that of `room`?
    pub const fn fits_in(&self, room: &Self) -> bool {
        self.cpu.0 <= room.cpu.0
            && self.memory.0 <= room.memory.0
            && self.disk.0 <= room.disk.0
            && self.accel.0 <= room.accel.0
    }
    /// Component-wise sum, unless one is over the range.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cpu: self.cpu.checked_add(other.cpu)?,
            memory: self.memory.checked_add(other.memory)?,
            disk: self.disk.checked_add(other.disk)?,
            accel: self.accel.checked_add(other.accel)?,
        })
    }
    /// Component-wise difference, unless one would be negative.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cpu: self.cpu.checked_sub(other.cpu)?,
            memory: self.memory.checked_sub(other.memory)?,
            disk: self.disk.checked_sub(other.disk)?,
            accel: self.accel.checked_sub(other.accel)?,
        })
    }
    /// This many times as much, unless one component is over the range.
    pub fn checked_mul(&self, factor: u64) -> Option<Self> {
        Some(Self {
            cpu: self.cpu.checked_mul(factor)?,
            memory: self.memory.checked_mul(factor)?,
            disk: self.disk.checked_mul(factor)?,
            accel: self.accel.checked_mul(factor)?,
        })
    }
    /// How many of these fit in `room` at once. Nothing fits without limit: `u64::MAX`.
    pub fn times_in(&self, room: &Self) -> u64 {
        let times = |need: u64, have: u64| have.checked_div(need).unwrap_or(u64::MAX);
        times(self.cpu.0, room.cpu.0)
            .min(times(self.memory.0, room.memory.0))
            .min(times(self.disk.0, room.disk.0))
            .min(times(self.accel.0, room.accel.0))
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cpus, {}", self.cpu, self.memory)?;
        if self.disk.0 > 0 {
            write!(f, ", {} disk", self.disk)?;
        }
        if self.accel.0 > 0 {
            write!(f, ", {} accelerators", self.accel)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_resources() -> impl Strategy<Value = Resources> {
        (0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 20).prop_map(|(c, m, d, a)| {
            Resources { cpu: MilliCpu(c), memory: Bytes(m), disk: Bytes(d), accel: MilliAccel(a) }
        })
    }

    proptest! {
        #[test]
        fn taking_and_giving_back_changes_nothing(a in any_resources(), b in any_resources()) {
            let sum = a.checked_add(&b).expect("small");
            prop_assert_eq!(sum.checked_sub(&b), Some(a));
            prop_assert!(a.fits_in(&sum));
        }

        #[test]
        fn fits_exactly_when_it_can_be_taken(a in any_resources(), b in any_resources()) {
            prop_assert_eq!(a.fits_in(&b), b.checked_sub(&a).is_some());
        }

        #[test]
        fn as_many_as_fit_and_no_more(a in any_resources(), b in any_resources()) {
            let n = a.times_in(&b);
            prop_assume!(n < 1 << 20);
            prop_assert!(a.checked_mul(n).expect("fits").fits_in(&b));
            prop_assert!(!a.checked_mul(n + 1).is_some_and(|more| more.fits_in(&b)));
        }
    }
}

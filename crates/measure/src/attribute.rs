//! The attributes of a benchmark vector: name, unit and which part of the machine they describe.
//!
//! Invariant: a name keeps its meaning and its unit for ever. Another unit, or a measurement that
//! cannot be compared with the old one, is another attribute.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::precision::Precision;

/// The unit an attribute's integers count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Unit {
    /// Pieces.
    #[serde(rename = "1")]
    Count,
    /// Thousands of cycles a second.
    #[serde(rename = "kHz")]
    KiloHertz,
    /// Floating-point (for INT8: integer) operations a second.
    #[serde(rename = "FLOP/s")]
    FlopPerSecond,
    /// Bytes.
    #[serde(rename = "B")]
    Byte,
    /// Bytes a second.
    #[serde(rename = "B/s")]
    BytePerSecond,
    /// Bits a second.
    #[serde(rename = "bit/s")]
    BitPerSecond,
    /// Picoseconds.
    #[serde(rename = "ps")]
    Picosecond,
    /// Microseconds.
    #[serde(rename = "us")]
    Microsecond,
    /// Thousandths of a watt.
    #[serde(rename = "mW")]
    MilliWatt,
}

impl Unit {
    /// As the API writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Count => "1",
            Self::KiloHertz => "kHz",
            Self::FlopPerSecond => "FLOP/s",
            Self::Byte => "B",
            Self::BytePerSecond => "B/s",
            Self::BitPerSecond => "bit/s",
            Self::Picosecond => "ps",
            Self::Microsecond => "us",
            Self::MilliWatt => "mW",
        }
    }
}
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.symbol())
    }
}

/// The part of a machine an attribute describes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Processors.
    Cpu,
    /// Main memory.
    Memory,
    /// Local disk.
    Disk,
    /// The way to the exchange.
    Network,
    /// Accelerator cards.
    Accelerator,
}

impl Component {
    /// The part of the machine that a line of an inventory describes, by the first word of its
    /// name; none where nothing of it is measured.
    pub fn of_inventory(name: &str) -> Option<Self> {
        match name.split('.').next()? {
            "cpu" => Some(Self::Cpu),
            "memory" => Some(Self::Memory),
            "disk" => Some(Self::Disk),
            "net" => Some(Self::Network),
            "accel" => Some(Self::Accelerator),
            _ => None,
        }
    }
}

macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $unit:ident, $component:ident;)*) => {
        /// What a value of a benchmark vector is a value of.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Attribute {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Attribute {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the API, the CLI and the journal write it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
            /// What its integers count.
            pub const fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)* }
            }
            /// The part of the machine it describes.
            pub const fn component(self) -> Component {
                match self { $(Self::$variant => Component::$component,)* }
            }
        }
    };
}

attributes! {
    /// Physical cores.
    CpuCores = "cpu.cores", Count, Cpu;
    /// Clock under load on all cores.
    CpuClock = "cpu.clock", KiloHertz, Cpu;
    /// Double-precision matrix product on one core.
    CpuDgemmSingle = "cpu.dgemm.single", FlopPerSecond, Cpu;
    /// Double-precision matrix product on all cores.
    CpuDgemmAll = "cpu.dgemm.all", FlopPerSecond, Cpu;
    /// Single-precision matrix product on one core.
    CpuSgemmSingle = "cpu.sgemm.single", FlopPerSecond, Cpu;
    /// Single-precision matrix product on all cores.
    CpuSgemmAll = "cpu.sgemm.all", FlopPerSecond, Cpu;
    /// Main memory that can be used.
    MemoryCapacity = "memory.capacity", Byte, Memory;
    /// Triad `a = b + s·c` on one core; the bytes of all three arrays are counted.
    MemoryTriadSingle = "memory.triad.single", BytePerSecond, Memory;
    /// The same on all cores.
    MemoryTriadAll = "memory.triad.all", BytePerSecond, Memory;
    /// A dependent load that misses every cache.
    MemoryLatency = "memory.latency", Picosecond, Memory;
    /// Free disk in the agent's data folder.
    DiskCapacity = "disk.capacity", Byte, Disk;
    /// Sequential write, synchronised at the end.
    DiskWrite = "disk.write", BytePerSecond, Disk;
    /// One small write and its synchronisation, median.
    DiskFsync = "disk.fsync", Microsecond, Disk;
    /// Round trip to the exchange, median.
    NetRoundTripP50 = "net.round_trip.p50", Microsecond, Network;
    /// Round trip to the exchange, 99th percentile.
    NetRoundTripP99 = "net.round_trip.p99", Microsecond, Network;
    /// To the exchange.
    NetUp = "net.up", BitPerSecond, Network;
    /// From the exchange.
    NetDown = "net.down", BitPerSecond, Network;
    /// Cards.
    AccelCount = "accel.count", Count, Accelerator;
    /// Memory of one card.
    AccelMemory = "accel.memory", Byte, Accelerator;
    /// Copy inside of one card's memory; bytes read and written are counted.
    AccelMemoryBandwidth = "accel.memory_bandwidth", BytePerSecond, Accelerator;
    /// Power limit of one card.
    AccelPowerLimit = "accel.power_limit", MilliWatt, Accelerator;
    /// From the host's memory to one card.
    AccelHostToDevice = "accel.host_to_device", BytePerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelFp64 = "accel.fp64", FlopPerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelFp32 = "accel.fp32", FlopPerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelTf32 = "accel.tf32", FlopPerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelFp16 = "accel.fp16", FlopPerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelBf16 = "accel.bf16", FlopPerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelFp8 = "accel.fp8", FlopPerSecond, Accelerator;
    /// Dense matrix product of one card.
    AccelInt8 = "accel.int8", FlopPerSecond, Accelerator;
}

/// A text that names no attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no attribute of a benchmark vector")]
pub struct AttributeUnknown(pub String);

impl Attribute {
    /// The rate of one card at that precision.
    pub const fn accelerator_rate(precision: Precision) -> Self {
        match precision {
            Precision::Fp64 => Self::AccelFp64,
            Precision::Fp32 => Self::AccelFp32,
            Precision::Tf32 => Self::AccelTf32,
            Precision::Fp16 => Self::AccelFp16,
            Precision::Bf16 => Self::AccelBf16,
            Precision::Fp8 => Self::AccelFp8,
            Precision::Int8 => Self::AccelInt8,
        }
    }
    /// Is less better? Delays are the only such attributes.
    pub const fn less_is_better(self) -> bool {
        match self.unit() {
            Unit::Picosecond | Unit::Microsecond => true,
            Unit::Count
            | Unit::KiloHertz
            | Unit::FlopPerSecond
            | Unit::Byte
            | Unit::BytePerSecond
            | Unit::BitPerSecond
            | Unit::MilliWatt => false,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Attribute {
    type Err = AttributeUnknown;
    fn from_str(text: &str) -> Result<Self, AttributeUnknown> {
        Self::ALL
            .iter()
            .copied()
            .find(|attribute| attribute.name() == text)
            .ok_or_else(|| AttributeUnknown(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct_and_round_trip() {
        let names: BTreeSet<_> = Attribute::ALL.iter().map(|a| a.name()).collect();
        assert_eq!(names.len(), Attribute::ALL.len());
        for attribute in Attribute::ALL {
            assert_eq!(attribute.name().parse(), Ok(*attribute));
            let text = serde_json::to_string(attribute).expect("text");
            assert_eq!(text, format!("\"{attribute}\""));
            let unit = serde_json::to_string(&attribute.unit()).expect("text");
            assert_eq!(unit, format!("\"{}\"", attribute.unit()));
        }
        assert!("cpu.bogomips".parse::<Attribute>().is_err());
    }
}

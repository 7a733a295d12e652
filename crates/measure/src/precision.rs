//! Number formats in which performance is counted. A single figure of "P" without one says
//! nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE 754 binary64.
    Fp64,
    /// IEEE 754 binary32.
    Fp32,
    /// 32-bit storage, 10 bits of mantissa in the product.
    Tf32,
    /// IEEE 754 binary16; what national totals of "intelligent" compute are counted in.
    Fp16,
    /// bfloat16.
    Bf16,
    /// 8-bit floating point (E4M3 or E5M2).
    Fp8,
    /// 8-bit integer; its rate counts integer operations.
    Int8,
}

impl Precision {
    /// All of them, widest first.
    pub const ALL: [Self; 7] =
        [Self::Fp64, Self::Fp32, Self::Tf32, Self::Fp16, Self::Bf16, Self::Fp8, Self::Int8];

    /// As job files and the API write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp64 => "fp64",
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
impl FromStr for Precision {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|p| p.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let text: String = text.chars().take(40).collect();
            format!("`{text}` is no precision; there are fp64, fp32, tf32, fp16, bf16, fp8, int8")
        })
    }
}

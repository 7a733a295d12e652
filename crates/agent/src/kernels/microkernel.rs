//! The innermost loop of matrix multiplication, in the widest vectors this processor has.
//!
//! Invariant: a kernel that needs an instruction set is handed out only after the processor was
//! asked for it, and a kernel never reads or writes outside the slices it was given: the lengths
//! are asserted before the first vector load. This is the one island of `unsafe` for the CPU
//! kernels. It must not know of blocking, threads or time.
#![expect(unsafe_code, reason = "vector instructions are only reachable through std::arch")]

use std::ops::Range;

use super::cpu::Precision;

/// Multiplies packed panels: `a` holds `depth` columns of as many values as the register tile has
/// rows, `b` holds `depth` rows of as many as it has columns. The result goes to the columns `into`,
/// which must be as many as the tile has, from row `top` on.
type Product<T> =
    fn(depth: usize, a: &[T], b: &[T], into: &mut [&mut [T]], top: usize, update: Update);

/// What becomes of the values that are there: the first block of the dot products replaces them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    Set,
    Add,
}

/// A micro-kernel with the shape of its register tile and the block sizes that suit it.
pub(super) struct Microkernel<T: 'static> {
    /// What it is called in a reading's method, e.g. `avx512 24x8`.
    pub(super) name: &'static str,
    /// Rows of the register tile.
    pub(super) rows: usize,
    /// Columns of the register tile.
    pub(super) columns: usize,
    /// Block sizes of the loops around it.
    pub(super) blocks: Blocks,
    product: Product<T>,
}

/// How much is packed at a time. A sliver of B (`depth` × tile columns) should stay in the L1
/// cache, the block of A (`height` × `depth`) in the L2 cache, the block of B (`depth` × `width`)
/// in this core's share of the L3 cache.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    /// Length of the dot products done in registers.
    pub(super) depth: usize,
    /// Rows of A packed at a time; a multiple of the tile's rows.
    pub(super) height: usize,
    /// Columns of B packed at a time; a multiple of the tile's columns.
    pub(super) width: usize,
}

impl<T: Element> Microkernel<T> {
    /// `into[top..top + rows] (+)= a · b` over `depth` steps. Where the columns are fewer or the
    /// rows less than the register tile's, only what is there is written.
    pub(super) fn product(
        &self,
        depth: usize,
        (a, b): (&[T], &[T]),
        into: &mut [&mut [T]],
        rows: Range<usize>,
        update: Update,
    ) {
        if into.len() == self.columns && rows.len() == self.rows {
            (self.product)(depth, a, b, into, rows.start, update);
            return;
        }
        let mut whole = vec![T::default(); self.rows * self.columns];
        let mut columns: Vec<&mut [T]> = whole.chunks_exact_mut(self.rows).collect();
        (self.product)(depth, a, b, &mut columns, 0, Update::Set);
        for (into, sums) in into.iter_mut().zip(columns) {
            for (value, sum) in into[rows.clone()].iter_mut().zip(sums) {
                match update {
                    Update::Set => *value = *sum,
                    Update::Add => *value += *sum,
                }
            }
        }
    }
    /// The same kernel with other block sizes, so that small matrices have several blocks.
    #[cfg(test)]
    pub(super) fn with_blocks(&self, blocks: Blocks) -> Self {
        Self { blocks, ..*self }
    }
}

/// A number type that has micro-kernels.
pub(super) trait Element:
    Copy + Default + Send + Sync + PartialEq + std::ops::AddAssign + 'static
{
    /// The best micro-kernel for this processor.
    fn best() -> &'static Microkernel<Self>;
    /// All micro-kernels that this processor can run, best first.
    fn runnable() -> Vec<&'static Microkernel<Self>>;
    /// Which of the two it is.
    const PRECISION: Precision;
    /// A small value for test matrices: `numerator / 64`, exact in every float type.
    fn sixty_fourths(numerator: i16) -> Self;
    /// The value as `f64`, to compare results.
    #[cfg(test)]
    fn widen(self) -> f64;
}

/// Plain code for processors without a kernel of their own. The loops have fixed bounds, so that
/// the compiler vectorises them with whatever the target guarantees (NEON, SSE2).
macro_rules! portable {
    ($name:ident, $t:ty, $rows:literal, $columns:literal) => {
        fn $name(
            depth: usize,
            a: &[$t],
            b: &[$t],
            into: &mut [&mut [$t]],
            top: usize,
            update: Update,
        ) {
            let mut acc = [[0 as $t; $rows]; $columns];
            let a = a[..depth * $rows].chunks_exact($rows);
            let b = b[..depth * $columns].chunks_exact($columns);
            for (a, b) in a.zip(b) {
                for j in 0..$columns {
                    for i in 0..$rows {
                        // A fused multiply-add is one instruction only where the target has it.
                        acc[j][i] = if cfg!(target_arch = "aarch64") {
                            a[i].mul_add(b[j], acc[j][i])
                        } else {
                            acc[j][i] + a[i] * b[j]
                        };
                    }
                }
            }
            for (sums, column) in acc.iter().zip(into) {
                let column = &mut column[top..top + $rows];
                match update {
                    Update::Set => column.copy_from_slice(sums),
                    Update::Add => column.iter_mut().zip(sums).for_each(|(v, sum)| *v += sum),
                }
            }
        }
    };
}
portable!(portable_f64, f64, 8, 4);
portable!(portable_f32, f32, 16, 4);

static PORTABLE_F64: Microkernel<f64> = Microkernel {
    name: "portable 8x4",
    rows: 8,
    columns: 4,
    blocks: Blocks { depth: 256, height: 128, width: 2_048 },
    product: portable_f64,
};
static PORTABLE_F32: Microkernel<f32> = Microkernel {
    name: "portable 16x4",
    rows: 16,
    columns: 4,
    blocks: Blocks { depth: 256, height: 256, width: 2_048 },
    product: portable_f32,
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Blocks, Microkernel, Update};
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm256_add_pd, _mm256_add_ps, _mm256_broadcast_sd,
        _mm256_broadcast_ss, _mm256_fmadd_pd, _mm256_fmadd_ps, _mm256_loadu_pd, _mm256_loadu_ps,
        _mm256_setzero_pd, _mm256_setzero_ps, _mm256_storeu_pd, _mm256_storeu_ps, _mm512_add_pd,
        _mm512_add_ps, _mm512_fmadd_pd, _mm512_fmadd_ps, _mm512_loadu_pd, _mm512_loadu_ps,
        _mm512_set1_pd, _mm512_set1_ps, _mm512_setzero_pd, _mm512_setzero_ps, _mm512_storeu_pd,
        _mm512_storeu_ps,
    };

    /// A register tile of `$vectors` by `$columns`: 3 × 8 of AVX-512's 32 registers or 2 × 6 of
    /// AVX2's 16 hold sums, the rest the vectors of A and the broadcasts of B. With 12 independent
    /// sums the latency of the multiply-add (4 cycles, two a cycle) is covered. 3 × 4 for AVX2
    /// leaves one register for broadcasts, and a spilled sum halves the speed.
    macro_rules! kernel {
        ($name:ident, $checked:ident, $features:literal, $t:ty, $lanes:literal, $vectors:literal,
         $columns:literal, $zero:ident, $load:ident, $store:ident, $add:ident, $fma:ident,
         $broadcast:expr) => {
            #[target_feature(enable = $features)]
            fn $name(
                depth: usize,
                a: &[$t],
                b: &[$t],
                into: &mut [&mut [$t]],
                top: usize,
                update: Update,
            ) {
                const ROWS: usize = $vectors * $lanes;
                assert!(a.len() >= depth * ROWS && b.len() >= depth * $columns);
                assert!(into.len() == $columns);
                // The result is not in a near cache; asking for it now hides the way there behind
                // the arithmetic. Its lines are those of the first value of each vector and,
                // because columns need not begin at a line, of the last value.
                for column in into.iter() {
                    let column = &column[top..top + ROWS];
                    for v in 0..$vectors {
                        _mm_prefetch::<_MM_HINT_T0>((&raw const column[v * $lanes]).cast());
                    }
                    _mm_prefetch::<_MM_HINT_T0>((&raw const column[ROWS - 1]).cast());
                }
                let mut acc = [[$zero(); $vectors]; $columns];
                let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
                for _ in 0..depth {
                    // SAFETY: the asserts above leave `depth` × ROWS readable values behind `a`
                    // and `depth` × columns behind `b`; each step reads ROWS and columns of them
                    // and moves on by as many, at the last step to one past the end.
                    unsafe {
                        let mut column = [$zero(); $vectors];
                        for (v, column) in column.iter_mut().enumerate() {
                            *column = $load(a.add(v * $lanes));
                        }
                        for (j, sums) in acc.iter_mut().enumerate() {
                            let bj = $broadcast(&*b.add(j));
                            for (sum, column) in sums.iter_mut().zip(column) {
                                *sum = $fma(column, bj, *sum);
                            }
                        }
                        a = a.add(ROWS);
                        b = b.add($columns);
                    }
                }
                for (sums, column) in acc.iter().zip(into) {
                    let vectors = column[top..top + ROWS].chunks_exact_mut($lanes);
                    for (sum, vector) in sums.iter().zip(vectors) {
                        let vector = vector.as_mut_ptr();
                        // SAFETY: the chunk has exactly as many values as a vector has lanes.
                        unsafe {
                            match update {
                                Update::Set => $store(vector, *sum),
                                Update::Add => $store(vector, $add($load(vector), *sum)),
                            }
                        }
                    }
                }
            }
            fn $checked(
                depth: usize,
                a: &[$t],
                b: &[$t],
                into: &mut [&mut [$t]],
                top: usize,
                update: Update,
            ) {
                // SAFETY: this function is reachable only through the statics below, which
                // `runnable` hands out after the processor said it has these features.
                unsafe { $name(depth, a, b, into, top, update) }
            }
        };
    }

    kernel!(
        avx512_f64,
        checked_avx512_f64,
        "avx512f",
        f64,
        8,
        3,
        8,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_fmadd_pd,
        |b: &f64| _mm512_set1_pd(*b)
    );
    kernel!(
        avx512_f32,
        checked_avx512_f32,
        "avx512f",
        f32,
        16,
        3,
        8,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps,
        |b: &f32| _mm512_set1_ps(*b)
    );
    kernel!(
        avx2_f64,
        checked_avx2_f64,
        "avx2,fma",
        f64,
        4,
        2,
        6,
        _mm256_setzero_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_fmadd_pd,
        _mm256_broadcast_sd
    );
    kernel!(
        avx2_f32,
        checked_avx2_f32,
        "avx2,fma",
        f32,
        8,
        2,
        6,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps,
        _mm256_broadcast_ss
    );

    static AVX512_F64: Microkernel<f64> = Microkernel {
        name: "avx512 24x8",
        rows: 24,
        columns: 8,
        blocks: Blocks { depth: 320, height: 192, width: 4_096 },
        product: checked_avx512_f64,
    };
    static AVX512_F32: Microkernel<f32> = Microkernel {
        name: "avx512 48x8",
        rows: 48,
        columns: 8,
        blocks: Blocks { depth: 512, height: 240, width: 4_096 },
        product: checked_avx512_f32,
    };
    static AVX2_F64: Microkernel<f64> = Microkernel {
        name: "avx2 8x6",
        rows: 8,
        columns: 6,
        blocks: Blocks { depth: 256, height: 96, width: 4_080 },
        product: checked_avx2_f64,
    };
    static AVX2_F32: Microkernel<f32> = Microkernel {
        name: "avx2 16x6",
        rows: 16,
        columns: 6,
        blocks: Blocks { depth: 256, height: 192, width: 4_080 },
        product: checked_avx2_f32,
    };

    fn pick<T>(
        avx512: &'static Microkernel<T>,
        avx2: &'static Microkernel<T>,
    ) -> Vec<&'static Microkernel<T>> {
        let mut found = Vec::new();
        if std::arch::is_x86_feature_detected!("avx512f") {
            found.push(avx512);
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            found.push(avx2);
        }
        found
    }
    pub(super) fn f64_kernels() -> Vec<&'static Microkernel<f64>> {
        pick(&AVX512_F64, &AVX2_F64)
    }
    pub(super) fn f32_kernels() -> Vec<&'static Microkernel<f32>> {
        pick(&AVX512_F32, &AVX2_F32)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    use super::Microkernel;
    pub(super) fn f64_kernels() -> Vec<&'static Microkernel<f64>> {
        Vec::new()
    }
    pub(super) fn f32_kernels() -> Vec<&'static Microkernel<f32>> {
        Vec::new()
    }
}

macro_rules! element {
    ($t:ty, $precision:ident, $portable:ident, $own:path) => {
        impl Element for $t {
            const PRECISION: Precision = Precision::$precision;
            fn best() -> &'static Microkernel<Self> {
                Self::runnable().first().copied().unwrap_or(&$portable)
            }
            fn runnable() -> Vec<&'static Microkernel<Self>> {
                let mut found = $own();
                found.push(&$portable);
                found
            }
            fn sixty_fourths(numerator: i16) -> Self {
                <$t>::from(numerator) / 64.0
            }
            #[cfg(test)]
            fn widen(self) -> f64 {
                f64::from(self)
            }
        }
    };
}
element!(f64, Double, PORTABLE_F64, x86::f64_kernels);
element!(f32, Single, PORTABLE_F32, x86::f32_kernels);

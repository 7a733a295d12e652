//! Matrix multiplication on the CPU: packing, blocking and threads around the micro-kernel.
//!
//! The loop order is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication", ACM TOMS 34(3), 2008, §4: blocks of B stay in the L3 cache, blocks of A in the
//! L2 cache, slivers of B in the L1 cache. Threads share the result as rectangular tiles that they
//! take from a counter; each packs what its tile needs, so that none waits for another.
//!
//! Invariant: every tile is written by one thread, which the borrow checker sees, since a tile
//! holds the exclusive slices of its columns. Must not know how long anything may take.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use super::microkernel::{Element, Microkernel, Update};
use super::stopwatch::Stopwatch;

/// One square problem: C = A · B, column-major, side `n`.
pub(super) struct Problem<T: Element> {
    pub(super) n: usize,
    pub(super) a: Vec<T>,
    pub(super) b: Vec<T>,
    pub(super) c: Vec<T>,
}

impl<T: Element> Problem<T> {
    /// A problem whose values are fixed multiples of 1/64 between −1 and 1, so that results can be
    /// compared exactly for small sizes and no denormal slows the machine.
    pub(super) fn new(n: usize) -> Self {
        // A linear congruential sequence (Numerical Recipes, 3rd ed., §7.1) is random enough.
        let mut state = 0x2545_f491_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let seven_bits = u8::try_from(state >> 25).expect("seven bits fit a byte");
            T::sixty_fourths(i16::from(seven_bits) - 64)
        };
        let mut fill = || (0..n * n).map(|_| next()).collect::<Vec<T>>();
        let (a, b) = (fill(), fill());
        Self { n, a, b, c: vec![T::default(); n * n] }
    }

    /// Floating-point operations of one product: n³ multiplications and as many additions.
    pub(super) fn operations(n: usize) -> f64 {
        2.0 * (n as f64).powi(3)
    }

    /// Multiplies again and again on `threads` threads for as long as `more(seconds)` says, where
    /// `seconds` is what the last product took. `more` runs on the calling thread.
    pub(super) fn repeat(
        &mut self,
        kernel: &Microkernel<T>,
        threads: usize,
        mut more: impl FnMut(f64) -> Again,
    ) {
        let n = self.n;
        let factors = Factors { n, a: &self.a, b: &self.b };
        let tiles: Vec<Mutex<Tile<'_, T>>> = cut(&mut self.c, n, kernel, threads);
        let next = AtomicUsize::new(tiles.len());
        let stop = AtomicUsize::new(0);
        let gate = Barrier::new(threads);
        let work = |space: &mut Workspace<T>| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(tile) = tiles.get(index) else { return };
                let mut tile = tile.lock().expect("a worker that panicked ends the whole scope");
                tile.multiply(kernel, factors, space);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| {
                    let mut space = Workspace::new(kernel);
                    loop {
                        gate.wait();
                        if stop.load(Ordering::Acquire) != 0 {
                            return;
                        }
                        work(&mut space);
                        gate.wait();
                    }
                });
            }
            let mut space = Workspace::new(kernel);
            loop {
                next.store(0, Ordering::Release);
                let watch = Stopwatch::start();
                gate.wait();
                work(&mut space);
                gate.wait();
                match more(watch.seconds()) {
                    Again::Once => {}
                    Again::Stop => break,
                }
            }
            stop.store(1, Ordering::Release);
            gate.wait();
        });
    }
}

/// Whether to multiply again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// One more time.
    Once,
    /// No more.
    Stop,
}

/// A rectangle of the result: the slices of its columns.
struct Tile<'a, T> {
    top: usize,
    left: usize,
    columns: Vec<&'a mut [T]>,
}

/// Cuts the result into tiles: one for one thread; for more, several a thread, so that a thread
/// that the machine slows down takes fewer, but none so small that packing would count.
fn cut<'a, T: Element>(
    c: &'a mut [T],
    n: usize,
    kernel: &Microkernel<T>,
    threads: usize,
) -> Vec<Mutex<Tile<'a, T>>> {
    /// A tile of side s does s/2 multiply-adds for every value packed; at 256 and 16 operations a
    /// cycle packing has 16 cycles for each, several times what it needs.
    const SIDE_MIN: usize = 256;
    const TILES_PER_THREAD: usize = 3;
    let (mut down, mut across) = (1, 1);
    while threads > 1 && down * across < threads * TILES_PER_THREAD {
        if n / across >= n / down && n / (across + 1) >= SIDE_MIN {
            across += 1;
        } else if n / (down + 1) >= SIDE_MIN {
            down += 1;
        } else {
            break;
        }
    }
    let side = |parts: usize, step: usize| n.div_ceil(parts).next_multiple_of(step).max(1);
    let (height, width) = (side(down, kernel.rows), side(across, kernel.columns));
    let tall = n.div_ceil(height);
    let mut tiles: Vec<Tile<'a, T>> = Vec::new();
    for (j, column) in c.chunks_exact_mut(n).enumerate() {
        if j % width == 0 {
            tiles.extend((0..tall).map(|t| Tile { top: t * height, left: j, columns: Vec::new() }));
        }
        let first = tiles.len() - tall;
        for (tile, part) in tiles[first..].iter_mut().zip(column.chunks_mut(height)) {
            tile.columns.push(part);
        }
    }
    tiles.into_iter().map(Mutex::new).collect()
}

/// A thread's packed blocks, kept from one product to the next.
struct Workspace<T> {
    a: Vec<T>,
    b: Vec<T>,
}

impl<T: Element> Workspace<T> {
    fn new(kernel: &Microkernel<T>) -> Self {
        let blocks = kernel.blocks;
        Self {
            a: vec![T::default(); blocks.height * blocks.depth],
            b: vec![T::default(); blocks.width * blocks.depth],
        }
    }
}

/// The two factors, column-major, side `n`.
#[derive(Clone, Copy)]
struct Factors<'a, T> {
    n: usize,
    a: &'a [T],
    b: &'a [T],
}

impl<T: Element> Tile<'_, T> {
    /// Computes this tile of the product.
    fn multiply(&mut self, kernel: &Microkernel<T>, of: Factors<'_, T>, space: &mut Workspace<T>) {
        let height = self.columns.first().map_or(0, |column| column.len());
        let width = self.columns.len();
        let size = kernel.blocks;
        for left in (0..width).step_by(size.width) {
            let wide = size.width.min(width - left);
            // Blocks of equal depth: a short last one would pay for its result what a long one does.
            let deep = of.n.div_ceil(of.n.div_ceil(size.depth));
            for from in (0..of.n).step_by(deep) {
                let depth = deep.min(of.n - from);
                let block = Block { first: self.left + left, count: wide, from, depth };
                pack_b(kernel.columns, of, block, &mut space.b);
                for top in (0..height).step_by(size.height) {
                    let high = size.height.min(height - top);
                    let block = Block { first: self.top + top, count: high, from, depth };
                    pack_a(kernel.rows, of, block, &mut space.a);
                    let update = if from == 0 { Update::Set } else { Update::Add };
                    let part = Part { top, high, left, wide, depth, update };
                    self.multiply_packed(kernel, part, space);
                }
            }
        }
    }

    /// Adds the product of the packed blocks to a part of this tile.
    fn multiply_packed(&mut self, kernel: &Microkernel<T>, part: Part, space: &mut Workspace<T>) {
        let Part { top, high, left, wide, depth, update } = part;
        let slivers_of_b = space.b.chunks_exact(kernel.columns * depth);
        for (j, b) in (0..wide).step_by(kernel.columns).zip(slivers_of_b) {
            let columns = kernel.columns.min(wide - j);
            let into = &mut self.columns[left + j..left + j + columns];
            let slivers_of_a = space.a.chunks_exact(kernel.rows * depth);
            for (i, a) in (0..high).step_by(kernel.rows).zip(slivers_of_a) {
                let rows = top + i..top + i + kernel.rows.min(high - i);
                kernel.product(depth, (a, b), into, rows, update);
            }
        }
    }
}

/// The part of a tile that a pair of packed blocks contributes to.
#[derive(Clone, Copy)]
struct Part {
    top: usize,
    high: usize,
    left: usize,
    wide: usize,
    depth: usize,
    update: Update,
}

/// Which part of a factor is packed: `count` rows of A or columns of B from `first` on, at
/// `depth` steps of the dot product from `from` on.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    count: usize,
    from: usize,
    depth: usize,
}

/// Packs a block of A as slivers of `rows` rows, each stored column after column; the last sliver
/// is filled up with zeros.
fn pack_a<T: Element>(rows: usize, of: Factors<'_, T>, block: Block, into: &mut [T]) {
    for (sliver, into) in into.chunks_exact_mut(rows * block.depth).enumerate() {
        let done = sliver * rows;
        if done >= block.count {
            break;
        }
        let count = rows.min(block.count - done);
        for (p, into) in into.chunks_exact_mut(rows).enumerate() {
            let start = (block.from + p) * of.n + block.first + done;
            into[..count].copy_from_slice(&of.a[start..start + count]);
            into[count..].fill(T::default());
        }
    }
}

/// Packs a block of B as slivers of `columns` columns, each stored row after row; the last sliver
/// is filled up with zeros.
fn pack_b<T: Element>(columns: usize, of: Factors<'_, T>, block: Block, into: &mut [T]) {
    for (sliver, into) in into.chunks_exact_mut(columns * block.depth).enumerate() {
        let done = sliver * columns;
        if done >= block.count {
            break;
        }
        for j in 0..columns {
            let target = into[j..].iter_mut().step_by(columns);
            if done + j < block.count {
                let start = (block.first + done + j) * of.n + block.from;
                for (target, value) in target.zip(&of.b[start..start + block.depth]) {
                    *target = *value;
                }
            } else {
                target.for_each(|target| *target = T::default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::microkernel::Blocks;

    /// The textbook sum, in `f64`.
    fn naive<T: Element>(problem: &Problem<T>) -> Vec<f64> {
        let n = problem.n;
        let mut c = vec![0.0; n * n];
        for j in 0..n {
            for p in 0..n {
                let b = problem.b[j * n + p].widen();
                for i in 0..n {
                    c[j * n + i] += problem.a[p * n + i].widen() * b;
                }
            }
        }
        c
    }

    fn check_with<T: Element>(kernel: &Microkernel<T>, n: usize, threads: usize) {
        let mut problem = Problem::<T>::new(n);
        let mut rounds = 0;
        problem.repeat(kernel, threads, |_| {
            rounds += 1;
            if rounds < 2 { Again::Once } else { Again::Stop }
        });
        // Sums are multiples of 1/4096 below 2¹⁰: exact in f32 too, whatever their order.
        for (at, (got, expect)) in problem.c.iter().zip(naive(&problem)).enumerate() {
            let (got, expect) = (got.widen().to_bits(), expect.to_bits());
            assert_eq!(got, expect, "{} n={n} threads={threads} at {at}", kernel.name);
        }
    }

    fn check<T: Element>(n: usize, threads: usize) {
        for kernel in T::runnable() {
            check_with(kernel, n, threads);
            // Several blocks each way, none of which divides the side.
            let blocks = Blocks { depth: 7, height: 2 * kernel.rows, width: 2 * kernel.columns };
            check_with(&kernel.with_blocks(blocks), n, threads);
        }
    }

    #[test]
    fn equals_the_textbook_product() {
        for n in [1, 5, 24, 31, 49] {
            check::<f64>(n, 1);
            check::<f32>(n, 1);
        }
    }

    #[test]
    fn threads_change_nothing() {
        check::<f64>(53, 3);
        check::<f32>(67, 2);
    }

    #[test]
    fn tiles_cover_the_result_once() {
        for (n, threads) in [(1, 1), (100, 4), (521, 2), (1_024, 2), (1_500, 16), (2_048, 7)] {
            let mut c = vec![0.0f64; n * n];
            for tile in cut(&mut c, n, f64::best(), threads) {
                let tile = tile.into_inner().expect("no thread held it");
                assert!(tile.left < n && tile.top < n, "an empty tile");
                for column in tile.columns {
                    for value in column.iter_mut() {
                        *value += 1.0;
                    }
                }
            }
            assert!(c.iter().all(|value| value.to_bits() == 1.0f64.to_bits()), "{n} {threads}");
        }
    }

    #[test]
    fn many_threads_get_many_tiles() {
        let mut c = vec![0.0f32; 4_096 * 4_096];
        assert!(cut(&mut c, 4_096, f32::best(), 16).len() >= 32);
        assert_eq!(cut(&mut c, 4_096, f32::best(), 1).len(), 1);
    }
}

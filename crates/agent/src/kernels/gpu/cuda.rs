//! The CUDA driver and cuBLASLt, loaded at run time: a thin safe layer over their C interfaces.
//!
//! This is the one island of `unsafe` for graphics cards. Signatures, enum values and layouts are
//! those of `cuda.h` (API version 12.8, unchanged since 11.0 for what is used here; the `_v2` names
//! are what the header's plain names stand for) and of `cublasLt.h`, `library_types.h` and
//! `cublas_api.h` 12.8, identical in 12.0 to 13.0.
//!
//! Invariants: every pointer handed to the libraries lives until the call returns or, where work is
//! queued, until the device has been waited for; buffers know their length and every copy is checked
//! against it; all calls for a card are made while its context is current on this thread, which
//! [`Card`] ensures by being neither `Send` nor `Sync`. Must not know what is measured.
#![expect(unsafe_code, reason = "C libraries that are loaded at run time")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};

use libloading::Library;

/// `CUdeviceptr`.
type Address = u64;
/// `CUcontext`, `CUevent`, `CUstream`, `cublasLtHandle_t` and the descriptors: opaque pointers.
type Opaque = *mut c_void;
/// `CUresult` and `cublasStatus_t`: 0 is success in both.
type Status = c_int;

/// Declares a table of C functions and how it is filled from a library.
macro_rules! functions {
    ($table:ident: $($field:ident = $symbol:literal ( $($argument:ty),* );)*) => {
        struct $table {
            $($field: unsafe extern "C" fn($($argument),*) -> Status,)*
            /// Keeps the code mapped for as long as the pointers above exist.
            _library: Library,
        }
        impl $table {
            fn resolve(library: Library) -> Result<Self, String> {
                Ok(Self {
                    $(
                        // SAFETY: the symbol has this signature by the headers named above, and
                        // the pointer is kept beside the library that it points into.
                        $field: unsafe {
                            *library
                                .get($symbol.to_bytes_with_nul())
                                .map_err(|_| format!("the library lacks {:?}", $symbol))?
                        },
                    )*
                    _library: library,
                })
            }
        }
    };
}

functions! { Driver:
    init = c"cuInit" (c_uint);
    device_count = c"cuDeviceGetCount" (*mut c_int);
    device_get = c"cuDeviceGet" (*mut c_int, c_int);
    device_name = c"cuDeviceGetName" (*mut c_char, c_int, c_int);
    context_retain = c"cuDevicePrimaryCtxRetain" (*mut Opaque, c_int);
    context_release = c"cuDevicePrimaryCtxRelease_v2" (c_int);
    context_set_current = c"cuCtxSetCurrent" (Opaque);
    memory_info = c"cuMemGetInfo_v2" (*mut usize, *mut usize);
    memory_alloc = c"cuMemAlloc_v2" (*mut Address, usize);
    memory_free = c"cuMemFree_v2" (Address);
    host_alloc = c"cuMemAllocHost_v2" (*mut *mut c_void, usize);
    host_free = c"cuMemFreeHost" (*mut c_void);
    copy_to_device = c"cuMemcpyHtoD_v2" (Address, *const c_void, usize);
    copy_to_device_queued = c"cuMemcpyHtoDAsync_v2" (Address, *const c_void, usize, Opaque);
    copy_to_host = c"cuMemcpyDtoH_v2" (*mut c_void, Address, usize);
    copy_within_queued = c"cuMemcpyDtoDAsync_v2" (Address, Address, usize, Opaque);
    event_create = c"cuEventCreate" (*mut Opaque, c_uint);
    event_record = c"cuEventRecord" (Opaque, Opaque);
    event_wait = c"cuEventSynchronize" (Opaque);
    event_elapsed = c"cuEventElapsedTime" (*mut f32, Opaque, Opaque);
    event_destroy = c"cuEventDestroy_v2" (Opaque);
    context_wait = c"cuCtxSynchronize" ();
    error_name = c"cuGetErrorName" (Status, *mut *const c_char);
}

functions! { Blas:
    create = c"cublasLtCreate" (*mut Opaque);
    destroy = c"cublasLtDestroy" (Opaque);
    layout_create = c"cublasLtMatrixLayoutCreate" (*mut Opaque, c_int, u64, u64, i64);
    layout_destroy = c"cublasLtMatrixLayoutDestroy" (Opaque);
    product_create = c"cublasLtMatmulDescCreate" (*mut Opaque, c_int, c_int);
    product_destroy = c"cublasLtMatmulDescDestroy" (Opaque);
    product_set = c"cublasLtMatmulDescSetAttribute" (Opaque, c_int, *const c_void, usize);
    wish_create = c"cublasLtMatmulPreferenceCreate" (*mut Opaque);
    wish_destroy = c"cublasLtMatmulPreferenceDestroy" (Opaque);
    wish_set = c"cublasLtMatmulPreferenceSetAttribute" (Opaque, c_int, *const c_void, usize);
    heuristic = c"cublasLtMatmulAlgoGetHeuristic" (
        Opaque, Opaque, Opaque, Opaque, Opaque, Opaque, Opaque, c_int, *mut Candidate, *mut c_int
    );
    multiply = c"cublasLtMatmul" (
        Opaque, Opaque, *const c_void, *const c_void, Opaque, *const c_void, Opaque,
        *const c_void, *const c_void, Opaque, *mut c_void, Opaque, *const [u64; 8], *mut c_void,
        usize, Opaque
    );
}

/// `CUBLASLT_MATMUL_DESC_TRANSA`, an `int32_t` that takes a `cublasOperation_t`.
const PRODUCT_TRANSPOSE_A: c_int = 3;
/// `CUBLASLT_MATMUL_DESC_FAST_ACCUM`, an `int8_t`: FP8 sums without promotion after each step.
const PRODUCT_FAST_ACCUMULATION: c_int = 25;
/// `CUBLAS_OP_T`.
const TRANSPOSED: i32 = 1;
/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`, a `size_t`.
const WISH_WORKSPACE_BYTES: c_int = 1;
/// What the libraries' documentation recommends for Hopper and later, 32 MiB, is enough for all.
const WORKSPACE_BYTES: usize = 32 << 20;

/// `cublasLtMatmulHeuristicResult_t`: an algorithm (8 × `u64`), the workspace it needs, whether it
/// can run, waves, and four reserved integers.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    algorithm: [u64; 8],
    workspace: usize,
    status: Status,
    waves: f32,
    reserved: [c_int; 4],
}
const _: () = assert!(size_of::<Candidate>() == 96);

/// Types of a product, as `cudaDataType_t` and `cublasComputeType_t` count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types {
    /// Of both factors.
    pub(super) factors: c_int,
    /// Bytes of one value of a factor.
    pub(super) factor_bytes: usize,
    /// Of the result.
    pub(super) result: c_int,
    /// Bytes of one value of the result.
    pub(super) result_bytes: usize,
    /// How sums are formed.
    pub(super) compute: c_int,
    /// Of the scalars α and β.
    pub(super) scalar: Scalar,
    /// Whether FP8 sums may skip promotion.
    pub(super) accumulation: Accumulation,
}

/// The type of α = 1 and β = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    F32,
    F64,
    I32,
}

/// How FP8 products are summed; other precisions have only one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accumulation {
    Plain,
    Fast,
}

impl Scalar {
    /// `CUDA_R_32F`, `CUDA_R_64F`, `CUDA_R_32I`.
    const fn code(self) -> c_int {
        match self {
            Self::F32 => 0,
            Self::F64 => 1,
            Self::I32 => 10,
        }
    }
    /// One, in the first bytes of eight.
    fn one(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        match self {
            Self::F32 => bytes[..4].copy_from_slice(&1.0f32.to_ne_bytes()),
            Self::F64 => bytes.copy_from_slice(&1.0f64.to_ne_bytes()),
            Self::I32 => bytes[..4].copy_from_slice(&1i32.to_ne_bytes()),
        }
        bytes
    }
}

/// The libraries.
pub(super) struct Cuda {
    driver: Driver,
    blas: Result<Blas, String>,
}

fn open(names: &[&str]) -> Result<Library, String> {
    names
        .iter()
        // SAFETY: loading runs the library's initialisers. These are the vendor's own libraries,
        // loaded by their official names; every CUDA program does the same.
        .find_map(|name| unsafe { Library::new(name) }.ok())
        .ok_or_else(|| format!("{} is not installed", names[0]))
}

impl Cuda {
    /// Loads the driver, and cuBLASLt where it is installed, and initialises the driver.
    pub(super) fn load() -> Result<Self, String> {
        let driver = Driver::resolve(open(&["libcuda.so.1"])?)?;
        let blas = open(&[
            "libcublasLt.so.13",
            "libcublasLt.so.12",
            "/usr/local/cuda/lib64/libcublasLt.so.13",
            "/usr/local/cuda/lib64/libcublasLt.so.12",
        ]);
        let cuda = Self { driver, blas: blas.and_then(Blas::resolve) };
        // SAFETY: plain integer argument; may be called more than once.
        cuda.check("cuInit", unsafe { (cuda.driver.init)(0) })?;
        Ok(cuda)
    }

    /// Turns a driver status into a result.
    fn check(&self, call: &str, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let mut name: *const c_char = null();
        // SAFETY: `name` is a valid place for a pointer to a static string.
        let known = unsafe { (self.driver.error_name)(status, &raw mut name) } == 0;
        if known && !name.is_null() {
            // SAFETY: on success the driver stored a pointer to a static string with a final zero.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
            return Err(format!("{call}: {name}"));
        }
        Err(format!("{call}: error {status}"))
    }

    /// How many cards there are.
    pub(super) fn cards(&self) -> Result<u32, String> {
        let mut count = 0;
        // SAFETY: `count` is a valid place for an integer.
        self.check("cuDeviceGetCount", unsafe { (self.driver.device_count)(&raw mut count) })?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// Makes a card's primary context current on this thread. The exclusive borrow keeps a second
    /// card from taking its place while this one is in use.
    pub(super) fn card(&mut self, index: u32) -> Result<Card<'_>, String> {
        let ordinal = c_int::try_from(index).map_err(|_| "no such card".to_owned())?;
        let mut device = 0;
        // SAFETY: `device` is a valid place for an integer.
        let status = unsafe { (self.driver.device_get)(&raw mut device, ordinal) };
        self.check("cuDeviceGet", status)?;
        let mut context = null_mut();
        // SAFETY: `context` is a valid place for a handle; it is released when the card is dropped.
        let status = unsafe { (self.driver.context_retain)(&raw mut context, device) };
        self.check("cuDevicePrimaryCtxRetain", status)?;
        let mut card =
            Card { cuda: self, device, events: [null_mut(); 2], blas: None, thread: PhantomData };
        // SAFETY: the context was just retained.
        let status = unsafe { (self.driver.context_set_current)(context) };
        self.check("cuCtxSetCurrent", status)?;
        for event in &mut card.events {
            // SAFETY: `event` is a valid place for a handle; flags 0 means an event with timing.
            let status = unsafe { (self.driver.event_create)(&raw mut *event, 0) };
            self.check("cuEventCreate", status)?;
        }
        Ok(card)
    }
}

/// A card whose context is current on this thread.
pub(super) struct Card<'a> {
    cuda: &'a Cuda,
    device: c_int,
    events: [Opaque; 2],
    blas: Option<Opaque>,
    /// A context is current on a thread; the raw pointer keeps the card on its own.
    thread: PhantomData<*const ()>,
}

impl Drop for Card<'_> {
    fn drop(&mut self) {
        if let (Some(handle), Ok(blas)) = (self.blas, &self.cuda.blas) {
            // SAFETY: the handle came from `create` and is used no more.
            let _ = unsafe { (blas.destroy)(handle) };
        }
        for event in self.events.into_iter().filter(|event| !event.is_null()) {
            // SAFETY: the event came from `event_create` and is used no more.
            let _ = unsafe { (self.cuda.driver.event_destroy)(event) };
        }
        // SAFETY: the context was retained once when this card was made; buffers borrow the card,
        // so none is left.
        let _ = unsafe { (self.cuda.driver.context_release)(self.device) };
    }
}

impl Card<'_> {
    fn check(&self, call: &str, status: Status) -> Result<(), String> {
        self.cuda.check(call, status)
    }

    /// What the driver calls it.
    pub(super) fn name(&self) -> Result<String, String> {
        let mut name = [0 as c_char; 256];
        // SAFETY: the driver writes at most 255 characters and a zero into the 256.
        let status = unsafe { (self.cuda.driver.device_name)(name.as_mut_ptr(), 255, self.device) };
        self.check("cuDeviceGetName", status)?;
        // SAFETY: the last of the 256 was zero and not within the driver's reach.
        Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
    }

    /// Free memory in bytes.
    pub(super) fn free_bytes(&self) -> Result<usize, String> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: both are valid places for a size.
        let status = unsafe { (self.cuda.driver.memory_info)(&raw mut free, &raw mut total) };
        self.check("cuMemGetInfo", status)?;
        Ok(free)
    }

    /// Device memory with arbitrary content.
    pub(super) fn buffer(&self, bytes: usize) -> Result<Buffer<'_>, String> {
        let mut address = 0;
        // SAFETY: `address` is a valid place for a device address.
        let status = unsafe { (self.cuda.driver.memory_alloc)(&raw mut address, bytes) };
        self.check("cuMemAlloc", status)?;
        Ok(Buffer { card: self, address, bytes })
    }

    /// Host memory that the card can read directly, all zeros.
    pub(super) fn pinned(&self, bytes: usize) -> Result<Pinned<'_>, String> {
        let mut pointer = null_mut();
        // SAFETY: `pointer` is a valid place for a pointer.
        let status = unsafe { (self.cuda.driver.host_alloc)(&raw mut pointer, bytes) };
        self.check("cuMemAllocHost", status)?;
        // SAFETY: the driver just gave us so many writable bytes. Touching them all also makes
        // sure that their pages exist before anything is timed.
        unsafe { pointer.cast::<u8>().write_bytes(0, bytes) };
        Ok(Pinned { card: self, pointer, bytes })
    }

    /// Seconds that the card takes for what `work` queues, by the card's own events.
    pub(super) fn time(&self, work: impl FnOnce() -> Result<(), String>) -> Result<f64, String> {
        let driver = &self.cuda.driver;
        let [start, end] = self.events;
        // SAFETY (all four): both events were created in this context; the null stream always
        // exists; `milliseconds` is a valid place for a float.
        self.check("cuEventRecord", unsafe { (driver.event_record)(start, null_mut()) })?;
        let queued = work();
        self.check("cuEventRecord", unsafe { (driver.event_record)(end, null_mut()) })?;
        self.check("cuEventSynchronize", unsafe { (driver.event_wait)(end) })?;
        queued?;
        let mut milliseconds = 0.0;
        let status = unsafe { (driver.event_elapsed)(&raw mut milliseconds, start, end) };
        self.check("cuEventElapsedTime", status)?;
        Ok(f64::from(milliseconds) / 1e3)
    }

    /// Prepares the product of square matrices of side `n`: Aᵀ · B, column-major. Asks for up to
    /// `candidates` algorithms.
    pub(super) fn product(
        &mut self,
        types: Types,
        n: usize,
        candidates: usize,
    ) -> Result<Product<'_>, String> {
        let blas = self.cuda.blas.as_ref().map_err(Clone::clone)?;
        let handle = if let Some(handle) = self.blas {
            handle
        } else {
            let mut handle = null_mut();
            // SAFETY: `handle` is a valid place for a handle.
            lt("cublasLtCreate", unsafe { (blas.create)(&raw mut handle) })?;
            *self.blas.insert(handle)
        };
        let mut product = Product {
            card: self,
            blas,
            handle,
            types,
            n,
            description: Owned { handle: null_mut(), destroy: blas.product_destroy },
            factor: Owned { handle: null_mut(), destroy: blas.layout_destroy },
            result: Owned { handle: null_mut(), destroy: blas.layout_destroy },
            candidates: Vec::new(),
            workspace: self.buffer(WORKSPACE_BYTES)?,
        };
        product.describe()?;
        product.find(candidates)?;
        Ok(product)
    }
}

/// Turns a cuBLASLt status into a result (`cublasStatus_t`).
fn lt(call: &str, status: Status) -> Result<(), String> {
    let name = match status {
        0 => return Ok(()),
        1 => "not initialized",
        3 => "allocation failed",
        7 => "invalid value",
        8 => "not on this architecture",
        13 => "execution failed",
        14 => "internal error",
        15 => "not supported",
        _ => return Err(format!("{call}: status {status}")),
    };
    Err(format!("{call}: {name}"))
}

/// Device memory.
pub(super) struct Buffer<'a> {
    card: &'a Card<'a>,
    address: Address,
    bytes: usize,
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let driver = &self.card.cuda.driver;
        // SAFETY: no arguments; waits for whatever still uses the memory.
        let _ = unsafe { (driver.context_wait)() };
        // SAFETY: the address came from `memory_alloc` and is used no more.
        let _ = unsafe { (driver.memory_free)(self.address) };
    }
}

impl Buffer<'_> {
    /// Repeats a pattern over the whole buffer.
    pub(super) fn fill(&self, pattern: &[u8]) -> Result<(), String> {
        let driver = &self.card.cuda.driver;
        let mut done = pattern.len().min(self.bytes);
        // SAFETY: `done` bytes are readable in the pattern and writable in the buffer; the call
        // returns after they are copied.
        let status =
            unsafe { (driver.copy_to_device)(self.address, pattern.as_ptr().cast(), done) };
        self.card.check("cuMemcpyHtoD", status)?;
        while done > 0 && done < self.bytes {
            let count = done.min(self.bytes - done);
            self.copy_part(done, self, 0, count)?;
            done += count;
        }
        Ok(())
    }

    /// Queues a copy of as much as both have.
    pub(super) fn copy_from(&self, from: &Buffer<'_>) -> Result<(), String> {
        self.copy_part(0, from, 0, self.bytes.min(from.bytes))
    }

    fn copy_part(
        &self,
        at: usize,
        from: &Buffer<'_>,
        from_at: usize,
        bytes: usize,
    ) -> Result<(), String> {
        assert!(at + bytes <= self.bytes && from_at + bytes <= from.bytes);
        let (to, source) = (self.address + at as u64, from.address + from_at as u64);
        // SAFETY: both ranges lie in their buffers, which wait for the device before they are
        // freed, and they do not overlap: parts of one buffer are copied behind themselves.
        let status =
            unsafe { (self.card.cuda.driver.copy_within_queued)(to, source, bytes, null_mut()) };
        self.card.check("cuMemcpyDtoDAsync", status)
    }

    /// Queues a copy from pinned host memory, of as much as both have.
    pub(super) fn copy_from_host(&self, from: &Pinned<'_>) -> Result<(), String> {
        let bytes = self.bytes.min(from.bytes);
        // SAFETY: both have so many bytes and wait for the device before they are freed.
        let status = unsafe {
            (self.card.cuda.driver.copy_to_device_queued)(
                self.address,
                from.pointer,
                bytes,
                null_mut(),
            )
        };
        self.card.check("cuMemcpyHtoDAsync", status)
    }

    /// The first bytes, after all queued work is done.
    pub(super) fn first<const N: usize>(&self) -> Result<[u8; N], String> {
        assert!(N <= self.bytes);
        let mut bytes = [0; N];
        // SAFETY: N bytes are readable in the buffer and writable in the array; the null stream
        // makes the call wait for what was queued before.
        let status = unsafe {
            (self.card.cuda.driver.copy_to_host)(bytes.as_mut_ptr().cast(), self.address, N)
        };
        self.card.check("cuMemcpyDtoH", status)?;
        Ok(bytes)
    }
}

/// Host memory that the card can read directly.
pub(super) struct Pinned<'a> {
    card: &'a Card<'a>,
    pointer: *mut c_void,
    bytes: usize,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let driver = &self.card.cuda.driver;
        // SAFETY: no arguments; waits for copies that still read the memory.
        let _ = unsafe { (driver.context_wait)() };
        // SAFETY: the pointer came from `host_alloc` and is used no more.
        let _ = unsafe { (driver.host_free)(self.pointer) };
    }
}

/// A descriptor of cuBLASLt and what destroys it.
struct Owned {
    handle: Opaque,
    destroy: unsafe extern "C" fn(Opaque) -> Status,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle came from the matching create function and is used no more; the
            // library is borrowed by whatever owns this and so is still loaded.
            let _ = unsafe { (self.destroy)(self.handle) };
        }
    }
}

/// A prepared product with the algorithms that can compute it.
pub(super) struct Product<'a> {
    card: &'a Card<'a>,
    blas: &'a Blas,
    handle: Opaque,
    types: Types,
    n: usize,
    description: Owned,
    factor: Owned,
    result: Owned,
    candidates: Vec<Candidate>,
    workspace: Buffer<'a>,
}

impl<'a> Product<'a> {
    fn describe(&mut self) -> Result<(), String> {
        let (blas, types) = (self.blas, self.types);
        let side = self.n as u64;
        let leading = i64::try_from(self.n).map_err(|_| "the side is too long".to_owned())?;
        // SAFETY (all): each handle is a valid place for a handle; attributes are read from a
        // local value of the documented type and size before the call returns.
        let created = unsafe {
            (blas.product_create)(
                &raw mut self.description.handle,
                types.compute,
                types.scalar.code(),
            )
        };
        lt("cublasLtMatmulDescCreate", created)?;
        let set = |attribute, value: *const c_void, size| unsafe {
            (blas.product_set)(self.description.handle, attribute, value, size)
        };
        let transposed = TRANSPOSED;
        let status = set(PRODUCT_TRANSPOSE_A, (&raw const transposed).cast(), size_of::<i32>());
        lt("cublasLtMatmulDescSetAttribute", status)?;
        match types.accumulation {
            Accumulation::Plain => {}
            Accumulation::Fast => {
                let yes = 1i8;
                let status = set(PRODUCT_FAST_ACCUMULATION, (&raw const yes).cast(), 1);
                lt("cublasLtMatmulDescSetAttribute", status)?;
            }
        }
        let layouts = [(&mut self.factor, types.factors), (&mut self.result, types.result)];
        for (layout, code) in layouts {
            let status =
                unsafe { (blas.layout_create)(&raw mut layout.handle, code, side, side, leading) };
            lt("cublasLtMatrixLayoutCreate", status)?;
        }
        Ok(())
    }

    fn find(&mut self, count: usize) -> Result<(), String> {
        let blas = self.blas;
        let mut wish = Owned { handle: null_mut(), destroy: blas.wish_destroy };
        // SAFETY: a valid place for a handle.
        lt("cublasLtMatmulPreferenceCreate", unsafe { (blas.wish_create)(&raw mut wish.handle) })?;
        let bytes = WORKSPACE_BYTES;
        // SAFETY: the attribute is a `size_t`, read before the call returns.
        let status = unsafe {
            (blas.wish_set)(
                wish.handle,
                WISH_WORKSPACE_BYTES,
                (&raw const bytes).cast(),
                size_of::<usize>(),
            )
        };
        lt("cublasLtMatmulPreferenceSetAttribute", status)?;
        let empty =
            Candidate { algorithm: [0; 8], workspace: 0, status: 15, waves: 0.0, reserved: [0; 4] };
        self.candidates = vec![empty; count];
        let asked = c_int::try_from(count).map_err(|_| "too many candidates".to_owned())?;
        let mut got = 0;
        let (factor, result) = (self.factor.handle, self.result.handle);
        // SAFETY: all handles are alive; the array has room for as many results as are asked for,
        // and `got` is a valid place for their number.
        let status = unsafe {
            (blas.heuristic)(
                self.handle,
                self.description.handle,
                factor,
                factor,
                result,
                result,
                wish.handle,
                asked,
                self.candidates.as_mut_ptr(),
                &raw mut got,
            )
        };
        lt("cublasLtMatmulAlgoGetHeuristic", status)?;
        self.candidates.truncate(usize::try_from(got).unwrap_or(0));
        let limit = self.workspace.bytes;
        self.candidates.retain(|found| found.status == 0 && found.workspace <= limit);
        if self.candidates.is_empty() {
            return Err("cuBLASLt has no algorithm for it on this card".to_owned());
        }
        Ok(())
    }

    /// The card it runs on.
    pub(super) fn card(&self) -> &'a Card<'a> {
        self.card
    }

    /// How many algorithms there are to choose from.
    pub(super) fn candidates(&self) -> usize {
        self.candidates.len()
    }

    /// Queues one product with the algorithm of that number.
    pub(super) fn queue(
        &self,
        candidate: usize,
        a: &Buffer<'_>,
        b: &Buffer<'_>,
        c: &Buffer<'_>,
    ) -> Result<(), String> {
        let values = self.n * self.n;
        assert!(a.bytes >= values * self.types.factor_bytes);
        assert!(b.bytes >= values * self.types.factor_bytes);
        assert!(c.bytes >= values * self.types.result_bytes);
        let (one, zero) = (self.types.scalar.one(), [0u8; 8]);
        let pointer = |buffer: &Buffer<'_>| buffer.address as *mut c_void;
        let algorithm = &self.candidates[candidate].algorithm;
        // SAFETY: the buffers hold matrices of the described size and outlive the queued work,
        // since they wait for the device before they are freed, as the workspace does; α and β
        // are read before the call returns (host pointer mode, the default); the algorithm came
        // from this library for this very description.
        let status = unsafe {
            (self.blas.multiply)(
                self.handle,
                self.description.handle,
                one.as_ptr().cast(),
                pointer(a),
                self.factor.handle,
                pointer(b),
                self.factor.handle,
                zero.as_ptr().cast(),
                pointer(c),
                self.result.handle,
                pointer(c),
                self.result.handle,
                algorithm,
                pointer(&self.workspace),
                self.workspace.bytes,
                null_mut(),
            )
        };
        lt("cublasLtMatmul", status)
    }
}

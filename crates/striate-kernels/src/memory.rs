//! Buffers for outputs that are written whole, and what the allocator does with freed ones.

use rayon::prelude::*;

/// A buffer of `length` floats to be written before it is read, which saves the pass that filling it would cost.
///
/// Debug builds fill it with NaN, so that a kernel that reads or leaves out a value fails its tests.
///
/// # Safety
/// Every value is written before it is read.
#[allow(clippy::uninit_vec)]
pub(crate) unsafe fn uninitialised(length: usize) -> Vec<f32> {
    if cfg!(debug_assertions) {
        return vec![f32::NAN; length];
    }
    let mut values = Vec::with_capacity(length);
    // SAFETY: the capacity was reserved above; the caller writes what it reads.
    unsafe { values.set_len(length) };
    values
}

/// A buffer of `length` zeros, filled by all threads: freed memory that is used again has to be cleared.
pub fn zeros(length: usize) -> Vec<f32> {
    // SAFETY: every chunk is written.
    let mut values = unsafe { uninitialised(length) };
    values.par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(0.0));
    values
}

/// Keeps freed memory in the process, so that the buffers of one step serve the next without page faults.
///
/// Has an effect with the GNU C library only, which by default gives large buffers back at once.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        const TRIM_THRESHOLD: c_int = -1;
        const MMAP_THRESHOLD: c_int = -3;
        // SAFETY: `mallopt` takes two integers, may be called at any time, and ignores what it cannot do.
        unsafe {
            mallopt(MMAP_THRESHOLD, 1 << 30);
            mallopt(TRIM_THRESHOLD, c_int::MAX);
        }
    }
}

//! Vectors of `f32` for one instruction set, chosen at run time.

use std::sync::OnceLock;

/// An instruction set with kernels of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, the reference.
    Portable,
    /// 8 lanes, AVX2 with FMA.
    Avx2,
    /// 16 lanes, AVX-512F.
    Avx512,
}

/// The instruction set used by every kernel of this process.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| supported().min(requested()))
}

fn requested() -> Level {
    match std::env::var("STRIATE_SIMD").as_deref() {
        Ok("portable") => Level::Portable,
        Ok("avx2") => Level::Avx2,
        _ => Level::Avx512,
    }
}

#[cfg(target_arch = "x86_64")]
fn supported() -> Level {
    let fused = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    if fused && is_x86_feature_detected!("avx512f") {
        Level::Avx512
    } else if fused {
        Level::Avx2
    } else {
        Level::Portable
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn supported() -> Level {
    Level::Portable
}

/// A register of `N` floats.
///
/// # Safety
/// Every method may be called only where the instruction set of the implementation is available,
/// which [`dispatch!`](crate::dispatch) guarantees; `load` and `store` touch `N` floats from the pointer,
/// their `…_part` twins only the first `count ≤ N`.
pub(crate) trait Lanes: Copy {
    /// Number of floats.
    const N: usize;
    /// Accumulators of a register block: what is left of the register file after one row of operands.
    const SUMS: usize;
    /// Whether products are added without rounding between; where not, `f32::mul_add` is a slow call.
    const FUSED: bool;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `count` floats, the other lanes zero.
    unsafe fn load_part(from: *const f32, count: usize) -> Self;
    unsafe fn store_part(self, to: *mut f32, count: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self + a * b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// Sum of the lanes, in a fixed order.
    unsafe fn sum(self) -> f32;
}

/// Asks for the cache line of an address, which may lie anywhere.
#[inline(always)]
pub(crate) fn prefetch(from: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, which never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Eight floats in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

// SAFETY: no instruction-set requirement; pointers are as the trait demands.
impl Lanes for Portable {
    const N: usize = 8;
    const SUMS: usize = 12;
    const FUSED: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller owns 8 floats from `from`.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller owns 8 floats from `to`.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller owns `count` floats from `from`, and `count ≤ 8`.
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count) };
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: the caller owns `count` floats from `to`, and `count ≤ 8`.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// All bits set in the first `count` lanes.
    #[inline(always)]
    unsafe fn first(count: usize) -> __m256i {
        // SAFETY: AVX2 is available: called from the methods of `Avx2` alone.
        unsafe {
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
        }
    }

    /// The first `count` bits.
    #[inline(always)]
    fn first_bits(count: usize) -> __mmask16 {
        ((1u32 << count) - 1) as __mmask16
    }

    /// Eight floats in an AVX register.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

    // SAFETY: used only below `dispatch!`, after AVX2 and FMA were detected.
    impl Lanes for Avx2 {
        const N: usize = 8;
        const SUMS: usize = 12;
        const FUSED: bool = true;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: AVX is available (trait contract).
            Self(unsafe { _mm256_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: AVX is available (trait contract).
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller owns 8 floats from `from`.
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller owns 8 floats from `to`.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn load_part(from: *const f32, count: usize) -> Self {
            // SAFETY: AVX2 is available (trait contract); masked lanes are not touched.
            Self(unsafe { _mm256_maskload_ps(from, first(count)) })
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, count: usize) {
            // SAFETY: AVX2 is available (trait contract); masked lanes are not touched.
            unsafe { _mm256_maskstore_ps(to, first(count), self.0) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: AVX2 is available (trait contract).
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: AVX2 is available (trait contract).
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: AVX2 is available (trait contract).
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: FMA is available (trait contract).
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            let mut lanes = [0.0f32; 8];
            // SAFETY: `lanes` holds 8 floats.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), self.0) };
            ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
        }
    }

    /// Sixteen floats in an AVX-512 register.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    // SAFETY: used only below `dispatch!`, after AVX-512F was detected.
    impl Lanes for Avx512 {
        const N: usize = 16;
        const SUMS: usize = 24;
        const FUSED: bool = true;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: AVX-512F is available (trait contract).
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: AVX-512F is available (trait contract).
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller owns 16 floats from `from`.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller owns 16 floats from `to`.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn load_part(from: *const f32, count: usize) -> Self {
            // SAFETY: AVX-512F is available (trait contract); masked lanes are not touched.
            Self(unsafe { _mm512_maskz_loadu_ps(first_bits(count), from) })
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, count: usize) {
            // SAFETY: AVX-512F is available (trait contract); masked lanes are not touched.
            unsafe { _mm512_mask_storeu_ps(to, first_bits(count), self.0) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: AVX-512F is available (trait contract).
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: AVX-512F is available (trait contract).
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: AVX-512F is available (trait contract).
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: AVX-512F is available (trait contract).
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: AVX-512F is available (trait contract).
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
    }
}

/// Runs `body::<Lanes>(arguments)` compiled for the instruction set of this machine.
///
/// `body` must be `#[inline(always)]` so that it is compiled inside the function that enables the set.
macro_rules! dispatch {
    ($body:ident($($name:ident: $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx2,fma")]
            unsafe fn avx512($($name: $type),*) {
                // SAFETY: the enclosing function enables AVX-512F.
                unsafe { $body::<$crate::lanes::x86::Avx512>($($name),*) }
            }
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($name: $type),*) {
                // SAFETY: the enclosing function enables AVX2 and FMA.
                unsafe { $body::<$crate::lanes::x86::Avx2>($($name),*) }
            }
            match $crate::lanes::level() {
                // SAFETY: `level` returned this set, so the processor has it.
                $crate::lanes::Level::Avx512 => unsafe { avx512($($name),*) },
                // SAFETY: as above.
                $crate::lanes::Level::Avx2 => unsafe { avx2($($name),*) },
                // SAFETY: the portable lanes need no instruction set.
                $crate::lanes::Level::Portable => unsafe { $body::<$crate::lanes::Portable>($($name),*) },
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: the portable lanes need no instruction set.
        unsafe { $body::<$crate::lanes::Portable>($($name),*) }
    }};
}
pub(crate) use dispatch;

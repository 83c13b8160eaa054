//! Burn operations that use striate's kernels: forward, hand-written backward, and a reference.
//!
//! On a device without kernels each operation falls back to its reference, a composition of plain Burn
//! operations that means the same; tests hold the two against each other.

mod activation;
mod adam;
mod conv2d;
mod conv_gru;
mod conv_transpose2d;
mod depthwise;
mod factorised;
mod gaussian;
mod gru;
mod kernels;
mod linear;
mod norm;
mod temporal;
mod translate;
mod warp;

/// Where tensors live and are computed.
pub use burn::prelude::Device;
use burn::prelude::*;

pub use activation::{activate, activate_reference};
pub use adam::{Adam, AdamMoments, adam, adam_reference};
pub use conv_gru::{ConvGru, conv_gru, conv_gru_reference};
pub use conv_transpose2d::{conv_transpose2d, conv_transpose2d_reference};
pub use conv2d::{Conv2dOptions, conv2d, conv2d_reference};
pub use depthwise::{depthwise2d, depthwise2d_reference};
pub use factorised::{Masks, factorised, factorised_reference};
pub use gaussian::{gaussian, gaussian_reference};
pub use gru::{Gru, gru, gru_reference};
pub use linear::{linear, linear_reference};
pub use norm::{Moments, Normalise, folded, moments, normalise, normalise_reference};
pub use striate_kernels::activation::Activation;
pub use striate_kernels::memory::keep_freed as keep_freed_memory;
pub use temporal::{temporal, temporal_reference};
pub use translate::{translate, translate_reference};
pub use warp::{warp, warp_reference};

/// The device to compute on, by its name on the command line.
///
/// # Errors
/// [`Kind::Device`](crate::error::Kind::Device) for a name this build does not know.
pub fn device(name: &str) -> crate::error::Result<Device> {
    match name {
        "auto" | "cpu" => Ok(Device::flex()),
        other => Err(crate::error::Error::device(format!("there is no device `{other}` in this build"))
            .hint("this build knows `auto` and `cpu`")),
    }
}

/// Threads beyond which a number is a slip: starting them takes minutes.
const MOST_THREADS: usize = 1024;

/// Fixes the number of worker threads of this process; 0 means one per core.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for more than 1024,
/// [`Kind::Device`](crate::error::Kind::Device) when the threads cannot be started or already run.
pub fn set_threads(threads: usize) -> crate::error::Result<()> {
    crate::error::in_range("--threads", threads as f64, 0.0..=MOST_THREADS as f64)?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| crate::error::Error::device(format!("cannot start {threads} threads: {e}")))
}

/// Number of worker threads in use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Whether striate's own kernels run on the device of `x`.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    use burn::backend::DispatchDevice;
    matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
        && x.dtype() == burn::tensor::DType::F32
}

/// The instruction set of the kernels.
pub fn simd_level() -> striate_kernels::lanes::Level {
    striate_kernels::lanes::level()
}

//! Named arrays of a PyTorch checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pytorch_reader::{DType, PytorchReader, Tensor};

use super::{Array, Arrays};
use crate::disk;
use crate::error::{Error, Result};

/// A checkpoint that is open, of which nothing but names, types and shapes is read yet.
pub struct Checkpoint {
    reader: PytorchReader,
    path: PathBuf,
    size: u64,
}

impl Checkpoint {
    /// Opens what `torch.save(model.state_dict(), …)` wrote.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there is no such file, or it is no checkpoint.
    pub fn open(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_err() {
            return Err(Error::data("no such file").file(path));
        }
        let size =
            disk::open(path, disk::ARRAYS)?.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
        let reader = PytorchReader::new(path).map_err(|e| damaged(path, &e))?;
        Ok(Self { reader, path: path.to_owned(), size })
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.reader.tensors().keys().map(String::as_str)
    }

    /// Tensors whose names begin with `prefix`, which is taken off, as `f32` arrays. Whole numbers such as counters become
    /// fractions.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when one is damaged, holds numbers of another kind, or more than the file.
    pub fn read(&self, prefix: &str) -> Result<Arrays> {
        let tensors = self.reader.tensors();
        check_sizes(tensors.values().map(bytes_of), self.size).map_err(|e| e.file(&self.path))?;
        // In the order of their names, so that the first problem named is always the same. Trainers keep the weights beside
        // the state of their optimiser, which is not read.
        let wanted = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
        let read = |(name, tensor): (&str, &Tensor)| {
            let bytes = tensor.read().map_err(|e| damaged(&self.path, &e))?;
            let values = decode(tensor.dtype(), &bytes).ok_or_else(|| {
                Error::data(format!("holds {:?} numbers, expected f32 or f64", tensor.dtype()))
                    .file(&self.path)
                    .key(name)
            })?;
            Ok((name.to_owned(), Array { shape: tensor.shape().to_vec(), values }))
        };
        wanted.collect::<BTreeMap<_, _>>().into_iter().map(read).collect()
    }
}

fn damaged(path: &Path, e: &dyn std::fmt::Display) -> Error {
    Error::data(format!("is no readable PyTorch checkpoint: {e}"))
        .file(path)
        .hint("expected what `torch.save(model.state_dict(), …)` writes")
}

/// Bytes that the values of `tensor` take.
fn bytes_of(tensor: &Tensor) -> u64 {
    let bytes = |bytes: u64, &length: &usize| bytes.saturating_mul(length as u64);
    tensor.shape().iter().fold(tensor.dtype().size() as u64, bytes)
}

/// That tensors of these sizes are in a file of `size` bytes: a view can say that one number stands for billions.
fn check_sizes(tensors: impl Iterator<Item = u64>, size: u64) -> Result<()> {
    // Parts of a network that share their weights are stored once and named several times.
    const SHARED: u64 = 16;
    let claimed = tensors.fold(0, u64::saturating_add);
    if claimed <= size.saturating_mul(SHARED) {
        return Ok(());
    }
    let message = format!("names tensors of {claimed} bytes, and has itself only {size}");
    Err(Error::data(message).hint("save the tensors themselves (`tensor.contiguous()`), not expanded views"))
}

/// Little-endian numbers as `f32`.
fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    let values = match dtype {
        DType::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        DType::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        DType::I64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
        DType::I32 => bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    };
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_share_their_numbers_are_read_and_expanded_ones_refused() {
        check_sizes([400, 400, 400].into_iter(), 500).unwrap();
        for claimed in [vec![2_000_000_000], vec![u64::MAX, 2], vec![500; 17]] {
            let error = check_sizes(claimed.into_iter(), 485).unwrap_err();
            assert!(error.message().contains("has itself only 485"), "{error}");
        }
    }
}

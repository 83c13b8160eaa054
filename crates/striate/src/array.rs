//! Named arrays of `f32`, kept on disk as safetensors; read from PyTorch's checkpoints, too.

pub mod pytorch;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;

/// An array in C order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Array {
    /// Shape.
    pub shape: Vec<usize>,
    /// Values in C order.
    pub values: Vec<f32>,
}

/// Arrays by name, e.g. `core.layers.0.weight`.
pub type Arrays = BTreeMap<String, Array>;

impl Array {
    /// Whether every value is a finite number.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) with the number and place of those that are not, and `name`.
    pub fn require_finite(&self, name: &str) -> Result<()> {
        let wrong = self.values.iter().filter(|value| !value.is_finite()).count();
        let Some(at) = self.values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let message = format!("has values that are no finite numbers: {wrong}, the first at position {at}");
        Err(Error::data(message).key(name).hint("a fit that diverged leaves such weights"))
    }
}

/// Writes `arrays` to `path`, whole or not at all.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when the file cannot be written.
pub fn save(path: &Path, arrays: &Arrays) -> Result<()> {
    save_noted(path, arrays, None)
}

/// As [`save`], with texts by name in the metadata of the file.
///
/// # Errors
/// As [`save`].
pub fn save_noted(path: &Path, arrays: &Arrays, notes: Option<HashMap<String, String>>) -> Result<()> {
    let bytes: BTreeMap<&str, Vec<u8>> = arrays
        .iter()
        .map(|(name, array)| (name.as_str(), array.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = arrays.iter().map(|(name, array)| {
        TensorView::new(Dtype::F32, array.shape.clone(), &bytes[name.as_str()])
            .map(|view| (name.clone(), view))
            .map_err(|e| Error::data(e.to_string()).file(path).key(name))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let file = safetensors::serialize(views, notes).map_err(|e| Error::data(e.to_string()).file(path))?;
    disk::write_bytes(path, &file)
}

/// A hash of names, shapes and values.
pub fn digest(arrays: &Arrays) -> String {
    let add = |all: Digest, (name, array): (&String, &Array)| {
        all.bytes(name).bytes(format!("{:?}", array.shape)).numbers(&array.values)
    };
    arrays.iter().fold(Digest::default(), add).finish()
}

/// The text that [`save_noted`] wrote under `name`; none where there is none to be read.
pub fn note(path: &Path, name: &str) -> Option<String> {
    let bytes = disk::read(path, disk::ARRAYS).ok()?;
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).ok()?;
    metadata.metadata().as_ref()?.get(name).cloned()
}

/// Reads all arrays of `path`.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when the file cannot be read, [`Kind::Data`](crate::error::Kind::Data)
/// when it is no safetensors file or an array is not `f32`.
pub fn load(path: &Path) -> Result<Arrays> {
    load_where(path, |_| true)
}

/// As [`load`], of the arrays whose names are `wanted`.
///
/// # Errors
/// As [`load`].
pub fn load_where(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Arrays> {
    let bytes = disk::read(path, disk::ARRAYS)?;
    let file = safetensors::SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::data(format!("is not a readable safetensors file: {e}")).file(path))?;
    let all = file.iter().filter(|(name, _)| wanted(name));
    all.map(|(name, view)| Ok((name.to_owned(), read_view(&view, path, name)?))).collect()
}

fn read_view(view: &TensorView<'_>, path: &Path, name: &str) -> Result<Array> {
    if view.dtype() != Dtype::F32 {
        let message = format!("has type {:?}, expected F32", view.dtype());
        return Err(Error::data(message).file(path).key(name));
    }
    let (values, _) = view.data().as_chunks::<4>();
    let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Array { shape: view.shape().to_vec(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let array = Array { shape: vec![2, 3], values: vec![1.0, -0.0, f32::MIN_POSITIVE, 4.0, 5.5, 1e30] };
        let arrays = Arrays::from([
            ("a.b".to_owned(), array),
            ("c".to_owned(), Array { shape: vec![], values: vec![7.0] }),
        ]);
        save(&path, &arrays).unwrap();
        assert_eq!(load(&path).unwrap(), arrays);
        assert_eq!(note(&path, "model"), None);
        save_noted(&path, &arrays, Some([("model".into(), "c0ffee".into())].into())).unwrap();
        assert_eq!((load(&path).unwrap(), note(&path, "model").as_deref()), (arrays, Some("c0ffee")));
        std::fs::write(&path, b"\xff\xff\xff\xff\xff\xff\xff\xff").unwrap();
        assert_eq!(load(&path).unwrap_err().place().file.as_deref(), Some(path.as_path()));
    }
}

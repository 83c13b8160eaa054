//! SHA-256 of bytes and numbers: whether something is still what it was.

use sha2::{Digest as _, Sha256};

/// A hash in the making. What is added is kept apart: `ab` and `c` are not `a` and `bc`.
#[derive(Debug, Clone, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Adds bytes, or a text.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds numbers, bit by bit.
    #[must_use]
    pub fn numbers(self, values: &[f32]) -> Self {
        self.bytes(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// The hash, 64 hexadecimal digits.
    pub fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// The SHA-256 of bytes that come piece by piece, as `sha256sum` gives it.
#[derive(Debug, Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash, 64 hexadecimal digits.
    pub fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// The SHA-256 of `bytes`.
pub fn sum(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_kept_apart() {
        let of = |parts: &[&str]| parts.iter().fold(Digest::default(), Digest::bytes).finish();
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(Digest::default().numbers(&[0.0]).finish(), Digest::default().bytes([0; 4]).finish());
        assert_ne!(Digest::default().numbers(&[0.0]).finish(), Digest::default().numbers(&[-0.0]).finish());
        // By sha256sum, of nothing.
        assert!(Digest::default().finish().starts_with("e3b0c44298fc1c14"));
    }
}

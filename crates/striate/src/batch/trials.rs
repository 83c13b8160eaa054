//! Trials read on demand, scaled, and kept while memory allows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use burn::prelude::*;
use rayon::prelude::*;

use super::Normalisation;
use crate::error::Result;
use crate::recording::{Session, Stream};

/// Images `[batch, channel, height, width]` and responses `[batch, neuron]`, both scaled.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Images.
    pub images: Tensor<4>,
    /// Responses.
    pub responses: Tensor<2>,
}

/// Scaled trials of one session for chosen neurons.
#[derive(Debug)]
pub struct Trials<'a> {
    session: &'a Session,
    neurons: Vec<usize>,
    normalisation: Normalisation,
    kept: Vec<OnceLock<Arc<Pair>>>,
    free: AtomicUsize,
}

#[derive(Debug)]
struct Pair {
    image: Vec<f32>,
    responses: Vec<f32>,
}

impl<'a> Trials<'a> {
    /// Trials of `session`; at most `cache_mib` MiB of them are kept in memory.
    pub fn new(
        session: &'a Session,
        neurons: Vec<usize>,
        normalisation: Normalisation,
        cache_mib: usize,
    ) -> Self {
        let kept = (0..session.trials.len()).map(|_| OnceLock::new()).collect();
        Self {
            session,
            neurons,
            normalisation,
            kept,
            free: AtomicUsize::new(cache_mib.saturating_mul(1 << 20)),
        }
    }

    /// Shape of an image, `[channel, height, width]`.
    pub fn image_shape(&self) -> [usize; 3] {
        let shape = &self.session.stimulus.shape;
        [shape[0], shape[1], shape[2]]
    }

    /// The scaling in use.
    pub fn normalisation(&self) -> &Normalisation {
        &self.normalisation
    }

    /// Number of chosen neurons.
    pub fn neurons(&self) -> usize {
        self.neurons.len()
    }

    /// The given trials as one batch.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn batch(&self, trials: &[usize], device: &Device) -> Result<Batch> {
        let pairs = self.pairs(trials)?;
        let images: Vec<f32> = pairs.iter().flat_map(|pair| pair.image.iter().copied()).collect();
        let [channels, height, width] = self.image_shape();
        let images = TensorData::new(images, [trials.len(), channels, height, width]);
        let responses = TensorData::new(join(&pairs), [trials.len(), self.neurons.len()]);
        Ok(Batch {
            images: Tensor::from_data(images, device),
            responses: Tensor::from_data(responses, device),
        })
    }

    /// Scaled responses `[trial, neuron]` of the given trials.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn responses(&self, trials: &[usize]) -> Result<Vec<f32>> {
        Ok(join(&self.pairs(trials)?))
    }

    fn pairs(&self, trials: &[usize]) -> Result<Vec<Arc<Pair>>> {
        trials.par_iter().map(|&trial| self.pair(trial)).collect()
    }

    fn pair(&self, trial: usize) -> Result<Arc<Pair>> {
        if let Some(pair) = self.kept[trial].get() {
            return Ok(pair.clone());
        }
        let mut image = self.session.read(Stream::Images, trial)?;
        self.normalisation.scale_image(&mut image);
        let raw = self.session.read(Stream::Responses, trial)?;
        let scale = &self.normalisation.response_scale;
        let responses: Vec<f32> = self.neurons.iter().zip(scale).map(|(&n, scale)| raw[n] * scale).collect();
        let size = 4 * (image.len() + responses.len());
        let pair = Arc::new(Pair { image, responses });
        let room = |free: usize| free.checked_sub(size);
        if self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok() {
            let _ = self.kept[trial].set(pair.clone());
        }
        Ok(pair)
    }
}

fn join(pairs: &[Arc<Pair>]) -> Vec<f32> {
    pairs.iter().flat_map(|pair| pair.responses.iter().copied()).collect()
}

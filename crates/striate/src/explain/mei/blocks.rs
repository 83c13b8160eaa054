//! Searches of some neurons at a time, each block kept on disk as soon as it is found.

use std::path::PathBuf;

use burn::prelude::*;
use rayon::prelude::*;

use super::search::{Found, Search};
use super::{Options, Preset};
use crate::array::{self, Array, Arrays};
use crate::disk;
use crate::error::{Error, Result};
use crate::explain::filters::similarity;
use crate::hash::Digest;
use crate::model::weights::to_host;
use crate::run::RunFolder;

/// Samples that are shown at once.
const AT_ONCE: usize = 64;
/// Folder, below `explain/`, of a search that has not ended.
const UNFINISHED: &str = "mei-unfinished";

/// Searches of some neurons of a twin, and of the same before it was fitted.
pub(super) struct Blocks<'a> {
    pub search: Search<'a>,
    pub null: Search<'a>,
    /// Indices in the twin.
    pub neurons: &'a [usize],
    pub run: &'a RunFolder,
}

/// Removes what was kept.
pub(super) fn forget(run: &RunFolder) {
    let folder = run.explain(UNFINISHED);
    if folder.exists() {
        disk::remove_made_anew(&folder);
    }
}

impl Blocks<'_> {
    /// Arrays of all neurons, with one of them a row, those of earlier blocks read; none where `go_on` says no.
    pub fn found(&self, go_on: &mut dyn FnMut(usize, usize) -> bool) -> Result<Option<Arrays>> {
        let (options, samples) = (self.search.options, self.search.shape()[0]);
        let clips = match options.preset {
            Preset::Sound => options.starts.max(options.diverse),
            _ => AT_ONCE,
        };
        let blocks: Vec<&[usize]> = self.neurons.chunks((AT_ONCE / (clips * samples)).max(1)).collect();
        let (mut all, mut done) = (Arrays::new(), 0);
        for block in blocks {
            if !go_on(done, self.neurons.len()) {
                return Ok(None);
            }
            append(&mut all, self.block(block)?);
            done += block.len();
        }
        go_on(done, done);
        Ok(Some(all))
    }

    /// What was kept of a block, or is found now.
    fn block(&self, neurons: &[usize]) -> Result<Arrays> {
        let path = self.place(neurons);
        if let Ok(kept) = array::load(&path) {
            return Ok(kept);
        }
        let found = match self.search.options.preset {
            Preset::Sound => self.best(neurons),
            Preset::Xu2023 | Preset::Xu2023C1 => self.published(neurons),
        };
        // One start has nothing to be alike.
        let broken = found.iter().find(|(name, array)| {
            name.as_str() != "alike" && array.values.iter().any(|value| !value.is_finite())
        });
        if let Some((name, _)) = broken {
            return Err(
                Error::data(format!("`{name}` is no number: the model overflows")).file(self.run.path())
            );
        }
        path.parent().map_or(Ok(()), disk::create_folder)?;
        array::save(&path, &found)?;
        Ok(found)
    }

    /// A name that says all that the block depends on.
    fn place(&self, neurons: &[usize]) -> PathBuf {
        let Search { twin, options, limits, .. } = &self.search;
        // Neither how many neurons are asked, nor which come first, changes what one of them prefers.
        let asked = Options { neurons: 0, order: super::Order::First, ..(*options).clone() };
        let key = Digest::default()
            .bytes(env!("CARGO_PKG_VERSION"))
            .bytes(twin.digest())
            .bytes(serde_json::to_vec(&asked).unwrap_or_default())
            .bytes(format!("{neurons:?}"))
            .numbers(&[limits.grey, limits.contrast, limits.low, limits.high]);
        self.run.explain(UNFINISHED).join(format!("{}.safetensors", &key.finish()[..16]))
    }

    /// The best of several starts.
    fn best(&self, neurons: &[usize]) -> Arrays {
        let search = &self.search;
        let starts = search.options.starts;
        let of = |neuron: &usize| (0..starts as u64).map(|start| (*neuron, start)).collect::<Vec<_>>();
        let begun: Vec<(usize, u64)> = neurons.iter().flat_map(of).collect();
        let asked: Vec<usize> = begun.iter().map(|start| start.0).collect();
        let Found { stimuli, behaviour, response } = search.climb(search.starts(&begun), &asked);
        let responses = to_host(response).values;
        let best: Vec<usize> = responses.chunks_exact(starts).map(argmax).collect();
        let rows: Vec<usize> = best.iter().enumerate().map(|(at, best)| at * starts + best).collect();
        let chosen = select(&stimuli, &rows, search.device);
        let reached: Vec<f32> = rows.iter().map(|&row| responses[row]).collect();
        let mut found = self.beside(neurons, &chosen);
        let values = to_host(stimuli).values;
        let size = values.len() / asked.len();
        found.insert("alike".into(), column(alike(&values, size, starts)));
        found.insert("response".into(), column(reached.clone()));
        if let Some(behaviour) = behaviour {
            let samples = search.shape()[0];
            let [all, variables] = behaviour.dims();
            let clips = search.states.recorded(behaviour).reshape([all / samples, samples * variables]);
            let values = to_host(select(&clips, &rows, search.device)).values;
            found
                .insert("behaviour".into(), Array { shape: vec![neurons.len(), samples, variables], values });
        }
        if search.options.diverse > 1 {
            let reached =
                Tensor::<1>::from_floats(reached.as_slice(), search.device).reshape([rows.len(), 1]);
            let (stimuli, responses) = search.diverse(neurons, &reached);
            let images = search.options.diverse;
            found.insert("diverse".into(), self.pixels(stimuli, &[neurons.len(), images]));
            let values = to_host(responses).values;
            found.insert("diverse_response".into(), Array { shape: vec![neurons.len(), images], values });
        }
        found
    }

    /// The mean over all starts, as published.
    fn published(&self, neurons: &[usize]) -> Arrays {
        let each: Vec<Found> = neurons.iter().map(|&neuron| self.search.published(neuron)).collect();
        let stimuli = Tensor::cat(each.iter().map(|found| found.stimuli.clone()).collect(), 0);
        let mut found = self.beside(neurons, &stimuli);
        let response = Tensor::cat(each.iter().map(|found| found.response.clone()).collect(), 0);
        found.insert("response".into(), column(to_host(response).values));
        let behaviour: Option<Vec<Tensor<2>>> = each.into_iter().map(|found| found.behaviour).collect();
        if let Some(behaviour) = behaviour {
            let rows = self.search.states.recorded(Tensor::cat(behaviour, 0));
            let (samples, values) = (self.search.shape()[0], to_host(rows));
            let shape = vec![neurons.len(), samples, values.shape[1]];
            found.insert("behaviour".into(), Array { shape, values: values.values });
        }
        found
    }

    /// The stimuli, their responses with behaviour at its mean, and what the same search finds in the model before it was fitted.
    fn beside(&self, neurons: &[usize], stimuli: &Tensor<2>) -> Arrays {
        let first: Vec<(usize, u64)> = neurons.iter().map(|&neuron| (neuron, 0)).collect();
        let null = match self.null.options.preset {
            Preset::Sound => self.null.climb(self.null.starts(&first), neurons).stimuli,
            _ => {
                let each = neurons.iter().map(|&neuron| self.null.published(neuron).stimuli);
                Tensor::cat(each.collect(), 0)
            }
        };
        let responses = |stimuli| column(to_host(self.search.responses(stimuli, neurons, None)).values);
        let named = [
            ("at_mean", responses(stimuli)),
            ("null_response", responses(&null)),
            ("mei", self.pixels(stimuli.clone(), &[neurons.len()])),
            ("null", self.pixels(null, &[neurons.len()])),
        ];
        named.into_iter().map(|(name, array)| (name.to_owned(), array)).collect()
    }

    /// Deviations from grey as pixels, `[.., sample, channel, height, width]`.
    fn pixels(&self, stimuli: Tensor<2>, axes: &[usize]) -> Array {
        let values = to_host(stimuli.add_scalar(self.search.limits.grey)).values;
        Array { shape: [axes, &self.search.shape()].concat(), values }
    }
}

fn select(rows: &Tensor<2>, chosen: &[usize], device: &Device) -> Tensor<2> {
    let chosen: Vec<i64> = chosen.iter().map(|&row| row as i64).collect();
    rows.clone().select(0, Tensor::<1, Int>::from_ints(chosen.as_slice(), device))
}

fn column(values: Vec<f32>) -> Array {
    Array { shape: vec![values.len()], values }
}

/// The first of the largest.
fn argmax(values: &[f32]) -> usize {
    (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a }).unwrap_or(0)
}

/// Mean cosine over pairs of starts, of each neuron; NaN of a single start.
fn alike(stimuli: &[f32], size: usize, starts: usize) -> Vec<f32> {
    let of = |stimuli: &[f32]| {
        let pairs = (0..starts).flat_map(|a| (a + 1..starts).map(move |b| (a, b)));
        let each = pairs.map(|(a, b)| similarity(&stimuli[a * size..][..size], &stimuli[b * size..][..size]));
        let (sum, count) = each.fold((0.0, 0), |(sum, count), one| (sum + one, count + 1));
        (sum / f64::from(count)) as f32
    };
    stimuli.par_chunks_exact(size * starts).map(of).collect()
}

/// Rows of `more` behind those of `all`.
fn append(all: &mut Arrays, more: Arrays) {
    for (name, array) in more {
        match all.get_mut(&name) {
            None => drop(all.insert(name, array)),
            Some(known) => {
                known.shape[0] += array.shape[0];
                known.values.extend(array.values);
            }
        }
    }
}

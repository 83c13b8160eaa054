//! Mouse V1 recordings published with Antolik et al. 2016: five arrays per region.
//!
//! The names in the files are inverted: `validation` is the test set, shown repeatedly. A trial is
//! one row of `training_set`, or one image in one repeat of `raw_validation_set`. The 80/20 split of
//! the training rows that Klindt et al. 2017 used (one permutation of NumPy's legacy generator, seed
//! 1) is not part of the recording: whoever fits makes the validation tier.
//!
//! # Source
//! Antolik, Hofer, Bednar, Mrsic-Flogel 2016 (doi 10.1371/journal.pcbi.1004927), supplement S1.

use std::path::PathBuf;
use std::sync::Arc;

use super::root::Root;
use super::{Format, Neurons, Session, StimulusInfo, Stream, StreamInfo, Tier, Trial, TrialSource, Window};
use crate::error::{Error, Result};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "antolik2016",
    layout: "a folder region<n> with training_set.npy, raw_validation_set.npy, validation_inputs.npy, …",
    recognise,
    open,
};

const TRAINING_INPUTS: &str = "training_inputs.npy";
const TRAINING_SET: &str = "training_set.npy";
const TEST_INPUTS: &str = "validation_inputs.npy";
const TEST_MEAN: &str = "validation_set.npy";
const TEST_REPEATS: &str = "raw_validation_set.npy";
/// A region has about 2 million pixel values; arrays beyond this are something else.
const MOST_ELEMENTS: usize = 1 << 22;

fn recognise(root: &Root) -> bool {
    root.has(TEST_REPEATS) || (root.has(TRAINING_SET) && root.has(TEST_MEAN))
}

fn open(root: &Root) -> Result<Session> {
    let region = Region::read(root)?;
    let side = region.side()?;
    let shape = vec![1, side, side];
    Ok(Session {
        id: root.name(),
        format: FORMAT.id,
        path: root.place(""),
        neurons: Neurons { ids: (0..region.neurons as i64).collect(), ..Neurons::default() },
        trials: region.trials(),
        stimulus: StimulusInfo { kind: "image", shape: shape.clone(), rate_hz: None },
        streams: vec![
            StreamInfo { stream: Stream::Images, shape, variables: Vec::new() },
            StreamInfo { stream: Stream::Responses, shape: vec![region.neurons], variables: Vec::new() },
        ],
        statistics: Default::default(),
        licence: None,
        warnings: region.warnings()?,
        source: Arc::new(region),
    })
}

/// The arrays of one region; a few megabytes, so they stay in memory.
#[derive(Debug)]
struct Region {
    root: Root,
    training_inputs: Option<Table>,
    training_set: Table,
    test_inputs: Table,
    test_repeats: Table,
    neurons: usize,
    /// Distinct test images.
    images: usize,
}

/// Rows of one file, one per trial or image.
#[derive(Debug)]
struct Table {
    file: &'static str,
    width: usize,
    values: Vec<f32>,
}

impl Region {
    fn read(root: &Root) -> Result<Self> {
        let repeats = root.numbers(TEST_REPEATS, MOST_ELEMENTS)?;
        let &[_, images, neurons] = repeats.shape.as_slice() else {
            let message = format!("has shape {:?}, expected [repeat, image, neuron]", repeats.shape);
            return Err(Error::data(message).file(root.place(TEST_REPEATS)).key("responses"));
        };
        let test_inputs = Table::read(root, TEST_INPUTS, Some(images), None)?;
        let pixels = Some(test_inputs.width);
        let training_set = Table::read(root, TRAINING_SET, None, Some(neurons))?;
        let training_inputs = root
            .has(TRAINING_INPUTS)
            .then(|| Table::read(root, TRAINING_INPUTS, Some(training_set.rows()), pixels))
            .transpose()?;
        let values = repeats.to_f32().map_err(|error| error.file(root.place(TEST_REPEATS)))?;
        let test_repeats = Table { file: TEST_REPEATS, width: neurons, values };
        Ok(Self {
            root: root.clone(),
            training_inputs,
            training_set,
            test_inputs,
            test_repeats,
            neurons,
            images,
        })
    }

    /// Pixels along one side of the square images.
    fn side(&self) -> Result<usize> {
        let pixels = self.test_inputs.width;
        let side = pixels.isqrt();
        if side * side == pixels && self.neurons > 0 && self.images > 0 {
            return Ok(side);
        }
        let message = format!("images of {pixels} pixels are not square, or there are no images or neurons");
        Err(Error::data(message).file(self.root.place(TEST_INPUTS)).key("images"))
    }

    fn trials(&self) -> Vec<Trial> {
        let has_stimulus = self.training_inputs.is_some();
        let train = (0..self.training_set.rows()).map(|row| Trial {
            id: row.to_string(),
            tier: Tier::Train,
            stimulus_id: format!("train-{row}"),
            has_stimulus,
            samples: 1,
        });
        let test = (0..self.test_repeats.rows()).map(|row| Trial {
            id: (self.training_set.rows() + row).to_string(),
            tier: Tier::Test,
            stimulus_id: (row % self.images).to_string(),
            has_stimulus: true,
            samples: 1,
        });
        train.chain(test).collect()
    }

    fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        if self.training_inputs.is_none() {
            warnings.push(
                "training images are missing: this recording can be scored and inspected but not trained on"
                    .to_owned(),
            );
        }
        if self.root.has(TEST_MEAN) && !self.mean_agrees()? {
            warnings.push(format!("{TEST_MEAN} is not the mean of {TEST_REPEATS} over repeats"));
        }
        Ok(warnings)
    }

    fn mean_agrees(&self) -> Result<bool> {
        let stored = Table::read(&self.root, TEST_MEAN, Some(self.images), Some(self.neurons))?;
        let mut sums = vec![0.0f64; stored.values.len()];
        for (index, &value) in self.test_repeats.values.iter().enumerate() {
            sums[index % stored.values.len()] += f64::from(value);
        }
        let repeats = (self.test_repeats.rows() / self.images) as f64;
        let close = |(&sum, &mean): (&f64, &f32)| {
            (sum / repeats - f64::from(mean)).abs() <= 1e-4 * (1.0 + f64::from(mean).abs())
        };
        Ok(sums.iter().zip(&stored.values).all(close))
    }

    /// The table and row that hold `stream` of `trial`.
    fn row(&self, stream: Stream, trial: usize) -> Option<(&Table, usize)> {
        let training = self.training_set.rows();
        match (stream, trial.checked_sub(training)) {
            (Stream::Images, None) => self.training_inputs.as_ref().map(|table| (table, trial)),
            (Stream::Images, Some(row)) => Some((&self.test_inputs, row % self.images)),
            (Stream::Responses, None) => Some((&self.training_set, trial)),
            (Stream::Responses, Some(row)) => Some((&self.test_repeats, row)),
            (Stream::Behavior | Stream::PupilCenter, _) => None,
        }
    }
}

impl Table {
    /// A matrix, held against the numbers of rows and columns that are known.
    fn read(root: &Root, file: &'static str, rows: Option<usize>, width: Option<usize>) -> Result<Self> {
        let array = root.numbers(file, MOST_ELEMENTS)?;
        let fits = matches!(*array.shape, [r, w] if rows.is_none_or(|rows| rows == r) && width.is_none_or(|width| width == w));
        if !fits {
            let show = |known: Option<usize>| known.map_or("any".to_owned(), |length| length.to_string());
            let message = format!("has shape {:?}, expected [{}, {}]", array.shape, show(rows), show(width));
            return Err(Error::data(message)
                .file(root.place(file))
                .hint("are all files of the same region?"));
        }
        let values = array.to_f32().map_err(|error| error.file(root.place(file)))?;
        Ok(Self { file, width: array.shape[1], values })
    }

    fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
}

impl TrialSource for Region {
    fn stamp(&self) -> Option<String> {
        self.root.stamp()
    }

    fn read(&self, Window { stream, trial, shape, .. }: Window<'_>) -> Result<Vec<f32>> {
        let values = self.row(stream, trial).and_then(|(table, row)| {
            let values = table.values.get(row * table.width..(row + 1) * table.width)?;
            (table.width == shape.iter().product::<usize>()).then(|| values.to_vec())
        });
        values.ok_or_else(|| Error::data(format!("has no values of shape {shape:?} for this trial")))
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        let absent = if stream == Stream::Images { TRAINING_INPUTS } else { "" };
        self.root.place(self.row(stream, trial).map_or(absent, |(table, _)| table.file))
    }

    fn table(&self, name: &str) -> PathBuf {
        self.root.place(name)
    }
}

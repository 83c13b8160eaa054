//! The right answers of a simulated recording: the folder `truth/` beside its data.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::movies::cell::Population;
use super::network::POSITIONS;
use super::world::GroundTruth;
use super::{DogNeuron, Kind, Neuron, Parameters, Simulation};
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::xu2023::SIGNALS;
use crate::recording::{Session, npy};

const FORMAT: u64 = 1;

/// What is known about a simulated recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// What it was made from.
    pub parameters: Parameters,
    /// Type of each neuron.
    pub types: Vec<usize>,
    /// Centre of each neuron, row and column of a mask after a valid convolution.
    pub locations: Vec<[f32; 2]>,
    /// Kernels of linear neurons, `[neuron, row, column]`.
    pub kernels: Option<Vec<f32>>,
    /// Filters of neurons that see movies.
    pub filters: Option<Filters>,
    responses: Responses,
}

/// Where the noise-free responses are.
#[derive(Debug, Clone, PartialEq)]
enum Responses {
    /// Of images, `[trial, neuron]`.
    Held(Vec<f32>),
    /// Of movies, in a file for each trial of so many samples, `[neuron, sample]`.
    Stored { folder: PathBuf, samples: Vec<usize> },
}

/// Filters in space and time, one of a linear neuron and two of an energy neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Filters {
    /// Whether each neuron has one filter only.
    pub linear: Vec<bool>,
    /// Row and column of the first pixel of each neuron's patch.
    pub corner: Vec<[usize; 2]>,
    /// Latency of each neuron.
    pub latency_ms: Vec<f32>,
    /// Rows, and columns, of a patch.
    pub side: usize,
    /// Number of lags.
    pub lags: usize,
    /// `[neuron, component, row, column]`.
    space: Vec<f32>,
    /// `[neuron, filter, component, lag]`.
    time: Vec<f32>,
}

impl Filters {
    /// A filter of a neuron, `[lag, row, column]` of its patch; lag 0 is the frame of the response.
    pub fn filter(&self, neuron: usize, filter: usize) -> Vec<f32> {
        let pixels = self.side * self.side;
        let space = |component: usize| &self.space[(2 * neuron + component) * pixels..][..pixels];
        let time =
            |component: usize| &self.time[(4 * neuron + 2 * filter + component) * self.lags..][..self.lags];
        let at = |lag: usize, pixel: usize| {
            (0..2).map(|component| time(component)[lag] * space(component)[pixel]).sum::<f32>()
        };
        (0..self.lags).flat_map(|lag| (0..pixels).map(move |pixel| at(lag, pixel))).collect()
    }

    /// All filters of a neuron, `[lag, row, column]` of a frame so large; of at least so many lags, 0 behind the last.
    pub fn of_frame(&self, neuron: usize, [height, width]: [usize; 2], lags: usize) -> Vec<Vec<f32>> {
        let [top, left] = self.corner[neuron];
        let whole = |filter: usize| {
            let mut all = vec![0.0; lags.max(self.lags) * height * width];
            for (at, &value) in self.filter(neuron, filter).iter().enumerate() {
                let (lag, row, column) = (at / self.side.pow(2), at / self.side % self.side, at % self.side);
                all[(lag * height + top + row) * width + left + column] = value;
            }
            all
        };
        (0..if self.linear[neuron] { 1 } else { 2 }).map(whole).collect()
    }

    fn read(folder: &Path, of: &Population, kinds: &[Kind], types: &[usize]) -> Result<Self> {
        let (n, side, lags) = (types.len(), of.patch(), of.lags());
        let damaged = |name: &str, why: &str| Err(Error::data(why).file(folder.join(name)));
        let corner = read(folder, "corner.npy", &[n, 2])?;
        let corner: Vec<[usize; 2]> =
            corner.chunks_exact(2).map(|at| [at[0] as usize, at[1] as usize]).collect();
        let is_within = |at: usize, most: usize| at.checked_add(side).is_some_and(|end| end <= most);
        if !corner.iter().all(|&[row, column]| is_within(row, of.shape[0]) && is_within(column, of.shape[1]))
        {
            return damaged("corner.npy", "names a patch that does not lie in the frame");
        }
        if types.iter().any(|&kind| kind >= kinds.len()) {
            return damaged("type.npy", "names a kind that there is not");
        }
        Ok(Self {
            linear: types.iter().map(|&kind| kinds[kind].is_linear()).collect(),
            corner,
            latency_ms: read(folder, "latency_ms.npy", &[n])?,
            side,
            lags,
            space: read(folder, "space.npy", &[n, 2, side, side])?,
            time: read(folder, "time.npy", &[n, 2, 2, lags])?,
        })
    }
}

/// `truth.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u64,
    striate: String,
    /// With the name of their generator.
    #[serde(flatten)]
    parameters: Parameters,
    #[serde(default)]
    notes: Vec<String>,
}

impl Truth {
    /// Truth of `session`, in the folder of its recording; `None` when it is not a simulation.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the file that is damaged, written by a newer striate, or speaks of
    /// other neurons or trials than those of `session`.
    pub fn open(session: &Session) -> Result<Option<Self>> {
        if !is_simulation(&session.path) {
            return Ok(None);
        }
        let folder = session.path.join("truth");
        let parameters = read_parameters(&folder)?;
        check_session(&parameters, session).map_err(|e| e.file(&folder))?;
        let neurons = session.neurons.len();
        let types: Vec<usize> =
            read(&folder, "type.npy", &[neurons])?.iter().map(|&kind| kind as usize).collect();
        let locations = read(&folder, "locations.npy", &[neurons, 2])?;
        let kernels = |side| read(&folder, "kernels.npy", &[neurons, side, side]);
        let samples = session.trials.iter().map(|trial| trial.samples).collect();
        let (filters, responses) = match parameters.cells() {
            Some((of, kinds)) => (
                Some(Filters::read(&folder, &of, kinds, &types)?),
                Responses::Stored { folder: folder.clone(), samples },
            ),
            None => {
                (None, Responses::Held(read(&folder, "responses.npy", &[session.trials.len(), neurons])?))
            }
        };
        Ok(Some(Self {
            types,
            locations: locations.chunks_exact(2).map(|at| [at[0], at[1]]).collect(),
            kernels: kernel(&parameters).map(kernels).transpose()?,
            filters,
            responses,
            parameters,
        }))
    }

    /// Noise-free responses in a trial of the recording, `[sample, neuron]`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the file of a movie is missing or damaged.
    pub fn responses(&self, trial: usize) -> Result<Vec<f32>> {
        let neurons = self.types.len();
        match &self.responses {
            Responses::Held(all) => Ok(all[trial * neurons..][..neurons].to_vec()),
            Responses::Stored { folder, samples } => {
                let samples = samples[trial];
                let stored = read(folder, &format!("responses/{trial}.npy"), &[neurons, samples])?;
                Ok(transposed(&stored, samples))
            }
        }
    }

    /// How the retina of a mouse that moves freely is shifted and turned in a trial, `[sample][3]`: right and down in pixels, clockwise in
    /// degrees; none of other animals.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the file is missing or damaged.
    pub fn gaze(&self, trial: usize) -> Result<Option<Vec<[f32; 3]>>> {
        let (Parameters::FreelyMoving(_), Responses::Stored { folder, samples }) =
            (&self.parameters, &self.responses)
        else {
            return Ok(None);
        };
        let stored = read(folder, &format!("gaze/{trial}.npy"), &[samples[trial], 3])?;
        Ok(Some(stored.as_chunks().0.to_vec()))
    }

    /// Which signals modulate each neuron of a mouse that moves freely, −1, 0 or 1 of each of
    /// [`SIGNALS`](crate::recording::xu2023::SIGNALS); none of other animals.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the file is missing or damaged.
    pub fn modulation(&self) -> Result<Option<Vec<[f32; SIGNALS.len()]>>> {
        let (Parameters::FreelyMoving(_), Responses::Stored { folder, .. }) =
            (&self.parameters, &self.responses)
        else {
            return Ok(None);
        };
        let stored = read(folder, "modulation.npy", &[self.types.len(), SIGNALS.len()])?;
        Ok(Some(stored.as_chunks().0.to_vec()))
    }

    /// Centre of each neuron, row and column in pixels of the image.
    pub fn centres(&self) -> Vec<[f64; 2]> {
        // A map after valid convolutions lies in the middle of the image.
        let edge = self.parameters.images().map_or(0.0, |images| {
            let [_, side, _] = images.design().image_shape;
            let map = images.kernel().map_or(POSITIONS, |kernel| side - kernel + 1);
            (side - map) as f64 / 2.0
        });
        self.locations.iter().map(|at| at.map(|value| f64::from(value) + edge)).collect()
    }

    /// The filter of a linear neuron that sees images, `[row, column]` of a frame so large; none of other neurons.
    pub fn linear_filter(&self, neuron: usize, [height, width]: [usize; 2]) -> Option<Vec<f32>> {
        let (kernels, side) = (self.kernels.as_ref()?, kernel(&self.parameters)?);
        let [top, left] = self.locations[neuron].map(|at| at.round() as usize);
        let mut frame = vec![0.0; height * width];
        for (at, &value) in kernels[neuron * side * side..][..side * side].iter().enumerate() {
            let (row, column) = (top + at / side, left + at % side);
            *frame.get_mut(row * width + column).filter(|_| column < width)? = value;
        }
        Some(frame)
    }

    /// Kind of a neuron of the recording and its filters on a frame so large, `[lag, pixel]` of so many lags; none where no filter is known.
    pub fn filters_of(
        &self,
        neuron: usize,
        frame: [usize; 2],
        lags: usize,
    ) -> Option<(&'static str, Vec<Vec<f32>>)> {
        match &self.filters {
            Some(filters) => Some((self.kinds()[self.types[neuron]], filters.of_frame(neuron, frame, lags))),
            None => Some(("linear", vec![self.linear_filter(neuron, frame)?])),
        }
    }

    /// Name of each type, where types have one.
    pub fn kinds(&self) -> Vec<&'static str> {
        let kinds = self.parameters.cells().map_or(&[][..], |(_, kinds)| kinds);
        kinds.iter().map(|kind| kind.name()).collect()
    }
}

/// Side of the kernels in pixels, where neurons have one.
fn kernel(parameters: &Parameters) -> Option<usize> {
    parameters.images()?.kernel()
}

/// `[sample, neuron]` of `[neuron, sample]`.
pub(super) fn transposed(values: &[f32], samples: usize) -> Vec<f32> {
    let neurons = values.len() / samples;
    let mut out = vec![0.0; values.len()];
    for (neuron, row) in values.chunks_exact(samples).enumerate() {
        row.iter().enumerate().for_each(|(sample, value)| out[sample * neurons + neuron] = *value);
    }
    out
}

/// Rows and columns of the truth are those of the recording.
fn check_session(parameters: &Parameters, session: &Session) -> Result<()> {
    let truth = match (parameters, parameters.images().map(GroundTruth::design)) {
        (Parameters::Movies(of), _) => [of.neurons, of.trials()],
        (Parameters::FreelyMoving(of), _) => [of.neurons, of.trials()],
        (_, design) => design.map_or([0; 2], |design| [design.neurons, design.trials()]),
    };
    let here = [session.neurons.len(), session.trials.len()];
    if truth == here {
        return Ok(());
    }
    let counts = |[neurons, trials]: [usize; 2]| format!("{neurons} neurons in {trials} trials");
    Err(Error::data(format!("speaks of {}, the recording holds {}", counts(truth), counts(here)))
        .hint("restore the one that was changed; a recording without `truth/` is scored like any other"))
}

/// Whether `path` is a recording that striate simulated.
pub(super) fn is_simulation(path: &Path) -> bool {
    path.join("truth/truth.json").is_file()
}

/// What the simulation at `path` was made from; none where it is none.
pub(super) fn parameters_of(path: &Path) -> Option<Parameters> {
    read_parameters(&path.join("truth")).ok()
}

/// Whether [`write`] gives a file of a recording this name.
pub(super) fn is_file(name: &str) -> bool {
    const KNOWN: [&str; 13] = [
        "truth.json",
        "type.npy",
        "locations.npy",
        "responses.npy",
        "kernels.npy",
        "rf.npy",
        "corner.npy",
        "space.npy",
        "time.npy",
        "latency_ms.npy",
        "gain.npy",
        "modulation.npy",
        "rate_hz.npy",
    ];
    let Some(name) = name.strip_prefix("truth/") else { return false };
    let of_trials =
        name.split_once('/').filter(|(folder, _)| ["responses", "gaze", "signals"].contains(folder));
    let trial = of_trials.and_then(|(_, name)| name.strip_suffix(".npy"));
    KNOWN.contains(&name) || trial.is_some_and(|trial| trial.parse::<usize>().is_ok())
}

/// Writes `folder/truth`; `responses` are noise-free, `[trial, neuron]`.
pub(super) fn write(simulation: &Simulation, responses: &[f32], folder: &Path) -> Result<()> {
    let (neurons, folder) = (simulation.neurons(), folder.join("truth"));
    let n = neurons.len();
    let types: Vec<i64> = neurons.iter().map(|neuron| neuron.kind as i64).collect();
    let location = |neuron: &Neuron| neuron.location.map(|value| value as f32);
    let locations: Vec<f32> = neurons.iter().flat_map(location).collect();
    put(&folder, "type.npy", &npy::write_i64(&[n], &types))?;
    put(&folder, "locations.npy", &npy::write_f32(&[n, 2], &locations))?;
    put(&folder, "responses.npy", &npy::write_f32(&[simulation.trials(), n], responses))?;
    if let Some(kernel) = kernel(simulation.parameters()) {
        write_receptive_fields(simulation, kernel, &folder)?;
    }
    put(&folder, "truth.json", &header(simulation.parameters()))
}

fn write_receptive_fields(simulation: &Simulation, kernel: usize, folder: &Path) -> Result<()> {
    let (neurons, [_, height, width]) = (simulation.linear(), simulation.design().image_shape);
    let array = |of: &dyn Fn(&DogNeuron) -> Vec<f64>| -> Vec<f32> {
        neurons.iter().flat_map(of).map(|value| value as f32).collect()
    };
    let kernels = array(&|neuron| neuron.kernel.clone());
    let fields = array(&|neuron| neuron.receptive_field(width));
    put(folder, "kernels.npy", &npy::write_f32(&[neurons.len(), kernel, kernel], &kernels))?;
    put(folder, "rf.npy", &npy::write_f32(&[neurons.len(), height, width], &fields))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    disk::write_bytes(&folder.join(name), bytes)
}

pub(super) fn header(parameters: &Parameters) -> Vec<u8> {
    let header = Header {
        format: FORMAT,
        striate: env!("CARGO_PKG_VERSION").into(),
        parameters: parameters.clone(),
        notes: parameters.notes().iter().copied().map(Into::into).collect(),
    };
    serde_json::to_vec_pretty(&header).expect("plain data")
}

fn read_parameters(folder: &Path) -> Result<Parameters> {
    let path = folder.join("truth.json");
    let text = disk::read_text(&path, disk::TEXT)?;
    let damaged = |error: &dyn std::fmt::Display| Error::data(format!("is damaged: {error}")).file(&path);
    // The format first: what follows it may look different in a newer one.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    let newer = "was it written by a newer striate?";
    if value["format"].as_u64() > Some(FORMAT) {
        let message =
            format!("is a simulation of format {}, known are those up to {FORMAT}", value["format"]);
        return Err(Error::data(message).file(&path).hint(newer));
    }
    let header: Header = serde_json::from_value(value).map_err(|error| damaged(&error).hint(newer))?;
    let parameters = header.parameters;
    let writable = parameters.check().and_then(|()| match parameters.images() {
        Some(images) => images.design().check_writable(),
        None => Ok(()),
    });
    writable.map_err(|error| damaged(&error))?;
    Ok(parameters)
}

fn read(folder: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let path = folder.join(name);
    let bytes = disk::read(&path, disk::ARRAYS)?;
    let values = npy::parse(bytes).and_then(|array| array.expect(shape)?.to_f32());
    values.map_err(|error| error.file(&path))
}

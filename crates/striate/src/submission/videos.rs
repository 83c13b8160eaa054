//! The submission of videos: Parquet with Brotli, one row per trial, for the trials of several mice.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::require_all;
use crate::batch::FramePrecisions;
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::{Session, Tier};
use crate::score::Preset;

/// Columns in the order in which they are written.
pub const VIDEO_COLUMNS: [&str; 4] = ["mouse", "trial_indices", "prediction", "neuron_ids"];
/// As pandas has them written: a prediction is a list per neuron with a value per frame.
const SCHEMA: &str = "message schema {
    optional binary mouse (STRING);
    optional int64 trial_indices;
    optional group prediction (LIST) { repeated group list {
        optional group element (LIST) { repeated group list { optional double element; } } } }
    optional group neuron_ids (LIST) { repeated group list { optional int64 element; } }
}";

/// Hands over the predictions of some trials, one trial after another: `[sample, neuron]` in recorded units, of the last
/// samples of the trial.
pub type Predict<'a> = dyn FnMut(&[usize], &mut dyn FnMut(usize, &[f32]) -> Result<()>) -> Result<()> + 'a;

/// What is submitted for one mouse.
pub struct Mouse<'a> {
    /// Its recording.
    pub session: &'a Session,
    /// Neurons that are predicted, indices into the recording, which must be all of them.
    pub neurons: &'a [usize],
    /// Predicts its trials.
    pub predict: &'a mut Predict<'a>,
}

/// Writes the submission of a tier for some mice, trial after trial.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a mouse is named twice, lacks neurons, statistics or the tier, when a trial is
/// too short, or a prediction is not finite or missing; [`Kind::Io`](crate::error::Kind::Io) when `path` cannot be written.
pub fn write_videos(path: &Path, mice: &mut [Mouse<'_>], tier: &Tier) -> Result<()> {
    let sessions: Vec<&Session> = mice.iter().map(|mouse| mouse.session).collect();
    let forms = forms(&sessions, tier)?;
    for (mouse, form) in mice.iter().zip(&forms) {
        require_all(mouse.session, mouse.neurons)?;
        form.frames.iter().zip(&form.trials).try_for_each(|(frames, &trial)| match frames {
            0 => Err(too_short(mouse.session, trial)),
            _ => Ok(()),
        })?;
    }
    let mut refused = None;
    let written = disk::write_atomic(path, |out| {
        let filled = Submission::new(out).and_then(|mut submission| {
            mice.iter_mut().zip(&forms).try_for_each(|(mouse, form)| submission.add(mouse, form))?;
            submission.finish()
        });
        filled.map_err(|error| {
            let message = error.to_string();
            refused = Some(error);
            io::Error::other(message)
        })
    });
    match refused {
        Some(error) => Err(error),
        None => written,
    }
}

/// What a submission holds of one mouse.
pub(super) struct Form<'a> {
    pub session: &'a Session,
    /// Trials of the tier, in file order.
    pub trials: Vec<usize>,
    /// Frames that are submitted of each trial.
    pub frames: Vec<usize>,
    pub precisions: FramePrecisions,
}

/// Those of some mice, which must not share a name.
pub(super) fn forms<'a>(sessions: &[&'a Session], tier: &Tier) -> Result<Vec<Form<'a>>> {
    let mut forms: Vec<Form<'a>> = Vec::new();
    for session in sessions {
        if let Some(known) = forms.iter().find(|known| known.session.id == session.id) {
            let message = format!("is called `{}`, as {} is", session.id, known.session.path.display());
            return Err(Error::data(message).file(&session.path).hint("rename one of the two folders"));
        }
        let trials = session.require_tier(tier)?;
        let frames = |&trial: &usize| session.trials[trial].samples.saturating_sub(SKIPPED);
        let frames = trials.iter().map(frames).collect();
        forms.push(Form { session, trials, frames, precisions: FramePrecisions::stored(session)? });
    }
    Ok(forms)
}

/// Samples at the start of each trial that are not submitted.
pub(super) const SKIPPED: usize = Preset::Sensorium2023.skipped();

fn too_short(session: &Session, trial: usize) -> Error {
    let samples = session.trials[trial].samples;
    Error::data(format!("has {samples} samples; a submission holds those after the first {SKIPPED}"))
        .file(&session.path)
        .trial(trial)
}

/// A file that is being written.
pub(super) struct Submission<'a> {
    out: &'a mut dyn Write,
    file: SerializedFileWriter<Buffer>,
    written: Buffer,
}

impl<'a> Submission<'a> {
    pub fn new(out: &'a mut dyn Write) -> Result<Self> {
        let written = Buffer::default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::BROTLI(Default::default()))
            .set_dictionary_enabled(false)
            .build();
        let open = || -> ParquetResult<_> {
            let schema = Arc::new(parse_message_type(SCHEMA)?);
            SerializedFileWriter::new(written.clone(), schema, Arc::new(properties))
        };
        Ok(Self { file: open().map_err(|e| unwritable(&e))?, out, written })
    }

    fn add(&mut self, mouse: &mut Mouse<'_>, form: &Form<'_>) -> Result<()> {
        let Mouse { session, neurons, predict } = mouse;
        predict(&form.trials, &mut |trial, predicted| {
            let frames = session.trials[trial].samples.saturating_sub(SKIPPED);
            let rows = last_frames(predicted, frames, neurons.len())
                .and_then(|rows| scaled(rows, session, &form.precisions))
                .map_err(|error| error.file(&session.path).trial(trial))?;
            self.row(&session.id, trial, &rows, &session.neurons.ids)
        })
    }

    /// One row, which is a row group: so memory holds one trial.
    pub fn row(&mut self, mouse: &str, trial: usize, prediction: &[f64], ids: &[i64]) -> Result<()> {
        let mut write = || -> ParquetResult<()> {
            let mut rows = self.file.next_row_group()?;
            column::<ByteArrayType>(&mut rows, &[ByteArray::from(mouse)], &[1], &[])?;
            column::<Int64Type>(&mut rows, &[trial as i64], &[1], &[])?;
            let frames = prediction.len() / ids.len();
            // A new row begins with 0, a new neuron in it with 1, a new frame of that with 2.
            let begins = (0..prediction.len()).map(|at| match at {
                0 => 0,
                at if at % frames == 0 => 1,
                _ => 2,
            });
            let begins: Vec<i16> = begins.collect();
            column::<DoubleType>(&mut rows, prediction, &vec![5; prediction.len()], &begins)?;
            let begins: Vec<i16> = (0..ids.len()).map(|at| i16::from(at > 0)).collect();
            column::<Int64Type>(&mut rows, ids, &vec![3; ids.len()], &begins)?;
            rows.close()?;
            Ok(())
        };
        write().map_err(|e| unwritable(&e))?;
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        let written = std::mem::take(&mut *self.written.0.lock().expect("no one panics with it"));
        self.out.write_all(&written).map_err(|e| Error::io("cannot write", Path::new("submission"), e))
    }

    pub fn finish(mut self) -> Result<()> {
        self.file.finish().map_err(|e| unwritable(&e))?;
        self.drain()
    }
}

fn column<T: DataType>(
    rows: &mut SerializedRowGroupWriter<'_, Buffer>,
    values: &[T::T],
    defined: &[i16],
    begins: &[i16],
) -> ParquetResult<()> {
    let Some(mut column) = rows.next_column()? else { return Ok(()) };
    let begins = (!begins.is_empty()).then_some(begins);
    column.typed::<T>().write_batch(values, Some(defined), begins)?;
    column.close()
}

/// The last `frames` of `[sample, neuron]`.
fn last_frames(predicted: &[f32], frames: usize, neurons: usize) -> Result<&[f32]> {
    let wanted = frames * neurons;
    let first = predicted.len().checked_sub(wanted);
    let missing = || {
        Error::data(format!(
            "is predicted in its last {} samples, and a submission holds the last {frames}: the model looks back too far",
            predicted.len() / neurons
        ))
    };
    first.map(|first| &predicted[first..]).ok_or_else(missing)
}

/// `[frame, neuron]` in recorded units as `[neuron, frame]` in those of the competition.
fn scaled(rows: &[f32], session: &Session, precisions: &FramePrecisions) -> Result<Vec<f64>> {
    let neurons = session.neurons.len();
    let frames = rows.len() / neurons;
    let mut scaled = vec![0.0; rows.len()];
    for (frame, row) in rows.chunks(neurons).enumerate() {
        for (neuron, (value, scale)) in row.iter().zip(precisions.of(SKIPPED + frame)?).enumerate() {
            let value = value * scale;
            if !value.is_finite() {
                let id = session.neurons.ids[neuron];
                let message =
                    format!("neuron {id} is predicted to respond with {value} to sample {}", SKIPPED + frame);
                return Err(Error::data(message).key("predictions"));
            }
            scaled[neuron * frames + frame] = f64::from(value);
        }
    }
    Ok(scaled)
}

fn unwritable(error: &dyn std::fmt::Display) -> Error {
    Error::data(format!("cannot encode Parquet: {error}"))
}

/// Bytes on their way to a file, which the writer of Parquet wants to own.
#[derive(Debug, Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no one panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

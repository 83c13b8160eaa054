//! What is refused before a fit measures or writes anything.

use std::path::Path;

use super::config::TrainConfig;
use super::schedule::Monitor;
use super::together::check_together;
use super::{FitConfig, linear};
use crate::batch::{
    Choice, Clip, Features, Names, Split, Trials, Which, Windows, cortical_positions, smaller,
};
use crate::error::{Error, Result, unknown};
use crate::model::loss::Loss;
use crate::model::output::Output;
use crate::model::readout::ReadoutConfig;
use crate::model::shifter::ShifterConfig;
use crate::recording::{Session, Stream};
use crate::run::RunFolder;
use crate::run::manifest::available_memory_mib;
use crate::twin::{Card, require_own};

/// Whether `config` can be fitted to `sessions` together, before anything is measured or written.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the recording lacks what a fit needs,
/// [`Kind::Config`](crate::error::Kind::Config) for options that do not fit the recording.
pub fn check(config: &FitConfig, sessions: &[&Session]) -> Result<()> {
    check_start(&config.fit)?;
    check_together(config, sessions)?;
    let each = |session: &Session| {
        let split = Split::new(session, &config.data)?;
        check_recording(config, session, &split)?;
        check_monitor(config, session, &split)
    };
    sessions.iter().try_for_each(|session| each(session).map_err(|e| e.file(&session.path)))
}

/// Correlations need responses that differ: a fit judged by one trial, or by silent ones, could not be judged at all.
fn check_monitor(config: &FitConfig, session: &Session, split: &Split) -> Result<()> {
    if config.schedule.monitor != Monitor::Correlation || varies(split, session)? {
        return Ok(());
    }
    let message = format!("no neuron's response differs in {}", split.judged_on());
    Err(Error::data(format!("{message}: the correlation that decides when to stop is undefined"))
        .file(&session.path)
        .key("schedule.monitor")
        .hint("validate on more trials (`data.validation_fraction`), or set `schedule.monitor=loss`"))
}

/// Whether at least one neuron responds differently in two samples of the validation trials; reads no further than that.
fn varies(split: &Split, session: &Session) -> Result<bool> {
    let mut first: Option<Vec<f32>> = None;
    for &trial in &split.validation {
        let responses = session.responses(trial, &split.neurons)?;
        // Of a clip each sample is a row.
        for row in responses.chunks_exact(split.neurons.len().max(1)) {
            if first.get_or_insert_with(|| row.to_vec()) != row {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// As [`check`], without what only the beginning of a fit needs.
pub(super) fn check_recording(config: &FitConfig, session: &Session, split: &Split) -> Result<()> {
    let behaviour = check_streams(config, session)?;
    if config.model.readout.needs_cortex() {
        cortical_positions(session, &split.neurons)?;
    }
    check_loss(config)?;
    if config.model.readout.shares_features() && config.data.types.is_empty() {
        return Err(Error::config("needs a table of types, since `model.readout.shared_features` is on")
            .key("data.types")
            .hint("explaining the barcodes of a run without it writes one, explain/barcode/types.csv"));
    }
    if !config.model.readout.shares_features() && !config.data.types.is_empty() {
        return Err(Error::config("is not used: the readout of this model shares no features")
            .key("data.types")
            .hint("set `model.readout.shared_features` to true, or leave the table out"));
    }
    check_frozen(&config.fit)?;
    let seen = smaller(session.image_shape(), config.data.image_height);
    if config.linear.is_some() {
        linear::check_image(seen)?;
    }
    config.model.check(seen, behaviour)?;
    check_lengths(config, session, split)?;
    check_memory(config, config.model.core.out_shape(seen), split)
}

/// Clips are long enough for what is asked for, and for what the model looks at at once.
fn check_lengths(config: &FitConfig, session: &Session, split: &Split) -> Result<()> {
    let (frames, field) = (config.data.frames, config.model.lost() + 1);
    let whole = |trial: usize| Clip { trial, start: 0, samples: session.trials[trial].samples };
    let fitted = |trial: usize| split.fitted(whole(trial)).samples;
    let validated = |trial: usize| split.validated(whole(trial)).samples;
    if config.data.windows == Windows::All && frames == 0 {
        return Err(Error::config("is needed for `data.windows=all`: how many samples a window has")
            .key("data.frames")
            .hint("or take a clip of each trial, `data.windows=drawn`"));
    }
    if session.has_clips() && config.linear.is_some() {
        return Err(
            Error::config("solves models of images, and the recording holds videos").key("fit.solver")
        );
    }
    if frames != 0 && frames < field {
        let message = format!("clips of {frames} samples are too short: the model looks at {field} at once");
        return Err(Error::config(message).key("data.frames"));
    }
    let most = frames.max(field);
    let train = split.train.iter().find(|&&trial| fitted(trial) < most).map(|&trial| (trial, most));
    let validation = split.validation.iter().find(|&&trial| validated(trial) < field);
    let Some((trial, needed)) = train.or(validation.map(|&trial| (trial, field))) else {
        return Ok(());
    };
    let message = format!("has {} samples, {needed} are needed", session.trials[trial].samples);
    let leave_out = format!("leave such trials out: `'data.exclude_trials=samples<{needed}'`");
    let hint = match needed > field {
        true => format!("take shorter clips (`data.frames`), or {leave_out}"),
        false => {
            format!("the model looks at {field} samples at once; {leave_out}, or take a shorter one")
        }
    };
    let error = Error::data(message).file(&session.path).trial(trial).hint(hint);
    Err(if needed > field { error.key("data.frames") } else { error })
}

/// Masks that depend on the image are there for every neuron and image of a batch at once.
fn check_memory(config: &FitConfig, [_, height, width]: [usize; 3], split: &Split) -> Result<()> {
    /// Arrays of image × pixel × neuron that a training step keeps.
    const ARRAYS: f64 = 6.0;
    let ReadoutConfig::Attention(_) = config.model.readout else { return Ok(()) };
    let numbers = config.fit.batch.min(split.train.len()) * height * width * split.neurons.len();
    require_memory(ARRAYS * numbers as f64 * 4.0 / f64::from(1 << 20), available_memory_mib())
}

/// Both in MiB; what is available is not always known.
fn require_memory(needed: f64, available: Option<f64>) -> Result<()> {
    match available.filter(|available| needed > *available) {
        None => Ok(()),
        Some(available) => Err(Error::config(format!(
            "an attention for each neuron and image needs about {:.1} GiB, and {:.1} GiB are free",
            needed / 1024.0,
            available / 1024.0
        ))
        .key("model.readout.kind")
        .hint("lower `fit.batch` or `data.neurons`, or take another readout")),
    }
}

/// That the recording has what the model takes in beside images; gives how many numbers that is of behaviour.
fn check_streams(config: &FitConfig, session: &Session) -> Result<usize> {
    let (model, data) = (&config.model, &config.data);
    let uses = model.uses();
    for (asked, used, key) in
        [(&data.behaviour, uses.behaviour, "data.behaviour"), (&data.pupil, uses.pupil, "data.pupil")]
    {
        if !asked.0.is_empty() && !used {
            return Err(Error::config("is not used: this model does not take it in").key(key));
        }
    }
    let width = |stream, asked: &Names, key| -> Result<usize> {
        let features = Features::of(session, stream, asked).map_err(|error| error.key(key))?;
        let recorded = || session.shape(stream).map_or(0, |shape| shape.iter().product());
        Ok(features.as_ref().map_or_else(recorded, Features::len))
    };
    let behaviour = width(Stream::Behavior, &data.behaviour, "data.behaviour")?;
    let pupil = width(Stream::PupilCenter, &data.pupil, "data.pupil")?;
    let moves_readout = matches!(model.shifter, Some(ShifterConfig::Readout(_)));
    let (key, off) = match model.behaviour_planes {
        true => ("model.behaviour_planes", "set it to false"),
        false => ("model.modulator", "set it to none"),
    };
    let needed = [
        (Stream::Behavior, uses.behaviour, key, off),
        (Stream::PupilCenter, uses.pupil, "model.shifter", "set it to none"),
    ];
    for (stream, used, key, off) in needed {
        let wrong = match session.shape(stream) {
            _ if !used => continue,
            None => format!("needs the stream `{stream}`, which the recording lacks"),
            Some(_) if stream == Stream::PupilCenter && moves_readout && pupil != 2 => {
                let names = session.variables(stream).join(", ");
                let message = format!("needs two numbers of `{stream}`, there are {pupil}: {names}");
                return Err(Error::config(message)
                    .file(&session.path)
                    .key(key)
                    .hint("choose two, horizontal and vertical: `data.pupil=[\"th\", \"phi\"]`"));
            }
            Some(_) => continue,
        };
        return Err(Error::config(wrong)
            .file(&session.path)
            .key(key)
            .hint(format!("{off}, or take a recording with that stream")));
    }
    Ok(behaviour)
}

/// A Poisson loss takes the logarithm of the rate.
fn check_loss(config: &FitConfig) -> Result<()> {
    if config.linear.is_none() && config.fit.loss.is_poisson() && config.model.output == Output::Identity {
        return Err(Error::config("predicts rates below 0, which have no Poisson loss")
            .key("model.output")
            .hint("take another output, elu_plus_one for example, or `fit.loss=mse`"));
    }
    Ok(())
}

/// What can be said of frozen weights before there is a model.
fn check_frozen(fit: &TrainConfig) -> Result<()> {
    const PARTS: [&str; 4] = ["core", "readout", "shifter", "modulator"];
    let part = |name: &String| name.split('.').next().unwrap_or_default().to_owned();
    match fit.frozen.iter().map(part).find(|part| !PARTS.contains(&part.as_str())) {
        Some(slip) => Err(unknown("part of a model", &slip, &PARTS).key("fit.frozen")),
        None => Ok(()),
    }
}

/// That the weights to start from are there.
pub(super) fn check_start(fit: &TrainConfig) -> Result<()> {
    match Path::new(&fit.start_from) {
        _ if fit.start_from.is_empty() => Ok(()),
        run if run.is_dir() => RunFolder::open(run).and_then(|run| run.require_single()),
        file if file.exists() => Ok(()),
        none => Err(Error::data("no such run or file of weights").file(none)),
    }
    .map_err(|e| e.key("fit.start_from"))
}

/// Rates have a Poisson loss where responses are at least 0; the first trials tell z-scores from rates, of which some may
/// be a little below.
pub(super) fn check_responses(loss: Loss, trials: &Trials<'_>, train: &[usize]) -> Result<()> {
    const LITTLE: f32 = 0.01;
    let first = trials.responses(train.iter().take(256).map(|&trial| trials.whole(trial)), 0)?;
    let (least, most) = first.iter().fold((0f32, 0f32), |(least, most), &y| (least.min(y), most.max(y)));
    if !loss.is_poisson() || -least <= LITTLE * most {
        return Ok(());
    }
    Err(Error::config(format!("has no meaning for responses below 0, and there are some of {least:.3}"))
        .key("fit.loss")
        .hint("set `fit.loss=mse`, and `model.output=identity` if predictions should go there too"))
}

/// Neurons and trials stay those that were chosen at first, whatever became of tables since; without tables they are a
/// function of the configuration.
pub(super) fn chosen_before(
    card: &Card,
    config: &FitConfig,
    session: &Session,
    run: &RunFolder,
) -> Result<Choice> {
    let (data, choice) = (&config.data, card.choice());
    let by_table = [&data.neuron_ids, &data.exclude_neurons, &data.exclude_trials]
        .into_iter()
        .any(|which| matches!(which, Which::Text(_)));
    let there = |(&index, id): (&usize, &i64)| session.neurons.ids.get(index) == Some(id);
    let same_ids = card.neurons.iter().zip(&card.unit_ids).all(there);
    if same_ids && (by_table || Choice::new(session, data)? == choice) {
        return Ok(choice);
    }
    Err(Error::data("the card of this run names other neurons than its configuration")
        .file(run.path())
        .key("neurons")
        .hint("one of both was changed since: restore it, or fit into a fresh folder"))
}

/// A fit goes on only with the recording it began with. Gives the stamp of the files it was found in.
pub(super) fn same_recording(run: &RunFolder, session: &Session) -> Result<Option<String>> {
    // Taken first: what is written while the rest is read will be read again.
    let stamp = session.stamp();
    require_own(run, session).map_err(|e| e.hint("restore the recording, or fit into a fresh folder"))?;
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_than_there_is_is_refused_with_both_numbers() {
        let error = require_memory(3072.0, Some(2048.0)).unwrap_err();
        assert!(error.message().ends_with("needs about 3.0 GiB, and 2.0 GiB are free"), "{error}");
        assert!(require_memory(2048.0, Some(2048.0)).is_ok() && require_memory(1e9, None).is_ok());
    }
}

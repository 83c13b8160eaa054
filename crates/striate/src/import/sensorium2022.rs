//! State dicts of the Sensorium 2022 starter kit: stacked core, full Gaussian readout, MLP shifter.

use super::dict::{COUNTER, Dict, UNKNOWN};
use super::prefix::there_are;
use super::{Data, Imported, Importer, Options};
use crate::array::Arrays;
use crate::batch::Normalisation;
use crate::error::{Error, Result, list};
use crate::fit::FitConfig;
use crate::model::EncoderConfig;
use crate::model::core::stacked::{Nonlinearity, Padding};
use crate::model::readout::ReadoutConfig;
use crate::model::readout::gaussian::PredictorConfig;
use crate::model::shifter::{ReadoutShifterConfig, ShifterConfig};
use crate::twin::Card;

/// See the module.
pub const IMPORTER: Importer = Importer {
    name: "sensorium2022",
    about: "state dict (.pth) of a Sensorium 2022 CNN baseline, with or without behaviour and shifter",
    parts: &["core"],
    read: |arrays, options| read(arrays, options, false),
};

/// The same layers without nonlinearities between them: a state dict does not tell the two apart.
pub const LINEAR: Importer = Importer {
    name: "sensorium2022-linear",
    about: "the same layers without nonlinearities between them",
    parts: &["core"],
    read: |arrays, options| read(arrays, options, true),
};

fn read(arrays: &Arrays, options: &Options<'_>, linear: bool) -> Result<Imported> {
    let mut dict = Dict { arrays: arrays.clone() };
    let session = choose(&dict, &options.session)?;
    let mut weights = Arrays::new();
    let mut model = EncoderConfig::sensorium();
    core(&mut dict, &mut model, &mut weights)?;
    if linear {
        (model.stack().nonlinearity, model.stack().final_nonlinearity) =
            (Nonlinearity::Identity, Nonlinearity::Identity);
    }
    let neurons = readout(&mut dict, &session, &mut model, &mut weights)?;
    shifter(&mut dict, &session, &mut model, &mut weights)?;
    let planes = behaviour_planes(&weights, options)?;
    model.behaviour_planes = planes > 0;
    let mut config = FitConfig::preset(if linear { "sensorium2022-linear" } else { "sensorium2022" })?;
    config.name = format!("imported {session}");
    config.model = model.clone();
    config.data.image_height = options.image_height;
    let normalisation = options.data.normalisation(neurons, planes, model.shifter.is_some())?;
    let card = Card {
        groups: Vec::new(),
        left_out: Vec::new(),
        normalisation: Normalisation { image_height: options.image_height, ..normalisation },
        model,
        image_shape: options.data.image_shape(),
        neurons: (0..neurons).collect(),
        unit_ids: options.data.unit_ids(neurons),
    };
    let unused = dict.left(|name| reason(name, &session), options)?;
    let assumed = assumed(&card, options, linear);
    Ok(Imported { config, card, weights, recording: options.data.info(neurons)?, unused, assumed })
}

/// Height of the images that the starter kit's models see (Willeke et al. 2022; `papers/sensorium.md#normalisation`).
const SHOWN: usize = 36;

/// What a state dict of this toolkit does not say.
fn assumed(card: &Card, options: &Options<'_>, linear: bool) -> Vec<String> {
    let [_, height, width] = card.seen_shape();
    let core = if linear { "no nonlinearities" } else { "ELU" };
    let scaling = match options.data {
        Data::Recording { .. } => "scaling as stored with the recording".to_owned(),
        Data::Numbers { mean, sd, .. } => format!("pixels of mean {mean} and s.d. {sd}"),
    };
    let taken = format!(
        "taken for granted: {core} between layers, no padding before the first, positions through tanh, ELU + 1 at the end, \
         images of {height}x{width}, {scaling}"
    );
    let hint = format!("hint: the starter kit shows its models a quarter of 144x256: --image-height {SHOWN}");
    [Some(taken), (height > SHOWN).then_some(hint)].into_iter().flatten().collect()
}

/// Why an array of the checkpoint has no place in the twin of `session`.
fn reason(name: &str, session: &str) -> &'static str {
    let mut parts = name.split('.');
    let of_other = ["readout", "shifter"].contains(&parts.next().unwrap_or_default())
        && parts.next().is_some_and(|other| other != session);
    if name.contains("_regularizer.") {
        "a constant of a penalty"
    } else if name.ends_with("num_batches_tracked") {
        COUNTER
    } else if of_other {
        "of another session"
    } else {
        UNKNOWN
    }
}

fn choose(dict: &Dict, wanted: &str) -> Result<String> {
    let sessions = dict.names_after("readout.");
    match sessions.as_slice() {
        [] => Err(Error::data(format!(
            "holds no `readout`; {}",
            there_are(dict.arrays.keys().map(String::as_str))
        ))
        .hint("a core alone predicts no neuron: save the state dict of the whole model")),
        [only] if wanted.is_empty() => Ok(only.clone()),
        _ if sessions.iter().any(|session| session == wanted) => Ok(wanted.to_owned()),
        _ => Err(Error::config(list("the checkpoint has readouts of", &sessions))
            .key("--session")
            .hint("name one of them")),
    }
}

/// Layers of the core, their kernels and running statistics.
fn core(dict: &mut Dict, model: &mut EncoderConfig, weights: &mut Arrays) -> Result<()> {
    let layers = dict.names_after("core.features.layer").len();
    let core = model.stack();
    (core.kernels, core.channels, core.padding) = (Vec::new(), Vec::new(), Vec::new());
    for layer in 0..layers {
        let from = format!("core.features.layer{layer}");
        let to = format!("core.layers.{layer}");
        let spatial = format!("{from}.ds_conv.spatial_conv.weight");
        let separable = dict.arrays.contains_key(&spatial);
        let (side, channels, bias) = match separable {
            true => {
                let [channels, _, side, _] = dict.axes(&spatial)?;
                let bias = bias_of_separable(dict, &format!("{from}.ds_conv"), channels)?;
                let square = [channels, channels, 1, 1];
                let name = |part: &str| format!("{from}.ds_conv.{part}.weight");
                weights.insert(format!("{to}.weight"), dict.take(&name("in_depth_conv"), &square)?);
                let kernels = dict.take(&name("spatial_conv"), &[channels, side, side])?;
                weights.insert(format!("{to}.separable.depthwise"), kernels);
                let mixed = dict.take(&name("out_depth_conv"), &square)?;
                weights.insert(format!("{to}.separable.pointwise"), mixed);
                (side, channels, bias)
            }
            false => {
                let name = format!("{from}.conv.weight");
                let shape: [usize; 4] = dict.axes(&name)?;
                let [channels, _, side, _] = shape;
                weights.insert(format!("{to}.weight"), dict.take(&name, &shape)?);
                (side, channels, dict.bias(&format!("{from}.conv"), channels)?)
            }
        };
        core.separable |= separable;
        core.kernels.push(side);
        core.channels.push(channels);
        core.padding.push(if layer == 0 { Padding::Valid } else { Padding::Same });
        dict.norm(&format!("{from}.norm"), &to, &bias, weights)?;
    }
    if layers == 0 {
        let names = there_are(dict.arrays.keys().map(String::as_str));
        return Err(Error::data(format!("holds no `core.features.layer0`; {names}"))
            .hint("expected the state dict of a Sensorium 2022 baseline"));
    }
    Ok(())
}

/// The bias `[channel]` that those of a separable layer's three convolutions amount to at its end: `W₃ b₂ + b₃`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) where the first has one: the padding that follows it is of zeros.
fn bias_of_separable(dict: &mut Dict, from: &str, channels: usize) -> Result<Vec<f32>> {
    let before = format!("{from}.in_depth_conv");
    if dict.bias(&before, channels)?.iter().any(|bias| *bias != 0.0) {
        return Err(Error::data("is a bias before a padded convolution, for which a twin has no place")
            .key(format!("{before}.bias")));
    }
    let inner = dict.bias(&format!("{from}.spatial_conv"), channels)?;
    let mut bias = dict.bias(&format!("{from}.out_depth_conv"), channels)?;
    let mixed = dict.arrays.get(&format!("{from}.out_depth_conv.weight"));
    let rows = mixed.map_or(&[][..], |mixed| &mixed.values).chunks_exact(channels);
    for (bias, row) in bias.iter_mut().zip(rows) {
        *bias += row.iter().zip(&inner).map(|(weight, inner)| weight * inner).sum::<f32>();
    }
    Ok(bias)
}

/// The session's readout; the number of its neurons.
fn readout(dict: &mut Dict, session: &str, model: &mut EncoderConfig, weights: &mut Arrays) -> Result<usize> {
    let from = format!("readout.{session}");
    let neurons = dict.shape(&format!("{from}.bias")).and_then(|shape| shape.last().copied());
    let neurons = neurons.ok_or_else(|| Error::data("the array is missing").key(format!("{from}.bias")))?;
    let channels = *model.stack().channels.last().unwrap_or(&0);
    let ReadoutConfig::Gaussian(config) = &mut model.readout else {
        unreachable!("the baselines have Gaussian readouts")
    };
    let mut take = |theirs: &str, ours: &str, shape: &[usize]| -> Result<()> {
        weights.insert(format!("readout.{ours}"), dict.take(&format!("{from}.{theirs}"), shape)?);
        Ok(())
    };
    take("bias", "bias", &[neurons])?;
    take("sigma", "sigma", &[neurons, 4])?;
    take("_features", "features", &[channels, neurons])?;
    config.predictor = None;
    let network = format!("{from}.mu_transform");
    let sizes = dict.layer_sizes(&network);
    if sizes.is_empty() {
        let mean = dict.take(&format!("{from}._mu"), &[neurons, 2])?;
        weights.insert("readout.mean".into(), mean);
        return Ok(neurons);
    }
    config.predictor = Some(PredictorConfig { layers: sizes.len() - 2, hidden: sizes[1], tanh: true });
    let source = dict.take(&format!("{from}.source_grid"), &[neurons, 2])?;
    weights.insert("readout.mean".into(), source);
    perceptron(dict, &network, "readout.predictor", &sizes, weights)?;
    Ok(neurons)
}

fn shifter(dict: &mut Dict, session: &str, model: &mut EncoderConfig, weights: &mut Arrays) -> Result<()> {
    let network = format!("shifter.{session}.mlp");
    let sizes = dict.layer_sizes(&network);
    if sizes.len() >= 2 {
        let shifter = ReadoutShifterConfig { layers: sizes.len() - 1, hidden: sizes[1] };
        model.shifter = Some(ShifterConfig::Readout(shifter));
        perceptron(dict, &network, "shifter.network", &sizes, weights)?;
    }
    Ok(())
}

fn perceptron(dict: &mut Dict, from: &str, to: &str, sizes: &[usize], weights: &mut Arrays) -> Result<()> {
    for (layer, pair) in sizes.windows(2).enumerate() {
        let (theirs, ours) = (format!("{from}.{}", 2 * layer), format!("{to}.layers.{layer}"));
        weights
            .insert(format!("{ours}.weight"), dict.take(&format!("{theirs}.weight"), &[pair[1], pair[0]])?);
        weights.insert(format!("{ours}.bias"), dict.take(&format!("{theirs}.bias"), &[pair[1]])?);
    }
    Ok(())
}

/// Input channels of the core beyond those of the images.
fn behaviour_planes(weights: &Arrays, options: &Options<'_>) -> Result<usize> {
    let inputs = weights["core.layers.0.weight"].shape[1];
    let channels = options.data.image_shape()[0];
    inputs.checked_sub(channels).ok_or_else(|| {
        Error::config(format!("images have {channels} channels, the core takes {inputs}"))
            .key("--image-shape")
    })
}

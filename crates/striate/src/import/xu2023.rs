//! State dicts of Xu et al. 2023: freely moving mice (`papers/xu2023.md#published-weights`).

use burn::prelude::*;

use super::dict::{COUNTER, Dict, UNKNOWN};
use super::{Data, Imported, Importer, Options};
use crate::array::{Array, Arrays};
use crate::batch::{Features, Names, Normalisation, Split};
use crate::error::{Error, Result};
use crate::fit::FitConfig;
use crate::model::core::{AutoencoderConfig, CoreConfig};
use crate::model::modulator::{ModulatorConfig, RecurrentConfig};
use crate::model::shifter::{Centre, ImageShifterConfig, ShifterConfig};
use crate::model::{EncoderConfig, weights};
use crate::random::Draws;
use crate::recording::{Session, Stream};
use crate::twin::Card;

/// See the module.
pub const IMPORTER: Importer = Importer {
    name: "xu2023",
    about: "state dict (.pth) of Xu et al. 2023: CNN, autoencoder, ResNet-18, EfficientNet-B0, or recurrent with behaviour",
    parts: PARTS,
    read: |arrays, options| read(arrays, options, true),
};

/// The same weights without their gaze correction: a state dict does not tell whether it was used.
pub const UNSHIFTED: Importer = Importer {
    name: "xu2023-unshifted",
    about: "the same, of a model that was trained without its shifter",
    parts: PARTS,
    read: |arrays, options| read(arrays, options, false),
};

/// What sees: of models with behaviour, and of those without.
const PARTS: &[&str] = &["visual_encoder", "encoder"];
/// Sets of behaviour, with the numbers of their features (`papers/xu2023.md#features`).
const SETS: [(&str, usize); 7] =
    [("S", 3), ("orig", 6), ("velo", 6), ("all", 11), ("orig_prod", 21), ("velo_prod", 21), ("all_prod", 66)];

/// Arrays of theirs on their way to ours.
struct Moving<'a> {
    dict: Dict,
    weights: Arrays,
    options: &'a Options<'a>,
    session: &'a Session,
}

fn read(arrays: &Arrays, options: &Options<'_>, shifted: bool) -> Result<Imported> {
    let Data::Recording { session, .. } = options.data else {
        return Err(Error::config("is needed: these checkpoints do not say what behaviour and frames are")
            .key("--data"));
    };
    let dict = Dict { arrays: arrays.clone() };
    let mut moving = Moving { dict, weights: Arrays::new(), options, session };
    let mut config = moving.model()?;
    match shifted {
        true => moving.shifter(&mut config.model)?,
        false => config.model.shifter = None,
    }
    if config.model.shifter.is_none() {
        config.data.pupil = Names::default();
    }
    let card = card(&config, session)?;
    let reason = |name: &str| match () {
        () if name.ends_with("num_batches_tracked") => COUNTER,
        () if !shifted && name.starts_with("shifter.") => "of a shifter that is left out",
        () => UNKNOWN,
    };
    let Moving { dict, weights, .. } = moving;
    let unused = dict.left(reason, options)?;
    let recording = options.data.info(card.neurons.len())?;
    Ok(Imported { assumed: assumed(&config), config, card, weights, recording, unused })
}

/// Card of a model of all neurons of a session, whose training tier gives the means of all streams.
fn card(config: &FitConfig, session: &Session) -> Result<Card> {
    let neurons: Vec<usize> = (0..session.neurons.len()).collect();
    let train = Split::new(session, &config.data)?.train;
    let normalisation = Normalisation::measure(session, &train, &neurons, &config.data, config.model.uses())?;
    Ok(Card {
        groups: Vec::new(),
        left_out: Vec::new(),
        normalisation,
        model: config.model.clone(),
        image_shape: session.image_shape(),
        neurons,
        unit_ids: session.neurons.ids.clone(),
    })
}

fn assumed(config: &FitConfig) -> Vec<String> {
    let mut said = vec![
        "taken for granted: softplus at the end, frames of 0 to 1 as this recording's, the published centre of rotation"
            .to_owned(),
    ];
    if let Some(ModulatorConfig::Recurrent(unit)) = &config.model.modulator {
        let behaviour = config.data.behaviour.0.join(", ");
        let bins = unit.steps;
        said.push(format!("behaviour `{behaviour}` (--behaviour), windows of {bins} bins (--steps)"));
    }
    said
}

impl Moving<'_> {
    /// The kind of model that has such arrays, but for the shifter, and its weights.
    fn model(&mut self) -> Result<FitConfig> {
        let has = |name: &str| self.dict.arrays.contains_key(name);
        match () {
            () if has("visual_encoder.layers.0.weight") => self.recurrent(),
            () if has("decoder.conv_layers.0.weight") => self.autoencoder(),
            () if has("encoder.layers.conv1.weight") => self.library("xu2023-resnet18", "fc"),
            () if has("encoder.layers.conv_stem.weight") => {
                self.library("xu2023-efficientnet-b0", "classifier")
            }
            () => self.cnn(),
        }
    }

    /// A model of Table 1.
    fn cnn(&mut self) -> Result<FitConfig> {
        let mut config = FitConfig::preset("xu2023-cnn")?;
        self.stack("encoder.layers", &mut config.model)?;
        self.readout("encoder.layers.13", &config.model)?;
        Ok(config)
    }

    /// A model of Tables 2 and 3.
    fn recurrent(&mut self) -> Result<FitConfig> {
        let mut config = FitConfig::preset("xu2023")?;
        self.stack("visual_encoder.layers", &mut config.model)?;
        let neurons = self.readout("visual_encoder.layers.13", &config.model)?;
        let [_, variables] = self.dict.axes("behav_encoder.layers.1.weight")?;
        config.data.behaviour = self.behaviour(variables)?;
        if config.data.behaviour.0[0].starts_with("velo") {
            // There the authors' code hands over what stands in the places of th, phi, pitch and roll.
            config.data.pupil = Names(["th'", "phi'", "pitch'", "roll'"].map(String::from).to_vec());
        }
        self.normed("behav_encoder.layers", 0, "modulator.behaviour", [neurons, variables])?;
        self.dict.norm("bn", "modulator.fusion", &[0.0; 3], &mut self.weights)?;
        let [_, hidden] = self.dict.axes("lstm_net.weight_hh_l0")?;
        let (gates, seen) = (3 * hidden, 3 * neurons);
        self.array("lstm_net.weight_ih_l0", "modulator.unit.weight_ih", &[gates, seen])?;
        self.array("lstm_net.weight_hh_l0", "modulator.unit.weight_hh", &[gates, hidden])?;
        self.array("lstm_net.bias_ih_l0", "modulator.unit.bias_ih", &[gates])?;
        self.array("lstm_net.bias_hh_l0", "modulator.unit.bias_hh", &[gates])?;
        self.array("fc.weight", "modulator.out.weight", &[neurons, hidden])?;
        self.array("fc.bias", "modulator.out.bias", &[neurons])?;
        let steps = self.options.steps;
        config.model.modulator = Some(ModulatorConfig::Recurrent(RecurrentConfig { hidden, steps }));
        config.data.frames = steps + config.model.lag;
        Ok(config)
    }

    /// A network of torchvision or timm, whose last layer is called `last`.
    fn library(&mut self, preset: &str, last: &str) -> Result<FitConfig> {
        let mut config = FitConfig::preset(preset)?;
        let (core, frame) = (&mut config.model.core, self.session.image_shape());
        if let CoreConfig::ResNet18(core) = core {
            [core.width, _, _, _] = self.dict.axes("encoder.layers.conv1.weight")?;
        }
        core.check(frame).map_err(Error::into_data)?;
        let blank = weights::export(&core.init(frame, &mut Draws::Core.generator(0), &Device::flex()));
        for (theirs, ours) in core.library() {
            let shape = &blank[ours.strip_prefix("core.").unwrap_or(&ours)].shape;
            self.array(&format!("encoder.layers.{theirs}"), &ours, shape)?;
        }
        self.readout(&format!("encoder.layers.{last}"), &config.model)?;
        Ok(config)
    }

    /// The autoencoder: layers as of the CNN, features at 13, and the way back.
    fn autoencoder(&mut self) -> Result<FitConfig> {
        let mut config = FitConfig::preset("xu2023-autoencoder")?;
        let (kernels, channels) = self.convolutions("encoder.layers", "core.encoder.layers")?;
        let [latent, _] = self.dict.axes("encoder.layers.13.weight")?;
        let core = AutoencoderConfig { kernels: kernels.clone(), channels: channels.clone(), latent };
        config.model.core = CoreConfig::Autoencoder(core.clone());
        let frame = self.session.image_shape();
        config.model.core.check(frame).map_err(Error::into_data)?;
        let [last, height, width] = core.map(frame);
        let (flat, by_pixel) = (last * height * width, by_pixel(last, height * width));
        self.turned("encoder.layers.13.weight", "core.latent.weight", &[latent, flat], &by_pixel)?;
        self.array("encoder.layers.13.bias", "core.latent.bias", &[latent])?;
        let rows: Vec<usize> = by_pixel.iter().flat_map(|row| row * latent..(row + 1) * latent).collect();
        self.turned("decoder.conv_layers.0.weight", "core.widen.weight", &[flat, latent], &rows)?;
        self.turned("decoder.conv_layers.0.bias", "core.widen.bias", &[flat], &by_pixel)?;
        for (up, at) in [4, 8, 12].into_iter().enumerate() {
            let layer = kernels.len() - 1 - up;
            let outputs = if layer == 0 { frame[0] } else { channels[layer - 1] };
            let (from, to) = (format!("decoder.conv_layers.{at}"), format!("core.decoder.{up}"));
            let shape = [channels[layer], outputs, kernels[layer], kernels[layer]];
            self.array(&format!("{from}.weight"), &format!("{to}.weight"), &shape)?;
            let bias = self.dict.exactly(&format!("{from}.bias"), &[outputs])?.values;
            self.dict.norm(&format!("decoder.conv_layers.{}", at + 1), &to, &bias, &mut self.weights)?;
        }
        self.readout("fc", &config.model)?;
        Ok(config)
    }

    fn stack(&mut self, from: &str, model: &mut EncoderConfig) -> Result<()> {
        let (kernels, channels) = self.convolutions(from, "core.layers")?;
        let stack = model.stack();
        (stack.kernels, stack.channels) = (kernels, channels);
        model.core.check(self.session.image_shape()).map_err(Error::into_data)
    }

    /// Kernel sides and channels of three convolutions, at 0, 4 and 8, each before its batch norm.
    fn convolutions(&mut self, from: &str, to: &str) -> Result<(Vec<usize>, Vec<usize>)> {
        let (mut kernels, mut channels) = (Vec::new(), Vec::new());
        for (layer, at) in [0, 4, 8].into_iter().enumerate() {
            let name = format!("{from}.{at}");
            let shape: [usize; 4] = self.dict.axes(&format!("{name}.weight"))?;
            let [outputs, _, side, _] = shape;
            let inputs = channels.last().copied().unwrap_or(self.session.image_shape()[0]);
            let to = format!("{to}.{layer}");
            let expected = [outputs, inputs, side, side];
            self.array(&format!("{name}.weight"), &format!("{to}.weight"), &expected)?;
            let bias = self.dict.exactly(&format!("{name}.bias"), &[outputs])?.values;
            self.dict.norm(&format!("{from}.{}", at + 1), &to, &bias, &mut self.weights)?;
            kernels.push(side);
            channels.push(outputs);
        }
        Ok((kernels, channels))
    }

    /// The layer from a map to neurons, the number of which it gives. Theirs takes channel after channel, ours pixel after pixel.
    fn readout(&mut self, from: &str, model: &EncoderConfig) -> Result<usize> {
        let [channels, height, width] = model.core.out_shape(self.session.image_shape());
        let name = format!("{from}.weight");
        let [neurons, _] = self.dict.axes(&name)?;
        let there = self.session.neurons.len();
        if there != neurons {
            let message = format!("has {there} neurons, the checkpoint {neurons}");
            let hint = match neurons {
                68 | 32 | 49 => {
                    "of the published mice, known by their folders' names, only units of 3 Hz and more are modelled; \
                     of others all: is it the mouse the model was trained on, in a folder of its own name?"
                }
                _ => "is it the mouse the model was trained on?",
            };
            return Err(Error::data(message).file(&self.session.path).hint(hint));
        }
        let shape = [neurons, channels * height * width];
        self.turned(&name, "readout.weight", &shape, &by_pixel(channels, height * width))?;
        self.array(&format!("{from}.bias"), "readout.bias", &[neurons])?;
        Ok(neurons)
    }

    /// The set of behaviour that was asked for, or the only one with so many features.
    fn behaviour(&self, variables: usize) -> Result<Names> {
        let asked = &self.options.behaviour;
        let sets = SETS.iter().filter(|(_, features)| *features == variables).map(|(name, _)| *name);
        let found: Vec<&str> = if asked.is_empty() { sets.collect() } else { vec![asked] };
        let key = "--behaviour";
        let [name] = found.as_slice() else {
            let message = format!("the checkpoint takes {variables} features of behaviour");
            return Err(match found.as_slice() {
                [] => Error::data(format!("{message}, which no published set has")),
                sets => Error::config(message).hint(format!("name the set: {key} {}", sets.join(" or "))),
            }
            .key(key));
        };
        let names = Names(vec![(*name).to_owned()]);
        let features = Features::of(self.session, Stream::Behavior, &names).map_err(|e| e.key(key))?;
        match features.map_or(0, |features| features.len()) {
            made if made == variables => Ok(names),
            made => {
                Err(Error::data(format!("`{name}` has {made} features, the checkpoint takes {variables}"))
                    .key(key))
            }
        }
    }

    /// Three batch norms, each before its layer.
    fn shifter(&mut self, model: &mut EncoderConfig) -> Result<()> {
        let [hidden, _] = self.dict.axes("shifter.layers.1.weight")?;
        let Some(ShifterConfig::Image(config)) = &mut model.shifter else {
            unreachable!("the models of this paper move the image")
        };
        *config = ImageShifterConfig { hidden, centre: Centre::Published, ..config.clone() };
        for (layer, (at, sizes)) in
            [(0, [hidden, 4]), (2, [hidden; 2]), (5, [3, hidden])].into_iter().enumerate()
        {
            let to = format!("shifter.layers.{layer}");
            // Behind the first batch norm is the layer itself, behind the others a tanh.
            let behind = if layer == 0 { at + 1 } else { at + 2 };
            self.affine(&format!("shifter.layers.{behind}"), &to, sizes)?;
            let name = format!("shifter.layers.{at}");
            self.dict.norm(&name, &to, &vec![0.0; sizes[1]], &mut self.weights)?;
        }
        self.array("shifter.bias", "shifter.bias", &[3])
    }

    /// A batch norm at `at` of `from`, and the layer `[out, in]` behind it.
    fn normed(&mut self, from: &str, at: usize, to: &str, sizes: [usize; 2]) -> Result<()> {
        self.dict.norm(&format!("{from}.{at}"), to, &vec![0.0; sizes[1]], &mut self.weights)?;
        self.affine(&format!("{from}.{}", at + 1), to, sizes)
    }

    fn affine(&mut self, from: &str, to: &str, [outputs, inputs]: [usize; 2]) -> Result<()> {
        self.array(&format!("{from}.weight"), &format!("{to}.weight"), &[outputs, inputs])?;
        self.array(&format!("{from}.bias"), &format!("{to}.bias"), &[outputs])
    }

    /// As [`Moving::array`], every stretch of as many values as `order` has in that order of theirs.
    fn turned(&mut self, from: &str, to: &str, shape: &[usize], order: &[usize]) -> Result<()> {
        let theirs = self.dict.exactly(from, shape)?;
        let turned = |row: &[f32]| order.iter().map(|&at| row[at]).collect::<Vec<f32>>();
        let values = theirs.values.chunks_exact(order.len()).flat_map(turned).collect();
        self.weights.insert(to.to_owned(), Array { shape: theirs.shape, values });
        Ok(())
    }

    fn array(&mut self, from: &str, to: &str, shape: &[usize]) -> Result<()> {
        self.weights.insert(to.to_owned(), self.dict.exactly(from, shape)?);
        Ok(())
    }
}

/// Where in `channels` times `pixels` values those of pixels times channels are.
fn by_pixel(channels: usize, pixels: usize) -> Vec<usize> {
    (0..channels * pixels).map(|at| at % channels * pixels + at / channels).collect()
}

//! The encoding model: core, readout and output, with a shifter and a modulator where asked for.
//!
//! It takes in rows, the samples of clips one after another; of images each is a clip of its own.
//!
//! The pages of [`paper`](super::paper) say which parts each paper composes it of.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::core::{Core, CoreConfig, StackedConfig};
use super::modulator::{Modulator, ModulatorConfig};
use super::objective::{LOSS, Model, Objective, Terms};
use super::output::Output;
use super::pass::Pass;
use super::penalty::PenaltyConfig;
use super::readout::{Readout, ReadoutConfig, Start};
use super::shifter::{Shifter, ShifterConfig};
use crate::batch::{Batch, Inputs, Uses, cut, ends};
use crate::error::{Error, Result, in_range};
use crate::ops::Moments;
use crate::random::Draws;

/// All options of an encoding model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// The page this model is on.
    pub paper: Paper,
    /// Final nonlinearity.
    pub output: Output,
    /// Whether the core sees each variable of behaviour as a constant plane beside the image (Sensorium; `papers/sensorium.md#normalisation`).
    #[serde(default)]
    pub behaviour_planes: bool,
    /// Samples by which responses follow what the model sees: with 1 the last frame of a clip predicts the bin after it
    /// (Xu et al. 2023; `papers/xu2023.md#windows`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lag: usize,
    /// Shared features.
    pub core: CoreConfig,
    /// From features to neurons.
    pub readout: ReadoutConfig,
    /// Moves the readout, or the image itself, with pupil or gaze; none leaves both where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifter: Option<ShifterConfig>,
    /// What behaviour makes of the drive; none leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modulator: Option<ModulatorConfig>,
    /// Penalties added to the loss.
    pub penalty: PenaltyConfig,
}

/// The page of [`paper`](super::paper) that describes a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paper {
    /// Antolik et al. 2016.
    Antolik2016,
    /// Klindt et al. 2017.
    Klindt2017,
    /// Willeke et al. 2022, with the readout of Lurz et al. 2021.
    Sensorium2022,
    /// Turishcheva et al. 2023.
    Sensorium2023,
    /// Xu et al. 2023.
    Xu2023,
}

fn is_zero(lag: &usize) -> bool {
    *lag == 0
}

/// What a training pass of an encoder leaves for [`Model::settle`], part by part.
#[derive(Debug, Clone, Default)]
pub struct OfParts {
    shifter: Vec<Moments>,
    core: Vec<Moments>,
    modulator: Vec<Moments>,
}

/// An encoding model: from images, and perhaps behaviour and pupil, to the rate of each neuron.
#[derive(Module, Debug)]
pub struct Encoder {
    core: Core,
    readout: Readout,
    shifter: Option<Shifter>,
    modulator: Option<Modulator>,
    #[module(skip)]
    config: EncoderConfig,
}

/// Weights of a core beyond which a configuration is a slip of the pen (4 GiB).
const MOST_WEIGHTS: f64 = (1u64 << 30) as f64;

const BEHAVIOUR: &str = "the model takes in behaviour";
const PUPIL: &str = "the model takes in the pupil";

/// What a model is made for.
#[derive(Debug, Clone, PartialEq)]
pub struct Made<'a> {
    /// Shape of an image, `[channel, height, width]`.
    pub image: [usize; 3],
    /// Variables of behaviour.
    pub behaviour: usize,
    /// Variables of the pupil, or of where the animal looks.
    pub pupil: usize,
    /// One element per neuron.
    pub start: &'a [Start],
}

impl EncoderConfig {
    /// The options of its core, for whoever knows that it is a stack.
    ///
    /// # Panics
    /// When it is another.
    pub fn stack(&mut self) -> &mut StackedConfig {
        self.core.stacked_mut().expect("the core is a stack")
    }

    /// Streams it takes in beside images.
    pub fn uses(&self) -> Uses {
        Uses { behaviour: self.behaviour_planes || self.modulator.is_some(), pupil: self.shifter.is_some() }
    }

    /// Shape of what the core sees, `[channel, height, width]`, for images and `behaviour` variables.
    pub fn core_shape(&self, [channels, height, width]: [usize; 3], behaviour: usize) -> [usize; 3] {
        [channels + if self.behaviour_planes { behaviour } else { 0 }, height, width]
    }

    /// Samples at the start of a clip that it has no prediction for, since it looks back and lags behind.
    pub fn lost(&self) -> usize {
        let modulator = self.modulator.as_ref().map_or(1, ModulatorConfig::samples);
        self.core.receptive_frames() - 1 + modulator - 1 + self.lag
    }

    /// Most samples that it is shown at once of a clip, which is cut into stretches that overlap by [`EncoderConfig::lost`]:
    /// memory does not grow with the clip. None where what it says depends on all before.
    pub fn stretch(&self) -> Option<usize> {
        /// Shorter clips are never cut, so that what was said of them stays what it was, to the last bit.
        const STRETCH: usize = 512;
        let forgets = !matches!(self.core, CoreConfig::ConvGru(_));
        forgets.then(|| STRETCH.max(2 * self.lost()))
    }

    /// Whether what it says of a sample depends on those before.
    pub fn sees_clips(&self) -> bool {
        self.lost() > 0 || matches!(self.core, CoreConfig::ConvGru(_) | CoreConfig::Factorised3d(_))
    }

    /// Checks the options of all parts against images `[channel, height, width]` and `behaviour` variables; penalties, which
    /// a fitted model has no use for, check themselves.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self, image: [usize; 3], behaviour: usize) -> Result<()> {
        let shape = self.core_shape(image, behaviour);
        self.core.check(shape)?;
        in_range("model.core", self.core.size(shape), 0.0..=MOST_WEIGHTS)
            .map_err(|e| e.hint("this is the number of weights for images of this size"))?;
        if self.readout.needs_sta() && self.core.is_strided() {
            let message = "does not start from spike-triggered averages where the core has strides";
            let key =
                if let CoreConfig::Stacked(_) = self.core { "model.core.strides" } else { "model.core.kind" };
            return Err(Error::config(message).key(key).hint(
                "start masks as noise (`model.readout.mask_init.kind=noise`), or pool: `model.core.pool`",
            ));
        }
        self.readout.check(self.core.out_shape(shape))?;
        self.shifter.as_ref().map_or(Ok(()), ShifterConfig::check)?;
        self.modulator.as_ref().map_or(Ok(()), ModulatorConfig::check)
    }

    /// Number of weights of a model for images `[channel, height, width]`, variables of `behaviour` and `pupil`, and `neurons`,
    /// which have `columns` of feature weights; nothing is allocated.
    pub fn size(
        &self,
        image: [usize; 3],
        [behaviour, pupil]: [usize; 2],
        neurons: usize,
        columns: usize,
    ) -> f64 {
        let seen = self.core_shape(image, behaviour);
        let shifter = self.shifter.as_ref().map_or(0.0, |shifter| shifter.size(pupil));
        let modulator = self.modulator.as_ref();
        self.core.size(seen)
            + self.readout.size(self.core.out_shape(seen), neurons, columns)
            + shifter
            + modulator.map_or(0.0, |modulator| modulator.size(behaviour, neurons))
    }

    /// A freshly drawn model.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when the layers do not fit the image.
    pub fn init(&self, made: &Made<'_>, seed: u64, device: &Device) -> Result<Encoder> {
        self.check(made.image, made.behaviour)?;
        let seen = self.core_shape(made.image, made.behaviour);
        let core = self.core.init(seen, &mut Draws::Core.generator(seed), device);
        let features = self.core.out_shape(seen);
        let readout = self.readout.init(features, made.start, &mut Draws::Readout.generator(seed), device);
        let shifter = self
            .shifter
            .as_ref()
            .map(|shifter| shifter.init(made.pupil, &mut Draws::Shifter.generator(seed), device));
        let modulator = self.modulator.as_ref().map(|modulator| {
            modulator.init(made.behaviour, made.start.len(), &mut Draws::Modulator.generator(seed), device)
        });
        Ok(Encoder { core, readout, shifter, modulator, config: self.clone() })
    }
}

impl Encoder {
    /// Predicted responses `[batch · kept, neuron]`, and in training the moments for [`Model::settle`]. What is kept of
    /// a clip are its samples but [`EncoderConfig::lost`].
    ///
    /// # Panics
    /// When the inputs lack what [`EncoderConfig::uses`] says.
    pub fn forward(&self, inputs: Inputs, pass: Pass) -> (Tensor<2>, OfParts) {
        let (predicted, _, moments) = self.through(inputs.without_last(self.config.lag), pass);
        (predicted, moments)
    }

    /// As [`Encoder::forward`], of samples without those that it does not see, and with the features of its core.
    fn through(&self, inputs: Inputs, pass: Pass) -> (Tensor<2>, Tensor<4>, OfParts) {
        let (samples, behaviour) = (inputs.samples, inputs.behaviour.clone());
        let (drive, features, parts) = self.driven(inputs, pass);
        let (responses, modulator) = self.of_drive(drive, behaviour, samples, pass);
        (responses, features, OfParts { modulator, ..parts })
    }

    /// What the readout makes of `inputs`, before a modulator acts on it.
    ///
    /// # Panics
    /// As [`Encoder::forward`].
    pub fn drive(&self, inputs: Inputs, pass: Pass) -> Tensor<2> {
        self.driven(inputs.without_last(self.config.lag), pass).0
    }

    fn driven(&self, inputs: Inputs, pass: Pass) -> (Tensor<2>, Tensor<4>, OfParts) {
        let samples = inputs.samples;
        let (inputs, shifter) = self.gaze_corrected(inputs, pass);
        let (features, core) = self.core.forward(self.seen(&inputs), samples, pass);
        let left = samples + 1 - self.config.core.receptive_frames();
        let kept = |rows: Tensor<2>| ends(rows, samples, left);
        let of_readout = self.shifter.as_ref().and_then(Shifter::of_readout);
        let shift = of_readout.map(|shifter| shifter.forward(kept(inputs.pupil.expect(PUPIL))));
        let drive = self.readout.forward(features.clone(), pass, shift);
        (drive, features, OfParts { shifter, core, modulator: Vec::new() })
    }

    /// Predicted responses from a [`drive`](Self::drive) and behaviour `[batch · sample, variable]` of clips of `samples`.
    ///
    /// # Panics
    /// As [`Encoder::forward`].
    pub fn modulated(
        &self,
        drive: Tensor<2>,
        behaviour: Option<Tensor<2>>,
        samples: usize,
        pass: Pass,
    ) -> Tensor<2> {
        let seen = samples - self.config.lag;
        self.of_drive(drive, behaviour.map(|rows| cut(rows, samples, 0..seen)), seen, pass).0
    }

    fn of_drive(
        &self,
        drive: Tensor<2>,
        behaviour: Option<Tensor<2>>,
        samples: usize,
        pass: Pass,
    ) -> (Tensor<2>, Vec<Moments>) {
        let left = samples + 1 - self.config.core.receptive_frames();
        let kept = |rows: Tensor<2>| ends(rows, samples, left);
        let (drive, moments) = match &self.modulator {
            Some(modulator) => modulator.forward(drive, kept(behaviour.expect(BEHAVIOUR)), left, pass),
            None => (drive, Vec::new()),
        };
        (self.config.output.forward(drive), moments)
    }

    /// Mean squared error of what the core makes of its features, against the images as they were recorded (Xu et al. 2023:
    /// whatever the gaze made of them; `papers/xu2023.md#autoencoder`), where that is asked for; its moments are added.
    fn reconstruction(
        &self,
        images: Tensor<4>,
        features: Tensor<4>,
        pass: Pass,
        moments: &mut OfParts,
    ) -> Option<Tensor<1>> {
        let strength = self.config.penalty.reconstruction;
        let asked = (strength != 0.0).then_some(features);
        let (made, own) = asked.and_then(|features| self.core.reconstruct(features, pass))?;
        moments.core.extend(own);
        // Behind the image are planes of behaviour, where the core sees them.
        let made = made.narrow(1, 0, images.dims()[1]);
        Some((made - images).square().mean().mul_scalar(strength))
    }

    /// The inputs with every image as it would be if head and eyes had not moved, where the model makes it so.
    fn gaze_corrected(&self, inputs: Inputs, pass: Pass) -> (Inputs, Vec<Moments>) {
        let Some(shifter) = self.shifter.as_ref().and_then(Shifter::of_image) else {
            return (inputs, Vec::new());
        };
        let [_, _, height, width] = inputs.images.dims();
        let pointed = inputs.pupil.clone().expect(PUPIL);
        let (motions, moments) = shifter.motions(pointed, [height, width], pass);
        (Inputs { images: shifter.moved(inputs.images, motions), ..inputs }, moments)
    }

    /// How images of `height` × `width` are turned and moved by where head and eyes point `[row, variable]`, `[row, 3]`: right and down in
    /// pixels, clockwise in radians; none where the model does not.
    pub fn motions(&self, pointed: Tensor<2>, shape: [usize; 2]) -> Option<Tensor<2>> {
        let shifter = self.shifter.as_ref()?.of_image()?;
        Some(shifter.motions(pointed, shape, Pass::Evaluate).0)
    }

    /// Whether it turns and moves images by where head and eyes point.
    pub fn corrects_gaze(&self) -> bool {
        self.shifter.as_ref().is_some_and(|shifter| shifter.of_image().is_some())
    }

    /// The inputs with every image turned and moved, where the model does so.
    pub fn corrected(&self, inputs: Inputs) -> Inputs {
        self.gaze_corrected(inputs, Pass::Evaluate).0
    }

    /// What the core sees: images, and behaviour where it is shown to it.
    fn seen(&self, inputs: &Inputs) -> Tensor<4> {
        match self.config.behaviour_planes {
            true => with_planes(inputs.images.clone(), inputs.behaviour.clone().expect(BEHAVIOUR)),
            false => inputs.images.clone(),
        }
    }

    /// What the core shows the readout, with running statistics.
    pub fn maps(&self, inputs: &Inputs) -> Tensor<4> {
        let inputs = inputs.clone().without_last(self.config.lag);
        let (inputs, _) = self.gaze_corrected(inputs, Pass::Evaluate);
        self.core.forward(self.seen(&inputs), inputs.samples, Pass::Evaluate).0
    }

    /// `penalty` on the core and modulator as it is, and on the readout, summed over neurons, divided by `divisor`.
    fn penalty(&self, penalty: &PenaltyConfig, divisor: f64) -> Option<Tensor<1>> {
        let gain = self.modulator.as_ref().and_then(Modulator::l1);
        let gain = gain.filter(|_| penalty.modulator_l1 != 0.0).map(|l1| l1.mul_scalar(penalty.modulator_l1));
        let shared = self.core.penalty(penalty).into_iter().chain(gain).reduce(|a, b| a + b);
        let readout = penalty.readout(&self.readout).map(|sum| sum.div_scalar(divisor));
        [shared, readout].into_iter().flatten().reduce(|a, b| a + b)
    }

    /// The shared core.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The readout.
    pub fn readout(&self) -> &Readout {
        &self.readout
    }

    /// The options it was made with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }
}

impl Model for Encoder {
    type Moments = OfParts;

    fn objective(&self, batch: Batch, pass: Pass, objective: &Objective) -> Terms<OfParts> {
        let clips = batch.inputs.clips();
        let recorded = self.recorded(batch.responses, batch.inputs.samples);
        let inputs = batch.inputs.without_last(self.config.lag);
        let images = inputs.images.clone();
        let (predicted, features, mut moments) = self.through(inputs, pass);
        let reconstruction = self.reconstruction(images, features, pass, &mut moments);
        let [rows, neurons] = predicted.dims();
        let divisor = objective.over_neurons.divisor(neurons);
        let activity = self.config.penalty.predictions(&predicted).map(|sum| sum.div_scalar(divisor));
        let loss = objective.loss.summed(predicted, recorded).div_scalar(divisor);
        let weight = objective.over_trials.factor(clips, rows, objective.trials);
        let Objective { proximal, .. } = objective;
        let by_gradient = self.config.penalty.without(proximal);
        let penalty =
            [self.penalty(&by_gradient, divisor), activity].into_iter().flatten().reduce(|a, b| a + b);
        let named = [
            Some((LOSS, loss.clone().mul_scalar(weight))),
            penalty.map(|sum| ("penalty", sum)),
            reconstruction.map(|error| ("reconstruction", error)),
        ];
        let proximal = self.penalty(proximal, divisor);
        Terms { loss, named: named.into_iter().flatten().collect(), proximal, moments }
    }

    fn respond(&self, inputs: Inputs) -> Tensor<2> {
        self.forward(inputs, Pass::Evaluate).0
    }

    fn settle(mut self, moments: &OfParts) -> Self {
        self.shifter = self.shifter.map(|shifter| shifter.keep_moments(&moments.shifter));
        self.core = self.core.keep_moments(&moments.core);
        self.readout = self.readout.keep_on_map();
        self.modulator = self.modulator.map(|modulator| modulator.keep_moments(&moments.modulator));
        self
    }

    fn on_shared_of(self, other: &Self) -> Self {
        Self { core: other.core.clone(), ..self }
    }

    fn lost(&self) -> usize {
        self.config.lost()
    }

    fn is_mask(name: &str) -> bool {
        name == "readout.mask"
    }
}

/// Images `[batch, channel, height, width]` with behaviour `[batch, variable]` as further, constant channels.
fn with_planes(images: Tensor<4>, behaviour: Tensor<2>) -> Tensor<4> {
    let [batch, _, height, width] = images.dims();
    let variables = behaviour.dims()[1];
    let planes = behaviour.reshape([batch, variables, 1, 1]).expand([batch, variables, height, width]);
    Tensor::cat(vec![images, planes], 1)
}

//! What changes the responses of a twin: the gradient of a sum of them with respect to all that it takes in.

use burn::prelude::*;

use super::Twin;
use crate::batch::Inputs;
use crate::model::Pass;

/// With respect to what gradients are taken; what is not asked for costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toward {
    /// Pixels.
    pub images: bool,
    /// Behaviour.
    pub behaviour: bool,
    /// Pupil centre, or where the animal looks.
    pub pupil: bool,
}

/// Responses to some clips, and the gradient of a weighted sum of them.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// `[clip · kept, neuron]`, in the recording's units.
    pub responses: Tensor<2>,
    /// With respect to [`Inputs::images`], of their shape; none, as of the others, where it was not asked for.
    pub images: Option<Tensor<4>>,
    /// With respect to [`Inputs::behaviour`].
    pub behaviour: Option<Tensor<2>>,
    /// With respect to [`Inputs::pupil`].
    pub pupil: Option<Tensor<2>>,
}

impl Toward {
    /// All that the model takes in.
    pub const ALL: Self = Self { images: true, behaviour: true, pupil: true };
    /// Pixels alone.
    pub const IMAGES: Self = Self { images: true, behaviour: false, pupil: false };
    /// Behaviour, and where the animal looks.
    pub const STATE: Self = Self { images: false, behaviour: true, pupil: true };
}

impl Twin {
    /// Responses to `inputs`, scaled as the model sees them, and the gradient of `Σ weights · responses` with `weights`
    /// `[clip · kept, neuron]`. A clip changes no response but its own, so each may ask another neuron ([`Twin::one_each`]).
    /// Nothing goes to the host, and nothing is computed for the weights of the model.
    ///
    /// # Panics
    /// When the inputs lack what the model takes in.
    pub fn gradients(&self, inputs: &Inputs, weights: Tensor<2>, toward: Toward, pass: Pass) -> Gradients {
        let images = follow(inputs.images.clone(), toward.images);
        let behaviour = inputs.behaviour.clone().map(|rows| follow(rows, toward.behaviour));
        let pupil = inputs.pupil.clone().map(|rows| follow(rows, toward.pupil));
        let followed = Inputs {
            images: images.clone(),
            behaviour: behaviour.clone(),
            pupil: pupil.clone(),
            samples: inputs.samples,
        };
        let scale = self.response_scale(&inputs.images.device());
        let responses = self.model.forward(followed, pass).0 / scale;
        let sum = (responses.clone() * weights).sum();
        let mut gradients = sum.is_tracked().then(|| sum.backward());
        Gradients {
            responses: responses.inner(),
            images: gradient(images, toward.images, &mut gradients),
            behaviour: behaviour.and_then(|rows| gradient(rows, toward.behaviour, &mut gradients)),
            pupil: pupil.and_then(|rows| gradient(rows, toward.pupil, &mut gradients)),
        }
    }

    /// Weights `[row, neuron]` by which each row asks one neuron, by its index in the twin.
    pub fn one_each(&self, asked: &[usize], device: &Device) -> Tensor<2> {
        let neurons = self.card.neurons.len();
        let mut weights = vec![0.0_f32; asked.len() * neurons];
        asked.iter().enumerate().for_each(|(row, neuron)| weights[row * neurons + neuron] = 1.0);
        Tensor::from_data(TensorData::new(weights, [asked.len(), neurons]), device)
    }

    /// What responses of the model are divided by to be in recorded units, `[1, neuron]`.
    fn response_scale(&self, device: &Device) -> Tensor<2> {
        let scale = self.card.normalisation.response_scale.clone();
        let neurons = scale.len();
        Tensor::from_data(TensorData::new(scale, [1, neurons]), device)
    }
}

fn follow<const D: usize>(x: Tensor<D>, wanted: bool) -> Tensor<D> {
    if wanted { x.autodiff().require_grad() } else { x }
}

/// The gradient with respect to `x`; 0 where no response depends on it.
fn gradient<const D: usize>(
    x: Tensor<D>,
    wanted: bool,
    gradients: &mut Option<burn::tensor::Gradients>,
) -> Option<Tensor<D>> {
    if !wanted {
        return None;
    }
    let found = gradients.as_mut().and_then(|gradients| x.grad_remove(gradients));
    Some(found.unwrap_or_else(|| x.inner().zeros_like()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Normalisation, Variables};
    use crate::model::EncoderConfig;
    use crate::model::core::stacked::Nonlinearity;
    use crate::model::modulator::{ModulatorConfig, RecurrentConfig};
    use crate::model::readout::ReadoutConfig;
    use crate::model::weights::to_host;
    use crate::random::{generator, normal};
    use crate::twin::Card;

    const NEURONS: usize = 3;
    /// Frame to the bin after it.
    const SAMPLES: usize = 2;

    /// Sees a frame that head and eyes move, and behaviour; smooth, with dropout of `dropout`.
    fn twin(dropout: f64) -> Twin {
        let mut model = EncoderConfig::xu2023(1);
        let stack = model.stack();
        (stack.kernels, stack.channels, stack.dropout) = (vec![3, 3, 2], vec![3, 4, 5], dropout);
        (stack.nonlinearity, stack.final_nonlinearity) = (Nonlinearity::Softplus, Nonlinearity::Softplus);
        if let ReadoutConfig::FullyConnected(readout) = &mut model.readout {
            (readout.dropout, readout.init_sd) = (dropout, 0.3);
        }
        model.modulator = Some(ModulatorConfig::Recurrent(RecurrentConfig { hidden: 7, steps: 1 }));
        let variables = |count| Variables {
            mean: vec![0.0; count],
            scale: vec![1.0; count],
            centred: false,
            features: None,
        };
        let normalisation = Normalisation {
            image_mean: vec![0.0],
            image_scale: vec![1.0],
            image_height: 0,
            image_range: None,
            response_scale: vec![0.5, 1.0, 2.0],
            mean_response: vec![0.5; NEURONS],
            behaviour: Some(variables(2)),
            pupil: Some(variables(4)),
        };
        let (image_shape, neurons) = ([1, 17, 19], (0..NEURONS).collect());
        let (unit_ids, groups, left_out) = (vec![1, 2, 3], Vec::new(), Vec::new());
        let card = Card { model, image_shape, neurons, unit_ids, groups, left_out, normalisation };
        let model = card.blank(&Device::flex()).unwrap();
        Twin { card, model, digest: String::new() }
    }

    fn inputs(clips: usize) -> Inputs {
        let rows = clips * SAMPLES;
        let draw = |shape: Vec<usize>, stream| {
            let values = normal(&mut generator(8, stream), shape.iter().product(), 0.0, 1.0);
            TensorData::new(values, shape)
        };
        let device = Device::flex();
        Inputs {
            images: Tensor::from_data(draw(vec![rows, 1, 17, 19], 1), &device),
            behaviour: Some(Tensor::from_data(draw(vec![rows, 2], 2), &device)),
            pupil: Some(Tensor::from_data(draw(vec![rows, 4], 3), &device)),
            samples: SAMPLES,
        }
    }

    fn along<const D: usize>(gradient: &Option<Tensor<D>>, step: &Tensor<D>) -> f64 {
        let gradient = gradient.clone().expect("it was asked for");
        f64::from((gradient * step.clone()).sum().into_scalar::<f32>())
    }

    #[test]
    fn each_clip_asks_its_own_neuron_of_everything_that_is_seen() {
        let (twin, device, at, asked) = (twin(0.0), Device::flex(), inputs(3), [2, 0, 1]);
        let weights = twin.one_each(&asked, &device);
        let sum = |inputs: &Inputs| {
            let found = twin.gradients(inputs, weights.clone(), Toward::STATE, Pass::Evaluate);
            f64::from((found.responses * weights.clone()).sum().into_scalar::<f32>())
        };
        let found = twin.gradients(&at, weights.clone(), Toward::ALL, Pass::Evaluate);
        let step = |scale: f32| {
            let other = inputs(4);
            let part = |x: Tensor<2>| x.slice_dim(0, 1..1 + 3 * SAMPLES).mul_scalar(scale);
            let images = other.images.slice_dim(0, 1..1 + 3 * SAMPLES).mul_scalar(scale);
            Inputs {
                images,
                behaviour: other.behaviour.map(part),
                pupil: other.pupil.map(part),
                samples: SAMPLES,
            }
        };
        let moved = |scale: f32, (images, state): (bool, bool)| {
            let (by, mut moved) = (step(scale), at.clone());
            if images {
                moved.images = moved.images + by.images;
            }
            if state {
                moved.behaviour = Some(moved.behaviour.unwrap() + by.behaviour.unwrap());
                moved.pupil = Some(moved.pupil.unwrap() + by.pupil.unwrap());
            }
            sum(&moved)
        };
        let one = step(1.0);
        let expected = [
            along(&found.images, &one.images),
            along(&found.behaviour, &one.behaviour.unwrap()) + along(&found.pupil, &one.pupil.unwrap()),
        ];
        for (which, expected) in [((true, false), expected[0]), ((false, true), expected[1])] {
            let difference = (moved(0.1, which) - moved(-0.1, which)) / 0.2;
            assert!((difference - expected).abs() < 2e-2 * expected.abs(), "{difference} {expected}");
        }
        // In the recording's units, and apart as together.
        let responses = to_host(found.responses).values;
        let direct = to_host(twin.model.forward(at.clone(), Pass::Evaluate).0).values;
        assert!(
            (responses[0] - direct[0] / 0.5).abs() < 1e-5 && (responses[2] - direct[2] / 2.0).abs() < 1e-5
        );
        let cut = |x: Tensor<2>| x.slice_dim(0, SAMPLES..2 * SAMPLES);
        let second = Inputs {
            images: at.images.slice_dim(0, SAMPLES..2 * SAMPLES),
            behaviour: at.behaviour.map(cut),
            pupil: at.pupil.map(cut),
            samples: SAMPLES,
        };
        let alone = twin.gradients(&second, twin.one_each(&[0], &device), Toward::IMAGES, Pass::Evaluate);
        let together = found.images.unwrap().slice_dim(0, SAMPLES..2 * SAMPLES);
        assert!(to_host(alone.images.unwrap() - together).values.iter().all(|x| x.abs() < 1e-6));
        assert!(alone.behaviour.is_none());
    }

    #[test]
    fn dropout_is_drawn_where_it_is_asked_for() {
        let (twin, device) = (twin(0.5), Device::flex());
        let of = |pass| {
            let found = twin.gradients(&inputs(1), twin.one_each(&[0], &device), Toward::IMAGES, pass);
            to_host(found.images.unwrap()).values
        };
        assert_eq!(of(Pass::Drawn { seed: 1 }), of(Pass::Drawn { seed: 1 }));
        assert_ne!(of(Pass::Drawn { seed: 1 }), of(Pass::Drawn { seed: 2 }));
        assert_ne!(of(Pass::Drawn { seed: 1 }), of(Pass::Evaluate));
    }
}

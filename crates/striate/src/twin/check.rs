//! A card is held against itself and against the weights that are there, before anything is made of it.

use std::collections::BTreeSet;

use super::Card;
use crate::array::{Array, Arrays};
use crate::error::{Error, Result};

/// Values of one image beyond which a card is damaged (1 GiB).
const MOST_PIXELS: f64 = (1 << 28) as f64;
/// How many more weights than there are a card may speak of before its model is not even made.
const SLACK: f64 = (1 << 20) as f64;

impl Card {
    /// Whether all parts of the card speak of the same neurons, images and streams.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the key that does not fit the others.
    pub fn check(&self) -> Result<()> {
        let pixels = self.image_shape.iter().map(|&side| side as f64).product::<f64>();
        if !(1.0..=MOST_PIXELS).contains(&pixels) {
            return refuse("image_shape", format!("is {:?}, which no image has", self.image_shape));
        }
        self.check_neurons()?;
        let pixels = self.image_shape.iter().product();
        self.normalisation.check(pixels, self.neurons.len(), self.model.uses())?;
        // What was damaged is the card: the user has no key to set.
        self.model.check(self.seen_shape(), self.normalisation.behaviours()).map_err(Error::into_data)
    }

    fn check_neurons(&self) -> Result<()> {
        let count = self.neurons.len();
        if count == 0 {
            return refuse("neurons", "names none: a twin needs at least one");
        }
        if self.neurons.iter().collect::<BTreeSet<_>>().len() < count {
            return refuse("neurons", "names a neuron twice");
        }
        if self.unit_ids.len() != count {
            return refuse("unit_ids", format!("has {} elements, `neurons` {count}", self.unit_ids.len()));
        }
        let shared = self.model.readout.shares_features();
        match self.groups.len() {
            0 if !shared => Ok(()),
            n if n != count => refuse("groups", format!("has {n} elements, `neurons` {count}")),
            _ if self.groups.iter().any(|&group| group >= count) => {
                refuse("groups", format!("names a group beyond {}", count - 1))
            }
            _ => Ok(()),
        }
    }

    /// Whether a model of this card is about as large as its `weights`: nothing is allocated that a file only claims.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) with both numbers.
    pub(crate) fn check_size(&self, weights: &Arrays) -> Result<()> {
        let groups = self.groups.iter().max().map_or(self.neurons.len(), |last| last + 1);
        let image = self.seen_shape();
        let variables = [self.normalisation.behaviours(), self.normalisation.pupils()];
        let claimed = self.model.size(image, variables, self.neurons.len(), groups);
        let there: usize = weights.values().map(|array: &Array| array.values.len()).sum();
        if claimed <= 2.0 * there as f64 + SLACK {
            return Ok(());
        }
        refuse("model", format!("speaks of {claimed:.0} weights, the checkpoint holds {there}"))
    }
}

fn refuse(key: &str, message: impl Into<String>) -> Result<()> {
    Err(Error::data(message).key(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Normalisation, Variables};
    use crate::error::Kind;
    use crate::model::EncoderConfig;

    fn card() -> Card {
        let two = || Variables { mean: vec![0.0; 2], scale: vec![1.0; 2], centred: true, features: None };
        Card {
            model: EncoderConfig::sensorium_plus(),
            image_shape: [1, 36, 64],
            neurons: vec![0, 3, 4],
            unit_ids: vec![10, 13, 14],
            groups: Vec::new(),
            left_out: Vec::new(),
            normalisation: Normalisation {
                image_mean: vec![0.0],
                image_scale: vec![1.0],
                image_height: 0,
                image_range: None,
                response_scale: vec![1.0; 3],
                mean_response: vec![0.5; 3],
                behaviour: Some(two()),
                pupil: Some(two()),
            },
        }
    }

    /// Every single number that a card has twice, or that another one depends on, made wrong.
    #[test]
    fn a_card_that_contradicts_itself_is_refused_by_key() {
        card().check().unwrap();
        type Damage = fn(&mut Card);
        let damages: [(&str, Damage); 20] = [
            ("image_shape", |c| c.image_shape = [1, 1 << 31, 1 << 31]),
            ("image_shape", |c| c.image_shape = [usize::MAX; 3]),
            ("image_shape", |c| c.image_shape = [0, 36, 64]),
            ("neurons", |c| (c.neurons, c.unit_ids) = (Vec::new(), Vec::new())),
            ("neurons", |c| c.neurons[1] = 0),
            ("unit_ids", |c| c.unit_ids.clear()),
            ("groups", |c| c.groups = vec![0]),
            ("groups", |c| c.groups = vec![0, 1, usize::MAX]),
            ("normalisation.response_scale", |c| c.normalisation.response_scale.clear()),
            ("normalisation.response_scale", |c| c.normalisation.response_scale.push(1.0)),
            ("normalisation.response_scale", |c| c.normalisation.response_scale[0] = 0.0),
            ("normalisation.mean_response", |c| c.normalisation.mean_response[0] = f32::NAN),
            ("normalisation.image_mean", |c| c.normalisation.image_mean.clear()),
            ("normalisation.image_mean", |c| c.normalisation.image_mean = vec![0.0; 3]),
            ("normalisation.image_scale", |c| c.normalisation.image_scale = vec![f32::INFINITY]),
            ("normalisation.image_scale", |c| c.normalisation.image_scale = vec![1.0; 36 * 64]),
            ("normalisation.behaviour", |c| c.normalisation.behaviour = None),
            ("normalisation.pupil", |c| c.normalisation.pupil.as_mut().unwrap().mean.push(0.0)),
            ("normalisation.pupil", |c| c.normalisation.pupil.as_mut().unwrap().scale.clear()),
            ("model.core", |c| c.model.stack().channels[0] = 0),
        ];
        for (key, damage) in damages {
            let mut card = card();
            damage(&mut card);
            let error = card.check().unwrap_err();
            let found = (error.kind(), error.place().key.as_deref());
            assert_eq!(found, (Kind::Data, Some(key)), "{error}");
        }
    }

    #[test]
    fn a_model_larger_than_its_weights_is_not_made() {
        let mut card = card();
        let weights = Arrays::from([("a".into(), Array { shape: vec![1], values: vec![0.0] })]);
        card.model.stack().channels[1] = 1 << 11;
        card.check().unwrap();
        let error = card.check_size(&weights).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("model"), "{error}");
    }
}

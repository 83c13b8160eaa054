//! Where neurons lie in cortex, as a readout's predictor takes it.

use crate::error::{Error, Result};
use crate::recording::Session;

/// Cortical position of each of `neurons` along x and y, minus the mean along each axis, divided by the largest distance
/// along either (`papers/sensorium.md#readouts`, source coordinates of the grid-mean predictor).
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the recording has none, or one of them is not finite.
pub fn cortical_positions(session: &Session, neurons: &[usize]) -> Result<Vec<[f32; 2]>> {
    const OTHERWISE: &str = "set `model.readout.predictor=none`: positions are then parameters";
    let refuse = |message: String| {
        let file = session.source.table("meta/neurons/cell_motor_coordinates.npy");
        Error::data(message).file(file).key("cell_motor_coordinates")
    };
    let Some(all) = &session.neurons.position_um else {
        let message = "there are no cortical positions to read, which the readout's predictor needs";
        return Err(refuse(message.into()).hint(OTHERWISE));
    };
    let chosen: Vec<[f64; 2]> = neurons.iter().map(|&n| [all[n][0], all[n][1]]).collect();
    if let Some(at) = chosen.iter().position(|position| position.iter().any(|at| !at.is_finite())) {
        let (row, id) = (neurons[at], session.neurons.ids[neurons[at]]);
        let message = format!("row {row}, the neuron with unit_id {id}, is {:?}", all[row]);
        let hint = format!("leave the neuron out with `data.exclude_neurons=[{id}]`, or {OTHERWISE}");
        return Err(refuse(message).hint(hint));
    }
    let mean = [0, 1].map(|i| chosen.iter().map(|p| p[i]).sum::<f64>() / chosen.len().max(1) as f64);
    let centred = chosen.iter().map(|p| [p[0] - mean[0], p[1] - mean[1]]).collect::<Vec<_>>();
    let largest = centred.iter().flatten().fold(0.0, |most: f64, at| most.max(at.abs())).max(1e-12);
    Ok(centred.iter().map(|p| p.map(|at| (at / largest) as f32)).collect())
}

//! What is known of the neurons of a simulation.

/// The filters of a neuron whose answer is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Name of its kind.
    pub kind: &'static str,
    /// One filter, or two whose energy is taken, `[lag, pixel]` of all pixels; lag 0 is the sample of the response.
    pub filters: Vec<Vec<f32>>,
}

//! Names of the metrics, in the order in which people want to see them.

/// How a metric is shown; what it means stands in the score file itself.
pub struct Shown {
    /// Id in the score file.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Whether it lives on a scale from 0 (nothing) to 1 (all), and can be drawn as a dot on it.
    pub is_fraction: bool,
    /// Whether it says what the recording allows, whatever the model.
    pub of_recording: bool,
}

const fn fraction(id: &'static str, name: &'static str) -> Shown {
    Shown { id, name, is_fraction: true, of_recording: false }
}

const fn unbounded(id: &'static str, name: &'static str) -> Shown {
    Shown { id, name, is_fraction: false, of_recording: false }
}

const fn of_recording(shown: Shown) -> Shown {
    Shown { of_recording: true, ..shown }
}

const KNOWN: &[Shown] = &[
    fraction("single_trial_correlation", "Single-trial correlation"),
    fraction("single_trial_correlation_held", "Single-trial correlation, behaviour held"),
    fraction("correlation_to_average", "Correlation to average"),
    fraction("fraction_oracle_held", "Fraction oracle, behaviour held"),
    fraction("fraction_oracle", "Fraction oracle"),
    fraction("feve_held", "FEVE, behaviour held"),
    fraction("feve", "FEVE"),
    fraction("fev", "FEV"),
    fraction("correlation_to_truth", "Correlation to the noise-free response"),
    fraction("cc_norm_held", "Normalised correlation, behaviour held"),
    fraction("cc_norm", "Normalised correlation"),
    fraction("smoothed_correlation", "Correlation, smoothed over 2 s"),
    fraction("smoothed_correlation_by_trial", "Correlation, smoothed over 2 s of each trial"),
    unbounded("poisson_loss", "Poisson loss"),
    unbounded("mse", "Mean squared error"),
    unbounded("smoothed_mse", "Mean squared error, smoothed over 2 s"),
    of_recording(fraction("oracle_jackknife", "Oracle, jackknife")),
    of_recording(fraction("oracle_conservative", "Oracle, conservative")),
    of_recording(fraction("explainable_variance", "Explainable variance")),
    of_recording(unbounded("snr", "Signal-to-noise ratio")),
];

/// How the metric `id` is shown, when it is a known one.
pub fn shown(id: &str) -> Option<&'static Shown> {
    KNOWN.iter().find(|metric| metric.id == id)
}

/// What was done to the predictions of a control, e.g. `neurons shuffled`.
pub fn control(kind: &str) -> String {
    match kind.split_once(['-', '_']) {
        Some(("shuffle" | "shuffled", what)) => format!("{what} shuffled"),
        _ => kind.replace('_', " "),
    }
}

/// Name of the number that a fit is judged by while it is fitted, e.g. `validation loss`.
pub fn check(id: &str) -> String {
    id.replace("val_", "validation ").replace('_', " ")
}

/// Id of the score `id` with behaviour held at its mean, of those that are read against a ceiling of 1.
pub fn held(id: &str) -> Option<String> {
    ["fraction_oracle", "feve", "cc_norm"].contains(&id).then(|| format!("{id}_held"))
}

/// Whether `id` is a score with behaviour held at its mean.
pub fn is_held(id: &str) -> bool {
    id.ends_with("_held")
}

/// Name of metric `id` for people.
pub fn name(id: &str) -> String {
    shown(id).map_or_else(|| id.replace('_', " "), |metric| metric.name.into())
}

/// Known ids first, in their order, then the others by name.
pub fn order<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let rank = |id: &str| KNOWN.iter().position(|metric| metric.id == id).unwrap_or(KNOWN.len());
    let mut ids: Vec<&str> = ids.map(String::as_str).collect();
    ids.sort_by_key(|id| (rank(id), *id));
    ids
}

//! Names of the metrics, in the order in which people want to see them.

/// How a metric is shown; what it means stands in the score file itself.
pub struct Shown {
    /// Id in the score file.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Whether it lives on a scale from 0 (nothing) to 1 (all), and can be drawn as a dot on it.
    pub is_fraction: bool,
}

const fn fraction(id: &'static str, name: &'static str) -> Shown {
    Shown { id, name, is_fraction: true }
}

const fn unbounded(id: &'static str, name: &'static str) -> Shown {
    Shown { id, name, is_fraction: false }
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
    fraction("cc_norm_held", "Normalised correlation, behaviour held"),
    fraction("cc_norm", "Normalised correlation"),
    fraction("oracle_jackknife", "Oracle, jackknife"),
    fraction("oracle_conservative", "Oracle, conservative"),
    fraction("explainable_variance", "Explainable variance"),
    unbounded("snr", "Signal-to-noise ratio"),
    unbounded("poisson_loss", "Poisson loss"),
    unbounded("mse", "Mean squared error"),
];

/// How the metric `id` is shown, when it is a known one.
pub fn shown(id: &str) -> Option<&'static Shown> {
    KNOWN.iter().find(|metric| metric.id == id)
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

//! The configuration as a file that explains itself.

/// What each key means, by its path; keys of every table of the configuration.
const MEANINGS: &[(&str, &str)] = &[
    ("name", "shown in the report"),
    ("seed", "seed of every random draw"),
    ("data.path", "the recording: a folder or an archive"),
    ("data.session", "which session, or list of sessions, where the recording holds several; empty for all"),
    ("data.neurons", "number of neurons, drawn at random; 0 takes all"),
    ("data.neuron_seed", "seed of the draw of `data.neurons`"),
    (
        "data.neuron_ids",
        "neurons to choose from, by unit_id: [3, 17], a CSV with that column, or a rule; [] for all",
    ),
    (
        "data.exclude_neurons",
        "neurons left out: unit_ids, a CSV, or a rule (oracle<0.05, explainable_variance, mean_response, area!=V1, layer, x, y, z)",
    ),
    (
        "data.exclude_trials",
        "trials of any tier left out: [0, 5], of several sessions [\"SESSION:5\"], a CSV with a column `trial`, or a rule (samples<20, behavior[2]<1)",
    ),
    ("data.nan", "values that are not finite: refuse, drop_neurons, drop_trials"),
    (
        "data.validation_tier",
        "the tier to validate on; empty takes `validation`, `val` or `valid` where there is one",
    ),
    (
        "data.types",
        "a CSV with unit_id and type (explain barcode writes one), for readouts with shared features",
    ),
    ("data.train_trials", "number of training trials, the first in file order; 0 takes all"),
    (
        "data.validation_fraction",
        "share of the training tier to validate on, where there is no validation tier",
    ),
    (
        "data.validation_cut",
        "what is held out of the training tier: trials, or ends (the last windows of each trial)",
    ),
    (
        "data.windows",
        "clips of `data.frames` samples in an epoch: drawn (one of each trial), all (one from each sample on)",
    ),
    (
        "data.behaviour",
        "what is taken in of behaviour: a list of variables, changes and products (speed, th', speed*th'), or a set (orig, velo, all, \
         orig_prod, velo_prod, all_prod, S); empty for all as recorded",
    ),
    ("data.pupil", "what is taken in of the pupil centre, or of eye and head, as `data.behaviour`"),
    (
        "data.variables",
        "scaling of behaviour and pupil: std (behaviour divided by the s.d., pupil z-scored), none",
    ),
    (
        "data.image_height",
        "higher images are made smaller to so many pixels, in proportion; 0 leaves all as recorded",
    ),
    (
        "data.frames",
        "samples of a training clip of video, at a random place of its trial; 0 takes all that every trial has",
    ),
    ("data.images", "scaling of images: none, scalar, per_pixel (z-scores)"),
    ("data.responses", "scaling of responses: none, std (divided by the s.d.)"),
    ("data.cache_mib", "memory for trials already read, in MiB"),
    ("model.paper", "the paper of the model: antolik2016, klindt2017, sensorium2022, sensorium2023, xu2023"),
    ("model.behaviour_planes", "whether the core sees behaviour as constant planes beside the image"),
    ("model.output", "final nonlinearity: identity, relu, softplus, exponential, elu_plus_one"),
    (
        "model.core.kind",
        "stacked (convolutions of each image or frame), factorised3d (convolutions in space, then in time), conv_gru \
         (convolutions of each frame, then a recurrent unit of maps), resnet18, efficientnet_b0, autoencoder (features of which \
         the image is made again), lags (the last frames side by side)",
    ),
    ("model.core.width", "channels of the first of four stages; each further one has twice as many"),
    ("model.core.pooled", "whether features are means over the map, as published, or the map itself"),
    ("model.core.latent", "features of the autoencoder"),
    ("model.core.lags", "frames side by side, the last one that of the prediction"),
    ("model.core.crop", "pixels that are left out on every side"),
    ("model.core.hidden", "channels of the recurrent unit's state, which are the features"),
    ("model.core.input_kernel", "kernel side of the recurrent unit on the layers, in pixels; odd"),
    ("model.core.state_kernel", "kernel side of the recurrent unit on its own state, in pixels; odd"),
    ("model.core.warm_up", "samples at the start of a clip that only move the state, and are not predicted"),
    ("model.core.spatial_kernels", "kernel side of each layer in space, in pixels"),
    ("model.core.temporal_kernels", "kernel length of each layer in time, in samples; no padding"),
    ("model.core.lgn.units", "centre-surround units that look at the whole image, before the first layer"),
    ("model.core.bias", "whether each channel has a bias, where there is no batch norm"),
    ("model.core.kernels", "kernel side of each layer, in pixels"),
    ("model.core.channels", "output channels of each layer"),
    ("model.core.padding", "border of each layer: valid, same"),
    ("model.core.strides", "pixels from one output of each layer to the next; [] for 1"),
    (
        "model.core.init_uniform",
        "whether starting kernels are uniform within 1 / sqrt(connections), as in PyTorch",
    ),
    ("model.core.image_kept", "whether dropout leaves out the input of the first layer"),
    (
        "model.core.batch_norm.each_sample",
        "whether in training each sample of the clips is normalised by its own statistics",
    ),
    ("model.core.nonlinearity", "nonlinearity of every layer but the last: identity, relu, softplus, elu"),
    ("model.core.final_nonlinearity", "nonlinearity of the last layer"),
    ("model.core.kernel_constraint", "constraint on kernels: none, unit_norm"),
    ("model.core.separable", "whether layers after the first are 1x1, one kernel per channel, 1x1"),
    ("model.core.init_sd", "s.d. of the starting kernels; 0: by the number of connections (Glorot)"),
    ("model.core.init_truncated", "whether starting kernels are truncated at 2 s.d."),
    ("model.core.dropout", "rate of dropout on the input of each layer"),
    ("model.core.pool", "side of the average pooling before the masks, in pixels; 1 means none"),
    ("model.core.batch_norm.decay", "share of batch norm's running statistics kept at each step"),
    ("model.core.batch_norm.epsilon", "added to the variance that batch norm divides by"),
    ("model.core.batch_norm.offset", "whether batch norm learns an offset"),
    ("model.core.batch_norm.gain", "whether batch norm learns a gain"),
    (
        "model.readout.kind",
        "factorised (a mask x feature weights), fully_connected (a weight for each feature at each pixel), gaussian (a point), deterministic (a round bump), point_pooled (a point at \
         several scales), attention (a mask that depends on the image)",
    ),
    ("model.readout.init_sd", "s.d. of the starting weights"),
    ("model.readout.init_truncated", "whether starting weights are truncated at 2 s.d."),
    ("model.readout.dropout", "rate of dropout on the features"),
    ("model.readout.pool_steps", "times the map is pooled and read again"),
    ("model.readout.pool_side", "side of the pooling between readings, in pixels"),
    ("model.readout.spread", "noise of positions in training: full, uncorrelated, isotropic, none"),
    (
        "model.readout.init_sigma",
        "starting size of the noise of positions, or of the bump; -1 to 1 is the whole map",
    ),
    ("model.readout.init_mu_range", "mean positions start uniform within plus or minus this"),
    (
        "model.readout.start_at_sta",
        "whether positions start at the peak of the spike-triggered average instead",
    ),
    ("model.readout.predictor.layers", "hidden layers of the network from cortical to mean positions"),
    ("model.readout.predictor.hidden", "units of each hidden layer of the predictor"),
    ("model.readout.predictor.tanh", "whether predicted positions go through tanh"),
    (
        "model.lag",
        "samples by which responses follow what the model sees; 1: the last frame predicts the next bin",
    ),
    (
        "model.shifter.kind",
        "readout (the pupil moves where neurons read the features), image (head and eyes turn and move the image)",
    ),
    ("model.shifter.reach", "farthest movement of the image, as a share of width and height"),
    ("model.shifter.turn", "farthest turn of the image, in degrees"),
    (
        "model.shifter.centre",
        "what images turn around: image (their centre), published (as in the authors' code)",
    ),
    (
        "model.shifter.starts_still",
        "whether no image moves before the first step, in place of random motions",
    ),
    ("model.shifter.layers", "layers from pupil centre to a shift of all positions, tanh after each"),
    ("model.shifter.hidden", "units of every layer of the shifter but the last"),
    (
        "model.modulator.kind",
        "gain (of each neuron, by behaviour), recurrent (drive, behaviour and product through a recurrent unit), linear (a sum \
         or product of each neuron)",
    ),
    (
        "model.modulator.how",
        "what a linear modulator w b + c is to the drive: add, multiply (by its absolute value)",
    ),
    ("model.modulator.steps", "samples that each prediction of the recurrent unit looks at"),
    ("model.modulator.layers", "layers from behaviour to the gain of each neuron"),
    ("model.modulator.hidden", "units of every layer of the modulator but the last, or of its state"),
    ("model.modulator.rectified", "whether gains stay at 1 or above, as in the Sensorium toolkit"),
    (
        "model.readout.mask",
        "constraint on masks: none, abs, norm (each divided by its Euclidean norm), abs_norm",
    ),
    (
        "model.readout.shared_features",
        "whether neurons of one type (`data.types`) share feature weights but for a scale",
    ),
    ("model.readout.features", "constraint on feature weights: none, abs, norm, abs_norm"),
    ("model.readout.feature_init_mean", "mean of the starting feature weights"),
    ("model.readout.feature_init_sd", "s.d. of the starting feature weights"),
    ("model.readout.feature_init_truncated", "whether starting feature weights are truncated at 2 s.d."),
    ("model.readout.bias", "whether each neuron has a bias, started at its mean rate"),
    (
        "model.readout.mask_init.kind",
        "how masks start: noise {sd}, sta_peak {noise_sd, height, smooth}, sta_gaussian {sd_px, height, smooth_px}",
    ),
    ("model.readout.mask_init.sd", "s.d. of the noise that masks start as"),
    ("model.readout.mask_init.noise_sd", "s.d. of the noise around the starting peak"),
    ("model.readout.mask_init.height", "height of the starting peak or bump"),
    (
        "model.readout.mask_init.smooth",
        "side of the kernel that smooths the spike-triggered average, in pixels; 0 means none",
    ),
    (
        "model.readout.mask_init.with_validation",
        "whether the spike-triggered average takes in the validation trials",
    ),
    ("model.readout.mask_init.sd_px", "s.d. of the starting bump, in pixels of the mask"),
    (
        "model.readout.mask_init.smooth_px",
        "s.d. of the smoothing of the spike-triggered average, in pixels of the image",
    ),
    (
        "model.penalty.over_kernels",
        "how penalties combine the kernels of a layer: mean, sum (as in the paper)",
    ),
    ("model.penalty.mask_smoothness", "strength of the Laplacian penalty on masks, per neuron"),
    ("model.penalty.readout_l2", "strength of the squared weights of a fully connected readout, per neuron"),
    ("model.penalty.activity", "strength of the mean absolute prediction, per neuron"),
    ("model.penalty.smoothness", "strength of the Laplacian penalty on kernels"),
    ("model.penalty.smoothness_layers", "share of `smoothness` for each layer; missing layers get 0"),
    ("model.penalty.group", "strength of group sparsity of kernels"),
    ("model.penalty.group_layers", "share of `group` for each layer; missing layers get 0"),
    ("model.penalty.laplace", "strength of the Laplacian penalty on the first kernels, one ratio for all"),
    ("model.penalty.laplace_time", "as `laplace`, for the first kernels in time"),
    (
        "model.penalty.laplace_padding",
        "zeros around the kernels for `laplace` and `laplace_time`: 0 leaves out their borders, 1 counts them",
    ),
    (
        "model.penalty.mask_variance",
        "strength of the variance of the bumps of a deterministic readout, per neuron",
    ),
    ("model.penalty.modulator_l1", "strength of the mean absolute weight of the modulator's last layer"),
    (
        "model.penalty.reconstruction",
        "strength of the mean squared error of the images that an autoencoder makes again",
    ),
    ("model.penalty.kernel_l2", "strength of 1e-4/2 x sum of squared kernels"),
    ("model.penalty.mask_l1", "strength of the L1 of masks, per neuron"),
    ("model.penalty.feature_l1", "strength of the L1 of feature weights, per neuron"),
    ("model.penalty.readout_l1", "strength of L1(mask) x L1(feature weights), per neuron"),
    (
        "fit.solver",
        "adam, or in closed form: ols (least squares), ridge (least squares + alpha x squared weights), lasso (half the \
         mean squared error + alpha x absolute weights)",
    ),
    ("fit.alpha", "strength of the penalty; of several, the one with the best validation score is kept"),
    ("fit.intercept", "whether each neuron has an intercept"),
    ("fit.with_validation", "whether the weights are fitted to the validation trials too"),
    ("fit.loss", "loss: poisson, poisson_nll (that of PyTorch), mse"),
    ("fit.over_neurons", "how loss and readout penalty combine neurons: mean, sum"),
    (
        "fit.over_trials",
        "loss of a batch: mean, session (sqrt(trials of the session / batch) x sum; Sensorium)",
    ),
    ("fit.learning_rate", "learning rate of Adam at the start"),
    ("fit.mask_rate", "learning rate of the masks as a share of `learning_rate`"),
    (
        "fit.mask_dense_every",
        "steps between dense steps of sparse masks; 0: masks stay dense, L1 by gradient",
    ),
    ("fit.batch", "trials per step"),
    (
        "fit.sessions",
        "where there are several: together (each has a batch in every step, gradients added), in_turn (one after another)",
    ),
    ("fit.clip", "largest norm of the gradient; 0 means no limit"),
    ("fit.drop_last", "whether the last, smaller batch of an epoch is left out"),
    ("fit.shuffle_first", "whether the first epoch is shuffled too"),
    (
        "fit.start_from",
        "a run, or a file of weights (.safetensors; a PyTorch state dict, .pth): those of the same name and shape are where the fit \
         starts; of torchvision's resnet18 and timm's efficientnet_b0 by their own names",
    ),
    ("fit.frozen", "weights that are not fitted, by name or part: readout.mask, core"),
    ("schedule.check_every", "steps between checks on the validation trials; 0 checks once per epoch"),
    ("schedule.monitor", "the number that decides: loss, correlation"),
    ("schedule.patience", "checks in a row without improvement that end a round"),
    ("schedule.rounds", "rounds; the learning rate is lowered between them"),
    ("schedule.factor", "factor of the learning rate from round to round"),
    ("schedule.rewind", "whether a round that ran out of patience goes back to the best checkpoint"),
    ("schedule.burn_in", "checks at the start that never count as bad"),
    ("schedule.min_delta", "smallest change that counts as improvement"),
    ("schedule.round_steps", "steps after which a round ends; 0 means no limit"),
    ("schedule.max_steps", "steps after which the fit stops; 0 means no limit"),
    (
        "schedule.max_checks",
        "checks after which the fit stops, epochs where there is one in each; 0 means no limit",
    ),
];

const HEADER: &str =
    "# A complete description of a fit. Start it with: striate fit FILE --data DATA --out RUN\n";

/// Every key, by its path.
pub fn keys() -> impl Iterator<Item = &'static str> {
    MEANINGS.iter().map(|(path, _)| *path)
}

/// A configuration as TOML, `text`, with the meaning of each key above it.
pub fn commented(text: &str) -> String {
    let mut table = String::new();
    let mut out = String::from(HEADER);
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{header}.");
        }
        let key = line.split_once(" = ").map(|(key, _)| format!("{table}{key}"));
        let meaning = key.and_then(|key| MEANINGS.iter().find(|(path, _)| *path == key));
        if let Some((_, meaning)) = meaning {
            out += &format!("# {meaning}\n");
        }
        out += &format!("{line}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comment is read alone, often without the key above it.
    #[test]
    fn meanings_stand_by_themselves() {
        for (path, meaning) in MEANINGS {
            let first = meaning.split(' ').next().unwrap();
            let points_back = ["of", "its", "their", "that"].contains(&first)
                || meaning.split([' ', ';', ':']).any(|word| ["they", "it"].contains(&word));
            assert!(!points_back, "{path}: {meaning}");
        }
    }
}

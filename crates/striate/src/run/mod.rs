//! One folder per run: what was asked for, what happened, and the results.
//!
//! ```text
//! RUN/config.toml        resolved, complete      RUN/manifest.json   versions, seed, recording, sizes
//! RUN/checkpoints/{best,last}/                   RUN/metrics.csv · RUN/tensorboard/ · RUN/log.txt
//! RUN/members/NN/       models of an ensemble: config.toml, twin.json, weights.safetensors
//! RUN/sessions/ID/      of a run on several sessions, what is of one of them: twin.json, neurons.*, scores/, explain/
//! RUN/neurons.parquet · neurons.csv              all of them: docs/RUN_FOLDER.md
//! RUN/scores/TIER.json · TIER.parquet            RUN/explain/KIND/ · RUN/report.html
//! ```
//!
//! A [`RunFolder`] knows the paths, a [`Manifest`] says what was run, a [`Standing`] how far it has come, [`MetricsLog`] and
//! [`EventLog`] record how it went.

pub mod bond;
pub mod folder;
pub mod manifest;
pub mod metrics;
mod next;
pub mod standing;
pub mod tensorboard;

pub use bond::Bond;
pub use folder::{Checkpoint, RunFolder};
pub use manifest::{Best, Fitted, Manifest, Member, RecordingInfo, SessionInfo, Status};
pub use metrics::MetricsLog;
pub use standing::{Standing, State};
pub use tensorboard::EventLog;

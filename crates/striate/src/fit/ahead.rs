//! Clips read by a thread while the step before them is made.

use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use super::order::Share;
use crate::batch::{Read, Trials};
use crate::error::Result;

/// The shares of an epoch in their order, of which one is read ahead: in memory are the clips of two, whatever the number
/// of sessions, beside the trials that are kept (`data.cache_mib`).
pub(super) struct Ahead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// The trials of each session.
    sources: &'env [Arc<Trials<'env>>],
    left: Box<dyn Iterator<Item = &'env Share> + 'env>,
    next: Option<ScopedJoinHandle<'scope, Result<Read>>>,
}

impl<'scope, 'env> Ahead<'scope, 'env> {
    /// Begins to read the first of the shares that are `left`.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        sources: &'env [Arc<Trials<'env>>],
        left: impl Iterator<Item = &'env Share> + 'env,
    ) -> Self {
        let mut ahead = Self { scope, sources, left: Box::new(left), next: None };
        ahead.begin();
        ahead
    }

    fn begin(&mut self) {
        let sources = self.sources;
        self.next = self
            .left
            .next()
            .map(|share| self.scope.spawn(move || sources[share.animal].read_clips(&share.clips)));
    }

    /// What was read of the next share; begins to read the one after it.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    ///
    /// # Panics
    /// When no share is left.
    pub fn next(&mut self) -> Result<Read> {
        let reading = self.next.take().expect("there are as many steps as shares");
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.begin();
        read
    }
}

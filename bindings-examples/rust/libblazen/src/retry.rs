//! When a step that failed is tried again: [`RetryPolicy`].

use std::time::Duration;

use libblazen_sys as sys;

use crate::event::millis;
use crate::ffi::sized;

/// When a step that failed is tried again. The delay before attempt n + 1 is the initial one times the multiplier to the
/// power of n - 1, at most the longest; back-off survives snapshots.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    max_attempts: u32,
    initial_delay: Duration,
    multiplier: f64,
    max_delay: Duration,
    jitter_percent: u32,
    only: Option<Vec<i64>>,
    never: Vec<i64>,
}

impl RetryPolicy {
    /// So many attempts, with the first one.
    pub fn attempts(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            initial_delay: Duration::ZERO,
            multiplier: 2.0,
            max_delay: Duration::from_secs(60),
            jitter_percent: 0,
            only: None,
            never: Vec::new(),
        }
    }

    /// The delay before the second attempt; at once where it is not said.
    #[must_use]
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = delay;
        self
    }

    /// By how much each delay is longer than the one before; 2 where it is not said.
    #[must_use]
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// The longest delay; a minute where it is not said.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Up to so much of each delay is taken off, by a digest of run, invocation and attempt.
    #[must_use]
    pub fn jitter_percent(mut self, percent: u32) -> Self {
        self.jitter_percent = percent;
        self
    }

    /// Only failures of these host codes are tried again ([`WorkflowError::with_code`](crate::WorkflowError::with_code)).
    #[must_use]
    pub fn only(mut self, host_codes: impl Into<Vec<i64>>) -> Self {
        self.only = Some(host_codes.into());
        self
    }

    /// Failures of these host codes are not.
    #[must_use]
    pub fn never(mut self, host_codes: impl Into<Vec<i64>>) -> Self {
        self.never = host_codes.into();
        self
    }

    /// The arrays are borrowed from `self`.
    pub(crate) fn options(&self) -> sys::blazen_retry_options {
        let mut options = sized!(sys::blazen_retry_options);
        options.max_attempts = self.max_attempts;
        options.jitter_percent = self.jitter_percent;
        options.initial_delay_ms = millis(self.initial_delay);
        options.multiplier = self.multiplier;
        options.max_delay_ms = millis(self.max_delay);
        if let Some(only) = &self.only {
            (options.only, options.only_count) = (only.as_ptr(), only.len());
        }
        if !self.never.is_empty() {
            (options.never, options.never_count) = (self.never.as_ptr(), self.never.len());
        }
        options
    }
}

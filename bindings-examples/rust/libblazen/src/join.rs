//! Joins: a step that takes all that has come of one invocation of another step, at once.

use std::time::Duration;

use libblazen_sys as sys;

use crate::event::millis;
use crate::ffi::{sized, text};

/// How a step joins: see [`StepDef::joins`](crate::StepDef::joins).
///
/// Each invocation of the opener opens a scope: what it sends and emits, and what comes of that. The events of the scope
/// that the join accepts do not start it, but are collected, until its condition holds.
#[derive(Clone, Debug)]
pub struct Join {
    of: String,
    mode: sys::blazen_join_mode,
    n: u32,
    deadline: Duration,
    fails_at_deadline: bool,
    cancels_rest: bool,
    ordered: bool,
    by_event: bool,
    skips_empty: bool,
}

impl Join {
    /// It is invoked when nothing of the scope is left.
    pub fn all(opener: impl Into<String>) -> Self {
        Self::of(opener, sys::BLAZEN_JOIN_ALL, 0)
    }

    /// It is invoked at the first arrival.
    pub fn any(opener: impl Into<String>) -> Self {
        Self::of(opener, sys::BLAZEN_JOIN_ANY, 0)
    }

    /// It is invoked at the n-th arrival; or, where the scope is over before, with what came.
    pub fn first(opener: impl Into<String>, n: u32) -> Self {
        Self::of(opener, sys::BLAZEN_JOIN_FIRST_N, n)
    }

    fn of(opener: impl Into<String>, mode: sys::blazen_join_mode, n: u32) -> Self {
        Self {
            of: opener.into(),
            mode,
            n,
            deadline: Duration::ZERO,
            fails_at_deadline: false,
            cancels_rest: false,
            ordered: false,
            by_event: false,
            skips_empty: false,
        }
    }

    /// So long after the scope opened, it is invoked with what has arrived.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// At its deadline it fails instead.
    #[must_use]
    pub fn fail_at_deadline(mut self) -> Self {
        self.fails_at_deadline = true;
        self
    }

    /// Once it is invoked, what is left of the scope is cancelled.
    #[must_use]
    pub fn cancel_rest(mut self) -> Self {
        self.cancels_rest = true;
        self
    }

    /// The events stand in the order of what the opener gave, not of arrival.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// One invocation for each correlation of the events.
    #[must_use]
    pub fn by_correlation(mut self) -> Self {
        self.by_event = true;
        self
    }

    /// Where nothing has arrived, it is not invoked.
    #[must_use]
    pub fn skip_empty(mut self) -> Self {
        self.skips_empty = true;
        self
    }

    /// The texts are borrowed from `self`.
    pub(crate) fn options(&self) -> sys::blazen_join_options {
        let mut options = sized!(sys::blazen_join_options);
        (options.of, options.of_length) = (text(&self.of), self.of.len());
        options.mode = self.mode;
        options.n = self.n;
        options.deadline_ms = millis(self.deadline);
        options.at_deadline = i32::from(self.fails_at_deadline);
        options.cancel_rest = i32::from(self.cancels_rest);
        options.ordered = i32::from(self.ordered);
        options.correlation = i32::from(self.by_event);
        options.empty = i32::from(self.skips_empty);
        options
    }
}

/// Why a join was invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinReason {
    /// Nothing of the scope is left.
    Complete,
    /// As many have arrived as were wanted.
    Condition,
    /// The scope was over before that.
    Short,
    /// Its deadline has passed.
    Deadline,
}

/// What a join was invoked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinInfo {
    /// Why it was invoked.
    pub reason: JoinReason,
    /// How many were wanted; 0: all.
    pub wanted: u32,
    /// How many have arrived.
    pub arrived: u64,
    /// The scope that it has joined.
    pub scope_id: u64,
}

impl JoinInfo {
    pub(crate) fn of(info: &sys::blazen_join_info) -> Option<Self> {
        let reason = match info.reason {
            sys::BLAZEN_JOIN_REASON_COMPLETE => JoinReason::Complete,
            sys::BLAZEN_JOIN_REASON_CONDITION => JoinReason::Condition,
            sys::BLAZEN_JOIN_REASON_SHORT => JoinReason::Short,
            sys::BLAZEN_JOIN_REASON_DEADLINE => JoinReason::Deadline,
            _ => return None,
        };
        Some(Self { reason, wanted: info.wanted, arrived: info.arrived, scope_id: info.scope_id })
    }
}

//! Fill levels of bounded queues, which the metrics show.

/// Use of a queue or a budget at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLevel {
    /// Part in use.
    pub used: usize,
    /// Maximum.
    pub max: usize,
}

//! Mutations of the protocol that the model must detect.

use super::token_check::Verdict;

/// Deviation of the model from the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    Unchanged,
    /// Incorrect: any server with the epoch marker is trusted.
    TrustAnyMarker,
    /// Incorrect: a record from SQL counts until SQL returns another one.
    IgnoreLeases,
    /// Incorrect: a logout ends the epoch and responds immediately.
    SkipPropagationDelay,
    /// Incorrect: a backfill begins before every process has noticed its epoch.
    BackfillImmediately,
    /// Incorrect: a backfill completes although its marker is lost.
    CompleteWithoutMarker,
    /// Common elsewhere: the response to a logout does not wait for the denial.
    RespondBeforeDenial,
    /// Common elsewhere: a token that cannot be checked is admitted.
    AdmitUnchecked,
    /// Common elsewhere: a token that cannot be checked is refused.
    RefuseUnchecked,
    /// Incorrect: a rotation overwrites changes since its read.
    OverwriteOnRotation,
}

impl Mutation {
    pub(super) fn verdict_without_source(self) -> Verdict {
        match self {
            Self::AdmitUnchecked => Verdict::Admitted,
            Self::RefuseUnchecked => Verdict::Refused,
            _ => Verdict::Unavailable,
        }
    }
}

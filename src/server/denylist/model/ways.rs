//! Mutations of the protocol that the model must detect.

use super::check::Verdict;

/// Deviation of the model from the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    AsItIs,
    /// Incorrect: any server with the epoch marker is trusted.
    ByMarkAlone,
    /// Incorrect: a record from SQL counts until SQL returns another one.
    WithoutLease,
    /// Incorrect: a logout ends the epoch and responds immediately.
    WithoutWait,
    /// Incorrect: a backfill begins before every process has noticed its epoch.
    FillAtOnce,
    /// Incorrect: a backfill completes although its marker is lost.
    FillUnchecked,
    /// Common elsewhere: the response to a logout does not wait for the denial.
    AnswerBeforeDenial,
    /// Common elsewhere: a token that cannot be checked is admitted.
    FailOpen,
    /// Common elsewhere: a token that cannot be checked is refused.
    FailShut,
    /// Incorrect: a rotation overwrites changes since its read.
    RotateAnyhow,
}

impl Ways {
    pub(super) fn verdict_of_nobody(self) -> Verdict {
        match self {
            Self::FailOpen => Verdict::Admitted,
            Self::FailShut => Verdict::Refused,
            _ => Verdict::Unavailable,
        }
    }
}

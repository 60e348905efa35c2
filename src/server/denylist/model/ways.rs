//! The code's ways, and others that must be found wrong.

use super::check::Verdict;

/// What is done otherwise than the code does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    AsItIs,
    /// As it must not be: whichever server carries the mark is believed.
    ByMarkAlone,
    /// As it must not be: what SQL said once counts until SQL says something else.
    WithoutLease,
    /// As it must not be: a logout ends the epoch and answers at once.
    WithoutWait,
    /// As it must not be: a filling begins before everybody has noticed its epoch.
    FillAtOnce,
    /// As it must not be: a filling is complete though its mark has gone.
    FillUnchecked,
    /// What others do: the answer to a logout does not wait for the denial.
    AnswerBeforeDenial,
    /// What others do: who cannot be checked is let in.
    FailOpen,
    /// What others do: who cannot be checked is logged out.
    FailShut,
    /// As it must not be: a rotation is written over whatever happened since it was read.
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

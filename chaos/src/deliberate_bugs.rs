//! Deliberate bugs, switched on one at a time: each has to be found, or the checker proves nothing.

use std::collections::BTreeSet;

use chaos::check::Rule;
use futures_util::{StreamExt, stream};

use crate::cluster::Topology;
use crate::{RunPlan, run};

/// Number of parallel runs: each waits for most of its time.
const AT_ONCE: usize = 4;
/// Some bugs are found by chance only: each attempt has another seed, and more time.
const ATTEMPTS: u64 = 5;

/// A deliberate bug, and the rule that finds it.
struct DeliberateBug {
    /// Its name in `chaos/bugs.patch`.
    name: &'static str,
    topology: Topology,
    /// Faults that reveal it.
    only: &'static str,
    /// One of these promises is broken by it.
    breaks: &'static [Rule],
}

const fn bug(name: &'static str, topology: Topology, breaks: &'static [Rule]) -> DeliberateBug {
    DeliberateBug {
        name,
        topology,
        only: "",
        breaks,
    }
}

impl DeliberateBug {
    const fn under(mut self, fault: &'static str) -> Self {
        self.only = fault;
        self
    }
}

const BUGS: &[DeliberateBug] = &[
    bug("ParentOnly", Topology::C, &[Rule::I4]),
    bug("NoReuseDetection", Topology::C, &[Rule::I3]),
    bug("NoGrace", Topology::C, &[Rule::I4]),
    bug("GraceFromLatestRotation", Topology::C, &[Rule::I3]),
    bug("RetryKeyIgnored", Topology::C, &[Rule::I4]),
    bug("RetryKeyOfAnybody", Topology::C, &[Rule::I3]),
    bug("ReplayRotates", Topology::C, &[Rule::I2]),
    bug("NeverRotates", Topology::C, &[Rule::I2]),
    bug("RandomSuccessor", Topology::C, &[Rule::I2]),
    bug("AnswerBeforeCommit", Topology::C, &[Rule::I2, Rule::I4]).under("KillReplica"),
    bug("BatchLosesOne", Topology::C, &[Rule::I12]),
    bug("BatchSwapsAnswers", Topology::C, &[Rule::I2]),
    // On SQLite nobody else of the process writes between a batch's reading and its writing.
    bug("WholeRowWriteBack", Topology::A, &[Rule::I1, Rule::I8]),
    bug(
        "AccessTokenOutlivesLogout",
        Topology::A,
        &[Rule::I1, Rule::I8],
    ),
    bug("AcknowledgeBeforeDeny", Topology::A, &[Rule::I1, Rule::I8]),
    bug("ReuseNotDenied", Topology::A, &[Rule::I1, Rule::I8]),
    bug("ReuseEndsAllSessions", Topology::C, &[Rule::I4]),
    bug("ReuseRolledBack", Topology::C, &[Rule::I1, Rule::I8]),
    bug("PasswordKeepsAccess", Topology::A, &[Rule::I1, Rule::I8]),
    bug("PasswordNotKept", Topology::C, &[Rule::I6]),
    bug("DisabledKeepsAccess", Topology::A, &[Rule::I1, Rule::I8]),
    bug("EnablingLowersFloor", Topology::C, &[Rule::I1, Rule::I8]),
    bug("ThrottleOnlyCounts", Topology::C, &[Rule::I11]),
    bug("FailOpen", Topology::A, &[Rule::I9]).under("Blackout"),
    bug("UnavailableIsRefusal", Topology::A, &[Rule::I4, Rule::I9]).under("Blackout"),
    bug("MarkAloneIsTrusted", Topology::A, &[Rule::I1, Rule::I8]).under("OldDump"),
    bug("RedisIsAlwaysTrusted", Topology::A, &[Rule::I1, Rule::I8]).under("FlushRedis"),
    bug("RedisFaultsAreIgnored", Topology::A, &[Rule::I1, Rule::I8]).under("FreezeRedis"),
    bug("GarbageTooEarly", Topology::C, &[Rule::I1, Rule::I8]).under("KillReplica"),
    bug("CacheIgnoresExpiry", Topology::C, &[Rule::I10]).under("FreezeReplica"),
    bug("JumpBelieved", Topology::C, &[Rule::I4, Rule::I10]).under("JumpClock"),
    bug("PasswordIsLogged", Topology::C, &[Rule::I13]),
    bug("DemotedKeepsRole", Topology::A, &[Rule::I15]),
    bug(
        "VersionNotRaised",
        Topology::C,
        &[Rule::I1, Rule::I8, Rule::I15],
    ),
    bug("MintsOldRoles", Topology::C, &[Rule::I15]),
    bug("LastAdminGoes", Topology::C, &[Rule::I17]),
    bug("FloorNotChecked", Topology::C, &[Rule::I1, Rule::I8]),
    bug(
        "GarbageByOwnClock",
        Topology::A,
        &[Rule::I1, Rule::I8, Rule::I19],
    )
    .under("StartWithFastClock"),
    bug("PreviousSecretIgnored", Topology::A, &[Rule::I4]).under("RotateRootSecret"),
];

/// Switches on each bug for a while; returns whether all were found.
pub(crate) async fn find_all(plan: &RunPlan) -> bool {
    // The slow ones are last, and are started first.
    let hunts = BUGS
        .iter()
        .rev()
        .map(async |bug| (bug, find(bug, plan).await));
    let mut hunts = std::pin::pin!(stream::iter(hunts).buffer_unordered(AT_ONCE));
    let mut missed = 0;
    while let Some((bug, found)) = hunts.next().await {
        if let Some(broken) = found {
            println!("found  {:<27} {broken:?}", bug.name);
        } else {
            println!("MISSED {}", bug.name);
            missed += 1;
        }
    }
    println!("{} of {} bugs found", BUGS.len() - missed, BUGS.len());
    missed == 0
}

/// Returns the promises that a bug was seen to break, if it was seen.
async fn find(bug: &DeliberateBug, plan: &RunPlan) -> Option<BTreeSet<Rule>> {
    for attempt in 0..ATTEMPTS {
        let plan = RunPlan {
            topology: bug.topology,
            seed: plan.seed + attempt,
            seconds: plan.seconds * (attempt + 2) / 2,
            devices: plan.devices.max(20),
            only: bug.only.to_owned(),
            bug: Some(bug.name.to_owned()),
            until: bug.breaks,
            file: plan.file.with_file_name(format!("bug-{}.ndjson", bug.name)),
            ..plan.clone()
        };
        let mut broken = run(&plan).await.broken();
        broken.retain(|rule| bug.breaks.contains(rule));
        if !broken.is_empty() {
            return Some(broken);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_of_the_patch_is_in_the_table() {
        let patch = include_str!("../bugs.patch");
        let (_, list) = patch.split_once("\n+bugs! {").unwrap();
        let (list, _) = list.split_once("\n+}").unwrap();
        let lines = list.lines().map(|line| line.trim_start_matches('+').trim());
        let names = lines.filter_map(|line| line.strip_suffix(','));
        let names: Vec<&str> = names.filter(|name| !name.contains(' ')).collect();
        assert_eq!(names, BUGS.iter().map(|bug| bug.name).collect::<Vec<_>>());
        assert!(names.len() >= 25, "{names:?}");
    }
}

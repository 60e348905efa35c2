//! Processing of attempts in batches: many in one statement and one commit.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sea_orm::ConnectionTrait;

use super::super::batch_queue::{BatchQueue, Reply, reply_to_all};
use super::super::connection::StoreConnections;
use super::super::security_events::{self, NewSecurityEvent};
use super::super::{StoreError, UserId, with_deadline};
use super::statements::{self, BudgetWindow, SettledUnits, WantedUnits};
use super::{BudgetReservation, BudgetSubject, ChargeResult, FailureBudget};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// Most attempts in one batch. Each has up to six rows of five values, and SQLite accepts 32,766 values.
const MAX_BATCH_SIZE: usize = 512;

/// Most attempts at a transaction that another replica conflicts with.
const MAX_TRIES: usize = 3;

/// A request that waits for its batch.
#[derive(Debug)]
pub(in crate::store) enum ThrottleRequest {
    Charge(ChargeRequest),
    Settlement(SettlementRequest),
}

/// An attempt that reserves its units.
#[derive(Debug)]
pub(in crate::store) struct ChargeRequest {
    pub(super) budgets: Vec<FailureBudget>,
    pub(super) now: Time,
    pub(super) reply: Reply<ChargeResult>,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(in crate::store) struct SettlementRequest {
    pub(super) reservations: Vec<BudgetReservation>,
    pub(super) outcome: AttemptOutcome,
    pub(super) reply: Reply<()>,
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum AttemptOutcome {
    /// It failed, and is counted.
    Failed { ip: IpAddr, now: Time },
    /// It is not counted.
    Refunded,
}

/// Results of a batch, in the order of its requests.
#[derive(Default)]
struct BatchResults {
    charges: Vec<Result<ChargeResult, StoreError>>,
    settlements: Vec<Result<(), StoreError>>,
}

/// Starts the queue of the attempts.
pub(in crate::store) fn start(connections: StoreConnections) -> BatchQueue<ThrottleRequest> {
    BatchQueue::start(MAX_BATCH_SIZE, move |_: Option<()>, requests| {
        let connections = connections.clone();
        async move {
            process_batch(&connections, requests).await;
            None
        }
    })
}

async fn process_batch(connections: &StoreConnections, requests: Vec<ThrottleRequest>) {
    let (mut charges, mut settlements) = (Vec::new(), Vec::new());
    for request in requests {
        match request {
            ThrottleRequest::Charge(charge) => charges.push(charge),
            ThrottleRequest::Settlement(settlement) => settlements.push(settlement),
        }
    }
    let results = with_deadline(run(connections, &charges, &settlements)).await;
    let (of_charges, of_settlements) = match results {
        Ok(results) => (Ok(results.charges), Ok(results.settlements)),
        Err(error) => (Err(error.clone()), Err(error)),
    };
    let waiting = charges.into_iter().map(|charge| charge.reply);
    reply_to_all(waiting, of_charges);
    let waiting = settlements.into_iter().map(|settlement| settlement.reply);
    reply_to_all(waiting, of_settlements);
}

async fn run(
    connections: &StoreConnections,
    charges: &[ChargeRequest],
    settlements: &[SettlementRequest],
) -> Result<BatchResults, StoreError> {
    let mut results = BatchResults::default();
    // A single statement needs no transaction, and so no more round trips.
    let db = &connections.writer;
    match (charges, settlements) {
        ([charge], []) => {
            results.charges = vec![Ok(charge_one(db, charge).await?)];
            return Ok(results);
        }
        (charges, []) => {
            if let Some(together) = charge_together(db, charges).await? {
                results.charges = together.into_iter().map(Ok).collect();
                return Ok(results);
            }
        }
        ([], settlements) if !settlements.iter().any(SettlementRequest::is_failure) => {
            results.settlements = settle(db, settlements).await?;
            return Ok(results);
        }
        _ => {}
    }
    let mut tries = 1;
    loop {
        match run_in_transaction(connections, charges, settlements).await {
            Err(error) if error.is_lock_conflict() && tries < MAX_TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn run_in_transaction(
    connections: &StoreConnections,
    charges: &[ChargeRequest],
    settlements: &[SettlementRequest],
) -> Result<BatchResults, StoreError> {
    let mut results = BatchResults::default();
    let transaction = connections.begin().await?;
    if !settlements.is_empty() {
        results.settlements = settle(&transaction, settlements).await?;
    }
    let together = match charges {
        [] | [_] => None,
        charges => charge_together(&transaction, charges).await?,
    };
    if let Some(together) = together {
        results.charges = together.into_iter().map(Ok).collect();
    } else {
        for charge in charges {
            let result = charge_one(&transaction, charge).await?;
            results.charges.push(Ok(result));
        }
    }
    transaction.commit().await?;
    Ok(results)
}

/// Reserves the units of all the attempts in one statement. Returns `None` when a budget has not enough left
/// for all of them together; nothing is reserved then.
async fn charge_together<C: ConnectionTrait>(
    db: &C,
    charges: &[ChargeRequest],
) -> Result<Option<Vec<ChargeResult>>, StoreError> {
    let mut wanted: BTreeMap<&str, WantedUnits<'_>> = BTreeMap::new();
    for charge in charges {
        for budget in &charge.budgets {
            let units = wanted.entry(&budget.key).or_insert(WantedUnits {
                budget,
                units: 0,
                now: charge.now,
            });
            units.units += 1;
            units.now = units.now.max(charge.now);
        }
    }
    let all: Vec<WantedUnits<'_>> = wanted.values().copied().collect();
    let windows = statements::reserve(db, &all).await?;
    if windows.len() < wanted.len() {
        // Another replica reserved units at the same time.
        let reserved = windows.iter().map(|(key, resets_at)| {
            let refunds = wanted.get(key.as_str()).map_or(0, |wanted| wanted.units);
            let units = SettledUnits {
                refunds,
                ..SettledUnits::default()
            };
            ((key.as_str(), *resets_at), units)
        });
        let reserved: BTreeMap<BudgetWindow<'_>, SettledUnits> = reserved.collect();
        if !reserved.is_empty() {
            statements::settle(db, &reserved).await?;
        }
        return Ok(None);
    }
    let results = charges.iter().map(|charge| {
        let reservations = charge.budgets.iter().filter_map(|budget| {
            Some(BudgetReservation {
                budget: budget.clone(),
                resets_at: *windows.get(&budget.key)?,
            })
        });
        ChargeResult::Reserved(reservations.collect())
    });
    Ok(Some(results.collect()))
}

async fn charge_one<C: ConnectionTrait>(
    db: &C,
    charge: &ChargeRequest,
) -> Result<ChargeResult, StoreError> {
    let charged = charge_together(db, std::slice::from_ref(charge)).await?;
    match charged.into_iter().flatten().next() {
        Some(reserved) => Ok(reserved),
        None => refusal_reason(db, charge).await,
    }
}

async fn refusal_reason<C: ConnectionTrait>(
    db: &C,
    charge: &ChargeRequest,
) -> Result<ChargeResult, StoreError> {
    let counts = statements::read_counts(db, &charge.budgets).await?;
    for (index, budget) in charge.budgets.iter().enumerate() {
        let counts = counts.get(&budget.key);
        let used_up = counts.filter(|counts| {
            counts.resets_at > charge.now && counts.failures() >= i64::from(budget.limit)
        });
        if let Some(counts) = used_up {
            return Ok(ChargeResult::Exhausted {
                budget: index,
                resets_at: counts.resets_at,
            });
        }
    }
    Ok(ChargeResult::FullyReserved)
}

impl SettlementRequest {
    fn is_failure(&self) -> bool {
        matches!(self.outcome, AttemptOutcome::Failed { .. })
    }

    fn units(&self) -> SettledUnits {
        match self.outcome {
            AttemptOutcome::Failed { .. } => SettledUnits {
                failures: 1,
                refunds: 0,
            },
            AttemptOutcome::Refunded => SettledUnits {
                failures: 0,
                refunds: 1,
            },
        }
    }
}

/// A failure that used a budget up: its client, and the object of the attempt.
struct UsedUpBudget<'a> {
    subject: &'a BudgetSubject,
    ip: IpAddr,
    now: Time,
}

/// Ends the reservations, and records an event for each subject whose budget is used up now. Refuses a failure
/// whose units were given up.
async fn settle<C: ConnectionTrait>(
    db: &C,
    settlements: &[SettlementRequest],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let totals = sum_units(settlements);
    let settled = statements::settle(db, &totals).await?;
    let mut used_up: BTreeMap<BudgetWindow<'_>, UsedUpBudget<'_>> = BTreeMap::new();
    let mut results = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let mut result = Ok(());
        for reservation in &settlement.reservations {
            let window @ (key, resets_at) = reservation.window();
            let together = settled
                .get(key)
                .filter(|counts| counts.resets_at == resets_at);
            let (counts, failures) = if let Some(counts) = together {
                (Some(*counts), totals[&window].failures)
            } else {
                // Not all of these attempts have a unit in flight: one by one.
                let own = BTreeMap::from([(window, settlement.units())]);
                let counts = statements::settle(db, &own).await?;
                (counts.get(key).copied(), 1)
            };
            let AttemptOutcome::Failed { ip, now } = settlement.outcome else {
                continue;
            };
            let limit = i64::from(reservation.budget.limit);
            match counts {
                Some(counts) if counts.reached(limit, failures) => {
                    let subject = &reservation.budget.subject;
                    used_up.insert(window, UsedUpBudget { subject, ip, now });
                }
                None if now < resets_at => result = Err(StoreError::Conflict),
                _ => {}
            }
        }
        results.push(result);
    }
    record_used_up(db, used_up.into_values()).await?;
    Ok(results)
}

fn sum_units(settlements: &[SettlementRequest]) -> BTreeMap<BudgetWindow<'_>, SettledUnits> {
    let mut totals: BTreeMap<BudgetWindow<'_>, SettledUnits> = BTreeMap::new();
    for settlement in settlements {
        for reservation in &settlement.reservations {
            let units = totals.entry(reservation.window()).or_default();
            units.failures += settlement.units().failures;
            units.refunds += settlement.units().refunds;
        }
    }
    totals
}

/// Records one event for each subject and client: one failure can use up several budgets of one subject.
async fn record_used_up<C: ConnectionTrait>(
    db: &C,
    used_up: impl Iterator<Item = UsedUpBudget<'_>>,
) -> Result<(), StoreError> {
    let mut recorded: Vec<(&BudgetSubject, IpAddr)> = Vec::new();
    for UsedUpBudget { subject, ip, now } in used_up {
        if recorded.contains(&(subject, ip)) {
            continue;
        }
        recorded.push((subject, ip));
        let user: Option<&UserId> = match subject {
            BudgetSubject::Account(user) => Some(user),
            BudgetSubject::Logins => None,
            BudgetSubject::Registration => continue,
        };
        let actor = Actor::Anonymous { ip };
        let event = NewSecurityEvent {
            user,
            ..NewSecurityEvent::new(EventKind::LoginThrottled, &actor, now)
        };
        security_events::insert(db, event).await?;
    }
    Ok(())
}

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
    if !settlements.is_empty() {
        let results = with_deadline(settle_in_transaction(connections, &settlements)).await;
        let waiting = settlements.into_iter().map(|settlement| settlement.reply);
        reply_to_all(waiting, results);
    }
    // Nobody would end the attempt of a caller that has stopped waiting.
    charges.retain(|charge| !charge.reply.is_closed());
    if !charges.is_empty() {
        let results = with_deadline(charge(connections, &charges)).await;
        reply_to_charges(connections, charges, results).await;
    }
}

/// Charges the attempts together if all budgets have enough left, otherwise one by one.
async fn charge(
    connections: &StoreConnections,
    charges: &[ChargeRequest],
) -> Result<Vec<ChargeResult>, StoreError> {
    // Single statements, which need no transaction, and so no more round trips: none holds locks for long.
    let db = &connections.writer;
    if let [charge] = charges {
        return Ok(vec![charge_one(db, charge).await?]);
    }
    if let Some(together) = charge_together(db, charges).await? {
        return Ok(together);
    }
    let mut results = Vec::with_capacity(charges.len());
    for charge in charges {
        results.push(charge_one(db, charge).await?);
    }
    Ok(results)
}

/// Sends the results, and refunds the attempts of callers that have stopped waiting meanwhile.
async fn reply_to_charges(
    connections: &StoreConnections,
    charges: Vec<ChargeRequest>,
    results: Result<Vec<ChargeResult>, StoreError>,
) {
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            let waiting = charges.into_iter().map(|charge| charge.reply);
            return reply_to_all(waiting, Err(error));
        }
    };
    let mut refunds: BTreeMap<(String, Time), SettledUnits> = BTreeMap::new();
    for (charge, result) in charges.into_iter().zip(results) {
        if let Err(Ok(ChargeResult::Reserved(reservations))) = charge.reply.send(Ok(result)) {
            for reservation in reservations {
                let window = (reservation.budget.key, reservation.resets_at);
                refunds.entry(window).or_default().refunds += 1;
            }
        }
    }
    if refunds.is_empty() {
        return;
    }
    let windows = refunds.iter();
    let windows = windows.map(|((key, resets_at), units)| ((key.as_str(), *resets_at), *units));
    let refunds: BTreeMap<BudgetWindow<'_>, SettledUnits> = windows.collect();
    if let Err(error) = with_deadline(statements::settle(&connections.writer, &refunds)).await {
        tracing::warn!(%error, "cannot refund attempts without a caller; their charges expire in two minutes");
    }
}

/// Ends the reservations. Failures and their events are one transaction; refunds alone need none.
async fn settle_in_transaction(
    connections: &StoreConnections,
    settlements: &[SettlementRequest],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    if !settlements.iter().any(SettlementRequest::is_failure) {
        return settle(&connections.writer, settlements).await;
    }
    let mut tries = 1;
    loop {
        let settled = async {
            let transaction = connections.begin().await?;
            let results = settle(&transaction, settlements).await?;
            transaction.commit().await?;
            Ok(results)
        };
        match settled.await {
            Err(error) if StoreError::is_lock_conflict(&error) && tries < MAX_TRIES => tries += 1,
            outcome => return outcome,
        }
    }
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
            BudgetSubject::Unrecorded => continue,
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

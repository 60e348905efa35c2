//! SQL of the budgets: the units of many attempts in one statement.

use std::collections::BTreeMap;

use entity::throttle::{Column, Entity};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter};

use super::super::StoreError;
use super::super::row_table::{ColumnType, RowTable, TableRows, with_table};
use super::{FailureBudget, LONGEST_ATTEMPT, LONGEST_WINDOW, MAX_LEVEL};
use latchet_guard::clock::Time;

/// Units to be reserved.
static WANTED: RowTable = RowTable {
    name: "wanted",
    columns: &[
        ("key", ColumnType::Text),
        ("units", ColumnType::Bigint),
        ("max_failures", ColumnType::Bigint),
        ("at", ColumnType::Bigint),
        ("width", ColumnType::Bigint),
    ],
};

/// Units of attempts that have ended.
static SETTLED: RowTable = RowTable {
    name: "settled",
    columns: &[
        ("key", ColumnType::Text),
        ("resets_at", ColumnType::Bigint),
        ("units", ColumnType::Bigint),
        ("refunded", ColumnType::Bigint),
    ],
};

/// Returns the SQL that reserves all the units, or none, in one statement, so that parallel attempts cannot all read
/// the same count. The condition of the update decides; that of the insert is there so that a refusal writes
/// nothing.
fn reserve_sql(backend: DbBackend) -> String {
    let order = key_order(backend, "key");
    let longest_attempt = LONGEST_ATTEMPT.as_millis();
    // Units whose attempts will never be completed.
    let abandoned = |now: &str| {
        format!(
            "CASE WHEN throttles.charged_at <= {now} - {longest_attempt} THEN throttles.in_flight ELSE 0 END"
        )
    };
    let kept = format!("throttles.attempts - {}", abandoned("excluded.charged_at"));
    let in_flight = format!(
        "throttles.in_flight - {} + excluded.in_flight",
        abandoned("excluded.charged_at")
    );
    let limit = "(SELECT max_failures FROM wanted WHERE wanted.key = excluded.key)";
    let is_over = "throttles.resets_at <= excluded.charged_at";
    let width = "(excluded.resets_at - excluded.charged_at)";
    let level = format!(
        "CASE WHEN throttles.forgets_at <= excluded.charged_at OR {kept} < {limit} THEN 0
              WHEN throttles.level < {MAX_LEVEL} THEN throttles.level + 1
              ELSE {MAX_LEVEL} END"
    );
    format!(
        "INSERT INTO throttles (key, attempts, in_flight, charged_at, level, resets_at, forgets_at)
         SELECT key, units, units, at, 0, at + width, at + width + width FROM wanted
         WHERE key <> '' AND NOT EXISTS (
            SELECT 1 FROM wanted AS other JOIN throttles ON throttles.key = other.key
            WHERE throttles.resets_at > other.at
                AND throttles.attempts - {abandoned} + other.units > other.max_failures)
         ORDER BY {order}
         ON CONFLICT (key) DO UPDATE SET
            attempts = CASE WHEN {is_over} THEN excluded.attempts ELSE {kept} + excluded.attempts END,
            in_flight = CASE WHEN {is_over} THEN excluded.in_flight ELSE {in_flight} END,
            charged_at = excluded.charged_at,
            level = CASE WHEN {is_over} THEN {level} ELSE throttles.level END,
            resets_at = CASE WHEN {is_over} THEN excluded.charged_at + ({width} << ({level}))
                        ELSE throttles.resets_at END,
            forgets_at = CASE WHEN {is_over} THEN excluded.charged_at + ({width} << (1 + {level}))
                         ELSE throttles.forgets_at END
         WHERE {is_over} OR {kept} + excluded.attempts <= {limit}
         RETURNING key, resets_at",
        abandoned = abandoned("other.at"),
    )
}

/// Returns the SQL that ends reservations, as failures or as refunds. Skips a row that has fewer units in flight,
/// because their reservation was given up, and one whose window is over.
pub(in crate::store) fn settle_sql(backend: DbBackend) -> String {
    let order = key_order(backend, "throttles.key");
    // The rows are locked before the update, and once: a subquery in its condition would be joined with each row.
    // On SQLite there is only one writing transaction at a time.
    let locked = match backend {
        DbBackend::Postgres => format!(
            "(WITH locked AS (
                SELECT settled.* FROM settled JOIN throttles ON throttles.key = settled.key
                ORDER BY {order} FOR NO KEY UPDATE OF throttles)
            SELECT * FROM locked) AS settled"
        ),
        _ => "settled".to_owned(),
    };
    format!(
        "UPDATE throttles SET
            in_flight = throttles.in_flight - settled.units,
            attempts = throttles.attempts - settled.refunded
        FROM {locked}
        WHERE throttles.key = settled.key AND throttles.resets_at = settled.resets_at
            AND throttles.in_flight >= settled.units"
    )
}

/// Returns the order in which every statement locks the rows: statements that lock them in the same order cannot
/// deadlock. The collation of a database may differ from that of a column.
fn key_order(backend: DbBackend, column: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("{column} COLLATE \"C\""),
        _ => column.to_owned(),
    }
}

/// Counts of a budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetCounts {
    /// Failures, and units in flight.
    pub(super) attempts: i64,
    pub(super) in_flight: i64,
    pub(super) resets_at: Time,
}

impl BudgetCounts {
    /// Returns the failures.
    pub(super) fn failures(self) -> i64 {
        self.attempts - self.in_flight
    }

    /// Returns whether the last `failures` used up a budget of `limit`: once in a window, since refusals write
    /// nothing.
    pub(super) fn reached(self, limit: i64, failures: i64) -> bool {
        self.failures() >= limit && self.failures() - failures < limit
    }
}

/// Units to be reserved of one budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedUnits<'a> {
    pub(super) budget: &'a FailureBudget,
    pub(super) units: i64,
    pub(super) now: Time,
}

/// Units of one window of a budget that attempts give back.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct SettledUnits {
    pub(in crate::store) failures: i64,
    pub(in crate::store) refunds: i64,
}

/// Key of a budget, and end of one of its windows.
pub(in crate::store) type BudgetWindow<'a> = (&'a str, Time);

/// Reserves all the units. Returns the ends of the windows by key; fewer than were wanted, usually none, when
/// a budget does not have so many left.
pub(super) async fn reserve<C: ConnectionTrait>(
    db: &C,
    wanted: &[WantedUnits<'_>],
) -> Result<BTreeMap<String, Time>, StoreError> {
    if wanted
        .iter()
        .any(|of| of.units > i64::from(of.budget.limit))
    {
        return Ok(BTreeMap::new());
    }
    let rows = wanted.iter().map(|of| {
        let width = i64::try_from(of.budget.window.as_millis()).unwrap_or(LONGEST_WINDOW);
        [
            of.budget.key.as_str().into(),
            of.units.into(),
            i64::from(of.budget.limit).into(),
            of.now.millis().into(),
            width.min(LONGEST_WINDOW).into(),
        ]
    });
    let rows = TableRows::new(&WANTED, rows);
    let backend = db.get_database_backend();
    let reserve = with_table(backend, rows, &reserve_sql(backend));
    let mut windows = BTreeMap::new();
    for row in db.query_all_raw(reserve).await? {
        let resets_at = Time::from_millis(row.try_get_by_index(1)?);
        windows.insert(row.try_get_by_index(0)?, resets_at);
    }
    Ok(windows)
}

/// Returns the rows for [`settle_sql`].
pub(in crate::store) fn settled_rows(
    units: &BTreeMap<BudgetWindow<'_>, SettledUnits>,
) -> TableRows {
    let rows = units.iter().map(|((key, resets_at), units)| {
        [
            (*key).into(),
            resets_at.millis().into(),
            (units.failures + units.refunds).into(),
            units.refunds.into(),
        ]
    });
    TableRows::new(&SETTLED, rows)
}

/// Ends the reservations. Returns the counts of the budgets that had so many units in flight, by key.
pub(super) async fn settle<C: ConnectionTrait>(
    db: &C,
    units: &BTreeMap<BudgetWindow<'_>, SettledUnits>,
) -> Result<BTreeMap<String, BudgetCounts>, StoreError> {
    let backend = db.get_database_backend();
    let settle = settle_sql(backend);
    let returned = "throttles.key, throttles.attempts, throttles.in_flight, throttles.resets_at";
    let sql = format!("{settle} RETURNING {returned}");
    let statement = with_table(backend, settled_rows(units), &sql);
    let mut counts = BTreeMap::new();
    for row in db.query_all_raw(statement).await? {
        let counted = BudgetCounts {
            attempts: row.try_get_by_index(1)?,
            in_flight: row.try_get_by_index(2)?,
            resets_at: Time::from_millis(row.try_get_by_index(3)?),
        };
        counts.insert(row.try_get_by_index(0)?, counted);
    }
    Ok(counts)
}

/// Returns the counts of budgets by key.
pub(super) async fn read_counts<C: ConnectionTrait>(
    db: &C,
    budgets: &[FailureBudget],
) -> Result<BTreeMap<String, BudgetCounts>, StoreError> {
    let keys = budgets.iter().map(|budget| budget.key.as_str());
    let rows = Entity::find()
        .filter(Column::Key.is_in(keys))
        .all(db)
        .await?;
    let counts = rows.into_iter().map(|row| {
        let counts = BudgetCounts {
            attempts: row.attempts,
            in_flight: row.in_flight,
            resets_at: Time::from_millis(row.resets_at),
        };
        (row.key, counts)
    });
    Ok(counts.collect())
}

//! Statements about many rows, whose values are a table in the statement.

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use super::StoreError;
use super::connection::StoreConnections;

/// Name and columns of a table whose rows are parameters of a statement.
#[derive(Debug)]
pub(super) struct RowTable {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, ColumnType)],
}

/// Type of a column of a [`RowTable`].
#[derive(Clone, Copy, Debug)]
pub(super) enum ColumnType {
    Text,
    Bigint,
    Boolean,
}

/// Condition of a session that has not ended, in statements about many rows. As `IS NULL`, PostgreSQL would expect
/// one row in 200 where a table has no statistics yet, and compare each row with each.
pub(super) const SESSION_HAS_NOT_ENDED: &str = "COALESCE(sessions.revoked_at, -1) < 0";

/// Condition of an enabled user, in such statements.
pub(super) const USER_IS_ENABLED: &str = "COALESCE(users.disabled_at, -1) < 0";

/// Ids of the rows that a statement reads.
pub(super) static WANTED_IDS: RowTable = RowTable {
    name: "wanted",
    columns: &[("id", ColumnType::Text)],
};

/// Rows of a [`RowTable`].
#[derive(Clone, Debug)]
pub(super) struct TableRows {
    table: &'static RowTable,
    values: Vec<Value>,
}

/// Statements that change all that they change, or nothing: one statement on PostgreSQL, which saves round
/// trips, and a transaction on SQLite, which has no writing statement within another.
#[derive(Debug)]
pub(super) struct CombinedStatements<'a> {
    /// Tables that the statements read.
    pub(super) tables: &'a [TableRows],
    /// Names and texts of statements that run before it. On SQLite none can read the rows of another one.
    pub(super) writes: &'a [(&'a str, &'a str)],
    /// The statement that returns the rows.
    pub(super) last: &'a str,
}

impl ColumnType {
    fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bigint => "bigint",
            Self::Boolean => "boolean",
        }
    }

    fn array(self) -> ArrayType {
        match self {
            Self::Text => ArrayType::String,
            Self::Bigint => ArrayType::BigInt,
            Self::Boolean => ArrayType::Bool,
        }
    }

    /// Value of a row that matches no stored row. No key and no id is an empty text.
    fn filler(self) -> Value {
        match self {
            Self::Text => "".into(),
            Self::Bigint => 0_i64.into(),
            Self::Boolean => false.into(),
        }
    }
}

impl RowTable {
    /// Returns the definition of this table, for `WITH`.
    ///
    /// On PostgreSQL each column is one array, and its placeholders begin with the number `first`: one prepared
    /// statement serves any number of rows. The planner does not see the lengths of arrays in subqueries. If it
    /// saw them, it would make a new plan for each batch, which costs more than running one.
    ///
    /// SQLite has no arrays: the statement lists `padded_rows` rows of placeholders. They have no numbers, because
    /// SQLite searches all parameters for one with a name.
    pub(super) fn definition(
        &self,
        backend: DbBackend,
        first: usize,
        padded_rows: usize,
    ) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let rows = if backend == DbBackend::Postgres {
            let arrays = self.columns.iter().zip(first..);
            let arrays: Vec<String> = arrays
                .map(|((_, of), number)| format!("(SELECT ${number}::{}[])", of.sql()))
                .collect();
            format!("SELECT * FROM unnest({})", arrays.join(", "))
        } else {
            let row = format!("({})", vec!["?"; names.len()].join(", "));
            format!("VALUES {}", vec![row; padded_rows].join(", "))
        };
        format!("{} ({}) AS ({rows})", self.name, names.join(", "))
    }

    /// Returns the number of parameters of the table with `padded_rows` rows.
    pub(super) fn parameter_count(&self, backend: DbBackend, padded_rows: usize) -> usize {
        match backend {
            DbBackend::Postgres => self.columns.len(),
            _ => self.columns.len() * padded_rows,
        }
    }
}

impl TableRows {
    /// Returns rows of a table. Their values have the types of its columns.
    pub(super) fn new<const WIDTH: usize>(
        table: &'static RowTable,
        rows: impl IntoIterator<Item = [Value; WIDTH]>,
    ) -> Self {
        debug_assert_eq!(table.columns.len(), WIDTH);
        Self {
            table,
            values: rows.into_iter().flatten().collect(),
        }
    }

    /// Returns the number of rows in the statement: the next power of two, so that a handful of prepared
    /// statements serve batches of any size.
    pub(super) fn padded_rows(&self) -> usize {
        (self.values.len() / self.table.columns.len()).next_power_of_two()
    }

    /// Returns the values of the placeholders of [`RowTable::definition`].
    pub(super) fn into_parameters(self, backend: DbBackend) -> Vec<Value> {
        let columns = self.table.columns;
        if backend != DbBackend::Postgres {
            let parameters = self.table.parameter_count(backend, self.padded_rows());
            let missing = parameters - self.values.len();
            let fillers = columns.iter().cycle().map(|(_, of)| of.filler());
            return self
                .values
                .into_iter()
                .chain(fillers.take(missing))
                .collect();
        }
        let mut arrays: Vec<Vec<Value>> = vec![Vec::new(); columns.len()];
        for (position, value) in self.values.into_iter().enumerate() {
            arrays[position % columns.len()].push(value);
        }
        let arrays = arrays.into_iter().zip(columns);
        arrays
            .map(|(values, (_, of))| Value::Array(of.array(), Some(Box::new(values))))
            .collect()
    }
}

impl CombinedStatements<'_> {
    /// Runs the statements, and returns the rows of the last one.
    pub(super) async fn run(
        &self,
        connections: &StoreConnections,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let backend = connections.writer.get_database_backend();
        if backend == DbBackend::Postgres || self.writes.is_empty() {
            let statement = self.as_one_statement(backend);
            return Ok(connections.writer.query_all_raw(statement).await?);
        }
        let transaction = connections.begin().await?;
        for (_, write) in self.writes {
            let statement = with_tables(backend, self.tables.to_vec(), "", write);
            transaction.execute_raw(statement).await?;
        }
        let last = with_tables(backend, self.tables.to_vec(), "", self.last);
        let rows = transaction.query_all_raw(last).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    fn as_one_statement(&self, backend: DbBackend) -> Statement {
        let writes = self.writes.iter();
        let writes: Vec<String> = writes
            .map(|(name, write)| format!(", {name} AS ({write})"))
            .collect();
        with_tables(backend, self.tables.to_vec(), &writes.concat(), self.last)
    }
}

/// Returns a statement that reads one table.
pub(super) fn with_table(backend: DbBackend, table: TableRows, sql: &str) -> Statement {
    with_tables(backend, vec![table], "", sql)
}

fn with_tables(backend: DbBackend, tables: Vec<TableRows>, more: &str, sql: &str) -> Statement {
    let mut definitions = Vec::with_capacity(tables.len());
    let mut values = Vec::new();
    for rows in tables {
        let first = values.len() + 1;
        definitions.push(rows.table.definition(backend, first, rows.padded_rows()));
        values.extend(rows.into_parameters(backend));
    }
    let sql = format!("WITH {}{more} {sql}", definitions.join(", "));
    Statement::from_sql_and_values(backend, sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    static PAIRS: RowTable = RowTable {
        name: "pairs",
        columns: &[("id", ColumnType::Text), ("at", ColumnType::Bigint)],
    };

    fn rows(count: i64) -> TableRows {
        TableRows::new(&PAIRS, (0..count).map(|at| ["a".into(), at.into()]))
    }

    #[test]
    fn on_postgresql_one_statement_serves_any_number_of_rows() {
        let texts = [0, 1, 5].map(|count| with_table(DbBackend::Postgres, rows(count), "SELECT 1"));

        for statement in &texts {
            assert_eq!(
                statement.sql,
                "WITH pairs (id, at) AS (SELECT * FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]))) SELECT 1"
            );
        }
        let values = texts[2].values.clone().expect("there are parameters").0;
        assert_eq!(
            values,
            [
                vec!["a".to_owned(); 5].into(),
                vec![0_i64, 1, 2, 3, 4].into()
            ]
        );
    }

    #[test]
    fn on_sqlite_rows_are_filled_up_to_a_power_of_two() {
        let statement = with_table(DbBackend::Sqlite, rows(3), "SELECT 1");

        let listed = ["(?, ?)"; 4].join(", ");
        assert_eq!(
            statement.sql,
            format!("WITH pairs (id, at) AS (VALUES {listed}) SELECT 1")
        );
        let values = statement.values.expect("there are parameters").0;
        assert_eq!(values.len(), PAIRS.parameter_count(DbBackend::Sqlite, 4));
        assert_eq!(values[6..], ["".into(), 0_i64.into()]);
    }
}

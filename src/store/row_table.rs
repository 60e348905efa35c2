//! Statements about many rows, whose values are listed in the statement as a table.

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use super::StoreError;
use super::connection::StoreConnections;

/// Name, columns and SQL types of a table that a statement lists.
#[derive(Debug)]
pub(super) struct RowTable {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, &'static str)],
}

/// Rows of a [`RowTable`].
#[derive(Debug)]
pub(super) struct TableRows {
    table: &'static RowTable,
    values: Vec<Value>,
    rows: usize,
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

impl RowTable {
    /// Returns the definition of this table with `rows` rows, for `WITH`. Its placeholders begin with the
    /// number `first`.
    pub(super) fn definition(&self, backend: DbBackend, first: usize, rows: usize) -> String {
        let width = self.columns.len();
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        // PostgreSQL takes the types of the columns from the first row.
        let first_row = placeholders(backend, first, width);
        let first_row = first_row.split(", ").zip(self.columns);
        let first_row: Vec<String> = first_row
            .map(|(name, (_, of))| format!("CAST({name} AS {of})"))
            .collect();
        let others = (1..rows).map(|row| placeholders(backend, first + row * width, width));
        let rows: Vec<String> = std::iter::once(first_row.join(", "))
            .chain(others)
            .map(|row| format!("({row})"))
            .collect();
        format!(
            "{} ({}) AS (VALUES {})",
            self.name,
            names.join(", "),
            rows.join(", ")
        )
    }
}

impl TableRows {
    /// Returns the rows, with copies of `filler` up to the next power of two: few prepared statements serve any
    /// number of rows. Its values have the types of the columns, and match no stored row.
    pub(super) fn padded<const WIDTH: usize>(
        table: &'static RowTable,
        rows: impl IntoIterator<Item = [Value; WIDTH]>,
        filler: &[Value; WIDTH],
    ) -> Self {
        let mut values: Vec<Value> = rows.into_iter().flatten().collect();
        let rows = padded_row_count(values.len() / WIDTH);
        while values.len() < rows * WIDTH {
            values.extend(filler.iter().cloned());
        }
        Self {
            table,
            values,
            rows,
        }
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
            let statement = with_tables(backend, self.tables, "", write);
            transaction.execute_raw(statement).await?;
        }
        let last = with_tables(backend, self.tables, "", self.last);
        let rows = transaction.query_all_raw(last).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    fn as_one_statement(&self, backend: DbBackend) -> Statement {
        let writes = self.writes.iter();
        let writes: Vec<String> = writes
            .map(|(name, write)| format!(", {name} AS ({write})"))
            .collect();
        with_tables(backend, self.tables, &writes.concat(), self.last)
    }
}

/// Returns a statement that reads one table.
pub(super) fn with_table(backend: DbBackend, table: TableRows, sql: &str) -> Statement {
    with_tables(backend, &[table], "", sql)
}

fn with_tables(backend: DbBackend, tables: &[TableRows], more: &str, sql: &str) -> Statement {
    let mut definitions = Vec::with_capacity(tables.len());
    let mut values = Vec::new();
    for rows in tables {
        definitions.push(rows.table.definition(backend, values.len() + 1, rows.rows));
        values.extend(rows.values.iter().cloned());
    }
    let sql = format!("WITH {}{more} {sql}", definitions.join(", "));
    Statement::from_sql_and_values(backend, sql, values)
}

/// Rounds up to a power of two, so that a handful of prepared statements serve batches of any size.
pub(super) fn padded_row_count(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// Returns `count` placeholders, separated by commas. On SQLite they have no numbers, because SQLite searches
/// all parameters for one with a name.
pub(super) fn placeholders(backend: DbBackend, first: usize, count: usize) -> String {
    let name = |number: usize| match backend {
        DbBackend::Postgres => format!("${number}"),
        _ => "?".to_owned(),
    };
    let names: Vec<String> = (first..first + count).map(name).collect();
    names.join(", ")
}

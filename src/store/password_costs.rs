//! Cost parameters of the stored password hashes.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{Store, StoreError, with_deadline};

/// The fourth part between dollar signs, as in `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
const POSTGRES_COSTS: &str = "SELECT DISTINCT split_part(password_hash, '$', 4) AS cost FROM users";
const SQLITE_COSTS: &str = "
    SELECT DISTINCT substr(password_hash, 16, instr(substr(password_hash, 16), '$') - 1) AS cost
    FROM users";

impl Store {
    /// Returns the parameters of all stored hashes, each once, such as `m=19456,t=2,p=1`. Reads every
    /// user.
    pub async fn password_costs(&self) -> Result<Vec<String>, StoreError> {
        with_deadline(async {
            let backend = self.reader().get_database_backend();
            let sql = match backend {
                DbBackend::Postgres => POSTGRES_COSTS,
                _ => SQLITE_COSTS,
            };
            let statement = Statement::from_string(backend, sql);
            let rows = self.reader().query_all_raw(statement).await?;
            let costs = rows.iter().map(|row| Ok(row.try_get("", "cost")?));
            costs.collect()
        })
        .await
    }
}

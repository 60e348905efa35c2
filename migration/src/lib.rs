//! History of the schema. Never imports `entity`: a migration must not change when `entity` changes.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m0001_first;
mod m0002_retry_keys;
mod m0003_administration;
mod m0004_authority;
mod m0005_throttle_places;
mod m0006_delegated_authority;
mod m0007_issuer;
mod m0008_service_credentials;
mod m0009_addresses;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::Migration),
            Box::new(m0002_retry_keys::Migration),
            Box::new(m0003_administration::Migration),
            Box::new(m0004_authority::Migration),
            Box::new(m0005_throttle_places::Migration),
            Box::new(m0006_delegated_authority::Migration),
            Box::new(m0007_issuer::Migration),
            Box::new(m0008_service_credentials::Migration),
            Box::new(m0009_addresses::Migration),
        ]
    }
}

/// Returns the names of the migrations that this program knows.
pub fn known_migrations() -> Vec<String> {
    Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect()
}

/// Returns the names of the migrations that were applied to the database, without changing it.
///
/// # Errors
/// When the database does not answer.
pub async fn applied_migrations<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    // The listing of sea-orm-migration fails on a migration that this program does not know; this one
    // returns it.
    let table = Migrator::migration_table_name().to_string();
    let exists = match db.get_database_backend() {
        sea_orm::DbBackend::Postgres => format!("SELECT to_regclass('{table}')::text AS name"),
        _ => format!("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
    };
    let row = db.query_one_raw(statement(db, exists)).await?;
    let name: Option<String> = row.and_then(|row| row.try_get("", "name").ok());
    if name.is_none() {
        return Ok(Vec::new());
    }
    let listing = format!("SELECT version FROM {table} ORDER BY version");
    let rows = db.query_all_raw(statement(db, listing)).await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

fn statement<C: ConnectionTrait>(db: &C, sql: String) -> sea_orm::Statement {
    sea_orm::Statement::from_string(db.get_database_backend(), sql)
}

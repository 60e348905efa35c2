//! The store's own tests, which run on SQLite unless a variable names a PostgreSQL.

use std::process::Command;

use crate::support::postgres::Postgres;
use crate::support::tool::{assert_passes, root};

#[test]
fn the_store_passes_its_tests_on_postgres_too() {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--workspace", "--lib", "--", "store::tests"])
        .env("TEST_DATABASE_URL", Postgres::shared().database())
        .current_dir(root());
    // Variables that cargo sets for a running test would look like another build to some programs.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }

    let said = assert_passes(&mut command);

    assert!(said.contains("store::tests::"), "no test was run: {said}");
}

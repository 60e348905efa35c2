//! Migrations only add, so that servers of the previous version work on the new schema.

use std::collections::BTreeSet;

use crate::support::tool::root;

/// An operation in a migration that fails, or makes wait, the statements of running servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hazard {
    /// Something that the previous version may use is removed.
    Drop,
    /// A name that the previous version may use is changed.
    Rename,
    /// The type, the default or the nullability of a column is changed, which also rewrites or reads the table.
    AlterColumn,
    /// A column without a default that every row requires: inserts of the previous version fail.
    RequiredColumn,
    /// A constraint on rows that exist, which are all read under a lock.
    Constraint,
    /// An index of a table with rows, whose writers wait until it is built, unless the operator has created it
    /// before by `CREATE INDEX CONCURRENTLY`.
    Index,
    /// Rows are changed or deleted, perhaps all of them.
    Rows,
}

/// A hazard that was accepted, and why.
struct Accepted {
    migration: &'static str,
    hazard: Hazard,
    /// Reason. For a removal: the release that stopped using what is removed.
    #[expect(dead_code, reason = "for readers")]
    reason: &'static str,
}

const BEFORE_FIRST_RELEASE: &str = "before the first release: no version ran without it";

/// The list of contractions. An entry for a new migration names the release that stopped using the thing.
const ACCEPTED: &[Accepted] = &[
    accepted("m0003_administration", Hazard::Index),
    accepted("m0004_authority", Hazard::Drop),
    accepted("m0004_authority", Hazard::Rename),
    accepted("m0004_authority", Hazard::Constraint),
    accepted("m0004_authority", Hazard::Index),
    accepted("m0004_authority", Hazard::Rows),
    accepted("m0005_throttle_places", Hazard::Drop),
    accepted("m0005_throttle_places", Hazard::Index),
    accepted("m0006_delegated_authority", Hazard::Rows),
];

const fn accepted(migration: &'static str, hazard: Hazard) -> Accepted {
    Accepted {
        migration,
        hazard,
        reason: BEFORE_FIRST_RELEASE,
    }
}

/// Returns the hazards of a migration, of which `source` is the file.
fn hazards(source: &str) -> BTreeSet<Hazard> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let text = code.collect::<Vec<_>>().join(" ").to_uppercase();
    let words: Vec<&str> = text
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let created: Vec<&str> = following(&words, &["CREATE", "TABLE"])
        .map(|rest| rest[0])
        .collect();
    let mut found = BTreeSet::new();
    for (phrase, hazard) in [
        (&["DROP"][..], Hazard::Drop),
        (&["TRUNCATE"], Hazard::Drop),
        (&["RENAME"], Hazard::Rename),
        (&["ALTER", "COLUMN"], Hazard::AlterColumn),
        (&["ADD", "CONSTRAINT"], Hazard::Constraint),
        (&["DELETE", "FROM"], Hazard::Rows),
    ] {
        if following(&words, phrase).next().is_some() {
            found.insert(hazard);
        }
    }
    if following(&words, &["UPDATE"]).any(|rest| rest.get(1) == Some(&"SET")) {
        found.insert(Hazard::Rows);
    }
    for statement in text.split('"') {
        if statement.contains("ADD COLUMN")
            && statement.contains("NOT NULL")
            && !statement.contains("DEFAULT")
        {
            found.insert(Hazard::RequiredColumn);
        }
    }
    let is_slow = |rest: &[&str]| {
        let table = rest.iter().skip_while(|word| **word != "ON").nth(1);
        rest[0] != "IF" && table.is_none_or(|table| !created.contains(table))
    };
    let indexes = following(&words, &["CREATE", "INDEX"])
        .chain(following(&words, &["CREATE", "UNIQUE", "INDEX"]));
    if indexes.into_iter().any(is_slow) {
        found.insert(Hazard::Index);
    }
    found
}

/// Returns what follows each place of `phrase`, without places at the end.
fn following<'w>(
    words: &'w [&'w str],
    phrase: &'w [&'w str],
) -> impl Iterator<Item = &'w [&'w str]> {
    words
        .windows(phrase.len())
        .enumerate()
        .filter(move |(_, window)| *window == phrase)
        .map(move |(at, _)| &words[at + phrase.len()..])
        .filter(|rest| !rest.is_empty())
}

#[test]
fn migrations_only_add() {
    let mut unlisted = Vec::new();
    let mut unused: BTreeSet<_> = ACCEPTED
        .iter()
        .map(|entry| (entry.migration.to_owned(), entry.hazard))
        .collect();
    for name in migration::known_migrations() {
        let path = root().join(format!("migration/src/{name}.rs"));
        for hazard in hazards(&std::fs::read_to_string(path).unwrap()) {
            if !unused.remove(&(name.clone(), hazard)) {
                unlisted.push((name.clone(), hazard));
            }
        }
    }

    assert!(
        unlisted.is_empty(),
        "{unlisted:?}: servers of the previous version run during a migration. Add now, and remove one release \
         later; list the removal in {} with the release that stopped using it",
        file!()
    );
    assert!(unused.is_empty(), "no such operation: {unused:?}");
}

#[test]
fn every_hazard_is_recognised() {
    for (statement, hazard) in [
        ("ALTER TABLE users DROP COLUMN roles", Hazard::Drop),
        ("drop table keys", Hazard::Drop),
        ("TRUNCATE events", Hazard::Drop),
        ("ALTER TABLE users RENAME TO people", Hazard::Rename),
        (
            "ALTER TABLE users ALTER COLUMN roles TYPE jsonb",
            Hazard::AlterColumn,
        ),
        (
            "ALTER TABLE users ALTER COLUMN roles SET NOT NULL",
            Hazard::AlterColumn,
        ),
        (
            "ALTER TABLE users ADD COLUMN mail text NOT NULL",
            Hazard::RequiredColumn,
        ),
        (
            "ALTER TABLE users ADD CONSTRAINT short CHECK (length(roles) < 9)",
            Hazard::Constraint,
        ),
        ("CREATE INDEX users_roles ON users (roles)", Hazard::Index),
        (
            "CREATE UNIQUE INDEX users_roles ON users (roles)",
            Hazard::Index,
        ),
        ("UPDATE users SET roles = ''", Hazard::Rows),
        ("DELETE FROM users", Hazard::Rows),
    ] {
        let source = format!("const STATEMENTS: &[&str] = &[\n    \"{statement}\",\n];");
        assert_eq!(hazards(&source), BTreeSet::from([hazard]), "{statement}");
    }
}

#[test]
fn additions_are_no_hazards() {
    let source = r#"
        // DROP and RENAME are for the next release.
        const STATEMENTS: &[&str] = &[
            "CREATE TABLE later (id integer NOT NULL PRIMARY KEY, updated bigint NOT NULL)",
            "CREATE INDEX later_updated ON later (updated)",
            "ALTER TABLE users ADD COLUMN locale text",
            "ALTER TABLE users ADD COLUMN mail text NOT NULL DEFAULT ''",
            "CREATE INDEX IF NOT EXISTS users_mail ON users (mail)",
        ];"#;

    assert_eq!(hazards(source), BTreeSet::new());
}

//! The package for services in Python (`clients/python`) and the recipes that use it: their own tests,
//! against the program under test.

use std::path::Path;
use std::process::Command;

use crate::support::scratch;
use crate::support::server::BINARY;
use crate::support::tool::{assert_passes, installed, root};

const PACKAGE: &str = "clients/python";
const CHECKS: &[&str] = &[
    "test_verify.py",
    "test_cache.py",
    "test_frameworks.py",
    "test_jwks.py",
];
const RECIPES: &[&str] = &["test_recipes.py"];
const WHEEL: &[&str] = &["test_package.py"];

/// Runs files of tests, and panics with the output of pytest unless every test of them ran and passed.
#[track_caller]
fn assert_all_pass(files: &[&str]) {
    let folder = scratch::folder();
    let package = root().join(PACKAGE);
    let printed = assert_passes(
        Command::new(installed("python-client/bin/python"))
            .args(["-B", "-m", "pytest", "-q", "--basetemp"])
            .arg(folder.path().join("pytest"))
            .args(files.iter().map(|file| package.join("tests").join(file)))
            .current_dir(&package)
            .env("SERVER_PROGRAM", BINARY)
            .env("WHEELS", installed("python-client/wheels")),
    );

    let last = printed.lines().last().unwrap_or_default();
    assert!(last.contains(" passed in "), "{printed}");
    for other in ["skipped", "xfailed", "warning"] {
        assert!(!last.contains(other), "{printed}");
    }
}

#[test]
fn the_python_package_passes_its_tests() {
    assert_all_pass(CHECKS);
}

#[test]
fn the_python_recipes_refuse_after_a_logout_and_while_the_server_is_away() {
    assert_all_pass(RECIPES);
}

#[test]
fn the_python_package_works_in_a_fresh_environment() {
    assert_all_pass(WHEEL);
}

/// Returns the names of the Python files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "py"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_python_test_and_recipe_is_run_here() {
    let tests = root().join(PACKAGE).join("tests");
    let recipes = names(&root().join("examples").join("apis").join("python"));
    let started = std::fs::read_to_string(tests.join("test_recipes.py")).unwrap();
    let run = [CHECKS, RECIPES, WHEEL].concat();

    for test in names(&tests) {
        let is_run = run.contains(&test.as_str()) || !test.starts_with("test_");
        assert!(is_run, "{test} is not run");
    }
    assert!(recipes.len() >= 5, "{recipes:?}");
    for recipe in recipes {
        let quoted = format!("{recipe:?}");
        assert!(started.contains(&quoted), "{recipe} is not started");
    }
}

#[test]
fn the_python_package_and_the_server_have_one_version() {
    let manifest = root().join(PACKAGE).join("pyproject.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();

    let version = concat!("\nversion = \"", env!("CARGO_PKG_VERSION"), "\"\n");
    assert!(manifest.contains(version), "{manifest}");
}

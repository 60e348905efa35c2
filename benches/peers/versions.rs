//! Which versions are measured.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::entries::{ALL, Program};
use crate::peer::installed;

/// Returns the version of Latchet.
pub(crate) fn own() -> BTreeMap<String, String> {
    BTreeMap::from([("latchet".to_owned(), env!("CARGO_PKG_VERSION").to_owned())])
}

/// Returns the versions of Latchet, of its peers as they are installed, and of what these run on.
pub(crate) fn all() -> BTreeMap<String, String> {
    let mut versions = own();
    let python = python();
    for entry in ALL {
        let Some(package) = entry.package else {
            continue;
        };
        let version = match entry.program {
            Program::Node(_) => node(package),
            _ => python.get(package).cloned().unwrap_or_default(),
        };
        versions.insert(package.to_owned(), version);
    }
    versions.insert("node".to_owned(), node("node"));
    for package in ["gunicorn", "Flask", "Django"] {
        versions.insert(package.to_owned(), python[package].clone());
    }
    versions.insert("python".to_owned(), python["python"].clone());
    versions
}

fn node(package: &str) -> String {
    let file = installed().join(format!("node/node_modules/{package}/package.json"));
    let text = fs::read_to_string(file).expect("the package is installed");
    let described: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    described["version"].as_str().unwrap_or_default().to_owned()
}

fn python() -> BTreeMap<String, String> {
    let pinned = fs::read_to_string(installed().join("python/requirements.txt"));
    let pinned = pinned.expect("the packages are installed");
    let mut versions: BTreeMap<String, String> = pinned
        .lines()
        .filter_map(|line| line.split_once("=="))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect();
    let run = Command::new(installed().join("python/bin/python"))
        .arg("--version")
        .output();
    let said = String::from_utf8(run.expect("Python starts").stdout).unwrap_or_default();
    let version = said.trim().trim_start_matches("Python ").to_owned();
    versions.insert("python".to_owned(), version);
    versions
}

//! Doc comments of the program, read from its source: those of enums and structs are kept in no other place.

use std::path::{Path, PathBuf};

use crate::support::tool::root;

/// A variant or a field.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The doc comment on one line.
    pub(super) doc: String,
    /// The text behind the name, such as `: Option<String>,`.
    pub(super) rest: String,
    /// The attributes, such as `#[serde(default)]`.
    pub(super) attributes: String,
}

/// Returns the source files of the program, without its tests.
pub(super) fn files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap_or_default();
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
}

/// Returns the members of a public type; `declaration` is such as `enum EventKind`.
pub(super) fn members(declaration: &str) -> Vec<Member> {
    let opening = format!("pub {declaration} {{");
    let files = files();
    let bodies = files.iter().filter_map(|(_, text)| {
        let (_, after) = text.split_once(&opening)?;
        Some(after.split("\n}").next().unwrap_or_default())
    });
    let bodies: Vec<&str> = bodies.collect();
    assert_eq!(bodies.len(), 1, "declarations of `{opening}`");
    read_members(bodies[0])
}

fn read_members(body: &str) -> Vec<Member> {
    let mut members = Vec::new();
    let (mut doc, mut attributes) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if line.starts_with("#[") {
            attributes.push_str(line);
        } else if !doc.is_empty() {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let end = line.find(|c: char| c != '_' && !c.is_alphanumeric());
            let (name, rest) = line.split_at(end.unwrap_or(line.len()));
            members.push(Member {
                name: name.to_owned(),
                doc: std::mem::take(&mut doc).join(" "),
                rest: rest.to_owned(),
                attributes: std::mem::take(&mut attributes),
            });
        }
    }
    members
}

#[test]
fn members_of_a_type_come_with_their_doc_comments() {
    let body = "\n    /// First\n    /// line.\n    #[serde(default)]\n    pub users: Users,\n    /// Second.\n    Named {\n        /// Inner.\n        path: PathBuf,\n    },";

    let members = read_members(body);

    assert_eq!(members[0].name, "users");
    assert_eq!(members[0].doc, "First line.");
    assert_eq!(members[0].rest, ": Users,");
    assert_eq!(members[0].attributes, "#[serde(default)]");
    assert_eq!(members[1].name, "Named");
}

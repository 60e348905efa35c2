//! Clients that generators make of `openapi.yaml`: complete, accepted by their compilers, and used for a session.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::support::client::ADMIN;
use crate::support::server::Replica;
use crate::support::tool::{assert_passes, installed, root};
use crate::support::{Backend, scratch};

mod openapi_generator;
mod progenitor;

/// Returns each `operationId` of the document, with its tag.
fn operations() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let document: Value = serde_yaml_ng::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
    let named = operations.filter_map(|operation| {
        let id = operation["operationId"].as_str()?;
        Some((id.to_owned(), operation["tags"][0].as_str()?.to_owned()))
    });
    let named: Vec<_> = named.collect();
    assert!(named.len() > 35, "{named:?}");
    named
}

/// Writes `refreshSession` as `refresh_session`.
pub(crate) fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
        text
    })
}

/// Copies the program that uses the client of a generator for a session, and returns the copy.
fn session_program(path: &str, folder: &Path) -> PathBuf {
    let program = root().join("tests/generated").join(path);
    let copy = folder.join(program.file_name().unwrap());
    std::fs::copy(program, &copy).unwrap();
    copy
}

/// Runs such a program against a new server.
async fn assert_session(program: &mut Command) {
    let server = Replica::start(&Backend::sqlite()).await;
    assert_passes(program.args([server.http.base(), ADMIN.name, ADMIN.password]));
}

/// Returns the TypeScript compiler as a strict check of the named files.
fn strict_check(tools: &Path) -> Command {
    let mut command = Command::new(tools.join(".bin/tsc"));
    command
        .args(["--noEmit", "--strict", "--target", "es2022"])
        .args(["--module", "esnext", "--moduleResolution", "bundler"]);
    command
}

/// Returns a command that runs a TypeScript program, bundled, in Node.
fn in_node(tools: &Path, program: &Path) -> Command {
    let bundle = program.with_extension("mjs");
    assert_passes(
        Command::new(tools.join(".bin/esbuild"))
            .arg(program)
            .args([
                "--bundle",
                "--platform=node",
                "--format=esm",
                "--log-level=warning",
            ])
            .arg(format!("--outfile={}", bundle.display())),
    );
    let mut command = Command::new("node");
    command.arg(bundle);
    command
}

/// Those of openapi-python-client leave an operation out, with a warning, whose schema they do not
/// understand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_has_every_operation_and_its_types_are_right() {
    let folder = scratch::folder();
    let tools = installed("openapi-python");
    assert_passes(
        Command::new(tools.join("bin/openapi-python-client"))
            .args(["generate", "--fail-on-warning", "--meta", "none"])
            .arg("--path")
            .arg(root().join("openapi.yaml"))
            .arg("--output-path")
            .arg(folder.path().join("latchet_client"))
            .env("PATH", path_with(&tools.join("bin")))
            .current_dir(folder.path()),
    );

    let mut program = String::from(
        "from latchet_client import Client\n\
         from latchet_client.api.sessions import login\n\
         from latchet_client.models import LoginRequest, Transport\n\
         plain = LoginRequest(username='alice', password='secret')\n\
         assert 'transport' not in plain.to_dict(), plain.to_dict()\n\
         page = LoginRequest(username='alice', password='secret', transport=Transport.COOKIE)\n\
         assert page.to_dict()['transport'] == 'cookie', page.to_dict()\n\
         print(login.sync_detailed, Client(base_url='http://localhost'))\n",
    );
    for (id, tag) in operations() {
        let (tag, id) = (snake(&tag), snake(&id));
        let _ = writeln!(program, "import latchet_client.api.{tag}.{id} as _{id}");
    }
    let file = folder.path().join("program.py");
    std::fs::write(&file, program).unwrap();
    let session = session_program("openapi-python-client/session.py", folder.path());
    let python = |program: &Path| {
        let mut command = Command::new(tools.join("bin/python"));
        command.arg(program).current_dir(folder.path());
        command
    };
    assert_passes(&mut python(&file));
    // What the generator writes for every document is its own matter.
    let mut check = Command::new(tools.join("bin/mypy"));
    check.args([
        "--strict",
        "--follow-imports=silent",
        "--cache-dir=/dev/null",
    ]);
    assert_passes(check.args([&file, &session]).current_dir(folder.path()));

    assert_session(&mut python(&session)).await;
}

/// It calls another tool of the folder to tidy what it has written.
fn path_with(folder: &Path) -> OsString {
    let others = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&others));
    std::env::join_paths(folders).unwrap()
}

/// Those of openapi-typescript want each field of a request that has a default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typescript_types_have_every_operation_and_keep_optional_members_optional() {
    let folder = scratch::folder();
    let tools = installed("client/node_modules");
    let types = folder.path().join("latchet.ts");
    assert_passes(
        Command::new(tools.join(".bin/openapi-typescript"))
            .arg(root().join("openapi.yaml"))
            .arg("--output")
            .arg(&types),
    );
    let mut program = String::from(
        "import type { components, operations } from './latchet';\n\
         type Schemas = components['schemas'];\n\
         export const login: Schemas['LoginRequest'] = { username: 'alice', password: 'secret' };\n\
         export const page: Schemas['LoginRequest'] = { ...login, transport: 'cookie' };\n\
         // @ts-expect-error there is no such way to travel\n\
         export const pigeon: Schemas['LoginRequest'] = { ...login, transport: 'pigeon' };\n\
         export const user: Schemas['CreateUserRequest'] = { username: 'alice', password: 'secret' };\n\
         export const keys: Schemas['RotateKeysRequest'] = {};\n",
    );
    for (id, _) in operations() {
        let _ = writeln!(
            program,
            "export type Of_{id} = operations['{id}']['responses'];"
        );
    }
    let file = folder.path().join("program.ts");
    std::fs::write(&file, program).unwrap();
    let session = session_program("openapi-typescript/session.ts", folder.path());
    std::os::unix::fs::symlink(&tools, folder.path().join("node_modules")).unwrap();
    assert_passes(strict_check(&tools).args([&file, &session]));

    assert_session(&mut in_node(&tools, &session)).await;
}

#[test]
fn the_guide_names_the_versions_that_are_tested() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let guide = read("docs/how-to/generated-clients.md");

    let pinned = [
        ("web/client/package.json", "\"openapi-typescript\": \""),
        (
            "tests/tools/requirements-openapi.txt",
            "openapi-python-client==",
        ),
        (
            "tests/tools/requirements-openapi-generator.txt",
            "openapi-generator-cli==",
        ),
        (
            "tests/generated/progenitor/Cargo.toml",
            "progenitor-client = \"=",
        ),
    ];
    for (path, before) in pinned {
        let text = read(path);
        let (_, rest) = text.split_once(before).unwrap();
        let version = rest.split(['"', '\n']).next().unwrap();
        assert!(
            guide.contains(&format!("| {version} |")),
            "{path}: {version}"
        );
    }
}

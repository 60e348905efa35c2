//! Clients that generators make of `openapi.yaml`: complete, accepted by their compilers, and used for a session.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};

use crate::support::client::ADMIN;
use crate::support::server::Replica;
use crate::support::tool::{assert_passes, installed, root};
use crate::support::{Backend, scratch};

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
    named.collect()
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

    let operations = operations();
    assert!(operations.len() > 35, "{operations:?}");
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
    for (id, tag) in &operations {
        let (tag, id) = (snake(tag), snake(id));
        let _ = writeln!(program, "import latchet_client.api.{tag}.{id} as _{id}");
    }
    let file = folder.path().join("program.py");
    std::fs::write(&file, program).unwrap();
    let run = |tool: &str, arguments: &[&str]| {
        let mut command = Command::new(tools.join("bin").join(tool));
        command
            .args(arguments)
            .arg(&file)
            .current_dir(folder.path());
        assert_passes(&mut command);
    };
    run("python", &[]);
    // What the generator writes for every document is its own matter.
    let silent = "--follow-imports=silent";
    run("mypy", &["--strict", silent, "--cache-dir=/dev/null"]);

    let session = folder.path().join("session.py");
    std::fs::copy(root().join("tests/generated/session.py"), &session).unwrap();
    let server = Replica::start(&Backend::sqlite()).await;
    assert_passes(
        Command::new(tools.join("bin/python"))
            .arg(&session)
            .args([server.http.base(), ADMIN.name, ADMIN.password])
            .current_dir(folder.path()),
    );
    let mut check = Command::new(tools.join("bin/mypy"));
    check.args(["--strict", silent, "--cache-dir=/dev/null"]);
    assert_passes(check.arg(&session).current_dir(folder.path()));
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
    std::fs::write(folder.path().join("program.ts"), program).unwrap();
    let session = folder.path().join("session.ts");
    std::fs::copy(root().join("tests/generated/session.ts"), &session).unwrap();
    std::os::unix::fs::symlink(&tools, folder.path().join("node_modules")).unwrap();
    assert_passes(
        Command::new(tools.join(".bin/tsc"))
            .args(["--noEmit", "--strict", "--target", "es2022"])
            .args(["--module", "esnext", "--moduleResolution", "bundler"])
            .arg(folder.path().join("program.ts"))
            .arg(&session),
    );
    let built = folder.path().join("session.mjs");
    assert_passes(
        Command::new(tools.join(".bin/esbuild"))
            .arg(&session)
            .args([
                "--bundle",
                "--platform=node",
                "--format=esm",
                "--log-level=warning",
            ])
            .arg(format!("--outfile={}", built.display())),
    );
    let server = Replica::start(&Backend::sqlite()).await;
    assert_passes(Command::new("node").arg(&built).args([
        server.http.base(),
        ADMIN.name,
        ADMIN.password,
    ]));
}

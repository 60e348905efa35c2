//! Clients of openapi-generator: one in Python, one in TypeScript for `fetch`.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::{assert_session, in_node, operations, session_program, snake, strict_check};
use crate::support::scratch;
use crate::support::tool::{assert_passes, installed, root};

/// Writes a client into a folder. The generator fails if it finds the document invalid.
fn generate(generator: &str, folder: &Path, options: &[&str]) {
    assert_passes(
        Command::new(installed("openapi-generator/bin/openapi-generator-cli"))
            .args(["generate", "--generator-name", generator])
            .arg("--input-spec")
            .arg(root().join("openapi.yaml"))
            .arg("--output")
            .arg(folder)
            .args(options),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_python_client_has_every_operation_and_its_types_are_right() {
    let folder = scratch::folder();
    let tools = installed("openapi-generator/bin");
    generate(
        "python",
        folder.path(),
        &["--package-name", "latchet_client"],
    );
    let mut program = String::from("import latchet_client\n");
    for (id, tag) in operations() {
        let _ = writeln!(program, "print(latchet_client.{tag}Api.{})", snake(&id));
    }
    std::fs::write(folder.path().join("program.py"), program).unwrap();
    session_program("openapi-generator/session.py", folder.path());
    let check = |arguments: &[&str]| {
        let mut command = Command::new(tools.join("mypy"));
        command.arg("--cache-dir=/dev/null").args(arguments);
        assert_passes(command.current_dir(folder.path()));
    };
    // With the settings in the `pyproject.toml` of the client: it passes no stricter ones.
    check(&["latchet_client"]);
    check(&[
        "--config-file=/dev/null",
        "--strict",
        "--follow-imports=silent",
        "program.py",
        "session.py",
    ]);
    let python = |program: &str| {
        let mut command = Command::new(tools.join("python"));
        command.arg(program).current_dir(folder.path());
        command
    };
    assert_passes(&mut python("program.py"));

    assert_session(&mut python("session.py")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_typescript_client_has_every_operation_and_its_types_are_right() {
    let folder = scratch::folder();
    let tools = installed("client/node_modules");
    generate("typescript-fetch", &folder.path().join("latchet"), &[]);
    let mut program = String::from(
        "import * as latchet from './latchet';\n\
         export const login: latchet.LoginRequest = { username: 'alice', password: 'secret' };\n\
         export const page: latchet.LoginRequest = { ...login, transport: 'cookie' };\n\
         // @ts-expect-error there is no such way to travel\n\
         export const pigeon: latchet.LoginRequest = { ...login, transport: 'pigeon' };\n",
    );
    for (id, tag) in operations() {
        let _ = writeln!(
            program,
            "export const of_{id} = latchet.{tag}Api.prototype.{id};"
        );
    }
    let file = folder.path().join("program.ts");
    std::fs::write(&file, program).unwrap();
    let session = session_program("openapi-generator/session.ts", folder.path());
    // The client has unused imports, and passes no stricter settings than these.
    assert_passes(
        strict_check(&tools)
            .args(["--noImplicitReturns", "--noFallthroughCasesInSwitch"])
            .args([
                "--noPropertyAccessFromIndexSignature",
                "--verbatimModuleSyntax",
            ])
            .args([&file, &session]),
    );

    assert_session(&mut in_node(&tools, &session)).await;
}

//! The README's commands work as described.

use std::process::{Command, Stdio};

use crate::support::server::{BINARY, Replica};
use crate::support::tool::{assert_passes, root};
use crate::support::{Backend, poll, port};

/// Returns the snippets of a page in this language, in order; panics when there are none.
pub(crate) fn snippets(page: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let opening = format!("```{language}\n");
    let snippets: Vec<String> = text
        .match_indices(&opening)
        .map(|(at, _)| {
            let (snippet, _) = text[at + opening.len()..].split_once("```").unwrap();
            snippet.to_owned()
        })
        .collect();
    assert!(!snippets.is_empty(), "no {language} in {page}");
    snippets
}

/// Returns the shell snippets of the README, in order.
fn shell_snippets() -> Vec<String> {
    snippets("README.md", "sh")
}

/// Returns a shell that runs `script` unchanged, with the program built by this run.
pub(crate) fn shell(backend: &Backend, script: &str) -> Command {
    let built = std::path::Path::new(BINARY).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(built.to_owned()).chain(std::env::split_paths(&path));
    let mut command = Command::new("bash");
    command
        .args([
            "-euo",
            "pipefail",
            "-c",
            &script.replace("cargo run --release --", "latchet"),
        ])
        .env("PATH", std::env::join_paths(paths).unwrap())
        .current_dir(backend.folder.path())
        .stdin(Stdio::null());
    command
}

#[test]
fn the_readme_has_the_snippets_that_are_run_here() {
    let snippets = shell_snippets();

    let firsts: Vec<_> = snippets
        .iter()
        .map(|snippet| snippet.split_whitespace().next().unwrap())
        .collect();

    assert_eq!(firsts, ["cargo", "scripts/test", "printf"]);
    assert!(root().join(snippets[1].trim()).exists());
}

#[test]
fn every_dependency_has_its_reason() {
    let read = |path| std::fs::read_to_string(root().join(path)).unwrap();
    let argued = read("docs/explanation/dependencies.md");
    let mut names = Vec::new();
    for manifest in [
        "Cargo.toml",
        "guard/Cargo.toml",
        "entity/Cargo.toml",
        "migration/Cargo.toml",
    ] {
        let manifest: toml::Table = read(manifest).parse().unwrap();
        let targets = manifest.get("target").and_then(toml::Value::as_table);
        let tables = std::iter::once(&manifest).chain(
            targets
                .into_iter()
                .flat_map(|all| all.values())
                .map(|table| table.as_table().unwrap()),
        );
        for table in tables {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let listed = table.get(kind).and_then(toml::Value::as_table);
                names.extend(listed.into_iter().flat_map(|table| table.keys().cloned()));
            }
        }
    }
    // The other members of the workspace.
    let members = ["entity", "latchet-guard", "migration", "test-support"];
    names.retain(|name| !members.contains(&name.as_str()));
    assert!(names.len() > 30, "{names:?}");

    names.retain(|name| !argued.contains(&format!("`{name}`")));

    assert_eq!(
        names, [""; 0],
        "docs/explanation/dependencies.md does not say why"
    );
}

/// Returns a backend with the settings of a reader's first start: none.
fn first_start() -> Backend {
    Backend::sqlite()
        .without("LATCHET_DATA_DIR")
        .without("LATCHET_BOOTSTRAP_ADMIN")
        .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_the_readme_works_as_described() {
    let backend = first_start();
    let server = Replica::start(&backend).await;
    let script = shell_snippets()[2].replace("http://127.0.0.1:8080", server.http.base());

    let said = assert_passes(&mut shell(&backend, &script));

    let refreshed: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("eyJ"))
        .collect();
    assert_eq!(refreshed.len(), 2, "{said}");
    assert_eq!(refreshed[0], refreshed[1]);
    assert!(said.contains("\"username\": \"alice\""), "{said}");
    assert!(
        said.ends_with('}') && said.contains("token_revoked"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_login_of_the_tutorial_prints_what_it_says() {
    let backend = first_start();
    let server = Replica::start(&backend).await;
    let script = snippets("docs/tutorials/first-login.md", "sh").concat();
    let script = script.replace("http://127.0.0.1:8080", server.http.base());

    let printed = assert_passes(&mut shell(&backend, &script));

    let last: Vec<_> = printed.lines().rev().take(4).collect();
    assert_eq!(
        last,
        ["token_revoked", "one successor", "laptop", "\"alice\""],
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replicas_of_the_guide_start() {
    let backend = Backend::postgres();
    let ports = [port::free(), port::free()];
    let script = snippets("docs/how-to/replicas.md", "sh")
        .concat()
        .replace(
            "postgres://latchet@db.internal/latchet",
            &backend.settings()["DATABASE_URL"],
        )
        .replace("redis://cache.internal", &backend.settings()["REDIS_URL"])
        .replace("8081", &ports[0].to_string())
        .replace("8082", &ports[1].to_string());
    let check = ports.map(|port| {
        format!(
            "for _ in $(seq 600); do curl -fs http://127.0.0.1:{port}/readyz && break; sleep 0.05; done\n\
             curl -fsS http://127.0.0.1:{port}/.well-known/{{jwks.json,oauth-authorization-server}} > {port}.json\n"
        )
    });
    let compare = format!("cmp {}.json {}.json", ports[0], ports[1]);
    let script = format!(
        "trap 'kill $(jobs -p)' EXIT\n{script}\n{}{compare}",
        check.concat()
    );

    let mut running = shell(&backend, &script);
    let said = tokio::task::spawn_blocking(move || assert_passes(&mut running));

    let said = tokio::time::timeout(poll::DEADLINE * 2, said)
        .await
        .unwrap()
        .unwrap();
    assert!(said.contains("\"ok\""), "{said}");
}

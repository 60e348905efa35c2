//! The bootstrap administrator of the settings: created once, and never changed later.

use crate::support::client::ADMIN;
use crate::support::server::{Replica, command, run};
use crate::support::{Backend, on_both};

on_both! {
    the_bootstrap_administrator_is_created_where_none_exists,
    an_existing_bootstrap_administrator_needs_no_password_file,
    a_disabled_bootstrap_administrator_stays_disabled_and_the_server_starts,
    a_demoted_bootstrap_administrator_stays_demoted_and_the_server_starts,
    an_existing_administrator_makes_bootstrap_unnecessary,
    an_unusable_name_or_password_refuses_to_start_only_where_it_is_needed,
}

fn password_file(backend: &Backend) -> std::path::PathBuf {
    backend.settings()["LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE"]
        .clone()
        .into()
}

/// Makes an administrator by the command line.
fn add_grace(backend: &Backend) {
    let file = backend.folder.path().join("grace-password");
    std::fs::write(&file, "a long password of grace").unwrap();
    let file = file.to_str().unwrap();
    run(
        backend,
        &["user", "add", "grace", "--admin", "--password-file", file],
    );
}

/// Returns the line of the user in `user list`; empty where there is none.
fn listed(backend: &Backend, name: &str) -> String {
    let users = run(backend, &["user", "list"]);
    let line = users.lines().find(|line| line.contains(name));
    line.unwrap_or_default().to_owned()
}

async fn the_bootstrap_administrator_is_created_where_none_exists(backend: Backend) {
    let server = Replica::start(&backend).await;

    let session = server.http.admin().login().await;

    let users = server.http.get("/v1/users").bearer(&session.access);
    users.send().await.expect(200);
    assert!(!server.log().await.contains("there is no administrator"));
}

async fn an_existing_bootstrap_administrator_needs_no_password_file(backend: Backend) {
    Replica::start(&backend).await.kill();
    std::fs::remove_file(password_file(&backend)).unwrap();

    let server = Replica::start(&backend).await;

    server.http.admin().login().await;
    assert!(!server.log().await.contains("there is no administrator"));
}

async fn a_disabled_bootstrap_administrator_stays_disabled_and_the_server_starts(backend: Backend) {
    Replica::start(&backend).await.kill();
    run(&backend, &["user", "disable", ADMIN.name]);
    std::fs::remove_file(password_file(&backend)).unwrap();

    let server = Replica::start(&backend).await;

    let person = server.http.admin();
    person.try_login(ADMIN.password).await.expect(401);
    let way_out = format!("`latchet user enable {}`", ADMIN.name);
    server.log_line(&way_out).await;
    run(&backend, &["user", "enable", ADMIN.name]);
    person.login().await;
}

async fn a_demoted_bootstrap_administrator_stays_demoted_and_the_server_starts(backend: Backend) {
    Replica::start(&backend).await.kill();
    run(&backend, &["user", "roles", ADMIN.name, "reader"]);

    let server = Replica::start(&backend).await;

    server.http.admin().login().await;
    assert!(!listed(&backend, ADMIN.name).contains("admin,"));
    let way_out = format!("`latchet user roles {} admin reader`", ADMIN.name);
    server.log_line(&way_out).await;
    run(&backend, &["user", "roles", ADMIN.name, "admin", "reader"]);
    assert!(listed(&backend, ADMIN.name).contains("admin,reader"));
}

async fn an_existing_administrator_makes_bootstrap_unnecessary(backend: Backend) {
    add_grace(&backend);

    let server = Replica::start(&backend).await;

    assert_eq!(listed(&backend, ADMIN.name), "");
    assert!(listed(&backend, "grace").contains("admin"));
    assert!(!server.log().await.contains("there is no administrator"));
}

async fn an_unusable_name_or_password_refuses_to_start_only_where_it_is_needed(backend: Backend) {
    let weak = backend.folder.path().join("weak-password");
    std::fs::write(&weak, "short").unwrap();
    let missing = backend.folder.path().join("missing").display().to_string();
    let file = "LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE";
    let unusable = [
        ("LATCHET_BOOTSTRAP_ADMIN", "no name\u{7}", "bootstrap_admin"),
        (file, weak.to_str().unwrap(), "password"),
        (file, &missing, "bootstrap_admin_password_file"),
    ];

    for (name, value, told) in unusable {
        let backend = backend.clone().with(name, value);
        let output = command(&backend)
            .env("LATCHET_LISTEN", "127.0.0.1:0")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{name}={value}: {text}");
        assert!(text.contains(told), "{name}={value}: {text}");
    }
    add_grace(&backend);
    for (name, value, _) in unusable {
        Replica::start(&backend.clone().with(name, value))
            .await
            .kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_start_at_once_leave_a_disabled_administrator_disabled() {
    let backend = Backend::postgres();
    Replica::start(&backend).await.kill();
    run(&backend, &["user", "disable", ADMIN.name]);

    let (one, other) = tokio::join!(Replica::start(&backend), Replica::start(&backend));

    for server in [&one, &other] {
        let refused = server.http.admin().try_login(ADMIN.password).await;
        refused.expect(401);
    }
    assert!(listed(&backend, ADMIN.name).contains("disabled"));
}

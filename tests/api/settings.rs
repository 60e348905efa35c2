//! Settings and files in the forms that users and platforms provide, through the whole program.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Output, Stdio};

use crate::support::server::{Replica, command, run};
use crate::support::{Backend, on_both};

on_both! {
    a_password_from_a_file_or_a_pipe_equals_the_typed_one,
    no_password_of_the_command_line_holds_nul,
    no_password_of_the_api_holds_nul,
    a_list_of_accounts_is_complete_or_says_that_it_is_cut,
    user_roles_prints_the_roles_unless_it_changes_them,
}

const PASSWORD: &str = "a long password of frank";

fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes_of).collect()
}

/// Runs a command with this standard input.
fn pipe(backend: &Backend, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(backend)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn a_password_from_a_file_or_a_pipe_equals_the_typed_one(backend: Backend) {
    let server = Replica::start(&backend).await;
    let file = backend.folder.path().join("password");
    let path = file.to_str().unwrap();
    let texts = [
        format!("{PASSWORD}\n"),
        format!("{PASSWORD}\r\n"),
        format!("\u{feff}{PASSWORD}"),
        format!("\u{feff}{PASSWORD}\r\n"),
    ];

    for (index, text) in texts.iter().enumerate() {
        let (filed, piped) = (format!("file{index}"), format!("pipe{index}"));
        std::fs::write(&file, text).unwrap();
        run(&backend, &["user", "add", &filed, "--password-file", path]);
        let output = pipe(&backend, &["user", "add", &piped], text.as_bytes());
        assert!(output.status.success(), "{}", said(&output));

        for name in [filed, piped] {
            let body = serde_json::json!({"username": name, "password": PASSWORD});
            let login = server.http.post("/v1/login").json(&body).send().await;
            assert_eq!(login.status, 200, "{name} {text:?}: {}", login.text);
        }
    }
    let output = pipe(&backend, &["user", "add", "x"], b"");
    assert!(!output.status.success());
    assert!(
        said(&output).contains("no password was given on standard input"),
        "{}",
        said(&output)
    );
    std::fs::write(&file, format!("{PASSWORD}\nand a second line\n")).unwrap();
    let output = pipe(
        &backend,
        &["user", "add", "x", "--password-file", path],
        b"",
    );
    assert!(!output.status.success());
    assert!(
        said(&output).contains("more than one line"),
        "{}",
        said(&output)
    );
}

async fn no_password_of_the_command_line_holds_nul(backend: Backend) {
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let marked = format!("\u{feff}{PASSWORD}\r\n");
    let file = backend.folder.path().join("utf16");
    let path = file.to_str().unwrap();

    for (bytes, reason) in [
        (utf16(&marked, u16::to_le_bytes), "UTF-16"),
        (utf16(&marked, u16::to_be_bytes), "UTF-16"),
        (utf16(PASSWORD, u16::to_le_bytes), "NUL"),
        (utf16(PASSWORD, u16::to_be_bytes), "NUL"),
        (format!("{PASSWORD}\0").into_bytes(), "NUL"),
        (b"a long password of caf\xe9".to_vec(), "not UTF-8"),
    ] {
        std::fs::write(&file, &bytes).unwrap();
        for output in [
            pipe(&backend, &["user", "add", "gina"], &bytes),
            pipe(
                &backend,
                &["user", "add", "gina", "--password-file", path],
                b"",
            ),
            pipe(&backend, &["user", "password", "alice"], &bytes),
            pipe(
                &backend,
                &["user", "password", "alice", "--password-file", path],
                b"",
            ),
        ] {
            assert!(!output.status.success());
            assert!(
                said(&output).contains(reason),
                "{reason}: {}",
                said(&output)
            );
        }
    }
    alice.login().await;
    assert!(!run(&backend, &["user", "list"]).contains("gina"));
}

async fn no_password_of_the_api_holds_nul(backend: Backend) {
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let nul = format!("{PASSWORD}\0");
    let link = run(&backend, &["user", "reset-link", "alice"]);
    let (_, link) = link.trim().split_once("/reset#").unwrap();
    let bodies = [
        (
            "/v1/users",
            serde_json::json!({"username": "gina", "password": nul}),
        ),
        (
            "/v1/me/password",
            serde_json::json!({"current_password": alice.password, "new_password": nul}),
        ),
        (
            "/v1/password/reset",
            serde_json::json!({"link": link, "password": nul}),
        ),
    ];
    let admin = server.http.admin().login().await;
    for (path, body) in bodies {
        let token = if path == "/v1/users" {
            &admin
        } else {
            &session
        };
        let request = server.http.post(path).bearer(&token.access).json(&body);
        let refused = request.send().await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text);
    }
    alice.login().await;
    assert!(!run(&backend, &["user", "list"]).contains("gina"));
}

async fn a_list_of_accounts_is_complete_or_says_that_it_is_cut(backend: Backend) {
    run(&backend, &["migrate"]);
    let server = Replica::start(&backend).await;
    for name in ["alice", "bob", "carol"] {
        server.http.person(name).await;
    }

    let all = run(&backend, &["user", "list"]);
    let some = pipe(&backend, &["user", "list", "--limit", "2"], b"");
    let exact = pipe(&backend, &["user", "list", "--limit", "4"], b"");
    let json = run(&backend, &["user", "list", "--json", "--search", "CAROL"]);

    assert_eq!(all.lines().count(), 4, "{all}");
    assert_eq!(String::from_utf8_lossy(&some.stdout).lines().count(), 2);
    assert!(said(&some).contains("more than these 2"), "{}", said(&some));
    assert_eq!(String::from_utf8_lossy(&exact.stdout), all);
    assert!(!said(&exact).contains("more than"), "{}", said(&exact));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let users = json.as_array().unwrap();
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["username"], "carol");
    assert_eq!(users[0]["disabled"], false);
    let admin = server.http.admin().login().await;
    let shown = server
        .http
        .get("/v1/users?search=carol")
        .bearer(&admin.access);
    assert_eq!(shown.send().await.expect(200).json()["items"], json);
}

async fn user_roles_prints_the_roles_unless_it_changes_them(backend: Backend) {
    let server = Replica::start(&backend).await;
    server.http.person("alice").await;
    let roles = |arguments: &[&str]| {
        let arguments = [&["user", "roles", "alice"], arguments].concat();
        run(&backend, &arguments)
    };

    assert_eq!(roles(&[]), "alice has no roles\n");
    assert_eq!(
        roles(&["writer", "reader"]),
        "alice has the roles: reader, writer\n"
    );
    assert_eq!(roles(&[]), "alice has the roles: reader, writer\n");
    assert_eq!(roles(&["--none"]), "alice has no roles\n");
    assert_eq!(roles(&[]), "alice has no roles\n");
    let both = pipe(
        &backend,
        &["user", "roles", "alice", "reader", "--none"],
        b"",
    );
    assert!(!both.status.success());
}

#[test]
fn a_folder_whose_name_is_not_utf8_is_refused_and_none_is_created() {
    let backend = Backend::sqlite().without("LATCHET_DATA_DIR");
    let name = OsStr::from_bytes(b"caf\xe9");
    let folder = backend.folder.path().join(name);

    for output in [
        command(&backend)
            .arg("migrate")
            .env("LATCHET_DATA_DIR", &folder)
            .output()
            .unwrap(),
        command(&backend)
            .arg("migrate")
            .arg("--data-dir")
            .arg(&folder)
            .output()
            .unwrap(),
    ] {
        assert!(!output.status.success());
        assert!(said(&output).contains("not UTF-8"), "{}", said(&output));
    }
    assert!(!backend.folder.path().join("data").exists());
}

#[test]
fn a_file_of_settings_counts_before_and_after_the_command() {
    let backend = Backend::sqlite().without("LATCHET_DATA_DIR");
    for (number, order) in [
        ["--config", "FILE", "migrate"],
        ["migrate", "--config", "FILE"],
    ]
    .into_iter()
    .enumerate()
    {
        let data = backend.folder.path().join(format!("meant{number}"));
        let file = backend.folder.path().join("latchet.toml");
        std::fs::write(&file, format!("data_dir = {:?}", data.to_str().unwrap())).unwrap();
        std::fs::create_dir(&data).unwrap();
        let file = file.to_str().unwrap();
        let arguments = order.map(|word| if word == "FILE" { file } else { word });

        run(&backend, &arguments);

        assert!(data.join("latchet.db").exists(), "{order:?}");
        assert!(!backend.folder.path().join("data").exists(), "{order:?}");
    }
}

#[test]
fn a_url_in_a_file_names_the_database() {
    let backend = Backend::sqlite();
    let meant = backend.folder.path().join("meant.db");
    let file = backend.folder.path().join("url");
    std::fs::write(&file, format!("\u{feff}sqlite:{}\r\n", meant.display())).unwrap();

    let output = command(&backend)
        .arg("migrate")
        .env("DATABASE_URL_FILE", &file)
        .output()
        .unwrap();

    assert!(output.status.success(), "{}", said(&output));
    assert!(meant.exists());
    assert!(!backend.folder.path().join("data/latchet.db").exists());
}

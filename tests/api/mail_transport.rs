//! Mails over SMTP, to a real mail server with TLS and a login, and the commands that try the settings.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::{Child, EndSignal};
use crate::support::server::{Replica, command};
use crate::support::tls::Authority;
use crate::support::tool::{installed, root};
use crate::support::{Backend, poll, port, scratch};

/// User and password of the mail server, as a URL has them.
const LOGIN: &str = "latchet:p%40ss%2Fw%C3%B6rd";

/// The mail server of a test.
struct MailServer {
    folder: TempDir,
    port: u16,
    _child: Child,
}

impl MailServer {
    /// Starts a server without TLS and login.
    fn plain(port: u16) -> Self {
        Self::start("plain", port, scratch::folder())
    }

    /// Starts a server with a certificate for `names`: with a login in the mode `starttls` or `tls`, and in the mode
    /// `injecting` without one, on a network path on which somebody adds responses to the one to STARTTLS.
    fn encrypted(mode: &str, authority: &Authority, names: &str) -> Self {
        let certificate = authority.sign(names);
        let folder = scratch::folder();
        for (name, content) in [
            ("chain.pem", certificate.chain),
            ("key.pem", certificate.key),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self::start(mode, port::free(), folder)
    }

    fn start(mode: &str, port: u16, folder: TempDir) -> Self {
        let mut server = Command::new(installed("venv/bin/python"));
        server
            .arg(root().join("tests/mail/server.py"))
            .env_clear()
            .env("FOLDER", folder.path())
            .env("MODE", mode)
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = Child::start(&mut server, EndSignal::Kill);
        poll::until("the mail server to accept connections", || {
            assert!(child.ended().is_none(), "the mail server ended at once");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            folder,
            port,
            _child: child,
        }
    }

    /// Returns the mails that were accepted, the oldest first.
    fn mails(&self) -> Vec<Value> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        });
        files.sort();
        let mails = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap());
        mails
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect()
    }

    async fn first_mail(&self) -> Value {
        poll::until_some("a mail", async || self.mails().into_iter().next()).await
    }
}

fn with_url(url: &str) -> Backend {
    Backend::sqlite()
        .with("LATCHET_REGISTRATION", "open")
        .with("LATCHET_SMTP_URL", url)
        .with("LATCHET_MAIL_FROM", "Example <no-reply@example.org>")
}

fn try_settings(backend: &Backend, to: &str) -> Output {
    let mut test = command(backend);
    test.args(["mail", "test", to]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn assert_refused(backend: &Backend, to: &str, reasons: &[&str]) {
    let output = try_settings(backend, to);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for reason in reasons {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_mail_is_sent_with_tls_and_a_login() {
    for (mode, scheme) in [("starttls", "smtp"), ("tls", "smtps")] {
        let authority = Authority::new();
        let server = MailServer::encrypted(mode, &authority, "IP:127.0.0.1");
        let (port, ca) = (server.port, authority.file());
        let url = format!("{scheme}://{LOGIN}@127.0.0.1:{port}?ca={}", ca.display());

        let output = try_settings(&with_url(&url), "ada@example.org");

        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{mode}: {said}");
        assert!(
            said.contains("accepted the mail to ada@example.org"),
            "{said}"
        );
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{mode}");
        assert_eq!(mails[0]["from"], "no-reply@example.org");
        assert_eq!(mails[0]["to"], json!(["ada@example.org"]));
        assert_eq!(mails[0]["signed_in"], true);
        let message = mails[0]["message"].as_str().unwrap();
        for line in [
            "From: Example <no-reply@example.org>\r\n",
            "To: ada@example.org\r\n",
            "@127.0.0.1>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "X-Auto-Response-Suppress: All\r\n",
            "Content-Type: multipart/alternative;",
        ] {
            assert!(message.contains(line), "{line}: {message}");
        }
        assert!(!message.contains("List-Unsubscribe"), "{message}");
    }
}

#[test]
fn a_wrong_password_is_reported_with_a_fix() {
    let authority = Authority::new();
    let server = MailServer::encrypted("starttls", &authority, "IP:127.0.0.1");
    let (port, ca) = (server.port, authority.file());
    let url = format!("smtp://latchet:wrong@127.0.0.1:{port}?ca={}", ca.display());
    let backend = with_url(&url);

    assert_refused(
        &backend,
        "ada@example.org",
        &[
            "cannot sign in to the mail server",
            "535",
            "fix: check user and password",
        ],
    );
    assert!(server.mails().is_empty());
}

#[test]
fn a_certificate_of_another_authority_or_for_another_name_is_refused() {
    let authority = Authority::new();
    let foreign = Authority::new();
    for (mode, scheme) in [("starttls", "smtp"), ("tls", "smtps")] {
        for (names, trusted) in [
            ("IP:127.0.0.1", &foreign),
            ("DNS:mail.example.org", &authority),
        ] {
            let server = MailServer::encrypted(mode, &authority, names);
            let (port, ca) = (server.port, trusted.file());
            let url = format!("{scheme}://{LOGIN}@127.0.0.1:{port}?ca={}", ca.display());

            assert_refused(
                &with_url(&url),
                "ada@example.org",
                &["certificate", "fix: use the host name of the certificate"],
            );
            assert!(server.mails().is_empty());
        }
    }
}

#[test]
fn a_server_without_starttls_gets_no_password_and_no_mail() {
    let server = MailServer::plain(port::free());
    let url = format!("smtp://{LOGIN}@127.0.0.1:{}", server.port);

    assert_refused(
        &with_url(&url),
        "ada@example.org",
        &[
            "cannot encrypt the connection",
            "fix: this port offers no STARTTLS",
        ],
    );
    assert!(server.mails().is_empty());
}

#[test]
fn responses_that_were_added_before_tls_do_not_count() {
    let authority = Authority::new();
    let server = MailServer::encrypted("injecting", &authority, "IP:127.0.0.1");
    let (port, ca) = (server.port, authority.file());
    let url = format!("smtp://127.0.0.1:{port}?ca={}", ca.display());

    assert_refused(
        &with_url(&url),
        "ada@example.org",
        &["cannot encrypt the connection"],
    );
    assert!(server.mails().is_empty());
}

#[test]
fn a_missing_server_and_a_refused_recipient_are_reported_with_a_fix() {
    let nobody = with_url(&format!("smtp://127.0.0.1:{}?tls=none", port::free()));
    assert_refused(
        &nobody,
        "ada@example.org",
        &[
            "cannot connect to the mail server",
            "fix: check host and port",
        ],
    );

    let server = MailServer::plain(port::free());
    let backend = with_url(&format!("smtp://127.0.0.1:{}?tls=none", server.port));
    assert_refused(
        &backend,
        "unknown@example.org",
        &["cannot name the recipient", "550", "fix: check the address"],
    );
    assert!(server.mails().is_empty());
}

#[test]
fn without_a_mail_server_mails_are_files_that_only_the_server_can_read() {
    let backend = Backend::sqlite();

    let output = try_settings(&backend, "ada@example.org");

    assert!(output.status.success(), "{}", text(&output.stderr));
    let folder = Path::new(&backend.settings()["LATCHET_DATA_DIR"]).join("mails");
    let files = std::fs::read_dir(&folder).unwrap();
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].extension().unwrap(), "eml");
    assert_eq!((mode_of(&folder), mode_of(&files[0])), (0o700, 0o600));
    let off = backend.with("LATCHET_MAIL", "off");
    assert_refused(
        &off,
        "ada@example.org",
        &["mail is off", "LATCHET_SMTP_URL"],
    );
}

#[test]
fn the_doctor_signs_in_to_the_mail_server_and_sends_a_mail_on_request() {
    let authority = Authority::new();
    let server = MailServer::encrypted("tls", &authority, "IP:127.0.0.1");
    let (port, ca) = (server.port, authority.file());
    let url = |login: &str| format!("smtps://{login}@127.0.0.1:{port}?ca={}", ca.display());
    let examine = |login: &str, arguments: &[&str]| {
        let backend = with_url(&url(login));
        let mut doctor = command(&backend);
        text(
            &doctor
                .arg("doctor")
                .args(arguments)
                .output()
                .unwrap()
                .stdout,
        )
    };

    let found = examine(LOGIN, &[]);
    assert!(
        found.contains("ok    the mail server responds and accepts user"),
        "{found}"
    );
    assert!(server.mails().is_empty());
    let found = examine(LOGIN, &["--mail-to", "ada@example.org"]);
    assert!(
        found.contains("accepted the mail to ada@example.org"),
        "{found}"
    );
    assert_eq!(server.mails().len(), 1);
    let found = examine("latchet:wrong", &["--mail-to", "ada@example.org"]);
    assert!(
        found.contains("FAIL  cannot sign in to the mail server"),
        "{found}"
    );
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn a_wrong_template_is_reported_with_its_name() {
    let backend = Backend::sqlite();
    let folder = backend.folder.path().join("templates");
    std::fs::create_dir_all(folder.join("de")).unwrap();
    std::fs::write(folder.join("de/test.txt"), "Subject: Test\n\n{{ user }}\n").unwrap();
    let backend = backend.with("LATCHET_MAIL_TEMPLATES", folder.to_str().unwrap());

    let checked = command(&backend)
        .args(["config", "check"])
        .output()
        .unwrap();

    let said = text(&checked.stderr);
    assert!(!checked.status.success(), "{said}");
    assert!(
        said.contains("de/test.txt") && said.contains("`user` in line 3"),
        "{said}"
    );
}

async fn register(server: &Replica, name: &str) {
    let email = format!("{name}@example.org");
    let body = json!({"username": name, "password": "a long enough password", "email": email});
    let request = server.http.post("/v1/register").json(&body);
    request.send().await.expect(202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_wait_for_a_mail_server_that_is_down() {
    let port = port::free();
    let server = Replica::start(&with_url(&format!("smtp://127.0.0.1:{port}?tls=none"))).await;

    register(&server, "ada").await;
    let line = server.log_line("a mail was not sent").await;
    assert!(!line.contains("ada@example.org"), "{line}");
    let mail_server = MailServer::plain(port);

    let mail = mail_server.first_mail().await;
    assert_eq!(mail["to"], json!(["ada@example.org"]));
    register(&server, "eve").await;
    poll::until_some("the second mail", async || {
        mail_server.mails().into_iter().nth(1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_recipient_delays_no_other_mail() {
    let mail_server = MailServer::plain(port::free());
    let url = format!("smtp://127.0.0.1:{}?tls=none", mail_server.port);
    let server = Replica::start(&with_url(&url)).await;

    register(&server, "unknown").await;
    register(&server, "ada").await;

    let mail = mail_server.first_mail().await;
    assert_eq!(mail["to"], json!(["ada@example.org"]));
    let line = server.log_line("a mail was not sent").await;
    assert!(
        line.contains("550") && !line.contains("unknown@example.org"),
        "{line}"
    );
}

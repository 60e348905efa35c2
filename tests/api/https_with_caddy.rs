//! The lines of `docs/how-to/https-with-caddy.md`, on the real Caddy with an authority of its own.
//!
//! Unchanged but for paths and the port of Latchet: `sudo`, `apt-get` and `systemctl` are scripts of this test,
//! which then starts both programs as their units do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::readme::snippets;
use crate::support::child::{Child, EndSignal, program};
use crate::support::operator::OperatorMachine;
use crate::support::server::BINARY;
use crate::support::{poll, port};

const PAGE: &str = "docs/how-to/https-with-caddy.md";
const HOST: &str = "auth.example.org";
const PASSWORD: &str = "a long password of alice";

/// Address of the client on this machine, other than that of the proxy.
const CLIENT: &str = "127.0.0.2";

/// A machine on which the page was followed.
struct Site {
    machine: OperatorMachine,
    latchet_port: u16,
    plain_port: u16,
    tls_port: u16,
    _latchet: Child,
    _caddy: Child,
}

/// A response as curl prints it.
struct Printed {
    status: String,
    head: String,
    body: String,
}

/// Starts a program with its output in the file `name`, and waits until it listens.
fn start(command: &mut Command, folder: &Path, name: &str, port: u16) -> Child {
    let log = std::fs::File::create(folder.join(name)).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = Child::start(command, EndSignal::Kill);
    poll::until("the program to listen", || {
        let said = || std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(child.ended().is_none(), "{name} ended: {}", said());
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    child
}

/// Replaces the port of Latchet.
fn local(script: &str, latchet_port: u16) -> String {
    script.replace("127.0.0.1:8080", &format!("127.0.0.1:{latchet_port}"))
}

impl Site {
    /// Follows the page up to the restart of both programs.
    fn set_up() -> Self {
        let [latchet_port, plain_port, tls_port] = [port::free(), port::free(), port::free()];
        // As the package installs it.
        let machine = OperatorMachine::new(&format!(
            "listen = \"127.0.0.1:{latchet_port}\"\ndata_dir = \"/var/lib/latchet\"\n"
        ));

        machine.run(&local(&snippets(PAGE, "sh")[0], latchet_port), "");

        assert_eq!(
            machine.calls(),
            "apt-get update\napt-get install --yes caddy ./latchet_*.deb\nsystemctl restart latchet caddy\n"
        );
        let latchet = start(
            Command::new(BINARY)
                .arg("--config")
                .arg(machine.path().join("etc/latchet/latchet.toml"))
                .env_clear(),
            machine.path(),
            "latchet.log",
            latchet_port,
        );
        let caddy = Self::start_caddy(machine.path(), plain_port, tls_port);
        Self {
            machine,
            latchet_port,
            plain_port,
            tls_port,
            _latchet: latchet,
            _caddy: caddy,
        }
    }

    /// Starts Caddy with the `Caddyfile` of the page, on ports and with an authority of the test.
    fn start_caddy(folder: &Path, plain_port: u16, tls_port: u16) -> Child {
        let site = std::fs::read_to_string(folder.join("etc/caddy/Caddyfile")).unwrap();
        // A file of one site needs no braces, unless there are global options.
        let (name, directives) = site.split_once('\n').unwrap();
        assert_eq!(name, HOST);
        let settings = format!(
            "{{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\thttp_port {plain_port}\n\thttps_port {tls_port}\n}}\n\
             {name} {{\n{directives}}}\n"
        );
        let file = folder.join("etc/caddy/Caddyfile.test");
        std::fs::write(&file, settings).unwrap();
        let mut caddy = Command::new(program("caddy"));
        caddy
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(&file)
            .env_clear()
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("etc/caddy"))
            .env("XDG_DATA_HOME", folder);
        start(&mut caddy, folder, "caddy.log", tls_port)
    }

    /// Returns the certificate of Caddy's authority.
    fn authority(&self) -> PathBuf {
        let path = self
            .machine
            .path()
            .join("caddy/pki/authorities/local/root.crt");
        poll::until("the authority of Caddy", || path.exists());
        path
    }

    /// Returns the options with which curl reaches the ports of this test by the name and port of the page.
    fn curl_options(&self) -> String {
        format!(
            "--silent --show-error --interface {CLIENT} --cacert {} \
             --connect-to {HOST}:443:127.0.0.1:{} --connect-to {HOST}:80:127.0.0.1:{}",
            self.authority().display(),
            self.tls_port,
            self.plain_port
        )
    }

    fn curl(&self, arguments: &str) -> Printed {
        let script = format!(
            "curl {} --include --http1.1 --cookie jar --cookie-jar jar {arguments}",
            self.curl_options()
        );
        let said = self.machine.run(&script, "").replace('\r', "");
        let (head, body) = said.split_once("\n\n").unwrap();
        Printed {
            status: head.split(' ').nth(1).unwrap().to_owned(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn log_in(&self, password: &str, more: &str) -> Printed {
        let body = format!(
            "{{\"username\": \"alice\", \"password\": \"{password}\", \"transport\": \"cookie\"}}"
        );
        self.curl(&format!(
            "{more} --header 'origin: https://{HOST}' --json '{body}' https://{HOST}/v1/login"
        ))
    }
}

#[test]
fn the_lines_of_the_page_lead_to_https() {
    let site = Site::set_up();
    let folder = site.machine.path();

    // The second snippet: the first administrator, and a check that the certificate is right.
    let check = local(&snippets(PAGE, "sh")[1], site.latchet_port)
        .replace("curl ", &format!("curl {} ", site.curl_options()));
    let said = site.machine.run(&check, &format!("{PASSWORD}\n"));
    assert!(said.contains("\"status\":\"ok\""), "{said}");

    // Plain http is redirected, and nothing else.
    let redirect = site.curl(&format!("http://{HOST}/account"));
    assert!(redirect.status.starts_with("30"), "{}", redirect.head);
    let location = redirect.head.to_lowercase();
    assert!(
        location.contains(&format!("location: https://{HOST}")),
        "{location}"
    );

    // A login by cookie; the cookies are bound to the host and to https.
    let login = site.log_in(PASSWORD, "");
    assert_eq!(login.status, "200", "{} {}", login.head, login.body);
    let head = login.head.to_lowercase();
    let cookies: Vec<_> = head
        .lines()
        .filter(|line| line.starts_with("set-cookie:"))
        .collect();
    assert!(cookies.len() >= 2, "{head}");
    for cookie in &cookies {
        assert!(
            cookie.contains("__host-") && cookie.contains("; secure"),
            "{cookie}"
        );
    }
    let jar = std::fs::read_to_string(folder.join("jar")).unwrap();
    let csrf = jar.lines().find(|line| line.contains("csrf")).unwrap();
    let csrf = csrf.split_whitespace().last().unwrap();
    let refreshed = site.curl(&format!(
        "--header 'origin: https://{HOST}' --header 'x-csrf-token: {csrf}' --json '{{}}' https://{HOST}/v1/refresh"
    ));
    assert_eq!(
        refreshed.status, "200",
        "{} {}",
        refreshed.head, refreshed.body
    );

    // The log has the address of the client, whatever the client writes.
    let spoofed = "--header 'x-forwarded-for: 203.0.113.9' --header 'forwarded: for=203.0.113.9'";
    let refused = site.log_in("a wrong password of alice", spoofed);
    assert_eq!(refused.status, "401", "{}", refused.body);
    let log = folder.join("latchet.log");
    poll::until("the refused login in the log", || {
        let log = std::fs::read_to_string(&log).unwrap();
        let line = log.lines().find(|line| line.contains("\"login_failed\""));
        line.is_some_and(|line| line.contains(&format!("\"client.address\":\"{CLIENT}\"")))
    });
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains("203.0.113.9"), "{log}");
}

#[test]
fn the_page_needs_ten_lines() {
    let lines: usize = snippets(PAGE, "sh")
        .iter()
        .map(|snippet| snippet.lines().count())
        .sum();

    assert!(lines <= 10, "{lines}");
}

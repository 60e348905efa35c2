//! The guides for operators: what they name exists, and what they start works.

use std::collections::BTreeSet;
use std::process::Command;

use crate::readme::snippets;
use crate::support::child::{Child, EndSignal};
use crate::support::http::Http;
use crate::support::operator::OperatorMachine;
use crate::support::port;
use crate::support::server::BINARY;
use crate::support::tool::{assert_passes, root};

const GUIDES: [&str; 6] = [
    "docs/how-to/upgrade.md",
    "docs/how-to/production.md",
    "docs/how-to/high-availability.md",
    "docs/how-to/https-with-caddy.md",
    "docs/how-to/replicas.md",
    "docs/how-to/running.md",
];

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

#[test]
fn every_setting_that_a_guide_names_exists() {
    let settings = read("docs/reference/settings.md");
    // Examples of names that are refused or ignored, and forms of names.
    let not_settings = ["LATCHET_", "LATCHET_METRICS_PORT"];
    let mut count = 0;
    for guide in GUIDES {
        let text = read(guide);
        let names: BTreeSet<&str> = text
            .split(|letter: char| {
                !letter.is_ascii_uppercase() && !letter.is_ascii_digit() && letter != '_'
            })
            .filter(|word| word.starts_with("LATCHET_") && !not_settings.contains(word))
            .collect();
        count += names.len();
        for name in names {
            let setting = name.strip_suffix("_FILE").unwrap_or(name);
            let is_known = |name: &str| settings.contains(&format!("<br>`{name}` |"));
            assert!(is_known(name) || is_known(setting), "{guide}: {name}");
        }
    }
    assert!(count > 30, "{count}");
}

/// Returns the words of a command of this program up to its first option or argument, or nothing for other text.
fn command_words(code: &str) -> Option<String> {
    let is_word = |word: &&str| {
        word.starts_with(|letter: char| letter.is_ascii_lowercase())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let words = code
        .trim()
        .strip_prefix("latchet ")?
        .split(' ')
        .take_while(is_word);
    let words: Vec<&str> = words.take(2).collect();
    let count = match words.first()? {
        &("user" | "key") => 2,
        _ => 1,
    };
    Some(words[..count.min(words.len())].join(" "))
}

#[test]
fn every_command_that_a_guide_names_exists() {
    let mut commands = BTreeSet::new();
    for guide in GUIDES {
        let text = read(guide);
        let pieces = text.split('`').chain(text.lines());
        commands.extend(pieces.filter_map(command_words));
    }
    for expected in ["doctor", "migrate", "setup-link", "user list"] {
        assert!(commands.contains(expected), "{commands:?}");
    }

    for command in commands {
        assert_passes(
            Command::new(BINARY)
                .args(command.split(' '))
                .arg("--help")
                .env_clear(),
        );
    }
}

/// Returns the snippet of the guide that contains `part`.
#[track_caller]
fn running(language: &str, part: &str) -> String {
    let snippets = snippets("docs/how-to/running.md", language);
    let found = snippets.into_iter().find(|text| text.contains(part));
    found.unwrap_or_else(|| panic!("no {language} has {part}"))
}

/// Starts an instance as its unit does, with a free port.
fn start_instance(machine: &OperatorMachine, unit: &str, name: &str) -> (Child, Http) {
    let settings = running("toml", &format!("/var/lib/latchet/{name}"));
    let port = port::free();
    let listen = settings.lines().find(|line| line.starts_with("listen = "));
    let settings = settings.replace(listen.unwrap(), &format!("listen = \"127.0.0.1:{port}\""));
    let file = machine.path().join(format!("etc/latchet/{name}.toml"));
    std::fs::write(file, machine.local(&settings)).unwrap();
    // systemd creates it.
    assert!(unit.contains("StateDirectory=latchet/%i"), "{unit}");
    std::fs::create_dir(machine.path().join("var/lib/latchet").join(name)).unwrap();
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let start = machine.local(&start.replace("%i", name));
    let arguments = start.strip_prefix("/usr/bin/latchet ").unwrap();
    let mut command = Command::new(BINARY);
    command
        .args(arguments.split(' '))
        .env_clear()
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let child = Child::start(&mut command, EndSignal::Kill);
    (child, Http::new(format!("http://127.0.0.1:{port}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_instances_run_beside_each_other_as_described() {
    let machine = OperatorMachine::new("");
    let derive = running("sh", "latchet@.service")
        .replace("/usr/lib/systemd/system/", "packaging/")
        .replace("| sudo tee /etc/systemd/system/latchet@.service", "");
    let derived = Command::new("sh").args(["-c", &derive]).output().unwrap();
    let unit = String::from_utf8(derived.stdout).unwrap();

    let (_shop, shop) = start_instance(&machine, &unit, "shop");
    let (_staff, staff) = start_instance(&machine, &unit, "staff");

    let issuer = async |http: &Http| {
        http.ready().await;
        let document = http
            .get("/.well-known/oauth-authorization-server")
            .send()
            .await;
        document.expect(200).field("issuer")
    };
    assert_eq!(issuer(&shop).await, "https://auth.shop.example.org");
    assert_eq!(issuer(&staff).await, "https://auth.staff.example.org");
}

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::transport::{FailureReach, SendError};
use super::*;

/// The response to a line of a conversation that has so many earlier lines; `None` for none at all.
type Responder = fn(&str, usize) -> Option<&'static str>;

/// The lines of each conversation.
type Conversations = Arc<Mutex<Vec<Vec<String>>>>;

/// A mail server that responds as a test says. Dropping it ends it.
struct ScriptedServer {
    port: u16,
    conversations: Conversations,
    _running: JoinSet<()>,
}

impl ScriptedServer {
    async fn start(responder: Responder) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let conversations = Conversations::default();
        let mut running = JoinSet::new();
        running.spawn(serve(listener, responder, Arc::clone(&conversations)));
        Self {
            port,
            conversations,
            _running: running,
        }
    }

    fn client(&self) -> SmtpClient {
        let url = format!("smtp://127.0.0.1:{}?tls=none", self.port);
        SmtpClient::new(SmtpUrl::parse(&url).unwrap(), None, "auth.example.org")
    }

    fn conversations(&self) -> Vec<Vec<String>> {
        self.conversations.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, responder: Responder, conversations: Conversations) {
    let mut running = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = {
            let mut conversations = conversations.lock().unwrap();
            conversations.push(Vec::new());
            conversations.len() - 1
        };
        running.spawn(converse(
            stream,
            responder,
            Arc::clone(&conversations),
            number,
        ));
    }
}

async fn converse(
    stream: TcpStream,
    responder: Responder,
    conversations: Conversations,
    number: usize,
) {
    let mut stream = BufReader::new(stream);
    let mut is_message = false;
    let mut response = Some("220 mail.example.org");
    loop {
        if let Some(text) = response {
            let sent = stream
                .get_mut()
                .write_all(format!("{text}\r\n").as_bytes())
                .await;
            if sent.is_err() || text.starts_with("221") || text.starts_with("421") {
                return;
            }
            is_message = text.starts_with("354");
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end();
        let earlier = {
            let mut conversations = conversations.lock().unwrap();
            conversations[number].push(line.to_owned());
            conversations[number].len() - 1
        };
        let is_inside_message = is_message && line != ".";
        response = if is_inside_message {
            None
        } else {
            responder(line, earlier)
        };
    }
}

fn accept(line: &str) -> &'static str {
    match line.split(' ').next().unwrap_or_default() {
        "DATA" => "354 go on",
        "QUIT" => "221 2.0.0 bye",
        "." => "250 2.0.0 queued",
        _ => "250 ok",
    }
}

fn message(to: &str) -> Message {
    Message::builder()
        .from("latchet@example.org".parse().unwrap())
        .to(to.parse().unwrap())
        .subject("Hello")
        .body(format!("a message to {to}"))
        .unwrap()
}

fn count(conversation: &[String], beginning: &str) -> usize {
    let lines = conversation.iter();
    lines.filter(|line| line.starts_with(beginning)).count()
}

#[tokio::test]
async fn one_connection_is_used_for_several_mails() {
    let server = ScriptedServer::start(|line, _| Some(accept(line))).await;
    let client = server.client();

    for number in 0..3 {
        client
            .send(&message(&format!("ada{number}@example.org")))
            .await
            .unwrap();
    }

    let conversations = server.conversations();
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0][0], "EHLO auth.example.org");
    for beginning in [
        "MAIL FROM:<latchet@example.org>",
        "RCPT TO:<ada",
        "DATA",
        ".",
    ] {
        assert_eq!(count(&conversations[0], beginning), 3, "{beginning}");
    }
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_connection() {
    let server = ScriptedServer::start(|line, _| match line {
        "RCPT TO:<nobody@example.org>" => Some("550 5.1.1 no such user"),
        _ => Some(accept(line)),
    })
    .await;
    let client = server.client();

    let fault = client
        .send(&message("nobody@example.org"))
        .await
        .unwrap_err();
    client.send(&message("ada@example.org")).await.unwrap();

    assert_eq!(
        (fault.step, fault.kind),
        (SmtpStep::Recipient, FaultKind::Refused)
    );
    let conversations = server.conversations();
    assert_eq!(conversations.len(), 1);
    assert_eq!(count(&conversations[0], "RSET"), 1);
    assert_eq!(count(&conversations[0], "DATA"), 1);
}

#[tokio::test]
async fn an_abandoned_conversation_is_not_continued_by_the_next_mail() {
    let server = ScriptedServer::start(|line, _| match line {
        "RCPT TO:<slow@example.org>" => None,
        _ => Some(accept(line)),
    })
    .await;
    let client = server.client();
    let slow = message("slow@example.org");

    let abandoned = timeout(Duration::from_secs(1), client.send(&slow)).await;
    assert!(abandoned.is_err());
    client.send(&message("ada@example.org")).await.unwrap();

    let conversations = server.conversations();
    assert_eq!(conversations.len(), 2);
    assert_eq!(count(&conversations[0], "DATA"), 0);
    assert_eq!(count(&conversations[1], "RCPT TO:<slow"), 0);
    assert_eq!(count(&conversations[1], "DATA"), 1);
}

#[tokio::test]
async fn a_silent_server_is_left_after_the_time_of_a_step() {
    let server = ScriptedServer::start(|line, _| match line {
        "RCPT TO:<slow@example.org>" => None,
        _ => Some(accept(line)),
    })
    .await;
    let client = SmtpClient {
        step_timeout: Duration::from_secs(1),
        ..server.client()
    };

    let fault = client.send(&message("slow@example.org")).await.unwrap_err();

    assert_eq!(
        (fault.step, fault.kind),
        (SmtpStep::Recipient, FaultKind::Broken)
    );
    // Another recipient may have another server behind this one.
    assert_eq!(SendError::from(fault).reach, FailureReach::ThisMail);
}

#[tokio::test]
async fn a_connection_that_the_server_has_ended_is_replaced() {
    let server = ScriptedServer::start(|line, earlier| {
        let is_refused = line.starts_with("MAIL") && earlier > 1;
        Some(if is_refused {
            "421 4.4.2 idle for too long"
        } else {
            accept(line)
        })
    })
    .await;
    let client = server.client();

    for _ in 0..2 {
        client.send(&message("ada@example.org")).await.unwrap();
    }

    assert_eq!(server.conversations().len(), 2);
}

#[tokio::test]
async fn a_refusal_gives_up_the_mail_only_when_it_is_about_the_recipient() {
    let table: [(Responder, FailureReach); 4] = [
        (
            |line, _| {
                Some(if line.starts_with("MAIL") {
                    "550 5.7.1 sender not allowed"
                } else {
                    accept(line)
                })
            },
            FailureReach::AllMails,
        ),
        (
            |line, _| {
                Some(if line.starts_with("RCPT") {
                    "450 4.2.0 greylisted"
                } else {
                    accept(line)
                })
            },
            FailureReach::ThisMail,
        ),
        (
            |line, _| {
                Some(if line.starts_with("RCPT") {
                    "550 5.1.1 no such user"
                } else {
                    accept(line)
                })
            },
            FailureReach::ThisMailForGood,
        ),
        (
            |line, _| {
                Some(if line == "." {
                    "554 5.7.1 looks like spam"
                } else {
                    accept(line)
                })
            },
            FailureReach::ThisMail,
        ),
    ];

    for (responder, reach) in table {
        let server = ScriptedServer::start(responder).await;

        let fault = server
            .client()
            .send(&message("ada@example.org"))
            .await
            .unwrap_err();

        let error = SendError::from(fault);
        assert_eq!(error.reach, reach, "{error}");
        assert!(!error.cause.contains("ada"), "{error}");
    }
}

#[test]
fn the_server_introduces_itself_by_name_or_address() {
    for (host, name) in [
        ("auth.example.org", "auth.example.org"),
        ("192.0.2.1", "[192.0.2.1]"),
        ("[2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(own_name(host).to_string(), name);
    }
}

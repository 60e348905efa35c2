//! Where a request ends, byte by byte: what two programs might read in two ways.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Backend;
use crate::support::http::Http;
use crate::support::local::InProcessServer;
use crate::support::poll::DEADLINE;

/// A request behind the one that is tried: where it is answered, that one ended early.
const SMUGGLED: &str = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
const JSON: &str = "POST /v1/refresh HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";

/// Beginning of each response.
const STATUS_LINE: &str = "HTTP/1.1 ";

/// Sends bytes, and returns the statuses of all responses until the server closes, at least one, and the text.
async fn raw(http: &Http, bytes: &str) -> (Vec<u16>, String) {
    let mut socket = TcpStream::connect(http.address()).await.unwrap();
    // A server that has read enough may close before it has read all.
    let _ = socket.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer));
    // A connection that is reset was closed too.
    let _ = read
        .await
        .unwrap_or_else(|_| panic!("the connection is open after {bytes:?}"));
    let text = String::from_utf8(answer).unwrap();
    let heads = text.match_indices(STATUS_LINE);
    let statuses = heads.map(|(at, _)| text[at + STATUS_LINE.len()..][..3].parse().unwrap());
    let statuses: Vec<u16> = statuses.collect();
    assert!(!statuses.is_empty(), "no response to {bytes:?}");
    (statuses, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_length_is_doubtful_is_refused_and_ends_its_connection() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for lines in [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 3\r\nContent-Length: 2\r\n",
        "content-length: 2, 3\r\n",
        "content-length: 2, 2\r\n",
        "content-length: +2\r\n",
        "content-length: -2\r\n",
        "content-length: 0x2\r\n",
        "content-length: 2 0\r\n",
        "content-length: 2\x0b\r\n",
        "content-length:\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 2;\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: chunked;\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "content-length : 2\r\n",
        "content-length: 2\r\n x: folded\r\n",
        "x: 1\r\n\tcontent-length: 2\r\n",
        " x: 1\r\n",
        "x: a\rb\r\n",
        "x: a\0b\r\n",
        "x\0y: 1\r\n",
        ": 1\r\n",
        "x\r\n",
        "(x): 1\r\n",
        "\u{fc}: 1\r\n",
    ] {
        let request = format!("{JSON}{lines}\r\n{{}}{SMUGGLED}");

        let (statuses, text) = raw(&server.http, &request).await;

        assert_eq!(statuses, [400], "{lines:?}: {text}");
        assert!(text.contains("application/problem+json"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coding_beside_chunked_is_refused() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for lines in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        let request = format!("{JSON}connection: close\r\n{lines}\r\n2\r\n{{}}\r\n0\r\n\r\n");

        let (statuses, text) = raw(&server.http, &request).await;

        assert_eq!(statuses, [400], "{lines:?}: {text}");
        assert!(text.contains("`Transfer-Encoding`"), "{text}");
    }
}

/// RFC 9112, 6.1: the length is ignored, and the connection of a client that sends both is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_beside_chunks_smuggles_nothing() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    for lines in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "Transfer-Encoding: Chunked\r\ncontent-length: 0\r\n",
        "content-length: 12\r\ntransfer-encoding: chunked\r\ncontent-length: 13\r\n",
        "transfer-encoding: chunked\r\ncontent-length: x\r\n",
    ] {
        let request = format!("{JSON}{lines}\r\n{chunks}{SMUGGLED}");

        let (statuses, text) = raw(&server.http, &request).await;

        assert_eq!(statuses.len(), 1, "{lines:?}: {text}");
        // The body was read by its chunks, and has no token in it.
        assert_eq!(statuses, [401], "{lines:?}: {text}");
        assert!(text.contains("missing_token"), "{text}");
    }
    let old = JSON.replace("1.1", "1.0");
    let request = format!("{old}transfer-encoding: chunked\r\n\r\n{chunks}{SMUGGLED}");
    let (statuses, text) = raw(&server.http, &request).await;
    assert_eq!(statuses, [400], "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_malformed_are_refused_and_end_their_connection() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for chunks in [
        "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "2 2\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
    ] {
        let request = format!("{JSON}transfer-encoding: chunked\r\n\r\n{chunks}{SMUGGLED}");

        let (statuses, text) = raw(&server.http, &request).await;

        assert_eq!(statuses, [400], "{chunks:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_line_has_three_words_and_one_meaning() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for (line, status) in [
        ("GET /livez HTTP/1.1", 200),
        ("GET http://a/livez HTTP/1.1", 200),
        ("GET http://b/livez HTTP/1.1", 400),
        ("GET http://a:81/livez HTTP/1.1", 400),
        ("GET  /livez HTTP/1.1", 400),
        ("GET /livez  HTTP/1.1", 400),
        ("GET\t/livez HTTP/1.1", 400),
        (" GET /livez HTTP/1.1", 400),
        ("GET /livez HTTP/1.1 x", 400),
        ("GET /livez\0 HTTP/1.1", 400),
        ("GET /li\rvez HTTP/1.1", 400),
        ("GET /livez", 400),
        ("GET /livez HTTP/9.9", 400),
        ("GET /livez HTTP/1.10", 400),
        ("GET /livez http/1.1", 400),
    ] {
        let request = format!("{line}\r\nhost: a\r\nconnection: close\r\n\r\n");

        let (statuses, text) = raw(&server.http, &request).await;

        assert_eq!(statuses, [status], "{line:?}: {text}");
    }
}

/// RFC 9112, 2.2: a recipient may take a line feed alone for the end of a line, and skips empty lines before a
/// request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_feeds_alone_end_lines_and_hide_nothing() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for (request, wanted) in [
        (
            "GET /livez HTTP/1.1\nhost: a\nconnection: close\n\n".to_owned(),
            vec![200],
        ),
        (
            "\r\n\r\nGET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
            vec![200],
        ),
        // What a proxy may have taken for a part of the value is a header here, and counts.
        (
            format!("{JSON}x: 1\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{{}}{SMUGGLED}"),
            vec![400],
        ),
        (
            format!(
                "{JSON}x: 1\ntransfer-encoding: gzip\r\ncontent-length: 2\r\n\r\n{{}}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            format!("{JSON}x: 1\nhost: b\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"),
            vec![400],
        ),
    ] {
        let (statuses, text) = raw(&server.http, &request).await;

        assert_eq!(statuses, wanted, "{request:?}: {text}");
    }
}

//! As much of an HTTP/1.1 client as the load needs: one that costs less than the servers it drives.

use std::fmt;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept alive, and opened again when it is found closed.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    is_closed: bool,
}

/// A response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpResponse<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl fmt::Display for HttpResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.head))?;
        f.write_str(&String::from_utf8_lossy(self.body))
    }
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self {
            address,
            stream: connect(address).await,
            buffer: vec![0; 16 << 10],
            is_closed: false,
        }
    }

    /// Sends a request and returns the body of the response, which must be a success.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        let answer = self.ask(request).await;
        assert!((200..300).contains(&answer.status), "refused: {answer}");
        answer.body
    }

    /// Sends a request and returns the response, whatever it is.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> HttpResponse<'_> {
        if self.is_closed {
            self.stream = connect(self.address).await;
        }
        self.stream
            .write_all(request)
            .await
            .expect("the server reads");
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]);
            let read = read.await.expect("the server writes");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(head) = ResponseHead::parse(&self.buffer[..filled])
                && let Some(end) = head.end(&mut self.buffer[..filled])
            {
                self.is_closed = head.is_last;
                let (head_bytes, body) = self.buffer[..end].split_at(head.length);
                return HttpResponse {
                    status: head.status,
                    head: head_bytes,
                    body,
                };
            }
        }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream.set_nodelay(true).expect("TCP has this option");
    stream
}

/// Framing of a body.
#[derive(Clone, Copy, Debug)]
enum BodyFraming {
    Long(usize),
    Chunked,
}

/// Parsed head of a response.
#[derive(Clone, Copy, Debug)]
struct ResponseHead {
    status: u16,
    length: usize,
    body: BodyFraming,
    /// True when the server closes the connection after this response.
    is_last: bool,
}

impl ResponseHead {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(bytes).expect("the server speaks HTTP");
        let httparse::Status::Complete(length) = parsed else {
            return None;
        };
        let mut head = Self {
            status: answer.code?,
            length,
            body: BodyFraming::Long(0),
            is_last: false,
        };
        for header in answer.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).expect("lengths are digits");
                head.body = BodyFraming::Long(text.trim().parse().expect("lengths are numbers"));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = BodyFraming::Chunked;
            } else if header.name.eq_ignore_ascii_case("connection") {
                head.is_last = header.value.eq_ignore_ascii_case(b"close");
            }
        }
        Some(head)
    }

    /// Returns where the body ends if it is all there; one in chunks is put together first.
    fn end(&self, bytes: &mut [u8]) -> Option<usize> {
        match self.body {
            BodyFraming::Long(length) => {
                Some(self.length + length).filter(|end| *end <= bytes.len())
            }
            BodyFraming::Chunked => {
                let chunks = chunks(bytes, self.length)?;
                let mut end = self.length;
                for chunk in chunks {
                    let length = chunk.len();
                    bytes.copy_within(chunk, end);
                    end += length;
                }
                Some(end)
            }
        }
    }
}

/// Returns where the chunks of a body lie, once its last is there.
fn chunks(bytes: &[u8], start: usize) -> Option<Vec<std::ops::Range<usize>>> {
    let mut chunks = Vec::new();
    let mut at = start;
    loop {
        let size = httparse::parse_chunk_size(bytes.get(at..)?).expect("chunks have sizes");
        let httparse::Status::Complete((head, size)) = size else {
            return None;
        };
        let begin = at + head;
        let end = begin + usize::try_from(size).expect("answers are small");
        // Each is followed by an empty line, also the last, which is empty itself.
        at = end + 2;
        if bytes.len() < at {
            return None;
        }
        if size == 0 {
            return Some(chunks);
        }
        chunks.push(begin..end);
    }
}

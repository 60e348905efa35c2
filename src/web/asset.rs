//! A static file over HTTP: validators, compression and caching.

use std::io::{Read, Write};
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use poem::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use poem::{Endpoint, Request, Response, Result};

use crate::header_list::items;

/// Caching policy of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum CachePolicy {
    /// Cached without revalidation: the path changes with the content.
    Forever,
    /// Revalidated with each use; the response is usually 304.
    Revalidate,
}

impl CachePolicy {
    const fn header(self) -> &'static str {
        match self {
            Self::Forever => "public, max-age=31536000, immutable",
            Self::Revalidate => "no-cache",
        }
    }
}

/// A compressed file in memory.
pub(super) struct Asset {
    content_type: &'static str,
    cache: CachePolicy,
    gzip: Bytes,
    /// Decompressed for the first client that does not accept gzip; most files never are.
    plain: OnceLock<Bytes>,
    hash: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Asset {
    /// Returns a file that was compressed in advance.
    pub(super) fn gzipped(
        content_type: &'static str,
        gzip: &'static [u8],
        cache: CachePolicy,
    ) -> Self {
        Self::new(content_type, Bytes::from_static(gzip), cache)
    }

    /// Returns a small file and compresses it.
    pub(super) fn text(content_type: &'static str, text: impl AsRef<str>) -> Self {
        Self::new(
            content_type,
            compress(text.as_ref().as_bytes()),
            CachePolicy::Revalidate,
        )
    }

    /// Makes the file cacheable forever.
    pub(super) fn forever(mut self) -> Self {
        self.cache = CachePolicy::Forever;
        self
    }

    /// Adds a header to the responses.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn new(content_type: &'static str, gzip: Bytes, cache: CachePolicy) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&digest(&SHA256, &gzip).as_ref()[..16]);
        Self {
            content_type,
            cache,
            gzip,
            plain: OnceLock::new(),
            hash,
            headers: Vec::new(),
        }
    }

    fn plain(&self) -> Bytes {
        self.plain.get_or_init(|| decompress(&self.gzip)).clone()
    }
}

impl Endpoint for Asset {
    type Output = Response;

    async fn call(&self, req: Request) -> Result<Self::Output> {
        let compressed = accepts_gzip(req.headers());
        let tag = if compressed {
            format!("\"{}-gzip\"", self.hash)
        } else {
            format!("\"{}\"", self.hash)
        };
        let mut builder = Response::builder()
            .header(CACHE_CONTROL, self.cache.header())
            .header(VARY, "Accept-Encoding")
            .header(ETAG, &tag);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        if matches_etag(req.headers(), &tag) {
            return Ok(builder.status(StatusCode::NOT_MODIFIED).finish());
        }
        builder = builder.header(CONTENT_TYPE, self.content_type);
        Ok(if compressed {
            builder
                .header(CONTENT_ENCODING, "gzip")
                .body(self.gzip.clone())
        } else {
            builder.body(self.plain())
        })
    }
}

/// Returns whether `Accept-Encoding` allows gzip (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for coding in items(headers, ACCEPT_ENCODING) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

/// Returns whether `If-None-Match` contains this tag: then the client already has the file.
pub(crate) fn matches_etag(headers: &HeaderMap, tag: &str) -> bool {
    items(headers, IF_NONE_MATCH).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

#[expect(clippy::expect_used, reason = "writing into a Vec does not fail")]
fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).expect("a Vec accepts all bytes");
    encoder.finish().expect("a Vec accepts all bytes").into()
}

#[expect(
    clippy::expect_used,
    reason = "the embedded files are valid gzip, and a test decompresses them"
)]
fn decompress(gzip: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    GzDecoder::new(gzip)
        .read_to_end(&mut plain)
        .expect("embedded files are whole");
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_with(headers: &[(HeaderName, &str)]) -> Request {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.finish()
    }

    #[test]
    fn gzip_is_sent_only_to_clients_that_accept_it() {
        for value in [
            "gzip",
            "br, GZIP",
            "gzip;q=0.5",
            "*",
            "deflate, *;q=0.1",
            "br,gzip",
        ] {
            assert!(
                accepts_gzip(request_with(&[(ACCEPT_ENCODING, value)]).headers()),
                "{value}"
            );
        }
        for value in ["", "br", "gzip;q=0", "gzip; q=0.0", "*;q=0", "identity"] {
            assert!(
                !accepts_gzip(request_with(&[(ACCEPT_ENCODING, value)]).headers()),
                "{value}"
            );
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn compressed_and_plain_files_have_the_same_content() {
        let text = "hello ".repeat(100);
        let file = Asset::text("text/plain", &text);

        let plain = file.get_response(request_with(&[])).await;
        let compressed_file = file
            .get_response(request_with(&[(ACCEPT_ENCODING, "gzip")]))
            .await;

        assert_eq!(compressed_file.headers()[CONTENT_ENCODING], "gzip");
        let compressed_file = compressed_file.into_body().into_vec().await.unwrap();
        assert!(compressed_file.len() < 100);
        assert_eq!(decompress(&compressed_file), text);
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(plain.into_body().into_string().await.unwrap(), text);
    }

    #[tokio::test]
    async fn a_client_with_a_current_copy_gets_304() {
        let file = Asset::text("text/plain", "hello");
        let first = file.get_response(request_with(&[])).await;
        let tag = first.headers()[ETAG].to_str().unwrap();

        let again = request_with(&[(IF_NONE_MATCH, &format!("\"other\", W/{tag}"))]);
        let compressed_file = request_with(&[(IF_NONE_MATCH, tag), (ACCEPT_ENCODING, "gzip")]);

        assert_eq!(
            file.get_response(again).await.status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(
            file.get_response(compressed_file).await.status(),
            StatusCode::OK
        );
    }
}

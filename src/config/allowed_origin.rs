//! Origins whose pages may call this server: web sites, and pages inside apps.

use std::fmt;
use std::str::FromStr;

use super::WebOrigin;

/// Schemes that no page has for its origin: browsers send `null` for them, or they are not of pages.
const WITHOUT_PAGES: [&str; 10] = [
    "about",
    "blob",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "javascript",
    "ws",
    "wss",
];

/// An origin whose pages may call this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// A web site.
    Web(WebOrigin),
    /// Pages inside an app, with a custom scheme, such as `capacitor://localhost`. They are read from the
    /// device, so nobody on the network can change them.
    App(AppOrigin),
}

/// An origin such as `tauri://localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppOrigin(String);

impl AllowedOrigin {
    /// Returns the origin in the form of the header `Origin`: without a slash at the end.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Web(origin) => origin.as_str(),
            Self::App(AppOrigin(text)) => text,
        }
    }

    /// Returns the web site, if it is one.
    pub fn web(&self) -> Option<&WebOrigin> {
        match self {
            Self::Web(origin) => Some(origin),
            Self::App(_) => None,
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AllowedOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.split_once("://") {
            Some((scheme, authority)) if !is_web(scheme) => {
                app(scheme, authority).map(Self::App).map_err(|reason| {
                    format!("`{text}` {reason}; write it like https://app.example.org or capacitor://localhost")
                })
            }
            _ => text.parse().map(Self::Web),
        }
    }
}

fn is_web(scheme: &str) -> bool {
    ["http", "https"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web))
}

fn app(scheme: &str, authority: &str) -> Result<AppOrigin, &'static str> {
    // RFC 3986, 3.1.
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let scheme = scheme.to_ascii_lowercase();
    if !is_scheme {
        return Err("is not an origin");
    }
    if WITHOUT_PAGES.contains(&scheme.as_str()) {
        return Err("is not an origin that a browser sends");
    }
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) || port.parse::<u16>().is_err() {
        return Err("is not a scheme and a host");
    }
    Ok(AppOrigin(format!("{scheme}://{authority}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_sites_and_apps_are_parsed_into_the_form_that_browsers_send() {
        for (text, sent) in [
            ("https://App.example.org/", "https://app.example.org"),
            ("HTTPS://app.example.org:443", "https://app.example.org"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("Capacitor://localhost/", "capacitor://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("http://tauri.localhost", "http://tauri.localhost"),
            ("ionic://localhost:8100", "ionic://localhost:8100"),
            ("app://-", "app://-"),
            ("app://.", "app://."),
            ("app://obsidian.md", "app://obsidian.md"),
            ("com.example.app://host_1", "com.example.app://host_1"),
            (
                "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
                "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            ),
        ] {
            let origin: AllowedOrigin = text.parse().unwrap();

            assert_eq!(origin.as_str(), sent);
            assert_eq!(origin.web().is_some(), sent.starts_with("http"), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_origin_of_a_page_are_refused() {
        for text in [
            "",
            "*",
            "null",
            "localhost",
            "capacitor:localhost",
            "capacitor://",
            "capacitor:///",
            "capacitor://localhost/index.html",
            "capacitor://localhost?x",
            "capacitor://*",
            "capacitor://a b",
            "capacitor://user@localhost",
            "capacitor://localhost:port",
            "1app://localhost",
            "a_b://localhost",
            "://localhost",
            "file:///index.html",
            "file://localhost",
            "data://x",
            "wss://app.example.org",
            "javascript://localhost",
            "https://app.example.org/path",
        ] {
            assert!(text.parse::<AllowedOrigin>().is_err(), "{text}");
        }
    }
}

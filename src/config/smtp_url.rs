//! The URL of a mail server.

use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

/// Port of `smtp:` for submission (RFC 6409).
const SUBMISSION: u16 = 587;

/// Port of `smtps:` (RFC 8314).
const SUBMISSIONS: u16 = 465;

/// Encryption of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the start.
    Tls,
    /// TLS by STARTTLS, which is required.
    StartTls,
    /// None; only to this machine.
    None,
}

/// User name and password at the mail server.
#[derive(Clone, Debug)]
pub struct SmtpLogin {
    /// User name.
    pub user: String,
    /// Password.
    pub password: SecretString,
}

/// A parsed URL such as `smtps://user:password@mail.example.org`.
#[derive(Clone, Debug)]
pub struct SmtpUrl {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Encryption.
    pub security: SmtpSecurity,
    /// User name and password, if the server requires them.
    pub login: Option<SmtpLogin>,
    /// File with certificates (PEM) of a private authority, in place of those of the system.
    pub ca: Option<PathBuf>,
}

const FORM: &str =
    "write it like smtps://user:password@mail.example.org, with special characters percent-encoded";

impl SmtpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The fault, without the URL: it contains a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(FORM)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = address.strip_suffix('/').unwrap_or(address);
        let (login, server) = match address.rsplit_once('@') {
            Some((login, server)) => (Some(parse_login(login)?), server),
            None => (None, address),
        };
        let (mut security, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "smtps" => (SmtpSecurity::Tls, SUBMISSIONS),
            "smtp" => (SmtpSecurity::StartTls, SUBMISSION),
            _ => return Err("the scheme must be `smtps` or `smtp`".to_owned()),
        };
        let (host, port) = parse_server(server, default_port)?;
        let mut ca = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, &*value) {
                ("ca", path) => ca = Some(PathBuf::from(path)),
                ("tls", "none") => security = plain(security, &host)?,
                ("tls", _) => return Err("`tls` can be `none` only".to_owned()),
                (name, _) => {
                    return Err(format!(
                        "the parameter `{name}` is unknown: use `ca` or `tls`"
                    ));
                }
            }
        }
        Ok(Self {
            host,
            port,
            security,
            login,
            ca,
        })
    }
}

/// Allows a connection without TLS to this machine alone: passwords and links would be readable on the way.
fn plain(security: SmtpSecurity, host: &str) -> Result<SmtpSecurity, String> {
    let is_loopback = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if security == SmtpSecurity::StartTls && is_loopback {
        Ok(SmtpSecurity::None)
    } else {
        Err("`tls=none` is for `smtp://localhost` only: anyone on the network path could read the mails".to_owned())
    }
}

fn parse_login(text: &str) -> Result<SmtpLogin, String> {
    let (user, password) = text.split_once(':').ok_or("a user name needs a password")?;
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded
            .map_err(|_| FORM.to_owned())
            .map(std::borrow::Cow::into_owned)
    };
    Ok(SmtpLogin {
        user: decode(user)?,
        password: decode(password)?.into(),
    })
}

fn parse_server(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(FORM)?;
            (host, port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| "the port must be a number")?,
        None => default_port,
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(FORM.to_owned());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn urls_of_mail_servers_are_parsed() {
        for (text, host, port, security) in [
            (
                "smtps://mail.example.org",
                "mail.example.org",
                465,
                SmtpSecurity::Tls,
            ),
            (
                "smtp://mail.example.org/",
                "mail.example.org",
                587,
                SmtpSecurity::StartTls,
            ),
            (
                "SMTP://mail.example.org:2525",
                "mail.example.org",
                2525,
                SmtpSecurity::StartTls,
            ),
            (
                "smtp://localhost:25?tls=none",
                "localhost",
                25,
                SmtpSecurity::None,
            ),
            (
                "smtp://127.0.0.1:25?tls=none",
                "127.0.0.1",
                25,
                SmtpSecurity::None,
            ),
            ("smtp://[::1]:25?tls=none", "::1", 25, SmtpSecurity::None),
        ] {
            let url = SmtpUrl::parse(text).unwrap();
            assert_eq!(
                (url.host.as_str(), url.port, url.security),
                (host, port, security),
                "{text}"
            );
            assert!(url.login.is_none() && url.ca.is_none());
        }
        let url = SmtpUrl::parse("smtps://a%40b:p%3A%2F%40%C3%BC@mail.example.org?ca=/etc/ca.pem");
        let url = url.unwrap();
        let login = url.login.unwrap();
        assert_eq!(login.user, "a@b");
        assert_eq!(login.password.expose_secret(), "p:/@ü");
        assert_eq!(url.ca.unwrap(), PathBuf::from("/etc/ca.pem"));
    }

    #[test]
    fn wrong_urls_are_refused_without_being_repeated() {
        for text in [
            "",
            "mail.example.org",
            "http://hunter2@mail.example.org",
            "smtp://hunter2@mail.example.org",
            "smtp://user:hunter2@",
            "smtp://user:hunter2@mail.example.org:port",
            "smtp://user:hunter2@mail example.org",
            "smtp://user:hunter2%FF@mail.example.org",
            "smtp://user:hunter2@mail.example.org?tls=none",
            "smtps://user:hunter2@localhost?tls=none",
            "smtps://user:hunter2@mail.example.org?tls=yes",
            "smtps://user:hunter2@mail.example.org?other=1",
        ] {
            let fault = SmtpUrl::parse(text).unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }
}

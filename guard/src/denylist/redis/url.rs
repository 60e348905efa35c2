//! URL of the denylist's Redis.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicUsize;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisError};

const SENTINEL_PORT: &str = "26379";

/// A Redis server, Sentinel group or Cluster, given by a URL.
///
/// | | |
/// |---|---|
/// | one server | `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path` |
/// | Sentinel | `redis+sentinel://user:password@sentinel1:26379,sentinel2/master-name/0?sentinel_user=…&sentinel_password=…` |
/// | Cluster | `redis+cluster://user:password@node1:6379,node2:6379` |
///
/// `rediss+sentinel://` and `rediss+cluster://` use TLS to every node.
pub struct RedisUrl {
    pub(super) topology: Topology,
    /// First node of the next search: a node that misled the last search is tried last.
    pub(super) next_node: AtomicUsize,
}

pub(super) enum Topology {
    Single(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// Connection settings of the master, except its address.
        data: ConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

/// Error in a Redis URL.
#[derive(Debug, thiserror::Error)]
pub enum RedisUrlError {
    /// A host, the user or the database of the URL is invalid.
    #[error("the Redis URL is not valid")]
    Url(#[source] RedisError),
    /// There is no `://`, or the scheme before it is unknown.
    #[error(
        "the Redis URL must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
    )]
    Scheme,
    /// The name of the master is missing.
    #[error(
        "the Redis URL must name the master: redis+sentinel://host:26379,host2:26379/master-name"
    )]
    MasterName,
    /// A cluster has one database only.
    #[error("the Redis URL must not name a database: a cluster has only one")]
    ClusterDatabase,
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(url: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError::Scheme)?;
        let topology = match scheme.split_once('+') {
            Some((base, "sentinel")) => sentinel(base, rest)?,
            Some((base, "cluster")) => cluster(base, rest)?,
            _ => Topology::Single(node(url)?),
        };
        Ok(Self {
            topology,
            next_node: AtomicUsize::new(0),
        })
    }
}

fn sentinel(scheme: &str, rest: &str) -> Result<Topology, RedisUrlError> {
    let parts = UrlParts::split(rest);
    let (master, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if master.is_empty() {
        return Err(RedisUrlError::MasterName);
    }
    let of_query = |name: &str| {
        parts
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    };
    let login = match (of_query("sentinel_user"), of_query("sentinel_password")) {
        ("", "") => String::new(),
        (user, password) => format!("{user}:{password}@"),
    };
    let sentinels = parts
        .hosts
        .split(',')
        .map(|host| node(&format!("{scheme}://{login}{}", with_port(host))))
        .collect::<Result<_, _>>()?;
    let data = node(&format!("{scheme}://{}sentinel/{db}", parts.login))?;
    Ok(Topology::Sentinel {
        sentinels,
        master: master.to_owned(),
        data,
    })
}

fn with_port(host: &str) -> String {
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let suffix = if has_port { "" } else { SENTINEL_PORT };
    let colon = if has_port { "" } else { ":" };
    format!("{host}{colon}{suffix}")
}

fn cluster(scheme: &str, rest: &str) -> Result<Topology, RedisUrlError> {
    let parts = UrlParts::split(rest);
    if !matches!(parts.path, "" | "0") {
        return Err(RedisUrlError::ClusterDatabase);
    }
    let nodes = parts
        .hosts
        .split(',')
        .map(|host| node(&format!("{scheme}://{}{host}", parts.login)))
        .collect::<Result<_, _>>()?;
    Ok(Topology::Cluster(nodes))
}

/// Part of the URL after `://`. URL parsers reject several hosts.
struct UrlParts<'a> {
    /// With its `@`, still percent-encoded; empty when absent.
    login: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> UrlParts<'a> {
    fn split(rest: &'a str) -> Self {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Self {
            login,
            hosts,
            path,
            query,
        }
    }
}

fn node(url: &str) -> Result<ConnectionInfo, RedisUrlError> {
    let info = url.into_connection_info().map_err(RedisUrlError::Url)?;
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Shows the hosts, never the password.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows the hosts, never the password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, nodes) = match &self.topology {
            Topology::Single(info) => ("", std::slice::from_ref(info)),
            Topology::Sentinel { sentinels, .. } => ("Sentinel ", sentinels.as_slice()),
            Topology::Cluster(nodes) => ("Cluster ", nodes.as_slice()),
        };
        let nodes: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        write!(f, "{kind}{}", nodes.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn displayed(url: &str) -> String {
        url.parse::<RedisUrl>().unwrap().to_string()
    }

    #[test]
    fn every_kind_of_url_displays_its_hosts() {
        for (url, hosts) in [
            ("redis://localhost", "localhost:6379"),
            ("rediss://u:p@cache.example:6380/2", "cache.example:6380"),
            (
                "redis+sentinel://u:p@a,b:26380,[::1]/main/3?sentinel_password=x%40y",
                "Sentinel a:26379,b:26380,::1:26379",
            ),
            (
                "redis+cluster://p%40ss@a:7000,b:7001",
                "Cluster a:7000,b:7001",
            ),
            ("rediss+cluster://a:7000/0", "Cluster a:7000"),
        ] {
            assert_eq!(displayed(url), hosts, "{url}");
        }
    }

    #[test]
    fn sentinel_and_master_have_their_own_logins() {
        let url: RedisUrl =
            "redis+sentinel://app:secret@a/main/3?sentinel_user=watch&sentinel_password=x%40y"
                .parse()
                .unwrap();
        let Topology::Sentinel {
            sentinels,
            master,
            data,
        } = &url.topology
        else {
            panic!("{url} is no Sentinel");
        };

        assert_eq!(master, "main");
        let of = |info: &ConnectionInfo| {
            let redis = info.redis_settings();
            (
                redis.username().unwrap_or_default().to_owned(),
                redis.password().unwrap_or_default().to_owned(),
                redis.db(),
            )
        };
        assert_eq!(of(&sentinels[0]), ("watch".into(), "x@y".into(), 0));
        assert_eq!(of(data), ("app".into(), "secret".into(), 3));
    }

    #[test]
    fn a_url_that_names_no_redis_is_refused() {
        for url in [
            "localhost:6379",
            "http://localhost",
            "redis+sentinel://a:26379",
            "redis+cluster://a/4",
            "redis://localhost/x",
            "redis+cluster://",
        ] {
            assert!(url.parse::<RedisUrl>().is_err(), "{url}");
        }
    }

    #[test]
    fn a_redis_url_never_displays_its_password() {
        let url: RedisUrl = "redis+cluster://user:topsecret@a,b".parse().unwrap();

        assert!(!format!("{url} {url:?}").contains("topsecret"));
    }
}

//! Discovery of the server that currently holds the denylist, and connecting to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError,
    ServerErrorKind,
};

use super::connection::CHECK_DEADLINE;
use super::url::Topology;
use super::{EPOCH_MARKER_KEY, RedisConnection, RedisUrl};

const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// Failure to find or to reach the server that holds the denylist.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server could not be reached or refused the connection.
    #[error("could not connect to Redis at {address}")]
    Refused {
        /// Address of the node.
        address: String,
        /// Cause of the failure.
        source: RedisError,
    },
    /// A Sentinel does not know the master.
    #[error(
        "the Sentinel at {address} knows no master named {master}: check the name in REDIS_URL"
    )]
    UnknownMaster {
        /// Address of the node.
        address: String,
        /// Name of the master.
        master: String,
    },
}

impl RedisUrl {
    /// Finds the server that currently holds the denylist and connects to it.
    ///
    /// # Errors
    /// [`ConnectError`] of the last node that was tried.
    pub async fn connect(&self) -> Result<RedisConnection, ConnectError> {
        match &self.topology {
            Topology::Single(info) => open(info).await,
            Topology::Sentinel {
                sentinels,
                master,
                data,
            } => {
                let address = self
                    .try_each(sentinels, |node| query_sentinel(node, master))
                    .await?;
                open(&data.clone().set_addr(address_of_node(data.addr(), address))).await
            }
            Topology::Cluster(nodes) => self.try_each(nodes, open_slot_owner).await,
        }
    }

    /// Tries node after node; starts with another one each time, since the first node may be partitioned
    /// and report a deposed master.
    async fn try_each<'a, T, F>(
        &self,
        nodes: &'a [ConnectionInfo],
        ask: impl Fn(&'a ConnectionInfo) -> F,
    ) -> Result<T, ConnectError>
    where
        F: Future<Output = Result<T, ConnectError>>,
    {
        let start = self.next_node.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        let (last, first) = nodes.split_at(start);
        let mut result = Err(ConnectError::Refused {
            address: String::new(),
            source: RedisError::from((ErrorKind::InvalidClientConfig, "no host is named")),
        });
        for node in first.iter().chain(last) {
            result = ask(node).await;
            if result.is_ok() {
                return result;
            }
        }
        result
    }
}

async fn query_sentinel(
    node: &ConnectionInfo,
    master: &str,
) -> Result<(String, u16), ConnectError> {
    let sentinel = open(node).await?;
    let address: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(master)
        .query_async(&mut sentinel.with_background_deadline())
        .await
        .map_err(|source| connect_error(node, source))?;
    address.ok_or_else(|| ConnectError::UnknownMaster {
        address: node.addr().to_string(),
        master: master.to_owned(),
    })
}

/// Follows at most one redirection: a node that does not own the slot knows the owner.
async fn open_slot_owner(node: &ConnectionInfo) -> Result<RedisConnection, ConnectError> {
    let connection = open(node).await?;
    let asked: Result<Option<String>, RedisError> = redis::cmd("GET")
        .arg(EPOCH_MARKER_KEY)
        .query_async(&mut connection.with_background_deadline())
        .await;
    let Err(error) = asked else {
        return Ok(connection);
    };
    let moved = (error.kind() == ErrorKind::Server(ServerErrorKind::Moved))
        .then(|| error.redirect_node())
        .flatten()
        .and_then(|(address, _slot)| address.rsplit_once(':'))
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    match moved {
        Some(address) => open(&node.clone().set_addr(address_of_node(node.addr(), address))).await,
        None => Err(connect_error(node, error)),
    }
}

/// The address of another node, reached in the same way. A node that does not know its own name returns
/// an empty host, which means the node itself.
fn address_of_node(template: &ConnectionAddr, (host, port): (String, u16)) -> ConnectionAddr {
    let host = match template {
        ConnectionAddr::Tcp(asked, _) | ConnectionAddr::TcpTls { host: asked, .. }
            if host.is_empty() =>
        {
            asked.clone()
        }
        _ => host,
    };
    match template {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

async fn open(info: &ConnectionInfo) -> Result<RedisConnection, ConnectError> {
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        // rustls selects no provider by itself if two are compiled in. An error means that the program
        // has installed one already.
        let _chosen = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_DEADLINE))
        .set_response_timeout(Some(CHECK_DEADLINE));
    let client = Client::open(info.clone()).map_err(|source| connect_error(info, source))?;
    let multiplexed = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(|source| connect_error(info, source))?;
    Ok(RedisConnection::new(multiplexed, &info.addr().to_string()))
}

fn connect_error(node: &ConnectionInfo, source: RedisError) -> ConnectError {
    ConnectError::Refused {
        address: node.addr().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> ConnectionAddr {
        let info: ConnectionInfo = url.parse().unwrap();
        info.addr().clone()
    }

    #[test]
    fn a_referred_node_is_reached_with_the_same_settings() {
        for (asked, named, expected) in [
            ("redis://a:1", ("b", 2), "redis://b:2"),
            ("redis://a:1", ("", 2), "redis://a:2"),
            ("rediss://a:1", ("b", 2), "rediss://b:2"),
            ("rediss://a:1", ("", 2), "rediss://a:2"),
        ] {
            let found = address_of_node(&address(asked), (named.0.to_owned(), named.1));

            assert_eq!(found, address(expected), "{asked} {named:?}");
        }
    }
}

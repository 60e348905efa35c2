//! Properties of a Redis server, and whether it is suitable for the denylist.

use std::time::Duration;

use redis::{ParsingError, RedisError};

use crate::clock::Time;

/// Properties of a server, read in one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Changes whenever data may have changed without commands: a restart changes `run_id`, a promotion
    /// or demotion changes `master_replid`, an eviction increments `evicted_keys`.
    pub identity: String,
    /// Reason not to trust this server, if any.
    pub unsuitable: Option<UnsuitableRedis>,
    /// The server's clock, by which entries expire.
    pub time: Time,
    /// Epoch marker: the epoch whose backfill is complete, or another value.
    pub epoch_marker: Option<String>,
    /// Time since a Latchet server checked this server and renewed the epoch marker.
    pub marker_age: Option<Duration>,
}

/// Reason why a server may lose denials although it keeps running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsuitableRedis {
    /// A replica lags behind its master.
    #[error(
        "it is a replica: point REDIS_URL at the master, or use redis+sentinel:// or redis+cluster://"
    )]
    Replica,
    /// The server evicts keys when its memory is full.
    #[error(
        "its maxmemory-policy is {0}: run CONFIG SET maxmemory-policy noeviction, and put the same into redis.conf"
    )]
    Evicting(String),
}

impl ServerInfo {
    pub(super) fn parse(
        info: &str,
        (secs, micros): (i64, i64),
        epoch_marker: Option<String>,
    ) -> Result<Self, RedisError> {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim_end)
                .ok_or_else(|| ParsingError::from(format!("INFO of this server lacks `{name}`")))
        };
        let identity = format!(
            "{}.{}.{}",
            field("run_id")?,
            field("master_replid")?,
            field("evicted_keys")?
        );
        let policy = field("maxmemory_policy")?;
        let unsuitable = if field("role")? != "master" {
            Some(UnsuitableRedis::Replica)
        } else if policy != "noeviction" {
            Some(UnsuitableRedis::Evicting(policy.to_owned()))
        } else {
            None
        };
        Ok(Self {
            identity,
            unsuitable,
            time: Time::from_millis(
                secs.saturating_mul(1000)
                    .saturating_add(micros.div_euclid(1000)),
            ),
            epoch_marker,
            marker_age: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(role: &str, policy: &str) -> String {
        format!(
            "# Server\r\nrun_id:abc\r\nrole:{role}\r\nmaster_replid:def\r\n\
             maxmemory_policy:{policy}\r\nevicted_keys:0\r\n"
        )
    }

    #[test]
    fn a_master_that_never_evicts_is_suitable() {
        let server_info = ServerInfo::parse(
            &info("master", "noeviction"),
            (12, 345_678),
            Some("e".into()),
        )
        .unwrap();

        assert_eq!(
            server_info,
            ServerInfo {
                identity: "abc.def.0".into(),
                unsuitable: None,
                time: Time::from_millis(12_345),
                epoch_marker: Some("e".into()),
                marker_age: None,
            }
        );
    }

    #[test]
    fn a_replica_or_an_evicting_server_is_unsuitable() {
        let replica = ServerInfo::parse(&info("slave", "noeviction"), (0, 0), None).unwrap();
        let evicting = ServerInfo::parse(&info("master", "allkeys-lru"), (0, 0), None).unwrap();

        assert_eq!(replica.unsuitable, Some(UnsuitableRedis::Replica));
        assert_eq!(
            evicting.unsuitable,
            Some(UnsuitableRedis::Evicting("allkeys-lru".into()))
        );
    }

    #[test]
    fn missing_server_info_is_an_error() {
        let without = info("master", "noeviction").replace("run_id", "hidden");

        let error = ServerInfo::parse(&without, (0, 0), None).unwrap_err();

        assert!(error.to_string().contains("run_id"), "{error}");
    }
}

//! Properties of a Redis server, and whether it is suitable for the denylist.

use std::time::Duration;

use redis::{ParsingError, RedisError};

use crate::clock::Time;

/// Properties of a server, read in one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Changes whenever data may have changed without commands: a restart changes `run_id`, a promotion
    /// or demotion changes `master_replid`, an eviction increments `evicted_keys`.
    pub identity: String,
    /// Reason not to trust this server, if any.
    pub unfit: Option<Unfit>,
    /// The server's clock, by which entries expire.
    pub time: Time,
    /// Epoch marker: the epoch whose backfill is complete, or another value.
    pub mark: Option<String>,
    /// Time since a Latchet server checked this server and renewed the epoch marker.
    pub vouched: Option<Duration>,
}

/// Reason why a server may lose denials although it keeps running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
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

impl Inspection {
    pub(super) fn parse(
        info: &str,
        (secs, micros): (i64, i64),
        mark: Option<String>,
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
        let unfit = if field("role")? != "master" {
            Some(Unfit::Replica)
        } else if policy != "noeviction" {
            Some(Unfit::Evicting(policy.to_owned()))
        } else {
            None
        };
        Ok(Self {
            identity,
            unfit,
            time: Time::from_millis(
                secs.saturating_mul(1000)
                    .saturating_add(micros.div_euclid(1000)),
            ),
            mark,
            vouched: None,
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
    fn a_master_that_never_evicts_is_fit() {
        let inspection = Inspection::parse(
            &info("master", "noeviction"),
            (12, 345_678),
            Some("e".into()),
        )
        .unwrap();

        assert_eq!(
            inspection,
            Inspection {
                identity: "abc.def.0".into(),
                unfit: None,
                time: Time::from_millis(12_345),
                mark: Some("e".into()),
                vouched: None,
            }
        );
    }

    #[test]
    fn a_replica_or_an_evicting_server_is_unfit() {
        let replica = Inspection::parse(&info("slave", "noeviction"), (0, 0), None).unwrap();
        let evicting = Inspection::parse(&info("master", "allkeys-lru"), (0, 0), None).unwrap();

        assert_eq!(replica.unfit, Some(Unfit::Replica));
        assert_eq!(evicting.unfit, Some(Unfit::Evicting("allkeys-lru".into())));
    }

    #[test]
    fn a_server_that_hides_what_is_asked_is_an_error() {
        let without = info("master", "noeviction").replace("run_id", "hidden");

        let error = Inspection::parse(&without, (0, 0), None).unwrap_err();

        assert!(error.to_string().contains("run_id"), "{error}");
    }
}

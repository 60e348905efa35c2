//! Errors of Redis that an operator can fix.

use redis::RedisError;

/// Returns the meaning of an error and its fix, if the error has a known code.
pub fn advice(error: &RedisError) -> Option<&'static str> {
    Some(match error.code()? {
        "MOVED" | "ASK" | "CROSSSLOT" => {
            "it is a node of a cluster: write REDIS_URL as redis+cluster://host:port"
        }
        "CLUSTERDOWN" | "TRYAGAIN" => "its cluster is incomplete: see CLUSTER INFO on its nodes",
        "NOAUTH" => "it requires a password: write it into REDIS_URL as redis://:password@host",
        "WRONGPASS" => "it refuses user or password of REDIS_URL",
        "NOPERM" => {
            "the user of REDIS_URL lacks permissions: ACL SETUSER name ~latchet:{deny}:* +mget +get +set +del +eval +pexpire +pexpireat +pttl +info +time"
        }
        "READONLY" => "it is a replica: point REDIS_URL at the master",
        "OOM" => "its memory is full: raise maxmemory, and keep maxmemory-policy noeviction",
        "MISCONF" => "it takes no writes because it cannot save its data: see its log",
        "MASTERDOWN" => "it is a replica without a master: point REDIS_URL at the master",
        "LOADING" => "it is loading its data: wait until it is done",
        "NOREPLICAS" => {
            "it takes no writes because too few replicas follow it: see min-replicas-to-write"
        }
        "BUSY" => "it runs a script that does not end: SCRIPT KILL",
        "DENIED" => "it is in protected mode and answers its own machine alone: give it a password",
        "ERR" if error.detail()?.contains("max number of clients") => {
            "it has no connection left: raise maxclients"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, ServerErrorKind};

    use super::*;

    #[test]
    fn a_cluster_node_is_recognized() {
        let kind = ErrorKind::Server(ServerErrorKind::Moved);
        let error = RedisError::from((kind, "moved", "3999 127.0.0.1:6381".to_owned()));

        assert!(advice(&error).is_some_and(|text| text.contains("redis+cluster://")));
    }

    #[test]
    fn a_server_without_a_connection_left_is_called_so() {
        let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
        let refusal = |text: &str| RedisError::from((kind, "refused", text.to_owned()));

        let full = advice(&refusal("max number of clients reached"));
        assert!(full.is_some_and(|text| text.contains("maxclients")));
        assert_eq!(advice(&refusal("unknown command")), None);
    }

    #[test]
    fn a_broken_connection_has_no_advice() {
        let error = RedisError::from((ErrorKind::Io, "broken pipe"));

        assert_eq!(advice(&error), None);
    }
}

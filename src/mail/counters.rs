//! Numbers of mails, for the metrics.

use prometheus_client::metrics::counter::Counter;

/// Numbers of mails since the start of the server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MailCounters {
    /// Mails that the mail server has accepted.
    pub sent: Counter,
    /// Attempts that failed and are repeated.
    pub postponed: Counter,
    /// Mails that are not sent any more.
    pub given_up: Counter,
}

//! Conversations with a mail server (RFC 5321).
//!
//! A connection is kept for the next mail after a complete conversation alone. The pool of lettre would keep it also
//! when a conversation was abandoned, for example after a timeout: its next commands, and the next mail, could then
//! become the end of the mail before. Nor does lettre limit the time of a step once there is a connection.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::message::Message;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls;

use crate::config::{SmtpSecurity, SmtpUrl};
use crate::error::Cause;
use starttls::StartTlsStream;

mod starttls;

/// Longest wait for one step of a conversation.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time to send a mail, from the connection to the answer.
pub(super) const LONGEST_CONVERSATION: Duration = Duration::from_secs(30);

/// Longest wait for the end of a connection that is not needed any more.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Most connections that are kept for the next mails.
const MOST_PARKED: usize = super::transport::MOST_CONNECTIONS;

/// Time for which a connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Step of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SmtpStep {
    /// The connection, with TLS if it begins with that, and the greeting.
    Connect,
    /// TLS by STARTTLS.
    StartTls,
    /// User name and password.
    Login,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA` and the message.
    Content,
}

impl SmtpStep {
    /// Returns the step as the end of a sentence that begins with "cannot".
    const fn text(self) -> &'static str {
        match self {
            Self::Connect => "connect to the mail server",
            Self::StartTls => "encrypt the connection to the mail server",
            Self::Login => "sign in to the mail server",
            Self::Sender => "name the sender to the mail server",
            Self::Recipient => "name the recipient to the mail server",
            Self::Content => "give the message to the mail server",
        }
    }
}

/// Failure of a conversation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {}", .step.text())]
pub(super) struct SmtpFault {
    /// The failed step.
    pub(super) step: SmtpStep,
    /// Kind of the failure.
    pub(super) kind: FaultKind,
    #[source]
    pub(super) source: Cause,
}

/// Kind of the failure of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The server answered "not now" (4xx).
    Postponed,
    /// The server answered "no" (5xx).
    Refused,
    /// The certificate of the server, or TLS itself.
    Tls,
    /// The connection broke, or took too long.
    Broken,
}

impl SmtpFault {
    fn new(step: SmtpStep, error: smtp::Error) -> Self {
        let kind = if error.is_permanent() {
            FaultKind::Refused
        } else if error.is_transient() {
            FaultKind::Postponed
        } else if is_about_tls(&error) {
            FaultKind::Tls
        } else {
            FaultKind::Broken
        };
        Self {
            step,
            kind,
            source: error.into(),
        }
    }

    fn not_connected(error: io::Error) -> Self {
        Self {
            step: SmtpStep::Connect,
            kind: FaultKind::Broken,
            source: error.into(),
        }
    }

    fn timed_out(step: SmtpStep) -> Self {
        let error = io::Error::new(ErrorKind::TimedOut, "the mail server took too long");
        Self {
            step,
            kind: FaultKind::Broken,
            source: error.into(),
        }
    }

    /// Returns whether the server answered, so that both sides wait for the next command.
    fn is_answer(&self) -> bool {
        matches!(self.kind, FaultKind::Postponed | FaultKind::Refused)
    }
}

/// Refuses a response of the wrong kind to a part of DATA (RFC 5321, section 4.3.2): the message may be lost.
fn require_severity(response: &Response, wanted: Severity) -> Result<(), SmtpFault> {
    if response.code().severity == wanted {
        return Ok(());
    }
    Err(SmtpFault {
        step: SmtpStep::Content,
        kind: FaultKind::Broken,
        source: "the mail server responded in the wrong order".into(),
    })
}

/// Returns whether TLS is the cause. lettre reports such errors as failed connections.
fn is_about_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if error.is::<rustls::Error>()
            || inner.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// Client of one mail server.
pub(super) struct SmtpClient {
    url: SmtpUrl,
    tls: Option<TlsParameters>,
    own_name: ClientId,
    parked: Mutex<Vec<ParkedConnection>>,
    step_timeout: Duration,
}

/// A connection that waits for the next mail.
struct ParkedConnection {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl SmtpClient {
    /// Returns a client that calls itself `host`. Connects to nothing yet. `tls` is for a URL that requires it.
    pub(super) fn new(url: SmtpUrl, tls: Option<TlsParameters>, host: &str) -> Self {
        Self {
            url,
            tls,
            own_name: own_name(host),
            parked: Mutex::default(),
            step_timeout: STEP_TIMEOUT,
        }
    }

    /// Sends a message. Dropping the future closes its connection.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SmtpFault> {
        let bytes = message.formatted();
        let conversation = self.converse(message.envelope(), &bytes);
        timeout(LONGEST_CONVERSATION, conversation)
            .await
            .unwrap_or_else(|_| Err(SmtpFault::timed_out(SmtpStep::Content)))
    }

    /// Connects and signs in.
    pub(super) async fn test_connection(&self) -> Result<(), SmtpFault> {
        close(self.connect().await?).await;
        Ok(())
    }

    /// Closes the connections that were idle for too long.
    pub(super) async fn close_idle(&self) {
        let idle = take_idle(&mut self.parked());
        for parked in idle {
            close(parked.connection).await;
        }
    }

    async fn converse(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SmtpFault> {
        let mut connection = self.begin(envelope, message).await?;
        match self.transfer(&mut connection, envelope, message).await {
            Ok(()) => {
                self.park(connection);
                Ok(())
            }
            Err(fault) => {
                if fault.is_answer() && self.reset(&mut connection).await {
                    self.park(connection);
                } else {
                    close(connection).await;
                }
                Err(fault)
            }
        }
    }

    /// Returns a connection whose server has accepted the sender.
    async fn begin(
        &self,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<AsyncSmtpConnection, SmtpFault> {
        if let Some(mut connection) = self.take_parked() {
            if self
                .name_sender(&mut connection, envelope, message)
                .await
                .is_ok()
            {
                return Ok(connection);
            }
            // The server may have closed it in the meantime: a new one decides.
            close(connection).await;
        }
        let mut connection = self.connect().await?;
        match self.name_sender(&mut connection, envelope, message).await {
            Ok(()) => Ok(connection),
            Err(fault) => {
                close(connection).await;
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpFault> {
        let mut connection = match self.url.security {
            SmtpSecurity::StartTls => self.connect_by_starttls().await?,
            SmtpSecurity::Tls | SmtpSecurity::None => self.connect_at_once().await?,
        };
        if let Some(login) = &self.url.login {
            let password = login.password.expose_secret().to_owned();
            let credentials = Credentials::new(login.user.clone(), password);
            let signing_in = connection.auth(DEFAULT_MECHANISMS, &credentials);
            self.step(SmtpStep::Login, signing_in).await?;
        }
        Ok(connection)
    }

    /// Connects with TLS from the start, or without TLS.
    async fn connect_at_once(&self) -> Result<AsyncSmtpConnection, SmtpFault> {
        let connecting = AsyncSmtpConnection::connect_tokio1(
            self.address(),
            Some(self.step_timeout),
            &self.own_name,
            self.tls.clone(),
            None,
        );
        self.step(SmtpStep::Connect, connecting).await
    }

    /// Connects without TLS, and then begins it.
    async fn connect_by_starttls(&self) -> Result<AsyncSmtpConnection, SmtpFault> {
        let Some(tls) = self.tls.clone() else {
            return Err(SmtpFault {
                step: SmtpStep::StartTls,
                kind: FaultKind::Tls,
                source: "TLS is not set up".into(),
            });
        };
        let connecting = TcpStream::connect(self.address());
        let tcp = match timeout(self.step_timeout, connecting).await {
            Ok(connected) => connected.map_err(SmtpFault::not_connected)?,
            Err(_) => return Err(SmtpFault::timed_out(SmtpStep::Connect)),
        };
        let stream = Box::new(StartTlsStream::new(tcp));
        let greeting = AsyncSmtpConnection::connect_with_transport(stream, &self.own_name);
        let mut connection = self.step(SmtpStep::Connect, greeting).await?;
        let encrypting = connection.starttls(tls, &self.own_name);
        self.step(SmtpStep::StartTls, encrypting).await?;
        Ok(connection)
    }

    fn address(&self) -> (&str, u16) {
        (self.url.host.as_str(), self.url.port)
    }

    async fn name_sender(
        &self,
        connection: &mut AsyncSmtpConnection,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(), SmtpFault> {
        let mut parameters = Vec::new();
        let mut step = SmtpStep::Sender;
        if envelope
            .to()
            .iter()
            .any(|address| !address.user().is_ascii())
        {
            if !connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight)
            {
                return Err(SmtpFault {
                    step: SmtpStep::Recipient,
                    kind: FaultKind::Refused,
                    source: "the mail server accepts addresses in ASCII alone (no SMTPUTF8)".into(),
                });
            }
            parameters.push(MailParameter::SmtpUtfEight);
            // A server that offers SMTPUTF8 and refuses it refuses this recipient.
            step = SmtpStep::Recipient;
        }
        // Only the address itself can be outside ASCII: texts are encoded.
        if !message.is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let command = MailFrom::new(envelope.from().cloned(), parameters);
        self.step(step, connection.command(command)).await?;
        Ok(())
    }

    async fn transfer(
        &self,
        connection: &mut AsyncSmtpConnection,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(), SmtpFault> {
        for recipient in envelope.to() {
            let command = Rcpt::new(recipient.clone(), Vec::new());
            self.step(SmtpStep::Recipient, connection.command(command))
                .await?;
        }
        let begun = self
            .step(SmtpStep::Content, connection.command(Data))
            .await?;
        require_severity(&begun, Severity::PositiveIntermediate)?;
        // The server may examine the message before it answers, so this step is limited by the conversation alone.
        let answer = connection.message(message).await;
        let accepted = answer.map_err(|error| SmtpFault::new(SmtpStep::Content, error))?;
        require_severity(&accepted, Severity::PositiveCompletion)
    }

    /// Abandons the mail of a conversation, and returns whether the connection can be used again.
    async fn reset(&self, connection: &mut AsyncSmtpConnection) -> bool {
        self.step(SmtpStep::Sender, connection.command(Rset))
            .await
            .is_ok()
    }

    async fn step<T>(
        &self,
        step: SmtpStep,
        work: impl Future<Output = Result<T, smtp::Error>>,
    ) -> Result<T, SmtpFault> {
        match timeout(self.step_timeout, work).await {
            Ok(done) => done.map_err(|error| SmtpFault::new(step, error)),
            Err(_) => Err(SmtpFault::timed_out(step)),
        }
    }

    /// Returns the connection that was used last, if it is young enough.
    fn take_parked(&self) -> Option<AsyncSmtpConnection> {
        let parked = self.parked().pop()?;
        (parked.since.elapsed() < IDLE_TIMEOUT).then_some(parked.connection)
    }

    fn park(&self, connection: AsyncSmtpConnection) {
        let since = Instant::now();
        let mut parked = self.parked();
        if parked.len() < MOST_PARKED {
            parked.push(ParkedConnection { connection, since });
        }
    }

    fn parked(&self) -> MutexGuard<'_, Vec<ParkedConnection>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name by which this server introduces itself (RFC 5321, section 4.1.1.1).
fn own_name(host: &str) -> ClientId {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) => ClientId::Domain(host.to_owned()),
    }
}

fn take_idle(parked: &mut Vec<ParkedConnection>) -> Vec<ParkedConnection> {
    let (idle, young) = std::mem::take(parked)
        .into_iter()
        .partition(|parked| parked.since.elapsed() >= IDLE_TIMEOUT);
    *parked = young;
    idle
}

/// Takes leave of the server.
async fn close(mut connection: AsyncSmtpConnection) {
    // The connection ends in any case.
    let _ = timeout(CLOSE_TIMEOUT, connection.abort()).await;
}

#[cfg(test)]
mod tests;

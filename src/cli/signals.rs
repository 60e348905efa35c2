//! Signals that stop a server or make it reload files.

use super::CliError;

/// The signals that ask the program to stop.
///
/// They are caught from [`StopSignals::listen`] on, not from the first wait: a signal in between must
/// not kill a server that responds already.
pub(super) struct StopSignals {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl StopSignals {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::SignalKind;
        Ok(Self {
            signals: [
                catch(SignalKind::terminate())?,
                catch(SignalKind::interrupt())?,
                catch(SignalKind::quit())?,
            ],
        })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self, CliError> {
        Ok(Self {})
    }

    /// Resolves on the first signal. A second one ends the process at once.
    pub(super) async fn wait_for_first(mut self) {
        self.next().await;
        #[expect(
            clippy::disallowed_methods,
            reason = "ends the process or is ended with it"
        )]
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("stopped at once");
            crate::logging::flush();
            std::process::exit(130);
        });
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        let [terminate, interrupt, quit] = &mut self.signals;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Signals that interrupt a command that has something to remove first.
pub(super) struct Interruption {
    #[cfg(unix)]
    stop: StopSignals,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
    /// Caught so that a limit on the length of files is an error, and does not end the process.
    #[cfg(unix)]
    _file_size: tokio::signal::unix::Signal,
}

impl Interruption {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::SignalKind;
        let file_size = rustix::process::Signal::XFSZ.as_raw();
        Ok(Self {
            stop: StopSignals::listen()?,
            hang_up: catch(SignalKind::hangup())?,
            _file_size: catch(SignalKind::from_raw(file_size))?,
        })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self, CliError> {
        Ok(Self {})
    }

    /// Runs `work` to its end or to the first signal, which drops it.
    ///
    /// # Errors
    /// That of `work`, or one for the signal.
    pub(super) async fn stops<T>(
        &mut self,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        tokio::select! {
            done = work => done,
            () = self.signalled() => {
                Err(CliError::Other("interrupted: nothing was changed, and temporary files were removed".to_owned()))
            }
        }
    }

    #[cfg(unix)]
    async fn signalled(&mut self) {
        tokio::select! {
            () = self.stop.next() => {}
            _ = self.hang_up.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn signalled(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Signals that end a program by default, but that are sent to servers for other reasons: SIGHUP to
/// reload files, SIGUSR1 and SIGUSR2 to reopen logs.
pub(super) struct ReloadSignals {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl ReloadSignals {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::SignalKind;
        Ok(Self {
            signals: [
                catch(SignalKind::hangup())?,
                catch(SignalKind::user_defined1())?,
                catch(SignalKind::user_defined2())?,
            ],
        })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self, CliError> {
        Ok(Self {})
    }

    /// Resolves when files are to be reloaded.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) {
        let [hang_up, user1, user2] = &mut self.signals;
        loop {
            tokio::select! {
                _ = hang_up.recv() => return,
                _ = user1.recv() => {}
                _ = user2.recv() => {}
            }
            tracing::info!("ignored a signal that has no meaning for this server");
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) {
        std::future::pending().await
    }
}

#[cfg(unix)]
fn catch(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, CliError> {
    tokio::signal::unix::signal(kind).map_err(CliError::system("catch signals"))
}

//! Prompt for a password, which the terminal does not echo.

use std::io::{self, BufRead, IsTerminal, Write};

use secrecy::{ExposeSecret, SecretString};

use super::signals::StopSignals;
use crate::text_file;

/// Exit code of a program that was interrupted, as shells report it: 128 plus the number of `SIGINT`.
const INTERRUPTED: i32 = 130;

/// Prompts twice on a terminal; otherwise reads the first line of standard input. Call it in the runtime.
pub(super) fn read_password() -> io::Result<SecretString> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    restore_echo_on_signal();
    let first = prompt("Password: ")?;
    let repeated = prompt("Repeat password: ")?;
    if first.expose_secret() == repeated.expose_secret() {
        Ok(first)
    } else {
        Err(io::Error::other("the two passwords differ"))
    }
}

fn prompt(label: &str) -> io::Result<SecretString> {
    let mut screen = io::stderr();
    write!(screen, "{label}")?;
    screen.flush()?;
    let echo_guard = EchoGuard::begin();
    let answer = read_line();
    drop(echo_guard);
    writeln!(screen)?;
    answer
}

/// Ends the program on a signal to stop, after the terminal echoes again: without this, Ctrl-C at the prompt
/// would leave a terminal in which the user does not see what they type.
fn restore_echo_on_signal() {
    let Ok(signals) = StopSignals::listen() else {
        return;
    };
    let before = EchoGuard::unchanged();
    #[expect(
        clippy::disallowed_methods,
        reason = "ends the process or is ended with it"
    )]
    tokio::spawn(async move {
        signals.wait_for_first().await;
        drop(before);
        std::process::exit(INTERRUPTED);
    });
}

fn read_line() -> io::Result<SecretString> {
    let mut bytes = Vec::new();
    if io::stdin().lock().read_until(b'\n', &mut bytes)? == 0 {
        return Err(io::Error::other("no password was given on standard input"));
    }
    let text = text_file::decode(&bytes)?;
    Ok(text_file::strip_line_end(text).into())
}

/// Modes of the terminal, which are restored on drop.
#[cfg(unix)]
struct EchoGuard(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl EchoGuard {
    fn unchanged() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    /// Turns the echo of input off.
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcsetattr};
        let before = Self::unchanged();
        if let Some(mut modes) = before.0.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &modes);
        }
        before
    }
}

#[cfg(unix)]
impl Drop for EchoGuard {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let now = rustix::termios::OptionalActions::Now;
            let _ = rustix::termios::tcsetattr(io::stdin(), now, before);
        }
    }
}

#[cfg(not(unix))]
struct EchoGuard;

#[cfg(not(unix))]
impl EchoGuard {
    fn unchanged() -> Self {
        Self
    }

    fn begin() -> Self {
        Self
    }
}

//! Prompt for a password, which the terminal does not echo.

use std::io::{self, BufRead, IsTerminal, Write};

use secrecy::{ExposeSecret, SecretString};

use crate::text_file;

/// Prompts twice on a terminal; otherwise reads the first line of standard input.
pub(super) fn read_password() -> io::Result<SecretString> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
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

fn read_line() -> io::Result<SecretString> {
    let mut bytes = Vec::new();
    if io::stdin().lock().read_until(b'\n', &mut bytes)? == 0 {
        return Err(io::Error::other("no password was given on standard input"));
    }
    let text = text_file::decode(&bytes)?;
    Ok(text_file::strip_line_end(text).into())
}

/// While this value exists, the terminal does not echo input.
#[cfg(unix)]
struct EchoGuard(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl EchoGuard {
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &modes);
        }
        Self(before)
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
    fn begin() -> Self {
        Self
    }
}

//! Ports for child processes.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a port of 127.0.0.1 that nothing listens on.
///
/// It lies below the range that the system hands out for `bind(0)` and for outgoing connections, so
/// that a server killed and started again finds it still free. Parallel test runs begin at
/// different places.
pub fn free() -> u16 {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 15_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start =
        u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("it is below COUNT");
    loop {
        let offset =
            (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("it is below COUNT");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

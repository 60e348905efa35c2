//! Clocks that jump, one per process: `libfaketime` between the process and the kernel.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::shim::{self, Environment};

/// Size and direction of a jump of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockJump {
    HourAhead,
    HourBack,
    DayAhead,
    DayBack,
    /// Further than servers of one database may be apart, and less than a session lasts.
    MinutesAhead,
    /// So little that a token which has just expired looks valid again, and its creation is not in
    /// the future.
    MomentBack,
}

impl ClockJump {
    pub(crate) const ALL: [Self; 5] = [
        Self::HourAhead,
        Self::HourBack,
        Self::DayAhead,
        Self::DayBack,
        Self::MomentBack,
    ];

    /// As `libfaketime` reads it: seconds that are added to the time.
    const fn seconds(self) -> &'static str {
        match self {
            Self::HourAhead => "+3600",
            Self::HourBack => "-3600",
            Self::MinutesAhead => "+1200",
            Self::DayAhead => "+86400",
            Self::DayBack => "-86400",
            Self::MomentBack => "-30",
        }
    }
}

/// Owner of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockOwner {
    Replica(usize),
    Postgres,
}

/// The clocks of all processes. That which runs on without a break is left alone.
#[derive(Debug)]
pub(crate) struct FakeClocks {
    /// Holds how far off each is, a file each.
    folder: TempDir,
    libfaketime: PathBuf,
}

impl FakeClocks {
    /// Finds the library where packages put it.
    pub(crate) fn find() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let places = "ls /usr/lib*/faketime/libfaketimeMT.so.1 /usr/lib/*/faketime/libfaketimeMT.so.1 \
                      /usr/local/lib/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1";
        let found = Command::new("sh").args(["-c", places]).output();
        let found = found.expect("`sh` starts").stdout;
        let path = String::from_utf8(found).expect("paths are UTF-8");
        assert!(
            !path.trim().is_empty(),
            "`libfaketime` is not installed; `scripts/test` installs it"
        );
        let clocks = Self {
            folder: shim::folder(),
            libfaketime: path.trim().into(),
        };
        shim::build("clock.c", &clocks.companion());
        Some(clocks)
    }

    fn companion(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn control(&self, owner: ClockOwner) -> PathBuf {
        self.folder.path().join(format!("{owner:?}"))
    }

    /// Returns the environment of a process with this clock, which goes right at first.
    pub(crate) fn environment(&self, owner: ClockOwner) -> Environment {
        self.repair(owner);
        let libraries = [self.companion(), self.libfaketime.clone()];
        let one = "1".to_owned();
        Environment::from([
            (
                shim::PRELOAD,
                libraries.map(|path| path.display().to_string()).join(":"),
            ),
            (
                "FAKETIME_TIMESTAMP_FILE",
                self.control(owner).display().to_string(),
            ),
            // Looks again whenever another second has begun; at every call it would cost too much.
            ("FAKETIME_CACHE_DURATION", "0".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", one.clone()),
            ("NO_FAKE_STAT", one),
        ])
    }

    /// Puts a clock off, which its process sees within a second.
    pub(crate) fn jump(&self, owner: ClockOwner, jump: ClockJump) {
        shim::write_control_file(&self.control(owner), jump.seconds());
    }

    /// Puts a clock right.
    pub(crate) fn repair(&self, owner: ClockOwner) {
        shim::write_control_file(&self.control(owner), "+0");
    }
}

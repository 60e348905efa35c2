//! An [`App`] for unit tests.

use tempfile::TempDir;

use super::App;
use super::config::Config;
use latchet_guard::clock::Clock;

/// An app on a separate SQLite file.
pub(super) struct TestApp {
    pub(super) app: App,
    /// Removed at the end of the test.
    _folder: TempDir,
}

impl TestApp {
    pub(super) async fn open(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let settings = settings.iter().copied().chain([("LATCHET_DATA_DIR", path)]);
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::load(["latchet".to_owned()], settings).unwrap();
        Self {
            app: App::open(config, Clock::system()).await.unwrap(),
            _folder: folder,
        }
    }
}

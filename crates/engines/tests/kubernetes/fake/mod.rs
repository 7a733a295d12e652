//! A fake of a Kubernetes API server, for machines where no real one is at hand. It keeps objects in
//! memory and speaks as much of the REST interface as the engine and the twin of a kubelet use:
//! lists with selectors, create, get, merge patches, deletion with grace and preconditions, watches
//! with versions that expire (410 inside of a 200), 409, 404, 403 by quotas, logs. Behind it stand
//! what passes for a scheduler and a job controller: pods for the indexes of jobs, deadlines,
//! conditions, garbage.
//!
//! `tests/kubernetes/compare.rs` asks it and a real one the same and compares the answers.

mod controllers;
mod serve;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use store::Store;

/// A fake API server that answers for as long as it lives.
pub struct Fake {
    store: Arc<Store>,
    server: std::sync::Mutex<Option<serve::Server>>,
    port: u16,
    config: PathBuf,
}

impl Fake {
    pub fn start(dir: &Path) -> Self {
        let store = Arc::new(Store::new(dir.join("twin")));
        let server = serve::Server::start(Arc::clone(&store), 0);
        let port = server.port;
        let config = dir.join("fake.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\n\
             clusters: [{{name: fake, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
             users: [{{name: user, user: {{token: t}}}}]\n\
             contexts: [{{name: fake, context: {{cluster: fake, user: user}}}}]\n"
        );
        std::fs::write(&config, text).expect("writes");
        Self { store, server: std::sync::Mutex::new(Some(server)), port, config }
    }

    pub fn config(&self) -> PathBuf {
        self.config.clone()
    }

    /// Ends it, with every connection; what it keeps stays.
    pub fn kill(&self) {
        *self.server.lock().expect("nobody panics holding it") = None;
    }

    /// Starts it again; old versions are not remembered.
    pub fn revive(&self) {
        self.store.forget_versions();
        let server = serve::Server::start(Arc::clone(&self.store), self.port);
        *self.server.lock().expect("nobody panics holding it") = Some(server);
    }
}

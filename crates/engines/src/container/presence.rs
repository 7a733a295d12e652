//! Whether docker was there all the time.
//!
//! Docker forgets how a container ended that ended while docker was away, and then says 255, as of
//! one that ended with 255. So one connection is held for as long as docker lives: what ended while
//! the same one held ended as docker says. Knows no container; asks for nothing but a stream of events
//! that it does not read.
//!
//! Invariant: a [`Visit`] is given out only between the first word of docker's answer and the end
//! of the connection, and never twice.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::tending::ASK_AGAIN_AFTER;

/// How long a start waits for docker to be heard: it is there, or nothing starts anyway.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// The question: the engine's events of no kind that there is, so that none comes. HTTP by hand:
/// the library's stream does not tell when it was answered, which is all that is asked.
const QUESTION: &[u8] = b"GET /events?filters=%7B%22type%22%3A%5B%22none%22%5D%7D HTTP/1.1\r\n\
    Host: docker\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 ";

/// One life of docker's, as far as it was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Visit(u64);

/// The connection that is held.
#[derive(Default)]
pub(super) struct Presence {
    now: Cell<Option<Visit>>,
    visits: Cell<u64>,
    heard: Notify,
}

impl Presence {
    /// Which life of docker's it is; none: nobody is heard.
    pub(super) fn now(&self) -> Option<Visit> {
        self.now.get()
    }

    /// The same, after a moment for it to begin.
    pub(super) async fn soon(&self) -> Option<Visit> {
        let begun = async {
            while self.now().is_none() {
                self.heard.notified().await;
            }
        };
        let _ = tokio::time::timeout(HEARD_WITHIN, begun).await;
        self.now()
    }

    /// Holds a connection, and the next when it ends; never returns.
    pub(super) async fn hold(&self, socket: &Path) {
        loop {
            if let Err(error) = self.once(socket).await {
                tracing::debug!(%error, "docker is not heard");
            }
            self.now.set(None);
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    async fn once(&self, socket: &Path) -> io::Result<()> {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(QUESTION).await?;
        let mut first = [0; ANSWER.len()];
        stream.read_exact(&mut first).await?;
        if first != ANSWER {
            return Err(io::Error::other(String::from_utf8_lossy(&first).into_owned()));
        }
        self.visits.set(self.visits.get() + 1);
        self.now.set(Some(Visit(self.visits.get())));
        self.heard.notify_waiters();
        let mut rest = [0; 4 << 10];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn each_life_is_told_from_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("docker.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.expect("a runtime"), async {
            let presence = Rc::new(Presence::default());
            let (held, at) = (Rc::clone(&presence), socket.clone());
            tokio::task::spawn_local(async move { held.hold(&at).await });
            let mut seen = Vec::new();
            for _ in 0..2 {
                let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
                let (mut stream, _) = listener.accept().await.expect("a visitor");
                assert_eq!(presence.now(), None, "nobody has answered yet");
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
                let visit = presence.soon().await;
                assert!(visit.is_some() && !seen.contains(&visit), "{visit:?} after {seen:?}");
                seen.push(visit);
                drop((stream, listener));
                std::fs::remove_file(&socket).expect("removed");
                while presence.now().is_some() {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
}

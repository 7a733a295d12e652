//! A refusal is heard out: what is still coming of a request's body is read and thrown away before the
//! answer goes out.
//!
//! Without it the connection is closed under a client that still writes: it sees a broken pipe, and
//! never the reason. Must not know what any call means.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};

use super::extract::BODY_MAX;

/// No more of a refused body is read than a whole one may have. Our own programs send less at once.
const BYTES_MAX: usize = BODY_MAX;
/// Nor for longer than this: whoever trickles is cut off.
const TIME_MAX: Duration = Duration::from_secs(10);

/// A body that a handler reads, and of which the rest can be read when it has not.
#[derive(Clone)]
struct Rest(Arc<Mutex<BodyDataStream>>);

impl Rest {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body.into_data_stream())))
    }

    fn stream(
        self,
    ) -> impl futures_util::Stream<Item = Result<axum::body::Bytes, axum::Error>> + Send + 'static
    {
        stream::poll_fn(move |context| {
            self.0.lock().expect("nobody panics while holding it").poll_next_unpin(context)
        })
    }

    /// Reads it to its end, within the limits.
    async fn drain(self) {
        let mut left = BYTES_MAX;
        let mut chunks = std::pin::pin!(self.stream());
        let reading = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                let Some(less) = left.checked_sub(chunk.len()) else { return };
                left = less;
            }
        };
        // Either way the answer goes out now.
        let _ = tokio::time::timeout(TIME_MAX, reading).await;
    }
}

/// Lets a refusal wait until the client has said all it was about to say.
pub(super) async fn heard_out(request: Request, next: Next) -> Response {
    // Whoever waits to be told to go on has sent nothing, and is spared it.
    let asks_first = request.headers().contains_key(header::EXPECT);
    if asks_first || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let rest = Rest::new(body);
    let body = Body::from_stream(rest.clone().stream());
    let response = next.run(Request::from_parts(parts, body)).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    // Whoever still reads it has a use for what comes.
    if refused && Arc::strong_count(&rest.0) == 1 {
        rest.drain().await;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(chunks: usize, bytes: usize) -> (Rest, Arc<Mutex<usize>>) {
        let read = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&read);
        let chunks = stream::iter(0..chunks).map(move |_| {
            *counted.lock().expect("not poisoned") += 1;
            Ok::<_, std::io::Error>(vec![0_u8; bytes])
        });
        (Rest::new(Body::from_stream(chunks)), read)
    }

    #[tokio::test]
    async fn what_is_still_coming_is_read_to_its_end() {
        let (rest, read) = body(5, 100);
        let mut first = rest.clone().stream();
        assert_eq!(first.next().await.expect("a chunk").expect("read").len(), 100);
        rest.drain().await;
        assert_eq!(*read.lock().expect("not poisoned"), 5);
        assert!(first.next().await.is_none());
    }

    #[tokio::test]
    async fn no_more_is_read_than_a_body_may_have() {
        let (rest, read) = body(40, 1 << 20);
        rest.drain().await;
        assert_eq!(*read.lock().expect("not poisoned"), (BYTES_MAX >> 20) + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nor_for_longer_than_told() {
        let rest = Rest::new(Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>()));
        let begun = tokio::time::Instant::now();
        rest.drain().await;
        assert_eq!(begun.elapsed(), TIME_MAX);
    }
}

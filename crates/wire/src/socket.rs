//! A web socket over a connection of the HTTP client, so that it takes the same proxies, pins and
//! certificates as every other request.

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{RequestBuilder, Response, StatusCode, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub use tokio_tungstenite::tungstenite::{Error, Message};

use crate::exec::MESSAGE_BYTES_MAX;

/// An open socket.
pub type Socket = WebSocketStream<Upgraded>;

/// Why there is none.
#[derive(Debug)]
pub enum NoSocket {
    /// The request was not answered.
    Unanswered(reqwest::Error),
    /// It was answered with something else.
    Refused(Response),
}

/// Opens a socket by a GET request that says whom it speaks for. Its client must be one that speaks
/// HTTP/1.1 only: a connection of HTTP/2 is shared and cannot become a socket.
pub async fn open(request: RequestBuilder) -> Result<Socket, NoSocket> {
    let sent = request
        .version(reqwest::Version::HTTP_11)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .send();
    let response = sent.await.map_err(NoSocket::Unanswered)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(NoSocket::Refused(response));
    }
    let upgraded = response.upgrade().await.map_err(NoSocket::Unanswered)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
}

//! A client that costs little: one HTTP/1.1 connection, one request at a time.

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection with a token.
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Connection {
    /// Opens it.
    pub async fn open(address: &str, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let authorization = format!("Bearer {token}");
        Ok(Self { sender, host: address.to_owned(), authorization })
    }

    /// Sends bytes and gives back the status and the body.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// Posts JSON; anything but success is an error.
    pub async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, bytes) = self.send(Method::POST, path, body.to_string().into()).await?;
        ensure!((200..300).contains(&status), "POST {path}: {status} {}", text(&bytes));
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Gets JSON; anything but success is an error.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let (status, bytes) = self.send(Method::GET, path, Bytes::new()).await?;
        ensure!(status == 200, "GET {path}: {status} {}", text(&bytes));
        serde_json::from_slice(&bytes).context("JSON")
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).chars().take(400).collect()
}

/// Percentiles of latencies in microseconds.
pub fn percentile(sorted: &[u64], permille: usize) -> u64 {
    let at = sorted.len().saturating_sub(1) * permille / 1_000;
    sorted.get(at).copied().unwrap_or(0)
}

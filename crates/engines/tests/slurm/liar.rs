//! A REST daemon that lies: it stands before the real one, and passes on what it is asked, or does
//! something else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// Says what the real one says.
    Honest,
    /// Passes submissions on, and says nonsense of how that went.
    ForgetsSubmissions,
    /// This instead of an answer, with this status.
    Says(u16, &'static str),
    /// Half of the real answer, then hangs up.
    HalfAnAnswer,
    /// Hangs up.
    Silent,
    /// Says nothing and holds the line.
    HoldsTheLine,
}

struct Shared {
    real: u16,
    mood: Mutex<Mood>,
    /// Questions that were met in the present mood.
    met: AtomicUsize,
    over: AtomicBool,
    /// Lines that are held.
    held: Mutex<Vec<TcpStream>>,
}

/// The liar. It ends when it is dropped.
pub struct Liar {
    port: u16,
    shared: Arc<Shared>,
}

impl Liar {
    /// Stands before the real one at this port.
    pub fn before(real: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            real,
            mood: Mutex::new(Mood::Honest),
            met: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            held: Mutex::new(Vec::new()),
        });
        let side = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if side.over.load(Ordering::SeqCst) {
                    return;
                }
                let (side, stream) = (Arc::clone(&side), stream.expect("accepts"));
                std::thread::spawn(move || side.serve(stream));
            }
        });
        Self { port, shared }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn becomes(&self, mood: Mood) {
        *self.shared.mood.lock().expect("no thread panics holding it") = mood;
        self.shared.met.store(0, Ordering::SeqCst);
        self.shared.held.lock().expect("no thread panics holding it").clear();
    }

    /// How many questions it has met in this mood.
    pub fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request: its head, as far as the blank line, and its body.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut scratch = [0u8; 4_096];
    loop {
        let blank = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(at) = blank {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            });
            let length: usize = length.unwrap_or(0);
            while bytes.len() < at + 4 + length {
                match stream.read(&mut scratch).ok()? {
                    0 => return None,
                    n => bytes.extend_from_slice(&scratch[..n]),
                }
            }
            return Some((head, bytes[at + 4..].to_vec()));
        }
        match stream.read(&mut scratch).ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&scratch[..n]),
        }
    }
}

impl Shared {
    /// What the real one says, as it says it.
    fn real_answer(&self, head: &str, body: &[u8]) -> Vec<u8> {
        let Ok(mut real) = TcpStream::connect(("127.0.0.1", self.real)) else { return Vec::new() };
        // It reads on after its answer, until it is hung up on: so the answer's own length ends it.
        let _ = real.set_read_timeout(Some(Duration::from_secs(30)));
        let head: Vec<&str> = head
            .lines()
            .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
            .collect();
        let head = format!("{}\r\nConnection: close\r\n\r\n", head.join("\r\n"));
        let mut answer = Vec::new();
        if real.write_all(head.as_bytes()).and_then(|()| real.write_all(body)).is_ok() {
            let _ = real.read_to_end(&mut answer);
        }
        answer
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = request(&mut stream) else { return };
        let mood = *self.mood.lock().expect("no thread panics holding it");
        let says = |status: u16, text: &str| {
            let length = text.len();
            format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            )
            .into_bytes()
        };
        let answer = match mood {
            Mood::Honest => self.real_answer(&head, &body),
            Mood::ForgetsSubmissions if head.starts_with("POST") => {
                let _ = self.real_answer(&head, &body);
                self.met.fetch_add(1, Ordering::SeqCst);
                says(502, "<html>Bad Gateway</html>")
            }
            Mood::ForgetsSubmissions => self.real_answer(&head, &body),
            Mood::Says(status, text) => says(status, text),
            Mood::HalfAnAnswer => {
                let whole = self.real_answer(&head, &body);
                whole[..whole.len() / 2].to_vec()
            }
            Mood::Silent => Vec::new(),
            Mood::HoldsTheLine => {
                self.met.fetch_add(1, Ordering::SeqCst);
                self.held.lock().expect("no thread panics holding it").push(stream);
                return;
            }
        };
        // Whoever asked may have gone.
        let _ = stream.write_all(&answer);
        if mood != Mood::ForgetsSubmissions {
            self.met.fetch_add(1, Ordering::SeqCst);
        }
    }
}

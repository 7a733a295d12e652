//! A network link that can be cut: bytes pass between an agent and the exchange until it is, and
//! then nothing does, in neither direction, without a word to either end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a link that is cut looks whether it is mended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Link {
    /// Where the agent connects to.
    pub url: String,
    cut: Arc<AtomicBool>,
}

impl Link {
    /// A link to the address.
    pub fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let cut = Arc::new(AtomicBool::new(false));
        let (gate, address) = (cut.clone(), address.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&address) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let gate = gate.clone();
                    std::thread::spawn(move || carry(from, to, &gate));
                }
            }
        });
        Self { url, cut }
    }

    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        while cut.load(Ordering::SeqCst) {
            std::thread::park_timeout(LOOK_EVERY);
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

//! How ranks find one another and talk: plain TCP between neighbours, and to rank 0.
//!
//! Rank 0 listens where everybody looks: at the head's host and the gang's port, or at an
//! address it writes into a shared file. Every other rank opens a port of its own, tells rank 0,
//! and gets the list of all. Rank i then calls rank i−1. Invariant: a rank of another gang, or
//! of the same gang with other arguments, is refused by its fingerprint; every wait has a limit.
//! Must not know what the numbers mean.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::canvas::write_whole;
use crate::rng::mix;

/// How long ranks wait for one another to start: tasks of a gang are placed together, but a
/// busy machine may take a while to start the last one.
const GATHER_LIMIT: Duration = Duration::from_mins(1);
/// How long a rank may be silent in the middle of the work before its neighbours give up.
const SILENCE_LIMIT: Duration = Duration::from_mins(2);
/// A hello that takes longer than this is not one of ours.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// First and longest pause between attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// Begins every hello; the digit is the protocol's version.
const MAGIC: [u8; 8] = *b"DYGANG1\n";
/// A list of members longer than this is not one of ours.
const LIST_MAX: usize = 1 << 20;

/// Where rank 0 is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meeting {
    /// At this host and port.
    Port {
        /// Host of rank 0.
        head: String,
        /// Port that was set aside for this gang.
        port: u16,
    },
    /// At the address that rank 0 writes into this file, which all ranks can see. The file must
    /// be this gang's own.
    File(PathBuf),
}

/// One rank's connections.
#[derive(Debug)]
pub struct Gang {
    rank: usize,
    size: usize,
    south: Option<TcpStream>,
    north: Option<TcpStream>,
    /// On rank 0 all others in order, elsewhere rank 0 alone.
    star: Vec<TcpStream>,
}

/// A number that ranks of one gang share: a hash of its name and of what they work on.
pub fn fingerprint(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .fold(7, |hash, byte| mix(hash ^ u64::from(byte)))
}

impl Gang {
    /// A gang of one.
    pub fn alone() -> Gang {
        Gang { rank: 0, size: 1, south: None, north: None, star: Vec::new() }
    }

    /// Meets the other ranks; returns when all are connected.
    pub fn form(rank: usize, size: usize, meeting: &Meeting, print: u64) -> anyhow::Result<Gang> {
        if size == 1 {
            return Ok(Gang::alone());
        }
        let until = Deadline::after(GATHER_LIMIT);
        let (own, star, ports) = if rank == 0 {
            let door = open_door(meeting, until)?;
            let ip = door.local_addr()?.ip();
            let own = TcpListener::bind((ip, 0)).context("cannot open a port for neighbours")?;
            let (star, ports) = receive(&door, own.local_addr()?.port(), size, print, until)?;
            (own, star, ports)
        } else {
            let head = call(|| where_is(meeting), until).with_context(|| match meeting {
                Meeting::Port { head, port } => format!("rank 0 does not answer at {head}:{port}"),
                Meeting::File(path) => format!("rank 0 does not answer as {} says", path.display()),
            })?;
            let own = TcpListener::bind((head.local_addr()?.ip(), 0))
                .context("cannot open a port for neighbours")?;
            let ports = introduce(&head, rank, size, own.local_addr()?.port(), print)?;
            (own, vec![head], ports)
        };
        let mut gang = Gang { rank, size, south: None, north: None, star };
        gang.meet_neighbours(&own, &ports, print, until)?;
        for stream in gang.star.iter().chain(&gang.south).chain(&gang.north) {
            prepare(stream)?;
        }
        Ok(gang)
    }

    /// Connects the chain: each rank calls the one south of it and is called from the north.
    fn meet_neighbours(
        &mut self,
        own: &TcpListener,
        members: &[SocketAddr],
        print: u64,
        until: Deadline,
    ) -> anyhow::Result<()> {
        if self.rank > 0 {
            let address = members[self.rank - 1];
            let stream = call(|| Ok(address), until)
                .with_context(|| format!("rank {} does not answer at {address}", self.rank - 1))?;
            (&stream).write_all(&hello(self.rank, self.size, 0, print))?;
            self.south = Some(stream);
        }
        while self.rank + 1 < self.size && self.north.is_none() {
            let stream = accept(own, until)
                .with_context(|| format!("rank {} did not call", self.rank + 1))?;
            let said = read_hello(&stream, self.size, print);
            if said.is_ok_and(|(rank, _)| rank == self.rank + 1) {
                self.north = Some(stream);
            }
        }
        Ok(())
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Sends a row to each neighbour and receives one from each. Even ranks send first, odd ones
    /// receive first, so that no size of row can make all of them wait in sending.
    pub fn exchange(
        &mut self,
        south: &[f64],
        north: &[f64],
        below: &mut [f64],
        above: &mut [f64],
    ) -> anyhow::Result<()> {
        let rank = self.rank;
        if rank.is_multiple_of(2) {
            trade(self.north.as_ref(), north, above).with_context(|| neighbour(rank, 1))?;
            trade(self.south.as_ref(), south, below).with_context(|| neighbour(rank, -1))
        } else {
            answer(self.south.as_ref(), south, below).with_context(|| neighbour(rank, -1))?;
            answer(self.north.as_ref(), north, above).with_context(|| neighbour(rank, 1))
        }
    }

    /// Brings every rank's values to rank 0, in order of rank; others get `None`.
    pub fn gather(&mut self, mine: Vec<f64>) -> anyhow::Result<Option<Vec<Vec<f64>>>> {
        if self.rank > 0 {
            let head = self.star.first().context("rank 0 is not connected")?;
            send(head, &[mine.len() as f64])
                .and_then(|()| send(head, &mine))
                .with_context(|| format!("rank {}: rank 0 is gone", self.rank))?;
            return Ok(None);
        }
        let mut all = vec![mine];
        for (i, stream) in self.star.iter().enumerate() {
            let lost = || format!("rank {} is gone", i + 1);
            let mut length = [0.0];
            receive_values(stream, &mut length).with_context(lost)?;
            // 2^27 values are a gigabyte: more than any grid the arguments allow.
            ensure!((0.0..=134_217_728.0).contains(&length[0]), "rank {} sent nonsense", i + 1);
            let mut values = vec![0.0; length[0] as usize];
            receive_values(stream, &mut values).with_context(lost)?;
            all.push(values);
        }
        Ok(Some(all))
    }
}

fn neighbour(rank: usize, way: isize) -> String {
    format!("rank {rank}: rank {} fell silent", rank as isize + way)
}

fn trade(stream: Option<&TcpStream>, mine: &[f64], theirs: &mut [f64]) -> std::io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    send(stream, mine)?;
    receive_values(stream, theirs)
}

fn answer(stream: Option<&TcpStream>, mine: &[f64], theirs: &mut [f64]) -> std::io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    receive_values(stream, theirs)?;
    send(stream, mine)
}

fn send(mut stream: &TcpStream, values: &[f64]) -> std::io::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    stream.write_all(&bytes)
}

fn receive_values(mut stream: &TcpStream, values: &mut [f64]) -> std::io::Result<()> {
    let mut bytes = vec![0; values.len() * 8];
    stream.read_exact(&mut bytes)?;
    for (value, part) in values.iter_mut().zip(bytes.chunks_exact(8)) {
        *value = f64::from_le_bytes(part.try_into().expect("chunks of eight bytes"));
    }
    Ok(())
}

/// Rows are small and everybody waits for them: send at once, and never wait for ever.
fn prepare(stream: &TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    stream.set_write_timeout(Some(SILENCE_LIMIT))?;
    Ok(())
}

/// Rank 0's door: bound where the others look.
fn open_door(meeting: &Meeting, until: Deadline) -> anyhow::Result<TcpListener> {
    match meeting {
        Meeting::File(path) => {
            let door = TcpListener::bind(("127.0.0.1", 0)).context("cannot open a port")?;
            write_whole(path, door.local_addr()?.to_string().as_bytes())?;
            Ok(door)
        }
        Meeting::Port { head, port } => loop {
            match TcpListener::bind((head.as_str(), *port)) {
                Ok(door) => return Ok(door),
                // The head's name may belong to an address translator in front of this machine.
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                    return TcpListener::bind(("0.0.0.0", *port))
                        .with_context(|| format!("cannot listen at port {port}"));
                }
                Err(error) if until.passed() || error.kind() != ErrorKind::AddrInUse => {
                    return Err(error).with_context(|| format!("cannot listen at {head}:{port}"));
                }
                Err(_) => pause(PAUSE.1),
            }
        },
    }
}

fn where_is(meeting: &Meeting) -> anyhow::Result<SocketAddr> {
    match meeting {
        Meeting::Port { head, port } => (head.as_str(), *port)
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {head}"))?
            .next()
            .with_context(|| format!("{head} has no address")),
        Meeting::File(path) => read_address(path),
    }
}

fn read_address(path: &Path) -> anyhow::Result<SocketAddr> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no address", path.display()))
}

/// Connects, again and again until the limit.
fn call(
    address: impl Fn() -> anyhow::Result<SocketAddr>,
    until: Deadline,
) -> anyhow::Result<TcpStream> {
    let mut wait = PAUSE.0;
    loop {
        let tried = address().and_then(|at| Ok(TcpStream::connect_timeout(&at, HELLO_LIMIT)?));
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) if until.passed() => return Err(error),
            Err(_) => pause(wait),
        }
        wait = (wait * 2).min(PAUSE.1);
    }
}

fn accept(door: &TcpListener, until: Deadline) -> anyhow::Result<TcpStream> {
    door.set_nonblocking(true)?;
    loop {
        match door.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ensure!(!until.passed(), "waited {} s", GATHER_LIMIT.as_secs());
                pause(PAUSE.0);
            }
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

/// Rank 0 hears every other rank once and tells all of them where all are.
fn receive(
    door: &TcpListener,
    own_port: u16,
    size: usize,
    print: u64,
    until: Deadline,
) -> anyhow::Result<(Vec<TcpStream>, Vec<SocketAddr>)> {
    let mut seats: Vec<Option<(TcpStream, SocketAddr)>> = (1..size).map(|_| None).collect();
    while let Some(missing) = seats.iter().position(Option::is_none) {
        let stream =
            accept(door, until).with_context(|| format!("rank {} did not come", missing + 1))?;
        // Whoever is not of this gang is sent away; the ranks that are keep their time.
        if let Ok((rank @ 1.., port)) = read_hello(&stream, size, print)
            && seats[rank - 1].is_none()
        {
            let address = SocketAddr::new(stream.peer_addr()?.ip(), port);
            seats[rank - 1] = Some((stream, address));
        }
    }
    let (star, others): (Vec<_>, Vec<_>) = seats.into_iter().flatten().unzip();
    // Rank 0's own address differs by who looks: each rank puts in the one it reached.
    let mut list = format!("{own_port}");
    for address in &others {
        let _ = write!(list, " {address}");
    }
    for mut stream in &star {
        let sent = stream
            .write_all(&(list.len() as u32).to_le_bytes())
            .and_then(|()| stream.write_all(list.as_bytes()));
        sent.context("a rank left while the gang formed")?;
    }
    Ok((star, Vec::new()))
}

/// Another rank says who it is and learns where all are.
fn introduce(
    mut head: &TcpStream,
    rank: usize,
    size: usize,
    port: u16,
    print: u64,
) -> anyhow::Result<Vec<SocketAddr>> {
    head.set_read_timeout(Some(GATHER_LIMIT))?;
    head.write_all(&hello(rank, size, port, print)).context("rank 0 hung up")?;
    let mut length = [0; 4];
    head.read_exact(&mut length)
        .context("rank 0 sent us away: another gang's, or started with other arguments")?;
    let length = u32::from_le_bytes(length) as usize;
    ensure!(length <= LIST_MAX, "rank 0 sent nonsense");
    let mut text = vec![0; length];
    head.read_exact(&mut text).context("rank 0 hung up")?;
    let text = String::from_utf8(text).context("rank 0 sent nonsense")?;
    let mut words = text.split(' ');
    let port: u16 = words.next().and_then(|w| w.parse().ok()).context("rank 0 sent nonsense")?;
    let ip: IpAddr = head.peer_addr()?.ip();
    let mut members = vec![SocketAddr::new(ip, port)];
    for word in words {
        members.push(word.parse().context("rank 0 sent nonsense")?);
    }
    if members.len() != size {
        bail!("rank 0 knows {} ranks, not {size}", members.len());
    }
    Ok(members)
}

/// Magic, fingerprint, rank, size, port; little-endian.
fn hello(rank: usize, size: usize, port: u16, print: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(print.to_le_bytes());
    bytes.extend((rank as u32).to_le_bytes());
    bytes.extend((size as u32).to_le_bytes());
    bytes.extend(port.to_le_bytes());
    bytes
}

fn read_hello(mut stream: &TcpStream, size: usize, print: u64) -> anyhow::Result<(usize, u16)> {
    stream.set_read_timeout(Some(HELLO_LIMIT))?;
    let mut bytes = [0; 26];
    stream.read_exact(&mut bytes).context("no hello")?;
    let rank = u32::from_le_bytes(bytes[16..20].try_into()?) as usize;
    ensure!(bytes[..24] == hello(rank, size, 0, print)[..24], "not of this gang");
    ensure!(rank < size, "rank {rank} of {size}");
    Ok((rank, u16::from_le_bytes(bytes[24..].try_into()?)))
}

/// A moment after which waiting ends.
#[derive(Debug, Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a limit on waiting for other processes")]
    fn after(span: Duration) -> Deadline {
        Deadline(Instant::now() + span)
    }

    #[expect(clippy::disallowed_methods, reason = "a limit on waiting for other processes")]
    fn passed(self) -> bool {
        Instant::now() >= self.0
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "between attempts to reach a process that has not started yet there is nothing to \
              wait on; the deadline bounds the whole"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A rendezvous file of its own for every test.
    fn meeting() -> Meeting {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dayan-gang-{}-{count}/meet", std::process::id());
        Meeting::File(std::env::temp_dir().join(name))
    }

    fn clean(meeting: &Meeting) {
        if let Meeting::File(path) = meeting {
            let _ = std::fs::remove_dir_all(path.parent().unwrap());
        }
    }

    #[test]
    fn ranks_meet_exchange_and_gather() {
        let meeting = meeting();
        let size = 4;
        let gathered = std::thread::scope(|scope| {
            let ranks: Vec<_> = (0..size)
                .map(|rank| {
                    let meeting = &meeting;
                    scope.spawn(move || {
                        let mut gang = Gang::form(rank, size, meeting, 42).unwrap();
                        let me = rank as f64;
                        let (mut below, mut above) = (vec![-1.0; 900], vec![-1.0; 900]);
                        for _ in 0..3 {
                            gang.exchange(&[me; 900], &[me; 900], &mut below, &mut above).unwrap();
                        }
                        gang.gather(vec![me, below[7], above[899]]).unwrap()
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
        });
        clean(&meeting);
        let all = gathered[0].as_ref().unwrap();
        assert_eq!(all[0], [0.0, -1.0, 1.0]);
        assert_eq!(all[1], [1.0, 0.0, 2.0]);
        assert_eq!(all[3], [3.0, 2.0, -1.0]);
        assert!(gathered[1].is_none());
    }

    #[test]
    fn strangers_are_sent_away_and_the_gang_still_forms() {
        let meeting = meeting();
        std::thread::scope(|scope| {
            let head = scope.spawn(|| Gang::form(0, 2, &meeting, 1).map(|gang| gang.size()));
            let Meeting::File(path) = &meeting else { unreachable!() };
            let until = Deadline::after(GATHER_LIMIT);
            // Not a hello at all, then a rank of another gang.
            let mut noise = call(|| read_address(path), until).unwrap();
            noise.write_all(b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n").unwrap();
            let stranger = call(|| read_address(path), until).unwrap();
            assert!(introduce(&stranger, 1, 2, 1, 2).is_err());
            let rank = Gang::form(1, 2, &meeting, 1).unwrap();
            assert_eq!(rank.rank(), 1);
            assert_eq!(head.join().unwrap().unwrap(), 2);
        });
        clean(&meeting);
    }

    #[test]
    fn a_rank_that_dies_is_named() {
        let meeting = meeting();
        std::thread::scope(|scope| {
            let head = scope.spawn(|| {
                let mut gang = Gang::form(0, 2, &meeting, 1)?;
                gang.exchange(&[0.0], &[0.0], &mut [0.0], &mut [0.0])
            });
            drop(Gang::form(1, 2, &meeting, 1).unwrap());
            let error = head.join().unwrap().unwrap_err().to_string();
            assert!(error.contains("rank 1"), "{error}");
        });
        clean(&meeting);
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["a"]), fingerprint(&["a"]));
    }
}

//! Talk: connections as services, beacons, searches and thieves make them, and questions for names.
//!
//! Not here: floods, see `network.rs`. Addresses are numbers, and names are asked of a server by hand.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

/// How long an attempt to connect is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a request and an answer are: small, and always alike.
const REQUEST: [u8; 120] = [b'q'; 120];
const ANSWER: [u8; 300] = [b'a'; 300];

const MEGABYTE: usize = 1_000_000;

/// Answers each request with some bytes and closes; takes whatever comes until the other closes.
pub(crate) fn serve(at: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    for stream in listener.incoming() {
        thread::spawn(move || stream.and_then(answer));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_answered = false;
    while stream.read(&mut buffer)? > 0 {
        if !is_answered {
            stream.write_all(&ANSWER)?;
            is_answered = true;
        }
    }
    Ok(())
}

/// Asks once, or again and again: after `every`, less an even share of it of up to `jitter`.
pub(crate) fn ask(to: SocketAddr, every: Option<(Duration, f64)>) -> io::Result<()> {
    let mut turn = 0.0_f64;
    loop {
        let asked = Instant::now();
        let outcome = request(to);
        let Some((every, jitter)) = every else { return outcome };
        // Weyl's sequence is as even as a jitter can be, and the same in every run.
        turn = (turn + 0.618_033_988) % 1.0;
        let pause = every.mul_f64(1.0 - jitter * turn);
        thread::sleep(pause.saturating_sub(asked.elapsed()));
    }
}

fn request(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(&REQUEST)?;
    // Whatever it says, and however much, it is an answer.
    stream.read(&mut [0; 512]).map(drop)
}

/// Tries every port of an address, one after the other.
pub(crate) fn scan(address: IpAddr, first: u16, last: u16) {
    for port in first..=last {
        // Refused or not, the next one.
        drop(TcpStream::connect_timeout(&(address, port).into(), PATIENCE));
    }
    crate::hold(())
}

/// Tries one port of every address of a network of 256.
pub(crate) fn sweep(network: Ipv4Addr, port: u16) {
    let [a, b, c, _] = network.octets();
    for last in 1..=254 {
        drop(TcpStream::connect_timeout(&(Ipv4Addr::new(a, b, c, last), port).into(), PATIENCE));
    }
    crate::hold(())
}

/// Sends so many megabytes over one connection.
pub(crate) fn upload(to: SocketAddr, megabytes: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    let block = vec![b'u'; MEGABYTE];
    for _ in 0..megabytes {
        stream.write_all(&block)?;
    }
    stream.flush()?;
    drop(stream);
    crate::hold(())
}

/// Opens a connection that stands still for a while, and then sends over it.
pub(crate) fn upload_later(to: SocketAddr, megabytes: usize, pause: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(b"u")?;
    thread::sleep(pause);
    let block = vec![b'u'; MEGABYTE];
    for _ in 0..megabytes {
        stream.write_all(&block)?;
        // As fast as a line of 200 Mbit/s: nothing is hidden in one moment.
        thread::sleep(Duration::from_millis(40));
    }
    // It stays open: what it carried shows before its end.
    crate::hold(stream)
}

/// Opens and closes connections to itself, so many a second, from that many threads.
pub(crate) fn churn(per_second: u32, threads: u32) -> io::Result<()> {
    let pause = Duration::from_secs(1) * threads / per_second.max(1);
    let dialers: Vec<_> = (0..threads).map(|_| thread::spawn(move || dial(pause))).collect();
    for dialer in dialers {
        dialer.join().map_err(|_| io::Error::other("a thread that opens connections panicked"))??;
    }
    Ok(())
}

/// Opens connections to a listener of its own, one after the other.
fn dial(pause: Duration) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    thread::spawn(move || listener.incoming().for_each(drop));
    let mut due = Instant::now();
    loop {
        if let Ok(stream) = TcpStream::connect(at) {
            // Closed with a reset, else ports that wait a minute for stragglers are what limits it.
            set_socket_linger(&stream, Some(Duration::ZERO))?;
        }
        due = (due + pause).max(Instant::now() - Duration::from_millis(50));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Asks a name server for ever new names below a domain that carry data, so many a second.
pub(crate) fn tunnel(server: SocketAddr, domain: &str, per_second: u32) -> io::Result<()> {
    const TXT: u16 = 16;
    let socket = resolver(server)?;
    for turn in 0_u64.. {
        let data = turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let name = format!("{data:016x}{:016x}{data:016x}.{domain}", data.rotate_left(17));
        question(&socket, &name, TXT)?;
        thread::sleep(Duration::from_secs(1) / per_second.max(1));
    }
    Ok(())
}

/// Asks for many honest names as software does: both kinds of address, many domains, again and again.
pub(crate) fn lookups(server: SocketAddr, per_second: u32) -> io::Result<()> {
    let socket = resolver(server)?;
    for turn in 0_u32.. {
        let host = ["www", "api", "cdn", "mail", "static"][(turn / 2 % 5) as usize];
        let name = format!("{host}.shop-{}.com", turn / 10 % 40);
        question(&socket, &name, if turn % 2 == 0 { 1 } else { 28 })?;
        thread::sleep(Duration::from_secs(1) / per_second.max(1));
    }
    Ok(())
}

fn resolver(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

fn question(socket: &UdpSocket, name: &str, record_type: u16) -> io::Result<()> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(record_type.to_be_bytes());
    message.extend([0, 1]);
    // A server that is not there yet is what software meets.
    let _ = socket.send(&message);
    let _ = socket.recv(&mut [0; 512]);
    Ok(())
}

/// Answers every question with one address, whatever was asked.
pub(crate) fn names(at: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    let mut buffer = [0; 512];
    loop {
        let (size, from) = socket.recv_from(&mut buffer)?;
        let Some(asked) = buffer.get(..size).filter(|asked| asked.len() > 12) else { continue };
        let mut answer = asked.to_vec();
        (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
        answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x0a");
        let _ = socket.send_to(&answer, from);
    }
}

/// Asks a container engine through its socket what it is, once a second.
pub(crate) fn engine(socket: &Path) -> io::Result<()> {
    loop {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(b"GET /version HTTP/1.0\r\nHost: engine\r\n\r\n")?;
        stream.read(&mut [0; 4096]).map(drop)?;
        thread::sleep(Duration::from_secs(1));
    }
}

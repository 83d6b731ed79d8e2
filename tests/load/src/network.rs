//! Load on the network: floods of datagrams and of connections, and who takes them.
//!
//! Not here: names. Addresses are numbers: a static program has no resolver to rely on.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Small, so that the packets cost and not the bytes.
const DATAGRAM: [u8; 18] = [b'x'; 18];

/// Sends so many datagrams a second, or as many as it can.
pub(crate) fn send_datagrams(to: SocketAddr, per_second: Option<u32>) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    loop {
        // Full queues and a peer that is not there yet are what a flood meets.
        let _ = socket.send(&DATAGRAM);
        if let Some(rate) = per_second {
            thread::sleep(Duration::from_secs(1) / rate.max(1));
        }
    }
}

/// Takes datagrams and drops them.
pub(crate) fn drain_datagrams(at: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    let mut buffer = [0; 64];
    loop {
        socket.recv(&mut buffer)?;
    }
}

/// Opens so many connections a second and lets the server close them.
pub(crate) fn connect(to: SocketAddr, per_second: u32) -> io::Result<()> {
    let pause = Duration::from_secs(1) / per_second.max(1);
    let mut due = Instant::now();
    loop {
        // Refused, or out of ports: the flood goes on.
        if let Ok(mut stream) = TcpStream::connect(to) {
            let _ = stream.read(&mut [0; 1]);
        }
        due = (due + pause).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Accepts connections and closes them at once.
pub(crate) fn accept(at: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    for stream in listener.incoming() {
        // A client that has gone again is no reason to stop.
        drop(stream);
    }
    Ok(())
}

/// Sends one datagram to each of so many addresses of this host, and to as many ports of an address elsewhere.
pub(crate) fn spread_datagrams(count: u16, elsewhere: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        // A port that nothing listens at answers with an error, which is of no interest.
        let _refused = socket.send_to(b"x", (IpAddr::from([127, 9, high, low]), 9));
        let _refused = socket.send_to(b"x", (elsewhere, number.max(1)));
    }
    Ok(())
}

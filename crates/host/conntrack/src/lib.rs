//! Where a connection truly goes and comes from, asked of the kernel's connection tracking one connection at a time.
//!
//! A question costs the same however many connections there are. Not here: the whole table, which is never read; what
//! a proxy does in user space (Docker's `docker-proxy`), which connection tracking cannot know; tracking zones, of
//! which only the default one is asked.

pub mod error;

mod message;

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use model::traffic::Protocol;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use self::error::ConntrackError;
use self::message::{Entry, Side, Tuple};

/// The kernel answers before the question's system call returns; a wait is for the day it does not.
const WAIT: Duration = Duration::from_millis(20);
/// An answer has about 300 bytes, with labels and a security context some hundred more.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Answers to earlier questions that are passed over before one is given up.
const STALE_MAX: u32 = 16;

/// A line to the connection tracking of one network namespace. Needs `CAP_NET_ADMIN` there.
#[derive(Debug)]
pub struct Conntrack {
    socket: OwnedFd,
    sequence: u32,
    answer: Vec<u8>,
}

impl Conntrack {
    /// Of the network namespace that the calling thread is in.
    pub fn open() -> Result<Self, ConntrackError> {
        let opened = || {
            let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
            let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, Some(NETFILTER))?;
            // Connected to the kernel (port 0), it takes nothing from anybody else.
            rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(WAIT))?;
            set_socket_timeout(&socket, Timeout::Send, Some(WAIT))?;
            Ok(socket)
        };
        let socket = opened().map_err(|errno: Errno| ConntrackError::Open(errno.into()))?;
        Ok(Self { socket, sequence: 0, answer: Vec::with_capacity(ANSWER_BYTES_MAX) })
    }

    /// Of the network namespace at a path such as `/proc/1/ns/net`; also needs `CAP_SYS_ADMIN`.
    pub fn open_in(namespace: &Path) -> Result<Self, ConntrackError> {
        let failed = |source| ConntrackError::Namespace { path: namespace.to_path_buf(), source };
        let inside = File::open(namespace).map_err(failed)?;
        // A thread of its own enters it and ends there: the socket stays what it was opened in.
        let enter = move || {
            move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network)).map(|()| Self::open())
        };
        let thread = std::thread::Builder::new().name("net namespace".to_owned()).spawn(enter);
        let entered = thread.map_err(failed)?.join().map_err(|_| failed(Errno::CANCELED.into()))?;
        entered.map_err(|errno| failed(errno.into()))?
    }

    /// The address and port that really answers a socket which is `local` and thinks that it talks to `remote`; `None`
    /// when the destination is not translated, the connection is not tracked (any more), or the protocol has no ports.
    pub fn translated(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Option<SocketAddr>, ConntrackError> {
        let Some(asked) = Tuple::new(protocol, local, remote) else { return Ok(None) };
        let entry = self.ask(Side::Original, asked)?;
        let answers = entry.filter(|entry| entry.original == asked).map(|entry| entry.reply.source);
        Ok(answers.filter(|&answers| answers != asked.destination))
    }

    /// The address and port of the client that a socket which accepted a connection, or received a first packet, knows
    /// as `remote`; `None` when the source is not translated, or as above.
    pub fn original(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Option<SocketAddr>, ConntrackError> {
        let Some(asked) = Tuple::new(protocol, local, remote) else { return Ok(None) };
        let entry = self.ask(Side::Reply, asked)?;
        let client = entry.filter(|entry| entry.reply == asked).map(|entry| entry.original.source);
        Ok(client.filter(|&client| client != asked.destination))
    }

    /// The kernel finds an entry by either of its sides, whichever was asked for: which it was is for the caller to see.
    fn ask(&mut self, side: Side, tuple: Tuple) -> Result<Option<Entry>, ConntrackError> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let question = message::question(side, tuple, sequence);
        rustix::net::send(&self.socket, &question, SendFlags::empty()).map_err(failed)?;
        for _ in 0..STALE_MAX {
            if let Some(answer) = message::answer(self.receive()?, sequence) {
                return answer;
            }
        }
        Err(ConntrackError::NoAnswer)
    }

    fn receive(&mut self) -> Result<&[u8], ConntrackError> {
        self.answer.clear();
        let room = spare_capacity(&mut self.answer);
        let (_, bytes) = rustix::net::recv(&self.socket, room, RecvFlags::TRUNC).map_err(failed)?;
        // The kernel tells how long it was, whatever fitted.
        if bytes > self.answer.len() {
            return Err(ConntrackError::Malformed(format!("{bytes} bytes long")));
        }
        Ok(&self.answer)
    }
}

fn failed(errno: Errno) -> ConntrackError {
    if errno == Errno::AGAIN { ConntrackError::NoAnswer } else { ConntrackError::Refused(errno.into()) }
}

//! Connections to a Docker engine of which no more than a bound is ever read: the library keeps an answer whole, and an
//! endless one would fill the memory before its time is over.
//!
//! Not here: what is asked, and for how long (`docker.rs`).

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::BollardRequest;
use bollard::errors::Error;
use http::{HeaderValue, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// Most that is read of one answer, or of one subscription before it is begun anew. A list of 10,000 containers with 20
/// labels each has about 30 MB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Error>> + Send>>;

/// Sends each request on a connection of its own to the socket.
pub(crate) fn transport(socket: PathBuf) -> impl Fn(BollardRequest) -> Answer + Send + Sync {
    move |request| {
        let socket = socket.clone();
        Box::pin(async move { ask(socket, request).await })
    }
}

async fn ask(socket: PathBuf, request: BollardRequest) -> Result<Response<Incoming>, Error> {
    let stream = UnixStream::connect(socket).await?;
    let bounded = TokioIo::new(Bounded { stream, left: ANSWER_BYTES_MAX });
    let (mut sender, connection) = http1::handshake(bounded).await?;
    // Ends with the answer, or when that is no longer read.
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    head.headers.insert(header::HOST, HeaderValue::from_static("docker"));
    Ok(sender.send_request(BollardRequest::from_parts(head, body)).await?)
}

/// A connection that fails once so much was read.
struct Bounded {
    stream: UnixStream,
    left: u64,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let problem = format!("it sends more than {ANSWER_BYTES_MAX} bytes");
            return Poll::Ready(Err(io::Error::other(problem)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(read);
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

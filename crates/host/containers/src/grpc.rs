//! A line to an engine that speaks gRPC over a Unix socket: every call ends at its timeout, every answer is bounded.
//!
//! Messages are declared by hand where they are used, with the fields that are read and no others: it needs no compiler
//! of protocols, and what is not declared is skipped unread. Not here: what is asked (`containerd.rs`, `cri.rs`).

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use model::time::Time;
use model::untrusted::Untrusted;
use prost::Message;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::error::{CallError, reason};

/// Largest message taken, in bytes: what these engines send at most when they are not told otherwise.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What the engine is addressed as; it does not look at it, and its server wants something that is a host.
const AUTHORITY: &str = "http://localhost";

/// A connection to one socket. Cheap to clone; calls may run side by side.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    channel: Channel,
    socket: Untrusted,
    call_timeout: Duration,
}

/// A call of a service: where it is, and in which of containerd's namespaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// `/package.Service/Method`.
    path: &'static str,
    namespace: Option<&'a Untrusted>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(path: &'static str) -> Self {
        Self { path, namespace: None }
    }

    pub(crate) fn within(path: &'static str, namespace: &'a Untrusted) -> Self {
        Self { path, namespace: Some(namespace) }
    }

    /// The method alone, for people.
    pub(crate) fn name(self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// [`CallError::Absent`] when there is no such socket, otherwise why nobody answered at it.
    pub(crate) async fn connect(socket: &Path, call_timeout_ms: u64) -> Result<Self, CallError> {
        let place = Untrusted::new(&socket.to_string_lossy());
        let call_timeout = Duration::from_millis(call_timeout_ms);
        let failed = |reason: Untrusted| CallError::Failed { socket: place.clone(), call: "connect", reason };
        match tokio::time::timeout(call_timeout, UnixStream::connect(socket)).await {
            Ok(Ok(probe)) => drop(probe),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CallError::Absent { socket: place });
            }
            Ok(Err(error)) => return Err(failed(reason(&error))),
            Err(_) => return Err(timed_out(&place, "connect", call_timeout)),
        }
        let path: PathBuf = socket.to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static(AUTHORITY);
        let connecting = endpoint.connect_with_connector(connector);
        let channel = match tokio::time::timeout(call_timeout, connecting).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(failed(reason(&error))),
            Err(_) => return Err(timed_out(&place, "connect", call_timeout)),
        };
        Ok(Self { channel, socket: place, call_timeout })
    }

    /// One question, one answer.
    pub(crate) async fn ask<Q, A>(&self, call: Call<'_>, question: Q) -> Result<A, CallError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let request = self.request(call, question)?;
        let mut client = self.client();
        let asking = async {
            ready(&mut client).await?;
            client.unary(request, PathAndQuery::from_static(call.path), ProstCodec::default()).await
        };
        Ok(self.timed(call, asking).await?.into_inner())
    }

    /// One question, an answer in parts; only the first part is waited for.
    pub(crate) async fn parts<Q, A>(&self, call: Call<'_>, question: Q) -> Result<Streaming<A>, CallError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let request = self.request(call, question)?;
        self.timed(call, begin(self.client(), request, call.path)).await
    }

    /// One question, answers for as long as the connection lasts; ends with an error. It is asked when first polled:
    /// engines do not so much as confirm a subscription before there is something to tell.
    pub(crate) fn subscribe<Q, A>(
        &self,
        call: Call<'static>,
        question: Q,
    ) -> impl Stream<Item = Result<A, CallError>> + use<Q, A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let (line, client, request) = (self.clone(), self.client(), self.request(call, question));
        let end = CallError::Ended { socket: self.socket.clone() };
        let begun = async move {
            match begin(client, request?, call.path).await {
                Ok(answers) => Ok(answers.map_err(move |status| line.refused(call, &status))),
                Err(status) => Err(line.refused(call, &status)),
            }
        };
        let answers = futures_util::stream::once(begun).try_flatten();
        answers.chain(futures_util::stream::once(std::future::ready(Err(end))))
    }

    /// Runs what a call still has to do within the time that every call has.
    pub(crate) async fn timed<T>(
        &self,
        call: Call<'_>,
        asking: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(self.call_timeout, asking).await {
            Ok(answer) => answer.map_err(|status| self.refused(call, &status)),
            Err(_) => Err(timed_out(&self.socket, call.name(), self.call_timeout)),
        }
    }

    /// What a refusal means.
    pub(crate) fn refused(&self, call: Call<'_>, status: &Status) -> CallError {
        let (socket, call) = (self.socket.clone(), call.name());
        match status.code() {
            Code::NotFound => CallError::Gone { socket, call, reason: Untrusted::new(status.message()) },
            Code::Unimplemented => CallError::Unserved { socket, call },
            _ if status.message().is_empty() => CallError::Failed { socket, call, reason: reason(status) },
            _ => CallError::Failed { socket, call, reason: Untrusted::new(status.message()) },
        }
    }

    /// The error for an answer that makes no sense.
    pub(crate) fn nonsense(&self, call: Call<'_>, problem: &str) -> CallError {
        let reason = Untrusted::new(problem);
        CallError::Failed { socket: self.socket.clone(), call: call.name(), reason }
    }

    fn client(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn request<Q>(&self, call: Call<'_>, question: Q) -> Result<Request<Q>, CallError> {
        let mut request = Request::new(question);
        if let Some(namespace) = call.namespace {
            let value = MetadataValue::try_from(namespace.raw())
                .map_err(|_| self.nonsense(call, &format!("no name of a namespace: {namespace}")))?;
            request.metadata_mut().insert("containerd-namespace", value);
        }
        Ok(request)
    }
}

async fn begin<Q, A>(
    mut client: Grpc<Channel>,
    request: Request<Q>,
    path: &'static str,
) -> Result<Streaming<A>, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    ready(&mut client).await?;
    let answer =
        client.server_streaming(request, PathAndQuery::from_static(path), ProstCodec::default()).await?;
    Ok(answer.into_inner())
}

async fn ready(client: &mut Grpc<Channel>) -> Result<(), Status> {
    client.ready().await.map_err(|error| Status::unavailable(reason(&error).raw()))
}

fn timed_out(socket: &Untrusted, call: &'static str, after: Duration) -> CallError {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    CallError::Timeout { socket: socket.clone(), call, after_ms }
}

/// Nothing: the question of calls that ask nothing, and the answer of those that only do something.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Empty {}

/// A message of any kind, or text in place of one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// An instant.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl Timestamp {
    /// The instant; `None` for those that stand for "never".
    pub(crate) fn time(self) -> Option<Time> {
        let ns = self.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(self.nanos))?;
        (ns > 0).then(|| Time::from_ns(ns))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn connect(socket: &Path) -> Result<Line, CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let line = Line::connect(socket, 80).await?;
            line.ask::<Empty, Empty>(Call::new("/a.B/Ping"), Empty {}).await?;
            Ok(line)
        })
    }

    #[test]
    fn no_socket_is_no_engine() {
        let dir = tempfile::tempdir().unwrap();
        let error = connect(&dir.path().join("none.sock")).unwrap_err();
        assert!(matches!(error, CallError::Absent { .. }), "{error}");
    }

    #[test]
    fn a_socket_nobody_serves_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("dead.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let error = connect(&socket).unwrap_err().to_string();
        assert!(error.ends_with("dead.sock: connect: Connection refused (os error 111)"), "{error}");
    }

    #[test]
    fn an_engine_that_never_answers_costs_no_more_than_the_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("silent.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let error = connect(&socket).unwrap_err().to_string();
        assert!(error.ends_with("silent.sock: Ping: no answer within 80 ms"), "{error}");
    }

    #[test]
    fn never_is_no_instant() {
        let never = Timestamp { seconds: -62_135_596_800, nanos: 0 };
        assert_eq!(never.time(), None);
        assert_eq!(Timestamp { seconds: i64::MAX, nanos: 1 }.time(), None);
        assert_eq!(Timestamp { seconds: 2, nanos: 3 }.time(), Some(Time::from_ns(2_000_000_003)));
    }
}

//! Load on the container engine, through its socket mounted into the container: runs programs and asks without end.
//!
//! Not here: a client of the engine. Two requests in plain HTTP are all that an attacker needs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Runs `true` in the container and inspects it, over and over.
pub(crate) fn call(socket: &Path, container: &str) -> io::Result<()> {
    loop {
        let exec = r#"{"Cmd":["true"],"AttachStdout":false}"#;
        let made = ask(socket, &format!("POST /containers/{container}/exec"), exec)?;
        let id = made.split("\"Id\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let id = id.ok_or_else(|| io::Error::other(format!("no exec was made: {made}")))?;
        ask(socket, &format!("POST /exec/{id}/start"), r#"{"Detach":true}"#)?;
        ask(socket, &format!("GET /containers/{container}/json"), "")?;
    }
}

fn ask(socket: &Path, request: &str, body: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

//! What Podman's files do not tell of a container, asked of who serves its interface: labels, and the declared health check.
//!
//! Any user of the host may be who serves it, so neither the time nor the size of an answer is left to them: one question
//! a connection, in HTTP/1.0, whose answer is all that comes until the end. Not here: who serves it (`hostfs`), when to ask
//! (`sources`).

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use bollard::models::HealthConfig;
use model::labels::Relevance;
use model::runtime::ContainerFacts;
use model::untrusted::Untrusted;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::change::is_container_id;
use crate::inspected::health_check;
use crate::labels::bounded_labels;

/// Podman's answers are of about four kilobytes, and what is more is labels and variables.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// What was declared when a container was made, which nobody can change later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    labels: Vec<(Untrusted, Untrusted)>,
    labels_dropped: u32,
    health_check: Untrusted,
}

impl Declared {
    /// Completes what is known of the container; nothing that is told there already is changed.
    pub fn complete(&self, facts: &mut ContainerFacts) {
        facts.labels.clone_from(&self.labels);
        facts.labels_dropped = self.labels_dropped;
        facts.health_check.clone_from(&self.health_check);
    }

    /// How long its labels are together.
    pub fn label_bytes(&self) -> usize {
        self.labels.iter().map(|(key, value)| key.raw().len() + value.raw().len()).sum()
    }

    /// The same with only the labels kept by which an orchestrator says whose it is; the others are counted as dropped.
    pub fn without_other_labels(mut self) -> Self {
        let before = self.labels.len();
        self.labels.retain(|(key, _)| Relevance::of(key.raw()) == Relevance::Decisive);
        let more = u32::try_from(before - self.labels.len()).unwrap_or(u32::MAX);
        self.labels_dropped = self.labels_dropped.saturating_add(more);
        self
    }
}

/// A question without a usable answer.
#[derive(Debug, thiserror::Error)]
pub enum PodmanError {
    /// Nobody answered, or not in time; the next question will fare no better.
    #[error("no answer: {0}")]
    Silent(#[from] io::Error),
    /// What was answered about this container is of no use.
    #[error("no usable answer: {0}")]
    Refused(&'static str),
}

/// What the one who listens at `socket` says that was declared for a container.
///
/// # Errors
/// Why it is not known.
pub async fn declared(socket: &Path, id: &Untrusted, within: Duration) -> Result<Declared, PodmanError> {
    if !is_container_id(id.raw()) {
        return Err(PodmanError::Refused("the id is none of Podman's"));
    }
    let asked = tokio::time::timeout(within, exchange(socket, id.raw())).await;
    let answer = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    understood(id.raw(), &answer).map_err(PodmanError::Refused)
}

async fn exchange(socket: &Path, id: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    let question = format!("GET /containers/{id}/json HTTP/1.0\r\nHost: podman\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    // One more tells that there would be more.
    stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
    match answer.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(answer),
    }
}

fn understood(id: &str, answer: &[u8]) -> Result<Declared, &'static str> {
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err("the answer is too long");
    }
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("the answer is no HTTP")?;
    let status = answer[..end].split(|&byte| byte == b' ').nth(1);
    if !answer.starts_with(b"HTTP/1.") || status != Some(b"200") {
        return Err("it does not know the container");
    }
    let inspected: Inspected =
        serde_json::from_slice(&answer[end + 4..]).map_err(|_| "the answer is no container's")?;
    if inspected.id != id {
        return Err("the answer is another container's");
    }
    let (labels, labels_dropped) = bounded_labels(&inspected.config.labels.unwrap_or_default());
    let check = inspected.config.healthcheck.unwrap_or_default();
    // Podman knows of no other shell than the usual one.
    Ok(Declared { labels, labels_dropped, health_check: health_check(check, None) })
}

/// The part of an answer that Podman's files do not tell.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    labels: Option<HashMap<String, String>>,
    healthcheck: Option<HealthConfig>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4fc288fddf0fcdedb5e99a4658dfe8f69f0a13a5cc26dbf51be6d950fa7d0c49";

    fn answer(status: &str, body: &str) -> Result<Declared, &'static str> {
        let head = format!("HTTP/1.0 {status}\r\nServer: Libpod/4.3.1 (linux)\r\n\r\n");
        understood(ID, format!("{head}{}", body.replace("ID", ID)).as_bytes())
    }

    #[test]
    fn labels_and_the_health_check_are_understood_as_podman_tells_them() {
        let body = r#"{"Id":"ID","Name":"/web","Config":{"Cmd":["sleep","9"],"StopSignal":"15",
            "Healthcheck":{"Test":["CMD-SHELL","true x"],"Interval":30000000000,"Retries":3},
            "Labels":{"b":"2","a":"1"}},"HostConfig":{"Unknown":[]}}"#;
        let mut facts = ContainerFacts { name: "web".into(), ..ContainerFacts::default() };
        answer("200 OK", body).unwrap().complete(&mut facts);
        assert_eq!(facts.labels, [("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!((facts.health_check.raw(), facts.name.raw()), ("/bin/sh -c true x", "web"));
        let none = answer("200 OK", r#"{"Id":"ID","Config":{"Labels":null}}"#).unwrap();
        assert_eq!(none, Declared::default());
    }

    #[test]
    fn what_is_no_answer_about_that_container_is_refused() {
        for (status, body, why) in [
            ("404 Not Found", r#"{"message":"no such container"}"#, "it does not know the container"),
            ("200 OK", "[", "the answer is no container's"),
            ("200 OK", r#"{"Id":"aa","Config":{}}"#, "the answer is another container's"),
        ] {
            assert_eq!(answer(status, body), Err(why));
        }
        assert_eq!(understood(ID, b"\x00\xff\r\n\r\n"), Err("it does not know the container"));
        assert_eq!(understood(ID, b"SSH-2.0"), Err("the answer is no HTTP"));
        let long = vec![b'x'; 1024 * 1024 + 1];
        assert_eq!(understood(ID, &long), Err("the answer is too long"));
    }

    #[test]
    fn labels_that_are_too_many_are_counted() {
        let mut labels: Vec<String> = (0..69).map(|number| format!(r#""k{number:02}":"v""#)).collect();
        labels.push(r#""io.kubernetes.pod.uid":"v""#.to_owned());
        let body = format!(r#"{{"Id":"ID","Config":{{"Labels":{{{}}}}}}}"#, labels.join(","));
        let declared = answer("200 OK", &body).unwrap();
        assert_eq!((declared.label_bytes(), declared.labels_dropped), (63 * 4 + 22, 6));
        let without = declared.without_other_labels();
        assert_eq!((without.label_bytes(), without.labels_dropped), (22, 69));
    }
}

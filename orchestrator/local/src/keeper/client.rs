//! Talking to the keeper, from the supervisor (which must not block) and from the command.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use neuroca_deploy_edge::Listener;

use super::protocol::{Answer, KeeperStatus, Listen, Request};
use crate::layout::StateDir;

/// A new edge has to come up within it; stopping takes as long as draining does.
const ANSWERS: Duration = Duration::from_secs(30);

/// Why the keeper did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error("{0}")]
    Refused(String),
    #[error("the keeper does not answer: {0}")]
    Silent(String),
}

pub(crate) async fn listen(
    state: &StateDir,
    listeners: Vec<Listener>,
    drain_ms: u64,
) -> Result<(), KeeperError> {
    let request = Request::Listen { listen: Listen { listeners, drain_ms } };
    beside(state, request).await.map(|_| ())
}

pub(crate) async fn reserve(state: &StateDir, listeners: Vec<Listener>) -> Result<(), KeeperError> {
    beside(state, Request::Reserve { listeners }).await.map(|_| ())
}

/// What runs, as the keeper sees it.
pub(crate) fn status(state: &StateDir) -> Result<KeeperStatus, KeeperError> {
    match ask(state, &Request::Status, ANSWERS)? {
        Answer::Status(status) => Ok(status),
        other => Err(KeeperError::Silent(format!("unexpected answer {other:?}"))),
    }
}

pub(crate) fn upgrade(state: &StateDir, exe: &Path) -> Result<(), KeeperError> {
    ask(state, &Request::Upgrade { exe: exe.into() }, ANSWERS).map(|_| ())
}

/// Has a keeper that was started on demand make place for another.
pub(crate) fn leave(state: &StateDir) -> Result<(), KeeperError> {
    ask(state, &Request::Leave, ANSWERS).map(|_| ())
}

/// Returns when everything has ended.
pub(crate) fn stop(state: &StateDir) -> Result<(), KeeperError> {
    ask(state, &Request::Stop, Duration::from_secs(3600)).map(|_| ())
}

async fn beside(state: &StateDir, request: Request) -> Result<Answer, KeeperError> {
    let state = state.clone();
    tokio::task::spawn_blocking(move || ask(&state, &request, ANSWERS))
        .await
        .unwrap_or_else(|e| Err(KeeperError::Silent(e.to_string())))
}

fn ask(state: &StateDir, request: &Request, wait: Duration) -> Result<Answer, KeeperError> {
    let silent = |e: &dyn std::fmt::Display| KeeperError::Silent(e.to_string());
    let talk = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(state.keeper_socket())?;
        stream.set_read_timeout(Some(wait))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let line = talk().map_err(|e| silent(&e))?;
    if line.is_empty() {
        return Err(KeeperError::Silent("it closed the connection".into()));
    }
    match serde_json::from_str(&line).map_err(|e| silent(&e))? {
        Answer::Refused(why) => Err(KeeperError::Refused(why)),
        answer => Ok(answer),
    }
}

//! Long-lived streams: opened, listened to, and opened again when the server ends them, as a
//! browser does. How each ended is what matters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::connection::{Connection, Protocol};
use crate::record::{Ending, StreamKind};
use crate::run::{Run, revision};

const AGAIN: Duration = Duration::from_millis(100);
const PING: Duration = Duration::from_secs(1);

pub(crate) fn start(run: &Arc<Run>, tasks: &mut JoinSet<()>) {
    for number in 0..run.load.streams {
        let protocol = if number % 2 == 1 && run.load.h2_connections > 0 {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        tasks.spawn(listen(run.clone(), protocol));
    }
    for _ in 0..run.load.websockets {
        tasks.spawn(talk(run.clone()));
    }
}

/// One that is open.
struct Open<'a> {
    run: &'a Run,
    kind: StreamKind,
    since: Instant,
    messages: u64,
    revision: Option<String>,
}

impl<'a> Open<'a> {
    fn new(run: &'a Run, kind: StreamKind, revision: Option<String>) -> Self {
        run.tally.stream(kind, |report| report.opened += 1);
        Self { run, kind, since: Instant::now(), messages: 0, revision }
    }

    fn message(&mut self) {
        self.messages += 1;
        self.run.tally.stream(self.kind, |report| report.messages += 1);
    }

    fn ended(self, clean: bool, detail: String) {
        let tally = &self.run.tally;
        let ending = Ending {
            opened_ms: tally.millis(self.since),
            ended_ms: tally.millis(Instant::now()),
            messages: self.messages,
            clean,
            revision: self.revision,
            detail,
        };
        tally.stream_ended(self.kind, ending);
    }
}

async fn listen(run: Arc<Run>, protocol: Protocol) {
    let kind = StreamKind::Events;
    loop {
        let connection = Connection::new(&run.load.authority, protocol);
        let request = connection.request("GET", &run.load.stream_path, Bytes::new());
        match connection.stream(request, &run.tally).await {
            Ok((response, _sender)) if response.status().is_success() => {
                let mut open = Open::new(&run, kind, revision(response.headers()));
                let mut body = response.into_body();
                let failure = loop {
                    match body.frame().await {
                        None => break None,
                        Some(Ok(_)) => open.message(),
                        Some(Err(error)) => break Some(error.to_string()),
                    }
                };
                open.ended(failure.is_none(), failure.unwrap_or_default());
            }
            _ => run.tally.stream(kind, |report| report.refused += 1),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Says something every second and listens; a close frame is a clean end.
async fn talk(run: Arc<Run>) {
    let kind = StreamKind::WebSocket;
    let url = format!("ws://{}{}", run.load.authority, run.load.websocket_path);
    loop {
        match tokio_tungstenite::connect_async(&url).await {
            Ok((mut socket, response)) => {
                let mut open = Open::new(&run, kind, revision(response.headers()));
                let mut ticks = tokio::time::interval(PING);
                let (clean, detail) = loop {
                    tokio::select! {
                        _ = ticks.tick() => {
                            if let Err(error) = socket.send(Message::text("ping")).await {
                                break (false, error.to_string());
                            }
                        }
                        message = socket.next() => match message {
                            Some(Ok(Message::Close(_))) => break (true, String::new()),
                            Some(Ok(_)) => open.message(),
                            Some(Err(error)) => break (false, error.to_string()),
                            None => break (false, "ended without a close frame".to_owned()),
                        }
                    }
                };
                open.ended(clean, detail);
            }
            Err(_) => run.tally.stream(kind, |report| report.refused += 1),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

//! Constant load from clients that never retry, while releases, rollbacks, upgrades, new sizes and
//! deaths of the supervisor happen.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Machine, kill, seen};
use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::release::{Release, RevisionId};
use neuroca_deploy_local::control;

/// Clients and what became of their requests.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..6)
            .map(|n| {
                let (stop, answered) = (stop.clone(), answered.clone());
                std::thread::spawn(move || {
                    let mut failures = Vec::new();
                    let mut kept = None;
                    while !stop.load(Ordering::SeqCst) {
                        let result = if n % 2 == 0 {
                            common::get(port, "/").map(|(status, _)| status)
                        } else {
                            on_kept_connection(port, &mut kept)
                        };
                        match result {
                            Ok(200) => {
                                answered.fetch_add(1, Ordering::SeqCst);
                            }
                            Ok(status) => failures.push(format!("client {n}: status {status}")),
                            Err(error) => {
                                kept = None;
                                failures.push(format!("client {n}: {error}"));
                            }
                        }
                    }
                    failures
                })
            })
            .collect();
        Self { stop, answered, clients }
    }

    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let failures = self.clients.into_iter().flat_map(|c| c.join().expect("no panic")).collect();
        (self.answered.load(Ordering::SeqCst), failures)
    }
}

/// One request on a connection that stays open until the edge says `connection: close`.
fn on_kept_connection(port: u16, kept: &mut Option<BufReader<TcpStream>>) -> std::io::Result<u16> {
    if kept.is_none() {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        *kept = Some(BufReader::new(stream));
    }
    let connection = kept.as_mut().expect("just opened");
    connection.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let (mut status, mut length, mut close) = (0, 0, false);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("closed without an answer"));
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if status == 0 {
            status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().map_err(std::io::Error::other)?;
        } else if line == "connection: close" {
            close = true;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    if close {
        *kept = None;
    }
    Ok(status)
}

/// As the engine goes over: start, ready, shift, drain, stop.
async fn go_over(machine: &Machine, from: &Release, to: &Release) {
    machine.deploy(to).await;
    let old: RevisionId = from.revision("api").expect("there");
    if Some(&old) == to.revision("api").as_ref() {
        return;
    }
    machine
        .until("drained", |o| {
            let r = seen(o, &old);
            r.in_flight == 0 && r.streams == 0
        })
        .await;
    let stop = Effect::StopRevision { component: "api".into(), revision: old };
    machine.perform(stop).await.expect("stopped");
}

#[tokio::test]
async fn no_request_is_lost_while_everything_changes() {
    let machine = Machine::new().await;
    let named = |name: &str, replicas: u32| {
        let mut server = machine.server(name);
        server.replicas = replicas;
        machine.release(&[("api", server)])
    };
    let releases = [named("a", 1), named("b", 2), named("c", 1)];
    machine.deploy(&releases[0]).await;
    let load = Load::start(machine.port);
    let mut now = 0;
    for round in 0..9 {
        let next = (now + 1) % releases.len();
        go_over(&machine, &releases[now], &releases[next]).await;
        now = next;
        match round % 3 {
            0 => {
                let status = control::status(&machine.state).expect("running");
                kill(status.supervisor.expect("there").pid);
            }
            1 => {
                control::upgrade(&machine.state, &machine.exe).expect("upgraded");
            }
            _ => {
                let size = named(["a", "b", "c"][now], if now == 1 { 1 } else { 2 });
                machine.start(&size).await;
                machine.start(&releases[now]).await;
            }
        }
    }
    let (answered, failures) = load.end();
    assert_eq!(failures, Vec::<String>::new(), "of {answered}");
    assert!(answered > 500, "{answered}");
}

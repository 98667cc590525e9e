//! Counts for a judge of what real components did, across the deaths of our own processes.

mod common;

use std::time::{Duration, Instant};

use common::{Machine, get, kill, seen, write};
use neuroca_deploy_core::effect::{Effect, Share, Traffic};
use neuroca_deploy_core::judge::{Compared, Counts, Sides, Window};
use neuroca_deploy_core::release::Release;
use neuroca_deploy_engine::ports::Metrics;
use neuroca_deploy_local::{LocalMetrics, control};

/// Fails every fifth request, hangs on every fifth, answers the others at once.
const TROUBLED: &str = r#"#!/usr/bin/env python3
import http.server, itertools, os, time
count = itertools.count()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = next(count) if self.path == "/load" else 0
        if n % 5 == 4: time.sleep(3600)
        self.send_response(500 if n % 5 == 3 else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

async fn split(machine: &Machine, old: &Release, new: &Release) -> Compared {
    machine.deploy(old).await;
    machine.start(new).await;
    let [stable, canary] = [old, new].map(|r| r.revision("api").expect("there"));
    machine.until("ready", |o| seen(o, &canary).is_ready()).await;
    let share = |revision, canary| Share { revision, weight: 50, canary };
    let shares = vec![share(stable.clone(), false), share(canary.clone(), true)];
    let traffic = Traffic { shares: [("api".to_string(), shares)].into(), ..machine.all_on(new) };
    machine.perform(Effect::Route { traffic }).await.expect("routed");
    Compared { component: "api".into(), canary, stable: Some(stable) }
}

/// Takes windows after `after_ms` until there is enough, as the engine does.
async fn windows(
    metrics: &LocalMetrics,
    compared: &Compared,
    mut after_ms: u64,
    enough: impl Fn(&Sides) -> bool,
) -> Vec<Window> {
    let (started, mut all) = (Instant::now(), Vec::<Window>::new());
    while !enough(&sum(&all)) {
        assert!(started.elapsed() < Duration::from_secs(30), "{:#?}", sum(&all));
        let asked = metrics.windows(std::slice::from_ref(compared), after_ms).await;
        let more = asked.expect("counts");
        assert!(more.is_sorted_by_key(|window| window.end_ms));
        assert!(more.iter().all(|w| w.end_ms > after_ms && w.end_ms % 2_000 == 0));
        after_ms = more.last().map_or(after_ms, |window| window.end_ms);
        all.extend(more);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    all
}

fn sum(windows: &[Window]) -> Sides {
    let add = |sum: &mut Counts, counts: &Counts| {
        sum.requests += counts.requests;
        sum.errors += counts.errors;
        for slower in &counts.latency {
            let place = sum.latency.iter().position(|s| s.bound_us == slower.bound_us);
            let place = place.unwrap_or_else(|| {
                sum.latency.push(neuroca_deploy_core::judge::Slower {
                    of: 0,
                    slower: 0,
                    ..*slower
                });
                sum.latency.len() - 1
            });
            sum.latency[place].of += slower.of;
            sum.latency[place].slower += slower.slower;
        }
    };
    windows.iter().filter_map(|w| w.components.get("api")).fold(Sides::default(), |mut all, s| {
        add(&mut all.canary, &s.canary);
        add(&mut all.stable, &s.stable);
        all
    })
}

/// At a bound near so many milliseconds: units, and those slower.
fn at(counts: &Counts, ms: u64) -> (u64, u64) {
    let bound =
        counts.latency.iter().filter(|s| s.bound_us >= ms * 1_000).min_by_key(|s| s.bound_us);
    bound.map_or((0, 0), |s| (s.of, s.slower))
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_millis() as u64
}

#[tokio::test]
async fn what_the_canary_did_is_told_beside_the_stable_side_of_the_same_time() {
    let machine = Machine::new().await;
    write(&machine.folder.path().join("app/troubled.py"), TROUBLED);
    let old = machine.release(&[("api", machine.server("old"))]);
    let new = machine.release(&[("api", machine.component(&["./troubled.py"]))]);
    let began = now_ms();
    let compared = split(&machine, &old, &new).await;
    let port = machine.port;
    let clients: Vec<_> =
        (0..100).map(|_| std::thread::spawn(move || get(port, "/load"))).collect();
    let answered = |sides: &Sides| {
        let (canary, stable) = (at(&sides.canary, 500), at(&sides.stable, 500));
        canary.0 + stable.0 == 100
            && sides.canary.requests + sides.stable.requests >= 100 - canary.0 / 5
    };
    let metrics = LocalMetrics::new(&machine.state, 2_000);
    let told = windows(&metrics, &compared, began, answered).await;
    let Sides { canary, stable } = sum(&told);
    assert_eq!(stable.errors, 0);
    let (of, slower) = at(&canary, 500);
    assert!((30..=70).contains(&of), "{of}");
    let (failing, hanging) = ((of + 1) / 5, of / 5);
    assert!(slower >= hanging, "what hangs is slow: {slower} of {of}");
    assert_eq!(canary.requests, of - hanging, "and has no outcome");
    assert_eq!(canary.errors, failing);
    assert_eq!(stable.requests, at(&stable, 500).0);
    // Asked again, the same; asked by somebody else too.
    let again = metrics.windows(std::slice::from_ref(&compared), began).await.expect("counts");
    assert_eq!(again[..told.len()], told[..]);
    drop(clients);
}

#[tokio::test]
async fn an_edge_that_hands_over_is_added_and_one_that_is_killed_is_gone() {
    let machine = Machine::new().await;
    let mut server = machine.server("old");
    server.drain = common::millis(20_000);
    let (old, new) = (
        machine.release(&[("api", server.clone())]),
        machine.release(&[("api", {
            server.env.insert("NAME".into(), "new".into());
            server
        })]),
    );
    let began = now_ms();
    let compared = split(&machine, &old, &new).await;
    let metrics = LocalMetrics::new(&machine.state, 2_000);
    let port = machine.port;
    // Keeps the first edge while the second one serves.
    let kept = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connects");
    for _ in 0..20 {
        machine.get("/").expect("answered");
    }
    control::upgrade(&machine.state, &machine.exe).expect("upgraded");
    for _ in 0..20 {
        machine.get("/").expect("answered");
    }
    let all = |sides: &Sides| sides.canary.requests + sides.stable.requests == 40;
    let told = windows(&metrics, &compared, began, all).await;
    assert_eq!((sum(&told).canary.errors, sum(&told).stable.errors), (0, 0));
    drop(kept);

    let edges = control::status(&machine.state).expect("running").edges;
    kill(edges.last().expect("serving").pid);
    machine.until("served again", |_| machine.get("/").is_ok_and(|a| a.0 == 200)).await;
    let after = now_ms();
    for _ in 0..10 {
        machine.get("/").expect("answered");
    }
    let some = |sides: &Sides| sides.canary.requests + sides.stable.requests >= 10;
    let told = windows(&metrics, &compared, after, some).await;
    assert!(sum(&told).canary.requests + sum(&told).stable.requests <= 12, "{:?}", sum(&told));

    // Nobody to ask is no count of zero.
    control::stop(&machine.state, &machine.exe).expect("stopped");
    let why = metrics.windows(&[compared], after).await.expect_err("nobody is there");
    assert!(why.to_string().contains("no supervisor is running"), "{why}");
}

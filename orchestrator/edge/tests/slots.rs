//! What a judge is told of real requests through a real edge.

mod site;

use http_body_util::BodyExt;
use hyper::Request;
use neuroca_deploy_edge::{Backend, HeaderRoute, Mirror, SlotCounts, Sticky};
use site::raw::{component, exactly, head, say, soon};
use site::{Client, Component, Edge, table};
use tokio::net::TcpStream;

/// All slots of a revision as one; what is in and out of a bound's units summed up to the last.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Sum {
    sent: u64,
    ended: u64,
    errors: u64,
    aborted: u64,
    timed: u64,
    /// Answered within 100 ms, given up within 100 ms.
    soon: i64,
    soon_out: i64,
    /// Answered or given up within any bound.
    ever: i64,
    ever_out: i64,
}

async fn sum(edge: &Edge, revision: &str) -> Sum {
    let report = edge.control.slots(0).await.expect("answers");
    let hundred_ms = report.bounds_us.partition_point(|bound| *bound < 100_000);
    let slots = report.revisions.get(revision).cloned().unwrap_or_default();
    let up_to = |all: &[(usize, i64)], last| -> i64 {
        all.iter().filter(|(place, _)| *place <= last).map(|(_, n)| n).sum()
    };
    slots.values().fold(Sum::default(), |sum, slot: &SlotCounts| Sum {
        sent: sum.sent + slot.sent,
        ended: sum.ended + slot.ended,
        errors: sum.errors + slot.errors,
        aborted: sum.aborted + slot.aborted,
        timed: sum.timed + slot.timed,
        soon: sum.soon + up_to(&slot.within, hundred_ms),
        soon_out: sum.soon_out + up_to(&slot.out, hundred_ms),
        ever: sum.ever + up_to(&slot.within, usize::MAX),
        ever_out: sum.ever_out + up_to(&slot.out, usize::MAX),
    })
}

/// The edge notes the end of a request after its last byte: at once, but after.
async fn until(edge: &Edge, revision: &str, is: impl Fn(&Sum) -> bool) -> Sum {
    let mut seen = Sum::default();
    let looking = async {
        loop {
            seen = sum(edge, revision).await;
            if is(&seen) {
                break;
            }
        }
    };
    if tokio::time::timeout(std::time::Duration::from_secs(10), looking).await.is_err() {
        panic!("not in ten seconds: {seen:?}");
    }
    seen
}

fn raw(name: &str, address: String) -> Backend {
    Backend { revision: name.into(), weight: 100, addresses: vec![address] }
}

async fn asks(edge: &Edge, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    say(&mut client, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    client
}

#[tokio::test]
async fn errors_are_5xx_and_what_never_came() {
    let a = Component::start("a").await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let gone = nobody.local_addr().expect("bound").to_string();
    drop(nobody);
    let broken = component(|mut stream| async move {
        if head(&mut stream).await.is_some_and(|head| head.contains("/half")) {
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
    })
    .await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    for path in ["/", "/", "/500", "/"] {
        edge.get(path).await;
    }
    let seen = until(&edge, "a", |seen| seen.ended == 4).await;
    assert_eq!((seen.sent, seen.errors, seen.aborted), (4, 1, 0));
    assert_eq!((seen.timed, seen.soon, seen.ever_out), (4, 4, 0));

    let put = |generation, backend| table(generation, &edge.address, vec![backend]);
    edge.control.put_table(&put(2, raw("gone", gone))).await.expect("accepted");
    assert_eq!(edge.get("/").await.0, 502);
    let seen = until(&edge, "gone", |seen| seen.ended == 1).await;
    assert_eq!((seen.sent, seen.errors, seen.soon), (1, 1, 1));

    edge.control.put_table(&put(3, raw("broken", broken))).await.expect("accepted");
    assert_eq!(edge.get("/").await.0, 502);
    let mut client = Client::connect(&edge.address).await;
    let half = client.ask(Request::get("/half"), "").await.expect("a head");
    half.into_body().collect().await.expect_err("broken off");
    let seen = until(&edge, "broken", |seen| seen.ended == 2).await;
    assert_eq!((seen.sent, seen.errors, seen.soon), (2, 2, 2));
    assert_eq!(sum(&edge, "a").await.sent, 4, "what is not routed any more is still told");
}

#[tokio::test]
async fn what_hangs_was_sent_and_is_missing() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let hanging = [asks(&edge, "/never").await, asks(&edge, "/never").await];
    edge.get("/").await;
    let seen = until(&edge, "a", |seen| seen.sent == 3 && seen.ended == 1).await;
    assert_eq!((seen.timed, seen.ever, seen.ever_out), (3, 1, 0));
    // The edge gives up after two seconds: that is an error, and an answer that came late.
    let seen = until(&edge, "a", |seen| seen.ended == 3).await;
    assert_eq!((seen.errors, seen.soon, seen.ever), (2, 1, 3));
    drop(hanging);
}

#[tokio::test]
async fn grpc_tells_in_headers_or_trailers() {
    let a = component(|mut stream| async move {
        while let Some(head) = head(&mut stream).await {
            let code = head.split(['/', ' ']).nth(2).expect("a path").to_string();
            let kind = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n";
            let text = if head.contains("trailing") {
                let chunk = "5\r\nhello\r\n0\r\n";
                format!(
                    "{kind}transfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n\
                     {chunk}grpc-status: {code}\r\n\r\n"
                )
            } else {
                format!("{kind}grpc-status: {code}\r\ncontent-length: 0\r\n\r\n")
            };
            say(&mut stream, &text).await;
        }
    })
    .await;
    let edge = Edge::start(|at| table(1, at, vec![raw("a", a)]));
    for code in [0, 1, 2, 3, 4, 5, 13, 14, 16] {
        edge.get(&format!("/{code}")).await;
        edge.get(&format!("/{code}/trailing")).await;
    }
    let seen = until(&edge, "a", |seen| seen.ended == 18).await;
    assert_eq!((seen.sent, seen.errors), (18, 8));
}

#[tokio::test]
async fn who_goes_away_says_nothing_about_the_component() {
    let a = component(|mut stream| async move {
        let head = head(&mut stream).await.expect("a request");
        if head.contains("/begun") {
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
    })
    .await;
    let edge = Edge::start(|at| table(1, at, vec![raw("a", a)]));
    let before = asks(&edge, "/").await;
    let mut amid = asks(&edge, "/begun").await;
    head(&mut amid).await.expect("a head");
    exactly(&mut amid, 4).await;
    let mut uploading = TcpStream::connect(&edge.address).await.expect("connects");
    say(&mut uploading, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf").await;
    until(&edge, "a", |seen| seen.sent == 3).await;
    drop((before, amid, uploading));
    let seen = until(&edge, "a", |seen| seen.aborted == 3).await;
    assert_eq!((seen.ended, seen.errors), (0, 0));
    // One had an answer, and how long that took is known.
    assert_eq!((seen.timed, seen.ever, seen.ever_out), (3, 1, 2));
}

#[tokio::test]
async fn a_stream_is_judged_by_its_head() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut events = asks(&edge, "/events").await;
    head(&mut events).await.expect("a head");
    let url = format!("ws://{}/ws", edge.address);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("upgraded");
    let seen = until(&edge, "a", |seen| seen.ended == 2).await;
    assert_eq!((seen.sent, seen.errors, seen.soon), (2, 0, 2));
    drop((events, socket));
    let over =
        async { while edge.control.status().await.expect("answers").revisions["a"].streams > 0 {} };
    soon("both closed", over).await;
    assert_eq!(sum(&edge, "a").await, seen);
}

#[tokio::test]
async fn who_asks_for_a_revision_is_no_sample() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let make = |generation, at: &str, weight, share| {
        let mut table = table(generation, at, vec![a.backend(100), b.backend(weight)]);
        table.routes[0].header_routes = vec![HeaderRoute {
            header: "x-version".into(),
            value: "new".into(),
            revision: "b".into(),
            share,
        }];
        table.routes[0].mirror = Some(Mirror { revision: "b".into(), percent: 100 });
        table
    };
    let edge = Edge::start(|at| make(1, at, 0, false));
    let mut client = Client::connect(&edge.address).await;
    let asked = || Request::get("/").header("x-version", "new");
    for (generation, weight, share, counted) in [(2, 0, false, 0), (3, 1, true, 0), (4, 0, true, 5)]
    {
        let next = make(generation, &edge.address, weight, share);
        edge.control.put_table(&next).await.expect("accepted");
        for _ in 0..5 {
            assert_eq!(client.send(asked()).await.expect("answered").1, "b 0");
        }
        let seen = until(&edge, "b", |seen| seen.ended == counted).await;
        assert_eq!(seen.sent, counted, "weight {weight}, a share: {share}");
    }
}

#[tokio::test]
async fn where_clients_stick_they_are_the_units() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let edge = Edge::start(|at| {
        let mut table = table(1, at, vec![a.backend(100), b.backend(0)]);
        table.sticky = Some(Sticky::Cookie("who".into()));
        table
    });
    let mut client = Client::connect(&edge.address).await;
    let first = client.ask(Request::get("/"), "").await.expect("answered");
    let cookie = first.headers()["set-cookie"].to_str().expect("text").to_string();
    first.into_body().collect().await.expect("whole");
    let cookie = cookie.split(';').next().expect("a pair").to_string();
    let mut visits = 0;
    for who in [cookie.as_str(), "who=1", "who=2"] {
        for path in ["/", "/500", "/500", "/", "/500"] {
            let request = Request::get(path).header("cookie", who);
            client.send(request).await.expect("answered");
            visits += 1;
        }
    }
    // Of the slots in which each was there the one in which it failed, and those before.
    let seen = until(&edge, "a", |seen| seen.ended == seen.sent && seen.errors == 3).await;
    assert!((3..visits).contains(&seen.sent), "{seen:?}");
    let later = Request::get("/500").header("cookie", "who=1");
    client.send(later).await.expect("answered");
    let again = sum(&edge, "a").await;
    assert_eq!((again.errors, again.sent), (3, seen.sent));
    // Another split is another comparison, with all who are there.
    let mut next = table(2, &edge.address, vec![a.backend(50), b.backend(0)]);
    next.sticky = Some(Sticky::Cookie("who".into()));
    edge.control.put_table(&next).await.expect("accepted");
    client.send(Request::get("/500").header("cookie", "who=1")).await.expect("answered");
    let seen = until(&edge, "a", |seen| seen.errors == 4).await;
    assert_eq!(seen.sent, again.sent + 1);
}

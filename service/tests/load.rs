//! The real binary under the load client that hides nothing: HTTP/1.1, HTTP/2 and open streams.

mod harness;

use harness::{Running, migrated};
use neuroca_load::{Load, run, verify};

#[tokio::test]
async fn no_request_is_lost_and_each_write_is_there_once() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[("NEUROCA_REVISION", "r1")]);
    let load = Load { requests: Some(2000), streams: 6, ..Load::new(&service.address) };
    let outcome = run(&load, std::future::pending()).await;
    let report = &outcome.report;
    assert_eq!((report.requests, report.failed), (2000, 0), "{:?}", report.failures);
    assert!(report.http2_requests > 0 && report.http2_requests < 2000);
    assert_eq!(report.revisions["r1"].responses, 2000);
    assert_eq!((report.streams.opened, report.streams.ended_broken), (6, 0));
    let verified = verify(&load, &outcome).await.expect("pages");
    assert!(verified.holds(), "{verified:?}");
    assert_eq!(verified.acknowledged, report.posts);
}

#[tokio::test]
async fn a_drain_under_load_refuses_connections_and_loses_nothing() {
    let dir = migrated();
    let mut service = Running::serve(dir.path(), &[("NEUROCA_DRAIN_DELAY_MS", "300")]);
    let load = Load { requests: Some(1_000_000), streams: 6, ..Load::new(&service.address) };
    let ended = tokio::task::spawn_blocking(move || {
        for _ in 0..300 {
            service.line("request");
        }
        service.signal("TERM");
        service.wait()
    });
    let mut status = None;
    let outcome = run(&load, async { status = Some(ended.await.expect("no panic")) }).await;
    assert!(status.expect("it has ended").success());
    let report = &outcome.report;
    let lost: u64 =
        report.failed_by_kind.iter().filter(|(kind, _)| **kind != "connect").map(|(_, n)| n).sum();
    assert_eq!(lost, 0, "{:?} {:?}", report.failed_by_kind, report.failures);
    assert!(report.requests > 300);
    assert_eq!((report.streams.ended_clean, report.streams.ended_broken), (6, 0));

    let service = Running::serve(dir.path(), &[]);
    let load = Load::new(&service.address);
    let verified = verify(&load, &outcome).await.expect("pages");
    assert!(verified.holds(), "{verified:?}");
}

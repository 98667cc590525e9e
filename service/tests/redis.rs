//! Replicas that share a rate limit through a real Redis, and what becomes of requests while it is gone,
//! silent or not what it seems.

mod harness;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::redis::Redis;
use harness::{Running, migrated, neuroca};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

const LIMIT: &str = "60";

fn replica(dir: &std::path::Path, url: &str, more: &[(&str, &str)]) -> Running {
    let mut env = vec![("NEUROCA_RATE_LIMIT_PER_MINUTE", LIMIT), ("NEUROCA_REDIS_URL", url)];
    env.extend_from_slice(more);
    Running::serve(dir, &env)
}

const AWAY: &str = "Redis is away: each replica counts requests by itself";

/// One that does not get to its Redis, and how it says so.
fn lonely(dir: &std::path::Path, url: &str) -> (Running, Value) {
    let mut command = neuroca(dir, "serve");
    command.env("NEUROCA_RATE_LIMIT_PER_MINUTE", LIMIT).env("NEUROCA_REDIS_URL", url);
    let mut service = Running::start(command);
    service.address = service.line("listening")["address"].as_str().expect("text").to_owned();
    let told = service.line(AWAY);
    let until = Instant::now() + Duration::from_secs(30);
    while service.get("/health/ready").status != 200 {
        assert!(Instant::now() < until, "it does not get ready without Redis");
        std::thread::sleep(Duration::from_millis(20));
    }
    (service, told)
}

fn metric(service: &Running, name: &str) -> u64 {
    let metrics = service.get("/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
    let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

fn until_connected(service: &Running, connected: u64) {
    let until = Instant::now() + Duration::from_secs(30);
    while metric(service, "neuroca_redis_connected") != connected {
        assert!(Instant::now() < until, "neuroca_redis_connected does not become {connected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many of `count` requests each of `services` lets in, in turn.
fn admitted(services: &[&Running], count: usize) -> usize {
    let mut connections: Vec<_> = services.iter().map(|service| service.connect()).collect();
    let mut admitted = 0;
    for _ in 0..count {
        for connection in &mut connections {
            let answer = connection.request("GET", "/v1/stats", &[], "");
            match answer.status {
                200 => admitted += 1,
                429 => assert!(answer.header("retry-after").is_some(), "{answer:?}"),
                _ => panic!("{answer:?}"),
            }
        }
    }
    admitted
}

/// How many of `count` requests each gets in while Redis counts for all, and since when.
fn admitted_together(redis: &Redis, services: &[&Running], count: usize) -> (usize, Instant) {
    let failures = || {
        let of = |service: &&Running| metric(service, "neuroca_redis_failures_total");
        services.iter().map(of).sum::<u64>()
    };
    // A machine that is too busy to answer within a tenth of a second is asked again.
    for _ in 0..10 {
        services.iter().for_each(|service| until_connected(service, 1));
        let before = failures();
        redis.ask("FLUSHALL");
        let begun = Instant::now();
        let admitted = admitted(services, count);
        if failures() == before {
            return (admitted, begun);
        }
    }
    panic!("Redis does not answer in time");
}

/// One a second comes back.
fn fits(admitted: usize, begun: Instant) -> bool {
    (60..=61 + begun.elapsed().as_secs() as usize).contains(&admitted)
}

#[test]
fn two_replicas_share_one_limit_and_tell_redis_no_names() {
    let Some(redis) = Redis::start() else { return };
    let dir = migrated();
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let replicas = [replica(dir.path(), &url, &[]), replica(dir.path(), &url, &[])];
    let (count, begun) = admitted_together(&redis, &[&replicas[0], &replicas[1]], 50);
    assert!(fits(count, begun), "{count} of 100 in {:?}", begun.elapsed());

    let keys = redis.ask("KEYS *");
    let key = keys.iter().find(|line| line.starts_with("neuroca:")).expect("a bucket");
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(!key.contains("default") && !key.contains("anonymous"), "{key}");
    let left: i64 =
        redis.ask(&format!("TTL {key}"))[0].trim_start_matches(':').parse().expect("one");
    assert!((1..=60).contains(&left), "{left}");
}

/// Asks without a pause while `lose` happens: the slowest answer, and all statuses.
fn under_load(service: &Running, lose: impl FnOnce()) -> (Duration, Vec<u16>) {
    /// The client ends, too, when `lose` finds something wrong.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut slowest, mut statuses) = (Duration::ZERO, Vec::new());
            let mut connection = service.connect();
            while !over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let status = connection.request("GET", "/v1/stats", &[], "").status;
                slowest = slowest.max(begun.elapsed());
                statuses.push(status);
            }
            (slowest, statuses)
        });
        let ends = Ends(&over);
        lose();
        drop(ends);
        client.join().expect("asked")
    })
}

#[test]
fn a_redis_that_is_killed_or_silent_costs_the_sharing_and_nothing_else() {
    let Some(mut redis) = Redis::start() else { return };
    let dir = migrated();
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let service = replica(dir.path(), &url, &[]);
    until_connected(&service, 1);
    for silent in [false, true] {
        let (slowest, statuses) = under_load(&service, || {
            if silent {
                redis.signal("STOP")
            } else {
                redis.kill()
            }
            until_connected(&service, 0);
            // By itself now, from a full bucket.
            admitted(&[&service], 30);
            assert_eq!(service.get("/health/ready").status, 200);
        });
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
        // A silent one is waited for once, for a tenth of a second; a busy machine needs some more.
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        assert!(metric(&service, "neuroca_redis_failures_total") >= 1);
        if silent {
            redis.signal("CONT")
        } else {
            redis.restart()
        }
        until_connected(&service, 1);
    }
    // What another replica has used up is used up here, too: it is shared again.
    let other = replica(dir.path(), &url, &[]);
    let (count, begun) = admitted_together(&redis, &[&other, &service], 50);
    assert!(fits(count, begun), "{count} in {:?}", begun.elapsed());
}

#[test]
fn without_redis_at_the_start_each_counts_by_itself_until_it_comes() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let dir = migrated();
    let url = format!("redis://:canary-password@127.0.0.1:{}", redis.port);
    let (mut service, told) = lonely(dir.path(), &url);
    assert!(told["error"].as_str().is_some_and(|error| !error.contains("canary")), "{told}");
    let begun = Instant::now();
    let count = admitted(&[&service], 70);
    assert!(fits(count, begun), "{count} in {:?}", begun.elapsed());
    // It comes, and takes no password: that is not told again and again.
    redis.restart();
    let until = Instant::now() + Duration::from_secs(30);
    while redis.ask("INFO commandstats").iter().all(|line| !line.starts_with("cmdstat_auth")) {
        assert!(Instant::now() < until, "nobody came");
    }
    assert_eq!(metric(&service, "neuroca_redis_connected"), 0);
    service.signal("TERM");
    let told = service.rest();
    assert!(!told.contains("Redis") && !told.contains("canary"), "{told}");
}

#[test]
fn tls_is_spoken_with_those_whom_the_machine_trusts() {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let authority = authority.expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let Some(redis) = Redis::start_tls(&certificate.pem(), &key.serialize_pem()) else { return };
    let dir = migrated();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).expect("writes");
    let url = format!("rediss://localhost:{}", redis.port);
    let trusted = roots.display().to_string();
    let service = replica(dir.path(), &url, &[("SSL_CERT_FILE", trusted.as_str())]);
    until_connected(&service, 1);
    assert_eq!(admitted(&[&service], 1), 1);

    let (stranger, told) = lonely(dir.path(), &url);
    assert!(told["error"].as_str().is_some_and(|error| error.contains("ertificate")), "{told}");
    assert_eq!(admitted(&[&stranger], 1), 1);
}

#[test]
fn an_address_that_cannot_work_is_refused_without_being_quoted() {
    let dir = migrated();
    for (limit, url, told) in [
        ("60", "http://canary@redis:6379", "NEUROCA_REDIS_URL is no address such as"),
        ("0", "redis://redis", "means nothing without NEUROCA_RATE_LIMIT_PER_MINUTE"),
    ] {
        let mut command = neuroca(dir.path(), "serve");
        command.env("NEUROCA_RATE_LIMIT_PER_MINUTE", limit).env("NEUROCA_REDIS_URL", url);
        let output = command.output().expect("neuroca runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(told) && !text.contains("canary"), "{text}");
    }
}

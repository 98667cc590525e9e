//! Buckets that replicas share through Redis, if there is one.
//!
//! Nothing here is needed: Redis that is away, silent or wrong costs the sharing and nothing else. Knows no
//! tenant and no principal, only hashes of their names go out.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::lifecycle::{Lifecycle, Phase};
use crate::memory::hex;

/// A request waits for Redis no longer than this, and only those that are under way when it goes.
const PATIENCE: Duration = Duration::from_millis(100);
/// Nobody waits for a connection to be made.
const CONNECTING: Duration = Duration::from_secs(2);
/// Between two attempts to connect. Longer than `PATIENCE`: whoever waits for the old connection is gone
/// before there is a new one.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes one from a bucket that fills by the minute, by the clock of Redis: those of replicas differ. 0, or
/// the seconds to wait. A bucket that nobody takes from is full after a minute, which is as good as none.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[1])
local bucket = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = tonumber(bucket[1]) or most
local passed = math.max(0, now - (tonumber(bucket[2]) or now))
left = math.min(most, left + passed * most / 60000)
local wait = 0
if left >= 1 then left = left - 1 else wait = math.ceil((1 - left) * 60 / most) end
redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], 60000)
return wait
";

/// Where Redis is. May hold a password, so that nothing shows it.
#[derive(Clone)]
pub struct RedisAddress {
    url: String,
    client: Client,
}

impl RedisAddress {
    /// Of a `redis://`, `rediss://` (TLS) or `unix://` address; connects to nobody.
    pub fn new(url: String) -> Option<Self> {
        Client::open(url.as_str()).ok().map(|client| Self { url, client })
    }
}

impl PartialEq for RedisAddress {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for RedisAddress {}

impl std::fmt::Debug for RedisAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(secret)")
    }
}

/// The buckets of all replicas, in a Redis that may be away.
pub(super) struct SharedBuckets {
    client: Client,
    take: Script,
    /// `None` while Redis is away.
    connection: RwLock<Option<MultiplexedConnection>>,
    lost: Notify,
    failures: AtomicU64,
}

impl SharedBuckets {
    pub(super) fn new(address: &RedisAddress) -> Self {
        Self {
            client: address.client.clone(),
            take: Script::new(TAKE),
            connection: RwLock::default(),
            lost: Notify::new(),
            failures: AtomicU64::new(0),
        }
    }

    /// Takes one for `who`, of whom there may be `per_minute`, or says how many seconds to wait; `None`
    /// while Redis is away.
    pub(super) async fn take(&self, who: &str, per_minute: u32) -> Option<Result<(), u64>> {
        let mut connection =
            self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let digest = Sha256::digest(who);
        let mut asked = self.take.key(format!("neuroca:bucket:{}", hex(&digest[..16])));
        asked.arg(per_minute);
        match tokio::time::timeout(PATIENCE, asked.invoke_async::<u64>(&mut connection)).await {
            Ok(Ok(0)) => Some(Ok(())),
            Ok(Ok(seconds)) => Some(Err(seconds)),
            Ok(Err(error)) => self.lose(&error.to_string()),
            Err(_) => self.lose("it does not answer"),
        }
    }

    /// Every failure ends the connection: an answer that comes late, or never, belongs to nobody.
    fn lose<T>(&self, why: &str) -> Option<T> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let held = self.connection.write().unwrap_or_else(PoisonError::into_inner).take();
        // The first one says it.
        if held.is_some() {
            tracing::warn!(why, "Redis is away: each replica counts requests by itself");
            self.lost.notify_one();
        }
        None
    }

    /// Keeps a connection, until the process stops.
    pub(super) async fn keep(&self, lifecycle: &Lifecycle) {
        tokio::select! {
            () = lifecycle.reached(Phase::Stopping) => {}
            () = self.connect_again_and_again() => {}
        }
    }

    async fn connect_again_and_again(&self) {
        let mut told = false;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    tracing::info!("Redis answers: replicas share the rate limit");
                    *self.connection.write().unwrap_or_else(PoisonError::into_inner) =
                        Some(connection);
                    self.lost.notified().await;
                    // By whoever lost it.
                    told = true;
                }
                Err(error) if !told => {
                    // What Redis says of a wrong password does not quote it.
                    tracing::warn!(%error, "Redis is away: each replica counts requests by itself");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A connection on which Redis has done what it will be asked for.
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(CONNECTING));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&patient).await?;
        self.take.prepare_invoke().load_async(&mut connection).await?;
        Ok(connection)
    }

    /// Appends the metrics; `labels` go to every sample.
    pub(super) fn render(&self, out: &mut String, labels: &str) {
        let there = self.connection.read().unwrap_or_else(PoisonError::into_inner).is_some();
        for (name, kind, help, value) in [
            (
                "neuroca_redis_connected",
                "gauge",
                "1 while replicas share buckets.",
                u64::from(there),
            ),
            (
                "neuroca_redis_failures_total",
                "counter",
                "Requests that were counted here because Redis failed.",
                self.failures.load(Ordering::Relaxed),
            ),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{{labels}}} {value}"
            );
        }
    }
}

//! Reads come from the replica while it is there, and from the primary while it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use neuroca::config::{Database, Server};
use neuroca::memory::Tier;
use neuroca::store::open;
use neuroca::tenant::Tenant;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{all, clear, ids, memory, plain};

/// Another address of the same server, which can go away.
struct Path {
    listening: JoinHandle<()>,
    /// Connections that went this way.
    used: Arc<AtomicUsize>,
}

impl Path {
    async fn open(port: u16, to: (String, u16)) -> (Self, u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let used = Arc::new(AtomicUsize::new(0));
        let count = used.clone();
        let listening = tokio::spawn(async move {
            // Dropped with this task, and with them their connections.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let to = to.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await.expect("the server answers");
                    // How it ends does not matter.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        (Self { listening, used }, port)
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    async fn close(self) {
        self.listening.abort();
        // The port is free when the task has really ended.
        let _ = self.listening.await;
    }
}

pub async fn reads_survive_the_replica(server: &PgConnectOptions) {
    let to = (server.get_host().to_owned(), server.get_port());
    let (path, port) = Path::open(0, to.clone()).await;
    let replica = server.clone().host("127.0.0.1").port(port);
    let with_replica = Server { replica: Some(replica), ..Server::new(server.clone()) };
    let database = Database::Postgres(Box::new(with_replica));
    let (repository, of) = (open(&database).await.expect("opens"), &Tenant::default());
    let one = memory("read from a replica", Tier::LongTerm, 0.5);
    repository.create(of, plain(&one)).await.expect("creates");
    assert_eq!(path.used(), 0, "writes go to the primary");
    assert_eq!(repository.get(of, one.id, super::NOW).await.expect("reads"), Some(one.clone()));
    assert_eq!(path.used(), 0, "what was written last comes from the primary");
    assert_eq!(ids(&repository, of, all()).await, [one.id]);
    assert_eq!(path.used(), 1, "a page comes from the replica");

    path.close().await;
    let gone = Instant::now();
    for _ in 0..3 {
        assert_eq!(ids(&repository, of, all()).await, [one.id], "a page comes from the primary");
    }
    assert!(gone.elapsed() < Duration::from_secs(4), "nobody waits for a replica that is gone");

    let (path, _) = Path::open(port, to).await;
    let until = Instant::now() + Duration::from_secs(30);
    while path.used() == 0 {
        assert_eq!(ids(&repository, of, all()).await, [one.id]);
        assert!(Instant::now() < until, "the replica is asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    clear(&repository, of).await;
    repository.close().await;
    path.close().await;
}

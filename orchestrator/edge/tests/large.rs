//! Large bodies pass through; they do not pile up. Alone in its process: it measures memory.

mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use site::raw::{component, head, say, soon};
use site::{Edge, table};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SIZE: u64 = 100 * 1024 * 1024;
const BOUND: u64 = 24 * 1024 * 1024;

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = pages.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

/// The most that was resident while this lived, above what was at its start.
struct Watch(Arc<AtomicBool>, std::thread::JoinHandle<u64>);

impl Watch {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, before, most) = (stop.clone(), resident(), AtomicU64::new(0));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                most.fetch_max(resident().saturating_sub(before), Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            most.into_inner()
        });
        Self(stop, thread)
    }

    fn most(self) -> u64 {
        self.0.store(true, Ordering::SeqCst);
        self.1.join().expect("no panic")
    }
}

async fn write(stream: &mut TcpStream, mut left: u64) {
    let chunk = [b'x'; 64 * 1024];
    while left > 0 {
        let next = left.min(chunk.len() as u64);
        stream.write_all(&chunk[..next as usize]).await.expect("written");
        left -= next;
    }
}

/// Slower than the other side writes, so that whatever buffers, fills.
async fn read(stream: &mut TcpStream, mut left: u64) {
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let n = stream.read(&mut buffer).await.expect("read") as u64;
        assert!(n > 0, "{left} bytes are missing");
        left -= n;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_hundred_mebibytes_each_way() {
    let a = component(async |mut stream| {
        while let Some(head) = head(&mut stream).await {
            let up = head.starts_with("POST");
            if up {
                read(&mut stream, SIZE).await;
            }
            let size = if up { 0 } else { SIZE };
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")).await;
            write(&mut stream, size).await;
        }
    })
    .await;
    let backend =
        neuroca_deploy_edge::Backend { revision: "a".into(), weight: 1, addresses: vec![a] };
    let edge = Edge::start(|at| table(1, at, vec![backend]));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    let watch = Watch::start();
    say(&mut client, &format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {SIZE}\r\n\r\n"))
        .await;
    write(&mut client, SIZE).await;
    let answer = soon("the answer", head(&mut client)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    say(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    soon("the answer", head(&mut client)).await.expect("an answer");
    read(&mut client, SIZE).await;
    let most = watch.most();
    assert!(most < BOUND, "{} KiB more than before", most / 1024);
}

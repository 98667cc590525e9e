use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const WAIT: Duration = Duration::from_millis(4);

fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], body].concat()
}

fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, b"")].concat()
}

/// Frames of any kind and size, some of them nearly an answer.
fn some_frames(chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..chance.usize(1..12) {
        let body: Vec<u8> = (0..chance.usize(0..40)).map(|_| chance.u8(..)).collect();
        match chance.u8(..6) {
            0 => all.extend(frame(0, 0, &body)),
            1 => all.extend(frame(1, 4, &body)),
            2 => {
                all.extend(frame(1, 0, &body));
                // A foreign payload, where an answer would be an error.
                all.extend(frame(9, 0, ANSWER));
                all.extend(frame(9, 4, b""));
            }
            3 => all.extend([&ANSWER[..16], b"x"].concat()),
            4 => all.extend(frame(0, 0, ANSWER)),
            _ => all.extend(frame(6, 0, &ANSWER[9..])),
        }
    }
    all
}

#[tokio::test]
async fn however_the_bytes_come_the_answer_is_late_and_nothing_else_changes() {
    for seed in 0..500 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (before, after) = (some_frames(&mut chance), some_frames(&mut chance));
        let head = [preface(), before].concat();
        let sent = [&head[..], ANSWER, &after].concat();
        let all = sent.len();
        let (mut client, server) = tokio::io::duplex(chance.usize(1..64));
        let mut server = Farewell { wait: WAIT, ..Farewell::new(server) };
        let mut writing = chance.fork();
        let writer = tokio::spawn(async move {
            for piece in sent.chunks(writing.usize(1..30)) {
                client.write_all(piece).await.expect("taken");
                if writing.u8(..20) == 0 {
                    tokio::time::sleep(WAIT / 2).await;
                }
            }
            client
        });
        let mut seen = Vec::new();
        let mut space = [0; 50];
        while seen.len() < all {
            let length = chance.usize(1..space.len());
            let read = server.read(&mut space[..length]).await.expect("no error");
            assert_ne!(read, 0, "seed {seed}: the client is still there");
            seen.extend_from_slice(&space[..read]);
        }
        drop(writer.await.expect("no panic"));
        // Exactly the bytes without the answer, with it at a boundary behind its own place.
        let bare = [&head[..], &after].concat();
        let at = (head.len()..=bare.len()).find(|&at| {
            seen.len() == bare.len() + ANSWER.len()
                && seen[..at] == bare[..at]
                && &seen[at..at + ANSWER.len()] == ANSWER
                && seen[at + ANSWER.len()..] == bare[at..]
                && is_boundary(&bare, at)
        });
        assert!(at.is_some(), "seed {seed}: {seen:?}");
    }
}

fn is_boundary(bytes: &[u8], at: usize) -> bool {
    let mut frames = Frames::default();
    let mut passed = 0;
    while passed < at {
        passed += frames.pass(&bytes[passed..at]);
    }
    frames.is_between()
}

#[tokio::test]
async fn the_answer_comes_when_the_grace_is_over_and_nothing_more_is_said() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut server = Farewell { wait: WAIT, ..Farewell::new(server) };
    let before = preface();
    client.write_all(&[&before[..], ANSWER].concat()).await.expect("taken");
    let mut seen = vec![0; before.len()];
    server.read_exact(&mut seen).await.expect("at once");
    let started = std::time::Instant::now();
    let mut answer = [0; 17];
    server.read_exact(&mut answer).await.expect("later");
    assert_eq!(&answer, ANSWER);
    assert!(started.elapsed() >= WAIT / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_end_is_an_end_wherever_it_comes() {
    let all = [&preface()[..], ANSWER].concat();
    for length in 0..=all.len() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = Farewell::new(server);
        client.write_all(&all[..length]).await.expect("taken");
        drop(client);
        let mut seen = Vec::new();
        server.read_to_end(&mut seen).await.expect("no error");
        let withheld = if length == all.len() { ANSWER.len() } else { 0 };
        assert_eq!(seen, all[..length - withheld], "of {length}");
    }
}

#[tokio::test]
async fn what_is_not_http2_passes_as_it_is() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut server = Farewell::new(server);
    let text = [b"PRI /x HTTP/1.1\r\n\r\n".as_slice(), ANSWER].concat();
    client.write_all(&text).await.expect("taken");
    drop(client);
    let mut seen = Vec::new();
    server.read_to_end(&mut seen).await.expect("no error");
    assert_eq!(seen, text);
}

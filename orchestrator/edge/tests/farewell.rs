//! An HTTP/2 connection that is told to go loses none of what its client had already sent.

mod site;

use std::time::{Duration, Instant};

use site::frames::*;
use site::raw::soon;
use site::{Component, Edge, table};

/// A connection that had one answer, and whose edge just said GOAWAY and PING: the PING's answer.
async fn told_to_go(edge: &Edge) -> (RawHttp2, Vec<u8>) {
    let mut client = RawHttp2::connect(&edge.address).await;
    client.write(&get(1)).await;
    soon("an answer", client.until(|f| f.is_200())).await;
    edge.control.drain().await.expect("answers");
    let first = soon("GOAWAY", client.until(|f| f.kind == GOAWAY)).await;
    assert_eq!(first.last_stream(), ANY);
    let ping = soon("PING", client.until(|f| f.kind == PING)).await;
    (client, frame(PING, ACK, 0, &ping.body))
}

/// Answers to these streams come, and a last GOAWAY which names the last of them.
async fn all_answered(client: &mut RawHttp2, streams: &[u32]) {
    let (mut left, mut last) = (streams.to_vec(), None);
    while !left.is_empty() || last.is_none() {
        let seen = soon("every answer", client.until(|f| matches!(f.kind, HEADERS | GOAWAY))).await;
        if seen.kind == GOAWAY {
            assert_eq!(Some(&seen.last_stream()), streams.last(), "{left:?} not answered yet");
            last = Some(seen.last_stream());
        } else {
            assert!(seen.is_200(), "{:?}", seen.body);
            left.retain(|stream| *stream != seen.stream);
        }
    }
}

#[tokio::test]
async fn a_request_behind_the_answer_to_the_ping_is_answered() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let (mut client, pong) = told_to_go(&edge).await;
    client.write(&[pong, get(3)].concat()).await;
    all_answered(&mut client, &[3]).await;
    drop(client);
    soon("the end", edge.stop()).await;
}

#[tokio::test]
async fn so_are_several_however_they_are_cut() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let (mut client, pong) = told_to_go(&edge).await;
    let bytes = [get(3), pong, get(5), get(7), get(9)].concat();
    for piece in bytes.chunks(7) {
        client.write(piece).await;
        // On its way before the next one.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    all_answered(&mut client, &[3, 5, 7, 9]).await;
    drop(client);
    soon("the end", edge.stop()).await;
}

#[tokio::test]
async fn a_head_in_two_frames_may_straddle_the_end_of_the_grace() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let (mut client, pong) = told_to_go(&edge).await;
    let block = get_block();
    let (first, second) = block.split_at(3);
    client.write(&[pong, frame(HEADERS, END_STREAM, 3, first)].concat()).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    client.write(&frame(CONTINUATION, END_HEADERS, 3, second)).await;
    all_answered(&mut client, &[3]).await;
    drop(client);
    soon("the end", edge.stop()).await;
}

#[tokio::test]
async fn a_connection_with_nothing_to_do_ends_within_a_second() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let (mut client, pong) = told_to_go(&edge).await;
    let told = Instant::now();
    client.write(&pong).await;
    let last = soon("the last GOAWAY", client.until(|f| f.kind == GOAWAY)).await;
    assert_eq!(last.last_stream(), 1);
    soon("the end", async { while client.read().await.is_some() {} }).await;
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    soon("the end", edge.stop()).await;
}

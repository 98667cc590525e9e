//! Copies of small requests for a revision whose answers nobody waits for. Only of those that
//! change nothing: two revisions share a database, and a write would be there twice.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};

use crate::compiled::{Lookup, Target};
use crate::pool::Pool;
use crate::upload::Upload;

/// Bodies above this are not copied.
const MOST: u64 = 64 * 1024;
/// Copies of one thread that may be under way: a mirror that hangs must not fill our memory.
const AT_ONCE: usize = 64;

/// How many copies are under way.
#[derive(Clone, Default)]
pub struct Mirroring(Rc<Cell<usize>>);

/// Who gets a copy of a request that goes to `picked`, if anybody does; `random` is uniform.
pub fn target(lookup: &Lookup, method: &Method, picked: usize, random: u64) -> Option<Arc<Target>> {
    let (place, percent) = lookup.mirror.filter(|(place, _)| *place != picked)?;
    if !method.is_safe() {
        return None;
    }
    let drawn = (random >> 32) % 100;
    (drawn < u64::from(percent)).then(|| lookup.targets[place].clone())
}

pub fn is_small(body: &Incoming) -> bool {
    body.size_hint().upper().is_some_and(|size| size <= MOST)
}

/// The whole of a small body; `None` if the client broke off.
pub async fn read(body: Incoming) -> Option<Bytes> {
    Some(Limited::new(body, MOST as usize).collect().await.ok()?.to_bytes())
}

impl Mirroring {
    /// Sends the copy in the background.
    pub fn send(&self, pool: Pool, target: Arc<Target>, head: Request<()>, body: Bytes) {
        if self.0.get() >= AT_ONCE {
            return;
        }
        self.0.set(self.0.get() + 1);
        let under_way = self.0.clone();
        tokio::task::spawn_local(async move {
            let copying = async {
                let address = target.rotation().next()?;
                let copy = head.map(|()| Upload::Copied(Full::new(body)));
                let (answer, lease) =
                    pool.send(address, target.connect_timeout, copy).await.ok()?;
                let mut answer = answer.into_body();
                while let Some(frame) = answer.frame().await {
                    frame.ok()?;
                }
                lease.give_back();
                Some(())
            };
            let _ = tokio::time::timeout(target.response_timeout, copying).await;
            under_way.set(under_way.get() - 1);
        });
    }
}

//! Whether each acknowledged POST exists exactly once, by reading everything that is there.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::connection::{Connection, Protocol};
use crate::options::Load;
use crate::record::Tally;
use crate::run::Outcome;

const SAMPLES: usize = 20;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// POSTs that were acknowledged.
    pub acknowledged: u64,
    /// Of them there exactly once, under the id that was given.
    pub exactly_once: u64,
    /// Not there.
    pub missing: u64,
    /// There more than once.
    pub duplicated: u64,
    /// There once, but under another id.
    pub other_id: u64,
    /// There without having been acknowledged: what a failed POST may leave.
    pub unacknowledged: u64,
    /// Of them there more than once, which nothing may leave.
    pub unacknowledged_duplicated: u64,
    /// The first numbers with something wrong.
    pub samples: Vec<u64>,
}

impl Verified {
    /// Whether nothing acknowledged is missing or doubled.
    pub fn holds(&self) -> bool {
        self.exactly_once == self.acknowledged && self.unacknowledged_duplicated == 0
    }
}

#[derive(Deserialize)]
struct Listing {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    content: String,
}

/// Pages through all memories of the service and compares with what `outcome` acknowledged.
pub async fn verify(load: &Load, outcome: &Outcome) -> Result<Verified, String> {
    let mut found: HashMap<u64, Vec<String>> = HashMap::new();
    let prefix = format!("load {} ", outcome.run_id);
    let connection = Connection::new(&load.authority, Protocol::Http1);
    let tally = Tally::new();
    let first = format!("{}?tier=long_term&limit=1000", load.path);
    let mut path = first.clone();
    loop {
        let request = connection.request("GET", &path, Bytes::new());
        let answer = connection
            .ask(request, load.timeout, &tally)
            .await
            .map_err(|lost| format!("GET {path}: {}: {}", lost.kind, lost.detail))?;
        if !answer.status.is_success() {
            return Err(format!("GET {path}: {}", answer.status));
        }
        let page: Listing = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("GET {path}: not a page of memories: {error}"))?;
        for item in page.items {
            if let Some(number) = item.content.strip_prefix(&prefix).and_then(|n| n.parse().ok()) {
                found.entry(number).or_default().push(item.id);
            }
        }
        match page.next_cursor {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => return Ok(compare(outcome, found)),
        }
    }
}

fn compare(outcome: &Outcome, mut found: HashMap<u64, Vec<String>>) -> Verified {
    let mut verified =
        Verified { acknowledged: outcome.acknowledged.len() as u64, ..Verified::default() };
    for (number, id) in &outcome.acknowledged {
        let there = found.remove(number).unwrap_or_default();
        let counter = match there.as_slice() {
            [] => &mut verified.missing,
            [only] if only == id => {
                verified.exactly_once += 1;
                continue;
            }
            [_] => &mut verified.other_id,
            _ => &mut verified.duplicated,
        };
        *counter += 1;
        if verified.samples.len() < SAMPLES {
            verified.samples.push(*number);
        }
    }
    verified.unacknowledged = found.len() as u64;
    verified.unacknowledged_duplicated =
        found.values().filter(|there| there.len() > 1).count() as u64;
    verified
}

//! The vectors of one tenant, side by side, and the scan that finds the nearest.
//!
//! Exact: for the tens of thousands of memories that a tenant has, a scan takes about a millisecond,
//! and there is no index that could miss one.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::memory::Moment;
use crate::store::StoredVector;

/// How near to a question a memory is: 0 for the farthest that was looked at, 1 for the nearest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::search) struct Near {
    pub(in crate::search) id: Uuid,
    pub(in crate::search) share: f64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    id: Uuid,
    subject: Option<u32>,
}

/// Rows of the same size; when there is no room for more, the oldest give theirs.
#[derive(Debug)]
pub(in crate::search) struct Table {
    size: usize,
    components: Vec<f32>,
    rows: Vec<Row>,
    places: HashMap<Uuid, usize>,
    subjects: HashMap<String, u32>,
    newest: Moment,
    /// The oldest row, once there is no room.
    next: usize,
    most_bytes: usize,
}

impl Table {
    pub(in crate::search) fn new(most_bytes: usize) -> Self {
        Self {
            size: 0,
            components: Vec::new(),
            rows: Vec::new(),
            places: HashMap::new(),
            subjects: HashMap::new(),
            newest: Moment(0),
            next: 0,
            most_bytes,
        }
    }

    /// The newest vector that came.
    pub(super) fn newest(&self) -> Moment {
        self.newest
    }

    pub(super) fn bytes(&self) -> usize {
        self.components.capacity() * size_of::<f32>()
    }

    /// Adds a vector, or puts it in the place of the one that its memory had.
    pub(in crate::search) fn put(&mut self, vector: StoredVector) {
        self.newest = self.newest.max(vector.embedded_at);
        if vector.components.is_empty() {
            return;
        }
        if self.rows.is_empty() {
            self.size = vector.components.len();
        }
        // Of another model under the same name: they cannot be compared.
        if vector.components.len() != self.size {
            return;
        }
        let number = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        let subject = vector.subject.map(|subject| *self.subjects.entry(subject).or_insert(number));
        let place = match self.places.get(&vector.memory).copied() {
            Some(place) => place,
            None => self.place_for_one_more(),
        };
        let row = Row { id: vector.memory, subject };
        if place == self.rows.len() {
            self.rows.push(row);
            self.components.extend(&vector.components);
        } else {
            self.places.remove(&self.rows[place].id);
            self.rows[place] = row;
            self.components[place * self.size..(place + 1) * self.size]
                .copy_from_slice(&vector.components);
        }
        self.places.insert(vector.memory, place);
    }

    fn place_for_one_more(&mut self) -> usize {
        let most = self.most_bytes / (self.size * size_of::<f32>());
        if self.rows.len() < most.max(1) {
            return self.rows.len();
        }
        let place = self.next;
        self.next = (self.next + 1) % self.rows.len();
        place
    }

    /// The `most` nearest to `question`, and how near each of `also` is, nearest first; only about
    /// `subject`, if there is one.
    pub(in crate::search) fn nearest(
        &self,
        question: &[f32],
        subject: Option<&str>,
        also: &HashSet<Uuid>,
        most: usize,
    ) -> Vec<Near> {
        if question.len() != self.size {
            return Vec::new();
        }
        let subject = match subject.map(|subject| self.subjects.get(subject)) {
            Some(None) => return Vec::new(),
            Some(Some(number)) => Some(*number),
            None => None,
        };
        let mut scores: Vec<(f32, Uuid)> = self
            .rows
            .iter()
            .zip(self.components.chunks_exact(self.size))
            .filter(|(row, _)| subject.is_none() || row.subject == subject)
            .map(|(row, vector)| (product(question, vector), row.id))
            .collect();
        scores.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)));
        let (Some((high, _)), Some((low, _))) = (scores.first().copied(), scores.last().copied())
        else {
            return Vec::new();
        };
        let span = f64::from(high - low);
        scores
            .into_iter()
            .enumerate()
            .filter(|(place, (_, id))| *place < most || also.contains(id))
            .map(|(_, (score, id))| {
                let share = if span > 0.0 { f64::from(score - low) / span } else { 1.0 };
                Near { id, share }
            })
            .collect()
    }
}

/// Sixteen sums at a time, so that the compiler can use wide registers.
fn product(one: &[f32], other: &[f32]) -> f32 {
    const WIDE: usize = 16;
    let (ones, one_rest) = one.as_chunks::<WIDE>();
    let (others, other_rest) = other.as_chunks::<WIDE>();
    let mut sums = [0.0f32; WIDE];
    for (a, b) in ones.iter().zip(others) {
        for place in 0..WIDE {
            sums[place] += a[place] * b[place];
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(number: u128, subject: &str, components: &[f32]) -> StoredVector {
        StoredVector {
            memory: Uuid::from_u128(number),
            subject: Some(subject.into()),
            embedded_at: Moment(number as i64),
            components: components.to_vec(),
        }
    }

    fn ids(near: &[Near]) -> Vec<u128> {
        near.iter().map(|near| near.id.as_u128()).collect()
    }

    #[test]
    fn the_nearest_come_first_and_those_that_were_asked_for_come_along() {
        let mut table = Table::new(1 << 20);
        table.put(vector(1, "ann", &[1.0, 0.0]));
        table.put(vector(2, "ann", &[0.0, 1.0]));
        table.put(vector(3, "bob", &[0.8, 0.6]));
        table.put(vector(4, "ann", &[0.6, 0.8]));
        table.put(vector(5, "ann", &[]));
        let asked = Uuid::from_u128(2);
        let near = table.nearest(&[1.0, 0.0], None, &HashSet::from([asked]), 2);
        assert_eq!(ids(&near), [1, 3, 2]);
        assert_eq!((near[0].share, near[2].share), (1.0, 0.0));
        assert_eq!(ids(&table.nearest(&[1.0, 0.0], Some("ann"), &HashSet::new(), 9)), [1, 4, 2]);
        assert_eq!(table.nearest(&[1.0, 0.0], Some("eve"), &HashSet::new(), 9), []);
        assert_eq!(table.nearest(&[1.0], None, &HashSet::new(), 9), []);
    }

    #[test]
    fn a_new_vector_takes_the_place_of_the_old_one() {
        let mut table = Table::new(1 << 20);
        table.put(vector(1, "ann", &[1.0, 0.0]));
        table.put(vector(2, "ann", &[0.6, 0.8]));
        table.put(vector(1, "ann", &[0.0, 1.0]));
        assert_eq!(ids(&table.nearest(&[1.0, 0.0], None, &HashSet::new(), 9)), [2, 1]);
    }

    #[test]
    fn without_room_the_oldest_go() {
        let mut table = Table::new(2 * 2 * size_of::<f32>());
        for number in 1..=5 {
            table.put(vector(number, "ann", &[number as f32, 1.0]));
        }
        assert_eq!(ids(&table.nearest(&[1.0, 0.0], None, &HashSet::new(), 9)), [5, 4]);
        table.put(vector(4, "ann", &[9.0, 1.0]));
        assert_eq!(ids(&table.nearest(&[1.0, 0.0], None, &HashSet::new(), 9)), [4, 5]);
    }

    #[test]
    fn a_product_is_that_of_all_components() {
        let one: Vec<f32> = (0..37).map(|number| number as f32).collect();
        assert_eq!(product(&one, &one), (0..37).map(|n| (n * n) as f32).sum::<f32>());
    }
}

//! Which revisions are kept running without traffic, ready to be gone back to.

use std::collections::BTreeMap;

use crate::id::RevisionId;

/// Warm revisions of one component: the way back, and the way back from there. Further back a process has
/// to be started anew, or fifty releases within `rollback_window` would keep fifty of them.
const KEPT_WARM: usize = 2;

/// A revision that runs, gets no traffic and whose `rollback_window` is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warm<'a> {
    pub component: &'a str,
    pub revision: &'a RevisionId,
    /// The place in the history at which it was last put into force.
    pub in_force: u64,
}

/// Those that are retired before their time: all but the newest of each component.
pub fn surplus<'a>(warm: impl IntoIterator<Item = Warm<'a>>) -> Vec<&'a RevisionId> {
    let mut by_component: BTreeMap<&str, Vec<Warm<'a>>> = BTreeMap::new();
    for one in warm {
        by_component.entry(one.component).or_default().push(one);
    }
    let mut surplus = Vec::new();
    for mut all in by_component.into_values() {
        all.sort_by_key(|one| (std::cmp::Reverse(one.in_force), one.revision));
        surplus.extend(all.into_iter().skip(KEPT_WARM).map(|one| one.revision));
    }
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_component_stay() {
        let ids: Vec<RevisionId> = (0..7).map(|n| RevisionId(format!("r-{n}"))).collect();
        let one = |component, n: usize, in_force| Warm { component, revision: &ids[n], in_force };
        // Number 1 was gone back to later, so it is newer than number 2.
        let warm = [
            one("api", 0, 1),
            one("api", 1, 9),
            one("api", 2, 3),
            one("api", 3, 4),
            one("worker", 4, 1),
            one("worker", 5, 2),
        ];
        assert_eq!(surplus(warm), [&ids[2], &ids[0]]);
        assert_eq!(surplus([one("api", 6, 1)]), Vec::<&RevisionId>::new());
    }
}

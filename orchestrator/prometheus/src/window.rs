//! From the timelines of one revision to its counts in a window.

use std::collections::BTreeMap;

use neuroca_deploy_core::judge::{Counts, Ratio, Sides};

use crate::counters::{slower, total};
use crate::timeline::Timeline;
use crate::trouble::{Query, Trouble};

/// What a query counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Requests,
    Errors,
    Latency,
    Of(String),
    Bad(String),
}

/// What was asked about one revision, and what was answered.
pub type Answers = BTreeMap<Role, (Query, Timeline)>;

/// Trouble and the query that it is with.
pub type Unusable<'a> = (&'a Query, Trouble);

/// A revision's counts between two samples.
pub fn counts(answers: &Answers, start_ms: u64, end_ms: u64) -> Result<Counts, Unusable<'_>> {
    let mut counts = Counts::default();
    let mut bad = Vec::new();
    for (role, (query, timeline)) in answers {
        let added = timeline.added(start_ms, end_ms).map_err(|trouble| (query, trouble))?;
        match role {
            Role::Requests => counts.requests = total(&added),
            Role::Errors => {
                counts.errors = total(&added);
                bad.push((query, "requests", counts.requests, counts.errors));
            }
            Role::Latency => counts.latency = slower(&added),
            Role::Of(name) => {
                counts.ratios.entry(name.clone()).or_default().of = total(&added);
            }
            Role::Bad(name) => {
                let ratio: &mut Ratio = counts.ratios.entry(name.clone()).or_default();
                ratio.bad = total(&added);
                bad.push((query, "of", ratio.of, ratio.bad));
            }
        }
    }
    for (query, all, of, bad) in bad {
        if bad > of {
            let why = format!("`{}` grew by {bad} and `{all}` by {of}", query.name);
            return Err((query, Trouble::Contradiction { why, at_ms: end_ms }));
        }
    }
    Ok(counts)
}

/// Both sides, with the bounds that both have: two versions may have different buckets.
pub fn sides(mut canary: Counts, stable: Option<Counts>) -> Sides {
    let Some(mut stable) = stable else {
        return Sides { canary, stable: Counts::default() };
    };
    let bounds = |counts: &Counts| counts.latency.iter().map(|b| b.bound_us).collect::<Vec<_>>();
    let (of_canary, of_stable) = (bounds(&canary), bounds(&stable));
    canary.latency.retain(|bucket| of_stable.contains(&bucket.bound_us));
    stable.latency.retain(|bucket| of_canary.contains(&bucket.bound_us));
    Sides { canary, stable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Labels, Series};
    use crate::counters::Kind;

    fn answers(all: &[(Role, &str, &str)]) -> Answers {
        all.iter()
            .map(|(role, before, after)| {
                let query = Query {
                    name: format!("{role:?}").to_lowercase(),
                    component: "api".into(),
                    revision: "api-1".into(),
                    promql: "x".into(),
                };
                let mut timeline = Timeline::default();
                let values = vec![(1000, (*before).into()), (2000, (*after).into())];
                let series = Series { labels: Labels::new(), values, native: false };
                timeline.extend(Kind::Plain, &[series]);
                (role.clone(), (query, timeline))
            })
            .collect()
    }

    #[test]
    fn errors_are_among_requests() {
        let fine = answers(&[(Role::Requests, "10", "30"), (Role::Errors, "1", "3")]);
        let counts = counts(&fine, 1000, 2000).expect("counts");
        assert_eq!((counts.requests, counts.errors), (20, 2));
        let swapped = answers(&[(Role::Requests, "1", "3"), (Role::Errors, "10", "30")]);
        let (query, trouble) = super::counts(&swapped, 1000, 2000).expect_err("refused");
        let said = trouble.told("http://p", Some(query)).to_string();
        assert!(said.contains("`errors` grew by 20 and `requests` by 2"), "{said}");
    }

    #[test]
    fn bounds_of_one_side_alone_are_left_out() {
        let with = |bounds: &[u64]| {
            let of = |&bound_us| neuroca_deploy_core::judge::Slower { bound_us, of: 9, slower: 1 };
            Counts { latency: bounds.iter().map(of).collect(), ..Counts::default() }
        };
        let both = sides(with(&[1, 2, 3]), Some(with(&[2, 3, 4])));
        assert_eq!((both.canary, both.stable), (with(&[2, 3]), with(&[2, 3])));
        assert_eq!(sides(with(&[1]), None).canary, with(&[1]));
    }
}

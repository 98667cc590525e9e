//! What whoever feeds it windows sees of the judge.

use super::*;

fn counts(requests: u64, errors: u64) -> Counts {
    Counts { requests, errors, ..Counts::default() }
}

fn window(end_ms: u64, canary: Counts, stable: Counts) -> Window {
    let components = BTreeMap::from([("api".to_string(), Sides { canary, stable })]);
    Window { end_ms, components }
}

fn judge() -> Judge {
    Judge::new(&Analysis::default(), ["api".to_string()])
}

#[test]
fn a_release_that_fails_often_is_worse_in_seconds_and_says_why() {
    let mut judge = judge();
    let mut looks = 0;
    while judge.alarm().is_none() {
        looks += 1;
        judge.take(&window(looks * 2_000, counts(20, 1), counts(180, 0)));
        assert!(looks < 20, "{:?}", judge.evidence());
    }
    assert_eq!(judge.verdict(), Verdict::Worse);
    let said = judge.alarm().expect("one").to_string();
    assert!(said.starts_with("api has more errors: "), "{said}");
}

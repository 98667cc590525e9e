//! The values in a line: what is a time, a count, a bound, and what is none.
//!
//! Knows one line; what came before it is the business of the module above.

use std::collections::BTreeMap;

use super::json::Json;
use super::{Wrong, wrong};
use crate::config::suggest;
use crate::judge::window::{Counts, Ratio, Sides, Slower};

/// Whole numbers up to here are the same in every JSON reader.
const MOST: u64 = 1 << 53;

pub(super) fn time(value: &Json) -> Result<u64, Wrong> {
    let seconds = match value {
        Json::Whole(seconds) => *seconds as f64,
        Json::Real(seconds) => *seconds,
        Json::Negative(_) => -1.0,
        _ => return wrong(format!("`t` is {value}"), "give seconds as a number"),
    };
    // A year 5138 in milliseconds; more is a mistake in the unit.
    if seconds >= 1e11 {
        return wrong(format!("`t` is {value}"), "give seconds; this looks like a smaller unit");
    }
    if seconds < 0.0 {
        return wrong(format!("`t` is {value}"), "seconds begin at 0");
    }
    Ok((seconds * 1000.0).round() as u64)
}

/// One side's counts; `names` are the further proportions that the policy judges.
pub(super) fn counts(side: &str, value: Json, names: &[String]) -> Result<Counts, Wrong> {
    let Json::Map(fields) = value else {
        let hint = format!("{side} is an object: {{\"requests\": 10, \"errors\": 0}}");
        return wrong(format!("`{side}` is {value}"), hint);
    };
    let known = ["requests", "errors", "slower_than", "ratios"];
    let (mut requests, mut errors, mut slower) = (None, None, Vec::new());
    let mut ratios = BTreeMap::new();
    for (name, value) in fields {
        let path = format!("{side}.{name}");
        match name.as_str() {
            "requests" => requests = Some(count(&path, &value)?),
            "errors" => errors = Some(count(&path, &value)?),
            "slower_than" => slower = bounds(&path, value)?,
            "ratios" => ratios = self::ratios(&path, value, names)?,
            _ => return unknown(side, &name, &known),
        }
    }
    let missing = |name: &str| Wrong {
        what: format!("`{side}.{name}` is missing"),
        hint: "nothing is taken for 0: write 0 where there was none, and leave out a window \
               in which it is not known"
            .into(),
    };
    let requests = requests.ok_or_else(|| missing("requests"))?;
    let errors = errors.ok_or_else(|| missing("errors"))?;
    if errors > requests {
        return wrong(
            format!("`{side}.errors` is {errors}, more than `{side}.requests` ({requests})"),
            "an error is a request too; count both over the same interval",
        );
    }
    let mut latency: Vec<Slower> = Vec::with_capacity(slower.len());
    for (bound_us, name, slower) in slower {
        let path = format!("{side}.slower_than.{name}");
        if slower > requests {
            return wrong(
                format!("`{path}` is {slower}, more than `{side}.requests` ({requests})"),
                "count the requests of this interval that took longer than the bound",
            );
        }
        if let Some(before) = latency.last().filter(|before| slower > before.slower) {
            return wrong(
                format!(
                    "`{path}` is {slower}, more than the {} that were slower than {} s",
                    before.slower,
                    bound(before.bound_us)
                ),
                "what is slower than a bound is slower than every smaller one; Prometheus' buckets \
                 count what is faster: subtract them from the count",
            );
        }
        latency.push(Slower { bound_us, of: requests, slower });
    }
    Ok(Counts { requests, errors, latency, ratios })
}

fn ratios(path: &str, value: Json, names: &[String]) -> Result<BTreeMap<String, Ratio>, Wrong> {
    let shape = "give each proportion by name: {\"NAME\": {\"of\": 10, \"bad\": 0}}";
    let Json::Map(fields) = value else {
        return wrong(format!("`{path}` is {value}"), shape);
    };
    let mut ratios = BTreeMap::new();
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        if !names.contains(&name) {
            let hint = suggest(&name, names.iter().map(String::as_str)).unwrap_or_else(|| {
                "proportions are named in rollout.analysis.prometheus.ratios".into()
            });
            return wrong(format!("`{path}` is not judged in this environment"), hint);
        }
        let Json::Map(fields) = value else {
            return wrong(format!("`{path}` is {value}"), shape);
        };
        let mut ratio = Ratio::default();
        let mut given = Vec::new();
        for (field, value) in fields {
            let n = count(&format!("{path}.{field}"), &value)?;
            match field.as_str() {
                "of" => ratio.of = n,
                "bad" => ratio.bad = n,
                _ => return unknown(&path, &field, &["of", "bad"]),
            }
            given.push(field);
        }
        if given.len() < 2 {
            return wrong(format!("`{path}` lacks one of `of` and `bad`"), shape);
        }
        if ratio.bad > ratio.of {
            return wrong(
                format!("`{path}.bad` is {}, more than `{path}.of` ({})", ratio.bad, ratio.of),
                "what is bad is counted in `of` too",
            );
        }
        ratios.insert(name, ratio);
    }
    Ok(ratios)
}

/// A bound in seconds, as it is written.
pub(crate) fn bound(us: u64) -> String {
    format!("{}", us as f64 / 1e6)
}

fn count(path: &str, value: &Json) -> Result<u64, Wrong> {
    let known = "leave the whole window out when a count is not known";
    match value {
        Json::Whole(n) if *n <= MOST => Ok(*n),
        Json::Real(x) if *x >= 0.0 && x.fract() == 0.0 && *x <= MOST as f64 => Ok(*x as u64),
        Json::Whole(_) => wrong(format!("`{path}` is {value}"), "no interval has so many requests"),
        Json::Real(x) if *x > MOST as f64 => {
            wrong(format!("`{path}` is {value}"), "no interval has so many requests")
        }
        Json::Negative(_) | Json::Real(f64::MIN..0.0) => wrong(
            format!("`{path}` is {value}; a count is never negative"),
            "where a counter began anew, give what it counted since",
        ),
        Json::Real(_) => wrong(
            format!("`{path}` is {value}; a count is a whole number"),
            "give the difference of two raw counters: rate() and increase() extrapolate",
        ),
        _ => wrong(format!("`{path}` is {value}, not a number"), known),
    }
}

/// Rising bounds in microseconds, as they were written, with their counts.
fn bounds(path: &str, value: Json) -> Result<Vec<(u64, String, u64)>, Wrong> {
    let Json::Map(fields) = value else {
        let hint = "give bounds in seconds and their counts: {\"0.1\": 3, \"0.25\": 1}";
        return wrong(format!("`{path}` is {value}"), hint);
    };
    let mut found: Vec<(u64, String, u64)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let slower = count(&format!("{path}.{name}"), &value)?;
        let bound_us = match name.trim().parse::<f64>() {
            Ok(seconds) if seconds.is_infinite() => {
                return wrong(
                    format!("`{path}` has the bound {name}"),
                    "leave it out: nothing is slower than infinity",
                );
            }
            Ok(seconds) if (1e-6..=1e6).contains(&seconds) => (seconds * 1e6).round() as u64,
            _ => {
                return wrong(
                    format!("`{path}` has the bound `{name}`"),
                    "a bound is a number of seconds of at least 0.000001, for example \"0.25\"",
                );
            }
        };
        if let Some((_, other, _)) = found.iter().find(|(us, ..)| *us == bound_us) {
            return wrong(
                format!("`{path}` has the bound {other} twice (also as {name})"),
                "give each bound once",
            );
        }
        found.push((bound_us, name, slower));
    }
    found.sort_by_key(|(us, ..)| *us);
    Ok(found)
}

/// Both sides have the same bounds; a side without requests need not give any.
pub(super) fn same_bounds(mut sides: Sides) -> Result<Sides, Wrong> {
    fill(&mut sides.stable, &sides.canary);
    fill(&mut sides.canary, &sides.stable);
    let of = |counts: &Counts| counts.latency.iter().map(|s| s.bound_us).collect::<Vec<_>>();
    let (canary, stable) = (of(&sides.canary), of(&sides.stable));
    if canary == stable {
        return Ok(sides);
    }
    let lone = |one: &[u64], other: &[u64]| one.iter().copied().find(|us| !other.contains(us));
    let (side, other, us) = match (lone(&canary, &stable), lone(&stable, &canary)) {
        (Some(us), _) => ("canary", "stable", us),
        (_, us) => ("stable", "canary", us.unwrap_or_default()),
    };
    wrong(
        format!("`{side}.slower_than` has the bound {}, `{other}.slower_than` has not", bound(us)),
        "give both sides the same bounds: only what is counted on both can be compared",
    )
}

fn fill(empty: &mut Counts, other: &Counts) {
    if empty.requests == 0 && empty.latency.is_empty() {
        let none = |s: &Slower| Slower { bound_us: s.bound_us, of: 0, slower: 0 };
        empty.latency = other.latency.iter().map(none).collect();
    }
}

pub(super) fn unknown<T>(side: &str, name: &str, known: &[&str]) -> Result<T, Wrong> {
    let path = if side.is_empty() { name.to_string() } else { format!("{side}.{name}") };
    let hint = suggest(name, known.iter().copied())
        .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
    wrong(format!("unknown field `{path}`"), hint)
}

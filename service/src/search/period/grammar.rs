//! Which words of a question name a time. Words that mean other things too ("may", "last", "second")
//! count only beside others that make a time of them.

use jiff::civil::{Date, Weekday};

use super::calendar::{Span, Unit, back};
use crate::search::text::MONTHS;

/// What was found first.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) span: Span,
    /// Places of words that tell a time as seen from today.
    pub(super) relative: Vec<usize>,
}

/// A time beginning at some place: how many words it takes, and whether it is seen from today.
struct Named {
    span: Span,
    words: usize,
    relative: bool,
}

const OPENING: [&str; 6] = ["since", "before", "until", "till", "after", "between"];

/// The first time that `words` name, with the words around it that open it to one side or join it
/// with another.
pub(super) fn find(words: &[String], today: Date) -> Option<Found> {
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    for place in 0..all.len() {
        let Some(named) = named(&all, place, today) else { continue };
        let mut relative = places(place, &named);
        let end = place + named.words;
        let before = |back: usize| place.checked_sub(back).map_or("", |place| all[place]);
        // "since the third of May": an article may stand between.
        let opens = if before(1) == "the" { before(2) } else { before(1) };
        if named.relative && OPENING.contains(&before(1)) {
            relative.push(place - 1);
        }
        let span = match opens {
            "since" => Span { first: named.span.first, behind: today.tomorrow().ok()? },
            "before" | "until" | "till" => named.span.before(),
            "after" => named.span.after(),
            "between" | "from" => match all.get(end).copied() {
                Some("and" | "to" | "until" | "till") => {
                    let next = if all.get(end + 1) == Some(&"the") { end + 2 } else { end + 1 };
                    match named_after_joint(&all, next, today) {
                        Some(last) => {
                            relative.extend(places(next, &last));
                            joined(&all, place, &named, &last, today)?
                        }
                        None => named.span,
                    }
                }
                _ => named.span,
            },
            _ => named.span,
        };
        return Some(Found { span, relative });
    }
    None
}

fn places(place: usize, named: &Named) -> Vec<usize> {
    if named.relative { (place..place + named.words).collect() } else { Vec::new() }
}

/// Behind "between May and" a month needs no preposition.
fn named_after_joint(all: &[&str], place: usize, today: Date) -> Option<Named> {
    named(all, place, today).or_else(|| {
        let month = month(all.get(place)?)?;
        Some(Named { span: Span::month(today, month, None)?, words: 1, relative: false })
    })
}

/// From the first to the last; "between May and July 2023" is one year.
fn joined(all: &[&str], place: usize, first: &Named, last: &Named, today: Date) -> Option<Span> {
    if first.words == 1
        && let Some(month) = month(all[place])
    {
        let begin = Span::month(today, month, Some(last.span.first.year()))?;
        return begin.up_to_last_of(&last.span);
    }
    first.span.up_to_last_of(&last.span)
}

fn named(all: &[&str], place: usize, today: Date) -> Option<Named> {
    let rest = all.get(place..)?;
    let before = place.checked_sub(1).map_or("", |place| all[place]);
    relative(rest, before, today).or_else(|| absolute(rest, before, today))
}

fn relative(rest: &[&str], before: &str, today: Date) -> Option<Named> {
    let (span, words) = match *rest {
        ["day", "before", "yesterday", ..] => (Span::ago(today, Unit::Day, 2), 3),
        ["yesterday", ..] => (Span::ago(today, Unit::Day, 1), 1),
        ["today" | "tonight", ..] => (Span::day(today), 1),
        ["last", "night", ..] => (
            back(today, Unit::Day, 1)
                .and_then(|day| Some(Span { first: day, behind: today.tomorrow().ok()? })),
            2,
        ),
        ["this", "morning" | "afternoon" | "evening", ..] => (Span::day(today), 2),
        ["this", word, ..] => (Span::around(today, unit(word, false)?), 2),
        [which @ ("last" | "past" | "previous"), word, ..] => {
            if let Some(weekday) = weekday(word) {
                (Span::weekday(today, weekday), 2)
            } else if let Some(unit) = unit(word, false) {
                let span = match (which, unit) {
                    ("past", unit) if unit != Unit::Weekend => Span::last(today, unit, 1),
                    (_, Unit::Day) => Span::ago(today, Unit::Day, 1),
                    (_, unit) => Span::around(back(today, unit, 1)?, unit),
                };
                (span, 2)
            } else if let Some(month) = month(word) {
                (Span::month(today, month, None), 2)
            } else {
                let (count, words) = count(&rest[1..])?;
                let unit = unit(rest.get(1 + words)?, true)?;
                (Span::last(today, unit, count), 2 + words)
            }
        }
        ["on", word, ..] => (Span::weekday(today, weekday(word)?), 2),
        _ => {
            if before == "since"
                && let Some(weekday) = weekday(rest.first()?)
            {
                (Span::weekday(today, weekday), 1)
            } else {
                let (count, words) = count(rest)?;
                let unit = unit(rest.get(words)?, true)?;
                if rest.get(words + 1) != Some(&"ago") {
                    return None;
                }
                (Span::ago(today, unit, count), words + 2)
            }
        }
    };
    Some(Named { span: span?, words, relative: true })
}

fn absolute(rest: &[&str], before: &str, today: Date) -> Option<Named> {
    let said = |span: Option<Span>, words| Some(Named { span: span?, words, relative: false });
    if let [first, second, third, ..] = *rest {
        // 2023-05-07
        if let (Some(year), Ok(month), Ok(day)) = (year(first), second.parse(), third.parse())
            && second.len() == 2
            && third.len() == 2
        {
            return said(Span::date(today, day, month, Some(year)), 3);
        }
        if let (Some(day), "of", Some(month)) = (ordinal(first), second, month(third)) {
            let year = rest.get(3).and_then(|word| year(word));
            return said(Span::date(today, day, month, year), 3 + usize::from(year.is_some()));
        }
    }
    if let [first, second, ..] = *rest {
        let third = rest.get(2).and_then(|word| year(word));
        let words = 2 + usize::from(third.is_some());
        if let (Some(day), Some(month)) = (ordinal(first), month(second)) {
            return said(Span::date(today, day, month, third), words);
        }
        if let (Some(month), Some(year)) = (month(first), year(second)) {
            return said(Span::month(today, month, Some(year)), 2);
        }
        if let (Some(month), "of", Some(year)) = (month(first), second, third) {
            return said(Span::month(today, month, Some(year)), 3);
        }
        if let (Some(month), Some(day)) = (month(first), ordinal(second)) {
            return said(Span::date(today, day, month, third), words);
        }
    }
    let first = *rest.first()?;
    let beside = ["in", "during", "since", "before", "after", "until", "till", "between", "from"];
    let vague = ["early", "late", "mid"];
    if !beside.contains(&before) && !vague.contains(&before) {
        return None;
    }
    if let Some(year) = year(first) {
        return said(Span::around(Date::new(year, 1, 1).ok()?, Unit::Year), 1);
    }
    said(Span::month(today, month(first)?, None), 1)
}

fn unit(word: &str, several: bool) -> Option<Unit> {
    let one = word.strip_suffix('s').filter(|_| several).unwrap_or(word);
    match one {
        "day" => Some(Unit::Day),
        "week" => Some(Unit::Week),
        "weekend" => Some(Unit::Weekend),
        "month" => Some(Unit::Month),
        "year" => Some(Unit::Year),
        _ => None,
    }
}

/// A number in words or digits, and how many words it takes.
fn count(words: &[&str]) -> Option<(i64, usize)> {
    const NUMBERS: [&str; 12] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    match *words {
        ["a", "couple", "of", ..] => Some((2, 3)),
        ["couple", "of", ..] => Some((2, 2)),
        ["a", "few", ..] => Some((3, 2)),
        ["few", ..] => Some((3, 1)),
        ["a" | "an", ..] => Some((1, 1)),
        [word, ..] => {
            let spelt = NUMBERS.iter().position(|number| *number == word);
            let number = match spelt {
                Some(place) => place as i64 + 1,
                None => word.parse().ok().filter(|number| (1..=1000).contains(number))?,
            };
            Some((number, 1))
        }
        [] => None,
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    Some(match word {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

fn month(word: &str) -> Option<i8> {
    let short = |name: &&str| word.len() == 3 && name.starts_with(word) && *name != "may";
    let place = MONTHS.iter().position(|name| *name == word || short(name))?;
    i8::try_from(place + 1).ok()
}

/// A day of a month: "7", "7th", "1st".
fn ordinal(word: &str) -> Option<i8> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end));
    digits.unwrap_or(word).parse().ok().filter(|day| (1..=31).contains(day))
}

fn year(word: &str) -> Option<i16> {
    let year = word.parse().ok().filter(|year| (1900..=2199).contains(year));
    year.filter(|_| word.len() == 4)
}

//! The time that a question names: "yesterday", "last week", "in May 2023", "two days ago".
//!
//! Reads English only, as the stemmer does; days begin in UTC. Knows no memories: a period comes out,
//! and which words of the question were about the present of whoever asks.

mod calendar;
mod grammar;

use super::text::words;
use crate::memory::Moment;

/// From one moment on, up to and without another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: Moment,
    pub(super) to: Moment,
}

const DAY: i64 = 24 * 60 * 60 * 1000;

impl Period {
    /// How far outside `moment` is; 0 within.
    pub(super) fn distance(&self, moment: Moment) -> i64 {
        self.from.since(moment).max(moment.since(self.to.plus(-1)))
    }

    /// How far outside still counts: people are not exact, and tell of something the day after.
    pub(super) fn margin(&self) -> i64 {
        (self.to.since(self.from) / 4).clamp(DAY, 31 * DAY)
    }
}

/// A question's time, and the question without the words that told it relative to the present: a
/// memory that holds "yesterday" means another day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) period: Period,
    pub(super) rest: String,
}

/// The time that `question` names, if it names one.
pub(super) fn timed(question: &str, now: Moment) -> Option<Timed> {
    let words: Vec<String> = words(question).collect();
    let today = calendar::day_of(now)?;
    let found = grammar::find(&words, today)?;
    let period = Period { from: found.span.from(), to: found.span.to() };
    let kept = words.iter().enumerate().filter(|(place, _)| !found.relative.contains(place));
    let kept: Vec<&str> = kept.map(|(_, word)| word.as_str()).collect();
    Some(Timed { period, rest: kept.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Wednesday.
    const NOW: Moment = Moment(1_700_049_600_000);

    fn days(question: &str) -> Option<(String, String)> {
        let day = |moment: Moment| {
            let time = jiff::Timestamp::from_millisecond(moment.0).expect("a time");
            time.strftime("%Y-%m-%d").to_string()
        };
        timed(question, NOW).map(|t| (day(t.period.from), day(t.period.to.plus(-1))))
    }

    #[test]
    fn a_time_is_read_as_people_mean_it() {
        for (question, first, last) in [
            ("What did Ann do yesterday?", "2023-11-14", "2023-11-14"),
            ("What happened the day before yesterday", "2023-11-13", "2023-11-13"),
            ("what's up today", "2023-11-15", "2023-11-15"),
            ("Where were we last night?", "2023-11-14", "2023-11-15"),
            ("Whom did she meet last week?", "2023-11-06", "2023-11-12"),
            ("How was last weekend?", "2023-11-11", "2023-11-12"),
            ("what did I eat this week", "2023-11-13", "2023-11-19"),
            ("books of the past week", "2023-11-09", "2023-11-15"),
            ("trips last month", "2023-10-01", "2023-10-31"),
            ("trips last year", "2022-01-01", "2022-12-31"),
            ("What did Bob buy last Monday?", "2023-11-13", "2023-11-13"),
            ("What did Bob buy on Wednesday?", "2023-11-08", "2023-11-08"),
            ("What was said two days ago?", "2023-11-13", "2023-11-13"),
            ("a week ago", "2023-11-05", "2023-11-11"),
            ("3 months ago", "2023-08-01", "2023-08-31"),
            ("in the last 10 days", "2023-11-06", "2023-11-15"),
            ("over the past two weeks", "2023-11-02", "2023-11-15"),
            ("What did Ann do in May 2023?", "2023-05-01", "2023-05-31"),
            ("in May", "2023-05-01", "2023-05-31"),
            ("during December", "2022-12-01", "2022-12-31"),
            ("on 7 May 2023", "2023-05-07", "2023-05-07"),
            ("on May 7th, 2023", "2023-05-07", "2023-05-07"),
            ("on the 3rd of July", "2023-07-03", "2023-07-03"),
            ("on 24 December", "2022-12-24", "2022-12-24"),
            ("on 2023-05-07", "2023-05-07", "2023-05-07"),
            ("in 2022", "2022-01-01", "2022-12-31"),
            ("since last Monday", "2023-11-13", "2023-11-15"),
            ("between May and July 2023", "2023-05-01", "2023-07-31"),
            ("from 3 May 2023 to 5 May 2023", "2023-05-03", "2023-05-05"),
        ] {
            assert_eq!(days(question), Some((first.into(), last.into())), "{question}");
        }
    }

    #[test]
    fn before_and_after_are_open() {
        let timed = |question| timed(question, NOW).expect("a time").period;
        let before = timed("What did she do before May 2023?");
        assert!(before.from.0 < 0 && before.to == Moment(1_682_899_200_000), "{before:?}");
        let after = timed("What did she do after May 2023?");
        assert_eq!(after.from, Moment(1_685_577_600_000));
        assert!(after.to > NOW.plus(365 * DAY));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for question in [
            "Who may come?",
            "Did the band march in the parade?",
            "Where is my second book?",
            "What is the last thing she said?",
            "the day the earth stood still",
            "order 2023",
            "the 99th of May 20230",
            "7 dwarfs",
            "",
        ] {
            assert_eq!(days(question), None, "{question}");
        }
    }

    #[test]
    fn words_about_the_present_of_whoever_asks_are_not_looked_for() {
        let rest = |question| timed(question, NOW).expect("a time").rest;
        assert_eq!(rest("What did Ann say two weeks ago?"), "what did ann say");
        assert_eq!(rest("What did Ann say in May 2023?"), "what did ann say in may 2023");
        assert_eq!(rest("since yesterday, tea?"), "tea");
    }

    #[test]
    fn outside_is_told_from_within() {
        let period = Period { from: Moment(1000), to: Moment(2000) };
        let distances = [0, 999, 1000, 1999, 2000, 2500].map(|at| period.distance(Moment(at)));
        assert_eq!(distances, [1000, 1, 0, 0, 1, 501]);
    }
}

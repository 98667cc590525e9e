//! Days and what people count in them.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span as Length, ToSpan};

use crate::memory::Moment;

/// From the beginning of one day to the beginning of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Date,
    /// The day behind the last one.
    pub(super) behind: Date,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Day,
    Week,
    Weekend,
    Month,
    Year,
}

pub(super) fn day_of(now: Moment) -> Option<Date> {
    let time = jiff::Timestamp::from_millisecond(now.0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).date())
}

fn moment(day: Date) -> Moment {
    let midnight = day.to_zoned(TimeZone::UTC).map(|time| time.timestamp().as_millisecond());
    Moment(midnight.unwrap_or_default())
}

impl Unit {
    fn length(self, count: i64) -> Length {
        match self {
            Unit::Day => count.days(),
            Unit::Week | Unit::Weekend => count.weeks(),
            Unit::Month => count.months(),
            Unit::Year => count.years(),
        }
    }
}

/// Most units that somebody counts back; more would leave the calendar.
const MOST: i64 = 1000;

pub(super) fn back(day: Date, unit: Unit, count: i64) -> Option<Date> {
    if !(0..=MOST).contains(&count) {
        return None;
    }
    day.checked_sub(unit.length(count)).ok()
}

fn on(day: Date, unit: Unit, count: i64) -> Option<Date> {
    day.checked_add(unit.length(count)).ok()
}

impl Span {
    pub(super) fn from(&self) -> Moment {
        moment(self.first)
    }

    pub(super) fn to(&self) -> Moment {
        moment(self.behind)
    }

    pub(super) fn day(day: Date) -> Option<Self> {
        Some(Self { first: day, behind: day.tomorrow().ok()? })
    }

    /// The unit of the calendar that `day` is in. A weekend is that of its week.
    pub(super) fn around(day: Date, unit: Unit) -> Option<Self> {
        let monday = || back(day, Unit::Day, i64::from(day.weekday().to_monday_zero_offset()));
        let first = match unit {
            Unit::Day => day,
            Unit::Week => monday()?,
            Unit::Weekend => on(monday()?, Unit::Day, 5)?,
            Unit::Month => day.first_of_month(),
            Unit::Year => day.first_of_year(),
        };
        let behind = match unit {
            Unit::Weekend => on(first, Unit::Day, 2)?,
            unit => on(first, unit, 1)?,
        };
        Some(Self { first, behind })
    }

    /// What lies `count` units back: that day, the days around that week's, that month, that year.
    pub(super) fn ago(today: Date, unit: Unit, count: i64) -> Option<Self> {
        let day = back(today, unit, count)?;
        match unit {
            Unit::Week => {
                Some(Self { first: back(day, Unit::Day, 3)?, behind: on(day, Unit::Day, 4)? })
            }
            unit => Self::around(day, unit),
        }
    }

    /// The last `count` units up to and with today.
    pub(super) fn last(today: Date, unit: Unit, count: i64) -> Option<Self> {
        let behind = today.tomorrow().ok()?;
        Some(Self { first: back(behind, unit, count)?, behind })
    }

    /// The last `weekday` before today.
    pub(super) fn weekday(today: Date, weekday: Weekday) -> Option<Self> {
        let since = i64::from(weekday.until(today.weekday()));
        Self::day(back(today, Unit::Day, if since == 0 { 7 } else { since })?)
    }

    /// A month; without a year the last one that has begun.
    pub(super) fn month(today: Date, month: i8, year: Option<i16>) -> Option<Self> {
        let year = year.unwrap_or(today.year() - i16::from(month > today.month()));
        Self::around(Date::new(year, month, 1).ok()?, Unit::Month)
    }

    /// A day of a month; without a year the last one that is not to come.
    pub(super) fn date(today: Date, day: i8, month: i8, year: Option<i16>) -> Option<Self> {
        let of = |year: i16| Date::new(year, month, day).ok();
        let found = match year {
            Some(year) => of(year)?,
            None => {
                of(today.year()).filter(|day| *day <= today).or_else(|| of(today.year() - 1))?
            }
        };
        Self::day(found)
    }

    pub(super) fn before(&self) -> Self {
        Self { first: Date::constant(1, 1, 1), behind: self.first }
    }

    pub(super) fn after(&self) -> Self {
        Self { first: self.behind, behind: Date::constant(9000, 1, 1) }
    }

    pub(super) fn up_to_last_of(&self, other: &Self) -> Option<Self> {
        (other.behind > self.first).then_some(Self { first: self.first, behind: other.behind })
    }
}

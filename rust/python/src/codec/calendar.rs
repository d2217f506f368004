//! Days and microseconds, counted from 2000-01-01 as PostgreSQL does, to dates and back.

/// The microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// 0001-01-01 and 9999-12-31, in days from 2000-01-01: what Python's dates span.
pub const FIRST: i64 = -730_119;
/// See [`FIRST`].
pub const LAST: i64 = 2_921_939;

/// A date of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// From 1 to 9999.
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// The date of a day; None if it is none of Python's. After Howard Hinnant's "chrono-compatible date algorithms".
pub fn civil(days: i64) -> Option<Civil> {
    if !(FIRST..=LAST).contains(&days) {
        return None;
    }
    let shifted = days + 730_425; // from 0000-03-01, a day after every leap day
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    Some(Civil { year: year as i32, month: month as u8, day: of_month as u8 })
}

/// The day of a date that exists.
pub fn days(date: Civil) -> i64 {
    let month = i64::from(date.month);
    let year = i64::from(date.year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(date.day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730_425
}

/// A time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Up to 24, the end of the day, which PostgreSQL knows and Python does not.
    pub hour: i64,
    /// Below 60.
    pub minute: u8,
    /// Below 60.
    pub second: u8,
    /// Below a million.
    pub micro: u32,
}

/// The time after so many microseconds.
pub fn clock(micros: i64) -> Clock {
    let seconds = micros.div_euclid(1_000_000);
    let minutes = seconds.div_euclid(60);
    Clock {
        hour: minutes.div_euclid(60),
        minute: minutes.rem_euclid(60) as u8,
        second: seconds.rem_euclid(60) as u8,
        micro: micros.rem_euclid(1_000_000) as u32,
    }
}

//! Dates, times and intervals in text: DateStyle ISO, IntervalStyle postgres.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyTime};

use super::binary::delta;
use super::calendar::{Civil, DAY, civil, days};
use super::fault::{Fault, Read, bad};
use super::session::{Session, fixed_offset};
use super::text::shown;

/// What is left to read.
struct Scan<'a>(&'a [u8]);

/// Hour, minute, second, microsecond.
type Time = (u8, u8, u8, u32);

impl Scan<'_> {
    fn take(&mut self, wanted: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    /// A number of at most 15 digits, which no value of PostgreSQL's exceeds.
    fn number(&mut self) -> Option<i64> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        if !(1..=15).contains(&end) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn small<T: TryFrom<i64>>(&mut self) -> Option<T> {
        self.number().and_then(|number| T::try_from(number).ok())
    }

    fn date(&mut self) -> Option<(i32, u8, u8)> {
        let year = self.small()?;
        self.take(b"-")?;
        let month = self.small()?;
        self.take(b"-")?;
        Some((year, month, self.small()?))
    }

    /// Hours may be many in an interval.
    fn clock<T: TryFrom<i64>>(&mut self) -> Option<(T, u8, u8, u32)> {
        let hour = self.small()?;
        self.take(b":")?;
        let minute = self.small()?;
        self.take(b":")?;
        let second = self.small()?;
        Some((hour, minute, second, if self.take(b".").is_some() { self.fraction()? } else { 0 }))
    }

    fn fraction(&mut self) -> Option<u32> {
        let before = self.0.len();
        let digits: u32 = self.small()?;
        let length = before - self.0.len();
        (length <= 6).then(|| digits * 10_u32.pow(6 - length as u32))
    }

    /// An offset from UTC in seconds: `+02`, `-05:30`, `+00:53:28`.
    fn offset(&mut self) -> Option<i32> {
        let sign = if self.take(b"-").is_some() {
            -1
        } else {
            self.take(b"+")?;
            1
        };
        let mut seconds = 3600 * i32::from(self.small::<u8>()?);
        for unit in [60, 1] {
            if self.take(b":").is_some() {
                seconds += unit * i32::from(self.small::<u8>()?);
            }
        }
        Some(sign * seconds)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn first_word(data: &[u8]) -> usize {
    data.iter().position(u8::is_ascii_whitespace).unwrap_or(data.len())
}

/// A date.
pub fn date<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let mut scan = Scan(data);
    let parts = scan.date().filter(|_| scan.0.is_empty());
    if let Some((year, month, day)) = parts
        && let Ok(date) = PyDate::new(py, year, month, day)
    {
        return Ok(date.into_any());
    }
    let shown = shown(py, data);
    if data == b"infinity" || first_word(data) > 10 {
        return bad(format!("date too large (after year 10K): {shown}"));
    }
    if data == b"-infinity" || data.ends_with(b"BC") {
        return bad(format!("date too small (before year 1): {shown}"));
    }
    bad(format!("can't parse date {shown}"))
}

fn timestamp_fault(py: Python<'_>, data: &[u8]) -> Fault {
    let shown = shown(py, data);
    Fault::Data(if data == b"-infinity" || data.ends_with(b"BC") {
        format!("timestamp too small (before year 1): {shown}")
    } else if data == b"infinity" || first_word(data) > 10 {
        format!("timestamp too large (after year 10K): {shown}")
    } else {
        format!("can't parse timestamp {shown}")
    })
}

fn date_and_time(scan: &mut Scan<'_>) -> Option<((i32, u8, u8), Time)> {
    let date = scan.date()?;
    scan.take(b" ")?;
    Some((date, scan.clock()?))
}

/// A timestamp without zone.
pub fn timestamp<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let mut scan = Scan(data);
    if let Some(((year, month, day), (hour, minute, second, micro))) = date_and_time(&mut scan)
        && scan.end().is_some()
        && let Ok(value) = PyDateTime::new(py, year, month, day, hour, minute, second, micro, None)
    {
        return Ok(value.into_any());
    }
    Err(timestamp_fault(py, data))
}

/// A moment, in the zone of the session.
pub fn timestamptz<'py>(py: Python<'py>, session: &Session, data: &[u8]) -> Read<'py> {
    match moment(data) {
        Some((wall, offset)) => session.moment_at(py, wall, offset),
        None => Err(timestamp_fault(py, data)),
    }
}

/// Microseconds from 2000-01-01 on the wall clock, and what it is ahead of UTC in seconds.
fn moment(data: &[u8]) -> Option<(i64, i32)> {
    let mut scan = Scan(data);
    let ((year, month, day), (hour, minute, second, micro)) = date_and_time(&mut scan)?;
    let offset = scan.offset()?;
    scan.end()?;
    let date = Civil { year, month, day };
    let exists = (1..=9999).contains(&year) && (1..=12).contains(&month) && civil(days(date)) == Some(date);
    if !exists || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    Some((days(date) * DAY + seconds * 1_000_000 + i64::from(micro), offset))
}

/// A time without zone.
pub fn time<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let mut scan = Scan(data);
    match scan.clock().filter(|_| scan.0.is_empty()) {
        Some((hour, minute, second, micro)) => match PyTime::new(py, hour, minute, second, micro, None) {
            Ok(time) => Ok(time.into_any()),
            Err(error) => bad(format!("can't parse time {}: {}", shown(py, data), error.value(py))),
        },
        None => bad(format!("can't parse time {}", shown(py, data))),
    }
}

/// A time with an offset from UTC.
pub fn timetz<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let mut scan = Scan(data);
    let parts = scan.clock().zip(scan.offset()).filter(|_| scan.0.is_empty());
    let Some(((hour, minute, second, micro), offset)) = parts else {
        return bad(format!("can't parse timetz {}", shown(py, data)));
    };
    let zone = fixed_offset(py, offset)?;
    match PyTime::new(py, hour, minute, second, micro, Some(&zone)) {
        Ok(time) => Ok(time.into_any()),
        Err(error) => bad(format!("can't parse timetz {}: {}", shown(py, data), error.value(py))),
    }
}

/// An interval; a year counts 365 days and a month 30, as psycopg has it.
pub fn interval<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let Some((days, micros)) = days_and_micros(data) else {
        return bad(format!("can't parse interval {}", shown(py, data)));
    };
    match delta(py, days, micros) {
        Err(Fault::Python(error)) if error.is_instance_of::<PyOverflowError>(py) => {
            bad(format!("can't parse interval {}: {}", shown(py, data), error.value(py)))
        }
        made => made,
    }
}

fn days_and_micros(data: &[u8]) -> Option<(i64, i64)> {
    let (mut days, mut micros) = (0_i64, 0);
    for part in Words(data) {
        let negative = part.0.starts_with(b"-");
        let sign = if negative { -1 } else { 1 };
        let mut scan = Scan(part.0.strip_prefix(b"-").or(part.0.strip_prefix(b"+")).unwrap_or(part.0));
        if part.1.is_empty() {
            let (hours, minutes, seconds, micro) = scan.clock::<i64>()?;
            let seconds = (hours * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
            micros = sign * seconds.checked_mul(1_000_000)?.checked_add(i64::from(micro))?;
        } else {
            let unit = match part.1 {
                b"year" | b"years" => 365,
                b"mon" | b"mons" => 30,
                b"day" | b"days" => 1,
                _ => return None,
            };
            days = days.checked_add(sign * scan.number()? * unit)?;
        }
        scan.end()?;
    }
    Some((days, micros))
}

/// Pairs of a number and its unit; the time, which has none, comes last.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut words = self.0.splitn(3, |byte| *byte == b' ');
        let number = words.next().filter(|word| !word.is_empty())?;
        let unit = words.next().unwrap_or_default();
        self.0 = words.next().unwrap_or_default();
        Some((number, unit))
    }
}

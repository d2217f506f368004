//! One value in binary -> the number, or the text, that Arrow keeps. What is wrong with it is said without the column.

use crate::codec::{self, Fault};

const DAY: i64 = 86_400_000_000;
/// From 1970, where Arrow's dates begin, to 2000, where PostgreSQL's do.
const DAYS: i32 = 10_957;
const MICROS: i64 = DAYS as i64 * DAY;
/// Of Python's dates, from 1970.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;

/// The bytes of a value whose size is that of its type.
pub fn fixed<const SIZE: usize>(data: &[u8]) -> Result<[u8; SIZE], String> {
    data.try_into().map_err(|_| format!("a value of another length than {SIZE} bytes"))
}

/// Days from 1970 on.
pub fn date(data: &[u8], clamp: bool) -> Result<i32, String> {
    match i32::from_be_bytes(fixed(data)?) {
        i32::MIN => infinite(clamp, FIRST_DAY),
        i32::MAX => infinite(clamp, LAST_DAY),
        days => days.checked_add(DAYS).ok_or_else(beyond),
    }
}

/// Microseconds from 1970 on.
pub fn moment(data: &[u8], clamp: bool) -> Result<i64, String> {
    match i64::from_be_bytes(fixed(data)?) {
        i64::MIN => infinite(clamp, i64::from(FIRST_DAY) * DAY),
        i64::MAX => infinite(clamp, (i64::from(LAST_DAY) + 1) * DAY - 1),
        micros => micros.checked_add(MICROS).ok_or_else(beyond),
    }
}

fn infinite<T>(clamp: bool, end: T) -> Result<T, String> {
    let why = "infinity has no form in Arrow; the pool's option infinity='clamp' gives it one";
    if clamp { Ok(end) } else { Err(why.into()) }
}

fn beyond() -> String {
    "a moment that is beyond what Arrow can hold".into()
}

/// Microseconds of a day.
pub fn time(data: &[u8]) -> Result<i64, String> {
    let micros = i64::from_be_bytes(fixed(data)?);
    if (0..DAY).contains(&micros) { Ok(micros) } else { Err("time not supported by Arrow: hour=24".into()) }
}

/// Microseconds; a month has 30 days, a year 365, as in a timedelta.
pub fn interval(data: &[u8]) -> Result<i64, String> {
    let data: [u8; 16] = fixed(data)?;
    let micros = i64::from_be_bytes(fixed(&data[..8])?);
    let days = i64::from(i32::from_be_bytes(fixed(&data[8..12])?));
    let months = i64::from(i32::from_be_bytes(fixed(&data[12..])?));
    let whole = i128::from(days + months / 12 * 365 + months % 12 * 30) * i128::from(DAY);
    i64::try_from(whole + i128::from(micros)).map_err(|_| "an interval that is beyond what Arrow can hold".into())
}

/// A text.
pub fn text(data: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(data).map_err(|error| error.to_string())
}

/// A document's text.
pub fn jsonb(data: &[u8]) -> Result<&str, String> {
    match data.split_first() {
        Some((1, document)) => text(document),
        _ => Err("unknown jsonb binary format".into()),
    }
}

/// As PostgreSQL writes it.
pub fn uuid(data: &[u8]) -> Result<String, String> {
    let number = u128::from_be_bytes(fixed(data)?);
    let hex = format!("{number:032x}");
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// As PostgreSQL writes it; the codec's text may begin with zeros.
pub fn numeric(data: &[u8]) -> Result<String, String> {
    let text = codec::numeric(data).map_err(|fault| match fault {
        Fault::Data(message) => message,
        Fault::Python(error) => error.to_string(),
    })?;
    let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
    let zeros = digits.bytes().take_while(|byte| *byte == b'0').count();
    let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
    Ok(format!("{sign}{}", &digits[zeros.min(whole.saturating_sub(1))..]))
}

/// A decimal of so many digits, `scale` of them behind the point. Layout: backend/utils/adt/numeric.c, numeric_send.
pub fn decimal(data: &[u8], (precision, scale): (u8, i8)) -> Result<i128, String> {
    let word = |at: usize| data.get(2 * at..2 * at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
    let (count, weight, sign) = (i32::from(word(0)), i32::from(word(1) as i16), word(2));
    if data.len() != 8 + 2 * count as usize {
        return Err(format!("{} bytes where {} are expected", data.len(), 8 + 2 * count));
    }
    match sign {
        0 | 0x4000 => {}
        0xC000 | 0xD000 | 0xF000 => {
            return Err("NaN has no form in a decimal; cast the column to float8 or text".into());
        }
        _ => return Err("malformed numeric".into()),
    }
    let mut value: i128 = 0;
    for at in 0..count {
        let digit = Some(word(4 + at as usize)).filter(|digit| *digit < 10_000).ok_or("malformed numeric")?;
        let shift = 4 * (weight - at) + i32::from(scale);
        let shifted = shifted(i128::from(digit), shift).ok_or_else(misfit)?;
        value = value.checked_add(shifted).ok_or_else(misfit)?;
    }
    if value >= 10_i128.pow(u32::from(precision)) {
        return Err(misfit());
    }
    Ok(if sign == 0 { value } else { -value })
}

/// `digit` times ten to the power of `shift`; None if that is no whole number, or too large.
fn shifted(digit: i128, shift: i32) -> Option<i128> {
    if digit == 0 {
        return Some(0);
    }
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    match shift {
        0.. => digit.checked_mul(power),
        _ if digit % power == 0 => Some(digit / power),
        _ => None,
    }
}

fn misfit() -> String {
    "a numeric that does not fit into the column's precision and scale".into()
}

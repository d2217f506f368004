//! What values of one session depend on, and the Python objects that they are made with.

use db_pool_engine::link::Settings;
use pyo3::exceptions::{PyException, PyOverflowError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyTzInfo};

use super::calendar::{DAY, FIRST, LAST, civil, clock};
use super::fault::{Read, bad};

/// Zones that never differ from UTC: nothing has to be converted.
const LIKE_UTC: &[&str] =
    &["Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal", "GMT", "Etc/GMT"];

/// The settings of a session, and its time zone as Python has it.
pub struct Session {
    settings: Settings,
    zone: PyOnceLock<Zone>,
}

struct Zone {
    object: Py<PyTzInfo>,
    like_utc: bool,
}

impl Session {
    /// A session that reports these settings.
    pub fn new(settings: &Settings) -> Self {
        Session { settings: settings.clone(), zone: PyOnceLock::new() }
    }

    /// What it reports.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn zone(&self, py: Python<'_>) -> PyResult<&Zone> {
        self.zone.get_or_try_init(py, || {
            let name = &*self.settings.time_zone;
            let object = if matches!(name, "" | "UTC") { None } else { zone_info(py, name)? };
            let like_utc = object.is_none() || LIKE_UTC.contains(&name);
            let object = object.map_or_else(|| PyTzInfo::utc(py).map(|utc| utc.to_owned()), Ok)?;
            Ok(Zone { object: object.unbind(), like_utc })
        })
    }

    /// The moment, so many microseconds after 2000-01-01 UTC, in the zone of the session.
    pub fn moment<'py>(&self, py: Python<'py>, micros: i64) -> Read<'py> {
        let zone = self.zone(py)?;
        let object = zone.object.bind(py);
        if zone.like_utc {
            return match datetime(py, micros, Some(object))? {
                Some(value) => Ok(value),
                None => bad(beyond(micros)),
            };
        }
        if let Some(moment) = datetime(py, micros, Some(&*PyTzInfo::utc(py)?))? {
            match moment.call_method1(intern!(py, "astimezone"), (object,)) {
                Err(error) if error.is_instance_of::<PyOverflowError>(py) => {}
                done => return Ok(done?),
            }
        }
        edge(py, micros, object)
    }

    /// A moment that was read as text: the wall clock of the offset, if the zone of the session leads too far.
    pub fn moment_at<'py>(&self, py: Python<'py>, wall: i64, offset: i32) -> Read<'py> {
        let zone = self.zone(py)?;
        let utc = datetime(py, wall - i64::from(offset) * 1_000_000, Some(&*PyTzInfo::utc(py)?))?;
        if let Some(moment) = utc {
            match moment.call_method1(intern!(py, "astimezone"), (zone.object.bind(py),)) {
                Err(error) if error.is_instance_of::<PyOverflowError>(py) => {}
                done => return Ok(done?),
            }
        }
        let fixed = fixed_offset(py, offset)?;
        datetime(py, wall, Some(&fixed))?.map_or_else(|| bad(beyond(wall)), Ok)
    }
}

/// A moment outside of the years that Python has in UTC, but not in its zone.
fn edge<'py>(py: Python<'py>, micros: i64, zone: &Bound<'py, PyTzInfo>) -> Read<'py> {
    let end = datetime(py, if micros < 0 { FIRST * DAY } else { (LAST + 1) * DAY - 1 }, None)?;
    let offset = zone.call_method1(intern!(py, "utcoffset"), (end,))?;
    if !offset.is_none() {
        let seconds: f64 = offset.call_method0(intern!(py, "total_seconds"))?.extract()?;
        let shifted = (seconds != 0.0).then(|| micros.checked_add(seconds as i64 * 1_000_000)).flatten();
        if let Some(shifted) = shifted
            && let Some(value) = datetime(py, shifted, Some(zone))?
        {
            return Ok(value);
        }
    }
    bad(beyond(micros))
}

/// Why a timestamp cannot be held.
pub fn beyond(micros: i64) -> &'static str {
    if micros <= 0 { "timestamp too small (before year 1)" } else { "timestamp too large (after year 10K)" }
}

/// The datetime so many microseconds after 2000-01-01; None if Python has no such year.
pub fn datetime<'py>(
    py: Python<'py>,
    micros: i64,
    zone: Option<&Bound<'py, PyTzInfo>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(date) = civil(micros.div_euclid(DAY)) else { return Ok(None) };
    let time = clock(micros.rem_euclid(DAY));
    let (hour, minute, second) = (time.hour as u8, time.minute, time.second);
    let made = PyDateTime::new(py, date.year, date.month, date.day, hour, minute, second, time.micro, zone)?;
    Ok(Some(made.into_any()))
}

/// `datetime.timezone` of an offset in seconds.
pub fn fixed_offset(py: Python<'_>, seconds: i32) -> PyResult<Bound<'_, PyTzInfo>> {
    PyTzInfo::fixed_offset(py, pyo3::types::PyDelta::new(py, 0, seconds, 0, true)?)
}

/// None, and a warning, if Python does not know the zone.
fn zone_info<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyTzInfo>>> {
    match py.import("zoneinfo")?.getattr("ZoneInfo")?.call1((name,)) {
        Ok(zone) => Ok(Some(zone.cast_into()?)),
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let logger = py.import("logging")?.call_method1("getLogger", ("db_pool_rs",))?;
            logger.call_method1("warning", ("unknown time zone %r of the server; UTC is used", name))?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

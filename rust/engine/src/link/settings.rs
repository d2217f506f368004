//! What the server reports of a session's settings, as far as values depend on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// All that a server reports of a session's settings, as it reported them last.
pub type Parameters = Arc<Mutex<HashMap<String, String>>>;

/// What a server has told of a session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its process.
    pub process_id: i32,
    /// Its settings.
    pub parameters: Parameters,
}

/// The settings that values depend on, as the server reported them last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `TimeZone`: of every timestamptz.
    pub time_zone: String,
    /// `DateStyle`: of dates and times in text.
    pub date_style: String,
    /// `IntervalStyle`: of intervals in text.
    pub interval_style: String,
}

impl Settings {
    /// Take in what was reported; whether that changed anything.
    pub fn report(&mut self, name: &str, value: &str) -> bool {
        let setting = match name {
            "TimeZone" => &mut self.time_zone,
            "DateStyle" => &mut self.date_style,
            "IntervalStyle" => &mut self.interval_style,
            _ => return false,
        };
        let changed = *setting != value;
        if changed {
            value.clone_into(setting);
        }
        changed
    }

    /// Whether dates and intervals can be read in text format: in binary they always can.
    pub fn iso_styles(&self) -> bool {
        matches!(&*self.interval_style, "" | "postgres")
            && (self.date_style.is_empty() || self.date_style.starts_with("ISO"))
    }
}

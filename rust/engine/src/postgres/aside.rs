//! What the server says besides its answers: notices, notifications, settings. All of it is bounded, before and during
//! a login as well, whatever the server sends.

use super::messages;
use crate::link::{Fields, Lost, Malformed, Notification, Parameters, ServerError, Settings};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Notices that are not fetched are bounded in number and in bytes.
const MOST_NOTICES: usize = 100;
const MOST_NOTICE_BYTES: usize = 1024 * 1024;
/// Bytes of notifications that may come while one group runs. They cannot be left out unnoticed.
const MOST_NOTIFIED: usize = 64 * 1024 * 1024;
/// What one notification takes beside its texts.
const NOTIFICATION: usize = size_of::<Notification>();
/// Settings that a server may report, and all bytes of them; PostgreSQL reports about 15.
const MOST_SETTINGS: usize = 1000;
const MOST_SETTING_BYTES: usize = 1024 * 1024;

/// What one connection was told besides, until it is asked for.
#[derive(Default)]
pub(super) struct Aside {
    /// What values depend on.
    pub(super) settings: Arc<Settings>,
    pub(super) parameters: Parameters,
    parameter_bytes: usize,
    notices: Vec<ServerError>,
    notice_bytes: usize,
    notifications: Vec<Notification>,
    notified: usize,
}

impl Aside {
    /// A setting that the server reports.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().get(name).cloned()
    }

    fn parameters(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The notices since the last call.
    pub(super) fn take_notices(&mut self) -> Vec<ServerError> {
        self.notice_bytes = 0;
        std::mem::take(&mut self.notices)
    }

    /// The notifications since the last call.
    pub(super) fn take_notifications(&mut self) -> Vec<Notification> {
        self.notified = 0;
        std::mem::take(&mut self.notifications)
    }

    /// Whether a message is such a one, which is taken in. The last words are an error.
    pub(super) fn take_if_async(&mut self, kind: u8, body: &[u8]) -> Result<bool, Lost> {
        match kind {
            b'N' => self.take_notice(body),
            b'A' => self.take_notification(body)?,
            b'S' => self.take_setting(body)?,
            b'E' => {
                let error = ServerError::parse(body);
                if error.is_fatal() {
                    return Err(Lost { message: error.to_string(), cause: Some(error), sent: true });
                }
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_notice(&mut self, body: &[u8]) {
        // One byte of a message may be a field of its own, and what is no UTF-8 grows.
        let bytes = self.notice_bytes.saturating_add(body.len());
        if self.notices.len() < MOST_NOTICES && bytes <= MOST_NOTICE_BYTES {
            self.notice_bytes = bytes;
            self.notices.push(ServerError::parse(body));
        }
    }

    fn take_notification(&mut self, body: &[u8]) -> Result<(), Lost> {
        self.notified = self.notified.saturating_add(body.len() + NOTIFICATION);
        if self.notified > MOST_NOTIFIED {
            return Err(Lost::new("the server sent more than 64 MiB of notifications at once"));
        }
        self.notifications.push(messages::notification(body)?);
        Ok(())
    }

    fn take_setting(&mut self, body: &[u8]) -> Result<(), Lost> {
        let mut fields = Fields(body);
        let (name, value) = (fields.text()?, fields.text()?);
        let added = name.len() + value.len();
        let mut parameters = self.parameters.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parameters.get(&*name).map_or(0, |old| name.len() + old.len());
        let bytes = self.parameter_bytes - before + added;
        if (before == 0 && parameters.len() >= MOST_SETTINGS) || bytes > MOST_SETTING_BYTES {
            return Err(Malformed("more settings than a server has").into());
        }
        self.parameter_bytes = bytes;
        let mut settings = Settings::clone(&self.settings);
        if settings.report(&name, &value) {
            self.settings = Arc::new(settings);
        }
        parameters.insert(name.into_owned(), value.into_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_left_out_and_settings_refused_before_they_fill_the_memory() {
        let mut aside = Aside::default();
        for number in 0..2000 {
            let notice = [b"SNOTICE\0M".as_slice(), &vec![b'x'; 100_000], b"\0\0"].concat();
            assert!(aside.take_if_async(b'N', &notice).is_ok_and(|message_in_hand| message_in_hand));
            let found = aside.take_if_async(b'S', format!("n{number}\0value\0").as_bytes());
            assert_eq!(found.is_ok(), number < MOST_SETTINGS);
            // One that is known may change as often as it likes.
            assert!(aside.take_if_async(b'S', b"n1\0other\0").is_ok());
        }
        let notices = aside.take_notices();
        assert!(notices.len() <= MOST_NOTICES && notices.len() * 100_000 <= MOST_NOTICE_BYTES);
        let known = aside.parameters().len();
        assert!(0 < known && known <= MOST_SETTINGS);
    }

    #[test]
    fn notifications_beyond_the_bound_end_the_connection() {
        let mut aside = Aside::default();
        let body = [&7_i32.to_be_bytes()[..], b"channel\0", &[b'x'; 8000], b"\0"].concat();
        let mut taken = 0;
        while aside.take_if_async(b'A', &body).is_ok() {
            taken += 1;
        }
        assert!((MOST_NOTIFIED / 10_000..=MOST_NOTIFIED / 8000).contains(&taken));
        assert_eq!(aside.take_notifications().len(), taken);
        assert!(aside.take_if_async(b'A', &body).is_ok());
    }
}

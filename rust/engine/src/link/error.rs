//! What can go wrong on the wire, with everything that the server said about it.

use std::fmt;
use std::io;

use super::conditions::{
    LEAVING, LOGIN_REFUSED, MISTYPED, NAME_TAKEN, PERMANENT, TYPE_GONE, UNKNOWN_STATEMENT, WAS_IDLE,
};

/// The server sent what the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the server sent something that is not PostgreSQL's protocol: {}", self.0)
    }
}

/// An ErrorResponse or NoticeResponse: every field that the server sent, by its letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    fields: Vec<(u8, String)>,
}

impl ServerError {
    /// The field of SQLite's extended result code, which stands where PostgreSQL has an SQLSTATE.
    pub const SQLITE_CODE: u8 = b'e';

    /// From its fields.
    pub fn new(fields: Vec<(u8, String)>) -> Self {
        ServerError { fields }
    }

    /// From a message's body. What is not UTF-8 is replaced: an error must never be lost over its wording.
    pub fn parse(body: &[u8]) -> Self {
        let mut fields = Vec::new();
        let mut rest = body;
        while let Some((letter, tail)) = rest.split_first().filter(|(letter, _)| **letter != 0) {
            let end = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
            fields.push((*letter, String::from_utf8_lossy(&tail[..end]).into_owned()));
            rest = tail.get(end + 1..).unwrap_or_default();
        }
        ServerError { fields }
    }

    /// A field by its letter, e.g. `b'D'` for the detail.
    pub fn field(&self, letter: u8) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == letter).map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn fields(&self) -> &[(u8, String)] {
        &self.fields
    }

    /// The untranslated severity exists since PostgreSQL 9.6; proxies may send only the other.
    pub fn severity(&self) -> &str {
        self.field(b'V').or(self.field(b'S')).unwrap_or("ERROR")
    }

    /// The SQLSTATE, empty if there is none.
    pub fn code(&self) -> &str {
        self.field(b'C').unwrap_or("")
    }

    /// The server closes the connection after this.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity(), "FATAL" | "PANIC")
    }

    /// The server said that it is shutting down or starting up.
    pub fn is_leaving(&self) -> bool {
        LEAVING.contains(&self.code())
    }

    /// The session idled for too long: what was on its way to the server was not executed.
    pub fn was_idle(&self) -> bool {
        WAS_IDLE.contains(&self.code())
    }

    /// What this error of an execution of a pool's prepared statement proves to be out of date. Functions and blocks
    /// may raise the same codes: what they raise is theirs, and has a context.
    pub fn stale(&self, name: &str, typed: bool, revocable: bool) -> Option<Stale> {
        if self.raised_inside() {
            return None;
        }
        let named = !name.is_empty() && self.field(b'M').is_some_and(|message| message.contains(name));
        let code = self.code();
        match code {
            UNKNOWN_STATEMENT => named.then_some(Stale::Name),
            NAME_TAKEN => named.then_some(Stale::Taken),
            "0A000" => (self.field(b'R') == Some("RevalidateCachedQuery")).then_some(Stale::Plan),
            // Formats for columns that are not there.
            "08P01" => (self.field(b'R') == Some("PortalSetResultFormat")).then_some(Stale::Plan),
            _ => {
                let unexecuted = revocable || self.field(b'W').is_some();
                let types = MISTYPED.contains(&code) || TYPE_GONE.contains(&code);
                (typed && unexecuted && types).then_some(Stale::Types)
            }
        }
    }

    /// Whether it has a context other than the one line that the server adds about a parameter, in any language:
    /// "unnamed portal parameter $1 = '...'".
    fn raised_inside(&self) -> bool {
        let Some(context) = self.field(b'W') else { return false };
        let Some((before, after)) = context.split_once('$') else { return true };
        let rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let parameter = rest.len() < after.len() && (rest.is_empty() || rest.starts_with(" = "));
        !parameter || context.contains('\n') || before.contains(['"', '\''])
    }
}

/// What can be out of date of what a pool knows of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// The prepared statement is not there.
    Name,
    /// Its name is that of another.
    Taken,
    /// Its result has other columns now.
    Plan,
    /// The types of its parameters may be others: the server must be asked.
    Types,
}

impl fmt::Display for ServerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.field(b'M').unwrap_or("the server reported an error without a message");
        write!(out, "{}: {message} (SQLSTATE {})", self.severity(), self.code())
    }
}

/// No session could be opened at one address, or at all.
#[derive(Debug, Clone)]
pub struct ConnectError {
    /// The reason; never holds a secret.
    pub message: String,
    /// One line for each address that was tried.
    pub attempts: Vec<String>,
    /// The server's code for the reason.
    pub sqlstate: Option<String>,
    /// To try again cannot help.
    pub permanent: bool,
    /// What SQLite said, which has no SQLSTATE of its own.
    pub cause: Option<ServerError>,
}

impl ConnectError {
    /// A failure that may pass.
    pub fn new(message: impl Into<String>) -> Self {
        ConnectError { message: message.into(), attempts: Vec::new(), sqlstate: None, permanent: false, cause: None }
    }

    /// A failure that stays until a configuration is changed.
    pub fn permanent(message: impl Into<String>) -> Self {
        ConnectError { permanent: true, ..ConnectError::new(message) }
    }

    /// The server refused the login.
    pub fn refused(error: &ServerError) -> Self {
        let code = error.code();
        let permanent = PERMANENT.iter().any(|class| code.starts_with(class));
        ConnectError { sqlstate: Some(code.to_owned()), permanent, ..ConnectError::new(error.to_string()) }
    }

    /// The server knows the user and refuses the login: its other addresses would say the same.
    pub fn is_login_refused(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(|code| code.starts_with(LOGIN_REFUSED))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        ConnectError::new(error.to_string())
    }
}

impl From<Malformed> for ConnectError {
    fn from(error: Malformed) -> Self {
        ConnectError::new(error.to_string())
    }
}

/// The connection is gone.
#[derive(Debug, Clone)]
pub struct Lost {
    /// What happened.
    pub message: String,
    /// The server's last words, if it had any.
    pub cause: Option<ServerError>,
    /// Something of the running group may have been executed.
    pub sent: bool,
}

impl Lost {
    /// Lost with what ran on it.
    pub fn new(message: impl Into<String>) -> Self {
        Lost { message: message.into(), cause: None, sent: true }
    }

    /// The other connections that were made at the same time are suspect too.
    pub fn evicts_all(&self) -> bool {
        self.cause.as_ref().is_some_and(ServerError::is_leaving)
    }

    /// The session idled for too long: what was on its way to the server was not executed.
    pub fn was_idle(&self) -> bool {
        self.cause.as_ref().is_some_and(ServerError::was_idle)
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Lost::new(error.to_string())
    }
}

impl From<Malformed> for Lost {
    fn from(error: Malformed) -> Self {
        Lost::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_every_field_and_replaces_what_is_no_utf8() {
        let error = ServerError::parse(b"SFEHLER\0VERROR\0C23505\0Mdoppelt \xff\0nx_pkey\0\0");
        assert_eq!((error.severity(), error.code(), error.field(b'n')), ("ERROR", "23505", Some("x_pkey")));
        assert_eq!(error.field(b'M'), Some("doppelt \u{fffd}"));
    }

    #[test]
    fn only_what_is_provably_about_the_statement_itself_makes_it_stale() {
        let stale = |fields: &str| ServerError::parse(fields.replace('|', "\0").as_bytes()).stale("dbp_1", true, true);
        assert_eq!(stale("C26000|M\"dbp_1\" fehlt||"), Some(Stale::Name));
        assert_eq!(stale("C26000|M\"own\" fehlt||"), None);
        assert_eq!(stale("C26000|M\"dbp_1\" fehlt|WPL/pgSQL function f() line 1 at RAISE||"), None);
        assert_eq!(stale("C42P05|Mdbp_1||"), Some(Stale::Taken));
        assert_eq!(stale("CXX000|Mx|Wunnamed portal parameter $12||"), Some(Stale::Types));
        assert_eq!(stale("C42804|Mx|Wunnamed portal parameter $1 = 'a'||"), Some(Stale::Types));
        for context in ["f() $1 = 'a'\nline 2", "SQL \"select $1 = 2\"", "$", "$1 FOR"] {
            assert_eq!(stale(&format!("C42804|Mx|W{context}||")), None);
        }
        assert_eq!(stale("C0A000|Mx|RRevalidateCachedQuery||"), Some(Stale::Plan));
        assert_eq!(stale("C0A000|Mx|Rown||"), None);
    }

    #[test]
    fn an_error_that_ends_early_is_an_error_still() {
        assert_eq!(ServerError::parse(b"C57P01").code(), "57P01");
        assert_eq!(ServerError::parse(b"").code(), "");
    }
}

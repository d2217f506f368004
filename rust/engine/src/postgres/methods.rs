//! `require_auth`: how a server may have us log in.

use crate::link::ConnectError;

/// The methods that are accepted, or refused.
#[derive(Clone, Debug)]
pub struct AuthMethods {
    /// As it was written.
    text: String,
    methods: Vec<String>,
    /// They are refused, and all others accepted.
    refused: bool,
}

impl AuthMethods {
    /// Names with commas between them, all or none of them with `!`.
    pub fn new(text: &str) -> Self {
        let refused = text.starts_with('!');
        let methods = text.split(',').map(|name| name.trim_start_matches('!').to_owned()).collect();
        AuthMethods { text: text.to_owned(), methods, refused }
    }

    /// Whether the server may ask for this.
    pub fn accepts(&self, method: &str) -> bool {
        self.methods.iter().any(|one| one == method) != self.refused
    }

    /// Refuse what the server asked for, by libpq's words.
    pub fn check(&self, method: &str) -> Result<(), ConnectError> {
        if self.accepts(method) {
            return Ok(());
        }
        let reason = match method {
            "none" => "server did not complete authentication",
            "password" => "server requested a cleartext password",
            "md5" => "server requested a hashed password",
            _ => "server requested SASL authentication",
        };
        let message = format!("authentication method requirement \"{}\" failed: {reason}", self.text);
        Err(ConnectError::permanent(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_accepted_or_refused() {
        let accepts = |text, method| AuthMethods::new(text).accepts(method);
        assert!(accepts("md5,scram-sha-256", "scram-sha-256") && !accepts("md5,scram-sha-256", "none"));
        assert!(accepts("!password,!md5", "none") && !accepts("!password,!md5", "md5"));
    }
}

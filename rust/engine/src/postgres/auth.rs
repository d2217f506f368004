//! Logging in: what the server asks for, and what it must prove in return.
//!
//! A server that has begun SCRAM and does not prove that it knows the password is never accepted, and a password is not
//! sent in clear over an unencrypted link that leaves this machine unless that was allowed.

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::frontend;

use super::methods::AuthMethods;
use crate::link::{ConnectError, Fields, Malformed};

/// What is known for the login.
pub struct Login {
    /// Who.
    pub user: String,
    /// None where there is none.
    pub password: Option<String>,
    /// The link is encrypted, local, or the user allowed it.
    pub cleartext_allowed: bool,
    /// `channel_binding`.
    pub binding: Option<bool>,
    /// `require_auth`.
    pub methods: Option<AuthMethods>,
    /// The data for channel binding; None on a link without TLS.
    pub end_point: Option<Vec<u8>>,
    /// Whether the link has TLS.
    pub tls: bool,
    scram: Option<ScramSha256>,
    /// A secret was sent, by a method that has no proof of the server's.
    told: bool,
    proven: bool,
    accepted: bool,
}

impl Login {
    /// A login that has not begun.
    pub fn new(user: &str, password: Option<&str>) -> Self {
        Login {
            user: user.to_owned(),
            password: password.map(str::to_owned),
            cleartext_allowed: false,
            binding: None,
            methods: None,
            end_point: None,
            tls: false,
            scram: None,
            told: false,
            proven: false,
            accepted: false,
        }
    }

    /// Whether the server is satisfied, and its proofs are too.
    pub fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// Answer an Authentication message.
    pub async fn answer(&mut self, body: &Bytes, out: &mut BytesMut) -> Result<(), ConnectError> {
        let mut fields = Fields(body);
        match fields.number()? {
            0 => self.accept()?,
            3 => {
                self.password_only("password")?;
                if !self.cleartext_allowed {
                    return Err(ConnectError::permanent(
                        "the password would be sent in clear: use sslmode=require, or allow_cleartext_password=true",
                    ));
                }
                frontend::password_message(self.password()?.as_bytes(), out)?;
            }
            5 => {
                self.password_only("md5")?;
                let salt = fields.bytes(4)?.try_into().expect("bug: four bytes are four");
                let hash = md5_hash(self.user.as_bytes(), self.password()?.as_bytes(), salt);
                frontend::password_message(hash.as_bytes(), out)?;
            }
            10 => self.begin(fields, out)?,
            11 => self.go_on(fields.0.to_vec(), out).await?,
            12 => self.end(fields.0)?,
            method => {
                let message = format!("the server asks for authentication method {method}, which is not supported");
                return Err(ConnectError::permanent(message));
            }
        }
        Ok(())
    }

    fn password(&self) -> Result<&str, ConnectError> {
        let given = self.password.as_deref().filter(|password| !password.is_empty());
        given.ok_or_else(|| ConnectError::permanent("the server asks for a password, and there is none"))
    }

    fn check(&self, method: &str) -> Result<(), ConnectError> {
        self.methods.as_ref().map_or(Ok(()), |methods| methods.check(method))
    }

    /// Methods that bind nothing to the channel.
    fn password_only(&mut self, method: &str) -> Result<(), ConnectError> {
        self.check(method)?;
        self.told = true;
        if self.binding == Some(true) {
            return Err(ConnectError::permanent("channel binding required, but the server asks for a plain password"));
        }
        Ok(())
    }

    /// The server lets us in. Once it began SCRAM it must have proven that it knows the password.
    fn accept(&mut self) -> Result<(), ConnectError> {
        if self.scram.is_some() && !self.proven {
            return Err(ConnectError::permanent("the server did not prove that it knows the password"));
        }
        if self.binding == Some(true) && !self.proven {
            return Err(ConnectError::permanent("channel binding required, but the server did not authenticate by it"));
        }
        if !self.told && !self.proven {
            self.check("none")?;
        }
        self.accepted = true;
        Ok(())
    }

    fn begin(&mut self, mut fields: Fields<'_>, out: &mut BytesMut) -> Result<(), ConnectError> {
        self.check("scram-sha-256")?;
        let mut offered = Vec::new();
        while fields.0.first().is_some_and(|byte| *byte != 0) {
            offered.push(fields.text()?.into_owned());
        }
        let (plus, plain) = (offers(&offered, SCRAM_SHA_256_PLUS), offers(&offered, SCRAM_SHA_256));
        let wanted = self.binding != Some(false);
        let end_point = self.end_point.take().filter(|_| wanted);
        let (mechanism, binding) = match end_point {
            Some(data) if plus => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(data)),
            _ if self.binding == Some(true) => {
                return Err(ConnectError::permanent("channel binding required, but it is not to be had here"));
            }
            // We could, and say so: a man in the middle that took PLUS out of the server's offer is found out.
            Some(_) if plain => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            _ if plain => (SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => return Err(ConnectError::permanent(format!("no known SASL mechanism among {}", offered.join(", ")))),
        };
        let scram = ScramSha256::new(self.password()?.as_bytes(), binding);
        frontend::sasl_initial_response(mechanism, scram.message(), out)?;
        self.scram = Some(scram);
        Ok(())
    }

    /// The server chooses how often the password is hashed: that may take seconds, and no other task may wait for it.
    async fn go_on(&mut self, message: Vec<u8>, out: &mut BytesMut) -> Result<(), ConnectError> {
        let mut scram = self.scram.take().ok_or(Malformed("SASL goes on that was not begun"))?;
        let hashed = tokio::task::spawn_blocking(move || scram.update(&message).map(|()| scram));
        let scram = hashed.await.map_err(|_| ConnectError::new("the runtime is shutting down"))?;
        let scram = scram.map_err(unproven)?;
        frontend::sasl_response(scram.message(), out)?;
        self.scram = Some(scram);
        Ok(())
    }

    fn end(&mut self, message: &[u8]) -> Result<(), ConnectError> {
        let scram = self.scram.as_mut().ok_or(Malformed("SASL ends that was not begun"))?;
        scram.finish(message).map_err(unproven)?;
        self.proven = true;
        Ok(())
    }
}

fn offers(offered: &[String], mechanism: &str) -> bool {
    offered.iter().any(|one| one == mechanism)
}

fn unproven(error: std::io::Error) -> ConnectError {
    ConnectError::permanent(format!("the server could not be authenticated: {error}"))
}

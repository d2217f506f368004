//! Asking the server to stop what a session does.

use std::io;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::address::Address;
use super::config::Ssl;
use super::stream::Stream;
use super::{connect, tls};

/// What a CancelRequest for one session needs. It may be used while the session is.
#[derive(Clone)]
pub struct CancelKey {
    pub(super) address: Address,
    /// As the session itself is encrypted; None for a plain link.
    pub(super) tls: Option<(Ssl, String)>,
    pub(super) process_id: i32,
    pub(super) secret: i32,
}

impl CancelKey {
    /// The number of the server's process.
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    /// Send the request; returns once the server has taken it in and closed the connection that carried it.
    ///
    /// The server's answer is the statement's own: it may still end well if the request came too late.
    pub async fn cancel(&self) -> io::Result<()> {
        let mut stream = Stream::open(&self.address).await?;
        if let Some((ssl, host)) = &self.tls {
            if !ssl.direct && !connect::asks_for_tls(&mut stream).await.map_err(io::Error::other)? {
                return Err(io::Error::other("the server no longer offers TLS"));
            }
            stream = tls::handshake(stream, ssl, host).await.map_err(io::Error::other)?;
        }
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process_id, self.secret, &mut request);
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut answer = [0; 64];
        while matches!(stream.read(&mut answer).await, Ok(read) if read > 0) {}
        Ok(())
    }
}

//! COPY on one connection: the data of a statement go by in pieces, given or taken by the caller.

use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::connection::Connection;
use super::messages;
use crate::link::{CopyStream, Feed, Fields, Lost, Malformed, Outcome, Rows, ServerError};

/// Bytes that are gathered before the caller is given them.
const PIECE: usize = 64 * 1024;

impl Connection {
    /// Run one COPY FROM STDIN or TO STDOUT, up to ReadyForQuery.
    pub(super) async fn copy(&mut self, sql: &str, stream: &mut CopyStream<'_>) -> Result<Outcome, Lost> {
        frontend::query(sql, self.output())?;
        let mut outcome = Outcome::Skipped;
        let (mut piece, mut wanted, mut message_in_hand) = (BytesMut::new(), true, None);
        loop {
            let (kind, body) = match message_in_hand.take() {
                Some(message) => message,
                None => self.receive().await?,
            };
            match kind {
                b'G' => message_in_hand = self.send(stream).await?,
                b'H' => {}
                b'd' => {
                    piece.put_slice(&body);
                    if piece.len() >= PIECE {
                        wanted = wanted && take(stream, piece.split().freeze()).await;
                        piece.clear();
                    }
                }
                b'c' => {
                    if !piece.is_empty() && wanted {
                        take(stream, piece.split().freeze()).await;
                    }
                }
                b'C' => {
                    let (tag, rows) = (Fields(&body).text()?.into(), Rows::default());
                    outcome = Outcome::Done { tag, rows, columns: None, shape: None };
                }
                b'E' => outcome = Outcome::Failed(ServerError::parse(&body)),
                b'Z' => {
                    self.ready(&body);
                    return Ok(outcome);
                }
                _ => return Err(Malformed("a message that is no part of a COPY").into()),
            }
        }
    }

    /// Send what the caller gives, to its end, or until the server says something: it refuses what it has.
    async fn send(&mut self, stream: &mut CopyStream<'_>) -> Result<Option<(u8, Bytes)>, Lost> {
        loop {
            (stream.ask)(None);
            let feed = tokio::select! {
                biased;
                message = self.receive() => return message.map(Some),
                feed = stream.answer() => feed,
            };
            match feed {
                Feed::Data(data) => {
                    messages::message(self.output(), b'd', |out| out.put_slice(&data));
                    self.write_all().await?;
                }
                Feed::End => {
                    frontend::copy_done(self.output());
                    return Ok(None);
                }
                Feed::Fail => {
                    frontend::copy_fail("the source of the data failed", self.output())?;
                    return Ok(None);
                }
            }
        }
    }
}

/// False if the caller does not want any more.
async fn take(stream: &mut CopyStream<'_>, piece: Bytes) -> bool {
    !matches!(stream.on_data_request(Some(piece)).await, Feed::Fail)
}

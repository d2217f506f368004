//! COPY on one connection: the data of a statement go by in pieces, given or taken by the caller.

use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::sync::mpsc::UnboundedReceiver;

use super::error::{Lost, Malformed, ServerError};
use super::frame::Fields;
use super::link::Link;
use super::messages::{self, Rows};
use super::running::Outcome;

/// Bytes that are gathered before the caller is given them.
const PIECE: usize = 64 * 1024;

/// What the caller answers when it is asked for, or given, a piece.
#[derive(Debug)]
pub enum Feed {
    /// Data to be sent; or those that it was given are taken.
    Data(Bytes),
    /// There are no more.
    End,
    /// It gives up: what came is not to be kept, what is to come not wanted.
    Fail,
}

/// How a COPY talks with its caller, who answers each question with one [`Feed`].
pub struct Stream<'a> {
    /// Asks for a piece (None), or gives one.
    pub ask: &'a (dyn Fn(Option<Bytes>) + Send + Sync),
    /// The answers.
    pub answers: &'a mut UnboundedReceiver<Feed>,
}

impl Stream<'_> {
    async fn turn(&mut self, piece: Option<Bytes>) -> Feed {
        (self.ask)(piece);
        self.answer().await
    }

    /// A caller who has gone gives up. May be dropped at any time.
    async fn answer(&mut self) -> Feed {
        self.answers.recv().await.unwrap_or(Feed::Fail)
    }
}

impl Link {
    /// Run one COPY FROM STDIN or TO STDOUT, up to ReadyForQuery.
    pub(super) async fn copy(&mut self, sql: &str, stream: &mut Stream<'_>) -> Result<Outcome, Lost> {
        frontend::query(sql, self.output())?;
        let mut outcome = Outcome::Skipped;
        let (mut piece, mut wanted, mut heard) = (BytesMut::new(), true, None);
        loop {
            let (kind, body) = match heard.take() {
                Some(message) => message,
                None => self.receive().await?,
            };
            match kind {
                b'G' => heard = self.send(stream).await?,
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
    async fn send(&mut self, stream: &mut Stream<'_>) -> Result<Option<(u8, Bytes)>, Lost> {
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
async fn take(stream: &mut Stream<'_>, piece: Bytes) -> bool {
    !matches!(stream.turn(Some(piece)).await, Feed::Fail)
}

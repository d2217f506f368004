//! The data of a COPY, which go by in pieces: given or taken by the caller.

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

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

/// The two ways between a COPY and its caller: each question is answered with one [`Feed`].
pub struct CopyStream<'a> {
    /// Asks for a piece (None), or gives one.
    pub ask: &'a (dyn Fn(Option<Bytes>) + Send + Sync),
    /// The answers.
    pub answers: &'a mut UnboundedReceiver<Feed>,
}

impl CopyStream<'_> {
    /// Ask for a piece (None), or give one, and wait for the caller's answer.
    pub(crate) async fn on_data_request(&mut self, piece: Option<Bytes>) -> Feed {
        (self.ask)(piece);
        self.answer().await
    }

    /// A caller that is gone gives up. May be dropped at any time.
    pub(crate) async fn answer(&mut self) -> Feed {
        self.answers.recv().await.unwrap_or(Feed::Fail)
    }
}

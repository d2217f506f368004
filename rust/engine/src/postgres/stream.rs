//! The bytes below the protocol: TCP or a unix socket, with or without TLS.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

use super::address::Address;
use super::config::Keepalive;

/// What bytes travel on.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// A connected stream.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
    /// TLS over one of them.
    Tls(Box<TlsStream<Stream>>),
}

impl Stream {
    /// Connect to an address; small messages are not held back.
    pub async fn open(address: &Address) -> io::Result<Stream> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            #[cfg(windows)]
            Address::Unix(_) => {
                Err(io::Error::other("mode full connects to no unix socket on Windows; host=localhost does"))
            }
        }
    }

    /// Have the system watch over a TCP connection on which nothing comes.
    pub fn keep_alive(&self, how: &Keepalive) -> io::Result<()> {
        let Stream::Tcp(stream) = self else { return Ok(()) };
        let socket = SockRef::from(stream);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if how.user_timeout.is_some() {
            socket.set_tcp_user_timeout(how.user_timeout)?;
        }
        socket.set_keepalive(how.enabled)?;
        if !how.enabled {
            return Ok(());
        }
        let mut times = TcpKeepalive::new();
        if let Some(idle) = how.idle {
            times = times.with_time(idle);
        }
        if let Some(interval) = how.interval {
            times = times.with_interval(interval);
        }
        if let Some(count) = how.count {
            times = times.with_retries(count);
        }
        socket.set_tcp_keepalive(&times)
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Fails if the other end has closed or broken the connection, though nothing was read since.
    pub fn check(&self) -> io::Result<()> {
        let mut byte = [MaybeUninit::uninit()];
        let seen = match self {
            Stream::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            #[cfg(unix)]
            Stream::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Tls(stream) => return stream.get_ref().0.check(),
        };
        match seen {
            Ok(0) => Err(io::Error::other("the server closed the connection")),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn transport(self: Pin<&mut Self>) -> Pin<&mut dyn Transport> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.transport().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.transport().poll_write(cx, buffer)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport().poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport().poll_shutdown(cx)
    }
}

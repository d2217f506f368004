//! Two sockets that are connected with each other: unix sockets, or (Windows has no pair of these) TCP within the machine.

#[cfg(unix)]
mod system {
    use std::os::fd::AsRawFd;

    pub use std::os::unix::net::UnixStream as Socket;

    /// The two ends.
    pub fn pair() -> std::io::Result<(Socket, Socket)> {
        Socket::pair()
    }

    /// What an event loop knows it by.
    pub fn descriptor(socket: &Socket) -> i64 {
        socket.as_raw_fd().into()
    }
}

#[cfg(windows)]
mod system {
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::windows::io::AsRawSocket;

    pub use std::net::TcpStream as Socket;

    /// The two ends.
    pub fn pair() -> std::io::Result<(Socket, Socket)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let writing = Socket::connect(listener.local_addr()?)?;
        writing.set_nodelay(true)?;
        loop {
            let (reading, from) = listener.accept()?;
            if from == writing.local_addr()? {
                return Ok((reading, writing));
            } // else another program was quicker to connect
        }
    }

    /// What an event loop knows it by.
    pub fn descriptor(socket: &Socket) -> i64 {
        socket.as_raw_socket() as i64
    }
}

pub use system::{Socket, descriptor, pair};

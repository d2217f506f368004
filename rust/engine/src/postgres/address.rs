//! Where a host is: the addresses to try, in order.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::config::Host;

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether what is sent there stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

/// Every address of a host; names are resolved on tokio's blocking threads.
pub async fn addresses(host: &Host) -> std::io::Result<Vec<Address>> {
    if host.hostaddr.is_none() && host.host.starts_with('/') {
        return Ok(vec![Address::Unix(PathBuf::from(format!("{}/.s.PGSQL.{}", host.host, host.port)))]);
    }
    let name = host.hostaddr.as_deref().unwrap_or(&host.host);
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![Address::Tcp(SocketAddr::new(ip, host.port))]);
    }
    Ok(tokio::net::lookup_host((name, host.port)).await?.map(Address::Tcp).collect())
}

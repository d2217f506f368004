//! inet and cidr -> the classes of `ipaddress`.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::fault::{Fault, Read, bad};

const IPV4: u8 = 2; // PGSQL_AF_INET of src/include/utils/inet.h; the other family is 3

/// An address, or an interface where there is a prefix.
pub fn inet<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let (version, prefix, packed) = parts(data)?;
    let module = py.import("ipaddress")?;
    let address = PyBytes::new(py, packed);
    if usize::from(prefix) == packed.len() * 8 {
        return Ok(module.call_method1(format!("IPv{version}Address"), (address,))?);
    }
    Ok(module.call_method1(format!("IPv{version}Interface"), ((address, prefix),))?)
}

/// A network.
pub fn cidr<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let (version, prefix, packed) = parts(data)?;
    let network = format!("IPv{version}Network");
    Ok(py.import("ipaddress")?.call_method1(network, ((PyBytes::new(py, packed), prefix),))?)
}

/// Layout: backend/utils/adt/network.c, network_send: family, bits, whether it is a cidr, length, address.
fn parts(data: &[u8]) -> Result<(u8, u8, &[u8]), Fault> {
    match data {
        [family, prefix, _, length, packed @ ..] if usize::from(*length) == packed.len() => {
            let version = if *family == IPV4 { 4 } else { 6 };
            Ok((version, *prefix, packed))
        }
        _ => bad(format!("a network address of {} bytes", data.len())),
    }
}

/// An inet in text.
pub fn inet_text<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let function = if data.contains(&b'/') { "ip_interface" } else { "ip_address" };
    Ok(py.import("ipaddress")?.call_method1(function, (PyString::from_bytes(py, data)?,))?)
}

/// A cidr in text.
pub fn cidr_text<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    Ok(py.import("ipaddress")?.call_method1("ip_network", (PyString::from_bytes(py, data)?,))?)
}

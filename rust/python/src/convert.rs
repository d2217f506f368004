//! Options in, errors and figures out: between Python's dicts and the engine's structs.

use std::time::Duration;

use db_pool_engine::link::{Column, Lost, ServerError};
use db_pool_engine::pool::{Backend, Gauges, Histogram, Options};
use db_pool_engine::postgres::{AuthMethods, Config, Host, Keepalive, Ssl, SslMode, TargetAttrs};
use db_pool_engine::scheduler::{Counters, Kind, Limits, Reason};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::sqlite;

/// A field of a dict that must be there.
pub fn get<'py, T: FromPyObjectOwned<'py>>(dict: &Bound<'py, PyDict>, name: &str) -> PyResult<T> {
    let missing = || PyValueError::new_err(format!("{name} is missing"));
    dict.get_item(name)?.ok_or_else(missing)?.extract::<T>().map_err(Into::into)
}

pub fn unknown(name: &str, value: &str) -> PyErr {
    PyValueError::new_err(format!("{name}: {value:?} is not known"))
}

/// A database: a file or memory if it has a `uri`, else a server.
pub fn backend(dict: &Bound<'_, PyDict>) -> PyResult<Backend> {
    Ok(match dict.contains("uri")? {
        true => sqlite::config(dict)?.into(),
        false => config(dict)?.into(),
    })
}

fn config(dict: &Bound<'_, PyDict>) -> PyResult<Config> {
    let hosts: Vec<(String, u16, Option<String>, Option<String>)> = get(dict, "hosts")?;
    let host = |(host, port, hostaddr, password)| Host { host, port, hostaddr, password };
    Ok(Config {
        hosts: hosts.into_iter().map(host).collect(),
        shuffled: get(dict, "shuffled")?,
        user: get(dict, "user")?,
        dbname: get(dict, "dbname")?,
        ssl: ssl(&get(dict, "ssl")?)?,
        target: target(&get::<String>(dict, "target")?)?,
        connect_timeout: get::<Option<f64>>(dict, "connect_timeout")?.map(Duration::from_secs_f64),
        keepalive: keepalive(&get(dict, "keepalive")?)?,
        settings: get(dict, "settings")?,
        channel_binding: get(dict, "channel_binding")?,
        auth_methods: get::<Option<String>>(dict, "auth_methods")?.map(|text| AuthMethods::new(&text)),
        allow_cleartext_password: get(dict, "allow_cleartext_password")?,
        max_statements: get(dict, "max_statements")?,
    })
}

fn keepalive(dict: &Bound<'_, PyDict>) -> PyResult<Keepalive> {
    let seconds = |name| get::<Option<f64>>(dict, name).map(|time| time.map(Duration::from_secs_f64));
    Ok(Keepalive {
        enabled: get(dict, "enabled")?,
        idle: seconds("idle")?,
        interval: seconds("interval")?,
        count: get(dict, "count")?,
        user_timeout: seconds("user_timeout")?,
    })
}

fn target(name: &str) -> PyResult<TargetAttrs> {
    Ok(match name {
        "any" => TargetAttrs::Any,
        "read-write" => TargetAttrs::ReadWrite,
        "read-only" => TargetAttrs::ReadOnly,
        "primary" => TargetAttrs::Primary,
        "standby" => TargetAttrs::Standby,
        "prefer-standby" => TargetAttrs::PreferStandby,
        other => return Err(unknown("target", other)),
    })
}

fn ssl(dict: &Bound<'_, PyDict>) -> PyResult<Ssl> {
    let mode = match &*get::<String>(dict, "mode")? {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        other => return Err(unknown("mode", other)),
    };
    Ok(Ssl {
        mode,
        direct: get(dict, "direct")?,
        cert: get(dict, "cert")?,
        key: get(dict, "key")?,
        password: get(dict, "password")?,
        rootcert: get(dict, "rootcert")?,
        crl: get(dict, "crl")?,
        crldir: get(dict, "crldir")?,
        sni: get(dict, "sni")?,
        only_tls13: get(dict, "only_tls13")?,
        only_tls12: get(dict, "only_tls12")?,
    })
}

/// The limits of these names, the others as they are by default; times in seconds.
pub fn limits(dict: &Bound<'_, PyDict>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in dict {
        limits.set(name.extract()?, value.extract()?).map_err(PyValueError::new_err)?;
    }
    Ok(limits)
}

pub fn options(dict: &Bound<'_, PyDict>) -> PyResult<Options> {
    Ok(Options {
        lifetime: get(dict, "lifetime")?,
        initializes: get(dict, "greets")?,
        resets: get(dict, "cleans")?,
        asks_password: get(dict, "asks_password")?,
        slow: get(dict, "slow")?,
        patience: get(dict, "patience")?,
        types_query: get::<Option<String>>(dict, "types_query")?.map(Into::into),
    })
}

pub fn kind(name: &str) -> PyResult<Kind> {
    Ok(match name {
        "read" => Kind::Read,
        "write" => Kind::Write,
        "other" => Kind::Other,
        other => return Err(unknown("kind", other)),
    })
}

/// The names of `scheduler.model.Reason`.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Timeout => "timeout",
        Reason::Lost => "lost",
        Reason::ConnectFailed => "connect_failed",
        Reason::Overloaded => "overloaded",
        Reason::Closed => "closed",
    }
}

/// The fields of an error by their letters in the protocol.
pub fn fields<'py>(py: Python<'py>, error: &ServerError) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (letter, value) in error.fields() {
        dict.set_item(char::from(*letter), value)?;
    }
    Ok(dict)
}

/// A loss: its message, the server's last words, whether something may have been executed.
pub fn lost<'py>(py: Python<'py>, lost: &Lost) -> PyResult<(String, Option<Bound<'py, PyDict>>, bool)> {
    let cause = lost.cause.as_ref().map(|error| fields(py, error)).transpose()?;
    Ok((lost.message.clone(), cause, lost.sent))
}

fn listed<'py>(py: Python<'py>, figures: impl Iterator<Item = (&'static str, u64)>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, figure) in figures {
        dict.set_item(name, figure)?;
    }
    Ok(dict)
}

pub fn gauges<'py>(py: Python<'py>, gauges: &Gauges) -> PyResult<Bound<'py, PyDict>> {
    let dict = listed(py, gauges.listed())?;
    dict.set_item("healthy", gauges.healthy)?;
    Ok(dict)
}

pub fn counters<'py>(py: Python<'py>, counters: &Counters) -> PyResult<Bound<'py, PyDict>> {
    let dict = listed(py, counters.listed())?;
    dict.set_item("alone", counters.alone)?;
    Ok(dict)
}

/// Counts, total and maximum, as Python's histograms hold them.
pub fn histogram(histogram: Histogram) -> (Vec<u64>, f64, f64) {
    (histogram.counts, histogram.total, histogram.maximum)
}

/// Columns: name, OID of the type, type modifier.
pub fn columns(columns: &[Column]) -> Vec<(&str, u32, i32)> {
    columns.iter().map(|column| (&*column.name, column.oid, column.modifier)).collect()
}

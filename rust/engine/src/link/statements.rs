//! What is sent for a statement: its text, what the database told of it, its arguments in the bytes of the wire.

use std::any::Any;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::short::Short;

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub oid: u32,
    /// The modifier of its type, -1 without one.
    pub modifier: i32,
    /// In which its values come: 0 (text) or 1 (binary).
    pub format: i16,
}

/// The types of a text, as the server told them: of its parameters, and its columns.
pub type Types = (Vec<u32>, Vec<Column>);

/// What a database's own module knows of a text beyond its [`Described`], and how it executes it. It is told by the
/// caller, and opaque to the pool.
pub trait Plan: Any + std::fmt::Debug + Send + Sync {}

/// What the server told of a text, and how the pool has decided to send and receive its values.
#[derive(Clone, Debug)]
pub struct Described {
    /// Of the prepared statement; empty where a proxy deals statements out to other connections.
    pub name: String,
    /// Its text.
    pub sql: Arc<str>,
    /// The types of its parameters.
    pub param_oids: Vec<u32>,
    /// 0 (text) or 1 (binary) for each parameter.
    pub param_formats: Vec<i16>,
    /// The columns of its result; none if it returns no rows.
    pub columns: Vec<Column>,
    /// 0 (text) or 1 (binary) for each column.
    pub result_formats: Vec<i16>,
    /// Types of its parameters that are not built in.
    pub foreign: Vec<u32>,
    /// Types of its columns that are not built in.
    pub foreign_columns: Vec<u32>,
    /// Whether there are columns of records without a type of their own. These come in binary always: as text they
    /// would be something else.
    pub has_records: bool,
    /// How the database executes it, where the caller knows that (SQLite); the server is asked for nothing then.
    pub plan: Option<Arc<dyn Plan>>,
}

impl Described {
    /// The answer to a Describe; everything in text until the formats are chosen.
    pub fn new(name: String, sql: Arc<str>, param_oids: Vec<u32>, columns: Vec<Column>) -> Self {
        let (param_formats, result_formats) = (vec![0; param_oids.len()], vec![0; columns.len()]);
        let (foreign, foreign_columns) = (Vec::new(), Vec::new());
        Described {
            name,
            sql,
            param_oids,
            param_formats,
            columns,
            result_formats,
            foreign,
            foreign_columns,
            has_records: false,
            plan: None,
        }
    }
}

/// One execution of a text.
#[derive(Clone, Debug)]
pub enum Execute {
    /// A text whose types are known. `params` holds a length and a value for each parameter ([`put_value`]).
    Known {
        /// The text.
        text: Arc<Described>,
        /// Its arguments.
        params: Short,
        /// It changes data: where it is prepared just now, its rows are to come as text.
        careful: bool,
    },
    /// A text without arguments, run as it is; its result comes in text.
    Direct(Arc<str>),
    /// A text that is not run: the server is asked for its types.
    Describe(Arc<str>),
}

/// Append one argument to `params`; None is NULL.
pub fn put_value(params: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => params.put_i32(-1),
        Some(value) => {
            params.put_u32(u32::try_from(value.len()).expect("bug: a value of more than 4 GiB"));
            params.put_slice(value);
        }
    }
}

impl Execute {
    /// An execution with these arguments, encoded as the description says.
    pub fn known<'a>(text: &Arc<Described>, values: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut params = BytesMut::new();
        for value in values {
            put_value(&mut params, value);
        }
        Execute::Known { text: text.clone(), params: Short::take(&mut params), careful: false }
    }
}

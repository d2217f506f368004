//! The one SQLite of the process, which its owner lends: Python's `_sqlite3` has it.
//!
//! A second copy would not see the first one's locks: POSIX locks belong to the process, and closing any descriptor of
//! a file drops them all (<https://www.sqlite.org/howtocorrupt.html>, 2.2). So none is linked here: rusqlite calls
//! through a table of function pointers, as loadable extensions do, and [`lend`] fills the table.

use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::ptr::{NonNull, from_mut};
use std::sync::OnceLock;

use rusqlite::ffi;

static LENT: OnceLock<Result<(), String>> = OnceLock::new();

/// Fill the table with the functions at the addresses that `find` knows. Only the first success or failure counts.
///
/// # Safety
///
/// Each address must be that of SQLite's function of this name, all of one library that stays loaded.
pub unsafe fn lend(find: impl Fn(&str) -> Option<NonNull<c_void>>) -> Result<(), String> {
    // SAFETY: the caller's promise.
    LENT.get_or_init(|| unsafe { initialize(&mut table(find)?) }).clone()
}

/// Take the table that SQLite gives to an extension when it is loaded; a result code of SQLite's.
///
/// # Safety
///
/// `table` must be what SQLite has passed to the entry point of the extension.
pub unsafe fn lend_table(table: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let lent = LENT.get_or_init(|| unsafe { initialize(table.cast()) });
    if lent.is_ok() { ffi::SQLITE_OK_LOAD_PERMANENTLY } else { ffi::SQLITE_ERROR }
}

/// Whether SQLite can be called; why not.
pub fn lent() -> Result<(), String> {
    LENT.get().cloned().unwrap_or_else(|| Err("no SQLite was lent to the engine".to_owned()))
}

unsafe fn initialize(table: *mut ffi::sqlite3_api_routines) -> Result<(), String> {
    // SAFETY: the table is filled by `table` or by SQLite.
    unsafe { ffi::rusqlite_extension_init2(table) }.map_err(|error| error.to_string())
}

/// A struct of function pointers, and the names of what stands in it.
macro_rules! functions {
    ($($field:ident = $name:literal),* $(,)?) => {
        /// The functions that are called.
        pub const FUNCTIONS: &[&str] = &[$($name),*];

        unsafe fn table(find: impl Fn(&str) -> Option<NonNull<c_void>>) -> Result<ffi::sqlite3_api_routines, String> {
            // SAFETY: every member is an optional function pointer: all zero is None.
            let mut table: ffi::sqlite3_api_routines = unsafe { zeroed() };
            $(
                let address = find($name).ok_or_else(|| concat!("it has no ", $name).to_owned())?;
                // SAFETY: an optional function pointer is as wide as an address, and None is NULL in both; that this is
                // the function is the caller's promise.
                unsafe { from_mut(&mut table.$field).cast::<Option<NonNull<c_void>>>().write(Some(address)) };
            )*
            Ok(table)
        }
    };
}

functions! {
    bind_blob64 = "sqlite3_bind_blob64",
    bind_double = "sqlite3_bind_double",
    bind_int64 = "sqlite3_bind_int64",
    bind_null = "sqlite3_bind_null",
    bind_parameter_count = "sqlite3_bind_parameter_count",
    bind_parameter_index = "sqlite3_bind_parameter_index",
    bind_parameter_name = "sqlite3_bind_parameter_name",
    bind_text64 = "sqlite3_bind_text64",
    bind_zeroblob = "sqlite3_bind_zeroblob",
    busy_handler = "sqlite3_busy_handler",
    busy_timeout = "sqlite3_busy_timeout",
    changes = "sqlite3_changes",
    clear_bindings = "sqlite3_clear_bindings",
    close = "sqlite3_close",
    close_v2 = "sqlite3_close_v2",
    column_blob = "sqlite3_column_blob",
    column_bytes = "sqlite3_column_bytes",
    column_count = "sqlite3_column_count",
    column_decltype = "sqlite3_column_decltype",
    column_double = "sqlite3_column_double",
    column_int64 = "sqlite3_column_int64",
    column_name = "sqlite3_column_name",
    column_text = "sqlite3_column_text",
    column_type = "sqlite3_column_type",
    column_value = "sqlite3_column_value",
    db_handle = "sqlite3_db_handle",
    errcode = "sqlite3_errcode",
    errmsg = "sqlite3_errmsg",
    errstr = "sqlite3_errstr",
    expanded_sql = "sqlite3_expanded_sql",
    extended_errcode = "sqlite3_extended_errcode",
    extended_result_codes = "sqlite3_extended_result_codes",
    finalize = "sqlite3_finalize",
    free = "sqlite3_free",
    get_autocommit = "sqlite3_get_autocommit",
    interruptx = "sqlite3_interrupt",
    last_insert_rowid = "sqlite3_last_insert_rowid",
    libversion = "sqlite3_libversion",
    libversion_number = "sqlite3_libversion_number",
    limit = "sqlite3_limit",
    malloc = "sqlite3_malloc",
    malloc64 = "sqlite3_malloc64",
    mutex_alloc = "sqlite3_mutex_alloc",
    mutex_free = "sqlite3_mutex_free",
    next_stmt = "sqlite3_next_stmt",
    open_v2 = "sqlite3_open_v2",
    prepare_v2 = "sqlite3_prepare_v2",
    prepare_v3 = "sqlite3_prepare_v3",
    reset = "sqlite3_reset",
    sql = "sqlite3_sql",
    step = "sqlite3_step",
    stmt_busy = "sqlite3_stmt_busy",
    stmt_readonly = "sqlite3_stmt_readonly",
    stmt_status = "sqlite3_stmt_status",
    total_changes = "sqlite3_total_changes",
    value_blob = "sqlite3_value_blob",
    value_bytes = "sqlite3_value_bytes",
    value_double = "sqlite3_value_double",
    value_int64 = "sqlite3_value_int64",
    value_text = "sqlite3_value_text",
    value_type = "sqlite3_value_type",
    xthreadsafe = "sqlite3_threadsafe",
}

//! The shared SQLite of the system is lent to the engine, as Python's is by `db_pool_rs.full`.

use std::ffi::{CString, c_void};
use std::ptr::NonNull;

use db_pool_engine::sqlite::library;

const NAMES: [&std::ffi::CStr; 3] = [c"libsqlite3.so.0", c"libsqlite3.dylib", c"/usr/lib/libsqlite3.dylib"];

/// Have SQLite ready.
pub fn lend() {
    // SAFETY: the library has no constructors that matter, and is never closed.
    let open = |name: &std::ffi::CStr| NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) });
    let handle = NAMES.into_iter().find_map(open).expect("there is no shared SQLite library");
    let find = |name: &str| -> Option<NonNull<c_void>> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is open.
        NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) })
    };
    // SAFETY: the symbols are those of one SQLite, which stays loaded.
    unsafe { library::lend(find) }.expect("the SQLite library of the system cannot be used");
}

//! What the `guestfs` crate lacks, called directly: errors with errno, events, cancellation, bytes.
//!
//! The only unsafe code of tib. The crate's `Handle` is one pointer to libguestfs' own handle; everything here
//! starts from reading that pointer.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use guestfs::Handle;

use crate::disk::{FileKind, Stat, Timestamp, Xattr};

/// Why a call failed, in libguestfs' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallError {
    pub(super) message: String,
    /// 0 when libguestfs knows none.
    pub(super) errno: i32,
}

type ErrorHandler = unsafe extern "C" fn(*mut c_void, *mut c_void, *const c_char);
type EventHandler = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    u64,
    c_int,
    c_int,
    *const c_char,
    usize,
    *const u64,
    usize,
);

/// `struct guestfs_statns`, the same in every libguestfs since 1.27.
#[repr(C)]
struct StatNs {
    dev: i64,
    ino: i64,
    mode: i64,
    nlink: i64,
    uid: i64,
    gid: i64,
    rdev: i64,
    size: i64,
    blksize: i64,
    blocks: i64,
    atime_sec: i64,
    atime_nsec: i64,
    mtime_sec: i64,
    mtime_nsec: i64,
    ctime_sec: i64,
    ctime_nsec: i64,
    spare: [i64; 6],
}

/// `struct guestfs_xattr` and `struct guestfs_xattr_list`, as in `guestfs.h`. The crate has a wrong layout.
#[repr(C)]
struct RawXattr {
    name: *mut c_char,
    length: u32,
    value: *mut c_char,
}

#[repr(C)]
struct RawXattrs {
    count: u32,
    items: *mut RawXattr,
}

unsafe extern "C" {
    fn guestfs_last_error(g: *mut c_void) -> *const c_char;
    fn guestfs_last_errno(g: *mut c_void) -> c_int;
    fn guestfs_set_error_handler(g: *mut c_void, handler: Option<ErrorHandler>, data: *mut c_void);
    fn guestfs_set_event_callback(
        g: *mut c_void,
        handler: EventHandler,
        mask: u64,
        flags: c_int,
        data: *mut c_void,
    ) -> c_int;
    fn guestfs_get_path(g: *mut c_void) -> *const c_char;
    fn guestfs_user_cancel(g: *mut c_void) -> c_int;
    fn guestfs_sh(g: *mut c_void, command: *const c_char) -> *mut c_char;
    fn guestfs_lstatns(g: *mut c_void, path: *const c_char) -> *mut StatNs;
    fn guestfs_free_statns(stat: *mut StatNs);
    fn guestfs_readlink(g: *mut c_void, path: *const c_char) -> *mut c_char;
    fn guestfs_realpath(g: *mut c_void, path: *const c_char) -> *mut c_char;
    fn guestfs_ls0(g: *mut c_void, directory: *const c_char, names: *const c_char) -> c_int;
    fn guestfs_lgetxattrs(g: *mut c_void, path: *const c_char) -> *mut RawXattrs;
    fn guestfs_free_xattr_list(list: *mut RawXattrs);
    fn guestfs_download(g: *mut c_void, from: *const c_char, to: *const c_char) -> c_int;
    fn guestfs_download_offset(
        g: *mut c_void,
        from: *const c_char,
        to: *const c_char,
        offset: i64,
        size: i64,
    ) -> c_int;
    fn free(pointer: *mut c_void);
}

// One field of equal size and alignment: it must sit at offset 0.
const _: () = assert!(size_of::<Handle>() == size_of::<*mut c_void>());
const _: () = assert!(align_of::<Handle>() == align_of::<*mut c_void>());

fn raw(handle: &Handle) -> *mut c_void {
    // SAFETY: the assertions above; the pointer stays valid as long as `handle` lives.
    unsafe { *std::ptr::from_ref(handle).cast::<*mut c_void>() }
}

/// Stops libguestfs from printing errors on stderr, on this thread: the handler is thread-local.
///
/// The handler we put in its place cleans the message, because the crate panics on one that is not UTF-8, and
/// messages quote names out of untrusted images.
pub(super) fn silence(handle: &Handle) {
    // SAFETY: the handler needs no data and lives for ever.
    unsafe { guestfs_set_error_handler(raw(handle), Some(make_ascii), std::ptr::null_mut()) }
}

unsafe extern "C" fn make_ascii(g: *mut c_void, _: *mut c_void, _: *const c_char) {
    // SAFETY: libguestfs stores its own malloc'ed copy of the message for this thread before it calls the
    // handler, and returns a pointer to that copy here; nobody else reads it while the handler runs.
    unsafe {
        let mut byte = guestfs_last_error(g).cast_mut();
        while !byte.is_null() && *byte != 0 {
            if !(*byte).cast_unsigned().is_ascii() {
                *byte = b'?'.cast_signed();
            }
            byte = byte.add(1);
        }
    }
}

/// Where libguestfs looks for what it makes appliances of, as in `PATH`. The crate hands out a text that goes with the handle.
pub(super) fn search_path(handle: &Handle) -> Option<OsString> {
    // SAFETY: the handle is valid, and while it is the string is, which is copied here.
    unsafe {
        let path = guestfs_get_path(raw(handle));
        (!path.is_null()).then(|| OsStr::from_bytes(CStr::from_ptr(path).to_bytes()).to_owned())
    }
}

/// What libguestfs says about the call that failed last on this thread.
pub(super) fn last_error(handle: &Handle) -> CallError {
    // SAFETY: the handle is valid; the message is NULL or a string that lives until the next call.
    unsafe {
        let message = guestfs_last_error(raw(handle));
        let message = if message.is_null() {
            "no reason given".to_owned()
        } else {
            CStr::from_ptr(message).to_string_lossy().into_owned()
        };
        CallError { message, errno: guestfs_last_errno(raw(handle)) }
    }
}

/// What libguestfs tells while a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// Bytes from the appliance's console, not cut at line ends.
    Console(&'a [u8]),
    /// A message of the library, a trace line or a warning.
    Library(&'a [u8]),
    /// A transfer's progress.
    Progress { done: u64, total: u64 },
    /// qemu ended.
    Quit,
}

const SUBPROCESS_QUIT: u64 = 0x0002;
const PROGRESS: u64 = 0x0008;
const APPLIANCE: u64 = 0x0010;
const LIBRARY: u64 = 0x0020;
const TRACE: u64 = 0x0040;
const WARNING: u64 = 0x0200;

/// Receives notices on the thread that makes the calls.
pub(super) type Listener = Box<dyn Fn(Notice<'_>)>;

/// A handle whose notices go to a listener.
pub(super) struct Listening {
    // Declared before `_listener`: closing the handle may still tell something.
    handle: Handle,
    _listener: Box<Listener>,
}

impl Listening {
    pub(super) fn new(handle: Handle, listener: Listener) -> Result<Self, CallError> {
        let listener = Box::new(listener);
        let data = std::ptr::from_ref::<Listener>(&listener).cast_mut().cast::<c_void>();
        let mask = SUBPROCESS_QUIT | PROGRESS | APPLIANCE | LIBRARY | TRACE | WARNING;
        // SAFETY: `data` points into the box kept beside the handle, which outlives it.
        let id = unsafe { guestfs_set_event_callback(raw(&handle), notify, mask, 0, data) };
        if id < 0 {
            return Err(last_error(&handle));
        }
        Ok(Self { handle, _listener: listener })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

unsafe extern "C" fn notify(
    _: *mut c_void,
    data: *mut c_void,
    event: u64,
    _: c_int,
    _: c_int,
    text: *const c_char,
    length: usize,
    numbers: *const u64,
    count: usize,
) {
    // SAFETY: libguestfs hands over valid buffers of the lengths given (NULL when empty), and `data` is the
    // listener registered in `Listening::new`.
    let (listener, text, numbers) = unsafe {
        let text = if text.is_null() { &[] } else { std::slice::from_raw_parts(text.cast::<u8>(), length) };
        let numbers = if numbers.is_null() { &[] } else { std::slice::from_raw_parts(numbers, count) };
        (&*data.cast::<Listener>(), text, numbers)
    };
    let notice = match (event, numbers) {
        (APPLIANCE, _) => Notice::Console(text),
        (PROGRESS, [_, _, done, total]) => Notice::Progress { done: *done, total: *total },
        (SUBPROCESS_QUIT, _) => Notice::Quit,
        (LIBRARY | TRACE | WARNING, _) => Notice::Library(text),
        _ => return,
    };
    // A panic must not unwind into C. Losing one notice is the lesser evil.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listener(notice)));
}

/// Ends a running upload or download from another thread.
#[derive(Debug)]
pub(super) struct Canceller(*mut c_void);

// SAFETY: the only thing done with the pointer is `guestfs_user_cancel`, which may be called from any thread.
unsafe impl Send for Canceller {}

impl Canceller {
    /// The caller must drop the canceller before the handle is closed.
    pub(super) fn new(handle: &Handle) -> Self {
        Self(raw(handle))
    }

    pub(super) fn cancel(&self) {
        // SAFETY: the handle is open, as promised in `new`; the call only sets a flag.
        unsafe { guestfs_user_cancel(self.0) };
    }
}

fn c_string(bytes: &[u8]) -> Result<CString, CallError> {
    CString::new(bytes).map_err(|_| CallError {
        message: "the argument contains a NUL byte".to_owned(),
        errno: rustix::io::Errno::INVAL.raw_os_error(),
    })
}

fn path_string(path: &Path) -> Result<CString, CallError> {
    c_string(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// Takes over a string that libguestfs allocated.
fn take(handle: &Handle, text: *mut c_char) -> Result<Vec<u8>, CallError> {
    if text.is_null() {
        return Err(last_error(handle));
    }
    // SAFETY: not NULL, so a NUL-terminated string that is ours to free, once.
    unsafe {
        let bytes = CStr::from_ptr(text).to_bytes().to_vec();
        free(text.cast());
        Ok(bytes)
    }
}

fn check(handle: &Handle, status: c_int) -> Result<(), CallError> {
    if status == 0 { Ok(()) } else { Err(last_error(handle)) }
}

/// Runs a command line with the guest's shell; returns its stdout up to the first NUL byte.
pub(super) fn sh(handle: &Handle, command: &str) -> Result<Vec<u8>, CallError> {
    let command = c_string(command.as_bytes())?;
    // SAFETY: valid handle, NUL-terminated argument.
    take(handle, unsafe { guestfs_sh(raw(handle), command.as_ptr()) })
}

/// What is at a path, the last part not followed.
pub(super) fn lstat(handle: &Handle, path: &[u8]) -> Result<Stat, CallError> {
    let path = c_string(path)?;
    // SAFETY: valid handle, NUL-terminated argument; the result is NULL or ours to free.
    let stat = unsafe {
        let stat = guestfs_lstatns(raw(handle), path.as_ptr());
        if stat.is_null() {
            return Err(last_error(handle));
        }
        let copy = convert(&*stat);
        guestfs_free_statns(stat);
        copy
    };
    stat.ok_or_else(|| CallError { message: "lstat gives an impossible answer".to_owned(), errno: 0 })
}

fn convert(stat: &StatNs) -> Option<Stat> {
    let mode = u32::try_from(stat.mode).ok()?;
    let kind = match mode & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Symlink,
        0o060_000 => FileKind::Block,
        0o020_000 => FileKind::Character,
        0o010_000 => FileKind::Fifo,
        0o140_000 => FileKind::Socket,
        _ => return None,
    };
    let special = match kind {
        FileKind::Block | FileKind::Character => device_numbers(stat.rdev.cast_unsigned()),
        _ => (0, 0),
    };
    let time = |seconds, nanoseconds: i64| {
        Some(Timestamp { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? })
    };
    Some(Stat {
        kind,
        mode: mode & 0o7777,
        uid: u32::try_from(stat.uid).ok()?,
        gid: u32::try_from(stat.gid).ok()?,
        size: u64::try_from(stat.size).ok()?,
        allocated: u64::try_from(stat.blocks).ok()?.checked_mul(512)?,
        links: u32::try_from(stat.nlink).ok()?,
        inode: stat.ino.cast_unsigned(),
        device: stat.dev.cast_unsigned(),
        special,
        accessed: time(stat.atime_sec, stat.atime_nsec)?,
        modified: time(stat.mtime_sec, stat.mtime_nsec)?,
        changed: time(stat.ctime_sec, stat.ctime_nsec)?,
    })
}

/// Major and minor number, as glibc packs them.
fn device_numbers(device: u64) -> (u32, u32) {
    let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
    let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
    (major as u32, minor as u32)
}

/// The extended attributes of a path, the last part not followed.
pub(super) fn lgetxattrs(handle: &Handle, path: &[u8]) -> Result<Vec<Xattr>, CallError> {
    let path = c_string(path)?;
    // SAFETY: valid handle, NUL-terminated argument; the result is NULL or ours to free, once. Its pointers are
    // valid for the counts beside them, and NULL at the most where those are 0.
    unsafe {
        let list = guestfs_lgetxattrs(raw(handle), path.as_ptr());
        if list.is_null() {
            return Err(last_error(handle));
        }
        let mut found = Vec::new();
        for index in 0..(*list).count as usize {
            let item = &*(*list).items.add(index);
            let value = match item.length as usize {
                0 => Vec::new(),
                length => std::slice::from_raw_parts(item.value.cast::<u8>(), length).to_vec(),
            };
            found.push(Xattr { name: CStr::from_ptr(item.name).to_bytes().to_vec(), value });
        }
        guestfs_free_xattr_list(list);
        Ok(found)
    }
}

/// The target of a symbolic link.
pub(super) fn readlink(handle: &Handle, path: &[u8]) -> Result<Vec<u8>, CallError> {
    let path = c_string(path)?;
    // SAFETY: valid handle, NUL-terminated argument.
    take(handle, unsafe { guestfs_readlink(raw(handle), path.as_ptr()) })
}

/// The path with every link resolved.
pub(super) fn realpath(handle: &Handle, path: &[u8]) -> Result<Vec<u8>, CallError> {
    let path = c_string(path)?;
    // SAFETY: valid handle, NUL-terminated argument.
    take(handle, unsafe { guestfs_realpath(raw(handle), path.as_ptr()) })
}

/// Writes the names in a directory, each followed by a NUL byte, to a file of the host.
pub(super) fn ls0(handle: &Handle, directory: &[u8], names: &Path) -> Result<(), CallError> {
    let (directory, names) = (c_string(directory)?, path_string(names)?);
    // SAFETY: valid handle, NUL-terminated arguments.
    check(handle, unsafe { guestfs_ls0(raw(handle), directory.as_ptr(), names.as_ptr()) })
}

/// Copies a file of the guest to the host.
pub(super) fn download(handle: &Handle, from: &[u8], to: &Path) -> Result<(), CallError> {
    let (from, to) = (c_string(from)?, path_string(to)?);
    // SAFETY: valid handle, NUL-terminated arguments.
    check(handle, unsafe { guestfs_download(raw(handle), from.as_ptr(), to.as_ptr()) })
}

/// Copies `length` bytes from `offset` of a file of the guest to the host, fewer where it ends.
pub(super) fn download_range(
    handle: &Handle,
    from: &[u8],
    to: &Path,
    offset: u64,
    length: u64,
) -> Result<(), CallError> {
    let (from, to) = (c_string(from)?, path_string(to)?);
    let (offset, length) =
        (offset.min(i64::MAX as u64).cast_signed(), length.min(i64::MAX as u64).cast_signed());
    // SAFETY: valid handle, NUL-terminated arguments.
    check(handle, unsafe { guestfs_download_offset(raw(handle), from.as_ptr(), to.as_ptr(), offset, length) })
}

//! libzmq behind safe calls: only what the measurements need, loaded at run time.
//!
//! The library's copy that a distribution ships is used, since that is what has CURVE; nothing is linked or built. This is
//! the only file of the crate with `unsafe` in it. Constants are those of `zmq.h`, version 4.

use crate::Failure;
use rustix::fd::BorrowedFd;
use socket2::SockRef;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::sync::OnceLock;

const NAME: &str = "libzmq.so.5";
const DEALER: c_int = 5;
const LINGER: c_int = 17;
const SEND_HIGH_WATER: c_int = 23;
const RECEIVE_HIGH_WATER: c_int = 24;
const LAST_ENDPOINT: c_int = 32;
const CURVE_SERVER: c_int = 47;
const CURVE_PUBLIC_KEY: c_int = 48;
const CURVE_SECRET_KEY: c_int = 49;
const CURVE_SERVER_KEY: c_int = 50;
/// A key as text, with the zero byte at its end.
const CURVE_KEY_LEN: usize = 41;
/// Longest endpoint that a TCP socket has, and more.
const ENDPOINT_LEN_MAX: usize = 256;

/// The functions of the library, under their own names.
pub(super) struct Library {
    ctx_new: unsafe extern "C" fn() -> *mut c_void,
    ctx_term: unsafe extern "C" fn(*mut c_void) -> c_int,
    socket: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    setsockopt: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> c_int,
    getsockopt: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int,
    bind: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    connect: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    send: unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int) -> c_int,
    msg_init: unsafe extern "C" fn(*mut RawMessage) -> c_int,
    msg_recv: unsafe extern "C" fn(*mut RawMessage, *mut c_void, c_int) -> c_int,
    msg_data: unsafe extern "C" fn(*mut RawMessage) -> *mut c_void,
    msg_size: unsafe extern "C" fn(*const RawMessage) -> usize,
    msg_close: unsafe extern "C" fn(*mut RawMessage) -> c_int,
    has: unsafe extern "C" fn(*const c_char) -> c_int,
    curve_keypair: unsafe extern "C" fn(*mut c_char, *mut c_char) -> c_int,
    errno: unsafe extern "C" fn() -> c_int,
    strerror: unsafe extern "C" fn(c_int) -> *const c_char,
}

impl Library {
    /// The one of this process; loaded on first use and never let go of.
    pub(super) fn load() -> Result<&'static Library, String> {
        static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
        LOADED.get_or_init(Library::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Library, String> {
        let missing = |error: libloading::Error| format!("{NAME} is not installed ({error})");
        // SAFETY: what libzmq runs when it is loaded are its C++ initialisers, which ask nothing of the program.
        let library: &'static libloading::Library =
            Box::leak(Box::new(unsafe { libloading::Library::new(NAME) }.map_err(missing)?));
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field that this goes to has the type that zmq.h gives the function, and the library is
                // never unloaded.
                *unsafe { library.get(concat!("zmq_", $name, "\0").as_bytes()) }.map_err(missing)?
            };
        }
        Ok(Library {
            ctx_new: function!("ctx_new"),
            ctx_term: function!("ctx_term"),
            socket: function!("socket"),
            close: function!("close"),
            setsockopt: function!("setsockopt"),
            getsockopt: function!("getsockopt"),
            bind: function!("bind"),
            connect: function!("connect"),
            send: function!("send"),
            msg_init: function!("msg_init"),
            msg_recv: function!("msg_recv"),
            msg_data: function!("msg_data"),
            msg_size: function!("msg_size"),
            msg_close: function!("msg_close"),
            has: function!("has"),
            curve_keypair: function!("curve_keypair"),
            errno: function!("errno"),
            strerror: function!("strerror"),
        })
    }

    /// Whether it was built with something.
    pub(super) fn has(&self, capability: &CStr) -> bool {
        // SAFETY: a string with a zero byte at its end, read during the call only.
        unsafe { (self.has)(capability.as_ptr()) == 1 }
    }

    /// A new pair of CURVE keys as text: public, secret.
    pub(super) fn curve_keys(&self) -> Result<(String, String), Failure> {
        let (mut public, mut secret) = ([0_u8; CURVE_KEY_LEN], [0_u8; CURVE_KEY_LEN]);
        // SAFETY: both buffers have the 41 bytes that the function writes.
        let code = unsafe { (self.curve_keypair)(public.as_mut_ptr().cast(), secret.as_mut_ptr().cast()) };
        self.check(code)?;
        let text = |key: &[u8]| CStr::from_bytes_until_nul(key).map(|key| key.to_string_lossy().into_owned());
        Ok((text(&public)?, text(&secret)?))
    }

    /// Turns the library's -1 into what it says about it.
    fn check(&self, code: c_int) -> Result<c_int, Failure> {
        if code >= 0 {
            return Ok(code);
        }
        // SAFETY: errno takes nothing; strerror gives a static string for every number.
        let text = unsafe { CStr::from_ptr((self.strerror)((self.errno)())) };
        Err(format!("libzmq: {}", text.to_string_lossy()).into())
    }
}

/// A context: the library's I/O thread.
pub(super) struct Context {
    library: &'static Library,
    raw: *mut c_void,
}

impl Context {
    pub(super) fn new(library: &'static Library) -> Result<Context, Failure> {
        // SAFETY: takes nothing; null is refused below.
        let raw = unsafe { (library.ctx_new)() };
        if raw.is_null() { Err("libzmq makes no context".into()) } else { Ok(Context { library, raw }) }
    }

    /// A socket that sends and receives as it likes, with one other.
    pub(super) fn dealer(&self) -> Result<Socket<'_>, Failure> {
        // SAFETY: the context lives as long as the socket, which borrows it; null is refused below.
        let raw = unsafe { (self.library.socket)(self.raw, DEALER) };
        if raw.is_null() {
            self.library.check(-1)?;
        }
        Ok(Socket { library: self.library, raw, context: PhantomData })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by ctx_new, ended once; its sockets borrowed it and are closed. Waits for what lingers.
        unsafe { (self.library.ctx_term)(self.raw) };
    }
}

/// A socket of a context; not `Send`, as its pointer is not.
pub(super) struct Socket<'a> {
    library: &'static Library,
    raw: *mut c_void,
    context: PhantomData<&'a Context>,
}

impl Socket<'_> {
    /// How many messages may wait, on either way.
    pub(super) fn set_high_water(&self, count: i32) -> Result<(), Failure> {
        self.set(SEND_HIGH_WATER, &count.to_ne_bytes())?;
        self.set(RECEIVE_HIGH_WATER, &count.to_ne_bytes())
    }

    /// How long what was sent is tried after the end.
    pub(super) fn set_linger(&self, milliseconds: i32) -> Result<(), Failure> {
        self.set(LINGER, &milliseconds.to_ne_bytes())
    }

    /// Takes encrypted connections only, as the holder of `secret`.
    pub(super) fn be_curve_server(&self, secret: &str) -> Result<(), Failure> {
        self.set(CURVE_SERVER, &1_i32.to_ne_bytes())?;
        self.set(CURVE_SECRET_KEY, secret.as_bytes())
    }

    /// Connects to the holder of key `server` only, as the holder of the other two.
    pub(super) fn be_curve_client(&self, server: &str, public: &str, secret: &str) -> Result<(), Failure> {
        self.set(CURVE_SERVER_KEY, server.as_bytes())?;
        self.set(CURVE_PUBLIC_KEY, public.as_bytes())?;
        self.set(CURVE_SECRET_KEY, secret.as_bytes())
    }

    fn set(&self, option: c_int, value: &[u8]) -> Result<(), Failure> {
        // SAFETY: the socket is open; the value is copied during the call, and its length is its own.
        let code = unsafe { (self.library.setsockopt)(self.raw, option, value.as_ptr().cast(), value.len()) };
        self.library.check(code).map(drop)
    }

    pub(super) fn bind(&self, endpoint: &str) -> Result<(), Failure> {
        let endpoint = CString::new(endpoint)?;
        // SAFETY: the socket is open; the string ends with a zero byte and is read during the call only.
        let code = unsafe { (self.library.bind)(self.raw, endpoint.as_ptr()) };
        self.library.check(code).map(drop)
    }

    pub(super) fn connect(&self, endpoint: &str) -> Result<(), Failure> {
        let endpoint = CString::new(endpoint)?;
        // SAFETY: as in `bind`.
        let code = unsafe { (self.library.connect)(self.raw, endpoint.as_ptr()) };
        self.library.check(code).map(drop)
    }

    /// Where it was bound last.
    pub(super) fn endpoint(&self) -> Result<String, Failure> {
        let (mut text, mut len) = ([0_u8; ENDPOINT_LEN_MAX], ENDPOINT_LEN_MAX);
        // SAFETY: the socket is open; at most `len` bytes are written, which the buffer has.
        let code = unsafe { (self.library.getsockopt)(self.raw, LAST_ENDPOINT, text.as_mut_ptr().cast(), &mut len) };
        self.library.check(code)?;
        Ok(CStr::from_bytes_until_nul(&text)?.to_str()?.to_owned())
    }

    /// Queues a copy of `message`; waits while the queue is full.
    pub(super) fn send(&self, message: &[u8]) -> Result<(), Failure> {
        // SAFETY: the socket is open; the message is copied during the call.
        let code = unsafe { (self.library.send)(self.raw, message.as_ptr().cast(), message.len(), 0) };
        self.library.check(code).map(drop)
    }

    /// Waits for a message, puts it in the place of what `message` held, and shows its bytes.
    pub(super) fn receive<'m>(&self, message: &'m mut Message) -> Result<&'m [u8], Failure> {
        // SAFETY: the socket is open and the message initialised; receiving lets go of what it held before.
        let code = unsafe { (self.library.msg_recv)(&mut *message.raw, self.raw, 0) };
        self.library.check(code)?;
        // SAFETY: an initialised message has `size` bytes at `data`, until it is changed, which the borrow forbids.
        Ok(unsafe {
            let (data, size) = ((self.library.msg_data)(&mut *message.raw), (self.library.msg_size)(&*message.raw));
            if size == 0 { &[] } else { std::slice::from_raw_parts(data.cast::<u8>(), size) }
        })
    }
}

impl Drop for Socket<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `socket`, closed once.
        unsafe { (self.library.close)(self.raw) };
    }
}

/// Room for a received message.
pub(super) struct Message {
    library: &'static Library,
    raw: Box<RawMessage>,
}

/// `zmq_msg_t`: 64 bytes that only the library looks into, aligned like a pointer.
#[repr(C, align(8))]
struct RawMessage([u8; 64]);

impl Message {
    /// An empty one.
    pub(super) fn new() -> Result<Message, Failure> {
        let library = Library::load()?;
        let mut raw = Box::new(RawMessage([0; 64]));
        // SAFETY: writes the 64 bytes of the message, which are there.
        let code = unsafe { (library.msg_init)(&mut *raw) };
        library.check(code)?;
        Ok(Message { library, raw })
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, closed once.
        unsafe { (self.library.msg_close)(&mut *self.raw) };
    }
}

/// Sets the congestion control of every TCP socket of this process: the library has no option for it and makes its
/// sockets itself. To be called when its connection is there.
pub(super) fn set_congestion(name: &str) -> Result<(), Failure> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_socket = std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if is_socket {
            // SAFETY: the descriptor was there a moment ago, and the library closes none while nothing is asked of it.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            // Sockets that are not TCP have no such option.
            let _ = SockRef::from(&descriptor).set_tcp_congestion(name.as_bytes());
        }
    }
    Ok(())
}

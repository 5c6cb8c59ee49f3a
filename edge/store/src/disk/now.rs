//! Reads what is in the page cache, and says so where it isn't.
#![expect(unsafe_code, reason = "preadv2 into memory that isn't initialised has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Reads `length` bytes at `offset`, which doesn't wait for a device: [`io::ErrorKind::WouldBlock`] where it would have
/// to, or where the file ends before. File systems that can't tell say [`io::ErrorKind::Unsupported`].
pub(super) fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::<u8>::with_capacity(length);
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: length };
    let offset = offset.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `part` is `length` bytes that `buffer` owns and nothing else refers to; the kernel only writes to them.
    let read =
        unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset, libc::RWF_NOWAIT) };
    let Ok(read) = usize::try_from(read) else { return Err(io::Error::last_os_error()) };
    if read < length {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: the kernel has written `length` bytes, which is what was reserved.
    unsafe { buffer.set_len(length) };
    Ok(buffer)
}

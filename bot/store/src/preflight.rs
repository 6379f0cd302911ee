//! What is checked before SQLite touches anything: the directory, its file system, the owner, and
//! the first bytes of the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::connection::APPLICATION_ID;
use crate::error::OpenError;

/// What a file is before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing has been written to it.
    Empty,
    /// A database whose header does not speak against it.
    Database,
}

/// Refuses directories that are missing or on a network file system.
pub(crate) fn check_directory(dir: &Path) -> Result<(), OpenError> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(OpenError::NotADirectory {
                dir: dir.to_owned(),
            });
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::DirectoryMissing {
                dir: dir.to_owned(),
            });
        }
        Err(error) => return Err(unwritable(dir, &error)),
    }
    match network_file_system(dir) {
        Ok(None) => Ok(()),
        Ok(Some(kind)) => Err(OpenError::NetworkFileSystem {
            dir: dir.to_owned(),
            kind,
        }),
        Err(error) => Err(unwritable(dir, &error)),
    }
}

fn unwritable(dir: &Path, error: &std::io::Error) -> OpenError {
    let kind = error.kind();
    OpenError::DirectoryUnwritable {
        dir: dir.to_owned(),
        why: error.to_string(),
        advice: if kind == ErrorKind::StorageFull {
            "make room there and start again"
        } else if kind == ErrorKind::ReadOnlyFilesystem {
            "mount it for writing; where it became read-only by itself, the kernel's log says why"
        } else if kind == ErrorKind::PermissionDenied {
            "give the user that runs Rave the right to write there"
        } else {
            "look at the disk and the kernel's log"
        },
    }
}

/// File systems by the magic number that statfs(2) gives.
const NETWORK: [(u32, &str); 10] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x564c, "ncp"),
    (0x0bd0_0bd0, "lustre"),
];

/// FUSE carries local file systems too; its mount's type says which it is.
const FUSE: u32 = 0x6573_5546;

const NETWORK_FUSE: [&str; 11] = [
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.goofys",
    "fuse.gcsfuse",
    "fuse.davfs",
    "fuse.curlftpfs",
    "fuse.cephfs",
    "fuse.juicefs",
    "fuse.mount-s3",
];

fn network_file_system(dir: &Path) -> std::io::Result<Option<String>> {
    // The kernel's magic numbers are 32 bits wide; some platforms sign-extend them.
    let magic = rustix::fs::statfs(dir)?.f_type as u32;
    if magic == FUSE {
        let device = std::fs::metadata(dir)?.dev();
        let device = format!(
            "{}:{}",
            rustix::fs::major(device),
            rustix::fs::minor(device)
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        return Ok(
            mount_type(&mounts, &device).filter(|kind| NETWORK_FUSE.contains(&kind.as_str()))
        );
    }
    Ok(NETWORK
        .into_iter()
        .find(|(number, _)| *number == magic)
        .map(|(_, name)| name.to_owned()))
}

/// The type of the mount of a device (`major:minor`) in `/proc/self/mountinfo`.
fn mount_type(mounts: &str, device: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let same = mount.split(' ').nth(2)? == device;
        same.then(|| file_system.split(' ').next().map(str::to_owned))?
    })
}

/// Takes the lock that makes this process the owner. It is held as long as the file is open, so a
/// killed owner leaves none behind.
pub(crate) fn own(file: &Path) -> Result<File, OpenError> {
    let path = with_suffix(file, ".lock");
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| unwritable(dir, &error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Who it is only helps the message.
            let pid = lock
                .read_to_string(&mut owner)
                .ok()
                .and_then(|_| owner.trim().parse().ok());
            return Err(OpenError::InUse {
                file: file.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(error)) => return Err(unwritable(dir, &error)),
    }
    lock.set_len(0)
        .and_then(|()| lock.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(lock, "{}", std::process::id()))
        .map_err(|error| unwritable(dir, &error))?;
    Ok(lock)
}

/// Creates the file when there is none, readable by its owner only, and reads its header. A file
/// that this program must not touch is refused here, before SQLite could change a byte.
pub(crate) fn inspect(file: &Path, known: u32) -> Result<Found, OpenError> {
    let unusable = |error: std::io::Error| OpenError::Unusable {
        file: file.to_owned(),
        why: error.to_string(),
    };
    let mut handle = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map_err(unusable)?;
    let mut header = Vec::with_capacity(HEADER);
    Read::by_ref(&mut handle)
        .take(HEADER as u64)
        .read_to_end(&mut header)
        .map_err(unusable)?;
    if header.is_empty() {
        return Ok(Found::Empty);
    }
    judge_header(file, &header, known)
}

/// An empty file, readable by its owner only, in place of what an interrupted start left there.
pub(crate) fn start_anew(part: &Path) -> std::io::Result<()> {
    for leftover in [part.to_owned(), with_suffix(part, "-journal")] {
        match std::fs::remove_file(leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
        .map(drop)
}

/// The part of the file that the format fixes for all time.
const HEADER: usize = 100;

fn judge_header(file: &Path, header: &[u8], known: u32) -> Result<Found, OpenError> {
    let not_ours = || OpenError::NotOurs {
        file: file.to_owned(),
    };
    if header.len() < HEADER || !header.starts_with(b"SQLite format 3\0") {
        return Err(not_ours());
    }
    let number = |at: usize| {
        header
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes)
    };
    let (version, application) = (number(60), number(68));
    if application != APPLICATION_ID {
        return Err(not_ours());
    }
    if version > known {
        return Err(OpenError::Newer {
            file: file.to_owned(),
            found: version,
            known,
        });
    }
    Ok(Found::Database)
}

/// The path with something after its file name.
pub(crate) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:1 / / rw,relatime - ext4 /dev/vda rw\n\
        40 22 0:52 / /mnt/far rw,nosuid - fuse.sshfs ann@far: rw,user_id=0\n\
        41 22 0:53 / /mnt/near rw shared:7 - fuse.lossy lossy rw\n";

    #[test]
    fn the_type_of_a_fuse_mount_is_found_by_its_device() {
        assert_eq!(mount_type(MOUNTS, "0:52").as_deref(), Some("fuse.sshfs"));
        assert_eq!(mount_type(MOUNTS, "0:53").as_deref(), Some("fuse.lossy"));
        assert_eq!(mount_type(MOUNTS, "0:54"), None);
    }

    #[test]
    fn a_directory_on_a_local_disk_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_directory(dir.path()).is_ok());
    }
}

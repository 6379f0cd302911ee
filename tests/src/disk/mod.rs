//! A disk that loses power, fills up and breaks when a test says so.
//!
//! A file system in memory, mounted with FUSE, so that the real binary runs on it whole: database,
//! WAL, chunk files, key file and directories. It writes down every change and every sync. The
//! [`Recording`] of that can be cut anywhere: what would stand on a disk that lost power there is
//! written out as an ordinary directory, without what was not synced, or with any part of it.
//!
//! The rules are those of POSIX and no kinder. A file's content is durable once the file is
//! synced, a name once its directory is. What is not synced may be there or not, sector by sector
//! and in any order. What a failed sync held back is not made durable by a later one that works.
//!
//! Only other processes may map files of the disk into memory, as SQLite does with the index of a
//! WAL: a page fault in the process that serves the disk can wait for itself. So a test opens a
//! database on a copy, an [`Image`], and never on the mount.

mod crash;
mod fault;
mod model;
mod mount;
mod record;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{BackgroundSession, Config, MountOption};
use tempfile::TempDir;

pub use crash::{Crash, Image};
pub use fault::On;
pub use record::{Lie, Recording};

use mount::Mounted;
use tree::Tree;

/// A mounted disk. It is unmounted when it is dropped, whatever still uses it.
pub struct Disk {
    tree: Arc<Mutex<Tree>>,
    session: Option<BackgroundSession>,
    at: TempDir,
}

impl Disk {
    /// Mounts an empty disk.
    ///
    /// # Panics
    /// When it cannot be mounted: that takes `/dev/fuse` and root.
    #[must_use]
    pub fn mounted() -> Self {
        let tree = Arc::new(Mutex::new(Tree::default()));
        let at = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("lossy".to_owned()),
            MountOption::Subtype("lossy".to_owned()),
        ];
        let session = fuser::spawn_mount(Mounted::new(Arc::clone(&tree)), at.path(), &config)
            .unwrap_or_else(|error| {
                panic!("the lossy disk cannot be mounted, which takes root and /dev/fuse: {error}")
            });
        Self {
            tree,
            session: Some(session),
            at,
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// How many changes and syncs it has seen.
    #[must_use]
    pub fn position(&self) -> usize {
        self.tree().log.len()
    }

    /// Everything that it has seen so far.
    #[must_use]
    pub fn recording(&self) -> Recording {
        Recording::new(self.tree().log.clone())
    }

    /// Everything as programs see it now.
    #[must_use]
    pub fn image(&self) -> Image {
        self.tree().image()
    }

    /// The content of a file as programs see it now; empty when there is none. Asks the disk
    /// itself, so no fault gets in the way.
    #[must_use]
    pub fn content(&self, path: &str) -> Vec<u8> {
        self.tree().content(path).unwrap_or_default()
    }

    /// From now on every such call on a file or directory whose path ends with `path` fails with
    /// an input/output error.
    pub fn fail(&self, on: On, path: &str) {
        self.tree().faults.fail(on, path, None);
    }

    /// As [`Self::fail`], for the next `times` calls only.
    pub fn fail_times(&self, on: On, path: &str, times: u32) {
        self.tree().faults.fail(on, path, Some(times));
    }

    /// How many calls have failed by [`Self::fail`] and [`Self::fail_times`].
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.tree().faults.hits()
    }

    /// From now on the disk has room for so many more bytes.
    pub fn fill_up(&self, room: u64) {
        let mut tree = self.tree();
        let used = tree.used();
        tree.faults.capacity = Some(used + room);
    }

    /// From now on nothing can be changed.
    pub fn make_read_only(&self) {
        self.tree().faults.read_only = true;
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.tree().faults.heal();
    }

    /// Turns over the bits of so many bytes of a file, as a medium does that goes bad.
    ///
    /// # Panics
    /// When the file has no such bytes.
    pub fn damage(&self, path: &str, offset: usize, length: usize) {
        self.tree().damage(path, offset, length);
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once, even while a killed process still closes its files.
        let _ = rustix::mount::unmount(self.at.path(), rustix::mount::UnmountFlags::DETACH);
        drop(self.session.take());
    }
}

/// An image or a data directory on a file system in memory: thousands of them are written.
///
/// # Panics
/// When no directory can be made there.
#[must_use]
pub fn scratch() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.unwrap()
}

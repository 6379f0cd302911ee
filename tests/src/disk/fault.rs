//! What goes wrong with the disk, from when a test says so until it says otherwise.

use fuser::Errno;

/// A kind of call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Reading a file.
    Read,
    /// Writing to a file.
    Write,
    /// `fsync` of a file.
    Sync,
    /// `fsync` of a directory.
    SyncDirectory,
}

#[derive(Debug)]
struct Fault {
    on: On,
    path: String,
    /// How often still; `None` for always.
    times: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    hits: u32,
    /// The most bytes that all files may have together.
    pub(super) capacity: Option<u64>,
    pub(super) read_only: bool,
}

impl Faults {
    pub(super) fn fail(&mut self, on: On, path: &str, times: Option<u32>) {
        self.list.push(Fault {
            on,
            path: path.to_owned(),
            times,
        });
    }

    pub(super) fn heal(&mut self) {
        self.list.clear();
        self.capacity = None;
        self.read_only = false;
    }

    pub(super) fn hits(&self) -> u32 {
        self.hits
    }

    /// Whether a call may go on.
    pub(super) fn pass(&mut self, on: On, path: &str) -> Result<(), Errno> {
        let hit = self
            .list
            .iter_mut()
            .find(|fault| fault.on == on && path.ends_with(&fault.path) && fault.times != Some(0));
        let Some(fault) = hit else {
            return Ok(());
        };
        fault.times = fault.times.map(|left| left - 1);
        self.hits += 1;
        Err(Errno::EIO)
    }

    /// Whether anything may be changed.
    pub(super) fn writable(&self) -> Result<(), Errno> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        Ok(())
    }
}

//! Output in files named by the SHA-256 of their content: `chunks/ab/ab34…`. A file has its name
//! only once it is whole and synced, and the row that refers to it is written after that.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rave_domain::Digest;
use rave_domain::ports::store::{ChunkRef, StoreError};

use crate::error::io_unavailable;

pub(crate) struct Chunks {
    root: PathBuf,
    /// Directories whose own names are known to be on disk.
    durable: Mutex<BTreeSet<String>>,
    next_part: AtomicU64,
}

impl Chunks {
    /// Makes the directory and throws away what a crash left half written.
    pub(crate) fn open(dir: &Path) -> std::io::Result<Self> {
        let root = dir.join("chunks");
        let parts = root.join(PARTS);
        create(&root)?;
        create(&parts)?;
        for part in std::fs::read_dir(&parts)? {
            std::fs::remove_file(part?.path())?;
        }
        sync_directory(&root)?;
        sync_directory(dir)?;
        Ok(Self {
            root,
            durable: Mutex::default(),
            next_part: AtomicU64::new(0),
        })
    }

    /// Writes a chunk. File and directory are synced when it returns.
    pub(crate) fn put(&self, content: &Bytes) -> Result<ChunkRef, StoreError> {
        let chunk = ChunkRef {
            digest: Digest::of(content),
            size: content.len() as u64,
        };
        self.write(&chunk.digest.to_string(), content)
            .map_err(|error| io_unavailable("output cannot be written to disk", &error))?;
        Ok(chunk)
    }

    fn write(&self, name: &str, content: &[u8]) -> std::io::Result<()> {
        let shard = self.root.join(shard(name));
        self.make_durable(&shard, name)?;
        let path = shard.join(name);
        // A damaged file under this name is replaced.
        let there = std::fs::read(&path).is_ok_and(|stored| stored == content);
        if !there {
            let number = self.next_part.fetch_add(1, Ordering::Relaxed);
            let part = self.root.join(PARTS).join(format!("{name}.{number}"));
            write_synced(&part, content)
                .and_then(|()| std::fs::rename(&part, &path))
                .inspect_err(|_| {
                    // What cannot be removed now is removed at the next start.
                    let _ = std::fs::remove_file(&part);
                })?;
        }
        // Also when the file was there: whoever wrote it may not have come to this line yet.
        sync_directory(&shard)
    }

    fn make_durable(&self, shard: &Path, name: &str) -> std::io::Result<()> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if !durable.contains(self::shard(name)) {
            create(shard)?;
            sync_directory(&self.root)?;
            durable.insert(self::shard(name).to_owned());
        }
        Ok(())
    }

    /// Reads a chunk and checks it against its name.
    pub(crate) fn get(&self, chunk: &ChunkRef) -> Result<Option<Bytes>, StoreError> {
        let name = chunk.digest.to_string();
        let content = match std::fs::read(self.root.join(shard(&name)).join(&name)) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_unavailable("output cannot be read from disk", &error)),
        };
        if content.len() as u64 != chunk.size || Digest::of(&content) != chunk.digest {
            return Err(StoreError::Corrupt {
                table: "chunks",
                why: format!("the content of {name} is not what was written"),
            });
        }
        Ok(Some(Bytes::from(content)))
    }
}

/// Where files are written before they have their names; on the same file system.
const PARTS: &str = "parts";

fn shard(name: &str) -> &str {
    name.get(..2).unwrap_or(name)
}

fn create(dir: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write_synced(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_directory(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

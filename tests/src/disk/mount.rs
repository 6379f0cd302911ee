//! The tree behind a FUSE mount.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

use super::fault::On;
use super::record::{Kind, Node};
use super::tree::Tree;

/// The kernel remembers nothing, so that every look is at the tree.
const TTL: Duration = Duration::ZERO;

const BLOCK: u32 = 4096;

pub(super) struct Mounted {
    tree: Arc<Mutex<Tree>>,
}

impl Mounted {
    pub(super) fn new(tree: Arc<Mutex<Tree>>) -> Self {
        Self { tree }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap()
    }
}

fn text(name: &OsStr) -> Result<&str, Errno> {
    name.to_str().ok_or(Errno::EINVAL)
}

fn attributes(tree: &Tree, node: Node) -> Result<FileAttr, Errno> {
    let inode = tree.get(node)?;
    let size = inode.content.len() as u64;
    Ok(FileAttr {
        ino: INodeNo(node),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: file_type(inode.kind),
        perm: u16::try_from(inode.mode).map_err(|_| Errno::EINVAL)?,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
    }
}

/// Reads and writes go past the kernel's cache, so that each is seen and may fail; only the index
/// of a WAL is shared memory, which needs the cache.
fn open_flags(path: &str) -> FopenFlags {
    if path.ends_with("-shm") {
        FopenFlags::empty()
    } else {
        FopenFlags::FOPEN_DIRECT_IO
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(found) => reply.entry(&TTL, &found, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn attr(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(found) => reply.attr(&TTL, &found),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = self.tree();
        let found = text(name)
            .and_then(|name| tree.child(parent.0, name))
            .and_then(|node| attributes(&tree, node));
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, attributes(&self.tree(), node.0));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree();
        let sized = size.map_or(Ok(()), |size| tree.truncate(node.0, size));
        let moded = sized.and_then(|()| mode.map_or(Ok(()), |mode| tree.set_mode(node.0, mode)));
        attr(reply, moded.and_then(|()| attributes(&tree, node.0)));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let mut tree = self.tree();
        let made = text(name)
            .and_then(|name| tree.make(parent.0, name, Kind::Directory, mode & !umask & 0o7777))
            .and_then(|node| attributes(&tree, node));
        entry(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = self.tree();
        let done = text(name).and_then(|name| tree.remove(parent.0, name, Kind::File));
        empty(reply, done);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = self.tree();
        let done = text(name).and_then(|name| tree.remove(parent.0, name, Kind::Directory));
        empty(reply, done);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let mut tree = self.tree();
        let done = text(name)
            .and_then(|name| Ok((name, text(to_name)?)))
            .and_then(|(name, to_name)| tree.rename((parent.0, name), (to.0, to_name)));
        empty(reply, done);
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let tree = self.tree();
        if flags.acc_mode() != OpenAccMode::O_RDONLY
            && let Err(error) = tree.faults.writable()
        {
            return reply.error(error);
        }
        reply.opened(FileHandle(0), open_flags(&tree.path(node.0)));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut tree = self.tree();
        let made = text(name)
            .and_then(|name| tree.make(parent.0, name, Kind::File, mode & !umask & 0o7777))
            .and_then(|node| Ok((node, attributes(&tree, node)?)));
        match made {
            Ok((node, found)) => {
                let flags = open_flags(&tree.path(node));
                reply.created(&TTL, &found, Generation(0), FileHandle(0), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree().read(node.0, offset, size) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.tree().write(node.0, offset, data) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.tree().sync(node.0, On::Sync));
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.tree().sync(node.0, On::SyncDirectory));
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree();
        let inode = match tree.get(node.0) {
            Ok(inode) => inode,
            Err(error) => return reply.error(error),
        };
        let listed = inode.entries.iter().zip(1_u64..);
        for ((name, child), next) in listed.skip(usize::try_from(offset).unwrap()) {
            let kind = match tree.get(*child) {
                Ok(inode) => file_type(inode.kind),
                Err(error) => return reply.error(error),
            };
            if reply.add(INodeNo(*child), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            1 << 20,
            1 << 19,
            1 << 19,
            1 << 20,
            1 << 19,
            BLOCK,
            255,
            BLOCK,
        );
    }
}

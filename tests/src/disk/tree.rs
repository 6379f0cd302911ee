//! The files and directories as programs see them, and the log of what was done to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fuser::Errno;

use super::crash::Image;
use super::fault::{Faults, On};
use super::record::{Kind, Node, Op, ROOT};

/// A file or directory.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
    pub(super) entries: BTreeMap<String, Node>,
    /// Its directory and its name there, the last ones when it was removed.
    place: (Node, String),
    /// Whether it still has a name.
    linked: bool,
}

#[derive(Debug)]
pub(super) struct Tree {
    // Removed files stay: programs may hold them open, and tests are short.
    nodes: BTreeMap<Node, Inode>,
    pub(super) log: Vec<Op>,
    pub(super) faults: Faults,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Inode {
            kind: Kind::Directory,
            mode: 0o755,
            content: Vec::new(),
            entries: BTreeMap::new(),
            place: (ROOT, String::new()),
            linked: true,
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            log: Vec::new(),
            faults: Faults::default(),
        }
    }
}

impl Tree {
    pub(super) fn get(&self, node: Node) -> Result<&Inode, Errno> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)
    }

    fn get_mut(&mut self, node: Node) -> Result<&mut Inode, Errno> {
        self.nodes.get_mut(&node).ok_or(Errno::ENOENT)
    }

    fn directory(&mut self, node: Node) -> Result<&mut Inode, Errno> {
        let inode = self.get_mut(node)?;
        if inode.kind == Kind::File {
            return Err(Errno::ENOTDIR);
        }
        Ok(inode)
    }

    pub(super) fn child(&self, dir: Node, name: &str) -> Result<Node, Errno> {
        let entries = &self.get(dir)?.entries;
        entries.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The path from the root of the disk, without a leading slash.
    pub(super) fn path(&self, node: Node) -> String {
        let mut parts = Vec::new();
        let mut node = node;
        while node != ROOT {
            let (dir, name) = &self.nodes[&node].place;
            parts.push(name.as_str());
            node = *dir;
        }
        parts.reverse();
        parts.join("/")
    }

    fn find(&self, path: &str) -> Option<Node> {
        path.split('/')
            .try_fold(ROOT, |dir, name| self.child(dir, name).ok())
    }

    pub(super) fn content(&self, path: &str) -> Option<Vec<u8>> {
        Some(self.nodes[&self.find(path)?].content.clone())
    }

    pub(super) fn image(&self) -> Image {
        let mut image = Image::default();
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            for node in self.nodes[&dir].entries.values() {
                let inode = &self.nodes[node];
                let is_file = inode.kind == Kind::File;
                let content = is_file.then(|| Arc::new(inode.content.clone()));
                image.push(self.path(*node), inode.mode, content);
                open.push(*node);
            }
        }
        image
    }

    pub(super) fn damage(&mut self, path: &str, offset: usize, length: usize) {
        let node = self.find(path).unwrap_or_else(|| panic!("no {path}"));
        let inode = self.nodes.get_mut(&node).unwrap();
        for byte in &mut inode.content[offset..offset + length] {
            *byte = !*byte;
        }
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        let linked = self.nodes.values().filter(|inode| inode.linked);
        linked.map(|inode| inode.content.len() as u64).sum()
    }

    /// How many bytes a file may grow by.
    fn room(&self) -> u64 {
        self.faults
            .capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    pub(super) fn make(
        &mut self,
        dir: Node,
        name: &str,
        kind: Kind,
        mode: u32,
    ) -> Result<Node, Errno> {
        self.faults.writable()?;
        if self.room() == 0 {
            return Err(Errno::ENOSPC);
        }
        let node = ROOT + self.nodes.len() as u64;
        let inodes = self.directory(dir)?;
        if inodes.entries.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        inodes.entries.insert(name.to_owned(), node);
        self.nodes.insert(
            node,
            Inode {
                kind,
                mode,
                content: Vec::new(),
                entries: BTreeMap::new(),
                place: (dir, name.to_owned()),
                linked: true,
            },
        );
        let path = self.path(node);
        self.log.push(Op::Make {
            dir,
            name: name.to_owned(),
            node,
            kind,
            mode,
            path,
        });
        Ok(node)
    }

    pub(super) fn remove(&mut self, dir: Node, name: &str, kind: Kind) -> Result<(), Errno> {
        self.faults.writable()?;
        let node = self.child(dir, name)?;
        let inode = self.get_mut(node)?;
        match (inode.kind, kind) {
            (Kind::File, Kind::Directory) => return Err(Errno::ENOTDIR),
            (Kind::Directory, Kind::File) => return Err(Errno::EISDIR),
            (Kind::Directory, Kind::Directory) if !inode.entries.is_empty() => {
                return Err(Errno::ENOTEMPTY);
            }
            (Kind::File, Kind::File) | (Kind::Directory, Kind::Directory) => {}
        }
        inode.linked = false;
        self.directory(dir)?.entries.remove(name);
        self.log.push(Op::Remove {
            dir,
            name: name.to_owned(),
        });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: (Node, &str), to: (Node, &str)) -> Result<(), Errno> {
        self.faults.writable()?;
        let node = self.child(from.0, from.1)?;
        if let Ok(replaced) = self.child(to.0, to.1) {
            if replaced == node {
                return Ok(());
            }
            if !self.get(replaced)?.entries.is_empty() {
                return Err(Errno::ENOTEMPTY);
            }
            self.get_mut(replaced)?.linked = false;
        }
        self.directory(to.0)?.entries.insert(to.1.to_owned(), node);
        self.directory(from.0)?.entries.remove(from.1);
        self.get_mut(node)?.place = (to.0, to.1.to_owned());
        let path = self.path(node);
        self.log.push(Op::Rename {
            from: (from.0, from.1.to_owned()),
            to: (to.0, to.1.to_owned()),
            node,
            path,
        });
        Ok(())
    }

    pub(super) fn read(&mut self, node: Node, offset: u64, size: u32) -> Result<&[u8], Errno> {
        let path = self.path(node);
        self.faults.pass(On::Read, &path)?;
        let content = &self.get(node)?.content;
        let from = content.len().min(usize::try_from(offset).unwrap());
        let to = content.len().min(from + size as usize);
        Ok(&content[from..to])
    }

    /// Writes as much as there is room for, as a full disk does.
    pub(super) fn write(&mut self, node: Node, offset: u64, bytes: &[u8]) -> Result<u32, Errno> {
        self.faults.writable()?;
        let path = self.path(node);
        self.faults.pass(On::Write, &path)?;
        let size = self.get(node)?.content.len() as u64;
        let end = offset + bytes.len() as u64;
        let over = end.saturating_sub(size).saturating_sub(self.room());
        let fits = (bytes.len() as u64).saturating_sub(over);
        if fits == 0 && !bytes.is_empty() {
            return Err(Errno::ENOSPC);
        }
        let bytes = &bytes[..usize::try_from(fits).unwrap()];
        put(&mut self.get_mut(node)?.content, offset, bytes);
        self.log.push(Op::Write {
            node,
            offset,
            bytes: bytes.into(),
        });
        Ok(u32::try_from(bytes.len()).unwrap())
    }

    pub(super) fn truncate(&mut self, node: Node, size: u64) -> Result<(), Errno> {
        self.faults.writable()?;
        let now = self.get(node)?.content.len() as u64;
        if size.saturating_sub(now) > self.room() {
            return Err(Errno::ENOSPC);
        }
        cut(&mut self.get_mut(node)?.content, size);
        self.log.push(Op::Truncate { node, size });
        Ok(())
    }

    pub(super) fn set_mode(&mut self, node: Node, mode: u32) -> Result<(), Errno> {
        self.faults.writable()?;
        self.get_mut(node)?.mode = mode & 0o7777;
        self.log.push(Op::Mode {
            node,
            mode: mode & 0o7777,
        });
        Ok(())
    }

    pub(super) fn sync(&mut self, node: Node, on: On) -> Result<(), Errno> {
        let path = self.path(node);
        let done = self
            .faults
            .writable()
            .and_then(|()| self.faults.pass(on, &path));
        self.log.push(match done {
            Ok(()) => Op::Sync(node),
            Err(_) => Op::SyncFailed(node),
        });
        done
    }
}

/// Writes into a content; what lies between its end and the offset becomes zeroes.
pub(super) fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let from = usize::try_from(offset).unwrap();
    let to = from + bytes.len();
    if content.len() < to {
        content.resize(to, 0);
    }
    content[from..to].copy_from_slice(bytes);
}

/// Shortens a content, or lengthens it with zeroes.
pub(super) fn cut(content: &mut Vec<u8>, size: u64) {
    content.resize(usize::try_from(size).unwrap(), 0);
}

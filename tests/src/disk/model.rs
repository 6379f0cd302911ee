//! What of a disk is durable, and what may be: the part of its log that a power cut decides about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::{Kind, Lie, Node, Op, ROOT};
use super::tree::{cut, put};

/// The part of a disk that all storage promises to write whole.
pub(super) const SECTOR: usize = 512;

/// A page of the kernel's cache, in bytes.
const PAGE: u64 = 4096;

/// Where the frames of a WAL begin.
const WAL_HEADER: u64 = 32;

/// A change of a content that is not durable.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put { offset: u64, bytes: Arc<[u8]> },
    Cut(u64),
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Put { offset, bytes } => put(content, *offset, bytes),
            Self::Cut(size) => cut(content, *size),
        }
    }

    /// The pages of the kernel's cache that it touches.
    fn pages(&self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Put { offset, bytes } => {
                let last = (offset + bytes.len() as u64).saturating_sub(1).max(*offset);
                offset / PAGE..=last / PAGE
            }
            Self::Cut(size) => size / PAGE..=size / PAGE,
        }
    }

    /// The same change in the parts that reach a disk each by itself.
    pub(super) fn parts(&self) -> Vec<Self> {
        let Self::Put { offset, bytes } = self else {
            return vec![self.clone()];
        };
        let mut parts = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let at = *offset + from as u64;
            let into_sector = usize::try_from(at).unwrap() % SECTOR;
            let to = bytes.len().min(from + SECTOR - into_sector);
            parts.push(Self::Put {
                offset: at,
                bytes: bytes[from..to].into(),
            });
            from = to;
        }
        parts
    }
}

#[derive(Debug)]
struct Pending {
    change: Change,
    /// A sync of it failed: no later one writes it.
    lost: bool,
}

/// A file or directory as it is on the disk.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) content: Arc<Vec<u8>>,
    pub(super) entries: BTreeMap<String, Node>,
    path: String,
    pending: Vec<Pending>,
}

impl Stored {
    fn new(kind: Kind, mode: u32, path: &str) -> Self {
        Self {
            kind,
            mode,
            content: Arc::default(),
            entries: BTreeMap::new(),
            path: path.to_owned(),
            pending: Vec::new(),
        }
    }

    pub(super) fn unsynced(&self) -> impl Iterator<Item = &Change> {
        self.pending.iter().map(|pending| &pending.change)
    }

    /// What a failed sync held back stays back, except in pages that were written since: the whole
    /// page goes to disk then.
    fn sync(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let rewritten: BTreeSet<u64> = pending
            .iter()
            .filter(|pending| !pending.lost)
            .flat_map(|pending| pending.change.pages())
            .collect();
        let content = Arc::make_mut(&mut self.content);
        for pending in pending {
            let mut pages = pending.change.pages();
            if pending.lost && !pages.any(|page| rewritten.contains(&page)) {
                self.pending.push(pending);
            } else {
                pending.change.apply(content);
            }
        }
    }

    fn lose(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let parts = pending.iter().flat_map(|pending| pending.change.parts());
        self.pending = parts.map(|change| Pending { change, lost: true }).collect();
    }
}

/// A name that is not durable. The two halves of a rename carry the same number.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) number: usize,
    pub(super) dir: Node,
    pub(super) name: String,
    /// What it leads to; `None` for a name that was taken away.
    pub(super) node: Option<Node>,
}

impl Naming {
    pub(super) fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        match self.node {
            Some(node) => entries.insert(self.name.clone(), node),
            None => entries.remove(&self.name),
        };
    }
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<Node, Stored>,
    pub(super) namings: Vec<Naming>,
    named: usize,
    lie: Option<Lie>,
    /// Files whose sync a lie puts off.
    put_off: BTreeSet<Node>,
}

impl Model {
    pub(super) fn new(lie: Option<Lie>) -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Stored::new(Kind::Directory, 0o755, ""))]),
            namings: Vec::new(),
            named: 0,
            lie,
            put_off: BTreeSet::new(),
        }
    }

    fn node(&mut self, node: Node) -> &mut Stored {
        self.nodes.get_mut(&node).expect("nodes are made first")
    }

    fn name(&mut self, dir: Node, name: &str, node: Option<Node>) {
        self.namings.push(Naming {
            number: self.named,
            dir,
            name: name.to_owned(),
            node,
        });
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Make {
                dir,
                name,
                node,
                kind,
                mode,
                path,
            } => {
                self.nodes.insert(*node, Stored::new(*kind, *mode, path));
                self.named += 1;
                self.name(*dir, name, Some(*node));
            }
            Op::Remove { dir, name } => {
                self.named += 1;
                self.name(*dir, name, None);
            }
            Op::Rename {
                from,
                to,
                node,
                path,
            } => {
                self.named += 1;
                self.name(from.0, &from.1, None);
                self.name(to.0, &to.1, Some(*node));
                path.clone_into(&mut self.node(*node).path);
            }
            Op::Write {
                node,
                offset,
                bytes,
            } => {
                self.before_write(*node);
                self.change(
                    *node,
                    Change::Put {
                        offset: *offset,
                        bytes: Arc::clone(bytes),
                    },
                );
            }
            Op::Truncate { node, size } => self.change(*node, Change::Cut(*size)),
            Op::Mode { node, mode } => self.node(*node).mode = *mode,
            Op::Sync(node) => self.sync(*node),
            Op::SyncFailed(node) => self.node(*node).lose(),
        }
    }

    fn change(&mut self, node: Node, change: Change) {
        let pending = Pending {
            change,
            lost: false,
        };
        self.node(node).pending.push(pending);
    }

    fn sync(&mut self, node: Node) {
        match self.kept(node) {
            Sync::Done if self.node(node).kind == Kind::File => self.node(node).sync(),
            Sync::Done => {
                let (mine, others) = std::mem::take(&mut self.namings)
                    .into_iter()
                    .partition(|naming| naming.dir == node);
                self.namings = others;
                let entries = &mut self.node(node).entries;
                let mine: Vec<Naming> = mine;
                for naming in mine {
                    naming.apply(entries);
                }
            }
            Sync::PutOff => drop(self.put_off.insert(node)),
            Sync::Swallowed => {}
        }
    }

    /// What becomes of a sync under the lie.
    fn kept(&self, node: Node) -> Sync {
        let stored = &self.nodes[&node];
        match &self.lie {
            Some(Lie::FilesUnsynced(path))
                if stored.kind == Kind::File && stored.path.contains(path) =>
            {
                Sync::Swallowed
            }
            Some(Lie::DirectoriesUnsynced(path))
                if stored.kind == Kind::Directory && stored.path.contains(path) =>
            {
                Sync::Swallowed
            }
            Some(Lie::CommitsUnsynced { database })
                if stored.path.ends_with(&format!("{database}-wal"))
                    && stored.unsynced().any(is_frame) =>
            {
                Sync::PutOff
            }
            Some(_) | None => Sync::Done,
        }
    }

    /// A checkpoint syncs the WAL before it copies pages into the database.
    fn before_write(&mut self, node: Node) {
        let Some(Lie::CommitsUnsynced { database }) = &self.lie else {
            return;
        };
        if self.nodes[&node].path.ends_with(database) {
            for wal in std::mem::take(&mut self.put_off) {
                self.node(wal).sync();
            }
        }
    }
}

/// What a sync does.
enum Sync {
    Done,
    PutOff,
    Swallowed,
}

fn is_frame(change: &Change) -> bool {
    matches!(change, Change::Put { offset, .. } if *offset >= WAL_HEADER)
}

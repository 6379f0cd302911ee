//! Power cuts, and what stands on the disk after them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::model::{Model, Stored};
use super::record::{Kind, Node, Op, ROOT};

/// What a power cut left of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Everything,
    Anything,
}

/// One power cut.
#[derive(Debug)]
pub struct Crash<'a> {
    /// Its number among the crashes of the recording.
    pub index: usize,
    /// How many changes and syncs the disk had seen.
    pub at: usize,
    left: Left,
    seed: u64,
    model: &'a Model,
}

impl fmt::Display for Crash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = match self.left {
            Left::Nothing => "nothing",
            Left::Everything => "everything",
            Left::Anything => "any part",
        };
        write!(
            f,
            "crash {} (seed {}) after {} changes, with {left} of what was not synced",
            self.index, self.seed, self.at
        )
    }
}

impl Crash<'_> {
    /// Whether nothing is left of what was not synced.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.left == Left::Nothing
    }

    /// What stands on the disk then. The same crash gives the same image.
    #[must_use]
    pub fn image(&self) -> Image {
        let mut dice = Dice::new(self.seed, self.index as u64);
        let chance = [1, 4, 7][dice.below(3)];
        let mut keeps = move |dice: &mut Dice| dice.below(8) < chance;
        let mut directories: BTreeMap<Node, BTreeMap<String, Node>> = self
            .model
            .nodes
            .iter()
            .filter(|(_, stored)| stored.kind == Kind::Directory)
            .map(|(node, stored)| (*node, stored.entries.clone()))
            .collect();
        // A rename takes place or does not, except for a half that is durable already.
        let mut last = (0, false);
        for naming in &self.model.namings {
            if last.0 != naming.number {
                let kept = match self.left {
                    Left::Nothing => false,
                    Left::Everything => true,
                    Left::Anything => keeps(&mut dice),
                };
                last = (naming.number, kept);
            }
            if last.1 {
                naming.apply(directories.get_mut(&naming.dir).unwrap());
            }
        }
        let mut image = Image::default();
        self.collect(
            &mut image,
            &directories,
            (ROOT, ""),
            &mut |stored| match self.left {
                Left::Nothing => Arc::clone(&stored.content),
                Left::Everything => whole(stored),
                Left::Anything => any_part(stored, &mut dice, &mut keeps),
            },
        );
        image
    }

    fn collect(
        &self,
        image: &mut Image,
        directories: &BTreeMap<Node, BTreeMap<String, Node>>,
        (dir, path): (Node, &str),
        content: &mut impl FnMut(&Stored) -> Arc<Vec<u8>>,
    ) {
        for (name, node) in &directories[&dir] {
            let stored = &self.model.nodes[node];
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            let content_of = (stored.kind == Kind::File).then(|| content(stored));
            image.push(path.clone(), stored.mode, content_of);
            if stored.kind == Kind::Directory {
                self.collect(image, directories, (*node, &path), content);
            }
        }
    }
}

fn whole(stored: &Stored) -> Arc<Vec<u8>> {
    let mut content = Arc::clone(&stored.content);
    for change in stored.unsynced() {
        change.apply(Arc::make_mut(&mut content));
    }
    content
}

/// Any sectors of what was not synced, in the order of the writes or in any other.
fn any_part(
    stored: &Stored,
    dice: &mut Dice,
    keeps: &mut impl FnMut(&mut Dice) -> bool,
) -> Arc<Vec<u8>> {
    let mut parts: Vec<_> = stored
        .unsynced()
        .flat_map(super::model::Change::parts)
        .filter(|_| keeps(dice))
        .collect();
    if dice.below(2) == 0 {
        dice.shuffle(&mut parts);
    }
    let mut content = Arc::clone(&stored.content);
    for part in parts {
        part.apply(Arc::make_mut(&mut content));
    }
    content
}

/// Goes through a log and cuts the power in each stretch.
pub(super) struct Cuts<'a> {
    pub(super) log: &'a [Op],
    pub(super) model: Model,
    pub(super) seed: u64,
    pub(super) tries: u32,
    pub(super) count: usize,
}

impl Cuts<'_> {
    /// Carries out a stretch of the log and cuts the power `tries` times in it and twice at its
    /// end.
    pub(super) fn stretch(&mut self, range: Range<usize>, each: &mut impl FnMut(&Crash<'_>)) {
        let mut dice = Dice::new(self.seed, !(range.start as u64));
        let mut cuts: Vec<usize> = (0..self.tries)
            .map(|_| range.start + 1 + dice.below(range.len().max(1)))
            .collect();
        cuts.sort_unstable();
        let mut cuts = cuts.into_iter().peekable();
        for index in range.clone() {
            self.model.apply(&self.log[index]);
            while cuts.next_if(|cut| *cut == index + 1).is_some() {
                self.cut(index + 1, Left::Anything, each);
            }
        }
        self.cut(range.end, Left::Nothing, each);
        self.cut(range.end, Left::Everything, each);
    }

    fn cut(&mut self, at: usize, left: Left, each: &mut impl FnMut(&Crash<'_>)) {
        each(&Crash {
            index: self.count,
            at,
            left,
            seed: self.seed,
            model: &self.model,
        });
        self.count += 1;
    }
}

/// What stands on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Directories before what is in them.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    mode: u32,
    /// `None` for a directory.
    content: Option<Arc<Vec<u8>>>,
}

impl Image {
    /// Adds a file or, without content, a directory.
    pub(super) fn push(&mut self, path: String, mode: u32, content: Option<Arc<Vec<u8>>>) {
        self.entries.push(Entry {
            path,
            mode,
            content,
        });
    }

    /// Writes it out under an existing directory.
    ///
    /// # Panics
    /// When that fails.
    pub fn write_to(&self, dir: &Path) {
        for entry in &self.entries {
            let path = dir.join(&entry.path);
            match &entry.content {
                Some(content) => fs::write(&path, content.as_slice()).unwrap(),
                None => fs::create_dir(&path).unwrap(),
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
    }

    /// The content of a file; `None` when it is not there.
    #[must_use]
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.entries
            .iter()
            .find(|entry| entry.path == path)
            .and_then(|entry| entry.content.as_deref())
            .map(Vec::as_slice)
    }

    /// Whether there is a file or directory of this path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.entries.iter().any(|entry| entry.path == path)
    }
}

/// Numbers that look random and are the same every time (SplitMix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed);
        dice.0 = dice.next() ^ number;
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index + 1));
        }
    }
}

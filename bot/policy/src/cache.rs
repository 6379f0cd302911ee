//! A bounded memory of decisions. It lives and dies with its policy, so it is never stale.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rave_domain::ids::Digest;

/// Two generations: what is used stays, the rest goes when the young one is full.
pub(crate) struct Cache<T> {
    generations: Mutex<Generations<T>>,
    capacity: usize,
}

struct Generations<T> {
    young: HashMap<Digest, T>,
    old: HashMap<Digest, T>,
}

impl<T: Clone> Cache<T> {
    /// Remembers at most twice `capacity` values.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
            capacity,
        }
    }

    /// The remembered value, or the one that `make` gives. `make` runs without the lock held.
    pub(crate) fn get_or(&self, key: Digest, make: impl FnOnce() -> T) -> T {
        if let Some(known) = self.get(&key) {
            return known;
        }
        let made = make();
        self.put(key, made.clone());
        made
    }

    fn get(&self, key: &Digest) -> Option<T> {
        let mut held = self.lock();
        if let Some(known) = held.young.get(key) {
            return Some(known.clone());
        }
        let known = held.old.remove(key)?;
        held.young.insert(*key, known.clone());
        Some(known)
    }

    fn put(&self, key: Digest, value: T) {
        let mut held = self.lock();
        if held.young.len() >= self.capacity {
            held.old = std::mem::take(&mut held.young);
        }
        held.young.insert(key, value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<T>> {
        // A value is inserted whole or not at all, so a panic elsewhere leaves nothing half done.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let held = self.lock();
        held.young.len() + held.old.len()
    }
}

/// Writes the parts of a memo key so that no two different lists of parts give the same bytes.
#[derive(Default)]
pub(crate) struct KeyWriter(Vec<u8>);

impl KeyWriter {
    /// One part.
    pub(crate) fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    /// A list of parts; its length is part of the key.
    pub(crate) fn list<'a>(&mut self, items: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let start = self.0.len();
        self.0.extend(0_u64.to_le_bytes());
        let mut count = 0_u64;
        for item in items {
            self.part(item.as_bytes());
            count += 1;
        }
        if let Some(place) = self.0.get_mut(start..start + 8) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        self
    }

    /// The key.
    pub(crate) fn finish(&self) -> Digest {
        Digest::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let cache = Cache::new(10);
        let hot = Digest::of(b"hot");
        for n in 0..1000_u32 {
            assert_eq!(cache.get_or(hot, || 7), 7);
            cache.get_or(Digest::of(&n.to_le_bytes()), || n);
            assert!(cache.len() <= 20);
        }
        assert_eq!(cache.get_or(hot, || 8), 7, "the used value was dropped");
    }

    #[test]
    fn different_parts_never_share_a_key() {
        let key = |parts: &[&str]| KeyWriter::default().list(parts.iter().copied()).finish();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&[]), key(&[""]));
    }
}

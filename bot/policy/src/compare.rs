//! Finding a secret among many without telling by time which one, or how much of it, was right.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Secrets by their SHA-256, so that lengths do not show and nothing readable stays in memory.
#[derive(Clone, Default)]
pub(crate) struct Digests(Vec<[u8; 32]>);

/// The SHA-256 of a text.
pub(crate) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Digests {
    /// Adds a digest; its place is what [`Self::find`] gives. `None` when it is there already.
    pub(crate) fn add(&mut self, digest: [u8; 32]) -> Option<usize> {
        if self.0.contains(&digest) {
            return None;
        }
        self.0.push(digest);
        Some(self.0.len() - 1)
    }

    /// The place of a presented secret. Compares with every one, whichever matches.
    pub(crate) fn find(&self, presented: &str) -> Option<usize> {
        let digest = sha256(presented);
        let mut found = 0_u64;
        let mut any = Choice::from(0);
        for (place, known) in (0_u64..).zip(&self.0) {
            let same = known.ct_eq(&digest);
            found.conditional_assign(&place, same);
            any |= same;
        }
        bool::from(any).then(|| usize::try_from(found).ok())?
    }
}

impl std::fmt::Debug for Digests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digests({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_found_at_its_place_and_nothing_else_is() {
        let mut digests = Digests::default();
        for secret in ["a", "bb", "ccc"] {
            digests.add(sha256(secret)).unwrap();
        }
        assert_eq!(digests.find("a"), Some(0));
        assert_eq!(digests.find("ccc"), Some(2));
        assert_eq!(digests.find("cc"), None);
        assert_eq!(digests.find(""), None);
        assert_eq!(digests.add(sha256("a")), None);
    }
}
